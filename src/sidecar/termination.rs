//! The container's last words, which the kubelet puts into the pod's status (`terminationMessagePath`).
//!
//! The file says `unknown` from the start, so that a killed process leaves just that, and becomes `charge 0` only as the last act of
//! a boot that costs PostgreSQL nothing any more. It speeds a release up; nothing depends on it. A fault that ends the process before
//! the loop ran is written as it is, for `kubectl describe pod`.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// Kubernetes shows at most 4096 bytes of it.
const BYTES_MAX: usize = 4096;

/// The file. Outside a pod there is none, and nothing is written.
#[derive(Clone, Debug)]
pub struct Termination {
    path: Option<PathBuf>,
}

impl Termination {
    /// The file at `path`, if it is there: the kubelet mounts it before the container starts.
    pub fn at(path: &Path) -> Self {
        Self { path: path.is_file().then(|| path.to_owned()) }
    }

    /// Nothing is known of what this boot costs PostgreSQL.
    pub fn unknown(&self) {
        self.write("unknown");
    }

    /// This boot costs PostgreSQL nothing and opens nothing more.
    pub fn nothing_charged(&self) {
        self.write("charge 0");
    }

    /// Why the process ends before it served anything.
    pub fn fault(&self, message: &str) {
        let end = message.floor_char_boundary(BYTES_MAX.min(message.len()));
        self.write(message.get(..end).unwrap_or_default());
    }

    // In place: the path is a mount of a single file, which can't be renamed over.
    fn write(&self, message: &str) {
        let Some(path) = &self.path else { return };
        let written: io::Result<()> = fs::write(path, message);
        if let Err(error) = written {
            tracing::warn!(path = %path.display(), %error, "cannot write the termination message");
        }
    }
}
