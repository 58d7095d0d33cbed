//! The sidecar's process as a pod runs it: what it reads, what it shows, how it ends. A real PostgreSQL is behind it.

#[path = "support/dice.rs"]
mod dice;
#[path = "support/guarded.rs"]
mod guarded;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/schema.rs"]
mod schema;
#[path = "support/sidecar.rs"]
mod sidecar;

#[path = "sidecar/control.rs"]
mod control;
#[path = "sidecar/descriptors.rs"]
mod descriptors;
#[path = "sidecar/disk.rs"]
mod disk;
#[path = "sidecar/idle.rs"]
mod idle;
#[path = "sidecar/killed.rs"]
mod killed;
#[path = "sidecar/large.rs"]
mod large;
#[path = "sidecar/lifecycle.rs"]
mod lifecycle;
#[path = "sidecar/many.rs"]
mod many;
#[path = "sidecar/secrets.rs"]
mod secrets;
#[path = "sidecar/target.rs"]
mod target;

use guarded::Guarded;
use sidecar::{End, PATIENCE, Sidecar};
use tokio_postgres::NoTls;

/// A client of the application, logged in at the sidecar.
struct Client {
    client: tokio_postgres::Client,
    connection: tokio::task::JoinHandle<Result<(), tokio_postgres::Error>>,
}

impl Client {
    async fn open(sidecar: &Sidecar, user: &str, database: &str) -> Result<Self, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::Config::new()
            .host("127.0.0.1")
            .port(sidecar.listen.port())
            .user(user)
            .dbname(database)
            .connect_timeout(PATIENCE)
            .connect(NoTls)
            .await?;
        Ok(Self { client, connection: tokio::spawn(connection) })
    }

    async fn of(sidecar: &Sidecar, database: &Guarded) -> Self {
        Self::open(sidecar, database.name(), database.name()).await.expect("the sidecar lets the owner in")
    }

    /// Runs a statement, and so takes a server connection.
    async fn run(&self, statement: &str) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute(statement).await
    }

    async fn leave(self) {
        drop(self.client);
        let _ = self.connection.await;
    }
}

/// It ended before it served, said why to whoever looks, and showed no password.
fn assert_refused(end: &End, message: &str) {
    assert_eq!(end.status.code(), Some(2), "{}", end.log);
    assert!(end.message.contains(message), "{:?}\n{}", end.message, end.log);
    assert!(end.log.contains("cannot go on"), "{}", end.log);
    assert!(!end.log.contains("canary") && !end.message.contains("canary"), "{}", end.log);
}
