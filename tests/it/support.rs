//! What several test files need: a wired circuit as input of the plain-loop oracle, and comparisons.

use nalgebra::DMatrix;
use pulvinar::attention::{Kernel, Memory, Normalisation, Streams};
use pulvinar::circuit::{self, Circuit, IndexRule, Output, PopulationId};
use pulvinar::compile::compile;
use pulvinar::diag::{Diagnostic, Diagnostics};
use pulvinar::model::{Model, Parameters};
use pulvinar::oracle::cells as oracle;
use pulvinar::simulate::run;
use pulvinar::spec::{AccumulateSpec, ActivationSpec, Document, Effect, MaskSpec, Part};
use pulvinar::vocabulary::Function;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two folders above")
}

/// Every shipped circuit of rates, by name.
pub fn shipped() -> Vec<PathBuf> {
    every_shipped().into_iter().filter(|p| !speaks_of_spikes(p)).collect()
}

/// A circuit of spikes: no tokens, no heads.
pub fn speaks_of_spikes(path: &Path) -> bool {
    let read = pulvinar::spec::read_file(path, &[]);
    read.unwrap_or_else(|d| panic!("{}: {d}", path.display())).spec.spikes()
}

/// Every shipped circuit, of rates and of spikes.
pub fn every_shipped() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(root().join("circuits"))
        .expect("circuits/ is there")
        .map(|e| e.expect("readable").path())
        .filter(|p| p.extension().is_some_and(|e| e == "yaml"))
        .collect();
    files.sort();
    files
}

pub fn load(path: &Path) -> (Document, Circuit) {
    Model::open(path, &Parameters::default()).and_then(parts).unwrap_or_else(|d| panic!("{d}"))
}

pub fn from_text(text: &str) -> Result<(Document, Circuit), String> {
    let read = Model::read(text.as_bytes(), Path::new("."), &Parameters::default());
    read.and_then(parts).map_err(|d| format!("{d}\n{text}"))
}

fn parts(model: Model) -> Result<(Document, Circuit), Diagnostics> {
    let circuit = model.circuit()?;
    Ok((model.into_document(), Arc::unwrap_or_clone(circuit)))
}

/// `max |a - b| / max |b|`.
pub fn relative(a: &DMatrix<f64>, b: &DMatrix<f64>) -> f64 {
    assert_eq!(a.shape(), b.shape(), "shapes");
    if b.is_empty() {
        return 0.0;
    }
    (a - b).amax() / b.amax().max(1e-300)
}

/// Circuits whose output, here one number, is what is left of terms that cancel each other: in single precision they are
/// held to one rounding of the sum of the terms' absolute values (one is 2,000 times the output).
const CANCELLING: &[&str] = &["learn_in_context"];

/// One rounding of single precision of the sum of the absolute values of the terms of the largest output, relative to it; `None`
/// for circuits that do not cancel. Linear heads compute that sum from absolute weights and tokens.
pub fn lost_to_cancellation(
    name: &str,
    blocks: &[pulvinar::attention::Block],
    tokens: &Streams,
    want: &DMatrix<f64>,
) -> Option<f64> {
    if !CANCELLING.contains(&name) {
        return None;
    }
    let absolute = |m: &mut DMatrix<f64>| m.apply(|x| *x = x.abs());
    let mut blocks = blocks.to_vec();
    for head in blocks.iter_mut().flat_map(|b| &mut b.heads) {
        assert!(head.kernel == Kernel::Linear && head.normalisation == Normalisation::None, "linear heads");
        assert!(matches!(head.memory, Memory::None | Memory::Hebbian), "sums of tokens");
        [&mut head.w_q, &mut head.w_k, &mut head.w_v, &mut head.w_o].into_iter().for_each(absolute);
        for bias in [&mut head.b_q, &mut head.b_k, &mut head.b_v] {
            bias.apply(|x| *x = x.abs());
        }
        head.scale = head.scale.abs();
    }
    for block in &mut blocks {
        block.residual.iter_mut().for_each(|path| absolute(&mut path.matrix));
        block.b_o.apply(|x| *x = x.abs());
    }
    let mut tokens = tokens.clone();
    tokens.values_mut().for_each(absolute);
    let terms = run::<f64>(&blocks, &tokens).expect("finite").output.amax();
    Some(f64::from(f32::EPSILON) / 2.0 * terms / want.amax())
}

