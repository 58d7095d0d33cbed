//! The start-up packet: who a client says it is, and what it wants its session to be.

use super::options;
use crate::sidecar::target::ClientNames;
use crate::sidecar::wire::{Parameters, Refusal, Version, fatal, message};

/// Longest packet before a login (PostgreSQL: MAX_STARTUP_PACKET_LENGTH).
pub const PACKET_MAX: u32 = 10_000;

/// Words with which client libraries size their own pools. A library that does not know them sends them on to the server, where
/// they would fail the login: they are dropped and counted instead, so that a wrong dialect does no harm.
const POOL_WORDS: [&str; 34] = [
    "connection_limit",
    "connect_timeout",
    "default_query_exec_mode",
    "description_cache_capacity",
    "idle_timeout",
    "initial_size",
    "initialsize",
    "max",
    "max_connections",
    "max_idle_connection_lifetime",
    "max_lifetime",
    "max_connection_lifetime",
    "max_size",
    "maxacquiretime",
    "maxidletime",
    "maxlifetime",
    "maxsize",
    "min",
    "min_connections",
    "min_size",
    "minidle",
    "minsize",
    "pgbouncer",
    "pool",
    "pool_max_conn_idle_time",
    "pool_max_conn_lifetime",
    "pool_max_conn_lifetime_jitter",
    "pool_max_conns",
    "pool_health_check_period",
    "pool_min_conns",
    "pool_min_idle_conns",
    "pool_size",
    "pool_timeout",
    "statement_cache_size",
];

/// What a start-up packet says.
#[derive(Debug, PartialEq, Eq)]
pub struct Startup {
    /// Role.
    pub user: Box<[u8]>,
    /// Database; the role's name where the packet has none.
    pub database: Box<[u8]>,
    /// Run-time parameters, those of `options` included.
    pub parameters: Parameters,
    /// How many [`POOL_WORDS`] were dropped.
    pub stray: u64,
    /// What is spoken: the version that the client asked for, or the newest before it.
    pub version: Version,
    /// The client asked for a newer version, or for options of the protocol, which are named here.
    negotiate: Option<Vec<Box<[u8]>>>,
}

impl Startup {
    /// Reads what follows the version.
    pub fn read(version: u32, body: &[u8]) -> Result<Self, Refusal> {
        let asked = Version(version);
        let version = asked.min(Version::V3_2);
        if asked.major() != 3 {
            let (oldest, newest) = (Version::V3_0, Version::V3_2);
            let message = format!("unsupported frontend protocol {asked}: server supports {oldest} to {newest}");
            return Err(fatal(*b"0A000", message));
        }
        let (mut user, mut database, mut options, mut stray) = (None, None, None, 0);
        let mut parameters = Parameters::default();
        let mut negotiate = (version != asked).then(Vec::new);
        for (name, value) in pairs(body)? {
            match name {
                b"user" => user = Some(value),
                b"database" => database = Some(value),
                b"options" => options = Some(value),
                b"replication" => no_replication(value)?,
                _ if name.starts_with(b"_pq_.") => negotiate.get_or_insert_default().push(name.into()),
                _ if is_pool_word(name) => stray += 1,
                _ => parameters.set(name, value),
            }
        }
        // Those of the packet win over those of `options`, as in PostgreSQL.
        for (name, value) in options::split(options.unwrap_or_default())? {
            if is_pool_word(&name) {
                stray += 1;
            } else if parameters.get(&name).is_none() {
                parameters.set(&name, &value);
            }
        }
        let user = user
            .filter(|user| !user.is_empty())
            .ok_or_else(|| fatal(*b"28000", "no PostgreSQL user name specified in startup packet"))?;
        let database = database.filter(|database| !database.is_empty()).unwrap_or(user);
        Ok(Self { user: user.into(), database: database.into(), parameters, stray, version, negotiate })
    }

    /// Whether the client may come in: only as the pool's own user, to its own database.
    pub fn admit(&self, names: &ClientNames) -> Result<(), Refusal> {
        let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        let hint = || {
            format!(
                "This pool serves user {:?} and database {:?} only. Use the connection URL of the container as it is, or connect \
                 to PostgreSQL directly.",
                text(&names.user),
                text(&names.database),
            )
        };
        if self.user != names.user {
            return Err(fatal(*b"28000", format!("user {:?} is not the pool's", text(&self.user))).hint(hint()));
        }
        if self.database != names.database {
            return Err(fatal(*b"3D000", format!("database {:?} is not the pool's", text(&self.database))).hint(hint()));
        }
        Ok(())
    }

    /// Appends NegotiateProtocolVersion, if the client needs it.
    pub fn negotiate(&self, out: &mut Vec<u8>) {
        let Some(unknown) = &self.negotiate else { return };
        message(out, b'v', |out| {
            out.extend_from_slice(&self.version.0.to_be_bytes());
            // It fits: a packet has at most 10,000 bytes.
            out.extend_from_slice(&u32::try_from(unknown.len()).unwrap_or(u32::MAX).to_be_bytes());
            for name in unknown {
                out.extend_from_slice(name);
                out.push(0);
            }
        });
    }
}

