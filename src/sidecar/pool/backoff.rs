//! Pauses between logins that fail, and what clients are told meanwhile.

use std::time::{Duration, Instant};

use crate::sidecar::wire::Refusal;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Why the last login failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// What a client is told.
    pub refusal: Refusal,
    /// Waiting may help: PostgreSQL is full, starting, stopping or away. Not so a wrong password.
    pub passing: bool,
}

impl Cause {
    /// Reads it from the SQLSTATE (PostgreSQL manual, Appendix A): too_many_connections, cannot_connect_now, shutdowns, and the
    /// class of connection exceptions pass.
    pub fn new(refusal: Refusal) -> Self {
        let passing = matches!(&refusal.code, b"53300" | b"57P01" | b"57P02" | b"57P03" | b"08000" | b"08001" | b"08006");
        Self { refusal, passing }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
    until: Option<Instant>,
    cause: Option<Cause>,
}

impl Backoff {
    /// A login succeeded.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// A login failed. The pause doubles up to 5 s, and is cut by up to a half by chance. Logins that were under way together count
    /// as one.
    pub fn failed(&mut self, cause: Cause, now: Instant, random: u32) {
        if self.until.is_none_or(|until| until <= now) {
            let longest = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
            let share = f64::from(random) / f64::from(u32::MAX);
            self.until = Some(now + longest.mul_f64(1.0 - share / 2.0));
            self.failures = self.failures.saturating_add(1);
        }
        self.cause = Some(cause);
    }

    /// Why the last login failed; nothing after one that succeeded.
    pub fn cause(&self) -> Option<&Cause> {
        self.cause.as_ref()
    }

    /// When the next login may begin, if that is later than `now`.
    pub fn pause(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }

    /// Forget the pause, not the cause: something has changed that may help.
    pub fn retry(&mut self) {
        (self.failures, self.until) = (0, None);
    }
}
