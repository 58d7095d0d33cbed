use proptest::prelude::*;

use super::*;
use crate::policy::dialect;

fn parse(url: &str, client: &str) -> Result<Target, TargetError> {
    Target::parse(url.as_bytes(), dialect::find(client).unwrap(), None, &Roots::none())
}

fn hidden(url: &str, client: &str) -> Result<Target, TargetError> {
    let placeholders = Placeholders { user: "weir".to_owned(), database: "shop".to_owned() };
    Target::parse(url.as_bytes(), dialect::find(client).unwrap(), Some(&placeholders), &Roots::none())
}

fn bytes(text: &str) -> Bytes {
    text.as_bytes().into()
}

#[test]
fn reads_the_facts() {
    let target = parse("postgres://app:p%40ss@h1:1111,[::1]/shop", "libpq").unwrap();
    let host = |name: &str, port| Host { name: name.to_owned(), address: None, port };
    assert_eq!(target.hosts, [host("h1", 1111), host("::1", 5432)]);
    assert_eq!((&*target.user, &*target.database), (&b"app"[..], &b"shop"[..]));
    assert_eq!(target.password, Some(Secret::new(b"p@ss".to_vec())));
    assert_eq!(target.client, ClientNames { user: bytes("app"), database: bytes("shop") });
    assert_eq!((target.tls.demand(), target.tls.verification()), (Demand::Prefer, Verification::None));
    assert_eq!((target.connect_timeout, target.keepalive), (None, Keepalive::default()));
    assert_eq!(target.startup, []);
}

#[test]
fn fills_in_what_a_library_would() {
    let database = |client| String::from_utf8(parse("postgres://app@db", client).unwrap().database.into()).unwrap();
    assert_eq!(database("none"), "app");
    assert_eq!(database("node-postgres"), "app");
    assert_eq!(database("prisma"), "postgres");
    assert_eq!(parse("postgres://db/shop", "none"), Err(TargetError::NoUser));
    assert_eq!(parse("postgres://app:@db", "none").unwrap().password, None);
    let by_query = parse("postgres://db/?user=app&password=x%2By&dbname=shop&port=7", "libpq").unwrap();
    assert_eq!((&*by_query.user, &*by_query.database), (&b"app"[..], &b"shop"[..]));
    assert_eq!((by_query.password, by_query.hosts[0].port), (Some(Secret::new(b"x+y".to_vec())), 7));
}

#[test]
fn the_end_of_a_files_line_is_no_part_of_the_url() {
    assert_eq!(parse("postgres://app@db/shop\n", "none"), parse("postgres://app@db/shop", "none"));
}

#[test]
fn a_url_that_leads_back_is_told() {
    let listen = "127.0.0.1:16432".parse().unwrap();
    let back = |hosts: &str| parse(&format!("postgres://app@{hosts}/shop"), "libpq").unwrap().leads_to(listen);
    for hosts in ["127.0.0.1:16432", "db,LocalHost:16432", "0.0.0.0:16432", "[::ffff:127.0.0.1]:16432", "[::]:16432"] {
        assert!(back(hosts), "{hosts}");
    }
    for hosts in ["127.0.0.1:5432", "127.0.0.2:16432", "db:16432", "[::1]:16432", "localhost"] {
        assert!(!back(hosts), "{hosts}");
    }
    assert!(parse("postgres://app@db:16432/shop?hostaddr=127.0.0.1", "libpq").unwrap().leads_to(listen));
}

#[test]
fn an_application_that_sees_placeholders_must_give_them() {
    let target = hidden("postgres://app:secret@db/orders", "none").unwrap();
    assert_eq!(target.client, ClientNames { user: bytes("weir"), database: bytes("shop") });
    assert_eq!((&*target.user, &*target.database), (&b"app"[..], &b"orders"[..]));
}

#[test]
fn a_key_is_applied_left_or_refused_and_never_lost() {
    let query = "?application_name=a&fallback_application_name=b&options=-c%20geqo%3Doff&client_encoding=LATIN1\
        &connect_timeout=1&keepalives_idle=30&keepalives_interval=5&keepalives_count=3&tcp_user_timeout=9000\
        &pool_max_conns=7&prepareThreshold=0";
    let target = parse(&format!("postgres://app@db/shop{query}"), "none").unwrap();
    assert_eq!(target.application_name, Some(bytes("a")));
    let startup = [("options", "-c geqo=off"), ("client_encoding", "LATIN1")];
    assert_eq!(target.startup, startup.map(|(name, value)| (bytes(name), bytes(value))));
    assert_eq!(target.connect_timeout, Some(Duration::from_secs(2)));
    let keepalive = Keepalive {
        disabled: false,
        idle: Some(Duration::from_secs(30)),
        interval: Some(Duration::from_secs(5)),
        count: Some(3),
        user_timeout: Some(Duration::from_secs(9)),
    };
    assert_eq!(target.keepalive, keepalive);
    assert_eq!(target.left_to_client, ["prepareThreshold"]);
    // The same where the application does not see it: nobody would read the last key.
    let lost = hidden(&format!("postgres://app@db/shop{query}"), "none").unwrap_err();
    assert_eq!(lost, TargetError::Lost { keys: vec!["prepareThreshold".to_owned()] });
}

