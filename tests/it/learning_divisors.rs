//! Learning before divisors: `feedback.basal_divisor` makes three factors the exact gradient.

use crate::learning_rules::{draw, gap};
use crate::support::from_text;

/// Softmax attention with errors, and feedback through its division: every matrix and bias learns by three factors.
const SOFTMAX: &str = "
schema: pulvinar/1
name: softmax
seed: 5
tokens:
  mask: causal
  streams:
    main:   {d_model: 5, input: {gaussian: {length: 7}}}
    target: {d_model: 5, input: {gaussian: {length: 7}}, clock: main}
thalamus:
  VP_core:   {pathway: core,   per: [query],   cells: 5}
  VP_matrix: {pathway: matrix, per: [context], cells: 5}
  HO:        {pathway: core,   per: [query],   cells: 5}
  TEACH:     {pathway: core,   per: [query],   cells: 5, tokens: target}
  ERR:       {pathway: core,   per: [query],   cells: 5}
areas:
  A1:
    microcolumns: {per: [query, context]}
    populations:
      superficial: {cells: 3, activation: product}
      score:       {cells: 1, activation: exp}
      total:       {cells: 1, per: [query], cell_type: interneuron}
      deep:        {cells: 4, activation: product}
      readout:     {cells: 4, per: [query]}
projections:
  W_K:    {from: VP_matrix,      to: A1.superficial.apical, weights: {normal: {fan_in: 1}}, plasticity: {three_factor: {rate: 0.1}}}
  W_Q:    {from: VP_core,        to: A1.superficial.basal,  weights: {normal: {fan_in: 1}}, plasticity: {three_factor: {rate: 0.1}}}
  beta:   {from: A1.superficial, to: A1.score.basal,        weights: {normal: {fan_in: 1}}, plasticity: {three_factor: {rate: 0.1}}}
  w:      {from: A1.score,       to: A1.deep.apical,        weights: ones}
  sum:    {from: A1.score,       to: A1.total.basal,        weights: ones}
  W_V:    {from: VP_matrix,      to: A1.deep.basal,         weights: {normal: {fan_in: 1}}, plasticity: {three_factor: {rate: 0.1}}}
  u:      {from: A1.deep,        to: A1.readout.basal,      weights: identity}
  divide: {from: A1.total,       to: A1.readout.basal,      weights: ones, effect: divisive}
  W_O:    {from: A1.readout,     to: HO.basal,              weights: {normal: {fan_in: 1}}, plasticity: {three_factor: {rate: 0.1}}}
  skip:   {from: VP_core,        to: HO.basal,              weights: identity}
  y_in:   {from: HO,             to: ERR.basal,             weights: identity}
  t_in:   {from: TEACH,          to: ERR.basal,             weights: identity, gain: -1}
  err:    {from: ERR,            to: HO.third,              weights: identity}
  fb_O:   {from: ERR,            to: A1.readout.third,      weights: {transpose_of: W_O}}
  fb_u:   {from: A1.readout.feedback.basal,         to: A1.deep.third,        weights: {transpose_of: u}}
  fb_d:   {from: A1.readout.feedback.basal_divisor, to: A1.total.third,       weights: {transpose_of: divide}}
  fb_w:   {from: A1.deep.feedback.apical,           to: A1.score.third,       weights: {transpose_of: w}}
  fb_s:   {from: A1.total.feedback.basal,           to: A1.score.third,       weights: {transpose_of: sum}}
  fb_b:   {from: A1.score.feedback.basal,           to: A1.superficial.third, weights: {transpose_of: beta}}
output: HO
";

/// Divisive normalisation, `c / (1 + |c|^2)` of centred `c = z - mean(z)`, `z = W x`, on the apical compartment of a product.
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
      size:    {cells: 1, cell_type: interneuron}
      normed:  {cells: 4, activation: product}
projections:
  W:    {from: X,         to: N.z.basal,       weights: {normal: {fan_in: 1}}, plasticity: {three_factor: {rate: 0.1}}}
  m:    {from: N.z,       to: N.mean.basal,    weights: {normal: {std: 0.3}},  plasticity: {three_factor: {rate: 0.1}}}
  x:    {from: N.z,       to: N.centred.basal, weights: identity}
  s:    {from: N.mean,    to: N.centred.basal, weights: ones, gain: -1}
  sq:   {from: N.centred, to: N.square.basal,  weights: identity}
  v:    {from: N.square,  to: N.size.basal,    weights: {uniform: {low: 0.2, high: 1}}, plasticity: {three_factor: {rate: 0.1}}}
  one:  {from: tonic,     to: N.size.basal,    weights: ones}
  c:    {from: N.centred, to: N.normed.apical, weights: {normal: {fan_in: 1}}, plasticity: {three_factor: {rate: 0.1}}}
  d:    {from: N.size,    to: N.normed.apical, weights: {uniform: {low: 1, high: 2}}, effect: divisive, plasticity: {three_factor: {rate: 0.1}}}
  gain: {from: X,         to: N.normed.basal,  weights: {normal: {fan_in: 1}}, plasticity: {three_factor: {rate: 0.1}}}
  O:    {from: N.normed,  to: HO.basal,        weights: {normal: {fan_in: 1}}, plasticity: {three_factor: {rate: 0.1}}}
  y_in: {from: HO,        to: ERR.basal,       weights: identity}
  t_in: {from: TEACH,     to: ERR.basal,       weights: identity, gain: -1}
  err:  {from: ERR,       to: HO.third,        weights: identity}
  fb_O: {from: ERR,       to: N.normed.third,  weights: {transpose_of: O}}
  fb_c: {from: N.normed.feedback.apical,         to: N.centred.third, weights: {transpose_of: c}}
  fb_d: {from: N.normed.feedback.apical_divisor, to: N.size.third,    weights: {transpose_of: d}}
  fb_v: {from: N.size.feedback.basal,            to: N.square.third,  weights: {transpose_of: v}}
  fb_q: {from: N.square.feedback.basal,          to: N.centred.third, weights: {transpose_of: sq}}
  fb_s: {from: N.centred.feedback.basal,         to: N.mean.third,    weights: {transpose_of: s}}
  fb_x: {from: N.centred.feedback.basal,         to: N.z.third,       weights: {transpose_of: x}}
  fb_m: {from: N.mean.feedback.basal,            to: N.z.third,       weights: {transpose_of: m}}
output: HO
";

#[test]
fn three_factors_are_the_gradient_before_the_interneuron_of_a_softmax_or_norm() {
    for (name, text) in [("softmax", SOFTMAX), ("norm", NORM)] {
        let (_, circuit) = from_text(text).expect("a circuit");
        for seed in 0..4 {
            let tokens = draw(&circuit, 7, seed);
            let far = gap(&circuit, &tokens, &[true; 7]);
            assert!(far < 1e-12, "{name} {seed}: {far:e}");
        }
    }
}

/// With what is added up in its place the rule misses what the division does.
#[test]
fn the_divisor_has_a_share_in_the_gradient() {
    for text in [SOFTMAX, NORM] {
        let other = text.replace("_divisor, to", ", to");
        assert_ne!(other, text);
        let (_, circuit) = from_text(&other).expect("a circuit");
        let far = gap(&circuit, &draw(&circuit, 7, 0), &[true; 7]);
        assert!(far > 0.01, "{far:e}");
    }
}
