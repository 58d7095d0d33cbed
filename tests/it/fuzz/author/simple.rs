//! Simple queries, transactions, COPY and the function call.

use super::Kind;
use super::pen::{Fits, Pen, bind};
use crate::say::Say;

pub const KINDS: &[Kind] = &[
    ("simple", 10, Fits::OutsideOfABatch, simple),
    ("errors", 4, Fits::OutsideOfABatch, errors),
    ("large", 1, Fits::OutsideOfABatch, large),
    ("transaction", 12, Fits::OutsideOfABatch, transaction),
    ("whole", 4, Fits::OutsideOfABatch, whole),
    ("savepoint", 3, Fits::OutsideOfABatch, savepoint),
    ("copy-out", 2, Fits::OutsideOfABatch, copy_out),
    ("copy-in", 4, Fits::OutsideOfABatch, copy_in),
    ("copy-halfway", 2, Fits::OutsideOfABatch, copy_halfway),
    ("copy-extended", 3, Fits::Anywhere, copy_extended),
    ("call", 2, Fits::OutsideOfABatch, call),
    ("noise", 2, Fits::OutsideOfABatch, noise),
];

fn simple(pen: &mut Pen<'_>) {
    pen.query_of(&[
        "SELECT 1",
        "SELECT 1, 'two'; SELECT 3",
        "",
        ";",
        "VALUES (1), (2)",
        "SELECT NULL",
        "SELECT * FROM t ORDER BY 1",
        "SELECT b FROM t WHERE a = 1",
        "DO $$ BEGIN RAISE NOTICE 'noticed'; END $$",
        "INSERT INTO public.sink VALUES (1, 'simple')",
        "INSERT INTO public.sink VALUES (2, 'a'); INSERT INTO public.sink VALUES (2, 'b')",
        "SELECT timestamptz '2020-01-01 00:00', date '01/02/2003', NULL = NULL",
        "SHOW TimeZone",
        "SELECT 'a\\\\b'",
        "EXPLAIN (COSTS off) SELECT 1",
    ]);
}

fn errors(pen: &mut Pen<'_>) {
    pen.query_of(&[
        "SELECT 1 / 0",
        "SELEC",
        "SELECT 1; SELECT 1 / 0; SELECT 2",
        "SELECT nothing",
        "INSERT INTO public.sink VALUES (3, 'undone'); SELECT 1 / 0",
        "SET TimeZone = 'Asia/Tokyo'; SELECT 1 / 0",
        "SET TimeZone = 'Nowhere/Else'",
        "SELECT * FROM nowhere.t",
        "DO $$ BEGIN RAISE EXCEPTION 'raised' USING DETAIL = 'detail', HINT = 'hint', ERRCODE = 'AB123'; END $$",
    ]);
}

fn large(pen: &mut Pen<'_>) {
    pen.query_of(&[
        "SELECT repeat('x', 300000)",
        "SELECT n, repeat('y', 1000) FROM generate_series(1, 300) n",
        "SELECT '{x*100000}'",
        "SELECT 1 /* {x*70000} */; SET work_mem = '6MB'",
    ]);
}

fn transaction(pen: &mut Pen<'_>) {
    pen.query_of(&[
        "BEGIN",
        "BEGIN",
        "BEGIN ISOLATION LEVEL SERIALIZABLE",
        "START TRANSACTION READ ONLY",
        "BEGIN; SELECT 1",
        "COMMIT",
        "COMMIT",
        "ROLLBACK",
        "END",
        "ABORT",
        "COMMIT AND CHAIN",
        "SELECT 1; COMMIT; SELECT 2",
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    ]);
}

/// A transaction from its beginning to its end.
fn whole(pen: &mut Pen<'_>) {
    pen.query_of(&["BEGIN", "BEGIN READ ONLY"]);
    for _ in 0..pen.dice.roll(3) {
        match pen.dice.roll(4) {
            0 => errors(pen),
            1 => savepoint(pen),
            _ => simple(pen),
        }
    }
    pen.query_of(&["COMMIT", "ROLLBACK"]);
}

fn savepoint(pen: &mut Pen<'_>) {
    pen.query_of(&["SAVEPOINT sp", "ROLLBACK TO sp", "RELEASE sp", "SAVEPOINT sp; SELECT 1", "SAVEPOINT sp2"]);
}

fn copy_out(pen: &mut Pen<'_>) {
    pen.query_of(&[
        "COPY (SELECT n, repeat('c', 100) FROM generate_series(1, 100) n) TO STDOUT",
        "COPY t TO STDOUT",
        "COPY (SELECT 1 / (3 - n) FROM generate_series(1, 5) n) TO STDOUT",
        "COPY nowhere TO STDOUT",
    ]);
}

const COPY: &str = "COPY public.sink FROM STDIN (FORMAT csv)";

/// Some of them, and the end, may make it fail.
fn rows(pen: &mut Pen<'_>, may_fail: bool) {
    for n in 0..pen.dice.roll(5) {
        let line = if pen.one_in(12) { format!("{n},{{x*20000}}") } else { format!("{n},copied") };
        let line = if may_fail && pen.one_in(12) { "not a number,copied".to_owned() } else { line };
        pen.out.push(Say::CopyData(line));
    }
}

fn copy_end(pen: &mut Pen<'_>, may_fail: bool) {
    let fails = may_fail && pen.one_in(4);
    pen.out.push(if fails { Say::CopyFail("given up".to_owned()) } else { Say::CopyDone });
}

fn copy_in(pen: &mut Pen<'_>) {
    pen.query_of(&[COPY, COPY, COPY, "COPY nowhere FROM STDIN", "COPY public.sink FROM STDIN (FORMAT csv); SELECT 1"]);
    rows(pen, true);
    copy_end(pen, true);
}

/// The rest comes in later steps.
fn copy_halfway(pen: &mut Pen<'_>) {
    pen.query(COPY);
    rows(pen, true);
    pen.done = true;
}

fn copy_extended(pen: &mut Pen<'_>) {
    let copy = pen.dice.pick(&[COPY, COPY, "COPY nowhere FROM STDIN", "COPY t TO STDOUT"]);
    pen.parse("", copy, 0, &[]);
    pen.out.push(bind("", "", Vec::new()));
    pen.out.push(Say::Execute { portal: String::new(), rows: 0 });
    // As libpq does it: Sync with the batch, and again behind the data.
    let early = pen.one_in(2);
    if early {
        pen.out.push(Say::Sync);
    }
    rows(pen, !early);
    copy_end(pen, !early);
    // Nobody binds it again, and then says something else than data.
    pen.out.extend([Say::Sync, Say::Close { kind: 'S', name: String::new() }, Say::Sync]);
}

/// int4pl, or what is none.
fn call(pen: &mut Pen<'_>) {
    let function = if pen.one_in(3) { 0 } else { 177 };
    let values = vec![Some("2".to_owned()), Some(pen.dice.pick(&["3", "x", "40"]).to_owned())];
    pen.out.push(Say::Call { function, values });
}

/// What is ignored outside of COPY.
fn noise(pen: &mut Pen<'_>) {
    let noise = [Say::CopyData("late".to_owned()), Say::CopyDone, Say::CopyFail("late".to_owned()), Say::Sync];
    for _ in 0..=pen.dice.roll(3) {
        pen.out.push(noise[pen.dice.roll(noise.len())].clone());
    }
    pen.out.push(Say::Sync);
}
