//! The texts of queries: one pass over each, which finds nothing in most.
//!
//! Keywords of SQL can be written in one way only, so that looking for their letters finds them all. Names can be written otherwise:
//! by Unicode escapes (`U&"set\005fconfig"`), which is not seen. Only what executes by another name is missed, as functions are.

use memchr::memmem;

use super::Hints;
use super::calls;
use super::lexer::{is_space, is_word};

/// Bytes that are looked at together. The compiler makes vector instructions of it.
const BLOCK: usize = 32;
/// Longest of the parts in [`is_near`].
const PART: usize = 3;
/// Words before a SET that is no UPDATE's, in programs.
const BEFORE_SET: &[&[u8]] = &[b"begin", b"then", b"else", b"loop"];
/// Words before TEMP or TEMPORARY as a keyword: `OptTemp` and `OptTempTableName` of PostgreSQL's grammar.
const BEFORE_TEMPORARY: &[&[u8]] = &[b"create", b"replace", b"local", b"global", b"into"];

/// What of the session the execution of this text may change, beside what its command tag tells. `custom` gets the name of each
/// custom parameter that it may set, as it is written; never one that is not ASCII.
pub fn hints_of_text(text: &[u8], custom: &mut impl FnMut(&[u8])) -> Hints {
    let mut scan = Scan { text, found: Hints::NONE, sets: false };
    for at in (0..text.len()).step_by(BLOCK) {
        let end = at + BLOCK + PART - 1;
        if let Some(block) = text.get(at..end).and_then(|block| block.try_into().ok()) {
            if is_near(block) {
                scan.block(at);
            }
        } else {
            let mut block = [0; BLOCK + PART - 1];
            let rest = text.get(at..).unwrap_or_default();
            block.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            if is_near(&block) {
                scan.block(at);
            }
        }
    }
    if scan.sets { scan.found | calls::read(text, custom) } else { scan.found }
}

/// Whether a part of one of the words that are looked for starts in the first [`BLOCK`] bytes: **set**, set_config; **adv**isory;
/// t**emp**orary; d**isc**ard; **dea**llocate; **hol**d.
#[inline]
fn is_near(block: &[u8; BLOCK + PART - 1]) -> bool {
    let mut near = 0_u8;
    let (mut first, mut second, mut third) = ([0; BLOCK], [0; BLOCK], [0; BLOCK]);
    first.copy_from_slice(block.get(..BLOCK).unwrap_or(&[0; BLOCK]));
    second.copy_from_slice(block.get(1..=BLOCK).unwrap_or(&[0; BLOCK]));
    third.copy_from_slice(block.get(2..).unwrap_or(&[0; BLOCK]));
    for ((a, b), c) in first.iter().zip(&second).zip(&third) {
        let (a, b, c) = (a | 0x20, b | 0x20, c | 0x20);
        let is = |part: [u8; 3]| u8::from(a == part[0]) & u8::from(b == part[1]) & u8::from(c == part[2]);
        near |= is(*b"set") | is(*b"adv") | is(*b"emp") | is(*b"isc") | is(*b"dea") | is(*b"hol");
    }
    near != 0
}

struct Scan<'a> {
    text: &'a [u8],
    found: Hints,
    /// It must be read what is set.
    sets: bool,
}

impl Scan<'_> {
    fn block(&mut self, start: usize) {
        for at in start..start + BLOCK {
            let Some([a, b, c]) = self.text.get(at..at + PART) else { return };
            match [a | 0x20, b | 0x20, c | 0x20] {
                [b's', b'e', b't'] => self.sets |= self.sets_at(at),
                [b'a', b'd', b'v'] => self.found |= self.lock_at(at),
                [b'e', b'm', b'p'] if at > 0 => self.found |= self.temporary_at(at - 1),
                [b'i', b's', b'c'] if at > 0 && self.is_word_at(at - 1, b"discard") => {
                    self.found |= Hints::DROPS_STATEMENTS;
                }
                [b'd', b'e', b'a'] if self.is_word_at(at, b"deallocate") => self.found |= Hints::DROPS_STATEMENTS,
                [b'h', b'o', b'l'] if self.is_word_at(at, b"hold") && self.follows(at, &[b"with"]) => {
                    self.found |= Hints::CURSORS;
                }
                _ => {}
            }
        }
    }

    /// What is an UPDATE's SET is the commonest by far, and is told by the word before.
    fn sets_at(&self, at: usize) -> bool {
        if self.starts_at(at, b"set_config") {
            return true;
        }
        self.is_word_at(at, b"set") && {
            let before = trim(self.text.get(..at).unwrap_or_default());
            let named = before.last().is_some_and(|last| (is_word(*last) && *last != b'$') || *last == b'"');
            !named || self.follows(at, BEFORE_SET)
        }
    }

    /// Locks of the transaction end with it.
    fn lock_at(&self, at: usize) -> Hints {
        if !self.starts_at(at, b"advisory") || self.starts_at(at, b"advisory_xact") {
            Hints::NONE
        } else if self.starts_at(at, b"advisory_unlock") {
            Hints::UNPINS
        } else {
            Hints::LOCKS
        }
    }

    fn temporary_at(&self, at: usize) -> Hints {
        let schema = at.checked_sub(3).is_some_and(|at| self.starts_at(at, b"pg_temp"));
        let keyword = self.is_word_at(at, b"temp") || self.is_word_at(at, b"temporary");
        if schema || (keyword && self.follows(at, BEFORE_TEMPORARY)) { Hints::TEMPORARY } else { Hints::NONE }
    }

    fn starts_at(&self, at: usize, name: &[u8]) -> bool {
        self.text.get(at..at + name.len()).is_some_and(|part| part.eq_ignore_ascii_case(name))
    }

    fn is_word_at(&self, at: usize, word: &[u8]) -> bool {
        let ends = self.text.get(at + word.len()).is_none_or(|next| !is_word(*next));
        // A dollar quote ends in what could be a word's byte.
        let starts = at == 0 || self.text.get(at - 1).is_some_and(|last| !is_word(*last) || *last == b'$');
        ends && starts && self.starts_at(at, word)
    }

    /// Whether the word before is one of these, or may be, behind a comment.
    fn follows(&self, at: usize, words: &[&[u8]]) -> bool {
        let before = self.text.get(..at).unwrap_or_default();
        let trimmed = trim(before);
        // What opens a text in dollar quotes is no part of the word behind it.
        let start = trimmed.iter().rposition(|byte| !is_word(*byte) || *byte == b'$').map_or(0, |last| last + 1);
        let word = trimmed.get(start..).unwrap_or_default();
        words.iter().any(|wanted| word.eq_ignore_ascii_case(wanted))
            || trimmed.ends_with(b"*/")
            || memmem::find(before, b"--").is_some()
    }
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., last] = text
        && is_space(*last)
    {
        text = rest;
    }
    text
}

/// Whether the name is anywhere in it.
pub(super) fn finds_set_config(text: &[u8]) -> bool {
    const NAME: &[u8] = b"set_config";
    text.windows(NAME.len()).any(|part| part.eq_ignore_ascii_case(NAME))
}

/// Whether SET may be a word in it.
pub(super) fn contains_word_set(text: &[u8]) -> bool {
    text.windows(3).any(|part| part.eq_ignore_ascii_case(b"set"))
}
