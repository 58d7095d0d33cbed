//! From the server to the client.

use super::put_back::put_back;
use super::{About, Event, Exchange, Fed, Item, Owed, Tracked, pass};
use crate::sidecar::fault::{Fault, planted};
use crate::sidecar::state::Hints;
use crate::sidecar::statement::Spare;
use crate::sidecar::wire::{Fields, Malformed, SERVER_MESSAGE_MAX, header};

/// Longest ParameterStatus or CommandComplete that is looked at.
const SHORT_MAX: u32 = 16 * 1024;
/// Longest ErrorResponse in which a name is put back.
const ERROR_MAX: u32 = 64 * 1024;

impl Exchange {
    /// Reads what the server sent. What is changed goes to `out`, which is empty before. What it shows goes to `report`.
    pub fn from_server(
        &mut self,
        data: &[u8],
        mut tracked: Option<&mut Tracked<'_>>,
        out: &mut Vec<u8>,
        mut report: impl FnMut(Event<'_>),
    ) -> Result<Fed, Malformed> {
        let mut fed = Fed::default();
        loop {
            self.body(data, &mut fed, tracked.as_deref_mut(), out);
            let rest = data.get(fed.to..).unwrap_or_default();
            let Some((kind, body)) = header(rest, SERVER_MESSAGE_MAX)? else { break };
            let whole = rest.get(5..5 + body as usize);
            let mut ours = false;
            match kind {
                b'Z' => match whole {
                    Some([status]) => self.ready(*status, tracked.as_deref_mut()),
                    None if body == 1 => break,
                    _ => return Err(Malformed::Length),
                },
                b'E' => {
                    let about = self.queue.front().map(|item| &item.about);
                    let renamed = !matches!(about, None | Some(About::Nothing | About::Verbatim(_)));
                    if renamed && body <= ERROR_MAX {
                        let (Some(whole), Some(about)) = (whole, about) else { break };
                        fed.flush(data, out);
                        let ours = matches!(about, About::Copied(..) | About::Unnamed(_));
                        if ours && Fields::new(whole).get(b'C') == Some(b"26000") {
                            self.lost = true;
                        }
                        let (code, stale) = put_back(whole, about, out);
                        report(Event::Error(code));
                        if stale {
                            report(Event::Stale);
                        }
                        self.failed(tracked.as_deref_mut());
                        fed.skip(5 + body as usize);
                        continue;
                    }
                    let begun = rest.get(5..).unwrap_or_default();
                    report(Event::Error(Fields::new(whole.unwrap_or(begun)).get(b'C').unwrap_or_default()));
                    self.failed(tracked.as_deref_mut());
                }
                b't' | b'T' | b'n' if self.queue.front().is_some_and(describes) => {
                    ours = self.queue.front().is_some_and(|item| item.owed.is_ours());
                    self.describing.begin(kind);
                    let about = match kind {
                        b't' => About::Nothing,
                        _ => self.queue.answer(kind).map(|item| item.about).unwrap_or_default(),
                    };
                    self.listening = Some((kind, about));
                }
                b'C' if tracked.is_some() && body <= SHORT_MAX => {
                    let Some(tag) = whole else { break };
                    self.completed(tag.strip_suffix(&[0]).unwrap_or(tag), tracked.as_deref_mut());
                    if let Some(item) = self.queue.answer(kind) {
                        self.confirm(&item, tracked.as_deref_mut());
                    }
                }
                b'A' if tracked.as_ref().is_some_and(|tracked| !tracked.listens)
                    && !self.hints.contains(Hints::CHANNELS) =>
                {
                    // It belongs to a client that was here before, who listens by means that were not seen.
                    self.hints |= Hints::CHANNELS;
                    ours = true;
                }
                b'C' | b'T' | b'1' | b'2' | b'3' | b'I' | b'n' | b's' => {
                    ours = self.queue.front().is_some_and(|item| item.owed.is_ours());
                    if let Some(item) = self.queue.answer(kind) {
                        if ours && matches!(item, Item { owed: Owed::OurParse, about: About::Copy(..), .. }) {
                            report(Event::Prepared);
                        }
                        self.confirm(&item, tracked.as_deref_mut());
                    }
                }
                b'G' => self.queue.copy_in(),
                // What the lexer has to say, it has said to the client's own Parse.
                b'N' => ours = self.queue.front().is_some_and(|item| item.owed == Owed::OurParse),
                b'S' if body <= SHORT_MAX => {
                    let Some(body) = whole else { break };
                    let mut texts = body.split(|byte| *byte == 0);
                    if let (Some(name), Some(value)) = (texts.next(), texts.next()) {
                        report(Event::Parameter(name, value));
                        self.hints |= Hints::SETTINGS;
                    }
                }
                // Rows and COPY's data, FunctionCallResponse, CopyOutResponse, CopyDone, ParameterDescription, notices and
                // notifications.
                b'D' | b'd' | b'V' | b'H' | b'c' | b't' | b'A' | b'S' => {}
                _ => return Err(Malformed::Answer(kind)),
            }
            self.to_client = body;
            ours &= !(planted(Fault::ParseCompleteOutOfPlace) && kind == b'1');
            self.swallowing = ours;
            if ours {
                fed.flush(data, out);
                fed.skip(5);
            } else {
                fed.to += 5;
            }
        }
        Ok(fed)
    }

    /// The rest of the current message, as far as it is there.
    #[inline]
    fn body(&mut self, data: &[u8], fed: &mut Fed, tracked: Option<&mut Tracked<'_>>, out: &mut Vec<u8>) {
        let rest = data.get(fed.to..).unwrap_or_default();
        let n = pass(rest, &mut self.to_client);
        if let Some((kind, _)) = self.listening {
            self.describing.feed(kind, rest.get(..n).unwrap_or_default());
            if self.to_client == 0
                && let Some((kind, about)) = self.listening.take()
                && kind != b't'
            {
                self.described(about, tracked);
            }
        }
        if self.swallowing {
            fed.flush(data, out);
            fed.skip(n);
            self.swallowing = self.to_client > 0;
        } else {
            fed.to += n;
        }
    }

    /// ReadyForQuery.
    fn ready(&mut self, status: u8, tracked: Option<&mut Tracked<'_>>) {
        let executed = std::mem::take(&mut self.executed);
        if let Some(item) = self.queue.ready() {
            self.mixed |= executed && item.owed == Owed::Query;
            self.confirm(&item, tracked);
        }
        self.status = status;
        self.answered = self.answered.wrapping_add(1);
        self.open = !self.queue.is_empty();
        if !self.open {
            // Nothing follows such a statement before all is answered, so it was this one, and it failed.
            self.deallocating = None;
        }
    }

    /// A statement has run, with this command tag.
    fn completed(&mut self, tag: &[u8], tracked: Option<&mut Tracked<'_>>) {
        let text = self.queue.front().map_or(Hints::NONE, |item| item.hints);
        self.hints |= text.after_tag(tag);
        match (tag, tracked) {
            (b"DISCARD ALL" | b"DEALLOCATE ALL", Some(tracked)) => {
                tracked.names.clear();
                tracked.copies.clear();
            }
            (b"DEALLOCATE", Some(tracked)) => {
                if let Some(name) = self.deallocating.take() {
                    tracked.names.remove(&name);
                    tracked.copies.set_spare(Spare::Empty, false);
                }
            }
            _ => {}
        }
    }

    /// An answer has come whose message may change something.
    fn confirm(&mut self, item: &Item, tracked: Option<&mut Tracked<'_>>) {
        self.executed |= item.owed == Owed::Execute;
        let Some(tracked) = tracked else { return };
        if item.changes {
            self.changes.confirm(tracked.names, tracked.copies);
        }
        // The name that always exists did not: our own statement is now the client's.
        if matches!((item.owed, &item.about), (Owed::Parse, About::Taken(_))) {
            self.queue.be_in_doubt();
        }
    }

    fn failed(&mut self, tracked: Option<&mut Tracked<'_>>) {
        self.retried = None;
        let (changes, mut first) = (&mut self.changes, true);
        let mut tracked = tracked;
        self.queue.error(|item| {
            let failed = std::mem::take(&mut first);
            match &mut tracked {
                Some(tracked) if item.changes && failed => changes.fail(tracked.names, tracked.copies),
                Some(tracked) if item.changes => changes.ignore(tracked.copies),
                _ => {}
            }
        });
    }

    /// A description is complete.
    fn described(&mut self, about: About, tracked: Option<&mut Tracked<'_>>) {
        let Some(tracked) = tracked else { return };
        match about {
            About::Entry(entry) => {
                let description = self.describing.of(&entry.statement);
                tracked.copies.describe(entry.number, entry.statement.id, &description);
                *entry.description.borrow_mut() = Some(description);
            }
            About::Copy(number, statement, _) => {
                let description = self.describing.of(&statement);
                tracked.copies.describe(number, statement.id, &description);
            }
            About::Verbatim(parse) => {
                if let Some(unnamed) = tracked.names.unnamed_mut().filter(|unnamed| unnamed.parse == parse) {
                    unnamed.description = Some(self.describing.of(&unnamed.statement));
                }
            }
            _ => {}
        }
    }
}

/// Whether what the server says of a statement is to be read: always for ours, and for a client's unnamed one.
fn describes(item: &Item) -> bool {
    match item.owed {
        Owed::OurDescribe => true,
        Owed::Describe => matches!(item.about, About::Verbatim(_)),
        _ => false,
    }
}
