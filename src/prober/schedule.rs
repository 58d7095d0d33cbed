//! Who is due. Pure: times are durations since the prober's start, randomness comes in as a function of values in `0.0..1.0`.
//!
//! Every instance is asked once per interval, give or take a tenth, so that a fleet that started together does not stay in step. No
//! instance is asked again while it is being asked.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use super::targets::{Instance, Target};

/// Share of the interval by which each is moved, both ways together.
const JITTER: f64 = 0.2;
/// New instances are first asked within this, or within their interval where that is shorter; more per second only as the
/// fan-out allows.
const SPREAD: Duration = Duration::from_millis(500);

/// One probe to make.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// Who.
    pub instance: Instance,
    /// How.
    pub target: Target,
}

#[derive(Debug)]
struct Slot {
    target: Target,
    due: Duration,
    running: bool,
    asked: bool,
}

/// When everyone is asked.
#[derive(Debug, Default)]
pub struct Schedule {
    slots: BTreeMap<Instance, Slot>,
}

impl Schedule {
    /// Takes the instances that there are now. Known ones keep their place in time.
    pub fn update(&mut self, targets: BTreeMap<Instance, Target>, now: Duration, unit: impl Fn() -> f64) {
        let mut known = std::mem::take(&mut self.slots);
        for (instance, target) in targets {
            let slot = if let Some(slot) = known.remove(&instance) {
                // Another interval may be far shorter than what is left of the old one.
                Slot { due: slot.due.min(now + target.interval), target, ..slot }
            } else {
                let due = now + SPREAD.min(target.interval).mul_f64(unit());
                Slot { target, due, running: false, asked: false }
            };
            self.slots.insert(instance, slot);
        }
        // One that is still being asked keeps its place until the answer, or a return would be asked twice at once.
        self.slots.extend(known.into_iter().filter(|(_, slot)| slot.running).map(|(instance, slot)| {
            let gone = Slot { due: Duration::MAX, ..slot };
            (instance, gone)
        }));
    }

    /// At most `most` that are due, the longest due first; each is due again an interval later.
    pub fn due(&mut self, now: Duration, most: usize, unit: impl Fn() -> f64) -> Vec<Probe> {
        let mut due: Vec<_> = self.slots.iter_mut().filter(|(_, slot)| !slot.running && slot.due <= now).collect();
        due.sort_by_key(|(_, slot)| slot.due);
        due.into_iter()
            .take(most)
            .map(|(instance, slot)| {
                slot.running = true;
                slot.due = now + slot.target.interval.mul_f64(1.0 - JITTER / 2.0 + JITTER * unit());
                Probe { instance: instance.clone(), target: slot.target.clone() }
            })
            .collect()
    }

    /// The answer came, whatever it was.
    pub fn done(&mut self, instance: &Instance) {
        if let Some(slot) = self.slots.get_mut(instance) {
            slot.running = false;
            slot.asked = true;
            if slot.due == Duration::MAX {
                self.slots.remove(instance);
            }
        }
    }

    /// Whether everyone was asked at least once.
    pub fn all_asked(&self) -> bool {
        self.slots.values().all(|slot| slot.asked)
    }

    /// When the next one is due; may be in the past.
    pub fn next(&self) -> Option<Duration> {
        self.slots.values().filter(|slot| !slot.running).map(|slot| slot.due).min()
    }
}
