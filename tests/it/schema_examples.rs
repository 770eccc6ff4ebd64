//! Circuit files that visit every key of the language.

/// Every key and every form of the language, once. Not a circuit that could be wired.
pub const EVERYTHING: &str = r#"
schema: pulvinar/1
name: everything
description: every key
source: here
seed: $n
parameters: {d: 4, word: relu, yes: true, x: 0.5, n: 7, at: causal}
tokens:
  mask: $at
  layout: {time: {duration: 200 ms, gap: 0 ms}}
  streams:
    main: {d_model: $d, input: {gaussian: {length: 5, std: $x}}, clock: other}
    other: {d_model: 2, input: {file: {path: x.npz, array: x}}}
    third: {d_model: 2, input: {values: [[1, 2], [$x, 4.5]]}}
    fourth: {d_model: 2, input: {file: {path: x.npz, tensor: x}}}
    at1: {positions: {index: {}}, clock: main}
    at2: {positions: {one_hot: $d}, offset: 1, clock: main}
    at3: {positions: {rotary: {dims: 4, theta: 10000, pairing: halves}}, offset: $n, clock: main}
    at4: {positions: {rotary: {dims: 4, frequencies: [1, $x], scale: 1.1, pairing: pairs}}, clock: main}
    at5: {positions: {sinusoid: {d_model: 3, theta: 100}}, clock: main}
thalamus:
  Q: {pathway: core, per: [query], cells: $d, tokens: main, part: plus, tau: 10 ms, prospective: true, limits: {min: 0, max: 1}, noise: {std: 0}}
  C: {pathway: matrix, per: [context], cells: 4, tau: {basal: 10 ms, apical: 5 ms}}
areas:
  A:
    mask: causal
    microcolumns: {count: 2, per: [query, context]}
    populations:
      a: {layer: L2/3, cell_type: pyramidal, cells: 3, per: [context], activation: product, accumulate: {hebbian: {rate: 1}}, tau: 1 ms, prospective: $yes, limits: {min: -1, max: 1}, noise: {std: 0.1}}
      b: {cells: 3, activation: {power: {exponent: 2}}, accumulate: {decay: {g: 0.5, rate: 1}}}
      c: {cells: 3, activation: $word, accumulate: {decay: {g: 0.5}}}
      d: {cells: 3, accumulate: {delta: {rate: 0.5}}}
      e: {cells: 3, accumulate: {gated: {}}}
  T1: {mask: full, template: {attention_mask_head: {query: Q, context: C, to: H, d_k: 2, d_v: 2, weights: ones}}}
  T2: {template: {broadcast_head: {query: Q, context: C, to: H, d_k: 2, d_v: 2, weights: {normal: {std: 1}}}}}
  T3: {template: {softmax_head: {query: Q, context: C, to: H, d_k: 2, d_v: 2, weights: ones}}}
  T4: {template: {key_value_memory_head: {query: Q, context: C, to: H, d_k: 2, d_v: 2, weights: ones, memory: {gated: {}}}}}
projections:
  p1: {from: Q, to: A.a.basal, onto: cells, pool: microcolumns, weights: ones, gain: {inv_sqrt: 4}, sign: excitatory, effect: divisive, mask: full, plasticity: {hebbian: {rate: 1}}, delay: 5 ms, tied: true}
  p2: {from: Q, to: A.a.basal, weights: {normal: {fan_in: 1}}, gain: -1, plasticity: {kolen_pollack: {rate: 1, decay: 0}}}
  p3: {from: Q, to: A.a.basal, weights: {uniform: {low: 0, high: 1}}, plasticity: {three_factor: {rate: $x}}}
  p4: {from: Q, to: A.a.basal, weights: {file: {path: w.npz, tensor: w}}, plasticity: {online: {rate: $x}}}
  p5: {from: Q, to: A.a.basal, weights: {values: [[1]]}, plasticity: {own_token: {rate: $x}}}
  p6: {from: Q, to: A.a.basal, weights: {blocks: {count: 2, of: identity}}, plasticity: {frozen_memory: {rate: $x}}}
  p7: {from: Q, to: A.a.basal, weights: {rank: {of: 1, std: 1}}, plasticity: {feedback_alignment: {rate: $x}}}
  p8: {from: Q, to: A.a.basal, weights: {same_as: p1}}
  p9: {from: Q, to: A.a.basal, weights: {transpose_of: p1}}
  p10: {from: Q, to: A.a.basal, weights: {plus_of: {weights: zeros, draw: K}}, plasticity: {dale_eg: {rate: 0}}}
  p11: {from: Q, to: A.a.basal, weights: {minus_of: {weights: {normal: {std: 1}}, draw: K}}, plasticity: {oja: {rate: 0}}}
  p12: {from: Q, to: A.a.basal, weights: centre, gain: {inv: 4}}
  p13: {from: Q, to: A.a.basal, weights: {rotate: halves}}
  p14: {from: Q, to: A.a.basal, weights: {kron: [{identity: 2}, {ones: [1, 2]}, {zeros: [$d, 1]}, {centre: 3}, {rotate: pairs}]}}
  p15: {from: L0.H, to: A.a.basal, weights: ones, drawn: {seed: 3, name: p1}}
