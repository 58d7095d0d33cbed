//! The client libraries, as data: which URL schemes they take, which pool parameters they read and in which unit, and how they read
//! `sslmode`. A row of [`rows::ROWS`] is all it takes to support one more.
//!
//! There is no neutral pool parameter: what one library reads, a second ignores, a third forwards to the server as a start-up
//! setting (which PostgreSQL refuses) and a fourth refuses itself. So nothing here is guessed from a URL: users declare the library,
//! and a setting that it can't carry is listed in [`Dialect::unsupported`], never sent under another name.

mod parameters;
mod rows;
mod ssl;

pub use parameters::Parameter;
pub use ssl::{SslPolicy, SslRule};

/// One client library.
#[derive(Debug, PartialEq, Eq)]
pub struct Dialect {
    /// As written in `spec.client`.
    pub id: &'static str,
    /// The URL schemes that it takes, exactly as written.
    pub schemes: &'static [&'static str],
    /// How its pool is set from outside its code. A limit without a lever is unsupported.
    pub levers: &'static [Lever],
    /// What it does with a query key that it does not know.
    pub unknown: Unknown,
    /// Which of two equal query keys counts.
    pub duplicate: Duplicate,
    /// How it reads `sslmode` and its relatives.
    pub ssl: SslRule,
    /// The query keys by which it lets a connection fact of the authority or the path be overridden.
    pub facts: &'static [Fact],
    /// Whether it takes `h1:1,h2:2` as the authority.
    pub multi_host: bool,
    /// How it decodes what is percent-encoded.
    pub decoding: Decoding,
    /// Whether it reads PGHOST, PGSSLMODE and their relatives.
    pub reads_environment: bool,
    /// The database of a URL without a path; `None`: the one named like the user.
    pub default_database: Option<&'static str>,
    /// What its URL needs behind a pooler in transaction mode that tracks prepared statements, named and unnamed.
    pub transaction: &'static [(&'static str, &'static str)],
}

/// A limit of an instance, as a client library may know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Most connections.
    Max,
    /// Connections kept open.
    Min,
    /// Time after which an idle connection is closed.
    IdleTimeout,
    /// Time to open a connection.
    ConnectTimeout,
    /// Time to get a connection of the pool.
    AcquireTimeout,
    /// Age at which a connection is replaced.
    MaxLifetime,
}

/// How one limit is set.
#[derive(Debug, PartialEq, Eq)]
pub struct Lever {
    /// What it sets.
    pub limit: Limit,
    /// Where it goes.
    pub channel: Channel,
    /// Query key, or environment variable.
    pub name: &'static str,
    /// How the value is written.
    pub unit: Unit,
    /// Smallest value, in `unit`, that means what it says. Never 0, which means "never" or "unlimited" ([`Lever::zero`]).
    pub least: u64,
    /// Largest value that the library takes.
    pub most: u64,
    /// What 0 would mean.
    pub zero: Zero,
}

/// Where a lever goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// The query of the URL.
    Url,
    /// The environment of the container.
    Env,
}

/// How a lever's value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of connections.
    Count,
    /// Whole seconds; a part of one is rounded up.
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

/// What 0 means to a library. It is the reason why 0 is never written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zero {
    /// As many as anybody asks for.
    Unlimited,
    /// The time never ends.
    Never,
}

/// What a library does with a query key that it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// The application does not start.
    Reject,
    /// Nothing, silently.
    Ignore,
}

/// Which of two equal query keys counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicate {
    /// The last.
    Last,
}

/// How a library decodes a URL's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoding {
    /// A `+` is a plus sign.
    Plain,
    /// A `+` in the query is a space.
    Form,
    /// The same, and the reserved characters of RFC 3986 stay encoded in the path, as JavaScript's decodeURI leaves them.
    Script,
}

/// A fact of the connection that a query key may override.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// `host`.
    Host,
    /// `hostaddr`: where to connect, while `host` is what the certificate must name.
    HostAddress,
    /// `port`.
    Port,
    /// `user`.
    User,
    /// `password`.
    Password,
    /// `dbname`.
    Database,
}

impl Fact {
    /// The query key.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::HostAddress => "hostaddr",
            Self::Port => "port",
            Self::User => "user",
            Self::Password => "password",
            Self::Database => "dbname",
        }
    }
}

/// The dialect of an id, as written in `spec.client`.
pub fn find(id: &str) -> Option<&'static Dialect> {
    rows::ROWS.iter().copied().find(|row| row.id == id)
}

/// Every id, in the order of the table.
pub fn ids() -> impl Iterator<Item = &'static str> {
    rows::ROWS.iter().map(|row| row.id)
}

/// What holds where the resource names no client: the query is left as it is, and TLS is read as libpq reads it.
pub fn none() -> &'static Dialect {
    &rows::NONE
}

#[cfg(test)]
mod tests;
