//! The client's name of a statement in an error that speaks of ours.

use super::About;
use crate::sidecar::statement::{NEVER, Spare, write_name};
use crate::sidecar::wire::{Fields, message};

/// What PostgreSQL says of a plan whose columns would be others (`RevalidateCachedQuery`).
const STALE: (&[u8], &[u8]) = (b"0A000", b"cached plan must not change result type");

/// Appends the ErrorResponse with this body as the client is to see it. Returns its SQLSTATE, and whether it says that a statement's
/// columns have changed.
pub fn put_back<'a>(body: &'a [u8], about: &About, out: &mut Vec<u8>) -> (&'a [u8], bool) {
    let mut ours = Vec::with_capacity(16);
    let theirs: &[u8] = match about {
        About::Entry(entry) => {
            write_name(entry.number, &mut ours);
            &entry.name
        }
        About::Copied(number, entry) | About::Copy(number, _, Some(entry)) => {
            write_name(*number, &mut ours);
            &entry.name
        }
        About::Unnamed(number) | About::Copy(number, _, None) => {
            write_name(*number, &mut ours);
            b""
        }
        About::Taken(name) => {
            ours.extend_from_slice(Spare::Empty.name());
            name
        }
        About::Never(name) | About::Stale(name) => {
            write_name(NEVER, &mut ours);
            name
        }
        About::Nothing | About::Verbatim(_) => b"",
    };
    let code = Fields::new(body).get(b'C').unwrap_or_default();
    let missing = code == b"26000";
    // No other error names a prepared statement, but may name something of the client's that is called alike.
    let names = missing || code == b"42P05" || code == b"08P01";
    let stale = missing && matches!(about, About::Stale(_));
    message(out, b'E', |out| {
        for (kind, text) in Fields::new(body).iter() {
            // Where in a text that the client has not just sent.
            if kind == b'P' && matches!(about, About::Copy(..)) {
                continue;
            }
            out.push(kind);
            match kind {
                b'C' if stale => out.extend_from_slice(STALE.0),
                b'M' if stale => out.extend_from_slice(STALE.1),
                b'M' if theirs.is_empty() && missing => {
                    out.extend_from_slice(b"unnamed prepared statement does not exist");
                }
                b'M' if names && !ours.is_empty() => replace(text, &ours, theirs, out),
                _ => out.extend_from_slice(text),
            }
            out.push(0);
        }
        out.push(0);
    });
    (if stale { STALE.0 } else { code }, stale)
}

/// Appends `text` with the name `ours` replaced, where it stands for itself.
fn replace(text: &[u8], ours: &[u8], theirs: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.windows(ours.len()).position(|window| window == ours) {
        let (before, behind) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        let behind = behind.get(ours.len()..).unwrap_or_default();
        out.extend_from_slice(before);
        let longer = behind.first().is_some_and(u8::is_ascii_digit);
        out.extend_from_slice(if longer { ours } else { theirs });
        rest = behind;
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sidecar::wire::next;
    use proptest::prelude::*;

    fn error(code: &str, text: &str) -> Vec<u8> {
        format!("SERROR\0VERROR\0C{code}\0M{text}\0Fprepare.c\0\0").into_bytes()
    }

    fn changed(body: &[u8], about: &About) -> (String, String) {
        let mut out = Vec::new();
        put_back(body, about, &mut out);
        let mut data = &*out;
        let error = next(&mut data, 10_000).unwrap().unwrap();
        assert!(data.is_empty());
        let field = |kind| String::from_utf8(Fields::new(error.body).get(kind).unwrap().to_vec()).unwrap();
        assert_eq!(field(b'F'), "prepare.c");
        (field(b'C'), field(b'M'))
    }

    #[test]
    fn the_clients_name_is_put_back() {
        let name: std::rc::Rc<[u8]> = b"S_1"[..].into();
        let quoted = |name: &str| format!("prepared statement \"{name}\" does not exist");
        let never = error("26000", &quoted("weir_0"));
        assert_eq!(changed(&never, &About::Never(name.clone())), ("26000".into(), quoted("S_1")));
        assert_eq!(
            changed(&never, &About::Stale(name.clone())),
            ("0A000".into(), "cached plan must not change result type".into())
        );
        let taken = error("42P05", "prepared statement \u{ab}weir_spare\u{bb} existe déjà");
        assert_eq!(changed(&taken, &About::Taken(name)).1, "prepared statement \u{ab}S_1\u{bb} existe déjà");
        let counted =
            |name: &str| format!("bind message supplies 1 parameters, but prepared statement \"{name}\" requires 2");
        let bind = error("08P01", &counted("weir_1"));
        assert_eq!(changed(&bind, &About::Unnamed(1)).1, counted(""));
        let other = error("08P01", "weir_12 is not weir_1");
        assert_eq!(changed(&other, &About::Unnamed(1)).1, "weir_12 is not ");
        let table = error("42P01", "relation \"weir_1\" does not exist");
        assert_eq!(changed(&table, &About::Unnamed(1)).1, "relation \"weir_1\" does not exist");
    }

    proptest! {
        #[test]
        fn what_does_not_name_ours_is_as_before(text in "[a-z_0-9 ]{0,40}") {
            prop_assume!(!text.contains("weir_0"));
            let body = error("22012", &text);
            prop_assert_eq!(changed(&body, &About::Never(b"S_1"[..].into())), ("22012".to_owned(), text));
        }
    }
}
