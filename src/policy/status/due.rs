//! When a new status is worth a write: a band change at once, a figure that moved by a tenth at most each interval, nothing else ever.

use std::time::Duration;

use jiff::Timestamp;

use crate::crd::ConnectionPoolStatus;
use crate::policy::reasons::ConditionType;

/// The time from which on `new` should be written over `old`, which may have passed; `None` while it is not worth it.
///
/// `last_write` is when this pool's status was last written, `None` if never by this process.
pub fn due(
    old: Option<&ConnectionPoolStatus>,
    new: &ConnectionPoolStatus,
    last_write: Option<Timestamp>,
    now: Timestamp,
    interval: Duration,
) -> Option<Timestamp> {
    match old {
        Some(old) if !band_changed(old, new) => {
            let next = last_write.map_or(now, |last| last.checked_add(interval).unwrap_or(Timestamp::MAX));
            moved(old, new).then(|| next.max(now))
        }
        _ => Some(now),
    }
}

/// What people and alerts act on.
fn band_changed(old: &ConnectionPoolStatus, new: &ConnectionPoolStatus) -> bool {
    let bands = |status: &ConnectionPoolStatus| {
        let bands = status.conditions.iter();
        bands.map(|c| (c.type_.clone(), c.status.clone(), c.reason.clone(), c.observed_generation)).collect::<Vec<_>>()
    };
    old.observed_generation != new.observed_generation
        || bands(old) != bands(new)
        || (&old.warnings, &old.reason, &old.mode, &old.client) != (&new.warnings, &new.reason, &new.mode, &new.client)
}

fn moved(old: &ConnectionPoolStatus, new: &ConnectionPoolStatus) -> bool {
    // A count of pods that stayed wrong by less than a tenth would never catch up; it changes seldom enough to be exact.
    old.pods != new.pods
        || words(old) != words(new)
        || by_a_tenth(number(old.used.as_deref()), number(new.used.as_deref()))
        || by_a_tenth(number(old.utilization.as_deref()), number(new.utilization.as_deref()))
        || by_a_tenth(old.waiting, new.waiting)
}

/// Messages that name pods. The one of Saturated repeats the figures, which are judged by themselves.
fn words(status: &ConnectionPoolStatus) -> Vec<&str> {
    let of_pods = status.conditions.iter().filter(|condition| condition.type_ != ConditionType::Saturated.as_str());
    of_pods.map(|condition| condition.message.as_str()).collect()
}

fn number(figure: Option<&str>) -> Option<i64> {
    figure?.trim_end_matches('%').parse().ok()
}

fn by_a_tenth(old: Option<i64>, new: Option<i64>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => old != new && old.abs_diff(new).saturating_mul(10) >= old.unsigned_abs(),
        (old, new) => old != new,
    }
}
