//! Each method of authentication, over TLS and in plain, and each way to be refused.

use weir::sidecar::login::LoginError;

use crate::driver::{Failure, login};
use crate::servers::{ENCRYPTED, PLAIN, target};

#[test]
fn logs_in_by_each_method() {
    for server in [ENCRYPTED.get(), PLAIN.get()] {
        let encrypted = std::sync::Arc::ptr_eq(&server, &ENCRYPTED.get());
        for role in ["trust", "password", "md5", "scram"] {
            let url = server.url("localhost", role, "?options=-c%20search_path%3Dpg_temp");
            let mut session = login(&target(&url, "none", &server.roots()).unwrap(), "weir/0/1").expect(role);
            assert_eq!(session.is_encrypted(), encrypted);
            assert_eq!(session.parameter("session_authorization"), role);
            assert!(session.parameter("server_version").starts_with(|first: char| first.is_ascii_digit()));
            // Long keys are of PostgreSQL 18.
            let long = session.value("SELECT current_setting('server_version_num')::int >= 180000") == "t";
            assert_eq!(session.logged_in.secret.len(), if long { 32 } else { 4 });
            assert_eq!(session.value("SELECT pg_backend_pid()"), session.logged_in.pid.to_string());
            assert_eq!(session.value("SHOW application_name"), "weir/0/1");
            assert_eq!(session.value("SHOW search_path"), "pg_temp");
            assert_eq!(session.value("SELECT current_database()"), "postgres");
            session.end();
        }
    }
}

#[test]
fn carries_large_values_both_ways() {
    let server = ENCRYPTED.get();
    let url = server.url("localhost", "scram", "");
    let mut session = login(&target(&url, "none", &server.roots()).unwrap(), "weir").unwrap();
    let text = "x".repeat(300_000);
    assert_eq!(session.value(&format!("SELECT md5('{text}')")), session.value("SELECT md5(repeat('x', 300000))"));
    assert_eq!(session.value("SELECT repeat('y', 300000)"), "y".repeat(300_000));
    session.end();
}

#[test]
fn tells_the_servers_reason() {
    let server = PLAIN.get();
    let port = server.postgres.port();
    let fails = |url: &str| login(&target(url, "none", &server.roots()).unwrap(), "weir").expect_err("refused");
    for role in ["password", "md5", "scram", "nobody"] {
        let wrong = fails(&format!("postgres://{role}:wrong@127.0.0.1:{port}/postgres"));
        assert_eq!(wrong.code(), if role == "nobody" { "28000" } else { "28P01" }, "{role}");
    }
    for role in ["password", "md5", "scram"] {
        let none = fails(&format!("postgres://{role}@127.0.0.1:{port}/postgres"));
        assert_eq!(none, Failure::Login(LoginError::NoPassword));
    }
    assert_eq!(fails(&format!("postgres://trust@127.0.0.1:{port}/nowhere")).code(), "3D000");
    // Without a database in the URL it is the one named like the user.
    let Failure::Login(LoginError::Refused(error)) = fails(&format!("postgres://trust@127.0.0.1:{port}")) else {
        panic!("not refused by the server");
    };
    assert_eq!((error.severity.as_str(), error.code()), ("FATAL", "3D000"));
    assert_eq!(error.message, r#"database "trust" does not exist"#);
    let bad = fails(&format!("postgres://trust@127.0.0.1:{port}/postgres?options=-c%20nonsense%3D1"));
    assert_eq!(bad.code(), "42704");
    assert_eq!(fails(&format!("postgres://crowded@127.0.0.1:{port}/postgres")).code(), "53300");
}
