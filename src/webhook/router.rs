//! Who answers what: one path per pool, and one per revision for the canary.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use tokio::time::Instant;

use super::body::{BODY_MAX, BodyError, Held, Room};
use super::review::{self, Answer, ReviewError};
use crate::metrics::Metrics;
use crate::names;
use crate::observe::limit_ranges::LimitRanges;
use crate::observe::pools::{Guarded, Pools};
use crate::policy::entries::PoolKey;
use crate::policy::inject::{Outcome, Sidecar, inject as decide, matches};
use crate::policy::validate::validate;

/// How long a review waits for a pool that the cache does not have yet: it may be younger than its pods by a moment.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the handlers need.
pub struct Webhook {
    /// The cache that answers.
    pub pools: Pools,
    /// What the pods' namespaces allow.
    pub limit_ranges: LimitRanges,
    /// What is put into pods.
    pub sidecar: Sidecar,
    /// Where outcomes are counted.
    pub metrics: Arc<Metrics>,
    /// What bodies may take.
    pub room: Room,
}

/// Why there is no answer. The API server then does what the pool's failurePolicy says; it may log these words.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the body did not arrive in time")]
    Slow,
    #[error("the body is larger than {BODY_MAX} bytes, or broke off")]
    Body,
    #[error(transparent)]
    Review(#[from] ReviewError),
    #[error("the review is of another namespace than the entry that sent it")]
    OtherNamespace,
    #[error("this replica does not know the pool")]
    UnknownPool,
    #[error("the pool is not valid; see its Accepted condition")]
    InvalidPool,
    #[error("the review could not be answered")]
    Broken,
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Slow => Self::Slow,
            BodyError::Broken => Self::Body,
        }
    }
}

impl Failure {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Body => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Review(_) | Self::OtherNamespace => StatusCode::BAD_REQUEST,
            Self::UnknownPool | Self::InvalidPool | Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn reason(&self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Body => "body",
            Self::Review(_) => "malformed",
            Self::OtherNamespace => "namespace",
            Self::UnknownPool => "unknown_pool",
            Self::InvalidPool => "invalid_pool",
            Self::Broken => "broken",
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status(), self.to_string()).into_response()
    }
}

/// The webhook's routes.
pub fn router(webhook: Arc<Webhook>) -> Router {
    Router::new()
        .route("/inject/{namespace}/{pool}", post(handle_inject))
        .route("/canary/{revision}", post(handle_canary))
        .with_state(webhook)
}

/// What was said about a pod, for the metrics.
struct Said {
    outcome: &'static str,
    reason: &'static str,
    answer: Answer,
}

async fn handle_inject(
    State(webhook): State<Arc<Webhook>>,
    Path((namespace, name)): Path<(String, String)>,
    request: Request,
) -> Response {
    let started = Instant::now();
    let said = answer(&webhook, PoolKey { namespace, name }, request).await;
    let (outcome, reason) = match &said {
        Ok(said) => (said.outcome, said.reason),
        Err(failure) => ("failed", failure.reason()),
    };
    webhook.metrics.reviewed(outcome, reason, started.elapsed());
    match said {
        Ok(said) => Json(said.answer).into_response(),
        Err(failure) => {
            tracing::warn!(reason, "a review was not answered");
            failure.into_response()
        }
    }
}

async fn answer(webhook: &Webhook, key: PoolKey, request: Request) -> Result<Said, Failure> {
    let body = webhook.room.read(request.into_body()).await?;
    let labels = {
        let _turn = webhook.room.turn(&body).await?;
        let review = read(&body, &key)?;
        labels(&review.object)
    };
    let selects = |pool: &Guarded| {
        // A pool that can't be read selects whatever its entry selected.
        pool.0
            .as_ref()
            .map_or(true, |pool| pool.spec.selector.as_ref().is_none_or(|selector| matches(selector, &labels)))
    };
    let pool = webhook.pools.wait(&key, PATIENCE, selects).await.ok_or(Failure::UnknownPool)?;
    // Read again rather than kept: a parsed review is many times its text, and nobody may wait with one in hand.
    let _turn = webhook.room.turn(&body).await?;
    let review = read(&body, &key)?;
    // The API server goes by an entry, which is older than the pool for a moment after each change: who was called by the former
    // selector is no instance any more.
    if !selects(&pool) {
        let answer = review.allow(&json_patch::Patch::default(), Vec::new()).map_err(|_| Failure::Broken)?;
        return Ok(Said { outcome: "unselected", reason: "", answer });
    }
    let pool = pool.0.as_ref().ok().and_then(|pool| validate(pool).ok()).ok_or(Failure::InvalidPool)?;
    // A pod is the user's; should one ever meet a fault of ours, the others must not notice.
    let bounds = webhook.limit_ranges.of(&key.namespace);
    let outcome = catch_unwind(AssertUnwindSafe(|| decide(&review.object, &pool, &webhook.sidecar, &bounds)));
    let allow = |patch, warnings| review.allow(patch, warnings).map_err(|_| Failure::Broken);
    Ok(match outcome.map_err(|_| Failure::Broken)? {
        Outcome::Injected(patch) => Said { outcome: "injected", reason: "", answer: allow(&patch, Vec::new())? },
        Outcome::Unchanged => {
            Said { outcome: "unchanged", reason: "", answer: allow(&json_patch::Patch::default(), Vec::new())? }
        }
        Outcome::Skipped { reason, message, patch } => {
            let warning = format!("weir: pool {:?} leaves this pod alone: {}: {message}", key.name, reason.as_str());
            Said { outcome: "skipped", reason: reason.as_str(), answer: allow(&patch, vec![warning])? }
        }
    })
}

fn read(body: &Held<'_>, key: &PoolKey) -> Result<review::Request, Failure> {
    let review = review::Request::read(&body.bytes)?;
    if review.namespace == key.namespace { Ok(review) } else { Err(Failure::OtherNamespace) }
}

fn labels(pod: &serde_json::Value) -> BTreeMap<String, String> {
    let labels = pod.pointer("/metadata/labels").and_then(serde_json::Value::as_object).into_iter().flatten();
    labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// Writes the revision that was called onto the pod, where whoever sent the pod reads it.
async fn handle_canary(
    State(webhook): State<Arc<Webhook>>,
    Path(revision): Path<String>,
    request: Request,
) -> Result<Json<Answer>, Failure> {
    let body = webhook.room.read(request.into_body()).await?;
    let _turn = webhook.room.turn(&body).await?;
    let review = review::Request::read(&body.bytes)?;
    let annotations = review.object.pointer("/metadata/annotations").is_some_and(serde_json::Value::is_object);
    let escaped = names::CANARY_ANNOTATION.replace('/', "~1");
    let patch = if annotations {
        serde_json::json!([{"op": "add", "path": format!("/metadata/annotations/{escaped}"), "value": revision}])
    } else {
        serde_json::json!([{"op": "add", "path": "/metadata/annotations", "value": {names::CANARY_ANNOTATION: revision}}])
    };
    let answer = serde_json::from_value(patch).and_then(|patch| review.allow(&patch, Vec::new()));
    answer.map(Json).map_err(|_| Failure::Broken)
}
