//! The reconcile loop of a pool: observe -> validate -> plan -> apply -> status.
//!
//! It is level-triggered: whatever woke it, it looks at everything and ends in the same place. It owns a pool's status and events;
//! what several pools share, the webhook's configurations, is owned by [`entries`]. It never writes to a workload, needs no
//! finalizer, since deleting a pool leaves nothing outside of the cluster, and holds no state that a restart would lose.

pub mod apply;
pub mod backoff;
pub mod entries;
pub mod fleet;
pub mod plan;
pub mod undecodable;

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::runtime::Controller;
use kube::runtime::controller::{Action, Config};
use tokio::time::Instant;

use crate::api::CallError;
use crate::crd::ConnectionPool;
use crate::events::Announcer;
use crate::metrics::Metrics;
use crate::observe::pods::Pods;
use crate::observe::pools::{Guarded, Pools, key, reference};
use crate::observe::touches::Touches;
use crate::observe::{self};
use crate::policy::entries::PoolKey;
use crate::policy::validate::validate;
use crate::prober::reports::Reports;
use crate::random;
use crate::shutdown::Stopping;
use crate::telemetry::chain;
use backoff::Backoff;
use entries::Entries;

/// Pools at a time; each spends its time waiting for the API server.
const CONCURRENCY: u16 = 8;

/// How long the first reconcile waits for the first look at pods, instances and entries. What is missing then has a reason that
/// the statuses should tell.
const WARM_UP: Duration = Duration::from_secs(10);

/// Why a reconcile is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The status could not be written.
    #[error("cannot write the pool's status")]
    WriteStatus(#[source] CallError),
    /// The pool can't be decoded, and its status could not be read as it is.
    #[error("cannot read the pool's status")]
    ReadStatus(#[source] CallError),
}

impl Error {
    /// The metric's label; bounded by construction.
    pub fn class(&self) -> &'static str {
        match self {
            Self::WriteStatus(error) | Self::ReadStatus(error) => error.class(),
        }
    }
}

/// What a reconcile reads and uses.
pub struct Context {
    /// Writes statuses.
    pub client: kube::Client,
    /// All pools.
    pub pools: Pools,
    /// All pods.
    pub pods: Arc<Pods>,
    /// What instances said.
    pub reports: Arc<Reports>,
    /// Whether each pool's entry is in force.
    pub entries: Arc<Entries>,
    /// Sends events.
    pub announcer: Announcer,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// When failed pools are tried again.
    pub backoff: Backoff,
    /// When statuses were written, and how many may be.
    pub writes: apply::Writes,
    /// When this process began to look.
    pub started: Timestamp,
    /// At most so often a status is written that only shows other figures.
    pub status_interval: Duration,
}

async fn reconcile(pool: Arc<Guarded>, context: Arc<Context>) -> Result<Action, Error> {
    let (started, now) = (Instant::now(), Timestamp::now());
    let pool = match &pool.0 {
        Ok(pool) => pool,
        Err(invalid) => return undecodable::reconcile(invalid, &context, now).await,
    };
    // observe: caches only
    let seen = plan::Seen::of(pool, &context);
    // validate, plan: pure
    let validated = validate(pool);
    let plan = plan::plan(&validated, &seen, now, context.status_interval);
    // apply: client required
    context.metrics.pool(&seen.key, &plan.figures);
    if plan.write {
        apply::status(&context, pool, &plan.status, now).await?;
    }
    context.announcer.announce(pool, plan.news).await;
    context.backoff.succeeded(&seen.key);
    context.metrics.reconciled("ok", Some(started.elapsed()));
    Ok(Action::requeue(plan.again))
}

#[expect(clippy::needless_pass_by_value, reason = "the signature is the Controller's")]
fn error_policy(pool: Arc<Guarded>, error: &Error, context: Arc<Context>) -> Action {
    let key = key(&pool);
    let again = context.backoff.failed(&key, random::unit());
    context.metrics.reconciled(error.class(), None);
    tracing::warn!(pool = %key, error = chain(error), again = ?again, "reconcile failed and is retried");
    Action::requeue(again)
}

/// Runs the loop until the process stops. The controller opens no watch: all its triggers are hints.
pub async fn run(context: Arc<Context>, touches: Arc<Touches>, stopping: Stopping) {
    // A young process knows less than the statuses that it would overwrite.
    let warm = async {
        context.entries.wait_settled().await;
        context.reports.wait_complete().await;
    };
    tokio::select! {
        _ = tokio::time::timeout(WARM_UP, warm) => {}
        () = stopping.clone().wait() => return,
    }
    let resync = resync(Arc::clone(&context), Arc::clone(&touches));
    let store = context.pools.store();
    let reconciles = Controller::for_stream(stream::pending(), store)
        .with_config(Config::default().concurrency(CONCURRENCY))
        .reconcile_on(hints(touches))
        .graceful_shutdown_on(stopping.clone().wait())
        .run(reconcile, error_policy, context)
        // Every failure went through error_policy; a pool that is gone by now is no failure.
        .for_each(|_| std::future::ready(()));
    tokio::select! {
        () = reconciles => {}
        () = resync => {}
        () = async { stopping.wait().await; tokio::time::sleep(Duration::from_secs(3)).await } => {}
    }
}

fn hints(touches: Arc<Touches>) -> impl Stream<Item = kube::runtime::reflector::ObjectRef<Guarded>> + Send {
    stream::unfold(touches, |touches| async move { Some((touches.take().await, touches)) })
        .flat_map(|pools| stream::iter(pools.into_iter().map(|pool| reference(&pool))))
}

/// Looks at everything again from time to time, and forgets the pools that went.
async fn resync(context: Arc<Context>, touches: Arc<Touches>) {
    let mut version = context.pools.version();
    let mut known: std::collections::BTreeSet<PoolKey> = std::collections::BTreeSet::new();
    let mut every = tokio::time::interval(observe::RESYNC);
    let mut pods_seen = false;
    loop {
        let all = tokio::select! {
            changed = version.changed() => if changed.is_ok() { false } else { return },
            _ = every.tick() => true,
            // What was said of pods until now was that nobody has seen them.
            () = context.pods.wait_synced(), if !pods_seen => { pods_seen = true; true }
        };
        let now: std::collections::BTreeSet<_> = context.pools.all().iter().map(|pool| key(pool)).collect();
        for gone in known.difference(&now) {
            context.metrics.forget(gone);
            context.backoff.succeeded(gone);
            context.writes.forget(gone);
        }
        if all {
            for pool in &now {
                touches.touch(pool.clone());
            }
        }
        known = now;
    }
}

/// Namespace and name of a pool that can be read.
pub fn pool_key(pool: &ConnectionPool) -> PoolKey {
    PoolKey::new(pool.namespace().unwrap_or_default(), pool.name_any())
}
