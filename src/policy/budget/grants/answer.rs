//! What is heard.

use super::Grants;
use crate::policy::budget::exchange::{Answer, Report, Said};
use crate::policy::budget::fault::{Fault, planted};
use crate::policy::budget::{Connections, PodUid};

/// What an answer told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// What it has is known.
    Known,
    /// Its journal is damaged or was lost: what it has may be more than it says, so nothing was set free, and nothing is ordered. It is
    /// to be replaced.
    Incomplete,
    /// It has nothing and opens nothing more. To be written.
    Ended,
}

/// Why an answer changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotHeard {
    /// Nobody asked that pod.
    #[error("nothing was asked of this pod")]
    Unasked,
    /// It answers an earlier message, another boot's, or another leader's.
    #[error("the answer is not to the last message")]
    Other,
}

impl Grants {
    /// A pod's answer, verified by [`Answer::verify`]. Only the answer to the last message counts: an older one says nothing about what
    /// was sent since.
    pub fn answered(&mut self, uid: &PodUid, answer: &Answer) -> Result<Heard, NotHeard> {
        let pod = self.pods.get_mut(uid).ok_or(NotHeard::Unasked)?;
        let latest = pod.latest().ok_or(NotHeard::Unasked)?;
        let this = answer.boot == latest.boot && answer.digest == latest.digest && answer.epoch == self.claim.epoch;
        if !this && !planted(Fault::AnswerOfAnotherBoot) {
            return Err(NotHeard::Other);
        }
        let (has, whole) = match &answer.said {
            Said::Final => (Connections::NONE, true),
            Said::Report(report) => (has(report), !report.incomplete),
        };
        let first = pod.held().is_none();
        let from_remainder = pod.answered(self.claim.epoch, has, whole);
        // Only an order gives a grant, only a named pod is ordered, and what it gives is in the total.
        let granted = matches!(&answer.said, Said::Report(report) if report.grant > Some(Connections::NONE));
        let known = !pod.forgets();
        let last = answer.said == Said::Final && known;
        if last {
            pod.end();
        }
        let fits = match (&mut self.rest, from_remainder) {
            (Some(rest), Some(has)) => {
                let fits = u64::from(has.get()) <= *rest;
                *rest = rest.saturating_sub(has.get().into());
                fits
            }
            (_, None) => !(first && granted && known),
            (None, Some(_)) => true,
        };
        if !fits {
            self.doubt();
        }
        Ok(if last {
            Heard::Ended
        } else if known {
            Heard::Known
        } else {
            Heard::Incomplete
        })
    }
}

/// The most that a pod with this report has, or can come to have without another message.
fn has(report: &Report) -> Connections {
    let may = report.grant.unwrap_or(report.limit);
    if planted(Fault::GrantFreedByMissingPids) {
        return report.charge;
    }
    may.max(report.charge)
}
