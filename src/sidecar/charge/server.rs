//! Which incarnation of a server answers at an address, and which ones it replaced.

use std::collections::HashMap;
use std::net::SocketAddr;

/// One run of one server: its connections end with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation {
    /// `system_identifier` of pg_control_system(); 0 where the role may not ask.
    pub system: u64,
    /// pg_postmaster_start_time(), as timestamptz_send() writes it.
    pub started: u64,
}

/// More incarnations at one address than this, and it is taken for a shared one.
const PAST_MAX: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Servers(HashMap<SocketAddr, Sightings>);

#[derive(Debug)]
struct Sightings {
    current: Incarnation,
    /// Attempts from this number on began after the first sighting of `current`.
    since: u64,
    past: Vec<Incarnation>,
    /// An incarnation answered a new connection after its successor did: several servers share the address, and none of them can be
    /// said to be gone.
    shared: bool,
}

impl Servers {
    /// The attempt `number` reached `incarnation`; `next` is the number of the next attempt. True if it may stand for all attempts
    /// at this address so far.
    pub(super) fn sighted(&mut self, address: SocketAddr, incarnation: Incarnation, number: u64, next: u64) -> bool {
        let Some(sightings) = self.0.get_mut(&address) else {
            let first = Sightings { current: incarnation, since: next, past: Vec::new(), shared: false };
            self.0.insert(address, first);
            return true;
        };
        if sightings.current == incarnation {
            return true;
        }
        if number < sightings.since {
            // A connection from before the change: its answer says nothing about what the address leads to now.
            return false;
        }
        sightings.shared |= sightings.past.contains(&incarnation) || sightings.past.len() >= PAST_MAX;
        if !sightings.past.contains(&sightings.current) && !sightings.shared {
            sightings.past.push(sightings.current);
        }
        sightings.current = incarnation;
        sightings.since = next;
        true
    }

    /// What the address leads to.
    pub(super) fn current(&self, address: SocketAddr) -> Option<Incarnation> {
        self.0.get(&address).map(|sightings| sightings.current)
    }

    /// The one server at the address, if it is not shared.
    pub(super) fn only(&self, address: SocketAddr) -> Option<Incarnation> {
        self.0.get(&address).filter(|sightings| !sightings.shared).map(|sightings| sightings.current)
    }

    /// Keeps the map as small as the books.
    pub(super) fn forget_all_but(&mut self, keep: impl Fn(&SocketAddr) -> bool) {
        const ADDRESSES_MAX: usize = 64;
        if self.0.len() > ADDRESSES_MAX {
            self.0.retain(|address, _| keep(address));
        }
    }
}
