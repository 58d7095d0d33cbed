//! One row for each state that a pool can be in, and the conditions that it shall show.

use super::*;

/// `+` True, `-` False, `?` Unknown, before each reason; in the order of the list.
struct Row {
    name: &'static str,
    scene: Scene,
    conditions: &'static [&'static str],
    /// The column REASON.
    column: &'static str,
}

fn row(
    name: &'static str,
    change: impl Fn(&mut Scene),
    conditions: &'static [&'static str],
    column: &'static str,
) -> Row {
    let mut scene = Scene::new();
    change(&mut scene);
    Row { name, scene, conditions, column }
}

const FINE: [&str; 6] = [
    "+Ready InForce",
    "+Accepted Valid",
    "+Injected AllInjected",
    "+Reachable AllAnswer",
    "+DatabaseReachable AllConnected",
    "-Saturated Normal",
];

fn failed(reason: Reason) -> EntryState {
    EntryState::Failed { reason, message: "what came back".to_owned() }
}

#[rustfmt::skip]
fn rows() -> Vec<Row> {
    vec![
        row("all is well", |_| {}, &FINE, "Normal"),
        row("the spec is broken", |s| s.validation = Err(vec![Violation { field: "spec.limits.min".to_owned(), message: "spec.limits.min is 0".to_owned() }]),
            &["-Ready Invalid", "-Accepted Invalid", "?Injected Invalid", FINE[3], FINE[4], FINE[5], "+Stalled Invalid"], "Invalid"),
        row("a new generation is taken in", |s| s.entry = EntryState::Pending,
            &["-Ready EntryPending", FINE[1], FINE[2], FINE[3], FINE[4], FINE[5], "+Reconciling EntryPending"], "EntryPending"),
        row("no room for the entry", |s| s.entry = failed(Reason::ConfigurationFull),
            &["-Ready ConfigurationFull", FINE[1], FINE[2], FINE[3], FINE[4], FINE[5]], "ConfigurationFull"),
        row("pools have no effect in the namespace", |s| s.entry = failed(Reason::NamespaceExcluded),
            &["-Ready NamespaceExcluded", FINE[1], FINE[2], FINE[3], FINE[4], FINE[5]], "NamespaceExcluded"),
        row("the entry is refused", |s| s.entry = failed(Reason::ConfigurationRefused),
            &["-Ready ConfigurationRefused", FINE[1], FINE[2], FINE[3], FINE[4], FINE[5]], "ConfigurationRefused"),
        row("the webhook can't be called", |s| s.entry = failed(Reason::WebhookUnreachable),
            &["-Ready WebhookUnreachable", FINE[1], FINE[2], FINE[3], FINE[4], FINE[5]], "WebhookUnreachable"),
        row("the entry is not called", |s| s.entry = failed(Reason::WebhookNotCalled),
            &["-Ready WebhookNotCalled", FINE[1], FINE[2], FINE[3], FINE[4], FINE[5]], "WebhookNotCalled"),
        row("no pod matches", |s| (s.fleet, s.instances) = (Fleet::default(), vec![]),
            &[FINE[0], FINE[1], "+Injected NoMatchingPods", "?Reachable NoInstances", "?DatabaseReachable NoInstances", "?Saturated NoInstances"], "NoMatchingPods"),
        row("the pods can't be listed", |s| (s.fleet, s.instances) = (Fleet { unseen: true, ..Fleet::default() }, vec![]),
            &[FINE[0], FINE[1], "?Injected PodsUnknown", "?Reachable NoInstances", "?DatabaseReachable NoInstances", "?Saturated NoInstances"], "PodsUnknown"),
        row("the first pod starts", |s| (s.fleet, s.instances) = (Fleet { matched: 1, injected: 1, ..Fleet::default() }, vec![]),
            &[FINE[0], FINE[1], FINE[2], "?Reachable NoInstances", "?DatabaseReachable NoInstances", "?Saturated NoInstances"], "NoInstances"),
        row("pods are older than the pool", |s| s.fleet = Fleet { matched: 5, injected: 2, missed: vec!["x".into(), "y".into(), "z".into()], missed_count: 3, ..Fleet::default() },
            &[FINE[0], FINE[1], "-Injected PodsMissed", FINE[3], FINE[4], FINE[5]], "PodsMissed"),
        row("pods are left alone", |s| s.fleet = Fleet { matched: 3, injected: 2, skipped: vec![("x".into(), "EnvFrom".into())], skipped_count: 1, ..Fleet::default() },
            &[FINE[0], FINE[1], "-Injected PodsSkipped", FINE[3], FINE[4], FINE[5]], "PodsSkipped"),
        row("pods carry older settings", |s| s.fleet.stale = vec![(1, 2)],
            &[FINE[0], FINE[1], "+Injected OlderSettings", FINE[3], FINE[4], FINE[5]], "OlderSettings"),
        row("an instance is silent", |s| s.instances.push(silent("c", ProbeFailure::Timeout)),
            &[FINE[0], FINE[1], FINE[2], "-Reachable InstancesUnreachable", FINE[4], FINE[5]], "InstancesUnreachable"),
        row("an instance is something else", |s| s.instances.push(silent("c", ProbeFailure::Status(404))),
            &[FINE[0], FINE[1], FINE[2], "-Reachable InvalidAnswers", FINE[4], FINE[5]], "InvalidAnswers"),
        row("an instance breaks the contract", |s| s.instances.push(silent("c", ProbeFailure::Contract(ReportError::Missing("timestamp")))),
            &[FINE[0], FINE[1], FINE[2], "-Reachable InvalidAnswers", FINE[4], FINE[5]], "InvalidAnswers"),
        row("every instance is silent", |s| s.instances = vec![silent("a", ProbeFailure::Refused)],
            &[FINE[0], FINE[1], FINE[2], "-Reachable InstancesUnreachable", "?DatabaseReachable NotReported", "?Saturated NotReported"], "InstancesUnreachable"),
        row("the application reports no login", |s| s.instances = vec![database(instance("a", 1, 0), None)],
            &[FINE[0], FINE[1], FINE[2], FINE[3], "?DatabaseReachable NotReported", FINE[5]], "Normal"),
        row("the database is gone", |s| s.instances.push(locked_out("c", "08001")),
            &[FINE[0], FINE[1], FINE[2], FINE[3], "-DatabaseReachable ConnectionFailed", FINE[5]], "ConnectionFailed"),
        row("the password is wrong", |s| s.instances.push(locked_out("c", "28P01")),
            &[FINE[0], FINE[1], FINE[2], FINE[3], "-DatabaseReachable AuthenticationFailed", FINE[5]], "AuthenticationFailed"),
        row("there is no such database", |s| s.instances.push(locked_out("c", "3D000")),
            &[FINE[0], FINE[1], FINE[2], FINE[3], "-DatabaseReachable DatabaseMissing", FINE[5]], "DatabaseMissing"),
        row("the server is full", |s| s.instances.push(locked_out("c", "53300")),
            &[FINE[0], FINE[1], FINE[2], FINE[3], "-DatabaseReachable TooManyConnections", FINE[5]], "TooManyConnections"),
        row("the server starts", |s| s.instances.push(locked_out("c", "57P03")),
            &[FINE[0], FINE[1], FINE[2], FINE[3], "-DatabaseReachable LoginRefused", FINE[5]], "LoginRefused"),
        row("it is busy", |s| s.instances = vec![instance("a", 9, 0), instance("b", 8, 0)],
            &[FINE[0], FINE[1], FINE[2], FINE[3], FINE[4], "+Saturated Elevated"], "Elevated"),
        row("clients wait", |s| s.instances = vec![instance("a", 10, 7), instance("b", 10, 3)],
            &[FINE[0], FINE[1], FINE[2], FINE[3], FINE[4], "+Saturated Critical"], "Critical"),
    ]
}

