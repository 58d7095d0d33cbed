//! Who is asked, and where. Pure but for the caches that it reads.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::crd::Mode;
use crate::names;
use crate::observe::pod::Pod;
use crate::observe::pods::Pods;
use crate::observe::pools::Pools;
use crate::policy::entries::PoolKey;
use crate::policy::inject::matches;
use crate::policy::validate::{ValidatedPool, validate};

/// One pod's part of one pool. The UID, since a name and an address may be taken again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instance {
    /// The pool.
    pub pool: PoolKey,
    /// Of the pod.
    pub uid: String,
}

/// How an instance is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The pod's name, for people.
    pub name: String,
    /// The pod's own address and the port of its health endpoint.
    pub address: SocketAddr,
    /// Path of the health endpoint.
    pub path: String,
    /// Between two probes.
    pub interval: Duration,
    /// For one probe.
    pub timeout: Duration,
    /// It is our container, which always says whose it is.
    pub ours: bool,
    /// The pod is about to end. It is asked as long as it answers, for it still holds connections; its silence is no fault.
    pub leaving: bool,
}

/// Every instance of every valid pool that can be asked now.
pub fn targets(pools: &Pools, pods: &Pods) -> BTreeMap<Instance, Target> {
    let mut targets = BTreeMap::new();
    for pool in pools.all() {
        let Some(pool) = pool.0.as_ref().ok().and_then(|pool| validate(pool).ok()) else { continue };
        for pod in pods.of(&pool.namespace) {
            if let Some(target) = target(&pool, &pod) {
                let pool = PoolKey::new(&*pool.namespace, &*pool.name);
                targets.insert(Instance { pool, uid: pod.uid.clone() }, target);
            }
        }
    }
    targets
}

/// How this pod is asked about this pool, if it can be.
pub fn target(pool: &ValidatedPool, pod: &Pod) -> Option<Target> {
    if pod.ended || pod.host_network {
        return None;
    }
    let port = match pool.mode {
        // A sidecar serves the init containers too. One that has stopped under a running application must be missed.
        Mode::Pooler => {
            let started = pod.sidecars.get(&names::container(&pool.name)).copied().unwrap_or(false);
            let note = pod.injected.get(&pool.name).filter(|_| pod.running || started);
            note.map(|note| note.control)?
        }
        Mode::None => pool.probe.port.filter(|_| pod.running && selects(&pool.selector, pod))?,
    };
    let address = pod.address.filter(|address| own(*address)).filter(|_| port != 0)?;
    Some(Target {
        name: pod.name.clone(),
        address: SocketAddr::new(address, port),
        path: pool.probe.path.clone(),
        interval: pool.probe.interval,
        timeout: pool.probe.timeout,
        ours: pool.mode == Mode::Pooler,
        leaving: pod.ending,
    })
}

/// Whether a pool's selector matches the pod.
pub fn selects(selector: &LabelSelector, pod: &Pod) -> bool {
    matches(selector, &pod.labels)
}

/// Whether an address can be a pod's own. A pod's status is data: it must not lead the prober to the node or to itself.
fn own(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            !(v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast())
        }
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified() || v6.is_multicast()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(sidecar: &str) -> ValidatedPool {
        let pool = format!(
            r#"{{"apiVersion":"weir.dev/v1alpha1","kind":"ConnectionPool","metadata":{{"namespace":"shop","name":"orders"}},
                "spec":{{"profile":"test","selector":{{"matchLabels":{{"app":"orders"}}}},{sidecar}}}}}"#
        );
        validate(&serde_json::from_str(&pool).expect("a pool")).unwrap_or_else(|violations| panic!("{violations:?}"))
    }

    /// A pod with these parts of its spec and status.
    fn pod(spec: &str, status: &str) -> Pod {
        let pod = format!(
            r#"{{"metadata":{{"name":"orders-1","namespace":"shop","uid":"u1","labels":{{"app":"orders"}},"annotations":
                {{"weir.dev/injected.orders":"{{\"generation\":1,\"listen\":16432,\"control\":19188,\"max\":5}}"}}}},
                "spec":{{"containers":[],"initContainers":[{{"name":"weir-orders"}}]{spec}}},"status":{{"podIP":"10.244.0.7"{status}}}}}"#
        );
        Pod::new(&serde_json::from_str(&pod).expect("a pod"))
    }

    fn asked(pool: &ValidatedPool, pod: &Pod) -> Option<String> {
        target(pool, pod).map(|target| target.address.to_string())
    }

    #[test]
    fn a_sidecar_is_asked_at_the_port_that_was_injected() {
        const STARTED: &str = r#","initContainerStatuses":[{"name":"weir-orders","started":true,"ready":true,"restartCount":0,"image":"","imageID":""}]"#;
        let pool = pool(r#""sidecar":{"poolMode":"session"}"#);
        let own = Some("10.244.0.7:19188".to_owned());
        assert_eq!(asked(&pool, &pod("", r#","phase":"Running""#)), own, "also where it has just stopped");
        assert_eq!(
            asked(&pool, &pod("", &format!(r#","phase":"Pending"{STARTED}"#))),
            own,
            "while init containers run"
        );
        assert_eq!(asked(&pool, &pod("", r#","phase":"Pending""#)), None);
        assert_eq!(asked(&pool, &pod("", r#","phase":"Succeeded""#)), None);
        assert_eq!(
            asked(&pool, &pod(r#","hostNetwork":true"#, r#","phase":"Running""#)),
            None,
            "the address is its node's"
        );
    }

    #[test]
    fn an_application_is_asked_at_the_port_of_the_pool() {
        let pool = pool(r#""sidecar":{"mode":"None"},"probe":{"port":8080}"#);
        assert_eq!(asked(&pool, &pod("", r#","phase":"Running""#)), Some("10.244.0.7:8080".to_owned()));
        assert_eq!(asked(&pool, &pod("", r#","phase":"Pending""#)), None);
        let mut leaving = pod("", r#","phase":"Running""#);
        leaving.ending = true;
        let target = target(&pool, &leaving).expect("it still holds connections");
        assert!(target.leaving);
        let mut stranger = pod("", r#","phase":"Running""#);
        stranger.labels.clear();
        assert_eq!(asked(&pool, &stranger), None);
    }

    #[test]
    fn only_a_pods_own_address_is_called() {
        for good in ["10.244.0.7", "192.168.1.1", "100.64.0.9", "fd00::7", "2001:db8::1"] {
            assert!(own(good.parse().expect("an address")), "{good}");
        }
        for bad in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
        ] {
            assert!(!own(bad.parse().expect("an address")), "{bad}");
        }
    }
}
