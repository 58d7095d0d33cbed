//! The rules of `spec.selector`: those of a webhook's objectSelector, and that it is not empty.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::value::{Violations, is_dns_label};
use crate::crd::bounds;
use crate::crd::rules::selector as rules;

pub(super) fn check(selector: &LabelSelector, found: &mut Violations) {
    let labels = selector.match_labels.iter().flatten();
    let expressions = selector.match_expressions.as_deref().unwrap_or_default();
    if labels.clone().next().is_none() && expressions.is_empty() {
        found.add("spec.selector", rules::NOT_EMPTY, &[]);
    }
    count(found, "spec.selector.matchLabels", labels.clone().count(), bounds::SELECTOR_ITEMS);
    if !labels.clone().all(|(key, _)| is_label_key(key)) {
        found.add("spec.selector.matchLabels", rules::LABEL_KEYS, &[]);
    }
    for (key, value) in labels {
        label_value(
            found,
            &format!("spec.selector.matchLabels.{key}"),
            &format!("spec.selector.matchLabels[{key}]"),
            value,
        );
    }
    count(found, "spec.selector.matchExpressions", expressions.len(), bounds::SELECTOR_ITEMS);
    for (index, expression) in expressions.iter().enumerate() {
        check_expression(&format!("spec.selector.matchExpressions[{index}]"), expression, found);
    }
}

fn check_expression(field: &str, expression: &LabelSelectorRequirement, found: &mut Violations) {
    let key = format!("{field}.key");
    if found.length(&key, &expression.key, bounds::LABEL_KEY_LENGTH) && !is_label_key(&expression.key) {
        found.add(&key, rules::EXPRESSION_KEY, &[&expression.key]);
    }
    let values = expression.values.as_deref().unwrap_or_default();
    let field_values = format!("{field}.values");
    match expression.operator.as_str() {
        "In" | "NotIn" if values.is_empty() => {
            found.add(&field_values, rules::VALUES_REQUIRED, &[&expression.operator]);
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            found.add(&field_values, rules::VALUES_FORBIDDEN, &[&expression.operator]);
        }
        known if bounds::OPERATORS.contains(&known) => {}
        unknown => found.unknown(&format!("{field}.operator"), unknown, &bounds::OPERATORS),
    }
    count(found, &field_values, values.len(), bounds::SELECTOR_VALUES);
    for (index, value) in values.iter().enumerate() {
        let field = format!("{field_values}[{index}]");
        label_value(found, &field, &field, value);
    }
}

fn count(found: &mut Violations, field: &str, count: usize, most: u32) {
    if u32::try_from(count).is_ok_and(|count| count <= most) {
        return;
    }
    found.add(field, "{} has {} entries; use at most {}", &[&field, &count, &most]);
}

/// The API server names an entry of a map in two ways: by a schema's keyword, and by a rule.
fn label_value(found: &mut Violations, by_keyword: &str, by_rule: &str, value: &str) {
    if found.length(by_keyword, value, bounds::LABEL_VALUE_LENGTH) && !value.is_empty() && !is_label_name(value) {
        found.add(by_rule, rules::LABEL_VALUE, &[&value]);
    }
}

/// A label's key with the lengths of its parts (Kubernetes: "Labels and Selectors", syntax).
fn is_label_key(key: &str) -> bool {
    let short = |text: &str, most: u32| u32::try_from(text.len()).is_ok_and(|length| length <= most);
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    prefix.is_none_or(|prefix| short(prefix, bounds::LABEL_PREFIX_LENGTH) && prefix.split('.').all(is_dns_label))
        && short(name, bounds::LABEL_NAME_LENGTH)
        && is_label_name(name)
}

/// The name part of a key, or a value that is not empty.
fn is_label_name(text: &str) -> bool {
    let edge = |character: char| character.is_ascii_alphanumeric();
    text.starts_with(edge)
        && text.ends_with(edge)
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}
