//! A small JSON document in a named Secret that the installation made empty.
//!
//! Several replicas share it. Each write names the resourceVersion that it was computed from, so the loser of a race gets a
//! conflict, reads again and finds what the winner wrote. Secrets are only ever read by name: the role allows nothing else.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{CallError, within};
use crate::names::FIELD_MANAGER;

/// Why a document could not be kept. Never holds what is in the Secret.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The Secret could not be read.
    #[error("cannot read Secret {secret:?}")]
    Read {
        /// Its name.
        secret: String,
        /// Why.
        #[source]
        source: CallError,
    },
    /// The Secret could not be written.
    #[error("cannot write Secret {secret:?}")]
    Write {
        /// Its name.
        secret: String,
        /// Why.
        #[source]
        source: CallError,
    },
    /// What the Secret holds was not written by Weir, or by a newer version that speaks another format.
    #[error(
        "key {KEY:?} of Secret {secret:?} is not a document that this version can read; delete the key to start anew"
    )]
    Decode {
        /// Its name.
        secret: String,
    },
    /// The next content could not be made.
    #[error("cannot make the content of Secret {secret:?}")]
    Make {
        /// Its name.
        secret: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Others kept winning.
    #[error("Secret {secret:?} was changed by others at each attempt")]
    Contended {
        /// Its name.
        secret: String,
    },
}

/// The key in the Secret.
const KEY: &str = "document.json";
/// How often a lost race is taken up again in one call.
const ATTEMPTS: usize = 5;

/// One document in one Secret.
#[derive(Clone, Debug)]
pub struct Document {
    api: Api<Secret>,
    secret: String,
}

impl Document {
    /// In the Secret of this name.
    pub fn new(client: kube::Client, namespace: &str, secret: impl Into<String>) -> Self {
        Self { api: Api::namespaced(client, namespace), secret: secret.into() }
    }

    /// Reads the document and asks `next` what it should be (`None`: as it is). Returns what the Secret then holds.
    pub async fn keep<T, E>(
        &self,
        mut next: impl FnMut(Option<&T>) -> Result<Option<T>, E>,
    ) -> Result<Option<T>, DocumentError>
    where
        T: Serialize + DeserializeOwned,
        E: std::error::Error + Send + Sync + 'static,
    {
        let secret = || self.secret.clone();
        for _ in 0..ATTEMPTS {
            let read = within(self.api.get(&self.secret))
                .await
                .map_err(|source| DocumentError::Read { secret: secret(), source })?;
            let current = decode(read.data.as_ref()).map_err(|_| DocumentError::Decode { secret: secret() })?;
            let wanted = next(current.as_ref())
                .map_err(|source| DocumentError::Make { secret: secret(), source: Box::new(source) })?;
            let Some(wanted) = wanted else { return Ok(current) };
            let text = serde_json::to_vec(&wanted)
                .map_err(|source| DocumentError::Make { secret: secret(), source: Box::new(source) })?;
            let patch = json!({
                "metadata": {"resourceVersion": read.metadata.resource_version},
                "data": {KEY: ByteString(text)},
            });
            let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
            match within(self.api.patch(&self.secret, &parameters, &Patch::Merge(&patch))).await {
                Ok(_) => return Ok(Some(wanted)),
                Err(error) if error.code() == Some(409) => {}
                Err(source) => return Err(DocumentError::Write { secret: secret(), source }),
            }
        }
        Err(DocumentError::Contended { secret: secret() })
    }
}

fn decode<T: DeserializeOwned>(data: Option<&BTreeMap<String, ByteString>>) -> Result<Option<T>, serde_json::Error> {
    data.and_then(|data| data.get(KEY)).map(|bytes| serde_json::from_slice(&bytes.0)).transpose()
}

#[cfg(test)]
mod tests;
