//! The acts on a directory that keep a journal, one by one: so that their order can be tested by letting each of them fail.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Name of the file in its directory.
pub const FILE: &str = "journal";
const NEW_FILE: &str = "journal.new";

/// Where a journal is.
pub trait Disk {
    /// An open file, at whose end records are written.
    type File: std::fmt::Debug;

    /// The directory.
    fn path(&self) -> &Path;
    /// Makes the new file anew, empty, beside the one in use.
    fn create(&self) -> io::Result<Self::File>;
    /// Writes at the end of the file. On an error any part of it may be there.
    fn append(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<()>;
    /// Cuts the file to this length, in bytes.
    fn cut(&self, file: &Self::File, length: u64) -> io::Result<()>;
    /// What the file holds survives the loss of power.
    fn sync(&self, file: &Self::File) -> io::Result<()>;
    /// Puts the new file in the place of the one in use.
    fn replace(&self) -> io::Result<()>;
    /// Which file is in use survives the loss of power.
    fn sync_directory(&self) -> io::Result<()>;
}

/// The real one.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Holds the lock.
    handle: File,
}

impl Directory {
    /// Opens and locks it, until it is dropped.
    pub(super) fn lock(path: &Path) -> Result<Self, fs::TryLockError> {
        let handle = File::open(path).map_err(fs::TryLockError::Error)?;
        handle.try_lock()?;
        Ok(Self { path: path.to_owned(), handle })
    }

    /// The first bytes of the file in use; none where there is no file.
    pub(super) fn read(&self, max: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match File::open(self.path.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            file => {
                file?.take(max).read_to_end(&mut bytes)?;
            }
        }
        Ok(bytes)
    }
}

impl Disk for Directory {
    type File = File;

    fn path(&self) -> &Path {
        &self.path
    }

    fn create(&self) -> io::Result<File> {
        let path = self.path.join(NEW_FILE);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)
    }

    fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn cut(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn replace(&self) -> io::Result<()> {
        fs::rename(self.path.join(NEW_FILE), self.path.join(FILE))
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.handle.sync_all()
    }
}
