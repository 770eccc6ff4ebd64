//! Recall error against the number of stored pairs.
//!
//! Random unit keys in `R^d`, values of +-1; every stored key is asked once. Each number is a mean over trials (those of
//! the file at the smallest d, fewer in proportion above it, at least 50), put beside its law (`laws`). Three parts: pairs
//! stored once; the delta rule passed over the same pairs until it stands still (up to d/2 pairs by the circuit, beyond by
//! least squares, which it would reach too slowly); and single pairs of a long sequence by their age. `aligned` adds the
//! worst case.

use super::draw::{Mean, signs, unit_keys};
use super::laws;
use super::memory::{Memory, Rule, memories, width};
use super::report::{Cell, Digits, Report, Table};
use super::setup::{Setup, passes_within, room};
use nalgebra::DMatrix;
use pulvinar::diag::{Diagnostic, Diagnostics};
use pulvinar::linalg::count;
use pulvinar::spec::CapacitySpec;

/// Most passes over the pairs until the delta rule must stand still.
pub const MOST_PASSES: usize = 1 << 14;
/// What is then left of the error, per value.
pub const STILL: f64 = 1e-8;
/// The law of the sign error is asymptotic: the part of it that it may be off by itself, from d/2 pairs on.
const SIGN_SLACK: f64 = 0.02;
/// How much of the beginning a long sequence may still remember.
const FORGOTTEN: f64 = 1e-9;
/// Wider keys need fewer trials, as each has more pairs in it; but never fewer than this.
const FEWEST: usize = 50;
/// Longest sequence.
const LONGEST: usize = 100_000;

/// What one recall of all stored pairs gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// squared error over squared value
    pub nmse: f64,
    /// fraction of values with the wrong sign
    pub sign: f64,
    /// fraction of pairs whose value is the nearest stored one
    pub nearest: f64,
}

pub fn run(setup: &Setup<'_>) -> Result<Report, Diagnostics> {
    let document = setup.document(&[])?;
    let mut plan = setup.plan(&document, |p| p.capacity.clone())?;
    plan.trials = setup.trials.unwrap_or(plan.trials);
    let mut report =
        Report { seed: document.spec.seed, circuit: document.spec.name.clone(), ..Report::default() };
    let mut once = Table::new(
        "capacity",
        "M random pairs, each stored once; all M keys asked",
        &[
            ("d", Digits::Short),
            ("M", Digits::Short),
            ("memory", Digits::Short),
            ("NMSE", Digits::Short),
            ("se", Digits::Short),
            ("law", Digits::Short),
            ("off", Digits::Short),
            ("sign", Digits::Short),
            ("sign_se", Digits::Short),
            ("sign_law", Digits::Short),
            ("sign_off", Digits::Short),
            ("nearest", Digits::Short),
        ],
    );
    let mut passes = Table::new(
        "converged",
        "delta rule, many passes over the same M pairs (by: the circuit, or least squares where it is too slow)",
        &[
            ("d", Digits::Short),
            ("M", Digits::Short),
            ("memory", Digits::Short),
            ("by", Digits::Short),
            ("passes", Digits::Short),
            ("NMSE", Digits::Rounding),
            ("se", Digits::Rounding),
            ("law", Digits::Short),
            ("off", Digits::Short),
            ("sign", Digits::Short),
            ("nearest", Digits::Short),
        ],
    );
    let mut ages = Table::new(
        "ages",
        "a pair by its age (writes since then), in a long sequence",
        &[
            ("d", Digits::Short),
            ("age", Digits::Short),
            ("memory", Digits::Short),
            ("M", Digits::Short),
            ("NMSE", Digits::Short),
            ("se", Digits::Short),
            ("law", Digits::Short),
            ("off", Digits::Short),
        ],
    );
    let mut worst = super::aligned::table();
    let smallest = plan.d.iter().copied().min().unwrap_or(1);
    let trials = plan.trials;
    for d in setup.sweep("d", &plan.d)? {
        plan.trials = (trials * smallest / d).max(FEWEST).min(trials);
        let document = setup.document(&[("d", d.to_string())])?;
        let memories = memories(&document)?;
        let job = Job {
            setup,
            seed: document.spec.seed,
            memories: &memories,
            d: width(&document, "key")?,
            d_v: width(&document, "value")?,
        };
        job.once(&plan, &mut once, &mut report)?;
        job.converged(&plan, &mut passes, &mut report)?;
        job.ages(&plan, &mut ages, &mut report)?;
        super::aligned::rows(&memories, job.d, job.d_v, &mut worst, &mut report)?;
    }
    report.tables = [once, passes, ages, worst].into_iter().filter(|t| !t.rows.is_empty()).collect();
    Ok(report)
}

struct Job<'a> {
    setup: &'a Setup<'a>,
    seed: u64,
    memories: &'a [Memory],
    d: usize,
    d_v: usize,
}

