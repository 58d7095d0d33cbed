//! SQL as a row of tokens, as far as one can tell without knowing the session.
//!
//! Source: `scan.l` of PostgreSQL. Two things depend on settings: whether a backslash escapes a quote (`standard_conforming_strings`)
//! and which bytes belong to one character. Where either decides something, the lexer says that it is unsure.

/// A token. Comments and whitespace are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Keyword or identifier.
    Word(&'a [u8]),
    /// What is between double quotes.
    Quoted(&'a [u8]),
    /// What is between single quotes; a quote is doubled.
    Text(&'a [u8]),
    /// As [`Token::Text`], with escapes or a prefix.
    Escaped(&'a [u8]),
    /// What is between dollar quotes.
    Dollar(&'a [u8]),
    /// A number or a parameter.
    Other,
    /// Any other byte.
    Symbol(u8),
}

/// Reads tokens off a text.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'a> {
    rest: &'a [u8],
    unsure: bool,
}

pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Whether it can be a byte of an identifier behind the first.
pub(super) const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { rest: text, unsure: false }
    }

    /// Whether what was read so far could be something else under other settings.
    pub(super) fn is_unsure(&self) -> bool {
        self.unsure
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    fn skip_blank(&mut self) {
        loop {
            match self.rest {
                [byte, ..] if is_space(*byte) => drop(self.take(1)),
                [b'-', b'-', ..] => {
                    let end = memchr::memchr2(b'\n', b'\r', self.rest).unwrap_or(self.rest.len());
                    self.take(end);
                }
                [b'/', b'*', ..] => self.skip_comment(),
                _ => return,
            }
        }
    }

    fn skip_comment(&mut self) {
        let mut depth = 0_usize;
        loop {
            match self.rest {
                [b'/', b'*', ..] => {
                    depth += 1;
                    self.take(2);
                }
                [b'*', b'/', ..] => {
                    depth -= 1;
                    self.take(2);
                    if depth == 0 {
                        return;
                    }
                }
                [] => return self.unsure = true,
                _ => drop(self.take(1)),
            }
        }
    }

    /// What is up to the next `quote` that is not doubled, which is taken too.
    fn quoted(&mut self, quote: u8) -> &'a [u8] {
        let text = self.rest;
        let mut end = 0;
        while let Some(found) = text.get(end..).and_then(|rest| memchr::memchr(quote, rest)) {
            let at = end + found;
            if quote == b'\'' && at > 0 && text.get(at - 1) == Some(&b'\\') {
                self.unsure = true;
            }
            if text.get(at + 1) != Some(&quote) {
                self.take(at + 1);
                return text.get(..at).unwrap_or_default();
            }
            end = at + 2;
        }
        self.unsure = true;
        self.take(text.len())
    }

    /// As [`Lexer::quoted`], where a backslash escapes.
    fn escaped(&mut self) -> &'a [u8] {
        let text = self.rest;
        let (mut at, mut wide, mut escapes) = (0, false, false);
        while let Some(byte) = text.get(at) {
            match byte {
                b'\\' => {
                    escapes = true;
                    at += 1;
                }
                b'\'' if text.get(at + 1) == Some(&b'\'') => at += 1,
                b'\'' => {
                    // A backslash may be the second byte of a character there.
                    self.unsure |= wide && escapes;
                    self.take(at + 1);
                    return text.get(..at).unwrap_or_default();
                }
                0x80.. => wide = true,
                _ => {}
            }
            at += 1;
        }
        self.unsure = true;
        self.take(text.len())
    }

    /// At a `$` that is not in a word: a parameter, a text in dollar quotes, or neither.
    fn dollar(&mut self) -> Token<'a> {
        let text = self.rest;
        let tag = text.iter().skip(1).take_while(|byte| is_word(**byte) && **byte != b'$').count();
        let open = tag + 2;
        let first = text.get(1).copied().unwrap_or_default();
        if first.is_ascii_digit() {
            self.take(1 + tag);
            return Token::Other;
        }
        let Some(delimiter) = text.get(..open).filter(|delimiter| delimiter.ends_with(b"$")) else {
            self.take(1);
            return Token::Symbol(b'$');
        };
        self.unsure |= !delimiter.is_ascii();
        self.take(open);
        let body = self.rest;
        let Some(end) = memchr::memmem::find(body, delimiter) else {
            self.unsure = true;
            return Token::Dollar(self.take(body.len()));
        };
        self.take(end + open);
        Token::Dollar(body.get(..end).unwrap_or_default())
    }

    fn word(&mut self) -> Token<'a> {
        let length = self.rest.iter().take_while(|byte| is_word(**byte)).count();
        let word = self.take(length);
        if let ([prefix], [b'\'', ..]) = (word, self.rest) {
            let prefix = prefix.to_ascii_lowercase();
            if matches!(prefix, b'e' | b'b' | b'x' | b'n') {
                self.take(1);
                return Token::Escaped(if prefix == b'e' { self.escaped() } else { self.quoted(b'\'') });
            }
        }
        Token::Word(word)
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blank();
        let first = *self.rest.first()?;
        Some(match first {
            b'\'' => {
                self.take(1);
                Token::Text(self.quoted(b'\''))
            }
            b'"' => {
                self.take(1);
                Token::Quoted(self.quoted(b'"'))
            }
            b'$' => self.dollar(),
            b'0'..=b'9' => {
                // `1e-5` comes as two numbers and a symbol; nobody asks.
                let length = self.rest.iter().take_while(|byte| is_word(**byte) || **byte == b'.').count();
                self.take(length);
                Token::Other
            }
            first if is_word(first) => self.word(),
            first => {
                self.take(1);
                Token::Symbol(first)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens(text: &str) -> (Vec<Token<'_>>, bool) {
        let mut lexer = Lexer::new(text.as_bytes());
        let tokens = lexer.by_ref().collect();
        (tokens, lexer.is_unsure())
    }

    #[test]
    fn reads_what_postgresql_reads() {
        use Token::{Dollar, Escaped, Other, Quoted, Symbol, Text, Word};
        let (found, unsure) =
            tokens("SELECT/*a/*b*/'*/\"x\"\"y\".z, 'it''s' -- no'\n$1 $$a'b$$ $q$ $$ $q$ e'\\'' a$1;");
        let expected = [
            Word(b"SELECT"),
            Quoted(b"x\"\"y"),
            Symbol(b'.'),
            Word(b"z"),
            Symbol(b','),
            Text(b"it''s"),
            Other,
            Dollar(b"a'b"),
            Dollar(b" $$ "),
            Escaped(b"\\'"),
            Word(b"a$1"),
            Symbol(b';'),
        ];
        assert_eq!((&*found, unsure), (&expected[..], false));
    }

    #[test]
    fn is_unsure_where_a_setting_decides() {
        for text in
            ["'\\''", "'open", "/* open", "$a$ open", "e'\u{e9}\\''", "$\u{e9}$x$\u{e9}$", "'a\\'; set b.c = ''"]
        {
            assert!(tokens(text).1, "{text}");
        }
        for text in ["'C:\\x'", "'\u{e9}'", "e'\\n'", "$a"] {
            assert!(!tokens(text).1, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_ends(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Lexer::new(&text).count() <= text.len());
        }

        #[test]
        fn never_panics_on_what_looks_like_sql(text in "([$'\"/*\\-\\\\eE ;a.\n\u{e9}]|\\$\\$|--|/\\*|\\*/){0,40}") {
            prop_assert!(Lexer::new(text.as_bytes()).count() <= text.len());
        }
    }
}
