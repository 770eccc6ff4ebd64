//! Axes of a panel: scales, ticks at round numbers, their words.

use super::canvas::{Canvas, LABEL, Side};
use crate::figures::style::FAINT;

/// One axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    pub low: f64,
    pub high: f64,
    pub is_log: bool,
}

impl Scale {
    pub fn linear(low: f64, high: f64) -> Self {
        Self { low, high, is_log: false }
    }

    /// From 0 (`low`) to 1 (`high`); halves before differences, which may overflow.
    pub fn at(&self, x: f64) -> f64 {
        if self.is_log {
            return (x.log10() - self.low.log10()) / (self.high.log10() - self.low.log10());
        }
        (x / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0)
    }

    /// About `n` ticks at round numbers.
    pub fn ticks(&self, n: f64) -> Vec<(f64, String)> {
        if self.is_log { self.decades(n) } else { self.steps(n) }
    }

    fn decades(&self, n: f64) -> Vec<(f64, String)> {
        let (low, high) = (self.low.log10(), self.high.log10());
        let step = [1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0].into_iter().find(|s| (high - low) / s <= n);
        let step = step.unwrap_or(100.0);
        let first = (low / step - 1e-9).ceil();
        let powers = (0..64).map(|k| (first + f64::from(k)) * step).take_while(|p| *p <= high + 1e-9);
        powers
            .map(|p| (10f64.powf(p), if p == 0.0 { "1".to_owned() } else { format!("10{}", raised(p)) }))
            .collect()
    }

    /// The longest round step that gives enough of them.
    fn steps(&self, n: f64) -> Vec<(f64, String)> {
        let rough = (self.high / n - self.low / n).max(f64::MIN_POSITIVE);
        let power = 10f64.powf(rough.log10().floor());
        let least = if n >= 3.0 { 3 } else { 2 };
        let inside = |step: f64| -> Vec<f64> {
            let (first, last) = ((self.low / step - 1e-9).ceil(), self.high / step + 1e-9);
            (0..64).map(|k| first + f64::from(k)).take_while(|k| *k <= last).map(|k| k * step).collect()
        };
        let steps = [10.0, 5.0, 2.0, 1.0, 0.5, 0.2].map(|m| m * power);
        let step = steps.into_iter().find(|s| s.is_normal() && inside(*s).len() >= least).unwrap_or(rough);
        let largest = self.low.abs().max(self.high.abs());
        inside(step).into_iter().map(|x| (x, number(x, step, largest))).collect()
    }
}

/// A number on an axis with ticks every `step`.
fn number(x: f64, step: f64, largest: f64) -> String {
    if x == 0.0 {
        return "0".to_owned();
    }
    let sign = if x < 0.0 { "\u{2212}" } else { "" };
    if (1e-3..1e5).contains(&largest) && step >= 1e-4 {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let digits = (-step.log10() - 1e-9).ceil().max(0.0) as usize;
        return format!("{sign}{:.digits$}", x.abs());
    }
    let power = x.abs().log10().floor();
    let front = x.abs() / 10f64.powf(power);
    let front = format!("{front:.1}");
    let front = front.trim_end_matches('0').trim_end_matches('.');
    format!("{sign}{front}\u{d7}10{}", raised(power))
}

/// A power of ten as small raised digits.
fn raised(power: f64) -> String {
    let up = |c: char| match c {
        '-' => '\u{207b}',
        '1' => '\u{b9}',
        '2' => '\u{b2}',
        '3' => '\u{b3}',
        digit => char::from_u32(0x2070 + digit.to_digit(10).unwrap_or(0)).unwrap_or(digit),
    };
    format!("{power:.0}").chars().map(up).collect()
}

/// The inside of a panel: where data goes.
pub(super) struct Frame {
    /// left, top, right, bottom in pixels
    pub inside: [f64; 4],
    pub x: Scale,
    pub y: Scale,
}

impl Frame {
    pub fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let [left, top, right, bottom] = self.inside;
        (left + self.x.at(x) * (right - left), bottom - self.y.at(y) * (bottom - top))
    }

    /// The two axes with their ticks and names.
    pub fn axes(&self, canvas: &Canvas<'_>, names: [&str; 2]) -> Result<(), String> {
        let [left, top, right, bottom] = self.inside;
        canvas.line(&[(left, top), (left, bottom), (right, bottom)], FAINT, 1.0, 1.0)?;
        let wide = ((right - left) / 48.0).clamp(2.0, 6.0);
        for (t, words) in self.x.ticks(wide) {
            let (x, _) = self.at(t, self.y.high);
            canvas.line(&[(x, bottom), (x, bottom + 4.0)], FAINT, 1.0, 1.0)?;
            canvas.write(&words, (x, bottom + 6.0), LABEL, Side::Above)?;
        }
        let tall = ((bottom - top) / 24.0).clamp(2.0, 6.0);
        for (y, words) in self.y.ticks(tall) {
            let (_, y) = self.at(self.x.low, y);
            canvas.line(&[(left - 4.0, y), (left, y)], FAINT, 1.0, 1.0)?;
            canvas.write(&words, (left - 7.0, y), LABEL, Side::Right)?;
        }
        canvas.write(names[0], ((left + right) / 2.0, bottom + 21.0), LABEL, Side::Above)?;
        canvas.write(names[1], (left - 56.0, (top + bottom) / 2.0), LABEL, Side::Upward)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_inside_the_axis() {
        let words = |s: Scale| s.ticks(4.0).into_iter().map(|(_, w)| w).collect::<Vec<_>>();
        let log = |low, high| Scale { low, high, is_log: true };
        for (scale, want) in [
            (Scale::linear(0.0, 157.0), vec!["0", "50", "100", "150"]),
            (Scale::linear(-0.9, 0.7), vec!["\u{2212}0.5", "0", "0.5"]),
            (Scale::linear(-3e7, 5e7), vec!["\u{2212}2×10⁷", "0", "2×10⁷", "4×10⁷"]),
            (Scale::linear(-0.5e-9, 3e-9), vec!["0", "1×10⁻⁹", "2×10⁻⁹", "3×10⁻⁹"]),
            (log(1e-13, 3.0), vec!["10⁻¹⁰", "10⁻⁵", "1"]),
            (log(1e-4, 1e308), vec!["1", "10¹⁰⁰", "10²⁰⁰", "10³⁰⁰"]),
        ] {
            assert_eq!(words(scale), want, "{scale:?}");
        }
        let huge = Scale::linear(-1.7e308, 1.7e308);
        assert!(
            huge.ticks(4.0).iter().all(|(x, _)| (0.0..=1.0).contains(&huge.at(*x))),
            "{:?}",
            huge.ticks(4.0)
        );
    }
}
