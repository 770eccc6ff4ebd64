//! What was learned, beside what theory and teachers say.

use super::Job;
use super::course::Course;
use crate::attention::equivalence::{Wish, compare};
use crate::cli::report::Failure;
use crate::compile::compile;
use crate::plasticity::tasks::regression_floor::population_loss;

/// Distance from the teacher that counts as having learned it.
const TEACHER: f64 = 1e-6;

/// The learned circuit beside what it can be measured against.
#[derive(Default)]
pub struct Result {
    /// relative distance from the teacher's heads, and how it was found
    pub teacher: Option<(f64, &'static str)>,
    pub floor: Option<Floor>,
    /// why there is nothing to compare with
    pub why_not: Option<String>,
}

/// In-context regression: squared errors.
pub struct Floor {
    /// of the best linear head
    pub optimum: f64,
    /// expected of the learned heads, in closed form
    pub learned: Option<f64>,
}

/// Compares the learned circuit.
pub fn of(job: &Job, course: &Course) -> std::result::Result<Result, Failure> {
    let mut result = Result::default();
    let blocks = match compile(&course.circuit) {
        Ok(compiled) => compiled.plain_blocks(),
        Err(d) => {
            result.why_not = Some(format!("the learned circuit does not compile: {}", d.message));
            return Ok(result);
        }
    };
    let Some(last) = blocks.last() else { return Ok(result) };
    if let Some(teacher) = job.teacher.as_ref().and_then(|b| b.last()) {
        let wish =
            Wish { tolerance: TEACHER, inputs: Vec::new(), exact: false, seed: job.document.spec.seed };
        match compare(last, teacher, &wish) {
            Ok(c) => result.teacher = Some((c.relative_distance, c.method.name())),
            Err(e) => result.why_not = Some(e.to_string()),
        }
    }
    if let Some(setting) = job.task.regression() {
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
    Ok(result)
}
