//! Provenance: which projections, and so which lines of the file, became each matrix of a head.

use super::{Compiled, HeadForm, Step};
use crate::circuit::Circuit;
use std::fmt::Write;

/// Text of where every head came from. `line` gives the line of a path such as `projections.W_K`.
#[must_use]
pub fn explain(compiled: &Compiled, circuit: &Circuit, line: impl Fn(&str) -> Option<u32>) -> String {
    let mut out = String::new();
    let describe = |ids: &[u32]| -> String {
        if ids.is_empty() {
            return "(nothing: constant)".to_owned();
        }
        let one = |id: &u32| {
            let p = &circuit.projections[*id as usize];
            let (from, to) = (&circuit.population(p.from).name, &circuit.population(p.to).name);
            let at = line(&p.path).map_or(String::new(), |l| format!(", line {l}"));
            format!("{} ({from} -> {to}.{}{at})", p.name, p.compartment.name())
        };
        ids.iter().map(one).collect::<Vec<_>>().join(" + ")
    };
    for step in &compiled.steps {
        let block = match step {
            Step::Map(m) => {
                let map = &compiled.maps[*m];
                let _ = writeln!(out, "\nmap {}", map.map.name);
                for part in &map.parts {
                    let _ = writeln!(out, "  {} <- {}", part.name, describe(&part.projections));
                }
                continue;
            }
            Step::Block(b) => &compiled.blocks[*b],
        };
        let _ = writeln!(out, "\nblock {}", block.block.relay);
        for (number, head) in block.heads.iter().enumerate() {
            let HeadForm { query, key, value, output, lateral, gate, .. } = head;
            let _ = writeln!(out, "  head {}{}", number, in_area(&head.head.area));
            let rows = [("W_Q", query), ("W_K", key), ("W_V", value), ("W_O", output)];
            for (name, ids) in rows {
                let _ = writeln!(out, "    {name} <- {}", describe(ids));
            }
            if !gate.is_empty() {
                let _ = writeln!(out, "    gate <- {}", describe(gate));
            }
            if !lateral.is_empty() {
                let _ = writeln!(out, "    by  <- {}", describe(lateral));
            }
        }
        for (path, ids) in block.block.residual.iter().zip(&block.residual) {
            let _ = writeln!(out, "  residual {} <- {}", path.stream, describe(ids));
        }
        if !block.bias.is_empty() {
            let _ = writeln!(out, "  b_O <- {}", describe(&block.bias));
        }
    }
    out
}

fn in_area(area: &str) -> String {
    if area.is_empty() { String::new() } else { format!(" in {area}") }
}
