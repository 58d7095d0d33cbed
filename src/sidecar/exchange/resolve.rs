//! Which statement a client means, and by which name the server knows it: R4 to R6 of `docs/transactions.md`.

use std::rc::Rc;

use super::passing::Passing;
use super::{About, Exchange, Item, Owed};
use crate::sidecar::fault::{Fault, planted};
use crate::sidecar::statement::{
    Description, Entry, NEVER, Of, PREFIX, Pending, Spare, Statement, name_of, write_name,
};
use crate::sidecar::wire::message;

/// By which name a server knows what a client means.
pub(super) enum Known {
    /// By the client's own.
    Same(About),
    /// By ours of this number, which is [`NEVER`] where it is to fail.
    As(u32, About),
}

impl Exchange {
    /// The client's statement of this name, if there is one; `None` while that is not known.
    #[expect(clippy::option_option, reason = "not known, known not to be, known")]
    pub(super) fn entry(&self, name: &[u8], via: &Passing<'_, '_>) -> Option<Option<Rc<Entry>>> {
        match self.changes.named(name, self.segment) {
            Pending::Unknown => None,
            Pending::Here(entry) => Some(entry.cloned()),
            Pending::Nothing => Some(via.tracked.names.get(name).cloned()),
        }
    }

    /// Whether the client has a statement of this name; none while that is not known.
    pub(super) fn is_taken(&self, name: &[u8], via: &Passing<'_, '_>) -> Option<bool> {
        self.entry(name, via).map(|entry| entry.is_some())
    }

    /// What the client calls so, as far as it has parsed it.
    pub(super) fn statement(&self, name: &[u8], via: &Passing<'_, '_>) -> Option<Rc<Statement>> {
        if !name.is_empty() {
            return self.entry(name, via).flatten().map(|entry| Rc::clone(&entry.statement));
        }
        let unnamed = match self.changes.unnamed(self.segment) {
            Pending::Here(unnamed) => unnamed,
            Pending::Nothing | Pending::Unknown => via.tracked.names.unnamed(),
        };
        unnamed.map(|unnamed| Rc::clone(&unnamed.statement))
    }

    /// By which name the server knows what the client calls `name`. Makes it known if need be; `None` until that is answered.
    pub(super) fn resolve(&mut self, name: &[u8], via: &mut Passing<'_, '_>) -> Option<Known> {
        if name.is_empty() {
            return self.resolve_unnamed(via);
        }
        let entry = match self.changes.named(name, self.segment) {
            Pending::Unknown => return None,
            // Parsed in this segment, on this server.
            Pending::Here(Some(entry)) => return Some(Known::As(entry.number, About::Entry(Rc::clone(entry)))),
            Pending::Here(None) => None,
            Pending::Nothing => via.tracked.names.get(name).cloned(),
        };
        match entry {
            Some(entry) => {
                let description = entry.description.borrow().clone();
                self.copy(&entry.statement, description.as_ref(), Some(&entry), via)
            }
            None if name.starts_with(PREFIX.as_bytes()) => Some(Known::As(NEVER, About::Never(name.into()))),
            None => Some(Known::Same(About::Nothing)),
        }
    }

    fn resolve_unnamed(&mut self, via: &mut Passing<'_, '_>) -> Option<Known> {
        let unnamed = match self.changes.unnamed(self.segment) {
            Pending::Unknown => return None,
            Pending::Here(Some(unnamed)) => return Some(Known::Same(About::Verbatim(unnamed.parse))),
            Pending::Here(None) => return Some(Known::Same(About::Nothing)),
            Pending::Nothing => via.tracked.names.unnamed().cloned(),
        };
        let there = via.tracked.copies.unnamed();
        match unnamed {
            _ if planted(Fault::UnnamedForwardedBlindly) => Some(Known::Same(About::Nothing)),
            None => {
                // Another client's would answer.
                if there.is_some() {
                    via.put(b'C', &[b"S", &[0]], 0);
                    self.changes.push(self.segment, Of::Clean);
                    self.ask(Item::change(Owed::OurClose, About::Nothing));
                }
                Some(Known::Same(About::Nothing))
            }
            Some(unnamed) if there == Some(unnamed.parse) => Some(Known::Same(About::Verbatim(unnamed.parse))),
            Some(unnamed) => self.copy(&unnamed.statement, unnamed.description.as_ref(), None, via),
        }
    }