impl Job<'_> {
    fn once(&self, plan: &CapacitySpec, table: &mut Table, report: &mut Report) -> Result<(), Diagnostics> {
        for m in pairs(self.d, &plan.load) {
            room(self.d.max(self.d_v), m)?;
            let all =
                self.setup.trials(self.seed, &format!("once.d{}.m{m}", self.d), plan.trials, |_, rng| {
                    let (keys, values) = (unit_keys(self.d, m, rng), signs(self.d_v, m, rng));
                    scores(self.memories, &keys, &values)
                })?;
            for (number, memory) in self.memories.iter().enumerate() {
                let column = |f: fn(&Score) -> f64| {
                    Mean::of(&all.iter().map(|trial: &Vec<Score>| f(&trial[number])).collect::<Vec<_>>())
                };
                let (nmse, sign, nearest) = (column(|s| s.nmse), column(|s| s.sign), column(|s| s.nearest));
                let at = format!("{} d {} M {m}", memory.name, self.d);
                let asymptotic = memory.rule() == Some(Rule::Hebbian) && 2 * m >= self.d;
                let sign_law = asymptotic.then(|| laws::hebbian_sign_error(self.d, m));
                let mut row = vec![Cell::Count(self.d), Cell::Count(m), Cell::Text(memory.name.clone())];
                row.extend(report.judge(
                    format!("NMSE of {at}"),
                    nmse.mean,
                    nmse.se,
                    0.0,
                    memory.rule().map(|r| mean_law(r, self.d, m)),
                ));
                row.extend(report.judge(
                    format!("sign error of {at}"),
                    sign.mean,
                    sign.se,
                    SIGN_SLACK,
                    sign_law,
                ));
                row.push(Cell::Number(nearest.mean));
                table.rows.push(row);
            }
        }
        Ok(())
    }

    /// Delta memories after many passes. What the circuit gives does not depend on the draw; of least squares the mean
    /// over values has a law.
    fn converged(
        &self,
        plan: &CapacitySpec,
        table: &mut Table,
        report: &mut Report,
    ) -> Result<(), Diagnostics> {
        let trials = (plan.trials / 20).max(2);
        for m in pairs(self.d, &plan.load) {
            room(self.d.max(self.d_v), m)?;
            for memory in self.memories.iter().filter(|memory| matches!(memory.rule(), Some(Rule::Delta(_))))
            {
                let by_circuit = 2 * m <= self.d;
                let what = format!("converged.d{}.m{m}.{}", self.d, memory.name);
                let all = self.setup.trials(
                    self.seed,
                    &what,
                    if by_circuit { trials } else { plan.trials },
                    |_, rng| {
                        let (keys, values) = (unit_keys(self.d, m, rng), signs(self.d_v, m, rng));
                        if by_circuit {
                            Ok(until_still(memory, &keys, &values)?)
                        } else {
                            Ok((score(&least_squares(&keys, &values), &values), 0))
                        }
                    },
                )?;
                let column = |f: fn(&Score) -> f64| {
                    Mean::of(&all.iter().map(|(score, _): &(Score, usize)| f(score)).collect::<Vec<_>>())
                };
                let nmse = column(|s| s.nmse);
                let most = all.iter().map(|(_, passes)| *passes).max().unwrap_or(0);
                let law = laws::least_squares(self.d, m);
                let at = format!("NMSE of {} d {} M {m}, converged", memory.name, self.d);
                let by = if by_circuit { "circuit" } else { "least squares" };
                let passes = if by_circuit { Cell::Count(most) } else { Cell::None };
                let mut row = vec![
                    Cell::Count(self.d),
                    Cell::Count(m),
                    Cell::Text(memory.name.clone()),
                    Cell::Text(by.to_owned()),
                    passes,
                ];
                if law == 0.0 {
                    let [measured, law] = report.judge_exact(at, nmse.mean, law, STILL);
                    row.extend([measured, Cell::Number(nmse.se), law, Cell::None]);
                } else {
                    row.extend(report.judge(at, nmse.mean, nmse.se, 0.0, Some(law)));
                }
                row.extend([column(|s| s.sign), column(|s| s.nearest)].map(|x| Cell::Number(x.mean)));
                table.rows.push(row);
            }
        }
        Ok(())
    }

    fn ages(&self, plan: &CapacitySpec, table: &mut Table, report: &mut Report) -> Result<(), Diagnostics> {
        for memory in self.memories {
            let Some(rule @ (Rule::Decay(_) | Rule::Delta(_))) = memory.rule() else { continue };
            let oldest = plan.ages.iter().copied().max().unwrap_or(0);
            let Some(m) = long(rule, self.d).map(|m| m.max(oldest + 1)) else { continue };
            room(self.d.max(self.d_v), m)?;
            let what = format!("ages.d{}.{}", self.d, memory.name);
            let all = self.setup.trials(self.seed, &what, plan.trials, |_, rng| {
                let (keys, values) = (unit_keys(self.d, m, rng), signs(self.d_v, m, rng));
                let asked = |x: &DMatrix<f64>| {
                    DMatrix::from_fn(x.nrows(), plan.ages.len(), |i, j| x[(i, m - 1 - plan.ages[j])])
                };
                let wanted = asked(&values);
                let got = memory.recall(&asked(&keys), &keys, &values)?;
                Ok((0..plan.ages.len()).map(|j| nmse(&got, &wanted, j)).collect::<Vec<_>>())
            })?;
            for (j, age) in plan.ages.iter().enumerate() {
                let nmse = Mean::of(&all.iter().map(|trial| trial[j]).collect::<Vec<_>>());
                let law = match rule {
                    Rule::Decay(g) => laws::decay(self.d, m, g, *age),
                    Rule::Delta(b) => laws::delta_once(self.d, m, b)[m - 1 - age],
                    Rule::Hebbian => laws::hebbian(self.d, m),
                };
                let at = format!("NMSE of {} d {} at age {age}", memory.name, self.d);
                let mut row = vec![
                    Cell::Count(self.d),
                    Cell::Count(*age),
                    Cell::Text(memory.name.clone()),
                    Cell::Count(m),
                ];
                row.extend(report.judge(at, nmse.mean, nmse.se, 0.0, Some(law)));
                table.rows.push(row);
            }
        }
        Ok(())
    }
}

