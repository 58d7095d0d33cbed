//! Bytes of anyone. Nothing panics, what is taken is written again as it was, and what is kept is never more than what was sent.

use proptest::prelude::*;

use super::*;

/// Fields of any tag, most of them known, in any order and of any length.
fn fields() -> impl Strategy<Value = Vec<u8>> {
    let tag = prop_oneof![8 => 0u8..30, 1 => any::<u8>()];
    let value = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        prop::sample::select(vec![1, 4, 8, 12, 16, 24, 32]).prop_flat_map(|n| prop::collection::vec(any::<u8>(), n)),
    ];
    prop::collection::vec((tag, value), 0..12)
        .prop_map(|fields| fields.iter().flat_map(|(tag, value)| field(*tag, value)).collect())
}

/// A message of ours with bytes put in the place of others.
fn edited(message: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), 0..4usize, prop::collection::vec(any::<u8>(), 0..4));
    prop::collection::vec(edit, 0..4).prop_map(move |edits| {
        let mut bytes = message.clone();
        for (at, out, put) in edits {
            let at = at.index(bytes.len() + 1);
            let end = (at + out).min(bytes.len());
            bytes.splice(at..end, put);
        }
        bytes
    })
}

fn anything(kind: u8, good: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        fields().prop_map(move |fields| [&b"weir\x01"[..], &[kind], &fields].concat()),
        edited(good),
    ]
}

/// What a newer or a faulty pod of the pool may say.
fn sealed(kind: u8, good: &[u8]) -> impl Strategy<Value = Vec<u8>> {
    anything(kind, unsealed(good)).prop_map(|plain| reply_key().seal(plain))
}

fn kept(unknown: &Unknown, order: Option<&Order>) -> usize {
    unknown.as_bytes().len() + order.map_or(0, |order| order.settings.as_bytes().len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn as_a_hello(bytes in sealed(1, &hello().encode(CHALLENGE, &reply_key()))) {
        if let Ok(read) = Hello::decode(&bytes, CHALLENGE, &pod(), &reply_keys()) {
            prop_assert!(kept(&read.unknown, None) <= bytes.len());
            prop_assert_eq!(read.encode(CHALLENGE, &reply_key()), bytes);
        }
    }

    #[test]
    fn as_an_answer(bytes in sealed(4, &answer(Said::Report(report())).encode(&reply_key()))) {
        if let Ok(read) = Answer::decode(&bytes, &reply_keys()) {
            prop_assert!(kept(&read.unknown, None) <= bytes.len());
            prop_assert_eq!(read.encode(&reply_key()), bytes);
        }
    }

    #[test]
    fn as_a_last_word(bytes in sealed(5, &answer(Said::Final).encode(&reply_key()))) {
        if let Ok(read) = Answer::decode(&bytes, &reply_keys()) {
            prop_assert_eq!(read.encode(&reply_key()), bytes);
        }
    }

    #[test]
    fn as_what_a_pod_says(bytes in anything(1, hello().encode(CHALLENGE, &reply_key())).prop_union(anything(4, answer(Said::Report(report())).encode(&reply_key())))) {
        // None but those that were sealed.
        if Hello::decode(&bytes, CHALLENGE, &pod(), &reply_keys()).is_ok() {
            prop_assert_eq!(bytes, hello().encode(CHALLENGE, &reply_key()));
        } else if Answer::decode(&bytes, &reply_keys()).is_ok() {
            prop_assert_eq!(bytes, answer(Said::Report(report())).encode(&reply_key()));
        }
    }

    #[test]
    fn as_what_was_seen(bytes in sealed(7, &looked().encode(&reply_key()))) {
        if let Ok(read) = Looked::decode(&bytes, &reply_keys()) {
            prop_assert_eq!(read.encode(&reply_key()), bytes);
        }
    }

    #[test]
    fn as_a_look(bytes in anything(6, look().sign(&key(1).0).bytes)) {
        if VerifiedLook::open(&bytes, &keys()).is_ok() {
            prop_assert_eq!(bytes, look().sign(&key(1).0).bytes);
        }
    }

    #[test]
    fn as_a_look_of_a_key_holder(plain in anything(6, unsigned(look().sign(&key(1).0)))) {
        let signer = key(1).0;
        let bytes = signer.sign(plain);
        if let Ok(read) = VerifiedLook::open(&bytes, &keys()) {
            prop_assert_eq!(read.look().sign(&signer).bytes, bytes);
        }
    }

    #[test]
    fn as_a_statement(bytes in anything(3, statement().sign(&key(1).0).bytes)) {
        // None but the one that was signed.
        if Verified::open(&bytes, &keys()).is_ok() {
            prop_assert_eq!(bytes, statement().sign(&key(1).0).bytes);
        }
    }

    /// What a newer or a faulty operator may send: the signature is good.
    #[test]
    fn as_a_statement_of_a_key_holder(plain in anything(3, unsigned(statement().sign(&key(1).0))).prop_union(anything(2, unsigned(discovery().sign(&key(1).0))))) {
        let signer = key(1).0;
        let bytes = signer.sign(plain);
        if let Ok(read) = Verified::open(&bytes, &keys()) {
            let statement = read.statement();
            prop_assert!(kept(&statement.unknown, statement.order.as_ref()) <= bytes.len());
            prop_assert_eq!(statement.sign(&signer).bytes, bytes);
        }
    }

    #[test]
    fn as_settings(bytes in edited(Document::write(&settings()).unwrap().as_bytes().to_vec())) {
        if let Some(read) = Document::read(&bytes) {
            prop_assert_eq!(read.as_bytes(), &bytes[..]);
            let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            prop_assert_eq!(serde_json::to_vec(&value).unwrap(), bytes);
        }
    }
}

fn unsigned(sent: Sent) -> Vec<u8> {
    let mut bytes = sent.bytes;
    bytes.truncate(bytes.len() - 72);
    bytes
}