/// The circuit's answer by plain loops over cells, `[d_model, n_tokens]`.
pub fn oracle_output(circuit: &Circuit, inputs: &Streams) -> DMatrix<f64> {
    let net = net(circuit, inputs);
    let sent = oracle::evaluate(&net).unwrap_or_else(|e| panic!("oracle: {e}"));
    let position =
        |id: PopulationId| circuit.order.iter().position(|o| *o == id).expect("output is evaluated");
    let values = |id: PopulationId| {
        let s = &sent[position(id)];
        DMatrix::from_fn(circuit.population(id).size(), s.values.len(), |cell, i| s.values[i][0][cell])
    };
    match circuit.output {
        Output::Relay(r) => values(r),
        Output::Signed { plus, minus } => values(plus) - values(minus),
    }
}

/// Output by cells, or nothing where any cell of the circuit diverges; with the largest number of all cells.
pub fn by_cells(circuit: &Circuit, tokens: &Streams) -> Option<(DMatrix<f64>, f64)> {
    let sent =
        oracle::evaluate(&net(circuit, tokens)).unwrap_or_else(|e| panic!("{}: oracle: {e}", circuit.name));
    let mut largest = 0.0_f64;
    for x in sent.iter().flat_map(|s| s.values.iter().flatten().flatten()) {
        if !x.is_finite() {
            return None;
        }
        largest = largest.max(x.abs());
    }
    let of = |id| {
        let at = circuit.order.iter().position(|o| *o == id).expect("evaluated");
        let s = &sent[at];
        DMatrix::from_fn(circuit.population(id).size(), s.values.len(), |cell, i| s.values[i][0][cell])
    };
    let output = match circuit.output {
        Output::Relay(r) => of(r),
        Output::Signed { plus, minus } => {
            let (plus, minus) = (of(plus), of(minus));
            assert_eq!(plus.shape(), minus.shape(), "{}", circuit.name);
            plus - minus
        }
    };
    Some((output, largest))
}

/// The answer of the compiled circuit, `[d_model, n_tokens]`.
pub fn heads_output(circuit: &Circuit, inputs: &Streams) -> Result<DMatrix<f64>, Diagnostic> {
    Ok(run::<f64>(&compile(circuit)?.stages(), inputs)?.output)
}

fn mask(m: MaskSpec) -> oracle::Mask {
    match m {
        MaskSpec::Full => oracle::Mask::Full,
        MaskSpec::Causal => oracle::Mask::Causal,
        MaskSpec::Strict => oracle::Mask::Strict,
        MaskSpec::FullWindow(w) => oracle::Mask::FullWindow(w),
        MaskSpec::CausalWindow(w) => oracle::Mask::CausalWindow(w),
        MaskSpec::StrictWindow(w) => oracle::Mask::StrictWindow(w),
    }
}

fn activation(a: ActivationSpec) -> oracle::Activation {
    let ActivationSpec::Function(f) = a else { return oracle::Activation::Product };
    match f {
        Function::Identity => oracle::Activation::Linear,
        Function::Relu => oracle::Activation::Relu,
        Function::Exp => oracle::Activation::Exp,
        Function::EluPlusOne => oracle::Activation::EluPlusOne,
        Function::Sigmoid => oracle::Activation::Sigmoid,
        Function::Sign => oracle::Activation::Sign,
        Function::Sqrt => oracle::Activation::Sqrt,
        Function::Tanh => oracle::Activation::Tanh,
        Function::Silu => oracle::Activation::Silu,
        Function::Gelu => oracle::Activation::Gelu,
        Function::GeluTanh => oracle::Activation::GeluTanh,
        Function::Sine => oracle::Activation::Sine,
        Function::Power(p) => oracle::Activation::Power(p.get()),
    }
}

