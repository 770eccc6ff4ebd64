//! How a run is made: step, integrator, end. Every default is stated here and in `circuits/README.md`.

use super::record::Sketch;
use crate::circuit::{Circuit, Population};
use crate::diag::{Diagnostic, codes};
use crate::spec::{
    CircuitSpec, Integrator, LayoutSpec, LesionSpec, NoiseSpec, RecordSpec, StopSpec, TauSpec,
};

/// Time constant of a compartment whose population names none.
pub const TAU_MS: f64 = 10.0;
/// Longest default step.
const DT_MS: f64 = 1.0;
/// A run that is to settle gives up after this many of the longest time constants or delays.
const PATIENCE: f64 = 1000.0;
/// Most steps of a run.
pub const MOST_STEPS: usize = 1_000_000_000;

/// What a run is asked to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// step; by default 1 ms, or less where a tenth of the shortest time constant or the shortest delay is less
    pub dt_ms: Option<f64>,
    /// by default exponential Euler
    pub integrator: Integrator,
    /// by default until everything is still
    pub stop: StopSpec,
    /// readout of populations that do not say `prospective` themselves; by default leaky
    pub prospective: bool,
    /// standard deviation of the potentials at the start; by default they are 0
    pub start_std: f64,
    /// still means: no compartment further from its input than this fraction of its potential
    pub tolerance: f64,
    /// noise currents of populations that do not name their own
    pub noise: Option<NoiseSpec>,
    pub record: Vec<RecordSpec>,
    /// traces for a picture: long ones lose every other sample
    pub draw: Vec<Sketch>,
    pub lesions: Vec<LesionSpec>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dt_ms: None,
            integrator: Integrator::ExponentialEuler,
            stop: StopSpec::Settle,
            prospective: false,
            start_std: 0.0,
            tolerance: 1e-12,
            noise: None,
            record: Vec::new(),
            draw: Vec::new(),
            lesions: Vec::new(),
        }
    }
}

impl Settings {
    /// What a circuit file asks for.
    #[must_use]
    pub fn of(spec: &CircuitSpec) -> Self {
        let reserved = &spec.reserved;
        let mut settings = Self {
            noise: reserved.noise.clone(),
            record: reserved.record.clone(),
            lesions: reserved.lesions.clone(),
            ..Self::default()
        };
        if let Some(simulation) = &spec.reserved.simulation {
            settings.dt_ms = simulation.dt.map(|t| t.ms);
            settings.integrator = simulation.integrator.unwrap_or(settings.integrator);
            settings.stop = simulation.stop.clone().unwrap_or(settings.stop);
        }
        settings
    }

    pub(super) fn is_prospective(&self, p: &Population) -> bool {
        p.options.prospective.unwrap_or(self.prospective)
    }

    /// Standard deviation of the potentials that the noise of a population causes.
    pub(super) fn noise_of(&self, p: &Population) -> f64 {
        let own = p.options.noise.as_ref().or(self.noise.as_ref());
        own.map_or(0.0, |n| n.std)
    }
}

/// Time constants of basal and apical; the gate has that of basal.
pub fn taus_ms(p: &Population) -> [f64; 2] {
    match p.options.tau {
        None => [TAU_MS; 2],
        Some(TauSpec::Both(t)) => [t.ms; 2],
        Some(TauSpec::Each { basal, apical }) => [basal.ms, apical.ms],
    }
}

/// Time in steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    pub dt_ms: f64,
    pub integrator: Integrator,
    /// longest time constant or delay (at least [`TAU_MS`])
    pub slowest_ms: f64,
    /// a run ends at the latest after this many steps (in `layout: time`, the schedule decides)
    pub most: usize,
}

