mod properties;
mod references;

use super::expansion::unescape;
use super::*;
use crate::policy::dialect::{Dialect, Parameter, SslPolicy, find, none};

fn dialect(id: &str) -> &'static Dialect {
    find(id).expect("a row of the table")
}

fn redirected_for(dialect: &Dialect, text: &str, parameters: &[Parameter]) -> Result<String, UrlError> {
    let url = Url::parse(text.as_bytes(), dialect)?;
    let edited = redirect(&url, dialect, &Redirect { port: 16432, parameters, existing: Existing::Keep })?;
    Ok(String::from_utf8(edited.text).expect("UTF-8 in, UTF-8 out"))
}

fn redirected(text: &str) -> Result<String, UrlError> {
    redirected_for(none(), text, &[])
}

fn hosts(text: &str) -> Result<Vec<(String, u16)>, UrlError> {
    let hosts = Url::parse(text.as_bytes(), none())?.hosts(none())?;
    Ok(hosts.into_iter().map(|host| (host.name, host.port)).collect())
}

fn prisma_parameters() -> Vec<Parameter> {
    vec![
        Parameter { name: "connection_limit", value: "20".into() },
        Parameter { name: "pool_timeout", value: "10".into() },
    ]
}

#[test]
fn redirects_and_leaves_every_other_byte() {
    for (from, to) in [
        ("postgres://u:p@db/app", "postgres://u:weir@127.0.0.1:16432/app?sslmode=disable"),
        ("postgresql://u@db:5433/app", "postgresql://u@127.0.0.1:16432/app?sslmode=disable"),
        // A password as it is written stays out of the way, whatever is in it.
        ("postgres://u%40x:p%40%2f:%3A@db/app", "postgres://u%40x:weir@127.0.0.1:16432/app?sslmode=disable"),
        // An empty password is no credential.
        ("postgres://u:@db/app", "postgres://u:@127.0.0.1:16432/app?sslmode=disable"),
        // No path, an empty path, a path of two segments.
        ("postgres://u@db", "postgres://u@127.0.0.1:16432?sslmode=disable"),
        ("postgres://u@db?a=b", "postgres://u@127.0.0.1:16432?a=b&sslmode=disable"),
        ("postgres://u@db/", "postgres://u@127.0.0.1:16432/?sslmode=disable"),
        ("postgres://u@db/a/b", "postgres://u@127.0.0.1:16432/a/b?sslmode=disable"),
        // An empty query, and a trailing separator.
        ("postgres://u@db/app?", "postgres://u@127.0.0.1:16432/app?sslmode=disable"),
        ("postgres://u@db/app?a=b&", "postgres://u@127.0.0.1:16432/app?a=b&sslmode=disable"),
        // A second '?' belongs to a value.
        ("postgres://u@db/app?a=b?c=d", "postgres://u@127.0.0.1:16432/app?a=b?c=d&sslmode=disable"),
        // sslmode in place; its relatives go, in any position.
        ("postgres://u@db/app?sslmode=require&a=b", "postgres://u@127.0.0.1:16432/app?sslmode=disable&a=b"),
        (
            "postgres://u@db/app?ssl_min_protocol_version=TLSv1.2&a=b&sslnegotiation=postgres",
            "postgres://u@127.0.0.1:16432/app?a=b&sslmode=disable",
        ),
        ("postgres://u@db/app?sslsni=1&sslcompression=0", "postgres://u@127.0.0.1:16432/app?sslmode=disable"),
        ("postgres://u@db/app?ssl=true", "postgres://u@127.0.0.1:16432/app?sslmode=disable"),
        ("postgres://u@db/app?a=1&ssl=true&sslsni=1&b=2", "postgres://u@127.0.0.1:16432/app?a=1&b=2&sslmode=disable"),
        ("postgres://u@db/app?channel_binding=prefer&a=b", "postgres://u@127.0.0.1:16432/app?a=b&sslmode=disable"),
        ("postgres://u@db/app?sslrootcert=system", "postgres://u@127.0.0.1:16432/app?sslmode=disable"),
        // A key may be written percent-encoded.
        ("postgres://u@db/app?%73slmode=require", "postgres://u@127.0.0.1:16432/app?%73slmode=disable"),
        // Several hosts become one, and what chose between them goes.
        (
            "postgres://u:p@a:1,b:2,[::1]:3/app?target_session_attrs=any&load_balance_hosts=disable&x=y",
            "postgres://u:weir@127.0.0.1:16432/app?x=y&sslmode=disable",
        ),
        ("postgres://u@[2001:db8::1]:5432/app", "postgres://u@127.0.0.1:16432/app?sslmode=disable"),
        // Keys that override the authority.
        ("postgres://u@/app?host=db&port=5433", "postgres://u@127.0.0.1:16432/app?sslmode=disable"),
        ("postgres:///app?host=db&user=u&password=p", "postgres://127.0.0.1:16432/app?user=u&sslmode=disable"),
        ("postgres://u@db?hostaddr=10.0.0.1&dbname=app", "postgres://u@127.0.0.1:16432?dbname=app&sslmode=disable"),
        // An '@' in a value is nobody's delimiter once the authority has one.
        (
            "postgres://u@db/app?application_name=a@b",
            "postgres://u@127.0.0.1:16432/app?application_name=a@b&sslmode=disable",
        ),
        // Kubernetes' escaped dollar, and one that stands for itself.
        ("postgres://u$$:p$$x@db/a$$?o=$x", "postgres://u$$:weir@127.0.0.1:16432/a$$?o=$x&sslmode=disable"),
        (
            "postgres://ü@db/äpp?application_name=ö",
            "postgres://ü@127.0.0.1:16432/äpp?application_name=ö&sslmode=disable",
        ),
    ] {
        assert_eq!(redirected(from).as_deref(), Ok(to), "{from}");
    }
}

