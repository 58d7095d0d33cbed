//! The one way in which messages are written: `"weir" | version u8 | kind u8 | field...`, and a field is
//! `tag u8 | length u16 | value`.
//!
//! Numbers are big-endian and of fixed width; the fields of a message stand in the order of their tags, each at most once, and the
//! last one ends the message. So there is one sequence of bytes for one message, and nothing to normalise.
//!
//! Fields only ever get added, never change, and a tag is never used again. What a reader must understand gets a tag below
//! [`IGNORABLE`], and a reader that doesn't know it refuses the message; what it may overlook gets one from there on, and is kept
//! as it is ([`Unknown`]).

use super::Refusal;

/// Version of the exchange that this build speaks.
pub const PROTOCOL: u8 = 1;
/// Most bytes of fields that this build does not know, in one message.
pub const UNKNOWN_MAX: usize = 4 * 1024;
/// The first tag that a reader may overlook.
pub(super) const IGNORABLE: u8 = 0x80;
const MAGIC: [u8; 4] = *b"weir";
const HEADER: usize = 6;
const LENGTH: usize = 3;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Hello = 1,
    Discovery = 2,
    Statement = 3,
    Answer = 4,
    Final = 5,
    Look = 6,
    Looked = 7,
}

/// What a field means, in every message: its number, and what to call it in a refusal.
#[derive(Clone, Copy)]
pub(super) struct Tag(u8, &'static str);

pub(super) const POD: Tag = Tag(1, "pod");
pub(super) const BOOT: Tag = Tag(2, "boot");
pub(super) const NONCE: Tag = Tag(3, "nonce");
pub(super) const EPOCH: Tag = Tag(4, "epoch");
pub(super) const SEQUENCE: Tag = Tag(5, "sequence");
pub(super) const POOL: Tag = Tag(6, "pool");
pub(super) const SETTINGS: Tag = Tag(7, "settings");
pub(super) const GRANT: Tag = Tag(8, "grant");
pub(super) const DIGEST: Tag = Tag(9, "digest");
pub(super) const LIMIT: Tag = Tag(10, "limit");
pub(super) const CHARGE: Tag = Tag(11, "charge");
pub(super) const OPEN: Tag = Tag(12, "open");
pub(super) const ACTIVE: Tag = Tag(13, "active");
pub(super) const WAITING: Tag = Tag(14, "waiting");
pub(super) const WAIT: Tag = Tag(15, "wait");
pub(super) const UNCONFIRMED: Tag = Tag(16, "unconfirmed");
pub(super) const INCOMPLETE: Tag = Tag(17, "incomplete");
pub(super) const SPOKEN: Tag = Tag(18, "protocol");
pub(super) const KEYS: Tag = Tag(19, "keys");
pub(super) const UPSTREAM: Tag = Tag(20, "upstream");
pub(super) const BACKENDS: Tag = Tag(21, "backends");
pub(super) const LOOK: Tag = Tag(22, "look");
pub(super) const TIMEOUT: Tag = Tag(23, "timeout");
pub(super) const INVISIBLE: Tag = Tag(24, "invisible");
pub(super) const CUT: Tag = Tag(25, "cut");
pub(super) const ROWS: Tag = Tag(26, "rows");
pub(super) const CHALLENGE: Tag = Tag(27, "challenge");
const LAST: u8 = 27;

/// Fields of newer writers that a reader may overlook, as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Unknown(Vec<u8>);

impl Unknown {
    /// As they stand in the message.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Checks length and header; gives the kind, if it is one of those, and what follows the header.
pub(super) fn open<'a>(bytes: &'a [u8], max: usize, kinds: &[Kind]) -> Result<(Kind, &'a [u8]), Refusal> {
    if bytes.len() > max {
        return Err(Refusal::Oversized);
    }
    let Some(([m0, m1, m2, m3, version, kind], rest)) = bytes.split_first_chunk::<HEADER>() else {
        return Err(Refusal::Malformed("header"));
    };
    if [*m0, *m1, *m2, *m3] != MAGIC {
        return Err(Refusal::Malformed("header"));
    }
    if *version != PROTOCOL {
        return Err(Refusal::UnsupportedVersion);
    }
    let kind = kinds.iter().find(|known| **known as u8 == *kind).ok_or(Refusal::Malformed("kind"))?;
    Ok((*kind, rest))
}

/// A message while it is written.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn new(kind: Kind) -> Self {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&[PROTOCOL, kind as u8]);
        Self(bytes)
    }

    /// Fields come in the order of their tags.
    pub(super) fn field(mut self, tag: Tag, value: &[u8]) -> Self {
        let length = u16::try_from(value.len()).expect("every value has a bound far below 64 KiB");
        self.0.push(tag.0);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(value);
        self
    }

    pub(super) fn optional(self, tag: Tag, value: Option<&[u8]>) -> Self {
        match value {
            Some(value) => self.field(tag, value),
            None => self,
        }
    }

    pub(super) fn finish(mut self, unknown: &Unknown) -> Vec<u8> {
        self.0.extend_from_slice(&unknown.0);
        self.0
    }
}

/// The fields of a message that are still to be read.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    /// The next field, if it is this one.
    pub(super) fn optional(&mut self, tag: Tag) -> Result<Option<&'a [u8]>, Refusal> {
        if self.0.first() != Some(&tag.0) {
            return Ok(None);
        }
        self.next().map(Some).ok_or_else(|| tag.malformed())
    }

    /// The next field, which must be this one, as a type of its own.
    pub(super) fn required<T>(&mut self, tag: Tag, read: impl FnOnce(&'a [u8]) -> Option<T>) -> Result<T, Refusal> {
        self.optional(tag)?.and_then(read).ok_or_else(|| tag.malformed())
    }

    /// What is left when all fields of the message were read.
    pub(super) fn unknown(mut self) -> Result<Unknown, Refusal> {
        let raw = self.0;
        let mut last = 0;
        while let Some(&tag) = self.0.first() {
            if tag <= LAST {
                return Err(Refusal::Malformed("a field is out of order, there twice, or of another kind of message"));
            }
            if tag < IGNORABLE {
                return Err(Refusal::UnsupportedVersion);
            }
            if tag <= last || self.next().is_none() {
                return Err(Refusal::Malformed("unknown fields"));
            }
            last = tag;
        }
        if raw.len() > UNKNOWN_MAX {
            return Err(Refusal::Malformed("unknown fields"));
        }
        Ok(Unknown(raw.to_vec()))
    }

    fn next(&mut self) -> Option<&'a [u8]> {
        let ([_, high, low], rest) = self.0.split_first_chunk::<LENGTH>()?;
        let (value, rest) = rest.split_at_checked(u16::from_be_bytes([*high, *low]).into())?;
        self.0 = rest;
        Some(value)
    }
}

impl Tag {
    pub(super) const fn malformed(self) -> Refusal {
        Refusal::Malformed(self.1)
    }
}

/// Exactly N bytes.
pub(super) fn array<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    value.try_into().ok()
}

/// 0 or 1.
pub(super) fn flag(value: &[u8]) -> Option<bool> {
    match value {
        [0] => Some(false),
        [1] => Some(true),
        _ => None,
    }
}

/// A number of exactly 4 bytes.
pub(super) fn u32(value: &[u8]) -> Option<u32> {
    array(value).map(u32::from_be_bytes)
}

/// A number of exactly 8 bytes.
pub(super) fn u64(value: &[u8]) -> Option<u64> {
    array(value).map(u64::from_be_bytes)
}

/// UTF-8.
pub(super) fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}
