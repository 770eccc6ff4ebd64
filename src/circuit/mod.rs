//! From the circuit as written to a wired circuit: names become ids, shapes and indices are known, weights are drawn.
//!
//! 1. `build` numbers streams, relays, areas and populations; `endpoints` finds them by name.
//! 2. `wire` resolves projections: `rules` says what may end where and what happens to token indices,
//!    `matrices` makes the weights (`draw`, ties, `onto` and `pool`), `inputs` checks what each population receives.
//! 3. `time` joins clocks, orders populations (petgraph), refuses loops within a token step.
//!
//! All mistakes are reported at once, each with the path of what is at fault. `println!("{circuit}")` shows the result
//! as stable text.
//!
//! **Deliberately absent:** any notion of a head, a query matrix or a softmax; YAML.

mod build;
mod draw;
mod endpoints;
mod inputs;
mod matrices;
pub mod memory;
mod rules;
mod show;
pub mod spikes;
pub mod synapses;
mod time;
pub mod types;
mod wire;

pub use spikes::{SpikeCircuit, spikes};
pub use synapses::{AxisMap, Synapses, Weights};
pub use types::*;

use crate::diag::{Diagnostic, Diagnostics, codes};
use crate::spec::{CircuitSpec, OutputSpec};
use std::path::Path;

/// Wires a circuit. Relative paths of weight files start at `folder`.
///
/// # Errors
/// Every mistake in names, indices, shapes and weights, each with its path, and with its line if the circuit was read from
/// a file.
pub fn wire(spec: &CircuitSpec, folder: &Path) -> Result<Circuit, Diagnostics> {
    wired(spec, folder).map_err(|mut d| {
        spec.places.locate(&mut d);
        d
    })
}

fn wired(spec: &CircuitSpec, folder: &Path) -> Result<Circuit, Diagnostics> {
    if spec.spikes() {
        return Err(no_rates(spec));
    }
    let mut d = Diagnostics::new();
    let mut names = build::names(spec, &mut d);
    let wires = wire::wires(spec, &names, folder, &mut d);
    inputs::input_relays(&mut names, &wires, &mut d);
    inputs::connected(&names, &wires, &mut d);
    let output = output(&spec.output, &names, &mut d);
    time::clocks(&mut names, &wires, output, &mut d);
    time::layout(&spec.tokens.layout, &names, &wires, &mut d);
    let graph = time::graph(&names, &wires);
    let roots = match output {
        Some(Output::Relay(r)) => vec![r],
        Some(Output::Signed { plus, minus }) => vec![plus, minus],
        None => Vec::new(),
    };
    let order = time::order(&names, &wires, &graph, &roots, &mut d);
    inputs::silent_relays(spec, &names, &wires, &order, &mut d);
    let everyone: Vec<PopulationId> = (0..names.populations.len()).map(PopulationId).collect();
    let whole =
        if d.has_errors() { None } else { Some(time::order(&names, &wires, &graph, &everyone, &mut d)) };
    match (output, whole) {
        (Some(output), Some(whole)) if !d.has_errors() => Ok(Circuit {
            name: spec.name.clone(),
            seed: spec.seed,
            streams: names.streams,
            areas: names.areas,
            populations: names.populations,
            projections: wires.projections,
            output,
            mask: spec.tokens.mask,
            layout: spec.tokens.layout.clone(),
            graph,
            order: order.sorted,
            recurrent: order.recurrent,
            whole: whole.sorted,
            loops: whole.recurrent,
            places: spec.places.clone(),
        }),
        _ => Err(d),
    }
}

/// Mistakes of a circuit of spikes; without any, that it has no rates.
fn no_rates(spec: &CircuitSpec) -> Diagnostics {
    let circuit = match spikes::spikes(spec) {
        Ok(circuit) => circuit,
        Err(d) => return d,
    };
    let what = format!(
        "`{}` is not linear attention: it answers in spikes, and its synapses change while they are read",
        circuit.neuron().name
    );
    let help = "`pulvinar simulate FILE` runs it; the score of an axon is nearly bilinear in binned trains, \
                g = k' K q: `pulvinar explain N025`";
    Diagnostic::error(codes::N025, circuit.cable_path(), what).help(help).into()
}

fn output(spec: &OutputSpec, names: &build::Names, d: &mut Diagnostics) -> Option<Output> {
    let mut relay = |name: &str, path: &str| {
        let id = names.find(name, path, d)?;
        let p = &names.populations[id.0];
        if !p.is_relay() {
            d.push(
                Diagnostic::error(codes::C044, path, format!("the output `{name}` is not a relay"))
                    .help("results leave through a thalamic relay: add one, and project to it"),
            );
            return None;
        }
        if !matches!(p.kind, Kind::Relay { stream: None, .. }) {
            d.push(
                Diagnostic::error(
                    codes::C045,
                    path,
                    format!("the output `{name}` is an input relay: nothing projects to it"),
                )
                .help("name the relay that the area's read-out projects to"),
            );
            return None;
        }
        Some(id)
    };
    match spec {
        OutputSpec::Relay(name) => relay(name, "output").map(Output::Relay),
        OutputSpec::Signed { plus, minus } => {
            let plus_id = relay(plus, "output.plus");
            let minus_id = relay(minus, "output.minus");
            let (plus_id, minus_id) = (plus_id?, minus_id?);
            let (a, b) = (&names.populations[plus_id.0], &names.populations[minus_id.0]);
            if a.cells != b.cells {
                d.push(
                    Diagnostic::error(
                        codes::C046,
                        "output",
                        format!("`{plus}` has {} cells and `{minus}` {}", a.cells, b.cells),
                    )
                    .help("plus and minus relays need the same number of cells"),
                );
                return None;
            }
            Some(Output::Signed { plus: plus_id, minus: minus_id })
        }
    }
}
