use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::policy::settings::{PoolMode, Verify};

fn environment() -> BTreeMap<&'static str, String> {
    let settings = json!({
        "version": 1, "pool": "shop/orders", "generation": 3, "profile": "production", "poolMode": "session", "client": "none",
        "limits": {"min": 5, "max": 20, "idleTimeout": "30s", "connectionTimeout": "10s", "maxLifetime": "30m"},
        "thresholds": {"warning": 80, "critical": 90},
        "fieldOfTomorrow": {"kept": true},
    });
    BTreeMap::from([
        (ENV_SETTINGS, settings.to_string()),
        (ENV_URL, "postgres://app:canary-password@db.shop:5432/orders".to_owned()),
        (ENV_LISTEN, "127.0.0.1:16432".to_owned()),
        (ENV_CONTROL, "0.0.0.0:19187".to_owned()),
        (ENV_STATE, "/var/lib/weir".to_owned()),
        (ENV_POD_UID, "0b5d0f5c-8a0e-4d8b-b0b1-2f6f0c7e7a11".to_owned()),
        (ENV_PUBLIC_KEYS, format!("{}, {}", STANDARD.encode([1; 32]), STANDARD.encode([2; 32]))),
    ])
}

fn read(environment: &BTreeMap<&'static str, String>) -> Result<Config, ConfigError> {
    Config::read(|name| environment.get(name).map(OsString::from))
}

