use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use ring::{digest, hmac, pbkdf2};

use super::*;
use crate::policy::dialect;
use crate::sidecar::tls::Roots;

const PASSWORD: &[u8] = b"pencil";

fn target(url: &str) -> Target {
    Target::parse(url.as_bytes(), dialect::none(), None, &Roots::none()).unwrap()
}

fn login() -> Login {
    Login::new(&target("postgres://app:pencil@db/shop"), "weir/0/1", Version::V3_2)
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[kind], &length[..], body].concat()
}

fn request(code: u32, rest: &[u8]) -> Vec<u8> {
    message(b'R', &[&code.to_be_bytes(), rest].concat())
}

/// What follows AuthenticationOk.
fn welcome() -> Vec<u8> {
    [
        message(b'S', b"server_version\x0015.18\0"),
        message(b'N', b"SNOTICE\0C00000\0Mhello\0\0"),
        message(b'S', b"TimeZone\0UTC\0"),
        message(b'S', b"server_version\x0018.1\0"),
        message(b'K', &[0, 0, 1, 0, 9, 8, 7, 6]),
        message(b'Z', b"I"),
    ]
    .concat()
}

/// The whole exchange, with what must have been answered by then.
fn finishes(mut login: Login, input: &[u8], expected: &[u8]) -> LoggedIn {
    let mut out = Vec::new();
    let (taken, logged_in) = login.feed(input, &mut out).unwrap();
    assert_eq!(taken, input.len());
    assert_eq!(out, expected);
    logged_in.expect("ReadyForQuery was sent")
}

fn error(mut login: Login, input: &[u8]) -> LoginError {
    login.feed(input, &mut Vec::new()).expect_err("refused")
}

#[test]
fn says_who_it_is() {
    let target = target("postgres://app@db/shop?options=-c%20geqo%3Doff&application_name=mine&client_encoding=UTF8");
    let mut out = Vec::new();
    Login::new(&target, "weir/0/1", Version::V3_0).start(&mut out);
    let body = b"\0\x03\0\0user\0app\0database\0shop\0application_name\0weir/0/1\0options\0-c geqo=off\0\
        client_encoding\0UTF8\0\0";
    assert_eq!(out, [&u32::try_from(body.len() + 4).unwrap().to_be_bytes(), &body[..]].concat());
    assert_eq!(target.application_name.as_deref(), Some(&b"mine"[..]));
}

#[test]
fn trust_needs_no_answer() {
    let logged_in = finishes(login(), &[request(0, b""), welcome()].concat(), b"");
    let parameters: Vec<_> = logged_in
        .parameters
        .iter()
        .map(|(name, value)| (String::from_utf8_lossy(name), String::from_utf8_lossy(value)))
        .collect();
    assert_eq!(parameters, [("server_version".into(), "18.1".into()), ("TimeZone".into(), "UTC".into())]);
    assert_eq!((logged_in.pid, &*logged_in.secret), (256, &[9, 8, 7, 6][..]));
}

#[test]
fn answers_in_clear_or_with_md5() {
    finishes(login(), &[request(3, b""), request(0, b""), welcome()].concat(), &message(b'p', b"pencil\0"));
    // md5(md5("pencil" + "app") + salt), by the manual's formula and another implementation of MD5.
    let expected = message(b'p', b"md54bfca4ca571b8df74c2fc2247888d96f\0");
    finishes(login(), &[request(5, &[1, 2, 3, 4]), request(0, b""), welcome()].concat(), &expected);
}

#[test]
fn leaves_what_follows_to_the_session() {
    let input = [request(0, b""), welcome(), message(b'S', b"a\0b\0")].concat();
    let (taken, logged_in) = login().feed(&input, &mut Vec::new()).unwrap();
    assert!(logged_in.is_some());
    assert_eq!(&input[taken..], message(b'S', b"a\0b\0"));
}

#[test]
fn takes_cancel_keys_of_any_length_and_none() {
    let long = [0xaa; CANCEL_KEY_MAX];
    let key = message(b'K', &[&[0, 0, 0, 5][..], &long].concat());
    let logged_in = finishes(login(), &[request(0, b""), key, message(b'Z', b"I")].concat(), b"");
    assert_eq!((logged_in.pid, &*logged_in.secret), (5, &long[..]));
    let none = finishes(login(), &[request(0, b""), message(b'Z', b"I")].concat(), b"");
    assert_eq!((none.pid, none.secret.len()), (0, 0));
    let longer = [0; CANCEL_KEY_MAX + 5];
    assert_eq!(error(login(), &[request(0, b""), message(b'K', &longer)].concat()), LoginError::Length { kind: b'K' });
}

