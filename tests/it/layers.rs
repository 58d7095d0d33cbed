//! Imports point one way: `crd <- policy <- {controller, webhook, prober, sidecar} <- bin`.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::fs;
use std::path::{Path, PathBuf};

/// Module (its file and folder under `src`) and the crate's modules that it may name.
const LAYERS: &[(&str, &[&str])] = &[
    ("names", &["policy"]),
    ("crd", &["policy", "names"]),
    ("policy", &["crd", "names", "policy"]),
    ("api", &["names", "telemetry"]),
    ("metrics", &["api", "policy"]),
    ("observe", &["api", "crd", "metrics", "names", "policy", "shutdown", "telemetry"]),
    ("prober", &["crd", "metrics", "names", "observe", "policy", "random", "shutdown"]),
    ("webhook", &["api", "metrics", "names", "observe", "policy", "shutdown", "telemetry"]),
    ("sidecar", &["names", "policy", "sidecar", "telemetry"]),
];

/// What pure code may not name: it takes time and input as values.
const IMPURE: &[&str] = &[
    "tokio::",
    "kube::Client",
    "kube::Api",
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "std::net::Tcp",
    "std::fs::",
];

fn sources(module: &str) -> Vec<PathBuf> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = vec![src.join(format!("{module}.rs"))];
    let mut folders = vec![src.join(module)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(path);
            }
        }
    }
    found.retain(|path| path.exists());
    found
}

/// The code of a file: comments out, and what follows `#[cfg(test)]` too.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// First segments after `crate::`, those of a group in braces included.
fn modules_named(code: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = vec![];
    for rest in code.split("crate::").skip(1) {
        let Some(group) = rest.strip_prefix('{') else {
            names.push(word(rest));
            continue;
        };
        let (mut depth, mut item) = (0, true);
        for (at, c) in group.char_indices() {
            match c {
                '}' if depth == 0 => break,
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => item = true,
                c if item && !c.is_whitespace() => {
                    names.push(word(&group[at..]));
                    item = false;
                }
                _ => {}
            }
        }
    }
    names
}

#[test]
fn imports_point_one_way() {
    let mut checked = 0;
    for (module, allowed) in LAYERS {
        for path in sources(module) {
            for name in modules_named(&code(&path)) {
                let own = name == *module;
                assert!(own || allowed.contains(&name.as_str()), "{} names crate::{name}", path.display());
                checked += 1;
            }
        }
    }
    assert!(checked > 100, "the search found only {checked} imports");
}

#[test]
fn what_decides_does_not_act() {
    for path in sources("policy").iter().chain(&sources("crd")).filter(|path| !path.ends_with("tests.rs")) {
        let code = code(path);
        for word in IMPURE {
            assert!(!code.contains(word), "{} names {word}", path.display());
        }
    }
}

#[test]
fn the_sidecar_has_no_kubernetes_client() {
    for path in sources("sidecar") {
        for word in ["kube::", "k8s_openapi", "axum::"] {
            assert!(!code(&path).contains(word), "{} names {word}", path.display());
        }
    }
}
