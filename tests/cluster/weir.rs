//! Weir itself in the cluster: its two images and its chart.

use std::path::PathBuf;

use super::{Cluster, Image, repository};

/// Where the chart is installed.
pub(super) const NAMESPACE: &str = "weir-system";

const OPERATOR: &str = "weir.local/weir";
const SIDECAR: &str = "weir.local/weir-sidecar";
const TAG: &str = "test";

impl Cluster {
    /// Installs Weir by its chart, where Pod Security enforces `restricted`, and waits until the operator is available. `values` are further `name=value` for helm.
    pub fn install_weir(&self, values: &[&str]) {
        self.load_weir();
        self.apply(&format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}, labels: {{pod-security.kubernetes.io/enforce: restricted}}}}\n"
        ));
        let chart = repository().join("charts/weir");
        let mut arguments: Vec<String> = ["upgrade", "--install", "weir"].map(str::to_owned).to_vec();
        arguments.push(chart.display().to_string());
        arguments.extend(["--namespace", NAMESPACE, "--wait", "--timeout=120s"].map(str::to_owned));
        for (name, value) in [
            ("image.repository", OPERATOR),
            ("image.tag", TAG),
            ("sidecar.image.repository", SIDECAR),
            ("sidecar.image.tag", TAG),
        ] {
            arguments.push(format!("--set-string={name}={value}"));
        }
        arguments.extend(values.iter().map(|value| format!("--set={value}")));
        self.helm(&arguments);
    }

    /// Loads the operator's and the sidecar's images as `weir.local/weir:test` and `weir.local/weir-sidecar:test`.
    pub fn load_weir(&self) {
        for image in [
            weir_image(OPERATOR, "weir", option_env!("CARGO_BIN_EXE_weir")),
            weir_image(SIDECAR, "weir-sidecar", option_env!("CARGO_BIN_EXE_weir-sidecar")),
        ] {
            self.load(&image);
        }
    }
}

/// The program that cargo has built for this test; or, with `WEIR_PROGRAMS=DIR`, the one of that name in DIR, to test what
/// is shipped (`target/x86_64-unknown-linux-musl/release`).
fn weir_image(name: &str, program: &str, built: Option<&str>) -> Image {
    let file = match (std::env::var_os("WEIR_PROGRAMS"), built) {
        (Some(dir), _) => PathBuf::from(dir).join(program),
        (None, Some(file)) => PathBuf::from(file),
        (None, None) => panic!("cargo has built no {program:?} for this test"),
    };
    let path = format!("/{program}");
    Image::new(&format!("{name}:{TAG}"), &[&path])
        .add(file, &path)
        .add("/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/certs/ca-certificates.crt")
}
