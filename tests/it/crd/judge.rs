//! The two judges of a pool: the API server, by dry-run, and `policy::validate`.

use futures::{StreamExt, stream};
use http::{Method, Request};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use weir::policy::validate;

use super::Ground;

/// Requests at once.
const CONCURRENCY: usize = 16;

/// One reason of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    pub field: String,
    pub reason: String,
    pub message: String,
}

/// What a judge says; empty causes are an acceptance.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    pub causes: Vec<Cause>,
    /// Warnings that came with the answer.
    pub warnings: Vec<String>,
    /// Whether the API server says that it left rules unchecked.
    pub incomplete: bool,
}

impl Verdict {
    pub fn fields(&self) -> Vec<&str> {
        let mut fields: Vec<&str> = self.causes.iter().map(|cause| cause.field.as_str()).collect();
        fields.sort_unstable();
        fields.dedup();
        fields
    }
}

/// What Rust says.
pub fn rust(object: &Value) -> Verdict {
    let cause = |violation: &validate::Violation| Cause {
        field: violation.field.clone(),
        reason: String::new(),
        message: violation.message.clone(),
    };
    let causes = match validate::read::read(object) {
        Err(violation) => vec![cause(&violation)],
        Ok(pool) => validate::validate(&pool).err().iter().flatten().map(cause).collect(),
    };
    Verdict { causes, ..Verdict::default() }
}

/// What the API server says to each object, in their order.
pub async fn server(ground: &Ground, method: &Method, objects: Vec<Value>) -> Vec<Verdict> {
    stream::iter(objects).map(|object| ask(ground, method, object)).buffered(CONCURRENCY).collect().await
}

/// What the API server says to a dry-run CREATE (POST) or UPDATE (PUT) of the pool that is there.
pub async fn ask(ground: &Ground, method: &Method, mut object: Value) -> Verdict {
    let mut path = format!("/apis/weir.dev/v1alpha1/namespaces/{}/connectionpools", ground.namespace);
    if method == Method::PUT {
        path.push_str("/existing");
        object["metadata"]["resourceVersion"] = json!(ground.version);
    } else if object["metadata"]["name"] == "existing" {
        object["metadata"]["name"] = json!("created");
    }
    let body = Body::from(serde_json::to_vec(&object).expect("an object is JSON"));
    let request =
        Request::builder().method(method).uri(format!("{path}?dryRun=All")).header("content-type", "application/json");
    let client = &ground.client;
    let (accepted, status, warnings) = send(client, request.body(body).expect("a legal request")).await;
    if accepted {
        return Verdict { warnings, ..Verdict::default() };
    }
    let listed = status["details"]["causes"].as_array().cloned().unwrap_or_default();
    assert!(!listed.is_empty(), "a refusal without causes: {status}");
    let text = |cause: &Value, name: &str| cause[name].as_str().unwrap_or_default().to_owned();
    let all = listed.iter().map(|cause| Cause {
        field: text(cause, "field"),
        reason: text(cause, "reason"),
        message: text(cause, "message"),
    });
    // A cause without a field says that the others made the API server stop early, or repeats one of them.
    let (rest, causes): (Vec<Cause>, Vec<Cause>) = all.partition(|cause| cause.field == "<nil>");
    Verdict {
        causes,
        warnings,
        incomplete: rest.iter().any(|cause| cause.message.contains("some validation rules were not checked")),
    }
}

/// Applies an object, server-side, and returns the warnings. Unknown fields are refused.
pub async fn apply(client: &Client, path: &str, yaml: &str) -> Vec<String> {
    let uri = format!("/apis/{path}?fieldManager=test&force=true&fieldValidation=Strict");
    let request = Request::patch(uri).header("content-type", "application/apply-patch+yaml");
    let (accepted, status, warnings) =
        send(client, request.body(Body::from(yaml.as_bytes().to_vec())).expect("a legal request")).await;
    assert!(accepted, "{path} was refused: {}", status["message"]);
    warnings
}

async fn send(client: &Client, request: Request<Body>) -> (bool, Value, Vec<String>) {
    let response = client.send(request).await.expect("the API server answers");
    let accepted = response.status().is_success();
    let texts =
        response.headers().get_all("warning").iter().map(|value| value.to_str().expect("a warning is text").to_owned());
    let warnings = texts.collect();
    let bytes = response.into_body().collect().await.expect("the answer is complete").to_bytes();
    (accepted, serde_json::from_slice(&bytes).expect("the answer is JSON"), warnings)
}
