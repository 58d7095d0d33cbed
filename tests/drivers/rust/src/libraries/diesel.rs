//! Diesel, on libpq: `sql_query` parses the unnamed statement in one round trip and binds it in the next; what its builder makes is
//! prepared by name.

use diesel::connection::SimpleConnection;
use diesel::pg::CopyFormat;
use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_types::{BigInt, Binary, Bool, Double, Integer, Text};
use fastrand::Rng;

use crate::check::{Failure, Outcome, Run, block};
use crate::features::{Feature, fails, number, open, same, savepoint};
use crate::query::{Client, Kind, Question, Row, Value};

diesel::table! {
    own (name) { name -> Text, }
}

diesel::table! {
    copied (n) { n -> Integer, word -> Text, }
}

#[diesel::declare_sql_function]
extern "SQL" {
    fn current_setting(name: Text) -> Text;
    fn pg_backend_pid() -> Integer;
}

pub struct Session {
    connection: PgConnection,
}

/// The rows of one kind of value.
macro_rules! answers {
    ($($name:ident, $kind:ident, $rust:ty;)*) => {$(
        #[derive(QueryableByName)]
        struct $name {
            #[diesel(sql_type = BigInt)]
            id: i64,
            #[diesel(sql_type = $kind)]
            value: $rust,
            #[diesel(sql_type = Text)]
            application: String,
            #[diesel(sql_type = Text)]
            zone: String,
            #[diesel(sql_type = Text)]
            path: String,
            #[diesel(sql_type = Integer)]
            pid: i32,
        }

        impl $name {
            fn row(self, value: fn($rust) -> Value) -> Row {
                let Self { id, value: seen, application, zone, path, pid } = self;
                Row { id, value: value(seen), application, zone, path, pid }
            }
        }
    )*};
}

answers! {
    Integers, Integer, i32;
    Texts, Text, String;
    Floats, Double, f64;
    Bools, Bool, bool;
    Bytes, Binary, Vec<u8>;
}

/// Diesel keeps the kind of an error, not its SQLSTATE.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let state = match &error {
            Error::DatabaseError(_, information) => match information.message() {
                "division by zero" => "22012",
                text if text.starts_with("current transaction is aborted") => "25P02",
                text if text.starts_with("duplicate key value") => "23505",
                text if text.contains("does not exist") && text.contains("prepared statement") => "26000",
                text if text.contains("already exists") && text.contains("prepared statement") => "42P05",
                _ => "server",
            },
            _ => return Self::of(None, &error),
        };
        Self::of(Some(state.to_owned()), &error)
    }
}

impl crate::check::Session for Session {
    const VERSION: &str = "2.3.14";

    async fn connect(run: &Run, client: Client) -> Outcome<Self> {
        let url = format!("{}?application_name={}", run.url, client.application());
        let connection = PgConnection::establish(&url).map_err(Failure::new)?;
        let mut session = Self { connection };
        // The library has set UTC.
        session.execute(&format!("set TimeZone to '{}'", client.zone())).await?;
        Ok(session)
    }

    async fn query(&mut self, question: &Question, _: &mut Rng) -> Outcome<Vec<Row>> {
        let connection = &mut self.connection;
        if question.own {
            return by_builder(connection, question);
        }
        let query = diesel::sql_query(question.text).bind::<BigInt, _>(question.id);
        let query = match &question.value {
            Value::Int(value) => query.into_boxed().bind::<Integer, _>(*value),
            Value::Text(value) => query.into_boxed().bind::<Text, _>(value.clone()),
            Value::Float(value) => query.into_boxed().bind::<Double, _>(*value),
            Value::Bool(value) => query.into_boxed().bind::<Bool, _>(*value),
            Value::Bytes(value) => query.into_boxed().bind::<Binary, _>(value.clone()),
        };
        Ok(match question.answer {
            Kind::Int => rows(query.load::<Integers>(connection)?, |row| row.row(Value::Int)),
            Kind::Text => rows(query.load::<Texts>(connection)?, |row| row.row(Value::Text)),
            Kind::Float => rows(query.load::<Floats>(connection)?, |row| row.row(Value::Float)),
            Kind::Bool => rows(query.load::<Bools>(connection)?, |row| row.row(Value::Bool)),
            Kind::Bytes => rows(query.load::<Bytes>(connection)?, |row| row.row(Value::Bytes)),
        })
    }

