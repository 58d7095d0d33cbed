//! What `weir operator` is told. Every option is also an environment variable, which is how the chart sets them.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;

use crate::policy::entries::Endpoint;
use crate::policy::inject::Amounts;
use crate::policy::{duration, inject};

/// Options of `weir operator`.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Namespace of the operator: of its Secrets, its Service and the dry-run pods that show which webhook entries are in force
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: String,
    /// Name of this replica, shown in events
    #[arg(long, env = "POD_NAME")]
    pub pod_name: Option<String>,
    /// Image of the sidecar that is added to pods
    #[arg(long, env = "WEIR_SIDECAR_IMAGE")]
    pub sidecar_image: String,
    /// When the sidecar's image is pulled
    #[arg(long, env = "WEIR_SIDECAR_IMAGE_PULL_POLICY", default_value = "IfNotPresent", value_parser = ["Always", "IfNotPresent", "Never"])]
    pub sidecar_image_pull_policy: String,
    /// What sidecars log: error, warn, info, debug, or a filter such as info,weir::sidecar=debug
    #[arg(long, env = "WEIR_SIDECAR_LOG", default_value = "info")]
    pub sidecar_log: String,
    /// Processor that a sidecar requests where its pod requests any, within the LimitRanges of its namespace
    #[arg(long, env = "WEIR_SIDECAR_REQUEST_CPU", default_value = "10m", value_parser = quantity)]
    pub sidecar_request_cpu: String,
    /// Memory that a sidecar requests where its pod requests any, within the LimitRanges of its namespace
    #[arg(long, env = "WEIR_SIDECAR_REQUEST_MEMORY", default_value = "16Mi", value_parser = quantity)]
    pub sidecar_request_memory: String,
    /// Processor that a sidecar is limited to where every other container is limited, within the LimitRanges of its namespace
    #[arg(long, env = "WEIR_SIDECAR_LIMIT_CPU", default_value = "250m", value_parser = quantity)]
    pub sidecar_limit_cpu: String,
    /// Memory that a sidecar is limited to where every other container is limited, within the LimitRanges of its namespace
    #[arg(long, env = "WEIR_SIDECAR_LIMIT_MEMORY", default_value = "128Mi", value_parser = quantity)]
    pub sidecar_limit_memory: String,
    /// The MutatingWebhookConfigurations that hold the entries, comma-separated
    #[arg(
        long,
        env = "WEIR_WEBHOOK_CONFIGURATIONS",
        value_delimiter = ',',
        default_value = "weir-0,weir-1,weir-2,weir-3"
    )]
    pub webhook_configurations: Vec<String>,
    /// The Service by which the API server reaches the webhook
    #[arg(long, env = "WEIR_WEBHOOK_SERVICE", default_value = "weir-webhook")]
    pub webhook_service: String,
    /// https://host:port by which the API server reaches a webhook outside of the cluster, instead of the Service
    #[arg(long, env = "WEIR_WEBHOOK_URL", value_parser = url)]
    pub webhook_url: Option<String>,
    /// Secret that holds the webhook's certificates; made empty by the installation
    #[arg(long, env = "WEIR_CERTIFICATE_SECRET", default_value = "weir-webhook-certificate")]
    pub certificate_secret: String,
    /// Secret that holds the keys for signed statements; made empty by the installation
    #[arg(long, env = "WEIR_SIGNING_KEYS_SECRET", default_value = "weir-signing-keys")]
    pub signing_keys_secret: String,
    /// A status that only shows other figures is written at most so often
    #[arg(long, env = "WEIR_STATUS_INTERVAL", default_value = "30s", value_parser = interval)]
    pub status_interval: Duration,
    /// Where the webhook listens, with TLS
    #[arg(long, env = "WEIR_LISTEN_WEBHOOK", default_value = ":8443", value_parser = address)]
    pub listen_webhook: SocketAddr,
    /// Where /metrics, /livez and /readyz are served, in plain
    #[arg(long, env = "WEIR_LISTEN_METRICS", default_value = ":8080", value_parser = address)]
    pub listen_metrics: SocketAddr,
}

