use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::policy::limits::{Limits, Profile};
use crate::policy::url::UrlError;

fn query(id: &str, limits: &Limits) -> Vec<String> {
    let parameters = find(id).expect("a row").query(limits);
    parameters.into_iter().map(|parameter| format!("{}={}", parameter.name, parameter.value)).collect()
}

fn ssl(id: &str, query: &[(&str, &str)]) -> Result<SslPolicy, UrlError> {
    let pairs: Vec<_> = query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    find(id).expect("a row").ssl.read(&pairs)
}

#[test]
fn the_table_is_found_by_id() {
    assert_eq!(ids().collect::<Vec<_>>(), ["none", "prisma", "node-postgres", "libpq"]);
    for id in ids() {
        assert_eq!(find(id).map(|dialect| dialect.id), Some(id));
    }
    assert_eq!(find("Prisma"), None);
    assert_eq!(find(""), None);
    assert_eq!(none().id, "none");
}

#[test]
fn no_row_can_say_nothing_or_say_it_twice() {
    for dialect in ids().filter_map(find) {
        assert!(!dialect.schemes.is_empty());
        for (index, lever) in dialect.levers.iter().enumerate() {
            assert!(lever.least > 0 && lever.least <= lever.most, "{}: {}", dialect.id, lever.name);
            assert!(!dialect.levers[..index].iter().any(|other| other.name == lever.name), "{}", lever.name);
            assert!(lever.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{}", lever.name);
        }
    }
}

#[test]
fn limits_in_a_librarys_own_words() {
    let production = Profile::Production.limits();
    assert_eq!(query("none", &production), [""; 0]);
    assert_eq!(query("node-postgres", &production), [""; 0]);
    assert_eq!(query("libpq", &production), ["connect_timeout=10"]);
    assert_eq!(
        query("prisma", &production),
        [
            "connection_limit=20",
            "max_idle_connection_lifetime=30",
            "connect_timeout=10",
            "pool_timeout=10",
            "max_connection_lifetime=1800"
        ]
    );
}

#[test]
fn parts_of_a_second_are_rounded_up_and_libpq_gets_two() {
    let short = Limits { connection_timeout: Duration::from_secs(1), ..Profile::Test.limits() };
    assert_eq!(query("libpq", &short), ["connect_timeout=2"]);
    let odd =
        Limits { idle_timeout: Duration::from_millis(1_001), connection_timeout: Duration::from_millis(1), ..short };
    let prisma = query("prisma", &odd);
    assert!(prisma.contains(&"max_idle_connection_lifetime=2".to_owned()), "{prisma:?}");
    assert!(prisma.contains(&"pool_timeout=1".to_owned()), "{prisma:?}");
}

#[test]
fn what_a_library_cannot_carry_is_listed() {
    let unsupported = |id| find(id).expect("a row").unsupported();
    assert_eq!(unsupported("none"), [""; 0]);
    assert_eq!(unsupported("prisma"), ["min"]);
    assert_eq!(unsupported("node-postgres"), ["min", "max", "idleTimeout", "connectionTimeout", "maxLifetime"]);
    assert_eq!(unsupported("libpq"), ["min", "max", "idleTimeout", "maxLifetime"]);
}

#[test]
fn a_lever_may_be_an_environment_variable() {
    let lever = |channel, name, unit| Lever {
        limit: Limit::IdleTimeout,
        channel,
        name,
        unit,
        least: 1,
        most: 25_000,
        zero: Zero::Never,
    };
    let levers: &'static [Lever] = Box::leak(Box::new([
        lever(Channel::Env, "POOL_IDLE", Unit::Milliseconds),
        lever(Channel::Url, "idle", Unit::Seconds),
    ]));
    let dialect = Dialect { id: "other", levers, ..rows::NONE };
    let production = Profile::Production.limits();
    assert_eq!(dialect.environment(&production), [Parameter { name: "POOL_IDLE", value: "25000".into() }]);
    assert_eq!(dialect.query(&production), [Parameter { name: "idle", value: "30".into() }]);
    assert_eq!(dialect.unsupported(), ["min", "max", "connectionTimeout", "maxLifetime"]);
}