/// M for each load, without repetitions.
pub fn pairs(d: usize, load: &[f64]) -> Vec<usize> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let mut all: Vec<usize> = load.iter().map(|x| ((x * count(d)).round() as usize).max(1)).collect();
    all.dedup();
    all
}

/// NMSE over all stored pairs.
pub fn mean_law(rule: Rule, d: usize, m: usize) -> f64 {
    match rule {
        Rule::Hebbian => laws::hebbian(d, m),
        Rule::Decay(g) => laws::decay_mean(d, m, g),
        Rule::Delta(b) => laws::delta_once(d, m, b).iter().sum::<f64>() / count(m),
    }
}

/// A sequence so long that its beginning is forgotten; none if that takes too long.
fn long(rule: Rule, d: usize) -> Option<usize> {
    let keeps = match rule {
        Rule::Decay(g) => g * g,
        Rule::Delta(b) => 1.0 - (2.0 * b - b * b) / count(d),
        Rule::Hebbian => 1.0,
    };
    let n = (FORGOTTEN.ln() / keeps.ln()).ceil();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (keeps > 0.0 && keeps < 1.0 && n <= count(LONGEST)).then_some(n as usize)
}

/// Squared error of one column over the squared values.
fn nmse(got: &DMatrix<f64>, wanted: &DMatrix<f64>, column: usize) -> f64 {
    (got.column(column) - wanted.column(column)).norm_squared() / wanted.column(column).norm_squared()
}

/// All memories on the same pairs, each key asked once.
pub fn scores(
    memories: &[Memory],
    keys: &DMatrix<f64>,
    values: &DMatrix<f64>,
) -> Result<Vec<Score>, Diagnostics> {
    let one = |memory: &Memory| Ok(score(&memory.recall(keys, keys, values)?, values));
    memories.iter().map(one).collect()
}

/// Compares recalls with the stored values, column by column.
fn score(got: &DMatrix<f64>, values: &DMatrix<f64>) -> Score {
    let (d_v, m) = values.shape();
    let wrong = got.iter().zip(values.iter()).filter(|(y, v)| (**y < 0.0) != (**v < 0.0)).count();
    let distance = |y: usize, v: usize| -> f64 {
        got.column(y).iter().zip(values.column(v).iter()).map(|(a, b)| (a - b) * (a - b)).sum()
    };
    // An equal value stored for another key is the right answer too.
    let right = (0..m).filter(|i| {
        let own = distance(*i, *i);
        (0..m).all(|j| distance(*i, j) >= own)
    });
    Score {
        nmse: squared(got, values),
        sign: count(wrong) / count(d_v * m),
        nearest: count(right.count()) / count(m),
    }
}

/// The score after so many passes over the pairs that no value is off by more than [`STILL`], and how many.
fn until_still(
    memory: &Memory,
    keys: &DMatrix<f64>,
    values: &DMatrix<f64>,
) -> Result<(Score, usize), Diagnostic> {
    let most = passes_within(keys.nrows().max(values.nrows()), keys.ncols(), MOST_PASSES);
    let mut passes = most.min(16);
    loop {
        let got = memory.recall(keys, &repeated(keys, passes), &repeated(values, passes))?;
        let off = (&got - values).amax();
        if off < STILL || 2 * passes > most {
            return Ok((score(&got, values), passes));
        }
        passes *= 2;
    }
}

/// The same tokens so many times.
pub fn repeated(x: &DMatrix<f64>, passes: usize) -> DMatrix<f64> {
    DMatrix::from_fn(x.nrows(), x.ncols() * passes, |i, j| x[(i, j % x.ncols())])
}

/// `V K^+ K`, by an orthonormal basis of the rows of K.
pub fn least_squares(keys: &DMatrix<f64>, values: &DMatrix<f64>) -> DMatrix<f64> {
    let basis = keys.transpose().qr().q();
    (values * &basis) * basis.transpose()
}

/// Squared error of all recalls over the squared values.
pub fn squared(got: &DMatrix<f64>, values: &DMatrix<f64>) -> f64 {
    (got - values).norm_squared() / values.norm_squared()
}
