//! Loops through delays among cells of one token index: cells in time, the settled evaluator of learning, its exact gradient, each
//! against closed forms and the plain loops of the oracle.

use crate::learning_rules::draw;
use crate::support::{from_text, oracle_output, relative};
use nalgebra::DMatrix;
use pulvinar::attention::Streams;
use pulvinar::circuit::{Circuit, Weights};
use pulvinar::plasticity::{Learn, Plan, Synaptic, Wild, Work, backward, errors, forward, prepare, rules};
use pulvinar::simulate::cells::{Cause, End, Settings, run as run_cells};

/// Layer norm `y = c / sqrt(mean c^2 + eps)` of `z = W x` by recurrent inhibition: g = v / g comes to rest at sqrt(v).
const NORM: &str = "
schema: pulvinar/1
name: norm
seed: 6
tokens:
  streams:
    main:   {d_model: 4, input: {gaussian: {length: 6}}}
    target: {d_model: 4, input: {gaussian: {length: 6}}, clock: main}
thalamus:
  X:     {pathway: core, per: [query], cells: 4}
  HO:    {pathway: core, per: [query], cells: 4}
  TEACH: {pathway: core, per: [query], cells: 4, tokens: target}
  ERR:   {pathway: core, per: [query], cells: 4}
areas:
  N:
    microcolumns: {per: [query]}
    populations:
      z:       {cells: 4}
      mean:    {cells: 1, cell_type: interneuron}
      centred: {cells: 4}
      square:  {cells: 4, activation: {power: {exponent: 2}}}
      rms:     {cells: 1, cell_type: interneuron}
      normed:  {cells: 4}
projections:
  W:    {from: X,         to: N.z.basal,       weights: {normal: {fan_in: 1}}, plasticity: {three_factor: {rate: 0.1}}}
  m:    {from: N.z,       to: N.mean.basal,    weights: ones, gain: 0.25}
  x:    {from: N.z,       to: N.centred.basal, weights: identity}
  s:    {from: N.mean,    to: N.centred.basal, weights: ones, gain: -1}
  sq:   {from: N.centred, to: N.square.basal,  weights: identity}
  v:    {from: N.square,  to: N.rms.basal,     weights: ones, gain: 0.25}
  eps:  {from: tonic,     to: N.rms.basal,     weights: ones, gain: 0.00001}
  self: {from: N.rms,     to: N.rms.basal,     weights: ones, effect: divisive, delay: 1 ms}
  c:    {from: N.centred, to: N.normed.basal,  weights: identity}
  d:    {from: N.rms,     to: N.normed.basal,  weights: ones, effect: divisive}
  O:    {from: N.normed,  to: HO.basal,        weights: {normal: {fan_in: 1}}, plasticity: {three_factor: {rate: 0.1}}}
  y_in: {from: HO,        to: ERR.basal,       weights: identity}
  t_in: {from: TEACH,     to: ERR.basal,       weights: identity, gain: -1}
  err:  {from: ERR,       to: HO.third,        weights: identity}
  fb_O: {from: ERR,       to: N.normed.third,  weights: {transpose_of: O}}
  fb_c: {from: N.normed.feedback.basal,         to: N.centred.third, weights: identity}
  # A change of v moves v / g by as much as the g that follows takes back: half of it is left.
  fb_d: {from: N.normed.feedback.basal_divisor, to: N.rms.third,     weights: ones, gain: 0.5}
  fb_v: {from: N.rms.feedback.basal,            to: N.square.third,  weights: ones, gain: 0.25}
  fb_q: {from: N.square.feedback.basal,         to: N.centred.third, weights: identity}
  fb_s: {from: N.centred.feedback.basal,        to: N.mean.third,    weights: ones, gain: -1}
  fb_x: {from: N.centred.feedback.basal,        to: N.z.third,       weights: identity}
  fb_m: {from: N.mean.feedback.basal,           to: N.z.third,       weights: ones, gain: 0.25}
output: HO
";

/// Two populations that excite and inhibit each other (a skew loop), one of them under a sigmoid, divided by an interneuron of
/// the loop that is silent in the first round; every matrix inside the loop learns.
const SKEW: &str = "
schema: pulvinar/1
name: skew
seed: 8
tokens:
  streams:
    main:   {d_model: 3, input: {gaussian: {length: 5}}}
    target: {d_model: 3, input: {gaussian: {length: 5}}, clock: main}
