//! The truth table of the conditions, and the invariants of the status.

mod invariants;
mod table;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::*;
use crate::crd::{ConnectionPool, ConnectionPoolSpec, Profile};
use crate::policy::health::{Config, Database, Health, Metrics, Report, Utilization, UtilizationStatus};
use crate::policy::validate::validate;

/// An observation that owns what it is made of.
#[derive(Clone, Debug)]
struct Scene {
    generation: i64,
    validation: Result<ValidatedPool, Vec<Violation>>,
    entry: EntryState,
    fleet: Fleet,
    instances: Vec<Instance>,
}

impl Scene {
    /// Two pods, all well.
    fn new() -> Self {
        Self {
            generation: 2,
            validation: validate(&pool()),
            entry: EntryState::InForce,
            fleet: Fleet { matched: 2, injected: 2, ..Fleet::default() },
            instances: vec![instance("a", 1, 0), instance("b", 3, 0)],
        }
    }

    fn status(&self, old: Option<&ConnectionPoolStatus>, second: i64) -> ConnectionPoolStatus {
        let observation = Observation {
            generation: self.generation,
            validation: self.validation.as_ref().map_err(Vec::as_slice),
            entry: &self.entry,
            fleet: &self.fleet,
            instances: &self.instances,
        };
        status(old, &observation, Timestamp::from_second(second).unwrap())
    }
}

fn pool() -> ConnectionPool {
    let selector = LabelSelector {
        match_labels: Some([("app".to_owned(), "orders".to_owned())].into()),
        ..LabelSelector::default()
    };
    ConnectionPool::new(
        "orders",
        ConnectionPoolSpec {
            profile: Some(Profile::Development.into()),
            selector: Some(selector),
            limits: None,
            database: None,
            client: None,
            sidecar: None,
            probe: None,
            thresholds: None,
            failure_policy: None,
        },
    )
}

/// An instance of 10 connections, all open.
fn instance(pod: &str, active: u32, waiting: u32) -> Instance {
    let report = Report {
        status: Health::Healthy,
        metrics: Metrics {
            active_connections: active,
            idle_connections: 10 - active,
            waiting_requests: waiting,
            total_connections: 10,
            pool_size: 10,
        },
        config: Config { min: 2, max: 10, idle_timeout: 10_000, connection_timeout: 5_000 },
        utilization: Utilization { percent: 100.0, status: UtilizationStatus::Critical, busy_percent: None },
        timestamp: "2026-01-02T03:04:05.678Z".to_owned(),
        granted: Some(10),
        pod: Some(pod.to_owned()),
        boot: Some("00".repeat(16)),
        generation: Some(2),
        database: Some(Database { reachable: true, sqlstate: None }),
    };
    Instance { pod: pod.to_owned(), uid: format!("uid-{pod}"), report: Ok(report) }
}

fn silent(pod: &str, failure: ProbeFailure) -> Instance {
    Instance { pod: pod.to_owned(), uid: format!("uid-{pod}"), report: Err(failure) }
}

fn database(mut instance: Instance, database: Option<Database>) -> Instance {
    if let Ok(report) = &mut instance.report {
        report.database = database;
    }
    instance
}

fn locked_out(pod: &str, sqlstate: &str) -> Instance {
    database(instance(pod, 0, 0), Some(Database { reachable: false, sqlstate: Some(sqlstate.to_owned()) }))
}
