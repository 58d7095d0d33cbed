//! Effective values and the words of refusals; agreement with the API server is shown in `tests/it/crd.rs`.
