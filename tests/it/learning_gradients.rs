//! The exact gradient of cell circuits: against finite differences and against the gradient of the compiled heads.

use crate::support::{load, relative, shipped};
use nalgebra::DMatrix;
use pulvinar::attention::Streams;
use pulvinar::attention::gradient::backward_stack;
use pulvinar::circuit::{Circuit, Weights};
use pulvinar::compile::compile;
use pulvinar::plasticity::{Plan, Work, backward, forward};
use pulvinar::seed;
use pulvinar::simulate::{inputs, run};
use std::collections::BTreeMap;

/// Most entries of one matrix whose differences are taken.
const ENTRIES: usize = 40;

/// A circuit with the first tokens of its own input and a random target.
struct Case<'c> {
    plan: Plan<'c>,
    weights: Vec<Weights>,
    tokens: Streams,
    target: DMatrix<f64>,
}

impl<'c> Case<'c> {
    fn new(circuit: &'c Circuit, tokens: Streams) -> Self {
        let plan = Plan::new(circuit, &tokens).unwrap_or_else(|d| panic!("{}: {d}", circuit.name));
        let d_model = plan.cells[plan.outputs[0].0].n;
        let mut rng = seed::stream(1, "target");
        let target = DMatrix::from_fn(d_model, plan.queries, |_, _| seed::normal(&mut rng));
        let weights = circuit.projections.iter().map(|p| p.synapses.weights.clone()).collect();
        Self { plan, weights, tokens, target }
    }

    fn output(&self, weights: &[Weights], work: &mut Work) -> DMatrix<f64> {
        forward(&self.plan, weights, &self.tokens, work).unwrap_or_else(|w| panic!("{w:?}"));
        let mut y = self.target.clone();
        work.output(&self.plan, &mut y);
        y
    }

    fn loss(&self, weights: &[Weights], work: &mut Work) -> f64 {
        0.5 * (self.output(weights, work) - &self.target).norm_squared()
    }

    /// The gradient by all projections that the output depends on.
    fn gradient(&self, work: &mut Work) -> Vec<Option<DMatrix<f64>>> {
        work.d_output = self.output(&self.weights, work) - &self.target;
        let mut d_w: Vec<Option<DMatrix<f64>>> = self
            .weights
            .iter()
            .map(|w| (w.entries() < 100_000).then(|| DMatrix::zeros(w.rows(), w.columns())))
            .collect();
        backward(&self.plan, &self.weights, work, &mut d_w).expect("a derivative");
        d_w
    }

    /// `dL/dw` of one entry: central differences of two step sizes, joined by Richardson's extrapolation.
    fn difference(&self, k: usize, at: (usize, usize), work: &mut Work) -> f64 {
        let mut weights = self.weights.clone();
        let mut loss = |by: f64| {
            let mut w = self.weights[k].dense();
            w[at] += by;
            weights[k] = Weights::Dense(w);
            self.loss(&weights, work)
        };
        let mut central = |h: f64| (loss(h) - loss(-h)) / (2.0 * h);
        let h = 2e-3;
        (4.0 * central(h / 2.0) - central(h)) / 3.0
    }
}

fn short(tokens: Streams, n: usize) -> Streams {
    tokens.into_iter().map(|(name, x)| (name, x.columns(0, x.ncols().min(n)).into_owned())).collect()
}

#[test]
fn every_projection_of_every_circuit_has_the_derivative_of_differences() {
    for file in shipped() {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let (document, circuit) = load(&file);
        let tokens = short(inputs(&circuit, &document.folder, &BTreeMap::new()).expect("tokens"), 6);
        let case = Case::new(&circuit, tokens);
        let mut work = Work::new(&case.plan);
        let gradient = case.gradient(&mut work);
        let mut rng = seed::stream(2, &name);
        let largest = gradient.iter().flatten().map(|d| d.norm()).fold(0.0, f64::max);
        for (k, p) in circuit.projections.iter().enumerate() {
            let reaches =
                circuit.order.contains(&p.to) && p.compartment != pulvinar::circuit::Compartment::Third;
            let Some(d) = gradient[k].as_ref().filter(|d| reaches && !d.is_empty()) else { continue };
            let (mut gap, mut size) = (0.0, 0.0);
            for _ in 0..ENTRIES.min(d.len()) {
                let pick =
                    |n: usize, rng: &mut _| ((seed::uniform(rng, 0.0, 1.0) * n as f64) as usize).min(n - 1);
                let at = (pick(d.nrows(), &mut rng), pick(d.ncols(), &mut rng));
                let want = case.difference(k, at, &mut work);
                gap += (d[at] - want).powi(2);
                size += want.powi(2);
            }
            // A bias of all keys under softmax has derivative 0: there the rounding of the loss is what is left.
            let error = gap.sqrt() / size.sqrt().max(1e-3 * largest);
            assert!(error < 1e-9, "{name}: {}: {error:e}", p.name);
        }
    }
}

#[test]
fn settled_cells_are_the_compiled_heads_and_so_are_derivatives_by_tokens() {
    for file in shipped() {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let (document, circuit) = load(&file);
        let tokens = short(inputs(&circuit, &document.folder, &BTreeMap::new()).expect("tokens"), 12);
        let blocks = compile(&circuit).expect("compiles").plain_blocks();
        let case = Case::new(&circuit, tokens.clone());
        let mut work = Work::new(&case.plan);
        let output = case.output(&case.weights, &mut work);
        let want = run::<f64>(&blocks, &tokens).expect("runs").output;
        assert!(relative(&output, &want) < 1e-12, "{name}");
        case.gradient(&mut work);
        let heads = backward_stack(&blocks, &tokens, &work.d_output).expect("a gradient");
        for (stream, want) in &heads.streams {
            let mut got = DMatrix::zeros(want.nrows(), want.ncols());
            for (i, cells) in case.plan.cells.iter().enumerate() {
                let pulvinar::circuit::Kind::Relay { stream: Some(s), .. } = cells.of.kind else { continue };
                if circuit.streams[s].name == *stream && !work.of[i].d_rates.is_empty() {
                    got += DMatrix::from_column_slice(got.nrows(), got.ncols(), &work.of[i].d_rates);
                }
            }
            assert!(
                want.amax() == 0.0 || relative(&got, want) < 1e-10,
                "{name}: {stream} {:e}",
                relative(&got, want)
            );
        }
    }
}

