//! `weir operator`: everything of the control plane in one process, wired together here and nowhere else.
//!
//! Every replica serves the webhook and could do everything else; what several may write at once is written with a resourceVersion
//! or by server-side apply, so nothing assumes that there is only one.

mod health;
mod options;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use tokio::net::TcpListener;

use crate::api::activity::Activity;
use crate::api::client::{ClientError, client};
use crate::api::document::Document;
use crate::controller::{self, Context, entries::Entries, entries::Publisher};
use crate::events::Announcer;
use crate::metrics::Metrics;
use crate::observe::limit_ranges::LimitRanges;
use crate::observe::pods::{Change, Pods};
use crate::observe::pools::{Pools, key};
use crate::observe::touches::Touches;
use crate::policy::entries::PoolKey;
use crate::prober::targets::selects;
use crate::prober::{Prober, reports::Reports};
use crate::shutdown::{Lost, Stopping, Tasks};
use crate::webhook::body::Room;
use crate::webhook::certificate::Keeper;
use crate::webhook::router::{Webhook, router};
use crate::webhook::{server, signing};

pub use options::Options;

/// Between two attempts to get the signing keys.
const KEYS_RETRY: Duration = Duration::from_secs(2);

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no way to the API server.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A port is taken, or may not be used.
    #[error("cannot listen on {address}")]
    Listen {
        /// As configured.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// TLS can't be set up.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
    /// Signals can't be received.
    #[error("cannot receive signals")]
    Signals(#[source] std::io::Error),
    /// See [`Lost`].
    #[error(transparent)]
    Lost(#[from] Lost),
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(options: Options) -> Result<(), Error> {
    let activity = Activity::default();
    let metrics = Arc::new(Metrics::new(activity.clone()));
    let client = client(activity.clone()).await?;
    let webhook = bind(options.listen_webhook).await?;
    let plain = bind(options.listen_metrics).await?;
    let stop = signal()?;

    let mut tasks = Tasks::default();
    let (pods, reports, entries, touches) =
        (Arc::<Pods>::default(), Arc::<Reports>::default(), Arc::<Entries>::default(), Arc::<Touches>::default());
    let (pools, watch) = Pools::watch(client.clone(), Arc::clone(&metrics), Arc::clone(&touches), tasks.stopping());
    tasks.spawn("pools", watch);
    let (limit_ranges, watch) = LimitRanges::watch(client.clone(), Arc::clone(&metrics), tasks.stopping());
    tasks.spawn("limit_ranges", watch);

    let document = |secret: &str| Document::new(client.clone(), &options.namespace, secret);
    let keeper = Keeper::new(document(&options.certificate_secret), options.names(), Arc::clone(&metrics));
    let (resolver, bundle) = (keeper.resolver(), keeper.bundle());
    tasks.spawn("certificate", keeper.run(tasks.stopping()));

    let readiness = health::Health {
        pools: pools.clone(),
        limit_ranges: limit_ranges.clone(),
        bundle: bundle.clone(),
        webhook: webhook.local_addr().unwrap_or(options.listen_webhook),
        name: options.names().into_iter().next().unwrap_or_default(),
        activity,
        metrics: Arc::clone(&metrics),
    };
    tasks.spawn("health", health::serve(plain, readiness, tasks.stopping()));

    let changed = Arc::new(tokio::sync::Notify::new());
    tasks.spawn("pods", watch_pods(&client, &pods, &pools, &touches, &changed, &metrics, tasks.stopping()));
    let prober = Prober {
        pools: pools.clone(),
        pods: Arc::clone(&pods),
        reports: Arc::clone(&reports),
        touches: Arc::clone(&touches),
        changed,
        metrics: Arc::clone(&metrics),
    };
    tasks.spawn("prober", prober.run(tasks.stopping()));

    let publisher = Publisher {
        client: client.clone(),
        pools: pools.clone(),
        entries: Arc::clone(&entries),
        touches: Arc::clone(&touches),
        metrics: Arc::clone(&metrics),
        namespace: options.namespace.clone(),
        endpoint: options.endpoint(),
        configurations: options.webhook_configurations.clone(),
        image: options.sidecar_image.clone(),
        bundle,
    };
    tasks.spawn("entries", publisher.run(tasks.stopping()));

    let context = Arc::new(Context {
        client: client.clone(),
        pools: pools.clone(),
        pods,
        reports,
        entries,
        announcer: Announcer::new(client.clone(), options.pod_name.clone(), Arc::clone(&metrics)),
        metrics: Arc::clone(&metrics),
        backoff: controller::backoff::Backoff::default(),
        writes: controller::apply::Writes::default(),
        started: Timestamp::now(),
        status_interval: options.status_interval,
    });
    tasks.spawn("controller", controller::run(context, touches, tasks.stopping()));

    let keys = document(&options.signing_keys_secret);
    let tls = server::tls(resolver).map_err(Error::Tls)?;
    let answers = Webhook { pools, limit_ranges, sidecar: options.sidecar(), metrics, room: Room::default() };
    tasks.spawn("webhook", serve_webhook(webhook, tls, keys, answers, tasks.stopping()));
    Ok(tasks.run(stop).await?)
}

async fn bind(address: std::net::SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })
}

/// Resolves on SIGTERM and SIGINT; both are caught from this call on.
fn signal() -> Result<impl Future<Output = ()>, Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate()).map_err(Error::Signals)?,
        signal(SignalKind::interrupt()).map_err(Error::Signals)?,
    );
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    })
}

