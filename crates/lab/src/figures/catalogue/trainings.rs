//! Trainings for figures: the same lesson from several starts, side by side, and what they have in common.
//!
//! Start `n` has the seed of the file plus `n`: other weights and other sequences. The teacher of a circuit stays as it is.
//!
//! **Deliberately absent:** panels.

use super::Making;
use crate::experiments::learning::{Course, Lesson, Watch, is_answer, learned};
use crate::figures::sheet::{Look, Point, Series};
use pulvinar::compile::compile;
use pulvinar::diag::{Diagnostic, Diagnostics};
use pulvinar::linalg::count;
use pulvinar::plasticity::Trainer;
use pulvinar::plasticity::metrics::Row;
use pulvinar::plasticity::tasks::regression_floor::population_loss;
use pulvinar::spec::RouteSpec;
use rayon::prelude::*;

/// A training to be made.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    pub file: &'static str,
    /// takes the place of the rules of the file
    pub route: Option<RouteSpec>,
    /// of the steps of the file, with its schedule
    pub share: f64,
    pub starts: u64,
}

/// How it is measured.
#[derive(Clone, Copy, Debug)]
pub struct Looks {
    /// times, beside the start
    pub count: usize,
    /// held-out sequences
    pub sequences: usize,
}

/// One training, as it was measured.
pub struct Seen {
    pub rows: Vec<Row>,
    /// beside each row: expected squared error of the heads, where there is a closed form
    pub closed: Vec<Option<f64>>,
    /// of the cosines in a row
    pub names: Vec<String>,
}

/// All trainings, in the order in which they are asked for, start by start; none where the rule does not fit or
/// diverges.
///
/// # Errors
/// Those of the circuits.
pub fn train(making: &Making<'_>, asks: &[Ask], looks: Looks) -> Result<Vec<Vec<Option<Seen>>>, Diagnostics> {
    let jobs: Vec<(&Ask, u64)> = asks.iter().flat_map(|a| (0..a.starts).map(move |n| (a, n))).collect();
    making.progress.begin("trainings", jobs.len());
    let seen: Vec<Result<Option<Seen>, Diagnostics>> = jobs
        .par_iter()
        .map(|(ask, start)| {
            let seen = one(making, ask, *start, looks);
            making.progress.step();
            match seen {
                Ok(seen) => Ok(Some(seen)),
                Err(d) if is_answer(&d) => Ok(None),
                Err(d) => Err(d),
            }
        })
        .collect();
    let mut seen = seen.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter();
    Ok(asks.iter().map(|a| (0..a.starts).filter_map(|_| seen.next()).collect()).collect())
}

fn one(making: &Making<'_>, ask: &Ask, start: u64, looks: Looks) -> Result<Seen, Diagnostics> {
    let file = making.circuits.join(ask.file);
    let mut lesson = Lesson::read(&file, &[], None)?;
    if start > 0 {
        lesson = Lesson::read(&file, &[], Some(lesson.model.spec().seed + start))?;
    }
    let train = &mut lesson.train;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let steps = (ask.share * count(train.steps)).round() as usize;
    train.evaluate.every = (steps / looks.count).max(1);
    train.evaluate.sequences = looks.sequences;
    train.evaluate.at_end = None;
    train.steps = train.evaluate.every * looks.count;
    let route = ask.route.or(train.rule);
    let mut watch = Closed { lesson: &lesson, losses: Vec::new() };
    let course = Course::run(&lesson, route, &mut watch)?;
    let closed = watch.losses;
    let names = course.names().into_iter().map(str::to_owned).collect();
    Ok(Seen { rows: course.rows, closed, names })
}

/// Works out what is expected of the heads so far.
struct Closed<'a> {
    lesson: &'a Lesson,
    losses: Vec<Option<f64>>,
}

impl Watch for Closed<'_> {
    fn measured(&mut self, trainer: &Trainer<'_>, _: &Row) -> Result<(), Diagnostic> {
        let expected = |setting| {
            let blocks = compile(&learned(trainer)).ok()?.plain_blocks();
            population_loss(blocks.last()?, &setting).ok().filter(|_| blocks.len() == 1)
        };
        self.losses.push(self.lesson.task.regression().and_then(expected));
        Ok(())
    }
}

/// The middle of several numbers, and their ends.
#[must_use]
pub fn middle(numbers: impl IntoIterator<Item = f64>) -> Option<(f64, [f64; 2])> {
    let mut all: Vec<f64> = numbers.into_iter().filter(|x| x.is_finite()).collect();
    all.sort_by(f64::total_cmp);
    let (first, last) = (*all.first()?, *all.last()?);
    let half = all.len() / 2;
    let median = if all.len() % 2 == 1 { all[half] } else { f64::midpoint(all[half - 1], all[half]) };
    Some((median, [first, last]))
}

/// A line through the medians over all starts, in a band from the smallest to the largest; `of` reads a number off one
/// measurement.
#[must_use]
pub fn curve(
    name: &str,
    colour: usize,
    seen: &[Option<Seen>],
    of: impl Fn(&Seen, usize) -> Option<f64>,
) -> Series {
    let rows = seen.iter().flatten().map(|s| s.rows.len()).min().unwrap_or(0);
    let points = (0..rows).filter_map(|r| {
        let (y, ends) = middle(seen.iter().flatten().filter_map(|s| of(s, r)))?;
        let x = count(seen.iter().flatten().next()?.rows[r].step);
        Some(Point { x, y, spread: Some(ends) })
    });
    Series::new(name, Look::Line, colour, points.collect())
}

#[cfg(test)]
mod tests {
    use super::middle;

    #[test]
    fn the_middle_lies_between_the_ends() {
        assert_eq!(middle([3.0, 1.0, 2.0]), Some((2.0, [1.0, 3.0])));
        assert_eq!(middle([4.0, 1.0, f64::NAN, 2.0, 8.0]), Some((3.0, [1.0, 8.0])));
        assert_eq!(middle([]), None);
    }
}
