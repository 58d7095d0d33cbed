//! Images of PostgreSQL clients that nobody here wrote: psql and pgbench, node-postgres, psycopg.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Cluster, Image, command, repository, target};

impl Cluster {
    /// Loads `weir.local/postgres-client:1`: psql (its entrypoint), pgbench, sh, sleep and cat.
    pub fn load_postgres_client(&self) {
        let programs = Path::new(self.place("/postgresql/programs"));
        let image = Image::new("weir.local/postgres-client:1", &["/usr/bin/psql"])
            .add(programs.join("psql"), "/usr/bin/psql")
            .add(programs.join("pgbench"), "/usr/bin/pgbench")
            .add("/bin/sh", "/bin/sh")
            .add("/bin/sleep", "/bin/sleep")
            .add("/bin/cat", "/bin/cat");
        self.load(&image);
    }

    /// Loads `weir.local/node-postgres:1`: node (its entrypoint) with the module `pg`; `args: [-e, SCRIPT]` runs a script.
    pub fn load_node_postgres(&self) {
        let node =
            command::run(Command::new("node").args(["-p", "process.execPath"]), "").unwrap_or_else(|e| panic!("{e}"));
        let image = Image::new("weir.local/node-postgres:1", &["/usr/bin/node"])
            .add(node.trim(), "/usr/bin/node")
            .add(node_modules(), "/node_modules");
        self.load(&image);
    }

    /// Loads `weir.local/psycopg:1`: Debian's python3 (its entrypoint) with psycopg 3; `args: [-c, SCRIPT]` runs a script.
    pub fn load_psycopg(&self) {
        let ask = "import sysconfig; print(sysconfig.get_path('stdlib'))";
        let library =
            command::run(Command::new("/usr/bin/python3").args(["-c", ask]), "").unwrap_or_else(|e| panic!("{e}"));
        let library = library.trim();
        let packages = "/usr/lib/python3/dist-packages";
        let libpq = command::run(
            Command::new("sh").args(["-c", "/sbin/ldconfig -p | sed -n 's/.*libpq.so.5 .*=> //p' | head -1"]),
            "",
        );
        let mut image = Image::new("weir.local/psycopg:1", &["/usr/bin/python3"])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .add("/usr/bin/python3", "/usr/bin/python3")
            .add(library, library)
            // psycopg finds libpq by asking ldconfig.
            .add("/sbin/ldconfig", "/sbin/ldconfig")
            .add("/etc/ld.so.cache", "/etc/ld.so.cache");
        let libpq = libpq.unwrap_or_else(|e| panic!("{e}"));
        image = image.add(libpq.trim(), libpq.trim());
        for package in ["psycopg", "typing_extensions.py"] {
            let path = format!("{packages}/{package}");
            image = image.add(&path, &path);
        }
        self.load(&image);
    }
}

/// The modules of `node-postgres/package-lock.json`, installed under `target/` once.
fn node_modules() -> PathBuf {
    let source = repository().join("tests/cluster/node-postgres");
    let installed = target().join("node-postgres");
    install(&source, &installed).unwrap_or_else(|e| panic!("install node-postgres in {}: {e}", installed.display()));
    installed.join("node_modules")
}

fn install(source: &Path, installed: &Path) -> std::io::Result<()> {
    fs::create_dir_all(installed)?;
    // Test binaries may run at the same time.
    let lock = File::create(installed.join(".lock"))?;
    lock.lock()?;
    // npm has finished once it has written this.
    let done = installed.join("node_modules/.package-lock.json").exists();
    let locked = "package-lock.json";
    if done && fs::read(source.join(locked)).ok() == fs::read(installed.join(locked)).ok() {
        return Ok(());
    }
    for file in ["package.json", locked] {
        fs::copy(source.join(file), installed.join(file))?;
    }
    let mut npm = Command::new("npm");
    npm.current_dir(installed).args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
    command::run(&mut npm, "").map(|_| ()).map_err(std::io::Error::other)
}
