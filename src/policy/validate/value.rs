//! Rules of one field: a value in, a legal one out, or a violation noted and nothing.

use std::fmt::Display;
use std::time::Duration;

use serde::Serialize;

use super::Violation;
use crate::crd::{Choice, bounds, rules};
use crate::policy::duration;

/// The violations found so far.
#[derive(Debug, Default)]
pub(super) struct Violations(pub Vec<Violation>);

impl Violations {
    /// Notes a broken rule in its own words ([`rules`]).
    pub fn add(&mut self, field: &str, text: &str, values: &[&dyn Display]) {
        self.0.push(Violation { field: field.to_owned(), message: rules::words(text, values) });
    }

    /// Whether a text is within its bound, in characters.
    pub fn length(&mut self, field: &str, text: &str, most: u32) -> bool {
        let length = text.chars().count();
        let fits = u32::try_from(length).is_ok_and(|length| length <= most);
        if !fits {
            self.add(field, "{} has {} characters; use at most {}", &[&field, &length, &most]);
        }
        fits
    }

    /// A whole number within its bounds, which fit in 32 bits.
    pub fn number(&mut self, field: &str, value: i64, least: i64, most: i64) -> Option<u32> {
        if !(least..=most).contains(&value) {
            self.add(field, "{} is {}; set it to at least {} and at most {}", &[&field, &value, &least, &most]);
            return None;
        }
        u32::try_from(value).ok()
    }

    /// A time as Kubernetes users write it, 1 s to 24 h.
    pub fn time(&mut self, field: &str, text: &str) -> Option<Duration> {
        if !self.length(field, text, bounds::TIME_LENGTH) {
            return None;
        }
        // A time that does not fit in 64 bits is well-formed, and too long.
        let Some(time) = duration::parse(text).or_else(|| is_time(text).then_some(Duration::MAX)) else {
            self.add(field, rules::TIME_FORM, &[&field, &text]);
            return None;
        };
        let fits = (bounds::TIME_MIN_MS..=bounds::TIME_MAX_MS).contains(&duration::millis(time));
        if !fits {
            self.add(field, rules::TIME_RANGE, &[&field, &text]);
        }
        fits.then_some(time)
    }

    /// A word of a list, or `default` where the field is absent.
    pub fn choice<T: Copy + Serialize>(
        &mut self,
        field: &str,
        choice: Option<&Choice<T>>,
        default: T,
        all: &[T],
    ) -> Option<T> {
        match choice {
            None => Some(default),
            Some(Choice::Known(known)) => Some(*known),
            Some(Choice::Unknown(word)) => {
                let all: Vec<String> = all.iter().filter_map(word_of).collect();
                self.unknown(field, word, &all);
                None
            }
        }
    }

    /// A word that is not in the list.
    pub fn unknown<S: AsRef<str>>(&mut self, field: &str, word: &str, all: &[S]) {
        let all: Vec<String> = all.iter().map(|known| format!("\"{}\"", known.as_ref())).collect();
        self.add(field, "{} is \"{}\"; set it to one of {}", &[&field, &word, &all.join(", ")]);
    }

    /// Notes a rule in its own words unless it holds; returns whether it does.
    pub fn hold(&mut self, field: &str, holds: bool, text: &str, values: &[&dyn Display]) -> bool {
        if !holds {
            self.add(field, text, values);
        }
        holds
    }
}

fn word_of<T: Serialize>(value: &T) -> Option<String> {
    serde_json::to_value(value).ok()?.as_str().map(ToOwned::to_owned)
}

/// [`duration::PATTERN`].
fn is_time(text: &str) -> bool {
    let unit = text.trim_start_matches(|character: char| character.is_ascii_digit());
    unit.len() < text.len() && matches!(unit, "ms" | "s" | "m" | "h")
}

/// [`bounds::ENV_PATTERN`].
pub(super) fn is_env(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// [`bounds::IDENTIFIER_PATTERN`].
pub(super) fn is_identifier(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// [`bounds::PATH_PATTERN`].
pub(super) fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~/%?&=+-".contains(&byte))
}

/// A DNS label (RFC 1123, section 2.1), without its length.
pub(super) fn is_dns_label(text: &str) -> bool {
    let edge = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    text.starts_with(edge) && text.ends_with(edge) && text.chars().all(|character| edge(character) || character == '-')
}
