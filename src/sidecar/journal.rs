//! The pod's memory across restarts of the container: a file in an emptyDir that tells the next boot what it inherits.
//!
//! Everything is written before it is acted upon: the attempt before connect(), the pid before the backend is used, what was taken
//! from the operator before it is honoured. So after a crash at any point the file holds at least every backend that PostgreSQL may still have; an
//! end is written afterwards, and one that is missing only makes the next boot wait for a look. Where a record can't be written,
//! the act must not happen: the pool doesn't connect, and says so.
//!
//! A record is one write() without fsync: it survives the process, which is what restarts. After a crash of the node the last ones
//! may be missing. Only the file that a boot starts with, the shortest that tells the same, is synced and renamed into place.
//! A kernel that was booted anew took our sockets with it, and PostgreSQL may not have noticed: what is left stays charged all the
//! same.

mod account;
mod history;
mod record;

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use account::Account;
pub use history::{Damage, History};

use crate::policy::budget::Connections;
use crate::policy::budget::exchange::{DOCUMENT_MAX, Document, Fence};
use crate::sidecar::charge::{Attempt, BootId, Incarnation};

/// Name of the file in its directory.
pub const FILE: &str = "journal";
const NEW_FILE: &str = "journal.new";
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
    /// Replacing the file by its compacted form failed; the old one is as it was.
    #[error("compact the journal {path:?}")]
    Compact {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A record could not be written, and is not in the file: do not act.
    #[error("write to the journal {path:?}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// The open file of this boot.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    /// Of the directory; holds the lock.
    handle: File,
    file: File,
    history: History,
    /// Up to here the file is whole records.
    length: u64,
    compact_at: u64,
    /// The file may be longer than `length`.
    torn: bool,
}

impl Journal {
    /// Reads what earlier boots left in `directory`, compacts it, and enters this boot. The directory stays locked until the
    /// journal is dropped.
    pub fn open(directory: &Path, kernel_boot: [u8; 16], boot: BootId) -> Result<(Self, History), JournalError> {
        let opened = |source| JournalError::Directory { path: directory.to_owned(), source };
        let lock = File::open(directory).map_err(opened)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(JournalError::Locked { path: directory.to_owned() }),
            Err(fs::TryLockError::Error(source)) => return Err(opened(source)),
        }
        let (history, _) = History::read(&read(&directory.join(FILE))?);
        let mut continued = history.clone();
        continued.apply(&Entry::Boot { kernel_boot, boot });
        let (file, length) = compact(directory, &lock, &continued)?;
        let journal = Self {
            directory: directory.to_owned(),
            handle: lock,
            file,
            history: continued,
            length,
            compact_at: COMPACT_AT.max(length * 4),
            torn: false,
        };
        Ok((journal, history))
    }

    /// Appends a record. On an error it is not in the file, and what it announces must not be done.
    pub fn record(&mut self, entry: &Entry) -> Result<(), JournalError> {
        let mut bytes = Vec::with_capacity(160);
        record::encode(entry, &mut bytes);
        self.append(&bytes).map_err(|source| JournalError::Write { path: self.directory.join(FILE), source })?;
        self.history.apply(entry);
        if self.length >= self.compact_at {
            // A failure leaves the old file in use, which has everything: try again when it has doubled.
            self.compact_at = self.length * 2;
            if let Ok((file, length)) = compact(&self.directory, &self.handle, &self.history) {
                (self.file, self.length) = (file, length);
                self.compact_at = COMPACT_AT.max(length * 4);
            }
        }
        Ok(())
    }

    /// What it tells now.
    pub const fn history(&self) -> &History {
        &self.history
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.torn {
            // Else the next record would follow the torso of one, and never be read.
            self.file.set_len(self.length)?;
            self.torn = false;
        }
        self.torn = true;
        if let Err(error) = self.file.write_all(bytes) {
            self.torn = self.file.set_len(self.length).is_err();
            return Err(error);
        }
        self.torn = false;
        self.length += bytes.len() as u64;
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, JournalError> {
    let failed = |source| JournalError::Read { path: path.to_owned(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file.map_err(failed)?,
    };
    let mut bytes = Vec::new();
    file.take(LENGTH_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LENGTH_MAX {
        return Err(JournalError::TooLong { path: path.to_owned() });
    }
    Ok(bytes)
}

/// Puts the compacted file in the place of the old one; a crash at any point leaves one of them.
fn compact(directory: &Path, handle: &File, history: &History) -> Result<(File, u64), JournalError> {
    let bytes = history.write();
    let write = || {
        let path = directory.join(NEW_FILE);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(&bytes)?;
        file.sync_data()?;
        fs::rename(&path, directory.join(FILE))?;
        handle.sync_all()?;
        Ok(file)
    };
    let file = write().map_err(|source| JournalError::Compact { path: directory.join(FILE), source })?;
    Ok((file, bytes.len() as u64))
}

#[cfg(test)]
mod tests;