fn shown(status: &ConnectionPoolStatus) -> Vec<String> {
    let sign = |status: &str| match status {
        "True" => '+',
        "False" => '-',
        _ => '?',
    };
    status.conditions.iter().map(|c| format!("{}{} {}", sign(&c.status), c.type_, c.reason)).collect()
}

#[test]
fn each_state_shows_its_conditions() {
    for row in rows() {
        let status = row.scene.status(None, 100);
        assert_eq!(shown(&status), row.conditions, "{}", row.name);
        assert_eq!(status.reason.as_deref(), Some(row.column), "{}", row.name);
        assert_eq!(status.observed_generation, Some(2), "{}", row.name);
        for condition in &status.conditions {
            assert_eq!(condition.observed_generation, Some(2), "{}: {}", row.name, condition.type_);
            assert!(
                !condition.message.is_empty() && !condition.message.ends_with('.'),
                "{}: {:?}",
                row.name,
                condition.message
            );
        }
    }
}

/// The kstatus rules (kubernetes-sigs/cli-utils, pkg/kstatus) on each row: what Flux, Helm and `kubectl wait` conclude.
#[test]
fn waiters_conclude_what_holds() {
    for row in rows() {
        let status = row.scene.status(None, 100);
        let is = |kind, value: &str| find(&status, kind).is_some_and(|condition| condition.status == value);
        let conclusion = if is(ConditionType::Reconciling, "True") {
            "InProgress"
        } else if is(ConditionType::Stalled, "True") {
            "Failed"
        } else if is(ConditionType::Ready, "True") {
            "Current"
        } else {
            "InProgress"
        };
        let expected = match (&row.scene.validation, &row.scene.entry) {
            (Err(_), _) => "Failed",
            (Ok(_), EntryState::InForce) => "Current",
            (Ok(_), _) => "InProgress",
        };
        assert_eq!(conclusion, expected, "{}", row.name);
    }
}

