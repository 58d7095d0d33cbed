//! Records as bytes: `length u32 | crc u32 | version u8 | kind u8 | body`, numbers big-endian.
//!
//! `length` counts what follows the CRC, which covers the length and everything that follows it. A kind that this build does not
//! know is skipped and kept; a kind that it knows in a version that it does not know is not guessed at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Entry, SettingsText, Taken};
use crate::policy::budget::Connections;
use crate::policy::budget::exchange::{Epoch, Fence, Sequence};
use crate::sidecar::charge::{Attempt, BootId, Incarnation};

/// Of every kind so far.
const VERSION: u8 = 1;
const HEADER: usize = 8;
/// Longest content (version, kind and body). Settings are at most 8 KiB and the rest of ours below 64 bytes; newer kinds get some
/// room.
const CONTENT_MAX: usize = 16 * 1024;

// 2 was a grant alone, and is not used again.
const BOOT: u8 = 1;
const BEGIN: u8 = 3;
const BACKEND: u8 = 4;
const IDENTIFIED: u8 = 5;
const END: u8 = 6;
const DAMAGED: u8 = 7;
const TAKEN: u8 = 8;

/// One record at the front of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read<'a> {
    /// Understood.
    Entry { entry: Entry, length: usize },
    /// Of a kind or version that a later build wrote. `raw` is the record as it is.
    Unknown { raw: &'a [u8], known_kind: bool },
    /// Shorter than it says, or its CRC, its length or its body is wrong.
    Broken,
}

/// The record of `entry`.
pub(super) fn encode(entry: &Entry, out: &mut Vec<u8>) {
    let mut content = vec![VERSION];
    match entry {
        Entry::Boot { kernel_boot, boot } => {
            content.push(BOOT);
            content.extend_from_slice(kernel_boot);
            content.extend_from_slice(&boot.0);
        }
        Entry::Taken(Taken { fence, grant, settings }) => {
            content.push(TAKEN);
            content.extend_from_slice(&fence.epoch.get().to_be_bytes());
            content.extend_from_slice(&fence.sequence.get().to_be_bytes());
            content.push(grant.is_some().into());
            content.extend(grant.iter().flat_map(|grant| grant.get().to_be_bytes()));
            content.push(settings.is_some().into());
            content.extend(settings.iter().flat_map(SettingsText::as_bytes));
        }
        Entry::Begin { attempt, address } => {
            content.push(BEGIN);
            push_attempt(&mut content, *attempt);
            content.extend_from_slice(&address.port().to_be_bytes());
            match address.ip() {
                IpAddr::V4(ip) => push_short(&mut content, &ip.octets()),
                IpAddr::V6(ip) => push_short(&mut content, &ip.octets()),
            }
        }
        Entry::Backend { attempt, pid } => {
            content.push(BACKEND);
            push_attempt(&mut content, *attempt);
            content.extend_from_slice(&pid.to_be_bytes());
        }
        Entry::Identified { attempt, incarnation, backend_started } => {
            content.push(IDENTIFIED);
            push_attempt(&mut content, *attempt);
            for number in [incarnation.system, incarnation.started, *backend_started] {
                content.extend_from_slice(&number.to_be_bytes());
            }
        }
        Entry::End { attempt } => {
            content.push(END);
            push_attempt(&mut content, *attempt);
        }
        Entry::Damaged => content.push(DAMAGED),
    }
    let length = u32::try_from(content.len()).expect("no content is longer than CONTENT_MAX").to_be_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&crc(length, &content).to_be_bytes());
    out.extend_from_slice(&content);
}

/// Reads the record at the front of `bytes`, which is not empty.
pub(super) fn decode(bytes: &[u8]) -> Read<'_> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else { return Read::Broken };
    let [l0, l1, l2, l3, c0, c1, c2, c3] = *header;
    let length = [l0, l1, l2, l3];
    let Ok(count) = usize::try_from(u32::from_be_bytes(length)) else { return Read::Broken };
    if !(2..=CONTENT_MAX).contains(&count) {
        return Read::Broken;
    }
    let Some(content) = rest.get(..count) else { return Read::Broken };
    if crc(length, content) != u32::from_be_bytes([c0, c1, c2, c3]) {
        return Read::Broken;
    }
    let mut fields = Fields(content);
    let (Some(version), Some(kind)) = (fields.byte(), fields.byte()) else { return Read::Broken };
    let known_kind = matches!(kind, BOOT | BEGIN..=TAKEN);
    if !known_kind || version != VERSION {
        return Read::Unknown { raw: bytes.get(..HEADER + count).unwrap_or_default(), known_kind };
    }
    match fields.entry(kind).filter(|_| fields.0.is_empty()) {
        Some(entry) => Read::Entry { entry, length: HEADER + count },
        None => Read::Broken,
    }
}

fn crc(length: [u8; 4], content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(content);
    hasher.finalize()
}

fn push_attempt(content: &mut Vec<u8>, attempt: Attempt) {
    content.extend_from_slice(&attempt.boot.0);
    content.extend_from_slice(&attempt.number.to_be_bytes());
}

fn push_short(content: &mut Vec<u8>, bytes: &[u8]) {
    content.push(u8::try_from(bytes.len()).expect("an address is at most 16 bytes long"));
    content.extend_from_slice(bytes);
}

/// What is left of a record's content.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn entry(&mut self, kind: u8) -> Option<Entry> {
        Some(match kind {
            BOOT => Entry::Boot { kernel_boot: self.chunk()?, boot: BootId(self.chunk()?) },
            TAKEN => Entry::Taken(Taken {
                fence: Fence {
                    epoch: Epoch::new(u64::from_be_bytes(self.chunk()?))?,
                    sequence: Sequence::new(u64::from_be_bytes(self.chunk()?))?,
                },
                grant: match self.byte()? {
                    0 => None,
                    1 => Some(Connections::new(u32::from_be_bytes(self.chunk()?))?),
                    _ => return None,
                },
                settings: match self.byte()? {
                    0 => None,
                    1 => Some(SettingsText::new(std::mem::take(&mut self.0))?),
                    _ => return None,
                },
            }),
            BEGIN => {
                let attempt = self.attempt()?;
                let port = u16::from_be_bytes(self.chunk()?);
                let ip = match self.short()? {
                    ip if ip.len() == 4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(ip).ok()?)),
                    ip => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(ip).ok()?)),
                };
                Entry::Begin { attempt, address: SocketAddr::new(ip, port) }
            }
            BACKEND => Entry::Backend { attempt: self.attempt()?, pid: i32::from_be_bytes(self.chunk()?) },
            IDENTIFIED => Entry::Identified {
                attempt: self.attempt()?,
                incarnation: Incarnation {
                    system: u64::from_be_bytes(self.chunk()?),
                    started: u64::from_be_bytes(self.chunk()?),
                },
                backend_started: u64::from_be_bytes(self.chunk()?),
            },
            END => Entry::End { attempt: self.attempt()? },
            DAMAGED => Entry::Damaged,
            _ => return None,
        })
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*chunk)
    }

    fn short(&mut self) -> Option<&[u8]> {
        let length = self.byte()?.into();
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn attempt(&mut self) -> Option<Attempt> {
        Some(Attempt { boot: BootId(self.chunk()?), number: u64::from_be_bytes(self.chunk()?) })
    }
}
