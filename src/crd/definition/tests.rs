//! The definition as values: what the API server would refuse, or warn about, is refused here first.

use serde_json::{Value, json};

use super::*;

fn schema() -> Value {
    serde_json::to_value(definition()).unwrap()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// Every schema in it, with its field.
fn each(field: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
    visit(field, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        each(&format!("{field}.{name}"), property, visit);
    }
    for inner in ["items", "additionalProperties"] {
        if schema.get(inner).is_some() {
            each(&format!("{field}[]"), &schema[inner], visit);
        }
    }
}

#[test]
fn the_committed_file_is_what_the_types_say() {
    let committed = include_str!("../../../crds/connectionpools.yaml");
    assert!(committed == yaml(), "crds/connectionpools.yaml is old: run `make generate`");
}

#[test]
fn what_is_printed_is_what_is_meant() {
    let printed: Value = serde_saphyr::from_str(&yaml()).unwrap();
    assert_eq!(printed, serde_json::to_value(definition()).unwrap());
}

#[test]
fn everything_is_bounded_and_documented() {
    let mut seen = 0;
    each("", &schema(), &mut |field, schema| {
        seen += 1;
        let has = |keyword: &str| schema.get(keyword).is_some();
        assert!(!has("nullable"), "{field} may be null");
        if field.starts_with(".metadata") {
            return;
        }
        match schema["type"].as_str() {
            Some("string") => {
                assert!(has("maxLength") || has("enum") || schema["format"] == "date-time", "{field} has no bound");
            }
            Some("integer") => {
                assert!(
                    ["int32", "int64"].contains(&schema["format"].as_str().unwrap_or_default()),
                    "{field} has another format"
                );
                assert!(has("minimum") && (has("maximum") || field.starts_with(".status")), "{field} has no bound");
            }
            Some("array") => assert!(
                has("maxItems") && (has("x-kubernetes-list-type") || field.ends_with("warnings")),
                "{field} has no bound"
            ),
            Some("object") if has("additionalProperties") => assert!(has("maxProperties"), "{field} has no bound"),
            Some("object") => {}
            other => panic!("{field} has the type {other:?}"),
        }
        assert!(has("description") || field.ends_with("[]") || field.is_empty(), "{field} is not documented");
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            assert!(
                rule.get("message").is_some() || rule.get("messageExpression").is_some(),
                "{field} has a rule without words"
            );
        }
    });
    assert!(seen > 40, "{seen} fields");
}

/// Docs are the manual: unit, default and an example for what users set.
#[test]
fn fields_that_users_set_have_an_example() {
    let mut examples = 0;
    each("", &schema()["properties"]["spec"], &mut |field, schema| {
        let text = schema["description"].as_str().unwrap_or_default();
        let leaf = matches!(schema["type"].as_str(), Some("string" | "integer")) && !field.contains("selector");
        if leaf && schema.get("enum").is_none() {
            examples += 1;
            assert!(text.contains("Example: `"), "{field}: {text}");
            assert!(
                text.contains("efault") || text.contains("Required in"),
                "{field} does not name its default: {text}"
            );
        }
    });
    assert_eq!(examples, 16);
}

#[test]
fn kubectl_and_kstatus_find_what_they_need() {
    let crd = serde_json::to_value(definition()).unwrap();
    assert_eq!(crd["metadata"]["name"], "connectionpools.weir.dev");
    assert_eq!(
        crd["spec"]["names"],
        json!({"categories": ["weir"], "kind": "ConnectionPool", "listKind": "ConnectionPoolList", "plural": "connectionpools",
            "shortNames": ["cpool"], "singular": "connectionpool"})
    );
    let version = &crd["spec"]["versions"][0];
    assert_eq!(version["subresources"], json!({"status": {}}));
    let names: Vec<&str> =
        version["additionalPrinterColumns"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["Ready", "Profile", "Pods", "Used", "Util", "Waiting", "Reason", "Age", "Mode", "Client", "Worst"]
    );
    let schema = schema();
    assert_eq!(schema["properties"]["status"]["default"], json!({"observedGeneration": -1}));
    assert_eq!(
        schema["properties"]["status"]["properties"]["conditions"]["x-kubernetes-list-map-keys"],
        json!(["type"])
    );
    let sidecar = &schema["properties"]["spec"]["properties"]["sidecar"]["properties"];
    assert_eq!(sidecar["poolMode"]["enum"], json!(["session", "transaction"]));
    assert_eq!(sidecar["verify"]["enum"], json!(["hints", "always"]));
    each("", &schema["properties"]["spec"], &mut |field, schema| {
        assert!(schema.get("default").is_none(), "{field} has a default");
    });
}

