//! URLs that refer to other variables, as charts write them.

use super::*;

const TEXT: &str = "postgresql://$(DB_USER):$(DB_PASSWORD)@$(DB_HOST):$(DB_PORT)/$(DB_NAME)?sslmode=require&schema=x";

fn entry(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}

/// The entries that charts give a container, with the password in this Secret.
fn chart(secret: &str) -> Value {
    json!([
        entry("LOG", "debug"),
        entry("DB_USER", "app"),
        {"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": secret, "key": "password"}}},
        entry("DOMAIN", "example"),
        entry("DB_HOST", "db.$(DOMAIN)"),
        {"name": "DB_PORT", "valueFrom": {"configMapKeyRef": {"name": "db", "key": "port"}}},
        entry("DB_NAME", "shop"),
        entry("DATABASE_URL", TEXT),
    ])
}

fn app(env: &Value) -> Value {
    pod(json!([{"name": "app", "image": "app", "env": env}]))
}

/// The entries of our container that its user wrote, and the URL behind them.
fn copied(pod: &Value) -> Vec<Value> {
    let entries = pod["spec"]["initContainers"][0]["env"].as_array().expect("a list").iter();
    let own =
        |entry: &&Value| entry["name"] != "WEIR_DATABASE_URL" && entry["name"].as_str().unwrap().starts_with("WEIR_");
    entries.skip_while(own).cloned().collect()
}

#[test]
fn the_sidecar_gets_what_the_url_refers_to_and_the_application_keeps_the_rest() {
    let before = app(&chart("db"));
    let pod = injected(&before, &pool_for("libpq"));
    assert_eq!(
        environment(&pod)[7],
        "DATABASE_URL=postgresql://$(DB_USER):weir@127.0.0.1:16432/$(DB_NAME)?sslmode=disable&schema=x&connect_timeout=10"
    );
    let entries = |pod: &Value| pod["spec"]["containers"][0]["env"].as_array().expect("a list")[..7].to_vec();
    assert_eq!(entries(&pod), entries(&before));
    let mut expected = entries(&before);
    expected.remove(0);
    expected.push(entry("WEIR_DATABASE_URL", TEXT));
    assert_eq!(copied(&pod), expected);
    assert_eq!(settings(&pod).placeholders, None, "the application names its own user and database");
    assert_eq!(pod["spec"]["volumes"].as_array().expect("a list").len(), 2);
}

#[test]
fn a_referenced_password_alone_leaves_a_url_without_references() {
    let env = json!([chart("db")[2], entry("DATABASE_URL", "postgres://app:$(DB_PASSWORD)@db/shop")]);
    let pod = injected(&app(&env), &pool());
    assert_eq!(environment(&pod)[1], "DATABASE_URL=postgres://app:weir@127.0.0.1:16432/shop?sslmode=disable");
    assert_eq!(copied(&pod), [env[0].clone(), entry("WEIR_DATABASE_URL", "postgres://app:$(DB_PASSWORD)@db/shop")]);
}

#[test]
fn the_last_of_a_name_above_counts() {
    let env = json!([
        entry("H", "one"),
        entry("DB", "$(H)"),
        entry("H", "two"),
        entry("DATABASE_URL", "postgres://u@$(H)/$(DB)"),
        entry("H", "three"),
    ]);
    let pod = injected(&app(&env), &pool());
    assert_eq!(
        copied(&pod),
        [
            entry("H", "one"),
            entry("DB", "$(H)"),
            entry("H", "two"),
            entry("WEIR_DATABASE_URL", "postgres://u@$(H)/$(DB)")
        ]
    );
}

#[test]
fn containers_share_a_pool_only_where_their_references_lead_to_the_same() {
    let two = |secret| pod(json!([{"name": "app", "env": chart("db")}, {"name": "other", "env": chart(secret)}]));
    injected(&two("db"), &pool());
    assert_eq!(skipped(&two("db2"), &pool()).0, SkipReason::DifferentUrls);

    let mut later = injected(&app(&chart("db")), &pool());
    let containers = later["spec"]["containers"].as_array_mut().expect("a list");
    containers.push(json!({"name": "late", "env": chart("db")}));
    containers.push(json!({"name": "other", "env": chart("db2")}));
    let pod = injected(&later, &pool());
    let containers = &pod["spec"]["containers"];
    assert_eq!(variables(&containers[1]), variables(&containers[0]));
    assert_eq!(containers[2], later["spec"]["containers"][2]);
    assert_eq!(note(&pod).left_alone, ["other: DifferentUrls"]);
}

