//! One socket in epoll: edge-triggered, registered once, re-armed only while a write did not fit.

use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::{setsockopt_impl, sockopt_impl};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown, sockopt};

use super::open::millis;

/// Larger than a row of 100 kB, so that it passes in two or three reads.
pub const BUFFER: usize = 128 * 1024;

pub const GONE: EventFlags = EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR);
const ALWAYS: EventFlags = EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::ET);

sockopt_impl!(ReceiveLowWater, SetOnly, libc::SOL_SOCKET, libc::SO_RCVLOWAT, usize);

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The other side closed it: all that it sent has been read.
    End,
    /// Reset, timed out, or otherwise broken.
    Broken,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about one socket")]
pub struct Peer {
    fd: OwnedFd,
    pub token: u64,
    /// An edge was seen and not yet read down to a short read.
    pub readable: bool,
    /// The other side has closed: read until the end.
    pub closing: bool,
    /// What is held was never looked at: the next read gives it without asking the socket.
    fresh: bool,
    /// SO_RCVLOWAT is above 1.
    low_water: bool,
    /// A write has found the connection reset: then the kernel gives an end to readers too, which is none of the other side's.
    reset: bool,
    /// What came before, and must be seen together with what comes next.
    held: Vec<u8>,
    /// What did not fit in the socket. While it is not empty, the other end of the pair is not read.
    unsent: Vec<u8>,
}

impl Peer {
    pub fn new(epoll: &OwnedFd, fd: OwnedFd, token: u64, connecting: bool) -> rustix::io::Result<Self> {
        let more = if connecting { EventFlags::OUT } else { EventFlags::empty() };
        epoll::add(epoll, &fd, EventData::new_u64(token), ALWAYS | more)?;
        Ok(Self {
            fd,
            token,
            readable: false,
            closing: false,
            fresh: false,
            low_water: false,
            reset: false,
            held: Vec::new(),
            unsent: Vec::new(),
        })
    }

    pub fn note(&mut self, flags: EventFlags) {
        self.readable |= flags.intersects(EventFlags::IN | GONE);
        self.closing |= flags.intersects(GONE);
    }

