//! What becomes of a client's messages about statements: R3 to R6 of `docs/transactions.md`.

use std::cell::RefCell;
use std::rc::Rc;

use super::passing::Passing;
use super::resolve::Known;
use super::{About, Exchange, Item, Owed};
use crate::sidecar::state::{Hints, hints_of_text};
use crate::sidecar::statement::{Entry, NEVER, Of, PREFIX, Spare, Statement, TEXT_MAX, Unnamed, deallocated, name_of};
use crate::sidecar::wire::Malformed;

/// What becomes of a message.
pub enum Step {
    /// It passes as it is.
    AsIs(Item),
    /// Its beginning, or all of it, was replaced; so many of its bytes follow as they are.
    Replaced(u32),
    /// It must be seen as a whole, or more of it.
    Hold,
    /// An answer must come first.
    Wait,
    /// It is not the protocol's.
    Malformed(Malformed),
}

/// A Query up to this length is read as a whole; of a longer one that comes in pieces anything is believed.
const QUERY_MAX: u32 = 16 * 1024;
const FLUSH: &[u8] = b"H\0\0\0\x04";

impl Exchange {
    /// Follows a message about statements, whose body has `body` bytes.
    pub(super) fn follow(&mut self, kind: u8, body: u32, via: &mut Passing<'_, '_>) -> Step {
        let rest = via.body();
        let whole = rest.get(..body as usize);
        self.drops &= self.active();
        match (kind, whole) {
            // The server will call that a violation of the protocol. Nothing may wait now: the end of COPY is behind it.
            _ if self.queue.copying() => Step::AsIs(Owed::to(kind).unwrap_or(Owed::Query).into()),
            (b'Q', None) if body <= QUERY_MAX => Step::Hold,
            (b'Q', _) if !self.drops => self.query(whole, via),
            _ if self.drops && self.active() => self.wait(via),
            (b'P', Some(whole)) if whole.len() <= TEXT_MAX => self.parse(whole, via),
            (b'P', None) if body as usize <= TEXT_MAX => Step::Hold,
            (b'P', _) => self.parse_large(rest, body, via),
            (b'B', _) => self.bind(rest, body, via),
            (_, None) if body as usize <= TEXT_MAX => Step::Hold,
            (_, None) => Step::Malformed(Malformed::TooLong(body)),
            (_, Some(whole)) => match (whole.split_first(), kind) {
                (Some((b'S', name)), b'D') => self.describe(name, via),
                (Some((b'S', name)), _) => self.close(name, via),
                (Some(_), b'D') => Step::AsIs(Owed::Describe.into()),
                (Some(_), _) => Step::AsIs(Owed::Close.into()),
                (None, _) => Step::Malformed(Malformed::Fields),
            },
        }
    }

    fn query(&mut self, text: Option<&[u8]>, via: &mut Passing<'_, '_>) -> Step {
        let hints = match text {
            Some(text) => hints_of_text(text, &mut |name: &[u8]| self.custom.push(name.into())),
            None => Hints::EVERYTHING | Hints::DROPS_STATEMENTS,
        };
        let drops = text.filter(|_| hints.contains(Hints::DROPS_STATEMENTS));
        if let Some((whole, name)) = drops.and_then(|text| Some((text, deallocated(text.strip_suffix(&[0])?)?))) {
            match self.is_taken(&name, via) {
                Some(false) => {}
                // It does not exist in SQL; there is another that may go.
                Some(true) if self.ensure(Spare::Empty, via) => {
                    via.put(b'Q', &[Spare::Drop.text(), &[0]], 0);
                    self.deallocating = Some(name.into());
                    self.changes.push(self.segment, Of::Nameless);
                    self.ask(Item { hints, changes: true, ..Owed::Query.into() });
                    self.hint(hints);
                    return via.replaced(whole.len(), 0);
                }
                _ => return self.wait(via),
            }
        }
        self.hint(hints);
        let tracked = &via.tracked;
        let nothing =
            tracked.names.unnamed().is_none() && tracked.copies.unnamed().is_none() && self.changes.is_empty();
        if !nothing {
            self.changes.push(self.segment, Of::Nameless);
        }
        Step::AsIs(Item { hints, changes: !nothing, ..Owed::Query.into() })
    }

