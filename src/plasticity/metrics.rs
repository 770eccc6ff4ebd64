//! The course of a training: one row for each evaluation.

use crate::diag::Diagnostic;
use crate::files::atomic_write;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

/// One evaluation, before step number `step`.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub step: usize,
    /// mean loss of the last batch; none before the first step
    pub loss: Option<f64>,
    pub held_out: f64,
    pub standard_error: f64,
    pub accuracy: Option<f64>,
    /// of each projection that learns, in order, then of all weights together
    pub cosines: Vec<Option<f64>>,
}

impl Row {
    /// Numbers of a row besides the cosines.
    pub const FIXED: usize = 5;

    /// As numbers; what is not there is not a number.
    #[must_use]
    pub fn numbers(&self) -> Vec<f64> {
        let or_nan = |x: Option<f64>| x.unwrap_or(f64::NAN);
        let fixed = [
            crate::linalg::count(self.step),
            or_nan(self.loss),
            self.held_out,
            self.standard_error,
            or_nan(self.accuracy),
        ];
        fixed.into_iter().chain(self.cosines.iter().copied().map(or_nan)).collect()
    }

    /// The row of these numbers, none if there are too few.
    #[must_use]
    pub fn of(numbers: &[f64]) -> Option<Self> {
        let there = |x: f64| (!x.is_nan()).then_some(x);
        let [step, loss, held_out, standard_error, accuracy] = *numbers.first_chunk::<{ Self::FIXED }>()?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let step = step as usize;
        let cosines = numbers[Self::FIXED..].iter().map(|x| there(*x)).collect();
        Some(Self { step, loss: there(loss), held_out, standard_error, accuracy: there(accuracy), cosines })
    }
}

/// Writes `metrics.csv`; cells of what is not there are empty.
///
/// # Errors
/// As [`atomic_write`].
pub fn write(path: &Path, names: &[&str], rows: &[Row]) -> Result<(), Diagnostic> {
    let mut text = "step,loss,held_out_loss,standard_error,accuracy".to_owned();
    for name in names {
        let _ = write!(text, ",cosine {name}");
    }
    text.push('\n');
    for row in rows {
        let _ = write!(text, "{}", row.step);
        for x in &row.numbers()[1..] {
            if x.is_nan() {
                text.push(',');
            } else {
                let _ = write!(text, ",{x}");
            }
        }
        text.push('\n');
    }
    atomic_write(path, |sink| sink.write_all(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_from_their_numbers() {
        let row = Row {
            step: 7,
            loss: None,
            held_out: 0.25,
            standard_error: 0.0,
            accuracy: Some(0.5),
            cosines: vec![Some(-1.0), None],
        };
        assert_eq!(Row::of(&row.numbers()), Some(row));
        assert_eq!(Row::of(&[1.0, 2.0]), None);
    }
}
