//! What users read in `kubectl describe`: injection, skipped pods, saturation and recovery.
//!
//! Sent by the reconcile, never from the admission path. Repeats are merged into a series by the API's own means, and single pods
//! are spoken of at most once per reason and only while they are young, so a restart of the operator says nothing twice.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource as _;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use crate::api::within;
use crate::controller::fleet::{NAMED, Standing, standing};
use crate::crd::{ConnectionPool, ConnectionPoolStatus};
use crate::metrics::Metrics;
use crate::names::FIELD_MANAGER;
use crate::observe::pod::Pod;
use crate::policy::reasons::{ConditionType, Reason};
use crate::policy::status::find;
use crate::policy::validate::ValidatedPool;
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
    let is = |status: Option<&ConnectionPoolStatus>, kind, value: &str, reason: Option<Reason>| {
        let found = status.and_then(|status| find(status, kind));
        found.is_some_and(|c| c.status == value && reason.is_none_or(|reason| c.reason == reason.as_str()))
    };
    let note = |kind| find(new, kind).map(|condition| condition.message.clone()).unwrap_or_default();
    let (saturated, injected) = (ConditionType::Saturated, ConditionType::Injected);
    let mut news = Vec::new();
    if is(Some(new), saturated, "True", None) && !is(old, saturated, "True", None) {
        news.push(PoolNews { reason: "Saturated", warning: true, note: note(saturated) });
    }
    // Only what was saturated recovers, and only when that is known.
    if is(Some(new), saturated, "False", None) && is(old, saturated, "True", None) {
        news.push(PoolNews { reason: "Recovered", warning: false, note: note(saturated) });
    }
    let missed = Some(Reason::PodsMissed);
    if is(Some(new), injected, "False", missed) && !is(old, injected, "False", missed) {
        news.push(PoolNews { reason: "Missed", warning: true, note: note(injected) });
    }
    news
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
        let injected: Vec<_> =
            fresh.iter().filter(|news| news.skipped.is_none()).filter_map(|news| news.pod.name.clone()).collect();
        if !injected.is_empty() {
            self.send(&regarding, None, "Injected", EventType::Normal, note_injected(&injected)).await;
        }
        for news in fresh {
            if let Some(why) = news.skipped {
                self.send(&news.pod, Some(&regarding), "Skipped", EventType::Warning, why).await;
            }
        }
        for PoolNews { reason, warning, note } in news.pool {
            let type_ = if warning { EventType::Warning } else { EventType::Normal };
            self.send(&regarding, None, reason, type_, note).await;
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

    async fn send(
        &self,
        regarding: &ObjectReference,
        related: Option<&ObjectReference>,
        reason: &str,
        type_: EventType,
        note: String,
    ) {
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(cut(note)),
            action: reason.to_owned(),
            secondary: related.cloned(),
        };
        if let Err(error) = within(self.recorder.publish(&event, regarding)).await {
            self.metrics.failed("event");
            tracing::warn!(reason, error = chain(&error), "an event was not sent");
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

fn note_injected(pods: &[String]) -> String {
    let named = pods.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match pods.len() {
        1 => format!("pod {named} was injected"),
        count if count <= NAMED => format!("{count} pods were injected: {named}"),
        count => format!("{count} pods were injected: {named} and {} more", count - NAMED),
    }
}
