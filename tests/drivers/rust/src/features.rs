//! What is tried once under each library, while others run their queries.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;

use crate::check::{Failure, Outcome, Run, Session, block, connect};
use crate::query::{Client, Kind, Question, Value};

pub const COPIED: i64 = 20_000;
pub const SLOW: &str = "select pg_sleep(60) /* slow */";

pub struct Feature {
    pub name: &'static str,
    pub attempt: fn(&Run) -> Outcome<()>,
}

/// A client beside those that run the checked queries.
pub async fn open<S: Session>(run: &Run) -> Outcome<S> {
    static VISITORS: AtomicU64 = AtomicU64::new(1);
    connect(run, Client { index: run.connections + VISITORS.fetch_add(1, Ordering::Relaxed) }).await
}

pub fn same<T: PartialEq + Debug>(seen: T, expected: T) -> Outcome<()> {
    if seen == expected { Ok(()) } else { Err(Failure::new(format!("{seen:?}, not {expected:?}"))) }
}

pub fn fails<T>(state: &str, outcome: Outcome<T>) -> Outcome<()> {
    match outcome {
        Err(failure) if failure.state.as_deref() == Some(state) => Ok(()),
        Err(failure) => Err(failure),
        Ok(_) => Err(Failure::new(format!("no {state}"))),
    }
}

/// Asks in the form of the checked queries.
pub async fn ask<S: Session>(session: &mut S, text: &'static str) -> Outcome<i64> {
    let question = Question { text, id: 7, value: Value::Bool(true), answer: Kind::Bool, expected: vec![], own: false };
    let rows = session.query(&question, &mut Rng::with_seed(1)).await?;
    same(rows.len(), 1)?;
    Ok(rows[0].id)
}

/// A text that gives one number in the form of the checked queries, whose parameters it needs too.
macro_rules! number {
    ($text:literal) => {
        concat!(
            "select n::bigint as id, true as value, '' as application, '' as zone, '' as path, 0 as pid from (",
            $text,
            ") t (n) where $1::bigint = 7 and $2::boolean"
        )
    };
}
pub(crate) use number;

/// The usable session's proof.
pub async fn works<S: Session>(session: &mut S) -> Outcome<()> {
    same(ask(session, number!("select 5")).await?, 5)
}

pub async fn notify<S: Session>(run: &Run) -> Outcome<()> {
    let mut session = open::<S>(run).await?;
    for number in 0..3 {
        session.execute(&format!("notify news, 'message {number}'")).await?;
    }
    session.close().await;
    Ok(())
}

pub fn savepoint<S: Session>(run: &Run) -> Outcome<()> {
    block(async {
        let mut session = open::<S>(run).await?;
        session.execute("create table saved (n integer)").await?;
        session.execute("begin").await?;
        session.execute("insert into saved values (1)").await?;
        session.execute("savepoint one").await?;
        session.execute("insert into saved values (2)").await?;
        fails("22012", session.execute("select 1/0").await)?;
        fails("25P02", session.execute("select 1").await)?;
        session.execute("rollback to savepoint one").await?;
        session.execute("insert into saved values (4)").await?;
        session.execute("release savepoint one").await?;
        session.execute("commit").await?;
        same(ask(&mut session, number!("select sum(n) from saved")).await?, 5)?;
        session.close().await;
        Ok(())
    })
}
