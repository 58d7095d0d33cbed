use std::convert::Infallible;

use serde_json::{Value, json};

use super::*;
use crate::api::script;

fn secret(version: &str, document: Option<&str>) -> (u16, Value) {
    let data = document.map(|text| json!({KEY: ByteString(text.as_bytes().to_vec())}));
    (
        200,
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "resourceVersion": version}, "data": data}),
    )
}

/// Wants 1 where there is nothing.
#[expect(clippy::unnecessary_wraps, reason = "the signature is that of keep")]
fn next(current: Option<&u32>) -> Result<Option<u32>, Infallible> {
    Ok(current.is_none().then_some(1))
}

#[tokio::test]
async fn the_loser_of_a_race_takes_what_the_winner_wrote() {
    let (client, asked) = script::client([secret("1", None), script::conflict(), secret("2", Some("7"))]);
    let kept = Document::new(client, "weir-system", "s").keep(next).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(kept, Some(7));
    let asked = asked.lock().expect("not poisoned");
    let methods: Vec<_> = asked.iter().map(|(method, path, _)| (method.as_str(), path.as_str())).collect();
    let path = "/api/v1/namespaces/weir-system/secrets/s";
    assert_eq!(methods, [("GET", path), ("PATCH", path), ("GET", path)]);
    assert_eq!(asked[1].2, json!({"metadata": {"resourceVersion": "1"}, "data": {KEY: "MQ=="}}));
}

#[tokio::test]
async fn what_is_good_is_not_written() {
    let (client, asked) = script::client([secret("1", Some("7"))]);
    assert_eq!(Document::new(client, "n", "s").keep(next).await.unwrap_or_else(|error| panic!("{error}")), Some(7));
    assert_eq!(asked.lock().expect("not poisoned").len(), 1);
}

#[tokio::test]
async fn foreign_content_is_neither_used_nor_overwritten() {
    let (client, asked) = script::client([secret("1", Some("a password"))]);
    let error = Document::new(client, "n", "s").keep(next).await.expect_err("not a number");
    assert!(matches!(error, DocumentError::Decode { .. }));
    assert!(!crate::telemetry::chain(&error).contains("password"));
    assert_eq!(asked.lock().expect("not poisoned").len(), 1);
}
