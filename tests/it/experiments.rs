//! Experiments as a library: the laws hold on the shipped circuits, and numbers that were derived by hand come out.

use nalgebra::DMatrix;
use proptest::prelude::*;
use pulvinar::seed;
use pulvinar_lab::experiments::{
    Allowed, Cell, Judged, Memory, Quiet, Report, Rule, Setup, find, laws, memories,
};

/// A run of the shipped circuit with `changes` to its text and fewer trials; laws must hold.
pub fn ran(name: &str, changes: &[(&str, &str)], set: &[(&str, &str)], trials: Option<usize>) -> Report {
    let experiment = find(name).unwrap_or_else(|| panic!("no experiment {name}"));
    experiment.run(&setup(name, changes, set, trials)).unwrap_or_else(|d| panic!("{name}: {d}"))
}

pub fn setup(
    name: &str,
    changes: &[(&str, &str)],
    set: &[(&str, &str)],
    trials: Option<usize>,
) -> Setup<'static> {
    let experiment = find(name).expect("an experiment");
    let mut text = experiment.text.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{name} has no `{from}`");
        text = text.replacen(from, to, 1);
    }
    Setup {
        experiment: experiment.name,
        text: text.into_bytes(),
        folder: crate::support::root().join("circuits"),
        set: set.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        seed: None,
        trials,
        progress: &Quiet,
    }
}

pub fn text(cell: &Cell) -> &str {
    if let Cell::Text(t) = cell { t } else { "" }
}

pub fn number(cell: &Cell) -> f64 {
    match cell {
        Cell::Number(x) => *x,
        Cell::Count(n) => f64::from(u32::try_from(*n).expect("small")),
        _ => f64::NAN,
    }
}

/// The entry of a column in the first row whose texts and counts are those of `key`.
pub fn entry<'a>(report: &'a Report, table: &str, key: &[&str], column: &str) -> &'a Cell {
    let table = report.tables.iter().find(|t| t.name == table).expect("the table");
    let at = table.columns.iter().position(|(name, _)| *name == column).expect("the column");
    let shown = |cell: &Cell| match cell {
        Cell::Text(t) => t.clone(),
        Cell::Count(n) => n.to_string(),
        _ => String::new(),
    };
    let row = table.rows.iter().find(|row| key.iter().all(|k| row.iter().any(|c| shown(c) == *k)));
    &row.unwrap_or_else(|| panic!("no row {key:?}"))[at]
}

/// Experiment, changes to its file, parameters, trials, and how many laws there are at least.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [(&'a str, &'a str)], Option<usize>, usize);

#[test]
fn laws_hold_for_the_shipped_circuits() {
    let cases: &[Case<'_>] = &[
        ("capacity", &[], &[("d", "16")], None, 30),
        ("capacity", &[], &[("d", "64")], None, 30),
        ("capacity", &[], &[("d", "24"), ("rate", "0.6"), ("g", "0.8")], Some(100), 30),
        ("conditioning", &[], &[], None, 45),
        ("crossover", &[], &[], Some(100), 18),
        ("identify", &[], &[], Some(40), 3),
        ("depth", &[], &[], None, 27),
        ("equilibrium", &[], &[], Some(4), 8),
        ("digits", &[], &[], Some(3), 36),
    ];
    keep_their_laws(cases);
}

/// The same for networks of fewer cells than the shipped file has: compiling 2000 takes its time.
#[test]
fn laws_hold_for_hopfield_networks() {
    let small = [("n: [24, 32, 48, 64]", "n: [24, 48]"), ("cells: 2000", "cells: 400")];
    keep_their_laws(&[("hopfield", &small, &[], Some(40), 18)]);
}

