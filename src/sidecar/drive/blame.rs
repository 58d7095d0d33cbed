//! What is said when a server connection can't be made: where to, as libpq says it, and why. Never a credential.

use super::resolve::Address;
use crate::sidecar::login::LoginError;
use crate::sidecar::target::Target;
use crate::sidecar::tls::TlsError;
use crate::sidecar::wire::{Refusal, fatal};

/// `connection to the server at "db.shop" (10.0.0.5), port 5432, failed: <why>`.
pub fn unreachable(code: [u8; 5], target: &Target, address: Address, why: impl std::fmt::Display) -> Refusal {
    let (ip, port) = (address.socket.ip(), address.socket.port());
    let name = target.hosts.get(address.host).map_or("", |host| &host.name);
    let place = if name.parse() == Ok(ip) { format!("\"{ip}\"") } else { format!("{} ({ip})", shown(name)) };
    fatal(code, format!("connection to the server at {place}, port {port}, failed: {why}"))
}

/// No host of the URL has an address.
pub fn unknown(target: &Target, why: &str) -> Refusal {
    let names: Vec<_> = target.hosts.iter().map(|host| shown(&host.name)).collect();
    fatal(*b"08001", format!("could not look up the database's host {}: {why}", names.join(", ")))
        .hint("Check the host of the connection URL, and the pod's DNS.")
}

/// The act that the journal could not announce is not done.
pub fn unwritten() -> Refusal {
    fatal(*b"58030", "no server connection is opened while the pool's journal can't be written")
        .hint("Look at the sidecar's log: the node's disk, or the pod's share of it, may be full.")
}

/// A host's name in quotes. What no host is called may be the rest of a password that was cut at an unencoded `@`.
fn shown(name: &str) -> String {
    let usual = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
    if name.bytes().all(usual) { format!("{name:?}") } else { "of the connection URL".to_owned() }
}

/// A host of the URL turned out to be where our clients connect. Waiting does not help.
pub fn itself(target: &Target, address: Address) -> Refusal {
    unreachable(*b"08004", target, address, "it is this pool itself")
        .hint("Let the connection URL, or the Secret that holds it, name the database's own host and port.")
}

pub fn tls(target: &Target, address: Address, error: &TlsError) -> Refusal {
    // The class of connection exceptions; but waiting does not help.
    unreachable(*b"08004", target, address, error)
}

pub fn login(target: &Target, address: Address, error: &LoginError) -> Refusal {
    match error {
        LoginError::Refused(error) => Refusal {
            code: error.sqlstate,
            message: error.message.clone(),
            detail: error.detail.clone(),
            hint: error.hint.clone(),
        },
        other => unreachable(other.sqlstate(), target, address, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::dialect;
    use crate::sidecar::tls::Roots;

    #[test]
    fn names_the_host_and_never_what_may_be_a_password() {
        let message = |host: &str, ip: &str| {
            let url = format!("postgres://u:p%40ss@{host}:6543/d");
            let target = Target::parse(url.as_bytes(), dialect::none(), None, &Roots::none()).unwrap();
            let address = Address { socket: format!("{ip}:6543").parse().unwrap(), host: 0 };
            let refusal = unreachable(*b"08001", &target, address, "Connection refused");
            (refusal.message, unknown(&target, "no address").message)
        };
        let (failed, lookup) = message("db.shop", "10.0.0.5");
        assert_eq!(failed, "connection to the server at \"db.shop\" (10.0.0.5), port 6543, failed: Connection refused");
        assert_eq!(lookup, "could not look up the database's host \"db.shop\": no address");
        let (failed, _) = message("10.0.0.5", "10.0.0.5");
        assert_eq!(failed, "connection to the server at \"10.0.0.5\", port 6543, failed: Connection refused");
        assert_eq!(shown("secret@db"), "of the connection URL");
    }
}