/// What is documented, what exists and what happens are the same.
#[test]
fn every_reason_is_documented_and_happens() {
    let documented = include_str!("../../../../docs/conditions.md");
    // | `Type` | status | `Reason` | meaning | remedy |
    let table: Vec<String> = documented
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let [_, kind, status, reason, _, _, _] = cells.as_slice() else { return None };
            let kind = ConditionType::parse(kind.trim_matches('`'))?;
            let sign = match *status {
                "True" => '+',
                "False" => '-',
                _ => '?',
            };
            Some(format!("{sign}{} {}", kind.as_str(), reason.trim_matches('`')))
        })
        .collect();
    let mut happens: Vec<String> = rows().iter().flat_map(|row| shown(&row.scene.status(None, 100))).collect();
    happens.sort_unstable();
    happens.dedup();
    let mut sorted = table.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, happens, "docs/conditions.md against the truth table");
    for reason in Reason::ALL {
        assert!(
            happens.iter().any(|line| line.ends_with(&format!(" {}", reason.as_str()))),
            "{reason:?} never happens"
        );
    }
    for kind in ConditionType::ALL {
        assert!(
            happens.iter().any(|line| line[1..].starts_with(&format!("{} ", kind.as_str()))),
            "{kind:?} never happens"
        );
        assert!(documented.contains(&format!("## {}\n", kind.as_str())), "{kind:?} has no chapter");
    }
}

#[test]
fn figures_are_sums_and_the_worst_is_named() {
    let mut scene = Scene::new();
    scene.instances = vec![instance("b", 10, 4), instance("a", 1, 0), silent("c", ProbeFailure::Timeout)];
    let status = scene.status(None, 100);
    assert_eq!(status.pods.as_deref(), Some("2/2"));
    assert_eq!(status.used.as_deref(), Some("20"));
    assert_eq!(status.utilization.as_deref(), Some("75%"));
    assert_eq!(status.waiting, Some(4));
    assert_eq!(status.worst_instance.as_deref(), Some("b"));
    assert_eq!(status.mode.as_deref(), Some("Pooler"));
    assert_eq!(status.client.as_deref(), Some("none"));
    let saturated = find(&status, ConditionType::Saturated).unwrap();
    assert_eq!(saturated.message, "75% busy, worst b at 140%, 4 clients waiting");
}