fn keep_their_laws(cases: &[Case<'_>]) {
    for (name, changes, set, trials, judged) in cases {
        let report = ran(name, changes, set, *trials);
        let verdict = report.verdict();
        assert!(verdict.ok, "{name}\n{}", report.text());
        assert!(report.judged.len() >= *judged, "{name}: {} laws\n{}", report.judged.len(), report.text());
    }
}

/// Scalar US 1, orthogonal stimuli, rate 0.1, 100 trials a phase: strengths under the delta and the hebbian rule.
#[test]
fn conditioning_gives_the_numbers_derived_by_hand() {
    let report = ran("conditioning", &[], &[], None);
    let response = |protocol: &str, memory: &str, column: &str| {
        number(entry(&report, "conditioning", &[protocol, memory], column))
    };
    for (protocol, column, delta, hebbian) in [
        ("blocking", "response", 1.328_069_944_1e-5, 10.0),
        ("blocking", "control", 0.499_999_999_9, 10.0),
        ("extinction", "response", 2.656_069_338_0e-5, 10.0),
        ("overexpectation", "response", 0.500_000_000_1, 20.0),
        ("conditioned_inhibition", "response", -0.999_674_734_1, 0.0),
        ("acquisition", "response", 1.0 - 0.9f64.powi(100), 10.0),
    ] {
        for (memory, want) in [("delta", delta), ("hebbian", hebbian)] {
            let got = response(protocol, memory, column);
            let allowed = if want == 0.0 { 1e-12 } else { 1e-9 * want };
            assert!((got - want).abs() < allowed.abs(), "{protocol} {column} of {memory}: {got}");
        }
    }
    let shown = |protocol: &str| -> Vec<&str> {
        ["hebbian", "decay", "delta"]
            .into_iter()
            .filter(|m| text(entry(&report, "conditioning", &[protocol, m], "shown")) == "yes")
            .collect()
    };
    assert_eq!(shown("acquisition"), ["hebbian", "decay", "delta"]);
    assert_eq!(shown("extinction"), ["decay", "delta"]);
    for protocol in ["blocking", "overshadowing", "overexpectation", "conditioned_inhibition"] {
        assert_eq!(shown(protocol), ["delta"], "{protocol}");
    }
    for protocol in ["latent_inhibition", "second_order", "spontaneous_recovery"] {
        assert!(shown(protocol).is_empty(), "no rule without attention or recovery shows {protocol}");
    }
    let curves = report.tables.iter().find(|t| t.name == "curves").expect("learning curves");
    let third = curves
        .rows
        .iter()
        .find(|r| text(&r[0]) == "acquisition" && text(&r[2]) == "delta" && r[3] == Cell::Count(3));
    assert!((number(&third.expect("the third trial")[4]) - (1.0 - 0.9f64.powi(3))).abs() < 1e-14);
}

/// A protocol of one's own, with intensities and a rest; and memories that are read at other moments.
#[test]
fn protocols_are_the_users() {
    let file = find("conditioning").expect("there").text;
    let at = file.find("  conditioning:\n").expect("protocols");
    let own = "  conditioning:\n    mine:\n      train: [{repeat: 3, trials: [{cs: {loud: 2, dim: 0.5}, us: 0.7}, {}, {cs: [dim]}]}]\n      \
               test: {loud: 1, dim: 3}\n      shows: positive\n";
    for mask in ["causal", "strict", "full"] {
        let changed = file[..at].replace("mask: causal", &format!("mask: {mask}")) + own;
        let mut setup = setup("conditioning", &[], &[], None);
        setup.text = changed.into_bytes();
        let report =
            find("conditioning").expect("there").run(&setup).unwrap_or_else(|d| panic!("{mask}: {d}"));
        assert!(report.verdict().ok && report.judged.len() == 3, "{mask}\n{}", report.text());
        // By hand: V_loud, V_dim of the delta rule with rate 0.1.
        let (mut loud, mut dim) = (0.0f64, 0.0);
        for _ in 0..3 {
            let missing = 0.1 * (0.7 - 2.0 * loud - 0.5 * dim);
            (loud, dim) = (loud + 2.0 * missing, dim + 0.5 * missing);
            dim -= 0.1 * dim;
        }
        let got = number(entry(&report, "conditioning", &["mine", "delta"], "response"));
        assert!((got - (loud + 3.0 * dim)).abs() < 1e-14, "{mask}: {got}");
    }
}

#[test]
fn delta_wins_by_error_and_loses_by_decoding() {
    let report = ran("crossover", &[], &[], None);
    let best =
        |m: &str, memory: &str, column: &str| text(entry(&report, "crossover", &[m, memory], column)) == "*";
    for m in ["2", "4", "8", "16"] {
        assert!(best(m, "delta", "best_NMSE"), "M {m}\n{}", report.text());
    }
    for m in ["16", "32", "64"] {
        assert!(best(m, "hebbian", "best_nearest"), "M {m}\n{}", report.text());
    }
    assert!(
        report.notes.iter().any(|n| n.starts_with("M 16: delta has the smaller squared error, but hebbian"))
    );
}

#[test]
fn fixed_points_are_of_three_kinds() {
    let changes = [
        ("n: [24, 32, 48, 64]", "n: [24, 32]"),
        ("cells: 2000", "cells: 20"),
        ("patterns: 1024", "patterns: 64"),
    ];
    let report = ran("hopfield", &changes, &[], Some(2));
    let table = report.tables.iter().find(|t| t.name == "fixed_points").expect("fixed points");
    let most = |column: usize| table.rows.iter().map(|r| number(&r[column])).fold(0.0, f64::max);
    assert_eq!(
        [most(3), most(4), most(5)],
        [16.0; 3],
        "all starts end at each kind for some beta\n{}",
        report.text()
    );
    let states: Vec<f64> = table.rows.iter().map(|r| number(&r[6])).collect();
    assert!(
        states.windows(2).all(|w| w[1] <= w[0] + 1e-9),
        "fewer patterns in a state at larger beta: {states:?}"
    );
}

/// The memories of a shipped circuit.
fn memories_of(name: &str, set: &[(&str, &str)]) -> Vec<Memory> {
    let document = setup(name, &[], set, None).document(&[]).expect("valid");
    memories(&document).expect("memories")
}

fn gaussian(rows: usize, columns: usize, rng: &mut impl rand::Rng) -> DMatrix<f64> {
    DMatrix::from_fn(rows, columns, |_, _| seed::normal(rng))
}

/// Stored by definition, pair by pair, on plain arrays.
fn by_loops(rule: Rule, cues: &DMatrix<f64>, keys: &DMatrix<f64>, values: &DMatrix<f64>) -> DMatrix<f64> {
    let (d, d_v) = (keys.nrows(), values.nrows());
    let mut memory = vec![vec![0.0; d]; d_v];
    for t in 0..keys.ncols() {
        for a in 0..d_v {
            let recalled: f64 = (0..d).map(|b| memory[a][b] * keys[(b, t)]).sum();
            for b in 0..d {
                match rule {
                    Rule::Hebbian => memory[a][b] += values[(a, t)] * keys[(b, t)],
                    Rule::Decay(g) => memory[a][b] = g * memory[a][b] + values[(a, t)] * keys[(b, t)],
                    Rule::Delta(rate) => memory[a][b] += rate * (values[(a, t)] - recalled) * keys[(b, t)],
                }
            }
        }
    }
    DMatrix::from_fn(d_v, cues.ncols(), |a, i| (0..d).map(|b| memory[a][b] * cues[(b, i)]).sum())
}

#[test]
fn what_is_measured_is_the_memory_of_the_file() {
    let mut rng = seed::stream(5, "memory");
    let all = memories_of("capacity", &[("g", "0.7"), ("rate", "0.3")]);
    let rules: Vec<Option<Rule>> = all.iter().map(Memory::rule).collect();
    assert_eq!(rules, [Some(Rule::Hebbian), Some(Rule::Decay(0.7)), Some(Rule::Delta(0.3))]);
    let (cues, keys, values) =
        (gaussian(16, 5, &mut rng), gaussian(16, 9, &mut rng) * 0.3, gaussian(16, 9, &mut rng));
    for memory in &all {
        let got = memory.recall(&cues, &keys, &values).expect("runs");
        let want = by_loops(memory.rule().expect("plain"), &cues, &keys, &values);
        assert!((got - &want).amax() < 1e-13 * want.amax(), "{}", memory.name);
    }
    // A law is about plain memories only.
    for (claim, change) in [
        (
            "another key map",
            (
                "Q_heb: {from: CUE,             to: HEB.deep.basal,         onto: cells,        weights: identity}",
                "Q_heb: {from: CUE, to: HEB.deep.basal, onto: cells, weights: {normal: {fan_in: 1}}}",
            ),
        ),
        (
            "a residual path",
            (
                "\noutput: $memory",
                "\n  skip: {from: CUE, to: hebbian.basal, weights: identity}\noutput: $memory",
            ),
        ),
        ("a gain", ("accumulate: {hebbian: {}}", "accumulate: {hebbian: {rate: 2}}")),
    ] {
        let document = setup("capacity", &[change], &[], None).document(&[]).expect("valid");
        let all = memories(&document).expect("memories");
        assert_eq!(all[0].rule(), None, "{claim}");
        assert_eq!(all[2].rule(), Some(Rule::Delta(1.0)), "{claim}: the others stay");
    }
}

#[test]
fn threads_and_repetition_change_nothing_but_the_seed_does() {
    let one = |threads: usize, seed: Option<u64>| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| {
            let mut setup = setup("capacity", &[], &[("d", "16")], Some(30));
            setup.seed = seed;
            find("capacity").expect("there").run(&setup).expect("runs")
        })
    };
    let (a, b, c) = (one(1, None), one(3, None), one(2, Some(1)));
    assert_eq!(a, b);
    assert_ne!(a.tables, c.tables);
}