impl Grid {
    /// Steps that the circuit's times fit.
    ///
    /// # Errors
    /// `C050` for a step that is too long for Euler's method, a delay or a duration.
    pub fn new(circuit: &Circuit, settings: &Settings) -> Result<Self, Diagnostic> {
        let running = || circuit.order.iter().map(|id| circuit.population(*id));
        let cells = || running().filter(|p| has_equation(p));
        let taus = || cells().flat_map(|p| taus_ms(p).map(move |t| (t, p)));
        let shortest = taus().map(|(t, _)| t).fold(f64::INFINITY, f64::min);
        let longest = taus().map(|(t, _)| t).fold(TAU_MS, f64::max);
        let delays = || {
            circuit
                .projections
                .iter()
                .filter(|p| p.delay_ms.is_some() && runs(circuit, p))
                .filter_map(|p| p.delay_ms)
        };
        let dt_ms = settings.dt_ms.unwrap_or_else(|| delays().fold(DT_MS.min(shortest / 10.0), f64::min));
        let integrator = settings.integrator;
        if integrator == Integrator::Euler
            && let Some((tau, p)) = taus().find(|(t, _)| dt_ms >= 2.0 * t)
        {
            let what = format!(
                "Euler's method is unstable: the step is {dt_ms} ms, the time constant of `{}` {tau} ms",
                p.name
            );
            return Err(Diagnostic::error(codes::C050, "simulation.dt", what)
                .help(format!(
                    "it is stable below {} ms (twice the time constant) and swings above {tau} ms; or take `integrator: exponential_euler`",
                    2.0 * tau
                )));
        }
        for p in circuit.projections.iter().filter(|p| runs(circuit, p)) {
            if let Some(delay) = p.delay_ms.filter(|d| *d < dt_ms * (1.0 - 1e-9)) {
                let what = format!("a delay of {delay} ms is shorter than one step of {dt_ms} ms");
                return Err(Diagnostic::error(codes::C050, format!("{}.delay", p.path), what).help(format!(
                    "a step of {delay} ms or less, or no delay: without one, rates arrive within the step"
                )));
            }
        }
        let slowest_ms = delays().fold(longest, f64::max);
        let most = match (&circuit.layout, &settings.stop) {
            (LayoutSpec::Time { .. }, StopSpec::Duration(_)) => {
                return Err(Diagnostic::error(
                    codes::C051,
                    "simulation.stop",
                    "with tokens in time, their schedule says when the run ends",
                )
                .help("remove `stop`, or change the `duration` and `gap` of `tokens.layout`"));
            }
            (_, StopSpec::Duration(t)) => {
                let steps = t.ms / dt_ms;
                if steps < 1.0 - 1e-9 {
                    let what = format!("a run of {} ms is shorter than one step of {dt_ms} ms", t.ms);
                    return Err(Diagnostic::error(codes::C050, "simulation.stop.duration", what)
                        .help("run longer, or choose a shorter `dt`"));
                }
                rounded(steps, "simulation.stop.duration")?
            }
            (_, StopSpec::Settle) => {
                let steps = PATIENCE * (slowest_ms / dt_ms).max(1.0);
                rounded(steps.min(crate::linalg::count(MOST_STEPS)), "simulation.dt")?
            }
        };
        Ok(Self { dt_ms, integrator, slowest_ms, most })
    }

    /// Fraction of the way to its input that a compartment goes in one step.
    pub fn fraction(&self, tau_ms: f64) -> f64 {
        match self.integrator {
            Integrator::Euler => self.dt_ms / tau_ms,
            Integrator::ExponentialEuler => -(-self.dt_ms / tau_ms).exp_m1(),
        }
    }

    /// Refuses a run that may take steps without end until it gives up settling.
    ///
    /// # Errors
    /// `C050` with the time constant, the step and the number of steps.
    pub fn settles_in_time(&self) -> Result<(), Diagnostic> {
        let (slowest_ms, dt_ms) = (self.slowest_ms, self.dt_ms);
        let steps = PATIENCE * (slowest_ms / dt_ms).max(1.0);
        if steps <= MOST_PATIENCE {
            return Ok(());
        }
        let what = format!(
            "to settle may take {PATIENCE} times the longest time constant or delay, {slowest_ms} ms, in steps of {dt_ms} ms: {steps:.1e} steps, more than {MOST_PATIENCE:.0e}"
        );
        Err(Diagnostic::error(codes::C050, "simulation", what).help(
            "choose a longer `dt` or a shorter `tau`, or say when the run ends: `simulation: {stop: {duration: ...}}`",
        ))
    }

    /// The nearest whole number of steps.
    ///
    /// # Errors
    /// `C050` if it is more than a run may have.
    pub fn steps(&self, ms: f64, path: &str) -> Result<usize, Diagnostic> {
        rounded(ms / self.dt_ms, path)
    }
}

/// Does the run need this projection?
pub fn runs(circuit: &Circuit, p: &crate::circuit::Projection) -> bool {
    p.compartment != crate::circuit::Compartment::Third
        && circuit.order.contains(&p.from)
        && circuit.order.contains(&p.to)
}

/// Relays that carry tokens in and `tonic` are what they are told to be; all other cells follow their equation.
pub fn has_equation(p: &Population) -> bool {
    use crate::circuit::Kind;
    !matches!(p.kind, Kind::Tonic | Kind::Relay { stream: Some(_), .. })
}

/// Most steps in which a run is to settle.
const MOST_PATIENCE: f64 = 1e8;

fn rounded(steps: f64, path: &str) -> Result<usize, Diagnostic> {
    #[allow(clippy::cast_precision_loss)]
    if steps > MOST_STEPS as f64 {
        let what = format!("{steps:.3e} steps are too many; the most is {MOST_STEPS}");
        return Err(Diagnostic::error(codes::C050, path, what).help("choose a longer `dt` or a shorter run"));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Ok((steps.round() as usize).max(1))
}