thalamus:
  X:     {pathway: core, per: [query], cells: 3}
  HO:    {pathway: core, per: [query], cells: 3}
  TEACH: {pathway: core, per: [query], cells: 3, tokens: target}
  ERR:   {pathway: core, per: [query], cells: 3}
areas:
  A:
    microcolumns: {per: [query]}
    populations:
      e: {cells: 4}
      i: {cells: 2, activation: sigmoid}
      n: {cells: 1, cell_type: interneuron}
projections:
  W:  {from: X,   to: A.e.basal,  weights: {normal: {fan_in: 1}}, plasticity: {three_factor: {rate: 0.1}}}
  b:  {from: X,   to: A.e.apical, weights: {normal: {fan_in: 1}}}
  EI: {from: A.e, to: A.i.basal,  weights: {normal: {fan_in: 2}}, plasticity: {three_factor: {rate: 0.1}}}
  IE: {from: A.i, to: A.e.basal,  weights: {normal: {fan_in: 2}}, delay: 2 ms, plasticity: {three_factor: {rate: 0.1}}}
  IN: {from: A.i, to: A.n.basal,  weights: {uniform: {low: 0.5, high: 1}}, delay: 1 ms, plasticity: {three_factor: {rate: 0.1}}}
  one: {from: tonic, to: A.n.basal, weights: ones}
  NE: {from: A.n, to: A.e.basal,  weights: ones, effect: divisive, delay: 1 ms}
  O:  {from: A.e, to: HO.basal,   weights: {normal: {fan_in: 1}}, plasticity: {three_factor: {rate: 0.1}}}
  y:  {from: HO,    to: ERR.basal, weights: identity}
  t:  {from: TEACH, to: ERR.basal, weights: identity, gain: -1}
  fb: {from: ERR, to: A.e.third, weights: {transpose_of: O}}
  fi: {from: ERR, to: A.i.third, weights: {normal: {fan_in: 1}}}
  fn: {from: ERR, to: A.n.third, weights: {normal: {fan_in: 1}}}
output: HO
";

fn circuit(text: &str) -> Circuit {
    from_text(text).unwrap_or_else(|e| panic!("{e}")).1
}

fn matrix(circuit: &Circuit, name: &str) -> DMatrix<f64> {
    let p = circuit.projections.iter().find(|p| p.name == name).expect("a projection");
    p.synapses.weights.dense()
}

/// The output, and the gradient of each projection.
type Settled = (DMatrix<f64>, Vec<Option<DMatrix<f64>>>);

fn settled(circuit: &Circuit, tokens: &Streams) -> Result<Settled, Wild> {
    let plan = Plan::new(circuit, tokens).unwrap_or_else(|d| panic!("{d}"));
    let weights: Vec<Weights> = circuit.projections.iter().map(|p| p.synapses.weights.clone()).collect();
    let mut work = Work::new(&plan);
    forward(&plan, &weights, tokens, &mut work)?;
    let mut y = tokens["target"].clone();
    work.output(&plan, &mut y);
    work.d_output = &y - &tokens["target"];
    let mut d_w: Vec<_> = weights.iter().map(|w| Some(DMatrix::zeros(w.rows(), w.columns()))).collect();
    backward(&plan, &weights, &mut work, &mut d_w)?;
    Ok((y, d_w))
}

/// `c / sqrt(mean c^2 + eps)`, column by column, and the roots.
fn layer_norm(z: &DMatrix<f64>) -> (DMatrix<f64>, Vec<f64>) {
    let (mut y, mut roots) = (z.clone(), Vec::new());
    for mut column in y.column_iter_mut() {
        let mean = column.mean();
        column.add_scalar_mut(-mean);
        let root = (column.norm_squared() / column.len() as f64 + 1e-5).sqrt();
        column /= root;
        roots.push(root);
    }
    (y, roots)
}

