//! Several steps that belong together, of two clients.

use std::collections::VecDeque;

use super::extended::{bind_and_execute, ddl};
use super::pen::{Mind, Pen, bind};
use super::texts::CHANGING;
use super::{owed, texts};
use crate::dice::Dice;
use crate::say::Say;
use crate::script::{Act, Sending, Step, Until};

/// What a story is written with. The first client is at rest; the two may be one.
pub struct Plan<'a> {
    pub dice: &'a mut Dice,
    pub minds: &'a mut [Mind],
    pub who: usize,
    pub other: usize,
}

pub const STORIES: [fn(&mut Plan<'_>) -> VecDeque<Step>; 5] = [cancelled, cancelled, columns, path, notified];

impl Plan<'_> {
    /// A step of `client`, awaited.
    fn step(&mut self, client: usize, write: impl FnOnce(&mut Pen<'_>)) -> Step {
        let mut pen = Pen::new(self.dice, &mut self.minds[client], client, false);
        write(&mut pen);
        owed(client, pen.out)
    }
}

/// Runs until a cancel request comes, or 4 s.
const LONG: &str = "DO $$ BEGIN RAISE NOTICE 'runs'; PERFORM pg_catalog.pg_sleep(4); END $$";

/// Runs for a while, in which a cancel request of another client must not end it.
const SHORT: &str = "DO $$ BEGIN RAISE NOTICE 'runs'; PERFORM pg_catalog.pg_sleep(0.05); END $$";

/// A query that runs, a cancel request meanwhile, and what came of it.
fn cancelled(plan: &mut Plan<'_>) -> VecDeque<Step> {
    let Plan { who, other, .. } = *plan;
    let whom = if plan.dice.roll(2) == 0 { who } else { other };
    let sql = if whom == who { LONG } else { SHORT }.to_owned();
    let messages = match plan.dice.roll(3) {
        0 => vec![
            Say::Parse { name: String::new(), types: Vec::new(), sql },
            bind("", "", Vec::new()),
            Say::Execute { portal: String::new(), rows: 0 },
            Say::Sync,
            // Nobody binds it again.
            Say::Close { kind: 'S', name: String::new() },
            Say::Sync,
        ],
        1 => vec![Say::Query(sql), Say::Query("SELECT 'behind it'".to_owned())],
        _ => vec![Say::Query(sql)],
    };
    VecDeque::from([
        Step { client: who, act: Act::Send(Sending { messages, ..Sending::default() }, Until::Notice) },
        Step { client: other, act: Act::Cancel(whom) },
        owed(who, Vec::new()),
    ])
}

/// Another changes a table between a client's Parse and its Bind.
fn columns(plan: &mut Plan<'_>) -> VecDeque<Step> {
    let Plan { who, other, .. } = *plan;
    let (sql, parameters) = CHANGING[plan.dice.roll(CHANGING.len())];
    let name = plan.dice.pick(&["m1", "m2", ""]);
    let parse = plan.step(who, |pen| {
        pen.out.push(Say::Close { kind: 'S', name: name.to_owned() });
        pen.parse(name, sql, parameters, &[]);
        pen.out.extend([Say::Describe { kind: 'S', name: name.to_owned() }, Say::Sync]);
    });
    // Its own simple query would drop the unnamed one.
    let change = plan.step(other, ddl);
    let use_it = |pen: &mut Pen<'_>| {
        bind_and_execute(pen, name);
        pen.out.push(Say::Sync);
    };
    VecDeque::from([parse, change, plan.step(who, use_it), plan.step(other, ddl), plan.step(who, use_it)])
}

/// A statement is parsed under one search path and executed under others.
fn path(plan: &mut Plan<'_>) -> VecDeque<Step> {
    let who = plan.who;
    let sql = plan.dice.pick(&["SELECT * FROM t ORDER BY 1", "SELECT a FROM t ORDER BY 1", "SELECT max(a) FROM t"]);
    let name = plan.dice.pick(&["s1", "s2"]);
    let set = |plan: &mut Plan<'_>| {
        let path = plan.dice.pick(&["one", "two", "two, one", "public"]);
        plan.step(who, |pen| pen.query(format!("SET search_path = {path}")))
    };
    let first = set(plan);
    let parse = plan.step(who, |pen| {
        pen.out.push(Say::Close { kind: 'S', name: name.to_owned() });
        pen.parse(name, sql, 0, &[]);
        pen.out.push(Say::Sync);
    });
    let use_it = |pen: &mut Pen<'_>| {
        bind_and_execute(pen, name);
        pen.out.push(Say::Sync);
    };
    let before = plan.step(who, use_it);
    let second = set(plan);
    VecDeque::from([first, parse, before, second, plan.step(who, use_it)])
}

/// One listens, and the other has something to say.
fn notified(plan: &mut Plan<'_>) -> VecDeque<Step> {
    let Plan { who, other, .. } = *plan;
    let listen = plan.step(who, |pen| pen.query_of(&["LISTEN news", "BEGIN; LISTEN news; COMMIT"]));
    let notify = plan.step(other, |pen| pen.query(format!("NOTIFY news, 'to {who}'")));
    let probe = owed(who, texts::probe(plan.dice));
    VecDeque::from([listen, notify, probe])
}