    fn parse(&mut self, whole: &[u8], via: &mut Passing<'_, '_>) -> Step {
        let Some((name, body)) = text(whole) else { return Step::Malformed(Malformed::Fields) };
        if !name.is_empty() {
            return self.parse_named(name, Some(body), 0, via);
        }
        let tracked = &mut *via.tracked;
        let current = tracked.names.unnamed().map(|unnamed| &unnamed.statement);
        let statement = match current.filter(|statement| statement.is(tracked.settings, body)) {
            Some(statement) => Rc::clone(statement),
            None => tracked.texts.of(tracked.settings, body),
        };
        self.parse_unnamed(statement, via)
    }

    /// One that is too long to be kept: it streams, and its client keeps the server connection until it is closed.
    fn parse_large(&mut self, rest: &[u8], body: u32, via: &mut Passing<'_, '_>) -> Step {
        let Some((name, _)) = text(rest) else {
            return if rest.len() < TEXT_MAX { Step::Hold } else { Step::Malformed(Malformed::Fields) };
        };
        if name.is_empty() {
            let statement = via.tracked.texts.unkept();
            return self.parse_unnamed(statement, via);
        }
        let Some(left) = left(body, name.len() + 1) else { return Step::Malformed(Malformed::Fields) };
        self.parse_named(name, None, left, via)
    }

    fn parse_unnamed(&mut self, statement: Rc<Statement>, via: &mut Passing<'_, '_>) -> Step {
        let unnamed = Unnamed { parse: via.tracked.texts.parse(), statement, description: None };
        self.changes.push(self.segment, Of::Unnamed(unnamed));
        Step::AsIs(Item::change(Owed::Parse, About::Nothing))
    }

    /// What follows the name is `body`, or else too long to be kept, and `left` bytes of the stream.
    fn parse_named(&mut self, name: &[u8], body: Option<&[u8]>, left: u32, via: &mut Passing<'_, '_>) -> Step {
        let tail = body.unwrap_or_default();
        match self.is_taken(name, via) {
            Some(true) if self.ensure(Spare::Empty, via) => {
                via.put(b'P', &[Spare::Empty.name(), &[0], tail], left);
                self.ask(Item::about(Owed::Parse, About::Taken(name.into())));
            }
            Some(false) => {
                let statement = match body {
                    Some(body) => via.tracked.texts.of(via.tracked.settings, body),
                    None => via.tracked.texts.unkept(),
                };
                // A name of its own: what others have parsed is not touched by it.
                let number = via.tracked.texts.number();
                let entry = Rc::new(Entry { name: name.into(), number, statement, description: RefCell::default() });
                let kept = entry.statement.is_kept();
                if kept {
                    self.make_room(&entry.statement, via);
                }
                via.put(b'P', &[name_of(number, &mut [0; 16]), &[0], tail], left);
                self.changes.push(self.segment, Of::Named(Rc::clone(&entry)));
                self.ask(Item::change(Owed::Parse, About::Entry(Rc::clone(&entry))));
                if kept {
                    self.describe_ours(number, About::Entry(entry), via);
                }
            }
            _ => return self.wait(via),
        }
        via.replaced(name.len() + 1 + tail.len(), left)
    }

