//! Keeps the certificates of [`super::authority`] in their Secret, in the server and in the entries.
//!
//! The Secret is read again every [`EVERY`]: another replica may have renewed them. A new leaf is used for the next handshake, with
//! no restart and no connection closed. A server that cannot read the Secret goes on with what it has.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;

use super::authority::{self, Certificates, Leaf};
use crate::api::document::{Document, DocumentError};
use crate::metrics::Metrics;
use crate::shutdown::Stopping;

/// How often the Secret is looked at: what another replica renewed is in use here after at most this.
const EVERY: Duration = Duration::from_secs(30);

/// Why there is no usable certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The Secret could not be kept.
    #[error("cannot keep the webhook's certificates")]
    Keep(#[from] DocumentError),
    /// The Secret's content can't be used.
    #[error("cannot use the certificate in the Secret")]
    Use,
}

/// Hands the leaf in force to each handshake.
#[derive(Debug, Default)]
pub struct Resolver(RwLock<Option<Arc<CertifiedKey>>>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Resolver {
    /// Uses `leaf` from the next handshake on.
    pub fn install(&self, leaf: &Leaf) -> Result<(), CertificateError> {
        let certificate =
            CertificateDer::from_pem_slice(leaf.certificate.as_bytes()).map_err(|_| CertificateError::Use)?;
        let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).map_err(|_| CertificateError::Use)?;
        let key = any_ecdsa_type(&key).map_err(|_| CertificateError::Use)?;
        let certified = Arc::new(CertifiedKey::new(vec![certificate], key));
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(certified);
        Ok(())
    }
}

/// Keeps one Secret.
pub struct Keeper {
    document: Document,
    names: Vec<String>,
    resolver: Arc<Resolver>,
    bundle: watch::Sender<Option<String>>,
    metrics: Arc<Metrics>,
    shown: Option<String>,
}

impl Keeper {
    /// For a server that is reached under `names`.
    pub fn new(document: Document, names: Vec<String>, metrics: Arc<Metrics>) -> Self {
        Self { document, names, resolver: Arc::default(), bundle: watch::Sender::new(None), metrics, shown: None }
    }

    /// For the server.
    pub fn resolver(&self) -> Arc<Resolver> {
        Arc::clone(&self.resolver)
    }

    /// For the entries: every authority in force, PEM in base64, as soon as it is known.
    pub fn bundle(&self) -> watch::Receiver<Option<String>> {
        self.bundle.subscribe()
    }

    /// Runs until the process stops.
    pub async fn run(mut self, stopping: Stopping) {
        let mut every = tokio::time::interval(EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let keep = async {
            loop {
                every.tick().await;
                if let Err(error) = self.keep(Timestamp::now()).await {
                    self.metrics.failed("certificate");
                    tracing::error!(
                        error = crate::telemetry::chain(&error),
                        "the webhook's certificate was not renewed"
                    );
                }
            }
        };
        tokio::select! {
            () = keep => {}
            () = stopping.wait() => {}
        }
    }

    async fn keep(&mut self, now: Timestamp) -> Result<(), CertificateError> {
        let names = self.names.clone();
        let kept = self.document.keep(|current: Option<&Certificates>| authority::next(current, &names, now)).await?;
        let certificates = kept.ok_or(CertificateError::Use)?;
        let leaf = certificates.leaf();
        if self.shown.as_ref() != Some(&leaf.certificate) {
            self.resolver.install(leaf)?;
            self.shown = Some(leaf.certificate.clone());
            self.metrics.certificate_expires(leaf.until);
            tracing::info!(until = %leaf.until, "webhook certificate in use");
        }
        let bundle = Some(STANDARD.encode(certificates.bundle()));
        self.bundle.send_if_modified(|known| {
            let differs = *known != bundle;
            *known = bundle;
            differs
        });
        Ok(())
    }
}
