//! The extended protocol: statements and portals, in order and out of order.

use super::Kind;
use super::pen::{Fits, Pen, bind};
use super::texts::{CHANGING, STATEMENTS, UNRULY};
use crate::say::Say;

pub const KINDS: &[Kind] = &[
    ("parse", 12, Fits::Anywhere, parse_named),
    ("bind", 16, Fits::Anywhere, bind_named),
    ("unnamed", 6, Fits::Anywhere, parse_unnamed),
    ("pause", 10, Fits::Anywhere, bind_unnamed),
    ("batch", 6, Fits::Anywhere, batch),
    ("describe", 4, Fits::Anywhere, describe),
    ("close", 4, Fits::Anywhere, close),
    ("portal", 3, Fits::OutsideOfABatch, portal),
    ("portal-on", 2, Fits::Anywhere, portal_on),
    ("unruly", 2, Fits::Anywhere, unruly),
    ("long-names", 1, Fits::Anywhere, long_names),
    ("long", 1, Fits::Anywhere, long),
    ("flush", 2, Fits::Anywhere, flush),
    ("sync", 3, Fits::Anywhere, sync),
    ("ddl", 5, Fits::OutsideOfABatch, ddl),
    ("changing", 5, Fits::Anywhere, changing),
    ("deallocate", 2, Fits::OutsideOfABatch, deallocate),
];

/// Clients have them in common, and some are as a pool may name its own.
const NAMES: [&str; 5] = ["s1", "s2", "s3", "weir_0", "weir_1"];

fn name(pen: &mut Pen<'_>) -> &'static str {
    NAMES[if pen.one_in(10) { 3 + pen.dice.roll(2) } else { pen.dice.roll(3) }]
}

fn statement(pen: &mut Pen<'_>) -> (&'static str, usize, &'static [u32]) {
    let (sql, parameters) = STATEMENTS[pen.dice.roll(STATEMENTS.len())];
    let types: &[&[u32]] = match (sql, parameters) {
        ("SELECT $1", _) => &[&[], &[25], &[23], &[20]],
        ("SELECT $1::text", _) => &[&[], &[25], &[1043]],
        _ => &[&[]],
    };
    (sql, parameters, types[pen.dice.roll(types.len())])
}

fn parse_named(pen: &mut Pen<'_>) {
    let name = name(pen);
    let (sql, parameters, types) = statement(pen);
    // Most clients close it before they take a name again.
    if pen.one_in(2) {
        pen.out.push(Say::Close { kind: 'S', name: name.to_owned() });
    }
    pen.parse(name, sql, parameters, types);
    if pen.one_in(2) {
        pen.out.push(Say::Describe { kind: 'S', name: name.to_owned() });
    }
    pen.end();
}

fn values(pen: &mut Pen<'_>, name: &str) -> Vec<Option<String>> {
    let right = pen.mind.statements.get(name).copied().unwrap_or(0);
    let count = if pen.one_in(15) { pen.dice.roll(3) } else { right };
    let one = |pen: &mut Pen<'_>| match pen.dice.roll(12) {
        0 => None,
        1 => Some("text".to_owned()),
        2 => Some("{v*30000}".to_owned()),
        3 => Some(String::new()),
        n => Some((n % 3).to_string()),
    };
    (0..count).map(|_| one(pen)).collect()
}

pub fn bind_and_execute(pen: &mut Pen<'_>, name: &str) {
    let portal = if pen.one_in(6) { "p" } else { "" };
    let values = values(pen, name);
    let binary = pen.one_in(8);
    pen.out.push(Say::Bind { portal: portal.to_owned(), statement: name.to_owned(), binary, values });
    if pen.one_in(2) {
        pen.out.push(Say::Describe { kind: 'P', name: portal.to_owned() });
    }
    let rows = if pen.one_in(5) { 1 + u32::try_from(pen.dice.roll(3)).unwrap() } else { 0 };
    for _ in 0..=u32::from(rows > 0) {
        pen.out.push(Say::Execute { portal: portal.to_owned(), rows });
    }
    if !portal.is_empty() && pen.one_in(2) {
        pen.out.push(Say::Close { kind: 'P', name: portal.to_owned() });
    }
}

/// Mostly one that exists.
fn bind_named(pen: &mut Pen<'_>) {
    let known: Vec<_> = pen.mind.statements.keys().filter(|name| !name.is_empty()).cloned().collect();
    if known.is_empty() && !pen.one_in(6) {
        return parse_named(pen);
    }
    let one = pen.dice.roll(known.len().max(1));
    let name = known.get(one).filter(|_| !pen.one_in(10)).cloned().unwrap_or_else(|| name(pen).to_owned());
    bind_and_execute(pen, &name);
    pen.end();
}

/// To be bound in a later transaction, if nothing drops it.
fn parse_unnamed(pen: &mut Pen<'_>) {
    let (sql, parameters, types) = statement(pen);
    pen.parse("", sql, parameters, types);
    if pen.one_in(2) {
        pen.out.push(Say::Describe { kind: 'S', name: String::new() });
    }
    pen.end();
}

