//! Everything that decides, and nothing that acts: no async, no client, no clock. Time comes in as a value.
//!
//! - [`budget`]: what a whole fleet may cost PostgreSQL, and who should have how much of it
//! - [`duration`]: times as Kubernetes users write them
//! - [`limits`]: what one instance may hold; profiles and their defaults
//! - [`settings`]: what a pod carries, as one versioned document
//! - `validate`: a raw pool in, a legal one with effective values or every violation out
//! - [`dialect`], [`url`]: the client libraries as data, and a connection URL as spans of bytes
//! - `inject`: a pod and a pool in, a patch or the reason against one out
//! - `entries`: which webhook entries there should be
//! - [`verdict`]: how busy a pool is, with hysteresis
//! - [`reasons`]: every condition type and reason
//! - `status`: old status, observation and time in, new status out
//! - [`health`]: the contract of `GET /health/pool`

pub mod budget;
pub mod dialect;
pub mod duration;
#[cfg(feature = "operator")]
pub mod entries;
pub mod health;
#[cfg(feature = "operator")]
pub mod inject;
pub mod limits;
pub mod reasons;
pub mod settings;
#[cfg(feature = "operator")]
pub mod status;
pub mod url;
#[cfg(feature = "operator")]
pub mod validate;
pub mod verdict;
