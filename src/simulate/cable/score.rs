//! Scores: how well matched and unmatched axons are told apart, and who controls the soma.

/// Mean and standard deviation (divided by `n`).
#[must_use]
pub fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
    (mean, variance.sqrt())
}

/// Quantile by linear interpolation between order statistics; NaN for no values.
#[must_use]
pub fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let x = q.clamp(0.0, 1.0) * last as f64;
    let i = x.floor() as usize;
    sorted[i] + (x - i as f64) * (sorted[(i + 1).min(last)] - sorted[i])
}

/// Area under the ROC curve: the share of pairs in which the positive score is larger, ties by half.
///
/// O(n log n). NaN if one of the two is empty.
#[must_use]
pub fn auc(positive: &[f64], negative: &[f64]) -> f64 {
    let mut sorted = negative.to_vec();
    sorted.sort_by(f64::total_cmp);
    let below = |x: f64| sorted.partition_point(|y| *y < x) as f64;
    let upto = |x: f64| sorted.partition_point(|y| *y <= x) as f64;
    let won: f64 = positive.iter().map(|&x| (below(x) + upto(x)) / 2.0).sum();
    won / (positive.len() as f64 * negative.len() as f64)
}

/// Explained variance of a prediction, `1 - sum (y - p)^2 / sum (y - mean)^2`, without the values that lie more than
/// `most_sd` standard deviations from the mean of all.
#[must_use]
pub fn explained(values: &[f64], predicted: &[f64], most_sd: f64) -> f64 {
    let (mean, sd) = moments(values);
    let kept: Vec<(f64, f64)> = values
        .iter()
        .zip(predicted)
        .filter(|(y, _)| (*y - mean).abs() <= most_sd * sd)
        .map(|(y, p)| (*y, *p))
        .collect();
    let mean = kept.iter().map(|(y, _)| y).sum::<f64>() / kept.len() as f64;
    let wrong: f64 = kept.iter().map(|(y, p)| (y - p) * (y - p)).sum();
    1.0 - wrong / kept.iter().map(|(y, _)| (y - mean) * (y - mean)).sum::<f64>()
}

/// Share of positive scores above the threshold that a share `rate` of the negative ones exceeds.
#[must_use]
pub fn true_positives(positive: &[f64], negative: &[f64], rate: f64) -> f64 {
    let threshold = quantile(negative, 1.0 - rate);
    positive.iter().filter(|&&x| x > threshold).count() as f64 / positive.len() as f64
}

/// What the soma did in the control phase of one trial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Control {
    /// spikes of the matched axon in the control phase
    pub keys: usize,
    /// of these, followed by a somatic spike within [`CONTROL_MS`]
    pub followed: usize,
    /// somatic spikes in the control phase
    pub spikes: usize,
    /// of these, not within [`CONTROL_MS`] of a spike of the matched axon
    pub stray: usize,
}

/// A somatic spike so long after a key spike counts as its effect.
pub const CONTROL_MS: f64 = 20.0;

impl Control {
    /// Counts spikes after `from_ms`.
    #[must_use]
    pub fn count(keys_ms: &[f64], soma_ms: &[f64], from_ms: f64) -> Self {
        let caused = |key: f64, spike: f64| (key..=key + CONTROL_MS).contains(&spike);
        let keys: Vec<f64> = keys_ms.iter().copied().filter(|k| *k > from_ms).collect();
        let soma: Vec<f64> = soma_ms.iter().copied().filter(|s| *s > from_ms).collect();
        Self {
            keys: keys.len(),
            followed: keys.iter().filter(|k| soma.iter().any(|s| caused(**k, *s))).count(),
            spikes: soma.len(),
            stray: soma.iter().filter(|s| !keys.iter().any(|k| caused(*k, **s))).count(),
        }
    }

    /// Share of key spikes that were followed; `None` without key spikes.
    #[must_use]
    pub fn success(&self) -> Option<f64> {
        (self.keys > 0).then(|| self.followed as f64 / self.keys as f64)
    }

    /// Share of somatic spikes that were stray; 0 for a silent soma, as published.
    #[must_use]
    pub fn spurious(&self) -> f64 {
        if self.spikes == 0 { 0.0 } else { self.stray as f64 / self.spikes as f64 }
    }
}
