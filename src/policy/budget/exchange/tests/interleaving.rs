//! Two leaders, two pods with boots that restart and end, journals that are written later, and a network that delivers what was ever
//! sent, anywhere, any number of times.

use std::cmp::Ordering;
use std::collections::{BTreeSet, VecDeque};

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
    /// Something that a pod accepted gets on its disk.
    Write { which: prop::sample::Index, pod: usize },
    /// A boot learns of the next record that is on its disk.
    Tell { pod: usize },
    /// A boot wants to end.
    End { pod: usize },
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
        5 => (any::<prop::sample::Index>(), 0..2usize).prop_map(|(which, pod)| Step::Write { which, pod }),
        5 => (0..2usize).prop_map(|pod| Step::Tell { pod }),
        1 => (0..2usize).prop_map(|pod| Step::End { pod }),
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

/// On its way to a journal, and then to the boot.
#[derive(Clone)]
enum Record {
    Message(Accepted),
    Last(LastRecord),
}

impl Record {
    fn place(&self) -> Option<Fence> {
        match self {
            Self::Message(accepted) => Some(accepted.fence()),
            Self::Last(last) => last.fence(),
        }
    }

    fn grant(&self) -> Option<Connections> {
        match self {
            Self::Message(accepted) => accepted.order().map(|order| order.grant),
            Self::Last(last) => Some(last.grant()),
        }
    }
}

#[derive(Default)]
struct Journal {
    waiting: Vec<Record>,
    disk: Vec<Record>,
    /// On disk, and the boot doesn't know.
    untold: VecDeque<Record>,
}

impl Journal {
    /// What a later boot continues with, but for messages above `last`.
    fn read(&self, last: Option<Fence>) -> (Option<Fence>, Option<Connections>) {
        let records = self.disk.iter().filter(|record| record.place() <= last);
        records.fold((None, None), |(fence, grant), record| match record.place().cmp(&fence) {
            Ordering::Less => (fence, grant),
            Ordering::Equal => (fence, [record.grant(), grant].into_iter().flatten().min()),
            Ordering::Greater => (record.place(), record.grant().or(grant)),
        })
    }

    fn write(&mut self, which: usize) {
        let record = self.waiting.remove(which);
        self.disk.push(record.clone());
        self.untold.push_back(record);
    }

    fn fence(&self) -> Option<Fence> {
        self.disk.iter().filter_map(Record::place).max()
    }
}

struct World {
    now: Duration,
    boots: [Boot; 2],
    ids: [BootId; 2],
    /// What each boot honours.
    honoured: [Option<Connections>; 2],
    journals: [Journal; 2],
    leaders: [Leader; 2],
    highest: u64,
    started: u8,
    /// With the time of the hello that its nonce came from.
    sent: Vec<(Verified, Option<Duration>)>,
    /// Boots by the epochs that they have accepted something of.
    opened: BTreeSet<(BootId, Epoch)>,
    taken: usize,
    last_words: usize,
}

impl World {
    fn new() -> Self {
        let boots = [0u8, 1].map(|pod| Boot::new(pool(), uid(pod.into()), BootId([pod; 16]), None));
        Self {
            now: Duration::ZERO,
            boots,
            ids: [0, 1].map(|pod| BootId([pod; 16])),
            honoured: [None; 2],
            journals: [Journal::default(), Journal::default()],
            leaders: [1, 2].map(|epoch| Leader { epoch, last: 0, heard: [None, None] }),
            highest: 2,
            started: 1,
            sent: Vec::new(),
            opened: BTreeSet::new(),
            taken: 0,
            last_words: 0,
        }
    }

    fn step(&mut self, step: &Step, random: u8) -> Result<(), TestCaseError> {
        match *step {
            Step::Hello { leader, pod } => {
                let hello = self.boots[pod].hello(self.now, [random; 16], &Keys::default());
                let known = self.journals[pod].fence().map(|fence| fence.epoch);
                prop_assert!(hello.epoch <= known, "a hello tells more than a later boot would know");
                self.leaders[leader].heard[pod] = Some((hello, self.now));
            }
            Step::Send { leader, pod, nonce, order } => self.send(leader, pod, nonce, order),
            Step::Deliver { ref which, pod } if !self.sent.is_empty() => {
                let (message, heard) = which.get(&self.sent).clone();
                self.deliver(message, heard, pod)?;
            }
            Step::Write { ref which, pod } if !self.journals[pod].waiting.is_empty() => {
                let which = which.index(self.journals[pod].waiting.len());
                self.journals[pod].write(which);
            }
            Step::Deliver { .. } | Step::Write { .. } => {}
            Step::Tell { pod } => self.tell(pod)?,
            Step::End { pod } => self.journals[pod].waiting.push(Record::Last(self.boots[pod].last_record())),
            Step::Wait { millis } => self.now += ms(millis),
            Step::Restart { pod } => {
                self.started += 1;
                self.ids[pod] = BootId([self.started; 16]);
                let (fence, grant) = self.journals[pod].read(self.journals[pod].fence());
                prop_assert!(fence >= self.boots[pod].fence(), "a restart lowers the fence");
                self.boots[pod] = Boot::new(pool(), uid(pod), self.ids[pod], fence);
                self.honoured[pod] = grant;
                self.journals[pod].waiting.clear();
                self.journals[pod].untold.clear();
            }
            Step::Claim { leader } => {
                self.highest += 1;
                self.leaders[leader].epoch = self.highest;
                self.leaders[leader].last = 0;
            }
        }
        Ok(())
    }

