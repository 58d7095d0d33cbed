//! Background tasks: named, tracked, and never lost unseen.
//!
//! A task that ends before the process was told to stop is a fault that nobody would notice, since the rest keeps answering. So
//! [`Tasks::run`] then ends the process, and Kubernetes starts it again. Nothing else in the control plane spawns a task that
//! outlives the call it serves.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinSet};

/// How long tasks have to end by themselves once the process was told to stop; what is left is aborted.
const GRACE: Duration = Duration::from_secs(4);

/// A task ended although nobody had asked for it.
#[derive(Debug, thiserror::Error)]
#[error("background task {0:?} ended")]
pub struct Lost(pub &'static str);

/// Becomes true once the process should stop; the sender lives in [`Tasks`].
#[derive(Clone, Debug)]
pub struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Resolves when the process should stop.
    pub async fn wait(mut self) {
        // The sender is dropped only together with the tasks, which means stop as well.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

/// The background tasks of the process.
#[derive(Debug)]
pub struct Tasks {
    set: JoinSet<()>,
    names: HashMap<Id, &'static str>,
    stop: watch::Sender<bool>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self { set: JoinSet::new(), names: HashMap::new(), stop: watch::Sender::new(false) }
    }
}

impl Tasks {
    /// Says when to stop.
    pub fn stopping(&self) -> Stopping {
        Stopping(self.stop.subscribe())
    }

    /// Starts a task that is expected to run until [`Tasks::stopping`].
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let handle = self.set.spawn(task);
        self.names.insert(handle.id(), name);
    }

    /// Waits for `signal`, then stops every task; or for the first task that ends before it.
    pub async fn run(mut self, signal: impl Future<Output = ()>) -> Result<(), Lost> {
        let lost = tokio::select! {
            () = signal => None,
            Some(ended) = self.set.join_next_with_id() => {
                let id = match &ended {
                    Ok((id, ())) => *id,
                    Err(error) => error.id(),
                };
                Some(self.names.get(&id).copied().unwrap_or("unnamed"))
            }
        };
        self.stop.send_replace(true);
        let drain = async { while self.set.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, drain).await.is_err() {
            tracing::warn!(left = self.set.len(), "tasks did not end in time");
        }
        self.set.shutdown().await;
        lost.map_or(Ok(()), |name| Err(Lost(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_ends_the_process() {
        let mut tasks = Tasks::default();
        let stopping = tasks.stopping();
        tasks.spawn("steady", stopping.wait());
        tasks.spawn("brittle", async {});
        let lost = tasks.run(std::future::pending()).await;
        assert_eq!(lost.map_err(|lost| lost.0), Err("brittle"));
    }

    #[tokio::test]
    async fn a_task_that_panics_ends_the_process() {
        let mut tasks = Tasks::default();
        tasks.spawn("brittle", async { panic!("on purpose") });
        assert_eq!(tasks.run(std::future::pending()).await.map_err(|lost| lost.0), Err("brittle"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_stops_every_task_in_time() {
        let mut tasks = Tasks::default();
        let stopping = tasks.stopping();
        tasks.spawn("steady", stopping.wait());
        tasks.spawn("stubborn", std::future::pending());
        assert!(tasks.run(async {}).await.is_ok());
    }
}