impl Options {
    /// How the API server reaches the webhook.
    pub fn endpoint(&self) -> Endpoint {
        match &self.webhook_url {
            Some(url) => Endpoint::Url(url.clone()),
            None => Endpoint::Service(self.webhook_service.clone()),
        }
    }

    /// The names under which the webhook is reached, and so those of its certificate; at least one.
    pub fn names(&self) -> Vec<String> {
        let outside = self.webhook_url.as_ref().and_then(|url| url.parse::<http::Uri>().ok());
        match outside.as_ref().and_then(http::Uri::host) {
            Some(host) => vec![host.trim_matches(['[', ']']).to_owned()],
            None => vec![format!("{}.{}.svc", self.webhook_service, self.namespace)],
        }
    }

    /// What is put into pods, but for the public keys.
    pub fn sidecar(&self) -> inject::Sidecar {
        inject::Sidecar {
            image: self.sidecar_image.clone(),
            pull_policy: self.sidecar_image_pull_policy.clone(),
            public_keys: Vec::new(),
            log: self.sidecar_log.clone(),
            resources: inject::Resources {
                requests: Amounts {
                    cpu: self.sidecar_request_cpu.clone(),
                    memory: self.sidecar_request_memory.clone(),
                },
                limits: Amounts { cpu: self.sidecar_limit_cpu.clone(), memory: self.sidecar_limit_memory.clone() },
            },
        }
    }
}

/// `:8443` is short for all addresses.
fn address(text: &str) -> Result<SocketAddr, String> {
    let full = if text.starts_with(':') { format!("[::]{text}") } else { text.to_owned() };
    full.parse().map_err(|_| format!("{text:?} is not an address such as :8443 or 127.0.0.1:8443"))
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration::parse(text).filter(|interval| *interval >= Duration::from_secs(1));
    interval.ok_or_else(|| format!("{text:?} is not a time of at least a second, such as 30s or 1m"))
}

fn quantity(text: &str) -> Result<String, String> {
    let wrong = || format!("{text:?} is not an amount such as 100m or 64Mi");
    if inject::is_quantity(text) { Ok(text.to_owned()) } else { Err(wrong()) }
}

fn url(text: &str) -> Result<String, String> {
    let wrong = || format!("{text:?} is not a URL such as https://10.0.0.1:8443");
    let uri: http::Uri = text.parse().map_err(|_| wrong())?;
    let plain = uri.scheme_str() == Some("https") && uri.host().is_some() && uri.path() == "/" && !text.ends_with('/');
    if plain { Ok(text.to_owned()) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Program {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn a_sidecar_asks_for_what_the_injection_documents() {
        let program = ["weir", "--namespace=weir-system", "--sidecar-image=weir-sidecar"];
        let options = Program::try_parse_from(program).unwrap_or_else(|error| panic!("{error}")).options;
        assert_eq!(options.sidecar().resources, inject::Resources::default());
    }

    #[test]
    fn addresses_and_urls_are_checked_at_the_start() {
        assert_eq!(address(":8443").map(|address| address.port()), Ok(8443));
        assert_eq!(address("127.0.0.1:1"), Ok("127.0.0.1:1".parse().expect("an address")));
        assert!(address("8443").is_err() && address("localhost:1").is_err());
        assert_eq!(url("https://10.0.0.1:8443"), Ok("https://10.0.0.1:8443".to_owned()));
        for bad in ["http://10.0.0.1", "https://10.0.0.1/", "https://10.0.0.1/x", "10.0.0.1:8443", ""] {
            assert!(url(bad).is_err(), "{bad:?}");
        }
        for (good, bad) in [("100m", "100q"), ("64Mi", "64 Mi"), ("0.5", ""), ("1", "-1")] {
            assert!(quantity(good).is_ok() && quantity(bad).is_err(), "{good:?} {bad:?}");
        }
        assert!(interval("5s").is_ok() && interval("500ms").is_err() && interval("5").is_err());
    }
}
