//! Tokens one after another: how far the output of cells is from the compiled heads, and when.

use super::Making;
use super::given::{ERRORS, Given, floored, trace};
use crate::figures::sheet::{Axes, Axis, Guide, Look, Point, Series};
use nalgebra::DMatrix;
use pulvinar::circuit::Circuit;
use pulvinar::diag::Diagnostics;
use pulvinar::linalg::count;
use pulvinar::simulate::cells::{Run, Settings, TAU_MS};
use pulvinar::spec::{RecordSpec, TauSpec, Variable};

/// Times of a token and of the gap after it.
pub(super) const TOKEN_MS: [f64; 9] = [20.0, 40.0, 60.0, 80.0, 120.0, 160.0, 200.0, 240.0, 280.0];
pub(super) const LONG_MS: f64 = 400.0;
/// Time of a token, and gap, where one run is looked at.
pub(super) const LOOK_MS: [f64; 2] = [200.0, 300.0];
/// Tokens whose output is drawn.
pub(super) const DRAWN: usize = 3;
pub(super) const TIME: &str = "tokens_in_time.yaml";

/// The longest time constant of a compartment.
pub(super) fn slowest_ms(circuit: &Circuit) -> f64 {
    let taus = circuit.order.iter().map(|id| match circuit.population(*id).options.tau {
        None => TAU_MS,
        Some(TauSpec::Both(t)) => t.ms,
        Some(TauSpec::Each { basal, apical }) => basal.ms.max(apical.ms),
    });
    taus.fold(0.0, f64::max)
}

/// Rates of a population, every so many steps.
pub(super) fn rates_of(population: &str, every: usize, pair: Option<[usize; 2]>) -> RecordSpec {
    RecordSpec {
        population: population.to_owned(),
        variable: Variable::Rate,
        compartment: None,
        cells: pair.map(|_| vec![0]),
        query: pair.map(|[i, _]| vec![i]),
        context: pair.map(|[_, j]| vec![j]),
        every,
    }
}

/// The circuit with tokens one after another.
pub(super) struct InTime {
    pub given: Given,
    run: Run,
    pub truth: DMatrix<f64>,
    duration_ms: f64,
}

pub(super) fn in_time(
    making: &Making<'_>,
    [duration, gap]: [f64; 2],
    prospective: bool,
) -> Result<InTime, Diagnostics> {
    let set = [("duration", format!("{duration} ms")), ("gap", format!("{gap} ms"))];
    let given = Given::read(making, TIME, &set)?;
    let truth = given.algebra()?;
    let settings = Settings { prospective, record: vec![rates_of("HO", 1, None)], ..given.settings() };
    let run = given.cells(&settings)?;
    making.progress.step();
    Ok(InTime { given, run, truth, duration_ms: duration })
}

impl InTime {
    /// Largest distance of any output, when it is read.
    fn at_reads(&self) -> f64 {
        floored((&self.run.output - &self.truth).amax() / self.truth.amax())
    }

