//! The journal's disk is full: nothing may be opened that could not be written down.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use tokio_postgres::error::SqlState;

use crate::guarded;
use crate::sidecar::{Options, PATIENCE};
use crate::{Client, assert_refused};

/// A file system of its own, of 64 kB.
struct Disk(PathBuf);

impl Disk {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("weir-disk-{name}-{}", std::process::id()));
        fs::create_dir(&directory).expect("the directory is new");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "weir-test"]).arg(&directory).status();
        assert!(mount.expect("util-linux is installed").success(), "root may mount");
        Self(directory)
    }

    /// Takes all that is left. What a file already has of its last page stays its own.
    fn fill(&self) {
        let mut file = fs::File::create(self.filler()).expect("a file may be empty");
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.filler()).expect("it was filled");
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    fn path(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_new_server_connections_until_it_has_room() {
    let database = guarded::database();
    let disk = Disk::new("full");
    let sidecar = Options::new(&database.url(), 1, 2).set("WEIR_STATE", disk.path()).start();
    let holder = Client::of(&sidecar, &database).await;
    holder.run("select 1").await.expect("there is a server connection");
    disk.fill();

    // Logins until the last page of the journal is full.
    let refused = loop {
        let other = Client::of(&sidecar, &database).await;
        let error = other.run("select pg_terminate_backend(pg_backend_pid())").await.expect_err("it ends itself");
        if error.code() != Some(&SqlState::ADMIN_SHUTDOWN) {
            break error;
        }
    };
    let refused = refused.as_db_error().expect("the sidecar says why");
    assert_eq!(refused.code(), &SqlState::IO_ERROR, "{refused:?}");
    assert!(refused.message().contains("the pool's journal can't be written"), "{refused:?}");
    assert!(refused.hint().is_some_and(|hint| hint.contains("disk")), "{refused:?}");
    assert_eq!(database.connections(), 1, "nothing was opened");
    let report = sidecar.until("the report names it", |report| {
        report.database.as_ref().is_some_and(|database| database.sqlstate.as_deref() == Some("58030"))
    });
    assert_eq!(report.metrics.active_connections, 1);
    holder.run("select 1").await.expect("it keeps what it has");

    disk.free();
    // The pause after a failed login may be longer than connectionTimeout.
    let until = Instant::now() + PATIENCE;
    let other = loop {
        let other = Client::of(&sidecar, &database).await;
        match other.run("select 1").await {
            Ok(()) => break other,
            Err(error) => assert!(Instant::now() < until, "there is room again: {error}"),
        }
    };
    for client in [holder, other] {
        client.leave().await;
    }
    sidecar.terminate();
    let end = sidecar.wait();
    assert_eq!(end.message, "charge 0", "{}", end.log);
}

#[test]
fn a_disk_that_is_full_from_the_start_is_said_to_be() {
    let disk = Disk::new("never");
    disk.fill();
    let end = Options::new("postgres://app:canary@127.0.0.1:1/app", 1, 2).set("WEIR_STATE", disk.path()).run();
    assert_refused(&end, "cannot keep a journal in WEIR_STATE");
    assert_refused(&end, "No space left on device");
}
