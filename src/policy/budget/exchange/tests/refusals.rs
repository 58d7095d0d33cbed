//! Every reason for a refusal, by the least that brings it about.

use super::super::keys::{DOMAIN, TRAILER};
use super::*;
use Refusal::{
    BadSignature, Forged, LowerEpoch, Malformed, OldSequence, OtherBoot, OtherEpoch, OtherPod, OtherPool,
    OtherStatement, Oversized, StaleNonce, UnknownKey, UnsupportedVersion,
};

/// In front of the trailer.
fn unsigned(message: &Sent) -> Vec<u8> {
    message.bytes[..message.bytes.len() - TRAILER].to_vec()
}

/// Signed with one key, naming any.
fn forge(seed: u8, plain: &[u8], names: KeyId, domain: &[u8]) -> Vec<u8> {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let signed = [plain, &names.0].concat();
    let signature = pair.sign(&[domain, &signed].concat());
    [&signed, signature.as_ref()].concat()
}

/// A boot that has taken sequence 5 of epoch 3, at a time when its nonce has just become stale.
fn at_five() -> (Boot, Nonce) {
    let mut boot = boot();
    let nonce = boot.hello(ms(0), [1; 16], &keys()).nonce;
    let message = Statement { nonce: Some(nonce), sequence: sequence(5), ..discovery() }.sign(&key(1).0);
    let _ = take(&mut boot, ms(0), &message.bytes, &keys()).unwrap();
    (boot, nonce)
}

#[test]
fn a_boot_says_why_it_refuses() {
    let (boot, nonce) = at_five();
    let signer = key(1).0;
    let good = Statement { sequence: sequence(6), ..statement() };
    let plain = unsigned(&good.sign(&signer));
    let bytes = |statement: Statement| statement.sign(&signer).bytes;
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut plain = plain.clone();
        change(&mut plain);
        signer.sign(plain)
    };
    let raw = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.sign(&signer).bytes;
        change(&mut bytes);
        bytes
    };
    let other = Document::write(&Settings { pool: "shop/other".to_owned(), ..settings() }).unwrap();
    let other = Order { settings: other, grant: connections(1) };
    let twice = "a field is out of order, there twice, or of another kind of message";
    let table: Vec<(&str, Vec<u8>, Refusal)> = vec![
        ("longer than the cap", vec![0; STATEMENT_MAX + 1], Oversized),
        ("a good one and much more", raw(&|b| b.resize(STATEMENT_MAX + 1, 0)), Oversized),
        ("nothing", vec![], Malformed("header")),
        ("another protocol", b"GET / HTTP/1.1\r\n\r\n".to_vec(), Malformed("header")),
        ("version 0", raw(&|b| b[4] = 0), UnsupportedVersion),
        ("version 2", raw(&|b| b[4] = 2), UnsupportedVersion),
        ("a hello", hello().encode(CHALLENGE, &reply_key()), Malformed("kind")),
        ("an answer", answer(Said::Final).encode(&reply_key()), Malformed("kind")),
        ("no signature", plain[..60].to_vec(), Malformed("signature")),
        ("a key that the pod lacks", good.sign(&key(3).0).bytes, UnknownKey),
        ("a known key's name on another's signature", forge(3, &plain, signer.id(), DOMAIN), BadSignature),
        ("a statement made a discovery", raw(&|b| b[5] = 2), BadSignature),
        ("one byte more", raw(&|b| b.push(0)), UnknownKey),
        ("signed without the domain", forge(1, &plain, signer.id(), b""), BadSignature),
        ("signed by another of the pod's keys than it names", forge(1, &plain, key(2).0.id(), DOMAIN), BadSignature),
        ("no fields", signer.sign(plain[..6].to_vec()), Malformed("pod")),
        ("a field twice", with(&|b| b.extend(field(8, &[0, 0, 0, 1]))), Malformed(twice)),
        ("an answer's field", with(&|b| b.extend(field(11, &[0, 0, 0, 1]))), Malformed(twice)),
        (
            "a discovery with a grant",
            {
                let mut plain = unsigned(&Statement { sequence: sequence(6), ..discovery() }.sign(&signer));
                plain.extend(field(8, &[0, 0, 0, 1]));
                signer.sign(plain)
            },
            Malformed(twice),
        ),
        (
            "a short grant",
            with(&|b| {
                b.truncate(b.len() - 7);
                b.extend(field(8, &[1]));
            }),
            Malformed("grant"),
        ),
        (
            "a huge grant",
            with(&|b| {
                b.truncate(b.len() - 4);
                b.extend([0, 4, 0, 0]);
            }),
            Malformed("grant"),
        ),
        ("no grant", with(&|b| b.truncate(b.len() - 7)), Malformed("grant")),
        ("a field cut short", with(&|b| b.truncate(b.len() - 1)), Malformed("grant")),
        ("a stray byte", with(&|b| b.push(0x80)), Malformed("unknown fields")),
        (
            "an unknown field twice",
            with(&|b| b.extend([field(0x80, b""), field(0x80, b"")].concat())),
            Malformed("unknown fields"),
        ),
        ("too many unknown fields", with(&|b| b.extend(field(0x80, &[0; UNKNOWN_MAX]))), Malformed("unknown fields")),
        ("a field that must be understood", with(&|b| b.extend(field(0x7f, b""))), UnsupportedVersion),
        ("settings of another pool", bytes(Statement { order: Some(other), ..good.clone() }), Malformed("settings")),
        (
            "another pool",
            bytes(Statement { pool: PoolName::new("shop/other").unwrap(), order: None, ..good.clone() }),
            OtherPool,
        ),
        ("another pod", bytes(Statement { pod: PodUid::new("other").unwrap(), ..good.clone() }), OtherPod),
        ("another boot", bytes(Statement { boot: BootId([1; 16]), ..good.clone() }), OtherBoot),
        ("an older leader", bytes(Statement { epoch: epoch(2), sequence: sequence(99), ..good.clone() }), LowerEpoch),
        ("a replay", bytes(Statement { sequence: sequence(5), ..good.clone() }), OldSequence),
        ("an overtaken one", bytes(Statement { sequence: sequence(4), ..good.clone() }), OldSequence),
        ("a new leader without a nonce", bytes(Statement { epoch: epoch(4), ..good.clone() }), StaleNonce),
        (
            "a new leader that slept",
            bytes(Statement { epoch: epoch(4), nonce: Some(nonce), ..good.clone() }),
            StaleNonce,
        ),
        ("a made up nonce", bytes(Statement { nonce: Some(Nonce([9; 16])), ..good.clone() }), StaleNonce),
    ];
    for (what, bytes, reason) in table {
        assert_eq!(boot.accept(ms(2_000), &bytes, &keys()), Err(reason), "{what}");
    }
    assert!(boot.accept(ms(2_000), &bytes(good.clone()), &keys()).is_ok());
    assert_eq!(boot.accept(ms(2_000), &bytes(good), &Keys::default()), Err(UnknownKey));
}

