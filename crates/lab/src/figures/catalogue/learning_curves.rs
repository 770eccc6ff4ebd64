//! Learning curves of every rule, with the floor that theory sets where there is one.
//!
//! **Deliberately absent:** rules, tasks and floors, which are [`pulvinar::plasticity`]'s; rungs of one circuit, which are
//! the locality ladder's.

use super::Making;
use super::trainings::{Ask, Looks, Seen, curve, train};
use crate::experiments::learning::Lesson;
use crate::figures::sheet::{Axes, Axis, Content, Figure, Guide, Panel, Row, Series, Width};
use pulvinar::diag::Diagnostics;
use pulvinar::plasticity::tasks::regression_floor::Setting;
use pulvinar::spec::{RouteSpec, RuleName};

const PAIRS: &str = "learn_in_context.yaml";
const MEMORY: &str = "learn_in_context_memory.yaml";
const DIGITS: &str = "learn_digits.yaml";
const OJA: &str = "learn_oja.yaml";
const RANDOM: &str = "learn_feedback_alignment.yaml";
const LEARNED: &str = "learn_kolen_pollack.yaml";
/// Losses this much below that of the start are as good as none: rounding decides what they are.
const NOTHING: f64 = 1e-12;

/// How long and how often: the quick variant, the full one, and that of the tests.
#[derive(Clone, Copy)]
struct Effort {
    /// of the steps of the files
    share: f64,
    starts: u64,
    looks: Looks,
}

/// Makes the figure.
///
/// # Errors
/// Those of its circuits.
pub fn make(making: &Making<'_>) -> Result<Figure, Diagnostics> {
    let looks = Looks { count: 25, sequences: 1024 };
    let effort = if making.full {
        Effort { share: 1.0, starts: 20, looks }
    } else {
        Effort { share: 0.4, starts: 5, looks }
    };
    drawn(making, effort)
}

/// A curve: what is trained, and how it is called.
struct Line {
    ask: Ask,
    name: &'static str,
    colour: usize,
}

fn lines(e: Effort) -> [Line; 11] {
    let line = |name, colour, file, rule: Option<RuleName>, share: f64| {
        let share = (e.share * share).min(1.0);
        let ask = Ask { file, route: rule.map(RouteSpec::Rule), share, starts: e.starts };
        Line { ask, name, colour }
    };
    [
        line("three factors, pairs", 0, PAIRS, None, 1.0),
        line("traces, memory", 1, MEMORY, None, 1.0),
        line("own token", 2, MEMORY, Some(RuleName::OwnToken), 1.0),
        line("frozen memory", 3, MEMORY, Some(RuleName::FrozenMemory), 1.0),
        line("three factors", 0, DIGITS, None, 0.5),
        line("three factors", 0, "learn_teacher.yaml", None, 1.0),
        line("random feedback", 1, RANDOM, None, 2.5),
        line("learned feedback", 2, LEARNED, None, 2.5),
        line("Dale's law", 3, "learn_dale.yaml", None, 1.0),
        line("Oja", 4, OJA, None, 2.5),
        line("Hebb", 5, OJA, Some(RuleName::Hebbian), 2.5),
    ]
}

