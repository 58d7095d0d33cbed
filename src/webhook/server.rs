//! The TLS listener: who may stay connected, and for how long.
//!
//! Anyone on the pod network may connect, so nothing is allocated or awaited without a bound. TLS 1.3 only: every API server that
//! is supported speaks it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
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
/// Of these from one address: a single stranger must not keep an API server out.
const CONNECTIONS_OF_ONE: usize = CONNECTIONS / 2;
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
    let guests = Arc::new(Guests::default());
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
            let Some(guest) = Guests::enter(&guests, peer.ip()) else { continue };
            let (acceptor, router) = (acceptor.clone(), router.clone());
            connections.spawn(async move {
                if let Err(reason) = connection(stream, acceptor, router).await {
                    tracing::debug!(%peer, reason, "webhook connection ended early");
                }
                drop((permit, guest));
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

/// Open connections by address.
#[derive(Debug, Default)]
struct Guests(Mutex<HashMap<IpAddr, usize>>);

/// One of them; leaves when it is dropped.
struct Guest {
    guests: Arc<Guests>,
    address: IpAddr,
}

impl Guests {
    fn enter(guests: &Arc<Self>, address: IpAddr) -> Option<Guest> {
        let address = address.to_canonical();
        let mut counts = guests.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= CONNECTIONS_OF_ONE {
            return None;
        }
        *count += 1;
        Some(Guest { guests: Arc::clone(guests), address })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut counts = self.guests.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, router: Router) -> Result<(), &'static str> {
    let stream = timeout(HANDSHAKE, acceptor.accept(stream)).await.map_err(|_| "handshake too slow")?;
    let stream = TokioIo::new(stream.map_err(|_| "handshake failed")?);
    let asked = AtomicBool::new(false);
    let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
        asked.store(true, Ordering::Relaxed);
        let answer = router.clone().oneshot(request.map(axum::body::Body::new));
        async {
            let mut answer = answer.await?;
            if !answer.status().is_success() {
                // Only whoever sends reviews may stay; an API server that met a fault of ours connects again.
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer)
        }
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
    matches!(timeout(Duration::from_secs(1), connected(address, name, bundle)).await, Ok(Some(_)))
}

async fn connected(
    address: SocketAddr,
    name: &str,
    bundle: &str,
) -> Option<tokio_rustls::client::TlsStream<TcpStream>> {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName};

    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()).flatten() {
        roots.add(certificate).ok()?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .ok()?;
    let connector =
        tokio_rustls::TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()));
    let name = ServerName::try_from(name.to_owned()).ok()?;
    connector.connect(name, TcpStream::connect(address).await.ok()?).await.ok()
}

#[cfg(test)]
mod tests;
