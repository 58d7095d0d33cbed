//! Images from this machine's files, with the libraries that they need. No registry and no container engine is asked.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{command, program, target};

/// An image to pack.
pub struct Image {
    name: String,
    add: Vec<String>,
    env: Vec<String>,
    user: String,
    entrypoint: Vec<String>,
}

impl Image {
    /// `name` is what pods write; `entrypoint` is the program and its first arguments.
    pub fn new(name: &str, entrypoint: &[&str]) -> Self {
        let entrypoint = entrypoint.iter().map(|&s| s.to_owned()).collect();
        Self { name: name.to_owned(), add: Vec::new(), env: Vec::new(), user: "65532:65532".to_owned(), entrypoint }
    }

    /// What pods write.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds a file or a tree of this machine at a path of the image.
    #[must_use]
    pub fn add(mut self, source: impl AsRef<Path>, path: &str) -> Self {
        self.add.push(format!("{}={path}", source.as_ref().display()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push(format!("{name}={value}"));
        self
    }

    /// Runs as this user and group instead of 65532: numbers, as `0:0`.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        user.clone_into(&mut self.user);
        self
    }

    /// Writes the OCI archive and returns its path.
    pub fn pack(&self) -> PathBuf {
        let dir = target().join("images");
        std::fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("make {}: {e}", dir.display()));
        let archive = dir.join(format!("{}.tar", self.name.replace(['/', ':'], "-")));
        let mut pack = Command::new(program());
        pack.args(["pack", "--name", &self.name, "--user", &self.user, "--output"]).arg(&archive);
        for source in &self.add {
            pack.args(["--add", source]);
        }
        for variable in &self.env {
            pack.args(["--env", variable]);
        }
        pack.arg("--").args(&self.entrypoint);
        command::run(&mut pack, "").unwrap_or_else(|e| panic!("{e}"));
        archive
    }
}
