//! What a journal's bytes tell: a fold over records, without I/O.

use std::cmp::Ordering;

use super::record::{Read, decode, encode};
use super::{Entry, SettingsText, Taken};
use crate::policy::budget::Connections;
use crate::policy::budget::exchange::Fence;
use crate::sidecar::charge::{Attempt, Backend, BootId, Left};

/// Unknown records that are carried over; a journal with more of them is not one.
const UNKNOWN_MAX: usize = 64 * 1024;

/// What a journal tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct History {
    /// The last boot, and the kernel's boot that it ran under. `None` in a new journal.
    pub last_boot: Option<(BootId, [u8; 16])>,
    /// The highest that was taken; nothing below it is ever taken again.
    pub fence: Option<Fence>,
    /// The last one. Records without a grant leave it as it was.
    pub grant: Option<Connections>,
    /// The last ones, likewise.
    pub settings: Option<SettingsText>,
    /// Those whose server is known, in the order in which it became known, then the others in the order in which they began.
    attempts: Vec<Left>,
    /// Why parts of it could not be read.
    pub damage: Option<Damage>,
    /// Records of kinds that this build does not know, as they are.
    unknown: Vec<u8>,
}

/// Why a history may lack attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Damage {
    /// A record is broken and others follow it, from this offset on unread. (A broken end is none: nobody acted upon it.)
    Broken {
        /// In bytes.
        offset: usize,
    },
    /// A newer build wrote records that this one must not guess at.
    Newer,
    /// More records of unknown kinds than can be carried over.
    TooManyUnknown,
    /// An earlier boot found it damaged.
    Earlier,
}

impl History {
    /// Reads all records up to the first that can't be read. Also returns how many bytes are whole records.
    pub(super) fn read(bytes: &[u8]) -> (Self, usize) {
        let mut history = Self::default();
        let mut offset = 0;
        while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
            match decode(rest) {
                Read::Entry { entry, length } => {
                    history.apply(&entry);
                    offset += length;
                }
                Read::Unknown { raw, known_kind } => {
                    if known_kind {
                        history.damage = Some(Damage::Newer);
                    }
                    if history.unknown.len() + raw.len() > UNKNOWN_MAX {
                        history.damage = Some(Damage::TooManyUnknown);
                    } else {
                        history.unknown.extend_from_slice(raw);
                    }
                    offset += raw.len();
                }
                // What was never written whole, by a process that ended or a disk that lost its power: the start of a record, zeros,
                // or anything. Nobody acted upon it. Where a record can be read further on, something that was written is broken.
                Read::Broken if !(1..rest.len()).any(|at| is_record(rest.get(at..))) => break,
                Read::Broken => {
                    history.damage = Some(Damage::Broken { offset });
                    break;
                }
            }
        }
        (history, offset)
    }

    /// Attempts without an end: those whose server is known, in the order in which it became known, then the others in the order
    /// in which they began.
    pub fn left(&self) -> impl Iterator<Item = &Left> {
        self.attempts.iter()
    }

    pub(super) fn apply(&mut self, entry: &Entry) {
        match *entry {
            Entry::Taken(Taken { fence, grant, ref settings }) => {
                // One that was overtaken on its way to the file was not taken; one that is there again undoes no end.
                let order = Some(fence).cmp(&self.fence);
                self.grant = match order {
                    Ordering::Less => self.grant,
                    Ordering::Equal => [grant, self.grant].into_iter().flatten().min(),
                    Ordering::Greater => grant.or(self.grant),
                };
                if order.is_ge() && settings.is_some() {
                    self.settings.clone_from(settings);
                }
                self.fence = self.fence.max(Some(fence));
            }
            Entry::Boot { kernel_boot, boot } => self.last_boot = Some((boot, kernel_boot)),
            Entry::Begin { attempt, address } => {
                self.remove(attempt);
                self.attempts.push(Left { attempt, address, backend: None, server: None });
            }
            Entry::Backend { attempt, pid } => {
                if let Some(left) = self.attempts.iter_mut().find(|left| left.attempt == attempt) {
                    left.backend = Some(Backend { pid, started: None });
                }
            }
            Entry::Identified { attempt, incarnation, backend_started } => {
                if let Some(mut left) = self.remove(attempt) {
                    left.server = Some(incarnation);
                    if let Some(backend) = &mut left.backend {
                        backend.started = Some(backend_started);
                    }
                    let known = self.attempts.partition_point(|left| left.server.is_some());
                    self.attempts.insert(known, left);
                }
            }
            Entry::End { attempt } => drop(self.remove(attempt)),
            Entry::Damaged => self.damage = self.damage.or(Some(Damage::Earlier)),
        }
    }

    fn remove(&mut self, attempt: Attempt) -> Option<Left> {
        let at = self.attempts.iter().position(|left| left.attempt == attempt)?;
        Some(self.attempts.remove(at))
    }

    /// The shortest journal that tells the same.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = self.unknown.clone();
        if self.damage.is_some() {
            encode(&Entry::Damaged, &mut out);
        }
        if let Some((boot, kernel_boot)) = self.last_boot {
            encode(&Entry::Boot { kernel_boot, boot }, &mut out);
        }
        if let Some(fence) = self.fence {
            let taken = Taken { fence, grant: self.grant, settings: self.settings.clone() };
            encode(&Entry::Taken(taken), &mut out);
        }
        for left in self.left() {
            let attempt = left.attempt;
            encode(&Entry::Begin { attempt, address: left.address }, &mut out);
            let backend = left.backend.map(|backend| Entry::Backend { attempt, pid: backend.pid });
            let started = left.backend.and_then(|backend| backend.started);
            let identified = left.server.map(|incarnation| Entry::Identified {
                attempt,
                incarnation,
                backend_started: started.unwrap_or_default(),
            });
            // Read before its backend, a record of the server says nothing about the backend's start.
            let order = if started.is_some() { [backend, identified] } else { [identified, backend] };
            order.iter().flatten().for_each(|entry| encode(entry, &mut out));
        }
        out
    }
}

fn is_record(bytes: Option<&[u8]>) -> bool {
    bytes.is_some_and(|bytes| matches!(decode(bytes), Read::Entry { .. } | Read::Unknown { .. }))
}
