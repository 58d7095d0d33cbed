//! Messages of a client: as bytes for the server, and as a line of a script.
//!
//! A line is the message's letter in the protocol and its fields. `-` is the empty name, `~` is NULL, `""` the empty value, and
//! `{x*70000}` in any text stands for so many letters, and `{probe}` for the query of the session's state.

use std::fmt;
use std::str::FromStr;

use crate::author::PROBE;
use crate::raw::{message, query};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Say {
    Query(String),
    Parse { name: String, types: Vec<u32>, sql: String },
    Bind { portal: String, statement: String, binary: bool, values: Vec<Option<String>> },
    Describe { kind: char, name: String },
    Close { kind: char, name: String },
    Execute { portal: String, rows: u32 },
    Flush,
    Sync,
    Call { function: u32, values: Vec<Option<String>> },
    CopyData(String),
    CopyDone,
    CopyFail(String),
}

/// Replaces `{x*3}` by `xxx`, and `{probe}`.
pub fn expand(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let repeated = after.split_once('}').and_then(|(inside, behind)| match inside.split_once('*') {
            Some((what, times)) => Some((what.repeat(times.parse().ok()?), behind)),
            None => (inside == "probe").then(|| (PROBE.to_owned(), behind)),
        });
        let (text, behind) = repeated.unwrap_or_else(|| ("{".to_owned(), after));
        out.push_str(&text);
        rest = behind;
    }
    out + rest
}

fn count(values: &[Option<String>]) -> [u8; 2] {
    u16::try_from(values.len()).unwrap().to_be_bytes()
}

fn parameters(out: &mut Vec<u8>, values: &[Option<String>]) {
    out.extend(count(values));
    for value in values {
        match value {
            None => out.extend((-1_i32).to_be_bytes()),
            Some(value) => {
                let value = expand(value);
                out.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
                out.extend(value.as_bytes());
            }
        }
    }
}

impl Say {
    /// Its type in the protocol.
    pub fn letter(&self) -> u8 {
        match self {
            Self::Query(_) => b'Q',
            Self::Parse { .. } => b'P',
            Self::Bind { .. } => b'B',
            Self::Describe { .. } => b'D',
            Self::Close { .. } => b'C',
            Self::Execute { .. } => b'E',
            Self::Flush => b'H',
            Self::Sync => b'S',
            Self::Call { .. } => b'F',
            Self::CopyData(_) => b'd',
            Self::CopyDone => b'c',
            Self::CopyFail(_) => b'f',
        }
    }

    /// The SQL that it brings.
    pub fn sql(&self) -> Option<&str> {
        match self {
            Self::Query(sql) | Self::Parse { sql, .. } => Some(sql),
            _ => None,
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        match self {
            Self::Query(sql) => return query(&expand(sql)),
            Self::Parse { name, types, sql } => {
                body.extend(format!("{}\0{}\0", expand(name), expand(sql)).as_bytes());
                body.extend(u16::try_from(types.len()).unwrap().to_be_bytes());
                body.extend(types.iter().flat_map(|oid| oid.to_be_bytes()));
            }
            Self::Bind { portal, statement, binary, values } => {
                body.extend(format!("{portal}\0{}\0\0\0", expand(statement)).as_bytes());
                parameters(&mut body, values);
                body.extend([0, 1, 0, u8::from(*binary)]);
            }
            Self::Describe { kind, name } | Self::Close { kind, name } => {
                body.extend(format!("{kind}{}\0", expand(name)).as_bytes());
            }
            Self::Execute { portal, rows } => {
                body.extend(format!("{portal}\0").as_bytes());
                body.extend(rows.to_be_bytes());
            }
            Self::Call { function, values } => {
                body.extend(function.to_be_bytes());
                body.extend([0, 0]);
                parameters(&mut body, values);
                body.extend([0, 0]);
            }
            Self::CopyData(line) => body.extend((expand(line) + "\n").as_bytes()),
            Self::CopyFail(text) => body.extend(format!("{text}\0").as_bytes()),
            Self::Flush | Self::Sync | Self::CopyDone => {}
        }
        message(self.letter(), &body)
    }
}

fn name(name: &str) -> &str {
    if name.is_empty() { "-" } else { name }
}

fn shown(values: &[Option<String>]) -> String {
    let one = |value: &Option<String>| match value.as_deref() {
        None => " ~".to_owned(),
        Some("") => " \"\"".to_owned(),
        Some(value) => format!(" {value}"),
    };
    values.iter().map(one).collect()
}

impl fmt::Display for Say {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = char::from(self.letter());
        match self {
            Self::Query(text) | Self::CopyData(text) | Self::CopyFail(text) => write!(out, "{letter} {text}"),
            Self::Parse { name: statement, types, sql } => {
                let types: Vec<_> = types.iter().map(ToString::to_string).collect();
                write!(out, "{letter} {} {} {sql}", name(statement), name(&types.join(",")))
            }
            Self::Bind { portal, statement, binary, values } => {
                let format = if *binary { "binary" } else { "text" };
                write!(out, "{letter} {} {} {format}{}", name(portal), name(statement), shown(values))
            }
            Self::Describe { kind, name: what } | Self::Close { kind, name: what } => {
                write!(out, "{letter} {kind} {}", name(what))
            }
            Self::Execute { portal, rows } => write!(out, "{letter} {} {rows}", name(portal)),
            Self::Call { function, values } => write!(out, "{letter} {function}{}", shown(values)),
            Self::Flush | Self::Sync | Self::CopyDone => write!(out, "{letter}"),
        }
    }
}

impl FromStr for Say {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let (letter, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words: Vec<_> = rest.split(' ').filter(|word| !word.is_empty()).collect();
        let bad = || format!("not a message: {line:?}");
        let word = |at: usize| words.get(at).copied().ok_or_else(bad);
        let read_name = |at| word(at).map(|text| if text == "-" { String::new() } else { text.to_owned() });
        let kind = || Ok::<_, String>(word(0)?.chars().next().unwrap_or_default());
        let number = |at| word(at)?.parse().map_err(|_| bad());
        let values = |from: usize| {
            let one = |text: &&str| match *text {
                "~" => None,
                "\"\"" => Some(String::new()),
                text => Some(text.to_owned()),
            };
            words.iter().skip(from).map(one).collect()
        };
        Ok(match letter {
            "Q" => Self::Query(rest.to_owned()),
            "P" => {
                let types = read_name(1)?;
                let types = types.split(',').filter(|oid| !oid.is_empty()).map(|oid| oid.parse().map_err(|_| bad()));
                let sql = rest.splitn(3, ' ').nth(2).unwrap_or_default().to_owned();
                Self::Parse { name: read_name(0)?, types: types.collect::<Result<_, _>>()?, sql }
            }
            "B" => {
                let binary = word(2)? == "binary";
                Self::Bind { portal: read_name(0)?, statement: read_name(1)?, binary, values: values(3) }
            }
            "D" => Self::Describe { kind: kind()?, name: read_name(1)? },
            "C" => Self::Close { kind: kind()?, name: read_name(1)? },
            "E" => Self::Execute { portal: read_name(0)?, rows: number(1)? },
            "H" => Self::Flush,
            "S" => Self::Sync,
            "F" => Self::Call { function: number(0)?, values: values(1) },
            "d" => Self::CopyData(rest.to_owned()),
            "c" => Self::CopyDone,
            "f" => Self::CopyFail(rest.to_owned()),
            _ => return Err(bad()),
        })
    }
}
