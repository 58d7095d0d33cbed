//! When utilization is worth a line in the log: once as it rises, once as it falls back, never per request.

use super::{CRITICAL, UtilizationStatus, WARNING};

/// How far below the line, in percent, utilization has to be before it counts as fallen back: a pool of 20 that swings by one
/// connection (5 %) around a line is said once.
const HYSTERESIS: f64 = 5.0;

/// Remembers what was said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alarm {
    said: UtilizationStatus,
}

/// Something to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Utilization reached the line of this status.
    Rose(UtilizationStatus),
    /// Utilization fell back, to this status.
    Fell(UtilizationStatus),
}

impl Default for Alarm {
    fn default() -> Self {
        Self { said: UtilizationStatus::Normal }
    }
}

impl Alarm {
    /// Takes the newest [`super::Utilization::percent`] and its status.
    pub fn observe(&mut self, percent: f64, status: UtilizationStatus) -> Option<Change> {
        let line = match self.said {
            UtilizationStatus::Normal => 0,
            UtilizationStatus::Warning => WARNING,
            UtilizationStatus::Critical => CRITICAL,
        };
        if status > self.said {
            self.said = status;
            Some(Change::Rose(status))
        } else if status < self.said && percent <= f64::from(line) - HYSTERESIS {
            self.said = status;
            Some(Change::Fell(status))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use UtilizationStatus::{Critical, Normal, Warning};

    #[test]
    fn is_said_once_per_rise_and_once_per_fall() {
        let mut alarm = Alarm::default();
        let said: Vec<_> = [
            (50.0, Normal),
            (80.0, Warning),
            (85.0, Warning),
            (90.0, Critical),
            (100.0, Critical),
            (89.9, Warning),
            (90.0, Critical),
            (85.0, Warning),
            (79.0, Normal),
            (80.0, Warning),
            (75.0, Normal),
            (0.0, Normal),
            (95.0, Critical),
            (0.0, Normal),
        ]
        .into_iter()
        .filter_map(|(percent, status)| alarm.observe(percent, status))
        .collect();
        assert_eq!(
            said,
            [
                Change::Rose(Warning),
                Change::Rose(Critical),
                Change::Fell(Warning),
                Change::Fell(Normal),
                Change::Rose(Critical),
                Change::Fell(Normal),
            ]
        );
    }
}
