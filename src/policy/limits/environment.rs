//! DATABASE_POOL_*: the names under which an application reads its limits. A user who sets one on the container may only lower what
//! the resource says; where none is set, the application is given the effective value.

use std::time::Duration;

use super::{Limits, TIMEOUT_MIN};
use crate::names::{ENV_POOL_CONNECTION_TIMEOUT, ENV_POOL_IDLE_TIMEOUT, ENV_POOL_MAX, ENV_POOL_MIN};
use crate::policy::duration::millis;

/// The variables, in the order in which an application gets them.
pub const VARIABLES: [&str; 4] = [ENV_POOL_MIN, ENV_POOL_MAX, ENV_POOL_IDLE_TIMEOUT, ENV_POOL_CONNECTION_TIMEOUT];

/// A variable whose text is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadVariable {
    /// Not a positive integer.
    #[error("{0} is not a positive integer; write digits only, or remove it")]
    Count(&'static str),
    /// Not a number of milliseconds, or fewer than 1000.
    #[error("{0} is not a number of milliseconds of at least 1000; write digits only, or remove it")]
    Timeout(&'static str),
}

/// The limits of an instance whose container sets `variable` to `text`. A min above the new max falls to it.
pub fn lower(limits: Limits, variable: &str, text: &str) -> Result<Limits, BadVariable> {
    let mut limits = limits;
    match variable {
        ENV_POOL_MIN => limits.min = limits.min.min(count(ENV_POOL_MIN, text)?),
        ENV_POOL_MAX => limits.max = limits.max.min(count(ENV_POOL_MAX, text)?),
        ENV_POOL_IDLE_TIMEOUT => limits.idle_timeout = limits.idle_timeout.min(timeout(ENV_POOL_IDLE_TIMEOUT, text)?),
        ENV_POOL_CONNECTION_TIMEOUT => {
            limits.connection_timeout = limits.connection_timeout.min(timeout(ENV_POOL_CONNECTION_TIMEOUT, text)?);
        }
        _ => {}
    }
    limits.min = limits.min.min(limits.max);
    Ok(limits)
}

/// The effective limits in the application's words.
pub fn environment(limits: &Limits) -> [(&'static str, String); 4] {
    [
        (ENV_POOL_MIN, limits.min.to_string()),
        (ENV_POOL_MAX, limits.max.to_string()),
        (ENV_POOL_IDLE_TIMEOUT, millis(limits.idle_timeout).to_string()),
        (ENV_POOL_CONNECTION_TIMEOUT, millis(limits.connection_timeout).to_string()),
    ]
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Values past 32 bits are above every limit, so they lower nothing.
fn count(variable: &'static str, text: &str) -> Result<u32, BadVariable> {
    let number = number(text).filter(|number| *number > 0).ok_or(BadVariable::Count(variable))?;
    Ok(u32::try_from(number).unwrap_or(u32::MAX))
}

fn timeout(variable: &'static str, text: &str) -> Result<Duration, BadVariable> {
    let duration = number(text).map(Duration::from_millis);
    duration.filter(|duration| *duration >= TIMEOUT_MIN).ok_or(BadVariable::Timeout(variable))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::limits::Profile;
    use proptest::prelude::*;

    #[test]
    fn a_variable_lowers_and_never_raises() {
        let production = Profile::Production.limits();
        for (variable, text, expected) in [
            (ENV_POOL_MAX, "3", Limits { min: 3, max: 3, ..production }),
            (ENV_POOL_MAX, "20", production),
            (ENV_POOL_MAX, "21", production),
            (ENV_POOL_MAX, "99999999999", production),
            (ENV_POOL_MIN, "1", Limits { min: 1, ..production }),
            (ENV_POOL_MIN, "50", production),
            (ENV_POOL_IDLE_TIMEOUT, "1000", Limits { idle_timeout: Duration::from_secs(1), ..production }),
            (ENV_POOL_IDLE_TIMEOUT, "30001", production),
            (
                ENV_POOL_CONNECTION_TIMEOUT,
                "2500",
                Limits { connection_timeout: Duration::from_millis(2_500), ..production },
            ),
            ("DATABASE_POOL_SIZE", "x", production),
        ] {
            assert_eq!(lower(production, variable, text), Ok(expected), "{variable}={text}");
        }
    }

    #[test]
    fn a_variable_that_is_no_limit_is_named() {
        let production = Profile::Production.limits();
        for text in ["", "0", "-1", "+5", "1.5", " 5", "5s", "ten", "99999999999999999999"] {
            assert_eq!(lower(production, ENV_POOL_MAX, text), Err(BadVariable::Count(ENV_POOL_MAX)), "{text:?}");
            assert_eq!(lower(production, ENV_POOL_MIN, text), Err(BadVariable::Count(ENV_POOL_MIN)), "{text:?}");
        }
        for text in ["", "0", "999", "30s", "-1000", "1e4"] {
            let bad = BadVariable::Timeout(ENV_POOL_IDLE_TIMEOUT);
            assert_eq!(lower(production, ENV_POOL_IDLE_TIMEOUT, text), Err(bad), "{text:?}");
        }
        assert!(BadVariable::Count(ENV_POOL_MAX).to_string().starts_with("DATABASE_POOL_MAX is not"));
    }

    #[test]
    fn an_application_reads_milliseconds() {
        let values = environment(&Profile::Production.limits());
        assert_eq!(values.map(|(_, value)| value), ["5", "20", "30000", "10000"]);
        assert_eq!(environment(&Profile::Test.limits()).map(|(name, _)| name), VARIABLES);
    }

    proptest! {
        #[test]
        fn what_an_application_is_given_lowers_nothing(min in 1..200_u32, more in 0..200_u32, idle in 1_000..u64::from(u32::MAX)) {
            let idle_timeout = Duration::from_millis(idle);
            let limits = Limits { min, max: min + more, idle_timeout, ..Profile::Test.limits() };
            for (variable, text) in environment(&limits) {
                prop_assert_eq!(lower(limits, variable, &text), Ok(limits));
            }
        }
    }
}
