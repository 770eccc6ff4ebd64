//! What each synapse changes by its local rule, against the exact gradient by its weight.
//!
//! Two circuits in which the two are the same (cells for pairs of tokens; a decaying memory with traces), and one in which
//! they are not by design: errors come back through fixed random weights.
//!
//! **Deliberately absent:** the rules and the gradient, which are [`pulvinar::plasticity`]'s.

use super::Making;
use crate::experiments::learning::{Lesson, stopped};
use crate::figures::sheet::{Axes, Axis, Content, Figure, Guide, Look, Panel, Point, Row, Series, Width};
use nalgebra::DMatrix;
use pulvinar::circuit::{Compartment, Weights};
use pulvinar::diag::{Diagnostic, Diagnostics, codes};
use pulvinar::plasticity::differences::Sequence;
use pulvinar::plasticity::{Changes, Plan, Prepared, Split, Trainer, cosine, prepare};
use pulvinar::spec::CountedSpec;

/// Sequences whose changes are summed.
const SEQUENCES: usize = 16;
/// Steps under feedback alignment after which it is looked at.
const LOOKS: [usize; 3] = [0, 250, 1000];

const EXACT: [(&str, &str); 2] =
    [("learn_teacher.yaml", "pairs of tokens"), ("learn_recall.yaml", "memory with traces")];
const RANDOM: &str = "learn_feedback_alignment.yaml";

/// One projection that learns.
struct Side {
    name: String,
    changes: Changes,
}

/// Makes the figure.
///
/// # Errors
/// Those of its circuits.
pub fn make(making: &Making<'_>) -> Result<Figure, Diagnostics> {
    making.progress.begin("gradients", EXACT.len() + LOOKS.len());
    let mut scatters = Vec::new();
    let mut errors = Vec::new();
    for (n, (file, what)) in EXACT.into_iter().enumerate() {
        let lesson = Lesson::read(&making.circuits.join(file), &[], None)?;
        let prepared = prepare(&lesson.circuit, None, lesson.train.rate)?;
        let sides = looked(&lesson, &prepared, &[0])?.remove(0);
        scatters.push(scatter(&format!("exact: {what}"), &sides, false));
        let by_rule: Vec<f64> = sides
            .iter()
            .map(|s| (&s.changes.rule - &s.changes.descent).norm() / s.changes.descent.norm())
            .collect();
        let names: Vec<&str> = sides.iter().map(|s| s.name.as_str()).collect();
        errors.push(bounds(format!("{what}: rule"), 2 * n, &by_rule));
        errors.push(bounds(
            format!("{what}: differences"),
            2 * n + 1,
            &by_differences(&lesson, &prepared, &names)?,
        ));
        making.progress.step();
    }
    let lesson = Lesson::read(&making.circuits.join(RANDOM), &[], None)?;
    let prepared = prepare(&lesson.circuit, None, lesson.train.rate)?;
    let looks = looked(&lesson, &prepared, &LOOKS)?;
    LOOKS.iter().for_each(|_| making.progress.step());
    let names: Vec<String> = looks[0].iter().map(|s| s.name.clone()).collect();
    scatters.push(scatter("random feedback, before learning", &looks[0], true));
    scatters.push(scatter(&format!("random feedback, after {} steps", LOOKS[2]), &looks[2], true));
    let cosines = LOOKS.iter().zip(&looks).enumerate().map(|(n, (step, sides))| {
        let points = sides.iter().enumerate().filter_map(|(x, s)| {
            Some(Point::new(pulvinar::linalg::count(x), cosine(&s.changes.rule, &s.changes.descent)?))
        });
        let name = if *step == 0 { "before learning".to_owned() } else { format!("after {step} steps") };
        Series::new(name, Look::Bars, n, points.collect())
    });
    let alignment = Axes {
        x: Axis::new("projection", "").names(names.iter()),
        y: Axis::new("cosine to the gradient", "").range(-1.05, 1.05),
        series: cosines.collect(),
        guides: vec![Guide { at: 0.0, is_vertical: false, words: String::new() }],
    };
    let distance = Axes {
        x: Axis::new("projection", "").names(names.iter()),
        y: Axis::new("distance from the gradient, relative", "").log().range(1e-17, 1e-6),
        series: errors,
        guides: vec![],
    };
    let entries: usize = looks[0].iter().map(|s| s.changes.rule.len()).sum();
    let axes =
        |title: &str, share, axes| Panel { title: title.to_owned(), share, content: Content::Axes(axes) };
    let top = scatters.into_iter().map(|(title, a)| axes(&title, 0.25, a)).collect();
    Ok(Figure {
        title: "Local changes of synapses against the exact gradient".to_owned(),
        caption: caption(entries, lesson.train.batch),
        source: "Rules: three factors and traces, this project; feedback alignment: Lillicrap et al. 2016, \
                 doi 10.1038/ncomms13276. Circuits: Granier & Senn 2025, arXiv 2504.06354 (v1: pairs of tokens, v3: \
                 memory); their errors, learning and the gradient by cells: this project."
            .to_owned(),
        circuits: EXACT.iter().map(|(f, _)| *f).chain([RANDOM]).map(str::to_owned).collect(),
        width: Width::Page,
        rows: vec![
            Row { height_mm: 46.0, panels: top },
            Row {
                height_mm: 46.0,
                panels: vec![
                    axes("exact rules and finite differences", 0.5, distance),
                    axes("random feedback", 0.5, alignment),
                ],
            },
        ],
        tolerance: 1e-6,
    })
}

