//! Which statement a message of a client is about, and by which name the server knows it: R3 to R6 of `docs/transactions.md`.

use std::cell::RefCell;
use std::rc::Rc;

use super::{About, Exchange, Fed, Item, Owed, Tracked};
use crate::sidecar::fault::{Fault, planted};
use crate::sidecar::state::{Hints, hints_of_text};
use crate::sidecar::statement::{
    DROP_SPARE, Description, Entry, NEVER, Of, PREFIX, Pending, SPARE, Statement, TEXT_MAX, Unnamed, deallocated,
    name_of, write_name,
};
use crate::sidecar::wire::{Malformed, message};

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

/// By which name a server knows what a client means.
enum Known {
    /// By the client's own.
    Same(About),
    /// By ours of this number.
    As(u32, About),
    /// By none.
    Never(About),
    /// That is not known yet.
    NotYet,
}

/// A Query up to this length is read as a whole; of a longer one that comes in pieces anything is believed.
const QUERY_MAX: u32 = 16 * 1024;
const FLUSH: &[u8] = b"H\0\0\0\x04";

impl Exchange {
    /// Follows a message about statements: it begins at `fed.to` in `data`, and its body has `body` bytes.
    pub(super) fn follow(
        &mut self,
        kind: u8,
        body: u32,
        data: &[u8],
        fed: &mut Fed,
        tracked: &mut Tracked<'_>,
        out: &mut Vec<u8>,
    ) -> Step {
        let rest = data.get(fed.to + 5..).unwrap_or_default();
        let whole = rest.get(..body as usize);
        self.drops &= self.active();
        match (kind, whole) {
            // The server will call that a violation of the protocol. Nothing may wait now: the end of COPY is behind it.
            _ if self.queue.copying() => Step::AsIs(plain(kind).into()),
            (b'Q', None) if body <= QUERY_MAX => Step::Hold,
            (b'Q', _) if !self.drops => self.query(whole, data, fed, tracked, out),
            _ if self.drops && self.active() => self.wait(data, fed, out),
            (b'P', Some(whole)) if whole.len() <= TEXT_MAX => self.parse(whole, data, fed, tracked, out),
            (b'P', None) if body as usize <= TEXT_MAX => Step::Hold,
            (b'P', _) => self.parse_large(rest, body, data, fed, tracked, out),
            (b'B', _) => self.bind(rest, body, data, fed, tracked, out),
            (_, None) if body as usize <= TEXT_MAX => Step::Hold,
            (_, None) => Step::Malformed(Malformed::TooLong(body)),
            (_, Some(whole)) => match (whole.split_first(), kind) {
                (Some((b'S', name)), b'D') => self.describe(name, data, fed, tracked, out),
                (Some((b'S', name)), _) => self.close(name, data, fed, tracked, out),
                (Some(_), b'D') => Step::AsIs(Owed::Describe.into()),
                (Some(_), _) => Step::AsIs(Owed::Close.into()),
                (None, _) => Step::Malformed(Malformed::Fields),
            },
        }
    }

    fn query(
        &mut self,
        text: Option<&[u8]>,
        data: &[u8],
        fed: &mut Fed,
        tracked: &Tracked<'_>,
        out: &mut Vec<u8>,
    ) -> Step {
        let hints = match text {
            Some(text) => hints_of_text(text, &mut |name: &[u8]| self.custom.push(name.into())),
            None => Hints::EVERYTHING | Hints::DROPS_STATEMENTS,
        };
        let drops = text.filter(|_| hints.contains(Hints::DROPS_STATEMENTS));
        if let Some((whole, name)) = drops.and_then(|text| Some((text, deallocated(text.strip_suffix(&[0])?)?))) {
            match self.is_taken(&name, tracked) {
                Some(false) => {}
                // It does not exist in SQL; there is another that may go.
                Some(true) if self.ensure_spare(data, fed, tracked, out) => {
                    fed.flush(data, out);
                    begin(out, b'Q', &[b"DEALLOCATE ", SPARE, &[0]], 0);
                    self.deallocating = Some(name.into());
                    self.changes.push(self.segment, Of::Nameless);
                    self.ask(Item { hints, changes: true, ..Owed::Query.into() });
                    self.hint(hints);
                    fed.skip(5 + whole.len());
                    return Step::Replaced(0);
                }
                _ => return self.wait(data, fed, out),
            }
        }
        self.hint(hints);
        let nothing =
            tracked.names.unnamed().is_none() && tracked.copies.unnamed().is_none() && self.changes.is_empty();
        if !nothing {
            self.changes.push(self.segment, Of::Nameless);
        }
        Step::AsIs(Item { hints, changes: !nothing, ..Owed::Query.into() })
    }

