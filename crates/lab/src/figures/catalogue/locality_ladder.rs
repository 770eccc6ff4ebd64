//! The locality ladder: one memory circuit under rules that know less and less, and how far each gets.
//!
//! **Deliberately absent:** rules that do not fit the circuit (three factors without a trace, on a memory).

use super::Making;
use super::trainings::{Ask, Looks, Seen, curve, middle, train};
use crate::experiments::learning::{Lesson, stopped};
use crate::figures::sheet::{Axes, Axis, Content, Figure, Guide, Look, Panel, Point, Row, Series, Width};
use pulvinar::diag::Diagnostics;
use pulvinar::linalg::count;
use pulvinar::plasticity::{Trainer, prepare};
use pulvinar::spec::{AccumulateSpec, RouteSpec, RuleName};
use rayon::prelude::*;

const FILE: &str = "learn_recall.yaml";

/// A rung: its rule, its name, and what a synapse has to know.
struct Rung {
    route: RouteSpec,
    name: &'static str,
    knows: &'static str,
}

const fn rung(rule: RuleName, name: &'static str, knows: &'static str) -> Rung {
    Rung { route: RouteSpec::Rule(rule), name, knows }
}

const RUNGS: [Rung; 9] = [
    Rung {
        route: RouteSpec::Gradient,
        name: "gradient",
        knows: "every weight and every token, backwards through the circuit: no rule of a synapse, but the measure of all",
    },
    rung(
        RuleName::Online,
        "traces",
        "pre, its cell's potentials, a trace of its own past, the cell's error through the transpose of W_O",
    ),
    rung(RuleName::OwnToken, "own token", "as 2, but the trace holds the newest token alone"),
    rung(
        RuleName::FrozenMemory,
        "frozen memory",
        "as 2 without a trace: synapses on the memory (W_K, W_V) never change",
    ),
    rung(
        RuleName::FeedbackAlignment,
        "random feedback",
        "as 2, but errors come through fixed random weights",
    ),
    rung(
        RuleName::KolenPollack,
        "learned feedback",
        "as 2, but errors come through weights that learn from what they see, and decay",
    ),
    rung(RuleName::DaleEg, "Dale's law", "as 2, but a change multiplies the weight: no sign ever changes"),
    rung(RuleName::Hebbian, "Hebb", "pre and the cell's rate: no error"),
    rung(RuleName::Oja, "Oja", "pre, the cell's rate and the weight: no error"),
];

/// How much work.
#[derive(Clone, Copy)]
struct Effort {
    /// of the steps of the file
    share: f64,
    starts: u64,
    looks: Looks,
    /// random circuits for each number of pairs
    draws: u64,
}

/// Makes the figure.
///
/// # Errors
/// Those of its circuit.
pub fn make(making: &Making<'_>) -> Result<Figure, Diagnostics> {
    let looks = Looks { count: 20, sequences: 1024 };
    let effort = if making.full {
        Effort { share: 1.0, starts: 20, looks, draws: 1000 }
    } else {
        Effort { share: 0.25, starts: 4, looks, draws: 100 }
    };
    drawn(making, effort)
}