#[test]
fn messages_name_three_pods_and_say_what_to_do() {
    let mut scene = Scene::new();
    let names = ["p1", "p2", "p3"].map(str::to_owned).to_vec();
    scene.fleet = Fleet { matched: 9, injected: 2, missed: names, missed_count: 7, ..Fleet::default() };
    let status = scene.status(None, 100);
    assert_eq!(
        find(&status, ConditionType::Injected).unwrap().message,
        "7 pods without the pool (p1, p2, p3 and 4 more): older than the pool, or created while the webhook was away; delete them, or \
         restart their workload with `kubectl rollout restart`"
    );
    scene.fleet = Fleet { matched: 9, injected: 9, stale: vec![(1, 4)], ..Fleet::default() };
    let status = scene.status(None, 100);
    assert_eq!(
        find(&status, ConditionType::Injected).unwrap().message,
        "4 pods on generation 1, the spec is at generation 2; restart their workload with `kubectl rollout restart` to apply it"
    );
    scene.instances = ["d", "b", "a", "c"].map(|pod| silent(pod, ProbeFailure::Refused)).to_vec();
    let status = scene.status(None, 100);
    let message = &find(&status, ConditionType::Reachable).unwrap().message;
    assert!(message.starts_with("4 of 4 instances not answering (a: connection refused, b: connection refused, c: connection refused and 1 more)"), "{message}");
}

#[test]
fn a_wrong_answer_is_told_with_its_field_and_a_wrong_endpoint_as_such() {
    let message = |failures: &[ProbeFailure]| {
        let mut scene = Scene::new();
        scene.instances = failures.iter().zip(["a", "b"]).map(|(failure, pod)| silent(pod, *failure)).collect();
        find(&scene.status(None, 100), ConditionType::Reachable).unwrap().message.clone()
    };
    let broken = ProbeFailure::Contract(ReportError::Missing("metrics.poolSize"));
    let endpoint = "check that spec.probe names the endpoint that serves the health contract";
    let contract = "correct what it says: docs/health-pool.schema.json is the contract";
    assert_eq!(
        message(&[broken]),
        format!(
            "1 of 1 instance with an answer that is no report of theirs (a: metrics.poolSize is missing); {contract}"
        )
    );
    for elsewhere in
        [ProbeFailure::Status(404), ProbeFailure::Malformed, ProbeFailure::Contract(ReportError::Malformed)]
    {
        assert!(message(&[elsewhere]).ends_with(&format!("; {endpoint}")));
        assert!(message(&[elsewhere, broken]).ends_with(&format!("; {endpoint}, or {contract}")));
    }
}

#[test]
fn what_a_pod_says_is_repeated_only_as_a_sqlstate() {
    let mut scene = Scene::new();
    scene.instances = vec![locked_out("a", "postgresql://u:p@h/d")];
    let status = scene.status(None, 100);
    let condition = find(&status, ConditionType::DatabaseReachable).unwrap();
    assert!(
        condition.message.contains("a: SQLSTATE XX000") && !condition.message.contains("u:p"),
        "{}",
        condition.message
    );
}

#[test]
fn what_was_in_force_stays_ready_while_a_restarted_operator_looks() {
    let mut scene = Scene::new();
    let ready = scene.status(None, 100);
    scene.entry = EntryState::Pending;
    assert_eq!(scene.status(Some(&ready), 200), ready);
    scene.generation = 3;
    let next = scene.status(Some(&ready), 200);
    assert_eq!(next.conditions[0].reason, "EntryPending", "a new generation has to be shown to be in force");
}
