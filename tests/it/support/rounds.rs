//! The operator's count of probes as a measure of time: in a round each instance of a pool is asked once.

use serde_json::Value;

use crate::cluster::{A_MINUTE, Test, eventually};

/// Probes of the pool that brought a report, over all replicas of the operator.
fn probes(test: &Test, pool: &str) -> Result<u64, String> {
    let operator =
        ["--namespace=weir-system", "get", "pods", "--selector=app.kubernetes.io/name=weir", "--output=json"];
    let pods: Value = serde_json::from_str(&test.cluster.kubectl(operator)).expect("kubectl writes JSON");
    let line = format!("weir_probes_total{{namespace={:?},pool={pool:?},result=\"ok\"}} ", test.namespace);
    let mut count = 0;
    for pod in pods["items"].as_array().into_iter().flatten() {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let path = format!("/api/v1/namespaces/weir-system/pods/{name}:8080/proxy/metrics");
        let metrics = test.try_kubectl(["get", "--raw", &path])?;
        let found = metrics.lines().find_map(|found| found.strip_prefix(&line));
        count += found.and_then(|value| value.trim().parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(count)
}

/// Waits for so many more probes of the pool.
fn wait(test: &Test, pool: &str, more: u64) {
    let mut from = None;
    eventually(&format!("{more} probes of {pool}"), A_MINUTE, || {
        let now = probes(test, pool)?;
        let from = *from.get_or_insert(now);
        if now >= from + more { Ok(()) } else { Err(format!("{} so far", now - from)) }
    });
}

/// Waits until what is on its way is written, `settle` rounds without a write; then five more rounds must write nothing.
pub fn assert_quiet(test: &Test, pool: &str, instances: u64, settle: u64) {
    let version = || test.get("connectionpool", pool)["metadata"]["resourceVersion"].clone();
    let settled = eventually("the status settles", A_MINUTE, || {
        let before = version();
        wait(test, pool, settle * instances);
        if version() == before { Ok(before) } else { Err("it was written".to_owned()) }
    });
    wait(test, pool, 5 * instances);
    assert_eq!(version(), settled, "{}", test.get("connectionpool", pool)["status"]);
}
