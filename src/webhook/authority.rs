//! Which certificates the webhook should have at a given time: an authority of our own and a leaf signed by it.
//!
//! The authority is rotated with overlap, so that there is no moment at which an API server meets a leaf that its bundle does not
//! cover: a new authority is in the bundle for [`OVERLAP`] before it signs, and an old one stays until [`OVERLAP`] after it was
//! last needed. Times come in as values; only the keys are made here.

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde::{Deserialize, Serialize};

/// Life of an authority.
const AUTHORITY_LIFE: Duration = Duration::from_hours(365 * 24);
/// What is left of an authority's life when its successor is made.
const AUTHORITY_REST: Duration = Duration::from_hours(120 * 24);
/// Life of a leaf: short, since nobody revokes it.
const LEAF_LIFE: Duration = Duration::from_hours(7 * 24);
/// What is left of a leaf's life when it is renewed.
const LEAF_REST: Duration = Duration::from_hours(3 * 24);
/// See the module's text: far longer than it takes to write the bundle everywhere.
pub const OVERLAP: Duration = Duration::from_hours(24);
/// How far the clock of an API server may be behind ours.
const SKEW: Duration = Duration::from_hours(1);

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a certificate")]
pub struct IssueError(#[from] rcgen::Error);

/// What the Secret holds. No Debug: it holds keys.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificates {
    /// Oldest first; at least one after [`next`].
    authorities: Vec<Authority>,
    leaf: Leaf,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authority {
    /// Part of its subject, and so the way from a leaf to its authority.
    id: String,
    certificate: String,
    key: String,
    since: Timestamp,
    until: Timestamp,
}

/// The certificate that the server shows. No Debug: it holds a key.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leaf {
    authority: String,
    /// PEM.
    pub certificate: String,
    /// PKCS#8 as PEM.
    pub key: String,
    names: Vec<String>,
    since: Timestamp,
    /// End of its life.
    pub until: Timestamp,
}

impl Certificates {
    /// Every authority in force, as PEM.
    pub fn bundle(&self) -> String {
        self.authorities.iter().map(|authority| authority.certificate.as_str()).collect()
    }

    /// The certificate that the server shows.
    pub fn leaf(&self) -> &Leaf {
        &self.leaf
    }
}

/// What should be kept instead of `current`; `None` where it is good as it is.
pub fn next(
    current: Option<&Certificates>,
    names: &[String],
    now: Timestamp,
) -> Result<Option<Certificates>, IssueError> {
    let mut authorities: Vec<Authority> = current.map(|current| current.authorities.clone()).unwrap_or_default();
    authorities.retain(|authority| authority.until > now);
    if authorities.last().is_none_or(|newest| newest.until < now + AUTHORITY_REST) {
        authorities.push(authority(now)?);
    }
    let signer =
        authorities.iter().rfind(|authority| authority.since + OVERLAP <= now).or_else(|| authorities.first()).cloned();
    let Some(signer) = signer else { return Ok(None) };

    let kept = current
        .map(|current| &current.leaf)
        .filter(|leaf| leaf.authority == signer.id && leaf.names == names && leaf.until >= now + LEAF_REST);
    let leaf = match kept {
        Some(leaf) => leaf.clone(),
        None => issue(&signer, names, now)?,
    };
    // Replicas may still show a leaf of the predecessor for a moment, and API servers remember connections.
    if leaf.since + OVERLAP <= now {
        authorities.retain(|authority| authority.since >= signer.since);
    }
    let wanted = Certificates { authorities, leaf };
    Ok((current != Some(&wanted)).then_some(wanted))
}

fn authority(now: Timestamp) -> Result<Authority, IssueError> {
    let key = KeyPair::generate()?;
    let id = format!(
        "{:016x}",
        key.public_key_raw().iter().rev().take(8).fold(0_u64, |all, byte| all << 8 | u64::from(*byte))
    );
    let until = now + AUTHORITY_LIFE;
    let mut params = authority_params(&id);
    validity(&mut params, now, until);
    let certificate = params.self_signed(&key)?.pem();
    Ok(Authority { id, certificate, key: key.serialize_pem(), since: now, until })
}

