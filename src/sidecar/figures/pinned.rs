//! Clients that keep their server connection, by reason ([`Pin`]).

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};

use super::add;
use crate::sidecar::state::{Pin, Pins};

const REASONS: usize = Pin::ALL.len();

/// See the module.
#[derive(Debug, Default)]
pub struct Pinned {
    /// Clients that are pinned now, for whatever reason.
    pub clients: AtomicU32,
    now: [AtomicU32; REASONS],
    begun: [AtomicU64; REASONS],
}

impl Pinned {
    /// The reasons of one client were others `before`. Only the loop calls it.
    #[inline]
    pub fn change(&self, before: Pins, after: Pins) {
        if before != after {
            self.changed(before, after);
        }
    }

    #[cold]
    fn changed(&self, before: Pins, after: Pins) {
        step(&self.clients, before.is_empty(), after.is_empty());
        for ((pin, now), begun) in Pin::ALL.into_iter().zip(&self.now).zip(&self.begun) {
            step(now, !before.contains(pin), !after.contains(pin));
            if after.contains(pin) && !before.contains(pin) {
                add(begun, 1);
            }
        }
    }

    /// Each reason, with the clients that have it now, and how often it began.
    pub fn iter(&self) -> impl Iterator<Item = (Pin, &AtomicU32, &AtomicU64)> {
        Pin::ALL.into_iter().zip(&self.now).zip(&self.begun).map(|((pin, now), begun)| (pin, now, begun))
    }
}

/// One more or one less where something was or is absent.
fn step(gauge: &AtomicU32, absent_before: bool, absent_now: bool) {
    let more = u32::from(!absent_now).wrapping_sub(u32::from(!absent_before));
    gauge.store(gauge.load(Relaxed).wrapping_add(more), Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_counts_once_for_each_reason_that_it_has() {
        let pinned = Pinned::default();
        let (lock, both) = (Pins::from(Pin::Lock), Pins::from(Pin::Lock) | Pin::Listen.into());
        let shown = || {
            let rows = pinned.iter().filter(|(.., begun)| begun.load(Relaxed) > 0);
            let rows = rows.map(|(pin, now, begun)| (pin, now.load(Relaxed), begun.load(Relaxed)));
            (pinned.clients.load(Relaxed), rows.collect::<Vec<_>>())
        };
        pinned.change(Pins::NONE, lock);
        pinned.change(Pins::NONE, Pins::NONE);
        pinned.change(Pins::NONE, both);
        assert_eq!(shown(), (2, vec![(Pin::Listen, 1, 1), (Pin::Lock, 2, 2)]));
        pinned.change(both, lock);
        pinned.change(lock, both);
        pinned.change(lock, Pins::NONE);
        assert_eq!(shown(), (1, vec![(Pin::Listen, 1, 2), (Pin::Lock, 1, 2)]));
        pinned.change(both, Pins::NONE);
        assert_eq!(shown(), (0, vec![(Pin::Listen, 0, 2), (Pin::Lock, 0, 2)]));
    }
}
