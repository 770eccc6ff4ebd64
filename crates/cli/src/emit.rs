//! Stages of the pipeline as text.

use nalgebra::DMatrix;
use petgraph::dot::{Config, Dot};
use pulvinar::attention::token_map::{Response, Source, Weights};
use pulvinar::attention::{Kernel, Memory, Rate, TokenMap};
use pulvinar::circuit::spikes::{Home, SpikeEnd};
use pulvinar::circuit::{Circuit, Kind, SpikeCircuit};
use pulvinar::compile::{Compiled, Step};
use pulvinar::diag::{Diagnostic, codes};
use std::fmt::Write;

/// The circuit as Graphviz text, one node per population, areas as colours of the same group.
pub fn dot(circuit: &Circuit) -> String {
    let graph = circuit.graph.map(|_, p| circuit.population(*p), |_, e| circuit.projection(*e));
    let edge = |_: &_, e: petgraph::graph::EdgeReference<'_, &pulvinar::circuit::Projection>| {
        let p = e.weight();
        format!("label=\"{}\" headlabel=\"{}\"", p.name, p.compartment.name())
    };
    let node = |_: &_, (_, p): (_, &&pulvinar::circuit::Population)| {
        let shape = match p.kind {
            Kind::Tonic => "point",
            Kind::Relay { .. } => "ellipse",
            Kind::Cells { .. } => "triangle",
        };
        format!("label=\"{}\" shape={shape}", p.name)
    };
    let config = [Config::EdgeNoLabel, Config::NodeNoLabel];
    format!("{:?}", Dot::with_attr_getters(&graph, &config, &edge, &node))
}

/// A circuit of spikes as Graphviz text.
pub fn spikes_dot(circuit: &SpikeCircuit) -> String {
    let mut text = String::from("digraph {\n");
    for (number, p) in circuit.populations.iter().enumerate() {
        let shape = match (&p.home, number == circuit.neuron) {
            (_, true) => "triangle",
            (Home::Thalamus(_), _) => "ellipse",
            (Home::Area(_), _) => "circle",
        };
        let _ = writeln!(text, "    {number} [ label=\"{} x {}\" shape={shape}]", p.name, p.cells);
    }
    for p in &circuit.projections {
        let end = if matches!(p.end, SpikeEnd::Spines { .. }) { "spines" } else { "soma" };
        let _ = writeln!(
            text,
            "    {} -> {} [ label=\"{}\" headlabel=\"{end}\"]",
            p.from, circuit.neuron, p.name
        );
    }
    text.push_str("}\n");
    text
}

/// The circuit as a drawing.
pub fn svg(circuit: &Circuit) -> Result<String, Diagnostic> {
    pulvinar_lab::figures::circuit::draw(circuit)
        .map_err(|e| Diagnostic::error(codes::F004, "", format!("the drawing could not be made: {e}")))
}

/// Every matrix of every head.
pub fn heads(compiled: &Compiled) -> String {
    let mut text = String::new();
    for step in &compiled.steps {
        let block = match step {
            Step::Map(m) => {
                map(&mut text, &compiled.maps[*m].map);
                continue;
            }
            Step::Block(b) => &compiled.blocks[*b],
        };
        let b = &block.block;
        let _ = writeln!(text, "block {} [{}]", b.relay, b.d_model);
        for (number, h) in block.heads.iter().enumerate() {
            let head = &h.head;
            let kernel = match head.kernel {
                Kernel::Power(n) => format!("power {n}"),
                Kernel::Feature { key, query } => format!("feature {key:?}(k) . {query:?}(q)"),
                k => k.name().to_owned(),
            };
            let _ = writeln!(
                text,
                "  head {}: kernel {kernel}, scale {}, normalisation {}, mask {}, memory {}, query {}, context {}",
                number,
                significant(head.scale),
                head.normalisation.name(),
                head.mask.name(),
                memory(&head.memory),
                head.query_stream,
                head.context_stream
            );
            for (name, m, bias) in
                [("W_Q", &head.w_q, &head.b_q), ("W_K", &head.w_k, &head.b_k), ("W_V", &head.w_v, &head.b_v)]
            {
                matrix(&mut text, name, m);
                if bias.iter().any(|x| *x != 0.0) {
                    matrix(
                        &mut text,
                        &name.replace('W', "b"),
                        &DMatrix::from_row_slice(1, bias.len(), bias.as_slice()),
                    );
                }
            }
            matrix(&mut text, "W_O", &head.w_o);
        }
        for r in &b.residual {
            matrix(&mut text, &format!("R.{}", r.stream), &r.matrix);
        }
        if b.b_o.iter().any(|x| *x != 0.0) {
            matrix(&mut text, "b_O", &DMatrix::from_row_slice(1, b.b_o.len(), b.b_o.as_slice()));
        }
    }
    text
}

/// Every matrix of a map.
fn map(text: &mut String, map: &TokenMap) {
    let _ = writeln!(text, "map {} [{}]", map.name, map.d_model());
    for (n, cells) in map.cells.iter().enumerate() {
        let out = if map.output.contains(&n) { ", output" } else { "" };
        let response = match cells.activation {
            Response::Product => "product".to_owned(),
            Response::Function(f) => format!("{f:?}").to_lowercase(),
        };
        let _ = writeln!(text, "  {} [{}]: {response}{out}", cells.name, cells.n);
        let lists = [
            ("basal", &cells.basal.sums),
            ("basal divisor", &cells.basal.divisors),
            ("apical", &cells.apical.sums),
            ("apical divisor", &cells.apical.divisors),
        ];
        for (name, arrow) in lists.into_iter().flat_map(|(name, list)| list.iter().map(move |a| (name, a))) {
            let source = match arrow.source {
                Source::Stream(s) => map.inputs[s].stream.as_str(),
                Source::Cells(c) => map.cells[c].name.as_str(),
                Source::Constant => "1",
            };
            match &arrow.weights {
                Weights::Identity(gain) => {
                    let _ = writeln!(text, "    {name} <- {source} x {}", significant(*gain));
                }
                Weights::Dense(m) => matrix(text, &format!("{name} <- {source}"), m),
            }
        }
    }
}

fn memory(memory: &Memory) -> String {
    match memory {
        Memory::Decay(g) => format!("decay {g}"),
        Memory::Delta(Rate::Constant(b)) => format!("delta rate {b}"),
        Memory::Delta(Rate::Gate(_)) => "delta rate by gate".to_owned(),
        Memory::Gated { side, .. } => format!("gated on {side:?}").to_lowercase(),
        m => m.name().to_owned(),
    }
}

fn matrix(text: &mut String, name: &str, m: &DMatrix<f64>) {
    let _ = writeln!(text, "    {name} [{} x {}]", m.nrows(), m.ncols());
    for row in m.row_iter() {
        let cells: Vec<String> = row.iter().map(|x| format!("{:>13}", significant(*x))).collect();
        let _ = writeln!(text, "     {}", cells.join(""));
    }
}

/// Six significant digits, so that the text does not depend on the last bits.
fn significant(x: f64) -> String {
    let rounded = format!("{x:.5e}").parse::<f64>().unwrap_or(x) + 0.0;
    if rounded == 0.0 || (1e-4..1e7).contains(&rounded.abs()) {
        format!("{rounded}")
    } else {
        format!("{rounded:e}")
    }
}
