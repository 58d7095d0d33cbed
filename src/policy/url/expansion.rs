//! `$(NAME)` and `$$` in the `value` of a container's variable, as the kubelet expands them (kubernetes third_party/forked/golang/expansion).

/// Whether the text refers to another variable. `$$(NAME)` does not: it is the text `$(NAME)`. Neither does an unclosed `$(`.
pub fn has_reference(text: &str) -> bool {
    let mut rest = text.as_bytes();
    while let Some(dollar) = rest.iter().position(|byte| *byte == b'$') {
        let after = rest.get(dollar + 1..).unwrap_or_default();
        match after.first() {
            Some(b'(') if after.contains(&b')') => return true,
            // The byte after a dollar is spoken for, be it a second dollar or any other.
            Some(_) => rest = after.get(1..).unwrap_or_default(),
            None => return false,
        }
    }
    false
}

/// Writes text so that its expansion is the text again.
pub fn escape(text: &str) -> String {
    text.replace('$', "$$")
}

/// The expansion of text without references.
pub fn unescape(text: &str) -> String {
    text.replace("$$", "$")
}