#[test]
fn refuses_what_libraries_read_differently() {
    let long = format!("postgres://u@db/{}", "a".repeat(LENGTH_MAX));
    let many = format!("postgres://u@{}/app", vec!["h"; HOSTS_MAX + 1].join(","));
    for (text, error) in [
        ("", UrlError::NotUrl),
        ("host=db dbname=app", UrlError::NotUrl),
        ("host=db password=http://x", UrlError::NotUrl),
        ("jdbc:postgresql://db/app", UrlError::NotUrl),
        ("://u@db/app", UrlError::NotUrl),
        ("/var/run/postgresql app", UrlError::NotUrl),
        (long.as_str(), UrlError::TooLong),
        ("postgres://u@db/a pp", UrlError::Whitespace),
        ("postgres://u:p\t@db/app", UrlError::Whitespace),
        ("postgres://u@db/app\n", UrlError::Whitespace),
        ("postgres://u@db/app\u{7f}", UrlError::Whitespace),
        ("postgres://u@db/app\0", UrlError::Whitespace),
        ("postgres://u@db/app#x", UrlError::Fragment),
        ("postgres://u:p#ss@db/app", UrlError::Fragment),
        ("postgres://u:100%@db/app", UrlError::Percent),
        ("postgres://u:%zz@db/app", UrlError::Percent),
        ("postgres://u@db/app?a=%4", UrlError::Percent),
        ("postgres://u@db/a%00", UrlError::Percent),
        ("postgres://u:p@ss@db/app", UrlError::Userinfo),
        ("postgres://u:p/ss@db/app", UrlError::Userinfo),
        ("postgres://u:p?ss@db/app", UrlError::Userinfo),
        ("postgres://u@db/.", UrlError::Dots),
        ("postgres://u@db/a/.%2E/b", UrlError::Dots),
        ("mysql://u@db/app", UrlError::Scheme),
        ("POSTGRES://u@db/app", UrlError::Scheme),
        ("postgresql+asyncpg://u@db/app", UrlError::Scheme),
        ("postgres://u@db:0/app", UrlError::Host),
        ("postgres://u@db:65536/app", UrlError::Host),
        ("postgres://u@db:+5/app", UrlError::Host),
        ("postgres://u@db:5432x/app", UrlError::Host),
        ("postgres://u@::1/app", UrlError::Host),
        ("postgres://u@[::1/app", UrlError::Host),
        ("postgres://u@[::1]5432/app", UrlError::Host),
        (many.as_str(), UrlError::HostCount),
        ("postgres://u@a,b,c/app?port=1,2", UrlError::HostCount),
        ("postgres://u@a,b/app?hostaddr=10.0.0.1", UrlError::HostCount),
        ("postgres://u@/app", UrlError::NoHost),
        ("postgres://u@a,,b/app", UrlError::NoHost),
        ("postgres://db/app", UrlError::NoUser),
        ("postgres://u@/app?host=/var/run/postgresql", UrlError::Socket),
        ("postgres://u@%2Fvar%2Frun/app", UrlError::Socket),
        ("postgres://%ff@db/app", UrlError::Encoding),
        ("postgres://u@db/app?sslmode=require&sslmode=disable", UrlError::DuplicateKey("sslmode")),
        ("postgres://u@db/app?host=a&%68ost=b", UrlError::DuplicateKey("host")),
        ("postgres://u@db/app?ssl=true&ssl=true", UrlError::DuplicateKey("ssl")),
        ("postgres://u@db/app?user=v", UrlError::SaidTwice("user")),
        ("postgres://u:p@db/app?password=q", UrlError::SaidTwice("password")),
        ("postgres://u@db/app?dbname=other", UrlError::SaidTwice("dbname")),
        ("postgres://u@db/app?sslmode=verify-full&sslrootcert=/ca.pem", UrlError::ClientFile("sslrootcert")),
        ("postgres://u@db/app?sslcert=/c.pem", UrlError::ClientFile("sslcert")),
        ("postgres://u@db/app?sslcrl=/c.pem", UrlError::ClientFile("sslcrl")),
        ("postgres://u@db/app?passfile=/pgpass", UrlError::ClientFile("passfile")),
        ("postgres://u@db/app?sslmode=require&channel_binding=require", UrlError::ClientCheck("channel_binding")),
        ("postgres://u@db/app?require_auth=scram-sha-256", UrlError::ClientCheck("require_auth")),
        ("postgres://u@a,b/app?target_session_attrs=read-write", UrlError::Unsupported("target_session_attrs")),
        ("postgres://u@a,b/app?load_balance_hosts=random", UrlError::Unsupported("load_balance_hosts")),
        ("postgres://u@db/app?sslmode=require&sslnegotiation=direct", UrlError::Unsupported("sslnegotiation")),
        ("postgres://u@db/app?replication=database", UrlError::Unsupported("replication")),
        ("postgres://u@db/app?sslmode=no-verify", UrlError::SslMode),
        ("postgres://u@db/app?ssl=false", UrlError::SslMode),
        ("postgres://u@db/app?sslmode=require&sslrootcert=system", UrlError::SslMode),
    ] {
        assert_eq!(redirected(text), Err(error), "{text}");
    }
}