#[test]
fn takes_an_older_version_than_it_asks_for() {
    let asking = |asked| Login::new(&target("postgres://app:pencil@db/shop"), "weir/0/1", asked);
    let negotiated = |version: u32| message(b'v', &[version.to_be_bytes(), [0; 4]].concat());
    let (old, new) = (Version::V3_0, Version::V3_2);
    for (asked, version) in [(old, 0x3_0000), (old, 0), (new, 0x3_0000), (new, 0), (new, 0x3_0002), (new, 2)] {
        let login = asking(asked);
        finishes(login, &[negotiated(version), request(0, b""), message(b'Z', b"I")].concat(), b"");
    }
    for (asked, version) in
        [(old, 0x3_0002), (old, 2), (new, 0x3_0001), (new, 0x3_0003), (new, 0x2_0000), (new, 0x4_0000)]
    {
        assert_eq!(error(asking(asked), &negotiated(version)), LoginError::Version, "{version:#x}");
    }
    assert_eq!(error(login(), &message(b'v', &[0, 3, 0, 0, 0, 0, 0, 1, b'x', 0])), LoginError::Version);
    assert_eq!(error(login(), &message(b'v', &[0, 3, 0, 0])), LoginError::Version);
}

#[test]
fn knows_whether_its_packet_was_read() {
    let reaction = |input: &[u8]| {
        let mut login = login();
        let _ = login.feed(input, &mut Vec::new());
        login.reaction()
    };
    for unread in
        [&b""[..], &message(b'E', b"C08P01\0Mwhat\0\0"), &message(b'N', b"MM\0\0"), b"HTTP/1.1 400 Bad Request"]
    {
        assert_eq!(reaction(unread), Reaction::None);
    }
    for read in [request(3, b""), request(7, b""), message(b'v', &[0, 3, 0, 0, 0, 0, 0, 0])] {
        assert_eq!(reaction(&[read, message(b'E', b"C08P01\0Mno\0\0")].concat()), Reaction::Some);
    }
}

/// The server's side of SCRAM-SHA-256 (RFC 5802), enough to answer one client.
struct ScramServer {
    client_first: String,
    server_first: String,
    salted: [u8; 32],
}

impl ScramServer {
    fn first(client: &[u8], password: &[u8], iterations: u32) -> Self {
        let text = std::str::from_utf8(client).unwrap();
        let client_first = text.strip_prefix("n,,").expect("no channel binding, and said so").to_owned();
        let nonce = client_first.strip_prefix("n=,r=").unwrap();
        let server_first = format!("r={nonce}SERVER,s={},i={iterations}", STANDARD.encode(b"salt"));
        let mut salted = [0; 32];
        let rounds = std::num::NonZeroU32::new(iterations.clamp(1, 4_096)).unwrap();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, b"salt", password, &mut salted);
        Self { client_first, server_first, salted }
    }

    /// Checks the client's proof and returns the server's.
    fn last(&self, client: &[u8]) -> String {
        let text = std::str::from_utf8(client).unwrap();
        let (without_proof, proof) = text.split_once(",p=").unwrap();
        let authentication = format!("{},{},{without_proof}", self.client_first, self.server_first);
        let sign = |key: &[u8], data: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data);
        let client_key = sign(&self.salted, b"Client Key");
        let stored = digest::digest(&digest::SHA256, client_key.as_ref());
        let signature = sign(stored.as_ref(), authentication.as_bytes());
        let expected: Vec<_> = client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        assert_eq!(STANDARD.decode(proof).unwrap(), expected);
        let server_key = sign(&self.salted, b"Server Key");
        format!("v={}", STANDARD.encode(sign(server_key.as_ref(), authentication.as_bytes())))
    }
}

/// Up to the client's proof.
fn scram(login: &mut Login, mechanisms: &[u8], password: &[u8]) -> (ScramServer, Vec<u8>) {
    let mut out = Vec::new();
    login.feed(&request(10, mechanisms), &mut out).unwrap();
    let initial = out.strip_prefix(b"p").unwrap();
    let body = initial[4..].strip_prefix(b"SCRAM-SHA-256\0").unwrap();
    let server = ScramServer::first(&body[4..], password, 4_096);
    out.clear();
    login.feed(&request(11, server.server_first.as_bytes()), &mut out).unwrap();
    (server, out[5..].to_vec())
}

