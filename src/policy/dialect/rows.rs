//! The table itself. Sources: libpq's documentation (PostgreSQL manual, 34.1) and fe-connect.c; pg-connection-string 2.x;
//! prisma-engines quaint/src/connector/postgres/url.rs and quaint/src/pooled.rs.

use super::{Channel, Decoding, Dialect, Duplicate, Fact, Lever, Limit, SslRule, Unit, Unknown, Zero};

const POSTGRES: &[&str] = &["postgres", "postgresql"];
const EVERY_FACT: &[Fact] = &[Fact::Host, Fact::HostAddress, Fact::Port, Fact::User, Fact::Password, Fact::Database];
const INT: u64 = i32::MAX as u64;

const fn count(limit: Limit, name: &'static str) -> Lever {
    Lever { limit, channel: Channel::Url, name, unit: Unit::Count, least: 1, most: INT, zero: Zero::Unlimited }
}

const fn seconds(limit: Limit, name: &'static str, least: u64) -> Lever {
    Lever { limit, channel: Channel::Url, name, unit: Unit::Seconds, least, most: INT, zero: Zero::Never }
}

/// No client is declared: read as libpq reads it, nothing is set.
pub(super) const NONE: Dialect = Dialect {
    id: "none",
    schemes: POSTGRES,
    levers: &[],
    unknown: Unknown::Reject,
    duplicate: Duplicate::Last,
    ssl: SslRule::Libpq,
    facts: EVERY_FACT,
    multi_host: true,
    decoding: Decoding::Plain,
    reads_environment: true,
    default_database: None,
    transaction: &[],
};

/// Prisma's Rust engine, up to version 6. Prisma 7 with driver adapters reads none of these: it is `node-postgres`.
const PRISMA: Dialect = Dialect {
    id: "prisma",
    schemes: POSTGRES,
    levers: &[
        count(Limit::Max, "connection_limit"),
        seconds(Limit::IdleTimeout, "max_idle_connection_lifetime", 1),
        seconds(Limit::ConnectTimeout, "connect_timeout", 1),
        seconds(Limit::AcquireTimeout, "pool_timeout", 1),
        seconds(Limit::MaxLifetime, "max_connection_lifetime", 1),
    ],
    unknown: Unknown::Ignore,
    duplicate: Duplicate::Last,
    ssl: SslRule::Prisma,
    facts: &[Fact::Host],
    multi_host: false,
    decoding: Decoding::Form,
    reads_environment: false,
    default_database: Some("postgres"),
    transaction: &[],
};

/// node-postgres, and what stands on it: TypeORM, Knex, Sequelize, Drizzle over pg, Prisma 7. Its pool is set in code only.
const NODE_POSTGRES: Dialect = Dialect {
    id: "node-postgres",
    schemes: POSTGRES,
    levers: &[],
    unknown: Unknown::Ignore,
    duplicate: Duplicate::Last,
    ssl: SslRule::NodePostgres,
    facts: &[Fact::Host, Fact::Port, Fact::User, Fact::Password],
    multi_host: false,
    decoding: Decoding::Script,
    reads_environment: true,
    default_database: None,
    transaction: &[],
};

/// libpq and what stands on it: psql, psycopg, diesel, ruby-pg. It raises a connect_timeout of 1 to 2.
const LIBPQ: Dialect = Dialect { id: "libpq", levers: &[seconds(Limit::ConnectTimeout, "connect_timeout", 2)], ..NONE };

pub(super) static ROWS: [&Dialect; 4] = [&NONE, &PRISMA, &NODE_POSTGRES, &LIBPQ];