fn drawn(making: &Making<'_>, effort: Effort) -> Result<Figure, Diagnostics> {
    let lesson = Lesson::read(&making.circuits.join(FILE), &[], None)?;
    let (floor, silent) = floor(&lesson);
    let asks: Vec<Ask> = RUNGS
        .iter()
        .map(|r| Ask { file: FILE, route: Some(r.route), share: effort.share, starts: effort.starts })
        .collect();
    let seen = train(making, &asks, effort.looks)?;
    let numbers = || (1..=RUNGS.len()).map(|n| n.to_string());
    let error = |s: &Seen, r: usize| 2.0 * s.rows[r].held_out;
    let reached = marks("at the end", 0, &seen, |s| Some(error(s, s.rows.len() - 1)));
    let reached = Axes {
        x: Axis::new("rung", "").names(numbers()),
        y: Axis::new("squared error", "").log(),
        series: vec![reached],
        guides: vec![level(floor, "floor"), level(silent, "silent")],
    };
    let cosine = |s: &Seen, r: usize| s.rows[r].cosines.last().copied().flatten();
    let mean = |s: &Seen| {
        let all: Vec<f64> = (0..s.rows.len()).filter_map(|r| cosine(s, r)).collect();
        (!all.is_empty()).then(|| all.iter().sum::<f64>() / count(all.len()))
    };
    let aligned = Axes {
        x: Axis::new("rung", "").names(numbers()).range(-0.5, 8.5),
        y: Axis::new("cosine to the gradient", "").range(-0.6, 1.05),
        series: vec![
            marks("before learning", 1, &seen, |s| cosine(s, 0)),
            marks("mean over learning", 0, &seen, mean),
        ],
        guides: vec![level(0.0, "")],
    };
    let shown = [1, 2, 3, 4, 5, 6];
    let curves = Axes {
        x: Axis::new("steps of the optimiser", ""),
        y: Axis::new("squared error", "").range(0.0, 9.0),
        series: shown
            .iter()
            .enumerate()
            .map(|(colour, &n)| curve(RUNGS[n].name, colour, &seen[n], |s, r| Some(error(s, r))))
            .collect(),
        guides: vec![level(floor, "floor")],
    };
    let random = Axes {
        x: Axis::new("pairs in the memory", "").log(),
        y: Axis::new("cosine to the gradient", "").range(-0.6, 1.05),
        series: at_random(making, effort.draws)?,
        guides: vec![level(0.0, "")],
    };
    let panel =
        |title: &str, share, axes| Panel { title: title.to_owned(), share, content: Content::Axes(axes) };
    let width = RUNGS.iter().map(|r| r.name.len()).max().unwrap_or(0);
    let lines = RUNGS.iter().enumerate().map(|(n, r)| format!("{} {:<width$}  {}", n + 1, r.name, r.knows));
    Ok(Figure {
        title: "The locality ladder".to_owned(),
        caption: caption(effort, &lesson, floor, silent),
        source: "Memory circuit: Granier & Senn 2025 (arXiv 2504.06354v3). Rules: Lillicrap et al. 2016 (doi 10.1038/ncomms13276), \
                 Kolen & Pollack 1994 (doi 10.1109/ICNN.1994.374486), Cornford et al. 2024 (bioRxiv 2024.10.25.620272), \
                 Oja 1982 (doi 10.1007/BF00275687). The ladder, the traces, the task's floor and all numbers: this project."
            .to_owned(),
        circuits: vec![FILE.to_owned()],
        width: Width::Page,
        rows: vec![
            Row {
                height_mm: 40.0,
                panels: vec![Panel {
                    title: "what a synapse knows".to_owned(),
                    share: 1.0,
                    content: Content::Words { lines: lines.collect(), code: true },
                }],
            },
            Row {
                height_mm: 46.0,
                panels: vec![panel("how far it gets", 0.5, reached), panel("alignment", 0.5, aligned)],
            },
            Row {
                height_mm: 50.0,
                panels: vec![
                    panel("learning to recall", 0.5, curves),
                    panel("alignment of random circuits", 0.5, random),
                ],
            },
        ],
        tolerance: 1e-4,
    })
}

fn caption(e: Effort, lesson: &Lesson, floor: f64, silent: f64) -> String {
    let steps = (e.share * count(lesson.train.steps)).round();
    let pairs = lesson.task.recall().map_or(0, |s| s.pairs);
    format!(
        "One key-value memory (learn_recall) learns to store {pairs} pairs of random keys and values and to recall one, under \
         nine rules, from the exact gradient down to rules without any error. A: what each rule reads; nothing else is \
         at a synapse. B: squared error on new sequences after {steps} steps; marks are medians over n = {} starts (seeds of weights and \
         sequences), bars reach from the smallest to the largest. Floor: no linear head with this decay can have less than {floor:.4} \
         (ours, in closed form); silent: {silent:.0}, the error of always answering zero. C: cosine of what the rule \
         changes to the descent of the exact gradient, all weights together, before learning and averaged over \
         {} measurements; same n and bars; the gradient itself (rung 1) is not shown. D: the same trainings step by step for \
         rungs 2 to 7; lines are medians, bands from the smallest to the largest. E: cosine before learning against \
         the number of pairs: means over {} random circuits and sequences each, bars are standard errors. All numbers measured here.",
        e.starts,
        e.looks.count + 1,
        e.draws,
    )
}

/// Least squared error of linear heads that forget as the circuit's memory does, and that of answering zero.
fn floor(lesson: &Lesson) -> (f64, f64) {
    let g = lesson.circuit.populations.iter().find_map(|p| match p.accumulate {
        Some(AccumulateSpec::Decay { g, .. }) => Some(g),
        Some(AccumulateSpec::Hebbian { .. }) => Some(1.0),
        _ => None,
    });
    let setting = lesson.task.recall();
    let floor = setting.zip(g).map_or(f64::NAN, |(s, g)| s.optimum(g));
    (floor, setting.map_or(f64::NAN, |s| count(s.d_value)))
}

