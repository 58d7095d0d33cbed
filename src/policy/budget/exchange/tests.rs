mod arbitrary;
mod boot;
mod canonical;
mod golden;
mod interleaving;
mod journal;
mod look;
mod refusals;

use std::time::Duration;

use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::*;
use crate::policy::limits::{Limits, Profile};
use crate::policy::settings::{PoolMode, SETTINGS_VERSION, Settings, Thresholds, Verify};

/// A key pair that is the same in each run.
pub(crate) fn key(seed: u8) -> (SigningKey, [u8; 32]) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let public = pair.public_key().as_ref().try_into().unwrap();
    (SigningKey::new(pair).unwrap(), public)
}

/// Those of seeds 1 and 2.
pub(crate) fn keys() -> Keys {
    Keys::new([key(1).1, key(2).1])
}

/// What the operator derives reply keys from; the pod was injected from the older.
const SECRETS: [[u8; 32]; 2] = [[7; 32], [8; 32]];

fn reply_key() -> ReplyKey {
    ReplyKey::derive(&SECRETS[0], &pool())
}

fn reply_keys() -> ReplyKeys {
    ReplyKeys::derive(&SECRETS, &pool())
}

/// What stands in front of the MAC.
fn unsealed(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len() - 32].to_vec()
}

pub(crate) fn pool() -> PoolName {
    PoolName::new("shop/orders").unwrap()
}

fn pod() -> PodUid {
    PodUid::new("4f1c2d3e-0000-4000-8000-00000000000a").unwrap()
}

pub(in crate::policy::budget) fn connections(number: u32) -> Connections {
    Connections::new(number).unwrap()
}

fn epoch(number: u64) -> Epoch {
    Epoch::new(number).unwrap()
}

fn sequence(number: u64) -> Sequence {
    Sequence::new(number).unwrap()
}

pub(crate) fn settings() -> Settings {
    Settings {
        version: SETTINGS_VERSION,
        pool: pool().as_str().to_owned(),
        generation: 7,
        profile: Profile::Production,
        pool_mode: PoolMode::Session,
        verify: Verify::Hints,
        client: "prisma".to_owned(),
        limits: Limits {
            min: 5,
            max: 20,
            idle_timeout: Duration::from_secs(30),
            connection_timeout: Duration::from_secs(10),
            max_lifetime: Duration::from_mins(30),
            idle_transaction_timeout: None,
            query_timeout: None,
        },
        thresholds: Thresholds { warning: 80, critical: 90 },
        placeholders: None,
        unknown: serde_json::Map::new(),
    }
}

fn boot() -> Boot {
    Boot::new(pool(), pod(), BootId([0xb0; 16]), None)
}

/// Accepts a message and journals it.
fn take(boot: &mut Boot, now: Duration, bytes: &[u8], keys: &Keys) -> Result<Taken, Refusal> {
    let accepted = boot.accept(now, bytes, keys)?;
    boot.journalled(&accepted)
}

fn discovery() -> Statement {
    Statement {
        pool: pool(),
        pod: pod(),
        boot: BootId([0xb0; 16]),
        nonce: Some(Nonce([0x11; 16])),
        epoch: epoch(3),
        sequence: sequence(1),
        order: None,
        unknown: Unknown::default(),
    }
}

fn statement() -> Statement {
    let order = Order { settings: Document::write(&settings()).unwrap(), grant: connections(12) };
    Statement { nonce: None, sequence: sequence(2), order: Some(order), ..discovery() }
}

fn report() -> Report {
    Report {
        grant: Some(connections(12)),
        limit: connections(20),
        charge: connections(9),
        open: connections(8),
        active: connections(7),
        waiting: 3,
        wait: Duration::from_millis(1_250),
        unconfirmed: connections(1),
        incomplete: false,
        upstream: Some(upstream()),
        backends: Backends::new([4_711, 99, 4_711, 0, -3].map(backend)),
    }
}

fn upstream() -> Upstream {
    Upstream { system: 7_300_000_000_000_000_001, started: 0x2_e000_0000_0000, role: RoleId::of(b"orders") }
}

fn backend(pid: i32) -> Backend {
    Backend { pid, started: 0x2_f000_0000_0000 }
}

fn answer(said: Said) -> Answer {
    Answer {
        pod: pod(),
        boot: BootId([0xb0; 16]),
        epoch: epoch(3),
        digest: Digest([0xd1; 32]),
        said,
        unknown: Unknown::default(),
    }
}

fn look() -> Look {
    let Statement { pool, pod, boot, epoch, .. } = discovery();
    Look { pool, pod, boot, epoch, id: 77, unknown: Unknown::default() }
}

fn looked() -> Looked {
    let sighting = Sighting {
        upstream: upstream(),
        authentication_timeout: Duration::from_mins(1),
        invisible: 2,
        rows: Rows::new([4_711, 99, 4_712].map(backend)),
    };
    let Answer { pod, boot, digest, .. } = answer(Said::Final);
    Looked { pod, boot, digest, sighting, unknown: Unknown::default() }
}

const CHALLENGE: Challenge = Challenge([0xc4; 16]);

fn hello() -> Hello {
    Hello {
        pod: pod(),
        boot: BootId([0xb0; 16]),
        nonce: Nonce([0x11; 16]),
        epoch: Some(epoch(3)),
        protocol: PROTOCOL,
        keys: keys().ids().collect(),
        unknown: Unknown::default(),
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A field as it stands in a message.
fn field(tag: u8, value: &[u8]) -> Vec<u8> {
    [&[tag][..], &u16::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
}
