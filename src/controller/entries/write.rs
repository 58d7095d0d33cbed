//! One configuration object, read, merged and replaced.
//!
//! Handled as plain JSON: entries of others may have fields that this build does not know, and must not lose them.

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::Client;
use kube::api::{Api, PostParams};
use kube::core::{ApiResource, DynamicObject};
use serde_json::Value;

use crate::api::{CallError, within};
use crate::names::FIELD_MANAGER;
use crate::policy::entries::{Configuration, merge};
use crate::policy::reasons::Reason;
use crate::policy::status::EntryState;

/// How often a lost race is taken up again in one call.
const ATTEMPTS: usize = 5;

/// Why the entries are not in their object.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The installation lacks it.
    #[error("there is no MutatingWebhookConfiguration {name:?}")]
    Missing {
        /// Of the object.
        name: String,
    },
    /// It could not be read.
    #[error("cannot read MutatingWebhookConfiguration {name:?}")]
    Read {
        /// Of the object.
        name: String,
        /// Why.
        #[source]
        source: CallError,
    },
    /// It could not be written.
    #[error("cannot write MutatingWebhookConfiguration {name:?}")]
    Write {
        /// Of the object.
        name: String,
        /// Why.
        #[source]
        source: CallError,
    },
}

impl From<WriteError> for EntryState {
    fn from(error: WriteError) -> Self {
        let remedy = match &error {
            WriteError::Missing { .. } => "install the chart again",
            WriteError::Read { .. } | WriteError::Write { .. } => "it is tried again; check the operator's role",
        };
        Self::Failed {
            reason: Reason::ConfigurationRefused,
            message: format!("{}; {remedy}", crate::telemetry::chain(&error)),
        }
    }
}

/// Makes the object hold these entries; returns whether it had to be changed.
pub async fn write(client: &Client, desired: &Configuration) -> Result<bool, WriteError> {
    let resource = ApiResource::erase::<MutatingWebhookConfiguration>(&());
    let api = Api::<DynamicObject>::all_with(client.clone(), &resource);
    let name = || desired.name.clone();
    for attempt in 1.. {
        let mut object = within(api.get(&desired.name)).await.map_err(|source| match source.code() {
            Some(404) => WriteError::Missing { name: name() },
            _ => WriteError::Read { name: name(), source },
        })?;
        let existing = object.data.get("webhooks").and_then(Value::as_array).cloned().unwrap_or_default();
        let Some(merged) = merge(&existing, desired) else { return Ok(false) };
        let Some(data) = object.data.as_object_mut() else { return Ok(false) };
        data.insert("webhooks".to_owned(), merged.into());
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match within(api.replace(&desired.name, &parameters, &object)).await {
            Ok(_) => return Ok(true),
            Err(error) if error.code() == Some(409) && attempt < ATTEMPTS => {}
            Err(source) => return Err(WriteError::Write { name: name(), source }),
        }
    }
    Ok(false)
}