fn drawn(making: &Making<'_>, effort: Effort) -> Result<Figure, Diagnostics> {
    let lines = lines(effort);
    let asks: Vec<Ask> = lines.iter().map(|l| l.ask).collect();
    let seen = train(making, &asks, effort.looks)?;
    let setting = Lesson::read(&making.circuits.join(PAIRS), &[], None)?.task.regression();
    let floor = setting.map_or(f64::NAN, |s| s.optimum());
    let some = |from: usize, to: usize, of: &dyn Fn(&Seen, usize) -> Option<f64>| -> Vec<Series> {
        (from..to).map(|n| curve(lines[n].name, lines[n].colour, &seen[n], of)).collect()
    };
    let relative = |s: &Seen, r: usize| Some((s.rows[r].held_out / s.rows[0].held_out).max(NOTHING));
    let all = |s: &Seen, r: usize| kept(s, r).then(|| s.rows[r].cosines.last().copied().flatten()).flatten();
    let feedback = |s: &Seen, r: usize| {
        let at = s.names.iter().position(|n| n == "fb_O")?;
        kept(s, r).then(|| s.rows[r].cosines[at]).flatten()
    };
    let regression = Axes {
        x: steps(),
        y: Axis::new("squared error", "").range(0.0, 5.0),
        series: some(0, 4, &|s, r| Some(2.0 * s.rows[r].held_out)),
        guides: vec![level(floor, "floor"), level(silence(setting), "silent")],
    };
    let excess = Axes {
        x: steps(),
        y: Axis::new("error above the floor, relative", "").log(),
        series: some(0, 4, &|s, r| s.closed[r].map(|c| c / floor - 1.0)),
        guides: vec![],
    };
    let digits = Axes {
        x: steps(),
        y: Axis::new("held-out digits right", "%").range(0.0, 100.0),
        series: some(4, 5, &|s, r| s.rows[r].accuracy.map(|a| 100.0 * a)),
        guides: vec![level(10.0, "chance")],
    };
    let teachers = Axes {
        x: steps(),
        y: Axis::new("loss", "of that at the start").log(),
        series: some(5, 9, &relative),
        guides: vec![],
    };
    let without = Axes {
        x: steps(),
        y: Axis::new("loss", "of that at the start").log(),
        series: some(9, 11, &relative),
        guides: vec![],
    };
    let mut series = some(6, 8, &all);
    series.push(curve("learned: fb_O to W_O^T", 3, &seen[7], feedback));
    let alignment = Axes {
        x: steps(),
        y: Axis::new("cosine", "").range(-1.05, 1.05),
        series,
        guides: vec![level(0.0, "")],
    };
    let panel =
        |title: &str, axes| Panel { title: title.to_owned(), share: 1.0 / 3.0, content: Content::Axes(axes) };
    Ok(Figure {
        title: "Learning curves of the local rules".to_owned(),
        caption: caption(effort, setting),
        source: "Floor: von Oswald et al. 2023 (arXiv 2212.07677), Ahn et al. 2023 (arXiv 2306.00297), Mahankali et al. 2023 \
                 (arXiv 2307.03576). Rules: Lillicrap et al. 2016 (doi 10.1038/ncomms13276), Kolen & Pollack 1994 (doi \
                 10.1109/ICNN.1994.374486), Akrout et al. 2019 (arXiv 1904.05391), Cornford et al. 2024 (bioRxiv \
                 2024.10.25.620272), Oja 1982 (doi 10.1007/BF00275687). Circuits: after Granier & Senn 2025 (arXiv 2504.06354); their \
                 errors, traces and learning, and all numbers: this project."
            .to_owned(),
        circuits: circuits(&asks),
        width: Width::Page,
        rows: vec![
            Row {
                height_mm: 50.0,
                panels: vec![
                    panel("in-context regression", regression),
                    panel("the same, above the floor", excess),
                    panel("handwritten digits", digits),
                ],
            },
            Row {
                height_mm: 50.0,
                panels: vec![
                    panel("function of a teacher", teachers),
                    panel("without errors", without),
                    panel("alignment, trainings of D", alignment),
                ],
            },
        ],
        tolerance: 1e-4,
    })
}

