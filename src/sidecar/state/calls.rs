//! What a text sets: SET statements and calls of set_config(), token by token. Only for texts in which one of them was found.

use super::Hints;
use super::lexer::{Lexer, Token};
use super::text::{contains_word_set, finds_set_config};

/// Texts in texts in texts: beyond, nothing is told.
const DEPTH_MAX: u8 = 3;

/// Reads a text, names of custom parameters go to `custom`.
pub(super) fn read(text: &[u8], custom: &mut dyn FnMut(&[u8])) -> Hints {
    let mut reader = Reader { found: Hints::NONE, locals: 0, others: 0, dynamic: false, custom };
    reader.text(text, 0);
    if reader.locals > 0 && reader.others == 0 && !reader.found.contains(Hints::UNKNOWN_CUSTOM) {
        reader.found |= Hints::ONLY_LOCAL;
    }
    reader.found
}

struct Reader<'c> {
    found: Hints,
    /// SET statements that end with their transaction.
    locals: u32,
    others: u32,
    /// There is a DO: texts in it are programs, and those in them may be statements.
    dynamic: bool,
    custom: &'c mut dyn FnMut(&[u8]),
}

/// A name of a parameter.
enum Name {
    /// One of PostgreSQL's own, or none at all.
    Plain,
    Custom(Vec<u8>),
    Unknown,
}

impl Reader<'_> {
    fn text(&mut self, text: &[u8], depth: u8) {
        let mut lexer = Lexer::new(text);
        let mut starts = true;
        while let Some(token) = lexer.next() {
            match token {
                Token::Word(word) if starts && word.eq_ignore_ascii_case(b"do") => self.dynamic = true,
                Token::Word(word) if (starts || depth > 0 && self.dynamic) && word.eq_ignore_ascii_case(b"set") => {
                    self.set(lexer.clone(), depth);
                }
                Token::Word(word) | Token::Quoted(word) if word.eq_ignore_ascii_case(b"set_config") => {
                    self.call(lexer.clone());
                }
                Token::Quoted(word) if finds_set_config(word) => self.unknown(),
                Token::Text(inner) | Token::Escaped(inner) | Token::Dollar(inner) => self.inner(token, inner, depth),
                _ => {}
            }
            starts = token == Token::Symbol(b';');
        }
        if lexer.is_unsure() {
            self.unknown();
        }
    }

    fn unknown(&mut self) {
        self.found |= Hints::SETTINGS | Hints::UNKNOWN_CUSTOM;
    }

    /// A text in the text. It may be a program (DO), a query (query_to_xml), or data.
    fn inner(&mut self, token: Token<'_>, inner: &[u8], depth: u8) {
        let matters = finds_set_config(inner) || (self.dynamic && contains_word_set(inner));
        if !matters {
            return;
        }
        if depth >= DEPTH_MAX || matches!(token, Token::Escaped(_)) {
            return self.unknown();
        }
        if matches!(token, Token::Text(_)) && memchr::memchr(b'\'', inner).is_some() {
            let mut undoubled = Vec::with_capacity(inner.len());
            let mut quote = false;
            for byte in inner {
                quote = *byte == b'\'' && !quote;
                if !quote {
                    undoubled.push(*byte);
                }
            }
            self.text(&undoubled, depth + 1);
        } else {
            self.text(inner, depth + 1);
        }
    }

    /// Behind SET.
    fn set(&mut self, mut lexer: Lexer<'_>, depth: u8) {
        let mut local = false;
        if let Some(word) = keyword(&lexer) {
            local = word.eq_ignore_ascii_case(b"local") || word.eq_ignore_ascii_case(b"transaction");
            if local || word.eq_ignore_ascii_case(b"session") {
                lexer.next();
            }
        }
        if local {
            self.locals += 1;
            return;
        }
        self.others += 1;
        match name(&mut lexer, depth > 0) {
            Name::Plain => {}
            Name::Custom(name) => self.custom(&name),
            Name::Unknown => self.unknown(),
        }
    }

    /// Behind set_config.
    fn call(&mut self, mut lexer: Lexer<'_>) {
        if lexer.next() != Some(Token::Symbol(b'(')) {
            return self.unknown();
        }
        let literal = first_argument(lexer.clone());
        if is_local(&mut lexer) && !lexer.is_unsure() {
            return;
        }
        match literal {
            Some(name) if is_identifier(name) && name.contains(&b'.') => self.custom(name),
            Some(name) if is_identifier(name) => {}
            _ => self.unknown(),
        }
        self.found |= Hints::SETTINGS;
    }

    fn custom(&mut self, name: &[u8]) {
        self.found |= Hints::CUSTOM;
        (self.custom)(name);
    }
}

