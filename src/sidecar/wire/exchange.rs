//! Follows both directions of one server connection while a client uses it, so that it is known when nothing is owed.

use super::{CLIENT_MESSAGE_MAX, Malformed, Owed, Queue, SERVER_MESSAGE_MAX, header};

/// Answers that may be outstanding before the client is no longer read. A full read of the smallest messages may come on top.
const OWED_MAX: usize = 16 * 1024;
/// Longest ParameterStatus that is looked at.
const STATUS_MAX: u32 = 16 * 1024;

/// How far a piece of a client's stream may be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fed {
    /// Pass on the bytes before; the rest is an incomplete header, or a message that must be seen whole: hold it for the next read.
    pub to: usize,
    /// Nothing behind [`Fed::to`] counts any more.
    pub stop: Option<Stop>,
}

/// Why a client's stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Terminate.
    Goodbye,
    /// It is not the protocol's.
    Malformed(Malformed),
}

/// See the module. The bytes themselves are not kept: a caller passes them on as far as [`Fed::to`] says.
#[derive(Debug)]
pub struct Exchange {
    queue: Queue,
    /// Bytes of the client's current message that are still to come.
    to_server: u32,
    /// The same for the server's.
    to_client: u32,
    /// Something that leaves a trace was sent since the last ReadyForQuery: after Parse and Flush nothing is owed, but the batch is
    /// open until its Sync.
    open: bool,
    /// Execute was sent since the last Sync or Query.
    executed: bool,
    /// See [`Exchange::mixed`].
    mixed: bool,
    /// Transaction status of the last ReadyForQuery: `I`, `T` or `E`.
    status: u8,
}

impl Default for Exchange {
    fn default() -> Self {
        Self {
            queue: Queue::default(),
            to_server: 0,
            to_client: 0,
            open: false,
            executed: false,
            mixed: false,
            status: b'I',
        }
    }
}

impl Exchange {
    /// Whether the server could serve someone else: its last word was ReadyForQuery outside of a transaction, nothing was sent
    /// since, and both sides are at a message border.
    #[inline]
    pub fn free(&self) -> bool {
        !self.open && self.queue.is_empty() && self.status == b'I' && self.settled()
    }

    /// As [`Exchange::free`], but possibly inside of a transaction: our own statements may be sent.
    pub fn quiet(&self) -> bool {
        !self.open && self.queue.is_empty() && self.settled()
    }

    fn settled(&self) -> bool {
        self.to_server == 0 && self.to_client == 0 && !self.queue.doubt()
    }

