//! The smallest client of PostgreSQL's protocol that can be timed: no library's work is measured along.

#![allow(dead_code, reason = "each benchmark uses its own part")]

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A logged-in client.
pub struct Client {
    stream: BufReader<TcpStream>,
}

/// Sends a StartupMessage and then a query; the time from the first byte sent to the first row received. The TCP connection exists
/// before, and is closed after.
pub fn acquire(address: SocketAddr, user: &str) -> Duration {
    let mut client = Client::connect(address);
    let start = Instant::now();
    client.log_in(user);
    client.send(b'Q', b"select pg_backend_pid()\0");
    client.await_message(b'D');
    let elapsed = start.elapsed();
    client.await_message(b'Z');
    client.send(b'X', b"");
    elapsed
}

impl Client {
    /// A client that is logged in to the database of its own name.
    pub fn open(address: SocketAddr, user: &str) -> Self {
        let mut client = Self::connect(address);
        client.log_in(user);
        client
    }

    /// Runs a query to its end.
    pub fn query(&mut self, text: &str) {
        self.send(b'Q', &[text.as_bytes(), b"\0"].concat());
        self.await_message(b'Z');
    }

    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("somebody listens");
        stream.set_nodelay(true).expect("TCP has it");
        Self { stream: BufReader::new(stream) }
    }

    fn log_in(&mut self, user: &str) {
        let parameters = format!("user\0{user}\0database\0{user}\0\0");
        let length = u32::try_from(8 + parameters.len()).expect("it is short");
        let message = [&length.to_be_bytes(), &[0, 3, 0, 0], parameters.as_bytes()].concat();
        self.stream.get_mut().write_all(&message).expect("the connection is open");
        self.await_message(b'Z');
    }

    fn send(&mut self, kind: u8, content: &[u8]) {
        let length = u32::try_from(4 + content.len()).expect("it is short");
        let message = [&[kind], &length.to_be_bytes()[..], content].concat();
        self.stream.get_mut().write_all(&message).expect("the connection is open");
    }

    /// Reads up to and including the first message of this kind.
    fn await_message(&mut self, wanted: u8) {
        loop {
            let mut head = [0; 5];
            self.stream.read_exact(&mut head).expect("the connection is open");
            let [kind, length @ ..] = head;
            let mut content = vec![0; u32::from_be_bytes(length) as usize - 4];
            self.stream.read_exact(&mut content).expect("the connection is open");
            assert!(kind != b'E', "{}", String::from_utf8_lossy(&content));
            if kind == wanted {
                return;
            }
        }
    }
}