#[test]
fn a_leader_says_why_it_refuses() {
    let (sent, keys) = (statement().sign(&key(1).0), reply_keys());
    let good = Answer { digest: sent.digest, ..answer(Said::Report(report())) };
    assert_eq!(Answer::verify(&sent, &good.encode(&reply_key()), &keys), Ok(good.clone()));
    let earlier = discovery().sign(&key(1).0);
    let late = Answer { digest: earlier.digest, ..good.clone() };
    let table = [
        ("longer than the cap", vec![0; ANSWER_MAX + 1], Oversized),
        ("a page", b"<html>".to_vec(), Malformed("header")),
        ("its own statement", sent.bytes.clone(), Malformed("kind")),
        ("another pod", Answer { pod: PodUid::new("x").unwrap(), ..good.clone() }.encode(&reply_key()), OtherPod),
        ("another boot", Answer { boot: BootId([1; 16]), ..good.clone() }.encode(&reply_key()), OtherBoot),
        ("follows another", Answer { epoch: epoch(4), ..good.clone() }.encode(&reply_key()), OtherEpoch),
        ("late", late.encode(&reply_key()), OtherStatement),
        ("late, the last word", Answer { said: Said::Final, ..late.clone() }.encode(&reply_key()), OtherStatement),
        ("too short for a MAC", b"weir\x01\x05too short".to_vec(), Malformed("MAC")),
        ("more behind the MAC", [good.encode(&reply_key()), vec![0]].concat(), Forged),
        (
            "more in front of it",
            reply_key().seal([unsealed(&good.encode(&reply_key())), vec![0]].concat()),
            Malformed("a field is out of order, there twice, or of another kind of message"),
        ),
    ];
    for (what, bytes, reason) in table {
        assert_eq!(Answer::verify(&sent, &bytes, &keys), Err(reason), "{what}");
    }
    assert_eq!(
        Answer::verify(&earlier, &late.encode(&reply_key()), &keys),
        Ok(late),
        "what is late is known by what it answers"
    );
    let hello = hello().encode(CHALLENGE, &reply_key());
    assert_eq!(Hello::decode(&hello, CHALLENGE, &PodUid::new("x").unwrap(), &keys), Err(OtherPod));
    assert_eq!(Hello::decode(&hello, Challenge([2; 16]), &pod(), &keys), Err(Refusal::OtherChallenge));
    assert_eq!(Hello::decode(&[0; HELLO_MAX + 1], CHALLENGE, &pod(), &keys), Err(Oversized));
}