/// The word that comes next, unless it is the name that is set: `SET local.x = 1`.
fn keyword<'a>(lexer: &Lexer<'a>) -> Option<&'a [u8]> {
    let mut lexer = lexer.clone();
    let Some(Token::Word(word)) = lexer.next() else { return None };
    (!matches!(lexer.next(), Some(Token::Symbol(b'.' | b'=')))).then_some(word)
}

/// The name of a parameter in SET, up to `=` or TO. In a `fragment`, a text that may be put together with others, one must see that
/// it ends there.
fn name(lexer: &mut Lexer<'_>, fragment: bool) -> Name {
    let mut name = Vec::new();
    loop {
        match lexer.next() {
            Some(Token::Word(part) | Token::Quoted(part)) => name.extend_from_slice(part),
            // Columns of an UPDATE.
            Some(Token::Symbol(b'(')) if name.is_empty() => return Name::Plain,
            _ if fragment || !name.is_empty() => return Name::Unknown,
            _ => return Name::Plain,
        }
        let next = lexer.next();
        match next {
            Some(Token::Symbol(b'.')) => name.push(b'.'),
            Some(Token::Symbol(b'=')) => break,
            Some(Token::Word(to)) if to.eq_ignore_ascii_case(b"to") => break,
            _ if name.contains(&b'.') => return Name::Unknown,
            // `U&"..."`, and the placeholders of format().
            Some(Token::Symbol(b'&' | b'%' | b'|')) => return Name::Unknown,
            None if fragment => return Name::Unknown,
            // SET TIME ZONE, SET ROLE, and what ALTER TABLE sets.
            _ => return Name::Plain,
        }
    }
    if !name.contains(&b'.') {
        Name::Plain
    } else if is_identifier(&name) {
        Name::Custom(name)
    } else {
        Name::Unknown
    }
}

/// The first argument of a call, where it is a plain literal.
fn first_argument(mut lexer: Lexer<'_>) -> Option<&[u8]> {
    let Some(Token::Text(text)) = lexer.next() else { return None };
    let mut next = lexer.next();
    if next == Some(Token::Symbol(b':')) {
        let is_text = |token| matches!(token, Some(Token::Word(word)) if word.eq_ignore_ascii_case(b"text"));
        if lexer.next() != Some(Token::Symbol(b':')) || !is_text(lexer.next()) {
            return None;
        }
        next = lexer.next();
    }
    (next == Some(Token::Symbol(b',')) && !lexer.is_unsure()).then_some(text)
}

/// Whether the third argument of a call is a literal true.
fn is_local(lexer: &mut Lexer<'_>) -> bool {
    let (mut depth, mut commas) = (0_usize, 0);
    while commas < 2 {
        match lexer.next() {
            Some(Token::Symbol(b'(' | b'[')) => depth += 1,
            Some(Token::Symbol(b')' | b']')) if depth > 0 => depth -= 1,
            Some(Token::Symbol(b',')) if depth == 0 => commas += 1,
            None | Some(Token::Symbol(b')' | b']' | b';')) => return false,
            Some(_) => {}
        }
    }
    let literal = matches!(lexer.next(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(b"true"));
    literal && lexer.next() == Some(Token::Symbol(b')'))
}

/// Whether it is a name that every PostgreSQL takes as it is, in any encoding.
fn is_identifier(name: &[u8]) -> bool {
    let is_part = |part: &[u8]| {
        part.first().is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_')
            && part.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$'))
    };
    name.split(|byte| *byte == b'.').all(is_part)
}
