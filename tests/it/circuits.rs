//! Valid circuits that tests damage.

/// One head as an attention mask, with most keys that a file may hold.
pub const MASK: &str = "\
schema: pulvinar/1
name: one_head
description: One cortical area as one head.
source: none
seed: 42
parameters: {d: 8, d_k: 4, d_v: 4}
tokens:
  streams:
    main: {d_model: $d, input: {gaussian: {length: 16, std: 1.5}}}
    target: {d_model: 8, clock: main}
  mask: causal
  layout: {space: {}}
thalamus:
  VP_core: {pathway: core, per: [query], cells: $d, tokens: main}
  VP_matrix: {pathway: matrix, per: [context], cells: 8}
  TEACH: {pathway: core, per: [query], cells: 8, tokens: target}
  ERR: {pathway: core, per: [query], cells: 8}
  HO: {pathway: core, per: [query], cells: 8, tau: {basal: 10 ms, apical: 20 ms}}
areas:
  A1:
    mask: causal
    microcolumns: {per: [query, context]}
    populations:
      superficial: {layer: L2/3, cell_type: pyramidal, cells: $d_k, activation: product, tau: 10 ms}
      deep:
        layer: L5
        cells: $d_v
        activation: product
        limits: {min: -5, max: 5}
        noise: {std: 0.1}
projections:
  W_K: {from: VP_matrix, to: A1.superficial.apical, weights: {normal: {fan_in: 1}}, plasticity: {three_factor: {rate: 0.001}}}
  W_Q: {from: VP_core, to: A1.superficial.basal, weights: {normal: {std: 0.3}}, gain: 2}
  A: {from: A1.superficial, to: A1.deep.apical, weights: {blocks: {count: 2, of: ones}}, sign: excitatory}
  W_V: {from: VP_matrix, to: A1.deep.basal, weights: {uniform: {low: -1, high: 1}}, gain: {inv_sqrt: 4}}
  W_O: {from: A1.deep, to: HO.basal, weights: {rank: {of: 2, std: 1}}, mask: causal}
  skip: {from: VP_core, to: HO.basal, weights: identity}
  y_in: {from: HO, to: ERR.basal, weights: identity}
  t_in: {from: TEACH, to: ERR.basal, weights: identity, gain: -1}
  fb_O: {from: ERR, to: A1.deep.third, weights: {transpose_of: W_O}}
  fb_A: {from: A1.deep.feedback.apical, to: A1.superficial.third, weights: {transpose_of: A}}
output: HO
expect: {heads: {count: 2, above: 0.01}}
simulation: {dt: 0.1 ms, integrator: euler, stop: {duration: 500 ms}}
";

/// The same as a key-value memory, gated.
pub const MEMORY: &str = "\
schema: pulvinar/1
name: key_value_memory
seed: 7
tokens:
  d_model: 6
  mask: causal
  input: {values: [[1, 0, 0, 0, 0, 0.5], [0, 1, 0, 0, 0, -0.5]]}
thalamus:
  VP_core: {pathway: core, per: [query], cells: 6}
  VP_matrix: {pathway: matrix, per: [context], cells: 6}
  HO: {pathway: core, per: [query], cells: 6}
areas:
  A1:
    microcolumns: {count: 3}
    populations:
      superficial: {per: [context], cells: 4, activation: product, accumulate: {gated: {}}}
      deep: {per: [query], cells: 4, activation: product}
projections:
  W_K: {from: VP_matrix, to: A1.superficial.apical, onto: cells, weights: {normal: {fan_in: 1}}}
  W_V: {from: VP_matrix, to: A1.superficial.basal, onto: microcolumns, weights: {normal: {fan_in: 1}}}
  G: {from: VP_matrix, to: A1.superficial.gate, onto: microcolumns, weights: {normal: {std: 0.1}}}
  bias: {from: tonic, to: A1.superficial.gate, weights: {values: [[1], [1], [1], [1]]}, onto: cells}
  M: {from: A1.superficial, to: A1.deep.apical, weights: identity}
  W_Q: {from: VP_core, to: A1.deep.basal, onto: cells, weights: {normal: {fan_in: 1}}}
  W_O: {from: A1.deep, to: HO.basal, pool: cells, weights: {normal: {fan_in: 1}}}
output: HO
";

/// Two blocks by templates, the second softmax.
pub const STACK: &str = "\
schema: pulvinar/1
name: two_blocks
tokens: {d_model: 5, mask: full, input: {gaussian: {length: 9}}}
thalamus:
  VP_core: {pathway: core, per: [query], cells: 5, tokens: main}
  VP_matrix: {pathway: matrix, per: [context], cells: 5, tokens: main}
  HO: {pathway: core, per: [query], cells: 5}
  HO_matrix: {pathway: matrix, per: [context], cells: 5}
  TOP: {pathway: core, per: [query], cells: 5}
areas:
  A1:
    template:
      key_value_memory_head: {query: VP_core, context: VP_matrix, to: HO, d_k: 3, d_v: 2, memory: {decay: {g: 0.9, rate: 1}}}
  A2:
    template: {softmax_head: {query: HO, context: HO_matrix, to: TOP, d_k: 3, d_v: 2, weights: {normal: {fan_in: 2}}}}
projections:
  skip: {from: VP_core, to: HO.basal, weights: identity}
  copy: {from: HO, to: HO_matrix.basal, weights: identity}
  skip_2: {from: HO, to: TOP.basal, weights: identity}
output: TOP
";

/// All of them by name.
pub const ALL: [(&str, &str); 3] = [("mask", MASK), ("memory", MEMORY), ("stack", STACK)];

#[test]
fn they_are_valid() {
    for (name, text) in ALL {
        let mistakes = super::mistakes::mistakes_in(text.as_bytes());
        assert!(mistakes.0.is_empty(), "{name}: {mistakes}");
    }
}
