//! The start-up parameter `options`: command-line switches for the backend, of which `-c name=value` and `--name=value` are known.
//!
//! Source: PostgreSQL, `pg_split_opts` and `process_postgres_switches`.

use crate::sidecar::wire::{Refusal, fatal};

type Pair = (Vec<u8>, Vec<u8>);

/// Names and values in their order.
pub fn split(options: &[u8]) -> Result<Vec<Pair>, Refusal> {
    let mut words = words(options).into_iter();
    let mut pairs = Vec::new();
    while let Some(word) = words.next() {
        let setting = match word.as_slice() {
            b"-c" | b"--" => words.next(),
            [b'-', b'c' | b'-', rest @ ..] => Some(rest.to_vec()),
            _ => None,
        };
        pairs.push(setting.as_deref().and_then(pair).ok_or_else(|| {
            fatal(*b"0A000", format!("option {:?} cannot be set through the pool", String::from_utf8_lossy(&word)))
                .hint("Only -c name=value and --name=value are possible in the start-up parameter \"options\".")
        })?);
    }
    Ok(pairs)
}

fn pair(setting: &[u8]) -> Option<Pair> {
    let at = setting.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
    let (name, value) = setting.split_at(at);
    // `--statement-timeout` is `statement_timeout`.
    let name = name.iter().map(|byte| if *byte == b'-' { b'_' } else { *byte }).collect();
    Some((name, value.get(1..).unwrap_or_default().to_vec()))
}

/// Split at white space; a backslash takes the next byte as it is.
fn words(options: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut bytes = options.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => words.extend(word.take()),
            b'\\' => word.get_or_insert_default().extend(bytes.next()),
            _ => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_spelling() {
        let text = |pairs: Vec<Pair>| {
            let text = |bytes| String::from_utf8(bytes).unwrap();
            pairs.into_iter().map(|(name, value)| (text(name), text(value))).collect::<Vec<_>>()
        };
        let pairs = split(br"-c a=1  -cb=2 --statement-timeout=3s -c search_path=x,\ y -c c==").unwrap();
        let expected = [("a", "1"), ("b", "2"), ("statement_timeout", "3s"), ("search_path", "x, y"), ("c", "=")];
        assert_eq!(text(pairs), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(split(b" \t").unwrap(), []);
    }

    #[test]
    fn refuses_every_other_switch() {
        for options in [&b"-d 5"[..], b"-c", b"-c a", b"-c =1", b"a=1", b"-", b"\\"] {
            assert_eq!(split(options).unwrap_err().code(), "0A000", "{:?}", String::from_utf8_lossy(options));
        }
    }
}
