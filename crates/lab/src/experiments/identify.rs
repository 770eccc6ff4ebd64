//! Which memory rule made these recalls?
//!
//! An observer sees keys, values and cues of a memory, and its noisy answers, but not the circuit. Half of the answers fit
//! the free number of each rule (the decay g, the delta rate b; and a gain of the read-out for all); the rule that predicts
//! the other half best is named, the hebbian one unless another is clearly better. The observer's equations are loops of
//! its own.

use super::draw::{signs, unit_keys};
use super::loops::stored;
use super::memory::{Memory, Rule, memories, width};
use super::report::{Cell, Digits, Report, Table};
use super::setup::{Setup, room, unfit};
use nalgebra::DMatrix;
use pulvinar::diag::Diagnostics;
use pulvinar::linalg::count;
use pulvinar::seed;
use pulvinar::spec::IdentifySpec;
use rand_chacha::ChaCha8Rng;

/// Steps of the search for a number in (0, 1]: a grid, then golden sections of its best interval.
const GRID: u32 = 50;
const SECTIONS: usize = 40;

/// The rules that an observer knows.
const NAMES: [&str; 3] = ["hebbian", "decay", "delta"];
const NAMED: [fn(f64) -> Rule; 3] = [|_| Rule::Hebbian, Rule::Decay, Rule::Delta];
/// The hebbian rule is a limit of the others (g = 1, or a rate near 0): they must predict so much better to be named.
const BETTER: f64 = 1.2;

pub fn run(setup: &Setup<'_>) -> Result<Report, Diagnostics> {
    let document = setup.document(&[])?;
    let plan = setup.plan(&document, |p| p.identify.clone())?;
    let circuits = setup.trials.unwrap_or(plan.circuits);
    let seed = document.spec.seed;
    let plain: Vec<usize> = numbered(&memories(&document)?).collect();
    if plain.is_empty() {
        return Err(unfit("thalamus", "no relay of the circuit is a plain hebbian, decay or delta memory")
            .help("keys, queries and values must be the tokens themselves, under a full mask")
            .into());
    }
    let job = Job {
        setup,
        plan: &plan,
        plain: &plain,
        d: width(&document, "key")?,
        d_v: width(&document, "value")?,
    };
    let found = setup.trials(seed, "circuits", circuits, |trial, rng| job.one(trial, rng))?;
    let mut report = Report { seed, circuit: document.spec.name.clone(), ..Report::default() };
    let mut table = Table::new(
        "identify",
        format!(
            "{circuits} random circuits, {}% noise: rules named by an observer of their recalls",
            100.0 * plan.noise
        ),
        &[
            ("rule", Digits::Short),
            ("circuits", Digits::Short),
            ("as_hebbian", Digits::Short),
            ("as_decay", Digits::Short),
            ("as_delta", Digits::Short),
            ("right", Digits::Short),
            ("worst_parameter", Digits::Short),
            ("smallest_margin", Digits::Short),
        ],
    );
    for (rule, name) in NAMES.iter().enumerate() {
        let of: Vec<&Found> = found.iter().filter(|f| f.rule == rule).collect();
        if of.is_empty() {
            continue;
        }
        let named = |n: usize| of.iter().filter(|f| f.named == n).count();
        let right = count(named(rule)) / count(of.len());
        let [right, _] = report.judge_exact(format!("{name} memories named so"), right, 1.0, 0.0);
        let mut row = vec![Cell::Text((*name).to_owned()), Cell::Count(of.len())];
        row.extend((0..NAMES.len()).map(|n| Cell::Count(named(n))));
        let worst = of.iter().map(|f| f.off).fold(0.0, f64::max);
        let margin = of.iter().map(|f| f.margin).fold(f64::INFINITY, f64::min);
        row.extend([right, if rule == 0 { Cell::None } else { Cell::Number(worst) }, Cell::Number(margin)]);
        table.rows.push(row);
    }
    report.notes.push(
        "worst_parameter: largest error of the fitted g or rate; smallest_margin: squared error of the best other rule \
         over that of the true one, on recalls that were held out"
            .to_owned(),
    );
    let mut each = Table::new(
        "circuits",
        "each circuit",
        &[
            ("circuit", Digits::Short),
            ("M", Digits::Short),
            ("rule", Digits::Short),
            ("parameter", Digits::Short),
            ("named", Digits::Short),
            ("fitted", Digits::Short),
            ("margin", Digits::Short),
        ],
    );
    each.hidden = true;
    for (number, f) in found.iter().enumerate() {
        let name = |n: usize| Cell::Text(NAMES[n].to_owned());
        let parameter = |x: f64, rule: usize| if rule == 0 { Cell::None } else { Cell::Number(x) };
        each.rows.push(vec![
            Cell::Count(number),
            Cell::Count(f.pairs),
            name(f.rule),
            parameter(f.parameter, f.rule),
            name(f.named),
            parameter(f.fitted, f.named),
            Cell::Number(f.margin),
        ]);
    }
    report.tables = vec![table, each];
    Ok(report)
}

