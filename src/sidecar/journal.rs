//! The pod's memory across restarts of the container: a file in an emptyDir that tells the next boot what it inherits.
//!
//! Everything is written before it is acted upon: the attempt before connect(), the pid before the backend is used, what was taken
//! from the operator before it is honoured. So after a crash at any point the file holds at least every backend that PostgreSQL may
//! still have; an end is written afterwards, and one that is missing only makes the next boot wait for a look. Where a record can't
//! be written, the act must not happen: the pool doesn't connect, and says so.
//!
//! Without a budget a record is one write() without a sync: it survives the process, which is what restarts. After a crash of the
//! node the last ones may be missing. Only the file that a boot starts with, the shortest that tells the same, is synced and renamed
//! into place. With a budget others count on what this pod may have, so each record is synced before the act, and an end before
//! anyone counts on it: [`Durability`]. (Until that is done elsewhere, the disk holds up the thread that acts.)
//!
//! A kernel that was booted anew took our sockets with it, and PostgreSQL may not have noticed: what is left stays charged all the
//! same.

mod account;
mod disk;
mod history;
mod record;

use std::fmt;
use std::fs::TryLockError;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use account::Account;
pub use disk::{Directory, Disk, FILE};
pub use history::{Damage, History};

use crate::policy::budget::Connections;
use crate::policy::budget::exchange::{DOCUMENT_MAX, Document, Fence};
use crate::sidecar::charge::{Attempt, BootId, Incarnation};

/// A file that grew past this, and to four times what it was after the last compaction, is compacted while running.
const COMPACT_AT: u64 = 1024 * 1024;
/// Nothing that compacts at 1 MiB comes near this.
const LENGTH_MAX: u64 = 64 * 1024 * 1024;

/// What is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Entry {
    /// A boot began.
    Boot {
        /// /proc/sys/kernel/random/boot_id, 16 bytes.
        kernel_boot: [u8; 16],
        /// Which.
        boot: BootId,
    },
    /// A message of the operator was taken.
    Taken(Taken),
    /// An attempt begins.
    Begin {
        /// Which.
        attempt: Attempt,
        /// Where to.
        address: SocketAddr,
    },
    /// Its backend's process is known.
    Backend {
        /// Which.
        attempt: Attempt,
        /// Never 0.
        pid: i32,
    },
    /// Its server and the backend's start are known.
    Identified {
        /// Which.
        attempt: Attempt,
        /// The server.
        incarnation: Incarnation,
        /// `backend_start`.
        backend_started: u64,
    },
    /// The attempt is proven to cost PostgreSQL nothing any more.
    End {
        /// Which.
        attempt: Attempt,
    },
    /// Something before this could not be read.
    Damaged,
}

/// A message of the operator, which this pod follows from now on: one record, so that no crash parts the fence from what came with
/// it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Taken {
    /// Nothing below it is taken any more.
    pub fence: Fence,
    /// What may be charged; `None` after a discovery: the grant stays.
    pub grant: Option<Connections>,
    /// `None` where they stay.
    pub settings: Option<SettingsText>,
}

/// The text of a settings document, at most [`DOCUMENT_MAX`] bytes. Kept as it was told: another build of the sidecar may know more
/// of it, or less.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SettingsText(Box<[u8]>);

impl SettingsText {
    /// `None` where it is too long to be one.
    pub fn new(text: &[u8]) -> Option<Self> {
        (text.len() <= DOCUMENT_MAX).then(|| Self(text.into()))
    }

    /// What [`Document::read`] may read.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&Document> for SettingsText {
    fn from(document: &Document) -> Self {
        Self(document.as_bytes().into())
    }
}

impl fmt::Debug for SettingsText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// What could not be done with the journal.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The directory is missing.
    #[error("open the journal's directory {path:?}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Another process of the pod uses it.
    #[error("lock the journal's directory {path:?}: another process holds it")]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The file is there and can't be read.
    #[error("read the journal {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file is far longer than a journal gets.
    #[error("read the journal {path:?}: it is too long to be one")]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// Replacing the file by its compacted form failed. The file in use, old or new, has everything.
    #[error("compact the journal {path:?}")]
    Compact {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A record could not be written: do not act.
    #[error("write to the journal {path:?}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// Where an account is journalled.
pub trait Store {
    /// See [`Journal::record`].
    fn record(&mut self, entry: &Entry) -> Result<(), JournalError>;
    /// See [`Journal::endure`].
    fn endure(&mut self) -> Result<(), JournalError>;
    /// See [`Journal::durability`].
    fn durability(&self) -> Durability;
    /// See [`Journal::history`].
    fn history(&self) -> &History;
}

/// In memory, where nothing fails and nothing is lost.
impl Store for History {
    fn record(&mut self, entry: &Entry) -> Result<(), JournalError> {
        self.apply(entry);
        Ok(())
    }

    fn endure(&mut self) -> Result<(), JournalError> {
        Ok(())
    }

    fn durability(&self) -> Durability {
        Durability::Durable
    }

    fn history(&self) -> &History {
        self
    }
}

impl<D: Disk> Store for Journal<D> {
    fn record(&mut self, entry: &Entry) -> Result<(), JournalError> {
        Self::record(self, entry)
    }

    fn endure(&mut self) -> Result<(), JournalError> {
        Self::endure(self)
    }

    fn durability(&self) -> Durability {
        Self::durability(self)
    }

    fn history(&self) -> &History {
        Self::history(self)
    }
}

/// The open file of this boot.
#[derive(Debug)]
pub struct Journal<D: Disk = Directory> {
    disk: D,
    file: D::File,
    history: History,
    /// Up to here the file is whole records.
    length: u64,
    compact_at: u64,
    tail: Tail,
    durability: Durability,
}

/// What a record that was written survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Durability {
    /// The end of the process.
    Buffered,
    /// The loss of power too. A record that is acted upon is synced before the act, on the thread that acts.
    Durable,
}

