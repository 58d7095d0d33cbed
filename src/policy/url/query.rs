//! The query as pairs of spans, and the edits on it. They never make a second copy of a key, nor an empty pair, which libpq refuses.

use super::decode::{Plus, decode};
use super::split::position;
use super::{Existing, Span, Url, UrlError};

/// One `key=value`; an empty pair where two `&` meet.
pub(super) struct Pair {
    pub(super) whole: Span,
    pub(super) key: Span,
    /// `None` without a `=`.
    pub(super) value: Option<Span>,
}

impl Pair {
    pub(super) fn split(text: &[u8], query: Span) -> Vec<Self> {
        let mut pairs = Vec::new();
        let mut from = query.start;
        loop {
            let to = position(text, from..query.end, b"&").unwrap_or(query.end);
            let equals = position(text, from..to, b"=");
            pairs.push(Self {
                whole: from..to,
                key: from..equals.unwrap_or(to),
                value: equals.map(|equals| equals + 1..to),
            });
            if to == query.end {
                return pairs;
            }
            from = to + 1;
        }
    }
}

impl Url<'_> {
    /// The one pair with this key, which may be written percent-encoded; a second copy is refused.
    pub(super) fn only(&self, key: &'static str) -> Result<Option<&Pair>, UrlError> {
        Ok(self.index(key)?.and_then(|index| self.pairs.get(index)))
    }

    fn index(&self, key: &'static str) -> Result<Option<usize>, UrlError> {
        let same = |pair: &Pair| decode(self.bytes(&pair.key), Plus::Literal) == key.as_bytes();
        let mut found = self.pairs.iter().enumerate().filter(|(_, pair)| same(pair)).map(|(index, _)| index);
        let first = found.next();
        if found.next().is_some() { Err(UrlError::DuplicateKey(key)) } else { Ok(first) }
    }
}

/// What becomes of one pair.
#[derive(Clone, PartialEq, Eq)]
enum Fate {
    Stay,
    Go,
    Become(String),
}

/// Edits of one query, gathered and then turned into replaced spans.
pub(super) struct Change<'u, 't> {
    url: &'u Url<'t>,
    fates: Vec<Fate>,
    added: Vec<String>,
}

impl<'u, 't> Change<'u, 't> {
    pub(super) fn new(url: &'u Url<'t>) -> Self {
        Self { url, fates: vec![Fate::Stay; url.pairs.len()], added: Vec::new() }
    }

    /// Removes the pair with this key, if there is one.
    pub(super) fn remove(&mut self, key: &'static str) -> Result<(), UrlError> {
        let index = self.url.index(key)?;
        if let Some(fate) = index.and_then(|index| self.fates.get_mut(index)) {
            *fate = Fate::Go;
        }
        Ok(())
    }

    /// Sets a key: in place where it is there, else at the end. Says whether the value is now this one.
    pub(super) fn set(&mut self, key: &'static str, value: &str, existing: Existing) -> Result<bool, UrlError> {
        let index = self.url.index(key)?;
        let there = index.and_then(|index| Some((self.url.pairs.get(index)?, self.fates.get_mut(index)?)));
        match there {
            None => self.added.push(format!("{key}={value}")),
            Some((pair, _)) if pair.value.as_ref().is_some_and(|span| self.url.bytes(span) == value.as_bytes()) => {}
            Some(_) if existing == Existing::Keep => return Ok(false),
            Some((pair, fate)) => {
                let key = String::from_utf8_lossy(self.url.bytes(&pair.key)).into_owned();
                *fate = Fate::Become(format!("{key}={value}"));
            }
        }
        Ok(true)
    }

    /// The replaced spans, in order. A run of removed pairs takes one neighbouring `&` along.
    pub(super) fn finish(self) -> Vec<(Span, String)> {
        let pairs = &self.url.pairs;
        let mut replaced = Vec::new();
        let mut index = 0;
        while let (Some(pair), Some(fate)) = (pairs.get(index), self.fates.get(index)) {
            match fate {
                Fate::Stay => {}
                Fate::Become(text) => replaced.push((pair.whole.clone(), text.clone())),
                Fate::Go => {
                    let run = self.fates.iter().skip(index).take_while(|fate| **fate == Fate::Go).count();
                    let last = pairs.get(index + run - 1).map_or(pair.whole.end, |last| last.whole.end);
                    let before = index.checked_sub(1).and_then(|before| pairs.get(before));
                    let span = match (pairs.get(index + run), before) {
                        (Some(after), _) => pair.whole.start..after.whole.start,
                        (None, Some(before)) => before.whole.end..last,
                        (None, None) => pair.whole.start..last,
                    };
                    replaced.push((span, String::new()));
                    index += run - 1;
                }
            }
            index += 1;
        }
        if !self.added.is_empty() {
            let end = self.url.text.len();
            replaced.push((end..end, self.separator().to_owned() + &self.added.join("&")));
        }
        replaced
    }

    /// What must stand between what stays and what is added.
    fn separator(&self) -> &'static str {
        if self.url.query.is_none() {
            return "?";
        }
        let staying = self.url.pairs.iter().zip(&self.fates).rev().find(|(_, fate)| **fate != Fate::Go);
        match staying {
            Some((pair, _)) if !pair.whole.is_empty() => "&",
            _ => "",
        }
    }
}
