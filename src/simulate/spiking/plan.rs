//! From the wired circuit to a neuron, a run and sources of trains.

use super::neuron::neuron;
use super::sources::{Source, Times, both};
use super::traces::{Trace, traces};
use crate::circuit::SpikeCircuit;
use crate::diag::{Diagnostic, Diagnostics, codes};
use crate::simulate::cable::event::Event;
use crate::simulate::cable::protocol::THETA;
use crate::simulate::cable::run::LONGEST_STEP_MS;
use crate::simulate::cable::{CableError, Neuron, Run};
use crate::spec::{FidelitySpec, MatchedSpec, ResolutionSpec};
use std::path::Path;

/// What runs go on for after the last phase, as published.
const MATCH_REST_MS: f64 = 100.0;
const CONTROL_REST_MS: f64 = 250.0;

/// Windows of a trial, from and to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Phases {
    pub match_ms: (f64, f64),
    pub control_ms: Option<(f64, f64)>,
}

/// Everything that a run needs to know.
#[derive(Clone, Debug)]
pub struct Plan {
    pub neuron: Neuron,
    /// without records; potentiation acts only with a control phase
    pub settings: Run,
    pub phases: Phases,
    /// threshold of potentiation, mM^4 ms
    pub theta: f64,
    pub trials: usize,
    pub seed: u64,
    pub delay_runs: usize,
    /// the closed form in place of the cable
    pub event: Option<Event>,
    pub traces: Vec<Trace>,
    pub(super) keys: Source,
    pub(super) query: Source,
    pub(super) matched: MatchedSpec,
    pub(super) lead_ms: f64,
    pub(super) jitter_ms: f64,
}

impl Plan {
    /// Checks sizes, times and files, and builds the neuron. Relative paths start at `folder`.
    ///
    /// # Errors
    /// Every mistake, with its path.
    pub fn of(circuit: &SpikeCircuit, folder: &Path) -> Result<Self, Diagnostics> {
        let mut d = Diagnostics::new();
        let p = &circuit.protocol;
        let dt_ms = circuit.dt_ms.unwrap_or(Run::default().dt_ms);
        if dt_ms > LONGEST_STEP_MS {
            let error = CableError::StepTooCoarse { dt_ms, longest_ms: LONGEST_STEP_MS };
            d.push(error.at("simulation.dt"));
        }
        let (phases, duration_ms) = phases(circuit, &mut d);
        if duration_ms / dt_ms > 1e10 {
            let what = format!("{duration_ms} ms are more than 10^10 steps of {dt_ms} ms");
            let error = Diagnostic::error(codes::C074, "protocol.match_and_control", what);
            d.push(error.help("run shorter, or with longer steps"));
        }
        let theta = theta(circuit, &mut d);
        let event = event(circuit, phases, &mut d);
        let (match_ms, control_ms) = (phases.match_ms, phases.control_ms);
        let times = Times { duration_ms, dt_ms, match_ms, control_ms, is_query: false };
        let sources = both(circuit, folder, times, &mut d);
        let neuron = neuron(circuit, &mut d);
        let cable = circuit.cable();
        let base = if cable.resolution == ResolutionSpec::Full { Run::fine() } else { Run::default() };
        let settings = Run {
            duration_ms,
            dt_ms,
            start_mv: cable.start.map_or(base.start_mv, |m| m.value),
            theta: phases.control_ms.and(theta),
            pulse: circuit.pulse().map_or(base.pulse, |p| (p.current.value, p.duration.ms)),
            read_at_ms: phases.control_ms.map(|(from, _)| from.min(duration_ms)),
            ..base
        };
        let traces = neuron.as_ref().map(|n| traces(circuit, n, &settings, p.trials, &mut d));
        let event = event.zip(neuron.as_ref()).map(|(e, n)| Event { synapses: n.synapses.clone(), ..e });
        if let Some((keys, query)) = &sources {
            enough_trials(circuit, keys, query, &mut d);
        }
        match (neuron, theta, sources, traces) {
            (Some(neuron), Some(theta), Some((keys, query)), Some(traces)) if !d.has_errors() => Ok(Self {
                neuron,
                settings,
                phases,
                theta,
                trials: p.trials,
                seed: circuit.seed,
                delay_runs: p.delay_runs,
                event,
                traces,
                keys,
                query,
                matched: p.matched,
                lead_ms: p.lead.ms,
                jitter_ms: p.jitter.ms,
            }),
            _ => Err(d),
        }
    }
}