/// Numbers of the memories that the observer's rules describe.
fn numbered(memories: &[Memory]) -> impl Iterator<Item = usize> + '_ {
    memories.iter().enumerate().filter(|(_, m)| m.rule().is_some()).map(|(number, _)| number)
}

/// One circuit and what the observer says about it.
struct Found {
    pairs: usize,
    rule: usize,
    parameter: f64,
    named: usize,
    fitted: f64,
    /// error of the fitted number of the true rule
    off: f64,
    margin: f64,
}

struct Job<'a> {
    setup: &'a Setup<'a>,
    plan: &'a IdentifySpec,
    plain: &'a [usize],
    d: usize,
    d_v: usize,
}

impl Job<'_> {
    fn one(&self, trial: usize, rng: &mut ChaCha8Rng) -> Result<Found, Diagnostics> {
        let mut between =
            |[low, high]: [f64; 2]| if low < high { seed::uniform(rng, low, high) } else { low };
        let (g, rate, load) = (between(self.plan.g), between(self.plan.rate), between(self.plan.load));
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let pairs = ((load * count(self.d)).ceil() as usize).max(2);
        room(self.d.max(self.d_v), 2 * pairs)?;
        let document = self.setup.document(&[("g", g.to_string()), ("rate", rate.to_string())])?;
        let all = memories(&document)?;
        let memory = &all[self.plain[trial % self.plain.len()]];
        let (keys, values) = (unit_keys(self.d, pairs, rng), signs(self.d_v, pairs, rng));
        // Stored keys and new ones in turn; even cues are for fitting, odd pairs of cues are held out.
        let fresh = unit_keys(self.d, pairs, rng);
        let cues = DMatrix::from_fn(self.d, 2 * pairs, |i, j| {
            if j % 2 == 0 { keys[(i, j / 2)] } else { fresh[(i, j / 2)] }
        });
        let mut answers = memory.recall(&cues, &keys, &values)?;
        let size = (answers.norm_squared() / count(answers.len())).sqrt();
        for y in answers.iter_mut() {
            *y += self.plan.noise * size * seed::normal(rng);
        }
        let (rule, parameter) = match memory.rule() {
            Some(Rule::Decay(g)) => (1, g),
            Some(Rule::Delta(b)) => (2, b),
            _ => (0, 1.0),
        };
        let seen = Seen { keys: &keys, values: &values, cues: &cues, answers: &answers };
        let fits: Vec<(f64, f64)> = (0..NAMES.len()).map(|n| seen.fit(n)).collect();
        let richer = if fits[2].1 < fits[1].1 { 2 } else { 1 };
        let named = if fits[0].1 > BETTER * fits[richer].1 { richer } else { 0 };
        let other = (0..NAMES.len()).filter(|n| *n != rule).map(|n| fits[n].1).fold(f64::INFINITY, f64::min);
        Ok(Found {
            pairs,
            rule,
            parameter,
            named,
            fitted: fits[named].0,
            off: (fits[rule].0 - parameter).abs(),
            margin: other / fits[rule].1,
        })
    }
}

/// What the observer has: columns are tokens.
struct Seen<'a> {
    keys: &'a DMatrix<f64>,
    values: &'a DMatrix<f64>,
    cues: &'a DMatrix<f64>,
    answers: &'a DMatrix<f64>,
}

impl Seen<'_> {
    /// The number that fits best, and the squared error of its predictions on the held-out half.
    fn fit(&self, rule: usize) -> (f64, f64) {
        if rule == 0 {
            return (1.0, self.errors(rule, 1.0).1);
        }
        let at = |i: u32| f64::from(i) / f64::from(GRID);
        let fitting = |x: f64| self.errors(rule, x).0;
        let best = (1..=GRID).fold(1, |best, i| if fitting(at(i)) < fitting(at(best)) { i } else { best });
        let (mut low, mut high) = (at(best - 1), at((best + 1).min(GRID)));
        let golden = 0.5 * (5f64.sqrt() - 1.0);
        for _ in 0..SECTIONS {
            let (a, b) = (high - golden * (high - low), low + golden * (high - low));
            if fitting(a) < fitting(b) { high = b } else { low = a }
        }
        let x = 0.5 * (low + high);
        (x, self.errors(rule, x).1)
    }

    /// Squared errors on the half that fits the gain, and on the half held out.
    fn errors(&self, rule: usize, parameter: f64) -> (f64, f64) {
        let memory = stored(NAMED[rule](parameter), self.keys, self.values);
        let predicted = &memory * self.cues;
        let is_held_out = |cue: usize| (cue / 2) % 2 == 1;
        let (mut along, mut size) = (0.0, 0.0);
        for cue in (0..self.cues.ncols()).filter(|c| !is_held_out(*c)) {
            along += predicted.column(cue).dot(&self.answers.column(cue));
            size += predicted.column(cue).norm_squared();
        }
        let gain = if size > 0.0 { along / size } else { 0.0 };
        let mut errors = (0.0, 0.0);
        for cue in 0..self.cues.ncols() {
            let error = (predicted.column(cue) * gain - self.answers.column(cue)).norm_squared();
            if is_held_out(cue) { errors.1 += error } else { errors.0 += error }
        }
        errors
    }
}
