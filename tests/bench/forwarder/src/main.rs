//! `weir-bench-forwarder LISTEN UPSTREAM`: each connection gets one of its own to UPSTREAM, and bytes go both ways.
//!
//! The floor to measure poolers against, so its loop is as the sidecar's: one thread, a socket enters epoll once and edge-triggered,
//! a short read means that the socket is empty, and all reads go through one buffer. It ends when its input does.

use std::io::{self, Read as _};
use std::net::{TcpListener, TcpStream};
use std::{env, process, thread};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

const BUFFER: usize = 128 * 1024;
/// Full reads of one socket before others get their turn.
const TURN: usize = 16;
const LISTENER: u64 = u64::MAX;

/// One direction's source, and what the other side still has to be sent.
struct End {
    socket: TcpStream,
    unsent: Vec<u8>,
    /// Its peer has closed: no further edge will come, so read until the end and not just until a short read.
    closing: bool,
}

/// The client's end and the server's.
type Pair = [End; 2];

struct Closed;

struct Forwarder {
    epoll: OwnedFd,
    listener: TcpListener,
    upstream: String,
    /// An end's token is twice its pair's index, and 1 more for the server's.
    pairs: Vec<Option<Pair>>,
    free: Vec<usize>,
    buffer: Vec<u8>,
}

fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let (Some(listen), Some(upstream)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: weir-bench-forwarder LISTEN UPSTREAM");
        process::exit(2);
    };
    // Whoever started it holds the other end, and lets go of it even when it is killed.
    thread::spawn(|| {
        let _ = io::stdin().read(&mut [0]);
        process::exit(0);
    });
    let listener = TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let (pairs, free, buffer) = (vec![], vec![], vec![0; BUFFER]);
    Forwarder { epoll, listener, upstream, pairs, free, buffer }.run()
}

impl Forwarder {
    fn run(mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(256);
        loop {
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in events.drain(..) {
                let token = event.data.u64();
                if token == LISTENER {
                    self.accept()?;
                } else if let Err(Closed) = self.serve(token, event.flags) {
                    self.close(token);
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        let Ok((client, _)) = self.listener.accept() else { return Ok(()) };
        // Blocks, which on loopback is no wait.
        let server = TcpStream::connect(&self.upstream)?;
        let index = self.free.pop().unwrap_or_else(|| {
            self.pairs.push(None);
            self.pairs.len() - 1
        });
        for (socket, token) in [(&client, token(index, 0)), (&server, token(index, 1))] {
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            self.watch(socket, token, EventFlags::empty(), epoll::add)?;
        }
        self.pairs[index] = Some([client, server].map(|socket| End { socket, unsent: vec![], closing: false }));
        Ok(())
    }

    fn watch<'a>(
        &'a self,
        socket: &'a TcpStream,
        token: u64,
        more: EventFlags,
        how: fn(&'a OwnedFd, &'a TcpStream, EventData, EventFlags) -> rustix::io::Result<()>,
    ) -> io::Result<()> {
        how(
            &self.epoll,
            socket,
            EventData::new_u64(token),
            EventFlags::IN | EventFlags::RDHUP | EventFlags::ET | more,
        )?;
        Ok(())
    }

    fn serve(&mut self, token: u64, flags: EventFlags) -> Result<(), Closed> {
        let (index, from) = place(token);
        if let Some(pair) = &mut self.pairs[index] {
            pair[from].closing |= flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        }
        if flags.contains(EventFlags::OUT) {
            self.flush(index, from)?;
        }
        self.pass(index, from)
    }

    /// Reads one end until it is empty or the other is full.
    fn pass(&mut self, index: usize, from: usize) -> Result<(), Closed> {
        let mut rounds = 0;
        loop {
            // A token of a pair that an earlier event of this turn has closed.
            let Some(pair) = &mut self.pairs[index] else { return Ok(()) };
            if !pair[1 - from].unsent.is_empty() {
                return Ok(());
            }
            let read = match recv(&pair[from].socket, &mut self.buffer[..], RecvFlags::empty()) {
                Ok((_, 0)) => return Err(Closed),
                Ok((_, read)) => read,
                // So the peer was that of a pair whose place this one has.
                Err(Errno::AGAIN) => {
                    pair[from].closing = false;
                    return Ok(());
                }
                Err(_) => return Err(Closed),
            };
            let sent = transmit(&pair[1 - from].socket, &self.buffer[..read])?;
            if sent < read {
                pair[1 - from].unsent.extend_from_slice(&self.buffer[sent..read]);
                return self.interest(index, 1 - from, EventFlags::OUT);
            }
            rounds += 1;
            if read < BUFFER && !pair[from].closing {
                return Ok(());
            }
            if rounds == TURN {
                // Modifying makes an edge of what is still there.
                return self.interest(index, from, EventFlags::empty());
            }
        }
    }

    fn flush(&mut self, index: usize, to: usize) -> Result<(), Closed> {
        let Some(pair) = &mut self.pairs[index] else { return Ok(()) };
        let end = &mut pair[to];
        if end.unsent.is_empty() {
            return Ok(());
        }
        let sent = transmit(&end.socket, &end.unsent)?;
        end.unsent.drain(..sent);
        if end.unsent.is_empty() {
            end.unsent = vec![];
            self.interest(index, to, EventFlags::empty())?;
            return self.pass(index, 1 - to);
        }
        Ok(())
    }

    fn interest(&self, index: usize, end: usize, more: EventFlags) -> Result<(), Closed> {
        let Some(pair) = &self.pairs[index] else { return Ok(()) };
        self.watch(&pair[end].socket, token(index, end), more, epoll::modify).map_err(|_| Closed)
    }

    fn close(&mut self, token: u64) {
        let (index, _) = place(token);
        if self.pairs[index].take().is_some() {
            self.free.push(index);
        }
    }
}

fn transmit(socket: &TcpStream, bytes: &[u8]) -> Result<usize, Closed> {
    match send(socket, bytes, SendFlags::NOSIGNAL) {
        Ok(sent) => Ok(sent),
        Err(Errno::AGAIN) => Ok(0),
        Err(_) => Err(Closed),
    }
}

fn token(index: usize, end: usize) -> u64 {
    (index * 2 + end) as u64
}

fn place(token: u64) -> (usize, usize) {
    let token = usize::try_from(token).unwrap_or(usize::MAX);
    (token / 2, token % 2)
}
