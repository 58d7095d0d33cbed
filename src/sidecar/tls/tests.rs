use std::io::{Read as _, Write as _};
use std::sync::Arc;

use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};

use super::*;

/// An authority, and a server with a certificate of it.
struct Side {
    roots: Roots,
    server: ServerConnection,
}

fn side(name: &str, change: impl Fn(&mut CertificateParams)) -> Side {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = authority.self_signed(&authority_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    change(&mut params);
    let certificate = params.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let path = std::env::temp_dir().join(format!("weir-roots-{}-{:p}", std::process::id(), &raw const config));
    std::fs::write(&path, root.pem()).unwrap();
    let roots = Roots::read(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    assert_eq!(roots.len(), 1);
    Side { roots, server: ServerConnection::new(Arc::new(config)).unwrap() }
}

fn policy(demand: Demand, verification: Verification, roots: &Roots) -> Policy {
    Policy::new(demand, verification, Versions::Any, true, roots)
}

fn answer(demand: Demand, input: &[u8]) -> Result<Transport, TlsError> {
    Negotiation::new(&policy(demand, Verification::None, &Roots::none()), "db").unwrap().answer(input)
}

/// Client and server, through buffers and in parts of `chunk` bytes.
struct Pair {
    client: Transport,
    server: ServerConnection,
    chunk: usize,
}

impl Pair {
    fn new(side: Side, host: &str, verification: Verification, roots: &Roots, chunk: usize) -> Self {
        let policy = policy(Demand::Require, verification, roots);
        let client = Negotiation::new(&policy, host).unwrap().answer(b"S").unwrap();
        Self { client, server: side.server, chunk }
    }

    /// Carries everything that is there, until nobody has anything to say; returns what either side has read.
    fn run(&mut self, mut records: Vec<u8>) -> Result<(Vec<u8>, Vec<u8>), TlsError> {
        let (mut at_client, mut at_server) = (Vec::new(), Vec::new());
        loop {
            self.client.drain(&mut records);
            let mut rest = records.as_slice();
            while !rest.is_empty() {
                self.server.read_tls(&mut rest).unwrap();
                if self.server.process_new_packets().is_err() {
                    break;
                }
                let _ = self.server.reader().read_to_end(&mut at_server);
            }
            records.clear();
            let mut back = Vec::new();
            while self.server.wants_write() {
                self.server.write_tls(&mut back).unwrap();
            }
            if back.is_empty() {
                return Ok((at_client, at_server));
            }
            for chunk in back.chunks(self.chunk) {
                self.client.decrypt(chunk, &mut at_client)?;
            }
        }
    }

    fn handshake(&mut self) -> Result<(), TlsError> {
        self.run(Vec::new())?;
        assert!(!self.client.is_handshaking());
        Ok(())
    }
}

fn verified(verification: Verification, host: &str, change: impl Fn(&mut CertificateParams)) -> Result<(), TlsError> {
    let side = side("db.example", change);
    let roots = side.roots.clone();
    Pair::new(side, host, verification, &roots, usize::MAX).handshake()
}

#[test]
fn asks_only_when_the_policy_does() {
    assert!(Negotiation::new(&Policy::disabled(), "db").is_none());
    let disabled = policy(Demand::Disable, Verification::Full, &Roots::none());
    assert!(Negotiation::new(&disabled, "db").is_none());
    let mut out = Vec::new();
    Negotiation::new(&policy(Demand::Prefer, Verification::None, &Roots::none()), "db").unwrap().start(&mut out);
    assert_eq!(out, SSL_REQUEST);
    assert_eq!(u32::from_be_bytes(out[4..].try_into().unwrap()), 0x04d2_162f);
}

#[test]
fn a_server_without_tls_is_taken_only_under_prefer() {
    assert!(answer(Demand::Prefer, b"N").unwrap().is_plain());
    assert_eq!(answer(Demand::Require, b"N").unwrap_err(), TlsError::NotOffered);
}

#[test]
fn nothing_that_came_before_the_handshake_is_kept() {
    for input in [&b"S\x16\x03\x03"[..], b"SS", b"NE", b"N\0"] {
        assert_eq!(answer(Demand::Prefer, input).unwrap_err(), TlsError::EarlyBytes, "{input:?}");
    }
    assert_eq!(answer(Demand::Prefer, b"E\0\0\0\x0c").unwrap_err(), TlsError::Answer { byte: b'E' });
    assert_eq!(answer(Demand::Prefer, b"").unwrap_err(), TlsError::EndOfStream);
}

#[test]
fn verifies_the_chain_and_the_name_as_asked() {
    let as_made = |_: &mut CertificateParams| {};
    for verification in [Verification::None, Verification::Chain, Verification::Full] {
        assert_eq!(verified(verification, "db.example", as_made), Ok(()), "{verification:?}");
    }
    assert_eq!(verified(Verification::None, "other.example", as_made), Ok(()));
    assert_eq!(verified(Verification::Chain, "other.example", as_made), Ok(()));
    assert_eq!(verified(Verification::Full, "other.example", as_made), Err(TlsError::WrongName));
    assert_eq!(verified(Verification::Full, "192.0.2.1", as_made), Err(TlsError::WrongName));
}

#[test]
fn names_what_is_wrong_with_a_certificate() {
    let expired = |params: &mut CertificateParams| params.not_after = date_time_ymd(2020, 1, 1);
    let early = |params: &mut CertificateParams| params.not_before = date_time_ymd(4000, 1, 1);
    for verification in [Verification::Chain, Verification::Full] {
        assert_eq!(verified(verification, "db.example", expired), Err(TlsError::Expired));
        assert_eq!(verified(verification, "db.example", early), Err(TlsError::NotValidYet));
    }
    assert_eq!(verified(Verification::None, "db.example", expired), Ok(()));
    let stranger = side("db.example", |_| {}).roots;
    for roots in [stranger, Roots::none()] {
        let mut pair = Pair::new(side("db.example", |_| {}), "db.example", Verification::Full, &roots, usize::MAX);
        assert_eq!(pair.handshake(), Err(TlsError::UnknownIssuer));
        let mut alert = Vec::new();
        pair.client.drain(&mut alert);
        assert!(!alert.is_empty(), "the server is told why");
    }
}

#[test]
fn a_host_that_no_certificate_can_name_is_refused() {
    let policy = policy(Demand::Require, Verification::Full, &Roots::none());
    let error = Negotiation::new(&policy, "not a name").unwrap().answer(b"S").unwrap_err();
    assert_eq!(error, TlsError::HostName);
}

#[test]
fn garbage_instead_of_a_handshake_is_an_error() {
    let mut transport = answer(Demand::Require, b"S").unwrap();
    let error = transport.decrypt(b"HTTP/1.1 400 Bad Request\r\n\r\n", &mut Vec::new()).unwrap_err();
    assert!(matches!(error, TlsError::Protocol { .. }), "{error:?}");
}

#[test]
fn close_notify_ends_the_session() {
    let mut pair = Pair::new(side("db", |_| {}), "db", Verification::None, &Roots::none(), 7);
    pair.handshake().unwrap();
    pair.server.writer().write_all(b"last words").unwrap();
    pair.server.send_close_notify();
    assert_eq!(pair.run(Vec::new()).unwrap().0, b"last words");
    let mut later = Vec::new();
    pair.client.decrypt(b"what else", &mut later).unwrap();
    assert_eq!(later, b"");
    let mut records = Vec::new();
    pair.client.close(&mut records);
    assert!(!records.is_empty());
    pair.run(records).unwrap();
}

#[test]
fn a_torn_session_does_not_accept_other_bytes() {
    let mut pair = Pair::new(side("db", |_| {}), "db", Verification::None, &Roots::none(), 100);
    pair.handshake().unwrap();
    let mut plaintext = Vec::new();
    let error = pair
        .client
        .decrypt(&[23, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0], &mut plaintext);
    assert!(matches!(error, Err(TlsError::Protocol { .. })), "{error:?}");
    assert_eq!(plaintext, b"");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn data_passes_whole_both_ways_in_parts_of_any_size(
        chunk in prop_oneof![1..40usize, 1..20_000usize],
        there in prop::collection::vec(any::<u8>(), 0..100_000),
        back in prop::collection::vec(any::<u8>(), 0..50_000),
    ) {
        let mut pair = Pair::new(side("db", |_| {}), "db", Verification::None, &Roots::none(), chunk);
        pair.handshake().unwrap();
        let mut records = Vec::new();
        pair.client.encrypt(&there, &mut records);
        pair.server.writer().write_all(&back).unwrap();
        let (at_client, at_server) = pair.run(records).unwrap();
        prop_assert_eq!(at_server, there);
        prop_assert_eq!(at_client, back);
    }

    #[test]
    fn no_bytes_panic(input in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let mut transport = answer(Demand::Require, b"S").unwrap();
        let mut plaintext = Vec::new();
        let _ = transport.decrypt(&input, &mut plaintext);
        prop_assert_eq!(plaintext, b"");
    }
}
