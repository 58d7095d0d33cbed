//! The question for the state of a session.
//!
//! It goes as a named statement over the extended protocol, since a Query or an unnamed Parse would drop the client's unnamed
//! statement. Every function, type, relation and operator is named with its schema, so that no search_path leads elsewhere. What
//! comes back is ASCII whatever the encodings, so that no conversion of a value can fail.

use super::{Hints, Pin, Pins};
use crate::sidecar::wire::message;

/// The session's user and role.
macro_rules! who {
    () => {
        "\
SELECT 'r' AS kind, \
pg_catalog.encode(pg_catalog.convert_to(SESSION_USER::pg_catalog.text, pg_catalog.getdatabaseencoding()), 'escape') AS name, \
pg_catalog.encode(pg_catalog.convert_to(pg_catalog.current_setting('role'), pg_catalog.getdatabaseencoding()), 'escape') AS value "
    };
}

/// The statement. Parameters: an array of the names of custom parameters; whether to look for statements of SQL PREPARE, which
/// copies the texts of all that are prepared; whether to look for locks, which stops all others that take one for a moment.
///
/// Rows are (kind, name, value), see [`super::Answer::parse`]. Values are bytes in the database's encoding, in the format `escape`.
/// pg_settings is 0.2 to 0.4 ms of it and can't be narrowed; everything else is a few microseconds, on a temporary schema an index
/// scan (what is in a schema depends on it, and PostgreSQL itself cleans up by that). 2615 is pg_namespace.
///
/// A parameter with a dot in its name is in pg_settings where an extension has defined it: then only that tells whether it is set.
///
/// The isolation of the transaction is the transaction's own, whatever `source` says.
pub const SQL: &str = concat!(
    who!(),
    "\
UNION ALL SELECT CASE WHEN s.source OPERATOR(pg_catalog.<>) 'session' THEN 'd' WHEN s.context OPERATOR(pg_catalog.=) 'user' OR (SELECT r.rolsuper FROM pg_catalog.pg_roles r \
WHERE r.rolname OPERATOR(pg_catalog.=) SESSION_USER) THEN 's' ELSE 'x' END, s.name, \
pg_catalog.encode(pg_catalog.convert_to(s.setting, pg_catalog.getdatabaseencoding()), 'escape') \
FROM pg_catalog.pg_settings s WHERE (s.source OPERATOR(pg_catalog.=) 'session' AND s.name OPERATOR(pg_catalog.<>) \
ALL ('{transaction_isolation,transaction_read_only,transaction_deferrable}'::pg_catalog.text[])) \
OR (s.name OPERATOR(pg_catalog.~~) '%.%' AND pg_catalog.lower(s.name COLLATE pg_catalog.\"C\") \
OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[])) \
UNION ALL SELECT 'u', n.n, pg_catalog.encode(pg_catalog.convert_to(v.v, pg_catalog.getdatabaseencoding()), 'escape') \
FROM pg_catalog.unnest($1::pg_catalog.text[]) AS n(n) CROSS JOIN LATERAL pg_catalog.current_setting(n.n, true) AS v(v) \
WHERE v.v IS NOT NULL \
UNION ALL SELECT 'l', NULL, NULL WHERE EXISTS (SELECT FROM pg_catalog.pg_listening_channels()) \
UNION ALL SELECT 'c', NULL, NULL WHERE EXISTS (SELECT FROM pg_catalog.pg_cursors c WHERE c.is_holdable) \
UNION ALL SELECT 't', NULL, NULL WHERE pg_catalog.pg_my_temp_schema() OPERATOR(pg_catalog.<>) 0::pg_catalog.oid \
AND EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.refclassid OPERATOR(pg_catalog.=) 2615::pg_catalog.oid \
AND d.refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()) \
UNION ALL SELECT 'p', NULL, NULL WHERE $2::pg_catalog.bool \
AND EXISTS (SELECT FROM pg_catalog.pg_prepared_statements p WHERE p.from_sql) \
UNION ALL SELECT 'k', NULL, NULL WHERE $3::pg_catalog.bool AND EXISTS (SELECT FROM pg_catalog.pg_locks l \
WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND l.granted)"
);

/// Asks a fresh connection who it is, as a simple Query: the server may give every login another role (ALTER ROLE ... SET role). The
/// row is one of [`SQL`]'s.
pub const WHO: &str = who!();

/// What to ask for beyond what is always asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    statements: bool,
    locks: bool,
}

impl Ask {
    /// After these hints, of a client with these pins: a pin is only gone if it was asked for.
    pub fn new(hints: Hints, pins: Pins) -> Self {
        let unknown = pins.contains(Pin::Unknown);
        Self {
            statements: unknown || hints.contains(Hints::STATEMENTS) || pins.contains(Pin::Prepared),
            locks: unknown || hints.contains(Hints::LOCKS) || pins.contains(Pin::Lock),
        }
    }

    /// Appends the Parse of [`SQL`] under a name.
    pub fn parse(statement: &[u8], out: &mut Vec<u8>) {
        message(out, b'P', |out| {
            out.extend_from_slice(statement);
            out.push(0);
            out.extend_from_slice(SQL.as_bytes());
            out.extend_from_slice(&[0, 0, 0]);
        });
    }

    /// Appends Bind, Execute of the unnamed portal, and Sync. `custom` are the names of custom parameters that the client may have
    /// set, and of those that are known on the connection.
    pub fn run<'a>(self, statement: &[u8], custom: impl IntoIterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
        message(out, b'B', |out| {
            out.push(0);
            out.extend_from_slice(statement);
            // All parameters as text.
            out.extend_from_slice(&[0, 0, 0, 0, 3]);
            counted(out, &array(custom));
            for flag in [self.statements, self.locks] {
                counted(out, if flag { b"t" } else { b"f" });
            }
            out.extend_from_slice(&[0, 0]);
        });
        message(out, b'E', |out| out.extend_from_slice(&[0; 5]));
        message(out, b'S', |_| ());
    }
}

fn counted(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(text);
}

/// The text of a text[]; names of parameters have no case.
fn array<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut array = vec![b'{'];
    for name in names {
        if array.len() > 1 {
            array.push(b',');
        }
        array.push(b'"');
        for byte in name {
            if matches!(byte, b'"' | b'\\') {
                array.push(b'\\');
            }
            array.push(byte.to_ascii_lowercase());
        }
        array.push(b'"');
    }
    array.push(b'}');
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        assert_eq!(array([]), b"{}");
        assert_eq!(array([&b"A.b"[..], b"c.\"\\,"]), b"{\"a.b\",\"c.\\\"\\\\,\"}");
    }

    #[test]
    fn asks_for_what_is_dear_only_where_it_may_be() {
        let ask = |hints, pins| Ask::new(hints, pins);
        assert_eq!(ask(Hints::SETTINGS, Pins::NONE), Ask { statements: false, locks: false });
        assert_eq!(ask(Hints::LOCKS, Pins::NONE), Ask { statements: false, locks: true });
        assert_eq!(ask(Hints::SETTINGS, Pin::Lock.into()), Ask { statements: false, locks: true });
        assert_eq!(ask(Hints::SETTINGS, Pin::Prepared.into()), Ask { statements: true, locks: false });
        assert_eq!(ask(Hints::NONE, Pin::Unknown.into()), Ask { statements: true, locks: true });
    }
}
