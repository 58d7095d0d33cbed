//! A pod about to be created, and a pool that selects it: the JSON Patch that adds the pool to it, or the reason not to.
//!
//! Works on the raw JSON, so that fields this build does not know survive. Touches only what is ours, never moves or removes anything
//! else, and is idempotent: API servers call again after another webhook changed the pod ("reinvocation"), and containers that came
//! in between are then pointed at the pool too. Nothing is guessed: what can't be rewritten safely is left as it is, and the pod says
//! why. No message holds any part of a URL.

mod bounds;
mod editor;
mod environment;
mod instance;
mod literal;
mod parameters;
mod pod;
mod pooler;
mod ports;
mod quantity;
mod reason;
mod resources;
mod rewrite;
mod selector;
mod sidecar;
mod source;

use std::fmt;

use json_patch::Patch;
use serde_json::Value;

pub use bounds::Bounds;
pub use instance::{instance, instance_of};
pub use quantity::is_quantity;
pub use reason::SkipReason;
pub use resources::{Amounts, Resources};
pub use selector::matches;

use self::editor::Editor;
use self::pod::Pod;
use self::reason::Skip;
use super::validate::ValidatedPool;
use crate::crd::Mode;
use crate::names;

/// The sidecar as the operator was told to inject it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sidecar {
    /// Image reference.
    pub image: String,
    /// `Always`, `IfNotPresent` or `Never`.
    pub pull_policy: String,
    /// Ed25519 keys that statements may be signed with, base64.
    pub public_keys: Vec<String>,
    /// Filter of its log.
    pub log: String,
    /// What it requests and is limited to, where its pod's class of service asks for that.
    pub resources: Resources,
}

/// What becomes of a pod. `Debug` shows the number of changes and none of their values, which may hold a connection URL.
#[derive(Clone, PartialEq)]
pub enum Outcome {
    /// The patch adds the pool, or brings it to containers that came later.
    Injected(Patch),
    /// The pod already carries the pool, and nothing is missing.
    Unchanged,
    /// The pod stays without the pool.
    Skipped {
        /// Why.
        reason: SkipReason,
        /// Why in words, and what to do.
        message: String,
        /// Writes reason and message on the pod, as an annotation; empty where it says so already.
        patch: Patch,
    },
}

impl fmt::Debug for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Injected(patch) => write!(formatter, "Injected({} operations)", patch.0.len()),
            Self::Unchanged => formatter.write_str("Unchanged"),
            Self::Skipped { reason, message, .. } => write!(formatter, "Skipped({}: {message})", reason.as_str()),
        }
    }
}

/// Adds `pool` to `pod`, with resources within `bounds`. Whether the pool's selector matches was decided before ([`matches`]).
pub fn inject(pod: &Value, pool: &ValidatedPool, sidecar: &Sidecar, bounds: &Bounds) -> Outcome {
    let mut editor = Editor::new(pod);
    let decided = eligible(Pod(pod), pool).and_then(|()| match pool.mode {
        Mode::None if !pooler::noted(Pod(pod), &pool.name) => parameters::inject(&mut editor, pool),
        // A pod that carries a pooler keeps it, whatever the pool says by now.
        Mode::None | Mode::Pooler => pooler::inject(&mut editor, pool, sidecar, bounds),
    });
    match decided {
        Ok(()) => {
            editor.remove_annotation(&names::skipped_annotation(&pool.name));
            let patch = editor.finish();
            if patch.0.is_empty() { Outcome::Unchanged } else { Outcome::Injected(patch) }
        }
        Err(Skip { reason, message }) => {
            let mut editor = Editor::new(pod);
            let said = format!("{}: {message}", reason.as_str());
            editor.annotate(&names::skipped_annotation(&pool.name), &said);
            Outcome::Skipped { reason, message, patch: editor.finish() }
        }
    }
}

/// What rules a pod out, whatever its variables say.
fn eligible(pod: Pod<'_>, pool: &ValidatedPool) -> Result<(), Skip> {
    if pod.annotation(names::INJECT_ANNOTATION) == Some("false") {
        return Err(SkipReason::OptedOut.because(format!("the pod says {}=false", names::INJECT_ANNOTATION)));
    }
    if pool.name.len() > names::POOL_NAME_MAX {
        return Err(SkipReason::NameTooLong.because(format!("the pool's name has {} characters", pool.name.len())));
    }
    if let Some(other) = pod.other_pool(&pool.name) {
        return Err(SkipReason::Conflict.because(format!("the pod already carries the pool {other:?}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