    fn send(&mut self, leader: usize, pod: usize, nonce: bool, order: bool) {
        let Leader { epoch, last, heard } = &mut self.leaders[leader];
        let Some((hello, at)) = &heard[pod] else { return };
        *last += 1;
        let grant = connections(u32::try_from(*last).unwrap());
        let statement = Statement {
            pod: uid(pod),
            boot: hello.boot,
            nonce: nonce.then_some(hello.nonce),
            epoch: super::epoch(*epoch),
            sequence: sequence(*last),
            order: statement().order.filter(|_| order).map(|order| Order { grant, ..order }),
            ..statement()
        };
        let bytes = statement.sign(&key(1).0).bytes;
        self.sent.push((Verified::open(&bytes, &keys()).unwrap(), nonce.then_some(*at)));
    }

    fn deliver(&mut self, message: Verified, heard: Option<Duration>, pod: usize) -> Result<(), TestCaseError> {
        let statement = message.statement().clone();
        let Ok(accepted) = self.boots[pod].take(self.now, message) else { return Ok(()) };
        prop_assert_eq!((&statement.pod, statement.boot), (&uid(pod), self.ids[pod]));
        prop_assert!(self.boots[pod].fence() < Some(accepted.fence()), "acceptance is monotone");
        prop_assert_eq!(accepted.fence(), statement.fence());
        prop_assert!(accepted.order().is_none() || !self.boots[pod].has_ended(), "an ended boot takes no order");
        if self.opened.insert((statement.boot, statement.epoch)) {
            let young = heard.is_some_and(|at| self.now < at + NONCE_VALID);
            prop_assert!(young, "the first of an epoch was made before the boot's last 2 s");
        }
        self.journals[pod].waiting.push(Record::Message(accepted));
        Ok(())
    }

    fn tell(&mut self, pod: usize) -> Result<(), TestCaseError> {
        let Some(record) = self.journals[pod].untold.pop_front() else { return Ok(()) };
        let before = self.boots[pod].clone();
        match &record {
            Record::Last(last) => {
                if self.boots[pod].end(last).is_ok() {
                    self.honoured[pod] = Some(last.grant());
                }
            }
            Record::Message(accepted) => {
                if let Ok(taken) = self.boots[pod].journalled(accepted) {
                    self.answer(pod, &taken)?;
                } else {
                    prop_assert_eq!(&before, &self.boots[pod], "a refusal changed something");
                }
            }
        }
        prop_assert!(before.fence() <= self.boots[pod].fence(), "the fence fell");
        if self.journals[pod].untold.is_empty() {
            let (fence, grant) = self.journals[pod].read(self.journals[pod].fence());
            prop_assert_eq!(
                (self.boots[pod].fence(), self.honoured[pod]),
                (fence, grant),
                "a restart changes something"
            );
        }
        Ok(())
    }

    /// Honours and answers, with nothing charged.
    fn answer(&mut self, pod: usize, taken: &Taken) -> Result<(), TestCaseError> {
        self.taken += 1;
        if let Some(order) = taken.order() {
            self.honoured[pod] = Some(order.grant);
        }
        let report = Report { grant: self.honoured[pod], ..Report::default() };
        let answer = self.boots[pod].answer(taken, report);
        prop_assert_eq!(answer.epoch, taken.fence().epoch);
        if answer.said == Said::Final {
            self.last_words += 1;
            // What is above was sent after it: its leader waits for another answer.
            let (_, grant) = self.journals[pod].read(Some(taken.fence()));
            prop_assert_eq!(grant, Some(Connections::NONE), "a later boot continues with a grant that was given back");
        }
        Ok(())
    }

    /// Delivers everything in the order in which it was sent, and journals it at once.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        for (message, heard) in self.sent.clone() {
            self.deliver(message, heard, 0)?;
            if !self.journals[0].waiting.is_empty() {
                self.journals[0].write(0);
            }
            self.tell(0)?;
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn acceptance_is_monotone(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for (step, random) in steps.iter().zip(1..) {
            world.step(step, random)?;
        }
    }
}

/// The property above is about something.
#[test]
fn the_walk_takes_messages_of_both_leaders_and_comes_to_an_end() {
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
    for _ in 0..2 {
        world.settle().unwrap();
        assert_eq!((world.taken, world.last_words), (4, 0));
    }
    world.step(&Step::End { pod: 0 }, 3).unwrap();
    world.settle().unwrap();
    world.step(&Step::Send { leader: 1, pod: 0, nonce: false, order: true }, 3).unwrap();
    world.settle().unwrap();
    assert_eq!((world.taken, world.last_words), (5, 1));
}
