//! What goes wrong before the faults end.

use weir::policy::budget::{Connections, LEFT};

use super::pod::Life;
use super::random::Random;
use super::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    Random,
    NeverAnswered,
    VanishedUnled,
    RestartedUnled,
    AllOrphaned,
    FailedOver,
    StaleBesideDeath,
    LedgerDeleted,
    LateBudget,
}

/// Rounds after the end of the faults until everybody is served: the proof of a death (20), twice authentication_timeout and 10 s
/// (20), the second look (up to 10), the write and what is divided anew (10).
pub const SERVED: u64 = 60;

/// After a failover pods recover one after another, each in so many rounds.
pub const RECOVERS: u64 = 6;

/// Rounds until everybody has what is his: once a minute has passed since a server was left, and what was lost has been looked for.
pub const BOUND: u64 = SERVED + LEFT.as_secs() + 20;

impl Scenario {
    pub const ALL: [Self; 9] = [
        Self::Random,
        Self::NeverAnswered,
        Self::VanishedUnled,
        Self::RestartedUnled,
        Self::AllOrphaned,
        Self::FailedOver,
        Self::StaleBesideDeath,
        Self::LedgerDeleted,
        Self::LateBudget,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Random => "random faults",
            Self::NeverAnswered => "a pod that never answered",
            Self::VanishedUnled => "a pod vanished while nobody led",
            Self::RestartedUnled => "sidecars restarted while nobody led",
            Self::AllOrphaned => "all charges orphaned by a server crash",
            Self::FailedOver => "PostgreSQL failed over to a standby",
            Self::StaleBesideDeath => "a stale leader beside a death",
            Self::LedgerDeleted => "the ledger was deleted",
            Self::LateBudget => "a pool gets its budget late",
        }
    }

    /// The world at the end of the faults.
    pub fn prepare(self, seed: u64) -> World {
        let mut random = Random::new(seed ^ 0x5EED);
        let pods = 2 + random.index(11);
        let budget = 1 + random.below(u32::try_from(pods).unwrap_or(1) * 3);
        let budget = if self == Self::Random { budget } else { budget.max(2) };
        let mut world = World::new(seed, pods, budget, self != Self::LateBudget);
        let pod = random.index(pods);
        if self != Self::LateBudget {
            (0..random.below(20)).for_each(|_| world.step());
        }
        match self {
            Self::Random => {
                world.faulty = true;
                let percent = 2 + random.below(14);
                for _ in 0..5 + random.below(40) {
                    world.trouble(percent);
                    world.step();
                }
            }
            Self::NeverAnswered => {
                let mut world = World::new(seed, pods, budget, true);
                world.pods[pod].cut_off = true;
                (0..20).for_each(|_| world.step());
                // The others are served; it lives on, or it dies without ever having answered.
                if random.chance(50) {
                    world.die(pod);
                }
                return world;
            }
            Self::VanishedUnled => {
                world.leader = None;
                world.pods[pod].kill(&mut world.server);
                world.pods[pod].life = Life::Vanished(world.round + 10);
            }
            Self::RestartedUnled => {
                world.leader = None;
                for pod in &mut world.pods {
                    if random.chance(70) {
                        pod.kill(&mut world.server);
                    }
                }
            }
            Self::AllOrphaned => {
                world.crash(false);
            }
            Self::FailedOver => {
                if random.chance(50) {
                    world.die(pod);
                }
                world.fail_over(random.chance(50), random.chance(50));
            }
            Self::StaleBesideDeath => {
                world.stale = world.leader.take();
                world.die(pod);
                (0..1 + random.below(10)).for_each(|_| world.step());
            }
            Self::LedgerDeleted => {
                world.stored = None;
                world.leader = None;
                world.spec.budget = Connections::at_most(2 + random.below(30));
                world.spec.generation += 1;
            }
            Self::LateBudget => {
                let now = world.now();
                for of in &mut world.pods {
                    while of.connect(&mut world.server, now, false) {}
                }
            }
        }
        world
    }
}