#[test]
fn sslmode_as_libpq_reads_it() {
    use SslPolicy::*;
    for id in ["none", "libpq"] {
        for (query, expected) in [
            (&[][..], Ok(Prefer)),
            (&[("sslmode", "disable")], Ok(Disable)),
            (&[("sslmode", "allow")], Ok(Prefer)),
            (&[("sslmode", "prefer")], Ok(Prefer)),
            (&[("sslmode", "require")], Ok(Require)),
            (&[("sslmode", "verify-ca")], Ok(VerifyCa)),
            (&[("sslmode", "verify-full")], Ok(VerifyFull)),
            (&[("ssl", "true")], Ok(Require)),
            (&[("sslrootcert", "system")], Ok(VerifyFull)),
            (&[("sslmode", "verify-full"), ("sslrootcert", "system")], Ok(VerifyFull)),
            (&[("sslmode", "verify-ca"), ("sslrootcert", "system")], Err(UrlError::SslMode)),
            (&[("sslmode", "no-verify")], Err(UrlError::SslMode)),
            (&[("sslmode", "")], Err(UrlError::SslMode)),
            (&[("ssl", "1")], Err(UrlError::SslMode)),
            (&[("ssl", "true"), ("sslmode", "disable")], Err(UrlError::SslMode)),
            (&[("sslrootcert", "/ca.pem")], Err(UrlError::ClientFile("sslrootcert"))),
            (&[("sslmode", "require"), ("sslmode", "disable")], Err(UrlError::DuplicateKey("sslmode"))),
            (&[("channel_binding", "prefer")], Ok(Prefer)),
            (&[("channel_binding", "require")], Err(UrlError::ClientCheck("channel_binding"))),
            (&[("channel_binding", "")], Ok(Prefer)),
            (&[("target_session_attrs", "any")], Ok(Prefer)),
            (&[("target_session_attrs", "primary")], Err(UrlError::Unsupported("target_session_attrs"))),
            (&[("ssl_min_protocol_version", "TLSv1.2")], Ok(Prefer)),
            (&[("ssl_min_protocol_version", "TLSv1.3")], Err(UrlError::ClientCheck("ssl_min_protocol_version"))),
        ] {
            assert_eq!(ssl(id, query), expected, "{id} {query:?}");
        }
    }
}

#[test]
fn sslmode_as_node_postgres_reads_it() {
    use SslPolicy::*;
    let compatible = ("uselibpqcompat", "true");
    for (query, expected) in [
        (&[][..], Ok(Disable)),
        (&[("sslmode", "disable")], Ok(Disable)),
        (&[("sslmode", "prefer")], Ok(VerifyFull)),
        (&[("sslmode", "require")], Ok(VerifyFull)),
        (&[("sslmode", "verify-ca")], Ok(VerifyFull)),
        (&[("sslmode", "verify-full")], Ok(VerifyFull)),
        (&[("sslmode", "no-verify")], Ok(Require)),
        (&[("sslmode", "allow")], Ok(VerifyFull)),
        (&[("sslmode", "")], Ok(Disable)),
        (&[("ssl", "true")], Ok(VerifyFull)),
        (&[("ssl", "1")], Ok(VerifyFull)),
        (&[("ssl", "0")], Ok(Disable)),
        (&[("ssl", "no-verify")], Ok(Require)),
        (&[("ssl", "false")], Ok(VerifyFull)),
        (&[("ssl", "true"), ("sslmode", "disable")], Ok(Disable)),
        (&[("ssl", "0"), ("sslmode", "require")], Ok(VerifyFull)),
        (&[compatible], Ok(Disable)),
        (&[compatible, ("sslmode", "prefer")], Ok(Require)),
        (&[compatible, ("sslmode", "require")], Ok(Require)),
        (&[compatible, ("sslmode", "verify-ca")], Err(UrlError::SslMode)),
        (&[compatible, ("sslmode", "verify-full")], Ok(VerifyFull)),
        (&[compatible, ("sslmode", "no-verify")], Ok(VerifyFull)),
        (&[("uselibpqcompat", "false"), ("sslmode", "require")], Ok(VerifyFull)),
        (&[("sslrootcert", "system")], Err(UrlError::ClientFile("sslrootcert"))),
        (&[("channel_binding", "require")], Ok(Disable)),
        (&[("enableChannelBinding", "true")], Err(UrlError::ClientCheck("enableChannelBinding"))),
        (&[("sslnegotiation", "direct")], Err(UrlError::Unsupported("sslnegotiation"))),
    ] {
        assert_eq!(ssl("node-postgres", query), expected, "{query:?}");
    }
}

