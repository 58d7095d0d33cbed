//! A pod that the API server takes without our container it takes with it, whatever the LimitRanges, and its class stays.
//!
//! The model is written from Kubernetes' LimitRanger (plugin/pkg/admission/limitranger), from the API's defaults for Pod and
//! LimitRange, and from its rules for a LimitRange; it shares no code with what it judges.

use std::cell::Cell;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::LimitRange;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;

const CPU: &[&str] = &["0", "1m", "5m", "10m", "20m", "0.1", "200m", "250m", "0.5", "1", "2"];
const MEMORY: &[&str] = &["0", "4Mi", "16Mi", "24Mi", "64Mi", "100M", "128Mi", "200Mi", "1Gi"];
const STORAGE: &[&str] = &["0", "1Mi", "64Mi", "200Mi", "1Gi"];
const RATIO: &[&str] = &["1", "1.5", "2", "3", "4.35", "10", "16.1", "50"];
const RESOURCES: [(&str, &[&str]); 3] = [("cpu", CPU), ("memory", MEMORY), ("ephemeral-storage", STORAGE)];

type Amounts = BTreeMap<&'static str, &'static str>;

/// In thousandths, rounded up.
fn milli(amount: &Value) -> u64 {
    let text = amount.as_str().expect("amounts are texts here");
    let end = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
    let unit = match &text[end..] {
        "m" => 1.0,
        "" => 1e3,
        "M" => 1e9,
        "Ki" => 1024.0 * 1e3,
        "Mi" => 1024.0 * 1024.0 * 1e3,
        "Gi" => 1024.0 * 1024.0 * 1024.0 * 1e3,
        other => panic!("the model has no {other:?}"),
    };
    let value = text[..end].parse::<f64>().expect("a number") * unit;
    assert!(value < 9e15, "exact in a f64");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    let rounded = value.round() as u64;
    rounded
}

/// As the API server stores an item; `None` where it would refuse it.
fn stored(mut item: Value) -> Option<Value> {
    for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
        for (resource, amount) in item[from].as_object().cloned().unwrap_or_default() {
            if item[to].get(&resource).is_none() {
                item[to][resource] = amount;
            }
        }
    }
    let of = |list: &str, resource: &str| item[list].get(resource).map(milli);
    let ordered = |resource: &str, lower: &str, upper: &str| match (of(lower, resource), of(upper, resource)) {
        (Some(lower), Some(upper)) => lower <= upper,
        _ => true,
    };
    let valid = RESOURCES.iter().all(|(resource, _)| {
        let lists = ["min", "defaultRequest", "default", "max"];
        let in_order = (0..lists.len()).all(|i| (i..lists.len()).all(|j| ordered(resource, lists[i], lists[j])));
        let wide = match (of("maxLimitRequestRatio", resource), of("min", resource), of("max", resource)) {
            (Some(ratio), Some(least), Some(most)) => ratio * least <= most * 1_000,
            _ => true,
        };
        in_order && wide
    });
    valid.then_some(item)
}

fn amounts(rate: f64) -> impl Strategy<Value = Amounts> {
    let one = move |at: usize| prop::option::weighted(rate, prop::sample::select(RESOURCES[at].1));
    (one(0), one(1), one(2)).prop_map(|(cpu, memory, storage)| {
        RESOURCES.iter().zip([cpu, memory, storage]).filter_map(|((name, _), amount)| Some((*name, amount?))).collect()
    })
}

fn ratios() -> impl Strategy<Value = Amounts> {
    let one = || prop::option::weighted(0.25, prop::sample::select(RATIO));
    (one(), one(), one()).prop_map(|(cpu, memory, storage)| {
        RESOURCES.iter().zip([cpu, memory, storage]).filter_map(|((name, _), amount)| Some((*name, amount?))).collect()
    })
}

