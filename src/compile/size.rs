//! Sizes are looked at before anything is allocated: `ones` and `identity` cost nothing in a file, but their products do.

use crate::circuit::memory::{of_cells, of_heads};
use crate::circuit::{Circuit, Compartment, Population, Weights};
use crate::diag::{Diagnostic, codes};
use crate::memory;
use crate::spec::ActivationSpec;

/// Widest relay; its square is the largest matrix between two relays.
const WIDEST_RELAY: usize = 10_000;
/// Most numbers in one matrix of linear forms.
const MOST_NUMBERS: usize = 200_000_000;
/// Most products of forms that one population, or one projection of products, may make.
const MOST_TERMS: usize = 20_000_000;

/// Refuses circuits whose factor form would not fit into memory.
pub fn check(circuit: &Circuit) -> Result<(), Diagnostic> {
    let refuse = |path: &str, what: String| {
        Err(Diagnostic::error(codes::C006, path, format!("too large to compile: {what}"))
            .help("use fewer cells; nothing was allocated"))
    };
    let width = circuit
        .order
        .iter()
        .map(|id| circuit.population(*id))
        .filter(|p| p.is_relay())
        .map(|p| p.size())
        .max();
    let width = width.unwrap_or(1);
    let (mut bytes, mut largest) = (0u128, (0, String::new()));
    for id in &circuit.order {
        let p = circuit.population(*id);
        bytes += of_cells(p.size(), multiplies(p));
        let most = if p.is_relay() { WIDEST_RELAY } else { MOST_TERMS };
        if p.size() > most {
            return refuse(&p.path, format!("`{}` has {} cells, the most is {most}", p.name, p.size()));
        }
        for (_, q) in circuit.inputs_of(*id).filter(|(_, q)| q.compartment != Compartment::Third) {
            let source = circuit.population(q.from);
            let w = &q.synapses.weights;
            let (rows, columns) = (w.rows(), w.columns());
            let sparse = matches!(w, Weights::Identity { .. });
            let own = of_heads(rows, columns, sparse, multiplies(source), width);
            bytes = bytes.saturating_add(own);
            if own > largest.0 {
                largest = (own, q.path.clone());
            }
            let linear = source.accumulate.is_none()
                && (source.activation == ActivationSpec::LINEAR
                    || !matches!(source.kind, crate::circuit::Kind::Cells { .. }));
            let (needed, most) = match (linear, w) {
                (true, _) => (w.rows().saturating_mul(width), MOST_NUMBERS),
                (false, Weights::Identity { n, .. }) => (*n, MOST_TERMS),
                (false, w) => (w.entries(), MOST_TERMS),
            };
            // Dense weights between relays and read-outs were counted when they were drawn.
            let drawn = matches!(w, Weights::Dense(_)) && p.is_relay();
            if needed > most && !drawn {
                return refuse(
                    &q.path,
                    format!(
                        "{} x {} weights make {needed} numbers, the most is {most}",
                        w.rows(),
                        w.columns()
                    ),
                );
            }
        }
    }
    memory::check(codes::C080, &largest.1, "to compile it", bytes)
}

fn multiplies(p: &Population) -> bool {
    p.accumulate.is_some() || p.activation != ActivationSpec::LINEAR
}
