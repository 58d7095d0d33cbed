//! A PostgreSQL that asks for passwords, with one that can be searched for.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::fmt::Write as _;
use std::fs;
use std::sync::{Arc, Mutex, Weak};

use super::postgres::{Database, Postgres};

/// A database whose owner logs in by SCRAM.
pub struct Guarded {
    database: Database,
    /// Starts with `canary-`, and no other is like it.
    pub password: String,
}

/// Later lines win. PostgreSQL 12 and 13 store md5 by default.
const SETTINGS: &str = "max_connections = 200\nautovacuum = off\njit = off\npassword_encryption = 'scram-sha-256'";

/// Only the superuser, whom the launcher needs, and members of `login_trust` are let in without a password; those of `login_md5`
/// may have an old one.
const ACCESS: &str = "
local all all trust
host all postgres 127.0.0.1/32 trust
host all +login_trust 127.0.0.1/32 trust
host all +login_md5 127.0.0.1/32 md5
host all all 127.0.0.1/32 scram-sha-256
";

static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());

/// A fresh database on the server that the tests of this binary share.
pub fn database() -> Guarded {
    let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let server = shared.upgrade().unwrap_or_else(|| {
        let server = Arc::new(Postgres::start(SETTINGS));
        fs::write(server.data().join("pg_hba.conf"), ACCESS).expect("the server's files are there");
        server.sql("postgres", "create role login_trust; create role login_md5");
        server.reload();
        *shared = Arc::downgrade(&server);
        server
    });
    drop(shared);
    let database = server.database();
    let password = canary();
    server.sql("postgres", &format!("alter role {} password '{password}'", database.name));
    Guarded { database, password }
}

/// A password that no other run has.
pub fn canary() -> String {
    let mut bytes = [0; 8];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes).expect("the kernel has random bytes");
    bytes.iter().fold("canary-".to_owned(), |mut canary, byte| {
        let _ = write!(canary, "{byte:02x}");
        canary
    })
}

impl Guarded {
    /// Of the database and of its owner.
    pub fn name(&self) -> &str {
        &self.database.name
    }

    /// Stores the password as roles of old have it, and has the owner log in by MD5.
    pub fn age(&self) {
        let (name, password) = (self.name(), &self.password);
        let role = format!("alter role {name} password '{password}'; grant login_md5 to {name}");
        self.sql(&format!("set password_encryption = 'md5'; {role}"));
    }

    /// What PostgreSQL stores of the password.
    pub fn stored(&self) -> String {
        self.sql(&format!("select rolpassword from pg_authid where rolname = '{}'", self.name()))
    }

    /// The owner's connection URL.
    pub fn url(&self) -> String {
        let (name, password, port) = (self.name(), &self.password, self.port());
        format!("postgres://{name}:{password}@127.0.0.1:{port}/{name}?sslmode=disable")
    }

    /// The server's, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.database.server.port()
    }

    /// Runs statements as the superuser.
    pub fn sql(&self, sql: &str) -> String {
        self.database.sql(sql)
    }

    /// How many connections PostgreSQL counts for the owner.
    pub fn connections(&self) -> u32 {
        self.database.connections()
    }
}
