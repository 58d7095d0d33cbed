//! Limits in a library's own words and units.

use std::time::Duration;

use super::{Channel, Dialect, Lever, Limit, Unit};
use crate::policy::duration::millis;
use crate::policy::limits::Limits;

/// A setting as the library takes it: a pair of the URL's query, or an environment variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Query key or variable.
    pub name: &'static str,
    /// Digits only.
    pub value: String,
}

impl Dialect {
    /// What its URL's query is to say.
    pub fn query(&self, limits: &Limits) -> Vec<Parameter> {
        self.through(Channel::Url, limits)
    }

    /// What its container's environment is to say.
    pub fn environment(&self, limits: &Limits) -> Vec<Parameter> {
        self.through(Channel::Env, limits)
    }

    /// The fields under `spec.limits` that can't reach this library from outside its code. The sidecar holds them all the same; the
    /// library's own pool is to be set in code. Empty for `none`, whose users did not ask for it.
    pub fn unsupported(&self) -> Vec<&'static str> {
        if self.id == super::rows::NONE.id {
            return Vec::new();
        }
        let fields: [(&'static str, &[Limit]); 5] = [
            ("min", &[Limit::Min]),
            ("max", &[Limit::Max]),
            ("idleTimeout", &[Limit::IdleTimeout]),
            ("connectionTimeout", &[Limit::ConnectTimeout, Limit::AcquireTimeout]),
            ("maxLifetime", &[Limit::MaxLifetime]),
        ];
        let carried = |limits: &[Limit]| self.levers.iter().any(|lever| limits.contains(&lever.limit));
        fields.into_iter().filter(|(_, limits)| !carried(limits)).map(|(field, _)| field).collect()
    }

    fn through(&self, channel: Channel, limits: &Limits) -> Vec<Parameter> {
        let levers = self.levers.iter().filter(|lever| lever.channel == channel);
        levers.map(|lever| Parameter { name: lever.name, value: lever.value(limits).to_string() }).collect()
    }
}

impl Lever {
    fn value(&self, limits: &Limits) -> u64 {
        let value = match self.limit {
            Limit::Max => u64::from(limits.max),
            Limit::Min => u64::from(limits.min),
            Limit::IdleTimeout => self.time(limits.idle_timeout),
            Limit::ConnectTimeout | Limit::AcquireTimeout => self.time(limits.connection_timeout),
            Limit::MaxLifetime => self.time(limits.max_lifetime),
        };
        value.clamp(self.least, self.most)
    }

    fn time(&self, duration: Duration) -> u64 {
        match self.unit {
            Unit::Seconds => millis(duration).div_ceil(1_000),
            Unit::Milliseconds | Unit::Count => millis(duration),
        }
    }
}
