//! Which incarnation of a server answers at an address, and which ones it replaced.

use std::collections::BTreeMap;
use std::net::SocketAddr;

/// One run of one server: its connections end with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation {
    /// `system_identifier` of pg_control_system(); 0 where the role may not ask.
    pub system: u64,
    /// pg_postmaster_start_time(), as timestamptz_send() writes it.
    pub started: u64,
}

/// Ones that were replaced and concern nobody any more are forgotten beyond this.
const KNOWN_MAX: usize = 16;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Servers(BTreeMap<SocketAddr, Sightings>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Sightings {
    known: Vec<Known>,
    /// Of two incarnations, each answered after the other had: several servers share the address, and none of them can be said to
    /// be gone.
    shared: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Known {
    incarnation: Incarnation,
    /// The event at which its first answer was read.
    since: u64,
    /// Those that answered a question which was sent after that.
    replaced_by: Vec<Incarnation>,
}

impl Servers {
    /// `incarnation` answered a question that was sent at the event `asked` or later; its answer is read at `now`. Events are
    /// numbered in order. All that had answered before the question was sent are older.
    pub(super) fn answered(&mut self, address: SocketAddr, incarnation: Incarnation, asked: u64, now: u64) {
        let sightings = self.0.entry(address).or_default();
        let before = |known: &&mut Known| known.incarnation != incarnation && known.since <= asked;
        let newer: Vec<_> = sightings
            .known
            .iter()
            .find(|known| known.incarnation == incarnation)
            .map(|known| known.replaced_by.clone())
            .unwrap_or_default();
        for older in sightings.known.iter_mut().filter(before) {
            if newer.contains(&older.incarnation) {
                sightings.shared = true;
            } else if !older.replaced_by.contains(&incarnation) {
                older.replaced_by.push(incarnation);
            }
        }
        if sightings.known.iter().all(|known| known.incarnation != incarnation) {
            sightings.known.push(Known { incarnation, since: now, replaced_by: Vec::new() });
        }
    }

    /// An earlier boot knew it: it answered before anything that this boot asks.
    pub(super) fn known_before(&mut self, address: SocketAddr, incarnation: Incarnation) {
        self.answered(address, incarnation, 0, 0);
    }

    /// The incarnation as it was told first: later its role may see the system identifier, or see it no more.
    pub(super) fn as_known(&self, incarnation: Incarnation) -> Incarnation {
        let known = self.0.values().flat_map(|sightings| &sightings.known).map(|known| known.incarnation);
        known.filter(|known| known.started == incarnation.started).min_by_key(|known| *known).unwrap_or(incarnation)
    }

    /// Whether another one has taken its place at the address.
    pub(super) fn replaced(&self, address: SocketAddr, incarnation: Incarnation) -> bool {
        self.0.get(&address).is_some_and(|sightings| {
            let gone = |known: &Known| known.incarnation == incarnation && !known.replaced_by.is_empty();
            !sightings.shared && sightings.known.iter().any(gone)
        })
    }

    /// What the address may lead to.
    pub(super) fn current(&self, address: SocketAddr) -> impl Iterator<Item = Incarnation> {
        let known = self.0.get(&address).into_iter().flat_map(|sightings| &sightings.known);
        known.filter(|known| known.replaced_by.is_empty()).map(|known| known.incarnation)
    }

    /// Keeps the map as small as the books.
    pub(super) fn forget_all_but(&mut self, keep: impl Fn(SocketAddr, Option<Incarnation>) -> bool) {
        const ADDRESSES_MAX: usize = 64;
        if self.0.len() > ADDRESSES_MAX {
            self.0.retain(|address, _| keep(*address, None));
        }
        for (address, sightings) in &mut self.0 {
            if sightings.known.len() > KNOWN_MAX {
                let needed = |known: &Known| keep(*address, Some(known.incarnation));
                sightings.known.retain(|known| known.replaced_by.is_empty() || needed(known));
            }
        }
    }
}
