//! A pool that this version can't read: made under another schema, or by a newer version.
//!
//! Its author is told where they look, in `Accepted`; its status is read and written without its spec. The other pools never
//! notice. It has no entry while it can't be read, so new pods are left alone.

use jiff::Timestamp;
use kube::api::Api;
use kube::core::error_boundary::InvalidObject;
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::controller::Action;

use super::{Context, Error, apply};
use crate::api::within;
use crate::crd::{ConnectionPool, ConnectionPoolStatus};
use crate::observe::RESYNC;
use crate::policy::entries::PoolKey;
use crate::policy::status::{EntryState, Fleet, Observation, due, status};
use crate::policy::validate::Violation;
use crate::policy::validate::read::read;

/// Characters of the decoder's message that are passed on.
const MESSAGE_MAX: usize = 512;

/// Says that the pool can't be read.
pub async fn reconcile(invalid: &InvalidObject, context: &Context, now: Timestamp) -> Result<Action, Error> {
    let namespace = invalid.metadata.namespace.clone().unwrap_or_default();
    let name = invalid.metadata.name.clone().unwrap_or_default();
    let key = PoolKey::new(&*namespace, &*name);
    context.metrics.undecodable();
    context.metrics.reconciled("undecodable", None);
    tracing::warn!(pool = %key, error = invalid.error, "the pool can't be read by this version");

    let resource = ApiResource::erase::<ConnectionPool>(&());
    let api = Api::<DynamicObject>::namespaced_with(context.client.clone(), &namespace, &resource);
    let object = match within(api.get(&name)).await {
        Ok(object) => object,
        Err(error) if error.code() == Some(404) => return Ok(Action::await_change()),
        Err(error) => return Err(Error::ReadStatus(error)),
    };
    let old = object
        .data
        .get("status")
        .and_then(|status| serde_json::from_value::<ConnectionPoolStatus>(status.clone()).ok());
    let violations = [violation(&object, &invalid.error)];
    let observation = Observation {
        generation: object.metadata.generation.unwrap_or_default(),
        validation: Err(&violations),
        entry: &EntryState::Pending,
        fleet: &Fleet::default(),
        instances: &[],
    };
    let new = status(old.as_ref(), &observation, now);
    if due(old.as_ref(), &new, context.writes.last(&key), now, context.status_interval).is_some_and(|due| due <= now) {
        apply::write(context, &namespace, &name, object.metadata.uid.as_deref(), &new, now).await?;
    }
    Ok(Action::requeue(RESYNC))
}

/// The field that is to blame, where it can be found.
fn violation(object: &DynamicObject, error: &str) -> Violation {
    let found = serde_json::to_value(object).ok().and_then(|object| read(&object).err());
    found.unwrap_or_else(|| {
        let error = error.chars().take(MESSAGE_MAX).collect::<String>();
        Violation {
            field: "spec".to_owned(),
            message: format!("this version of Weir can't read the pool ({error}); correct it, or upgrade Weir"),
        }
    })
}
