//! `make bench`, third part: how much later an application starts because of the sidecar before it.
//!
//! On a real cluster, pods one after another, by turns with the injected sidecar and with native sidecars that do nothing. What is
//! measured is the time between the starts of the two processes, as the kernel keeps it (proc_pid_stat(5), in ticks of 10 ms).
//! What the do-nothing sidecars show is not Weir's: the kubelet's own part, what Pod Security "restricted" costs any sidecar (its
//! seccomp filter), and what the kubelet and the container runtime take for any postStart hook.

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
/// What the injected container says too.
const RESTRICTED: &str = ", securityContext: {runAsNonRoot: true, runAsUser: 65532, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}";

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
    let idle = |more: &str| {
        format!(
            "  initContainers:\n  - {{name: idle, image: {CLIENT}, command: [/bin/cat], stdin: true, restartPolicy: Always{more}}}\n"
        )
    };
    let hook = ", lifecycle: {postStart: {exec: {command: [/bin/sleep, '0']}}}";
    let kinds = [
        ("nothing", "other", "cat", idle("")),
        ("restricted", "other", "cat", idle(RESTRICTED)),
        ("hook", "other", "cat", idle(&format!("{RESTRICTED}{hook}"))),
        ("weir", "bench", "weir-sidecar", String::new()),
    ];
    let mut gaps: [Vec<f64>; 4] = Default::default();
    for n in 0..PODS {
        for ((name, app, program, more), gaps) in kinds.iter().zip(&mut gaps) {
            gaps.push(gap(&test, &format!("{name}-{n}"), app, more, program));
        }
    }
    let [nothing, restricted, hook, weir] = gaps.each_mut().map(|gaps| median(gaps));
    let mut table = Table::default();
    table.add("sidecar to application, do-nothing sidecar (the kubelet's part)", nothing, "ms", None);
    table.add("the same, restricted as Weir's is", restricted, "ms", None);
    table.add("the same, with a do-nothing hook", hook, "ms", None);
    table.add("the same, Weir's sidecar", weir, "ms", None);
    let bound = Bound { below: 50.0, whose: "ours" };
    table.add("added by Weir to a restricted do-nothing sidecar", weir - restricted, "ms", Some(bound));
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
