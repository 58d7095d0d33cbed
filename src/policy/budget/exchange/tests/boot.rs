//! What a boot says and takes, step by step.

use super::*;

#[test]
fn a_discovery_opens_an_epoch_and_statements_follow_without_nonces() {
    let (mut boot, keys, (signer, _)) = (boot(), keys(), key(2));
    let hello = boot.hello(ms(100), [7; 16], &keys);
    assert_eq!((hello.epoch, hello.nonce), (None, Nonce([7; 16])));
    assert!(hello.keys.contains(&signer.id()));

    let sent = Statement { nonce: Some(hello.nonce), ..discovery() }.sign(&signer);
    let taken = take(&mut boot, ms(2_099), &sent.bytes, &keys).unwrap();
    assert_eq!((taken.fence(), taken.order(), taken.digest()), (discovery().fence(), None, sent.digest));

    // Long after.
    let sent = statement().sign(&signer);
    let taken = take(&mut boot, ms(9_000_000), &sent.bytes, &keys).unwrap();
    assert_eq!(taken.order(), statement().order.as_ref());
    assert_eq!(taken.order().unwrap().settings.settings(), settings());
    assert_eq!(boot.hello(ms(9_000_000), [8; 16], &keys).epoch, Some(epoch(3)));

    let answer = boot.answer(&taken, report());
    assert_eq!(Answer::verify(&sent, &answer.encode(&reply_key()), &reply_keys()), Ok(answer));
}

#[test]
fn a_nonce_is_shared_for_a_second_and_good_for_two() {
    let (mut boot, keys) = (boot(), keys());
    let mut nonce = |now, byte| boot.hello(ms(now), [byte; 16], &keys).nonce.0[0];
    // However many ask.
    assert_eq!([nonce(0, 1), nonce(1, 2), nonce(999, 3), nonce(1_000, 4), nonce(1_999, 5)], [1, 1, 1, 4, 4]);
    let take = |now, byte| {
        let message = Statement { nonce: Some(Nonce([byte; 16])), ..discovery() }.sign(&key(1).0);
        boot.accept(ms(now), &message.bytes, &keys).map(|accepted| accepted.fence())
    };
    let (taken, stale) = (Ok(discovery().fence()), Err(Refusal::StaleNonce));
    assert_eq!(
        [take(1_999, 1), take(2_000, 1), take(1_999, 4), take(2_999, 4), take(3_000, 4)],
        [taken, stale, taken, taken, stale]
    );
    // Of another time than the clock's, or of nobody.
    assert_eq!([take(999, 4), take(1_999, 2)], [stale, stale]);
}

#[test]
fn a_nonce_that_is_there_is_checked_in_any_message() {
    let (mut boot, keys, (signer, _)) = (boot(), keys(), key(1));
    let nonce = boot.hello(ms(0), [1; 16], &keys).nonce;
    let message = |number, nonce| Statement { sequence: sequence(number), nonce, ..discovery() }.sign(&signer).bytes;
    let mut take = |now, number, nonce| {
        take(&mut boot, ms(now), &message(number, nonce), &keys).map(|taken| taken.fence().sequence)
    };
    assert_eq!(take(0, 1, Some(nonce)), Ok(sequence(1)));
    assert_eq!(take(1, 2, Some(nonce)), Ok(sequence(2)));
    assert_eq!(take(2_000, 3, Some(nonce)), Err(Refusal::StaleNonce));
    assert_eq!(take(2_000, 3, None), Ok(sequence(3)));
}

#[test]
fn a_later_boot_of_the_pod_keeps_the_fence_and_asks_for_a_nonce() {
    let keys = keys();
    let fence = Fence { epoch: epoch(3), sequence: sequence(9) };
    let mut next = Boot::new(pool(), pod(), BootId([0xb1; 16]), Some(fence));
    let nonce = next.hello(ms(0), [1; 16], &keys).nonce;
    let mut take = |epoch_number, number, nonce| {
        let statement = Statement { epoch: epoch(epoch_number), sequence: sequence(number), nonce, ..discovery() };
        let message = Statement { boot: BootId([0xb1; 16]), ..statement }.sign(&key(1).0);
        super::take(&mut next, ms(1), &message.bytes, &keys).map(|taken| taken.fence().sequence)
    };
    assert_eq!(take(2, 100, Some(nonce)), Err(Refusal::LowerEpoch));
    assert_eq!(take(3, 9, Some(nonce)), Err(Refusal::OldSequence));
    assert_eq!(take(3, 10, None), Err(Refusal::StaleNonce));
    assert_eq!(take(3, 10, Some(nonce)), Ok(sequence(10)));
    // Another leader counts from 1.
    assert_eq!(take(4, 1, None), Err(Refusal::StaleNonce));
    assert_eq!(take(4, 1, Some(nonce)), Ok(sequence(1)));
}

#[test]
fn an_answer_tells_a_leader_that_it_is_not_followed_any_more() {
    let (mut boot, keys, (signer, _)) = (boot(), keys(), key(1));
    let nonce = boot.hello(ms(0), [1; 16], &keys).nonce;
    let old = Statement { nonce: Some(nonce), ..discovery() }.sign(&signer);
    let polled = take(&mut boot, ms(0), &old.bytes, &keys).unwrap();
    let new = Statement { nonce: Some(nonce), epoch: epoch(4), ..discovery() }.sign(&signer);
    let _ = take(&mut boot, ms(0), &new.bytes, &keys).unwrap();
    assert_eq!(
        Answer::verify(&old, &boot.answer(&polled, report()).encode(&reply_key()), &reply_keys()),
        Err(Refusal::OtherEpoch)
    );
}

#[test]
fn a_key_that_was_replaced_meanwhile_serves_the_pods_that_have_no_other() {
    let (old, new) = (Keys::new([key(1).1]), Keys::new([key(1).1, key(2).1]));
    let own = [key(1).0, key(2).0];
    for (keys, newest) in [(&old, 0), (&new, 1)] {
        let mut boot = boot();
        let hello = boot.hello(ms(0), [1; 16], keys);
        let chosen = SigningKey::for_boot(&own, &hello).unwrap();
        assert_eq!(chosen.id(), own[newest].id());
        let message = |signer: &SigningKey| Statement { nonce: Some(hello.nonce), ..discovery() }.sign(signer).bytes;
        assert!(boot.accept(ms(0), &message(chosen), keys).is_ok());
        assert_eq!(boot.accept(ms(0), &message(&key(3).0), keys), Err(Refusal::UnknownKey));
        assert_eq!(boot.accept(ms(0), &message(&own[1]), keys).is_ok(), newest == 1);
    }
    assert!(SigningKey::for_boot(&[key(3).0], &hello()).is_none());
}

#[test]
fn a_hello_names_the_newest_of_many_keys() {
    let many: Vec<_> = (0..=u8::MAX).map(|byte| [byte; 32]).collect();
    let hello = boot().hello(ms(0), [1; 16], &Keys::new(many));
    assert_eq!((hello.keys.len(), hello.keys.last()), (KEYS_MAX, Some(&KeyId::of(&[u8::MAX; 32]))));
    assert_eq!(Hello::decode(&hello.encode(CHALLENGE, &reply_key()), CHALLENGE, &pod(), &reply_keys()), Ok(hello));
}
