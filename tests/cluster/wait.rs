//! Waiting for something to become true, with a bound.

use std::time::{Duration, Instant};

/// Long enough for anything that happens in a cluster, on a slow machine that does other things too.
pub const A_MINUTE: Duration = Duration::from_mins(1);

/// How often is asked. Each question is a process or a request, so a smaller value slows down what is waited for.
const INTERVAL: Duration = Duration::from_millis(100);

/// Asks until the answer is `Ok`, and returns it. After `limit` it panics with the last reason why not.
pub fn eventually<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let started = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(reason) if started.elapsed() >= limit => panic!("{what}: not within {limit:?}: {reason}"),
            Err(_) => std::thread::sleep(INTERVAL),
        }
    }
}