/// Windows of the phases, and the end of the run.
fn phases(circuit: &SpikeCircuit, d: &mut Diagnostics) -> (Phases, f64) {
    let p = &circuit.protocol;
    let from = p.phase.from.ms;
    let to = from + p.phase.duration.ms;
    let control_ms = p.control.map(|c| (to + c.pause.ms, to + c.pause.ms + c.duration.ms));
    let (last, key, rest) = match control_ms {
        Some((_, end)) => (end, "control", CONTROL_REST_MS),
        None => (to, "match", MATCH_REST_MS),
    };
    let duration = circuit.duration_ms.unwrap_or(last + rest);
    if last > duration {
        let what = format!("the {key} window ends at {last} ms, after the run of {duration} ms");
        let help =
            format!("shorten it, or let the run end later: `simulation: {{stop: {{duration: {last} ms}}}}`");
        let path = format!("protocol.match_and_control.{key}.duration");
        d.push(Diagnostic::error(codes::C074, path, what).help(help));
    }
    (Phases { match_ms: (from, to), control_ms }, duration)
}

/// The threshold that the file gives, or the published one of the window.
fn theta(circuit: &SpikeCircuit, d: &mut Diagnostics) -> Option<f64> {
    if let Some(theta) = circuit.synapses().0.potentiation.and_then(|p| p.theta) {
        return Some(theta.value);
    }
    let window = circuit.protocol.phase.duration.ms;
    if let Some((_, theta)) = THETA.iter().find(|(w, _)| (w - window).abs() < 1e-9) {
        return Some(*theta);
    }
    let what = format!("no threshold of potentiation is known for a match window of {window} ms");
    let help = format!(
        "add `synapses: {{potentiation: {{theta: 7.9e-14 mM^4 ms}}}}` to `{}`; published: {}",
        circuit.spines_path(),
        THETA.map(|(w, t)| format!("{t:e} at {w} ms")).join(", ")
    );
    let path = "protocol.match_and_control.match.duration";
    d.push(Diagnostic::error(codes::C079, path, what).help(help));
    None
}

/// The closed form, where the circuit asks for it and it applies.
fn event(circuit: &SpikeCircuit, phases: Phases, d: &mut Diagnostics) -> Option<Event> {
    let FidelitySpec::Event(spec) = circuit.fidelity else { return None };
    let mut refuse = |path: &str, what: &str| {
        let help = "write `fidelity: cable`, or leave this out";
        d.push(Diagnostic::error(codes::C078, path, format!("`fidelity: event` {what}")).help(help));
    };
    if phases.control_ms.is_some() {
        refuse(
            "protocol.match_and_control.control",
            "has no control phase, and so no success and no spurious spikes",
        );
    }
    if !circuit.record.is_empty() {
        refuse("record", "has no potentials or calcium in time to record");
    }
    let otherwise = Event::default();
    Some(Event {
        jump_mm: spec.jump.map_or(otherwise.jump_mm, |m| m.value),
        power: spec.power.unwrap_or(otherwise.power),
        noise: spec.noise.unwrap_or(otherwise.noise),
        synapses: otherwise.synapses,
    })
}

/// Files of trains hold as many trials as are asked for.
fn enough_trials(circuit: &SpikeCircuit, keys: &Source, query: &Source, d: &mut Diagnostics) {
    let asked = circuit.protocol.trials;
    for (source, p) in [(keys, circuit.keys()), (query, circuit.query())] {
        if let Some(held) = source.trials().filter(|n| *n < asked) {
            let what =
                format!("the file has spikes of {held} trials for `{}`, but {asked} are asked for", p.name);
            let help = format!("ask for {held} trials, or add the others to the file");
            let path = format!("{}.spike_trains.file.path", p.path);
            d.push(Diagnostic::error(codes::C073, path, what).help(help));
        }
    }
}
