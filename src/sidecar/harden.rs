//! What the process gives up before it learns a password: others in the pod may share its process namespace and its node.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// No core file ever holds our memory, and no process of the same user may read it (ptrace, /proc/pid/mem, /proc/pid/environ:
/// prctl(2), PR_SET_DUMPABLE). Where the kernel refuses, the log says so: it is a second line of defence.
pub fn harden() {
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }) {
        tracing::warn!(%error, "cannot turn core files off");
    }
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "cannot hide this process's memory from others of its user");
    }
}
