use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::policy::validate::validate;

fn pool(namespace: &str, name: &str) -> ValidatedPool {
    let pool = json!({
        "apiVersion": "weir.dev/v1alpha1", "kind": "ConnectionPool",
        "metadata": {"namespace": namespace, "name": name, "generation": 1},
        "spec": {
            "profile": "production",
            "selector": {
                "matchLabels": {"app": "orders"},
                "matchExpressions": [{"key": "tier", "operator": "In", "values": ["web"]}, {"key": "canary", "operator": "DoesNotExist"}],
            },
            "failurePolicy": "Fail",
        },
    });
    let pool = serde_json::from_value(pool).expect("a pool");
    validate(&pool).unwrap_or_else(|violations| panic!("{violations:?}"))
}

fn installation(count: usize) -> Installation {
    Installation {
        namespace: "weir-system".to_owned(),
        endpoint: Endpoint::Service("weir-webhook".to_owned()),
        ca_bundle: "Q0E=".to_owned(),
        configurations: (0..count).map(|number| format!("weir-{number}")).collect(),
    }
}

fn planned(installation: &Installation, pools: &[ValidatedPool]) -> Plan {
    let candidates: Vec<_> = pools.iter().map(|pool| Candidate { pool, created: 0 }).collect();
    plan(installation, &candidates)
}

fn names(entries: &[Value]) -> Vec<&str> {
    entries.iter().filter_map(|entry| entry["name"].as_str()).collect()
}

#[test]
fn an_entry_selects_its_pools_pods_and_nothing_else() {
    let plan = planned(&installation(1), &[pool("shop", "orders")]);
    let [configuration] = &plan.configurations[..] else { panic!("one configuration") };
    let [canary, entry] = &configuration.entries[..] else { panic!("a canary and an entry") };
    assert_eq!(
        *entry,
        json!({
            "name": "644f7b8cf5.orders.weir.dev",
            "admissionReviewVersions": ["v1"],
            "clientConfig": {
                "caBundle": "Q0E=",
                "service": {"name": "weir-webhook", "namespace": "weir-system", "path": "/inject/shop/orders", "port": 443},
            },
            "failurePolicy": "Fail",
            "matchPolicy": "Equivalent",
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}},
            "objectSelector": {
                "matchExpressions": [
                    {"key": "tier", "operator": "In", "values": ["web"]},
                    {"key": "canary", "operator": "DoesNotExist"},
                ],
                "matchLabels": {"app": "orders"},
            },
            "reinvocationPolicy": "IfNeeded",
            "rules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"], "scope": "Namespaced",
            }],
            "sideEffects": "None",
            "timeoutSeconds": 3,
        })
    );
    assert_eq!(canary["name"], "canary.weir.dev");
    assert_eq!(canary["clientConfig"]["service"]["path"], format!("/canary/{}", configuration.revision));
    assert_eq!(canary["namespaceSelector"], json!({"matchLabels": {"kubernetes.io/metadata.name": "weir-system"}}));
    assert_eq!(canary["objectSelector"], json!({"matchLabels": {"weir.dev/canary": "weir-0"}}));
}

#[test]
fn a_webhook_outside_of_the_cluster_is_named_by_url() {
    let outside = Installation { endpoint: Endpoint::Url("https://10.0.0.1:8443".to_owned()), ..installation(1) };
    let plan = planned(&outside, &[pool("shop", "orders")]);
    assert_eq!(
        plan.configurations[0].entries[1]["clientConfig"],
        json!({"caBundle": "Q0E=", "url": "https://10.0.0.1:8443/inject/shop/orders"})
    );
}

#[test]
fn pools_have_no_effect_where_the_cluster_or_the_operator_lives() {
    let plan = planned(&installation(2), &[pool("kube-system", "dns"), pool("weir-system", "own")]);
    assert_eq!(plan.places.values().collect::<Vec<_>>(), [&Place::Excluded, &Place::Excluded]);
    assert!(plan.configurations.iter().all(|configuration| configuration.entries.len() == 1));
}

