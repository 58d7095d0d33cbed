//! The time that a client has a server connection: what of it the figures show.
//!
//! No clock is read: the loop's time is that of its last wake-up.

use std::time::Instant;

use super::Figures;
use crate::sidecar::state::Pins;

/// Of one server connection. A transaction begins when it is attached, or, for a client that keeps it, with the first message after
/// the end of the one before; and ends when it is given back, or when it is known that the client keeps it. A query is from a message
/// to the ReadyForQuery that leaves nothing owed, so a batch of several is one.
#[derive(Debug, Default)]
pub struct Tenure {
    /// When the client got it; none once it has sent a message.
    attached: Option<Instant>,
    transaction: Option<Instant>,
    query: Option<Instant>,
    /// Why the client keeps it.
    pins: Pins,
}

impl Tenure {
    /// A client gets the connection.
    pub fn begin(&mut self, now: Instant) {
        *self = Self { attached: Some(now), ..Self::default() };
    }

    /// What the client sent was passed on, and the server owes something.
    #[inline]
    pub fn sent(&mut self, now: Instant) {
        if self.query.is_none() {
            self.query = Some(now);
            if self.transaction.is_none() {
                self.transaction = Some(self.attached.take().unwrap_or(now));
            }
        }
    }

    /// The server owes nothing, and has said so.
    #[inline]
    pub fn answered(&mut self, figures: &Figures, now: Instant) {
        if let Some(since) = self.query.take() {
            figures.queries.record(now.saturating_duration_since(since));
        }
    }

    /// A transaction is over, and the client keeps the connection: for these reasons, or for its session.
    #[inline]
    pub fn keep(&mut self, figures: &Figures, now: Instant, pins: Pins) {
        if let Some(since) = self.transaction.take() {
            figures.transactions.record(now.saturating_duration_since(since));
        }
        figures.pinned.change(self.pins, pins);
        self.pins = pins;
    }

    /// The client and the connection part.
    pub fn end(&mut self, figures: &Figures, now: Instant) {
        self.keep(figures, now, Pins::NONE);
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sidecar::figures::read;
    use crate::sidecar::state::Pin;
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::Duration;

    /// Counts and milliseconds of transactions, and of queries.
    fn shown(figures: &Figures) -> [(u64, u64); 2] {
        [&figures.transactions, &figures.queries].map(|histogram| (histogram.count(), read(&histogram.micros) / 1000))
    }

    #[test]
    fn a_transaction_lasts_from_attach_to_give_back_and_a_query_while_something_is_owed() {
        let (figures, start) = (Figures::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        let mut tenure = Tenure::default();
        tenure.begin(at(0));
        // Start-up parameters were set first.
        tenure.sent(at(3));
        tenure.sent(at(4));
        tenure.answered(&figures, at(10));
        tenure.answered(&figures, at(11));
        tenure.sent(at(20));
        tenure.answered(&figures, at(21));
        assert_eq!(shown(&figures), [(0, 0), (2, 8)]);
        tenure.end(&figures, at(30));
        assert_eq!(shown(&figures), [(1, 30), (2, 8)]);
    }

    #[test]
    fn who_keeps_the_connection_has_a_transaction_only_from_its_next_message() {
        let (figures, start) = (Figures::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        let mut tenure = Tenure::default();
        tenure.begin(at(0));
        tenure.sent(at(0));
        tenure.answered(&figures, at(5));
        tenure.keep(&figures, at(6), Pin::Listen.into());
        tenure.keep(&figures, at(7), Pin::Listen.into());
        assert_eq!((shown(&figures), figures.pinned.clients.load(Relaxed)), ([(1, 6), (1, 5)], 1));
        tenure.sent(at(1000));
        tenure.answered(&figures, at(1001));
        tenure.keep(&figures, at(1002), Pin::Listen.into());
        tenure.end(&figures, at(2000));
        assert_eq!((shown(&figures), figures.pinned.clients.load(Relaxed)), ([(2, 8), (2, 6)], 0));
    }

    #[test]
    fn a_client_that_asked_nothing_had_no_transaction() {
        let (figures, start) = (Figures::default(), Instant::now());
        let mut tenure = Tenure::default();
        tenure.begin(start);
        tenure.end(&figures, start + Duration::from_secs(1));
        assert_eq!(shown(&figures), [(0, 0), (0, 0)]);
    }
}