    /// A copy on this server that answers as the statement did when its client parsed it, the client's name being that of `entry`, or
    /// none.
    fn copy(
        &mut self,
        statement: &Rc<Statement>,
        told: Option<&Rc<Description>>,
        entry: Option<&Rc<Entry>>,
        via: &mut Passing<'_, '_>,
    ) -> Option<Known> {
        let about = |number| match entry {
            Some(entry) => About::Copied(number, Rc::clone(entry)),
            None => About::Unnamed(number),
        };
        let name = || entry.map_or_else(|| b""[..].into(), |entry| Rc::clone(&entry.name));
        if !statement.is_kept() {
            // Its client has kept its server.
            return Some(match entry {
                Some(entry) => Known::As(entry.number, about(entry.number)),
                None => Known::As(NEVER, About::Never(name())),
            });
        }
        if self.changes.copies(statement.id) {
            return None;
        }
        if let Some(number) = told.and_then(|told| via.tracked.copies.find(statement.id, told)) {
            return Some(Known::As(number, about(number)));
        }
        if self.retried.take_if(|retried| *retried == statement.id).is_some() {
            // Where nobody was told anything that must hold, the newest will do.
            let free = told.is_none() || !statement.has_fixed_columns();
            return Some(match via.tracked.copies.newest(statement.id).filter(|_| free) {
                Some(number) => Known::As(number, about(number)),
                None => Known::As(NEVER, About::Stale(name())),
            });
        }
        self.retried = Some(statement.id);
        self.make_room(statement, via);
        let number = via.tracked.texts.number();
        via.flush();
        message(via.out, b'P', |out| {
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
        self.describe_ours(number, copy, via);
        None
    }

    /// Whether a spare statement exists when the next message is read; false while that is not known.
    pub(super) fn ensure(&mut self, spare: Spare, via: &mut Passing<'_, '_>) -> bool {
        match self.changes.spare(spare, self.segment) {
            Pending::Unknown => return false,
            Pending::Here(()) => return true,
            Pending::Nothing if via.tracked.copies.has_spare(spare) => return true,
            Pending::Nothing => {}
        }
        via.put(b'P', &[spare.name(), &[0], spare.text(), &[0, 0, 0]], 0);
        self.changes.push(self.segment, Of::Spare(spare));
        self.ask(Item::change(Owed::OurParse, About::Nothing));
        true
    }

    /// Before `statement` is parsed: what nobody uses any more goes, and what was not used for longest.
    pub(super) fn make_room(&mut self, statement: &Statement, via: &mut Passing<'_, '_>) {
        while let Some(surplus) = via.tracked.copies.surplus(statement.size(), |number| self.changes.makes(number)) {
            self.close_ours(surplus, via);
        }
    }

    pub(super) fn close_ours(&mut self, number: u32, via: &mut Passing<'_, '_>) {
        via.put(b'C', &[b"S", name_of(number, &mut [0; 16]), &[0]], 0);
        self.changes.push(self.segment, Of::Uncopy(number));
        self.ask(Item::change(Owed::OurClose, About::Nothing));
    }

    pub(super) fn describe_ours(&mut self, number: u32, about: About, via: &mut Passing<'_, '_>) {
        via.put(b'D', &[b"S", name_of(number, &mut [0; 16]), &[0]], 0);
        self.ask(Item::about(Owed::OurDescribe, about));
    }
}

fn write_types(types: &[u32], out: &mut Vec<u8>) {
    out.extend_from_slice(&u16::try_from(types.len()).unwrap_or(u16::MAX).to_be_bytes());
    for kind in types {
        out.extend_from_slice(&kind.to_be_bytes());
    }
}