    fn parse(
        &mut self,
        whole: &[u8],
        data: &[u8],
        fed: &mut Fed,
        tracked: &mut Tracked<'_>,
        out: &mut Vec<u8>,
    ) -> Step {
        let Some((name, body)) = text(whole) else { return Step::Malformed(Malformed::Fields) };
        if name.is_empty() {
            let current = tracked.names.unnamed().map(|unnamed| &unnamed.statement);
            let statement = match current.filter(|statement| statement.is(tracked.settings, body)) {
                Some(statement) => Rc::clone(statement),
                None => tracked.texts.of(tracked.settings, body),
            };
            return self.parse_unnamed(statement, tracked);
        }
        match self.is_taken(name, tracked) {
            None => return self.wait(data, fed, out),
            Some(true) => {
                if !self.ensure_spare(data, fed, tracked, out) {
                    return self.wait(data, fed, out);
                }
                fed.flush(data, out);
                message(out, b'P', |out| [SPARE, &[0], body].iter().for_each(|part| out.extend_from_slice(part)));
                self.ask(Item::about(Owed::Parse, About::Taken(name.into())));
            }
            Some(false) => {
                let statement = tracked.texts.of(tracked.settings, body);
                fed.flush(data, out);
                // A name of its own: what others have parsed is not touched by it.
                let number = tracked.texts.number();
                let entry = Rc::new(Entry { name: name.into(), number, statement, description: RefCell::default() });
                self.make_room(&entry.statement, tracked, out);
                message(out, b'P', |out| {
                    write_name(number, out);
                    out.push(0);
                    out.extend_from_slice(body);
                });
                self.changes.push(self.segment, Of::Named(Rc::clone(&entry)));
                self.ask(Item::change(Owed::Parse, About::Entry(Rc::clone(&entry))));
                self.describe_ours(number, About::Entry(entry), out);
            }
        }
        fed.skip(5 + whole.len());
        Step::Replaced(0)
    }

    fn parse_unnamed(&mut self, statement: Rc<Statement>, tracked: &mut Tracked<'_>) -> Step {
        let unnamed = Unnamed { parse: tracked.texts.parse(), statement, description: None };
        self.changes.push(self.segment, Of::Unnamed(unnamed));
        Step::AsIs(Item::change(Owed::Parse, About::Nothing))
    }

    /// One that is too long to be kept: it streams, and its client keeps the server connection until it is closed.
    fn parse_large(
        &mut self,
        rest: &[u8],
        body: u32,
        data: &[u8],
        fed: &mut Fed,
        tracked: &mut Tracked<'_>,
        out: &mut Vec<u8>,
    ) -> Step {
        let Some((name, _)) = text(rest) else {
            return if rest.len() < TEXT_MAX { Step::Hold } else { Step::Malformed(Malformed::Fields) };
        };
        if name.is_empty() {
            let statement = tracked.texts.unkept();
            return self.parse_unnamed(statement, tracked);
        }
        let Some(left) = left(body, name.len() + 1) else { return Step::Malformed(Malformed::Fields) };
        match self.is_taken(name, tracked) {
            None => return self.wait(data, fed, out),
            Some(true) => {
                if !self.ensure_spare(data, fed, tracked, out) {
                    return self.wait(data, fed, out);
                }
                fed.flush(data, out);
                begin(out, b'P', &[SPARE, &[0]], left);
                self.ask(Item::about(Owed::Parse, About::Taken(name.into())));
            }
            Some(false) => {
                fed.flush(data, out);
                let (statement, number) = (tracked.texts.unkept(), tracked.texts.number());
                let entry = Rc::new(Entry { name: name.into(), number, statement, description: RefCell::default() });
                let mut digits = [0; 16];
                begin(out, b'P', &[name_of(number, &mut digits), &[0]], left);
                self.changes.push(self.segment, Of::Named(Rc::clone(&entry)));
                self.ask(Item::change(Owed::Parse, About::Entry(entry)));
            }
        }
        fed.skip(5 + name.len() + 1);
        Step::Replaced(left)
    }