    /// For each time since the write, in steps: the distance of each token's output.
    fn since_write(&self) -> Vec<(f64, Vec<f64>)> {
        let Ok(t) = trace(&self.run, 0) else { return Vec::new() };
        let (width, size) = (self.truth.nrows(), self.truth.amax());
        let mut all: Vec<(f64, Vec<f64>)> = Vec::new();
        for (token, (onset, read)) in self.run.onsets_ms.iter().zip(&self.run.reads_ms).enumerate() {
            let write = onset + self.duration_ms;
            let samples =
                t.t_ms.iter().zip(t.values.chunks(width)).filter(|(t, _)| **t >= write && **t < *read);
            for (k, (t, now)) in samples.enumerate() {
                let want = self.truth.column(token);
                let far = now.iter().zip(want.iter()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / size;
                if token == 0 {
                    all.push((t - write, Vec::new()));
                }
                if let Some((_, numbers)) = all.get_mut(k) {
                    numbers.push(floored(far));
                }
            }
        }
        all
    }

    /// Time after the write from which on the mean distance is below `bound`.
    pub fn lag(&self, bound: f64) -> f64 {
        let all = self.since_write();
        let above = all.iter().rev().find(|(_, far)| mean(far) >= bound);
        above.map_or(0.0, |(t, _)| t + self.run.dt_ms)
    }
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / count(numbers.len())
}

/// The first output cell over the first tokens.
pub(super) fn outputs(leaky: &InTime, ahead: &InTime) -> Axes {
    let end = count(DRAWN) * (LOOK_MS[0] + LOOK_MS[1]);
    let line = |of: &InTime| -> Vec<Point> {
        let Ok(t) = trace(&of.run, 0) else { return Vec::new() };
        let samples = t.t_ms.iter().zip(t.values.chunks(of.truth.nrows()));
        samples.step_by(2).filter(|(t, _)| **t < end).map(|(t, now)| Point::new(*t, now[0])).collect()
    };
    let heads = leaky.run.reads_ms.iter().take(DRAWN).enumerate();
    let heads = heads.map(|(i, t)| Point::new(*t, leaky.truth[(0, i)])).collect();
    let writes = leaky.run.onsets_ms.iter().take(DRAWN).map(|t| t + leaky.duration_ms);
    Axes {
        x: Axis::new("time", "ms").range(0.0, end),
        y: Axis::new("rate of HO, cell 0", ""),
        series: vec![
            Series::new("prospective", Look::Line, 1, line(ahead)),
            Series::new("leaky", Look::Line, 0, line(leaky)),
            Series::new("compiled heads", Look::Marks, 2, heads),
        ],
        guides: writes.map(|at| Guide { at, is_vertical: true, words: String::new() }).collect(),
    }
}

/// Distance since the write.
pub(super) fn after_writes(leaky: &InTime, ahead: &InTime) -> Axes {
    let of = |name: &str, colour: usize, run: &InTime| {
        let points = run.since_write().into_iter().step_by(2).map(|(t, far)| {
            let low = far.iter().copied().fold(f64::INFINITY, f64::min);
            let high = far.iter().copied().fold(0.0, f64::max);
            Point { x: t, y: mean(&far), spread: Some([low, high]) }
        });
        Series::new(name, Look::Line, colour, points.collect())
    };
    let slow = slowest_ms(&leaky.given.circuit);
    let slope = [0.0, LOOK_MS[1]].map(|t| Point::new(t, (-t / slow).exp()));
    Axes {
        x: Axis::new("time since the write", "ms"),
        y: Axis::new("relative distance", "").log().range(ERRORS[0], ERRORS[1]),
        series: vec![
            of("leaky", 0, leaky),
            of("prospective", 1, ahead),
            Series::new(format!("exp(\u{2212}t / {slow} ms)"), Look::Dashed, 6, slope.into()),
        ],
        guides: Vec::new(),
    }
}

/// Distance when the output is read, against the times that a token has.
pub(super) fn at_reads(making: &Making<'_>) -> Result<Axes, Diagnostics> {
    let kinds = [
        ("gap T", Look::Line, 2, false),
        ("token T", Look::Line, 3, false),
        ("prospective", Look::Line, 1, true),
        ("token and gap T", Look::Marks, 0, false),
    ];
    let mut series = Vec::new();
    let mut slow = TAU_MS;
    for (name, look, colour, prospective) in kinds {
        let mut points = Vec::new();
        for t in TOKEN_MS {
            let times = match name {
                "gap T" => [LONG_MS, t],
                "token T" => [t, LONG_MS],
                _ => [t, t],
            };
            let run = in_time(making, times, prospective)?;
            slow = slowest_ms(&run.given.circuit);
            points.push(Point::new(t, run.at_reads()));
        }
        series.push(Series::new(name, look, colour, points));
    }
    for tau in [slow, TAU_MS] {
        let line = [TOKEN_MS[0], TOKEN_MS[TOKEN_MS.len() - 1]].map(|t| Point::new(t, (-t / tau).exp()));
        series.push(Series::new("", Look::Dashed, 6, line.into()));
    }
    Ok(Axes {
        x: Axis::new("T", "ms"),
        y: Axis::new("relative distance", "").log().range(ERRORS[0], ERRORS[1]),
        series,
        guides: Vec::new(),
    })
}