/// Right laws pass, and laws that are off by one pair, or that forget a term, do not.
#[test]
fn wrong_laws_are_left() {
    let report = ran("capacity", &[], &[("d", "16")], None);
    let measured = |m: &str, memory: &str| {
        (
            number(entry(&report, "capacity", &["16", m, memory], "NMSE")),
            number(entry(&report, "capacity", &["16", m, memory], "se")),
        )
    };
    let off = |(x, se): (f64, f64), law: f64| (x - law).abs() / se;
    assert!(off(measured("8", "hebbian"), laws::hebbian(16, 8)) < 3.0);
    assert!(off(measured("8", "hebbian"), 8.0 / 16.0) > 4.0, "M/d instead of (M-1)/d");
    assert!(off(measured("8", "delta"), laws::hebbian(16, 8)) > 4.0, "the other rule");
    assert!(
        off(measured("32", "delta"), 2.0 * (1.0 - (15.0f64 / 16.0).powi(16))) > 4.0,
        "the steady state for all pairs"
    );
    assert!(off(measured("32", "decay"), laws::decay_mean(16, 32, 0.94)) > 4.0, "another decay");
}

#[test]
fn the_verdict_counts_standard_errors() {
    let judged = |off: f64| Judged {
        what: "x".into(),
        measured: 1.0 + off,
        law: 1.0,
        allowed: Allowed::Statistical { se: 1.0, slack: 0.0 },
    };
    let of = |offs: &[f64]| {
        Report { judged: offs.iter().map(|o| judged(*o)).collect(), ..Report::default() }.verdict()
    };
    assert!(of(&[2.9, -2.9]).ok);
    assert!(!of(&[4.1]).ok, "more than 4");
    assert!(!of(&[f64::NAN]).ok, "no number");
    let mut many = vec![0.0; 99];
    many.push(3.5);
    assert!(of(&many).ok, "1 of 100 may be beyond 3");
    many.push(-3.5);
    assert!(!of(&many).ok, "2 of 101 may not");
    let exact = |measured: f64| {
        let judged =
            Judged { what: "x".into(), measured, law: 2.0, allowed: Allowed::Exact { tolerance: 1e-9 } };
        Report { judged: vec![judged], ..Report::default() }.verdict()
    };
    assert!(exact(2.0 + 9e-10).ok && !exact(2.0 + 2e-9).ok);
    let slack = Judged {
        what: "x".into(),
        measured: 1.02,
        law: 1.0,
        allowed: Allowed::Statistical { se: 0.001, slack: 0.02 },
    };
    assert!(slack.deviation() < 1e-9, "2% of the law are free");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// One update of a softmax memory never raises `E = -1/beta log sum exp(beta x.xi) + xi^2/2` (plus what is constant).
    #[test]
    fn energy_never_rises(number in 0u64..1_000_000, patterns in 1usize..40, log_beta in -3.0f64..4.0, size in 0.1f64..3.0) {
        let beta = log_beta.exp();
        let mut rng = seed::stream(number, "energy");
        let x = gaussian(8, patterns, &mut rng) * size;
        let mut state = gaussian(8, 1, &mut rng) * size;
        let largest = x.column_iter().map(|p| p.norm_squared()).fold(0.0, f64::max);
        let energy = |s: &DMatrix<f64>| {
            let scores: Vec<f64> = x.column_iter().map(|p| beta * p.dot(&s.column(0))).collect();
            let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = scores.iter().map(|s| (s - top).exp()).sum();
            0.5 * s.norm_squared() - (top + sum.ln()) / beta + 0.5 * largest + f64::from(u32::try_from(patterns).unwrap()).ln() / beta
        };
        let softmax = memories_of("hopfield", &[("n", "8"), ("beta", &format!("{beta:?}"))]).pop().expect("the last");
        prop_assert!((softmax.beta().expect("a softmax head") - beta).abs() < 1e-15 * beta);
        for _ in 0..5 {
            let next = softmax.recall(&state, &x, &x).expect("runs");
            let (before, after) = (energy(&state), energy(&next));
            prop_assert!(after - before <= 1e-12 * before.abs(), "from {before} to {after}");
            state = next;
        }
    }
}
