//! tokio-postgres. Settings: `query`, which prepares by name; `query_typed`, which does not; a statement that is kept.

use std::collections::HashMap;
use std::future::poll_fn;
use std::str::FromStr;

use bytes::Bytes;
use fastrand::Rng;
use futures_util::future::{join, join_all};
use futures_util::{SinkExt, TryStreamExt};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Statement};

use crate::check::{Failure, Outcome, Run, Session as _, block, pause};
use crate::features::{COPIED, Feature, SLOW, ask, fails, notify, number, open, same, savepoint, works};
use crate::query::{self, Kind, Question, Row, Value};

pub struct Session {
    client: Client,
    setting: String,
    statements: HashMap<&'static str, Statement>,
    notifications: UnboundedReceiver<String>,
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::of(error.code().map(|code| code.code().to_owned()), &error)
    }
}

impl crate::check::Session for Session {
    const VERSION: &str = "0.7.18";

    async fn connect(run: &Run, client: query::Client) -> Outcome<Self> {
        let mut config = Config::from_str(&run.url)?;
        config.application_name(client.application()).options(format!("-c TimeZone={}", client.zone()));
        let (client, mut connection) = config.connect(NoTls).await?;
        let (tell, notifications) = unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notification(notification) = message {
                    let _ = tell.send(notification.payload().to_owned());
                }
            }
        });
        Ok(Self { client, setting: run.setting.clone(), statements: HashMap::new(), notifications })
    }

    async fn query(&mut self, question: &Question, random: &mut Rng) -> Outcome<Vec<Row>> {
        let (kind, value): (Type, &(dyn ToSql + Sync)) = match &question.value {
            Value::Int(value) => (Type::INT4, value),
            Value::Text(value) => (Type::TEXT, value),
            Value::Float(value) => (Type::FLOAT8, value),
            Value::Bool(value) => (Type::BOOL, value),
            Value::Bytes(value) => (Type::BYTEA, value),
        };
        let rows = match self.setting.as_str() {
            "query_typed" => {
                let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&question.id, Type::INT8), (value, kind)];
                self.client.query_typed(question.text, &parameters).await?
            }
            "query" => self.client.query(question.text, &[&question.id, value]).await?,
            _ => {
                if !self.statements.contains_key(question.text) {
                    self.statements.insert(question.text, self.client.prepare(question.text).await?);
                    pause(random).await;
                }
                self.client.query(&self.statements[question.text], &[&question.id, value]).await?
            }
        };
        if random.u8(..16) == 0 {
            self.statements.remove(question.text);
        }
        rows.iter().map(|row| decode(row, question.answer)).collect()
    }

    async fn execute(&mut self, text: &str) -> Outcome<()> {
        Ok(self.client.batch_execute(text).await?)
    }

    async fn close(self) {}

    fn features() -> Vec<Feature> {
        vec![
            Feature { name: "listen", attempt: listen },
            Feature { name: "copy in", attempt: copy_in },
            Feature { name: "copy out", attempt: copy_out },
            Feature { name: "cursor", attempt: cursor },
            Feature { name: "savepoint", attempt: savepoint::<Self> },
            Feature { name: "pipeline error", attempt: pipeline_error },
            Feature { name: "cancel", attempt: cancel },
        ]
    }
}

fn decode(row: &tokio_postgres::Row, kind: Kind) -> Outcome<Row> {
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
        let mut session = open::<Session>(run).await?;
        session.execute("listen news").await?;
        notify::<Session>(run).await?;
        for number in 0..3 {
            same(session.notifications.recv().await, Some(format!("message {number}")))?;
        }
        Ok(())
    })
}

fn copy_in(run: &Run) -> Outcome<()> {
    block(async {
        let mut session = open::<Session>(run).await?;
        session.execute("create table copied (n integer, word text)").await?;
        let mut copy = Box::pin(session.client.copy_in("copy copied from stdin").await?);
        for number in 0..COPIED {
            copy.feed(Bytes::from(format!("{number}\tword {number}\n"))).await?;
        }
        copy.close().await?;
        same(ask(&mut session, number!("select sum(n) from copied")).await?, COPIED * (COPIED - 1) / 2)
    })
}

fn copy_out(run: &Run) -> Outcome<()> {
    block(async {
        let mut session = open::<Session>(run).await?;
        let text = "copy (select n from generate_series(1, 50000) n) to stdout";
        let chunks: Vec<Bytes> = session.client.copy_out(text).await?.try_collect().await?;
        let lines = String::from_utf8(chunks.concat()).map_err(Failure::new)?;
        same(lines, (1..=50_000).map(|number| format!("{number}\n")).collect())?;
        works(&mut session).await
    })
}

/// Two portals that are read in turns.
fn cursor(run: &Run) -> Outcome<()> {
    block(async {
        let mut session = open::<Session>(run).await?;
        let transaction = session.client.transaction().await?;
        let up = transaction.bind("select n from generate_series(1, $1::integer) n", &[&1000]).await?;
        let down = transaction.bind("select n from generate_series($1::integer, 1, -1) n", &[&1000]).await?;
        for start in (1..=1000).step_by(50) {
            let numbers = |rows: Vec<tokio_postgres::Row>| -> Vec<i32> { rows.iter().map(|row| row.get(0)).collect() };
            same(numbers(transaction.query_portal(&up, 50).await?), (start..start + 50).collect())?;
            same(numbers(transaction.query_portal(&down, 50).await?), (952 - start..1002 - start).rev().collect())?;
        }
        transaction.commit().await?;
        works(&mut session).await
    })
}

/// Sent without waiting for answers; one in the middle fails, those after it do not.
fn pipeline_error(run: &Run) -> Outcome<()> {
    block(async {
        let mut session = open::<Session>(run).await?;
        let statement = session.client.prepare("select 10 / $1::integer").await?;
        let divisors = [5, 2, 0, 1, 10];
        let answers = join_all(divisors.iter().map(async |divisor| {
            let parameters: [&(dyn ToSql + Sync); 1] = [divisor];
            Ok::<i32, Failure>(session.client.query_one(&statement, &parameters).await?.try_get(0)?)
        }))
        .await;
        let seen: Vec<_> = answers.into_iter().map(|answer| answer.map_err(|failure| failure.state)).collect();
        same(seen, vec![Ok(2), Ok(5), Err(Some("22012".to_owned())), Ok(10), Ok(1)])?;
        works(&mut session).await
    })
}

/// It ends with 57014 once it surely runs.
fn cancel(run: &Run) -> Outcome<()> {
    block(async {
        let mut session = open::<Session>(run).await?;
        let mut watcher = open::<Session>(run).await?;
        let token = session.client.cancel_token();
        let watch = async {
            let text = number!(
                "select count(*) from pg_stat_activity where state = 'active' and pid <> pg_backend_pid() \
                 and query = 'select pg_sleep(60) /* slow */'"
            );
            while ask(&mut watcher, text).await? == 0 {}
            Ok::<_, Failure>(token.cancel_query(NoTls).await?)
        };
        let (slow, watched) = join(session.execute(SLOW), watch).await;
        watched?;
        fails("57014", slow)?;
        works(&mut session).await
    })
}
