//! What was learned, beside what theory and teachers say.

use super::Lesson;
use pulvinar::attention::equivalence::{Wish, compare};
use pulvinar::circuit::Circuit;
use pulvinar::compile::compile;
use pulvinar::diag::Diagnostics;
use pulvinar::plasticity::Split;
use pulvinar::plasticity::tasks::regression_floor::population_loss;
use pulvinar::simulate::{run, runaway};

/// Distance from the teacher that counts as having learned it.
const TEACHER: f64 = 1e-6;

/// The learned circuit beside what it can be measured against.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// relative distance from the teacher's heads, and how it was found
    pub teacher: Option<(f64, &'static str)>,
    pub floor: Option<Floor>,
    /// why there is nothing to compare with
    pub why_not: Option<String>,
    /// delta memories that run away on a held-out sequence
    pub growing: Diagnostics,
}

/// In-context regression: squared errors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Floor {
    /// of the best linear head
    pub optimum: f64,
    /// expected of the learned heads, in closed form
    pub learned: Option<f64>,
}

/// Compares a learned circuit with what its lesson has to compare with.
#[must_use]
pub fn result(lesson: &Lesson, learned: &Circuit) -> Outcome {
    let mut result = Outcome::default();
    let blocks = match compile(learned) {
        Ok(compiled) => compiled.plain_blocks(),
        Err(d) => {
            result.why_not = Some(format!("the learned circuit does not compile: {}", d.message));
            return result;
        }
    };
    let Some(last) = blocks.last() else { return result };
    let mut tokens = lesson.task.sample();
    if lesson.task.fill(Split::HeldOut, 0, &mut tokens).is_ok()
        && let Ok(run) = run::<f64>(&blocks, &tokens)
    {
        result.growing = runaway(learned, &blocks, &run.streams);
    }
    if let Some(teacher) = lesson.teacher.as_ref().and_then(|b| b.last()) {
        let wish =
            Wish { tolerance: TEACHER, inputs: Vec::new(), exact: false, seed: lesson.model.spec().seed };
        match compare(last, teacher, &wish) {
            Ok(c) => result.teacher = Some((c.relative_distance, c.method.name())),
            Err(e) => result.why_not = Some(e.to_string()),
        }
    }
    if let Some(setting) = lesson.task.regression() {
        let learned = match (population_loss(last, &setting), blocks.len()) {
            (Ok(loss), 1) => Some(loss),
            (Err(e), 1) => {
                result.why_not = Some(e.to_string());
                None
            }
            _ => None,
        };
        result.floor = Some(Floor { optimum: setting.optimum(), learned });
    }
    result
}
