//! An API server by script, for races that a real one can't be made to lose on demand.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// What was asked: method, path, body.
pub type Asked = Arc<Mutex<Vec<(String, String, Value)>>>;

/// A client whose requests get these answers in order, and the record of the requests.
///
/// # Panics
///
/// Where more is asked than the script has answers.
pub fn client(answers: impl IntoIterator<Item = (u16, Value)>) -> (Client, Asked) {
    let answers = Arc::new(Mutex::new(answers.into_iter().collect::<VecDeque<_>>()));
    let asked = Asked::default();
    let record = Arc::clone(&asked);
    let service = tower::service_fn(move |request: Request<Body>| {
        let (answers, record) = (Arc::clone(&answers), Arc::clone(&record));
        async move {
            let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
            let body = request.into_body().collect_bytes().await.expect("in memory");
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            record.lock().expect("not poisoned").push((method, path, body));
            let (code, answer) = answers.lock().expect("not poisoned").pop_front().expect("the script has ended");
            let answer = Response::builder().status(code).body(Body::from(answer.to_string().into_bytes()));
            Ok::<_, Infallible>(answer.expect("a response"))
        }
    });
    (Client::new(service, "default"), asked)
}

/// What an API server says to the loser of a race.
pub fn conflict() -> (u16, Value) {
    (
        409,
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "changed", "reason": "Conflict", "code": 409}),
    )
}