#[test]
fn scram_proves_both_sides() {
    for mechanisms in [&b"SCRAM-SHA-256\0\0"[..], b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"] {
        let mut login = login();
        let (server, proof) = scram(&mut login, mechanisms, PASSWORD);
        let last = server.last(&proof);
        finishes(login, &[request(12, last.as_bytes()), request(0, b""), welcome()].concat(), b"");
    }
}

#[test]
fn an_impostor_does_not_get_past_scram() {
    let mut login = login();
    let (_, _) = scram(&mut login, b"SCRAM-SHA-256\0\0", PASSWORD);
    assert_eq!(error(login, &request(0, b"")), LoginError::OutOfTurn, "no proof");

    let mut login = self::login();
    scram(&mut login, b"SCRAM-SHA-256\0\0", PASSWORD);
    let wrong = format!("v={}", STANDARD.encode([0; 32]));
    assert!(matches!(error(login, &request(12, wrong.as_bytes())), LoginError::Scram { .. }), "a wrong one");

    let mut login = self::login();
    login.feed(&request(10, b"SCRAM-SHA-256\0\0"), &mut Vec::new()).unwrap();
    assert_eq!(error(login, &request(3, b"")), LoginError::OutOfTurn, "the password in clear instead");
}

#[test]
fn bounds_what_a_server_may_ask_for() {
    let begun = || {
        let mut login = login();
        let mut out = Vec::new();
        login.feed(&request(10, b"SCRAM-SHA-256\0\0"), &mut out).unwrap();
        let nonce = String::from_utf8_lossy(&out).split("r=").nth(1).unwrap().to_owned();
        (login, nonce)
    };
    let (login, nonce) = begun();
    let many = format!("r={nonce}x,s=c2FsdA==,i=4000000000");
    assert!(matches!(error(login, &request(11, many.as_bytes())), LoginError::Scram { .. }));
    let (login, _) = begun();
    assert!(matches!(error(login, &request(11, b"r=other,s=c2FsdA==,i=4096")), LoginError::Scram { .. }));
    let (login, nonce) = begun();
    let long = format!("r={nonce}{},s=c2FsdA==,i=1", "x".repeat(AUTHENTICATION_MAX));
    assert_eq!(error(login, &request(11, long.as_bytes())), LoginError::Length { kind: b'R' });
}

#[test]
fn refuses_what_it_cannot_do() {
    assert_eq!(error(login(), &request(10, b"SCRAM-SHA-256-PLUS\0\0")), LoginError::Mechanism);
    assert_eq!(error(login(), &request(7, b"")), LoginError::Method { method: 7 });
    let without = Login::new(&target("postgres://app@db"), "weir", Version::V3_2);
    assert_eq!(error(without, &request(3, b"")), LoginError::NoPassword);
    // An HTTP server.
    assert_eq!(error(login(), b"HTTP/1.1 400 Bad Request\r\n"), LoginError::Unexpected { kind: b'H' });
    // A header is enough: nobody waits for 4 GiB.
    assert_eq!(error(login(), b"S\xff\xff\xff\xff"), LoginError::Length { kind: b'S' });
    assert_eq!(error(login(), b"R\0\0\0\x03"), LoginError::Length { kind: b'R' });
    assert_eq!(error(login(), &welcome()), LoginError::Unexpected { kind: b'S' }, "before AuthenticationOk");
    assert_eq!(error(login(), &[request(0, b""), request(0, b"")].concat()), LoginError::Unexpected { kind: b'R' });
    let in_transaction = [request(0, b""), message(b'Z', b"T")].concat();
    assert_eq!(error(login(), &in_transaction), LoginError::Malformed { kind: b'Z' });
}

