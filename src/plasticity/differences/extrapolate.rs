//! Derivatives of a loss by central differences of ever smaller steps, extrapolated, with an estimate of their own error.
//!
//! The error of a central difference is a series in `h^2`. Each step is half the one before; Neville's scheme removes one
//! power after the other, and the entry of the triangle that differs least from its two neighbours is taken. What the
//! outputs lose by rounding, divided by the step, is the floor of its error.
//!
//! Source: Ridders 1982 (Advances in Engineering Software 4), with the floor added.

use nalgebra::DMatrix;

/// Steps that are tried, at most.
const LEVELS: usize = 22;
/// After so many steps that gave nothing better, smaller ones will not.
const PATIENCE: usize = 7;
/// Roundings of an output, in units of its last place.
const ROUNDINGS: f64 = 4.0;

/// What two outputs, at `+h` and `-h` of the same way, say about the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    pub value: f64,
    /// how far rounding of the outputs can have moved it
    pub floor: f64,
    /// difference of the slopes on both sides
    pub bend: f64,
}

impl Slope {
    /// From the outputs after a step forwards, none and backwards; none if they are not finite.
    pub fn between(
        outputs: [&DMatrix<f64>; 3],
        target: &DMatrix<f64>,
        counted: &[bool],
        h: f64,
    ) -> Option<Self> {
        let [plus, centre, minus] = outputs;
        let (mut right, mut left, mut floor) = (0.0, 0.0, 0.0);
        for (i, _) in counted.iter().enumerate().filter(|(_, counted)| **counted) {
            for a in 0..target.nrows() {
                let [p, c, m, t] = [plus, centre, minus, target].map(|y| y[(a, i)]);
                right += (p - c) * (0.5 * (p + c) - t);
                left += (c - m) * (0.5 * (c + m) - t);
                if p != m {
                    let lost = ROUNDINGS * f64::EPSILON * p.abs().max(m.abs());
                    floor += (lost * ((0.5 * (p + m) - t).abs() + (p - m).abs())).powi(2);
                }
            }
        }
        let slope = Self {
            value: (right + left) / (2.0 * h),
            floor: floor.sqrt() / (2.0 * h) + f64::EPSILON * (right.abs() + left.abs()) / h,
            bend: (right - left) / h,
        };
        (slope.value.is_finite() && slope.floor.is_finite()).then_some(slope)
    }
}

/// A derivative and how far it can be off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub value: f64,
    pub error: f64,
}

impl Estimate {
    /// Two estimates of one number: the better one, no surer than the two agree.
    pub fn joined(self, other: Self) -> Self {
        let better = if self.error <= other.error { self } else { other };
        let apart = (self.value - other.value).abs();
        // What the worse one explains of the gap is no news about the better one.
        let news = (apart - self.error.max(other.error)).max(0.0);
        Self { value: better.value, error: if news.is_finite() { better.error + news } else { better.error } }
    }
}

/// The derivative at 0 of the loss whose slopes `slope` gives, from steps of `start` on; ends as soon as its error is
/// `enough`. Its error is infinite where nothing could be found.
pub fn derivative(slope: &mut impl FnMut(f64) -> Option<Slope>, start: f64, enough: f64) -> Estimate {
    let mut best = Estimate { value: f64::NAN, error: f64::INFINITY };
    let (mut row, mut since) = (Vec::<f64>::new(), 0);
    for level in 0..LEVELS {
        let h = start * 0.5f64.powi(i32::try_from(level).unwrap_or(i32::MAX));
        let Some(Slope { value, floor, .. }) = slope(h) else {
            row.clear();
            continue;
        };
        let mut next = vec![value];
        let mut factor = 1.0;
        since += 1;
        for (j, before) in row.iter().enumerate() {
            factor *= 4.0;
            let refined = next[j] + (next[j] - before) / (factor - 1.0);
            let apart = (refined - next[j]).abs().max((refined - before).abs());
            let error = apart + 2.0 * floor;
            if error < best.error {
                best = Estimate { value: refined, error };
                since = 0;
            }
            next.push(refined);
        }
        if best.error <= enough || since >= PATIENCE && best.error.is_finite() {
            break;
        }
        row = next;
    }
    best
}

/// Whether a gap of that size is a kink's: the slopes on both sides stay apart by as much however small the step.
pub fn has_kink(slope: &mut impl FnMut(f64) -> Option<Slope>, start: f64, gap: f64) -> bool {
    let bends: Vec<Slope> = (0..6).filter_map(|level| slope(start * 0.0625f64.powi(level))).collect();
    bends.windows(2).any(|pair| {
        let [far, near] = [pair[0], pair[1]].map(|s| s.bend.abs());
        near > 0.5 * gap && near > 4.0 * pair[1].floor && (0.5..2.0).contains(&(near / far))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slopes of one output that is `f`, with target 0.
    fn of(f: impl Fn(f64) -> f64) -> impl FnMut(f64) -> Option<Slope> {
        move |h| {
            let y = [f(h), f(0.0), f(-h)].map(|y| DMatrix::from_element(1, 1, y));
            Slope::between([&y[0], &y[1], &y[2]], &DMatrix::zeros(1, 1), &[true], h)
        }
    }

    #[test]
    fn derivatives_are_as_exact_as_they_say() {
        type Case = (&'static str, fn(f64) -> f64, f64);
        let cases: [Case; 7] = [
            ("a line", |x| 3.0 + 2.0 * x, 6.0),
            ("degree nine", |x| (1.0 + x).powi(9), 9.0),
            ("steep", |x| (200.0 * x).exp(), 200.0),
            ("steeper than the first step", |x| (1e4 * x).exp(), 1e4),
            ("overflow at the first steps", |x| (1e4 * (x + 0.001)).exp(), 1e4 * 20f64.exp()),
            ("a kink near by", |x| 1.0 + x + 50.0 * (x - 1e-3f64).max(0.0), 1.0),
            ("a constant", |_| 5.0, 0.0),
        ];
        for (claim, f, want) in cases {
            let got = derivative(&mut of(f), 0.25, 0.0);
            let off = (got.value - want).abs();
            assert!(
                off <= got.error && got.error <= 1e-8 * want.abs().max(1e-3),
                "{claim}: {got:?}, off {off:e}"
            );
        }
    }

    #[test]
    fn what_cannot_be_known_is_not_claimed() {
        let wild = derivative(&mut |_| None, 1.0, 0.0);
        assert!(wild.error.is_infinite());
        let noisy = |x: f64| 1e8 + x + 1e-3 * (1e9 * x).sin();
        let got = derivative(&mut of(noisy), 0.25, 0.0);
        assert!(got.error > 1e-4 && (got.value - 1e8).abs() <= got.error.max(1e6), "{got:?}");
    }

    #[test]
    fn kinks_are_seen_and_nothing_else() {
        assert!(has_kink(&mut of(|x| 1.0 + x.max(0.0)), 0.01, 0.5));
        assert!(has_kink(&mut of(|x| 1.0 + 1e-3 * x.abs() + x), 0.01, 1e-3));
        for smooth in [(|x| (30.0 * x).exp()) as fn(f64) -> f64, |x| 1.0 + x * x, |x| 2.0 + 3.0 * x] {
            assert!(!has_kink(&mut of(smooth), 0.01, 0.5));
        }
    }
}
