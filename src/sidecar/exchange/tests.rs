use super::*;
use crate::sidecar::wire::message;
use proptest::collection::vec;
use proptest::prelude::*;

fn put(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    message(&mut out, kind, |out| out.extend_from_slice(body));
    out
}

/// What a stream left behind, and what was passed on of it.
#[derive(Debug, PartialEq)]
struct Outcome {
    exchange: String,
    passed: Vec<u8>,
    stop: Option<Stop>,
    malformed: Option<Malformed>,
    reports: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Feeds a stream in pieces of these sizes, holding what the exchange does not take, as the loop does.
fn feed(exchange: &mut Exchange, stream: &[u8], cuts: &[usize], client: bool) -> Outcome {
    let mut outcome = Outcome { exchange: String::new(), passed: vec![], stop: None, malformed: None, reports: vec![] };
    let (mut held, mut at) = (Vec::new(), 0);
    let mut cuts = cuts.iter().copied().cycle();
    while at < stream.len() && outcome.stop.is_none() && outcome.malformed.is_none() {
        let end = (at + cuts.next().unwrap_or(stream.len()).max(1)).min(stream.len());
        held.extend_from_slice(&stream[at..end]);
        at = end;
        let mut out = Vec::new();
        let to = if client {
            let fed = exchange.from_client(&held, None, &mut out);
            outcome.stop = fed.stop;
            fed.to
        } else {
            let reports = &mut outcome.reports;
            let mut report = |event: Event<'_>| {
                if let Event::Parameter(name, value) = event {
                    reports.push((name.to_vec(), value.to_vec()));
                }
            };
            match exchange.from_server(&held, None, &mut out, &mut report) {
                Ok(fed) => fed.to,
                Err(malformed) => {
                    outcome.malformed = Some(malformed);
                    break;
                }
            }
        };
        outcome.passed.extend(held.drain(..to));
    }
    outcome.exchange = format!("{exchange:?}");
    outcome
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..12),
        vec(any::<u8>(), 0..200),
        Just(b"TimeZone\0UTC\0".to_vec()),
        Just(b"I".to_vec())
    ]
}

fn client_message() -> impl Strategy<Value = Vec<u8>> {
    (proptest::sample::select(b"QQPBDECSSHFdcf".to_vec()), body()).prop_map(|(kind, body)| put(kind, &body))
}

fn server_message() -> impl Strategy<Value = Vec<u8>> {
    let status = proptest::sample::select(b"ITE".to_vec()).prop_map(|status| put(b'Z', &[status]));
    let other = (proptest::sample::select(b"CT123InsDdEGHctNASV".to_vec()), body());
    prop_oneof![1 => status, 3 => other.prop_map(|(kind, body)| put(kind, &body))]
}

