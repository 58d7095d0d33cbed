//! Reasons to leave a pod alone.

use super::*;

fn app(env: Value) -> Value {
    pod(json!([{"name": "app", "env": env}]))
}

fn with(mut pod: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').expect("a path");
    pod.pointer_mut(parent).expect("a parent")[key.replace("~1", "/")] = value;
    pod
}

/// Every reason but those that need another pool: pods that end with it.
fn cases() -> Vec<(SkipReason, Value)> {
    use SkipReason::*;
    let url = json!({"name": "DATABASE_URL", "value": URL});
    let value = |text: &str| app(json!([{"name": "DATABASE_URL", "value": text}]));
    let from = |from: Value| app(json!([{"name": "DATABASE_URL", "valueFrom": from}]));
    let beside = |name: &str, value: &str| app(json!([url, {"name": name, "value": value}]));
    let above = |entry: Value| app(json!([entry, {"name": "DATABASE_URL", "value": "postgres://u:$(P)@db/x"}]));
    let note = json!({"weir.dev/injected.orders": json!({"generation": 1, "listen": 16432, "control": 19187, "max": 5}).to_string()});
    let ports: Vec<_> = (6_432..=65_535).map(|port| json!({"containerPort": port})).collect();
    vec![
        (OptedOut, with(literal(URL), "/metadata/annotations", json!({"weir.dev/inject": "false"}))),
        (NameTaken, pod(json!([{"name": "app", "env": [url]}, {"name": "weir-orders"}]))),
        (NameTaken, with(literal(URL), "/spec/initContainers", json!([{"name": "weir-orders"}]))),
        (NameTaken, with(literal(URL), "/spec/volumes", json!([{"name": "weir-orders-state", "emptyDir": {}}]))),
        // Our name and our note, but nothing of ours in it.
        (
            NameTaken,
            with(
                with(literal(URL), "/metadata/annotations", note.clone()),
                "/spec/initContainers",
                json!([{"name": "weir-orders"}]),
            ),
        ),
        (StaleAnnotation, with(literal(URL), "/metadata/annotations", note)),
        (HostNetwork, with(literal(URL), "/spec/hostNetwork", json!(true))),
        (Windows, with(literal(URL), "/spec/os", json!({"name": "windows"}))),
        (Windows, with(literal(URL), "/spec/nodeSelector", json!({"kubernetes.io/os": "windows"}))),
        (NoVariable, app(json!([{"name": "OTHER", "value": URL}]))),
        (NoVariable, pod(json!([{"name": "app", "env": null}]))),
        (NoVariable, json!({})),
        (EnvFrom, pod(json!([{"name": "app", "envFrom": [{"configMapRef": {"name": "c"}}]}]))),
        (EnvFrom, pod(json!([{"name": "app", "envFrom": [{"prefix": "DATABASE_", "secretRef": {"name": "c"}}]}]))),
        (NoVariable, pod(json!([{"name": "app", "envFrom": [{"prefix": "X_", "secretRef": {"name": "c"}}]}]))),
        (PgHost, app(json!([{"name": "PGHOST", "value": "db"}]))),
        (DuplicateVariable, app(json!([url, url]))),
        (DifferentUrls, pod(json!([{"name": "a", "env": [url]}, {"name": "b", "env": [secret("db", "url")]}]))),
        (
            DifferentUrls,
            pod(json!([{"name": "a", "env": [secret("db", "other")]}, {"name": "b", "env": [secret("db", "url")]}])),
        ),
        (OptionalReference, from(json!({"secretKeyRef": {"name": "db", "key": "url", "optional": true}}))),
        (UnsupportedSource, from(json!({"fieldRef": {"fieldPath": "metadata.annotations['url']"}}))),
        (UnsupportedSource, from(json!({"fileKeyRef": {"path": "p", "key": "k", "volumeName": "v"}}))),
        (UnsupportedSource, from(json!({"secretKeyRef": {"key": "url"}}))),
        (Reference, value("postgres://u:$(hunter2)@db/x")),
        (Reference, value("$(URL)")),
        (Reference, app(json!([{"name": "URL", "value": URL}, {"name": "DATABASE_URL", "value": "$(URL)"}]))),
        // Below is too late, and envFrom is not looked into.
        (
            Reference,
            app(json!([{"name": "DATABASE_URL", "value": "postgres://u:$(P)@db/x"}, {"name": "P", "value": "p"}])),
        ),
        (
            Reference,
            pod(json!([{
                "name": "app", "envFrom": [{"secretRef": {"name": "c"}}],
                "env": [{"name": "DATABASE_URL", "value": "postgres://u:$(P)@db/x"}],
            }])),
        ),
        (Reference, above(json!({"name": "P", "value": "$(Q)"}))),
        (
            Reference,
            app(json!([{"name": "P", "value": "p"}, {"name": "DATABASE_URL", "value": "postgres://u@db/x?host=$(P)"}])),
        ),
        (
            OptionalReference,
            above(json!({"name": "P", "valueFrom": {"secretKeyRef": {"name": "db", "key": "p", "optional": true}}})),
        ),
        (UnsupportedSource, above(json!({"name": "P", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}))),
        (UnsupportedSource, above(json!({"name": "P", "valueFrom": {"secretKeyRef": {"name": "db"}}}))),
        (UrlNotRewritable, value("")),
        (UrlNotRewritable, value("host=db dbname=x")),
        (UrlNotRewritable, value("mysql://u:hunter2@db/x")),
        (UrlNotRewritable, value("postgres://u:hunter2@2@db/x")),
        (UrlNotRewritable, value("postgres://u:hunter2@db/x#y")),
        (UrlNotRewritable, value("postgres://u:hunter2@db/x?sslmode=sometimes")),
        (UrlNotRewritable, value("postgres://u:hunter2@/x?host=/socket")),
        (ClientVerification, value("postgres://u:hunter2@db/x?sslmode=verify-full&sslrootcert=/ca.pem")),
        (ClientVerification, value("postgres://u:hunter2@db/x?channel_binding=require")),
        (PgEnvironment, beside("PGHOSTADDR", "10.0.0.1")),
        (PgEnvironment, beside("PGSSLMODE", "verify-full")),
        (PgEnvironment, beside("PGSSLROOTCERT", "/ca.pem")),
        (PgEnvironment, beside("PGCHANNELBINDING", "require")),
        (PgEnvironment, app(json!([secret("db", "url"), {"name": "PGSSLMODE", "value": "require"}]))),
        (
            PgEnvironment,
            app(json!([{"name": "DATABASE_URL", "value": "postgres://u@db/x"}, {"name": "PGPASSWORD", "value": "p"}])),
        ),
        (
            PgEnvironment,
            app(json!([{"name": "DATABASE_URL", "value": "postgres://db/x"}, {"name": "PGUSER", "value": "p"}])),
        ),
        (InvalidLimit, beside("DATABASE_POOL_MAX", "many")),
        (InvalidLimit, beside("DATABASE_POOL_IDLE_TIMEOUT", "30s")),
        (InvalidLimit, beside("DATABASE_POOL_MIN", "0")),
        (NoFreePort, pod(json!([{"name": "app", "env": [url], "ports": ports}]))),
    ]
}

