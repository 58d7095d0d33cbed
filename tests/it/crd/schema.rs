//! Every rule of the definition, found by walking its schema, so that none can be added without being tested.

use std::collections::BTreeMap;

use serde_json::Value;

use super::judge::Cause;

/// A rule: the field that a refusal names (indices and keys of maps as `*`), and what kind of rule it is.
pub type Rule = (String, String);

/// Every rule below `spec`, and those of the object itself.
pub fn rules(schema: &Value) -> BTreeMap<Rule, u32> {
    let mut found = BTreeMap::new();
    walk("", schema, &mut found);
    // Only the API server writes it.
    found.retain(|(field, _), _| !field.starts_with("status"));
    // Every object of these tests has them; types are tested by hand.
    found.retain(|(field, kind), _| !(field == "spec" && kind == "required"));
    found
}

fn walk(field: &str, schema: &Value, found: &mut BTreeMap<Rule, u32>) {
    let mut add = |field: &str, kind: &str| {
        found.insert((field.to_owned(), kind.to_owned()), 0);
    };
    for keyword in ["minimum", "maximum", "maxLength", "minLength", "maxItems", "maxProperties", "enum", "pattern"] {
        if schema.get(keyword).is_some() {
            add(field, keyword);
        }
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        add(&child(field, name.as_str().expect("a name")), "required");
    }
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let path = rule["fieldPath"]
            .as_str()
            .map_or_else(|| field.to_owned(), |path| child(field, path.trim_start_matches('.')));
        add(&path, &kind_of(rule));
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(&child(field, name), property, found);
    }
    for inner in ["items", "additionalProperties"] {
        if schema.get(inner).is_some_and(Value::is_object) {
            walk(&format!("{field}[*]"), &schema[inner], found);
        }
    }
}

fn child(field: &str, name: &str) -> String {
    if field.is_empty() { name.to_owned() } else { format!("{field}.{name}") }
}

/// A CEL rule is known by the words of its message that are not values.
fn kind_of(rule: &Value) -> String {
    let text = rule["message"].as_str().map(ToOwned::to_owned);
    text.unwrap_or_else(|| {
        let expression = rule["messageExpression"].as_str().expect("every rule has a message");
        expression.rsplit('"').nth(1).expect("it ends with words").to_owned()
    })
}

/// The rule that a cause speaks of, and whether it is a CEL rule.
pub fn rule_of(cause: &Cause, rules: &BTreeMap<Rule, u32>) -> (Rule, bool) {
    let field = general(&cause.field);
    for ((_, kind), _) in rules.iter().filter(|((path, _), _)| *path == field) {
        if cause.message.ends_with(kind.as_str()) {
            return ((field, kind.clone()), true);
        }
    }
    let kind = match cause.reason.as_str() {
        "FieldValueNotSupported" => "enum",
        "FieldValueRequired" => "required",
        _ if cause.message.contains("should be greater than or equal to") => "minimum",
        _ if cause.message.contains("should be less than or equal to") => "maximum",
        _ if cause.message.contains("Too long") => "maxLength",
        _ if cause.message.contains("Too many") && field.ends_with("matchLabels") => "maxProperties",
        _ if cause.message.contains("Too many") => "maxItems",
        _ => "?",
    };
    ((field, kind.to_owned()), false)
}

/// `a.matchLabels.app`, `a.matchLabels[app]` and `a.values[3]` are one field each of `a.matchLabels[*]` and `a.values[*]`.
fn general(field: &str) -> String {
    let mut text = String::new();
    let mut rest = field;
    while let Some((before, after)) = rest.split_once('[') {
        text.push_str(before);
        text.push_str("[*]");
        rest = after.split_once(']').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    match text.split_once("matchLabels.") {
        Some((before, _)) => format!("{before}matchLabels[*]"),
        None => text,
    }
}
