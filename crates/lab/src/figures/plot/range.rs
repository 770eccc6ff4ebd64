//! What an axis holds: the range that is asked for, or that of the numbers with some room.

use crate::figures::axis::Scale;
use crate::figures::sheet::{Axis, Look, Series};

/// Room on both sides, as a part of the range.
const ROOM: f64 = 0.05;

/// The distance of bars and steps: the smallest one between places.
pub(super) fn pitch(series: &[Series]) -> f64 {
    let own = series.iter().filter(|s| matches!(s.look, Look::Bars | Look::Steps));
    let mut all: Vec<f64> =
        own.flat_map(|s| s.points.iter().map(|p| p.x)).filter(|x| x.is_finite()).collect();
    all.sort_by(f64::total_cmp);
    all.dedup();
    let least = all.windows(2).map(|p| p[1] - p[0]).fold(f64::INFINITY, f64::min);
    if least.is_finite() { least } else { 1.0 }
}

/// The axis of x.
pub(super) fn across(axis: &Axis, series: &[Series], guides: impl Iterator<Item = f64>) -> Scale {
    let pitch = pitch(series);
    let sides = |s: &Series| if matches!(s.look, Look::Bars | Look::Steps) { pitch / 2.0 } else { 0.0 };
    let numbers =
        series.iter().flat_map(|s| s.points.iter().flat_map(move |p| [p.x - sides(s), p.x + sides(s)]));
    let is_full = series.iter().any(|s| matches!(s.look, Look::Bars | Look::Steps));
    let plain = series.iter().all(|s| matches!(s.look, Look::Line | Look::Dashed | Look::Steps));
    scale(axis, numbers.chain(guides), false, is_full || plain)
}

/// The axis of y: bars and steps stand on 0, or on the lower end of a logarithmic axis.
pub(super) fn up(axis: &Axis, series: &[Series], guides: impl Iterator<Item = f64>) -> Scale {
    let stands = series.iter().any(|s| matches!(s.look, Look::Bars | Look::Steps));
    let points = series.iter().flat_map(|s| &s.points);
    let numbers = points.flat_map(|p| [p.y].into_iter().chain(p.spread.into_iter().flatten()));
    let zero = (stands && !axis.is_log).then_some(0.0);
    scale(axis, numbers.chain(guides).chain(zero), stands, false)
}

/// `stands`: data ends at the lower end; `tight`: no room beyond the numbers.
fn scale(axis: &Axis, numbers: impl Iterator<Item = f64>, stands: bool, tight: bool) -> Scale {
    let is_log = axis.is_log;
    if !axis.names.is_empty() && axis.range.is_none() {
        return Scale::linear(-0.5, pulvinar::linalg::count(axis.names.len()) - 0.5);
    }
    let shown = |x: &f64| x.is_finite() && (!is_log || *x > 0.0);
    if let Some([low, high]) = axis.range.filter(|[a, b]| a < b && shown(a) && shown(b)) {
        return Scale { low, high, is_log };
    }
    let (low, high) =
        numbers.filter(shown).fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
    if low > high {
        return if is_log { Scale { low: 0.1, high: 10.0, is_log } } else { Scale::linear(-1.0, 1.0) };
    }
    if is_log {
        let room = if tight { 0.0 } else { ROOM * (high / low).log10() };
        let room = 10f64.powf(if low == high { 0.5 } else { room.max(if tight { 0.0 } else { 0.03 }) });
        let low = if stands { 10f64.powf((low.log10() - 0.3).floor()) } else { low / room };
        return Scale { low: low.max(f64::MIN_POSITIVE), high: (high * room).min(f64::MAX), is_log };
    }
    let span = (high - low).clamp(0.0, f64::MAX / 4.0);
    let room = if span <= 1e-12 * high.abs().max(low.abs()) {
        (0.5 * high.abs()).max(0.5)
    } else if tight {
        0.0
    } else {
        ROOM * span
    };
    let foot = if stands && low == 0.0 && high > 0.0 { 0.0 } else { room };
    let top = if stands && high == 0.0 && low < 0.0 { 0.0 } else { room };
    Scale::linear((low - foot).max(-f64::MAX / 2.0), (high + top).min(f64::MAX / 2.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::sheet::Point;

    fn series(look: Look, points: &[(f64, f64)]) -> Vec<Series> {
        vec![Series::new("", look, 0, points.iter().map(|p| Point::new(p.0, p.1)).collect())]
    }

    #[test]
    fn bars_stand_on_zero_and_have_their_width() {
        let bars = series(Look::Bars, &[(0.0, 3.0), (2.0, 5.0)]);
        let (x, y) =
            (across(&Axis::default(), &bars, [].into_iter()), up(&Axis::default(), &bars, [].into_iter()));
        assert_eq!((x.low, x.high, y.low), (-1.0, 3.0, 0.0));
        assert!(y.high > 5.0);
    }

    #[test]
    fn ranges_hold_every_number_and_are_never_empty() {
        for values in
            [vec![], vec![0.0], vec![3.0, 3.0], vec![-1.7e308, 1.7e308], vec![1e-300, 2e-300, f64::NAN]]
        {
            let points: Vec<(f64, f64)> = values.iter().map(|y| (*y, *y)).collect();
            for axis in [Axis::default(), Axis::default().log()] {
                for look in [Look::Line, Look::Marks, Look::Bars] {
                    let s = series(look, &points);
                    for scale in [across(&axis, &s, [].into_iter()), up(&axis, &s, [].into_iter())] {
                        assert!(scale.low < scale.high || look == Look::Line, "{values:?}: {scale:?}");
                        assert!(scale.low.is_finite() && scale.high.is_finite(), "{values:?}: {scale:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn asked_ranges_are_taken() {
        let axis = Axis::default().range(-1.0, 4.0);
        assert_eq!(up(&axis, &series(Look::Marks, &[(0.0, 9.0)]), [].into_iter()), Scale::linear(-1.0, 4.0));
        let names = Axis::default().names(["a", "b"]);
        assert_eq!(across(&names, &[], [].into_iter()), Scale::linear(-0.5, 1.5));
    }
}
