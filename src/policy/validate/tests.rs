//! Effective values and the words of refusals; agreement with the API server is shown in `tests/it/crd.rs`.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::crd::bounds;

/// Every pool of `examples/`.
pub(crate) fn examples() -> Vec<ConnectionPool> {
    let files = [
        include_str!("../../../examples/minimal.yaml"),
        include_str!("../../../examples/orders.yaml"),
        include_str!("../../../examples/own-pool.yaml"),
        include_str!("../../../examples/prisma.yaml"),
    ];
    let documents =
        files.iter().flat_map(|file| serde_saphyr::from_multiple::<Value>(file).expect("an example is YAML"));
    documents.filter(|document| document["kind"] == "ConnectionPool").map(|document| read_back(&document)).collect()
}

/// Reads a pool and shows that no field of it was dropped as unknown.
fn read_back(document: &Value) -> ConnectionPool {
    let pool = read::read(document).expect("an example has the right types");
    assert_eq!(serde_json::to_value(&pool).unwrap()["spec"], document["spec"]);
    pool
}

fn pool(spec: &Value) -> ConnectionPool {
    let metadata = json!({"name": "orders", "namespace": "shop", "generation": 7});
    read::read(
        &json!({"apiVersion": "weir.dev/v1alpha1", "kind": "ConnectionPool", "metadata": metadata, "spec": spec}),
    )
    .unwrap()
}

fn spec(profile: &str, limits: &Value) -> Value {
    json!({"profile": profile, "selector": {"matchLabels": {"app": "orders"}}, "limits": limits})
}

fn valid(spec: &Value) -> ValidatedPool {
    validate(&pool(spec)).unwrap_or_else(|violations| panic!("{violations:?}"))
}

fn refusals(spec: &Value) -> Vec<String> {
    validate(&pool(spec)).expect_err("a rule is broken").iter().map(ToString::to_string).collect()
}

#[test]
fn every_example_is_valid() {
    let examples = examples();
    let names: Vec<_> = examples.iter().map(|pool| pool.metadata.name.as_deref().unwrap_or_default()).collect();
    assert_eq!(names, ["minimal", "orders", "reports", "catalog"]);
    for pool in &examples {
        let valid = validate(pool).unwrap_or_else(|violations| panic!("{violations:?}"));
        assert_eq!(valid.warnings, [""; 0]);
    }
    // The list above is of every file.
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples")).unwrap();
    assert_eq!(folder.count(), 4);
}

#[test]
fn the_profile_fills_what_is_left_open() {
    let pool = valid(&spec("production", &json!({})));
    let expected = Limits {
        min: 5,
        max: 20,
        idle_timeout: Duration::from_secs(30),
        connection_timeout: Duration::from_secs(10),
        max_lifetime: Duration::from_mins(30),
        idle_transaction_timeout: None,
        query_timeout: None,
    };
    assert_eq!(pool.limits, expected);
    assert_eq!((pool.namespace.as_str(), pool.name.as_str(), pool.generation), ("shop", "orders", 7));
    assert_eq!((pool.env.as_str(), pool.dialect.id, pool.mode), ("DATABASE_URL", "none", Mode::Pooler));
    assert_eq!(pool.placeholders, Placeholders { user: "weir".to_owned(), database: "weir".to_owned() });
    assert_eq!(pool.thresholds, Thresholds { warning: 80, critical: 90 });
    assert_eq!(pool.failure_policy, FailurePolicy::Ignore);
    let probe = Probe {
        path: "/health/pool".to_owned(),
        port: None,
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(1),
    };
    assert_eq!(pool.probe, probe);
}

#[test]
fn a_profiles_min_gives_way_to_a_smaller_max() {
    for (profile, limits, expected) in [
        ("production", json!({"max": 3}), (3, 3)),
        ("production", json!({"min": 20}), (20, 20)),
        ("production", json!({"max": 50}), (5, 50)),
        ("test", json!({"min": 2, "max": 9}), (2, 9)),
        ("development", json!({"max": 1}), (1, 1)),
    ] {
        let Limits { min, max, .. } = valid(&spec(profile, &limits)).limits;
        assert_eq!((min, max), expected, "{profile} {limits}");
    }
}

#[test]
fn a_refusal_names_field_value_and_remedy() {
    assert_eq!(
        refusals(&spec("production", &json!({"min": 21}))),
        ["spec.limits.min is 21, above the effective maximum of 20; lower min or raise spec.limits.max"]
    );
    assert_eq!(
        refusals(&spec("staging", &json!({"idleTimeout": "30", "maxLifetime": "2d", "connectionTimeout": "999ms"}))),
        [
            "spec.profile is \"staging\"; set it to one of \"development\", \"test\", \"production\"",
            "spec.limits.idleTimeout is \"30\"; write a whole number and one of ms, s, m, h, such as 30s or 1500ms",
            "spec.limits.connectionTimeout is 999ms; set it to at least 1s (1000ms) and at most 24h",
            "spec.limits.maxLifetime is \"2d\"; write a whole number and one of ms, s, m, h, such as 30s or 1500ms",
        ]
    );
    let unknown = json!({"profile": "test", "selector": {"matchLabels": {"app": "a"}}, "client": "hikari"});
    let list: Vec<String> = crate::policy::dialect::ids().map(|id| format!("{id:?}")).collect();
    assert_eq!(refusals(&unknown), [format!("spec.client is \"hikari\"; set it to one of {}", list.join(", "))]);
}

