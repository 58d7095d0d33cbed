//! Forms of the variable, and what becomes of them.

use super::*;

#[test]
fn a_literal_goes_to_the_sidecar_as_it_was_and_to_the_application_redirected() {
    let pod = injected(&literal(URL), &pool());
    assert_eq!(
        environment(&pod),
        [
            "DATABASE_URL=postgres://app:weir@127.0.0.1:16432/orders?sslmode=disable",
            "DATABASE_POOL_MIN=5",
            "DATABASE_POOL_MAX=20",
            "DATABASE_POOL_IDLE_TIMEOUT=30000",
            "DATABASE_POOL_CONNECTION_TIMEOUT=10000",
        ]
    );
    let ours = &pod["spec"]["initContainers"][0];
    assert!(variables(ours).contains(&format!("WEIR_DATABASE_URL={URL}")));
    assert_eq!(ours["name"], "weir-orders");
    assert_eq!(settings(&pod).placeholders, None);
    let expected = Injected {
        generation: 3,
        listen: Some(16432),
        control: 19187,
        max: 20,
        kept: vec![],
        left_alone: vec![],
        unknown: serde_json::Map::new(),
    };
    assert_eq!(note(&pod), expected);
}

#[test]
fn the_declared_client_gets_its_own_parameters() {
    let pod = injected(&literal(&format!("{URL}?schema=x&connection_limit=50")), &pool_for("prisma"));
    assert_eq!(
        environment(&pod)[0],
        "DATABASE_URL=postgres://app:weir@127.0.0.1:16432/orders?schema=x&connection_limit=50&sslmode=disable\
         &max_idle_connection_lifetime=30&connect_timeout=10&pool_timeout=10&max_connection_lifetime=1800"
    );
    assert_eq!(note(&pod).kept, ["connection_limit"]);
    assert_eq!(settings(&pod).client, "prisma");

    let pod = injected(&literal(URL), &pool_for("libpq"));
    assert_eq!(
        environment(&pod)[0],
        "DATABASE_URL=postgres://app:weir@127.0.0.1:16432/orders?sslmode=disable&connect_timeout=10"
    );
}

#[test]
fn a_key_of_a_secret_becomes_a_file_of_the_sidecar() {
    let before = pod(json!([{"name": "app", "env": [{"name": "A", "value": "b"}, secret("db", "url")]}]));
    let pool = ValidatedPool {
        placeholders: Placeholders { user: "a b".into(), database: "d$1".into() },
        ..pool_for("prisma")
    };
    let pod = injected(&before, &pool);
    assert_eq!(
        environment(&pod)[..2],
        [
            "A=b",
            "DATABASE_URL=postgresql://a%20b:weir@127.0.0.1:16432/d$$1?sslmode=disable&connection_limit=20\
             &max_idle_connection_lifetime=30&connect_timeout=10&pool_timeout=10&max_connection_lifetime=1800"
        ]
    );
    let ours = &pod["spec"]["initContainers"][0];
    assert!(variables(ours).contains(&"WEIR_DATABASE_URL_FILE=/etc/weir/url/url".to_owned()));
    assert_eq!(settings(&pod).placeholders, Some(pool.placeholders));
    let volume =
        json!({"name": "weir-orders-url", "secret": {"secretName": "db", "items": [{"key": "url", "path": "url"}]}});
    assert_eq!(pod["spec"]["volumes"][2], volume);
    let mounts = ours["volumeMounts"].as_array().expect("a list");
    assert!(mounts.contains(&json!({"name": "weir-orders-url", "mountPath": "/etc/weir/url", "readOnly": true})));
}

#[test]
fn a_key_of_a_config_map_does_too() {
    let reference = json!({"name": "DATABASE_URL", "valueFrom": {"configMapKeyRef": {"name": "db", "key": "u", "optional": false}}});
    let pod = injected(&pod(json!([{"name": "app", "env": [reference]}])), &pool());
    let volume =
        json!({"name": "weir-orders-url", "configMap": {"name": "db", "items": [{"key": "u", "path": "url"}]}});
    assert_eq!(pod["spec"]["volumes"][2], volume);
    assert_eq!(environment(&pod)[0], "DATABASE_URL=postgresql://weir:weir@127.0.0.1:16432/weir?sslmode=disable");
}

#[test]
fn every_container_that_has_the_variable_is_pointed_at_the_pool() {
    let variable = json!([{"name": "DATABASE_URL", "value": URL}]);
    let mut before = pod(json!([
        {"name": "app", "env": variable},
        {"name": "mesh", "env": [{"name": "X", "value": "y"}]},
        {"name": "worker", "env": variable},
        {"name": "opaque", "envFrom": [{"secretRef": {"name": "all"}}]},
        {"name": "prefixed", "envFrom": [{"prefix": "OTHER_", "secretRef": {"name": "all"}}]},
    ]));
    before["spec"]["initContainers"] =
        json!([{"name": "migrate", "env": variable}, {"name": "proxy", "restartPolicy": "Always", "env": variable}]);
    let pod = injected(&before, &pool_for("libpq"));
    let bare = ["DATABASE_URL=postgres://app:weir@127.0.0.1:16432/orders?sslmode=disable"];
    let spec = &pod["spec"];
    assert_eq!(spec["initContainers"][0]["name"], "weir-orders");
    assert_eq!(variables(&spec["initContainers"][1]), bare, "psql and migration tools refuse pool parameters");
    assert_eq!(variables(&spec["initContainers"][2]), bare);
    assert_eq!(variables(&spec["containers"][0]), variables(&spec["containers"][2]));
    assert_eq!(spec["containers"][1], before["spec"]["containers"][1]);
    assert_eq!(spec["containers"][3], before["spec"]["containers"][3]);
    assert_eq!(note(&pod).left_alone, ["opaque: EnvFrom"]);
}

