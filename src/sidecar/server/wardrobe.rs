//! The statements by which a server connection takes a client's start-up parameters on, and loses all that a client left.
//!
//! Values travel as parameters of the extended protocol, so nothing is ever quoted; and set_config() reads them as the start-up
//! packet would, which SET does not (lists, for one).

use crate::sidecar::wire::{Parameters, message};

const SET: &str = "SELECT pg_catalog.set_config($1, $2, false)";
/// Sets what the session has not set itself: after RESET ALL or DISCARD ALL everything, after a RESET of one parameter that one.
/// pg_settings leaves custom parameters and `role` out; RESET ALL leaves `role` as it is.
const SET_AGAIN: &str = "SELECT pg_catalog.set_config($1, $2, false) FROM (SELECT pg_catalog.max(source) AS source \
     FROM pg_catalog.pg_settings WHERE pg_catalog.lower(name) OPERATOR(pg_catalog.=) pg_catalog.lower($1::pg_catalog.text)) s \
     WHERE CASE WHEN s.source IS NULL THEN coalesce(pg_catalog.current_setting($1, true), '') \
     OPERATOR(pg_catalog.=) ANY (ARRAY['', 'none']) ELSE s.source OPERATOR(pg_catalog.<>) 'session' END";
/// RESET ALL and the start-up of another client leave these alone.
const ROLES: [&[u8]; 2] = [b"session_authorization", b"role"];

/// Appends a simple Query.
pub fn query(out: &mut Vec<u8>, sql: &str) {
    message(out, b'Q', |out| {
        out.extend_from_slice(sql.as_bytes());
        out.push(0);
    });
}

/// Appends what makes a connection that has `old` on wear `new`; returns the number of statements. They have no effect at all if
/// one of them fails.
pub fn dress(old: Option<&Parameters>, new: &Parameters, out: &mut Vec<u8>) -> u32 {
    let mut statements = 0;
    if let Some(old) = old.filter(|old| old.iter().any(|(name, value)| needs_reset(name, value, new))) {
        if ROLES.iter().any(|name| old.get(name).is_some()) {
            query(out, "RESET SESSION AUTHORIZATION");
            query(out, "RESET ROLE");
            statements += 2;
        }
        query(out, "RESET ALL");
        statements += 1;
    }
    statements + set(SET, new, out)
}

/// Whether what was set must be reset first: it is not wanted, or what is wanted may only replace a part of it.
fn needs_reset(name: &[u8], value: &[u8], new: &Parameters) -> bool {
    new.get(name).is_none_or(|wanted| name.eq_ignore_ascii_case(b"DateStyle") && wanted != value)
}

/// Appends what puts back of `parameters` what the client itself has reset, and returns the number of statements.
pub fn dress_again(parameters: &Parameters, out: &mut Vec<u8>) -> u32 {
    set(SET_AGAIN, parameters, out)
}

fn set(statement: &str, new: &Parameters, out: &mut Vec<u8>) -> u32 {
    if new.is_empty() {
        return 0;
    }
    message(out, b'P', |out| {
        out.push(0);
        out.extend_from_slice(statement.as_bytes());
        out.extend_from_slice(&[0, 0, 0]);
    });
    // The encoding last: the values are in the one that the client spoke when it had none set.
    let last = |name: &[u8]| name.eq_ignore_ascii_case(b"client_encoding");
    for (name, value) in new.iter().filter(|(name, _)| !last(name)).chain(new.iter().filter(|(name, _)| last(name))) {
        message(out, b'B', |out| {
            // Unnamed portal and statement, all parameters as text.
            out.extend_from_slice(&[0, 0, 0, 0, 0, 2]);
            for text in [name.to_vec(), spelled(name, value)] {
                put_counted(out, &text);
            }
            out.extend_from_slice(&[0, 0]);
        });
        message(out, b'E', |out| out.extend_from_slice(&[0; 5]));
    }
    // Else a client could bind it.
    message(out, b'C', |out| out.extend_from_slice(b"S\0"));
    message(out, b'S', |_| ());
    1
}

/// A length and so many bytes. It fits: a start-up packet has at most 10,000.
fn put_counted(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(text);
}

/// Appends the one statement after which a connection that wears `old` is not ended by PostgreSQL while nobody uses it, as a client may
/// wish for its own session. Returns what the connection wears then.
pub fn calm(old: &Parameters, out: &mut Vec<u8>) -> Parameters {
    query(out, "RESET idle_session_timeout");
    old.iter().filter(|(name, _)| !name.eq_ignore_ascii_case(b"idle_session_timeout")).collect()
}

/// Appends what throws away all that a client may have left, `status` being the transaction status; returns the number of
/// statements. DISCARD ALL may not run in a transaction, nor in one Query with others.
pub fn discard(status: u8, out: &mut Vec<u8>) -> u32 {
    let open = status != b'I';
    if open {
        query(out, "ROLLBACK");
    }
    query(out, "DISCARD ALL");
    1 + u32::from(open)
}

/// PostgreSQL keeps names of applications in ASCII, whatever the encoding (`pg_clean_ascii`).
fn spelled(name: &[u8], value: &[u8]) -> Vec<u8> {
    let ascii = name.eq_ignore_ascii_case(b"application_name");
    value.iter().map(|byte| if ascii && !(b' '..=b'~').contains(byte) { b'?' } else { *byte }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sidecar::wire::next;

    fn kinds(mut data: &[u8]) -> String {
        let mut kinds = String::new();
        while let Some(message) = next(&mut data, 1000).unwrap() {
            kinds.push(char::from(message.kind));
        }
        assert!(data.is_empty());
        kinds
    }

    #[test]
    fn sets_each_parameter_and_resets_first_only_where_something_must_go() {
        let a: Parameters =
            [("application_name", "a"), ("client_encoding", "LATIN1"), ("TimeZone", "UTC")].into_iter().collect();
        let b: Parameters = [("application_name", "b")].into_iter().collect();
        let run = |old: Option<&Parameters>, new: &Parameters| {
            let mut out = Vec::new();
            (dress(old, new, &mut out), kinds(&out))
        };
        assert_eq!(run(None, &a), (1, "PBEBEBECS".to_owned()));
        assert_eq!(run(Some(&b), &a), (1, "PBEBEBECS".to_owned()));
        assert_eq!(run(Some(&a), &b), (2, "QPBECS".to_owned()));
        assert_eq!(run(Some(&a), &Parameters::default()), (1, "Q".to_owned()));
        let role: Parameters = [("application_name", "a"), ("Role", "owner")].into_iter().collect();
        assert_eq!(run(Some(&role), &b), (4, "QQQPBECS".to_owned()));
    }

    #[test]
    fn a_transaction_is_rolled_back_first() {
        let mut out = Vec::new();
        assert_eq!(discard(b'E', &mut out), 2);
        assert_eq!(kinds(&out), "QQ");
        let mut out = Vec::new();
        assert_eq!(discard(b'I', &mut out), 1);
        assert_eq!(out, b"Q\0\0\0\x10DISCARD ALL\0");
    }
}
