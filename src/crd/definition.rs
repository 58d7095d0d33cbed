//! The CustomResourceDefinition: what the types' derive makes, finished for the API server.
//!
//! What the derive can't say is put in here: bounds and rules inside of Kubernetes' own types, the status that a new object has
//! (without it kstatus takes a new pool for ready), and a schema without `nullable`, so that null means absent everywhere.

#![expect(clippy::missing_panics_doc, reason = "a definition that can't be made fails every test run")]

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::Rule;
use kube::{CustomResourceExt, core::crd::v1};
use serde_json::{Value, json};

use super::{ConnectionPool, bounds, rules::selector};

/// What `weir crd` prints and the chart installs. Pure: the same value at every call.
pub fn definition() -> CustomResourceDefinition {
    let mut value =
        serde_json::to_value(<ConnectionPool as v1::CustomResourceExt>::crd()).expect("a definition is JSON");
    finish(&mut value).expect("the derived schema has the fields of the types");
    serde_json::from_value(value).expect("a finished definition is still one")
}

/// [`definition`] as YAML, with a note that it is generated.
pub fn yaml() -> String {
    let body = serde_saphyr::to_string(&definition()).expect("a definition is YAML");
    format!("# Printed by `weir crd`; change the types in src/crd.rs instead.\n{body}")
}

/// `None` where the derived schema lacks a field that is to be finished.
fn finish(crd: &mut Value) -> Option<()> {
    crd["spec"]["names"]["listKind"] = json!(format!("{}List", ConnectionPool::crd().spec.names.kind));
    let version = crd.pointer_mut("/spec/versions/0")?;
    version["additionalPrinterColumns"] = columns();
    let schema = version.pointer_mut("/schema/openAPIV3Schema")?;
    clean(schema);
    let properties = schema.pointer_mut("/properties")?;
    // Named here so that rules can point at it; Kubernetes allows no more than the name to be mentioned.
    properties["metadata"] = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    properties["status"]["default"] = json!({"observedGeneration": -1});
    // Optional in Rust, so that a pool without them gets a condition that says so.
    set(properties.pointer_mut("/spec")?, &json!({"required": ["profile", "selector"]}));
    finish_selector(properties.pointer_mut("/spec/properties/selector")?)?;
    finish_conditions(properties.pointer_mut("/status/properties/conditions")?)
}

fn finish_selector(selector: &mut Value) -> Option<()> {
    let labels = selector.pointer_mut("/properties/matchLabels")?;
    set(
        labels,
        &json!({"maxProperties": bounds::SELECTOR_ITEMS, "x-kubernetes-validations": [cel(&selector::label_keys())]}),
    );
    set(labels.pointer_mut("/additionalProperties")?, &label_value());
    let expressions = selector.pointer_mut("/properties/matchExpressions")?;
    set(
        expressions,
        &json!({"description": "Further conditions on a pod's labels, which must all hold. At most 16. \
            Example: `[{key: tier, operator: In, values: [web, worker]}]`."}),
    );
    set(expressions, &json!({"maxItems": bounds::SELECTOR_ITEMS, "x-kubernetes-list-type": "atomic"}));
    let expression = expressions.pointer_mut("/items")?;
    set(expression, &json!({"description": "A condition on one label."}));
    set(
        expression,
        &json!({"x-kubernetes-validations": [cel(&selector::values_required()), cel(&selector::values_forbidden())]}),
    );
    set(
        expression.pointer_mut("/properties/key")?,
        &json!({"description": "Key of the label.", "maxLength": bounds::LABEL_KEY_LENGTH, "x-kubernetes-validations": [cel(&selector::expression_key())]}),
    );
    let operator = "`In` and `NotIn`: the label's value is, or is not, one of `values`. `Exists` and `DoesNotExist`: the pod has, or has \
                    not, the label, whatever its value.";
    set(expression.pointer_mut("/properties/operator")?, &json!({"description": operator, "enum": bounds::OPERATORS}));
    let values = expression.pointer_mut("/properties/values")?;
    set(values, &json!({"description": "Values for `In` and `NotIn`, 1 to 64; none for the other operators."}));
    set(values, &json!({"maxItems": bounds::SELECTOR_VALUES, "x-kubernetes-list-type": "atomic"}));
    set(values.pointer_mut("/items")?, &label_value());
    Some(())
}

