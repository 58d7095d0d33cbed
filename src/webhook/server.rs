//! The TLS listener: who may stay connected, and for how long.
//!
//! Anyone on the pod network may connect, so nothing is allocated or awaited without a bound. TLS 1.3 only: every API server that
//! is supported speaks it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::certificate::Resolver;
use crate::shutdown::Stopping;

/// Connections at a time; an API server keeps at most 25 idle ones.
const CONNECTIONS: usize = 512;
/// From connect to the end of the handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// From the end of the handshake to the first whole request.
const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// Between two requests, and for the headers of the second. Longer than the 90 s after which an API server closes an idle
/// connection by itself: if we closed first, a review could get lost between the two.
const IDLE: Duration = Duration::from_mins(2);
/// Bytes of headers.
const HEADERS: usize = 16 * 1024;
/// From the order to stop to the last accepted connection.
const LINGER: Duration = Duration::from_secs(2);
/// Pause after a failed accept: the descriptors are used up, and trying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The webhook's TLS configuration.
pub fn tls(resolver: Arc<Resolver>) -> Result<Arc<rustls::ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Serves until the process stops; open requests get a moment to end.
pub async fn serve(listener: TcpListener, tls: Arc<rustls::ServerConfig>, router: Router, stopping: Stopping) {
    let acceptor = TlsAcceptor::from(tls);
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let accept = async {
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            while connections.try_join_next().is_some() {}
            let (acceptor, router) = (acceptor.clone(), router.clone());
            connections.spawn(async move {
                if let Err(reason) = connection(stream, acceptor, router).await {
                    tracing::debug!(%peer, reason, "webhook connection ended early");
                }
                drop(permit);
            });
        }
    };
    // A Service still sends requests for a moment after its pod was told to stop; refusing them would lose injections.
    let linger = async {
        stopping.wait().await;
        tokio::time::sleep(LINGER).await;
    };
    tokio::select! {
        () = accept => {}
        () = linger => {}
    }
    // An answer takes milliseconds; what is left after this is idle.
    let _ = timeout(Duration::from_millis(500), async { while connections.join_next().await.is_some() {} }).await;
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, router: Router) -> Result<(), &'static str> {
    let stream = timeout(HANDSHAKE, acceptor.accept(stream)).await.map_err(|_| "handshake too slow")?;
    let stream = TokioIo::new(stream.map_err(|_| "handshake failed")?);
    let asked = AtomicBool::new(false);
    let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
        asked.store(true, Ordering::Relaxed);
        router.clone().oneshot(request.map(axum::body::Body::new))
    });
    let serve = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(HEADERS)
        .serve_connection(stream, service);
    let silent = async {
        tokio::time::sleep(FIRST_REQUEST).await;
        if asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        ended = serve => ended.map_err(|_| "connection broke"),
        () = silent => Err("no request in time"),
    }
}

/// Whether the listener at `address` completes a handshake with a certificate that `bundle` (PEM) covers: what readiness means.
pub async fn answers(address: SocketAddr, name: &str, bundle: &str) -> bool {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName};

    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()).flatten() {
        if roots.add(certificate).is_err() {
            return false;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let Ok(builder) =
        rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13])
    else {
        return false;
    };
    let connector =
        tokio_rustls::TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()));
    let Ok(name) = ServerName::try_from(name.to_owned()) else { return false };
    let handshake = async { connector.connect(name, TcpStream::connect(address).await?).await };
    matches!(timeout(Duration::from_secs(1), handshake).await, Ok(Ok(_)))
}

#[cfg(test)]
mod tests;