fn part(p: Option<Part>) -> Option<oracle::Part> {
    p.map(|p| match p {
        Part::Plus => oracle::Part::Plus,
        Part::Minus => oracle::Part::Minus,
    })
}

/// The wired circuit, written out cell by cell.
pub fn net(circuit: &Circuit, inputs: &Streams) -> oracle::Net {
    let streams = circuit
        .streams
        .iter()
        .map(|s| oracle::StreamData {
            d_model: s.d_model,
            tokens: inputs
                .get(&s.name)
                .map_or_else(Vec::new, |x| x.column_iter().map(|c| c.iter().copied().collect()).collect()),
        })
        .collect();
    let length = |clock: Option<usize>| {
        clock.map_or(1, |c| inputs.get(&circuit.streams[c].name).map_or(1, |x| x.ncols()))
    };
    let position = |id: PopulationId| circuit.order.iter().position(|o| *o == id);
    let populations = circuit
        .order
        .iter()
        .map(|id| {
            let p = circuit.population(*id);
            // A memory sends one state for each query token of those who read it.
            let reader = circuit
                .projections
                .iter()
                .find(|q| q.from == *id && position(q.to).is_some())
                .map(|q| circuit.population(q.to))
                .and_then(|t| t.query_clock.or(t.context_clock));
            let query_clock = if p.accumulate.is_some() { reader } else { p.query_clock };
            let (kind, part) = match &p.kind {
                circuit::Kind::Tonic => (oracle::Kind::Constant(1.0), None),
                circuit::Kind::Relay { stream: Some(s), part: half, .. } => {
                    (oracle::Kind::Input { stream: *s, part: part(*half) }, None)
                }
                circuit::Kind::Relay { part: half, .. } => (oracle::Kind::Cells, part(*half)),
                circuit::Kind::Cells { .. } => (oracle::Kind::Cells, None),
            };
            oracle::Population {
                name: p.name.clone(),
                n_microcolumns: p.microcolumns,
                n_cells: p.cells,
                has_query: p.indices.query,
                has_context: p.indices.context,
                query_clock: length(query_clock),
                context_clock: length(p.context_clock),
                kind,
                part,
                activation: activation(p.activation),
                accumulate: p.accumulate.map(|a| match a {
                    AccumulateSpec::Hebbian { rate } => oracle::Accumulate::Hebbian { rate },
                    AccumulateSpec::Decay { g, rate } => oracle::Accumulate::Decay { g, rate },
                    AccumulateSpec::Delta { rate } => oracle::Accumulate::Delta { rate },
                    AccumulateSpec::Gated {} => oracle::Accumulate::Gated,
                }),
                mask: mask(p.mask),
            }
        })
        .collect();
    let projections = circuit
        .projections
        .iter()
        .filter(|p| p.compartment != circuit::Compartment::Third)
        .filter_map(|p| {
            let (from, to) = (position(p.from)?, position(p.to)?);
            let (targets, sources) = (circuit.population(p.to).size(), circuit.population(p.from).size());
            let full = p.synapses.full(targets, sources);
            Some(oracle::Projection {
                name: p.name.clone(),
                from,
                to,
                compartment: match p.compartment {
                    circuit::Compartment::Basal => oracle::Compartment::Basal,
                    circuit::Compartment::Apical => oracle::Compartment::Apical,
                    _ => oracle::Compartment::Gate,
                },
                weights: full.row_iter().map(|r| r.iter().copied().collect()).collect(),
                divisive: p.effect == Effect::Divisive,
                delayed: p.delay_ms.is_some(),
                mask: match p.index {
                    IndexRule::SumContext(m) => Some(mask(m)),
                    _ => None,
                },
            })
        })
        .collect();
    oracle::Net { streams, populations, projections }
}