#[test]
fn sslmode_as_prisma_reads_it() {
    use SslPolicy::*;
    for (query, expected) in [
        (&[][..], Ok(Prefer)),
        (&[("sslmode", "disable")], Ok(Disable)),
        (&[("sslmode", "prefer")], Ok(Prefer)),
        (&[("sslmode", "require")], Ok(Require)),
        (&[("sslmode", "verify-full")], Ok(Prefer)),
        (&[("sslmode", "require"), ("sslaccept", "strict")], Ok(VerifyFull)),
        (&[("sslmode", "require"), ("sslaccept", "accept_invalid_certs")], Ok(Require)),
        (&[("sslmode", "require"), ("sslaccept", "typo")], Ok(VerifyFull)),
        (&[("sslaccept", "strict")], Err(UrlError::SslAccept)),
        (&[("sslmode", "verify-full"), ("sslaccept", "strict")], Err(UrlError::SslAccept)),
        (&[("sslcert", "ca.pem")], Err(UrlError::ClientFile("sslcert"))),
        (&[("sslidentity", "client.p12")], Err(UrlError::ClientFile("sslidentity"))),
        (&[("channel_binding", "require")], Err(UrlError::ClientCheck("channel_binding"))),
    ] {
        assert_eq!(ssl("prisma", query), expected, "{query:?}");
    }
}

#[test]
fn the_document_lists_every_client() {
    let document = include_str!("../../../docs/injection.md");
    for dialect in ids().filter_map(find) {
        let levers: Vec<_> = dialect.levers.iter().map(|lever| format!("`{}`", lever.name)).collect();
        let levers = if levers.is_empty() { "nothing".to_owned() } else { levers.join(", ") };
        let start = format!("| `{}` | {levers}", dialect.id);
        let row = document.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("no row starts with {start}"));
        let unsupported = dialect.unsupported().join(", ");
        assert!(
            row.ends_with(&format!("| {unsupported} |")) || unsupported.is_empty() && row.ends_with("| |"),
            "{row}"
        );
    }
}

proptest! {
    #[test]
    fn nothing_is_ever_written_as_zero(max in 1..u32::MAX, times in 1..u64::MAX) {
        let time = Duration::from_millis(times);
        let production = Profile::Production.limits();
        let limits =
            Limits { min: 1, max, idle_timeout: time, connection_timeout: time, max_lifetime: time, ..production };
        for dialect in ids().filter_map(find) {
            for Parameter { name, value } in dialect.query(&limits) {
                let value: u64 = value.parse().expect("digits");
                let lever = dialect.levers.iter().find(|lever| lever.name == name).expect("its own lever");
                prop_assert!(value >= lever.least && value <= lever.most);
                if lever.unit == Unit::Seconds {
                    prop_assert!(value == lever.most || value >= times / 1_000, "rounded down");
                }
            }
        }
    }
}
