//! The caches of the control plane: pools, pods and LimitRanges in, triggers out. The only place that opens watches.
//!
//! The watches are tasks of their own with their own backoff, so that a failing one never stalls another. A trigger is only
//! a hint to look: what is there is read from the caches, which a relist replaces as a whole, so a deletion that happened while
//! disconnected is noticed like any other. Pods are kept as a few fields of ours, never as typed objects, so nothing can ever be
//! written back from here.

pub mod limit_ranges;
pub mod pod;
pub mod pods;
pub mod pools;
pub mod touches;

use std::time::Duration;

use kube::runtime::watcher;

use crate::api::client::WATCH_SECONDS;

/// How watches are made: short enough to survive load balancers, in pages, in the form that every server speaks.
fn config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS).page_size(500)
}

/// How often everything is looked at again, whatever the watches say.
pub const RESYNC: Duration = Duration::from_mins(5);