#[test]
fn recurrent_division_is_layer_norm_in_cells_in_learning_and_in_the_oracle() {
    let circuit = circuit(NORM);
    let (w, o) = (matrix(&circuit, "W"), matrix(&circuit, "O"));
    for seed in 0..4 {
        let tokens = draw(&circuit, 6, seed);
        let want = &o * layer_norm(&(&w * &tokens["main"])).0;
        let (got, _) = settled(&circuit, &tokens).unwrap_or_else(|w| panic!("{w:?}"));
        assert!(relative(&got, &want) < 1e-12, "learning: {:e}", relative(&got, &want));
        let by_loops = oracle_output(&circuit, &tokens);
        assert!(relative(&by_loops, &want) < 1e-12, "oracle: {:e}", relative(&by_loops, &want));
        let run = run_cells(&circuit, &tokens, &Settings::default()).unwrap_or_else(|d| panic!("{d}"));
        assert_eq!(run.end, End::Settled);
        assert!(relative(&run.output, &want) < 1e-9, "cells: {:e}", relative(&run.output, &want));
    }
}

/// The textbook derivative of layer norm: `dz = (P dy - y (y . dy) / d) / root`, `P` centring.
#[test]
fn the_gradient_at_the_fixed_point_is_that_of_layer_norm() {
    let circuit = circuit(NORM);
    let (w, o) = (matrix(&circuit, "W"), matrix(&circuit, "O"));
    for seed in 0..4 {
        let tokens = draw(&circuit, 6, seed);
        let (y, roots) = layer_norm(&(&w * &tokens["main"]));
        let d_out = &o * &y - &tokens["target"];
        let mut d_z = o.transpose() * &d_out;
        for ((mut d, y), root) in d_z.column_iter_mut().zip(y.column_iter()).zip(&roots) {
            let along = d.dot(&y) / y.len() as f64;
            d -= y * along;
            let mean = d.mean();
            d.add_scalar_mut(-mean);
            d /= *root;
        }
        let (_, d_w) = settled(&circuit, &tokens).unwrap_or_else(|w| panic!("{w:?}"));
        for (name, want) in [("W", d_z * tokens["main"].transpose()), ("O", &d_out * y.transpose())] {
            let k = circuit.projections.iter().position(|p| p.name == name).expect("a projection");
            let got = d_w[k].as_ref().expect("asked for");
            assert!(relative(got, &want) < 1e-10, "{name}: {:e}", relative(got, &want));
        }
    }
}

/// The interneuron of a norm by recurrence learns what lies before it by three factors, with half of the feedback of its divisor.
#[test]
fn three_factors_are_the_gradient_of_a_recurrent_norm() {
    let (_, circuit) = from_text(NORM).expect("a circuit");
    let tokens = draw(&circuit, 6, 1);
    let prepared = prepare(&circuit, None, None).unwrap_or_else(|d| panic!("{d}"));
    let plan = Plan::new(&prepared.circuit, &tokens).unwrap_or_else(|d| panic!("{d}"));
    let weights: Vec<Weights> =
        prepared.circuit.projections.iter().map(|p| p.synapses.weights.clone()).collect();
    let mut work = Work::new(&plan);
    forward(&plan, &weights, &tokens, &mut work).unwrap_or_else(|w| panic!("{w:?}"));
    errors(&plan, &weights, &mut work);
    let (_, d_w) = settled(&circuit, &tokens).unwrap_or_else(|w| panic!("{w:?}"));
    for p in &prepared.plastic {
        let mut synaptic = Synaptic::new(&plan, p.k, &weights[p.k]);
        rules::with(
            &p.spec,
            Learn { plan: &plan, weights: &weights, work: &mut work, synaptic: &mut synaptic },
        );
        let descent = -d_w[p.k].as_ref().expect("asked for");
        let far = relative(&synaptic.change, &descent);
        assert!(far < 1e-11, "{}: {far:e}", circuit.projections[p.k].name);
    }
}

