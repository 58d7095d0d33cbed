//! What users read in `kubectl describe`: injection, skipped pods, saturation and recovery.
//!
//! Sent by the reconcile, never from the admission path. Single pods are spoken of at most once per reason and only while they are
//! young, so a restart of the operator says nothing twice.
//!
//! What is said of the same object with the same reason and action within minutes is one series, which only counts: the API keeps
//! the note of its first event for ever. So a note says what holds for every event of its series. Names of pods and figures, which
//! differ from one to the next, are in the conditions.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource as _;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use crate::api::within;
use crate::controller::fleet::{Standing, standing};
use crate::crd::{ConnectionPool, ConnectionPoolStatus};
use crate::metrics::Metrics;
use crate::names::FIELD_MANAGER;
use crate::observe::pod::Pod;
use crate::policy::reasons::{ConditionType, Reason};
use crate::policy::status::{band, find};
use crate::policy::validate::ValidatedPool;
use crate::policy::verdict::Verdict;
use crate::telemetry::chain;

/// Pods older than this are not spoken of: whoever watches them start has stopped watching.
const YOUNG: Duration = Duration::from_mins(5);
/// Events about single pods per reconcile; the rest follows in the next ones.
const PODS_MAX: usize = 10;

/// Bytes of a note (events.k8s.io/v1, Event).
const NOTE_MAX: usize = 1024;

/// Something happened to one pod.
#[derive(Clone, Debug, PartialEq)]
pub struct PodNews {
    pod: ObjectReference,
    /// `None`: injected.
    skipped: Option<String>,
}

/// Something happened to the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolNews {
    reason: &'static str,
    /// Tells series of one reason apart.
    action: &'static str,
    warning: bool,
    note: String,
}

/// What is worth an event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct News {
    pods: Vec<PodNews>,
    pool: Vec<PoolNews>,
}

impl News {
    /// Compares. `started`: when this process began; its predecessor has told of older pods. `written`: the new status, where it is
    /// about to be written; a change is announced together with its write, so once.
    pub fn of(
        pool: Option<&ValidatedPool>,
        old: Option<&ConnectionPoolStatus>,
        written: Option<&ConnectionPoolStatus>,
        matching: &[Arc<Pod>],
        started: Timestamp,
        now: Timestamp,
    ) -> Self {
        let since = started.max(now - YOUNG);
        let young = |pod: &&Arc<Pod>| pod.created.is_some_and(|created| created >= since);
        let pods = pool.into_iter().flat_map(|pool| {
            matching.iter().filter(young).filter_map(|pod| {
                let skipped = match standing(pool, pod) {
                    Standing::Injected(_) => None,
                    Standing::Skipped(why) => Some(why.to_owned()),
                    Standing::Missed => return None,
                };
                Some(PodNews { pod: reference(pod), skipped })
            })
        });
        Self { pods: pods.collect(), pool: written.map(|new| changes(old, new)).unwrap_or_default() }
    }
}

/// What of the pool turned with this write.
fn changes(old: Option<&ConnectionPoolStatus>, new: &ConnectionPoolStatus) -> Vec<PoolNews> {
    let missed = |status| {
        let injected = find(status, ConditionType::Injected);
        injected.is_some_and(|injected| injected.reason == Reason::PodsMissed.as_str())
    };
    let mut news = Vec::new();
    if let Some(verdict) = band(new) {
        news.extend(turned(old.and_then(band), verdict));
    }
    if missed(new) && !old.is_some_and(missed) {
        let note = "pods that match run without the pool: they are older than it, or were created while the webhook was away; the \
                    condition Injected counts and names them; delete them, or restart their workload with `kubectl rollout restart`";
        news.push(PoolNews { reason: "Missed", action: "Missed", warning: true, note: note.to_owned() });
    }
    news
}