    async fn execute(&mut self, text: &str) -> Outcome<()> {
        Ok(self.connection.batch_execute(text)?)
    }

    async fn close(self) {}

    fn features() -> Vec<Feature> {
        vec![
            Feature { name: "copy in", attempt: copy_in },
            Feature { name: "copy out", attempt: copy_out },
            Feature { name: "savepoint", attempt: savepoint::<Self> },
            Feature { name: "nested", attempt: nested },
        ]
    }
}

fn rows<T>(all: Vec<T>, row: impl Fn(T) -> Row) -> Vec<Row> {
    all.into_iter().map(row).collect()
}

fn by_builder(connection: &mut PgConnection, question: &Question) -> Outcome<Vec<Row>> {
    let Value::Text(word) = &question.value else { return Err(Failure::new("no text to join")) };
    type Columns = (i64, String, String, String, String, i32);
    let all: Vec<Columns> = own::table
        .select((
            question.id.into_sql::<BigInt>(),
            own::name.concat(word),
            current_setting("application_name"),
            current_setting("TimeZone"),
            current_setting("search_path"),
            pg_backend_pid(),
        ))
        .load(connection)?;
    Ok(rows(all, |(id, value, application, zone, path, pid)| Row {
        id,
        value: Value::Text(value),
        application,
        zone,
        path,
        pid,
    }))
}

fn copy_in(run: &Run) -> Outcome<()> {
    let mut session = block(open::<Session>(run))?;
    session.connection.batch_execute(
        "drop table if exists copied; create table copied (n integer primary key, word text not null)",
    )?;
    let lines: String = (0..1000).map(|number| format!("{number}\tword {number}\n")).collect();
    let copied = diesel::copy_from(copied::table)
        .from_raw_data(copied::table, |copy| {
            std::io::Write::write_all(copy, lines.as_bytes())
                .map_err(|error| Error::SerializationError(Box::new(error)))
        })
        .with_format(CopyFormat::Text)
        .execute(&mut session.connection)?;
    same(copied, 1000)?;
    let sum: Option<i64> = copied::table.select(diesel::dsl::sum(copied::n)).first(&mut session.connection)?;
    same(sum, Some(999 * 500))
}

fn copy_out(run: &Run) -> Outcome<()> {
    let mut session = block(open::<Session>(run))?;
    session.connection.batch_execute(
        "drop table if exists copied; create table copied (n integer primary key, word text not null);
         insert into copied select n, 'word ' || n from generate_series(1, 10000) n",
    )?;
    let mut out = String::new();
    let mut copy = diesel::copy_to(copied::table).with_format(CopyFormat::Text).load_raw(&mut session.connection)?;
    std::io::Read::read_to_string(&mut copy, &mut out).map_err(Failure::new)?;
    // The library does not fetch the end of a COPY: the connection can't be used any more, with PostgreSQL alone neither.
    same(out, (1..=10_000).map(|number| format!("{number}\tword {number}\n")).collect())
}

fn nested(run: &Run) -> Outcome<()> {
    let mut session = block(open::<Session>(run))?;
    let connection = &mut session.connection;
    connection.batch_execute(
        "drop table if exists copied; create table copied (n integer primary key, word text not null)",
    )?;
    let insert = |number: i32| diesel::insert_into(copied::table).values((copied::n.eq(number), copied::word.eq("x")));
    connection.transaction(|connection| {
        insert(1).execute(connection)?;
        let inner = connection.transaction(|connection| {
            insert(2).execute(connection)?;
            insert(1).execute(connection)
        });
        fails("23505", inner.map_err(Failure::from))?;
        insert(4).execute(connection)?;
        Ok::<_, Failure>(())
    })?;
    same(block(crate::features::ask(&mut session, number!("select sum(n) from copied")))?, 5)
}