#[test]
fn several_hosts_are_refused_where_the_library_takes_one() {
    for id in ["prisma", "node-postgres"] {
        assert_eq!(redirected_for(dialect(id), "postgres://u@a,b/app", &[]), Err(UrlError::SeveralHosts));
    }
}

#[test]
fn a_key_that_the_library_ignores_is_no_fact() {
    // Prisma reads neither user nor port from the query, node-postgres no dbname.
    let url = Url::parse(b"postgres://u@db/app?user=v&port=1&dbname=x", dialect("prisma")).expect("splits");
    let prisma = dialect("prisma");
    assert_eq!(url.user(prisma), Ok(Some("u".into())));
    assert_eq!(url.database(prisma), Ok(Some("app".into())));
    assert_eq!(url.hosts(prisma).map(|hosts| hosts.first().map(|host| host.port)), Ok(Some(5432)));
    assert_eq!(
        redirected_for(dialect("node-postgres"), "postgres://u@db/app?dbname=x", &[]).as_deref(),
        Ok("postgres://u@127.0.0.1:16432/app?dbname=x&sslmode=disable")
    );
}

#[test]
fn reads_hosts_with_their_ports() {
    let host = |name: &str, port| (name.to_owned(), port);
    for (text, expected) in [
        ("postgres://u@db/app", vec![host("db", 5432)]),
        ("postgres://u@db:/app", vec![host("db", 5432)]),
        ("postgres://u@a:1,b:2/app", vec![host("a", 1), host("b", 2)]),
        ("postgres://u@a:1,b/app", vec![host("a", 1), host("b", 5432)]),
        ("postgres://u@a,b/app?port=7", vec![host("a", 7), host("b", 7)]),
        ("postgres://u@a,b/app?port=7,8", vec![host("a", 7), host("b", 8)]),
        ("postgres://u@a:1,b:2/app?port=7", vec![host("a", 7), host("b", 7)]),
        ("postgres://u@x/app?host=a,b", vec![host("a", 5432), host("b", 5432)]),
        ("postgres://u@[::1]:6/app", vec![host("::1", 6)]),
        ("postgres://u@[::1]/app", vec![host("::1", 5432)]),
        ("postgres://u@d%62/app", vec![host("db", 5432)]),
        ("postgres:///app?hostaddr=10.0.0.1", vec![host("10.0.0.1", 5432)]),
    ] {
        assert_eq!(hosts(text).as_ref(), Ok(&expected), "{text}");
    }
    let url = Url::parse(b"postgres://u@db/app?hostaddr=10.0.0.1", none()).expect("splits");
    let addresses = url.hosts(none()).map(|hosts| hosts.into_iter().map(|host| host.address).collect::<Vec<_>>());
    assert_eq!(addresses, Ok(vec![Some("10.0.0.1".into())]));
}

