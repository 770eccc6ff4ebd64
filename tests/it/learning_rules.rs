//! Local rules against the exact gradient: equal where the theory says so, and as far from it as it says elsewhere.

use crate::support::{from_text, load, root};
use nalgebra::DMatrix;
use pulvinar::attention::Streams;
use pulvinar::circuit::{Circuit, Weights};
use pulvinar::plasticity::{Learn, Plan, Plastic, Synaptic, Work, backward, errors, forward, prepare, rules};
use pulvinar::seed;
use pulvinar::spec::{RouteSpec, RuleName};

/// A key-value memory with `heads` areas, errors and feedback, every matrix of variance 1/D.
pub fn memory_circuit(heads: usize, d: usize, d_k: usize, accumulate: &str, gate: bool) -> String {
    use std::fmt::Write;
    let mut text = format!(
        "schema: pulvinar/1
name: memory
tokens:
  mask: causal
  streams:
    main:   {{d_model: {d}, input: {{gaussian: {{length: 6}}}}}}
    target: {{d_model: {d}, input: {{gaussian: {{length: 6}}}}, clock: main}}
thalamus:
  VP_core:   {{pathway: core,   per: [query],   cells: {d}}}
  VP_matrix: {{pathway: matrix, per: [context], cells: {d}}}
  HO:        {{pathway: core,   per: [query],   cells: {d}}}
  TEACH:     {{pathway: core,   per: [query],   cells: {d}, tokens: target}}
  ERR:       {{pathway: core,   per: [query],   cells: {d}}}
areas:
"
    );
    for h in 0..heads {
        let _ = writeln!(
            text,
            "  A{h}:
    microcolumns: {{count: {d_k}}}
    populations:
      superficial: {{layer: L2/3, per: [context], cells: {d_k}, activation: product, accumulate: {accumulate}}}
      deep: {{layer: L5, per: [query], cells: {d_k}, activation: product}}"
        );
    }
    text.push_str("projections:\n");
    let learns = "plasticity: {online: {rate: 0.01}}";
    for h in 0..heads {
        let w = format!("weights: {{normal: {{std: {}}}}}", 1.0 / (d as f64).sqrt());
        let _ = writeln!(
            text,
            "  W_K{h}: {{from: VP_matrix, to: A{h}.superficial.apical, onto: cells, {w}, {learns}}}
  W_V{h}: {{from: VP_matrix, to: A{h}.superficial.basal, onto: microcolumns, {w}, {learns}}}
  M{h}: {{from: A{h}.superficial, to: A{h}.deep.apical, weights: identity}}
  W_Q{h}: {{from: VP_core, to: A{h}.deep.basal, onto: cells, {w}, {learns}}}
  W_O{h}: {{from: A{h}.deep, to: HO.basal, pool: cells, {w}, {learns}}}
  fb_O{h}: {{from: ERR, to: A{h}.deep.third, onto: microcolumns, weights: {{transpose_of: W_O{h}}}}}
  fb_M{h}: {{from: A{h}.deep.feedback.apical, to: A{h}.superficial.third, weights: identity}}"
        );
        if gate {
            let _ = writeln!(
                text,
                "  G{h}: {{from: VP_matrix, to: A{h}.superficial.gate, onto: cells, {w}, {learns}}}"
            );
        }
    }
    text.push_str(
        "  y_in: {from: HO, to: ERR.basal, weights: identity}
  t_in: {from: TEACH, to: ERR.basal, weights: identity, gain: -1}
  err: {from: ERR, to: HO.third, weights: identity}
output: HO
",
    );
    text
}

/// Tokens of all streams, drawn for `n` tokens.
pub fn draw(circuit: &Circuit, n: usize, seed_: u64) -> Streams {
    let one = |s: &pulvinar::circuit::Stream| {
        let mut rng = seed::stream(seed_, &format!("tokens {}", s.name));
        (s.name.clone(), DMatrix::from_fn(s.d_model, n, |_, _| seed::normal(&mut rng)))
    };
    circuit.streams.iter().map(one).collect()
}

/// Changes by the rules, and the descent of the gradient, of one sequence.
fn both(
    plan: &Plan<'_>,
    plastic: &[Plastic],
    weights: &[Weights],
    tokens: &Streams,
    work: &mut Work,
) -> Vec<(DMatrix<f64>, DMatrix<f64>)> {
    forward(plan, weights, tokens, work).expect("finite");
    let mut y = tokens["target"].clone();
    work.output(plan, &mut y);
    for (i, counted) in work.counted.iter().enumerate() {
        let error = (tokens["target"].column(i) - y.column(i)) * f64::from(u8::from(*counted));
        work.d_output.set_column(i, &error);
    }
    let mut d_w: Vec<Option<DMatrix<f64>>> = vec![None; weights.len()];
    for p in plastic {
        d_w[p.k] = Some(DMatrix::zeros(weights[p.k].rows(), weights[p.k].columns()));
    }
    backward(plan, weights, work, &mut d_w).expect("a derivative");
    errors(plan, weights, work);
    let one = |p: &Plastic| {
        let mut synaptic = Synaptic::new(plan, p.k, &weights[p.k]);
        rules::with(&p.spec, Learn { plan, weights, work, synaptic: &mut synaptic });
        (synaptic.change, d_w[p.k].clone().expect("asked for"))
    };
    plastic.iter().map(one).collect()
}