fn watch_pods(
    client: &Client,
    pods: &Arc<Pods>,
    pools: &Pools,
    touches: &Arc<Touches>,
    changed: &Arc<tokio::sync::Notify>,
    metrics: &Arc<Metrics>,
    stopping: Stopping,
) -> impl Future<Output = ()> + Send + 'static {
    let (client, pods, pools, touches) = (client.clone(), Arc::clone(pods), pools.clone(), Arc::clone(touches));
    let (changed, metrics) = (Arc::clone(changed), Arc::clone(metrics));
    async move {
        let touch = |change: Change<'_>| {
            for pool in concerned(&pools, change) {
                touches.touch(pool);
            }
            changed.notify_one();
        };
        pods.watch(client, metrics, stopping, touch).await;
    }
}

/// The pools that a change of a pod concerns: by what it was, what it is, and what it says.
fn concerned(pools: &Pools, (old, new): Change<'_>) -> Vec<PoolKey> {
    let Some(namespace) = old.or(new).map(|pod| pod.namespace.as_str()) else { return Vec::new() };
    let concerns = |pool: &crate::crd::ConnectionPool, name: &str| {
        [old, new].into_iter().flatten().any(|pod| {
            pool.spec.selector.as_ref().is_some_and(|selector| selects(selector, pod))
                || pod.pools().any(|said| said == name)
        })
    };
    let pools = pools.of(namespace).into_iter();
    pools
        .filter_map(|pool| {
            let key = key(&pool);
            pool.0.as_ref().is_ok_and(|pool| concerns(pool, &key.name)).then_some(key)
        })
        .collect()
}

/// The keys come first: a pod keeps for life what it was injected with.
async fn serve_webhook(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    keys: Document,
    mut webhook: Webhook,
    stopping: Stopping,
) {
    webhook.sidecar.public_keys = tokio::select! {
        keys = public_keys(&keys, &webhook.metrics) => keys,
        () = stopping.clone().wait() => return,
    };
    server::serve(listener, tls, router(Arc::new(webhook)), stopping).await;
}

async fn public_keys(document: &Document, metrics: &Metrics) -> Vec<String> {
    loop {
        match signing::public_keys(document, Timestamp::now()).await {
            Ok(keys) => return keys,
            Err(error) => {
                metrics.failed("signing_keys");
                tracing::error!(
                    error = crate::telemetry::chain(&error),
                    "the signing keys are not there yet; no pod is injected"
                );
                tokio::time::sleep(KEYS_RETRY).await;
            }
        }
    }
}
