//! What the experiments on match-and-control share: a neuron, how it is run, how often, and the delays of its spines.

use crate::experiments::setup::{Progress, unfit};
use pulvinar::circuit::spikes;
use pulvinar::diag::Diagnostics;
use pulvinar::simulate::cable::event::Event;
use pulvinar::simulate::cable::protocol::{THETA, delays};
use pulvinar::simulate::cable::{CableError, Neuron, Outcome, Pyramidal, Run, Trial, run};
use pulvinar::simulate::spiking;
use pulvinar::spec::Document;

/// Trials between two steps of the progress bar.
const BATCH: usize = 64;

/// What runs a match phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fidelity {
    /// every compartment in time
    Cable,
    /// calcium in closed form
    Event,
}

impl Fidelity {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cable => "cable",
            Self::Event => "event",
        }
    }
}

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// runs over which the delay of a spine is a mean
    pub delays: usize,
    /// axons, and runs of each, for one offset of key and query
    pub offsets: (usize, usize),
    /// whether offsets are every millisecond, or those whose reference is quoted
    pub every_offset: bool,
    /// trials with random trains to fit the linear kernel, and to test it
    pub kernel: (usize, usize),
    /// trials for each match window
    pub matched: usize,
    /// trials for each control phase
    pub controlled: usize,
    /// trials with vectors
    pub attention: usize,
    /// match phases in closed form: of matched trains, of vectors
    pub event: (usize, usize),
}

impl Sizes {
    /// Seconds on two cores.
    #[must_use]
    pub fn quick() -> Self {
        Self {
            delays: 10,
            offsets: (12, 3),
            every_offset: false,
            kernel: (40, 20),
            matched: 32,
            controlled: 32,
            attention: 32,
            event: (1500, 2000),
        }
    }

    /// The published numbers of trials.
    #[must_use]
    pub fn full() -> Self {
        Self {
            delays: 10,
            offsets: (30, 10),
            every_offset: true,
            kernel: (100, 100),
            matched: 1500,
            controlled: 1000,
            attention: 1000,
            event: (1500, 10_000),
        }
    }

    /// With `n` trials for each control phase, match window and set of vectors; the rest as in [`Sizes::quick`], or from
    /// 1,000 trials on as published.
    #[must_use]
    pub fn of(n: usize) -> Self {
        let rest = if n >= 1000 { Self::full() } else { Self::quick() };
        Self { matched: n, controlled: n, attention: n, ..rest }
    }
}

/// A neuron ready for experiments.
pub struct Lab<'a> {
    pub neuron: Neuron,
    /// time step, lanes, tables, pulse of a query
    pub run: Run,
    pub event: Event,
    /// threshold of potentiation in mM^4 ms by match window in ms
    pub thetas: Vec<(f64, f64)>,
    pub seed: u64,
    pub sizes: Sizes,
    /// from a query to the peak of the potential in the first head of each axon
    pub delays_ms: Vec<f64>,
    /// whether the cable is run beside the closed form
    pub is_cable: bool,
    progress: &'a dyn Progress,
}

/// What a [`Lab`] is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub neuron: Neuron,
    /// time step, lanes, tables, pulse of a query
    pub run: Run,
    pub event: Event,
    pub thetas: Vec<(f64, f64)>,
    pub seed: u64,
    pub sizes: Sizes,
    /// whether the cable is run beside the closed form
    pub is_cable: bool,
}

impl Plan {
    /// The neuron, time step, seed, threshold and closed form of a circuit file.
    ///
    /// # Errors
    /// Every mistake in the circuit, with its place.
    pub fn of(document: &Document, sizes: Sizes) -> Result<Self, Diagnostics> {
        let located = |mut d: Diagnostics| {
            document.locate(&mut d);
            d
        };
        let circuit = spikes(&document.spec).map_err(located)?;
        let plan = spiking::Plan::of(&circuit, &document.folder).map_err(located)?;
        let window_ms = plan.phases.match_ms.1 - plan.phases.match_ms.0;
        let Run { dt_ms, start_mv, gain_every, table_mv, pulse, .. } = plan.settings;
        let published = Self::published(sizes)?;
        let mut thetas = published.thetas;
        thetas.retain(|(w, _)| (w - window_ms).abs() > 1e-9);
        thetas.push((window_ms, plan.theta));
        let closed = Event { synapses: plan.neuron.synapses.clone(), ..published.event };
        Ok(Self {
            run: Run { dt_ms, start_mv, gain_every, table_mv, pulse, ..published.run },
            is_cable: plan.event.is_none(),
            event: plan.event.unwrap_or(closed),
            neuron: plan.neuron,
            thetas,
            seed: document.spec.seed,
            sizes,
        })
    }

    /// The reduced neuron with everything else as published.
    ///
    /// # Errors
    /// None so far: the neuron can be built.
    pub fn published(sizes: Sizes) -> Result<Self, Diagnostics> {
        Ok(Self {
            neuron: Pyramidal::reduced().build().map_err(refused)?,
            run: Run::default(),
            // jumps that scatter: the height of the somatic spike in a spine depends on the other synapses
            event: Event { jump_mm: 2.62e-4, noise: 0.1, ..Event::default() },
            thetas: THETA.to_vec(),
            seed: 1,
            sizes,
            is_cable: true,
        })
    }
}

/// A mistake in the parameters of a cable.
pub(super) fn refused(error: CableError) -> Diagnostics {
    unfit("protocol", error.to_string()).help(error.hint()).into()
}

impl<'a> Lab<'a> {
    /// Builds the neuron and measures the delays of its spines.
    ///
    /// # Errors
    /// `U006`: parameters that make no neuron or no run.
    pub fn new(plan: Plan, progress: &'a dyn Progress) -> Result<Self, Diagnostics> {
        let Plan { neuron, run, event, thetas, seed, sizes, is_cable } = plan;
        let delays_ms = delays(&neuron, &run, sizes.delays, seed).map_err(refused)?;
        Ok(Self { neuron, run, event, thetas, seed, sizes, delays_ms, is_cable, progress })
    }

    /// Runs trials; results are in their order.
    ///
    /// # Errors
    /// `U006`: trains that do not fit the neuron or the run.
    pub fn run(&self, what: &str, trials: &[Trial], settings: &Run) -> Result<Vec<Outcome>, Diagnostics> {
        self.progress.begin(what, trials.len().div_ceil(BATCH));
        let mut outcomes = Vec::with_capacity(trials.len());
        for batch in trials.chunks(BATCH) {
            outcomes.extend(run(&self.neuron, batch, settings).map_err(refused)?);
            self.progress.step();
        }
        Ok(outcomes)
    }

    /// Numbers of `n` trials. The matched axon is that of the number, so that few trials are spread over the tuft.
    #[must_use]
    pub fn numbers(&self, n: usize) -> Vec<usize> {
        let axons = self.neuron.axons;
        (0..n).map(|k| if n < axons { (2 * k + 1) * axons / (2 * n) } else { k }).collect()
    }

    /// Threshold of potentiation of a match window.
    ///
    /// # Errors
    /// `U006` if there is none.
    pub fn theta(&self, window_ms: f64) -> Result<f64, Diagnostics> {
        let known = self.thetas.iter().find(|t| (t.0 - window_ms).abs() < 1e-9);
        known.map(|t| t.1).ok_or_else(|| {
            unfit("protocol", format!("there is no threshold of potentiation for a window of {window_ms} ms"))
                .help("give one: it depends on the window")
                .into()
        })
    }
}
