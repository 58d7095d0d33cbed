//! The file that holds the connection URL: a mounted key of a Secret or ConfigMap.
//!
//! The kubelet replaces such a file by swapping a symbolic link of its directory, which inotify on the file misses; so it is read
//! again each second and compared by content. Only a digest is kept between readings.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use zeroize::Zeroizing;

use crate::telemetry;

/// Longest URL that is read; PostgreSQL's own limit of a start-up packet is 10 000 bytes.
const BYTES_MAX: u64 = 64 * 1024;

/// See the module.
pub struct UrlFile {
    path: PathBuf,
    seen: [u8; 32],
    unreadable: bool,
}

/// Why there is no URL.
#[derive(Debug, thiserror::Error)]
pub enum UrlFileError {
    /// The file is missing or not readable.
    #[error("cannot read {path:?}, the file with the connection URL")]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file is too long to be a URL.
    #[error("{path:?} is longer than {BYTES_MAX} bytes, so it holds no connection URL")]
    TooLong {
        /// Path of the file.
        path: PathBuf,
    },
}

impl UrlFile {
    /// Reads the file for the first time.
    pub fn open(path: PathBuf) -> Result<(Self, Zeroizing<Vec<u8>>), UrlFileError> {
        let url = read(&path)?;
        Ok((Self { path, seen: fingerprint(&url), unreadable: false }, url))
    }

    /// The content, if it is another than at the last reading. While the file can't be read the old content stands, and the log says
    /// so once: during the swap it is missing for a moment.
    pub fn changed(&mut self) -> Option<Zeroizing<Vec<u8>>> {
        match read(&self.path) {
            Ok(url) => {
                self.unreadable = false;
                let seen = fingerprint(&url);
                let changed = seen != self.seen;
                self.seen = seen;
                changed.then_some(url)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.unreadable, true) {
                    tracing::warn!(error = telemetry::chain(&error), "keeping the old connection URL");
                }
                None
            }
        }
    }
}

/// Without the line end that editors and `echo` leave in a Secret.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, UrlFileError> {
    let mut url = Zeroizing::new(Vec::new());
    let failed = |source| UrlFileError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    // Room for all of it at once: a vector that grows leaves copies behind.
    url.reserve_exact(usize::try_from(file.metadata().map_err(failed)?.len().min(BYTES_MAX)).unwrap_or(0) + 2);
    file.take(BYTES_MAX + 1).read_to_end(&mut url).map_err(failed)?;
    if url.len() as u64 > BYTES_MAX {
        return Err(UrlFileError::TooLong { path: path.to_owned() });
    }
    let end = url.trim_ascii_end().len();
    url.truncate(end);
    Ok(url)
}

fn fingerprint(url: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, url).as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn follows_the_swap_of_the_kubelets_links_by_content() {
        let root = std::env::temp_dir().join(format!("weir-url-file-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        for (version, url) in [("..1", "postgres://a\n"), ("..2", "postgres://a\n"), ("..3", "postgres://b")] {
            fs::create_dir_all(root.join(version)).unwrap();
            fs::write(root.join(version).join("url"), url).unwrap();
        }
        let swap = |version: &str| {
            let _ = fs::remove_file(root.join("..tmp"));
            symlink(version, root.join("..tmp")).unwrap();
            fs::rename(root.join("..tmp"), root.join("..data")).unwrap();
        };
        swap("..1");
        symlink("..data/url", root.join("url")).unwrap();

        let (mut file, url) = UrlFile::open(root.join("url")).unwrap();
        assert_eq!(*url, b"postgres://a");
        assert_eq!(file.changed(), None);
        swap("..2");
        assert_eq!(file.changed(), None, "same content in another file");
        swap("..3");
        assert_eq!(file.changed().as_deref(), Some(&b"postgres://b".to_vec()));
        assert_eq!(file.changed(), None);
        fs::remove_file(root.join("url")).unwrap();
        assert_eq!(file.changed(), None, "missing for a moment");
        fs::write(root.join("url"), vec![b'x'; 65 * 1024]).unwrap();
        assert_eq!(file.changed(), None, "no URL is that long");
        fs::remove_dir_all(&root).unwrap();
        assert!(matches!(UrlFile::open(root.join("url")), Err(UrlFileError::Read { .. })));
    }
}
