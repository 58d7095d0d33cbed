//! From the client to the server.

use super::naming::Step;
use super::passing::Passing;
use super::{Exchange, Fed, Item, OUT_MAX, Owed, Stop, Tracked, pass};
use crate::sidecar::state::Hints;
use crate::sidecar::wire::{CLIENT_MESSAGE_MAX, Malformed, header};

impl Exchange {
    /// Reads what the client sent. What is changed goes to `out`, which is empty before.
    pub fn from_client(&mut self, data: &[u8], mut tracked: Option<&mut Tracked<'_>>, out: &mut Vec<u8>) -> Fed {
        let mut fed = Fed::default();
        loop {
            fed.to += pass(data.get(fed.to..).unwrap_or_default(), &mut self.to_server);
            let rest = data.get(fed.to..).unwrap_or_default();
            let (kind, body) = match header(rest, CLIENT_MESSAGE_MAX) {
                Ok(Some(header)) => header,
                Ok(None) => return fed,
                Err(malformed) => return Fed { stop: Some(Stop::Malformed(malformed)), ..fed },
            };
            if let Some(tracked) = tracked.as_deref_mut().filter(|_| !self.queue.skipping())
                && matches!(kind, b'P' | b'B' | b'D' | b'C' | b'Q')
            {
                if out.len() > OUT_MAX {
                    return Fed { wait: true, ..fed };
                }
                match self.follow(kind, body, &mut Passing { data, fed: &mut fed, tracked, out }) {
                    Step::AsIs(item) => self.ask(item),
                    Step::Replaced(left) => {
                        self.to_server = left;
                        continue;
                    }
                    Step::Hold => return fed,
                    Step::Wait => return Fed { wait: true, ..fed },
                    Step::Malformed(malformed) => return Fed { stop: Some(Stop::Malformed(malformed)), ..fed },
                }
            } else {
                match kind {
                    b'c' | b'f' => self.queue.ask(Owed::CopyEnd),
                    b'd' | b'H' => {}
                    b'X' => return Fed { stop: Some(Stop::Goodbye), ..fed },
                    b'E' => {
                        let hints = if self.named_portals { Hints::NONE } else { self.bound };
                        self.ask(Item { hints, ..Owed::Execute.into() });
                    }
                    _ => {
                        let Some(owed) = Owed::to(kind) else {
                            return Fed { stop: Some(Stop::Malformed(Malformed::Kind(kind))), ..fed };
                        };
                        if kind == b'F' {
                            // It calls whatever it likes.
                            self.hints |= Hints::EVERYTHING;
                        }
                        self.ask(owed);
                    }
                }
            }
            fed.to += 5;
            self.to_server = body;
        }
    }
}
