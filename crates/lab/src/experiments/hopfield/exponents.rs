//! How many pairs a memory with scores of degree p - 1 holds, against its number of cells.
//!
//! Keys and values are independent signs; a stored key is asked, and a bit is wrong if the answer has the other sign. The
//! other M - 1 pairs add noise of variance `M (2p-3)!! n^(p-1)` to a signal of `n^(p-1)`, so the number of pairs at a fixed
//! error grows like `n^(p-1)` (Krotov & Hopfield 2016, arXiv 1606.01164; Demircigil et al. 2017, arXiv 1702.01929).

use crate::experiments::draw::signs;
use crate::experiments::laws::tail_inverse;
use crate::experiments::memory::{Memory, memories};
use crate::experiments::report::{Cell, Digits, Report, Table};
use crate::experiments::setup::{Setup, room};
use pulvinar::diag::Diagnostics;
use pulvinar::linalg::count;
use pulvinar::spec::HopfieldSpec;

/// The bit error at which capacities are compared.
const BIT_ERROR: f64 = 0.01;
/// Numbers of pairs at which the error is measured, over the number that is expected.
const AROUND: [f64; 5] = [0.6, 0.8, 1.0, 1.3, 1.7];
/// Keys that are asked in each trial.
const ASKED: usize = 16;

pub fn run(setup: &Setup<'_>, plan: &HopfieldSpec, report: &mut Report) -> Result<(), Diagnostics> {
    let mut points = Table::new(
        "capacity",
        "pairs M at a bit error of 1%, of a memory with scores of degree p - 1 over n cells",
        &[
            ("memory", Digits::Short),
            ("p", Digits::Short),
            ("n", Digits::Short),
            ("M", Digits::Short),
            ("gaussian_M", Digits::Short),
        ],
    );
    let mut fits = Table::new(
        "exponents",
        "M - 1, the pairs that interfere, grows like n to the power of",
        &[
            ("memory", Digits::Short),
            ("p", Digits::Short),
            ("exponent", Digits::Short),
            ("theory", Digits::Short),
            ("allowed", Digits::Short),
        ],
    );
    let mut found: Vec<Growth> = Vec::new();
    for n in setup.sweep("n", &plan.n)? {
        let document = setup.document(&[("n", n.to_string())])?;
        for memory in memories(&document)? {
            let Some(degree) = memory.degree() else { continue };
            let (measured, gaussian) = pairs_at(setup, plan, &memory, degree, n, document.spec.seed)?;
            points.rows.push(vec![
                Cell::Text(memory.name.clone()),
                Cell::Count(degree as usize + 1),
                Cell::Count(n),
                measured.map_or(Cell::None, Cell::Number),
                Cell::Number(gaussian),
            ]);
            let Some(measured) = measured else { continue };
            let point = (count(n).ln(), (measured - 1.0).ln());
            match found.iter_mut().find(|g| g.name == memory.name) {
                Some(growth) => growth.points.push(point),
                None => found.push(Growth { name: memory.name, degree, points: vec![point] }),
            }
        }
    }
    for Growth { name, degree, points } in found.iter().filter(|g| g.points.len() > 1) {
        let (slope, _) = line(points);
        // Sums of few or heavy-tailed terms are not Gaussian yet.
        let allowed = [0.15, 0.25].get(*degree as usize - 1).copied().unwrap_or(0.35);
        let what = format!("capacity exponent of {name}");
        let [exponent, theory] = report.judge_exact(what, slope, f64::from(*degree), allowed);
        let row = [Cell::Text(name.clone()), Cell::Count(*degree as usize + 1), exponent, theory];
        fits.rows.push(row.into_iter().chain([Cell::Number(allowed)]).collect());
    }
    report.tables.extend([points, fits]);
    Ok(())
}

/// How the pairs of a memory grow.
struct Growth {
    name: String,
    /// p - 1
    degree: u32,
    /// (log n, log (M - 1))
    points: Vec<(f64, f64)>,
}

/// M at the bit error, measured and for Gaussian noise.
fn pairs_at(
    setup: &Setup<'_>,
    plan: &HopfieldSpec,
    memory: &Memory,
    degree: u32,
    n: usize,
    seed: u64,
) -> Result<(Option<f64>, f64), Diagnostics> {
    let z = tail_inverse(BIT_ERROR);
    let odd = (1..=degree).map(|k| f64::from(2 * k - 1)).product::<f64>();
    let gaussian = 1.0 + count(n).powf(f64::from(degree)) / (odd * z * z);
    let mut points = Vec::new();
    for factor in AROUND {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let m = ((factor * gaussian).round() as usize).max(2);
        room(n, m)?;
        let asked = m.min(ASKED);
        let what = format!("exponents.{}.n{n}.m{m}", memory.name);
        let wrong: Vec<f64> = setup.trials(seed, &what, plan.trials, |_, rng| {
            let (keys, values) = (signs(n, m, rng), signs(n, m, rng));
            let got = memory.recall(&keys.columns(0, asked).into_owned(), &keys, &values)?;
            let bit = |(y, v): (&f64, &f64)| {
                if *y == 0.0 { 0.5 } else { f64::from(u8::from((*y < 0.0) != (*v < 0.0))) }
            };
            Ok(got.iter().zip(values.iter()).map(bit).sum())
        })?;
        let error = wrong.iter().sum::<f64>() / count(asked * n * plan.trials);
        if error > 0.0 && error < 0.5 {
            points.push((count(m).sqrt().recip(), tail_inverse(error)));
        }
    }
    // The distance of the signal from zero, in noises, is a line over 1/sqrt(M).
    points.dedup();
    if points.len() < 2 {
        return Ok((None, gaussian));
    }
    let (slope, offset) = line(&points);
    let at = (z - offset) / slope;
    Ok(((at > 0.0 && at < 1.0).then(|| at.powi(-2)), gaussian))
}

/// Least-squares line through points: slope and offset.
fn line(points: &[(f64, f64)]) -> (f64, f64) {
    let n = count(points.len());
    let (x, y) = points.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x / n, b + y / n));
    let (mut along, mut size) = (0.0, 0.0);
    for (a, b) in points {
        along += (a - x) * (b - y);
        size += (a - x) * (a - x);
    }
    let slope = along / size;
    (slope, y - slope * x)
}
