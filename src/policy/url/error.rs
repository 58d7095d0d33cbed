//! Why a URL can't be used. No variant holds any of it: names are of our own tables.

/// Why a URL can't be split, read or edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// A keyword DSN, `host=.. dbname=..`, or no connection string at all.
    #[error("it is not a URL such as postgresql://user@host/database (a keyword string can't be rewritten yet)")]
    NotUrl,
    /// Longer than [`super::LENGTH_MAX`].
    #[error("it is longer than 16 KiB")]
    TooLong,
    /// A byte that some libraries strip, encode or stop at.
    #[error("it holds white space or a control byte, which libraries read differently; percent-encode it")]
    Whitespace,
    /// A raw `#`.
    #[error("it holds a raw '#', which libraries read differently; write %23")]
    Fragment,
    /// A `%` that two hexadecimal digits do not follow, or `%00`.
    #[error("it holds a '%' without two hexadecimal digits, or %00; write a percent sign as %25")]
    Percent,
    /// A raw `@`, `/` or `?` in the user or password.
    #[error("its user or password holds a raw '@', '/' or '?', which libraries split differently; percent-encode it")]
    Userinfo,
    /// A `.` or `..` in the path, which WHATWG parsers resolve.
    #[error("its database is '.' or '..', which libraries read differently")]
    Dots,
    /// A reference to another variable, in a place that has to be read before the kubelet puts its value there.
    #[error(
        "it refers to another variable elsewhere than in its user, password, host, port, database or a plain query value"
    )]
    Reference,
    /// The scheme is none of the dialect's.
    #[error("its scheme is not one that the declared client takes")]
    Scheme,
    /// Something that is no `host`, `host:port` or `[address]:port`.
    #[error("its host or port is malformed")]
    Host,
    /// More hosts than [`super::HOSTS_MAX`], or not as many ports as hosts.
    #[error("it names too many hosts, or not one port for each")]
    HostCount,
    /// Several hosts, for a library that takes one.
    #[error("it names several hosts, which the declared client does not take")]
    SeveralHosts,
    /// No host at all.
    #[error("it names no host")]
    NoHost,
    /// No user, so that the library takes the one that its process runs as.
    #[error("it names no user")]
    NoUser,
    /// A Unix socket, which lies in the application's container.
    #[error("it names a Unix socket, which the sidecar can't reach")]
    Socket,
    /// Bytes that are no UTF-8 once decoded.
    #[error("a part of it is not UTF-8")]
    Encoding,
    /// A second copy of a key that Weir reads or writes.
    #[error("its query holds {0} twice, and libraries differ in which one counts")]
    DuplicateKey(&'static str),
    /// The same fact in the authority or path and in the query.
    #[error("it says {0} twice, once in the query; name it once")]
    SaidTwice(&'static str),
    /// A key that names a file in the application's image.
    #[error("its key {0} names a file in the application's image, which the sidecar can't read")]
    ClientFile(&'static str),
    /// A key that demands a check which the sidecar does not do.
    #[error("its key {0} demands a check that the sidecar can't do in the application's place")]
    ClientCheck(&'static str),
    /// A key that asks for a way of connecting that the sidecar does not know.
    #[error("its key {0} asks for what the sidecar can't do yet; remove it")]
    Unsupported(&'static str),
    /// An `sslmode` or `ssl` that the library would refuse.
    #[error("its sslmode is not one that the declared client takes")]
    SslMode,
    /// Prisma's `sslaccept=strict` without `sslmode=require`.
    #[error("sslaccept asks for a verified certificate, sslmode does not ask for TLS; add sslmode=require")]
    SslAccept,
}
