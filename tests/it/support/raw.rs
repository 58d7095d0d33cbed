//! A client that speaks the protocol byte by byte, so that a test decides what is sent and when.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

use weir::sidecar::wire::Version;

use super::pooler::PATIENCE;

/// One message of the server.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    pub kind: u8,
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{}:{:?}",
            char::from(self.kind),
            String::from_utf8_lossy(&self.body[..self.body.len().min(200)])
        )
    }
}

pub struct Raw<S = TcpStream> {
    pub stream: S,
    /// BackendKeyData.
    pub key: Vec<u8>,
    /// ParameterStatus values.
    pub parameters: Vec<(String, String)>,
    /// NegotiateProtocolVersion, if it came.
    pub negotiated: Vec<u8>,
}

pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[kind][..], &length, body].concat()
}

pub fn query(sql: &str) -> Vec<u8> {
    message(b'Q', format!("{sql}\0").as_bytes())
}

/// Parse, Bind, Describe, Execute of the unnamed statement, without Sync.
pub fn extended(sql: &str) -> Vec<u8> {
    [
        message(b'P', format!("\0{sql}\0\0\0").as_bytes()),
        message(b'B', &[0, 0, 0, 0, 0, 0, 0, 0]),
        message(b'D', b"P\0"),
        message(b'E', &[0, 0, 0, 0, 0]),
    ]
    .concat()
}

pub fn startup(pairs: &[(&str, &str)]) -> Vec<u8> {
    startup_of(Version::V3_0, pairs)
}

/// As [`startup`], of any version of the protocol.
pub fn startup_of(version: Version, pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut body = version.0.to_be_bytes().to_vec();
    for (name, value) in pairs {
        body.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&length[..], &body].concat()
}

impl Raw {
    pub fn connect(port: u16) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Logs in as `user`, who has a database of that name and needs no password.
    pub fn log_in(port: u16, user: &str, more: &[(&str, &str)]) -> Result<Self, Message> {
        Self::log_in_to(port, user, user, more)
    }

    /// As [`Raw::log_in`], to a database of another name.
    pub fn log_in_to(port: u16, user: &str, database: &str, more: &[(&str, &str)]) -> Result<Self, Message> {
        Self::log_in_by(Self::connect(port), user, database, more)
    }

    /// As [`Raw::log_in`], in any version of the protocol.
    pub fn log_in_with(port: u16, version: Version, user: &str, more: &[(&str, &str)]) -> Result<Self, Message> {
        let packet = startup_of(version, &[&[("user", user), ("database", user)], more].concat());
        Self::log_in_after(Self::connect(port), &packet)
    }

    pub fn cancel(&self, port: u16) {
        let mut stream = Self::connect(port);
        let length = u32::try_from(8 + self.key.len()).unwrap().to_be_bytes();
        stream.write_all(&[&length[..], &[4, 0xd2, 0x16, 0x2e], &self.key].concat()).unwrap();
        let _ = stream.read(&mut [0]);
    }

    /// Ends without a word, by a reset.
    pub fn vanish(self) {
        rustix::net::sockopt::set_socket_linger(&self.stream, Some(std::time::Duration::ZERO)).unwrap();
    }

    pub fn goodbye(mut self) {
        self.send(b"X\0\0\0\x04");
        let _ = self.stream.shutdown(Shutdown::Write);
        let _ = self.stream.read(&mut [0]);
    }
}

impl<S: Read + Write> Raw<S> {
    /// A stream on which nothing was said yet.
    pub fn of(stream: S) -> Self {
        Self { stream, key: Vec::new(), parameters: Vec::new(), negotiated: Vec::new() }
    }

    /// As [`Raw::log_in_to`], over any stream.
    pub fn log_in_by(stream: S, user: &str, database: &str, more: &[(&str, &str)]) -> Result<Self, Message> {
        Self::log_in_after(stream, &startup(&[&[("user", user), ("database", database)], more].concat()))
    }

    fn log_in_after(stream: S, packet: &[u8]) -> Result<Self, Message> {
        let mut raw = Self::of(stream);
        raw.send(packet);
        loop {
            let message = raw.read().unwrap();
            match message.kind {
                b'E' => return Err(message),
                b'K' => raw.key = message.body,
                b'v' => raw.negotiated = message.body,
                b'S' => {
                    let text = String::from_utf8(message.body).unwrap();
                    let mut texts = text.split('\0').map(str::to_owned);
                    raw.parameters.push((texts.next().unwrap(), texts.next().unwrap()));
                }
                b'Z' => return Ok(raw),
                _ => {}
            }
        }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub fn read(&mut self) -> io::Result<Message> {
        let mut header = [0; 5];
        self.stream.read_exact(&mut header)?;
        let length = u32::from_be_bytes(header[1..].try_into().unwrap()) as usize;
        let mut body = vec![0; length - 4];
        self.stream.read_exact(&mut body)?;
        Ok(Message { kind: header[0], body })
    }

    /// All messages up to one of this kind.
    pub fn read_to(&mut self, kind: u8) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            let message = self.read().unwrap_or_else(|error| panic!("{error}, after {messages:?}"));
            messages.push(message.clone());
            if message.kind == kind {
                return messages;
            }
        }
    }

    /// All messages up to the end of the stream.
    pub fn read_to_end(&mut self) -> Vec<Message> {
        std::iter::from_fn(|| self.read().ok()).collect()
    }

    /// The first column of each row of a simple Query.
    pub fn rows(&mut self, sql: &str) -> Vec<String> {
        self.send(&query(sql));
        let mut rows = Vec::new();
        for message in self.read_to(b'Z') {
            match message.kind {
                b'D' => rows.push(first_column(&message.body)),
                b'E' => panic!("{sql}: {message:?}"),
                _ => {}
            }
        }
        rows
    }

    pub fn value(&mut self, sql: &str) -> String {
        let mut rows = self.rows(sql);
        assert_eq!(rows.len(), 1, "{sql}");
        rows.remove(0)
    }
}

pub fn first_column(body: &[u8]) -> String {
    let length = i32::from_be_bytes(body[2..6].try_into().unwrap());
    match usize::try_from(length) {
        Ok(length) => String::from_utf8_lossy(&body[6..6 + length]).into_owned(),
        Err(_) => "NULL".to_owned(),
    }
}

/// A field of an ErrorResponse.
pub fn field(message: &Message, code: u8) -> String {
    let text = message.body.split(|byte| *byte == 0).find(|text| text.first() == Some(&code));
    String::from_utf8_lossy(text.and_then(|text| text.get(1..)).unwrap_or_default()).into_owned()
}