fn refusal(change: impl Fn(&mut BTreeMap<&'static str, String>)) -> String {
    let mut environment = environment();
    change(&mut environment);
    match read(&environment) {
        Ok(_) => panic!("accepted"),
        Err(error) => error.to_string(),
    }
}

fn changed_settings(pointer: &str, value: &Value) -> String {
    refusal(|environment| {
        let mut settings: Value = serde_json::from_str(&environment[ENV_SETTINGS]).unwrap();
        *settings.pointer_mut(pointer).unwrap() = value.clone();
        environment.insert(ENV_SETTINGS, settings.to_string());
    })
}

#[test]
fn reads_everything_and_keeps_what_it_does_not_know() {
    let config = read(&environment()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.settings.pool, "shop/orders");
    assert_eq!(config.settings.unknown["fieldOfTomorrow"], json!({"kept": true}));
    assert_eq!(config.listen, "127.0.0.1:16432".parse().unwrap());
    assert_eq!(config.control, "0.0.0.0:19187".parse().unwrap());
    assert_eq!(config.public_keys, [[1; 32], [2; 32]]);
    assert!(matches!(config.url, UrlSource::Literal(url) if url.starts_with(b"postgres://app:")));
}

#[test]
fn keys_are_optional_and_a_file_takes_the_place_of_the_url() {
    let mut environment = environment();
    environment.insert(ENV_PUBLIC_KEYS, String::new());
    environment.remove(ENV_URL);
    environment.insert(ENV_URL_FILE, "/etc/weir/url/url".to_owned());
    let config = read(&environment).unwrap_or_else(|error| panic!("{error}"));
    assert!(config.public_keys.is_empty());
    assert!(matches!(config.url, UrlSource::File(path) if path == *"/etc/weir/url/url"));
}

#[test]
fn each_refusal_names_the_variable_and_the_remedy() {
    for variable in [ENV_SETTINGS, ENV_LISTEN, ENV_CONTROL, ENV_STATE, ENV_POD_UID] {
        let message = refusal(|environment| {
            environment.remove(variable);
        });
        assert_eq!(message, format!("{variable} is not set: {INJECTED}"));
    }
    let cases = [
        (
            ENV_LISTEN,
            "localhost:16432",
            "WEIR_LISTEN is \"localhost:16432\", not an address and a port: give a loopback address",
        ),
        (
            ENV_LISTEN,
            "0.0.0.0:16432",
            "WEIR_LISTEN is \"0.0.0.0:16432\", which other pods can reach: give a loopback address",
        ),
        (ENV_CONTROL, "19187", "WEIR_CONTROL is \"19187\", not an address and a port: give address:port"),
        (ENV_PUBLIC_KEYS, "AAAA", "WEIR_PUBLIC_KEYS has no Ed25519 key at position 1: give keys of 32 bytes in base64"),
        (ENV_URL_FILE, "/x", "WEIR_DATABASE_URL is set together with WEIR_DATABASE_URL_FILE: set exactly one"),
        (ENV_URL, "", "WEIR_DATABASE_URL is not set: set it to the connection URL"),
        (ENV_SETTINGS, "{", "WEIR_SETTINGS is not JSON (EOF"),
        (ENV_SETTINGS, "{\"version\":1}", "WEIR_SETTINGS is not a settings document (missing field `pool`)"),
    ];
    for (variable, value, expected) in cases {
        let message = refusal(|environment| {
            environment.insert(variable, value.to_owned());
        });
        assert!(message.starts_with(expected), "{message}");
        assert!(!message.contains("canary-password"), "{message}");
    }
}

#[test]
fn refuses_settings_of_a_newer_version_whatever_else_they_hold() {
    let message = refusal(|environment| {
        environment.insert(ENV_SETTINGS, r#"{"version":2,"everything":"else"}"#.to_owned());
    });
    assert_eq!(
        message,
        format!(
            "WEIR_SETTINGS has version 2, but weir-sidecar {} understands versions up to 1: run the sidecar image of the \
             operator that injected this pod",
            env!("CARGO_PKG_VERSION")
        )
    );
}

#[test]
fn an_older_document_means_what_it_meant() {
    let read_with = |change: &dyn Fn(&mut Value)| {
        let mut environment = environment();
        let mut settings: Value = serde_json::from_str(&environment[ENV_SETTINGS]).unwrap();
        change(&mut settings);
        environment.insert(ENV_SETTINGS, settings.to_string());
        read(&environment).map(|config| config.settings)
    };
    let older = read_with(&|settings| drop(settings.as_object_mut().unwrap().remove("poolMode"))).unwrap();
    assert_eq!((older.pool_mode, older.verify), (PoolMode::Session, Verify::Hints));
    assert_eq!((older.limits.idle_transaction_timeout, older.limits.query_timeout), (None, None));

    let newer = read_with(&|settings| {
        settings["poolMode"] = json!("transaction");
        settings["verify"] = json!("always");
        settings["limits"]["idleTransactionTimeout"] = json!("1s");
        settings["limits"]["queryTimeout"] = json!("1h");
    });
    let newer = newer.unwrap();
    assert_eq!((newer.pool_mode, newer.verify), (PoolMode::Transaction, Verify::Always));
    assert_eq!(newer.limits.idle_transaction_timeout, Some(Duration::from_secs(1)));
    assert_eq!(newer.limits.query_timeout, Some(Duration::from_hours(1)));

    for timeout in ["idleTransactionTimeout", "queryTimeout"] {
        assert!(read_with(&|settings| settings["limits"][timeout] = json!("999ms")).is_err(), "{timeout}");
    }
}

#[test]
fn refuses_limits_that_no_pool_can_keep() {
    for (pointer, value) in [
        ("/limits/min", json!(0)),
        ("/limits/min", json!(21)),
        ("/limits/max", json!(0)),
        ("/limits/idleTimeout", json!("999ms")),
        ("/limits/connectionTimeout", json!("0s")),
        ("/limits/maxLifetime", json!("fast")),
        ("/poolMode", json!("statement")),
        ("/client", json!("client-of-tomorrow")),
    ] {
        let message = changed_settings(pointer, &value);
        assert!(message.starts_with("WEIR_SETTINGS "), "{message}");
    }
}

proptest! {
    #[test]
    fn never_panics_and_never_shows_the_url(settings in ".*", listen in ".*", keys in ".*") {
        let mut environment = environment();
        environment.insert(ENV_SETTINGS, settings);
        environment.insert(ENV_LISTEN, listen);
        environment.insert(ENV_PUBLIC_KEYS, keys);
        if let Err(error) = read(&environment) {
            prop_assert!(!error.to_string().contains("canary-password"));
        }
    }
}