fn caption(entries: usize, batch: usize) -> String {
    format!(
        "Every synapse changes by what it has itself: its presynaptic rate, the potentials of its cell, the error that \
         reached the cell, and on a memory a trace. A-D: each dot is one weight; across, the descent of the exact \
         gradient of the loss, upwards, the change by the local rule, both summed over {SEQUENCES} sequences of the \
         circuit's task; the entries of each matrix are divided by its norm (A, B: that of the gradient for both; C, D: each by its \
         own). On the diagonal the two agree. A: three factors, columns for pairs of tokens (learn_teacher). B: \
         a decaying memory whose synapses keep traces (learn_recall). Both rules are the gradient by construction, \
         measured here. C, D: feedback alignment ({entries} weights; learn_feedback_alignment): errors return through fixed random \
         weights, so the rule is not the gradient; it comes to point downhill while the forward weights turn. \
         E: norm of the difference from the exact gradient over its norm, rounded up to a power of ten: of the local rule, and of finite \
         differences of the loss (one sequence, Richardson's extrapolation), which know neither the rule nor the gradient. F: \
         cosine of C and D for each matrix, at three stages ({batch} sequences a step); W_O gets its error directly, \
         so it is exact throughout. One start of the weights (the file's seed)."
    )
}

/// The changes at several steps of one training.
fn looked(lesson: &Lesson, prepared: &Prepared, steps: &[usize]) -> Result<Vec<Vec<Side>>, Diagnostics> {
    let loss = lesson.model.spec().reserved.loss.unwrap_or_default();
    let mut trainer = Trainer::new(prepared, &lesson.task, loss, lesson.train)?;
    let mut found = Vec::new();
    for step in steps {
        while trainer.steps_done() < *step {
            if let Err(stop) = trainer.step() {
                return Err(stopped(&trainer, stop, "").into());
            }
        }
        let first = (*step as u64).saturating_mul(lesson.train.batch as u64);
        let all = match trainer.changes(first, SEQUENCES) {
            Ok(all) => all,
            Err(stop) => return Err(stopped(&trainer, stop, "").into()),
        };
        let sides = trainer.plastic().iter().zip(all).filter_map(|(p, changes)| {
            let p = &trainer.circuit().projections[p.k];
            (p.compartment != Compartment::Third).then(|| Side { name: p.name.clone(), changes })
        });
        let mut sides: Vec<Side> = sides.collect();
        sides.sort_by(|a, b| a.name.cmp(&b.name));
        found.push(sides);
    }
    Ok(found)
}

