//! What is kept of a test that failed: objects, events, the logs of its pods and of every component.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Cluster, command, target, weir};

/// Kinds that are worth reading after a failure. Secrets are not among them.
const KINDS: &str = "pods,deployments,replicasets,jobs,statefulsets,services,endpointslices,configmaps,leases";

/// Copies everything into `target/cluster-logs/NAMESPACE` and returns that. It never panics: it runs while a test does.
pub(super) fn keep(cluster: &Cluster, namespace: &str) -> PathBuf {
    let kept = target().join("cluster-logs").join(namespace);
    if let Err(e) = collect(cluster, namespace, &kept) {
        eprintln!("keep the logs of {namespace} in {}: {e}", kept.display());
    }
    kept
}

fn collect(cluster: &Cluster, namespace: &str, kept: &Path) -> std::io::Result<()> {
    fs::create_dir_all(kept)?;
    for (file, arguments) in [
        ("events", vec!["get", "events", "--sort-by=.metadata.creationTimestamp", "--output=wide"]),
        ("pods", vec!["describe", "pods"]),
        ("objects.yaml", vec!["get", KINDS, "--output=yaml"]),
        ("connectionpools.yaml", vec!["get", "connectionpools.weir.dev", "--output=yaml"]),
        ("all-pods", vec!["get", "pods", "--all-namespaces", "--output=wide"]),
        ("all-events", vec!["get", "events", "--all-namespaces", "--sort-by=.metadata.creationTimestamp"]),
    ] {
        let mut kubectl = cluster.tool("kubectl");
        // Where the API server is what failed, each question would take kubectl minutes.
        kubectl.args(["--namespace", namespace, "--request-timeout=10s"]).args(arguments);
        fs::write(kept.join(file), command::run(&mut kubectl, "").unwrap_or_else(|e| e))?;
    }
    for entry in fs::read_dir(cluster.dir().join("log"))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), kept.join(entry.file_name()))?;
        }
    }
    // log/pods/NAMESPACE_NAME_UID/CONTAINER/0.log
    for entry in fs::read_dir(cluster.dir().join("log/pods"))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if [namespace, weir::NAMESPACE].iter().any(|n| name.starts_with(&format!("{n}_"))) {
            copy_tree(&entry.path(), &kept.join("pod-logs").join(name))?;
        }
    }
    Ok(())
}

/// Copies a tree, following links: the kubelet's rotated logs may be some.
fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    if fs::metadata(from)?.is_file() {
        return fs::copy(from, to).map(|_| ());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy_tree(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}
