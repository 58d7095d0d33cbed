//! The rules inside of `spec.selector`. The type is Kubernetes' own, so they are put into the schema by [`crate::crd::definition`].
//!
//! They are exactly those of a webhook's objectSelector: an entry with an illegal selector would be refused by the API server, and
//! with it the whole webhook configuration, which holds the entries of other pools.

use kube::core::{Reason, Rule};

use super::{SELF, message, rule};
use crate::crd::bounds;

/// An empty selector matches every pod.
pub const NOT_EMPTY: &str = "spec.selector is empty, which would match every pod of the namespace; name a label, such as matchLabels: {app: orders}";
/// A key of matchLabels that can't be a label's.
pub const LABEL_KEYS: &str = "a key of spec.selector.matchLabels is no label key; write [prefix/]name: a name of at most 63 letters, digits, \
                              '-', '_' and '.' between letters or digits, a prefix that is a DNS name";
/// A key of matchExpressions that can't be a label's.
pub const EXPRESSION_KEY: &str = "the key is \"{}\", which is no label key; write [prefix/]name: a name of at most 63 letters, digits, '-', '_' \
                                  and '.' between letters or digits, a prefix that is a DNS name";
/// A value that no label can have.
pub const LABEL_VALUE: &str = "the value is \"{}\", which no label can have; use letters, digits, '-', '_' and '.' between letters or digits, or nothing";
/// In and NotIn compare with values.
pub const VALUES_REQUIRED: &str = "operator {} needs values; list at least one, or use Exists or DoesNotExist";
/// Exists and DoesNotExist do not.
pub const VALUES_FORBIDDEN: &str = "operator {} takes no values; remove them, or use In or NotIn";

pub(in crate::crd) fn not_empty() -> Rule {
    rule(
        "has(self.matchLabels) && self.matchLabels.size() > 0 || has(self.matchExpressions) && self.matchExpressions.size() > 0",
        NOT_EMPTY.into(),
    )
    .reason(Reason::FieldValueRequired)
}

/// The keys of a map have no length in a schema, so the API server prices a regular expression on one as if it were the longest
/// request: far above its limit. Looking at one character at a time has a price that it knows.
pub(in crate::crd) fn label_keys() -> Rule {
    let characters = |ranges: &str| {
        let list: Vec<String> = ranges.chars().map(|character| format!("'{character}'")).collect();
        format!("[{}]", list.join(","))
    };
    let (digits, lower, upper) = ("0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    let edge = characters(&format!("{digits}{lower}{upper}"));
    let name = characters(&format!("{digits}{lower}{upper}-_."));
    let prefix_edge = characters(&format!("{digits}{lower}"));
    let prefix = characters(&format!("{digits}{lower}-"));
    let places = |step: u32, end: u32| {
        let list: Vec<String> = (0..end).step_by(step as usize).map(|place| place.to_string()).collect();
        format!("[{}]", list.join(","))
    };
    let (tens, ones) = (places(16, bounds::LABEL_KEY_LENGTH), places(1, 16));
    let longest_name = bounds::LABEL_NAME_LENGTH;
    let longest_prefix = bounds::LABEL_PREFIX_LENGTH;
    // `s` is the place of the slash, -1 without one; `i` is each place of the key.
    rule(
        format!(
            "self.all(k, k.size() > 0 && [k.indexOf('/')].all(s, s != 0 && s <= {longest_prefix} \
             && k.size() > s + 1 && k.size() <= s + 1 + {longest_name} \
             && k.charAt(s + 1) in {edge} && k.charAt(k.size() - 1) in {edge} \
             && (s < 0 || k.charAt(0) in {prefix_edge} && k.charAt(s - 1) in {prefix_edge}) \
             && {tens}.all(t, {ones}.all(o, [t + o].all(i, i >= k.size() || i == s || (i > s ? k.charAt(i) in {name} \
             : k.charAt(i) == '.' ? k.charAt(i - 1) in {prefix_edge} && k.charAt(i + 1) in {prefix_edge} \
             : k.charAt(i) in {prefix}))))))"
        ),
        LABEL_KEYS.into(),
    )
}

pub(in crate::crd) fn expression_key() -> Rule {
    rule(
        format!(
            "self.matches('{}') && self.matches('^([^/]{{1,{}}}/)?[^/]{{1,{}}}$')",
            bounds::LABEL_KEY_PATTERN,
            bounds::LABEL_PREFIX_LENGTH,
            bounds::LABEL_NAME_LENGTH
        ),
        message(EXPRESSION_KEY, &[SELF]),
    )
}

pub(in crate::crd) fn label_value() -> Rule {
    rule(format!("self.matches('{}')", bounds::LABEL_VALUE_PATTERN), message(LABEL_VALUE, &[SELF]))
}

pub(in crate::crd) fn values_required() -> Rule {
    rule(
        "!(self.operator in ['In', 'NotIn']) || has(self.values) && self.values.size() > 0",
        message(VALUES_REQUIRED, &["self.operator"]),
    )
    .reason(Reason::FieldValueRequired)
    .field_path(".values")
}

pub(in crate::crd) fn values_forbidden() -> Rule {
    rule(
        "!(self.operator in ['Exists', 'DoesNotExist']) || !has(self.values) || self.values.size() == 0",
        message(VALUES_FORBIDDEN, &["self.operator"]),
    )
    .reason(Reason::FieldValueForbidden)
    .field_path(".values")
}