/// Every entry of every matrix.
fn scatter(title: &str, sides: &[Side], own: bool) -> (String, Axes) {
    let series = sides.iter().enumerate().map(|(n, side)| {
        let Changes { rule, descent } = &side.changes;
        let by = if own { rule.norm() } else { descent.norm() };
        let points = rule.iter().zip(descent).map(|(r, d)| Point::new(d / descent.norm(), r / by)).collect();
        Series::new(side.name.clone(), Look::Dots, n, points)
    });
    let series: Vec<Series> = series.collect();
    let largest = series.iter().flat_map(|s| &s.points).map(|p| p.x.abs().max(p.y.abs())).fold(0.1, f64::max);
    let end = (11.0 * largest).ceil() / 10.0;
    let diagonal = vec![Point::new(-end, -end), Point::new(end, end)];
    let axes = Axes {
        x: Axis::new("exact gradient", "of its norm").range(-end, end),
        y: Axis::new("local rule", "of the norm").range(-end, end),
        series: [Series::new("", Look::Dashed, 5, diagonal)].into_iter().chain(series).collect(),
        guides: vec![],
    };
    (title.to_owned(), axes)
}

/// Errors of the size of rounding, rounded up to a power of ten: digits beyond that differ between processors.
fn bounds(name: String, colour: usize, errors: &[f64]) -> Series {
    let bound = |e: f64| 10f64.powf(e.max(1e-16).log10().ceil());
    let points = errors.iter().enumerate().map(|(x, e)| Point::new(pulvinar::linalg::count(x), bound(*e)));
    Series::new(name, Look::Bars, colour, points.collect())
}

/// Error of finite differences of one sequence's loss, for each named projection.
fn by_differences(lesson: &Lesson, prepared: &Prepared, names: &[&str]) -> Result<Vec<f64>, Diagnostics> {
    let circuit = &prepared.circuit;
    let mut tokens = lesson.task.sample();
    lesson.task.fill(Split::Train, 0, &mut tokens)?;
    let target: DMatrix<f64> = tokens[lesson.task.target()].clone();
    let plan = Plan::new(circuit, &tokens)?;
    let on = lesson.model.spec().reserved.loss.unwrap_or_default().on;
    let counted: Vec<bool> =
        (0..plan.queries).map(|i| on == CountedSpec::All || i + 1 == plan.queries).collect();
    let weights: Vec<Weights> = circuit.projections.iter().map(|p| p.synapses.weights.clone()).collect();
    let mut sequence = Sequence::new(&plan, &weights, &tokens, &target, &counted);
    let gradient = sequence.gradient(&prepared.plastic);
    let found = gradient.and_then(|gradient| sequence.compare(&gradient, &[], || ())).map_err(|wild| {
        let what = format!("`{}` sent a number that is not finite", wild.population);
        Diagnostic::error(codes::R001, "", what).help("smaller tokens or weights keep rates finite")
    })?;
    let error = |name: &&str| {
        found.iter().find(|c| circuit.projections[c.k].name == **name).map_or(f64::NAN, |c| c.error)
    };
    Ok(names.iter().map(error).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::catalogue::tests::{axes, making};

    #[test]
    fn exact_rules_are_on_the_diagonal_and_random_feedback_comes_round() {
        let figure = make(&making()).unwrap_or_else(|d| panic!("{d}"));
        for panel in 0..2 {
            let a = axes(&figure, 0, panel);
            let all: Vec<&Point> = a.series.iter().skip(1).flat_map(|s| &s.points).collect();
            assert!(a.series.len() == 5 && all.len() > 100, "four matrices");
            assert!(all.iter().all(|p| (p.x - p.y).abs() < 1e-12), "{panel}");
            assert!(all.iter().any(|p| p.x.abs() > 0.1));
        }
        let before = axes(&figure, 0, 2);
        assert!(before.series.iter().skip(1).flat_map(|s| &s.points).any(|p| (p.x - p.y).abs() > 0.1));
        let distance = axes(&figure, 1, 0);
        assert_eq!(distance.series.len(), 4);
        for s in &distance.series {
            let allowed = if s.name.ends_with("rule") { 1e-12 } else { 1e-9 };
            assert!(s.points.len() == 4 && s.points.iter().all(|p| p.y <= allowed), "{s:?}");
        }
        let cosines = axes(&figure, 1, 1);
        let [first, _, last] = &cosines.series[..] else { panic!("three looks") };
        for ((name, first), last) in cosines.x.names.iter().zip(&first.points).zip(&last.points) {
            if name == "W_O" {
                assert!((first.y - 1.0).abs() < 1e-12 && (last.y - 1.0).abs() < 1e-12);
            } else {
                assert!(first.y < 0.0 && last.y > 0.6, "{name}: {} to {}", first.y, last.y);
            }
        }
    }
}