#[test]
fn each_library_reads_its_own_keys() {
    let node = parse(
        "postgres://app@db/shop?statement_timeout=5000&connectionTimeoutMillis=1500&keepalives_idle=3",
        "node-postgres",
    )
    .unwrap();
    assert_eq!(node.startup, [(bytes("statement_timeout"), bytes("5000"))]);
    assert_eq!(node.connect_timeout, Some(Duration::from_millis(1500)));
    assert_eq!(node.left_to_client, ["keepalives_idle"]);
    let url = "postgres://app@db/shop?schema=orders&connection_limit=5&pool_timeout=3&connect_timeout=7";
    let prisma = parse(url, "prisma").unwrap();
    assert_eq!(prisma.connect_timeout, Some(Duration::from_secs(7)));
    assert_eq!(prisma.left_to_client, ["schema"]);
    assert_eq!(hidden(url, "prisma"), Err(TargetError::Lost { keys: vec!["schema".to_owned()] }));
    assert!(hidden("postgres://app@db/shop?connection_limit=5&pool_timeout=3", "prisma").is_ok());
}

#[test]
fn zero_means_for_ever_or_the_kernels_own() {
    let target = parse("postgres://app@db?connect_timeout=0&keepalives_idle=0&keepalives=0", "libpq").unwrap();
    assert_eq!(
        (target.connect_timeout, target.keepalive),
        (None, Keepalive { disabled: true, ..Keepalive::default() })
    );
    assert_eq!(parse("postgres://app@db?connect_timeout=-1", "libpq").unwrap().connect_timeout, None);
}

#[test]
fn refuses_by_the_keys_name() {
    let refused = |query: &str| parse(&format!("postgres://app@db/shop?{query}"), "libpq").unwrap_err();
    for (query, key) in [
        ("target_session_attrs=read-write", "target_session_attrs"),
        ("load_balance_hosts=random", "load_balance_hosts"),
        ("sslnegotiation=direct", "sslnegotiation"),
        ("replication=database", "replication"),
        ("min_protocol_version=3.2", "min_protocol_version"),
        ("ssl_max_protocol_version=TLSv1.1", "ssl_max_protocol_version"),
        ("oauth_client_secret=hunter2", "oauth_client_secret"),
    ] {
        assert_eq!(refused(query), TargetError::Unsupported { key }, "{query}");
    }
    for (query, key) in
        [("connect_timeout=soon", "connect_timeout"), ("keepalives_count=9999999999", "keepalives_count")]
    {
        assert_eq!(refused(query), TargetError::Value { key }, "{query}");
    }
    assert_eq!(refused("sslrootcert=/ca.pem"), TargetError::Url(UrlError::ClientFile("sslrootcert")));
    assert_eq!(refused("sslkey=/key.pem"), TargetError::Url(UrlError::ClientFile("sslkey")));
    assert_eq!(refused("channel_binding=require"), TargetError::Url(UrlError::ClientCheck("channel_binding")));
    for accepted in
        ["target_session_attrs=any", "sslnegotiation=postgres", "channel_binding=prefer", "gssencmode=disable"]
    {
        assert!(parse(&format!("postgres://app@db/shop?{accepted}"), "libpq").is_ok(), "{accepted}");
    }
}

#[test]
fn keys_are_shown_only_as_words() {
    let shown = hidden("postgres://app@db/shop?b=1&a-b.c=2&hunter2%20x=3&=4&b=5", "none").unwrap_err();
    assert_eq!(shown, TargetError::Lost { keys: ["?", "a-b.c", "b"].map(str::to_owned).to_vec() });
}

#[test]
fn shows_no_credential() {
    let target = parse("postgres://app:hunter2@db/shop", "none").unwrap();
    assert!(!format!("{target:?}").contains("hunter2"));
}

proptest! {
    #[test]
    fn no_bytes_panic_and_no_error_repeats_them(
        bytes in prop::collection::vec(any::<u8>(), 0..60),
        secret in "[A-Z]{12}",
        query in "[a-z_=&%+0-9]{0,40}",
    ) {
        let _ = Target::parse(&bytes, dialect::none(), None, &Roots::none());
        for client in dialect::ids() {
            for url in [
                format!("postgres://app:{secret}@db/shop?{query}"),
                format!("postgres://app:x@db/shop?password={secret}&{query}"),
                format!("postgres://{secret}:x@db:{secret}/{secret}?connect_timeout={secret}&sslmode={secret}&{query}"),
            ] {
                for error in [parse(&url, client), hidden(&url, client)].into_iter().filter_map(Result::err) {
                    let text = format!("{error} {error:?}");
                    prop_assert!(!text.contains(&secret), "{}", text);
                }
            }
        }
    }
}
