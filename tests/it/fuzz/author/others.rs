//! Ends, and a COPY that goes on.

use super::Kind;
use super::pen::{Fits, Pen, bind};
use crate::say::Say;

pub const KINDS: &[Kind] = &[("nothing", 1, Fits::Anywhere, nothing)];

/// A step may be empty: then it only waits, or sends what was kept.
fn nothing(_: &mut Pen<'_>) {}

/// More data, or the end.
pub fn copy_on(pen: &mut Pen<'_>, may_fail: bool) {
    for n in 0..pen.dice.roll(4) {
        pen.out.push(Say::CopyData(format!("{n},copied on")));
    }
    if pen.one_in(2) {
        let end = if may_fail && pen.one_in(3) { Say::CopyFail("given up".to_owned()) } else { Say::CopyDone };
        pen.out.extend([end, Say::Sync]);
    }
}

/// What a client sends before it is gone without having heard an answer.
pub fn last_words(pen: &mut Pen<'_>) -> Vec<Say> {
    let texts = [
        "SELECT pg_sleep(0.05)",
        "BEGIN",
        "BEGIN; INSERT INTO public.sink VALUES (99, 'never'); SET TimeZone = 'Asia/Tokyo'",
        "SET search_path = two",
        "SELECT pg_advisory_lock(99)",
        "CREATE TEMP TABLE tt AS SELECT 'left' AS x",
        "SELECT repeat('x', 10000) FROM generate_series(1, 500)",
        "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 1000)) TO STDOUT",
        "COPY public.left_to FROM STDIN",
        "SELECT 1 / 0",
    ];
    for _ in 0..pen.dice.roll(3) {
        if pen.one_in(3) {
            let sql = pen.dice.pick(&["SELECT 'left'", "SELECT 1 / 0", "SELECT $1", "SET work_mem = '9MB'"]);
            let name = pen.dice.pick(&["", "s1"]);
            pen.parse(name, sql, 0, &[]);
            pen.out.push(bind("", name, Vec::new()));
            pen.out.push(Say::Execute { portal: String::new(), rows: 0 });
            pen.end();
        } else {
            pen.query_of(&texts);
        }
    }
    std::mem::take(&mut pen.out)
}
