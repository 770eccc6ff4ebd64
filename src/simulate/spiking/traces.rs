//! What is recorded: traces of different windows and steps from one record of the cable.

use crate::circuit::SpikeCircuit;
use crate::diag::{Diagnostic, Diagnostics, codes};
use crate::simulate::cable::{Neuron, Outcome, Quantity, Record, Run};
use crate::spec::{SpikeCompartment, SpikeVariable};

/// Most bytes that all traces may take.
const MOST_BYTES: usize = 1 << 30;

/// One trace of the neuron, in every trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// `A1.neuron.spines.calcium`
    pub name: String,
    pub unit: &'static str,
    /// of spines: whose
    pub axons: Vec<usize>,
    pub what: Vec<Quantity>,
    /// steps: first, last, between two samples
    pub first: usize,
    pub last: usize,
    pub every: usize,
}

impl Trace {
    #[must_use]
    pub fn samples(&self) -> usize {
        (self.last - self.first) / self.every + 1
    }

    /// Times of its samples.
    #[must_use]
    pub fn times_ms(&self, dt_ms: f64) -> Vec<f64> {
        (0..self.samples()).map(|i| (self.first + i * self.every) as f64 * dt_ms).collect()
    }

    /// `[samples, places]` from a recorded outcome; `offset` is the first of its quantities there.
    pub fn of(&self, outcome: &Outcome, record: &Recorded, offset: usize) -> Vec<f64> {
        let mut values = Vec::with_capacity(self.samples() * self.what.len());
        for i in 0..self.samples() {
            let sample = (self.first + i * self.every - record.first) / record.every;
            values.extend((0..self.what.len()).map(|k| outcome.traces[offset + k][sample]));
        }
        values
    }
}

/// The one record that all traces are taken from, in steps.
#[derive(Clone, Copy, Debug)]
pub struct Recorded {
    pub first: usize,
    pub last: usize,
    pub every: usize,
}

impl Recorded {
    pub fn of(traces: &[Trace]) -> Option<Self> {
        let first = traces.iter().map(|t| t.first).min()?;
        let last = traces.iter().map(|t| t.last).max()?;
        let every = traces.iter().fold(0, |g, t| gcd(gcd(g, t.every), t.first - first));
        Some(Self { first, last, every: every.max(1) })
    }

    pub fn record(&self, traces: &[Trace], dt_ms: f64) -> Record {
        Record {
            from_ms: self.first as f64 * dt_ms,
            to_ms: self.last as f64 * dt_ms,
            every: self.every,
            what: traces.iter().flat_map(|t| t.what.iter().copied()).collect(),
        }
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The traces that the circuit asks for.
pub fn traces(
    circuit: &SpikeCircuit,
    neuron: &Neuron,
    settings: &Run,
    trials: usize,
    d: &mut Diagnostics,
) -> Vec<Trace> {
    let steps = (settings.duration_ms / settings.dt_ms).round() as usize;
    let mut all: Vec<Trace> = Vec::new();
    for (number, spec) in circuit.record.iter().enumerate() {
        let step = |ms: f64| (ms / settings.dt_ms).round() as usize;
        let first = spec.from.map_or(0, |t| step(t.ms));
        let last = spec.until.map_or(steps, |t| step(t.ms));
        if last > steps || first >= last {
            let dt = settings.dt_ms;
            let what = format!(
                "a trace from {} to {} ms does not lie in the run of {} ms",
                first as f64 * dt,
                last as f64 * dt,
                settings.duration_ms
            );
            let help = "record a shorter window, or run longer";
            d.push(Diagnostic::error(codes::C074, format!("record.{number}"), what).help(help));
            continue;
        }
        let (axons, what) = match spec.compartment {
            SpikeCompartment::Soma => (Vec::new(), vec![Quantity::Potential(neuron.soma)]),
            SpikeCompartment::Spines => {
                let axons = spec.axons.clone().unwrap_or_else(|| (0..neuron.axons).collect());
                let heads = axons.iter().filter_map(|&a| neuron.first_head(a));
                let what = heads.map(|h| quantity(neuron, spec.variable, h)).collect();
                (axons, what)
            }
        };
        let base = format!("{}.{}.{}", spec.population, spec.compartment.name(), spec.variable.name());
        let taken = all.iter().filter(|t: &&Trace| t.name == base || t.name.starts_with(&format!("{base}_"))).count();
        let name = if taken == 0 { base } else { format!("{base}_{}", taken + 1) };
        all.push(Trace { name, unit: spec.variable.unit(), axons, what, first, last, every: spec.every });
    }
    let recorded = Recorded::of(&all).map_or(0, |r| (r.last - r.first) / r.every + 1);
    let places: usize = all.iter().map(|t| t.what.len() + 1).sum();
    let bytes = recorded.saturating_mul(places).saturating_mul(trials).saturating_mul(16);
    if bytes > MOST_BYTES {
        let what = format!("the traces of {trials} trials take {bytes} bytes, more than {MOST_BYTES}");
        let help = "record fewer axons, a shorter window, less often, or run fewer trials";
        d.push(Diagnostic::error(codes::C054, "record", what).help(help));
    }
    all
}

fn quantity(neuron: &Neuron, variable: SpikeVariable, head: usize) -> Quantity {
    match variable {
        SpikeVariable::Potential => Quantity::Potential(neuron.heads[head].node),
        SpikeVariable::Calcium => Quantity::Calcium(head),
        SpikeVariable::Integral => Quantity::Integral(head),
        SpikeVariable::Lagged => Quantity::Lagged(head),
        SpikeVariable::Gain => Quantity::Gain(head),
    }
}
