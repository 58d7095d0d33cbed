//! The steps, and which of them there are in a state.

use weir::policy::budget::Epoch;
use weir::policy::budget::exchange::Digest;

use crate::bounds::{Bounds, Trouble};
use crate::leader::Leader;
use crate::pod::LIMIT;
use crate::world::{PODS, World};

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Move {
    /// Leader claims the ledger; its write succeeds.
    Claim(usize),
    /// Its write is on its way, its outcome unknown.
    ClaimLate(usize),
    /// It reads whether it leads.
    ReadClaim(usize),
    /// It hears a pod's hello, and asks it.
    Ask(usize, usize),
    /// It orders a pod to have so many.
    Order(usize, usize, u32),
    /// An answer reaches it.
    Hear(usize, Digest),
    /// It writes, and knows that it succeeded (or that another has written).
    Write(usize, Wish),
    /// It writes, and nobody knows the outcome.
    WriteLate(usize, Wish),
    /// It learns that a pod is dead, and the judge looks.
    Bury(usize, usize),
    /// It ends.
    Stop(usize),
    /// A late write arrives at the API server.
    Land(usize),
    /// A message reaches a pod.
    Deliver(usize, Digest, Echo),
    /// It answers what it took before.
    Answer(usize),
    /// It opens a connection.
    Connect(usize),
    /// It has more than it may, and closes one; its backend lives on.
    Close(usize),
    /// It receives a reset for one; its backend lives on.
    Reset(usize),
    /// It stops in order.
    Finish(usize),
    /// The process is killed, and another starts.
    Kill(usize),
    /// Its process is killed, and none starts any more.
    Die(usize),
    /// The backend of a socket that is open ends.
    End(usize),
    /// All backends end whose sockets are gone.
    Leave,
    /// The spec's budget changes.
    Budget(u32),
    /// The spec's limit is lowered, or raised again.
    Limit(u32),
}

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Echo {
    /// The pod answers at once, and the leader hears it at once.
    Heard,
    /// It is to come, perhaps never.
    Late,
    /// The process is killed when the message is in its journal.
    Killed,
}

/// What a leader wants to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wish {
    /// As much as the budget.
    All,
    /// No more than is needed.
    Least,
}

pub fn possible(bounds: &Bounds, world: &World, moves: &mut Vec<Move>) {
    let may = |trouble| world.spend(bounds, trouble).is_some();
    for leader in 0..world.leaders.len() {
        leader_moves(bounds, world, leader, moves);
    }
    moves.extend((0..world.late.len()).map(Move::Land));
    for pod in 0..PODS {
        pod_moves(bounds, world, pod, moves);
    }
    let judged = world.pods.iter().any(|pod| pod.dead);
    moves.extend((judged && world.backends.iter().any(|backend| !world.has_socket(backend))).then_some(Move::Leave));
    if may(Trouble::Limit) {
        let other = (1..=LIMIT).filter(|limit| *limit != world.limit);
        moves.extend(other.map(Move::Limit));
    }
    if may(Trouble::Budget) {
        let other = (1..=bounds.budget + 1).filter(|budget| *budget != world.spec.budget.get());
        moves.extend(other.map(Move::Budget));
    }
}

fn pod_moves(bounds: &Bounds, world: &World, pod: usize, moves: &mut Vec<Move>) {
    let may = |trouble| world.spend(bounds, trouble).is_some();
    let of = &world.pods[pod];
    let Some(process) = &of.process else { return };
    for digest in world.sent.iter().filter(|digest| of.fact(digest, |of| of.may_take(**digest))) {
        moves.push(Move::Deliver(pod, *digest, Echo::Heard));
        moves.extend(may(Trouble::LateAnswer).then_some(Move::Deliver(pod, *digest, Echo::Late)));
        moves.extend(may(Trouble::Kill).then_some(Move::Deliver(pod, *digest, Echo::Killed)));
    }
    moves.extend(process.waits.is_some().then_some(Move::Answer(pod)));
    if process.attempts < process.attempts_before + bounds.attempts {
        moves.push(Move::Connect(pod));
    }
    if !process.open.is_empty() {
        moves.push(Move::End(pod));
        if may(Trouble::Loss) {
            moves.push(if world.figures(pod).beyond { Move::Close(pod) } else { Move::Reset(pod) });
        }
    }
    moves.extend((!process.finishing && may(Trouble::Finish)).then_some(Move::Finish(pod)));
    moves.extend(may(Trouble::Kill).then_some(Move::Kill(pod)));
    // Who died before there was a ledger is not promised anything about.
    let counted = Option::is_some(&world.stored);
    moves.extend((counted && may(Trouble::Death)).then_some(Move::Die(pod)));
}

fn leader_moves(bounds: &Bounds, world: &World, leader: usize, moves: &mut Vec<Move>) {
    let may = |trouble| world.spend(bounds, trouble).is_some();
    let other = matches!(*world.leaders[1 - leader], Leader::Leads { .. });
    let Some(figures) = world.leads(leader) else {
        if matches!(*world.leaders[leader], Leader::Claiming { .. }) {
            moves.push(Move::ReadClaim(leader));
        }
        // Who claims where nobody leads is all the same.
        if (other && may(Trouble::Takeover)) || (!other && leader == 0) {
            moves.push(Move::Claim(leader));
        }
        moves.extend(may(Trouble::LateClaim).then_some(Move::ClaimLate(leader)));
        return;
    };
    let first = figures.epoch == Epoch::FIRST && world.sent_before > 0;
    let most = if first { world.sent_before + u64::from(bounds.messages_first) } else { bounds.messages.into() };
    // Where the pods are alike, every path has one that is its mirror image: the first message goes to the first.
    let pods = if world.alike { 1 } else { PODS };
    let may_send = figures.sent < most && world.used.messages < bounds.messages_all;
    for pod in (0..pods).filter(|_| may_send) {
        let Some(standing) = figures.pods[pod] else { continue };
        let of = world.figures(pod);
        let new_boot = of.boot.is_some() && of.boot != figures.boots[pod];
        // Another question while one is under way to the same boot is the same question.
        let asked = standing.asked && !new_boot;
        let teaches = new_boot || standing.held.is_none_or(|held| of.cap != held.get());
        moves.extend((!asked && teaches).then_some(Move::Ask(leader, pod)));
        let orders = (0..=LIMIT).filter(|want| standing.held.is_some_and(|held| held.get() != *want));
        moves.extend(orders.map(|want| Move::Order(leader, pod, want)));
    }
    moves.extend((0..PODS).filter(|pod| world.pods[*pod].dead).map(|pod| Move::Bury(leader, pod)));
    moves.extend(world.answers.keys().map(|digest| Move::Hear(leader, *digest)));
    if world.used.writes < bounds.writes {
        for wish in [Wish::All, Wish::Least] {
            moves.push(Move::Write(leader, wish));
            moves.extend(may(Trouble::LateWrite).then_some(Move::WriteLate(leader, wish)));
        }
    }
    moves.extend(may(Trouble::Stop).then_some(Move::Stop(leader)));
}