fn limit_range() -> impl Strategy<Value = Value> {
    let item = (amounts(0.3), amounts(0.3), amounts(0.2), amounts(0.2), ratios()).prop_map(
        |(min, max, default, default_request, ratio)| {
            json!({"type": "Container", "min": min, "max": max, "default": default, "defaultRequest": default_request,
                "maxLimitRequestRatio": ratio})
        },
    );
    item.prop_filter_map("the API server refuses it", stored)
        .prop_map(|item| json!({"metadata": {"name": "bounds"}, "spec": {"limits": [item]}}))
}

/// `requests` and `limits` of a container; often equal, as in a Guaranteed pod.
fn resources() -> impl Strategy<Value = Value> {
    prop_oneof![
        1 => Just(json!({})),
        2 => (amounts(0.7), amounts(0.7)).prop_map(|(requests, limits)| json!({"requests": requests, "limits": limits})),
        2 => amounts(0.9).prop_map(|limits| json!({"limits": limits})),
        1 => amounts(0.9).prop_map(|requests| json!({"requests": requests})),
    ]
}

/// Nothing, or zeros, which are nothing for the class and something for a LimitRange.
fn nothing() -> impl Strategy<Value = Value> {
    (amounts(0.5), amounts(0.5)).prop_map(|(requests, limits)| {
        let zeros = |amounts: Amounts| amounts.into_keys().map(|name| (name, "0")).collect::<Amounts>();
        json!({"requests": zeros(requests), "limits": zeros(limits)})
    })
}

fn any_pod() -> impl Strategy<Value = Value> {
    prop_oneof![3 => pod_of(resources().boxed()), 1 => pod_of(nothing().boxed())]
}

fn pod_of(resources: BoxedStrategy<Value>) -> impl Strategy<Value = Value> {
    (prop::collection::vec(resources.clone(), 1..3), prop::option::of(resources)).prop_map(|(main, init)| {
        let container = |(at, resources): (usize, Value)| {
            json!({"name": format!("c{at}"), "resources": resources, "env": [{"name": "DATABASE_URL", "value": URL}]})
        };
        let init: Vec<_> = init.into_iter().map(|resources| json!({"name": "init", "resources": resources})).collect();
        let mut pod = pod(main.into_iter().enumerate().map(container).collect());
        pod["spec"]["initContainers"] = json!(init);
        pod
    })
}

fn any_resources() -> impl Strategy<Value = Resources> {
    let one = |of: &'static [&'static str]| prop::sample::select(&of[1..]).prop_map(str::to_owned);
    let ours =
        (one(CPU), one(MEMORY), one(CPU), one(MEMORY)).prop_map(|(cpu, memory, most_cpu, most_memory)| Resources {
            requests: super::Amounts { cpu, memory },
            limits: super::Amounts { cpu: most_cpu, memory: most_memory },
        });
    prop_oneof![Just(Resources::default()), ours]
}

fn containers(pod: &mut Value) -> Vec<&mut Value> {
    let spec = pod["spec"].as_object_mut().expect("a spec").iter_mut();
    let lists = spec.filter(|(name, _)| *name == "containers" || *name == "initContainers");
    lists.flat_map(|(_, list)| list.as_array_mut().expect("a list")).collect()
}

fn fill(resources: &mut Value, list: &str, from: &Value) {
    for (resource, amount) in from.as_object().cloned().unwrap_or_default() {
        if resources[list].get(&resource).is_none() {
            resources[list][resource] = amount;
        }
    }
}

/// The API's defaults for a pod, then each LimitRange's in this order.
fn admitted<'r>(pod: &Value, ranges: impl Iterator<Item = &'r Value>) -> Value {
    let mut pod = pod.clone();
    for container in containers(&mut pod) {
        let limits = container["resources"]["limits"].clone();
        fill(&mut container["resources"], "requests", &limits);
    }
    for range in ranges {
        let item = &range["spec"]["limits"][0];
        for container in containers(&mut pod) {
            fill(&mut container["resources"], "limits", &item["default"]);
            fill(&mut container["resources"], "requests", &item["defaultRequest"]);
        }
    }
    pod
}