proptest! {
    #[test]
    fn the_result_does_not_depend_on_where_the_streams_are_cut(
        asked in vec(client_message(), 0..12), answered in vec(server_message(), 0..12),
        garbage in vec(any::<u8>(), 0..8), cuts in vec(1_usize..60, 1..12),
    ) {
        for garbage in [&garbage[..], &[]] {
            let client = [&asked.concat(), garbage].concat();
            let server = [&answered.concat(), garbage].concat();
            let (mut whole, mut cut) = (Exchange::default(), Exchange::default());
            let expected = feed(&mut whole, &client, &[client.len()], true);
            prop_assert_eq!(&feed(&mut cut, &client, &cuts, true), &expected);
            prop_assert!(client.starts_with(&expected.passed));
            let expected = feed(&mut whole, &server, &[server.len()], false);
            let got = feed(&mut cut, &server, &cuts, false);
            // Of a stream that breaks off, how much was passed on before depends on the reads; what is known of it does not.
            prop_assert_eq!(&got.exchange, &expected.exchange);
            prop_assert_eq!(&got.reports, &expected.reports);
            prop_assert_eq!(got.malformed, expected.malformed);
            if expected.malformed.is_none() {
                prop_assert_eq!(&got.passed, &expected.passed);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_neither_panic_nor_make_it_hold_more_than_a_report(
        client in vec(any::<u8>(), 0..300), server in vec(any::<u8>(), 0..300),
    ) {
        let mut exchange = Exchange::default();
        let fed = exchange.from_client(&client, None, &mut Vec::new());
        prop_assert!(fed.stop.is_some() || client.len() - fed.to < 5);
        if let Ok(Fed { to, .. }) = exchange.from_server(&server, None, &mut Vec::new(), |_| ()) {
            prop_assert!(server.len() - to < 6 || server[to] == b'S');
        }
    }

    /// A well-behaved client and server: after each Sync or Query is answered the connection is free, and never before.
    #[test]
    fn is_free_exactly_when_everything_asked_is_answered(batches in vec(0_usize..6, 1..20)) {
        let mut exchange = Exchange::default();
        for batch in batches {
            let (asked, answered): (&[u8], &[u8]) = match batch {
                0 => (b"Q", b"TDC"),
                1 => (b"PBDES", b"12TDC"),
                2 => (b"PDS", b"1tT"),
                3 => (b"BES", b"2s"),
                4 => (b"CS", b"3"),
                _ => (b"PBEPBES", b"1E"),
            };
            for kind in asked {
                prop_assert_eq!(exchange.from_client(&put(*kind, b"\0"), None, &mut Vec::new()).stop, None);
                prop_assert!(!exchange.free());
            }
            for kind in answered {
                exchange.from_server(&put(*kind, b""), None, &mut Vec::new(), |_| ()).unwrap();
                prop_assert!(!exchange.free());
            }
            exchange.from_server(&put(b'Z', b"I"), None, &mut Vec::new(), |_| ()).unwrap();
            prop_assert!(exchange.free());
        }
    }
}

/// Applies `(from the client, message type)` steps; a ReadyForQuery is written as its status.
fn run(steps: &[(bool, u8)]) -> Exchange {
    let mut exchange = Exchange::default();
    for (client, kind) in steps {
        if *client {
            assert_eq!(exchange.from_client(&put(*kind, b"\0"), None, &mut Vec::new()).stop, None);
        } else {
            let message = if matches!(kind, b'I' | b't' | b'e') {
                put(b'Z', &[kind.to_ascii_uppercase()])
            } else {
                put(*kind, b"")
            };
            exchange.from_server(&message, None, &mut Vec::new(), |_| ()).unwrap();
        }
    }
    exchange
}

const C: bool = true;
const S: bool = false;

#[test]
fn a_batch_without_its_sync_is_open_though_nothing_is_owed() {
    let exchange = run(&[(C, b'P'), (C, b'H'), (S, b'1')]);
    assert!(!exchange.active() && !exchange.free() && !exchange.quiet());
    assert_eq!(exchange.abandon(), Abandoned::Sync);
}

#[test]
fn a_transaction_is_quiet_but_not_free() {
    let exchange = run(&[(C, b'Q'), (S, b'C'), (S, b't')]);
    assert!(exchange.quiet() && !exchange.free());
    assert_eq!((exchange.abandon(), exchange.status()), (Abandoned::Ready, b'T'));
}

#[test]
fn a_query_in_a_batch_that_has_executed_something_is_seen() {
    let mixed = [(C, b'P'), (C, b'B'), (C, b'E'), (C, b'Q'), (S, b'1'), (S, b'2'), (S, b'C'), (S, b'C'), (S, b't')];
    let exchange = run(&[&mixed[..], &[(C, b'S'), (S, b'I')]].concat());
    assert!(exchange.mixed() && exchange.free());
    for fine in [
        &[(C, b'Q'), (C, b'Q')][..],
        &[(C, b'P'), (C, b'B'), (C, b'E'), (C, b'S'), (C, b'Q')],
        &[(C, b'P'), (C, b'D'), (C, b'H'), (C, b'Q')],
        &[(C, b'Q'), (C, b'c'), (C, b'Q')],
    ] {
        assert!(!run(fine).mixed(), "{fine:?}");
    }
}

#[test]
fn the_longest_messages_of_postgresql_pass_and_longer_ones_do_not() {
    let start = |kind: u8, length: u32| [&[kind][..], &length.to_be_bytes()].concat();
    for (length, stop) in [(0x3fff_fffe, None), (0x3fff_ffff, Some(Stop::Malformed(Malformed::Length)))] {
        assert_eq!(Exchange::default().from_client(&start(b'd', length), None, &mut Vec::new()).stop, stop);
    }
    for (length, passed) in [(0x4000_0002, Ok(5)), (0x4000_0003, Err(Malformed::Length))] {
        assert_eq!(
            Exchange::default().from_server(&start(b'D', length), None, &mut Vec::new(), |_| ()).map(|fed| fed.to),
            passed
        );
    }
}

#[test]
fn what_brings_an_abandoned_connection_to_ready_for_query() {
    assert_eq!(run(&[]).abandon(), Abandoned::Ready);
    assert_eq!(run(&[(C, b'Q')]).abandon(), Abandoned::Wait);
    assert_eq!(run(&[(C, b'P'), (C, b'S')]).abandon(), Abandoned::Wait);
    assert_eq!(run(&[(C, b'Q'), (C, b'P')]).abandon(), Abandoned::Sync);
    assert_eq!(run(&[(C, b'P'), (S, b'E')]).abandon(), Abandoned::Sync);
    assert_eq!(run(&[(C, b'Q'), (S, b'G')]).abandon(), Abandoned::Close);
    assert_eq!(run(&[(S, b'1')]).abandon(), Abandoned::Close);
    let mut half = Exchange::default();
    half.from_client(&put(b'Q', b"SELECT 1\0")[..8], None, &mut Vec::new());
    assert_eq!(half.abandon(), Abandoned::Close);
}

#[test]
fn a_client_that_reads_nothing_is_not_read_for_ever() {
    let mut exchange = Exchange::default();
    let syncs = put(b'S', b"").repeat(OWED_MAX);
    assert!(!exchange.full());
    exchange.from_client(&syncs, None, &mut Vec::new());
    assert!(exchange.full());
}

#[test]
fn an_error_is_told_by_its_code_once_though_it_comes_in_pieces() {
    let error = put(b'E', &[&b"SERROR\0VERROR\0C22012\0M"[..], &[b'x'; 100], b"\0\0"].concat());
    for (cut, expected) in [(error.len(), "22012"), (5 + 22, "22012"), (5 + 20, ""), (5, "")] {
        let (mut exchange, mut told) = (run(&[(C, b'Q')]), Vec::new());
        for piece in [&error[..cut], &error[cut..]] {
            let report = |event: Event<'_>| match event {
                Event::Error(code) => told.push(code.to_vec()),
                other => panic!("{other:?}"),
            };
            assert_eq!(exchange.from_server(piece, None, &mut Vec::new(), report).map(|fed| fed.to), Ok(piece.len()));
        }
        assert_eq!(told, [expected.as_bytes()], "after {cut} bytes");
    }
}

#[test]
fn goodbye_and_unknown_messages_end_a_stream_where_they_stand() {
    let query = put(b'Q', b"SELECT 1\0");
    let fed = Exchange::default().from_client(&[&query[..], &put(b'X', b""), &query].concat(), None, &mut Vec::new());
    assert_eq!(fed, Fed { to: query.len(), stop: Some(Stop::Goodbye), ..Fed::default() });
    let fed = Exchange::default().from_client(&[&query[..], &put(b'?', b"")].concat(), None, &mut Vec::new());
    assert_eq!(fed, Fed { to: query.len(), stop: Some(Stop::Malformed(Malformed::Kind(b'?'))), ..Fed::default() });
    let fed = Exchange::default().from_client(b"Q\0\0\0\x03", None, &mut Vec::new());
    assert_eq!(fed, Fed { to: 0, stop: Some(Stop::Malformed(Malformed::Length)), ..Fed::default() });
}

#[test]
fn it_is_known_who_has_to_act_next() {
    let mut exchange = Exchange::default();
    let mut next = |from_client: bool, stream: &[u8]| {
        feed(&mut exchange, stream, &[stream.len()], from_client);
        (exchange.awaits(), exchange.midway())
    };
    let (ready, open) = (put(b'Z', b"I"), put(b'Z', b"T"));
    let begin = put(b'Q', b"BEGIN\0");
    assert_eq!(next(true, &[]), (Awaited::Nobody, false));
    assert_eq!(next(true, &begin[..7]), (Awaited::Client, false), "half of a message");
    assert_eq!(next(true, &begin[7..]), (Awaited::Server(0), false));
    assert_eq!(next(false, &[put(b'C', b"BEGIN\0"), open].concat()), (Awaited::Client, false), "in a transaction");
    assert_eq!(next(true, &put(b'Q', b"COMMIT\0").repeat(2)), (Awaited::Server(1), false));
    assert_eq!(next(false, &[put(b'C', b"COMMIT\0"), ready.clone()].concat()), (Awaited::Server(2), false));
    let row = put(b'D', b"a long row");
    assert_eq!(next(false, &row[..8]), (Awaited::Server(2), true));
    assert_eq!(next(false, &row[8..]), (Awaited::Server(2), false));
    assert_eq!(next(false, &[put(b'C', b"SELECT 1\0"), ready.clone()].concat()), (Awaited::Nobody, false));
    assert_eq!(next(true, &[put(b'P', b"\0\0\0\0"), put(b'H', b"")].concat()), (Awaited::Server(3), false));
    assert_eq!(next(false, &put(b'1', b"")), (Awaited::Client, false), "a batch without its Sync");
    assert_eq!(next(true, &put(b'S', b"")), (Awaited::Server(3), false));
    assert_eq!(next(false, &ready), (Awaited::Nobody, false));
    assert_eq!(next(true, &put(b'Q', b"COPY t FROM STDIN\0")), (Awaited::Server(4), false));
    assert_eq!(next(false, &put(b'G', b"\0\0\0")), (Awaited::Client, false), "copying in");
    assert_eq!(next(true, &put(b'd', b"1\n")), (Awaited::Client, false));
    assert_eq!(next(true, &put(b'c', b"")), (Awaited::Server(4), false));
}
