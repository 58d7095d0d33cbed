//! `weir-sidecar run`: from the environment to the exit code.
//!
//! Order matters twice. The listener is bound before anything is asked of the network, so that the application never meets a closed
//! port. The termination message says `unknown` before the first connection could be opened, and `charge 0` only after the loop has
//! seen the last one end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, io};

use jiff::Timestamp;
use rustix::io::Errno;
use tokio::sync::mpsc::unbounded_channel;
use zeroize::Zeroizing;

use super::boot::{Boot, BootError};
use super::config::{Config, ConfigError, UrlSource};
use super::control::{Control, ControlError, LOOP_STOPPED, Panel, ReadTarget, UrlFile, UrlFileError};
use super::descriptors;
use super::drive::{self, Final, Start};
use super::figures::{Figures, commands};
use super::harden::harden;
use super::journal::{Account, JournalError};
use super::socket;
use super::target::{Target, TargetError};
use super::termination::Termination;
use super::tls::Roots;
use crate::names::{ENV_CONTROL, ENV_LISTEN, ENV_SOCKET, ENV_STATE, ENV_TERMINATION, TERMINATION_PATH};
use crate::telemetry;

/// Exit code for an environment that can't be used: starting again won't help until something else has changed.
const UNUSABLE: u8 = 2;

/// Why the sidecar did not start or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The environment.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The identity of this run.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The file with the URL.
    #[error(transparent)]
    UrlFile(#[from] UrlFileError),
    /// The URL.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A port is taken or not ours.
    #[error("cannot listen on {variable} {address}: another container of the pod may use the port")]
    Listen {
        /// Which.
        variable: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The Unix socket.
    #[error("cannot listen on {ENV_SOCKET} {path:?}, which must be in a directory that this container may write to")]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The journal.
    #[error("cannot keep a journal in {ENV_STATE}, which must be a directory with free space, of this container alone")]
    Journal(#[from] JournalError),
    /// The queue between the threads.
    #[error("cannot make the loop's command queue")]
    Commands(#[source] io::Error),
    /// The control thread.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The loop.
    #[error(transparent)]
    Drive(#[from] drive::Error),
}

/// Runs until a signal ends it.
pub fn run() -> ExitCode {
    telemetry::start();
    harden();
    let path = env::var_os(ENV_TERMINATION).unwrap_or_else(|| TERMINATION_PATH.into());
    let termination = Termination::at(Path::new(&path));
    termination.unknown();
    match serve() {
        Ok(Final { charged: 0 }) => {
            tracing::info!("stopped: every server connection was seen to end");
            termination.nothing_charged();
            ExitCode::SUCCESS
        }
        Ok(Final { charged }) => {
            tracing::warn!(charged, "stopped: server connections that may still exist stay charged");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let line = telemetry::chain(&error);
            tracing::error!(error = line, "cannot go on");
            // Once the loop ran, what it left in PostgreSQL is unknown.
            if matches!(error, RunError::Drive(_)) {
                return ExitCode::FAILURE;
            }
            termination.fault(&line);
            ExitCode::from(UNUSABLE)
        }
    }
}

fn serve() -> Result<Final, RunError> {
    let descriptors = descriptors::raise();
    let config = Config::read(|name| env::var_os(name))?;
    // Before the port, whose listener is what the hook waits for.
    let bind_socket = |path: PathBuf| socket::bind(&path).map_err(|source| RunError::Socket { path, source });
    let socket = config.socket.clone().map(bind_socket).transpose()?;
    let listener = bind(ENV_LISTEN, config.listen)?;
    let control_listener = bind_control(config.control)?;
    let boot = Boot::new(config.pod_uid, Timestamp::now())?;

    let dialect = config.dialect;
    let placeholders = config.settings.placeholders.clone();
    let roots = system_roots();
    let unknown = |source| RunError::Listen { variable: ENV_LISTEN, address: config.listen, source };
    let listen = listener.local_addr().map_err(unknown)?;
    let read_target = move |url: &[u8]| match Target::parse(url, dialect, placeholders.as_ref(), &roots) {
        Ok(target) if target.leads_to(listen) => Err(TargetError::Itself),
        read => read,
    };
    let (url, url_file) = match config.url {
        UrlSource::Literal(url) => (Zeroizing::new(url), None),
        UrlSource::File(path) => {
            let (file, url) = UrlFile::open(path)?;
            (url, Some(file))
        }
    };
    let target = read_target(&url)?;
    drop(url);

    let max = config.settings.limits.max;
    let epoch = Instant::now();
    let (account, history) = Account::open(&config.state, boot.kernel_boot, boot.id, max, Duration::ZERO)?;
    if let Some(damage) = history.damage {
        tracing::warn!(
            ?damage,
            "the journal is damaged: connections of an earlier boot may be missing from the charge"
        );
    }
    let leader = history.fence.map_or(0, |fence| fence.epoch.get());
    tracing::info!(
        pool = config.settings.pool,
        generation = config.settings.generation,
        boot = %boot.id,
        listen = address(&listener),
        socket = config.socket.as_deref().map(|path| tracing::field::display(path.display())),
        control = address(&control_listener),
        max,
        inherited = account.charges().charged(),
        public_keys = config.public_keys.len(),
        "starting"
    );

    let figures = Arc::new(Figures::default());
    let (commander, commands) = commands().map_err(RunError::Commands)?;
    let (asks, requests) = unbounded_channel();
    let panel = Panel::new(boot, leader, &config.settings, Arc::clone(&figures), commander.clone());
    let read: ReadTarget = Box::new(move |url| read_target(url).map_err(|error| telemetry::chain(&error)));
    let url_file = url_file.map(|file| (file, read));
    let control = Control { panel, commander, requests, url_file, loop_stopped: LOOP_STOPPED };
    let control = control.start(control_listener)?;

    let end = drive::run(Start {
        listener,
        socket,
        descriptors,
        target: Arc::new(target),
        limits: config.settings.limits,
        release: config.settings.pool_mode.into(),
        verify: config.settings.verify,
        figures,
        account,
        epoch,
        commands,
        requests: asks,
    })?;
    // The loop has dropped its end of the requests, which ends the thread. A panic there would have ended the process.
    let _ = control.join();
    Ok(end)
}

/// Without a bundle everything goes on but TLS that has to verify, which fails and says why.
fn system_roots() -> Roots {
    Roots::system().unwrap_or_else(|error| {
        tracing::warn!(error = telemetry::chain(&error), "no certificate authority is trusted");
        Roots::none()
    })
}

fn bind(variable: &'static str, address: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(address).map_err(|source| RunError::Listen { variable, address, source })
}

/// Where it really listens: the kernel chooses where the port is 0.
fn address(listener: &TcpListener) -> String {
    listener.local_addr().map_or_else(|error| error.to_string(), |address| address.to_string())
}

/// `[::]` serves both families; where the kernel has no IPv6 it means every address all the same.
fn bind_control(address: SocketAddr) -> Result<TcpListener, RunError> {
    match bind(ENV_CONTROL, address) {
        Err(RunError::Listen { source, .. })
            if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
                && matches!(Errno::from_io_error(&source), Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)) =>
        {
            bind(ENV_CONTROL, SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
        }
        bound => bound,
    }
}