fn weights_of(circuit: &Circuit) -> Vec<Weights> {
    circuit.projections.iter().map(|p| p.synapses.weights.clone()).collect()
}

/// Largest relative difference of a change from the gradient, in tensor norm.
pub fn gap(circuit: &Circuit, tokens: &Streams, counted: &[bool]) -> f64 {
    let prepared = prepare(circuit, None, None).unwrap_or_else(|d| panic!("{d}"));
    let plan = Plan::new(&prepared.circuit, tokens).unwrap_or_else(|d| panic!("{d}"));
    let weights = weights_of(&prepared.circuit);
    let mut work = Work::new(&plan);
    work.counted.copy_from_slice(counted);
    let all = both(&plan, &prepared.plastic, &weights, tokens, &mut work);
    assert!(all.len() >= 4 && all.iter().all(|(_, d)| d.norm() > 1e-6), "no gradient");
    all.iter().map(|(c, d)| (c - d).norm() / d.norm()).fold(0.0, f64::max)
}

#[test]
fn three_factors_are_the_gradient_of_columns_for_pairs_of_tokens() {
    let (_, circuit) = load(&root().join("circuits/learning_feedback.yaml"));
    for seed in 0..5 {
        let tokens = draw(&circuit, 9, seed);
        assert!(gap(&circuit, &tokens, &[true; 9]) < 1e-12);
        let mut last = [false; 9];
        last[8] = true;
        assert!(gap(&circuit, &tokens, &last) < 1e-12);
    }
}

#[test]
fn traces_are_the_gradient_of_memories() {
    for (accumulate, gate) in
        [("{hebbian: {rate: 0.5}}", false), ("{decay: {g: 0.8}}", false), ("{gated: {}}", true)]
    {
        for mask in ["causal", "strict", "full"] {
            let text =
                memory_circuit(2, 5, 3, accumulate, gate).replace("mask: causal", &format!("mask: {mask}"));
            let (_, circuit) = from_text(&text).unwrap_or_else(|e| panic!("{e}"));
            let tokens = draw(&circuit, 7, 3);
            let gap = gap(&circuit, &tokens, &[true, true, false, true, true, true, true]);
            assert!(gap < 1e-12, "{accumulate} {mask}: {gap:e}");
        }
    }
}

/// Mean cosine to the gradient, all parameters concatenated, and its standard error; every draw has its own weights,
/// tokens and targets.
fn mean_cosine(rule: RuleName, tokens: usize, draws: u64) -> (f64, f64) {
    let text = memory_circuit(2, 8, 4, "{hebbian: {}}", false);
    let (_, circuit) = from_text(&text).unwrap_or_else(|e| panic!("{e}"));
    let prepared = prepare(&circuit, Some(RouteSpec::Rule(rule)), None).unwrap_or_else(|d| panic!("{d}"));
    let circuit = &prepared.circuit;
    let plan = Plan::new(circuit, &draw(circuit, tokens, 0)).unwrap_or_else(|d| panic!("{d}"));
    let mut work = Work::new(&plan);
    let mut weights = weights_of(circuit);
    let (mut sum, mut squares) = (0.0, 0.0);
    for n in 0..draws {
        let mut rng = seed::stream(n, "weights");
        for p in &prepared.plastic {
            let Weights::Dense(w) = &mut weights[p.k] else { unreachable!("written out") };
            w.iter_mut().for_each(|w| *w = seed::normal(&mut rng) / 8f64.sqrt());
        }
        for (k, p) in circuit.projections.iter().enumerate() {
            if let Some(tie) = p.tie {
                weights[k] = weights[tie.to.0].transposed();
            }
        }
        let all = both(&plan, &prepared.plastic, &weights, &draw(circuit, tokens, n), &mut work);
        let dot: f64 = all.iter().map(|(c, d)| c.dot(d)).sum();
        let changes: f64 = all.iter().map(|(c, _)| c.norm_squared()).sum();
        let descent: f64 = all.iter().map(|(_, d)| d.norm_squared()).sum();
        let cosine = dot / (changes * descent).sqrt();
        sum += cosine;
        squares += cosine * cosine;
    }
    let n = draws as f64;
    let mean = sum / n;
    (mean, ((squares / n - mean * mean) / n).sqrt())
}

/// The reference values were measured with 20,000 draws, standard error 0.001.
#[test]
fn the_locality_ladder_has_the_reference_cosines() {
    let cases = [
        (RuleName::OwnToken, 4, 0.8657),
        (RuleName::OwnToken, 12, 0.7465),
        (RuleName::OwnToken, 48, 0.6352),
        (RuleName::FrozenMemory, 1, 0.6633),
        (RuleName::FrozenMemory, 4, 0.6323),
        (RuleName::FrozenMemory, 12, 0.6091),
        (RuleName::FrozenMemory, 48, 0.5918),
    ];
    for (rule, tokens, want) in cases {
        let (mean, error) = mean_cosine(rule, tokens, if tokens > 20 { 600 } else { 1500 });
        let allowed = 3.0 * (error * error + 1e-6).sqrt();
        assert!(
            error < 0.008 && (mean - want).abs() < allowed,
            "{rule:?} {tokens}: {mean:.4} +- {error:.4}, not {want}"
        );
    }
    let (exact, _) = mean_cosine(RuleName::Online, 12, 20);
    assert!((exact - 1.0).abs() < 1e-12);
}
