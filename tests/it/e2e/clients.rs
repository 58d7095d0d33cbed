//! Values compared through an injected sidecar: psql, pgbench, node-postgres and psycopg 3.

use serde_json::Value;

use super::workloads::{CLIENT, NODE, NODE_APP, PYTHON, PYTHON_APP, from_secret, literal, pod, secret};
use super::{container, output, pool, weir};

/// The lines of a workload's log as one object.
fn answers(log: &str) -> Value {
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{e}: {log}")));
    lines.flat_map(|line| line.as_object().cloned().unwrap_or_default()).collect::<serde_json::Map<_, _>>().into()
}

#[test]
fn psql_reads_what_it_wrote_through_the_sidecar() {
    let test = weir().test("psql");
    pool(&test, "orders", "");
    let script = "psql \"$DATABASE_URL\" -qAt -v ON_ERROR_STOP=1 \
        -c 'create table t as select g, md5(g::text) from generate_series(1, 1000) g' \
        -c 'select count(*), sum(g), max(md5) from t' -c 'select application_name from pg_stat_activity where pid = pg_backend_pid()' \
        -c \"select inet_server_port(), current_setting('port')\"";
    test.apply(&pod("psql", "orders", CLIENT, &["/bin/sh", "-c", script], &literal(&test.url())));
    let log = output(&test, "psql");
    let expected = test.sql("select count(*), sum(g), max(md5) from t")[0].join("|");
    assert_eq!(log, format!("{expected}\npsql\n5432|5432\n"));

    let pod = test.get("pod", "psql");
    let first = &pod["spec"]["initContainers"][0];
    assert_eq!(first["name"], "weir-orders");
    assert_eq!(first["restartPolicy"], "Always");
    let env = container(&pod, "app").expect("it is there")["env"].as_array().expect("a list").clone();
    let url = env.iter().find(|e| e["name"] == "DATABASE_URL").expect("it is there")["value"]
        .as_str()
        .expect("text")
        .to_owned();
    assert!(url.contains("@127.0.0.1:16432/") && !url.contains(&test.password), "{url}");
}

