//! What may go wrong with TLS, said so that the reader knows what to change.

use rustls::{AlertDescription, CertificateError, Error};
use thiserror::Error as ThisError;

/// Why a server connection has no TLS. No variant carries a name or a certificate: they would tell the application's clients where
/// the server is.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
pub enum TlsError {
    /// The server answered 'N' and the policy needs TLS.
    #[error(
        "the server does not offer TLS, which the URL's sslmode requires: turn ssl on there, or choose sslmode=disable"
    )]
    NotOffered,
    /// Bytes came between the answer to SSLRequest and the handshake.
    #[error(
        "the server sent data before the TLS handshake: something between here and the server may be tampering with the connection"
    )]
    EarlyBytes,
    /// Neither 'S' nor 'N'. PostgreSQL may say 'E' when it cannot even fork; its text is not authenticated, so it is not shown.
    #[error("the answer to SSLRequest is byte {byte:#04x}: the server is out of resources, or not PostgreSQL")]
    Answer {
        /// As received.
        byte: u8,
    },
    /// The connection ended instead.
    #[error("the server closed the connection during the TLS negotiation")]
    EndOfStream,
    /// The URL's host is neither a DNS name nor an address.
    #[error("the URL's host can't be compared with a certificate: use a DNS name or an IP address")]
    HostName,
    /// No trusted authority issued the certificate.
    #[error(
        "no trusted authority issued the server's certificate: have it issued by a public one, or choose an sslmode that does not verify"
    )]
    UnknownIssuer,
    /// The certificate is for other names.
    #[error(
        "the server's certificate is not valid for the URL's host: use a host that is among its subjectAltNames, or verify-ca"
    )]
    WrongName,
    /// The certificate's time is over.
    #[error("the server's certificate has expired: renew it")]
    Expired,
    /// The certificate's time has not come.
    #[error("the server's certificate is not valid yet: check the clocks")]
    NotValidYet,
    /// Anything else about the certificate.
    #[error("the server's certificate can't be verified: {detail}")]
    Certificate {
        /// rustls's word for it.
        detail: String,
    },
    /// The server ended the handshake.
    #[error("the server refused the TLS handshake: {detail}")]
    Alert {
        /// The alert's name.
        detail: String,
    },
    /// The server broke the protocol.
    #[error("the TLS session failed: {detail}")]
    Protocol {
        /// rustls's word for it.
        detail: String,
    },
    /// More undecrypted data than a record may have.
    #[error("the TLS session failed: a record is too long")]
    Overflow,
}

impl TlsError {
    pub(super) fn from_rustls(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(certificate) => match certificate {
                // A bad signature is that of an authority which was made anew under its old name.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownIssuer,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::WrongName,
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotValidYet,
                other => Self::Certificate { detail: format!("{other:?}") },
            },
            Error::AlertReceived(AlertDescription::CloseNotify) => Self::EndOfStream,
            Error::AlertReceived(alert) => Self::Alert { detail: format!("{alert:?}") },
            other => Self::Protocol { detail: other.to_string() },
        }
    }

    /// A word for metrics and conditions.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotOffered => "TlsNotOffered",
            Self::EarlyBytes | Self::Answer { .. } | Self::EndOfStream => "TlsNegotiationFailed",
            Self::HostName | Self::WrongName => "CertificateNameMismatch",
            Self::UnknownIssuer => "CertificateUnknownIssuer",
            Self::Expired => "CertificateExpired",
            Self::NotValidYet => "CertificateNotValidYet",
            Self::Certificate { .. } => "CertificateInvalid",
            Self::Alert { .. } | Self::Protocol { .. } | Self::Overflow => "TlsHandshakeFailed",
        }
    }
}