/// Another tenant's pod that got the address, and holds what was sent there.
#[test]
fn a_stranger_at_a_pods_address_can_say_nothing() {
    let sent = statement().sign(&key(1).0);
    let (tenant, retired) = (PoolName::new("other/orders").unwrap(), ReplyKey::derive(&[6; 32], &pool()));
    let keys = reply_keys();
    let good = Answer { digest: sent.digest, ..answer(Said::Final) };
    let huge = Hello { epoch: Some(epoch(u64::MAX - 1)), ..hello() };
    for key in [ReplyKey::derive(&SECRETS[1], &tenant), retired, ReplyKey::new([0; 32])] {
        assert_eq!(Answer::verify(&sent, &good.encode(&key), &keys), Err(Forged));
        assert_eq!(Hello::decode(&huge.encode(CHALLENGE, &key), CHALLENGE, &pod(), &keys), Err(Forged));
        // No field is read first.
        assert_eq!(Answer::verify(&sent, &key.seal(b"weir\x01\x05".to_vec()), &keys), Err(Forged));
        assert_eq!(Hello::decode(&key.seal(b"weir\x01\x01".to_vec()), CHALLENGE, &pod(), &keys), Err(Forged));
    }
    // What one kind of message proves another doesn't.
    let mut made_final = Answer { said: Said::Report(report()), ..good.clone() }.encode(&reply_key());
    made_final[5] = 5;
    assert_eq!(Answer::verify(&sent, &made_final, &keys), Err(Forged));
    assert_eq!(Answer::verify(&sent, &good.encode(&reply_key()), &ReplyKeys::default()), Err(Forged));
    for secret in &SECRETS {
        let key = ReplyKey::derive(secret, &pool());
        assert_eq!(Answer::verify(&sent, &good.encode(&key), &keys), Ok(good.clone()), "each of the operator's serves");
    }
}

#[test]
fn an_answers_figures_stay_within_their_types() {
    let good = unsealed(&answer(Said::Report(report())).encode(&reply_key()));
    let read = |plain: &[u8]| Answer::decode(&reply_key().seal(plain.to_vec()), &reply_keys());
    let find = |tag, length| good.windows(3).position(|at| at == [tag, 0, length]).unwrap() + 3;
    for (tag, name) in [(8, "grant"), (10, "limit"), (11, "charge"), (12, "open"), (13, "active"), (16, "unconfirmed")]
    {
        let mut huge = good.clone();
        huge[find(tag, 4)..][..4].copy_from_slice(&0x4_0000_u32.to_be_bytes());
        assert_eq!(read(&huge), Err(Malformed(name)));
    }
    let mut wrong = good.clone();
    wrong[find(17, 1)] = 2;
    assert_eq!(read(&wrong), Err(Malformed("incomplete")));
    let at = find(21, 24);
    for (pids, starts) in
        [([99, 99], [5, 5]), ([99, 99], [6, 5]), ([100, 99], [5, 6]), ([0, 99], [5, 5]), ([-1, 99], [5, 5])]
    {
        let mut wrong = good.clone();
        let backends = [0, 1].map(|one| Backend { pid: pids[one], started: starts[one] });
        wrong[at..][..24].copy_from_slice(&super::super::backends::write(&backends));
        assert_eq!(read(&wrong), Err(Malformed("backends")), "{backends:?}");
    }
    let mut twice_one_pid = good.clone();
    let backends = [5, 6].map(|started| Backend { pid: 99, started });
    twice_one_pid[at..][..24].copy_from_slice(&super::super::backends::write(&backends));
    assert!(read(&twice_one_pid).is_ok());
    // Two are listed.
    for (charge, taken) in [(1, false), (2, true)] {
        let mut fewer = good.clone();
        fewer[find(11, 4)..][..4].copy_from_slice(&u32::to_be_bytes(charge));
        assert_eq!(read(&fewer).is_ok(), taken, "{charge} charged");
    }
}
