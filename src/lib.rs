//! Weir: every pod gets a local pooler; the whole fleet gets one connection budget.
//!
//! A *pool* is a [`crd::ConnectionPool`]; an *instance* is a pod that carries Weir's container for that pool; a *boot* is one run
//! of that container. Data flows four ways, and each crosses [`policy`] exactly once:
//!
//! - *A pool changes*: `observe` -> `controller` -> `policy::{validate, status}` -> `controller::apply`.
//! - *A pod is created*: `webhook` -> `policy::inject` -> JSON Patch.
//! - *A pod runs*: `prober` -> `policy::{verdict, status}` -> `controller`.
//! - *A client connects*: `sidecar::drive` -> `sidecar::client` -> `sidecar::pool` -> `sidecar::server`.
//!
//! Everything that decides is pure (values in, values out, time included) and lives in [`policy`] or in the sidecar's state
//! machines; everything that does I/O is thin. Imports point one way: `crd <- policy <- {controller, webhook, prober, sidecar}`,
//! which `tests/it/layers.rs` checks. Around them, `operator` wires the control plane together, `api` bounds every call to the API
//! server, `events` and `metrics` tell, and `shutdown` owns the background tasks. The sidecar builds without the `operator` feature, so without a Kubernetes client.

pub mod names;
pub mod policy;
pub mod telemetry;

#[cfg(feature = "operator")]
pub mod controller;
#[cfg(feature = "operator")]
pub mod crd;
#[cfg(feature = "operator")]
pub mod observe;
#[cfg(feature = "operator")]
pub mod prober;
#[cfg(feature = "operator")]
pub mod webhook;

#[cfg(feature = "sidecar")]
pub mod sidecar;

#[cfg(feature = "operator")]
pub mod api;
#[cfg(feature = "operator")]
pub mod events;
#[cfg(feature = "operator")]
pub mod metrics;
#[cfg(feature = "operator")]
pub mod operator;
#[cfg(feature = "operator")]
pub mod random;
#[cfg(feature = "operator")]
pub mod shutdown;
