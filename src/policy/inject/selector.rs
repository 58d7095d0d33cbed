//! Label selectors, as the API server evaluates them (apimachinery, labels.Requirement.Matches).

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Whether labels match. An empty selector matches everything; an unknown operator matches nothing.
pub fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let equal = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let expressions = selector.match_expressions.iter().flatten();
    equal
        && expressions.into_iter().all(|requirement| {
            let label = labels.get(&requirement.key);
            let listed = label.is_some_and(|label| requirement.values.iter().flatten().any(|value| value == label));
            match requirement.operator.as_str() {
                "In" => listed,
                // A label that is not there is not in the list either.
                "NotIn" => !listed,
                "Exists" => label.is_some(),
                "DoesNotExist" => label.is_none(),
                _ => false,
            }
        })
}