/// Numbers in texts are those in force.
#[test]
fn words_have_the_numbers_of_the_bounds() {
    use crate::crd::rules;
    use crate::policy::limits::Profile;

    let schema = schema();
    let text = |field: &str| schema.pointer(field).and_then(Value::as_str).unwrap().to_owned();
    let limits = "/properties/spec/properties/limits/properties";
    for field in ["min", "max"] {
        assert!(text(&format!("{limits}/{field}/description")).contains(&format!("1 to {};", bounds::CONNECTIONS_MAX)));
    }
    assert!(text(&format!("{limits}/min/description")).contains(&format!("More than {} gives", bounds::MIN_WARNING)));
    assert!(text(&format!("{limits}/max/description")).contains(&format!("More than {} gives", bounds::MAX_WARNING)));
    assert!(rules::MIN_WARNING.contains(&format!("above {}:", bounds::MIN_WARNING)));
    assert!(rules::MAX_WARNING.contains(&format!("above {}:", bounds::MAX_WARNING)));
    assert!(rules::NAME_LENGTH.contains(&format!("at most {} ", crate::names::POOL_NAME_MAX)));
    let mode = serde_json::to_value(bounds::POOL_MODE).unwrap();
    let words = format!("`{}` (the default)", mode.as_str().unwrap());
    assert!(text("/properties/spec/properties/sidecar/properties/poolMode/description").contains(&words), "{words}");
    for profile in [Profile::Development, Profile::Test, Profile::Production] {
        let limits = profile.limits();
        let time = crate::policy::duration::format;
        let (idle, connect) = (time(limits.idle_timeout), time(limits.connection_timeout));
        let words = format!(
            "`{}` is min {}, max {}, idleTimeout {idle}, connectionTimeout {connect}",
            profile.as_str(),
            limits.min,
            limits.max
        );
        assert!(text("/properties/spec/properties/profile/description").contains(&words), "{words}");
    }
}

/// The same CEL that the API server runs, here without one: a quick look before `tests/it/crd.rs` has the last word.
#[test]
fn examples_break_no_rule() {
    for pool in crate::policy::validate::tests::examples() {
        let pool = serde_json::to_value(pool).unwrap();
        let outcome = kube::core::cel::Validator::new().validate(&schema(), &pool, None);
        assert!(outcome.is_ok(), "{}: {outcome:?}", pool["metadata"]["name"]);
    }
}

#[test]
fn cel_and_rust_refuse_alike() {
    let cases: Vec<Value> = serde_saphyr::from_str(include_str!("../../../tests/it/crd/by_hand.yaml")).unwrap();
    let (mut judged, mut refused) = (0, 0);
    for case in cases.iter().filter(|case| case.get("spec").is_some_and(|spec| spec.get("profile").is_some())) {
        let metadata = case.get("metadata").cloned().unwrap_or_else(|| json!({"name": "existing"}));
        let object = json!({"apiVersion": "weir.dev/v1alpha1", "kind": "ConnectionPool", "metadata": metadata, "spec": case["spec"]});
        // Types and words are the schema's part.
        let Ok(pool) = crate::policy::validate::read::read(&object) else { continue };
        let rust = crate::policy::validate::validate(&pool).err().unwrap_or_default();
        let pool = serde_json::to_value(pool).unwrap();
        let cel = kube::core::cel::Validator::new().validate(&schema(), &pool, None).err();
        judged += 1;
        for error in cel.as_ref().map(kube::core::cel::ValidationErrors::as_slice).unwrap_or_default() {
            refused += 1;
            let known = rust.iter().any(|violation| violation.message == error.message);
            assert!(known, "{}: CEL says {:?}, Rust {rust:?}", case["name"], error.message);
        }
    }
    assert!(judged > 50 && refused > 25, "{judged} judged, {refused} refused");
}