/// A pool came into this band. Only what was seen saturated recovers.
fn turned(old: Option<Verdict>, new: Verdict) -> Option<PoolNews> {
    let (action, reached) = match new {
        Verdict::Normal => (Reason::Normal, "the pool is below its thresholds again"),
        Verdict::Elevated if old > Some(new) => {
            (Reason::Elevated, "the pool is no longer critical, but still elevated")
        }
        Verdict::Elevated => (Reason::Elevated, "the pool has reached its warning threshold"),
        Verdict::Critical => (Reason::Critical, "the pool has reached its critical threshold"),
    };
    let (reason, warning) = match old.unwrap_or(Verdict::Normal).cmp(&new) {
        Ordering::Less => ("Saturated", true),
        Ordering::Equal => return None,
        Ordering::Greater => ("Recovered", false),
    };
    let remedy = new.remedy().map(|remedy| format!("; {remedy}")).unwrap_or_default();
    let note = format!("{reached}; the condition Saturated has the figures{remedy}");
    Some(PoolNews { reason, action: action.as_str(), warning, note })
}

fn reference(pod: &Pod) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: Some(pod.namespace.clone()),
        name: Some(pod.name.clone()),
        uid: Some(pod.uid.clone()),
        ..ObjectReference::default()
    }
}

/// Sends events.
pub struct Announcer {
    recorder: Recorder,
    metrics: Arc<Metrics>,
    /// Pool, pod UID and reason of what was said of single pods.
    said: Mutex<BTreeSet<(String, String, Option<String>)>>,
}

impl Announcer {
    /// In the name of this instance of the operator.
    pub fn new(client: kube::Client, instance: Option<String>, metrics: Arc<Metrics>) -> Self {
        let reporter = Reporter { controller: FIELD_MANAGER.to_owned(), instance };
        Self { recorder: Recorder::new(client, reporter), metrics, said: Mutex::default() }
    }

    /// Sends what was not said yet. An event that can't be sent is dropped and counted: nothing depends on it.
    pub async fn announce(&self, pool: &ConnectionPool, news: News) {
        let regarding = pool.object_ref(&());
        let fresh = self.fresh(&format!("{:?}/{:?}", regarding.namespace, regarding.name), news.pods);
        let about = |reason: &'static str, action: &'static str, type_, note: String| Event {
            type_,
            reason: reason.to_owned(),
            note: Some(cut(note)),
            action: action.to_owned(),
            secondary: None,
        };
        if fresh.iter().any(|news| news.skipped.is_none()) {
            let note = "new pods carry the pool; the column PODS of `kubectl get connectionpools` counts them";
            self.send(&regarding, about("Injected", "Injected", EventType::Normal, note.to_owned())).await;
        }
        for news in fresh {
            if let Some(why) = news.skipped {
                let skipped = about("Skipped", "Skipped", EventType::Warning, why);
                self.send(&news.pod, Event { secondary: Some(regarding.clone()), ..skipped }).await;
            }
        }
        for PoolNews { reason, action, warning, note } in news.pool {
            let type_ = if warning { EventType::Warning } else { EventType::Normal };
            self.send(&regarding, about(reason, action, type_, note)).await;
        }
    }

    /// What was not said yet; at most [`PODS_MAX`] skipped ones. Forgets the pods that are not young any more.
    fn fresh(&self, pool: &str, news: Vec<PodNews>) -> Vec<PodNews> {
        let key = |news: &PodNews| (pool.to_owned(), news.pod.uid.clone().unwrap_or_default(), news.skipped.clone());
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let current: BTreeSet<_> = news.iter().map(key).collect();
        said.retain(|entry| entry.0 != pool || current.contains(entry));
        let mut room = PODS_MAX;
        let mut fresh = Vec::new();
        for news in news {
            let fits = news.skipped.is_none() || room > 0;
            if fits && said.insert(key(&news)) {
                room -= usize::from(news.skipped.is_some());
                fresh.push(news);
            }
        }
        fresh
    }

    async fn send(&self, regarding: &ObjectReference, event: Event) {
        if let Err(error) = within(self.recorder.publish(&event, regarding)).await {
            self.metrics.failed("event");
            tracing::warn!(reason = event.reason, error = chain(&error), "an event was not sent");
        }
    }
}

/// The start of a note, as much as the API takes: the remedy stands at its end.
fn cut(mut note: String) -> String {
    if note.len() > NOTE_MAX {
        let end = (0..=NOTE_MAX - '…'.len_utf8()).rfind(|end| note.is_char_boundary(*end)).unwrap_or(0);
        note.truncate(end);
        note.push('…');
    }
    note
}
