//! The upstream that a connection URL names: where to connect, as whom, and how much the server must prove.
//!
//! A [`Target`] is made from the bytes of the URL and the application's dialect, and is all that the pool knows of them. It never
//! verifies less than the client's own library would have done with the same URL; what it cannot honour it refuses, naming the key
//! and never its value, since any part of a URL may be a credential.

mod secret;

use std::time::Duration;

pub use secret::Secret;

use crate::sidecar::tls::Policy;

/// One server of the URL, in the order to try them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// A DNS name or an address without brackets; also what `verify-full` compares with the certificate.
    pub name: String,
    /// 1 to 65535.
    pub port: u16,
}

/// How long the kernel trusts a silent connection. A field that is `None` keeps the kernel's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keepalive {
    /// False where the URL says `keepalives=0`.
    pub disabled: bool,
    /// Silence before the first probe.
    pub idle: Option<Duration>,
    /// Between probes.
    pub interval: Option<Duration>,
    /// Lost probes that end the connection.
    pub count: Option<u32>,
    /// Unacknowledged data that ends the connection (TCP_USER_TIMEOUT).
    pub user_timeout: Option<Duration>,
}

/// The names that a client on loopback must give: those of the URL, or the placeholders where the URL is hidden from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientNames {
    /// Else SQLSTATE 28000.
    pub user: Box<[u8]>,
    /// Else SQLSTATE 3D000.
    pub database: Box<[u8]>,
}

/// A start-up parameter or its value, as bytes of the wire without the final NUL.
pub type Bytes = Box<[u8]>;

/// Everything that a server connection needs. `Debug` shows no credential.
#[derive(Clone, Debug)]
pub struct Target {
    /// At least one.
    pub hosts: Vec<Host>,
    /// Role of the login.
    pub user: Bytes,
    /// Never empty: without one the user's name, as in libpq.
    pub database: Bytes,
    /// `None` where the URL has none; a server that asks for one then gets [`LoginError::NoPassword`](crate::sidecar::login::LoginError::NoPassword).
    pub password: Option<Secret>,
    /// How much TLS the server must offer and prove.
    pub tls: Policy,
    /// Start-up parameters of the URL for every server login, `application_name` apart.
    pub startup: Vec<(Bytes, Bytes)>,
    /// `application_name` of the URL: a base value, since our logins carry a name of their own.
    pub application_name: Option<Bytes>,
    /// For one host, from connect() to the end of the login; `None` where the URL has none or says for ever.
    pub connect_timeout: Option<Duration>,
    /// See [`Keepalive`].
    pub keepalive: Keepalive,
    /// See [`ClientNames`].
    pub client: ClientNames,
    /// Query keys that the application's own library reads from its own URL; nothing is done about them here.
    pub left_to_client: Vec<String>,
}
