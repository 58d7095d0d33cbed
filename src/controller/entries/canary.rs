//! The dry-run pod that shows which revision of a configuration is in force.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::json;

use crate::api::{CallError, within};
use crate::names;
use crate::policy::entries::Configuration;
use crate::policy::reasons::Reason;
use crate::policy::status::EntryState;

/// API servers learn of a written configuration within some hundred milliseconds; after these attempts (5 s in all) something is
/// wrong, and the pools are told while the attempts go on.
const PAUSES: [Duration; 9] = [
    Duration::from_millis(50),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(300),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// Why a revision is not known to be in force.
#[derive(Debug, thiserror::Error)]
pub enum CanaryError {
    /// The API server could not call the webhook; its own words say why.
    #[error("the API server cannot call the webhook")]
    Unreachable(#[source] CallError),
    /// The API server did not take the pod.
    #[error("the API server refused the dry-run pod in namespace {namespace:?}")]
    Refused {
        /// The operator's.
        namespace: String,
        /// Why.
        #[source]
        source: CallError,
    },
    /// It took the pod without the revision.
    #[error("the API server does not use the current entries yet (it used revision {found:?})")]
    Outdated {
        /// The revision that came back, if any.
        found: Option<String>,
    },
}

impl From<CanaryError> for EntryState {
    fn from(error: CanaryError) -> Self {
        let (reason, remedy) = match &error {
            CanaryError::Unreachable(_) => {
                (Reason::WebhookUnreachable, "check network policies, firewalls and the operator's pods")
            }
            CanaryError::Refused { .. } => (
                Reason::WebhookNotCalled,
                "check the operator's role, and let such pods pass the policies and quotas of its namespace",
            ),
            CanaryError::Outdated { .. } => (Reason::WebhookNotCalled, "it is tried again"),
        };
        Self::Failed { reason, message: format!("{}; {remedy}", crate::telemetry::chain(&error)) }
    }
}

/// Sends the canary until it brings the revision back.
pub async fn confirm(
    client: &Client,
    namespace: &str,
    image: &str,
    expected: &Configuration,
) -> Result<(), CanaryError> {
    let api = Api::<Pod>::namespaced(client.clone(), namespace);
    let mut pauses = PAUSES.into_iter();
    loop {
        let outcome = match send(&api, image, &expected.name).await {
            Ok(Some(found)) if found == expected.revision => return Ok(()),
            Ok(found) => CanaryError::Outdated { found },
            // The canary's entry has failurePolicy Fail, so this is what a call that failed comes back as (HTTP 500).
            Err(source) if source.message().is_some_and(|message| message.contains("failed calling webhook")) => {
                CanaryError::Unreachable(source)
            }
            Err(source) => CanaryError::Refused { namespace: namespace.to_owned(), source },
        };
        // Who may not send the pod will not be let in a moment later.
        let lasting = matches!(&outcome, CanaryError::Refused { source, .. } if source.code() == Some(403));
        match pauses.next().filter(|_| !lasting) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(outcome),
        }
    }
}

async fn send(api: &Api<Pod>, image: &str, configuration: &str) -> Result<Option<String>, CallError> {
    let parameters = PostParams { dry_run: true, field_manager: Some(names::FIELD_MANAGER.to_owned()) };
    let pod = within(api.create(&parameters, &pod(image, configuration))).await?;
    Ok(pod.annotations().get(names::CANARY_ANNOTATION).cloned())
}

/// A pod that any policy lets pass: Pod Security "restricted", with requests and limits, without a token.
fn pod(image: &str, configuration: &str) -> Pod {
    let pod = json!({
        "metadata": {"name": format!("weir-canary-{configuration}"), "labels": {names::CANARY_LABEL: configuration}},
        "spec": {
            "automountServiceAccountToken": false,
            "restartPolicy": "Never",
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "canary",
                "image": image,
                "resources": {
                    "requests": {"cpu": "1m", "memory": "1Mi"},
                    "limits": {"cpu": "1m", "memory": "1Mi"},
                },
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": true,
                    "runAsNonRoot": true,
                    "runAsUser": 65532,
                },
            }],
        },
    });
    serde_json::from_value(pod).expect("the JSON above is a pod")
}