#[test]
fn reads_user_password_database_and_pairs() {
    let url =
        Url::parse(b"postgres://a%40b:p%3a%2Fss%ff@db/my%20app?options=-c%20x%3Dy+z&flag", none()).expect("splits");
    assert_eq!(url.user(none()), Ok(Some("a@b".into())));
    assert_eq!(url.password(none()), Ok(Some(b"p:/ss\xff".to_vec())));
    assert_eq!(url.database(none()), Ok(Some("my app".into())));
    let pairs = |id| url.pairs(dialect(id)).expect("UTF-8");
    assert_eq!(pairs("libpq"), [("options".into(), "-c x=y+z".into()), ("flag".into(), String::new())]);
    assert_eq!(pairs("node-postgres")[0].1, "-c x=y z");
    assert!(url.has(&["flag"]) && !url.has(&["fla"]));
    assert!(!url.names_port());

    let bare = Url::parse(b"postgres://u@db", none()).expect("splits");
    assert_eq!(bare.password(none()), Ok(None));
    assert_eq!(bare.database(none()), Ok(None));
    assert_eq!(bare.database(dialect("prisma")), Ok(Some("postgres".into())));
    assert_eq!(bare.ssl(none()), Ok(SslPolicy::Prefer));
    assert_eq!(bare.ssl(dialect("node-postgres")), Ok(SslPolicy::Disable));
}

#[test]
fn node_postgres_leaves_reserved_characters_of_a_database_encoded() {
    // decodeURI, not decodeURIComponent: these are the names that it asks the server for.
    let database = |id, path: &str| {
        let text = format!("postgres://u@db/{path}");
        Url::parse(text.as_bytes(), dialect(id)).and_then(|url| url.database(dialect(id)))
    };
    assert_eq!(database("node-postgres", "a%24b%2fc%20d%C3%BC"), Ok(Some("a%24b%2fc dü".into())));
    assert_eq!(database("libpq", "a%24b%2fc%20d%C3%BC"), Ok(Some("a$b/c dü".into())));
}

#[test]
fn pool_parameters_are_set_once() {
    let set = |text: &str, existing| {
        let url = Url::parse(text.as_bytes(), dialect("prisma"))?;
        let edited = parameters(&url, &prisma_parameters(), existing)?;
        Ok((String::from_utf8(edited.text).expect("UTF-8"), edited.kept))
    };
    for (from, existing, to, kept) in [
        ("postgres://db/a", Existing::Keep, "postgres://db/a?connection_limit=20&pool_timeout=10", vec![]),
        (
            "postgres://db/a?schema=x",
            Existing::Keep,
            "postgres://db/a?schema=x&connection_limit=20&pool_timeout=10",
            vec![],
        ),
        (
            "postgres://db/a?connection_limit=3&schema=x",
            Existing::Keep,
            "postgres://db/a?connection_limit=3&schema=x&pool_timeout=10",
            vec!["connection_limit"],
        ),
        (
            "postgres://db/a?connection_limit=3&schema=x",
            Existing::Replace,
            "postgres://db/a?connection_limit=20&schema=x&pool_timeout=10",
            vec![],
        ),
        // What already says so is nobody's in particular.
        (
            "postgres://db/a?pool_timeout=10&connection_limit=20",
            Existing::Keep,
            "postgres://db/a?pool_timeout=10&connection_limit=20",
            vec![],
        ),
        (
            "postgres://db/a?pool_timeout",
            Existing::Replace,
            "postgres://db/a?pool_timeout=10&connection_limit=20",
            vec![],
        ),
    ] {
        assert_eq!(set(from, existing), Ok((to.to_owned(), kept)), "{from}");
    }
    let twice = set("postgres://db/a?connection_limit=3&connection_limit=4", Existing::Replace);
    assert_eq!(twice, Err(UrlError::DuplicateKey("connection_limit")));
}

#[test]
fn a_placeholder_url_splits_into_what_was_asked_for() {
    let text = placeholder(16433, "we ir$", "a b$", &prisma_parameters());
    assert_eq!(
        text,
        "postgresql://we%20ir%24:weir@127.0.0.1:16433/a%20b$$?sslmode=disable&connection_limit=20&pool_timeout=10"
    );
    for id in ["none", "prisma", "node-postgres", "libpq"] {
        let (text, dialect) = (unescape(&text), dialect(id));
        let url = Url::parse(text.as_bytes(), dialect).expect("splits");
        assert_eq!(url.user(dialect), Ok(Some("we ir$".into())));
        assert_eq!(url.database(dialect), Ok(Some("a b$".into())));
        assert_eq!(url.ssl(dialect), Ok(SslPolicy::Disable));
    }
}

#[test]
fn shows_nothing_of_a_url() {
    let url = Url::parse(b"postgres://u:hunter2@db/app", none()).expect("splits");
    assert_eq!(format!("{url:?}"), "Url(..)");
}
