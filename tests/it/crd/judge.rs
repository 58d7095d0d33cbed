//! The two judges of a pool: the API server, by dry-run, and `policy::validate`.

use futures::{StreamExt, stream};
use http::{Method, Request};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use weir::policy::validate;

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
pub async fn server(client: &Client, namespace: &str, method: Method, objects: Vec<Value>) -> Vec<Verdict> {
    let ask = |object| ask(client, namespace, method.clone(), object);
    stream::iter(objects).map(ask).buffered(CONCURRENCY).collect().await
}

/// What the API server says to a dry-run CREATE (POST) or UPDATE (PUT).
pub async fn ask(client: &Client, namespace: &str, method: Method, object: Value) -> Verdict {
    let mut path = format!("/apis/weir.dev/v1alpha1/namespaces/{namespace}/connectionpools");
    if method == Method::PUT {
        path = format!("{path}/{}", object["metadata"]["name"].as_str().expect("a pool has a name"));
    }
    let body = Body::from(serde_json::to_vec(&object).expect("an object is JSON"));
    let request = Request::builder().method(method).uri(format!("{path}?dryRun=All")).header("content-type", "application/json");
    let response = client.send(request.body(body).expect("a legal request")).await.expect("the API server answers");
    let accepted = response.status().is_success();
    let texts = response.headers().get_all("warning").iter().map(|value| value.to_str().expect("a warning is text").to_owned());
    let warnings = texts.collect();
    let bytes = response.into_body().collect().await.expect("the answer is complete").to_bytes();
    let status: Value = serde_json::from_slice(&bytes).expect("the answer is JSON");
    if accepted {
        return Verdict { warnings, ..Verdict::default() };
    }
    let listed = status["details"]["causes"].as_array().cloned().unwrap_or_default();
    assert!(!listed.is_empty(), "a refusal without causes: {status}");
    let text = |cause: &Value, name: &str| cause.get(name).unwrap_or(&json!("")).as_str().unwrap_or_default().to_owned();
    let all = listed.iter().map(|cause| Cause { field: text(cause, "field"), reason: text(cause, "reason"), message: text(cause, "message") });
    let (rest, causes): (Vec<Cause>, Vec<Cause>) = all.partition(|cause| cause.message.contains("some validation rules were not checked"));
    Verdict { causes, warnings, incomplete: !rest.is_empty() }
}