#[test]
fn a_url_that_refers_to_a_secret_works_and_the_application_is_left_without_its_password() {
    let test = weir().test("references");
    pool(&test, "chart", "  client: libpq");
    let (role, host) = (&test.database, test.cluster.place("/postgresql/host"));
    test.apply(&format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: db}}\ndata: {{host: {host:?}}}\n"));
    test.apply(&format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: db}}\nstringData: {{password: {:?}}}\n",
        test.password
    ));
    let env = format!(
        "    - {{name: DB_USER, value: {role:?}}}
    - {{name: DB_PASSWORD, valueFrom: {{secretKeyRef: {{name: db, key: password}}}}}}
    - {{name: DB_HOST, valueFrom: {{configMapKeyRef: {{name: db, key: host}}}}}}
    - {{name: DB_PORT, value: \"5432\"}}
    - {{name: DB_AT, value: \"$(DB_HOST):$(DB_PORT)\"}}
    - {{name: NODE, valueFrom: {{fieldRef: {{fieldPath: spec.nodeName}}}}}}
    - {{name: DATABASE_URL, value: \"postgresql://$(DB_USER):$(DB_PASSWORD)@$(DB_AT)/$(DB_USER)?application_name=a-$(NODE)\"}}"
    );
    let script =
        "psql \"$DATABASE_URL\" -qAtc \"select current_user, current_setting('application_name')\"; echo $DATABASE_URL";
    test.apply(&pod("chart", "chart", CLIENT, &["/bin/sh", "-c", script], &env));
    let log = output(&test, "chart");
    let node = test.get("pod", "chart")["spec"]["nodeName"].as_str().expect("it ran").to_owned();
    let url = format!(
        "postgresql://{role}:weir@127.0.0.1:16432/{role}?application_name=a-{node}&sslmode=disable&connect_timeout=3"
    );
    assert_eq!(log, format!("{role}|a-{node}\n{url}\n"));
    let text = test.get("pod", "chart").to_string();
    assert!(!text.contains(&test.password), "{text}");
}

#[test]
fn pgbench_runs_in_each_of_its_protocols() {
    let test = weir().test("pgbench");
    pool(&test, "bench", "  limits: {max: 4, connectionTimeout: 20s}");
    secret(&test, "db", &test.url());
    // Eight clients over four connections, one after another, since a session keeps its connection.
    let script = "set -e; pgbench -i -q -s 1 \"$DATABASE_URL\"; for mode in simple extended prepared; do \
        pgbench -n -M $mode -c 4 -j 2 -t 50 \"$DATABASE_URL\"; done";
    test.apply(&pod("bench", "bench", CLIENT, &["/bin/sh", "-c", script], &from_secret("db")));
    let log = output(&test, "bench");
    assert_eq!(log.matches("number of failed transactions: 0 ").count(), 3, "{log}");
    // pgbench's own invariant: what was added to the branches is what the history says.
    assert_eq!(
        test.sql("select count(*), sum(delta) = (select sum(bbalance) from pgbench_branches) from pgbench_history"),
        [["600", "t"]]
    );
}

#[test]
fn node_postgres_gets_its_own_answers() {
    let test = weir().test("node");
    pool(&test, "shop", "  client: node-postgres\n  database: {user: shop, name: catalogue}");
    // node-postgres would verify on require; the harness's server has a certificate of its own authority.
    secret(&test, "db", &format!("{}?sslmode=disable", test.url()));
    test.apply(&pod("node", "shop", NODE, &["/usr/bin/node", "-e", NODE_APP], &from_secret("db")));
    let answers = answers(&output(&test, "node"));
    assert_eq!(answers["who"], serde_json::json!({"who": test.database, "database": test.database}));
    assert_eq!(answers["sum"], (0..200).map(|i| i + i % 3).sum::<i32>());
    assert_eq!(answers["wrong"], 0);
    assert_eq!(answers["error"], "22012");
    assert_eq!(answers["rows"], 1000);
}

#[test]
fn psycopg_gets_its_own_answers() {
    let test = weir().test("psycopg");
    pool(&test, "etl", "  client: libpq");
    test.apply(&pod("etl", "etl", PYTHON, &["/usr/bin/python3", "-c", PYTHON_APP], &literal(&test.url())));
    let answers = answers(&output(&test, "etl"));
    assert_eq!(answers["who"], serde_json::json!([test.database, test.database]));
    assert_eq!(answers["wrong"], 0);
    assert_eq!(answers["pipeline"], (0..50).map(|i| i * 2).sum::<i32>());
    assert_eq!(answers["copied"], serde_json::json!([1000, (0..1000).map(|i| i % 100).sum::<i32>()]));
    let out: usize = (0..1000_usize).map(|i| i.to_string().len() + 1 + i % 100 + 1).sum();
    assert_eq!(answers["out"], out);
    assert_eq!(answers["error"], "22012");
}

#[test]
fn the_hop_to_postgresql_is_encrypted_as_the_url_asked() {
    let test = weir().test("tls");
    pool(&test, "tls", "");
    // On loopback there is no TLS; the server's own view tells about the hop behind it.
    let script =
        "psql \"$DATABASE_URL\" -qAtc 'select ssl from pg_stat_ssl where pid = pg_backend_pid()'; echo $DATABASE_URL";
    for (name, mode, encrypted) in [("encrypted", "require", "t"), ("plain", "disable", "f")] {
        let url = format!("{}?sslmode={mode}", test.url());
        test.apply(&pod(name, "tls", CLIENT, &["/bin/sh", "-c", script], &literal(&url)));
        let log = output(&test, name);
        let (answer, url) = log.split_once('\n').expect("two lines");
        assert_eq!(answer, encrypted, "{mode}");
        assert!(url.contains("sslmode=disable"), "{url}");
    }
    // What its client would have verified is verified by the sidecar: an unknown authority is refused.
    let script = "psql \"$DATABASE_URL\" -qAtc 'select 1' 2>&1 || true";
    let url = format!("{}?sslmode=verify-full", test.url());
    test.apply(&pod("verify", "tls", CLIENT, &["/bin/sh", "-c", script], &literal(&url)));
    let log = output(&test, "verify");
    assert!(log.contains("FATAL") && log.contains("certificate"), "{log}");
}
