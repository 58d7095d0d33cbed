//! Two leaders, two pods with boots that restart, and a network that delivers what was ever sent, anywhere, any number of times.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// A leader asks a pod, and remembers the answer.
    Hello { leader: usize, pod: usize },
    /// A leader sends to the boot that it last heard of, with the nonce that it last heard, or without.
    Send { leader: usize, pod: usize, nonce: bool, order: bool },
    /// Something that was sent reaches a pod.
    Deliver { which: prop::sample::Index, pod: usize },
    /// Time passes.
    Wait { millis: u64 },
    /// The sidecar of a pod starts anew, with what its journal tells.
    Restart { pod: usize },
    /// A leader is replaced by one of a higher epoch.
    Claim { leader: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..2usize, 0..2usize).prop_map(|(leader, pod)| Step::Hello { leader, pod }),
        5 => (0..2usize, 0..2usize, any::<bool>(), any::<bool>())
            .prop_map(|(leader, pod, nonce, order)| Step::Send { leader, pod, nonce, order }),
        6 => (any::<prop::sample::Index>(), 0..2usize).prop_map(|(which, pod)| Step::Deliver { which, pod }),
        1 => (0..3_000u64).prop_map(|millis| Step::Wait { millis }),
        1 => (0..2usize).prop_map(|pod| Step::Restart { pod }),
        1 => (0..2usize).prop_map(|leader| Step::Claim { leader }),
    ]
}

fn uid(pod: usize) -> PodUid {
    PodUid::new(&format!("pod-{pod}")).unwrap()
}

struct Leader {
    epoch: u64,
    /// The number of its last message.
    last: u64,
    /// What each pod last told it, and when.
    heard: [Option<(Hello, Duration)>; 2],
}

struct World {
    now: Duration,
    boots: [Boot; 2],
    ids: [BootId; 2],
    leaders: [Leader; 2],
    highest: u64,
    started: u8,
    /// With the time of the hello that its nonce came from.
    sent: Vec<(Verified, Option<Duration>)>,
    /// Journals.
    fences: [Option<Fence>; 2],
    /// Boots by the epochs that they have taken something of.
    opened: BTreeSet<(BootId, Epoch)>,
    taken: usize,
}

impl World {
    fn new() -> Self {
        let boots = [0u8, 1].map(|pod| Boot::new(pool(), uid(pod.into()), BootId([pod; 16]), None));
        Self {
            now: Duration::ZERO,
            boots,
            ids: [0, 1].map(|pod| BootId([pod; 16])),
            leaders: [1, 2].map(|epoch| Leader { epoch, last: 0, heard: [None, None] }),
            highest: 2,
            started: 1,
            sent: Vec::new(),
            fences: [None; 2],
            opened: BTreeSet::new(),
            taken: 0,
        }
    }

    fn step(&mut self, step: &Step, random: u8) -> Result<(), TestCaseError> {
        match *step {
            Step::Hello { leader, pod } => {
                let hello = self.boots[pod].hello(self.now, [random; 16], &Keys::default());
                self.leaders[leader].heard[pod] = Some((hello, self.now));
            }
            Step::Send { leader, pod, nonce, order } => {
                let Leader { epoch, last, heard } = &mut self.leaders[leader];
                let Some((hello, at)) = &heard[pod] else { return Ok(()) };
                *last += 1;
                let statement = Statement {
                    pod: uid(pod),
                    boot: hello.boot,
                    nonce: nonce.then_some(hello.nonce),
                    epoch: super::epoch(*epoch),
                    sequence: sequence(*last),
                    order: statement().order.filter(|_| order),
                    ..statement()
                };
                let bytes = statement.sign(&key(1).0).bytes;
                self.sent.push((Verified::open(&bytes, &keys()).unwrap(), nonce.then_some(*at)));
            }
            Step::Deliver { ref which, pod } if !self.sent.is_empty() => {
                let (message, heard) = which.get(&self.sent).clone();
                self.deliver(&message, heard, pod)?;
            }
            Step::Deliver { .. } => {}
            Step::Wait { millis } => self.now += ms(millis),
            Step::Restart { pod } => {
                self.started += 1;
                self.ids[pod] = BootId([self.started; 16]);
                self.boots[pod] = Boot::new(pool(), uid(pod), self.ids[pod], self.fences[pod]);
            }
            Step::Claim { leader } => {
                self.highest += 1;
                self.leaders[leader].epoch = self.highest;
                self.leaders[leader].last = 0;
            }
        }
        Ok(())
    }

    fn deliver(&mut self, message: &Verified, heard: Option<Duration>, pod: usize) -> Result<(), TestCaseError> {
        let before = self.boots[pod].clone();
        let Ok(taken) = self.boots[pod].take(self.now, message.clone()) else {
            prop_assert_eq!(&before, &self.boots[pod], "a refusal changed something");
            return Ok(());
        };
        self.taken += 1;
        let statement = message.statement();
        prop_assert_eq!((&statement.pod, statement.boot), (&uid(pod), self.ids[pod]));
        prop_assert!(self.fences[pod] < Some(taken.fence), "acceptance is monotone");
        prop_assert_eq!(taken.fence, statement.fence());
        if self.opened.insert((statement.boot, statement.epoch)) {
            let young = heard.is_some_and(|at| self.now < at + NONCE_VALID);
            prop_assert!(young, "the first of an epoch was made before the boot's last 2 s");
        }
        self.fences[pod] = Some(taken.fence);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn acceptance_is_monotone(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for (step, random) in steps.iter().zip(1..) {
            world.step(step, random)?;
        }
    }
}

/// The property above is about something.
#[test]
fn the_walk_takes_messages_of_both_leaders() {
    let mut world = World::new();
    for (leader, random) in [(0, 1), (1, 2)] {
        for step in [
            Step::Hello { leader, pod: 0 },
            Step::Send { leader, pod: 0, nonce: true, order: false },
            Step::Send { leader, pod: 0, nonce: false, order: true },
        ] {
            world.step(&step, random).unwrap();
        }
    }
    for message in world.sent.clone() {
        world.deliver(&message.0, message.1, 0).unwrap();
    }
    assert_eq!(world.taken, 4);
    for message in world.sent.clone() {
        world.deliver(&message.0, message.1, 0).unwrap();
    }
    assert_eq!(world.taken, 4);
}
