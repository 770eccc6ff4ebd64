//! Cortico-thalamic circuits, written in YAML, compiled to multihead linear self-attention.
//!
//! A user writes a circuit: microcolumns of superficial and deep pyramidal cells with apical and basal compartments,
//! thalamic relays of the core and matrix pathways, projections between them. A graph compiler finds out which
//! attention heads the circuit is, or says at which population it stops being attention.
//!
//! # The pipeline: one way, a new type per arrow, every stage printable
//!
//! ```text
//! YAML text --spec--> CircuitSpec --circuit--> Circuit --compile--> factor form --> blocks of heads
//!                     --emit spec              --emit graph         --emit factors  --emit heads
//!                                              |                                     |
//!                                              +--> simulate::cells                  +--> simulate::algebraic
//!                                              |    every cell in time               |    the heads
//!                                              +--> plasticity                       +--> attention::gradient
//!                                                   local rules, learning                 derivatives
//! ```
//!
//! ```
//! use pulvinar::model::{Model, Parameters};
//! use std::path::Path;
//!
//! let text = b"
//! schema: pulvinar/1
//! name: one_head
//! tokens: {d_model: 3, mask: causal}
//! thalamus:
//!   VP_core:   {pathway: core,   per: [query],   cells: 3}
//!   VP_matrix: {pathway: matrix, per: [context], cells: 3}
//!   HO:        {pathway: core,   per: [query],   cells: 3}
//! areas:
//!   A1: {template: {attention_mask_head: {query: VP_core, context: VP_matrix, to: HO, d_k: 2, d_v: 2}}}
//! output: HO
//! ";
//! // `Model::open(Path::new("circuits/one_head_attention_mask.yaml"), ...)` reads a file.
//! let model = Model::read(text, Path::new("."), &Parameters::default())?;
//! let (circuit, compiled) = (model.circuit()?, model.compiled()?);
//! let head = &compiled.blocks[0].block.heads[0];
//! assert_eq!((head.d_key(), head.d_value(), &*head.mask.name()), (2, 2, "causal"));
//!
//! // The head's QK matrix is the product of what the two projections to the superficial cells carry.
//! let weights = |name: &str| {
//!     let p = circuit.projections.iter().find(|p| p.name == name).unwrap();
//!     p.synapses.weights.dense()
//! };
//! let qk = head.w_k.transpose() * &head.w_q;
//! assert!((qk - weights("A1_W_K").transpose() * weights("A1_W_Q")).amax() < 1e-15);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Modules and who may import whom
//!
//! | module | holds | may import |
//! |---|---|---|
//! | [`diag`] [`units`] [`memory`] [`seed`] [`linalg`] [`files`] | diagnostics, times, how much memory may be taken, named random streams, matrix kernels, numeric files | each other, downward only |
//! | [`vocabulary`] | activations with their slopes, masks: each declared once, with the words for users | `linalg` |
//! | [`oracle`] | the equations as plain loops | nothing: it stays a second opinion |
//! | [`spec`] | YAML -> `CircuitSpec`, all mistakes at once; the only one that knows YAML | the base row |
//! | [`circuit`] | names to ids, shapes, index sets, weights; petgraph | `spec` |
//! | [`attention`] | blocks, heads, masks, kernels, memory rules; the forward pass; [`attention::gradient`]: its derivatives; [`attention::equivalence`] | the base row |
//! | [`compile`] | circuit -> factor form -> blocks; reasons; provenance | `circuit` `attention` `spec` |
//! | [`simulate`] | tokens, the algebraic run, every cell in time, a neuron as a cable | `circuit` `attention` `spec` |
//! | [`plasticity`] | learning: local rules on cells, the exact gradient of circuits, tasks, the loop | `circuit` `attention` `spec` `simulate` |
//! | [`weights`] | heads files: native form, transformer naming schemes; plus/minus rewriting | `circuit` `attention` `spec` |
//! | [`model`] | a circuit from its file to its heads, made once, every mistake at its place; where verbs, figures and experiments start | all above but `oracle` |
//! | [`answer`] | what a verb found, as data: its text and its JSON are views of it | `circuit` `attention` `compile` |
//!
//! Two crates stand on this one, and it knows neither: `pulvinar-lab` (`crates/lab`: experiments, figures, pages about runs;
//! plotting and fonts) and `pulvinar-cli` (`crates/cli`: the program, one file per verb; terminals, exit codes).
//! A test reads the sources and holds them to this table.
//!
//! # Invariants
//!
//! - **The compiler never cheats.** It sees populations, compartments and projections. A template writes ordinary
//!   populations before the circuit is wired; nothing later knows that it was one.
//! - **Right or refused.** A circuit that is not attention ends in an `N...` diagnostic at the population or
//!   projection at fault, never in a wrong answer.
//! - **Two routes to each number.** Compiled circuits are compared with [`oracle::cells`], which evaluates every cell
//!   for every pair of tokens by loops and shares no code with the compiler, on shipped and random circuits.
//! - **Cells know no heads.** [`simulate::cells`] integrates populations and projections and may not import the
//!   compiler; both must agree.
//! - **Same file + same seed = same bytes**, whatever the number of threads: sums have a fixed order, every random
//!   number comes from a stream named after its object.
//! - **Nothing is allocated on trust.** Sizes in files are checked before memory is taken, and what a circuit would take is
//!   estimated and compared with [`memory::limit`].

pub mod answer;
pub mod attention;
pub mod circuit;
pub mod compile;
pub mod diag;
pub mod files;
pub mod linalg;
pub mod memory;
pub mod model;
pub mod oracle;
pub mod plasticity;
pub mod seed;
pub mod simulate;
pub mod spec;
pub mod units;
pub mod vocabulary;
pub mod weights;