    /// Whether the server works, or waits for a client that copies: then a cancel request has a meaning.
    pub fn active(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether the client's last message was passed on completely.
    pub fn client_at_border(&self) -> bool {
        self.to_server == 0
    }

    /// Whether the client waits too long with reading its answers to be read itself.
    pub fn full(&self) -> bool {
        self.queue.len() >= OWED_MAX
    }

    /// Bytes of the server's current message that are still to come.
    #[inline]
    pub fn missing(&self) -> usize {
        self.to_client as usize
    }

    /// Whether a Query came into a batch that had executed something and had no Sync yet. PostgreSQL 18 leaves the batch's
    /// transaction open then, though ReadyForQuery says `I` at the Sync: it keeps its locks, and the next statement, whoever sends it,
    /// ends it with an error (`StartTransactionCommand: unexpected state STARTED`). Seen with 18.4; 12 to 17 end it at the Query.
    pub fn mixed(&self) -> bool {
        self.mixed
    }

    /// Transaction status of the last ReadyForQuery.
    pub fn status(&self) -> u8 {
        self.status
    }

    /// What would bring a server to ReadyForQuery whose client is gone.
    pub fn abandon(&self) -> Abandoned {
        if self.to_server > 0 || self.queue.doubt() || self.queue.copying() {
            Abandoned::Close
        } else if self.quiet() {
            Abandoned::Ready
        } else if self.queue.ends_ready() {
            Abandoned::Wait
        } else {
            Abandoned::Sync
        }
    }

    /// A message of our own follows, sent to end the exchange of a client that is gone.
    pub fn sync(&mut self) {
        self.queue.ask(Owed::Sync);
        self.open = true;
    }

    /// Reads what the client sent.
    pub fn from_client(&mut self, data: &[u8]) -> Fed {
        let mut to = 0;
        loop {
            let rest = pass(data, &mut to, &mut self.to_server);
            let (kind, body) = match header(rest, CLIENT_MESSAGE_MAX) {
                Ok(Some(header)) => header,
                Ok(None) => return Fed { to, stop: None },
                Err(malformed) => return Fed { to, stop: Some(Stop::Malformed(malformed)) },
            };
            match kind {
                b'Q' | b'F' => self.ask(Owed::Query),
                b'S' => self.ask(Owed::Sync),
                b'P' => self.ask(Owed::Parse),
                b'B' => self.ask(Owed::Bind),
                b'D' => self.ask(Owed::Describe),
                b'E' => self.ask(Owed::Execute),
                b'C' => self.ask(Owed::Close),
                b'c' | b'f' => self.queue.ask(Owed::CopyEnd),
                b'd' | b'H' => {}
                b'X' => return Fed { to, stop: Some(Stop::Goodbye) },
                _ => return Fed { to, stop: Some(Stop::Malformed(Malformed::Kind(kind))) },
            }
            to += 5;
            self.to_server = body;
        }
    }

    /// Reads what the server sent, and returns how many bytes may be passed on, as [`Fed::to`]. Parameters that it reports go to
    /// `report`, by name and value.
    pub fn from_server(&mut self, data: &[u8], mut report: impl FnMut(&[u8], &[u8])) -> Result<usize, Malformed> {
        let mut to = 0;
        loop {
            let rest = pass(data, &mut to, &mut self.to_client);
            let Some((kind, body)) = header(rest, SERVER_MESSAGE_MAX)? else { break };
            match kind {
                b'Z' => match rest.get(5) {
                    Some(status) if body == 1 => {
                        self.queue.ready();
                        self.status = *status;
                        self.open = !self.queue.is_empty();
                    }
                    Some(_) => return Err(Malformed::Length),
                    None => break,
                },
                b'C' | b'T' | b'1' | b'2' | b'3' | b'I' | b'n' | b's' => self.queue.answer(kind),
                b'E' => self.queue.error(),
                b'G' => self.queue.copy_in(),
                b'S' if body <= STATUS_MAX => {
                    let Some(body) = rest.get(5..5 + body as usize) else { break };
                    let mut texts = body.split(|byte| *byte == 0);
                    if let (Some(name), Some(value)) = (texts.next(), texts.next()) {
                        report(name, value);
                    }
                }
                // Rows and COPY's data, FunctionCallResponse, CopyOutResponse, CopyDone, ParameterDescription, notices and
                // notifications.
                b'D' | b'd' | b'V' | b'H' | b'c' | b't' | b'N' | b'A' | b'S' => {}
                _ => return Err(Malformed::Answer(kind)),
            }
            to += 5;
            self.to_client = body;
        }
        Ok(to)
    }

    #[inline]
    fn ask(&mut self, owed: Owed) {
        match owed {
            Owed::Execute => self.executed = true,
            Owed::Query => self.mixed |= std::mem::take(&mut self.executed),
            Owed::Sync => self.executed = false,
            _ => {}
        }
        self.queue.ask(owed);
        self.open = true;
    }
}

/// What is to be done with a server connection whose client is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abandoned {
    /// It is at ReadyForQuery already.
    Ready,
    /// A ReadyForQuery will come.
    Wait,
    /// A Sync of ours brings it.
    Sync,
    /// Nothing sure does.
    Close,
}

/// Goes on by what is missing of the current message; the rest starts with a header, if that is complete.
#[inline]
fn pass<'a>(data: &'a [u8], to: &mut usize, missing: &mut u32) -> &'a [u8] {
    let rest = data.get(*to..).unwrap_or_default();
    let n = u32::try_from(rest.len()).map_or(*missing, |len| len.min(*missing));
    *missing -= n;
    *to += n as usize;
    rest.get(n as usize..).unwrap_or_default()
}

#[cfg(test)]
mod tests;
