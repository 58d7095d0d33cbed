//! sqlx. Settings: what becomes of its statements.

use std::str::FromStr;

use fastrand::Rng;
use futures_util::TryStreamExt;
use sqlx::postgres::{PgConnectOptions, PgListener, PgRow, PgSslMode};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row as _};

use crate::check::{Failure, Outcome, Run, Session as _, block};
use crate::features::{self, COPIED, Feature, ask, fails, notify, number, open, same, savepoint, works};
use crate::query::{Client, Kind, Question, Row, Value};

pub struct Session {
    connection: PgConnection,
    persistent: bool,
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        let state = error.as_database_error().and_then(|error| error.code()).map(|code| code.into_owned());
        Self::of(state, &error)
    }
}

fn options(run: &Run, client: Client) -> Outcome<PgConnectOptions> {
    let mut options = PgConnectOptions::from_str(&run.url)?.ssl_mode(PgSslMode::Disable);
    if run.setting == "statement-cache-capacity=0" {
        options = options.statement_cache_capacity(0);
    }
    Ok(options.application_name(&client.application()))
}

impl crate::check::Session for Session {
    const VERSION: &str = "0.9.0";

    async fn connect(run: &Run, client: Client) -> Outcome<Self> {
        let connection = PgConnection::connect_with(&options(run, client)?).await?;
        let mut session = Self { connection, persistent: run.setting != "persistent(false)" };
        // The library says UTC at start-up, whatever its options are.
        session.execute(&format!("set TimeZone to '{}'", client.zone())).await?;
        Ok(session)
    }

    async fn query(&mut self, question: &Question, _: &mut Rng) -> Outcome<Vec<Row>> {
        let query = sqlx::query(question.text).persistent(self.persistent).bind(question.id);
        let query = match &question.value {
            Value::Int(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Float(value) => query.bind(value),
            Value::Bool(value) => query.bind(value),
            Value::Bytes(value) => query.bind(value),
        };
        let rows = query.fetch_all(&mut self.connection).await?;
        rows.iter().map(|row| decode(row, question.answer)).collect()
    }

    async fn execute(&mut self, text: &str) -> Outcome<()> {
        self.connection.execute(sqlx::raw_sql(AssertSqlSafe(text.to_owned()))).await?;
        Ok(())
    }

    async fn close(self) {
        let _ = self.connection.close().await;
    }

    fn features() -> Vec<Feature> {
        vec![
            Feature { name: "listen", attempt: listen },
            Feature { name: "copy in", attempt: copy_in },
            Feature { name: "copy out", attempt: copy_out },
            Feature { name: "savepoint", attempt: savepoint::<Self> },
            Feature { name: "nested", attempt: nested },
        ]
    }
}

fn decode(row: &PgRow, kind: Kind) -> Outcome<Row> {
    let value = match kind {
        Kind::Int => Value::Int(row.try_get(1)?),
        Kind::Text => Value::Text(row.try_get(1)?),
        Kind::Float => Value::Float(row.try_get(1)?),
        Kind::Bool => Value::Bool(row.try_get(1)?),
        Kind::Bytes => Value::Bytes(row.try_get(1)?),
    };
    Ok(Row {
        id: row.try_get(0)?,
        value,
        application: row.try_get(2)?,
        zone: row.try_get(3)?,
        path: row.try_get(4)?,
        pid: row.try_get(5)?,
    })
}

fn listen(run: &Run) -> Outcome<()> {
    block(async {
        let mut listener = PgListener::connect(&run.url).await?;
        listener.listen("news").await?;
        notify::<Session>(run).await?;
        for number in 0..3 {
            same(listener.recv().await?.payload(), &format!("message {number}"))?;
        }
        Ok(())
    })
}

fn copy_in(run: &Run) -> Outcome<()> {
    block(async {
        let mut session = open::<Session>(run).await?;
        session.execute("create table copied (n integer, word text)").await?;
        let mut copy = session.connection.copy_in_raw("copy copied from stdin").await?;
        for number in 0..COPIED {
            copy.send(format!("{number}\tword {number}\n").into_bytes()).await?;
        }
        copy.finish().await?;
        same(ask(&mut session, number!("select sum(n) from copied")).await?, COPIED * (COPIED - 1) / 2)?;
        session.close().await;
        Ok(())
    })
}

fn copy_out(run: &Run) -> Outcome<()> {
    block(async {
        let mut session = open::<Session>(run).await?;
        let text = "copy (select n from generate_series(1, 50000) n) to stdout";
        let copy = session.connection.copy_out_raw(text).await?;
        let chunks: Vec<_> = copy.try_collect().await?;
        let lines = String::from_utf8(chunks.concat()).map_err(Failure::new)?;
        same(lines, (1..=50_000).map(|number| format!("{number}\n")).collect())?;
        works(&mut session).await?;
        session.close().await;
        Ok(())
    })
}

fn nested(run: &Run) -> Outcome<()> {
    block(async {
        let mut session = open::<Session>(run).await?;
        session.execute("create table nested (n integer)").await?;
        let insert = "insert into nested values ($1)";
        let mut outer = session.connection.begin().await?;
        sqlx::query(insert).bind(1).execute(&mut *outer).await?;
        let mut inner = outer.begin().await?;
        sqlx::query(insert).bind(2).execute(&mut *inner).await?;
        let failed = sqlx::query("select 1 / $1::integer").bind(0).execute(&mut *inner).await;
        fails("22012", failed.map_err(Failure::from))?;
        inner.rollback().await?;
        sqlx::query(insert).bind(4).execute(&mut *outer).await?;
        outer.commit().await?;
        same(features::ask(&mut session, number!("select sum(n) from nested")).await?, 5)?;
        session.close().await;
        Ok(())
    })
}
