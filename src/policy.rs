//! Everything that decides, and nothing that acts: no async, no client, no clock. Time comes in as a value.
//!
//! - [`duration`]: times as Kubernetes users write them
//! - [`limits`]: what one instance may hold; profiles and their defaults
//! - [`settings`]: what a pod carries, as one versioned document
//! - [`health`]: the contract of `GET /health/pool`

pub mod dialect;
pub mod duration;
pub mod health;
#[cfg(feature = "operator")]
pub mod inject;
pub mod limits;
pub mod settings;
pub mod url;
#[cfg(feature = "operator")]
pub mod validate;