#[test]
fn bounds_the_parameters() {
    let parameter = |number: usize| message(b'S', format!("name{number}\0value\0").as_bytes());
    let mut many = request(0, b"");
    (0..=PARAMETERS_MAX).for_each(|number| many.extend(parameter(number)));
    assert_eq!(error(login(), &many), LoginError::TooManyParameters);
    let mut same = request(0, b"");
    (0..=PARAMETERS_MAX).for_each(|_| same.extend(parameter(0)));
    assert!(login().feed(&same, &mut Vec::new()).is_ok(), "one name, however often");
    let mut large = request(0, b"");
    for number in 0..3 {
        large.extend(message(b'S', format!("name{number}\0{}\0", "x".repeat(29_000)).as_bytes()));
    }
    assert_eq!(error(login(), &large), LoginError::TooManyParameters);
}

#[test]
fn reads_the_servers_error() {
    let body = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed\0Dwhy\0Htry\0Fauth.c\0L1\0\0";
    let LoginError::Refused(refused) = error(login(), &message(b'E', body)) else { panic!("not the server's") };
    let expected = ServerError {
        severity: "FATAL".to_owned(),
        sqlstate: *b"28P01",
        message: "password authentication failed".to_owned(),
        detail: Some("why".to_owned()),
        hint: Some("try".to_owned()),
    };
    assert_eq!(*refused, expected);
    // Translated severities come in S, errors without SQLSTATE and texts that are no UTF-8 from anywhere.
    let odd = ServerError::parse(b"SFATALE\0VFATAL\0Mr\xe9\0C28\0\0");
    assert_eq!((odd.severity.as_str(), odd.code(), odd.message.as_str()), ("FATAL", "XX000", "r\u{fffd}"));
    let long = ServerError::parse(&[b"M", "ä".repeat(2_000).as_bytes(), b"\0"].concat());
    assert!(long.message.chars().count() <= 1_024);
}

#[test]
fn shows_no_credential() {
    let target = target("postgres://app:hunter2@db/shop");
    assert!(!format!("{target:?} {:?}", Login::new(&target, "weir", Version::V3_2)).contains("hunter2"));
    let logged_in = LoggedIn { parameters: vec![], pid: 1, secret: (*b"key!").into() };
    assert_eq!(format!("{logged_in:?}"), "LoggedIn { pid: 1, .. }");
}

/// Everything that a login says about some input, given in parts that end at `cuts`.
fn outcome(input: &[u8], cuts: &[usize]) -> (usize, Vec<u8>, String) {
    let mut login = login();
    let (mut out, mut from) = (Vec::new(), 0);
    for to in cuts.iter().copied().chain([input.len()]) {
        match login.feed(&input[from..to.max(from)], &mut out) {
            Ok((taken, None)) => from += taken,
            Ok((taken, Some(logged_in))) => {
                return (from + taken, out, format!("{:?} {:?}", logged_in.parameters, logged_in.secret));
            }
            Err(error) => return (0, out, error.to_string()),
        }
    }
    (from, out, String::new())
}

fn messages() -> impl Strategy<Value = Vec<u8>> {
    let kinds = prop::sample::select(b"RSKZENv".to_vec());
    let known = (kinds, prop::collection::vec(any::<u8>(), 0..20)).prop_map(|(kind, body)| message(kind, &body));
    let plausible = prop::sample::select(vec![
        request(0, b""),
        request(3, b""),
        request(5, b"salt"),
        message(b'S', b"a\0b\0"),
        message(b'K', &[0, 0, 0, 1, 2, 3, 4, 5]),
        message(b'K', &[7; 36]),
        message(b'v', &[0, 3, 0, 0, 0, 0, 0, 0]),
        message(b'N', b"MM\0\0"),
        message(b'E', b"C28000\0Mno\0\0"),
        message(b'Z', b"I"),
    ]);
    prop::collection::vec(prop_oneof![1 => known, 6 => plausible], 0..8).prop_map(|messages| messages.concat())
}

proptest! {
    #[test]
    fn any_split_gives_the_same(input in messages(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..9)) {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        cuts.sort_unstable();
        let whole = outcome(&input, &[]);
        prop_assert_eq!(&outcome(&input, &cuts), &whole);
        let every: Vec<_> = (0..input.len()).collect();
        prop_assert_eq!(&outcome(&input, &every), &whole);
    }

    #[test]
    fn no_bytes_panic_or_are_kept(input in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut login = login();
        let mut out = Vec::new();
        if let Ok((taken, _)) = login.feed(&input, &mut out) {
            prop_assert!(taken <= input.len());
            prop_assert!(out.len() <= 400);
        }
        ServerError::parse(&input);
    }
}
