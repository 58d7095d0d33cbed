//! `make bench`, second part: how much later an application starts because of the sidecar before it.
//!
//! On a real cluster, pods one after another: half with the injected sidecar, half with a native sidecar that does nothing. What is
//! measured is the time between the starts of the two processes, as the kernel keeps it (proc_pid_stat(5), in ticks of 10 ms).
//! What the do-nothing pods show is the kubelet's own part.

#[path = "../cluster/cluster.rs"]
mod cluster;
mod table;

use std::path::Path;

use cluster::{A_MINUTE, Cluster, Test, eventually};
use table::{Bound, Table};

const PODS: usize = 40;
/// Milliseconds in which the kernel counts (proc_pid_stat(5)).
const TICK: f64 = 10.0;
const CLIENT: &str = "weir.local/postgres-client:1";

fn main() {
    // `cargo test --all-targets` starts benchmarks too, without this argument.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let cluster = Cluster::start(&cluster::Options::default());
    cluster.install_weir(&[]);
    cluster.load_postgres_client();
    let test = cluster.test("startup");
    test.apply(
        "apiVersion: weir.dev/v1alpha1\nkind: ConnectionPool\nmetadata: {name: bench}\nspec:\n  profile: test\n  selector: {matchLabels: {app: bench}}\n",
    );
    test.kubectl(["wait", "--for=condition=Ready", "connectionpool/bench", "--timeout=60s"]);
    let (mut ours, mut nothing) = (vec![], vec![]);
    for n in 0..PODS {
        ours.push(gap(&test, &format!("ours-{n}"), "bench", "", "weir-sidecar"));
        let idle = format!(
            "  initContainers:\n  - {{name: idle, image: {CLIENT}, command: [/bin/cat], stdin: true, restartPolicy: Always}}\n"
        );
        nothing.push(gap(&test, &format!("nothing-{n}"), "other", &idle, "cat"));
    }
    let (ours, nothing) = (median(&mut ours), median(&mut nothing));
    let mut table = Table::default();
    table.add("sidecar to application, do-nothing sidecar (the kubelet's part)", nothing, "ms", None);
    table.add("sidecar to application, Weir's sidecar", ours, "ms", None);
    let bound = Bound { below: 50.0, whose: "ours" };
    table.add("added by Weir", ours - nothing, "ms", Some(bound));
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is target/tmp");
    table.finish(&target.join("bench/startup.jsonl"));
}

/// Milliseconds between the starts of a pod's sidecar and of its application.
fn gap(test: &Test, name: &str, app: &str, more: &str, sidecar: &str) -> f64 {
    let url = test.url();
    test.apply(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {app}}}}}\nspec:\n  terminationGracePeriodSeconds: 0\n{more}  containers:\n  - name: app\n    image: {CLIENT}\n    command: [/bin/sleep, '1000']\n    env: [{{name: DATABASE_URL, value: {url:?}}}]\n"
    ));
    test.kubectl(["wait", "--for=condition=Ready", &format!("pod/{name}"), "--timeout=60s"]);
    let uid = test.get("pod", name)["metadata"]["uid"].as_str().expect("it has one").to_owned();
    let (before, after) = eventually("both processes are seen", A_MINUTE, || {
        let processes = processes(test.cluster, &uid);
        // The oldest: the hook runs the same program once more.
        let start = |program: &str| processes.iter().filter(|p| p.0 == program).map(|p| p.1).min();
        start(sidecar).zip(start("sleep")).ok_or_else(|| format!("{processes:?}"))
    });
    test.kubectl(["delete", "pod", name, "--wait=true"]);
    #[expect(clippy::cast_precision_loss, reason = "ticks of one boot are far below 2^52")]
    let ticks = (after - before) as f64;
    ticks * TICK
}

/// Name and start (ticks since the machine's boot) of each process of a pod.
fn processes(cluster: &Cluster, uid: &str) -> Vec<(String, u64)> {
    let script = format!(
        "for p in /proc/[0-9]*; do grep -qs {uid} $p/cgroup && echo \"$(cat $p/comm) $(cut -d' ' -f22 $p/stat)\"; done; true"
    );
    let text = cluster.on_node(&["sh", "-c", &script]);
    let read =
        |line: &str| line.rsplit_once(' ').and_then(|(name, ticks)| Some((name.to_owned(), ticks.parse().ok()?)));
    text.lines().filter_map(read).collect()
}

/// The median of samples that were rounded down to ticks: where it lies within its tick is told by how many lie below.
#[expect(clippy::cast_precision_loss, reason = "there are few pods")]
fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    let middle = samples[samples.len() / 2];
    let below = samples.iter().filter(|sample| **sample < middle).count();
    let within = samples.iter().filter(|sample| (**sample - middle).abs() < TICK / 2.0).count();
    middle + (samples.len() as f64 / 2.0 - below as f64) / within as f64 * TICK
}