#[test]
fn a_full_configuration_keeps_the_oldest_and_refuses_the_rest() {
    let pools: Vec<_> = (0..ENTRIES_MAX + 2).map(|number| pool("shop", &format!("orders-{number}"))).collect();
    let candidates: Vec<_> = pools
        .iter()
        .enumerate()
        .map(|(age, pool)| Candidate { pool, created: -i64::try_from(age).expect("small") })
        .collect();
    let plan = plan(&installation(1), &candidates);
    assert_eq!(plan.configurations[0].entries.len(), ENTRIES_MAX + 1);
    let full: Vec<_> = plan
        .places
        .iter()
        .filter(|(_, place)| **place == Place::Full("weir-0".to_owned()))
        .map(|(key, _)| &*key.name)
        .collect();
    assert_eq!(full, ["orders-0", "orders-1"], "the youngest");
}

#[test]
fn a_new_authority_changes_the_revision_and_no_meaning() {
    let pools = [pool("shop", "orders")];
    let before = planned(&installation(1), &pools);
    let after = planned(&Installation { ca_bundle: "bmV3".to_owned(), ..installation(1) }, &pools);
    assert_ne!(before.configurations[0].revision, after.configurations[0].revision);
    assert_eq!(before.places, after.places);
}

#[test]
fn entries_of_others_are_kept_as_they_are() {
    let desired = &planned(&installation(1), &[pool("shop", "orders")]).configurations[0];
    let foreign = json!({"name": "inject.example.com", "fieldOfTheFuture": {"kept": true}});
    let stale = json!({"name": "0123456789.gone.weir.dev"});
    let merged = merge(&[stale, foreign.clone()], desired).expect("differs");
    assert_eq!(merged[0], foreign);
    assert_eq!(names(&merged[1..]), ["canary.weir.dev", "644f7b8cf5.orders.weir.dev"]);
    assert_eq!(merge(&merged, desired), None, "nothing is left to do");
}

prop_compose! {
    fn pools()(keys in prop::collection::btree_set(("[a-z]{1,8}", "[a-z][a-z0-9-]{0,48}[a-z0-9]"), 0..40)) -> Vec<ValidatedPool> {
        keys.into_iter().map(|(namespace, name)| pool(&namespace, &name)).collect()
    }
}

proptest! {
    #[test]
    fn every_pool_has_exactly_one_entry_of_a_legal_name(pools in pools(), count in 1_usize..6) {
        let plan = planned(&installation(count), &pools);
        let entries: Vec<_> = plan.configurations.iter().flat_map(|configuration| &configuration.entries[1..]).collect();
        let paths: BTreeSet<_> = entries.iter().map(|entry| entry["clientConfig"]["service"]["path"].to_string()).collect();
        let expected: BTreeSet<_> =
            pools.iter().map(|pool| format!("\"/inject/{}/{}\"", pool.namespace, pool.name)).collect();
        prop_assert_eq!(entries.len(), pools.len());
        prop_assert_eq!(paths, expected);
        let names: BTreeSet<_> = entries.iter().filter_map(|entry| entry["name"].as_str()).collect();
        prop_assert_eq!(names.len(), pools.len(), "names are unique");
        for name in names {
            prop_assert!(name.len() <= 253 && name.split('.').count() >= 3);
            prop_assert!(name.split('.').all(|label| (1..=63).contains(&label.len())));
        }
    }

    #[test]
    fn nobody_moves_when_others_come_and_go(pools in pools(), gone in 0_usize..40, count in 1_usize..6) {
        let installation = installation(count);
        let all = planned(&installation, &pools);
        let some: Vec<_> = pools.iter().enumerate().filter(|(index, _)| *index != gone).map(|(_, pool)| pool.clone()).collect();
        let rest = planned(&installation, &some);
        for (pool, place) in &rest.places {
            prop_assert_eq!(Some(place), all.places.get(pool));
        }
    }

    #[test]
    fn the_order_of_pools_is_irrelevant(pools in pools(), count in 1_usize..6) {
        let reversed: Vec<_> = pools.iter().rev().cloned().collect();
        prop_assert_eq!(planned(&installation(count), &pools), planned(&installation(count), &reversed));
    }

    #[test]
    fn a_second_merge_changes_nothing(pools in pools(), foreign in prop::collection::vec("[a-z]{1,8}\\.example\\.com", 0..4)) {
        let desired = &planned(&installation(1), &pools).configurations[0];
        let foreign: Vec<_> = foreign.into_iter().map(|name| json!({"name": name})).collect();
        let merged = merge(&foreign, desired).expect("the canary was missing");
        prop_assert_eq!(&merged[..foreign.len()], &foreign[..]);
        prop_assert_eq!(merge(&merged, desired), None);
    }
}
