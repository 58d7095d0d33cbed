//! How much TLS a server must offer and prove, and rustls set up to hold it to that.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use thiserror::Error;

use super::verifier::Verifier;
use crate::names::ENV_ROOTS;

/// What happens when the server answers SSLRequest with 'N'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Nothing is asked; the connection is plain.
    Disable,
    /// The connection goes on in plain.
    Prefer,
    /// The connection ends.
    Require,
}

/// What the certificate must prove once TLS is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// Nothing: the hop is safe from listeners, not from an impostor. libpq's `prefer` and `require` mean this.
    None,
    /// A trusted authority issued it, for whatever name (libpq's `verify-ca`).
    Chain,
    /// A trusted authority issued it for the host that the URL names (`verify-full`).
    Full,
}

/// Which TLS versions may be spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// 1.2 and 1.3, all that rustls knows.
    #[default]
    Any,
    /// Only 1.2 (libpq's `ssl_max_protocol_version`).
    Tls12,
}

/// The trusted authorities of the image.
#[derive(Clone, Debug)]
pub struct Roots(Arc<RootCertStore>);

/// Why there are none.
#[derive(Debug, Error)]
pub enum RootsError {
    /// The file is missing or unreadable, or not PEM.
    #[error("read certificates of trusted authorities from {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
}

/// Where Debian, Alpine and their kind keep the bundle; the image carries the file under the same name.
pub const ROOTS_PATH: &str = "/etc/ssl/certs/ca-certificates.crt";

impl Roots {
    /// No authority is trusted: every policy that verifies then fails with
    /// [`TlsError::UnknownIssuer`](super::TlsError::UnknownIssuer).
    pub fn none() -> Self {
        Self(Arc::new(RootCertStore::empty()))
    }

    /// Reads a PEM bundle. Certificates that rustls cannot use as a trust anchor are left out, as every TLS library does.
    pub fn read(path: &Path) -> Result<Self, RootsError> {
        let failed = |source| RootsError::Read { path: path.to_owned(), source };
        let certificates = CertificateDer::pem_file_iter(path).map_err(failed)?;
        let mut store = RootCertStore::empty();
        for certificate in certificates {
            store.add_parsable_certificates([certificate.map_err(failed)?]);
        }
        Ok(Self(Arc::new(store)))
    }

    /// The bundle that SSL_CERT_FILE names, else the one at [`ROOTS_PATH`].
    pub fn system() -> Result<Self, RootsError> {
        let path = std::env::var_os(ENV_ROOTS).map_or_else(|| PathBuf::from(ROOTS_PATH), PathBuf::from);
        Self::read(&path)
    }

    /// How many authorities are trusted.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// How much TLS the server must offer and prove.
#[derive(Clone)]
pub struct Policy {
    demand: Demand,
    verification: Verification,
    versions: Versions,
    sni: bool,
    config: Option<Arc<ClientConfig>>,
}

impl Policy {
    /// Never asks for TLS.
    pub const fn disabled() -> Self {
        Self {
            demand: Demand::Disable,
            verification: Verification::None,
            versions: Versions::Any,
            sni: false,
            config: None,
        }
    }

    /// Asks for TLS, and takes a plain connection instead only if `demand` is [`Demand::Prefer`]. `sni` tells whether the host's
    /// name is sent in clear, as libpq does unless `sslsni=0`.
    ///
    /// # Panics
    ///
    /// Never: the provider that is built in has cipher suites for both versions.
    pub fn new(demand: Demand, verification: Verification, versions: Versions, sni: bool, roots: &Roots) -> Self {
        if demand == Demand::Disable {
            return Self::disabled();
        }
        let spoken: &[&'static SupportedProtocolVersion] = match versions {
            Versions::Any => rustls::ALL_VERSIONS,
            Versions::Tls12 => &[&rustls::version::TLS12],
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Verifier::new(verification, Arc::clone(&roots.0), provider.signature_verification_algorithms);
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(spoken)
            .expect("ring's provider has suites for TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.enable_sni = sni;
        // PostgreSQL issues no tickets, and its session cache is off: remembering sessions would only cost memory.
        config.resumption = Resumption::disabled();
        Self { demand, verification, versions, sni, config: Some(Arc::new(config)) }
    }

    /// See [`Demand`].
    pub const fn demand(&self) -> Demand {
        self.demand
    }

    /// See [`Verification`].
    pub const fn verification(&self) -> Verification {
        self.verification
    }

    pub(super) const fn config(&self) -> Option<&Arc<ClientConfig>> {
        self.config.as_ref()
    }
}

impl fmt::Debug for Policy {
    /// Without the authorities, of which there are a hundred.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Policy({:?}, {:?})", self.demand, self.verification)
    }
}

impl PartialEq for Policy {
    /// By what was asked; the certificates behind it come from one file per boot.
    fn eq(&self, other: &Self) -> bool {
        let asked = |policy: &Self| (policy.demand, policy.verification, policy.versions, policy.sni);
        asked(self) == asked(other)
    }
}
