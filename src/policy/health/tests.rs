use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::policy::limits::Profile;

fn counts(active: u32, idle: u32, waiting: u32, granted: u32) -> Counts {
    Counts { active, idle, waiting, granted }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn report(active: u32, idle: u32, waiting: u32) -> Report {
    let limits = Profile::Production.limits();
    Report::new(counts(active, idle, waiting, limits.max), &limits, at("2026-03-01T12:00:00.1239Z"))
}

#[test]
fn is_the_contract_field_by_field() {
    assert_eq!(
        serde_json::to_value(report(12, 3, 4)).unwrap(),
        json!({
            "status": "healthy",
            "metrics": {
                "activeConnections": 12, "idleConnections": 3, "waitingRequests": 4, "totalConnections": 15, "poolSize": 20
            },
            "config": {"min": 5, "max": 20, "idleTimeout": 30000, "connectionTimeout": 10000},
            "utilization": {"percent": 75.0, "status": "normal", "busyPercent": 80.0},
            "timestamp": "2026-03-01T12:00:00.123Z",
            "granted": 20,
        })
    );
}

#[test]
fn turns_at_80_and_at_90_percent() {
    let verdict = |total| {
        let report = report(total, 0, 0);
        (report.utilization.percent, report.utilization.status, report.status)
    };
    assert_eq!(verdict(15), (75.0, UtilizationStatus::Normal, Health::Healthy));
    assert_eq!(verdict(16), (80.0, UtilizationStatus::Warning, Health::Healthy));
    assert_eq!(verdict(17), (85.0, UtilizationStatus::Warning, Health::Healthy));
    assert_eq!(verdict(18), (90.0, UtilizationStatus::Critical, Health::Unhealthy));
    assert_eq!(verdict(20), (100.0, UtilizationStatus::Critical, Health::Unhealthy));
}

#[test]
fn pool_size_is_what_is_open_while_it_shrinks() {
    let limits = Limits { max: 5, ..Profile::Production.limits() };
    let report = Report::new(counts(7, 1, 0, 5), &limits, at("2026-03-01T12:00:00Z"));
    assert_eq!(report.metrics.pool_size, 8);
    assert_eq!(report.config.max, 5);
    assert!((report.utilization.percent - 100.0).abs() < f64::EPSILON);
    assert_eq!(report.utilization.busy_percent, Some(140.0));
    assert_eq!(report.timestamp, "2026-03-01T12:00:00.000Z");
}

#[test]
fn one_decimal_is_rounded_half_up() {
    let limits = Limits { max: 3, ..Profile::Test.limits() };
    let percent = |total| Report::new(counts(total, 0, 0, 3), &limits, at("2026-03-01T12:00:00Z")).utilization.percent;
    assert_eq!([percent(1), percent(2)].map(|percent| percent.to_string()), ["33.3", "66.7"]);
}

/// A report of an application that is not ours: the fields of the contract and nothing else.
fn theirs() -> Value {
    json!({
        "status": "healthy",
        "metrics": {"activeConnections": 3, "idleConnections": 2, "waitingRequests": 0, "totalConnections": 5, "poolSize": 10},
        "config": {"min": 2, "max": 10, "idleTimeout": 10000, "connectionTimeout": 5000},
        "utilization": {"percent": 50, "status": "normal"},
        "timestamp": "2026-03-01T12:00:00.123Z",
        "uptime": 17,
    })
}

#[test]
fn reads_a_report_of_another_writer() {
    let report = Report::parse(theirs().to_string().as_bytes()).unwrap();
    assert_eq!(report.metrics.total_connections, 5);
    assert_eq!(report.granted, None);
    assert_eq!(report.pod, None);
}

#[test]
fn refuses_what_cannot_be_true() {
    let cases: [(&str, Value); 22] = [
        ("/metrics/activeConnections", json!(-1)),
        ("/metrics/activeConnections", json!(4)),
        ("/metrics/activeConnections", json!(4_294_967_295_u64)),
        ("/metrics/activeConnections", json!(1e300)),
        ("/metrics/waitingRequests", json!(1_048_577)),
        ("/metrics/totalConnections", json!(11)),
        ("/metrics/poolSize", json!(0)),
        ("/metrics/poolSize", json!(4)),
        ("/metrics/poolSize", json!(262_144)),
        ("/metrics/poolSize", json!(null)),
        ("/config/min", json!(11)),
        ("/config/idleTimeout", json!("30s")),
        ("/utilization/percent", json!(-50)),
        ("/utilization/percent", json!(50.2)),
        ("/utilization/percent", json!(5e301)),
        ("/utilization/percent", json!("NaN")),
        ("/utilization/status", json!("critical")),
        ("/utilization/status", json!("fine")),
        ("/status", json!("ok")),
        ("/timestamp", json!("yesterday")),
        ("/timestamp", json!(0)),
        ("/timestamp", json!("2026-03-01T12:00:00")),
    ];
    for (pointer, value) in cases {
        let mut body = theirs();
        *body.pointer_mut(pointer).unwrap() = value.clone();
        assert!(Report::parse(body.to_string().as_bytes()).is_err(), "{pointer} {value}");
    }
    let extra: [(&str, Value); 8] = [
        ("granted", json!(262_144)),
        ("granted", json!(-1)),
        ("pod", json!("a".repeat(65))),
        ("pod", json!("pod\nforged line")),
        ("boot", json!("\u{1b}[2J")),
        ("database", json!({"reachable": false, "sqlstate": "28P01 for user admin"})),
        ("database", json!({"reachable": "yes"})),
        ("database", json!(true)),
    ];
    for (field, value) in extra {
        let mut body = theirs();
        body[field] = value.clone();
        assert!(Report::parse(body.to_string().as_bytes()).is_err(), "{field} {value}");
    }
}

#[test]
fn the_busy_share_is_of_the_grant_or_of_the_whole_pool() {
    let with = |busy: f64, granted: Value| {
        let mut body = theirs();
        body["utilization"]["busyPercent"] = json!(busy);
        body["granted"] = granted;
        Report::parse(body.to_string().as_bytes()).map(|report| report.utilization.busy_percent)
    };
    let rule = "utilization.busyPercent is not (activeConnections + waitingRequests) / granted * 100";
    for granted in [json!(null), json!(10)] {
        assert_eq!(with(30.0, granted.clone()), Ok(Some(30.0)));
        assert_eq!(with(50.0, granted), Err(ReportError::Inconsistent(rule)));
    }
    assert_eq!(with(60.0, json!(5)), Ok(Some(60.0)));
}

#[test]
fn a_wrong_answer_is_told_by_field_and_by_what_it_should_be() {
    let said = |pointer: &str, value: Value| {
        let mut body = theirs();
        *body.pointer_mut(pointer).unwrap() = value;
        Report::parse(body.to_string().as_bytes()).unwrap_err().to_string()
    };
    assert_eq!(said("/metrics/poolSize", json!("10")), "metrics.poolSize is not a whole number from 0 to 4294967295");
    assert_eq!(said("/metrics/poolSize", json!(0)), "metrics.poolSize is 0");
    assert_eq!(said("/metrics", json!([])), "metrics is not an object");
    assert_eq!(said("/config/idleTimeout", json!("30s")), "config.idleTimeout is not a whole number of milliseconds");
    assert_eq!(said("/status", json!("ok")), "status is not healthy or unhealthy");
    assert_eq!(
        said("/utilization/percent", json!(0.5)),
        "utilization.percent is not totalConnections / poolSize * 100"
    );
    assert_eq!(said("/timestamp", json!("2026-03-01T12:00:00")), "timestamp is not a time of RFC 3339");
    for body in ["", "[]", "3", "<html>", "{\"status\": NaN}"] {
        assert_eq!(Report::parse(body.as_bytes()), Err(ReportError::Malformed), "{body}");
    }
}

/// The reader and its list of fields agree: each field is missed where it is required, and named where it is wrong.
#[test]
fn every_field_is_missed_and_checked_by_name() {
    let mut full = serde_json::to_value(report(12, 3, 4)).unwrap();
    full["pod"] = json!("u1");
    full["boot"] = json!("b1");
    full["generation"] = json!(3);
    full["database"] = json!({"reachable": true, "sqlstate": "08001"});
    assert!(Report::parse(full.to_string().as_bytes()).is_ok());
    let optional = ["utilization.busyPercent", "granted", "pod", "boot", "generation", "database", "database.sqlstate"];
    for field in fields::FIELDS {
        let (parent, name) = field.name.rsplit_once('.').unwrap_or(("", field.name));
        let parent = if parent.is_empty() { String::new() } else { format!("/{parent}") };
        let mut without = full.clone();
        without.pointer_mut(&parent).unwrap().as_object_mut().unwrap().remove(name).expect("the report has it");
        let read = Report::parse(without.to_string().as_bytes());
        if optional.contains(&field.name) {
            assert!(read.is_ok(), "{}", field.name);
        } else {
            assert_eq!(read, Err(ReportError::Missing(field.name)));
        }
        let mut wrong = full.clone();
        wrong.pointer_mut(&parent).unwrap()[name] = json!([]);
        assert_eq!(Report::parse(wrong.to_string().as_bytes()), Err(ReportError::Field(field)));
    }
    let listed: Vec<_> = fields::FIELDS.iter().map(|field| field.name.to_owned()).collect();
    let mut found = Vec::new();
    for (name, value) in full.as_object().unwrap() {
        found.push(name.clone());
        found.extend(value.as_object().into_iter().flatten().map(|(inner, _)| format!("{name}.{inner}")));
    }
    assert_eq!(found.iter().collect::<BTreeSet<_>>(), listed.iter().collect::<BTreeSet<_>>());
}

#[test]
fn an_unhealthy_pool_below_90_percent_may_have_its_own_reason_but_a_healthy_one_above_may_not() {
    let mut body = theirs();
    body["status"] = json!("unhealthy");
    assert_eq!(Report::parse(body.to_string().as_bytes()).unwrap().status, Health::Unhealthy);

    let mut body = serde_json::to_value(report(20, 0, 0)).unwrap();
    body["status"] = json!("healthy");
    assert_eq!(
        Report::parse(body.to_string().as_bytes()),
        Err(ReportError::Inconsistent("status is healthy at a utilization of 90 % or above"))
    );
}

#[test]
fn repeats_nothing_of_what_was_sent() {
    for body in [
        r#"{"status":"secret-canary"}"#.to_owned(),
        r#"{"secret-canary":1,"status":"healthy"}"#.to_owned(),
        theirs().to_string().replace("\"uptime\":17", "\"secret-canary\":}"),
        theirs().to_string().replace("2026-03-01T12:00:00.123Z", "secret-canary"),
        theirs().to_string().replace(":50,", ":\"secret-canary\","),
        "[".repeat(BYTES_MAX),
    ] {
        let error = Report::parse(body.as_bytes()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
}

prop_compose! {
    fn any_limits()(max in 1..=CONNECTIONS_MAX, min in 1..=CONNECTIONS_MAX, idle in 1_000..100_000_000_u64, connect in 1_000..100_000_000_u64)
        -> Limits
    {
        Limits {
            min: min.min(max),
            max,
            idle_timeout: Duration::from_millis(idle),
            connection_timeout: Duration::from_millis(connect),
            max_lifetime: Duration::from_mins(30),
            idle_transaction_timeout: None,
            query_timeout: None,
        }
    }
}

proptest! {
    #[test]
    fn adds_up_for_any_counts(
        active in 0..=CONNECTIONS_MAX / 2,
        idle in 0..=CONNECTIONS_MAX / 2,
        waiting in 0..=WAITING_MAX,
        granted in 0..=CONNECTIONS_MAX,
        limits in any_limits(),
        second in 0..4_000_000_000_i64,
    ) {
        let now = Timestamp::from_second(second).unwrap();
        let report = Report::new(counts(active, idle, waiting, granted), &limits, now);
        let total = report.metrics.total_connections;
        prop_assert_eq!(total, active + idle);
        prop_assert!(total <= report.metrics.pool_size);
        prop_assert!(report.metrics.pool_size == limits.max || report.metrics.pool_size == total);
        let exact = f64::from(total) / f64::from(report.metrics.pool_size) * 100.0;
        prop_assert!((report.utilization.percent - exact).abs() <= 0.0501, "{} {}", report.utilization.percent, exact);
        prop_assert_eq!(report.status == Health::Unhealthy, report.utilization.percent >= 90.0);
        prop_assert_eq!(report.utilization.status == UtilizationStatus::Critical, report.utilization.percent >= 90.0);
        prop_assert_eq!(report.utilization.status == UtilizationStatus::Normal, report.utilization.percent < 80.0);
        let written = serde_json::to_vec(&report).unwrap();
        prop_assert!(written.len() <= BYTES_MAX);
        prop_assert_eq!(Report::parse(&written), Ok(report));
    }

    #[test]
    fn counts_never_overflow(active: u32, idle: u32, waiting: u32, granted: u32, max: u32) {
        let limits = Limits { max, ..Profile::Production.limits() };
        let report = Report::new(counts(active, idle, waiting, granted), &limits, Timestamp::UNIX_EPOCH);
        prop_assert!(report.metrics.total_connections <= report.metrics.pool_size);
        prop_assert!(report.utilization.percent <= 100.0);
        prop_assert!(report.utilization.busy_percent.unwrap().is_finite());
    }

    #[test]
    fn parse_never_panics(body: Vec<u8>) {
        let _ = Report::parse(&body);
    }

    #[test]
    fn one_changed_count_is_always_noticed(
        active in 0..20_u32,
        field in prop::sample::select(vec!["activeConnections", "idleConnections", "totalConnections"]),
        value in 0..100_u32,
    ) {
        let mut body = serde_json::to_value(report(active, 20 - active, 0)).unwrap();
        prop_assume!(body["metrics"][field] != json!(value));
        body["metrics"][field] = json!(value);
        prop_assert!(Report::parse(body.to_string().as_bytes()).is_err());
    }
}