#[test]
fn a_url_in_the_wrong_field_is_not_repeated() {
    let pasted = json!({"profile": "test", "selector": {"matchLabels": {"app": "a"}}, "database": {"env": "postgresql://u:secret@h/d"}});
    assert_eq!(
        refusals(&pasted),
        [
            "spec.database.env is no name of a variable; use letters, digits and '_', not starting with a digit, such as ORDERS_DATABASE_URL"
        ]
    );
}

#[test]
fn a_word_of_a_newer_version_is_refused_at_its_field() {
    let newer = json!({
        "profile": "test", "selector": {"matchLabels": {"app": "a"}}, "sidecar": {"mode": "Observer", "poolMode": "statement", "verify": "never"},
        "failurePolicy": "Retry",
    });
    let violations = validate(&pool(&newer)).unwrap_err();
    let fields: Vec<&str> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["spec.sidecar.mode", "spec.sidecar.poolMode", "spec.sidecar.verify", "spec.failurePolicy"]);
}

#[test]
fn pooling_is_as_the_pool_says() {
    let with = |sidecar: &Value, limits: &Value| {
        let mut spec = spec("test", limits);
        spec["sidecar"] = sidecar.clone();
        spec
    };
    let none = json!({});
    let pool = valid(&with(&none, &none));
    assert_eq!((pool.pool_mode, pool.verify), (PoolMode::Transaction, Verify::Hints));
    assert_eq!((pool.limits.idle_transaction_timeout, pool.limits.query_timeout), (None, None));
    let pool =
        valid(&with(&json!({"verify": "always"}), &json!({"idleTransactionTimeout": "1s", "queryTimeout": "5m"})));
    assert_eq!((pool.pool_mode, pool.verify), (PoolMode::Transaction, Verify::Always));
    let (idle, query) = (pool.limits.idle_transaction_timeout, pool.limits.query_timeout);
    assert_eq!((idle, query), (Some(Duration::from_secs(1)), Some(Duration::from_mins(5))));
    assert_eq!(
        refusals(&with(&json!({"poolMode": "session", "verify": "hints"}), &json!({"queryTimeout": "999ms"}))),
        [
            "spec.limits.queryTimeout is 999ms; set it to at least 1s (1000ms) and at most 24h",
            "spec.sidecar.verify has no effect in session pooling; remove it, or set spec.sidecar.poolMode to transaction",
        ]
    );
}

#[test]
fn warnings_are_on_effective_values() {
    let warnings = |limits: &Value| valid(&spec("production", limits)).warnings;
    assert_eq!(warnings(&json!({"max": 100, "min": 50})), [""; 0]);
    let max = "spec.limits.max is 101, above 100: every pod may open that many connections, and PostgreSQL slows down with some hundreds \
               of them; lower it unless more was measured to be faster";
    let min = "spec.limits.min is 51, above 50: every pod holds that many connections even when it is idle; lower it unless first \
               queries after a quiet time are too slow";
    assert_eq!(warnings(&json!({"max": 101})), [max]);
    assert_eq!(warnings(&json!({"max": 101, "min": 51})), [max, min]);
}

#[test]
fn wrong_types_are_named_by_their_path() {
    let object = |spec: Value| json!({"metadata": {"name": "a"}, "spec": spec});
    for (spec, field) in [
        (json!({"limits": {"max": "20"}}), "spec.limits.max"),
        (json!({"limits": [1, 2]}), "spec.limits"),
        (json!({"selector": {"matchExpressions": [{"key": 5}]}}), "spec.selector.matchExpressions[0].key"),
        (json!({"profile": 5}), "spec.profile"),
        (Value::Null, "spec"),
    ] {
        let violation = read::read(&object(spec)).unwrap_err();
        assert_eq!(violation.field, field);
        assert!(violation.to_string().starts_with(field), "{violation}");
    }
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![".{0,20}", "[0-9]{0,20}(ms|s|m|h)", "[a-z./_-]{0,70}", Just("x".repeat(400))]
}

proptest! {
    /// Whatever is stored, a pool is valid and legal or refused with a field; nothing panics.
    #[test]
    fn any_pool_is_legal_or_refused(
        words in prop::collection::vec(texts(), 12),
        numbers in prop::collection::vec(prop_oneof![any::<i64>(), -2..200_i64], 5),
        none in any::<bool>(),
    ) {
        let mode = if none { "None" } else { "Pooler" };
        let spec = json!({
            "profile": "test", "selector": {"matchLabels": {&words[0]: &words[1]}, "matchExpressions": [{"key": &words[2], "operator": "In", "values": [&words[3]]}]},
            "limits": {"min": numbers[0], "max": numbers[1], "idleTimeout": &words[4], "connectionTimeout": &words[5]},
            "database": {"env": &words[6], "user": &words[7], "name": &words[8]}, "sidecar": {"mode": mode},
            "probe": {"path": &words[9], "port": numbers[2], "interval": &words[10], "timeout": &words[11]},
            "thresholds": {"warning": numbers[3], "critical": numbers[4]},
        });
        match validate(&pool(&spec)) {
            Err(violations) => {
                prop_assert!(!violations.is_empty());
                prop_assert!(violations.iter().all(|violation| violation.field.starts_with("spec.") && !violation.message.contains('\n')));
            }
            Ok(pool) => {
                let Limits { min, max, idle_timeout, .. } = pool.limits;
                prop_assert!(1 <= min && min <= max && i64::from(max) <= bounds::CONNECTIONS_MAX);
                prop_assert!(idle_timeout >= crate::policy::limits::TIMEOUT_MIN);
                prop_assert!(pool.thresholds.warning < pool.thresholds.critical && pool.probe.timeout <= pool.probe.interval);
                prop_assert_eq!(pool.probe.port.is_some(), pool.mode == Mode::None);
            }
        }
    }
}
