//! The neuron and its synapses: what the file gives in place of the published numbers.

use crate::circuit::SpikeCircuit;
use crate::diag::{Diagnostic, Diagnostics, codes};
use crate::simulate::cable::pyramidal::BRANCHES;
use crate::simulate::cable::spines::Synapses;
use crate::simulate::cable::{CableError, Neuron, Pyramidal};
use crate::spec::{ReceptorSpec, ResolutionSpec};

/// Builds the neuron.
pub fn neuron(circuit: &SpikeCircuit, d: &mut Diagnostics) -> Option<Neuron> {
    let cable = circuit.cable();
    let otherwise = match cable.resolution {
        ResolutionSpec::Full => Pyramidal::full(),
        ResolutionSpec::Reduced => Pyramidal::reduced(),
    };
    let (axons, per_axon) = (circuit.keys().cells, circuit.spines_per_axon());
    let before = d.0.len();
    let divides = |total: usize, parts: usize| parts > 0 && total.is_multiple_of(parts);
    let at = circuit.cable_path();
    if !divides(axons, BRANCHES) {
        let what = format!("{axons} axons do not divide into the {BRANCHES} branches of the tuft");
        let help = format!("choose a multiple of {BRANCHES}");
        let path = format!("{}.cells", circuit.keys().path);
        d.push(Diagnostic::error(codes::C072, path, what).help(help));
    }
    // Reduced: one head for the spines of an axon, however many these are.
    let lumped = match cable.resolution {
        ResolutionSpec::Full => 1,
        ResolutionSpec::Reduced => per_axon,
    };
    let spines_per_head = cable.spines_per_head.unwrap_or(lumped);
    if !divides(per_axon, spines_per_head) {
        let what =
            format!("heads of {spines_per_head} spines do not divide the {per_axon} spines of an axon");
        let help = format!("choose a divisor of {per_axon}");
        let path = format!("{at}.spines_per_head");
        d.push(Diagnostic::error(codes::C072, path, what).help(help));
    }
    let synapses = synapses(circuit, d);
    if d.0.len() > before {
        return None;
    }
    let pyramidal = Pyramidal {
        shaft: cable.shaft.unwrap_or(otherwise.shaft),
        top: cable.top.unwrap_or(otherwise.top),
        tuft: cable.tuft.unwrap_or(otherwise.tuft),
        spines: axons * per_axon,
        axons,
        spines_per_axon: per_axon,
        spines_per_head,
        necks: cable.necks.unwrap_or(otherwise.necks),
        synapses,
    };
    pyramidal.build().map_err(|e| d.push(place(&e, circuit))).ok()
}

/// A mistake of the cable, at the part of the file that is most likely at fault.
pub fn place(error: &CableError, circuit: &SpikeCircuit) -> Diagnostic {
    let path = match error {
        CableError::StepTooCoarse { .. } => "simulation.dt".to_owned(),
        CableError::Trains { .. }
        | CableError::TimeOutsideRun { .. }
        | CableError::UnsortedTrain { .. }
        | CableError::SameStep { .. } => circuit.keys().path.clone(),
        _ => circuit.cable_path(),
    };
    error.at(path)
}

fn synapses(circuit: &SpikeCircuit, d: &mut Diagnostics) -> Synapses {
    let (spec, delay_ms) = circuit.synapses();
    let otherwise = Synapses::default();
    let path = format!("{}.synapses", circuit.spines_path());
    let mut receptor = |name: &str, r: Option<ReceptorSpec>, peak: f64, (rise, fall): (f64, f64)| {
        let r = r.unwrap_or_default();
        let times = (r.rise.map_or(rise, |t| t.ms), r.decay.map_or(fall, |t| t.ms));
        if times.0 >= times.1 {
            let what =
                format!("decays with {} ms, not more slowly than it rises with {} ms", times.1, times.0);
            let error = Diagnostic::error(codes::C076, format!("{path}.{name}"), format!("`{name}` {what}"));
            d.push(error.help(format!("published: rise {rise} ms, decay {fall} ms")));
        }
        (r.peak.map_or(peak, |m| m.value), times)
    };
    let (ampa_ns, ampa_ms) = receptor("ampa", spec.ampa, otherwise.ampa_ns, otherwise.ampa_ms);
    let (nmda_ns, nmda_ms) = receptor("nmda", spec.nmda, otherwise.nmda_ns, otherwise.nmda_ms);
    let p = spec.potentiation.unwrap_or_default();
    Synapses {
        ampa_ns,
        nmda_ns,
        ampa_ms,
        nmda_ms,
        delay_ms: delay_ms.unwrap_or(otherwise.delay_ms),
        calcium_ms: spec.calcium.map_or(otherwise.calcium_ms, |c| c.decay.ms),
        integral_ms: p.decay.map_or(otherwise.integral_ms, |t| t.ms),
        lag_ms: p.lag.map_or(otherwise.lag_ms, |t| t.ms),
        sharpness: p.sharpness.unwrap_or(otherwise.sharpness),
        potentiated: p.gain.unwrap_or(otherwise.potentiated),
    }
}
