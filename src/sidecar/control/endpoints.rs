//! The paths of the control port. Public inside the cluster: nothing here shows a secret, a role, a host or SQL, and nothing changes
//! what the sidecar does.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

use super::Panel;
use crate::sidecar::metrics;

/// Answers one request. Only the method and the path count; HEAD is answered as GET, and the server leaves the body out.
pub(super) async fn answer(panel: &Panel, method: &Method, path: &str) -> Response<Full<Bytes>> {
    let known = matches!(path, "/health/pool" | "/metrics" | "/hello" | "/livez" | "/readyz");
    if known && method != Method::GET && method != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/health/pool" => json(&panel.report()),
        "/hello" => json(&panel.hello()),
        "/metrics" => match panel.metrics().await {
            Ok(body) => response(StatusCode::OK, metrics::CONTENT_TYPE, body.into()),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "cannot write the metrics\n"),
        },
        "/livez" if panel.alive().await => text(StatusCode::OK, "the loop turns\n"),
        "/livez" => text(StatusCode::SERVICE_UNAVAILABLE, "the loop does not turn\n"),
        "/readyz" if panel.ready() => text(StatusCode::OK, "taking clients\n"),
        "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
        _ => text(StatusCode::NOT_FOUND, "not found\n"),
    }
}

fn json(value: &impl Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_vec(value) {
        Ok(body) => response(StatusCode::OK, "application/json", body.into()),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "cannot write the answer\n"),
    }
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", Bytes::from_static(body.as_bytes()))
}

fn response(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
