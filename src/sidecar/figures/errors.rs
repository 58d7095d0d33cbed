//! Errors by class: the first two characters of their SQLSTATE.

use std::sync::atomic::AtomicU64;

use super::add;

/// Classes by which failed logins are told apart; the last stands for all others.
pub const FAILURES: [&str; 8] = ["08", "28", "3D", "53", "55", "57", "58", OTHER];

/// Classes by which errors of statements are told apart: those of the SQL standard and PostgreSQL's own (PostgreSQL manual, appendix
/// A), less those that are no errors. The last stands for all others, such as an application makes up for RAISE.
pub const CLASSES: [&str; 42] = [
    "03", "08", "09", "0A", "0B", "0F", "0L", "0P", "0Z", "10", "20", "21", "22", "23", "24", "25", "26", "27", "28",
    "2B", "2D", "2F", "34", "38", "39", "3B", "3D", "3F", "40", "42", "44", "53", "54", "55", "57", "58", "72", "F0",
    "HV", "P0", "XX", OTHER,
];

const OTHER: &str = "other";

/// So many of each class of `N`, the last being that of all others.
#[derive(Debug)]
pub struct ByClass<const N: usize> {
    classes: [&'static str; N],
    counts: [AtomicU64; N],
}

impl<const N: usize> ByClass<N> {
    /// None yet.
    pub const fn new(classes: [&'static str; N]) -> Self {
        Self { classes, counts: [const { AtomicU64::new(0) }; N] }
    }

    /// One with this SQLSTATE, or what is known of it. Only the loop calls it.
    pub fn count(&self, sqlstate: &[u8]) {
        let class = self.classes.iter().position(|class| sqlstate.starts_with(class.as_bytes()));
        if let Some(count) = self.counts.get(class.unwrap_or(N - 1)) {
            add(count, 1);
        }
    }

    /// Each class with its count.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &AtomicU64)> {
        self.classes.into_iter().zip(&self.counts)
    }
}

impl Default for ByClass<{ FAILURES.len() }> {
    fn default() -> Self {
        Self::new(FAILURES)
    }
}

impl Default for ByClass<{ CLASSES.len() }> {
    fn default() -> Self {
        Self::new(CLASSES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sidecar::figures::read;

    #[test]
    fn each_error_counts_in_its_class_and_strange_ones_together() {
        let errors = ByClass::<{ CLASSES.len() }>::default();
        for sqlstate in [&b"42P01"[..], b"42601", b"XX000", b"ZZ123", b"00000", b"4", b"", b"other"] {
            errors.count(sqlstate);
        }
        let counted: Vec<_> = errors.iter().filter(|(_, count)| read(count) > 0).map(|(class, _)| class).collect();
        assert_eq!(counted, ["42", "XX", OTHER]);
        assert_eq!(
            errors.iter().map(|(_, count)| read(count)).collect::<Vec<_>>()[29..],
            [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 5]
        );
        assert!(CLASSES[..41].is_sorted() && CLASSES[..41].iter().all(|class| class.len() == 2));
    }
}