fn bind_unnamed(pen: &mut Pen<'_>) {
    if !pen.mind.statements.contains_key("") && !pen.one_in(6) {
        return parse_unnamed(pen);
    }
    bind_and_execute(pen, "");
    pen.end();
}

fn batch(pen: &mut Pen<'_>) {
    for _ in 0..=pen.dice.roll(5) {
        match pen.dice.roll(5) {
            0 => parse_named(pen),
            1 => bind_named(pen),
            2 => close(pen),
            _ => {
                let (sql, parameters, types) = statement(pen);
                pen.parse("", sql, parameters, types);
                bind_and_execute(pen, "");
                pen.end();
            }
        }
        // Few Syncs in between.
        if pen.one_in(2) && matches!(pen.out.last(), Some(Say::Sync)) {
            pen.out.pop();
        }
    }
    pen.out.push(Say::Sync);
}

fn describe(pen: &mut Pen<'_>) {
    let name = if pen.one_in(4) { "" } else { name(pen) };
    let kind = if pen.one_in(5) { 'P' } else { 'S' };
    pen.out.push(Say::Describe { kind, name: name.to_owned() });
    pen.end();
}

fn close(pen: &mut Pen<'_>) {
    let name = if pen.one_in(5) { "" } else { name(pen) };
    let kind = if pen.one_in(5) { 'P' } else { 'S' };
    pen.out.push(Say::Close { kind, name: name.to_owned() });
    pen.end();
}

/// More rows of one that is suspended.
fn portal_on(pen: &mut Pen<'_>) {
    pen.out.push(Say::Execute { portal: "p".to_owned(), rows: 2 });
    pen.end();
}

/// Over several steps, where the transaction goes on.
fn portal(pen: &mut Pen<'_>) {
    pen.query_of(&["BEGIN", "SELECT 1"]);
    pen.parse("", "SELECT n FROM generate_series(1, 10) n", 0, &[]);
    pen.out.push(bind("p", "", Vec::new()));
    for _ in 0..=pen.dice.roll(2) {
        pen.out.push(Say::Execute { portal: "p".to_owned(), rows: 3 });
    }
    pen.end();
}

fn unruly(pen: &mut Pen<'_>) {
    if pen.one_in(2) {
        return pen.run(&UNRULY[..6]);
    }
    let (name, sql) = (name(pen), pen.dice.pick(&UNRULY));
    let sql = sql.replace("1000", &pen.mind.own.to_string());
    pen.parse(name, &sql, 0, &[]);
    bind_and_execute(pen, name);
    pen.end();
}

/// PostgreSQL tells statements apart by 63 bytes of their names.
fn long_names(pen: &mut Pen<'_>) {
    let name = pen.dice.pick(&["{n*63}a", "{n*63}b", "{n*63}"]);
    if pen.one_in(2) {
        let sql = pen.dice.pick(&["SELECT 'long'", "SELECT 'longer'"]);
        pen.parse(name, sql, 0, &[]);
    } else {
        bind_and_execute(pen, name);
    }
    pen.end();
}

/// A text that no pool wants to keep.
fn long(pen: &mut Pen<'_>) {
    let name = if pen.one_in(3) { "" } else { name(pen) };
    pen.parse(name, "SELECT 'long' /* {x*70000} */", 0, &[]);
    pen.end();
    bind_and_execute(pen, name);
    pen.end();
}

fn flush(pen: &mut Pen<'_>) {
    pen.out.push(Say::Flush);
}

fn sync(pen: &mut Pen<'_>) {
    for _ in 0..=pen.dice.roll(4) {
        pen.out.push(Say::Sync);
    }
}

pub fn ddl(pen: &mut Pen<'_>) {
    pen.query_of(&[
        "ALTER TABLE public.m ALTER v TYPE bigint USING v::bigint",
        "ALTER TABLE public.m ALTER v TYPE int USING v::int",
        "ALTER TABLE public.m ALTER v TYPE text USING v::text",
        "ALTER TABLE public.m ADD COLUMN IF NOT EXISTS x int DEFAULT 7",
        "ALTER TABLE public.m DROP COLUMN IF EXISTS x",
        "ALTER TABLE public.m RENAME v TO w",
        "ALTER TABLE public.m RENAME w TO v",
    ]);
}

fn changing(pen: &mut Pen<'_>) {
    let name = pen.dice.pick(&["", "m1", "m2"]);
    if !pen.mind.statements.contains_key(name) || pen.one_in(3) {
        let (sql, parameters) = CHANGING[pen.dice.roll(CHANGING.len())];
        pen.parse(name, sql, parameters, &[]);
    } else {
        bind_and_execute(pen, name);
    }
    pen.end();
}

fn deallocate(pen: &mut Pen<'_>) {
    let name = name(pen);
    match pen.dice.roll(3) {
        0 => pen.query("DEALLOCATE ALL"),
        1 => pen.query("DEALLOCATE q"),
        _ => pen.query(format!("DEALLOCATE {name}")),
    }
}