/// Why the API server refuses a pod, if it does.
#[expect(clippy::cast_precision_loss, reason = "as the API server computes it")]
fn refusal(pod: &Value, ranges: &[Value]) -> Option<String> {
    let mut pod = pod.clone();
    for container in containers(&mut pod) {
        let of = |list: &str, resource: &str| container["resources"][list].get(resource).map(milli);
        for (resource, _) in RESOURCES {
            let (request, limit) = (of("requests", resource), of("limits", resource));
            let refuse = |why: &str| Some(format!("{resource} {why} of {container}"));
            if request.zip(limit).is_some_and(|(request, limit)| request > limit) {
                return refuse("request above limit");
            }
            for item in ranges.iter().map(|range| &range["spec"]["limits"][0]) {
                let bound = |list: &str| item[list].get(resource).map(milli);
                if let Some(least) = bound("min")
                    && (request.is_none_or(|request| request < least) || limit.is_some_and(|limit| limit < least))
                {
                    return refuse("min");
                }
                if let Some(most) = bound("max")
                    && (limit.is_none_or(|limit| limit > most) || request.is_some_and(|request| request > most))
                {
                    return refuse("max");
                }
                if let Some(ratio) = bound("maxLimitRequestRatio") {
                    let (request, limit) = (request.unwrap_or(0), limit.unwrap_or(0));
                    if request == 0 || limit == 0 || limit as f64 / request as f64 * 1000.0 > ratio as f64 {
                        return refuse("ratio");
                    }
                }
            }
        }
    }
    None
}

/// The quality-of-service class.
fn class(pod: &Value) -> &'static str {
    let mut pod = pod.clone();
    let (mut some, mut equal) = (false, true);
    for container in containers(&mut pod) {
        for resource in ["cpu", "memory"] {
            let of = |list: &str| container["resources"][list].get(resource).map_or(0, milli);
            some |= of("requests") + of("limits") > 0;
            equal &= of("limits") > 0 && of("requests") == of("limits");
        }
    }
    match (some, equal) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

#[test]
fn a_pod_that_limit_ranges_take_they_take_with_the_sidecar() {
    let mut taken: BTreeMap<&str, Cell<u32>> = BTreeMap::new();
    for class in ["BestEffort", "Burstable", "Guaranteed"] {
        taken.insert(class, Cell::new(0));
    }
    let ranges = prop::collection::vec(limit_range(), 1..3);
    let mut runner = TestRunner::new(Config { cases: 4_000, failure_persistence: None, ..Config::default() });
    let held = runner.run(&(any_pod(), ranges, any_resources()), |(pod, ranges, resources)| {
        let without = admitted(&pod, ranges.iter());
        if refusal(&without, &ranges).is_some() {
            return Ok(());
        }
        taken[class(&without)].set(taken[class(&without)].get() + 1);
        let typed: Vec<LimitRange> =
            ranges.iter().map(|range| serde_json::from_value(range.clone()).unwrap()).collect();
        let sidecar = Sidecar { resources, ..sidecar() };
        let Outcome::Injected(patch) = super::super::inject(&without, &pool(), &sidecar, &Bounds::of(&typed)) else {
            return Err(TestCaseError::fail("resources stop no injection"));
        };
        let with = apply(&without, &patch);
        // The order of LimitRanges is chance.
        for with in [admitted(&with, ranges.iter()), admitted(&with, ranges.iter().rev())] {
            prop_assert_eq!(refusal(&with, &ranges), None);
            prop_assert_eq!(class(&with), class(&without));
        }
        Ok(())
    });
    held.unwrap_or_else(|error| panic!("{error}"));
    for (class, count) in &taken {
        assert!(count.get() >= 20, "only {} pods were {class}", count.get());
    }
}