/// What is behind the last whole record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    Clean,
    /// Perhaps the start of a record that was not written whole.
    Torn,
    /// A sync has failed. What it should have written may be gone, and the next one would not tell: nothing is appended any more,
    /// and a new file must take the place of this one.
    Suspect,
}

impl Journal {
    /// Reads what earlier boots left in `directory`, compacts it, and enters this boot. The directory stays locked until the
    /// journal is dropped.
    pub fn open(directory: &Path, kernel_boot: [u8; 16], boot: BootId) -> Result<(Self, History), JournalError> {
        let disk = Directory::lock(directory).map_err(|error| match error {
            TryLockError::WouldBlock => JournalError::Locked { path: directory.to_owned() },
            TryLockError::Error(source) => JournalError::Directory { path: directory.to_owned(), source },
        })?;
        let path = directory.join(FILE);
        let bytes = match disk.read(LENGTH_MAX + 1) {
            Err(source) => return Err(JournalError::Read { path, source }),
            Ok(bytes) if bytes.len() as u64 > LENGTH_MAX => return Err(JournalError::TooLong { path }),
            Ok(bytes) => bytes,
        };
        Self::resume(disk, &bytes, kernel_boot, boot)
    }
}

impl<D: Disk> Journal<D> {
    /// Goes on from the `bytes` of the file in use.
    fn resume(disk: D, bytes: &[u8], kernel_boot: [u8; 16], boot: BootId) -> Result<(Self, History), JournalError> {
        let (history, _) = History::read(bytes);
        let mut continued = history.clone();
        continued.apply(&Entry::Boot { kernel_boot, boot });
        let failed = |source| JournalError::Compact { path: disk.path().join(FILE), source };
        let (file, length, kept) = rewrite(&disk, &continued).map_err(failed)?;
        kept.map_err(failed)?;
        let journal = Self {
            disk,
            file,
            history: continued,
            length,
            compact_at: COMPACT_AT.max(length * 4),
            tail: Tail::Clean,
            durability: Durability::Buffered,
        };
        Ok((journal, history))
    }

    /// From now on records are [`Durability::Durable`], and so are all before; for good. On an error nothing has changed.
    pub fn endure(&mut self) -> Result<(), JournalError> {
        self.compact()?;
        self.durability = Durability::Durable;
        Ok(())
    }

    /// What a record survives.
    pub const fn durability(&self) -> Durability {
        self.durability
    }

    /// Appends a record. On an error what it announces must not be done. A buffered record is then not in the file; a durable one
    /// may be, until a later record was written.
    pub fn record(&mut self, entry: &Entry) -> Result<(), JournalError> {
        if self.tail == Tail::Suspect {
            self.compact()?;
        }
        let mut bytes = Vec::with_capacity(160);
        record::encode(entry, &mut bytes);
        self.append(&bytes).map_err(|source| JournalError::Write { path: self.disk.path().join(FILE), source })?;
        self.history.apply(entry);
        if self.length >= self.compact_at {
            // A failure leaves a file in use that has everything: try again when it has doubled.
            self.compact_at = self.length * 2;
            let _ = self.compact();
        }
        Ok(())
    }

    /// What it tells now.
    pub const fn history(&self) -> &History {
        &self.history
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.tail == Tail::Torn {
            // Else the next record would follow the torso of one, and never be read.
            self.disk.cut(&self.file, self.length)?;
        }
        self.tail = Tail::Torn;
        if let Err(error) = self.disk.append(&mut self.file, bytes) {
            if self.disk.cut(&self.file, self.length).is_ok() {
                self.tail = Tail::Clean;
            }
            return Err(error);
        }
        if self.durability == Durability::Durable {
            self.tail = Tail::Suspect;
            self.disk.sync(&self.file)?;
        }
        self.tail = Tail::Clean;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Once the new file has its name, it is the file, whatever follows: the old one has none any more.
    fn compact(&mut self) -> Result<(), JournalError> {
        let failed = |source| JournalError::Compact { path: self.disk.path().join(FILE), source };
        let (file, length, kept) = rewrite(&self.disk, &self.history).map_err(failed)?;
        let kept = kept.map_err(failed);
        (self.file, self.length) = (file, length);
        self.compact_at = COMPACT_AT.max(length * 4);
        self.tail = match self.durability {
            Durability::Durable if kept.is_err() => Tail::Suspect,
            _ => Tail::Clean,
        };
        kept
    }
}

/// Puts the shortest file that tells `history` in the place of the one in use; a crash at any point leaves one of them. On an error
/// the old one is still there. Else this is the new one, its length, and whether it keeps its place after the loss of power.
fn rewrite<D: Disk>(disk: &D, history: &History) -> io::Result<(D::File, u64, io::Result<()>)> {
    let bytes = history.write();
    let mut file = disk.create()?;
    disk.append(&mut file, &bytes)?;
    disk.sync(&file)?;
    disk.replace()?;
    Ok((file, bytes.len() as u64, disk.sync_directory()))
}

#[cfg(test)]
mod tests;