fn label_value() -> Value {
    json!({"maxLength": bounds::LABEL_VALUE_LENGTH, "x-kubernetes-validations": [cel(&selector::label_value())]})
}

/// As in Kubernetes' own objects (apimachinery, meta/v1, Condition).
fn finish_conditions(conditions: &mut Value) -> Option<()> {
    set(
        conditions,
        &json!({"maxItems": bounds::CONDITIONS, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    );
    let condition = conditions.pointer_mut("/items/properties")?;
    set(condition.pointer_mut("/type")?, &json!({"maxLength": 316}));
    set(
        condition.pointer_mut("/reason")?,
        &json!({"minLength": 1, "maxLength": 1024, "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"}),
    );
    set(condition.pointer_mut("/message")?, &json!({"maxLength": 32768}));
    set(condition.pointer_mut("/status")?, &json!({"enum": ["True", "False", "Unknown"]}));
    set(condition.pointer_mut("/observedGeneration")?, &json!({"minimum": 0}));
    Some(())
}

fn cel(rule: &Rule) -> Value {
    serde_json::to_value(rule).expect("a rule is JSON")
}

/// Adds keywords to a schema.
fn set(schema: &mut Value, keywords: &Value) {
    if let (Some(schema), Some(keywords)) = (schema.as_object_mut(), keywords.as_object()) {
        schema.extend(keywords.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
}

/// Takes `nullable` out: the API server drops null in a field that is not nullable, so that it means absent, as in Rust. And docs
/// become paragraphs without line breaks, since kubectl wraps them to its own width.
fn clean(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.remove("nullable");
            if let Some(Value::String(text)) = object.get_mut("description") {
                let paragraphs: Vec<String> = text.split("\n\n").map(|lines| lines.replace('\n', " ")).collect();
                *text = paragraphs.join("\n\n");
            }
            object.iter_mut().for_each(|(_, value)| clean(value));
        }
        Value::Array(items) => items.iter_mut().for_each(clean),
        _ => {}
    }
}

/// What `kubectl get connectionpools` shows; priority 1 is for `-o wide`.
fn columns() -> Value {
    let column = |name: &str, kind: &str, path: &str, priority: i32, description: &str| json!({"name": name, "type": kind, "jsonPath": path, "priority": priority, "description": description});
    json!([
        column(
            "Ready",
            "string",
            ".status.conditions[?(@.type==\"Ready\")].status",
            0,
            "The pool is accepted and new pods get it."
        ),
        column(
            "Profile",
            "string",
            ".spec.profile",
            0,
            "The kind of environment, which sets the limits that are left open."
        ),
        column("Pods", "string", ".status.pods", 0, "Pods with the pool / pods that match the selector."),
        column("Used", "string", ".status.used", 0, "Open connections to PostgreSQL, over all instances."),
        column(
            "Util",
            "string",
            ".status.utilization",
            0,
            "(active + waiting) / granted connections, over all instances."
        ),
        column("Waiting", "integer", ".status.waiting", 0, "Clients that wait for a connection, over all instances."),
        column("Reason", "string", ".status.reason", 0, "Reason of the most serious condition."),
        column("Age", "date", ".metadata.creationTimestamp", 0, "Time since the pool was created."),
        column("Mode", "string", ".status.mode", 1, "What is added to a pod."),
        column("Client", "string", ".status.client", 1, "The client library that the URL is written for."),
        column("Worst", "string", ".status.worstInstance", 1, "The instance with the highest utilization."),
    ])
}

#[cfg(test)]
mod tests;
