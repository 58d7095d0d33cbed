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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::script;

    fn object(version: &str, webhooks: &Value) -> (u16, Value) {
        (
            200,
            json!({
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
                "metadata": {"name": "weir-0", "resourceVersion": version}, "webhooks": webhooks,
            }),
        )
    }

    fn desired() -> Configuration {
        Configuration {
            name: "weir-0".to_owned(),
            revision: "r".to_owned(),
            entries: vec![json!({"name": "canary.weir.dev"})],
        }
    }

    #[tokio::test]
    async fn what_came_in_between_is_kept() {
        let foreign = json!({"name": "inject.example.com", "fieldOfTheFuture": [1, {"a": null}]});
        let answers = [
            object("1", &json!([])),
            script::conflict(),
            object("2", &json!([foreign])),
            object("3", &json!([foreign, {"name": "canary.weir.dev"}])),
        ];
        let (client, asked) = script::client(answers);
        assert!(write(&client, &desired()).await.unwrap_or_else(|error| panic!("{error}")));
        let asked = asked.lock().expect("not poisoned");
        let methods: Vec<_> = asked.iter().map(|(method, _, _)| method.as_str()).collect();
        assert_eq!(methods, ["GET", "PUT", "GET", "PUT"]);
        assert_eq!(asked[3].2["metadata"]["resourceVersion"], "2");
        assert_eq!(asked[3].2["webhooks"], json!([foreign, {"name": "canary.weir.dev"}]));
    }

    #[tokio::test]
    async fn what_is_there_is_not_written() {
        let (client, asked) = script::client([object("1", &json!([{"name": "canary.weir.dev"}]))]);
        assert!(!write(&client, &desired()).await.unwrap_or_else(|error| panic!("{error}")));
        assert_eq!(asked.lock().expect("not poisoned").len(), 1);
    }

    #[tokio::test]
    async fn a_missing_object_is_said_to_be_missing() {
        let missing = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "gone", "reason": "NotFound", "code": 404});
        let (client, _) = script::client([(404, missing)]);
        let error = write(&client, &desired()).await.expect_err("it is missing");
        let EntryState::Failed { reason, message } = EntryState::from(error) else { panic!("it failed") };
        assert_eq!(reason, Reason::ConfigurationRefused);
        assert_eq!(message, "there is no MutatingWebhookConfiguration \"weir-0\"; install the chart again");
    }
}