    fn bind(
        &mut self,
        rest: &[u8],
        body: u32,
        data: &[u8],
        fed: &mut Fed,
        tracked: &mut Tracked<'_>,
        out: &mut Vec<u8>,
    ) -> Step {
        let inside = rest.get(..body as usize).unwrap_or(rest);
        let head = text(inside).and_then(|(portal, behind)| text(behind).map(|(name, _)| (portal, name)));
        let Some((portal, name)) = head else {
            let more = inside.len() < body as usize && inside.len() < TEXT_MAX;
            return if more { Step::Hold } else { Step::Malformed(Malformed::Fields) };
        };
        let Some(left) = left(body, portal.len() + name.len() + 2) else { return Step::Malformed(Malformed::Fields) };
        self.named_portals |= !portal.is_empty();
        let known = self.resolve(name, data, fed, tracked, out);
        let statement = if matches!(known, Known::NotYet) { None } else { self.statement(name, tracked) };
        if let Some(dropped) = statement.as_ref().and_then(|statement| statement.deallocates.as_ref()) {
            match self.is_taken(dropped, tracked) {
                Some(true) if self.ensure_drop_spare(data, fed, tracked, out) => {
                    fed.flush(data, out);
                    begin(out, b'B', &[portal, &[0], DROP_SPARE, &[0]], left);
                    self.ask(Owed::Bind);
                    self.deallocating = Some(dropped.clone());
                    self.will_run(statement);
                    fed.skip(5 + portal.len() + name.len() + 2);
                    return Step::Replaced(left);
                }
                Some(false) => {}
                _ => return self.wait(data, fed, out),
            }
        }
        if !matches!(known, Known::NotYet) {
            self.will_run(statement);
        }
        match known {
            Known::NotYet => return self.wait(data, fed, out),
            Known::Same(about) => return Step::AsIs(Item::about(Owed::Bind, about)),
            Known::As(id, about) => {
                fed.flush(data, out);
                let mut ours = [0; 16];
                begin(out, b'B', &[portal, &[0], name_of(id, &mut ours), &[0]], left);
                self.ask(Item::about(Owed::Bind, about));
            }
            Known::Never(about) => {
                fed.flush(data, out);
                begin(out, b'B', &[portal, &[0], NEVER, &[0]], left);
                self.ask(Item::about(Owed::Bind, about));
            }
        }
        fed.skip(5 + portal.len() + name.len() + 2);
        Step::Replaced(left)
    }

    fn describe(
        &mut self,
        name: &[u8],
        data: &[u8],
        fed: &mut Fed,
        tracked: &mut Tracked<'_>,
        out: &mut Vec<u8>,
    ) -> Step {
        let Some((name, [])) = text(name) else { return Step::Malformed(Malformed::Fields) };
        let known = self.resolve(name, data, fed, tracked, out);
        let (ours, about) = match known {
            Known::NotYet => return self.wait(data, fed, out),
            Known::Same(about) => return Step::AsIs(Item::about(Owed::Describe, about)),
            Known::As(id, about) => (Some(id), about),
            Known::Never(about) => (None, about),
        };
        fed.flush(data, out);
        let mut digits = [0; 16];
        let ours = ours.map_or(NEVER, |id| name_of(id, &mut digits));
        begin(out, b'D', &[b"S", ours, &[0]], 0);
        self.ask(Item::about(Owed::Describe, about));
        fed.skip(5 + 1 + name.len() + 1);
        Step::Replaced(0)
    }

