//! The judge: what dead pods have left at PostgreSQL.
//!
//! A pod that died without a last word may have left backends, which outlive it: by hours, where its machine vanished. So what it had
//! stays held until PostgreSQL itself shows that nothing is left. One living instance *looks*: at the rows of the pool's role in
//! pg_stat_activity. A row is
//!
//! - *claimed*, if a living pod lists exactly that pid and start. (A dead one claims nothing: its own rows are those that matter);
//! - *foreign*, if it was not claimed when every named pod was alive and had listed all that it may have. Others use the role too;
//! - else *suspect*, for every dead pod that is not younger than the row.
//!
//! A dead pod is cleared by two clean looks at least [`BETWEEN`] apart, because a row goes before its slot does, both of them
//! asked later than twice authentication_timeout + [`GRACE`] after the death was known: PostgreSQL applies that timeout to the startup
//! packet and again to the authentication (postmaster.c, postinit.c), and a connection that the dead pod had just begun has a row, or
//! is gone, by then. A look is clean for a pod without a suspect row, without a process that has no row yet, and at the server that all
//! living pods are connected to, and the dead one was at last. Where that one was replaced, the looks are [`LEFT`] apart.
//!
//! It shows what a pod has left, never that it will open nothing more: that it is dead must be known already.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::exchange::{Backend, Upstream};
use super::{LEFT, PodUid};

/// Between two looks that clear.
pub const BETWEEN: Duration = Duration::from_secs(1);
/// Beyond what PostgreSQL grants a login.
pub const GRACE: Duration = Duration::from_secs(10);
/// By how much the clocks of PostgreSQL and of the API server may differ.
pub const SKEW: Duration = Duration::from_hours(1);

/// The dead of one pool, and what is known of its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Judge {
    foreign: BTreeSet<Backend>,
    dead: BTreeMap<PodUid, Case>,
    /// The longest authentication_timeout that was seen: it may have been lowered since a login began.
    timeout: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Case {
    since: Duration,
    /// No row of it began before this; as PostgreSQL's timestamptz.
    earliest: u64,
    upstream: Option<Upstream>,
    /// When the first clean look was answered, and where.
    clean: Option<(Duration, Upstream)>,
}

/// What a look saw. Times are the leader's own, monotonic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen<'a> {
    /// When it was sent.
    pub asked: Duration,
    /// When its answer was read.
    pub answered: Duration,
    /// Whose rows.
    pub upstream: Upstream,
    /// Of that server.
    pub authentication_timeout: Duration,
    /// Processes without a row.
    pub invisible: u32,
    /// There were more rows than are here.
    pub cut: bool,
    /// Of the role, of clients.
    pub rows: &'a [Backend],
}

/// What living pods say in answers to messages that were sent after a look was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Every pod that the ledger names has said so, and has listed all that it may have.
    pub complete: bool,
    /// The servers that those are connected to that have any charge.
    pub upstreams: BTreeSet<Upstream>,
    /// What they listed; of a pod that does not answer, what it listed last.
    pub backends: BTreeSet<Backend>,
}

/// What a look tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Dead pods of which nothing is left.
    pub cleared: Vec<PodUid>,
    /// Rows of others that use the role.
    pub foreign: u32,
    /// Rows that nobody claims and that may be a dead pod's.
    pub suspects: Vec<Backend>,
}

impl Case {
    /// Whether what counts of the pod is at this server: it was connected to it, to an earlier run of it, or to one that this one has
    /// replaced (a standby has its primary's identifier), and what it left there is no part of this one's budget. Where the pod was
    /// never heard, the living must vouch for the server.
    fn is_at(&self, upstream: Upstream, claims: &Claims) -> bool {
        match self.upstream {
            Some(last) => {
                let follows = last.system == upstream.system && last.system != 0;
                last == upstream || (follows && last.role == upstream.role)
            }
            None => claims.upstreams.contains(&upstream),
        }
    }
}

impl Judge {
    /// A pod is known to be dead since `since`. Its first row began at `created` (PostgreSQL's timestamptz) or later; `upstream` is what
    /// it was connected to when it was heard last, `last` what it listed then.
    pub fn died(&mut self, pod: PodUid, since: Duration, created: u64, upstream: Option<Upstream>, last: &[Backend]) {
        self.foreign.retain(|row| !last.contains(row));
        let skew = u64::try_from(SKEW.as_micros()).unwrap_or(u64::MAX);
        let case = Case { since, earliest: created.saturating_sub(skew), upstream, clean: None };
        self.dead.entry(pod).or_insert(case);
    }

    /// The pod is alive after all, or its end was settled otherwise.
    pub fn withdraw(&mut self, pod: &PodUid) {
        self.dead.remove(pod);
    }

    /// Whether there is anything to look for.
    pub fn is_asked(&self) -> bool {
        !self.dead.is_empty()
    }

    /// Judges one look by the claims that came after it.
    pub fn judge(&mut self, seen: &Seen<'_>, claims: &Claims) -> Verdict {
        self.timeout = self.timeout.max(seen.authentication_timeout);
        let rows: BTreeSet<Backend> = seen.rows.iter().copied().collect();
        let elsewhere = claims.upstreams.iter().any(|upstream| *upstream != seen.upstream);
        let whole = !seen.cut && seen.invisible == 0 && !elsewhere;
        if whole {
            self.foreign.retain(|row| rows.contains(row) && !claims.backends.contains(row));
        }
        if whole && claims.complete && self.dead.is_empty() {
            self.foreign = rows.difference(&claims.backends).copied().collect();
        }
        let unclaimed: Vec<Backend> =
            rows.iter().filter(|row| !claims.backends.contains(row) && !self.foreign.contains(row)).copied().collect();
        let late = self.timeout * 2 + GRACE;
        let cleared = self.dead.extract_if(.., |_, case| {
            let there = case.is_at(seen.upstream, claims);
            let suspect = unclaimed.iter().any(|row| row.started >= case.earliest);
            if !whole || !there || suspect || seen.asked < case.since + late {
                case.clean = None;
                return false;
            }
            let Some((first, _)) = case.clean.filter(|(_, at)| *at == seen.upstream) else {
                case.clean = Some((seen.answered, seen.upstream));
                return false;
            };
            // One that took the place of another may lose it again.
            let moved = case.upstream.is_some_and(|last| last != seen.upstream);
            seen.asked >= first + if moved { LEFT } else { BETWEEN }
        });
        Verdict {
            cleared: cleared.map(|(pod, _)| pod).collect(),
            foreign: u32::try_from(self.foreign.len()).unwrap_or(u32::MAX),
            suspects: unclaimed,
        }
    }
}

#[cfg(test)]
mod tests;
