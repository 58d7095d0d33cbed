//! Selectors, and telling an instance from any other pod.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;
use proptest::prelude::*;

use super::*;

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn requirement(key: &str, operator: &str, values: &[&str]) -> LabelSelectorRequirement {
    let values = (!values.is_empty()).then(|| values.iter().map(|value| (*value).to_owned()).collect());
    LabelSelectorRequirement { key: key.into(), operator: operator.into(), values }
}

fn selector(equal: &[(&str, &str)], expressions: Vec<LabelSelectorRequirement>) -> LabelSelector {
    LabelSelector { match_labels: Some(labels(equal)), match_expressions: Some(expressions) }
}

#[test]
fn operators_mean_what_they_mean_to_the_api_server() {
    let pod = labels(&[("app", "orders"), ("tier", "web")]);
    for (operator, key, values, expected) in [
        ("In", "app", &["orders", "x"][..], true),
        ("In", "app", &["x"], false),
        ("In", "none", &["x"], false),
        ("NotIn", "app", &["orders"], false),
        ("NotIn", "app", &["x"], true),
        ("NotIn", "none", &["x"], true),
        ("Exists", "app", &[], true),
        ("Exists", "none", &[], false),
        ("DoesNotExist", "app", &[], false),
        ("DoesNotExist", "none", &[], true),
        ("Like", "app", &["orders"], false),
    ] {
        let selector = selector(&[], vec![requirement(key, operator, values)]);
        assert_eq!(matches(&selector, &pod), expected, "{operator} {key} {values:?}");
    }
    assert!(matches(&LabelSelector::default(), &labels(&[])), "an empty selector matches everything");
    assert!(matches(&selector(&[("app", "orders")], vec![requirement("tier", "Exists", &[])]), &pod));
    assert!(!matches(&selector(&[("app", "orders"), ("tier", "db")], vec![]), &pod));
}

#[test]
fn an_instance_has_the_note_and_the_container() {
    let pod = injected(&literal(URL), &pool());
    assert_eq!(instance(&pod, "orders").map(|note| note.control), Some(19187));
    assert_eq!(instance(&pod, "other"), None);
    assert_eq!(instance(&literal(URL), "orders"), None);
    let mut without = pod.clone();
    without["spec"]["initContainers"] = json!([]);
    assert_eq!(instance(&without, "orders"), None);
    let mut garbled = pod;
    garbled["metadata"]["annotations"]["weir.dev/injected.orders"] = json!("{");
    assert_eq!(instance(&garbled, "orders"), None);

    let pod = injected(&literal(URL), &pool_without_sidecar("none"));
    assert_eq!(instance(&pod, "orders").map(|note| note.control), Some(3000));
}

prop_compose! {
    fn some_labels()(pairs in prop::collection::btree_map("[a-c]", "[x-z]", 0..3)) -> BTreeMap<String, String> { pairs }
}

prop_compose! {
    fn some_requirement()(
        key in "[a-c]",
        operator in prop::sample::select(vec!["In", "NotIn", "Exists", "DoesNotExist"]),
        values in prop::collection::vec("[x-z]", 1..3),
    ) -> LabelSelectorRequirement {
        let values = operator.ends_with("In").then_some(values);
        LabelSelectorRequirement { key, operator: operator.to_owned(), values }
    }
}

proptest! {
    #[test]
    fn opposites_disagree_and_conjunctions_are_conjunctions(
        pod in some_labels(),
        one in some_requirement(),
        other in some_requirement(),
        equal in some_labels(),
    ) {
        let only = |expressions| LabelSelector { match_labels: None, match_expressions: Some(expressions) };
        let opposite = match one.operator.as_str() {
            "In" => "NotIn",
            "NotIn" => "In",
            "Exists" => "DoesNotExist",
            _ => "Exists",
        };
        let negated = LabelSelectorRequirement { operator: opposite.to_owned(), ..one.clone() };
        prop_assert_ne!(matches(&only(vec![one.clone()]), &pod), matches(&only(vec![negated]), &pod));

        let each = matches(&only(vec![one.clone()]), &pod)
            && matches(&only(vec![other.clone()]), &pod)
            && equal.iter().all(|(key, value)| pod.get(key) == Some(value));
        let all = LabelSelector { match_labels: Some(equal), match_expressions: Some(vec![one, other]) };
        prop_assert_eq!(matches(&all, &pod), each);
    }

    #[test]
    fn a_label_equals_being_in_a_list_of_one(pod in some_labels(), key in "[a-c]", value in "[x-z]") {
        let equal = LabelSelector { match_labels: Some([(key.clone(), value.clone())].into()), match_expressions: None };
        let listed = LabelSelectorRequirement { key, operator: "In".into(), values: Some(vec![value]) };
        let listed = LabelSelector { match_labels: None, match_expressions: Some(vec![listed]) };
        prop_assert_eq!(matches(&equal, &pod), matches(&listed, &pod));
    }
}