    fn bind(&mut self, rest: &[u8], body: u32, via: &mut Passing<'_, '_>) -> Step {
        let inside = rest.get(..body as usize).unwrap_or(rest);
        let head = text(inside).and_then(|(portal, behind)| text(behind).map(|(name, _)| (portal, name)));
        let Some((portal, name)) = head else {
            let more = inside.len() < body as usize && inside.len() < TEXT_MAX;
            return if more { Step::Hold } else { Step::Malformed(Malformed::Fields) };
        };
        let replaced = portal.len() + name.len() + 2;
        let Some(left) = left(body, replaced) else { return Step::Malformed(Malformed::Fields) };
        self.named_portals |= !portal.is_empty();
        let Some(known) = self.resolve(name, via) else { return self.wait(via) };
        let statement = self.statement(name, via);
        if let Some(dropped) = statement.as_ref().and_then(|statement| statement.deallocates.as_ref()) {
            match self.is_taken(dropped, via) {
                Some(true) if self.ensure(Spare::Empty, via) && self.ensure(Spare::Drop, via) => {
                    via.put(b'B', &[portal, &[0], Spare::Drop.name(), &[0]], left);
                    self.ask(Owed::Bind);
                    self.deallocating = Some(dropped.clone());
                    self.will_run(statement.as_deref());
                    return via.replaced(replaced, left);
                }
                Some(false) => {}
                _ => return self.wait(via),
            }
        }
        self.will_run(statement.as_deref());
        match known {
            Known::Same(about) => Step::AsIs(Item::about(Owed::Bind, about)),
            Known::As(number, about) => {
                via.put(b'B', &[portal, &[0], name_of(number, &mut [0; 16]), &[0]], left);
                self.ask(Item::about(Owed::Bind, about));
                via.replaced(replaced, left)
            }
        }
    }

    fn describe(&mut self, name: &[u8], via: &mut Passing<'_, '_>) -> Step {
        let Some((name, [])) = text(name) else { return Step::Malformed(Malformed::Fields) };
        let Some(known) = self.resolve(name, via) else { return self.wait(via) };
        match known {
            Known::Same(about) => Step::AsIs(Item::about(Owed::Describe, about)),
            Known::As(number, about) => {
                via.put(b'D', &[b"S", name_of(number, &mut [0; 16]), &[0]], 0);
                self.ask(Item::about(Owed::Describe, about));
                via.replaced(1 + name.len() + 1, 0)
            }
        }
    }

    fn close(&mut self, name: &[u8], via: &mut Passing<'_, '_>) -> Step {
        let Some((name, [])) = text(name) else { return Step::Malformed(Malformed::Fields) };
        if name.is_empty() {
            self.changes.push(self.segment, Of::Nameless);
            return Step::AsIs(Item::change(Owed::Close, About::Nothing));
        }
        let item = match self.entry(name, via) {
            None => return self.wait(via),
            // It may be one that SQL has prepared.
            Some(None) if !name.starts_with(PREFIX.as_bytes()) => return Step::AsIs(Owed::Close.into()),
            Some(None) => Owed::Close.into(),
            Some(Some(entry)) => {
                if !entry.statement.is_kept() {
                    self.close_ours(entry.number, via);
                }
                self.changes.push(self.segment, Of::Close(Rc::clone(&entry.name)));
                Item::change(Owed::Close, About::Nothing)
            }
        };
        // The copy stays, for others and for the next time: PostgreSQL answers the same to what does not exist.
        via.put(b'C', &[b"S", name_of(NEVER, &mut [0; 16]), &[0]], 0);
        self.ask(item);
        via.replaced(1 + name.len() + 1, 0)
    }

    /// A statement is bound, and so may run.
    fn will_run(&mut self, statement: Option<&Statement>) {
        let Some(statement) = statement else {
            // It may be one that SQL has prepared.
            (self.bound, self.hints) = (Hints::NONE, self.hints | Hints::EVERYTHING);
            return;
        };
        self.custom.extend(statement.custom.iter().cloned());
        self.bound = statement.hints;
        self.hint(statement.hints);
    }

    /// Something of the session may be another by the time that the server is free.
    fn hint(&mut self, hints: Hints) {
        self.hints |= hints;
        self.drops |= hints.contains(Hints::DROPS_STATEMENTS);
    }

    /// The message waits. Where no ReadyForQuery is owed the answer might stay in the server's buffer.
    fn wait(&mut self, via: &mut Passing<'_, '_>) -> Step {
        if !self.queue.ends_ready() {
            via.flush();
            via.out.extend_from_slice(FLUSH);
        }
        Step::Wait
    }
}

/// A text up to its zero byte, and what follows.
fn text(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = data.iter().position(|byte| *byte == 0)?;
    Some((data.get(..end)?, data.get(end + 1..)?))
}

/// What of a body is left behind its first `n` bytes.
fn left(body: u32, n: usize) -> Option<u32> {
    body.checked_sub(u32::try_from(n).ok()?)
}
