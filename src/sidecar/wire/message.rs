//! Whole messages: those that we write ourselves, and the few that we read.

use super::{Malformed, SERVER_MESSAGE_MAX, header};

/// Appends a message of type `kind` whose body is what `body` writes.
pub fn message(out: &mut Vec<u8>, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    put(out, body);
}

/// Appends a message without a type, as start-up packets are. Ours are far below 4 GB.
pub fn put(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    let len = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&len.to_be_bytes());
    }
}

/// A whole message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its type.
    pub kind: u8,
    /// What follows the length.
    pub body: &'a [u8],
}

/// Takes a whole message off the start of `data`; `None` while it is not complete. At most `max` bytes of body are waited for.
pub fn next<'a>(data: &mut &'a [u8], max: u32) -> Result<Option<Message<'a>>, Malformed> {
    let Some((kind, len)) = header(data, SERVER_MESSAGE_MAX)? else { return Ok(None) };
    if len > max {
        return Err(Malformed::TooLong(len));
    }
    let Some((message, rest)) = data.split_at_checked(5 + len as usize) else { return Ok(None) };
    *data = rest;
    Ok(Some(Message { kind, body: message.get(5..).unwrap_or_default() }))
}

/// A column of a DataRow; none is NULL.
pub type Column<'a> = Option<&'a [u8]>;

/// The columns of a DataRow's body; `None` unless it has exactly `N` of them (PostgreSQL manual, Message Formats).
pub fn columns<const N: usize>(body: &[u8]) -> Option<[Column<'_>; N]> {
    let (count, mut rest) = body.split_first_chunk()?;
    if usize::from(u16::from_be_bytes(*count)) != N {
        return None;
    }
    let mut columns = [None; N];
    for column in &mut columns {
        let (length, after) = rest.split_first_chunk()?;
        rest = after;
        let length = i32::from_be_bytes(*length);
        if length != -1 {
            let (value, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            *column = Some(value);
            rest = after;
        }
    }
    rest.is_empty().then_some(columns)
}

/// The fields of an ErrorResponse or NoticeResponse.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Of a message's body.
    pub fn new(body: &'a [u8]) -> Self {
        Self(body)
    }

    /// The text of the field `code`, as in the manual's "Error and Notice Message Fields".
    pub fn get(&self, code: u8) -> Option<&'a [u8]> {
        self.iter().find(|(kind, _)| *kind == code).map(|(_, text)| text)
    }

    /// All of them; a field that is cut off is left out.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &'a [u8])> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (kind, text) = rest.split_first().filter(|(kind, _)| **kind != 0)?;
            let end = text.iter().position(|byte| *byte == 0)?;
            rest = text.get(end + 1..).unwrap_or_default();
            Some((*kind, text.get(..end).unwrap_or_default()))
        })
    }
}

/// Why a client is sent away: becomes an ErrorResponse of severity FATAL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// SQLSTATE, five bytes.
    pub code: [u8; 5],
    /// One sentence.
    pub message: String,
    /// What came with it.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

/// A [`Refusal`] without detail and hint.
pub fn fatal(code: [u8; 5], message: impl Into<String>) -> Refusal {
    Refusal { code, message: message.into(), detail: None, hint: None }
}

impl Refusal {
    /// With what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With what came with it.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// From an ErrorResponse of PostgreSQL.
    pub fn from_server(body: &[u8]) -> Self {
        let fields = Fields::new(body);
        let text = |code| fields.get(code).map(|text| String::from_utf8_lossy(text).into_owned());
        let code = fields.get(b'C').and_then(|code| code.try_into().ok()).unwrap_or(*b"XX000");
        Self { code, message: text(b'M').unwrap_or_default(), detail: text(b'D'), hint: text(b'H') }
    }

    /// Whether a statement of ours failed for reasons of the server connection or the server, not for what it said: connection
    /// exceptions, insufficient resources, operator intervention (cancelled or timed out, shutdown), system errors, and a lock that was
    /// not to be had (`lock_not_available`).
    pub fn is_the_servers(&self) -> bool {
        matches!(&self.code, [b'0', b'8', ..] | [b'5', b'3' | b'7' | b'8', ..] | b"55P03")
    }

    /// The SQLSTATE as text.
    pub fn code(&self) -> String {
        self.code.iter().map(|byte| char::from(*byte)).collect()
    }

    /// Appends the ErrorResponse.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.put(out, b'E', b"FATAL");
    }

    /// Appends the same as a NoticeResponse of severity NOTICE: the client is not sent away.
    pub fn notify(&self, out: &mut Vec<u8>) {
        self.put(out, b'N', b"NOTICE");
    }

    fn put(&self, out: &mut Vec<u8>, kind: u8, severity: &[u8]) {
        message(out, kind, |out| {
            let mut field = |kind, text: &[u8]| {
                out.push(kind);
                out.extend(text.iter().filter(|byte| **byte != 0));
                out.push(0);
            };
            field(b'S', severity);
            field(b'V', severity);
            field(b'C', &self.code);
            field(b'M', self.message.as_bytes());
            if let Some(detail) = &self.detail {
                field(b'D', detail.as_bytes());
            }
            if let Some(hint) = &self.hint {
                field(b'H', hint.as_bytes());
            }
            out.push(0);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_refusal_reads_back() {
        let refusal = fatal(*b"53300", "no connection").detail("waited").hint("raise max");
        let mut out = Vec::new();
        refusal.encode(&mut out);
        let mut data = &*out;
        let error = next(&mut data, 1000).unwrap().unwrap();
        assert!(data.is_empty());
        assert_eq!(error.kind, b'E');
        assert_eq!(Fields::new(error.body).get(b'V'), Some(&b"FATAL"[..]));
        assert_eq!(Refusal::from_server(error.body), refusal);
        out.clear();
        refusal.notify(&mut out);
        let notice = next(&mut &*out, 1000).unwrap().unwrap();
        assert_eq!((notice.kind, Fields::new(notice.body).get(b'S')), (b'N', Some(&b"NOTICE"[..])));
    }

    #[test]
    fn a_refused_value_is_not_the_servers_fault() {
        for code in [b"57014", b"57P01", b"57P05", b"53200", b"08006", b"58030", b"55P03"] {
            assert!(fatal(*code, "").is_the_servers(), "{code:?}");
        }
        for code in [b"42704", b"22023", b"42501", b"55000", b"28000", b"XX000"] {
            assert!(!fatal(*code, "").is_the_servers(), "{code:?}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(data in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut rest = &*data;
            while let Ok(Some(message)) = next(&mut rest, 32) {
                Fields::new(message.body).iter().for_each(drop);
                columns::<3>(message.body);
                Refusal::from_server(message.body);
            }
        }
    }
}