#[test]
fn skew_loops_settle_where_the_oracle_does_and_have_the_slopes_of_differences() {
    let circuit = circuit(SKEW);
    for seed in 0..3 {
        let tokens = draw(&circuit, 5, seed);
        let (got, d_w) = settled(&circuit, &tokens).unwrap_or_else(|w| panic!("{w:?}"));
        let want = oracle_output(&circuit, &tokens);
        assert!(relative(&got, &want) < 1e-11, "{:e}", relative(&got, &want));
        let run = run_cells(&circuit, &tokens, &Settings::default()).unwrap_or_else(|d| panic!("{d}"));
        assert_eq!(run.end, End::Settled);
        assert!(relative(&run.output, &want) < 1e-9, "cells: {:e}", relative(&run.output, &want));
        for (k, p) in circuit.projections.iter().enumerate().filter(|(_, p)| p.plasticity.is_some()) {
            let loss = |at: usize, by: f64| {
                let mut varied = circuit.clone();
                let mut w = p.synapses.weights.dense();
                w[at] += by;
                varied.projections[k].synapses.weights = Weights::Dense(w);
                let y = settled(&varied, &tokens).unwrap_or_else(|w| panic!("{w:?}")).0;
                0.5 * (y - &tokens["target"]).norm_squared()
            };
            let got = d_w[k].as_ref().expect("asked for");
            // Central differences of three steps, extrapolated twice.
            let want = DMatrix::from_fn(got.nrows(), got.ncols(), |i, j| {
                let at = i + j * got.nrows();
                let central = |h: f64| (loss(at, h) - loss(at, -h)) / (2.0 * h);
                let (a, b, c) = (central(8e-3), central(4e-3), central(2e-3));
                let (ab, bc) = ((4.0 * b - a) / 3.0, (4.0 * c - b) / 3.0);
                (16.0 * bc - ab) / 15.0
            });
            assert!(relative(got, &want) < 1e-9, "{}: {:e}", p.name, relative(got, &want));
        }
    }
}

#[test]
fn loops_that_do_not_rest_or_have_no_derivative_diverge() {
    let base = |activation: &str, back: &str| {
        format!(
            "
schema: pulvinar/1
name: one
tokens:
  streams:
    main:   {{d_model: 1, input: {{gaussian: {{length: 2}}}}}}
    target: {{d_model: 1, input: {{gaussian: {{length: 2}}}}, clock: main}}
thalamus:
  X:  {{pathway: core, per: [query], cells: 1}}
  HO: {{pathway: core, per: [query], cells: 1}}
areas:
  A: {{microcolumns: {{per: [query]}}, populations: {{r: {{cells: 1, activation: {activation}}}}}}}
projections:
  x: {{from: X,   to: A.r.basal, weights: ones}}
  r: {{from: A.r, to: A.r.basal, weights: ones, delay: 1 ms, {back}}}
  o: {{from: A.r, to: HO.basal,  weights: ones}}
output: HO
"
        )
    };
    let cases = [
        ("r = sign(x - 2 r) jumps for ever", base("sign", "gain: -2"), 0.5, Some(Cause::Unsettled)),
        ("r = x + 3 r runs away", base("linear", "gain: 3"), 0.5, Some(Cause::Infinite)),
        ("r = r has no derivative", base("linear", "gain: 1"), 0.0, Some(Cause::Singular)),
        ("r = x - 3 r is x / 4", base("linear", "gain: -3"), 0.5, None),
        ("0/0 is 0", base("linear", "effect: divisive"), 0.0, None),
        ("r = -1 / r never rests", base("linear", "effect: divisive"), -1.0, Some(Cause::Unsettled)),
    ];
    for (name, text, x, want) in cases {
        let circuit = circuit(&text);
        let tokens: Streams = [("main", x), ("target", 2.0)]
            .map(|(s, x)| (s.to_owned(), DMatrix::from_element(1, 2, x)))
            .into_iter()
            .collect();
        let got = settled(&circuit, &tokens);
        assert_eq!(got.as_ref().err().map(|w| w.cause), want, "{name}");
        if let (Ok((y, _)), None) = (got, want) {
            assert!((y[0] - x / 4.0).abs() < 1e-13, "{name}: {y}");
        }
    }
}

#[test]
fn loops_that_no_token_settles_for_itself_are_refused_by_learning() {
    let through_a_relay = SKEW.replace(
        "  fb:",
        "  back: {from: HO, to: A.e.basal, weights: {normal: {fan_in: 1}}, delay: 1 ms}\n  fb:",
    );
    let circuit = circuit(&through_a_relay);
    let found = Plan::new(&circuit, &draw(&circuit, 5, 0)).map(|_| ()).expect_err("a loop through a relay");
    assert!(found.message.contains("closes a loop") && found.message.contains("`HO` is a relay"), "{found}");
}