type Pair<'a> = (&'a [u8], &'a [u8]);

/// Pairs of texts, each ended by a zero byte, up to an empty name.
fn pairs(body: &[u8]) -> Result<Vec<Pair<'_>>, Refusal> {
    let bad = || fatal(*b"08P01", "invalid startup packet layout: expected terminator as last byte");
    let mut texts = body.strip_suffix(&[0]).ok_or_else(bad)?.split(|byte| *byte == 0);
    let mut pairs = Vec::new();
    loop {
        match texts.next().ok_or_else(bad)? {
            [] => break,
            name => pairs.push((name, texts.next().ok_or_else(bad)?)),
        }
    }
    if texts.next().is_some() { Err(bad()) } else { Ok(pairs) }
}

fn is_pool_word(name: &[u8]) -> bool {
    POOL_WORDS.iter().any(|word| word.as_bytes().eq_ignore_ascii_case(name))
}

fn no_replication(value: &[u8]) -> Result<(), Refusal> {
    let off = [&b"false"[..], b"off", b"no", b"0", b"f", b"n"];
    if off.iter().any(|word| word.eq_ignore_ascii_case(value)) {
        return Ok(());
    }
    Err(fatal(*b"0A000", "replication connections cannot be pooled")
        .hint("Connect to PostgreSQL directly, with the URL that the pool was given."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> Result<Startup, Refusal> {
        Startup::read(Version::V3_0.0, body)
    }

    #[test]
    fn reads_names_and_parameters() {
        let startup = read(
            b"user\0app\0options\0-c search_path=a,b -c TimeZone=UTC\0timezone\0Asia/Tokyo\0pool_max_conns\0five\0\0",
        )
        .unwrap();
        assert_eq!((&*startup.user, &*startup.database), (&b"app"[..], &b"app"[..]));
        let parameters: Vec<_> = startup.parameters.iter().collect();
        assert_eq!(parameters, [(&b"search_path"[..], &b"a,b"[..]), (b"timezone", b"Asia/Tokyo")]);
        assert_eq!(startup.stray, 1);
    }

    #[test]
    fn refuses_what_postgresql_refuses() {
        for (body, code) in [
            (&b""[..], "08P01"),
            (b"\0", "28000"),
            (b"user\0app", "08P01"),
            (b"user\0app\0", "08P01"),
            (b"user\0\0\0", "28000"),
            (b"user\0app\0\0more\0", "08P01"),
            (b"user\0app\0replication\0database\0\0", "0A000"),
        ] {
            assert_eq!(read(body).unwrap_err().code(), code, "{:?}", String::from_utf8_lossy(body));
        }
        assert!(read(b"user\0app\0replication\0false\0\0").is_ok());
        assert_eq!(Startup::read(0x2_0000, b"").unwrap_err().code(), "0A000");
    }

    /// As PostgreSQL 18 answers, byte by byte.
    #[test]
    fn a_newer_protocol_is_negotiated_down() {
        let plain = &b"user\0app\0\0"[..];
        let optional = &b"user\0app\0_pq_.command_tag\0on\0\0"[..];
        for (version, body, spoken, answer) in [
            (0x3_0000, plain, 0x3_0000, &b""[..]),
            (0x3_0001, plain, 0x3_0001, b""),
            (0x3_0002, plain, 0x3_0002, b""),
            (0x3_0003, plain, 0x3_0002, b"v\0\0\0\x0c\0\x03\0\x02\0\0\0\0"),
            (0x3_270f, plain, 0x3_0002, b"v\0\0\0\x0c\0\x03\0\x02\0\0\0\0"),
            (0x3_0000, optional, 0x3_0000, b"v\0\0\0\x1d\0\x03\0\0\0\0\0\x01_pq_.command_tag\0"),
            (0x3_0002, optional, 0x3_0002, b"v\0\0\0\x1d\0\x03\0\x02\0\0\0\x01_pq_.command_tag\0"),
            (0x3_ffff, optional, 0x3_0002, b"v\0\0\0\x1d\0\x03\0\x02\0\0\0\x01_pq_.command_tag\0"),
        ] {
            let startup = Startup::read(version, body).unwrap();
            let mut out = Vec::new();
            startup.negotiate(&mut out);
            assert_eq!((startup.version, &out[..]), (Version(spoken), answer), "{version:#x}");
        }
        let refusal = Startup::read(0x4_0001, plain).unwrap_err();
        assert_eq!(refusal.message, "unsupported frontend protocol 4.1: server supports 3.0 to 3.2");
    }

    #[test]
    fn only_the_pools_own_names_come_in() {
        let names = ClientNames { user: b"app"[..].into(), database: b"shop"[..].into() };
        assert_eq!(read(b"user\0app\0database\0shop\0\0").unwrap().admit(&names), Ok(()));
        assert_eq!(read(b"user\0bob\0database\0shop\0\0").unwrap().admit(&names).unwrap_err().code(), "28000");
        let refusal = read(b"user\0app\0\0").unwrap().admit(&names).unwrap_err();
        assert_eq!(refusal.code(), "3D000");
        assert!(refusal.hint.unwrap().contains("user \"app\" and database \"shop\""));
    }
}