include: {}
output: {plus: Q, minus: C}
expect: {heads: {count: 1, above: 0.5}, blocks: 1}
simulation: {dt: 1 ms, integrator: exponential_euler, stop: {duration: 1 s}}
record: [{population: A.a, variable: potential, compartment: basal, cells: [0], query: [1], context: [2], every: 5}, {population: A.a}]
noise: {std: 1}
lesions: [{silence: {population: A.a, fraction: 0.5, from: 0 ms, until: 10 ms}}, {cut: {projection: p1}}, {scale: {projection: p1, gain: 2}}, {noise: {population: A.a, std: 0.1}}]
task: {teacher: {heads: x.safetensors, prefix: layers.0, tokens: main, target: other}}
train: {steps: 1, batch: 2, optimiser: {momentum: {beta: 0.5}}, rate: $x, schedule: cosine, update: token, evaluate: {every: 5, sequences: 7}, checkpoint: {every: 9}, rule: gradient, stop_below: 0.5}
loss: {on: last}
protocol:
  capacity: {d: [$d], load: [0.5, 1], ages: [1], trials: 2}
  crossover: {load: [1], trials: 2}
  conditioning:
    blocking: {train: [{repeat: 3, trials: [{cs: [A], us: $x}, {}]}, {trials: [{cs: {A: 1, B: 0.5}}]}], control: [{trials: [{us: 1}]}], test: {A: 1}, shows: less}
    acquisition: {train: [{trials: [{cs: [A], us: 1}]}], test: [A], shows: positive}
  identify: {circuits: 20, noise: 0.05, load: [0.5, 2], g: [0.5, $x], rate: [0.2, 1]}
  depth: {redundancy: [1, 2], pairs: [3], trials: 2}
  hopfield: {patterns: 10, norm: 1, beta: [1], n: [16], trials: 2, cells: 20, dilution: 0.2, runs: 2}
  equilibrium: {load: [0.5], trials: 2}
  digits: {path: x.npz, stored: [10], kept: [0.5], passes: 1, trials: 2}
fidelity: cable
"#;

/// The short forms that exclude a long one above.
pub const SHORT: &str = r#"
schema: pulvinar/1
name: short
tokens: {d_model: 4, input: {gaussian: {length: 5}}, mask: full, layout: {space: {}}}
thalamus: {Q: {pathway: core, cells: 4}, R: {pathway: core, per: [query], cells: 4}}
include: {L0: {circuit: circuits/one_head_attention_mask.yaml, tokens: {main: R}, set: {d: 4}, seed: 7}}
output: Q
simulation: {stop: settle}
"#;

/// The forms of `task` and `train` that the long example has no room for.
pub const LEARNING: [&str; 6] = [
    "task: {associative_recall: {pairs: 4, tokens: {query: q, context: c}}}\n",
    "task: {teacher: {circuit: x.yaml}}\ntrain: {optimiser: {adam: {beta1: 0.5, beta2: 0.6, epsilon: 1e-6}}}\n",
    "task: {in_context_regression: {context: 8, noise: 0.5, tokens: {query: q, context: c}, target: t}}\ntrain: {optimiser: adam}\n",
    "task: {associative_recall: {pairs: 4, tokens: main, target: t}}\ntrain: {}\nloss: {}\n",
    "task: {digits: {path: digits.npz, held_out: 0.25, tokens: main, target: t}}\n",
    "task: {file: {path: x.npz, tokens: {main: x, more: z}, target: {t: y}, held_out: 0.5}}\n",
];

/// Every key and every form of circuits of spikes.
pub const SPIKES: [&str; 2] = [
    r#"
schema: pulvinar/1
name: spikes
parameters: {axons: 6, rate: 6 Hz}
thalamus:
  query: {pathway: core, cells: 1, spike_trains: {follow: {population: A.keys}}}
  more: {pathway: core, cells: 1, spike_trains: {file: {path: spikes.npz, array: keys}}}
areas:
  A:
    populations:
      keys: {layer: L2/3, cells: $axons, spike_trains: {renewal: {rate: $rate, dead_time: 0.05 s}}}
      given: {cells: 2, spike_trains: {times: {trains: [[1 ms, 2.5 ms], []]}}}
      neuron: {layer: L5, cell_type: pyramidal, cells: 1, cable: {resolution: full, shaft: 3, top: 2, tuft: 5, spines: 60, spines_per_head: 10, necks: true, start: -0.07 V}}
projections:
  K: {from: A.keys, to: A.neuron.spines, weights: {blocks: {count: $axons, of: ones}}, delay: 1 ms, synapses: {ampa: {peak: 32 pS, rise: 0.34 ms, decay: 2 ms}, nmda: {peak: 0.04 nS, rise: 2 ms, decay: 26 ms}, calcium: {decay: 15 ms}, potentiation: {theta: 7.9e-14 mM^4 ms, gain: 8, sharpness: 20, decay: 20 s, lag: 500 ms}}}
  Q: {from: query, to: A.neuron.soma, weights: ones, pulse: {current: 4000 pA, duration: 1 ms}}
output: A.neuron
record: [{population: A.neuron, compartment: spines, variable: calcium, axons: [0, 5], from: 1 ms, until: 2 ms, every: 4}, {population: A.neuron, compartment: soma}]
protocol: {match_and_control: {match: {from: 250 ms, duration: 1 s}, control: {pause: 0 ms, duration: 1 s}, trials: 3, matched: 2, lead: 7 ms, jitter: 1 ms, delay_runs: 4}}
simulation: {dt: 25 us, stop: {duration: 3 s}}
fidelity: {event: {jump: 0.2688 uM, power: 0.8, noise: 0.1}}
"#,
    r#"
schema: pulvinar/1
name: spikes
areas: {A: {populations: {neuron: {cells: 1, cable: {}}}}}
output: A.neuron
protocol: {match_and_control: {match: {from: 250 ms, duration: 1 s}, matched: nobody}}
fidelity: event
"#,
];

/// Every example, whole.
pub fn examples() -> Vec<String> {
    let short = LEARNING.iter().map(|sections| format!("{SHORT}{sections}"));
    [EVERYTHING, SHORT].into_iter().chain(SPIKES).map(str::to_owned).chain(short).collect()
}
