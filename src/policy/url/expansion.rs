//! `$(NAME)` and `$$` in the `value` of a container's variable, as the kubelet expands them (kubernetes third_party/forked/golang/expansion).

use std::ops::Range;

/// Where the text refers to another variable, and to which. `$$(NAME)` does not: it is the text `$(NAME)`. Neither does an unclosed
/// `$(`.
pub fn references(text: &str) -> Vec<(Range<usize>, &str)> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(dollar) = text.as_bytes().get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'$')) {
        let (start, name) = (at + dollar, at + dollar + 2);
        let opened = text.as_bytes().get(start + 1) == Some(&b'(');
        // The byte after a dollar is spoken for, be it a second dollar or any other.
        at = name;
        let named = text.get(name..).filter(|_| opened).and_then(|rest| rest.split_once(')'));
        if let Some((named, _)) = named {
            at = name + named.len() + 1;
            found.push((start..at, named));
        }
    }
    found
}

/// The text with a digit in the place of each byte of a reference: zeros, and a one at the end.
pub fn mask(text: &str) -> String {
    let (mut masked, mut at) = (String::with_capacity(text.len()), 0);
    for (span, _) in references(text) {
        masked.push_str(text.get(at..span.start).unwrap_or_default());
        masked.extend(std::iter::repeat_n('0', span.len() - 1).chain(['1']));
        at = span.end;
    }
    masked.push_str(text.get(at..).unwrap_or_default());
    masked
}

/// Writes text so that its expansion is the text again.
pub fn escape(text: &str) -> String {
    text.replace('$', "$$")
}

/// The expansion of text without references.
pub fn unescape(text: &str) -> String {
    text.replace("$$", "$")
}

/// What the kubelet makes of the text, with these values; a reference without a value stays as it is. `None`: it would be longer than
/// `most` bytes, as references to references to references soon are.
pub fn expand<'v>(text: &str, most: usize, value: impl Fn(&str) -> Option<&'v str>) -> Option<String> {
    let (mut expanded, mut at) = (String::new(), 0);
    for (span, name) in references(text) {
        expanded.push_str(&unescape(text.get(at..span.start)?));
        expanded.push_str(value(name).or_else(|| text.get(span.clone()))?);
        if expanded.len() > most {
            return None;
        }
        at = span.end;
    }
    expanded.push_str(&unescape(text.get(at..)?));
    (expanded.len() <= most).then_some(expanded)
}

/// The kubelet's own Expand, byte by byte: what the functions above are held against.
#[cfg(test)]
pub(in crate::policy) fn kubelet(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let (mut expanded, mut rest) = (String::new(), text);
    while let Some(dollar) = rest.find('$') {
        let (before, after) = (&rest[..dollar], &rest[dollar + 1..]);
        expanded.push_str(before);
        let Some(next) = after.chars().next() else {
            expanded.push('$');
            return expanded;
        };
        rest = &after[next.len_utf8()..];
        match (next, rest.split_once(')')) {
            ('$', _) => expanded.push('$'),
            ('(', Some((name, behind))) => {
                expanded.push_str(&value(name).unwrap_or_else(|| format!("$({name})")));
                rest = behind;
            }
            (next, _) => expanded.extend(['$', next]),
        }
    }
    expanded + rest
}
