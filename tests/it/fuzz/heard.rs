//! What a client hears, as text in which everything is left out that may differ between two runs.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::raw::Message;

#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// An answer in its turn, or a notice.
    Said(String),
    /// ParameterStatus: it may come earlier, later, or twice.
    Status(String, String),
    /// NotificationResponse, without the process id: it may come earlier or later.
    Notified(String),
}

/// Fields of an error or notice that stay: not the place in PostgreSQL's source.
const LEFT_OUT: &[u8] = b"FLR";

pub fn heard(message: &Message) -> Heard {
    let body = &message.body[..];
    let mut texts = body.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned());
    let said = match message.kind {
        b'S' => return Heard::Status(texts.next().unwrap(), texts.next().unwrap()),
        b'A' => {
            let text = String::from_utf8_lossy(&body[4..]).replace('\0', " ");
            return Heard::Notified(text.trim_end().to_owned());
        }
        b'1' => "ParseComplete".to_owned(),
        b'2' => "BindComplete".to_owned(),
        b'3' => "CloseComplete".to_owned(),
        b'n' => "NoData".to_owned(),
        b's' => "PortalSuspended".to_owned(),
        b'I' => "EmptyQueryResponse".to_owned(),
        b'c' => "CopyDone".to_owned(),
        b'C' => format!("CommandComplete {}", texts.next().unwrap()),
        b'Z' => format!("ReadyForQuery {}", char::from(body[0])),
        b'T' => format!("RowDescription{}", columns(body)),
        b't' => format!("ParameterDescription {:?}", body[2..].chunks(4).map(number).collect::<Vec<_>>()),
        b'D' => format!("DataRow{}", values(body)),
        b'V' => format!("FunctionCallResponse {}", short(body)),
        b'd' => format!("CopyData {}", short(body)),
        b'E' | b'N' => {
            let texts: Vec<_> = texts.collect();
            // Where a cancel request finds a function is by chance.
            let cancelled = texts.iter().any(|text| text == "C57014");
            let left_out = |code| LEFT_OUT.contains(&code) || cancelled && code == b'W';
            let kept = texts.iter().filter(|text| text.bytes().next().is_some_and(|code| !left_out(code)));
            let name = if message.kind == b'E' { "ErrorResponse" } else { "NoticeResponse" };
            let kept: Vec<_> = kept.map(|text| text.escape_debug().to_string()).collect();
            format!("{name} {}", kept.join(" | "))
        }
        kind => format!("{} {}", char::from(kind), short(body)),
    };
    Heard::Said(said)
}

fn number(bytes: &[u8]) -> i64 {
    bytes.iter().fold(0, |number, byte| number << 8 | i64::from(*byte))
}

/// Without the tables' ids, which differ between two databases.
fn columns(body: &[u8]) -> String {
    let mut rest = &body[2..];
    let mut out = String::new();
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        let (name, fields) = (String::from_utf8_lossy(&rest[..end]).into_owned(), &rest[end + 1..]);
        let of_table = if number(&fields[..4]) == 0 { "" } else { " of a table" };
        let [column, kind, length, modifier, format] =
            [&fields[4..6], &fields[6..10], &fields[10..12], &fields[12..16], &fields[16..18]].map(number);
        write!(out, " | {name}{of_table} {column} {kind} {length} {modifier} {format}").unwrap();
        rest = &fields[18..];
    }
    out
}

fn values(body: &[u8]) -> String {
    let mut rest = &body[2..];
    let mut out = String::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(i32::from_be_bytes(*length)).ok();
        let (value, after) = after.split_at(length.unwrap_or(0));
        out += " | ";
        out += &length.map_or_else(|| "NULL".to_owned(), |_| short(value));
        rest = after;
    }
    out
}

/// Long ones by their beginning and a digest.
fn short(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if bytes.len() <= 2000 {
        return text.escape_debug().to_string();
    }
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let beginning: String = text.chars().take(40).collect();
    format!("{}... {} bytes, {:x}", beginning.escape_debug(), bytes.len(), hasher.finish())
}
