//! Who has the connection that is kept for looking.

use std::time::Duration;

use super::{Leader, Wish};
use crate::policy::budget::exchange::Report;
use crate::policy::budget::{Connections, PodUid};

/// How long one pod looks while another would.
pub const LOOKS: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub(super) struct Looker {
    pub(super) pod: PodUid,
    since: Duration,
}

impl Leader {
    /// It keeps the connection until nothing that it lost is left, and while it alone can look for the dead; others take turns with it.
    pub(super) fn choose_looker(&mut self, wish: &Wish<'_>, now: Duration) {
        let reachable = |uid: &PodUid| wish.members.get(uid).is_some_and(|member| member.reachable);
        let reached: Vec<(&PodUid, &Report)> =
            self.reports.iter().filter(|(uid, report)| !report.incomplete && reachable(uid)).collect();
        let looks = self.looker.as_ref().filter(|looker| reached.iter().any(|(uid, _)| **uid == looker.pod));

        // One that has room opens a connection by itself, if it is asked to look.
        let sees = |(uid, report): &(&PodUid, &Report)| {
            let has_room = report.grant.is_some_and(|grant| report.charge < grant);
            (report.open > Connections::NONE || has_room) && self.looker() != Some(uid)
        };
        let unseen = wish.seek && !reached.iter().any(sees);
        let is_blind = |(_, report): &&(&PodUid, &Report)| {
            report.unconfirmed > Connections::NONE && report.open == Connections::NONE
        };
        let blind: Vec<&PodUid> = reached.iter().filter(is_blind).map(|(uid, _)| *uid).collect();

        // It has nothing to look with but what it would give back.
        let would_be_blind = |(uid, report): &(&PodUid, &Report), looker: &Looker| {
            let share =
                self.targets.get(*uid).map_or(0, |target| target.get().saturating_sub(report.unconfirmed.get()));
            **uid == looker.pod && report.unconfirmed > Connections::NONE && report.charge > report.open && share <= 1
        };
        // (A look for the dead takes two looks, and whoever has opened a connection meanwhile may close it again.)
        let searching = |looker: &Looker| wish.seek && now < looker.since.saturating_add(LOOKS);
        let goes_on =
            |looker: &&Looker| unseen || searching(looker) || reached.iter().any(|pod| would_be_blind(pod, looker));
        let next = match looks.filter(goes_on) {
            Some(looker) if now >= looker.since.saturating_add(LOOKS) => {
                let after = blind.iter().find(|uid| ***uid > looker.pod);
                after.or_else(|| blind.first()).copied().unwrap_or(&looker.pod)
            }
            Some(looker) => &looker.pod,
            None => match (blind.first(), reached.first().filter(|_| unseen)) {
                (Some(pod), _) | (None, Some((pod, _))) => pod,
                (None, None) => {
                    self.looker = None;
                    return;
                }
            },
        };
        let since = looks.filter(|looker| looker.pod == *next).map_or(now, |looker| looker.since);
        self.looker = Some(Looker { pod: next.clone(), since });
    }
}
