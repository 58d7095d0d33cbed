//! The pod webhook: the only thing that the API server ever calls.
//!
//! It answers from the caches of [`crate::observe`] and makes no network call of its own. It never logs or stores an
//! AdmissionReview, since a pod's environment may hold credentials. It never refuses a pod: where it cannot answer it fails, and
//! the pool's failurePolicy decides.
//!
//! - [`review`]: the messages, as far as we read and write them
//! - [`router`]: who answers what
//! - [`body`]: how much of them is held at a time
//! - [`server`]: TLS and its limits
//! - [`authority`]: which certificates there should be (pure but for the keys it makes)
//! - [`certificate`]: keeps them in the Secret and in force
//! - [`signing`]: the keys that statements will be signed with; their public halves go into pods

pub mod authority;
pub mod body;
pub mod certificate;
pub mod review;
pub mod router;
pub mod server;
pub mod signing;