    fn close(&mut self, name: &[u8], data: &[u8], fed: &mut Fed, tracked: &mut Tracked<'_>, out: &mut Vec<u8>) -> Step {
        let Some((name, [])) = text(name) else { return Step::Malformed(Malformed::Fields) };
        if name.is_empty() {
            self.changes.push(self.segment, Of::Nameless);
            return Step::AsIs(Item::change(Owed::Close, About::Nothing));
        }
        let kept = match self.changes.named(name, self.segment) {
            Pending::Unknown => return self.wait(data, fed, out),
            Pending::Here(entry) => entry.cloned(),
            Pending::Nothing => tracked.names.get(name).cloned(),
        };
        let Some(entry) = kept else {
            // It may be one that SQL has prepared.
            let ours = name.starts_with(PREFIX.as_bytes());
            if !ours {
                return Step::AsIs(Owed::Close.into());
            }
            fed.flush(data, out);
            begin(out, b'C', &[b"S", NEVER, &[0]], 0);
            self.ask(Owed::Close);
            fed.skip(5 + 1 + name.len() + 1);
            return Step::Replaced(0);
        };
        fed.flush(data, out);
        if !entry.statement.is_kept() {
            self.close_ours(entry.number, out);
        }
        // The copy stays, for others and for the next time: PostgreSQL answers the same to what does not exist.
        begin(out, b'C', &[b"S", NEVER, &[0]], 0);
        self.changes.push(self.segment, Of::Close(Rc::clone(&entry.name)));
        self.ask(Item::change(Owed::Close, About::Nothing));
        fed.skip(5 + 1 + name.len() + 1);
        Step::Replaced(0)
    }

    /// What the client calls so, as far as it has parsed it.
    fn statement(&self, name: &[u8], tracked: &Tracked<'_>) -> Option<Rc<Statement>> {
        let statement = if name.is_empty() {
            match self.changes.unnamed(self.segment) {
                Pending::Here(unnamed) => unnamed.map(|unnamed| &unnamed.statement),
                _ => tracked.names.unnamed().map(|unnamed| &unnamed.statement),
            }
        } else {
            match self.changes.named(name, self.segment) {
                Pending::Here(entry) => entry.map(|entry| &entry.statement),
                _ => tracked.names.get(name).map(|entry| &entry.statement),
            }
        };
        statement.cloned()
    }