fn caption(e: Effort, setting: Option<Setting>) -> String {
    let (d, n, floor) = setting.map_or((0, 0, f64::NAN), |s| (s.d, s.n, s.optimum()));
    format!(
        "Held-out performance against steps of the optimiser; lines are medians over n = {} starts (seeds of weights and \
         sequences), bands reach from the smallest to the largest. Trainings are {:.0} % to 100 % as long as the files say. \
         A: linear regression from {n} examples in the context, d = {d} (learn_in_context with cells for pairs of \
         tokens, learn_in_context_memory with a key-value memory); floor: no linear head can have less than \
         d (d + 1 + s^2) / (n + d + 1 + s^2) = {floor:.4} (stated by the papers below); silent: error of always answering \
         zero. B: expected error of the same learned heads in closed form (ours), without sampling, over the floor, minus 1. C: four \
         heads read handwritten digits (learn_digits). D: circuits learn the function of another circuit's \
         heads, which they can reach exactly, so the floor is 0 (learn_teacher: two heads; learn_feedback_alignment, \
         learn_kolen_pollack, learn_dale: one head each); losses below 1e-12 of the start are drawn there. Learned feedback \
         stays above it while its weights decay. E: a cell that sees no error finds the principal component of its tokens (learn_oja); without Oja's restraint \
         Hebbian growth passes the target and does not end. F: cosine of the change by the rule to the descent of the exact gradient, all weights \
         together, and of the learned feedback weights to the transpose of the output weights; shown while the loss is above 1e-12 of the start. \
         All numbers measured here.",
        e.starts,
        50.0 * e.share,
    )
}

/// Is there still something to learn?
fn kept(s: &Seen, r: usize) -> bool {
    s.rows[r].held_out > NOTHING * s.rows[0].held_out
}

/// Error of answering zero to a regression: `E (w.x)^2`.
fn silence(setting: Option<Setting>) -> f64 {
    setting.map_or(f64::NAN, |s| pulvinar::linalg::count(s.d))
}

fn steps() -> Axis {
    Axis::new("steps of the optimiser", "")
}

fn level(at: f64, words: &str) -> Guide {
    Guide { at, is_vertical: false, words: words.to_owned() }
}

fn circuits(asks: &[Ask]) -> Vec<String> {
    let mut files: Vec<String> = Vec::new();
    for ask in asks {
        if !files.iter().any(|f| f == ask.file) {
            files.push(ask.file.to_owned());
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::catalogue::tests::{axes, making};
    use crate::figures::sheet::Axes;

    fn end(a: &Axes, name: &str) -> (f64, [f64; 2]) {
        let series = a.series.iter().find(|s| s.name == name).unwrap_or_else(|| panic!("no {name}"));
        let last = series.points.last().unwrap_or_else(|| panic!("{name} is empty"));
        (last.y, last.spread.expect("a band"))
    }

    #[test]
    fn rules_reach_what_the_caption_says() {
        let looks = Looks { count: 5, sequences: 128 };
        let figure =
            drawn(&making(), Effort { share: 0.2, starts: 2, looks }).unwrap_or_else(|d| panic!("{d}"));
        let excess = axes(&figure, 0, 1);
        // Nothing is below the floor, exact rules come near it, and a frozen memory does not.
        assert!(excess.series.iter().flat_map(|s| &s.points).all(|p| p.spread.unwrap()[0] > -1e-12));
        assert!(end(excess, "three factors, pairs").0 < 0.05);
        assert!(end(excess, "traces, memory").0 < 0.05);
        assert!(end(excess, "frozen memory").0 > 2.0 * end(excess, "traces, memory").0);
        assert!(end(axes(&figure, 0, 2), "three factors").0 > 80.0);
        let teachers = axes(&figure, 1, 0);
        for (name, least) in [
            ("three factors", 1e-2),
            ("random feedback", 0.05),
            ("learned feedback", 0.1),
            ("Dale's law", 0.1),
        ] {
            assert!(end(teachers, name).0 < least, "{name}");
        }
        let without = axes(&figure, 1, 1);
        // A fifth of the steps is the beginning of the descent.
        assert!(end(without, "Oja").0 < 1.0);
        let alignment = axes(&figure, 1, 2);
        let random = alignment.series.iter().find(|s| s.name == "random feedback").unwrap();
        assert!(random.points[0].spread.unwrap()[0] < 0.0 && random.points[2].y > 0.3);
        assert!(end(alignment, "learned: fb_O to W_O^T").0 > 0.9);
    }
}
