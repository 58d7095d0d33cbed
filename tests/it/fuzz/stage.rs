//! Several clients at one server or pooler, driven from one thread: whoever acts, all are listened to.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::heard::{Heard, heard};
use crate::owed::Owed;
use crate::raw::{Message, Raw};
use crate::script::{Leave, Sending};

/// What is said by the end of the stream.
pub const END: &str = "end of stream";

/// Pieces that a step may be cut into; the rest goes at once.
const PIECES_MAX: usize = 64;

/// Where clients connect to.
#[derive(Clone, Debug)]
pub struct Address {
    pub port: u16,
    pub user: String,
    pub database: String,
}

/// One session of a client.
pub struct Client {
    stream: Option<TcpStream>,
    input: Vec<u8>,
    kept: Kept,
    pub owed: Owed,
    /// Answers and notices in their order.
    pub said: Vec<String>,
    /// The last value of each reported parameter.
    pub statuses: BTreeMap<String, String>,
    pub notified: Vec<String>,
}

/// What is held back.
#[derive(Default)]
struct Kept {
    /// From the border before the first message that was not sent completely.
    bytes: Vec<u8>,
    letters: Vec<u8>,
    /// Of the bytes.
    sent: usize,
}

/// A wait for what did not come.
#[derive(Debug)]
pub struct TimedOut;

#[derive(Default)]
pub struct Seat {
    pub client: Option<Client>,
    /// BackendKeyData of the last session: a cancel request may come late.
    key: Vec<u8>,
}

pub struct Stage {
    pub address: Address,
    pub seats: Vec<Seat>,
}

impl Stage {
    pub fn new(address: Address, clients: usize) -> Self {
        Self { address, seats: (0..clients).map(|_| Seat::default()).collect() }
    }

    pub fn log_in(&mut self, who: usize, parameters: &[(String, String)]) -> Result<(), Message> {
        let Address { port, user, database } = &self.address;
        let parameters: Vec<_> = parameters.iter().map(|(name, value)| (&**name, &**value)).collect();
        let raw = Raw::log_in_to(*port, user, database, &parameters)?;
        raw.stream.set_nonblocking(true).unwrap();
        let client = Client {
            stream: Some(raw.stream),
            input: Vec::new(),
            kept: Kept::default(),
            owed: Owed::default(),
            said: Vec::new(),
            statuses: raw.parameters.into_iter().collect(),
            notified: Vec::new(),
        };
        self.seats[who] = Seat { client: Some(client), key: raw.key };
        Ok(())
    }

    /// Returns once the request was passed on: the other side closes the connection then.
    pub fn cancel(&self, whom: usize) {
        if self.seats[whom].key.is_empty() {
            return;
        }
        let mut stream = Raw::connect(self.address.port);
        let _ = stream.write_all(&[&[0, 0, 0, 16, 4, 0xd2, 0x16, 0x2e][..], &self.seats[whom].key].concat());
        let _ = stream.read(&mut [0]);
    }

    pub fn send(&mut self, who: usize, sending: &Sending) {
        let Some(client) = &mut self.seats[who].client else { return };
        let Kept { mut bytes, mut letters, sent } = std::mem::take(&mut client.kept);
        for message in &sending.messages {
            bytes.extend(message.bytes());
            letters.push(message.letter());
        }
        let end = bytes.len().saturating_sub(sending.kept).max(sent);
        let (whole, border) = whole_messages(&bytes[..end]);
        letters.drain(..whole).for_each(|letter| client.owed.say(letter));
        client.kept = Kept { bytes: bytes[border..].to_vec(), letters, sent: end - border };
        let mut rest = &bytes[sent..end];
        for piece in sending.cuts.iter().cycle().take(PIECES_MAX) {
            let (now, later) = rest.split_at((*piece).min(rest.len()));
            self.write(who, now);
            if later.is_empty() {
                return;
            }
            rest = later;
            // So that the other side has a chance to read what came until now.
            thread::yield_now();
            self.listen(Duration::ZERO);
        }
        self.write(who, rest);
    }