    /// What was held and what has come, at the start of `buffer`, which has [`BUFFER`] bytes; 0 when nothing has come.
    /// A short read has emptied the socket: the next byte is a new edge, so there is no second read to see EAGAIN.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Gone> {
        let held = self.held.len();
        let Some((front, space)) = buffer.split_at_mut_checked(held) else { return Err(Gone::Broken) };
        if self.fresh {
            self.fresh = false;
            front.copy_from_slice(&self.held);
            self.held = Vec::new();
            return Ok(held);
        }
        let n = self.receive(space)?;
        if n > 0 && held > 0 {
            front.copy_from_slice(&self.held);
            self.held = Vec::new();
        }
        Ok(if n > 0 { held + n } else { 0 })
    }

    /// As [`Peer::read`], without what was held: for encrypted connections, whose held bytes are decrypted ones.
    pub fn receive(&mut self, space: &mut [u8]) -> Result<usize, Gone> {
        if space.is_empty() {
            return Err(Gone::Broken);
        }
        let room = space.len();
        match recv(&self.fd, space, RecvFlags::empty()) {
            Ok((_, 0)) if self.reset => Err(Gone::Broken),
            Ok((_, 0)) => Err(Gone::End),
            Ok((_, n)) => {
                self.readable = n == room || self.closing;
                Ok(n)
            }
            // No end either: the hint was about an earlier owner of the slot.
            Err(Errno::AGAIN) => {
                (self.readable, self.closing) = (false, false);
                Ok(0)
            }
            Err(Errno::INTR) => Ok(0),
            Err(_) => Err(Gone::Broken),
        }
    }

    /// The first bytes that wait, without taking them, those that are held included: at most as many as `first` has room for.
    pub fn peek(&mut self, first: &mut [u8]) -> Result<usize, Gone> {
        let n = self.held.len().min(first.len());
        let (front, room) = first.split_at_mut(n);
        front.copy_from_slice(self.held.get(..n).unwrap_or_default());
        if room.is_empty() {
            return Ok(n);
        }
        match recv(&self.fd, room, RecvFlags::PEEK) {
            Ok((_, 0)) => Err(Gone::End),
            Ok((_, more)) => Ok(n + more),
            Err(Errno::AGAIN) => {
                (self.readable, self.closing) = (self.fresh, false);
                Ok(n)
            }
            Err(Errno::INTR) => Ok(n),
            Err(_) => Err(Gone::Broken),
        }
    }

    /// Whether the connection is reset, or broken otherwise, also while what came before that is unread: a read would tell only then.
    pub fn broken(&self) -> bool {
        let mut fd = [PollFd::new(&self.fd, PollFlags::empty())];
        poll(&mut fd, Some(&Timespec::default())).is_ok_and(|broken| broken > 0)
    }

    /// Keeps bytes for the next read, which will see them together with what comes.
    pub fn hold(&mut self, rest: &[u8]) {
        if !rest.is_empty() {
            self.held.extend_from_slice(rest);
        }
    }

    /// Keeps bytes that nobody has looked at; they count as having just come.
    pub fn unread(&mut self, rest: &[u8]) {
        if !rest.is_empty() {
            self.held.extend_from_slice(rest);
            (self.fresh, self.readable) = (true, true);
        }
    }

    /// What is held, if nobody has looked at it.
    pub fn fresh(&mut self) -> Option<Vec<u8>> {
        std::mem::take(&mut self.fresh).then(|| self.held())
    }

    pub fn held(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// A write has failed: read on to the end.
    pub fn read_to_end(&mut self) {
        self.low_water(0);
        self.unsent = Vec::new();
        (self.readable, self.closing) = (true, true);
    }

    pub fn unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    pub fn write(&mut self, epoll: &OwnedFd, data: &[u8]) -> Result<(), Gone> {
        if data.is_empty() {
            return Ok(());
        }
        if self.unsent() {
            self.unsent.extend_from_slice(data);
            return Ok(());
        }
        let sent = self.send(data)?;
        if let Some(rest) = data.get(sent..).filter(|rest| !rest.is_empty()) {
            self.unsent.extend_from_slice(rest);
            self.interest(epoll, EventFlags::OUT)?;
        }
        Ok(())
    }

    /// Sends what did not fit before.
    pub fn flush(&mut self, epoll: &OwnedFd) -> Result<(), Gone> {
        let unsent = std::mem::take(&mut self.unsent);
        let sent = self.send(&unsent)?;
        self.unsent = unsent;
        self.unsent.drain(..sent);
        if self.unsent.is_empty() {
            self.unsent = Vec::new();
            self.interest(epoll, EventFlags::empty())?;
        }
        Ok(())
    }

    /// connect() is done: its result, and no more interest in writing.
    pub fn connected(&mut self, epoll: &OwnedFd) -> rustix::io::Result<()> {
        sockopt::socket_error(&self.fd)??;
        self.interest(epoll, EventFlags::empty()).map_err(|_| Errno::IO)
    }

    /// How long sent data may stay unacknowledged.
    pub fn user_timeout(&self, timeout: Duration) {
        let _ = sockopt::set_tcp_user_timeout(&self.fd, millis(timeout));
    }

    /// No more from us, what did not fit included; the other side's end is still to come.
    pub fn finish(&mut self) {
        self.low_water(0);
        self.unsent = Vec::new();
        let _ = shutdown(&self.fd, Shutdown::Write);
    }

    /// Wakes us only once so many bytes are there. Never more than what the other side owes for sure, or it would stall.
    pub fn low_water(&mut self, missing: usize) {
        let wanted = missing > 0;
        if (wanted || self.low_water) && setsockopt(&self.fd, ReceiveLowWater, &missing.clamp(1, BUFFER)).is_ok() {
            self.low_water = wanted;
        }
    }

    fn send(&mut self, data: &[u8]) -> Result<usize, Gone> {
        match send(&self.fd, data, SendFlags::NOSIGNAL) {
            Ok(n) => Ok(n),
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(error) => {
                // Not so a broken pipe: the other side had closed properly before it reset what we sent on.
                self.reset |= error != Errno::PIPE;
                Err(Gone::Broken)
            }
        }
    }

    fn interest(&self, epoll: &OwnedFd, more: EventFlags) -> Result<(), Gone> {
        epoll::modify(epoll, &self.fd, EventData::new_u64(self.token), ALWAYS | more).map_err(|_| Gone::Broken)
    }
}
