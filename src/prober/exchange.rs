//! One question to one instance: a plain `GET`, with a bound on everything.
//!
//! No redirect is followed, no proxy is used, nothing of the answer is kept but the fields of the contract, and an answer that
//! names another pod is nobody's: the address was reused.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::targets::Target;
use crate::policy::health::{BYTES_MAX, Report};
use crate::policy::status::ProbeFailure;

/// Bytes of an answer's headers.
const HEADERS_MAX: usize = 16 * 1024;

/// What the instance with this pod UID says.
pub async fn exchange(target: &Target, uid: &str) -> Result<Report, ProbeFailure> {
    let report = tokio::time::timeout(target.timeout, ask(target)).await.map_err(|_| ProbeFailure::Timeout)??;
    // An application need not know its pod. Our container does: an answer without it is that of somebody who has the address now.
    if report.pod.as_deref().map_or(target.ours, |pod| pod != uid) {
        return Err(ProbeFailure::OtherPod);
    }
    Ok(report)
}

/// Bounded by construction, for metrics.
pub fn class(answer: &Result<Report, ProbeFailure>) -> &'static str {
    match answer {
        Ok(_) => "ok",
        Err(ProbeFailure::Timeout) => "timeout",
        Err(ProbeFailure::Refused) => "refused",
        Err(ProbeFailure::Status(_)) => "status",
        Err(ProbeFailure::TooLarge) => "too_large",
        Err(ProbeFailure::Malformed | ProbeFailure::Contract(_)) => "malformed",
        Err(ProbeFailure::OtherPod) => "other_pod",
    }
}

async fn ask(target: &Target) -> Result<Report, ProbeFailure> {
    let stream = TcpStream::connect(target.address).await.map_err(|_| ProbeFailure::Refused)?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEADERS_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| ProbeFailure::Refused)?;
    let request = Request::get(&target.path)
        .header(http::header::HOST, target.address.to_string())
        .header(http::header::CONNECTION, "close")
        .header(http::header::USER_AGENT, "weir")
        .body(Empty::<Bytes>::new())
        .map_err(|_| ProbeFailure::Malformed)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| {
            if error.is_parse() || error.is_parse_too_large() { ProbeFailure::Malformed } else { ProbeFailure::Refused }
        })?;
        if response.status() != http::StatusCode::OK {
            return Err(ProbeFailure::Status(response.status().as_u16()));
        }
        let body = Limited::new(response.into_body(), BYTES_MAX).collect().await.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                ProbeFailure::TooLarge
            } else {
                ProbeFailure::Malformed
            }
        })?;
        Report::parse(&body.to_bytes()).map_err(ProbeFailure::Contract)
    };
    // The connection moves the bytes; it may end together with the answer, and the answer counts.
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        _ = connection => answer.await,
    }
}
