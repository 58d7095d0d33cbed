//! Whether the loop still turns, and how its figures are now. An idle loop sleeps, so it is woken and has to take one turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use crate::sidecar::figures::{Command, Commander, Figures};

/// A turn takes microseconds; one that took this long has stopped.
const PATIENCE: Duration = Duration::from_secs(1);
/// An answer this old is given again: whoever floods the endpoint wakes the loop twice a second and no more.
const FRESH: Duration = Duration::from_millis(500);

pub(super) struct Heartbeat {
    figures: Arc<Figures>,
    commander: Commander,
    /// Held while a beat is awaited, so that all who ask meanwhile share it.
    last: Mutex<Option<(Instant, bool)>>,
    published: Mutex<Option<Instant>>,
}

impl Heartbeat {
    pub(super) fn new(figures: Arc<Figures>, commander: Commander) -> Self {
        Self { figures, commander, last: Mutex::new(None), published: Mutex::new(None) }
    }

    pub(super) async fn beats(&self) -> bool {
        let mut last = self.last.lock().await;
        if let Some((at, beats)) = *last
            && at.elapsed() < FRESH
        {
            return beats;
        }
        let beats = self.await_turn().await;
        *last = Some((Instant::now(), beats));
        beats
    }

    /// Lets the loop publish the figures that it does not publish at each change. A loop that does not turn leaves them as they are.
    pub(super) async fn publishes(&self) {
        let mut last = self.published.lock().await;
        if last.is_none_or(|at| at.elapsed() >= FRESH) {
            let before = self.figures.published.load(Ordering::Relaxed);
            self.commander.send(Command::Publish);
            moves(&self.figures.published, before).await;
            *last = Some(Instant::now());
        }
    }

    /// Ends once the loop has not turned for `bound`: it then neither serves clients nor can be told to stop.
    pub(super) async fn stops(&self, bound: Duration) {
        loop {
            let before = self.figures.turns.load(Ordering::Relaxed);
            self.commander.wake();
            sleep(bound).await;
            // After the whole process stood still (a frozen cgroup) the loop gets its chance first.
            if self.figures.turns.load(Ordering::Relaxed) == before && !self.await_turn().await {
                return;
            }
        }
    }

    async fn await_turn(&self) -> bool {
        let before = self.figures.turns.load(Ordering::Relaxed);
        self.commander.wake();
        moves(&self.figures.turns, before).await
    }
}

/// Whether a counter gets past what it was, before our patience ends.
async fn moves(counter: &AtomicU64, before: u64) -> bool {
    let until = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(1);
    loop {
        if counter.load(Ordering::Relaxed) != before {
            return true;
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        sleep(pause.min(left)).await;
        pause *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sidecar::figures::commands;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_does_not_turn_is_dead_after_a_second_and_the_answer_is_shared() {
        let (commander, _commands) = commands().unwrap();
        let figures = Arc::new(Figures::default());
        let heart = Heartbeat::new(Arc::clone(&figures), commander);
        let start = Instant::now();
        let (one, two) = tokio::join!(heart.beats(), heart.beats());
        assert_eq!((one, two), (false, false));
        assert!(start.elapsed() >= PATIENCE && start.elapsed() < 2 * PATIENCE + FRESH, "{:?}", start.elapsed());

        // It turns again, and that is noticed once the old answer is stale.
        sleep(FRESH).await;
        let turning = async {
            sleep(Duration::from_millis(5)).await;
            figures.turns.fetch_add(1, Ordering::Relaxed);
        };
        let (beats, ()) = tokio::join!(heart.beats(), turning);
        assert!(beats);
        assert!(heart.beats().await, "and stands for half a second");
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_does_not_turn_holds_nobody_up_who_reads_its_figures() {
        let (commander, _commands) = commands().unwrap();
        let figures = Arc::new(Figures::default());
        let heart = Heartbeat::new(Arc::clone(&figures), commander);
        let start = Instant::now();
        tokio::join!(heart.publishes(), heart.publishes());
        assert_eq!(start.elapsed(), PATIENCE);
        heart.publishes().await;
        assert_eq!(start.elapsed(), PATIENCE, "and not again at once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_is_told_once_the_bound_is_over_and_not_while_it_turns() {
        let (commander, _commands) = commands().unwrap();
        let figures = Arc::new(Figures::default());
        let heart = Heartbeat::new(Arc::clone(&figures), commander);
        let (bound, start) = (Duration::from_secs(30), Instant::now());
        let turning = async {
            for _ in 0..100 {
                sleep(Duration::from_secs(10)).await;
                figures.turns.fetch_add(1, Ordering::Relaxed);
            }
        };
        let ((), ()) = tokio::join!(heart.stops(bound), turning);
        let told = start.elapsed().saturating_sub(Duration::from_secs(1000));
        assert!(told > Duration::ZERO && told <= 2 * bound + PATIENCE, "{told:?}");
    }
}
