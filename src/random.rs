//! Randomness for spreading work in time. Never for secrets.

use ring::rand::{SecureRandom as _, SystemRandom};

/// Evenly spread in `0.0..1.0`; 0.5 where the system has no randomness to give.
pub fn unit() -> f64 {
    let mut bytes = [0; 4];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0),
        Err(_) => 0.5,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn stays_below_one() {
        assert!((0..1_000).map(|_| super::unit()).all(|unit| (0.0..1.0).contains(&unit)));
    }
}