    /// What can't be written because the other side is gone shows in what is heard.
    fn write(&mut self, who: usize, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Some(stream) = self.seats[who].client.as_mut().and_then(|client| client.stream.as_mut()) else {
                return;
            };
            match stream.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.listen(Duration::from_millis(1)),
                Err(_) => return,
            }
        }
    }

    /// Ends a session; a goodbye with nothing owed is answered by the end of the stream, which is awaited.
    pub fn leave(&mut self, who: usize, how: Leave, patience: Duration) -> Result<Option<Client>, TimedOut> {
        let Some(client) = &self.seats[who].client else { return Ok(None) };
        // While it copies in, PostgreSQL 12 takes a goodbye for an error in the data.
        let owed = &client.owed;
        let quiet = !client.halfway() && !owed.owes() && !owed.open() && !owed.copying();
        match how {
            Leave::Goodbye => {
                self.write(who, b"X\0\0\0\x04");
                if quiet {
                    self.until(patience, |stage| stage.seats[who].client.as_ref().is_none_or(Client::ended))?;
                }
            }
            Leave::Close => {
                let _ = client.stream.as_ref().map(|stream| stream.shutdown(Shutdown::Write));
                self.listen(Duration::ZERO);
            }
            Leave::Reset => {
                self.listen(Duration::ZERO);
                let stream = self.seats[who].client.as_ref().and_then(|client| client.stream.as_ref());
                let _ = stream.map(|stream| rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)));
            }
        }
        let client = self.seats[who].client.take();
        Ok(client.map(|client| Client { stream: None, ..client }))
    }

    /// Listens until `done`.
    pub fn until(&mut self, patience: Duration, mut done: impl FnMut(&Self) -> bool) -> Result<(), TimedOut> {
        let end = Instant::now() + patience;
        while !done(self) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(TimedOut);
            }
            self.listen(left);
        }
        Ok(())
    }

    /// Waits until somebody says something, and takes all that is there.
    fn listen(&mut self, most: Duration) {
        let clients = || self.seats.iter().filter_map(|seat| seat.client.as_ref()?.stream.as_ref());
        let mut fds: Vec<_> = clients().map(|stream| PollFd::new(stream, PollFlags::IN)).collect();
        if fds.is_empty() {
            return;
        }
        let most = Timespec::try_from(most).unwrap();
        let _ = poll(&mut fds, Some(&most));
        let ready: Vec<_> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let clients = self.seats.iter_mut().filter_map(|seat| seat.client.as_mut()).filter(|client| !client.ended());
        clients.zip(ready).filter(|(_, ready)| *ready).for_each(|(client, _)| client.read());
    }
}

impl Client {
    pub fn ended(&self) -> bool {
        self.stream.is_none()
    }

    /// Whether a message was sent in part.
    pub fn halfway(&self) -> bool {
        !self.kept.bytes.is_empty()
    }

    fn read(&mut self) {
        let mut buffer = [0; 16 * 1024];
        let Some(stream) = &mut self.stream else { return };
        match stream.read(&mut buffer) {
            Ok(0) => self.end(),
            Ok(length) => {
                self.input.extend(&buffer[..length]);
                self.take();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.end(),
        }
    }

    fn end(&mut self) {
        self.stream = None;
        self.said.push(END.to_owned());
    }

    fn take(&mut self) {
        let mut at = 0;
        while let Some(length) = message_length(&self.input[at..]).filter(|length| at + length <= self.input.len()) {
            let message = Message { kind: self.input[at], body: self.input[at + 5..at + length].to_vec() };
            at += length;
            self.owed.hear(message.kind, message.body.first().copied());
            match heard(&message) {
                Heard::Said(said) => self.said.push(said),
                Heard::Status(name, value) => drop(self.statuses.insert(name, value)),
                Heard::Notified(what) => self.notified.push(what),
            }
        }
        self.input.drain(..at);
    }
}

fn message_length(bytes: &[u8]) -> Option<usize> {
    Some(u32::from_be_bytes(bytes.get(1..5)?.try_into().unwrap()) as usize + 1)
}

/// How many whole messages these are, and where they end.
fn whole_messages(bytes: &[u8]) -> (usize, usize) {
    let (mut whole, mut border) = (0, 0);
    while let Some(length) = message_length(&bytes[border..]).filter(|length| border + length <= bytes.len()) {
        whole += 1;
        border += length;
    }
    (whole, border)
}
