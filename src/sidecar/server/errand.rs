//! Statements of our own on a server connection that no client uses: sent in one piece, their answers collected.

use crate::sidecar::wire::{Malformed, Parameters, Refusal, message as put_whole, next};

/// Longest message that is read here; rows are short, errors may quote.
const MESSAGE_MAX: u32 = 64 * 1024;
/// Bytes of rows and notifications that are kept; what comes beyond is a server that does not answer what it was asked.
const ROWS_MAX: usize = 4 * 1024 * 1024;

/// What came for one statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// Bodies of its DataRow messages.
    pub rows: Vec<Box<[u8]>>,
    /// It failed.
    pub error: Option<Refusal>,
}

/// Statements that were sent and whose answers are awaited.
#[derive(Debug)]
pub struct Errand {
    /// ReadyForQuery messages still to come.
    left: u32,
    replies: Vec<Reply>,
    reply: Reply,
    /// The current statement has said how it ended. A ReadyForQuery before that belongs to someone else.
    ended: bool,
    bytes: usize,
    /// Whole NotificationResponse messages, which are a client's.
    notifications: Vec<u8>,
    /// Transaction status at the end, and the one that it must be.
    status: u8,
    within: u8,
}

impl Errand {
    /// So many statements were sent, each ended by its own ReadyForQuery, outside of a transaction.
    pub fn new(statements: u32) -> Self {
        Self::within(statements, b'I')
    }

    /// The same, to end in this transaction status.
    pub fn within(left: u32, within: u8) -> Self {
        let (replies, notifications) = (Vec::new(), Vec::new());
        Self { left, replies, reply: Reply::default(), ended: false, bytes: 0, notifications, status: within, within }
    }

    /// Reads whole messages off the start of `data` and returns how many bytes were used; the rest must come again with more.
    /// [`Errand::done`] then tells whether that was all.
    pub fn feed(&mut self, data: &[u8], parameters: &mut Parameters) -> Result<usize, Malformed> {
        let mut rest = data;
        while self.left > 0
            && let Some(message) = next(&mut rest, MESSAGE_MAX)?
        {
            match message.kind {
                b'S' => report(message.body, parameters),
                b'D' => self.row(message.body)?,
                b'E' => {
                    self.reply.error = Some(Refusal::from_server(message.body));
                    self.ended = true;
                }
                b'C' | b'I' => self.ended = true,
                b'Z' => {
                    let [status] = *message.body else { return Err(Malformed::Fields) };
                    if !std::mem::take(&mut self.ended) {
                        return Err(Malformed::Answer(b'Z'));
                    }
                    self.status = status;
                    self.left -= 1;
                    self.replies.push(std::mem::take(&mut self.reply));
                }
                b'A' => {
                    self.count(message.body.len())?;
                    put_whole(&mut self.notifications, b'A', |out| out.extend_from_slice(message.body));
                }
                b'1' | b'2' | b'3' | b'T' | b'n' | b'N' => {}
                kind => return Err(Malformed::Answer(kind)),
            }
        }
        Ok(data.len() - rest.len())
    }

    /// All replies, once all are there and the transaction status is the one that it must be.
    pub fn done(&mut self) -> Option<Vec<Reply>> {
        (self.left == 0 && self.status == self.within).then(|| std::mem::take(&mut self.replies))
    }

    /// What came for the client meanwhile.
    pub fn notifications(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.notifications)
    }

    /// The last error, of a statement whose ReadyForQuery has not come.
    pub fn last_error(&self) -> Option<&Refusal> {
        self.reply.error.as_ref()
    }

    fn row(&mut self, body: &[u8]) -> Result<(), Malformed> {
        self.count(body.len())?;
        self.reply.rows.push(body.into());
        Ok(())
    }

    fn count(&mut self, bytes: usize) -> Result<(), Malformed> {
        self.bytes += bytes;
        if self.bytes > ROWS_MAX {
            return Err(Malformed::TooLong(u32::try_from(self.bytes).unwrap_or(u32::MAX)));
        }
        Ok(())
    }
}

/// A ParameterStatus message.
pub fn report(body: &[u8], parameters: &mut Parameters) {
    let mut texts = body.split(|byte| *byte == 0);
    if let (Some(name), Some(value)) = (texts.next(), texts.next()) {
        parameters.set(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sidecar::wire::{fatal, message};
    use proptest::prelude::*;

    fn put(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        message(&mut out, kind, |out| out.extend_from_slice(body));
        out
    }

    fn answers() -> Vec<u8> {
        let mut error = Vec::new();
        fatal(*b"42704", "unrecognized").encode(&mut error);
        [
            put(b'T', b"\0\0"),
            put(b'D', b"\0\x02\0\0\0\x02ab\xff\xff\xff\xff"),
            put(b'C', b"SELECT 1\0"),
            put(b'Z', b"I"),
            put(b'S', b"TimeZone\0UTC\0"),
            error,
            put(b'Z', b"I"),
        ]
        .concat()
    }

    proptest! {
        #[test]
        fn collects_the_same_however_the_bytes_are_cut(cuts in proptest::collection::vec(1_usize..40, 1..20)) {
            let data = answers();
            let (mut errand, mut parameters) = (Errand::new(2), Parameters::default());
            let (mut at, mut end) = (0, 0);
            let mut cuts = cuts.into_iter().cycle();
            while end < data.len() {
                end = (end + cuts.next().unwrap_or(1)).min(data.len());
                at += errand.feed(&data[at..end], &mut parameters).unwrap();
            }
            prop_assert_eq!(at, data.len());
            let replies = errand.done().unwrap();
            prop_assert_eq!(&replies[0].rows, &vec![Box::from(&b"\0\x02\0\0\0\x02ab\xff\xff\xff\xff"[..])]);
            prop_assert_eq!(replies[1].error.as_ref().map(Refusal::code), Some("42704".to_owned()));
            prop_assert_eq!(parameters.get(b"TimeZone"), Some(&b"UTC"[..]));
        }

        #[test]
        fn never_panics(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Errand::new(1).feed(&data, &mut Parameters::default());
            let _ = Errand::new(1).feed(&put(b'D', &data), &mut Parameters::default());
        }
    }

    #[test]
    fn a_ready_for_query_of_someone_else_ends_the_connection() {
        let mut errand = Errand::new(1);
        assert_eq!(errand.feed(&put(b'Z', b"I"), &mut Parameters::default()), Err(Malformed::Answer(b'Z')));
    }

    #[test]
    fn is_not_done_inside_of_a_transaction() {
        let mut errand = Errand::new(1);
        let data = [put(b'C', b"ROLLBACK\0"), put(b'Z', b"T")].concat();
        assert_eq!(errand.feed(&data, &mut Parameters::default()), Ok(data.len()));
        assert_eq!(errand.done(), None);
    }
}
