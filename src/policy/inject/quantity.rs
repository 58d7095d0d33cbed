//! Kubernetes' quantities (apimachinery, resource.Quantity), as far as resources of containers use them.

use std::cmp::Ordering;

use serde_json::Value;

/// What one of Kubernetes' smallest units is in ours; a LimitRange is compared in thousandths.
const NANO_PER_MILLI: u128 = 1_000_000;
/// Units of memory that texts are made with, largest first.
const BINARY: [(&str, u128); 3] = [("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];

/// An amount, and its text. Compared by value.
#[derive(Clone, Debug)]
pub(super) struct Quantity {
    nano: u128,
    text: String,
}

impl Quantity {
    /// `None` for what is none, for one below zero and for one that is finer than 10^-9.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(Self { nano: nano(text)?, text: text.to_owned() })
    }

    /// In a pod's JSON, which may hold a bare number.
    pub(super) fn read(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Self::parse(text),
            Value::Number(number) => Self::parse(&number.to_string()),
            _ => None,
        }
    }

    pub(super) fn zero() -> Self {
        Self { nano: 0, text: "0".to_owned() }
    }

    /// So many thousandths of a processor.
    pub(super) fn of_millicores(count: u128) -> Self {
        Self { nano: count.saturating_mul(NANO_PER_MILLI), text: format!("{count}m") }
    }

    /// So many bytes.
    pub(super) fn of_bytes(count: u128) -> Self {
        let unit = BINARY.iter().find(|(_, size)| count != 0 && count.is_multiple_of(*size));
        let text = unit.map_or_else(|| count.to_string(), |(suffix, size)| format!("{}{suffix}", count / size));
        Self { nano: count.saturating_mul(1_000 * NANO_PER_MILLI), text }
    }

    /// In thousandths, rounded up as Kubernetes does.
    pub(super) fn milli(&self) -> u128 {
        self.nano.div_ceil(NANO_PER_MILLI)
    }

    pub(super) fn is_zero(&self) -> bool {
        self.nano == 0
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Quantity {}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nano.cmp(&other.nano)
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Whether a text is an amount that Kubernetes takes. A wrong one in our container would have every pod refused.
pub fn is_quantity(text: &str) -> bool {
    nano(text).is_some()
}

fn nano(text: &str) -> Option<u128> {
    let end = text.bytes().position(|byte| !(byte.is_ascii_digit() || byte == b'.')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    if number.is_empty() {
        return None;
    }
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let nano: u128 = if part.len() > 9 { return None } else { format!("{whole}{part:0<9}").parse().ok()? };
    let power = |base: u128, exponent: u32| nano.checked_mul(base.checked_pow(exponent)?);
    match suffix {
        "" => Some(nano),
        "n" => Some(nano / 1_000_000_000),
        "u" => Some(nano / 1_000_000),
        "m" => Some(nano / 1_000),
        "k" => power(1_000, 1),
        "M" => power(1_000, 2),
        "G" => power(1_000, 3),
        "T" => power(1_000, 4),
        "P" => power(1_000, 5),
        "E" => power(1_000, 6),
        "Ki" => power(1_024, 1),
        "Mi" => power(1_024, 2),
        "Gi" => power(1_024, 3),
        "Ti" => power(1_024, 4),
        "Pi" => power(1_024, 5),
        "Ei" => power(1_024, 6),
        _ => power(10, suffix.strip_prefix(['e', 'E'])?.parse().ok().filter(|exponent| *exponent <= 18)?),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quantities_are_compared_by_value() {
        for (one, other) in [
            (json!("1"), json!("1000m")),
            (json!(1), json!("1.0")),
            (json!("1Gi"), json!("1024Mi")),
            (json!("1G"), json!("1e9")),
            (json!("0.1"), json!("100m")),
            (json!("1500u"), json!("1.5m")),
        ] {
            assert!(Quantity::read(&one).is_some());
            assert_eq!(Quantity::read(&one), Quantity::read(&other), "{one} {other}");
        }
        for bad in [json!(""), json!("m"), json!("1x"), json!("1e99"), json!("-1"), json!("1.0000000001"), json!(true)]
        {
            assert_eq!(Quantity::read(&bad), None, "{bad}");
        }
        assert_ne!(Quantity::parse("1G"), Quantity::parse("1Gi"));
    }

    #[test]
    fn a_made_quantity_reads_back() {
        for (made, text) in [
            (Quantity::of_millicores(63), "63m"),
            (Quantity::of_bytes(0), "0"),
            (Quantity::of_bytes(64 << 20), "64Mi"),
            (Quantity::of_bytes(3 << 30), "3Gi"),
            (Quantity::of_bytes(1536), "1536"),
            (Quantity::of_bytes(44_739_243), "44739243"),
        ] {
            assert_eq!((made.text(), Some(&made)), (text, Quantity::parse(text).as_ref()));
        }
    }
}