/// One mark for each rung that has a number, over all starts.
fn marks(name: &str, colour: usize, seen: &[Vec<Option<Seen>>], of: impl Fn(&Seen) -> Option<f64>) -> Series {
    let points = seen.iter().enumerate().filter_map(|(n, starts)| {
        let (y, ends) = middle(starts.iter().flatten().filter_map(&of))?;
        Some(Point { x: count(n), y, spread: Some(ends) })
    });
    Series::new(name, Look::Marks, colour, points.collect())
}

/// Cosines of circuits that have not learned, against the number of pairs.
fn at_random(making: &Making<'_>, draws: u64) -> Result<Vec<Series>, Diagnostics> {
    const PAIRS: [usize; 6] = [1, 2, 4, 8, 16, 32];
    const SHOWN: [usize; 4] = [2, 3, 4, 7];
    let file = making.circuits.join(FILE);
    let first = Lesson::read(&file, &[], None)?.model.spec().seed;
    making.progress.begin("random circuits", PAIRS.len());
    let mut series: Vec<Series> = SHOWN
        .iter()
        .enumerate()
        .map(|(n, r)| Series::new(RUNGS[*r].name, Look::LineAndMarks, [1, 2, 3, 0][n], vec![]))
        .collect();
    for pairs in PAIRS {
        let set = [("pairs".to_owned(), pairs.to_string())];
        let all: Vec<Result<Vec<f64>, Diagnostics>> = (0..draws)
            .into_par_iter()
            .map(|n| {
                let lesson = Lesson::read(&file, &set, Some(first + n))?;
                SHOWN.iter().map(|r| before_learning(&lesson, RUNGS[*r].route)).collect()
            })
            .collect();
        let all = all.into_iter().collect::<Result<Vec<_>, _>>()?;
        for (n, series) in series.iter_mut().enumerate() {
            let total = count(all.len());
            let mean = all.iter().map(|c| c[n]).sum::<f64>() / total;
            let variance = all.iter().map(|c| (c[n] - mean).powi(2)).sum::<f64>() / (total - 1.0).max(1.0);
            series.points.push(Point::with_error(count(pairs), mean, (variance / total).sqrt()));
        }
        making.progress.step();
    }
    Ok(series)
}

/// The cosine on one sequence; 0 where a rule changes nothing.
fn before_learning(lesson: &Lesson, route: RouteSpec) -> Result<f64, Diagnostics> {
    let prepared = prepare(&lesson.circuit, Some(route), None)?;
    let loss = lesson.model.spec().reserved.loss.unwrap_or_default();
    let mut trainer = Trainer::new(&prepared, &lesson.task, loss, lesson.train)?;
    match trainer.cosines(0, 1) {
        Ok(cosines) => Ok(cosines.last().copied().flatten().unwrap_or(0.0)),
        Err(stop) => Err(stopped(&trainer, stop, "").into()),
    }
}

fn level(at: f64, words: &str) -> Guide {
    Guide { at, is_vertical: false, words: words.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::catalogue::tests::{axes, making};

    #[test]
    fn rungs_get_as_far_as_they_know() {
        let looks = Looks { count: 4, sequences: 256 };
        let figure = drawn(&making(), Effort { share: 0.1, starts: 2, looks, draws: 12 })
            .unwrap_or_else(|d| panic!("{d}"));
        let a = axes(&figure, 1, 0);
        let (floor, silent) = (a.guides[0].at, a.guides[1].at);
        assert!((floor - 1.1004).abs() < 1e-3 && silent.to_bits() == 4f64.to_bits(), "{floor}");
        let reached: Vec<f64> = a.series[0].points.iter().map(|p| p.y).collect();
        assert_eq!(reached.len(), RUNGS.len());
        // Traces are the gradient, and forgetting them costs.
        assert!((reached[0] - reached[1]).abs() < 1e-9 * reached[0], "{reached:?}");
        assert!(reached[0] < reached[2] && reached[2] < reached[3], "{reached:?}");
        assert!(reached[..7].iter().all(|r| *r > floor - 0.2 && *r < 1.2 * silent), "{reached:?}");
        assert!(reached[7] > 10.0 * silent, "without restraint");
        let aligned = &axes(&figure, 1, 1).series;
        assert!(aligned.iter().all(|s| s.points.len() == RUNGS.len() - 1), "all but the gradient");
        let at = |rung: f64| aligned[1].points.iter().find(|p| p.x.to_bits() == rung.to_bits()).unwrap().y;
        assert!((at(1.0) - 1.0).abs() < 1e-9 && at(2.0) < 0.99 && at(3.0) < 0.95 && at(8.0) < 0.5);
        let random = axes(&figure, 2, 1);
        let own = &random.series[0].points;
        assert!((own[0].y - 1.0).abs() < 1e-9, "one pair is one token");
        assert!(own[1..].iter().all(|p| p.y < 0.95), "more are not: {own:?}");
    }
}
