//! Medians, and how far they can be trusted.

/// Fewer samples give no interval of 95 %.
const ENOUGH: usize = 6;

/// The median of ratios and an interval around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Median {
    pub value: f64,
    /// Between these the true median lies, with a probability of at least 95 % where there are six samples or more.
    pub low: f64,
    pub high: f64,
    /// Whether there are six samples.
    pub sure: bool,
}

/// By order statistics: the number of samples below the true median is binomial whatever their distribution is, so the k-th smallest
/// and the k-th largest enclose it with probability 1 - 2 P(B(n, 1/2) < k). Of the k that give 95 % the largest is taken; with fewer
/// than six samples none does, and the interval is that of all samples. `None` for no samples.
pub fn median(mut samples: Vec<f64>) -> Option<Median> {
    samples.sort_by(f64::total_cmp);
    let count = samples.len();
    let value = match count {
        0 => return None,
        odd if odd % 2 == 1 => samples[odd / 2],
        even => f64::midpoint(samples[even / 2 - 1], samples[even / 2]),
    };
    let cut = outside(count);
    Some(Median { value, low: samples[cut], high: samples[count - 1 - cut], sure: count >= ENOUGH })
}

/// How many samples at each end may be left out.
#[expect(clippy::cast_precision_loss, reason = "there are few rounds")]
fn outside(count: usize) -> usize {
    let mut probability = 0.5_f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
    let mut below = 0.0;
    for cut in 0..count / 2 {
        below += probability;
        if 2.0 * below > 0.05 {
            return cut.saturating_sub(1);
        }
        probability *= (count - cut) as f64 / (cut + 1) as f64;
    }
    (count / 2).saturating_sub(1)
}

/// The value below which this share of the sorted samples lies; 0 for none.
pub fn percentile(sorted: &[u64], percent: usize) -> u64 {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or(0)
}
