//! `weir-sidecar wait`: the postStart hook that keeps the application from starting before its pooler listens.
//!
//! The listener is up before anything is asked of the network, so the wait is milliseconds. A sidecar that does not listen after
//! [`WITHIN`] is broken in a way that waiting won't cure: the hook then fails, which the kubelet answers by restarting this container
//! and with an event that says so (FailedPostStartHook). An application that starts anyway would only meet a closed port.

use std::ffi::OsString;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::config::{ConfigError, listen_address};

/// Thousand times what it takes.
const WITHIN: Duration = Duration::from_secs(10);
/// Between attempts: loopback refuses at once.
const PAUSE: Duration = Duration::from_millis(2);

/// Why the hook fails.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// Where to look is not known.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Nothing listened in time.
    #[error("nothing listens on {0} after {WITHIN:?}: see the logs of this container")]
    NotListening(SocketAddr),
}

/// Returns once a connection to the listener was accepted. `variable` gives a variable's value.
pub fn wait(variable: impl Fn(&str) -> Option<OsString>) -> Result<(), WaitError> {
    let address = listen_address(variable)?;
    let until = Instant::now() + WITHIN;
    while TcpStream::connect_timeout(&address, WITHIN).is_err() {
        if Instant::now() >= until {
            return Err(WaitError::NotListening(address));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
