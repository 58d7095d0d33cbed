//! The plain port: /metrics for Prometheus, /livez and /readyz for the kubelet.
//!
//! Ready means that an admission review sent now would be answered: the TLS listener completes a handshake with a certificate that
//! the current bundle covers, every pool was seen, and so were the LimitRanges or a refusal of them. Pods are not part of it: the
//! webhook does not need them. Alive means that no watch hangs: a watch that fails is retried and told, one that is silent beyond all
//! its limits would stay so.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::api::activity::Activity;
use crate::metrics::Metrics;
use crate::observe::limit_ranges::LimitRanges;
use crate::observe::pools::Pools;
use crate::shutdown::Stopping;
use crate::webhook::server;

/// A watch ends after 200 s, the client gives up on a silent connection after 230 s, and a retry waits up to a minute.
const SILENCE_MAX: Duration = Duration::from_mins(6);

/// What is looked at.
#[derive(Clone)]
pub struct Health {
    /// The webhook's cache.
    pub pools: Pools,
    /// The webhook's other cache.
    pub limit_ranges: LimitRanges,
    /// Authorities in force.
    pub bundle: watch::Receiver<Option<String>>,
    /// Where the webhook listens.
    pub webhook: SocketAddr,
    /// A name of its certificate.
    pub name: String,
    /// The watches.
    pub activity: Activity,
    /// All metrics.
    pub metrics: Arc<Metrics>,
}

/// Serves until the process stops.
pub async fn serve(listener: TcpListener, health: Health, stopping: Stopping) {
    let router = Router::new()
        .route("/livez", get(handle_livez))
        .route("/readyz", get(handle_readyz))
        .route("/metrics", get(handle_metrics))
        .with_state(health);
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopping.wait()).await {
        tracing::error!(%error, "the health port failed");
    }
}

async fn handle_livez(State(health): State<Health>) -> Response {
    let silent = health.activity.ages().into_iter().find(|(_, age)| *age > SILENCE_MAX);
    match silent {
        None => "ok".into_response(),
        Some((resource, age)) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("the watch of {resource} is silent for {}s", age.as_secs()))
                .into_response()
        }
    }
}

async fn handle_readyz(State(health): State<Health>) -> Response {
    let not = |why: &'static str| (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    if !health.pools.synced() {
        return not("the pools are not listed yet");
    }
    if !health.limit_ranges.answered() {
        return not("the LimitRanges are not listed yet");
    }
    let bundle = health.bundle.borrow().clone();
    let Some(bundle) =
        bundle.and_then(|bundle| STANDARD.decode(bundle).ok()).and_then(|pem| String::from_utf8(pem).ok())
    else {
        return not("there is no certificate yet");
    };
    if server::answers(reachable(health.webhook), &health.name, &bundle).await {
        "ok".into_response()
    } else {
        not("the webhook does not answer")
    }
}

async fn handle_metrics(State(health): State<Health>) -> Response {
    const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match health.metrics.render(Timestamp::now()) {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The same listener as seen from here.
fn reachable(listener: SocketAddr) -> SocketAddr {
    match listener {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, v4.port())),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => SocketAddr::from((Ipv6Addr::LOCALHOST, v6.port())),
        other => other,
    }
}
