//! The HTTP server of the control port: small, and bounded in everything a stranger can spend.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::{Panel, endpoints};

/// Most connections at once. One more ends the oldest, so that a flood can't lock the kubelet out.
const CONNECTIONS_MAX: usize = 64;
/// From the first byte of a request, or from the last answer, to the end of the next request's headers.
const HEADERS_WITHIN: Duration = Duration::from_secs(5);
const HEADER_BYTES_MAX: usize = 8 * 1024;
const HEADERS_MAX: usize = 64;
/// Longest life of a connection, busy or idle.
const LIFE: Duration = Duration::from_mins(1);
/// What an answer under way gets after that.
const LAST_ANSWER: Duration = Duration::from_secs(5);
/// Pause after a failed accept: it fails for want of files or memory, and would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn serve(listener: TcpListener, panel: Arc<Panel>) -> Infallible {
    let mut open: VecDeque<AbortHandle> = VecDeque::with_capacity(CONNECTIONS_MAX);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept on the control port");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        open.retain(|connection| !connection.is_finished());
        if open.len() >= CONNECTIONS_MAX
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        open.push_back(tokio::spawn(connection(stream, Arc::clone(&panel))).abort_handle());
    }
}

/// Errors of a connection are the other side's (it left, or sent no HTTP) and are not logged: a stranger could fill the log.
async fn connection(stream: TcpStream, panel: Arc<Panel>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let panel = Arc::clone(&panel);
        async move {
            let request: http::Request<hyper::body::Incoming> = request;
            Ok::<_, Infallible>(endpoints::answer(&panel, request.method(), request.uri().path()).await)
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS_WITHIN)
            .max_header_size(HEADER_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .max_buf_size(2 * HEADER_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service)
    );
    tokio::select! {
        _ = connection.as_mut() => {}
        () = sleep(LIFE) => {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(LAST_ANSWER, connection).await;
        }
    }
}
