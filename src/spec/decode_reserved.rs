//! Sections that other verbs act on: read, checked and carried.

use super::decode_run::{lesion, list, record};
use super::decode_spikes::{fidelity, trace};
use super::fields::{At, Decoder, Fields};
use super::node::Value;
use super::types::*;

/// In a circuit of spikes (`spikes`) traces are those of a neuron.
pub fn reserved(d: &mut Decoder, f: &mut Fields<'_>, spikes: bool) -> Reserved {
    let traces = if spikes { f.optional(d, "record", |d, at| list(d, at, trace)) } else { None };
    let record = if spikes { None } else { f.optional(d, "record", |d, at| list(d, at, record)) };
    Reserved {
        simulation: f.optional(d, "simulation", simulation),
        record: record.unwrap_or_default(),
        traces: traces.unwrap_or_default(),
        noise: f.optional(d, "noise", super::decode_cells::noise),
        lesions: f.optional(d, "lesions", |d, at| list(d, at, lesion)).unwrap_or_default(),
        task: f.optional(d, "task", super::decode_task::task),
        train: f.optional(d, "train", super::decode_learn::train),
        loss: f.optional(d, "loss", super::decode_learn::loss),
        protocol: f.optional(d, "protocol", super::decode_protocol::protocol),
        fidelity: f.optional(d, "fidelity", fidelity),
    }
}

pub fn simulation(d: &mut Decoder, at: At<'_>) -> Option<SimulationSpec> {
    let mut f = d.map(at, "a map with `dt`, `integrator` or `stop`")?;
    let dt = f.optional(d, "dt", |d, at| d.time(at, false));
    let integrator = f.optional(d, "integrator", |d, at| {
        d.word(at, &[("euler", Integrator::Euler), ("exponential_euler", Integrator::ExponentialEuler)])
    });
    let stop = f.optional(d, "stop", |d, at| {
        if !matches!(at.node.value, Value::Map(_)) {
            return d.word(at, &[("settle", ())]).map(|()| StopSpec::Settle);
        }
        let mut f = d.map(at, "`settle` or `{duration: 500 ms}`")?;
        let duration = f.required(d, "duration", |d, at| d.time(at, false));
        f.finish(d);
        duration.map(StopSpec::Duration)
    });
    f.finish(d);
    Some(SimulationSpec { dt, integrator, stop })
}
