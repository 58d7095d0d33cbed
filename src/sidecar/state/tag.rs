//! Command tags, as CommandComplete carries them.

use super::Hints;

/// Tags of statements that leave nothing in the session but what their text names. Functions that they call are not seen.
///
/// PREPARE TRANSACTION is one of them: it ends the transaction as COMMIT does, so what was set stays set, and was hinted at when it
/// was; and PostgreSQL refuses it after LISTEN, after a cursor WITH HOLD and after any use of temporary objects. Locks go with the
/// prepared transaction unless they are the session's. COMMIT PREPARED and ROLLBACK PREPARED concern no session.
///
/// DECLARE CURSOR is one of them: what outlives the transaction is WITH HOLD, which the text shows.
const LEAVES_NOTHING: [&[u8]; 35] = [
    b"SELECT",
    b"INSERT",
    b"UPDATE",
    b"DELETE",
    b"MERGE",
    b"BEGIN",
    b"START TRANSACTION",
    b"COMMIT",
    b"ROLLBACK",
    b"SAVEPOINT",
    b"RELEASE",
    b"FETCH",
    b"MOVE",
    b"COPY",
    b"EXPLAIN",
    b"SHOW",
    b"DECLARE CURSOR",
    b"NOTIFY",
    b"LOCK TABLE",
    b"TRUNCATE TABLE",
    b"SET CONSTRAINTS",
    b"VACUUM",
    b"ANALYZE",
    b"CHECKPOINT",
    b"CLUSTER",
    b"REINDEX",
    b"REFRESH MATERIALIZED VIEW",
    b"PREPARE TRANSACTION",
    b"COMMIT PREPARED",
    b"ROLLBACK PREPARED",
    b"DISCARD PLANS",
    b"DISCARD SEQUENCES",
    b"CREATE INDEX",
    b"COMMENT",
    b"GRANT",
];

/// What a statement with this command tag may have changed. A tag that is not known may have changed [`Hints::ANYTHING`].
pub fn hints_of_tag(tag: &[u8]) -> Hints {
    // Behind the name there are at most numbers: of rows, and once of an oid.
    let end = tag.iter().rposition(|byte| !byte.is_ascii_digit() && *byte != b' ').map_or(0, |last| last + 1);
    let name = tag.get(..end).unwrap_or_default();
    if LEAVES_NOTHING.contains(&name) {
        return Hints::NONE;
    }
    match name {
        b"SET" | b"RESET" => Hints::SETTINGS | Hints::CUSTOM | Hints::ROLE,
        b"LISTEN" => Hints::CHANNELS,
        b"PREPARE" => Hints::STATEMENTS,
        // Without a word of it in the text where the search_path leads to the temporary schema, or a view is on a temporary table.
        b"CREATE TABLE" | b"CREATE TABLE AS" | b"CREATE SEQUENCE" | b"CREATE VIEW" => Hints::TEMPORARY,
        b"UNLISTEN" | b"CLOSE CURSOR" | b"CLOSE CURSOR ALL" | b"DEALLOCATE" | b"DEALLOCATE ALL" | b"DISCARD TEMP" => {
            Hints::UNPINS
        }
        _ => Hints::ANYTHING,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_nothing_is_named_and_everything_else_may_leave_anything() {
        for tag in ["SELECT 1", "INSERT 0 5", "UPDATE 0", "BEGIN", "COMMIT", "COPY 7", "PREPARE TRANSACTION", "MERGE 3"]
        {
            assert_eq!(hints_of_tag(tag.as_bytes()), Hints::NONE, "{tag}");
        }
        for tag in ["DO", "CALL", "CREATE FUNCTION", "DISCARD ALL", "LOAD", "", "SELECT INTO", "SELECTED 1", "7"] {
            assert_eq!(hints_of_tag(tag.as_bytes()), Hints::ANYTHING, "{tag}");
        }
        assert!(!Hints::ANYTHING.contains(Hints::LOCKS));
        assert!(hints_of_tag(b"SET").contains(Hints::SETTINGS | Hints::ROLE));
    }

    #[test]
    fn a_tag_of_set_tells_nothing_where_the_text_sets_locally_only() {
        assert_eq!(Hints::ONLY_LOCAL.after_tag(b"SET"), Hints::NONE);
        assert_eq!(Hints::ONLY_LOCAL.after_tag(b"RESET"), hints_of_tag(b"RESET"));
        assert_eq!(Hints::NONE.after_tag(b"SET"), hints_of_tag(b"SET"));
    }
}
