//! One text for one message: bits, ends, settings and what newer builds add.

use super::*;
use proptest::prelude::*;

#[test]
fn no_bit_of_a_signed_message_may_change() {
    let keys = keys();
    for statement in [discovery(), statement()] {
        let good = statement.sign(&key(1).0).bytes;
        assert!(Verified::open(&good, &keys).is_ok());
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Verified::open(&bytes, &keys).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn no_bit_of_what_a_pod_says_may_change() {
    let (hello, report, last) = (hello(), answer(Said::Report(report())), answer(Said::Final));
    let all = [hello.encode(CHALLENGE, &reply_key()), report.encode(&reply_key()), last.encode(&reply_key())];
    for good in all.into_iter().chain([looked().encode(&reply_key())]) {
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Hello::decode(&bytes, CHALLENGE, &pod(), &reply_keys()).is_err(), "bit {bit}");
            assert!(Answer::decode(&bytes, &reply_keys()).is_err(), "bit {bit}");
            assert!(Looked::decode(&bytes, &reply_keys()).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn no_part_of_a_message_is_a_message() {
    let keys = keys();
    let signed = statement().sign(&key(1).0).bytes;
    let (hello, answer) =
        (hello().encode(CHALLENGE, &reply_key()), answer(Said::Report(report())).encode(&reply_key()));
    assert!((0..signed.len()).all(|end| Verified::open(&signed[..end], &keys).is_err()));
    assert!((0..hello.len()).all(|end| Hello::decode(&hello[..end], CHALLENGE, &pod(), &reply_keys()).is_err()));
    let (look, looked) = (look().sign(&key(1).0).bytes, looked().encode(&reply_key()));
    assert!((0..look.len()).all(|end| VerifiedLook::open(&look[..end], &keys).is_err()));
    assert!((0..looked.len()).all(|end| Looked::decode(&looked[..end], &reply_keys()).is_err()));
    assert!((0..answer.len()).all(|end| Answer::decode(&answer[..end], &reply_keys()).is_err()));
}

#[test]
fn settings_have_one_text() {
    let text = String::from_utf8(Document::write(&settings()).unwrap().as_bytes().to_vec()).unwrap();
    let read = |text: &str| Document::read(text.as_bytes()).is_some();
    assert!(read(&text));
    let add = |field: &str| text.replacen(r#","thresholds""#, &format!(r#",{field},"thresholds""#), 1);
    // A newer build's, wherever they stand.
    assert!(read(&add(r#""later":{"a":[1,-2,"\u0001",null,true]}"#)));
    assert!(read(&text.replace(r#""min":5"#, r#""min":5,"reserve":1"#)));
    let bad = [
        text.replace(':', ": "),
        format!("{text}\n"),
        format!("{text}{text}"),
        add(r#""generation":8"#),
        add(r#""later":1,"later":2"#),
        add(r#""later":{"a":1,"a":1}"#),
        add(r#""later":1.0"#),
        add(r#""later":1e2"#),
        add(r#""later":-0"#),
        add(r#""later":18446744073709551616"#),
        add(r#""later":"\u0041""#),
        add(r#""later":"\/""#),
        add(&format!(r#""later":{}{}"#, "[".repeat(200), "]".repeat(200))),
        add(&format!(r#""later":"{}""#, "x".repeat(DOCUMENT_MAX))),
        text.replace(r#""generation":7"#, r#""generation":07"#),
        text.replace(r#""min":5"#, r#""min":-5"#),
        text.replace(r#""generation":7,"#, ""),
        "{}".to_owned(),
        "null".to_owned(),
    ];
    for text in bad {
        assert!(!read(&text), "{text}");
    }
}

#[test]
fn a_list_of_backends_has_one_order() {
    let pairs = |list: &Backends| list.as_slice().iter().map(|one| (one.pid, one.started)).collect::<Vec<_>>();
    let backends = [(7, 2), (7, 1), (0, 5), (3, 9), (-1, 5), (7, 2)].map(|(pid, started)| Backend { pid, started });
    // A pid that is used again is two backends.
    assert_eq!(pairs(&Backends::new(backends)), [(3, 9), (7, 1), (7, 2)]);
}

#[test]
fn what_newer_builds_add_is_kept_as_it_is() {
    let extra = [field(0x80, b"later"), field(0xff, b"")].concat();
    let (signer, keys) = (key(1).0, keys());
    let mut plain = statement().sign(&signer).bytes;
    plain.truncate(plain.len() - 72);
    let bytes = signer.sign([plain, extra.clone()].concat());
    let opened = Verified::open(&bytes, &keys).unwrap();
    assert_eq!(opened.statement().unknown.as_bytes(), extra);
    assert_eq!(opened.statement().sign(&signer).bytes, bytes);

    let mut plain = look().sign(&signer).bytes;
    plain.truncate(plain.len() - 72);
    let bytes = signer.sign([plain, extra.clone()].concat());
    let opened = VerifiedLook::open(&bytes, &keys).unwrap();
    assert_eq!((opened.look().unknown.as_bytes(), opened.look().sign(&signer).bytes), (&extra[..], bytes));

    let bytes = reply_key().seal([unsealed(&looked().encode(&reply_key())), extra.clone()].concat());
    let read = Looked::decode(&bytes, &reply_keys()).unwrap();
    assert_eq!((read.unknown.as_bytes(), read.encode(&reply_key())), (&extra[..], bytes));

    let bytes = reply_key().seal([unsealed(&answer(Said::Final).encode(&reply_key())), extra.clone()].concat());
    let read = Answer::decode(&bytes, &reply_keys()).unwrap();
    assert_eq!((read.unknown.as_bytes(), read.encode(&reply_key())), (&extra[..], bytes));

    let bytes = reply_key().seal([unsealed(&hello().encode(CHALLENGE, &reply_key())), extra.clone()].concat());
    let read = Hello::decode(&bytes, CHALLENGE, &pod(), &reply_keys()).unwrap();
    assert_eq!((read.unknown.as_bytes(), read.encode(CHALLENGE, &reply_key())), (&extra[..], bytes));
}

#[test]
fn the_largest_of_each_kind_fits_its_cap() {
    let pod = PodUid::new(&"f".repeat(64)).unwrap();
    let pool = PoolName::new(&format!("{}/{}", "n".repeat(63), "p".repeat(50))).unwrap();
    let named = Settings { pool: pool.as_str().to_owned(), ..settings() };
    let room = DOCUMENT_MAX - Document::write(&named).unwrap().as_bytes().len() - r#","later":"""#.len();
    let later = serde_json::Map::from_iter([("later".to_owned(), "x".repeat(room).into())]);
    let full = Document::write(&Settings { unknown: later, ..named }).unwrap();
    assert_eq!(full.as_bytes().len(), DOCUMENT_MAX);
    let order = Order { settings: full, grant: Connections::MAX };
    let nonce = Some(Nonce([0; 16]));
    let sent =
        Statement { pod: pod.clone(), pool: pool.clone(), nonce, order: Some(order), ..statement() }.sign(&key(1).0);
    assert!(sent.bytes.len() + UNKNOWN_MAX <= STATEMENT_MAX);
    assert!(Verified::open(&sent.bytes, &keys()).is_ok());

    let report = Report { charge: connections(5_000), backends: Backends::new((1..=5_000).map(backend)), ..report() };
    assert_eq!((report.backends.as_slice().len(), report.unlisted()), (BACKENDS_MAX, 3_976));
    let full = Answer { pod: pod.clone(), ..answer(Said::Report(report)) };
    assert!(full.encode(&reply_key()).len() + UNKNOWN_MAX <= ANSWER_MAX);
    assert_eq!(Answer::decode(&full.encode(&reply_key()), &reply_keys()), Ok(full));

    let sighting = Sighting { rows: Rows::new((1..=5_000).map(backend)), ..looked().sighting };
    let full = Looked { pod: pod.clone(), sighting, ..looked() };
    assert!(full.encode(&reply_key()).len() + UNKNOWN_MAX <= LOOKED_MAX);
    assert_eq!(Looked::decode(&full.encode(&reply_key()), &reply_keys()), Ok(full));

    let full = Look { pod: pod.clone(), pool, ..look() }.sign(&key(1).0);
    assert!(full.bytes.len() + UNKNOWN_MAX <= LOOK_MAX);

    let full = Hello { pod, keys: vec![KeyId([0; 8]); KEYS_MAX], ..hello() };
    assert!(full.encode(CHALLENGE, &reply_key()).len() + UNKNOWN_MAX <= HELLO_MAX);
}

proptest! {
    #[test]
    fn statements_come_back(
        boot: [u8; 16], nonce: Option<[u8; 16]>, epoch in 1u64.., sequence in 1u64.., order: Option<(i64, u32)>,
    ) {
        let order = order.map(|(generation, grant)| Order {
            settings: Document::write(&Settings { generation, ..settings() }).unwrap(),
            grant: connections(grant & Connections::MAX.get()),
        });
        let statement = Statement {
            boot: BootId(boot),
            nonce: nonce.map(Nonce),
            epoch: super::epoch(epoch),
            sequence: super::sequence(sequence),
            order,
            ..statement()
        };
        let sent = statement.sign(&key(2).0);
        let opened = Verified::open(&sent.bytes, &keys()).unwrap();
        prop_assert_eq!(opened.statement(), &statement);
        prop_assert_eq!(opened.digest(), sent.digest);
    }

    #[test]
    fn answers_come_back(
        figures: [u32; 5], grant: Option<u32>, waiting: u32, wait: u32, incomplete: bool,
        upstream: Option<(u64, u64, [u8; 8])>, backends in prop::collection::vec(any::<(i32, u64)>(), 0..50),
    ) {
        let figure = |number: u32| connections(number & Connections::MAX.get());
        let [limit, charge, open, active, unconfirmed] = figures.map(figure);
        let backends = Backends::new(backends.into_iter().map(|(pid, started)| Backend { pid, started }));
        let listed = u32::try_from(backends.as_slice().len()).unwrap();
        let report = Report {
            grant: grant.map(figure),
            limit,
            charge: charge.max(connections(listed)),
            open,
            active,
            waiting,
            wait: ms(wait.into()),
            unconfirmed,
            incomplete,
            upstream: upstream.map(|(system, started, role)| Upstream { system, started, role: RoleId(role) }),
            backends,
        };
        prop_assert_eq!(report.unlisted() + listed, report.charge.get());
        let answer = answer(Said::Report(report));
        prop_assert_eq!(Answer::decode(&answer.encode(&reply_key()), &reply_keys()), Ok(answer));
    }

    #[test]
    fn looks_come_back(boot: [u8; 16], epoch in 1u64.., id: u64) {
        let look = Look { boot: BootId(boot), epoch: super::epoch(epoch), id, ..look() };
        let sent = look.sign(&key(2).0);
        let opened = VerifiedLook::open(&sent.bytes, &keys()).unwrap();
        prop_assert_eq!((opened.look(), opened.digest()), (&look, sent.digest));
    }

    #[test]
    fn sightings_come_back(
        timeout: u32, invisible: u32, system: u64, rows in prop::collection::vec(any::<(i32, u64)>(), 0..50),
    ) {
        let sighting = Sighting {
            upstream: Upstream { system, ..upstream() },
            authentication_timeout: ms(timeout.into()),
            invisible,
            rows: Rows::new(rows.into_iter().map(|(pid, started)| Backend { pid, started })),
        };
        let looked = Looked { sighting, ..looked() };
        prop_assert_eq!(Looked::decode(&looked.encode(&reply_key()), &reply_keys()), Ok(looked));
    }

    #[test]
    fn hellos_come_back(epoch: Option<u64>, protocol in 1u8.., keys in prop::collection::vec(any::<[u8; 8]>(), 0..KEYS_MAX)) {
        let keys = keys.into_iter().map(KeyId).collect();
        let hello = Hello { epoch: epoch.and_then(Epoch::new), protocol, keys, ..hello() };
        prop_assert_eq!(Hello::decode(&hello.encode(CHALLENGE, &reply_key()), CHALLENGE, &pod(), &reply_keys()), Ok(hello));
    }
}
