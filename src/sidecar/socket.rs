//! The Unix socket beside the loopback listener, in a directory that the application's containers share.
//!
//! It leads to the same place as the loopback port, with the same trust: who can connect is let in without a password. A port is
//! open to the whole pod; this file only to containers that mount its directory. Their processes have users of their own, so the
//! file is open to every user, as PostgreSQL's is (`unix_socket_permissions`).

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;

/// What the name of the file starts with; the port follows (libpq: UNIXSOCK_PATH).
pub const FILE_PREFIX: &str = ".s.PGSQL.";

/// Longest path, in bytes: Linux has 108 in `sockaddr_un`, the last of them a NUL.
pub const PATH_MAX: usize = 107;

/// To connect is to write. The file holds nothing, so there is nothing to execute.
const MODE: u32 = 0o666;

/// Listens at `path`. A socket that an earlier run of this container left there is replaced; anything else is left alone.
///
/// # Errors
///
/// The directory is not there or not writable, the path is taken by something else than a socket, or too long.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => fs::remove_file(path)?,
        Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    // The umask may have taken rights away until here.
    fs::set_permissions(path, Permissions::from_mode(MODE))?;
    Ok(listener)
}

/// Whether a path is one that client libraries find: absolute, `<directory>/.s.PGSQL.<port>`, and not too long.
pub fn is_found_by_clients(path: &Path) -> bool {
    let port = path.file_name().and_then(|name| name.to_str()?.strip_prefix(FILE_PREFIX));
    let digits = |port: &str| port.starts_with(|first: char| ('1'..='9').contains(&first));
    let names_port = port.is_some_and(|port| digits(port) && port.parse::<u16>().is_ok());
    path.is_absolute() && names_port && path.as_os_str().len() <= PATH_MAX
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn directory(name: &str) -> std::path::PathBuf {
        let directory = std::env::temp_dir().join(format!("weir-socket-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
        directory
    }

    #[test]
    fn replaces_a_stale_socket_and_is_open_to_every_user() {
        let directory = directory("stale");
        let path = directory.join(".s.PGSQL.16432");
        drop(bind(&path).unwrap());
        assert!(UnixStream::connect(&path).is_err(), "nobody listens, and the file is still there");
        let listener = bind(&path).unwrap();
        let _client = UnixStream::connect(&path).unwrap();
        listener.accept().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn leaves_alone_what_is_no_socket() {
        let directory = directory("file");
        let path = directory.join(".s.PGSQL.16432");
        fs::write(&path, "something").unwrap();
        assert_eq!(bind(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "something");
        assert_eq!(bind(&directory.join("none/.s.PGSQL.1")).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn knows_the_names_that_libpq_looks_for() {
        let long = |length: usize| format!("/{}/.s.PGSQL.1", "d".repeat(length - "//.s.PGSQL.1".len()));
        for path in ["/run/weir/.s.PGSQL.16432", "/.s.PGSQL.1", "/a/.s.PGSQL.65535", &long(107)] {
            assert!(is_found_by_clients(Path::new(path)), "{path}");
        }
        let wrong = ["", "/run", "/run/weir/socket", "run/.s.PGSQL.1", "/run/.s.PGSQL.", "/run/.s.PGSQL.0"];
        for path in wrong.iter().chain(&["/run/.s.PGSQL.65536", "/run/.s.PGSQL.+1", "/run/.s.PGSQL.01", &long(108)]) {
            assert!(!is_found_by_clients(Path::new(path)), "{path}");
        }
    }
}
