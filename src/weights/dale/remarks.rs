//! What the plus/minus circuit does not take along: errors, teachers, rules of learning, recordings and lesions.

use crate::circuit::{Circuit, Compartment, Kind};
use crate::spec::{CircuitSpec, Reserved};

/// Sections that still mean something, and words on what is left out.
pub fn carried(spec: &CircuitSpec, circuit: &Circuit) -> (Reserved, Vec<String>) {
    let mut remarks = Vec::new();
    let mut say = |what: &str, names: Vec<&str>| {
        if !names.is_empty() {
            remarks.push(format!("Left out: {what}: {}.", names.join(", ")));
        }
    };
    let unused = circuit
        .populations
        .iter()
        .enumerate()
        .filter(|(i, p)| p.kind != Kind::Tonic && !circuit.order.iter().any(|id| id.0 == *i))
        .map(|(_, p)| p.name.as_str());
    say("what the output does not depend on", unused.collect());
    let errors = circuit.projections.iter().filter(|p| p.compartment == Compartment::Third);
    say("errors and feedback", errors.map(|p| p.name.as_str()).collect());
    let plastic = circuit.projections.iter().filter(|p| p.plasticity.is_some());
    say("plasticity (each matrix has become several)", plastic.map(|p| p.name.as_str()).collect());
    let r = &spec.reserved;
    let sections = [
        ("record", !r.record.is_empty()),
        ("lesions", !r.lesions.is_empty()),
        ("train", r.train.is_some()),
        ("loss", r.loss.is_some()),
    ];
    say(
        "sections about cells and rules of the signed circuit",
        sections.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect(),
    );
    let reserved = Reserved { record: Vec::new(), lesions: Vec::new(), train: None, loss: None, ..r.clone() };
    (reserved, remarks)
}
