//! The control thread: everything that is not a client's or a server's byte.
//!
//! It answers health, metrics and hello, looks host names up for the loop, re-reads the URL file, says in the log when the pool fills
//! up, and passes signals on. It never touches a socket of the data plane and never holds what the loop waits for: when it is slow
//! or its port is flooded, queries go on. It ends when the loop does.

mod alarm;
mod endpoints;
mod heartbeat;
mod panel;
mod requests;
mod serve;
mod url_file;

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::figures::{Command, Commander, Request};
use super::target::Target;
use alarm::Watch;

pub use panel::Panel;
pub use url_file::{UrlFile, UrlFileError};

/// How often the URL file is looked at, where there is one, and the utilization at most, while it changes. Nothing else ticks.
const TICK: Duration = Duration::from_secs(1);

/// What open transactions get after SIGTERM: Kubernetes' default of `terminationGracePeriodSeconds` (30 s) less what it takes to say
/// goodbye. As a native sidecar the process is only stopped once the application's containers have ended.
const DRAIN_GRACE: Duration = Duration::from_secs(25);

/// A loop that does not turn for so long has stopped for good. Nothing probes the container's liveness, since a probe that fails on
/// a busy node would cut every query off; so the process ends itself, and the kubelet starts it again.
pub const LOOP_STOPPED: Duration = Duration::from_secs(30);
/// For the last words: whoever holds the log may be what the loop waits for.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The look-ups' threads only wait for the resolver.
const RESOLVER_THREADS: usize = 4;
const STACK_BYTES: usize = 256 * 1024;

/// Makes a target of the URL file's new content; its error is shown in the log, so it holds no part of the URL.
pub type ReadTarget = Box<dyn Fn(&[u8]) -> Result<Target, String> + Send>;

/// What the thread works with.
pub struct Control {
    /// What the endpoints show.
    pub panel: Panel,
    /// The way to the loop.
    pub commander: Commander,
    /// What the loop asks for; closed when it ends.
    pub requests: UnboundedReceiver<Request>,
    /// The URL file, where there is one, and how to read it.
    pub url_file: Option<(UrlFile, ReadTarget)>,
    /// The process is aborted once the loop has not turned for so long: [`LOOP_STOPPED`].
    pub loop_stopped: Duration,
}

/// Why the thread did not start.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The runtime or the thread could not be made.
    #[error("cannot start the control thread")]
    Start(#[source] io::Error),
    /// The signal handlers could not be installed.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    /// The control port could not be used.
    #[error("cannot serve on the control port")]
    Listen(#[source] io::Error),
}

impl Control {
    /// Starts the thread. When this returns, the port is served and signals are handled. The thread ends after the loop's end of
    /// `requests` is gone.
    pub fn start(self, listener: TcpListener) -> Result<JoinHandle<()>, ControlError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(RESOLVER_THREADS)
            .thread_stack_size(STACK_BYTES)
            .build()
            .map_err(ControlError::Start)?;
        let (listener, signals) = {
            let _inside = runtime.enter();
            listener.set_nonblocking(true).map_err(ControlError::Listen)?;
            let listener = tokio::net::TcpListener::from_std(listener).map_err(ControlError::Listen)?;
            (listener, Signals::install().map_err(ControlError::Signals)?)
        };
        std::thread::Builder::new()
            .name("control".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || self.run(runtime, listener, signals))
            .map_err(ControlError::Start)
    }

    fn run(self, runtime: Runtime, listener: tokio::net::TcpListener, signals: Signals) {
        let _lost = AbortIfLost;
        runtime.block_on(async move {
            let panel = Arc::new(self.panel);
            let utilization = Notify::new();
            let serving = serve::serve(listener, Arc::clone(&panel));
            let following = follow(self.url_file, &self.commander);
            let watching = watch(&panel, &utilization);
            let stopping = stop(&panel, signals, &self.commander);
            let requested = requests::serve(self.commander.clone(), self.requests, &utilization);
            tokio::select! {
                never = serving => match never {},
                never = following => match never {},
                never = watching => match never {},
                never = stopping => match never {},
                () = requested => {}
                () = panel.stopped(self.loop_stopped) => abort(self.loop_stopped).await,
            }
        });
        // Without waiting for a look-up that is stuck: the process is to end now.
        runtime.shutdown_background();
    }
}

async fn abort(bound: Duration) {
    let said = tokio::task::spawn_blocking(move || {
        tracing::error!(?bound, "the loop has stopped: the process ends, to be started again");
    });
    let _ = timeout(LAST_WORDS, said).await;
    std::process::abort();
}

/// A sidecar without its control thread could neither be probed nor stopped nor follow a rotated password.
struct AbortIfLost;

impl Drop for AbortIfLost {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

async fn follow(url_file: Option<(UrlFile, ReadTarget)>, commander: &Commander) -> Infallible {
    let Some((mut file, read)) = url_file else { return pending().await };
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(url) = file.changed() else { continue };
        match read(&url) {
            Ok(target) => {
                commander.send(Command::Target(Arc::new(target)));
                tracing::info!("the connection URL has changed: new server connections use it");
            }
            Err(error) => {
                tracing::warn!(%error, "the connection URL has changed and is not usable: keeping the old one");
            }
        }
    }
}

async fn watch(panel: &Panel, utilization: &Notify) -> Infallible {
    let mut watch = Watch::default();
    loop {
        utilization.notified().await;
        watch.look(&panel.report());
        // What comes and goes meanwhile is not said.
        sleep(TICK).await;
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn install() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }
}

async fn stop(panel: &Panel, mut signals: Signals, commander: &Commander) -> Infallible {
    loop {
        let name = tokio::select! {
            _ = signals.terminate.recv() => "SIGTERM",
            _ = signals.interrupt.recv() => "SIGINT",
        };
        // Once: a second signal must not extend the grace.
        if panel.drain() {
            tracing::info!(signal = name, grace = ?DRAIN_GRACE, "stopping: open transactions may finish");
            commander.send(Command::Drain { grace: DRAIN_GRACE });
        }
    }
}

#[cfg(test)]
mod tests;
