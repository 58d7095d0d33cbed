//! One message of a client on its way to the server.

use super::naming::Step;
use super::{Fed, Tracked};

/// The message begins at `fed.to` in `data`; what is sent instead of it, and before it, goes to `out`.
pub(super) struct Passing<'a, 't> {
    pub data: &'a [u8],
    pub fed: &'a mut Fed,
    pub tracked: &'a mut Tracked<'t>,
    pub out: &'a mut Vec<u8>,
}

impl<'a> Passing<'a, '_> {
    /// What is there of its body, and of what follows.
    pub fn body(&self) -> &'a [u8] {
        self.data.get(self.fed.to + 5..).unwrap_or_default()
    }

    /// What was passed so far goes first.
    pub fn flush(&mut self) {
        self.fed.flush(self.data, self.out);
    }

    /// Puts a message of ours, or the beginning of the client's of which `left` bytes follow as they are.
    pub fn put(&mut self, kind: u8, parts: &[&[u8]], left: u32) {
        self.flush();
        let ours: usize = parts.iter().map(|part| part.len()).sum();
        let len = left.saturating_add(u32::try_from(ours + 4).unwrap_or(u32::MAX));
        self.out.push(kind);
        self.out.extend_from_slice(&len.to_be_bytes());
        for part in parts {
            self.out.extend_from_slice(part);
        }
    }

    /// The header of the client's message and so many bytes of its body were replaced by what was put last.
    pub fn replaced(&mut self, bytes: usize, left: u32) -> Step {
        self.fed.skip(5 + bytes);
        Step::Replaced(left)
    }
}
