//! Pools by the hundred: every bound of every field, plus and minus one, on several otherwise legal pools.

use serde_json::{Map, Value, json};

/// A pool and what should come of it.
pub struct Case {
    /// For the message of a failure.
    pub name: String,
    /// The whole object.
    pub object: Value,
    /// `None`: accepted. Else refused, at these fields among others.
    pub refused_at: Option<String>,
    /// Its name is what is refused, which an update can't change.
    pub create_only: bool,
}

/// One change of a pool, with what should come of it.
struct Change {
    refused_at: Option<String>,
    edits: Vec<(&'static str, Value)>,
}

fn good(edits: &[(&'static str, Value)]) -> Change {
    Change { refused_at: None, edits: edits.to_vec() }
}

fn bad(field: &str, edits: &[(&'static str, Value)]) -> Change {
    Change { refused_at: Some(field.to_owned()), edits: edits.to_vec() }
}

/// Every change on every base.
pub fn one_change_each() -> Vec<Case> {
    let changes = changes();
    let mut cases = Vec::new();
    for (number, change) in changes.iter().enumerate() {
        for (base, pool) in bases().iter().enumerate() {
            let mut object = pool.clone();
            apply(&mut object, change);
            cases.push(case(format!("change {number} of base {base}"), object, change.refused_at.clone()));
        }
    }
    cases
}

/// `count` pools with up to three changes each, the same at every run. What should come of them is left to the two judges.
pub fn several_changes_each(count: usize) -> Vec<Case> {
    let (bases, changes) = (bases(), changes());
    // Half of the pools get changes that are fine by themselves, else hardly one would be accepted.
    let (all, fine): (Vec<&Change>, Vec<&Change>) =
        (changes.iter().collect(), changes.iter().filter(|change| change.refused_at.is_none()).collect());
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        // SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % below as u64).expect("below a usize")
    };
    (0..count)
        .map(|number| {
            let mut object = bases[random(bases.len())].clone();
            let among = if number % 2 == 0 { &all } else { &fine };
            for _ in 0..=random(3) {
                apply(&mut object, among[random(among.len())]);
            }
            case(format!("mixture {number}"), object, Some("?".to_owned()))
        })
        .collect()
}

fn case(name: String, object: Value, refused_at: Option<String>) -> Case {
    let create_only = object["metadata"]["name"] != "existing";
    Case { name, object, refused_at, create_only }
}

/// A pool around a spec.
pub fn pool(spec: Value) -> Value {
    let mut object =
        json!({"apiVersion": "weir.dev/v1alpha1", "kind": "ConnectionPool", "metadata": {"name": "existing"}});
    object["spec"] = spec;
    object
}

fn bases() -> Vec<Value> {
    vec![
        pool(json!({"profile": "development", "selector": {"matchLabels": {"app": "orders"}}})),
        pool(json!({"profile": "test", "selector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}})),
        pool(
            json!({"profile": "production", "selector": {"matchLabels": {"app.kubernetes.io/name": "orders"}}, "limits": {"connectionTimeout": "20s"}}),
        ),
        pool(
            json!({"profile": "production", "selector": {"matchLabels": {"app": "orders"}}, "database": {"env": "ORDERS_URL"}, "client": "prisma"}),
        ),
        pool(
            json!({"profile": "development", "selector": {"matchLabels": {"app": "orders"}}, "probe": {"interval": "30s"}, "failurePolicy": "Fail"}),
        ),
        pool(
            json!({"profile": "test", "selector": {"matchLabels": {"app": "orders"}}, "sidecar": {"mode": "None"}, "probe": {"port": 8080}}),
        ),
    ]
}

/// Sets each field, and its parents; null removes it.
fn apply(object: &mut Value, change: &Change) {
    for (path, value) in &change.edits {
        let mut place = &mut *object;
        let mut keys = path.split('/').peekable();
        while let Some(key) = keys.next() {
            let map = place.as_object_mut().expect("every parent is an object");
            if keys.peek().is_none() {
                match value {
                    Value::Null => drop(map.remove(key)),
                    value => drop(map.insert(key.to_owned(), value.clone())),
                }
                break;
            }
            place = map.entry(key).or_insert_with(|| Value::Object(Map::new()));
        }
    }
}

const POOLER: [(&str, Value); 2] = [("spec/sidecar", Value::Null), ("spec/probe/port", Value::Null)];

fn no_sidecar() -> [(&'static str, Value); 3] {
    [("spec/sidecar", json!({"mode": "None"})), ("spec/probe/port", json!(8080)), ("spec/database", Value::Null)]
}

fn with(mut edits: Vec<(&'static str, Value)>, more: &[(&'static str, Value)]) -> Vec<(&'static str, Value)> {
    edits.extend_from_slice(more);
    edits
}

fn changes() -> Vec<Change> {
    let mut all = vec![];
    names(&mut all);
    words(&mut all);
    selectors(&mut all);
    expressions(&mut all);
    limits(&mut all);
    times(&mut all);
    database(&mut all);
    probe(&mut all);
    thresholds(&mut all);
    all
}

fn names(all: &mut Vec<Change>) {
    all.push(good(&[("metadata/name", json!("a".repeat(50)))]));
    all.push(bad("metadata.name", &[("metadata/name", json!("a".repeat(51)))]));
    all.push(bad("metadata.name", &[("metadata/name", json!("orders.shop"))]));
}

fn words(all: &mut Vec<Change>) {
    let mut field = |path: &'static str, name: &str, fine: &[&str], wrong: &[&str]| {
        all.extend(fine.iter().map(|word| good(&[(path, json!(word))])));
        all.extend(wrong.iter().map(|word| bad(name, &[(path, json!(word))])));
    };
    field("spec/profile", "spec.profile", &["development", "test", "production"], &["staging", ""]);
    field("spec/client", "spec.client", &["none", "prisma", "node-postgres", "libpq"], &["Prisma", ""]);
    field("spec/failurePolicy", "spec.failurePolicy", &["Ignore", "Fail"], &["ignore", ""]);
    all.push(bad("spec.profile", &[("spec/profile", Value::Null)]));
    all.push(good(&with(POOLER.to_vec(), &[("spec/sidecar/mode", json!("Pooler"))])));
    all.push(bad("spec.sidecar.mode", &with(POOLER.to_vec(), &[("spec/sidecar/mode", json!("Observer"))])));
    let pool_mode = |mode: &str| with(POOLER.to_vec(), &[("spec/sidecar/poolMode", json!(mode))]);
    all.push(good(&pool_mode("session")));
    all.push(good(&pool_mode("transaction")));
    all.push(bad("spec.sidecar.poolMode", &pool_mode("statement")));
    all.push(bad(
        "spec.sidecar.poolMode",
        &with(no_sidecar().to_vec(), &[("spec/sidecar/poolMode", json!("session"))]),
    ));
    let verify = |mode: &str, verify: &str| with(pool_mode(mode), &[("spec/sidecar/verify", json!(verify))]);
    all.push(good(&verify("transaction", "hints")));
    all.push(good(&verify("transaction", "always")));
    all.push(bad("spec.sidecar.verify", &verify("transaction", "never")));
    all.push(bad("spec.sidecar.verify", &verify("session", "always")));
    all.push(bad("spec.sidecar.verify", &with(no_sidecar().to_vec(), &[("spec/sidecar/verify", json!("always"))])));
    for (path, name) in [
        ("spec/limits/idleTransactionTimeout", "spec.limits.idleTransactionTimeout"),
        ("spec/limits/queryTimeout", "spec.limits.queryTimeout"),
    ] {
        all.push(bad(name, &with(no_sidecar().to_vec(), &[(path, json!("1m"))])));
    }
}

fn selectors(all: &mut Vec<Change>) {
    let path = "spec/selector";
    for empty in [json!({}), json!({"matchLabels": {}}), json!({"matchExpressions": []})] {
        all.push(bad("spec.selector", &[(path, empty)]));
    }
    all.push(bad("spec.selector", &[(path, Value::Null)]));
    let labels = |count: usize| (0..count).map(|number| (format!("label-{number}"), json!("x"))).collect::<Map<_, _>>();
    all.push(good(&[(path, json!({"matchLabels": labels(16)}))]));
    all.push(bad("spec.selector.matchLabels", &[(path, json!({"matchLabels": labels(17)}))]));
    let prefix = |length: usize| "p".repeat(length);
    for key in ["A", "9", "a.b-c/D_e.f", "a/b", &"k".repeat(63), &format!("{}/{}", prefix(253), "k".repeat(63))] {
        all.push(good(&[(path, json!({"matchLabels": {key: "x"}}))]));
    }
    for key in [
        "",
        "-a",
        "a-",
        "a b",
        "a/b/c",
        "/a",
        "a/",
        "A/b",
        "a..b/c",
        "a.-b/c",
        "a-.b/c",
        ".a/b",
        "a./b",
        "-a/b",
        "a/-b",
        "ä",
        "a_b/c",
        "a:b",
        &"k".repeat(64),
        &format!("{}/k", prefix(254)),
    ] {
        all.push(bad("spec.selector.matchLabels", &[(path, json!({"matchLabels": {key: "x"}}))]));
    }
    for value in ["", "a", "A.b_c-d", &"v".repeat(63)] {
        all.push(good(&[(path, json!({"matchLabels": {"app": value}}))]));
    }
    for value in ["a b", "-a", "a.", "ä"] {
        all.push(bad("spec.selector.matchLabels[app]", &[(path, json!({"matchLabels": {"app": value}}))]));
    }
    all.push(bad("spec.selector.matchLabels.app", &[(path, json!({"matchLabels": {"app": "v".repeat(64)}}))]));
}

fn expressions(all: &mut Vec<Change>) {
    let path = "spec/selector";
    let field = |name: &str| format!("spec.selector.matchExpressions[0]{name}");
    let one = |expression: Value| [(path, json!({"matchExpressions": [expression]}))];
    let many =
        |count: usize| [(path, json!({"matchExpressions": vec![json!({"key": "app", "operator": "Exists"}); count]}))];
    all.push(good(&many(16)));
    all.push(bad("spec.selector.matchExpressions", &many(17)));
    let long = format!("{}/{}", "p".repeat(253), "k".repeat(63));
    for key in ["a", "a.b-c/D_e.f", &long] {
        all.push(good(&one(json!({"key": key, "operator": "DoesNotExist"}))));
    }
    for key in
        ["", "-a", "a b", "a/b/c", "A/b", &"k".repeat(64), &format!("{}/k", "p".repeat(254)), &format!("{long}k")]
    {
        all.push(bad(&field(".key"), &one(json!({"key": key, "operator": "Exists"}))));
    }
    all.push(bad(&field(".key"), &one(json!({"operator": "Exists"}))));
    all.push(bad(&field(".operator"), &one(json!({"key": "app"}))));
    for operator in ["exists", "Equals", ""] {
        all.push(bad(&field(".operator"), &one(json!({"key": "app", "operator": operator}))));
    }
    let values = |count: usize| (0..count).map(|number| format!("v{number}")).collect::<Vec<_>>();
    for operator in ["In", "NotIn"] {
        all.push(good(&one(json!({"key": "app", "operator": operator, "values": values(64)}))));
        all.push(bad(&field(".values"), &one(json!({"key": "app", "operator": operator, "values": values(65)}))));
        all.push(bad(&field(".values"), &one(json!({"key": "app", "operator": operator, "values": []}))));
        all.push(bad(&field(".values"), &one(json!({"key": "app", "operator": operator}))));
    }
    all.push(good(&one(json!({"key": "app", "operator": "Exists", "values": []}))));
    all.push(bad(&field(".values"), &one(json!({"key": "app", "operator": "Exists", "values": ["a"]}))));
    all.push(bad(&field(".values"), &one(json!({"key": "app", "operator": "DoesNotExist", "values": ["a"]}))));
    all.push(good(&one(json!({"key": "app", "operator": "In", "values": ["v".repeat(63), ""]}))));
    all.push(bad(&field(".values[0]"), &one(json!({"key": "app", "operator": "In", "values": ["v".repeat(64)]}))));
    all.push(bad(&field(".values[0]"), &one(json!({"key": "app", "operator": "In", "values": ["a b"]}))));
}

fn limits(all: &mut Vec<Change>) {
    let (min, max) = ("spec.limits.min", "spec.limits.max");
    let set = |min: i64, max: i64| [("spec/limits", json!({"min": min, "max": max}))];
    for (low, high) in [(1, 1), (7, 7), (9_999, 10_000), (10_000, 10_000), (1, 9_999)] {
        all.push(good(&set(low, high)));
    }
    for (low, high) in [(0, 10), (-1, 10), (10_001, 10_000), (8, 7), (2, 1), (10_000, 9_999)] {
        all.push(bad(min, &set(low, high)));
    }
    for high in [0, -1, 10_001, 3_000_000_000] {
        all.push(bad(max, &[("spec/limits", json!({"max": high}))]));
        all.push(bad(max, &set(5, high)));
    }
    for (profile, high) in [("development", 10), ("test", 5), ("production", 20)] {
        all.push(good(&[("spec/profile", json!(profile)), ("spec/limits", json!({"min": high}))]));
        all.push(bad(min, &[("spec/profile", json!(profile)), ("spec/limits", json!({"min": high + 1}))]));
        all.push(good(&[("spec/profile", json!(profile)), ("spec/limits", json!({"max": 1}))]));
    }
}

fn times(all: &mut Vec<Change>) {
    let fields = [
        ("spec/limits/idleTransactionTimeout", "spec.limits.idleTransactionTimeout"),
        ("spec/limits/queryTimeout", "spec.limits.queryTimeout"),
        ("spec/limits/idleTimeout", "spec.limits.idleTimeout"),
        ("spec/limits/connectionTimeout", "spec.limits.connectionTimeout"),
        ("spec/limits/maxLifetime", "spec.limits.maxLifetime"),
        ("spec/probe/interval", "spec.probe.interval"),
        ("spec/probe/timeout", "spec.probe.timeout"),
    ];
    for (path, name) in fields {
        // A long interval, so that every time-out fits into it; and a pooler, where only that has the field.
        let only_pooler = path.ends_with("TransactionTimeout") || path.ends_with("queryTimeout");
        let pooler = if only_pooler { POOLER.to_vec() } else { Vec::new() };
        let set = |text: &str| with(pooler.clone(), &[("spec/probe/interval", json!("24h")), (path, json!(text))]);
        for fine in ["1s", "1000ms", "1001ms", "24h", "23h", "1440m", "86400s", "86400000ms", "000000000000030s"] {
            all.push(good(&set(fine)));
        }
        for wrong in ["", "30", "s", "1d", "1.5s", "-1s", " 1s", "30S", "1m30s", "1s\n"] {
            all.push(bad(name, &set(wrong)));
        }
        for out in ["999ms", "0s", "0h", "86400001ms", "86401s", "1441m", "25h", "999999999999999h", "99999999999999ms"]
        {
            all.push(bad(name, &set(out)));
        }
        all.push(bad(name, &set("0000000000000030s")));
    }
    let both = |timeout: &str, interval: &str| {
        [("spec/probe/timeout", json!(timeout)), ("spec/probe/interval", json!(interval))]
    };
    for (timeout, interval) in [("5s", "5s"), ("5000ms", "5s"), ("59s", "1m")] {
        all.push(good(&both(timeout, interval)));
    }
    for (timeout, interval) in [("6s", "5s"), ("5001ms", "5s"), ("61s", "1m")] {
        all.push(bad("spec.probe.timeout", &both(timeout, interval)));
    }
    let default = |timeout: &str| [("spec/probe/interval", Value::Null), ("spec/probe/timeout", json!(timeout))];
    all.push(good(&default("10s")));
    all.push(bad("spec.probe.timeout", &default("11s")));
}

fn database(all: &mut Vec<Change>) {
    let env = |name: &str| [("spec/database", json!({"env": name}))];
    for name in ["DATABASE_URL", "_x", "a", "DATABASE_POOL_URL", &"A".repeat(253)] {
        all.push(good(&env(name)));
    }
    for name in [
        "",
        "1A",
        "A-B",
        "A B",
        "A=B",
        "Ä",
        "WEIR_URL",
        "DATABASE_POOL_MAX",
        "DATABASE_POOL_IDLE_TIMEOUT",
        &"A".repeat(254),
    ] {
        all.push(bad("spec.database.env", &env(name)));
    }
    for (path, name) in [("spec/database/user", "spec.database.user"), ("spec/database/name", "spec.database.name")] {
        let set = |text: &str| with(POOLER.to_vec(), &[(path, json!(text))]);
        for fine in ["orders", "_a.b-c", "9", &"u".repeat(63)] {
            all.push(good(&set(fine)));
        }
        for wrong in ["", ".a", "-a", "a b", "a'b", "a@b", "ü", &"u".repeat(64)] {
            all.push(bad(name, &set(wrong)));
        }
        all.push(bad(name, &with(no_sidecar().to_vec(), &[(path, json!("orders"))])));
    }
}

fn probe(all: &mut Vec<Change>) {
    let long = |length: usize| format!("/{}", "p".repeat(length - 1));
    let path = |path: &str| with(no_sidecar().to_vec(), &[("spec/probe/path", json!(path))]);
    for fine in ["/", "/health/pool", "/x?y=1&z=%20", &long(256)] {
        all.push(good(&path(fine)));
    }
    for wrong in ["", "health", "/a b", "/ä", "/a#b", &long(257)] {
        all.push(bad("spec.probe.path", &path(wrong)));
    }
    all.push(good(&with(POOLER.to_vec(), &[("spec/probe/path", json!("/health/pool"))])));
    all.push(bad("spec.probe.path", &with(POOLER.to_vec(), &[("spec/probe/path", json!("/health"))])));
    let port = |port: Value| with(no_sidecar().to_vec(), &[("spec/probe/port", port)]);
    for fine in [1, 2, 65_534, 65_535] {
        all.push(good(&port(json!(fine))));
    }
    for wrong in [json!(0), json!(-1), json!(65_536), Value::Null] {
        all.push(bad("spec.probe.port", &port(wrong)));
    }
    all.push(bad("spec.probe.port", &with(no_sidecar().to_vec(), &[("spec/probe", Value::Null)])));
    all.push(bad("spec.probe.port", &with(POOLER.to_vec(), &[("spec/probe/port", json!(8080))])));
}

fn thresholds(all: &mut Vec<Change>) {
    let (warning, critical) = ("spec.thresholds.warning", "spec.thresholds.critical");
    let set = |value: Value| [("spec/thresholds", value)];
    for fine in [
        json!({}),
        json!({"warning": 1}),
        json!({"warning": 89}),
        json!({"critical": 81}),
        json!({"critical": 100}),
        json!({"warning": 99, "critical": 100}),
        json!({"warning": 1, "critical": 2}),
    ] {
        all.push(good(&set(fine)));
    }
    for wrong in [
        json!({"warning": 0}),
        json!({"warning": 100, "critical": 100}),
        json!({"warning": 90}),
        json!({"warning": 50, "critical": 50}),
        json!({"warning": 51, "critical": 50}),
        json!({"warning": 99, "critical": 99}),
    ] {
        all.push(bad(warning, &set(wrong)));
    }
    for wrong in [
        json!({"warning": 1, "critical": 1}),
        json!({"critical": 101}),
        json!({"critical": 80}),
        json!({"critical": 2}),
    ] {
        all.push(bad(critical, &set(wrong)));
    }
}
