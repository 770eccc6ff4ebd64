//! Axes of a panel: scales, ticks at round numbers, their words.

use super::canvas::{Canvas, Place, Style};
use super::font::{Face, width};
use super::style::AXIS;

/// A tick: where it is on its axis, and its word.
pub(super) type Tick = (f64, String);

/// Length of a tick, and from its end to its word, in em of the word.
const TICK: f64 = 0.36;
const GAP: f64 = 0.2;

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

    fn decades(&self, n: f64) -> Vec<Tick> {
        let (low, high) = (self.low.log10(), self.high.log10());
        let step = [1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0].into_iter().find(|s| (high - low) / s <= n);
        let step = step.unwrap_or(100.0);
        let first = (low / step - 1e-9).ceil();
        let powers = (0..64).map(|k| (first + f64::from(k)) * step).take_while(|p| *p <= high + 1e-9);
        let word = |p: f64| if p == 0.0 { "1".to_owned() } else { format!("10{}", raised(p)) };
        let all: Vec<Tick> = powers.map(|p| (10f64.powf(p), word(p))).collect();
        if all.len() >= 2 { all } else { self.within_a_decade(n) }
    }

    /// Few ticks at 1, 2, 5 times powers of ten; on a narrow axis at evenly spaced numbers.
    fn within_a_decade(&self, n: f64) -> Vec<Tick> {
        let (low, high) = (self.low.log10().floor(), self.high.log10().ceil());
        let inside = |x: &f64| (self.low * (1.0 - 1e-9)..=self.high * (1.0 + 1e-9)).contains(x);
        for fronts in [&[1.0, 2.0, 5.0][..], &[1.0, 3.0]] {
            let decades = (0..8).map(|k| low + f64::from(k)).take_while(|p| *p <= high);
            let all: Vec<f64> =
                decades.flat_map(|p| fronts.iter().map(move |f| f * 10f64.powf(p))).filter(inside).collect();
            if all.len() >= 2 && pulvinar::linalg::count(all.len()) <= n + 1.0 {
                return all.into_iter().map(|x| (x, number(x, x, x))).collect();
            }
        }
        self.steps(n).into_iter().filter(|(x, _)| *x > 0.0).collect()
    }

    /// Ticks between those that have words, on a logarithmic axis: 2 to 9 times each power of ten.
    pub fn between(&self) -> Vec<f64> {
        let (low, high) = (self.low.log10().floor(), self.high.log10().ceil());
        if !self.is_log || high - low > 8.0 {
            return Vec::new();
        }
        let decades = (0..9).map(|k| low + f64::from(k)).take_while(|p| *p < high);
        let all = decades.flat_map(|p| (2..10).map(move |m| f64::from(m) * 10f64.powf(p)));
        all.filter(|x| (self.low..=self.high).contains(x)).collect()
    }

    /// As many ticks as have room on `length` pixels, words beside or above each other.
    pub fn that_fit(&self, length: f64, size: f64, is_level: bool) -> Vec<Tick> {
        let most = if is_level { length / (4.0 * size) } else { length / (2.2 * size) };
        let mut n = most.clamp(2.0, 6.0).floor();
        loop {
            let ticks = self.ticks(n);
            if self.apart(&ticks, length, size, is_level) {
                return ticks;
            }
            if n <= 1.0 {
                let thinned = |k: usize| ticks.iter().step_by(k).cloned().collect::<Vec<Tick>>();
                let all = (2..=ticks.len()).map(thinned);
                return all.into_iter().find(|t| self.apart(t, length, size, is_level)).unwrap_or_default();
            }
            n -= 1.0;
        }
    }

    /// No word touches the next one.
    pub fn apart(&self, ticks: &[Tick], length: f64, size: f64, is_level: bool) -> bool {
        ticks.windows(2).all(|pair| {
            let between = (self.at(pair[1].0) - self.at(pair[0].0)).abs() * length;
            let room = |t: &Tick| if is_level { width(&t.1, size, Face::Sans) / 2.0 } else { 0.6 * size };
            between >= room(&pair[0]) + room(&pair[1]) + if is_level { 0.6 * size } else { 0.0 }
        })
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

/// The power of ten that is not below a number: `10⁻¹²`. Nothing is told apart below that: there rounding decides.
pub(super) fn bound(x: f64) -> String {
    format!("10{}", raised(x.max(1e-12).log10().ceil()))
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

    /// The two axes with ticks, their words, and the names of the axes at `names`: the top of the name below, and the
    /// middle of the name on the left.
    pub fn axes(&self, canvas: &Canvas<'_>, ticks: [&[Tick]; 2], names: [(&str, f64); 2], size: f64) {
        let [left, top, right, bottom] = self.inside;
        let (line, small) = (0.075 * size, Style::new(size));
        canvas.line(&[(left, top), (left, bottom), (right, bottom)], AXIS, line);
        let tick = |from: Place, to: Place| canvas.line(&[from, to], AXIS, line);
        for t in self.x.between() {
            let (x, _) = self.at(t, self.y.high);
            tick((x, bottom), (x, bottom + 0.5 * TICK * size));
        }
        for t in self.y.between() {
            let (_, y) = self.at(self.x.low, t);
            tick((left - 0.5 * TICK * size, y), (left, y));
        }
        for (t, words) in ticks[0] {
            let (x, _) = self.at(*t, self.y.high);
            tick((x, bottom), (x, bottom + TICK * size));
            canvas.below(words, (x, bottom + (TICK + GAP) * size), small.middle());
        }
        for (t, words) in ticks[1] {
            let (_, y) = self.at(self.x.low, *t);
            tick((left - TICK * size, y), (left, y));
            canvas.label(words, (left - (TICK + GAP) * size, y), small.end());
        }
        let [(below, y), (beside, x)] = names;
        canvas.below(below, (f64::midpoint(left, right), y), small.middle());
        canvas.label(beside, (x, f64::midpoint(top, bottom)), small.middle().upright());
    }
}

/// From the axis to the far end of the words of its ticks.
pub(super) fn beyond(ticks: &[Tick], size: f64, is_level: bool) -> f64 {
    let words = ticks.iter().map(|t| if is_level { size } else { width(&t.1, size, Face::Sans) });
    (TICK + GAP) * size + words.fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_ticks_never_touch() {
        let log = |low, high| Scale { low, high, is_log: true };
        for scale in [
            Scale::linear(0.0, 157.0),
            Scale::linear(-3e7, 5e7),
            Scale::linear(12345.0, 12346.0),
            log(1e-300, 1e300),
            log(0.9, 1.1),
        ] {
            for length in [20.0, 60.0, 150.0, 600.0] {
                for is_level in [true, false] {
                    let ticks = scale.that_fit(length, 9.0, is_level);
                    let apart = scale.apart(&ticks, length, 9.0, is_level);
                    assert!(apart, "{scale:?}, {length}: {ticks:?}");
                }
            }
        }
    }

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
            (log(1.5, 70.0), vec!["2", "5", "10", "20", "50"]),
            (log(2.2, 3.4), vec!["2.2", "2.4", "2.6", "2.8", "3.0", "3.2", "3.4"]),
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
