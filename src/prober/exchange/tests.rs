use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::policy::health::ReportError;

const GOOD: &str = r#"{"status":"healthy","metrics":{"activeConnections":1,"idleConnections":2,"waitingRequests":0,
    "totalConnections":3,"poolSize":10},"config":{"min":2,"max":10,"idleTimeout":10000,"connectionTimeout":5000},
    "utilization":{"percent":30.0,"status":"normal","busyPercent":10.0},"timestamp":"2026-01-01T00:00:00.000Z","pod":"u1","new":1}"#;

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// What the prober makes of a server that reads the request and then writes `answer` over and over as said, or goes silent.
async fn asked(answer: Vec<u8>, times: usize, then_close: bool) -> Result<Report, ProbeFailure> {
    asked_of(false, answer, times, then_close).await
}

async fn asked_of(ours: bool, answer: Vec<u8>, times: usize, then_close: bool) -> Result<Report, ProbeFailure> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let target = Target {
        name: "orders-1".to_owned(),
        address: listener.local_addr().expect("bound"),
        path: "/health/pool".to_owned(),
        interval: Duration::from_secs(10),
        timeout: Duration::from_millis(if then_close { 20_000 } else { 300 }),
        leaving: false,
        ours,
    };
    let server = async {
        let (mut stream, _) = listener.accept().await.expect("the prober connects");
        let mut request = [0; 1024];
        let read = stream.read(&mut request).await.expect("a request");
        assert!(request[..read].starts_with(b"GET /health/pool HTTP/1.1\r\n"));
        for _ in 0..times {
            if stream.write_all(&answer).await.is_err() {
                break;
            }
        }
        if !then_close {
            std::future::pending::<()>().await;
        }
        drop(stream);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = exchange(&target, "u1") => answer,
        () = server => unreachable!("it waits for ever"),
    }
}

#[tokio::test]
async fn takes_a_report_of_the_contract() {
    let report = asked(ok(GOOD), 1, false).await.expect("good");
    assert_eq!((report.metrics.active_connections, report.utilization.busy_percent), (1, Some(10.0)));
    assert!(
        asked(ok(&GOOD.replace(r#","pod":"u1""#, "")), 1, false).await.is_ok(),
        "an application may not know its pod"
    );
}

#[tokio::test]
async fn our_container_says_whose_it_is() {
    assert!(asked_of(true, ok(GOOD), 1, false).await.is_ok());
    let silent = ok(&GOOD.replace(r#","pod":"u1""#, ""));
    assert_eq!(asked_of(true, silent, 1, false).await, Err(ProbeFailure::OtherPod));
}

#[tokio::test]
async fn an_answer_of_another_pod_is_nobodys() {
    assert_eq!(asked(ok(&GOOD.replace("u1", "u2")), 1, false).await, Err(ProbeFailure::OtherPod));
}

#[tokio::test]
async fn an_answer_that_breaks_the_contract_is_told_by_field() {
    let broken = [
        (GOOD.replace(":30.0", ":-1.0"), "utilization.percent is not totalConnections / poolSize * 100"),
        (GOOD.replace(":3,", ":4,"), "metrics.totalConnections is not activeConnections + idleConnections"),
        (GOOD.replace(":3,", ":-3,"), "metrics.totalConnections is not a whole number from 0 to 4294967295"),
        (GOOD.replace("healthy", "fine"), "status is not healthy or unhealthy"),
        (GOOD.replace("\"max\":10,", ""), "config.max is missing"),
        ("{}".to_owned(), "status is missing"),
        ("<html>".to_owned(), "the answer is no JSON of the contract"),
        (String::new(), "the answer is no JSON of the contract"),
    ];
    for (body, said) in broken {
        let failure = asked(ok(&body), 1, false).await.expect_err("it breaks the contract");
        assert_eq!(failure.to_string(), said, "{body}");
    }
}

#[tokio::test]
async fn fields_of_an_application_are_its_own() {
    let more = format!(r#","queue":{{"depth":[1,null]}},"note":"{}"}}"#, "x".repeat(BYTES_MAX / 2));
    let answer = GOOD.strip_suffix('}').map(|start| format!("{start}{more}")).expect("an object");
    assert!(asked(ok(&answer), 1, false).await.is_ok());
}

#[tokio::test]
async fn what_is_no_http_is_malformed() {
    assert_eq!(asked(b"SSH-2.0-OpenSSH_9.7\r\n".to_vec(), 1, true).await, Err(ProbeFailure::Malformed));
}

#[tokio::test]
async fn other_codes_are_not_followed() {
    let redirect = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n".to_vec();
    assert_eq!(asked(redirect, 1, false).await, Err(ProbeFailure::Status(302)));
    let error = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_vec();
    assert_eq!(asked(error, 1, false).await, Err(ProbeFailure::Status(503)));
}

#[tokio::test]
async fn endless_answers_are_cut() {
    let body = [b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n".to_vec(), vec![b' '; 128 * 1024]].concat();
    assert_eq!(asked(body, 1, true).await, Err(ProbeFailure::TooLarge));
    let header = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; 64 * 1024]].concat();
    assert_eq!(asked(header, 1, true).await, Err(ProbeFailure::Malformed));
}

#[tokio::test]
async fn silence_and_absence_end_in_time() {
    assert_eq!(asked(Vec::new(), 0, false).await, Err(ProbeFailure::Timeout));
    assert_eq!(asked(Vec::new(), 0, true).await, Err(ProbeFailure::Refused));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let target = Target {
        name: String::new(),
        address,
        path: "/health/pool".to_owned(),
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        leaving: false,
        ours: false,
    };
    assert_eq!(exchange(&target, "u1").await, Err(ProbeFailure::Refused));
}

#[test]
fn every_result_is_counted() {
    use ProbeFailure::{Contract, Malformed, OtherPod, Refused, Status, Timeout, TooLarge};
    let report = Report::parse(GOOD.as_bytes()).expect("a report");
    let failures = [Timeout, Refused, Status(500), TooLarge, Malformed, OtherPod].map(Err);
    let classes: Vec<_> = std::iter::once(Ok(report)).chain(failures).map(|answer| class(&answer)).collect();
    assert_eq!(classes, crate::metrics::PROBE_RESULTS);
    assert_eq!(class(&Err(Contract(ReportError::Malformed))), "malformed");
}