#[test]
fn what_the_user_set_is_kept_and_lowers_the_limits() {
    let env = json!([
        {"name": "DATABASE_URL", "value": URL},
        {"name": "DATABASE_POOL_MAX", "value": "4"},
        {"name": "DATABASE_POOL_IDLE_TIMEOUT", "value": "99000"},
        {"name": "DATABASE_POOL_CONNECTION_TIMEOUT", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
    ]);
    let pod = injected(&pod(json!([{"name": "app", "env": env}])), &pool_for("prisma"));
    assert_eq!(
        environment(&pod)[1..],
        [
            "DATABASE_POOL_MAX=4",
            "DATABASE_POOL_IDLE_TIMEOUT=99000",
            "DATABASE_POOL_CONNECTION_TIMEOUT=?",
            "DATABASE_POOL_MIN=4",
        ]
    );
    assert!(environment(&pod)[0].contains("connection_limit=4&max_idle_connection_lifetime=30"));
    let limits = settings(&pod).limits;
    assert_eq!((limits.min, limits.max, limits.idle_timeout.as_secs()), (4, 4, 30));
    assert_eq!(note(&pod).max, 4);
}

#[test]
fn a_dollar_survives_the_kubelet() {
    let pod = injected(&literal("postgres://a$$b:p$$c@db/x$$?o=$1"), &pool());
    assert_eq!(environment(&pod)[0], "DATABASE_URL=postgres://a$$b:weir@127.0.0.1:16432/x$$?o=$1&sslmode=disable");
    let ours = variables(&pod["spec"]["initContainers"][0]);
    assert!(ours.contains(&"WEIR_DATABASE_URL=postgres://a$$b:p$$c@db/x$$?o=$1".to_owned()));
}

#[test]
fn ports_that_the_pod_uses_are_left_to_it() {
    let mut before = pod(json!([
        {
            "name": "app",
            "env": [{"name": "DATABASE_URL", "value": "postgres://u@127.0.0.1:16434/app"}],
            "ports": [{"containerPort": 16432}, {"containerPort": 19187, "name": "metrics"}],
            "readinessProbe": {"httpGet": {"port": 19188}},
            "livenessProbe": {"tcpSocket": {"port": "metrics"}},
        },
    ]));
    before["spec"]["initContainers"] = json!([{"name": "proxy", "ports": [{"containerPort": 16433}]}]);
    let pod = injected(&before, &pool());
    assert_eq!((note(&pod).listen, note(&pod).control), (Some(16435), 19189));
    let ours = &pod["spec"]["initContainers"][0];
    assert_eq!(ours["ports"], json!([{"name": "weir-control", "containerPort": 19189, "protocol": "TCP"}]));
    let variables = variables(ours);
    assert!(variables.contains(&"WEIR_LISTEN=127.0.0.1:16435".to_owned()), "{variables:?}");
    assert!(variables.contains(&"WEIR_CONTROL=[::]:19189".to_owned()), "{variables:?}");
}

#[test]
fn the_sidecar_is_never_root() {
    let run_as = |user: Value| {
        let mut before = literal(URL);
        before["spec"]["securityContext"] = json!({"runAsUser": user});
        injected(&before, &pool())["spec"]["initContainers"][0]["securityContext"].clone()
    };
    let restricted = json!({
        "runAsNonRoot": true,
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    assert_eq!(run_as(json!(1000)), restricted, "the pod's own user");
    assert_eq!(run_as(Value::Null), restricted, "the image's user");
    assert_eq!(run_as(json!(0))["runAsUser"], 65532);
}

#[test]
fn containers_that_come_later_are_pointed_at_the_pool_too() {
    for entry in [json!({"name": "DATABASE_URL", "value": URL}), secret("db", "url")] {
        let first = injected(&pod(json!([{"name": "app", "env": [entry]}])), &pool_for("libpq"));
        let mut later = first.clone();
        let containers = later["spec"]["containers"].as_array_mut().expect("a list");
        containers.insert(0, json!({"name": "late", "env": [entry]}));
        containers
            .push(json!({"name": "other", "env": [{"name": "DATABASE_URL", "value": "postgres://u@elsewhere/x"}]}));
        containers.push(json!({"name": "pg", "env": [entry, {"name": "PGREQUIREAUTH", "value": "none"}]}));
        let inits = later["spec"]["initContainers"].as_array_mut().expect("a list");
        inits.insert(0, json!({"name": "before", "env": [entry]}));
        inits.push(json!({"name": "after", "env": [entry]}));

        let again = injected(&later, &pool_for("libpq"));
        let spec = &again["spec"];
        assert_eq!(variables(&spec["containers"][0]), variables(&spec["containers"][1]));
        assert_eq!(spec["containers"][2], later["spec"]["containers"][2], "another URL");
        assert_eq!(spec["containers"][3], later["spec"]["containers"][3], "PGREQUIREAUTH");
        assert_eq!(
            spec["initContainers"][0], later["spec"]["initContainers"][0],
            "it ends before the listener is there"
        );
        assert_eq!(spec["initContainers"][1], later["spec"]["initContainers"][1], "ours is neither moved nor changed");
        assert!(variables(&spec["initContainers"][2])[0].ends_with("sslmode=disable"));
        assert_eq!(note(&again).left_alone, ["other: DifferentUrls", "pg: PgEnvironment"]);
    }
}

#[test]
fn a_second_call_uses_the_settings_that_the_pod_carries() {
    let mut pod = injected(&literal(URL), &pool_for("libpq"));
    let late = json!({"name": "late", "env": [{"name": "DATABASE_URL", "value": URL}]});
    pod["spec"]["containers"].as_array_mut().expect("a list").push(late);
    let mut changed = pool_for("prisma");
    changed.generation = 4;
    changed.limits.max = 7;
    let pod = injected(&pod, &changed);
    assert_eq!(variables(&pod["spec"]["containers"][1]), environment(&pod));
    assert_eq!(note(&pod).generation, 3);
}

#[test]
fn a_reason_that_no_longer_holds_goes_away() {
    let before = pod(json!([{"name": "app"}]));
    let Outcome::Skipped { patch, .. } = inject(&before, &pool(), &sidecar()) else { panic!("no variable") };
    let mut later = apply(&before, &patch);
    later["spec"]["containers"][0]["env"] = json!([{"name": "DATABASE_URL", "value": URL}]);
    let pod = injected(&later, &pool());
    assert_eq!(pod.pointer("/metadata/annotations/weir.dev~1skipped.orders"), None);
}

#[test]
fn without_a_sidecar_only_the_query_and_the_names_change() {
    let mut before = literal("postgres://app:s3cret@a:1,b:2/orders?sslmode=verify-full&pool_timeout=3");
    before["spec"]["initContainers"] = json!([{"name": "migrate", "env": [{"name": "DATABASE_URL", "value": URL}]}]);
    before["spec"]["hostNetwork"] = json!(true);
    let pod = injected(&before, &pool_without_sidecar("prisma"));
    assert_eq!(
        environment(&pod),
        [
            "DATABASE_URL=postgres://app:s3cret@a:1,b:2/orders?sslmode=verify-full&pool_timeout=3&connection_limit=20\
             &max_idle_connection_lifetime=30&connect_timeout=10&max_connection_lifetime=1800",
            "DATABASE_POOL_MIN=5",
            "DATABASE_POOL_MAX=20",
            "DATABASE_POOL_IDLE_TIMEOUT=30000",
            "DATABASE_POOL_CONNECTION_TIMEOUT=10000",
        ]
    );
    assert_eq!(pod["spec"]["initContainers"], before["spec"]["initContainers"]);
    assert_eq!(pod["spec"].get("volumes"), None);
    let note = note(&pod);
    assert_eq!((note.listen, note.control, note.kept), (None, 3000, vec!["pool_timeout".to_owned()]));
}

#[test]
fn without_a_sidecar_a_hidden_url_stays_and_the_names_are_given() {
    for entry in [secret("db", "url"), json!({"name": "DATABASE_URL", "value": "postgres://$(USER)@db/x"})] {
        let pod = injected(&pod(json!([{"name": "app", "env": [entry]}])), &pool_without_sidecar("node-postgres"));
        assert_eq!(pod["spec"]["containers"][0]["env"][0], entry);
        assert_eq!(environment(&pod)[1..], environment(&injected(&literal(URL), &pool()))[1..]);
    }
}

#[test]
fn a_name_that_may_come_from_env_from_is_not_given() {
    let container = |prefix| json!({"name": "app", "env": [secret("db", "url")], "envFrom": [{"prefix": prefix, "configMapRef": {"name": "c"}}]});
    let given = |prefix| environment(&injected(&pod(json!([container(prefix)])), &pool())).len() - 1;
    assert_eq!((given(""), given("DATABASE_POOL_MA"), given("APP_")), (0, 3, 4));
    // In mode None such a container is an instance all the same.
    let pod = injected(
        &pod(json!([{"name": "app", "envFrom": [{"secretRef": {"name": "all"}}]}])),
        &pool_without_sidecar("none"),
    );
    assert_eq!(environment(&pod), [""; 0]);
}

#[test]
fn a_pod_that_carries_a_pooler_keeps_it() {
    let pod = injected(&literal(URL), &pool());
    assert_eq!(inject(&pod, &pool_without_sidecar("none"), &sidecar()), Outcome::Unchanged);
}
