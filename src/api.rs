//! How the control plane speaks to the API server: one client, a bound on every call, and documents kept in Secrets.
//!
//! The client retries 429, 503 and 504 by itself for minutes, and a connection may hang without an error; so nothing may await a
//! call without [`within`].

pub mod activity;
pub mod client;
pub mod document;
#[cfg(test)]
pub mod script;

use std::future::Future;
use std::time::Duration;

/// The longest that one call may take, retries included: three times a slow API server's answer.
pub const CALL: Duration = Duration::from_secs(15);

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The API server refused. Its own words say why; the rest of the answer repeats them and would drown the remedy.
    #[error("the API server refused: {message}")]
    Refused {
        /// HTTP status.
        code: u16,
        /// Its words.
        message: String,
    },
    /// It could not be reached, or its answer is none.
    #[error("the call to the API server failed")]
    Failed(#[source] Box<kube::Error>),
    /// No answer in time.
    #[error("no answer from the API server within {}s", CALL.as_secs())]
    Timeout,
}

impl From<kube::Error> for CallError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Refused { code: status.code, message: status.message.clone() },
            error => Self::Failed(Box::new(error)),
        }
    }
}

impl CallError {
    /// The HTTP status of the refusal, where there was one.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::Failed(_) | Self::Timeout => None,
        }
    }

    /// The API server's words, where it refused.
    pub fn message(&self) -> Option<&str> {
        match self {
            Self::Refused { message, .. } => Some(message),
            Self::Failed(_) | Self::Timeout => None,
        }
    }

    /// Bounded by construction, for metrics: `not_found`, `conflict`, `forbidden`, `invalid`, `refused`, `unreachable`, `timeout`.
    pub fn class(&self) -> &'static str {
        match (self, self.code()) {
            (Self::Timeout, _) => "timeout",
            (_, Some(404)) => "not_found",
            (_, Some(409)) => "conflict",
            (_, Some(401 | 403)) => "forbidden",
            (_, Some(422)) => "invalid",
            (_, Some(_)) => "refused",
            (_, None) => "unreachable",
        }
    }
}

/// Runs one call with the bound that every call has.
pub async fn within<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, CallError> {
    match tokio::time::timeout(CALL, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(CallError::Timeout),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    #[tokio::test]
    async fn a_refusal_is_told_in_the_words_of_the_api_server_once() {
        let status = Status::failure("pods is forbidden", "Forbidden").with_code(403);
        let refused = within(async { Err::<(), _>(kube::Error::Api(Box::new(status))) }).await.expect_err("refused");
        assert_eq!((refused.code(), refused.class()), (Some(403), "forbidden"));
        assert_eq!(crate::telemetry::chain(&refused), "the API server refused: pods is forbidden");
    }
}
