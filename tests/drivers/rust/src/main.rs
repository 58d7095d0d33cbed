//! Runs checked queries through one Rust client library and prints one JSON line: see ../README.md.

mod check;
mod features;
mod libraries {
    pub mod diesel;
    pub mod sqlx;
    pub mod tokio_postgres;
}
mod query;

use std::env;

use check::Run;

fn main() {
    let text = |name| env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let number = |name| text(name).parse::<u64>().unwrap_or_else(|_| panic!("{name} is no number"));
    let run = Run {
        url: text("URL"),
        setting: text("SETTING"),
        connections: number("CONNECTIONS"),
        queries: number("QUERIES"),
        seed: number("SEED"),
    };
    let result = match text("DRIVER").as_str() {
        "sqlx" => run.check::<libraries::sqlx::Session>(),
        "tokio-postgres" => run.check::<libraries::tokio_postgres::Session>(),
        "diesel" => run.check::<libraries::diesel::Session>(),
        other => panic!("DRIVER is {other:?}"),
    };
    println!("{result}");
}
