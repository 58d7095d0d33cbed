//! A script: what several clients do, step by step in one order, as values and as text.
//!
//! ```text
//! servers 1
//! a login TimeZone=Asia/Tokyo
//! a owed cut 7,1 kept 3
//!   P s1 23 SELECT $1
//!   S
//! b cancels a
//! a leaves reset
//!   Q BEGIN
//! ```
//!
//! A step sends its messages in pieces of the lengths after `cut`, over and over; the bytes after `kept` are held back until the
//! client's next step. `owed` waits for every answer that can come, `notice` for a NoticeResponse, `on` for nothing.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use crate::say::Say;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Server connections that the pool may have.
    pub servers: usize,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub client: usize,
    pub act: Act,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// With start-up parameters.
    Login(Vec<(String, String)>),
    Send(Sending, Until),
    /// Sends, waits for nothing and is gone.
    Leave(Sending, Leave),
    /// Asks for the cancel of this client's query.
    Cancel(usize),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sending {
    pub messages: Vec<Say>,
    pub cuts: Vec<usize>,
    pub kept: usize,
}

/// What is awaited before the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    Nothing,
    Owed,
    Notice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Terminate.
    Goodbye,
    /// The end of the stream.
    Close,
    Reset,
}

impl Script {
    /// How many clients it has at most.
    pub fn clients(&self) -> usize {
        let last = |step: &Step| match step.act {
            Act::Cancel(whom) => step.client.max(whom),
            _ => step.client,
        };
        self.steps.iter().map(|step| last(step) + 1).max().unwrap_or(0)
    }
}

impl Step {
    pub fn sending(&self) -> Option<&Sending> {
        match &self.act {
            Act::Send(sending, _) | Act::Leave(sending, _) => Some(sending),
            Act::Login(_) | Act::Cancel(_) => None,
        }
    }

    pub fn sending_mut(&mut self) -> Option<&mut Sending> {
        match &mut self.act {
            Act::Send(sending, _) | Act::Leave(sending, _) => Some(sending),
            Act::Login(_) | Act::Cancel(_) => None,
        }
    }
}

fn letter(client: usize) -> char {
    char::from(b'a' + u8::try_from(client).unwrap())
}

fn client(text: &str) -> Result<usize, String> {
    match text.as_bytes() {
        [letter @ b'a'..=b'z'] => Ok(usize::from(letter - b'a')),
        _ => Err(format!("not a client: {text:?}")),
    }
}

impl fmt::Display for Script {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "servers {}", self.servers)?;
        self.steps.iter().try_for_each(|step| write!(out, "{step}"))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ", letter(self.client))?;
        match &self.act {
            Act::Login(parameters) => {
                out.write_str("login")?;
                parameters.iter().try_for_each(|(name, value)| write!(out, " {name}={value}"))?;
            }
            Act::Cancel(whom) => write!(out, "cancels {}", letter(*whom))?,
            Act::Send(_, until) => out.write_str(match until {
                Until::Nothing => "on",
                Until::Owed => "owed",
                Until::Notice => "notice",
            })?,
            Act::Leave(_, how) => out.write_str(match how {
                Leave::Goodbye => "leaves goodbye",
                Leave::Close => "leaves close",
                Leave::Reset => "leaves reset",
            })?,
        }
        if let Some(sending) = self.sending() {
            if !sending.cuts.is_empty() {
                let cuts: Vec<_> = sending.cuts.iter().map(ToString::to_string).collect();
                write!(out, " cut {}", cuts.join(","))?;
            }
            if sending.kept > 0 {
                write!(out, " kept {}", sending.kept)?;
            }
            for message in &sending.messages {
                write!(out, "\n  {message}")?;
            }
        }
        out.write_char('\n')
    }
}

impl FromStr for Script {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        let first = lines.next().and_then(|line| line.trim().strip_prefix("servers "));
        let servers = first.and_then(|number| number.trim().parse().ok()).ok_or("begins with servers <number>")?;
        let mut steps: Vec<Step> = Vec::new();
        for line in lines {
            match line.strip_prefix("  ") {
                None => steps.push(step(line)?),
                Some(message) => {
                    let sending = steps.last_mut().and_then(Step::sending_mut);
                    sending.ok_or_else(|| format!("a message of no step: {line:?}"))?.messages.push(message.parse()?);
                }
            }
        }
        Ok(Self { servers, steps })
    }
}

fn step(line: &str) -> Result<Step, String> {
    let words: Vec<_> = line.split_whitespace().collect();
    let bad = || format!("not a step: {line:?}");
    let after = |word: &str| words.iter().position(|found| *found == word).and_then(|at| words.get(at + 1));
    let number = |text: &str| text.parse::<usize>().map_err(|_| bad());
    let sending = || {
        let cuts = after("cut").map_or(Ok(Vec::new()), |cuts| cuts.split(',').map(number).collect())?;
        Ok::<_, String>(Sending { messages: Vec::new(), cuts, kept: after("kept").map_or(Ok(0), |kept| number(kept))? })
    };
    let act = match *words.get(1).ok_or_else(bad)? {
        "login" => {
            let pairs = words.iter().skip(2).map(|pair| pair.split_once('=').ok_or_else(bad));
            Act::Login(pairs.map(|pair| pair.map(|(a, b)| (a.to_owned(), b.to_owned()))).collect::<Result<_, _>>()?)
        }
        "cancels" => Act::Cancel(client(words.get(2).ok_or_else(bad)?)?),
        "on" => Act::Send(sending()?, Until::Nothing),
        "owed" => Act::Send(sending()?, Until::Owed),
        "notice" => Act::Send(sending()?, Until::Notice),
        "leaves" => {
            let how = match words.get(2) {
                Some(&"goodbye") => Leave::Goodbye,
                Some(&"close") => Leave::Close,
                Some(&"reset") => Leave::Reset,
                _ => return Err(bad()),
            };
            Act::Leave(sending()?, how)
        }
        _ => return Err(bad()),
    };
    Ok(Step { client: client(words.first().ok_or_else(bad)?)?, act })
}
