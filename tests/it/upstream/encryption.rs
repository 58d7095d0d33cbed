//! Every sslmode of each dialect against servers with TLS, without, and with certificates that prove nothing.

use weir::sidecar::tls::{Roots, TlsError};

use crate::driver::{Failure, login};
use crate::servers::{ENCRYPTED, EXPIRED, PLAIN, Server, target};

/// What a login comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Plain,
    Encrypted,
    NotOffered,
    UnknownIssuer,
    WrongName,
    Expired,
    /// The URL is refused before anything is sent.
    Refused,
}
use Outcome::{Encrypted, Expired, NotOffered, Plain, Refused, UnknownIssuer, WrongName};

fn outcome(server: &Server, host: &str, client: &str, query: &str, roots: &Roots) -> Outcome {
    let Ok(target) = target(&server.url(host, "scram", query), client, roots) else { return Refused };
    match login(&target, "weir") {
        Ok(mut session) => {
            let encrypted = session.is_encrypted();
            let seen = session.value("SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
            assert_eq!(seen, encrypted.to_string());
            session.end();
            if encrypted { Encrypted } else { Plain }
        }
        Err(Failure::Tls(TlsError::NotOffered)) => NotOffered,
        Err(Failure::Tls(TlsError::UnknownIssuer)) => UnknownIssuer,
        Err(Failure::Tls(TlsError::WrongName)) => WrongName,
        Err(Failure::Tls(TlsError::Expired)) => Expired,
        Err(other) => panic!("{query}: {other:?}"),
    }
}

/// Per query: without TLS; with TLS and everything in order; of an authority that nobody knows; for another name; expired.
const TABLE: &[(&str, &str, [Outcome; 5])] = &[
    ("none", "", [Plain, Encrypted, Encrypted, Encrypted, Encrypted]),
    ("libpq", "?sslmode=disable", [Plain, Plain, Plain, Plain, Plain]),
    ("libpq", "?sslmode=allow", [Plain, Encrypted, Encrypted, Encrypted, Encrypted]),
    ("libpq", "?sslmode=prefer", [Plain, Encrypted, Encrypted, Encrypted, Encrypted]),
    ("libpq", "?sslmode=require", [NotOffered, Encrypted, Encrypted, Encrypted, Encrypted]),
    (
        "libpq",
        "?sslmode=require&ssl_max_protocol_version=TLSv1.2",
        [NotOffered, Encrypted, Encrypted, Encrypted, Encrypted],
    ),
    ("libpq", "?sslmode=verify-ca", [NotOffered, Encrypted, UnknownIssuer, Encrypted, Expired]),
    ("libpq", "?sslmode=verify-full", [NotOffered, Encrypted, UnknownIssuer, WrongName, Expired]),
    ("libpq", "?sslmode=verify-full&sslsni=0", [NotOffered, Encrypted, UnknownIssuer, WrongName, Expired]),
    ("libpq", "?sslrootcert=system", [NotOffered, Encrypted, UnknownIssuer, WrongName, Expired]),
    ("libpq", "?sslmode=verify-full&sslrootcert=/ca.crt", [Refused; 5]),
    ("libpq", "?sslmode=require&channel_binding=require", [Refused; 5]),
    ("libpq", "?sslmode=nonsense", [Refused; 5]),
    ("node-postgres", "", [Plain, Plain, Plain, Plain, Plain]),
    ("node-postgres", "?sslmode=disable", [Plain, Plain, Plain, Plain, Plain]),
    ("node-postgres", "?ssl=true", [NotOffered, Encrypted, UnknownIssuer, WrongName, Expired]),
    ("node-postgres", "?sslmode=prefer", [NotOffered, Encrypted, UnknownIssuer, WrongName, Expired]),
    ("node-postgres", "?sslmode=require", [NotOffered, Encrypted, UnknownIssuer, WrongName, Expired]),
    ("node-postgres", "?sslmode=verify-ca", [NotOffered, Encrypted, UnknownIssuer, WrongName, Expired]),
    ("node-postgres", "?sslmode=verify-full", [NotOffered, Encrypted, UnknownIssuer, WrongName, Expired]),
    ("node-postgres", "?sslmode=no-verify", [NotOffered, Encrypted, Encrypted, Encrypted, Encrypted]),
    ("node-postgres", "?sslmode=require&uselibpqcompat=true", [NotOffered, Encrypted, Encrypted, Encrypted, Encrypted]),
    ("prisma", "", [Plain, Encrypted, Encrypted, Encrypted, Encrypted]),
    ("prisma", "?sslmode=disable", [Plain, Plain, Plain, Plain, Plain]),
    ("prisma", "?sslmode=prefer", [Plain, Encrypted, Encrypted, Encrypted, Encrypted]),
    ("prisma", "?sslmode=require", [NotOffered, Encrypted, Encrypted, Encrypted, Encrypted]),
    ("prisma", "?sslmode=require&sslaccept=strict", [NotOffered, Encrypted, UnknownIssuer, WrongName, Expired]),
];

#[test]
fn verifies_as_much_as_the_clients_own_library() {
    let (plain, encrypted, expired) = (PLAIN.get(), ENCRYPTED.get(), EXPIRED.get());
    let (known, none) = (encrypted.roots(), Roots::none());
    for (client, query, expected) in TABLE {
        let actual = [
            outcome(&plain, "localhost", client, query, &known),
            outcome(&encrypted, "localhost", client, query, &known),
            outcome(&encrypted, "localhost", client, query, &none),
            outcome(&encrypted, "127.0.0.1", client, query, &known),
            outcome(&expired, "localhost", client, query, &expired.roots()),
        ];
        assert_eq!(actual, *expected, "{client} {query:?}");
    }
}

#[test]
fn reads_the_authorities_of_this_machine() {
    match Roots::system() {
        Ok(roots) => assert!(!roots.is_empty()),
        Err(error) => assert!(error.to_string().contains("ca-certificates.crt"), "{error}"),
    }
}
