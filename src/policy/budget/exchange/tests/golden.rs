//! The bytes of each message. A pod is talked to by operators of other versions for its whole life: a change here is a new protocol
//! version, or a mistake.

use super::*;

#[track_caller]
fn same(bytes: &[u8], kept: &str) {
    let hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let lines: Vec<_> = bytes.chunks(32).map(hex).collect();
    assert_eq!(format!("{}\n", lines.join("\n")), kept);
}

#[test]
fn hello_stays() {
    same(&hello().encode(CHALLENGE, &reply_key()), include_str!("../golden/hello.hex"));
}

#[test]
fn discovery_stays() {
    same(&discovery().sign(&key(1).0).bytes, include_str!("../golden/discovery.hex"));
}

#[test]
fn statement_stays() {
    same(&statement().sign(&key(1).0).bytes, include_str!("../golden/statement.hex"));
}

#[test]
fn answer_stays() {
    same(&answer(Said::Report(report())).encode(&reply_key()), include_str!("../golden/answer.hex"));
}

#[test]
fn look_stays() {
    same(&look().sign(&key(1).0).bytes, include_str!("../golden/look.hex"));
}

#[test]
fn looked_stays() {
    same(&looked().encode(&reply_key()), include_str!("../golden/looked.hex"));
}

#[test]
fn final_answer_stays() {
    same(&answer(Said::Final).encode(&reply_key()), include_str!("../golden/final.hex"));
}
