//! Which answers PostgreSQL owes a client: written from the protocol's description, not from the sidecar's code, which it judges.

use std::collections::VecDeque;

/// What was sent and is not answered, by the messages' letters, and what the answers said.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each may hold with each")]
pub struct Owed {
    sent: VecDeque<u8>,
    /// The server waits for CopyData.
    copying: bool,
    /// It has ignored a Sync in this COPY.
    ignored: bool,
    /// Such a COPY has failed: how many Syncs were ignored depends on when the server noticed. Or something else than its data came.
    doubt: bool,
    /// An error came and no Sync since: the server ignores everything else.
    skipping: bool,
    /// Transaction status of the last ReadyForQuery.
    pub status: u8,
    /// Extended messages were sent, and no ReadyForQuery can come for them yet.
    open: bool,
    notices: usize,
}

impl Default for Owed {
    fn default() -> Self {
        Self {
            sent: VecDeque::new(),
            copying: false,
            ignored: false,
            doubt: false,
            skipping: false,
            status: b'I',
            open: false,
            notices: 0,
        }
    }
}

fn extended(letter: u8) -> bool {
    matches!(letter, b'P' | b'B' | b'D' | b'C' | b'E')
}

fn ready_follows(letter: u8) -> bool {
    matches!(letter, b'Q' | b'F' | b'S')
}

impl Owed {
    /// A message was sent completely.
    pub fn say(&mut self, letter: u8) {
        if self.skipping && letter != b'S' {
            return;
        }
        self.skipping = false;
        if self.copying {
            return self.consume(letter);
        }
        self.open |= extended(letter);
        self.sent.push_back(letter);
    }

    /// What a server does with a message while it copies in: all but the end and what is out of place goes on.
    fn consume(&mut self, letter: u8) {
        self.copying = matches!(letter, b'd' | b'H' | b'S');
        self.ignored |= letter == b'S';
        self.doubt |= !matches!(letter, b'd' | b'H' | b'S' | b'c' | b'f');
    }

    /// A message came; `status` is the first byte of its body.
    pub fn hear(&mut self, letter: u8, status: Option<u8>) {
        match letter {
            b'Z' => {
                while self.sent.pop_front().is_some_and(|sent| !ready_follows(sent)) {}
                self.status = status.unwrap_or(b'?');
                self.open = self.sent.iter().any(|sent| extended(*sent));
                self.end_copy();
            }
            b'E' => {
                self.doubt |= self.ignored;
                self.end_copy();
                self.drop_silent();
                if !self.sent.front().is_some_and(|sent| ready_follows(*sent)) {
                    while self.sent.front().is_some_and(|sent| *sent != b'S') {
                        self.sent.pop_front();
                    }
                    self.skipping = self.sent.is_empty();
                }
            }
            b'G' => {
                self.drop_silent();
                self.copying = true;
                while self.copying
                    && let Some(letter) = self.sent.remove(1)
                {
                    self.consume(letter);
                }
            }
            b'1' | b'2' | b'3' | b'n' | b'T' | b'C' | b'I' | b's' => {
                self.end_copy();
                self.drop_silent();
                if self.sent.front().is_some_and(|sent| extended(*sent)) {
                    self.sent.pop_front();
                }
            }
            b'N' => self.notices += 1,
            _ => {}
        }
    }

    fn end_copy(&mut self) {
        (self.copying, self.ignored) = (false, false);
    }

    fn drop_silent(&mut self) {
        while self.sent.front().is_some_and(|sent| !extended(*sent) && !ready_follows(*sent)) {
            self.sent.pop_front();
        }
    }

    /// Whether an answer is to come without anything being sent.
    pub fn owes(&self) -> bool {
        let flushed = self.sent.iter().rposition(|sent| ready_follows(*sent) || *sent == b'H');
        let answered = |sent: &u8| extended(*sent) || ready_follows(*sent);
        !self.copying && flushed.is_some_and(|last| self.sent.range(..=last).any(answered))
    }

    pub fn copying(&self) -> bool {
        self.copying
    }

    /// Whether a COPY that runs must not fail, to have one outcome.
    pub fn must_not_fail(&self) -> bool {
        self.copying && self.ignored
    }

    pub fn doubt(&self) -> bool {
        self.doubt
    }

    /// Whether a batch waits for its Sync.
    pub fn open(&self) -> bool {
        self.open || self.skipping
    }

    pub fn notices(&self) -> usize {
        self.notices
    }
}