#[test]
fn a_name_that_the_sidecar_reads_is_refused() {
    for name in ["WEIR_LOG", "WEIR_ANYTHING", "SSL_CERT_FILE"] {
        let env = json!([entry(name, "x"), entry("DATABASE_URL", &format!("postgres://u:$({name})@db/x"))]);
        let (reason, message) = skipped(&app(&env), &pool());
        assert_eq!(reason, SkipReason::Reference);
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn variables_of_libpq_that_a_reference_covers_are_no_reason() {
    let env = json!([entry("PGPASSWORD", "p"), entry("DATABASE_URL", "postgres://u:$(PGPASSWORD)@db/x")]);
    injected(&app(&env), &pool());
    let env = json!([entry("PGPASSWORD", "p"), entry("H", "db"), entry("DATABASE_URL", "postgres://u@$(H)/x")]);
    assert_eq!(skipped(&app(&env), &pool()).0, SkipReason::PgEnvironment);
}

#[test]
fn without_a_sidecar_references_stay_whatever_they_lead_to() {
    let env = json!([entry("DATABASE_URL", "postgres://$(U):$(P)@$(H):$(PORT)/$(D)?x=$(X)")]);
    let pod = injected(&app(&env), &pool_without_sidecar("prisma"));
    assert_eq!(
        environment(&pod)[0],
        "DATABASE_URL=postgres://$(U):$(P)@$(H):$(PORT)/$(D)?x=$(X)&connection_limit=20&max_idle_connection_lifetime=30\
         &connect_timeout=10&pool_timeout=10&max_connection_lifetime=1800"
    );
}

#[test]
fn a_known_value_that_would_move_the_parts_of_the_url_is_refused() {
    use SkipReason::{Reference, UrlNotRewritable};
    let text = "postgres://$(U):$(P)@$(H):5432/$(D)";
    for (name, value, reason) in [
        ("P", "p@ss", UrlNotRewritable),
        ("P", "p#ss", UrlNotRewritable),
        ("P", "p%ss", UrlNotRewritable),
        ("U", "", UrlNotRewritable),
        ("H", "/socket", UrlNotRewritable),
        ("H", "a,b:x", UrlNotRewritable),
        ("D", "shop?schema=x", Reference),
        ("H", "db:5432/shop?x=", Reference),
        ("U", "u:p", Reference),
    ] {
        let entries = [("U", "u"), ("P", "p"), ("H", "h"), ("D", "d")];
        let mut env: Vec<_> =
            entries.iter().map(|(key, plain)| entry(key, if *key == name { value } else { plain })).collect();
        env.push(entry("DATABASE_URL", text));
        let (found, message) = skipped(&app(&json!(env)), &pool());
        assert_eq!(found, reason, "{name}={value}: {message}");
    }
}

#[test]
fn references_to_references_end() {
    let mut env = vec![entry("V0", &"x".repeat(1_000))];
    env.extend((1..30).map(|number| entry(&format!("V{number}"), &format!("$(V{0})$(V{0})", number - 1))));
    let with = |text: &str| {
        let mut env = env.clone();
        env.push(entry("DATABASE_URL", text));
        app(&json!(env))
    };
    injected(&with("postgres://u@db/$(V3)"), &pool());
    assert_eq!(skipped(&with("postgres://u@db/$(V29)"), &pool()).0, SkipReason::Reference);
    let many: Vec<_> = (0..100).map(|number| entry(&format!("N{number}"), "n")).collect();
    let text = (0..100).fold("postgres://u@db/".to_owned(), |text, number| format!("{text}$(N{number})"));
    let env: Vec<_> = many.into_iter().chain([entry("DATABASE_URL", &text)]).collect();
    assert_eq!(skipped(&app(&json!(env)), &pool()).0, SkipReason::Reference);
}