#[test]
fn each_form_that_cannot_be_rewritten_has_its_reason() {
    for (expected, pod) in cases() {
        let (reason, message) = skipped(&pod, &pool());
        assert_eq!(reason, expected, "{message}");
        assert!(message.ends_with(reason.remedy()), "{message}");
        assert!(!message.contains("hunter2") && !message.contains("s3cret") && message.len() < 500, "{message}");
    }
}

#[test]
fn every_reason_is_given_to_some_pod() {
    let tested: Vec<_> = cases().into_iter().map(|(reason, _)| reason).collect();
    // Tested below.
    let others = [SkipReason::Conflict, SkipReason::NameTooLong];
    for reason in SkipReason::ALL {
        assert!(tested.contains(&reason) || others.contains(&reason), "{reason:?}");
    }
}

#[test]
fn a_second_pool_on_a_pod_is_a_conflict() {
    let pod = injected(&literal(URL), &ValidatedPool { name: "other".into(), ..pool() });
    let (reason, message) = skipped(&pod, &pool());
    assert_eq!(reason, SkipReason::Conflict);
    assert!(message.contains("\"other\""), "{message}");
}

#[test]
fn a_name_that_would_be_too_long_is_refused() {
    let pool = ValidatedPool { name: "a".repeat(51), ..pool() };
    let Outcome::Skipped { reason, .. } = inject(&literal(URL), &pool, &sidecar()) else { panic!("too long") };
    assert_eq!(reason, SkipReason::NameTooLong);
    let pool = ValidatedPool { name: "a".repeat(50), ..pool };
    assert!(matches!(inject(&literal(URL), &pool, &sidecar()), Outcome::Injected(_)));
}

#[test]
fn variables_beside_the_url_that_say_nothing_new_are_no_reason() {
    for (name, value) in [
        ("PGHOST", "elsewhere"),
        ("PGUSER", "u"),
        ("PGPASSWORD", "p"),
        ("PGDATABASE", "d"),
        ("PGPORT", "1"),
        ("PGSSLNEGOTIATION", "postgres"),
        ("PGCHANNELBINDING", "prefer"),
        ("PGAPPNAME", "app"),
    ] {
        let pod = app(json!([{"name": "DATABASE_URL", "value": URL}, {"name": name, "value": value}]));
        injected(&pod, &pool());
    }
    let url = format!("{URL}?sslmode=require");
    let pod = app(json!([{"name": "DATABASE_URL", "value": url}, {"name": "PGSSLMODE", "value": "disable"}]));
    injected(&pod, &pool());
    let pod = app(json!([{"name": "DATABASE_URL", "value": URL}, {"name": "PGSSLMODE", "value": "verify-full"}]));
    injected(&pod, &pool_for("prisma"));
}

#[test]
fn without_a_sidecar_fewer_things_stand_in_the_way() {
    use SkipReason::*;
    for (reason, pod) in cases() {
        let pool = pool_without_sidecar("prisma");
        let always =
            matches!(reason, OptedOut | NoVariable | StaleAnnotation | PgHost | DuplicateVariable | InvalidLimit);
        // Some of these pods: those whose URL can't take parameters either, and the one with a note.
        let sometimes = matches!(reason, UrlNotRewritable | Reference | NameTaken);
        match inject(&pod, &pool, &sidecar()) {
            Outcome::Skipped { reason: given, .. } => {
                assert!(given == reason && (always || sometimes), "{given:?} {reason:?}");
            }
            _ => assert!(!always, "{reason:?}"),
        }
    }
}

#[test]
fn the_document_lists_every_reason_with_its_remedy() {
    let document = include_str!("../../../../docs/injection.md");
    for reason in SkipReason::ALL {
        let row = document.lines().find(|line| line.starts_with(&format!("| `{}` |", reason.as_str())));
        let row = row.unwrap_or_else(|| panic!("{} has no row", reason.as_str()));
        assert!(row.ends_with(&format!("| {} |", reason.remedy())), "{row}");
    }
    let (_, section) = document.split_once("## Why a pod was left alone").expect("its section");
    let names: Vec<_> = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert_eq!(names, SkipReason::ALL.map(SkipReason::as_str), "the same reasons in the same order");
}
