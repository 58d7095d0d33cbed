//! DEALLOCATE of one name: clients drop by it what they have parsed by the protocol (PHP's PDO, Rails, psycopg).

/// The name that this text drops, as PostgreSQL reads it, if the text is nothing but one `DEALLOCATE [PREPARE] name`.
pub fn deallocated(text: &[u8]) -> Option<Vec<u8>> {
    let mut rest = word(text.trim_ascii(), b"deallocate")?;
    if let Some(behind) = word(rest, b"prepare") {
        rest = behind;
    }
    let (name, rest) = identifier(rest)?;
    let rest = rest.trim_ascii_start();
    rest.strip_prefix(b";").unwrap_or(rest).trim_ascii().is_empty().then_some(name)
}

/// What follows the word and the space behind it.
fn word<'a>(text: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = text.split_at_checked(word.len())?;
    let ends = rest.first().is_some_and(|next| next.is_ascii_whitespace() || *next == b'"');
    (start.eq_ignore_ascii_case(word) && ends).then(|| rest.trim_ascii_start())
}

/// An identifier, folded where it is not quoted (PostgreSQL manual, 4.1.1), and what follows it.
fn identifier(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let Some(mut rest) = text.strip_prefix(b"\"") else {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..);
        let end = text.iter().position(|byte| !is_part(byte)).unwrap_or(text.len());
        let (name, rest) = text.split_at_checked(end)?;
        let starts = name.first().is_some_and(|first| !first.is_ascii_digit() && *first != b'$');
        // Beyond ASCII the folding depends on the encoding.
        let folds = name.is_ascii() && !name.eq_ignore_ascii_case(b"all");
        return (starts && folds).then(|| (name.to_ascii_lowercase(), rest));
    };
    let mut name = Vec::new();
    loop {
        let end = rest.iter().position(|byte| *byte == b'"')?;
        name.extend_from_slice(rest.get(..end)?);
        rest = rest.get(end + 1..)?;
        match rest.strip_prefix(b"\"") {
            Some(behind) => {
                name.push(b'"');
                rest = behind;
            }
            None => return (!name.is_empty()).then_some((name, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_names_as_postgresql_does() {
        for (text, name) in [
            ("DEALLOCATE s_1", Some("s_1")),
            ("  deallocate PREPARE Pdo_Stmt ; ", Some("pdo_stmt")),
            ("DEALLOCATE \"S 1\"\"x\"", Some("S 1\"x")),
            ("deallocate\"a\"", Some("a")),
            ("DEALLOCATE \"ALL\"", Some("ALL")),
            ("DEALLOCATE prepare", Some("prepare")),
            ("DEALLOCATE ALL", None),
            ("DEALLOCATE PREPARE ALL", None),
            ("DEALLOCATE a; SELECT 1", None),
            ("DEALLOCATE 1a", None),
            ("DEALLOCATE \"a", None),
            ("DEALLOCATE", None),
            ("DEALLOCATED a", None),
            ("", None),
        ] {
            assert_eq!(deallocated(text.as_bytes()), name.map(|name| name.as_bytes().to_vec()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_quoted_name_reads_back_and_nothing_panics(name in "[a-z\" ]{1,12}", garbage in proptest::collection::vec(any::<u8>(), 0..40)) {
            let text = format!("DEALLOCATE \"{}\"", name.replace('"', "\"\""));
            prop_assert_eq!(deallocated(text.as_bytes()), Some(name.into_bytes()));
            deallocated(&garbage);
            deallocated(&[b"deallocate ", &*garbage].concat());
        }
    }
}
