//! The one Kubernetes client, which notes the life of every watch.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tower::{BoxError, Layer, Service};

use super::activity::Activity;

/// How long one watch request lasts: below the 240 s after which common load balancers drop a silent connection.
pub const WATCH_SECONDS: u32 = 200;
/// A connection from which nothing was read for so long is dead: longer than any watch lasts, and so the bound on a list that hangs.
const READ: Duration = Duration::from_secs(230);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Neither a kubeconfig nor a ServiceAccount.
    #[error("cannot find out how to reach the API server")]
    Infer(#[source] kube::config::InferConfigError),
    /// The configuration can't be used.
    #[error("cannot build a client for the API server")]
    Build(#[source] Box<kube::Error>),
}

/// A client by the usual rules: KUBECONFIG, `~/.kube/config`, the pod's ServiceAccount.
pub async fn client(activity: Activity) -> Result<Client, ClientError> {
    let config = Config::infer().await.map_err(ClientError::Infer)?;
    build(config, activity)
}

/// A client for a given configuration.
pub fn build(mut config: Config, activity: Activity) -> Result<Client, ClientError> {
    config.read_timeout = Some(READ);
    let builder = ClientBuilder::try_from(config).map_err(|error| ClientError::Build(Box::new(error)))?;
    Ok(builder.with_layer(&Listen(activity)).build())
}

#[derive(Clone)]
struct Listen(Activity);

impl<S> Layer<S> for Listen {
    type Service = Listening<S>;
    fn layer(&self, inner: S) -> Self::Service {
        Listening { inner, activity: self.0.clone() }
    }
}

struct Listening<S> {
    inner: S,
    activity: Activity,
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<S, B> Service<Request<Body>> for Listening<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + Send + 'static,
    B: hyper::body::Body<Data = Bytes, Error = BoxError> + Send + Unpin + 'static,
{
    type Response = Response<UnsyncBoxBody<Bytes, BoxError>>;
    type Error = S::Error;
    type Future = BoxFuture<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let watch = request.uri().query().is_some_and(|query| query.split('&').any(|part| part == "watch=true"));
        let path = request.uri().path().to_owned();
        let activity = self.activity.clone();
        let response = self.inner.call(request);
        Box::pin(async move {
            let response = response.await;
            if !watch {
                return response.map(|response| response.map(BodyExt::boxed_unsync));
            }
            activity.heard(&path);
            Ok(response?.map(|body| {
                body.map_frame(move |frame| {
                    activity.heard(&path);
                    frame
                })
                .boxed_unsync()
            }))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::{StreamExt, channel::mpsc, future, stream};
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use tokio::time::{Duration, advance};
    use tower::ServiceExt as _;

    use super::*;

    /// The bookmarks of a watch keep it alive; other requests are no sign of life.
    #[tokio::test(start_paused = true)]
    async fn each_frame_of_a_watch_is_a_sign_of_life() {
        let activity = Activity::default();
        let (sender, receiver) = mpsc::unbounded::<Bytes>();
        let mut receiver = Some(receiver);
        let inner = tower::service_fn(move |_: Request<Body>| {
            let frames = receiver.take().map_or_else(|| stream::empty().boxed(), StreamExt::boxed);
            let body = StreamBody::new(frames.map(|bytes| Ok::<_, BoxError>(Frame::data(bytes))));
            future::ready(Ok::<_, Infallible>(Response::new(body)))
        });
        let mut service = Listen(activity.clone()).layer(inner);
        let request = |uri: &str| Request::get(uri).body(Body::empty()).expect("a request");

        let watch = request("/api/v1/pods?allowWatchBookmarks=true&watch=true&resourceVersion=1");
        let mut body = service.ready().await.expect("ready").call(watch).await.expect("infallible").into_body();
        assert_eq!(activity.ages(), [("pods".to_owned(), Duration::ZERO)]);
        advance(Duration::from_mins(2)).await;
        assert_eq!(activity.oldest(), Duration::from_mins(2));
        sender.unbounded_send(Bytes::from_static(b"{}\n")).expect("it listens");
        body.frame().await.expect("a frame").expect("data");
        assert_eq!(activity.oldest(), Duration::ZERO);

        service.ready().await.expect("ready").call(request("/api/v1/namespaces?limit=500")).await.expect("infallible");
        assert_eq!(activity.ages().len(), 1);
    }
}
