//! What a boot does while its journal is being written, and at its end.

use super::*;

/// A boot that follows epoch 3.
fn following() -> Boot {
    let mut boot = boot();
    let nonce = boot.hello(ms(0), [1; 16], &keys()).nonce;
    let message = Statement { nonce: Some(nonce), ..discovery() }.sign(&key(1).0);
    let _ = take(&mut boot, ms(0), &message.bytes, &keys()).unwrap();
    boot
}

/// Of sequence `number` with a grant.
fn order(number: u64, grant: u32) -> Statement {
    let order = Order { grant: connections(grant), ..statement().order.unwrap() };
    Statement { sequence: sequence(number), order: Some(order), ..statement() }
}

fn accept(boot: &Boot, statement: &Statement) -> Result<Accepted, Refusal> {
    boot.accept(ms(1), &statement.sign(&key(1).0).bytes, &keys())
}

fn of_nothing() -> Report {
    Report { grant: Some(Connections::NONE), ..Report::default() }
}

#[test]
fn nothing_moves_before_it_is_journalled() {
    let mut boot = boot();
    let nonce = boot.hello(ms(0), [1; 16], &keys()).nonce;
    let before = boot.clone();
    let first = accept(&boot, &Statement { nonce: Some(nonce), ..discovery() }).unwrap();
    assert_eq!(boot, before);
    assert_eq!(boot.hello(ms(1), [2; 16], &keys()).epoch, None, "a hello tells what a later boot knows");
    // The epoch isn't open yet.
    assert_eq!(accept(&boot, &order(2, 5)), Err(Refusal::StaleNonce));
    let taken = boot.journalled(&first).unwrap();
    assert_eq!((boot.fence(), taken.fence()), (Some(first.fence()), first.fence()));
    assert_eq!(boot.hello(ms(1), [2; 16], &keys()).epoch, Some(epoch(3)));
    assert!(accept(&boot, &order(2, 5)).is_ok());
}

#[test]
fn what_was_overtaken_before_it_was_journalled_is_not_taken() {
    let mut boot = following();
    let nonce = boot.hello(ms(0), [1; 16], &keys()).nonce;
    let more = accept(&boot, &order(2, 9)).unwrap();
    let less = accept(&boot, &order(3, 1)).unwrap();
    let other = accept(&boot, &Statement { epoch: epoch(4), nonce: Some(nonce), ..discovery() }).unwrap();
    assert!(boot.journalled(&less).is_ok());
    assert_eq!(boot.journalled(&more), Err(Refusal::OldSequence));
    assert_eq!(boot.journalled(&less), Err(Refusal::OldSequence), "it came twice");
    assert_eq!(boot.fence(), Some(less.fence()));
    assert!(boot.journalled(&other).is_ok());
    let before = boot.clone();
    assert_eq!(boot.journalled(&less), Err(Refusal::LowerEpoch));
    assert_eq!(boot, before);
}

#[test]
fn the_last_word_is_said_once_nothing_is_left_and_nothing_is_ordered_after_it() {
    let mut boot = following();
    let first = accept(&boot, &order(2, 9)).unwrap();
    let first = boot.journalled(&first).unwrap();
    assert_eq!(boot.answer(&first, of_nothing()).said, Said::Report(of_nothing()), "it has not ended");

    let record = boot.last_record();
    assert_eq!((record.fence(), record.grant()), (Some(first.fence()), Connections::NONE));
    assert_eq!(boot.end(&record), Ok(()));
    for not_yet in [
        Report { charge: connections(1), ..of_nothing() },
        Report { unconfirmed: connections(1), ..of_nothing() },
        Report { incomplete: true, ..of_nothing() },
        Report { grant: Some(connections(9)), ..of_nothing() },
        Report { grant: None, ..of_nothing() },
    ] {
        assert_eq!(boot.answer(&first, not_yet.clone()).said, Said::Report(not_yet));
    }
    assert_eq!(boot.answer(&first, of_nothing()).said, Said::Final);

    // It was on its way.
    let second = accept(&boot, &order(3, 9)).unwrap();
    assert_eq!(second.order(), None);
    let second = boot.journalled(&second).unwrap();
    assert_eq!(boot.answer(&second, of_nothing()).said, Said::Final);
    let answer = boot.answer(&first, of_nothing());
    assert_eq!(answer.said, Said::Report(of_nothing()), "to what its leader doesn't wait for any more");
}

#[test]
fn an_end_needs_a_grant_of_0_behind_every_order_in_the_journal() {
    let mut boot = following();
    let old = boot.last_record();
    let order = |boot: &Boot, number| accept(boot, &order(number, 9)).unwrap();
    let taken = order(&boot, 2);
    let taken = boot.journalled(&taken).unwrap();
    assert_eq!(boot.end(&old), Err(Refusal::OldSequence), "the order came between");
    assert_eq!(boot.answer(&taken, of_nothing()).said, Said::Report(of_nothing()));

    // Accepted before the end, written behind it.
    let late = order(&boot, 3);
    assert_eq!(boot.end(&boot.last_record()), Ok(()));
    assert!(boot.has_ended());
    let late = boot.journalled(&late).unwrap();
    assert!(late.order().is_some() && !boot.has_ended());
    assert_eq!(boot.answer(&late, of_nothing()).said, Said::Report(of_nothing()));
    assert_eq!(boot.end(&boot.last_record()), Ok(()));
    assert_eq!(boot.answer(&late, of_nothing()).said, Said::Final);
}

#[test]
fn a_boot_that_never_took_anything_can_end() {
    let mut boot = boot();
    let nonce = boot.hello(ms(0), [1; 16], &keys()).nonce;
    let record = boot.last_record();
    assert_eq!((record.fence(), boot.end(&record)), (None, Ok(())));
    let first = accept(&boot, &Statement { nonce: Some(nonce), ..order(1, 9) }).unwrap();
    assert_eq!(first.order(), None);
    let first = boot.journalled(&first).unwrap();
    assert_eq!(boot.answer(&first, of_nothing()).said, Said::Final);
}