/// All of an authority that an issuer needs, from its id alone, so that no certificate has to be parsed.
fn authority_params(id: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(&format!("weir webhook authority {id}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params
}

fn issue(signer: &Authority, names: &[String], now: Timestamp) -> Result<Leaf, IssueError> {
    let until = (now + LEAF_LIFE).min(signer.until);
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = common_name("weir webhook");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    validity(&mut params, now, until);
    let key = KeyPair::generate()?;
    let issuer = Issuer::new(authority_params(&signer.id), KeyPair::from_pem(&signer.key)?);
    let certificate = params.signed_by(&key, &issuer)?.pem();
    Ok(Leaf {
        authority: signer.id.clone(),
        certificate,
        key: key.serialize_pem(),
        names: names.to_vec(),
        since: now,
        until,
    })
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn validity(params: &mut CertificateParams, from: Timestamp, until: Timestamp) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let at = |time: Timestamp| epoch + Duration::from_secs(u64::try_from(time.as_second()).unwrap_or(0));
    params.not_before = at(from - SKEW);
    params.not_after = at(until);
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn names() -> Vec<String> {
        vec!["weir-webhook.weir-system.svc".to_owned()]
    }

    fn start() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().expect("a time")
    }

    fn advance(current: &Certificates, now: Timestamp) -> Option<Certificates> {
        next(Some(current), &names(), now).unwrap_or_else(|error| panic!("{error}"))
    }

    fn first() -> Certificates {
        next(None, &names(), start()).unwrap_or_else(|error| panic!("{error}")).expect("nothing was there")
    }

    #[test]
    fn is_at_rest_while_nothing_is_due() {
        let first = first();
        for days in [0, 1, 2, 3] {
            assert!(advance(&first, start() + DAY * days).is_none(), "day {days}");
        }
    }

    #[test]
    fn renews_the_leaf_before_it_expires() {
        let first = first();
        let renewed = advance(&first, start() + DAY * 5).expect("due");
        assert_eq!(renewed.bundle(), first.bundle());
        assert_ne!(renewed.leaf.certificate, first.leaf.certificate);
        assert_eq!(renewed.leaf.until, start() + DAY * 12);
    }

    #[test]
    fn another_name_needs_another_leaf() {
        let first = first();
        let renamed = next(Some(&first), &["elsewhere.svc".to_owned()], start()).expect("issues").expect("due");
        assert_eq!(renamed.bundle(), first.bundle());
        assert_eq!(renamed.leaf.names, ["elsewhere.svc"]);
    }

    #[test]
    fn survives_a_long_absence() {
        let late = start() + DAY * 400;
        let renewed = advance(&first(), late).expect("everything has expired");
        assert_eq!(renewed.authorities.len(), 1);
        assert_eq!((renewed.authorities[0].since, renewed.leaf.until), (late, late + LEAF_LIFE));
    }

    /// Two years, looked at every six hours: whatever leaf a replica may still show is covered by every bundle of its time.
    #[test]
    fn no_bundle_ever_lacks_the_authority_of_a_leaf_in_use() {
        let mut current = first();
        let mut replaced: Vec<(Timestamp, Leaf)> = Vec::new();
        let mut authorities = 1;
        for quarter in 1..(2 * 365 * 4) {
            let now = start() + DAY * quarter / 4;
            if let Some(wanted) = advance(&current, now) {
                if wanted.leaf != current.leaf {
                    replaced.push((now, current.leaf.clone()));
                }
                authorities +=
                    usize::from(wanted.authorities.last().map(|a| &a.id) != current.authorities.last().map(|a| &a.id));
                // A bundle takes time to arrive: a leaf must be covered by the bundle of the step before as well.
                assert!(current.authorities.iter().any(|authority| authority.id == wanted.leaf.authority));
                current = wanted;
            }
            assert!(current.leaf.until > now && current.authorities.len() <= 2);
            replaced.retain(|(since, _)| *since + DAY / 2 > now);
            for leaf in replaced.iter().map(|(_, leaf)| leaf).chain([&current.leaf]) {
                assert!(current.authorities.iter().any(|authority| authority.id == leaf.authority), "{now}");
            }
        }
        assert_eq!(authorities, 3, "one each 245 days");
    }
}
