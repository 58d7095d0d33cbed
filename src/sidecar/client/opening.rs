//! The packets before a login: requests for encryption, cancel requests, the start-up packet.

use super::key::Key;
use super::startup::{PACKET_MAX, Startup};
use crate::sidecar::wire::{Refusal, fatal};

const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;

/// Which requests for encryption were answered: each may come once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    tls: bool,
    gss: bool,
}

/// What a packet asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// It is not complete.
    More,
    /// Answer `N`: the hop to us stays in the pod.
    Decline,
    /// Cancel what the client with this key does. No answer: the connection is closed.
    Cancel(Key),
    /// Log in; the packet's length is given, since messages may follow it.
    Login(Box<Startup>, usize),
}

impl Opening {
    /// Reads the packet that `data` starts with; all of it must still be there in the next call after [`Step::More`].
    pub fn feed(&mut self, data: &[u8]) -> Result<Step, Refusal> {
        let Some((head, _)) = data.split_first_chunk::<8>() else {
            // A plain HTTP request or a TLS ClientHello shows in its first bytes.
            return match data.split_first_chunk::<4>() {
                Some((len, _)) => length(*len).map(|_| Step::More),
                None => Ok(Step::More),
            };
        };
        let [a, b, c, d, code @ ..] = *head;
        let len = length([a, b, c, d])?;
        let Some(packet) = data.get(..len) else { return Ok(Step::More) };
        match u32::from_be_bytes(code) {
            SSL_REQUEST if !self.tls => self.decline(data, |opening| &mut opening.tls, "SSL"),
            GSSENC_REQUEST if !self.gss => self.decline(data, |opening| &mut opening.gss, "GSSAPI encryption"),
            CANCEL_REQUEST => Key::read(packet.get(8..).unwrap_or_default())
                .map(Step::Cancel)
                .ok_or_else(|| fatal(*b"08P01", "invalid length of cancel request packet")),
            version => {
                let startup = Startup::read(version, packet.get(8..).unwrap_or_default())?;
                Ok(Step::Login(Box::new(startup), len))
            }
        }
    }

    fn decline(&mut self, data: &[u8], done: fn(&mut Self) -> &mut bool, what: &str) -> Result<Step, Refusal> {
        if data.len() > 8 {
            return Err(fatal(*b"08P01", format!("received unencrypted data after {what} request")).detail(
                "This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.",
            ));
        }
        *done(self) = true;
        Ok(Step::Decline)
    }
}

fn length(bytes: [u8; 4]) -> Result<usize, Refusal> {
    match u32::from_be_bytes(bytes) {
        len @ 8..=PACKET_MAX => Ok(len as usize),
        _ => Err(fatal(*b"08P01", "invalid length of startup packet")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sidecar::wire::put;
    use proptest::prelude::*;

    fn request(code: u32) -> Vec<u8> {
        [8, code].map(u32::to_be_bytes).concat()
    }

    #[test]
    fn each_encryption_is_declined_once() {
        let mut opening = Opening::default();
        assert_eq!(opening.feed(&request(SSL_REQUEST)), Ok(Step::Decline));
        assert_eq!(opening.feed(&request(GSSENC_REQUEST)), Ok(Step::Decline));
        assert_eq!(
            opening.feed(&request(SSL_REQUEST)).unwrap_err().message,
            "unsupported frontend protocol 1234.5679: server supports 3.0 to 3.2"
        );
    }

    #[test]
    fn bytes_behind_a_request_for_encryption_are_an_error() {
        let data = [request(SSL_REQUEST), vec![0]].concat();
        let refusal = Opening::default().feed(&data).unwrap_err();
        assert_eq!(
            (refusal.code(), &*refusal.message),
            ("08P01".into(), "received unencrypted data after SSL request")
        );
    }

    #[test]
    fn what_is_no_postgresql_client_shows_in_four_bytes() {
        for data in
            [&b"GET / HTTP/1.1\r\n"[..], b"GET ", b"\x16\x03\x01\x02", b"\0\0\0\x04", b"\0\0\0\x07", b"\0\0\x27\x11"]
        {
            assert_eq!(Opening::default().feed(data).unwrap_err().message, "invalid length of startup packet");
        }
    }

    #[test]
    fn reads_a_cancel_request() {
        let request = |secret: &[u8]| {
            let mut packet = Vec::new();
            put(&mut packet, |out| {
                out.extend_from_slice(&[CANCEL_REQUEST, 7].map(u32::to_be_bytes).concat());
                out.extend_from_slice(secret);
            });
            packet
        };
        for secret in [&[9; 4][..], &[9; 32], &[9; 1], &[9; 256]] {
            let packet = request(secret);
            let key = Key::read(&packet[8..]).unwrap();
            assert_eq!((key.pid, Opening::default().feed(&packet)), (7, Ok(Step::Cancel(key))));
            assert_eq!(Opening::default().feed(&packet[..packet.len() - 1]), Ok(Step::More));
        }
        for secret in [&[][..], &[9; 257]] {
            assert_eq!(Opening::default().feed(&request(secret)).unwrap_err().code(), "08P01");
        }
    }

    proptest! {
        #[test]
        fn never_panics(data in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Opening::default().feed(&data);
            let mut packet = Vec::new();
            put(&mut packet, |out| out.extend_from_slice(&[&196_608_u32.to_be_bytes()[..], &data].concat()));
            let _ = Opening::default().feed(&packet);
        }

        #[test]
        fn a_part_of_a_good_packet_waits_for_more(at in 0_usize..60) {
            let mut packet = Vec::new();
            let body = b"\0\x03\0\0user\0someone\0database\0shop\0application_name\0tests\0\0";
            put(&mut packet, |out| out.extend_from_slice(body));
            let step = Opening::default().feed(&packet[..at.min(packet.len() - 1)]);
            prop_assert_eq!(step, Ok(Step::More));
        }
    }
}