    /// A statement is bound, and so may run.
    fn will_run(&mut self, statement: Option<Rc<Statement>>) {
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

    /// Whether the client has a statement of this name; none while that is not known.
    fn is_taken(&self, name: &[u8], tracked: &Tracked<'_>) -> Option<bool> {
        match self.changes.named(name, self.segment) {
            Pending::Unknown => None,
            Pending::Here(entry) => Some(entry.is_some()),
            Pending::Nothing => Some(tracked.names.get(name).is_some()),
        }
    }

    /// By which name the server knows what the client calls `name`. Makes it known if need be.
    fn resolve(
        &mut self,
        name: &[u8],
        data: &[u8],
        fed: &mut Fed,
        tracked: &mut Tracked<'_>,
        out: &mut Vec<u8>,
    ) -> Known {
        if name.is_empty() {
            return self.resolve_unnamed(data, fed, tracked, out);
        }
        let entry = match self.changes.named(name, self.segment) {
            Pending::Unknown => return Known::NotYet,
            // Parsed in this segment, on this server.
            Pending::Here(Some(entry)) => return Known::As(entry.number, About::Entry(Rc::clone(entry))),
            Pending::Here(None) => None,
            Pending::Nothing => tracked.names.get(name).cloned(),
        };
        match entry {
            Some(entry) => {
                let description = entry.description.borrow().clone();
                self.copy(&entry.statement, description.as_ref(), Some(&entry), (data, fed, tracked, out))
            }
            None if name.starts_with(PREFIX.as_bytes()) => Known::Never(About::Never(name.into())),
            None => Known::Same(About::Nothing),
        }
    }

    fn resolve_unnamed(&mut self, data: &[u8], fed: &mut Fed, tracked: &mut Tracked<'_>, out: &mut Vec<u8>) -> Known {
        let unnamed = match self.changes.unnamed(self.segment) {
            Pending::Unknown => return Known::NotYet,
            Pending::Here(Some(unnamed)) => return Known::Same(About::Verbatim(unnamed.parse)),
            Pending::Here(None) => return Known::Same(About::Nothing),
            Pending::Nothing => tracked.names.unnamed().cloned(),
        };
        match unnamed {
            _ if planted(Fault::UnnamedForwardedBlindly) => Known::Same(About::Nothing),
            None => {
                // Another client's would answer.
                if tracked.copies.unnamed().is_some() {
                    fed.flush(data, out);
                    begin(out, b'C', &[b"S", &[0]], 0);
                    self.changes.push(self.segment, Of::Clean);
                    self.ask(Item::change(Owed::OurClose, About::Nothing));
                }
                Known::Same(About::Nothing)
            }
            Some(unnamed) if tracked.copies.unnamed() == Some(unnamed.parse) => {
                Known::Same(About::Verbatim(unnamed.parse))
            }
            Some(unnamed) => {
                self.copy(&unnamed.statement, unnamed.description.as_ref(), None, (data, fed, tracked, out))
            }
        }
    }

    /// A copy on this server that answers as the statement did when its client parsed it, the client's name being that of `entry`, or
    /// none.
    fn copy(
        &mut self,
        statement: &Rc<Statement>,
        told: Option<&Rc<Description>>,
        entry: Option<&Rc<Entry>>,
        (data, fed, tracked, out): (&[u8], &mut Fed, &mut Tracked<'_>, &mut Vec<u8>),
    ) -> Known {
        let about = |number| match entry {
            Some(entry) => About::Copied(number, Rc::clone(entry)),
            None => About::Unnamed(number),
        };
        let name = || entry.map_or_else(|| b""[..].into(), |entry| Rc::clone(&entry.name));
        if !statement.is_kept() {
            // Its client has kept its server.
            let number = entry.map(|entry| entry.number);
            return number
                .map_or_else(|| Known::Never(About::Never(name())), |number| Known::As(number, about(number)));
        }
        if self.changes.copies(statement.id) {
            return Known::NotYet;
        }
        if let Some(number) = told.and_then(|told| tracked.copies.find(statement.id, told)) {
            return Known::As(number, about(number));
        }
        if self.retried.take_if(|retried| *retried == statement.id).is_some() {
            return match tracked
                .copies
                .newest(statement.id)
                .filter(|_| told.is_none() || !statement.has_fixed_columns())
            {
                // Nobody was told anything that must hold, so the newest will do.
                Some(number) => Known::As(number, about(number)),
                None => Known::Never(About::Stale(name())),
            };
        }
        self.retried = Some(statement.id);
        fed.flush(data, out);
        self.make_room(statement, tracked, out);
        let number = tracked.texts.number();
        message(out, b'P', |out| {
            write_name(number, out);
            out.push(0);
            out.extend_from_slice(statement.text());
            match told {
                Some(told) => write_types(&told.types, out),
                None => out.extend_from_slice(statement.declared()),
            }
        });
        self.changes.push(self.segment, Of::Copy(number, Rc::clone(statement)));
        let copy = About::Copy(number, Rc::clone(statement), entry.cloned());
        self.ask(Item::change(Owed::OurParse, copy.clone()));
        self.describe_ours(number, copy, out);
        Known::NotYet
    }

    /// Whether the spare statement exists when the next message is read; false while that is not known.
    fn ensure_spare(&mut self, data: &[u8], fed: &mut Fed, tracked: &Tracked<'_>, out: &mut Vec<u8>) -> bool {
        match self.changes.spare(self.segment) {
            Pending::Unknown => return false,
            Pending::Here(()) => return true,
            Pending::Nothing if tracked.copies.spare() => return true,
            Pending::Nothing => {}
        }
        fed.flush(data, out);
        // Also in a transaction that has failed PostgreSQL takes an empty text.
        begin(out, b'P', &[SPARE, &[0, 0, 0, 0]], 0);
        self.changes.push(self.segment, Of::Spare);
        self.ask(Item::change(Owed::OurParse, About::Nothing));
        true
    }

    /// The same of a statement that drops it, both of them.
    fn ensure_drop_spare(&mut self, data: &[u8], fed: &mut Fed, tracked: &Tracked<'_>, out: &mut Vec<u8>) -> bool {
        if !self.ensure_spare(data, fed, tracked, out) {
            return false;
        }
        match self.changes.drop_spare(self.segment) {
            Pending::Unknown => return false,
            Pending::Here(()) => return true,
            Pending::Nothing if tracked.copies.drop_spare() => return true,
            Pending::Nothing => {}
        }
        fed.flush(data, out);
        begin(out, b'P', &[DROP_SPARE, b"\0DEALLOCATE ", SPARE, &[0, 0, 0]], 0);
        self.changes.push(self.segment, Of::DropSpare);
        self.ask(Item::change(Owed::OurParse, About::Nothing));
        true
    }

    /// Before `statement` is parsed: what nobody uses any more goes, and what was not used for longest.
    fn make_room(&mut self, statement: &Statement, tracked: &mut Tracked<'_>, out: &mut Vec<u8>) {
        while let Some(surplus) = tracked.copies.surplus(statement.size(), |number| self.changes.makes(number)) {
            self.close_ours(surplus, out);
        }
    }

    fn close_ours(&mut self, number: u32, out: &mut Vec<u8>) {
        let mut digits = [0; 16];
        begin(out, b'C', &[b"S", name_of(number, &mut digits), &[0]], 0);
        self.changes.push(self.segment, Of::Uncopy(number));
        self.ask(Item::change(Owed::OurClose, About::Nothing));
    }

    fn describe_ours(&mut self, number: u32, about: About, out: &mut Vec<u8>) {
        let mut digits = [0; 16];
        begin(out, b'D', &[b"S", name_of(number, &mut digits), &[0]], 0);
        self.ask(Item::about(Owed::OurDescribe, about));
    }

    /// The message waits. Where no ReadyForQuery is owed the answer might stay in the server's buffer.
    fn wait(&mut self, data: &[u8], fed: &mut Fed, out: &mut Vec<u8>) -> Step {
        if !self.queue.ends_ready() {
            fed.flush(data, out);
            out.extend_from_slice(FLUSH);
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

/// Appends a message up to where `left` bytes of the client's follow.
fn begin(out: &mut Vec<u8>, kind: u8, parts: &[&[u8]], left: u32) {
    let ours: usize = parts.iter().map(|part| part.len()).sum();
    let len = left.saturating_add(u32::try_from(ours + 4).unwrap_or(u32::MAX));
    out.push(kind);
    out.extend_from_slice(&len.to_be_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// The answer to a message that is not followed.
fn plain(kind: u8) -> Owed {
    match kind {
        b'Q' => Owed::Query,
        b'P' => Owed::Parse,
        b'B' => Owed::Bind,
        b'D' => Owed::Describe,
        _ => Owed::Close,
    }
}

fn write_types(types: &[u32], out: &mut Vec<u8>) {
    out.extend_from_slice(&u16::try_from(types.len()).unwrap_or(u16::MAX).to_be_bytes());
    for kind in types {
        out.extend_from_slice(&kind.to_be_bytes());
    }
}
