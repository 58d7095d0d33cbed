//! Drives the login's state machines over a blocking socket, as the loop does over many.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use weir::sidecar::login::{LoggedIn, Login, LoginError};
use weir::sidecar::target::Target;
use weir::sidecar::tls::{Negotiation, TlsError, Transport};
use weir::sidecar::wire::Version;

/// Longest wait for the server: bounds a test that would hang.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    Tls(TlsError),
    Login(LoginError),
    /// EOF.
    Closed,
}

impl Failure {
    /// SQLSTATE of the server's refusal.
    pub fn code(&self) -> &str {
        match self {
            Self::Login(LoginError::Refused(error)) => error.code(),
            other => panic!("not refused by the server: {other:?}"),
        }
    }
}

/// A connection that is logged in.
#[derive(Debug)]
pub struct Session {
    stream: TcpStream,
    transport: Transport,
    /// Decrypted and not read yet.
    input: Vec<u8>,
    pub logged_in: LoggedIn,
}

fn connect(target: &Target) -> TcpStream {
    let host = &target.hosts[0];
    let address = if host.name == "localhost" { "127.0.0.1" } else { &host.name };
    let stream = TcpStream::connect((address, host.port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Logs in at the first host; localhost is 127.0.0.1.
pub fn login(target: &Target, application_name: &str) -> Result<Session, Failure> {
    let mut stream = connect(target);
    let (mut out, mut input) = (Vec::new(), Vec::new());
    let mut transport = Transport::Plain;
    if let Some(negotiation) = Negotiation::new(&target.tls, &target.hosts[0].name) {
        negotiation.start(&mut out);
        stream.write_all(&out).unwrap();
        let mut answer = [0; 64];
        let length = stream.read(&mut answer).unwrap();
        transport = negotiation.answer(&answer[..length]).map_err(Failure::Tls)?;
        while transport.is_handshaking() {
            send(&mut stream, &mut transport, &[]);
            receive(&mut stream, &mut transport, &mut input)?;
        }
    }
    let mut login = Login::new(target, application_name, Version::V3_2);
    out.clear();
    login.start(&mut out);
    loop {
        send(&mut stream, &mut transport, &out);
        out.clear();
        receive(&mut stream, &mut transport, &mut input)?;
        let (taken, logged_in) = login.feed(&input, &mut out).map_err(Failure::Login)?;
        input.drain(..taken);
        if let Some(logged_in) = logged_in {
            return Ok(Session { stream, transport, input, logged_in });
        }
    }
}

fn send(stream: &mut TcpStream, transport: &mut Transport, plaintext: &[u8]) {
    let mut records = Vec::new();
    transport.drain(&mut records);
    transport.encrypt(plaintext, &mut records);
    stream.write_all(&records).unwrap();
}

/// Small reads, so that records and messages come in parts.
fn receive(stream: &mut TcpStream, transport: &mut Transport, input: &mut Vec<u8>) -> Result<(), Failure> {
    let mut chunk = [0; 50];
    let length = stream.read(&mut chunk).unwrap();
    if length == 0 {
        return Err(Failure::Closed);
    }
    let result = transport.decrypt(&chunk[..length], input);
    if result.is_err() {
        // The alert that tells the server why; it may be gone already.
        let mut records = Vec::new();
        transport.drain(&mut records);
        let _ = stream.write_all(&records);
    }
    result.map_err(Failure::Tls)
}

impl Session {
    pub fn is_encrypted(&self) -> bool {
        !self.transport.is_plain()
    }

    pub fn parameter(&self, name: &str) -> &str {
        let found = self.logged_in.parameters.iter().find(|(known, _)| **known == *name.as_bytes());
        std::str::from_utf8(&found.expect("reported").1).unwrap()
    }

    /// The bodies of the DataRows that a simple query returns, or the SQLSTATE of its error.
    pub fn rows(&mut self, sql: &str) -> Result<Vec<Vec<u8>>, String> {
        let length = u32::try_from(sql.len() + 5).unwrap().to_be_bytes();
        send(&mut self.stream, &mut self.transport, &[b"Q", &length[..], sql.as_bytes(), b"\0"].concat());
        let mut rows = Vec::new();
        let mut failed = None;
        loop {
            while let Some((kind, body)) = self.message() {
                match kind {
                    b'D' => rows.push(body),
                    b'E' => failed = Some(weir::sidecar::login::ServerError::parse(&body).code().to_owned()),
                    b'Z' => return failed.map_or(Ok(rows), Err),
                    _ => {}
                }
            }
            receive(&mut self.stream, &mut self.transport, &mut self.input).unwrap();
        }
    }

    /// The first column of the only row, as text.
    pub fn value(&mut self, sql: &str) -> String {
        let rows = self.rows(sql).unwrap();
        assert_eq!(rows.len(), 1, "{sql}");
        String::from_utf8(rows[0][6..].to_vec()).unwrap()
    }

    fn message(&mut self) -> Option<(u8, Vec<u8>)> {
        let length = u32::from_be_bytes(self.input.get(1..5)?.try_into().unwrap());
        let end = 1 + usize::try_from(length).unwrap();
        let body = self.input.get(5..end)?.to_vec();
        let kind = self.input[0];
        self.input.drain(..end);
        Some((kind, body))
    }

    /// Terminate, then waits for EOF.
    pub fn end(mut self) {
        let mut records = Vec::new();
        self.transport.encrypt(&[b'X', 0, 0, 0, 4], &mut records);
        self.transport.close(&mut records);
        self.stream.write_all(&records).unwrap();
        let mut rest = Vec::new();
        // Some TLS servers answer close_notify with a reset.
        let _ = self.stream.read_to_end(&mut rest);
    }
}