/// Derivatives by projections against PyTorch's automatic differentiation of equations written by hand
/// (`tests/golden/gradients/projections.py`).
#[test]
fn projections_have_the_derivatives_of_automatic_differentiation() {
    let path = crate::support::root().join("tests/golden/gradients/projections.safetensors");
    let file = pulvinar::files::safetensors::open(&path).unwrap_or_else(|d| panic!("{d}"));
    let names = file.names();
    let circuits: std::collections::BTreeSet<&str> =
        names.iter().map(|n| n.split('/').next().expect("a name")).collect();
    assert!(circuits.len() >= 16 && names.len() >= 80, "{} of {}", names.len(), circuits.len());
    for name in circuits {
        let (document, circuit) = load(&crate::support::root().join(format!("circuits/{name}.yaml")));
        let tokens = inputs(&circuit, &document.folder, &BTreeMap::new()).expect("tokens");
        let mut case = Case::new(&circuit, tokens);
        let (rows, columns) = case.target.shape();
        case.target = DMatrix::from_fn(rows, columns, |a, i| (((7 * i + 3 * a) % 5) as f64 - 2.0) / 2.0);
        let mut work = Work::new(&case.plan);
        let gradient = case.gradient(&mut work);
        let largest = gradient.iter().flatten().map(|d| d.norm()).fold(0.0, f64::max);
        for (k, p) in circuit.projections.iter().enumerate() {
            let tensor = format!("{name}/{}", p.name);
            if !names.contains(&tensor) {
                continue;
            }
            let want = pulvinar::files::read_array(&path, Some(&tensor)).unwrap_or_else(|d| panic!("{d}"));
            let want = DMatrix::from_row_slice(want.shape[0], want.shape[1], &want.data);
            let got = gradient[k].as_ref().expect("small enough");
            let error = (got - &want).norm() / want.norm().max(1e-3 * largest);
            assert!(error < 1e-11, "{tensor}: {error:e}");
        }
    }
}

/// Derivatives by the four matrices of a head against the double loops over pairs of tokens of the oracle, with the
/// head written down by hand.
#[test]
fn heads_of_cells_have_the_derivatives_of_plain_loops() {
    use pulvinar::oracle::gradients::block;
    use pulvinar::oracle::heads::{HeadSpec, Kernel, Mask, Memory, Rows};
    let rows = |m: &DMatrix<f64>| -> Rows { m.row_iter().map(|r| r.iter().copied().collect()).collect() };
    for (name, memory, kernel, normalised) in [
        ("learning_feedback", Memory::None, Kernel::Linear, false),
        ("one_head_key_value_memory", Memory::Hebbian, Kernel::Linear, false),
        ("decay_memory", Memory::Decay(0.9), Kernel::Linear, false),
        ("softmax_divisive", Memory::None, Kernel::Exp, true),
    ] {
        let (document, circuit) = load(&crate::support::root().join(format!("circuits/{name}.yaml")));
        let tokens = short(inputs(&circuit, &document.folder, &BTreeMap::new()).expect("tokens"), 8);
        let case = Case::new(&circuit, tokens.clone());
        let mut work = Work::new(&case.plan);
        let gradient = case.gradient(&mut work);
        let number = |name: &str| circuit.projections.iter().position(|p| p.name == name);
        let matrix = |name: &str| case.weights[number(name).expect("a projection")].dense();
        let bias = |name: &str, n: usize| match number(name) {
            Some(k) => case.weights[k].dense().iter().copied().collect(),
            None => vec![0.0; n],
        };
        let (w_q, w_k, w_v) = (matrix("W_Q"), matrix("W_K"), matrix("W_V"));
        let head = HeadSpec {
            b_q: bias("b_Q", w_q.nrows()),
            b_k: bias("b_K", w_k.nrows()),
            b_v: bias("b_V", w_v.nrows()),
            scale: if normalised { 1.0 / (w_k.nrows() as f64).sqrt() } else { 1.0 },
            w_q: rows(&w_q),
            w_k: rows(&w_k),
            w_v: rows(&w_v),
            w_o: rows(&matrix("W_O")),
            kernel,
            normalised,
            mask: Mask::Causal,
            memory,
            query_stream: 0,
            context_stream: 0,
            value_stream: 0,
            function: Vec::new(),
            sink: None,
        };
        let x = rows(&tokens["main"].transpose());
        let want = block(&[head], &[(0, rows(&matrix("skip")))], &[x], &rows(&work.d_output.transpose()));
        let head = &want.heads[0];
        for (projection, want) in
            [("W_Q", &head.w_q), ("W_K", &head.w_k), ("W_V", &head.w_v), ("W_O", &head.w_o)]
        {
            let got = gradient[number(projection).expect("a projection")].as_ref().expect("small enough");
            let want = DMatrix::from_fn(got.nrows(), got.ncols(), |i, j| want[i][j]);
            let error = (got - &want).norm() / want.norm();
            assert!(error < 1e-11, "{name}: {projection}: {error:e}");
        }
    }
}
