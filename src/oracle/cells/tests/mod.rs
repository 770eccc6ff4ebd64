//! Circuits wired by hand against the heads that they compute.

mod maps;

use super::*;
use crate::oracle::heads::{self, HeadSpec, Kernel, Memory, Rate, Rows};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const D: usize = 4;
const D_K: usize = 3;
const D_V: usize = 2;
const N: usize = 5;
const MASKS: [(Mask, heads::Mask); 3] = [
    (Mask::Full, heads::Mask::Full),
    (Mask::Causal, heads::Mask::Causal),
    (Mask::Strict, heads::Mask::Strict),
];

fn random(rows: usize, cols: usize, rng: &mut ChaCha8Rng) -> Rows {
    (0..rows).map(|_| (0..cols).map(|_| rng.random_range(-1.0..1.0)).collect()).collect()
}

fn ones(rows: usize, cols: usize) -> Rows {
    vec![vec![1.0; cols]; rows]
}

fn identity(n: usize) -> Rows {
    (0..n).map(|a| (0..n).map(|b| f64::from(u8::from(a == b))).collect()).collect()
}

/// `onto: cells`: every microcolumn gets the same row per cell.
fn onto_cells(w: &Rows, n_microcolumns: usize) -> Rows {
    (0..n_microcolumns).flat_map(|_| w.clone()).collect()
}

/// `onto: microcolumns`: all cells of a column get the row of that column.
fn onto_microcolumns(w: &Rows, n_cells: usize) -> Rows {
    w.iter().flat_map(|row| vec![row.clone(); n_cells]).collect()
}

/// `pool: cells`: the sum over a column, then out.
fn pool_cells(w: &Rows, n_cells: usize) -> Rows {
    w.iter().map(|row| row.iter().flat_map(|x| vec![*x; n_cells]).collect()).collect()
}

/// One head's matrices and a stream of tokens.
fn head(seed: u64, mask: heads::Mask) -> (HeadSpec, Rows) {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let spec = HeadSpec {
        w_q: random(D_K, D, rng),
        w_k: random(D_K, D, rng),
        w_v: random(D_V, D, rng),
        w_o: random(D, D_V, rng),
        b_q: vec![0.0; D_K],
        b_k: vec![0.0; D_K],
        b_v: vec![0.0; D_V],
        scale: 1.0,
        kernel: Kernel::Linear,
        normalised: false,
        mask,
        memory: Memory::None,
        query_stream: 0,
        context_stream: 0,
        value_stream: 0,
        function: Vec::new(),
        sink: None,
    };
    (spec, random(N, D, rng))
}

/// A net under construction.
struct Wiring {
    net: Net,
    mask: Mask,
}

impl Wiring {
    /// The relays `VP_core` (0, per query) and `VP_matrix` (1, per context).
    fn new(tokens: &Rows, mask: Mask) -> Self {
        let streams = vec![StreamData { d_model: D, tokens: tokens.clone() }];
        let mut wiring = Self { net: Net { streams, populations: vec![], projections: vec![] }, mask };
        for (name, indices) in [("VP_core", "i"), ("VP_matrix", "j")] {
            let p = wiring.population(name, indices, (1, D), Activation::Linear);
            wiring.net.populations[p].kind = Kind::Input { stream: 0, part: None };
        }
        wiring
    }

    /// `indices` holds `i` for query and `j` for context; `size` is (microcolumns, cells).
    fn population(&mut self, name: &str, indices: &str, size: (usize, usize), f: Activation) -> usize {
        let n = self.net.streams[0].tokens.len();
        self.net.populations.push(Population {
            name: name.into(),
            n_microcolumns: size.0,
            n_cells: size.1,
            has_query: indices.contains('i'),
            has_context: indices.contains('j'),
            query_clock: n,
            context_clock: n,
            kind: Kind::Cells,
            part: None,
            activation: f,
            accumulate: None,
            mask: self.mask,
        });
        self.net.populations.len() - 1
    }

    fn wire(&mut self, from: usize, to: usize, compartment: Compartment, weights: Rows) -> &mut Projection {
        let name = format!("{from}_to_{to}");
        let one =
            Projection { name, from, to, compartment, weights, divisive: false, delayed: false, mask: None };
        self.net.projections.push(one);
        self.net.projections.last_mut().unwrap()
    }

    /// What the last population sends, `[i][cell]`.
    fn run(&self) -> Rows {
        let sent = evaluate(&self.net).unwrap().pop().unwrap();
        assert!(sent.has_query && !sent.has_context);
        sent.values.into_iter().map(|mut row| row.remove(0)).collect()
    }
}

use Activation::{Exp, Linear, Product};
use Compartment::{Apical, Basal, Gate};

/// The superficial cells of the attention-mask circuit.
fn mask_cells(w: &mut Wiring, h: &HeadSpec) -> usize {
    let superficial = w.population("superficial", "ij", (1, D_K), Product);
    w.wire(1, superficial, Apical, h.w_k.clone());
    w.wire(0, superficial, Basal, h.w_q.clone());
    superficial
}

fn assert_close(got: &Rows, want: &Rows, claim: &str) {
    assert_eq!(got.len(), want.len(), "{claim}");
    for (x, y) in got.iter().flatten().zip(want.iter().flatten()) {
        assert!((x - y).abs() < 1e-13 * (1.0 + y.abs()), "{claim}: {x} is not {y}");
    }
}

/// `[x_i +] W_O u_i` by the oracle of heads.
fn want(h: &HeadSpec, tokens: &Rows, skip: bool) -> Rows {
    let residual = if skip { vec![(0, identity(D))] } else { vec![] };
    heads::block(std::slice::from_ref(h), &residual, &[0.0; D], 0, std::slice::from_ref(tokens))
}

#[test]
fn attention_mask_circuit_is_a_linear_head() {
    for (mask, head_mask) in MASKS {
        let (h, tokens) = head(1, head_mask);
        let mut w = Wiring::new(&tokens, mask);
        let superficial = mask_cells(&mut w, &h);
        let deep = w.population("deep", "ij", (1, D_V), Product);
        w.wire(superficial, deep, Apical, ones(D_V, D_K));
        w.wire(1, deep, Basal, h.w_v.clone());
        let ho = w.population("HO", "i", (1, D), Linear);
        w.wire(deep, ho, Basal, h.w_o.clone());
        w.wire(0, ho, Basal, identity(D));
        assert_close(&w.run(), &want(&h, &tokens, true), &format!("{mask:?}"));
    }
}

#[test]
fn divisive_inhibition_is_softmax() {
    for (mask, head_mask) in MASKS {
        let (mut h, tokens) = head(2, head_mask);
        (h.kernel, h.normalised, h.scale) = (Kernel::Exp, true, 0.5);
        let mut w = Wiring::new(&tokens, mask);
        let superficial = mask_cells(&mut w, &h);
        let score = w.population("score", "ij", (1, 1), Exp);
        w.wire(superficial, score, Basal, vec![vec![0.5; D_K]]);
        let deep = w.population("deep", "ij", (1, D_V), Product);
        w.wire(score, deep, Apical, ones(D_V, 1));
        w.wire(1, deep, Basal, h.w_v.clone());
        let total = w.population("total", "i", (1, 1), Linear);
        w.wire(score, total, Basal, ones(1, 1));
        let readout = w.population("readout", "i", (1, D_V), Linear);
        w.wire(deep, readout, Basal, identity(D_V));
        w.wire(total, readout, Basal, ones(D_V, 1)).divisive = true;
        let ho = w.population("HO", "i", (1, D), Linear);
        w.wire(readout, ho, Basal, h.w_o.clone());
        assert_close(&w.run(), &want(&h, &tokens, false), &format!("{mask:?}"));
    }
}

/// The key-value-memory circuit: `superficial` folds, `deep` reads.
fn memory_circuit(h: &HeadSpec, tokens: &Rows, mask: Mask, rule: Accumulate, gate: Option<Rows>) -> Rows {
    let mut w = Wiring::new(tokens, mask);
    let superficial = w.population("superficial", "j", (D_V, D_K), Product);
    w.net.populations[superficial].accumulate = Some(rule);
    w.wire(1, superficial, Apical, onto_cells(&h.w_k, D_V));
    w.wire(1, superficial, Basal, onto_microcolumns(&h.w_v, D_K));
    if let Some(weights) = gate {
        w.wire(1, superficial, Gate, weights);
    }
    let deep = w.population("deep", "i", (D_V, D_K), Product);
    w.wire(superficial, deep, Apical, identity(D_V * D_K));
    w.wire(0, deep, Basal, onto_cells(&h.w_q, D_V));
    let ho = w.population("HO", "i", (1, D), Linear);
    w.wire(deep, ho, Basal, pool_cells(&h.w_o, D_K));
    w.run()
}

#[test]
fn key_value_memory_circuit_is_a_head_under_every_rule() {
    for (mask, head_mask) in MASKS {
        let (h, tokens) = head(3, head_mask);
        let rng = &mut ChaCha8Rng::seed_from_u64(4);
        let rows = random(D_V, D, rng);
        let columns = random(D_K, D, rng);
        let gate = |features: &Rows| heads::Gate {
            stream: 0,
            constant: vec![0.0; features.len()],
            weights: identity(features.len()),
            features: features.clone(),
            bias: vec![0.0; features.len()],
            maps: vec![heads::Map::Identity; features.len()],
        };
        let by_row = || Some(onto_microcolumns(&rows, D_K));
        let by_column = || Some(onto_cells(&columns, D_V));
        let hebbian = Accumulate::Hebbian { rate: 1.0 };
        let cases = [
            ("no memory is hebbian", hebbian, None, Memory::None),
            ("hebbian", hebbian, None, Memory::Hebbian),
            ("decay", Accumulate::Decay { g: 0.8, rate: 1.0 }, None, Memory::Decay(0.8)),
            ("delta", Accumulate::Delta { rate: Some(0.3) }, None, Memory::Delta(Rate::Constant(0.3))),
            (
                "delta with a gate",
                Accumulate::Delta { rate: None },
                by_row(),
                Memory::Delta(Rate::Gate(gate(&rows))),
            ),
            ("gated rows", Accumulate::Gated, by_row(), Memory::GatedRows(gate(&rows))),
            ("gated columns", Accumulate::Gated, by_column(), Memory::GatedColumns(gate(&columns))),
        ];
        for (claim, rule, weights, memory) in cases {
            let h = HeadSpec { memory, ..h.clone() };
            let got = memory_circuit(&h, &tokens, mask, rule, weights);
            assert_close(&got, &want(&h, &tokens, false), &format!("{claim}, {mask:?}"));
        }
        let double = memory_circuit(&h, &tokens, mask, Accumulate::Hebbian { rate: 2.0 }, None);
        let twice = HeadSpec { scale: 2.0, ..h.clone() };
        assert_close(&double, &want(&twice, &tokens, false), "rate 2 writes twice as much");
    }
}

#[test]
fn a_block_output_is_the_next_blocks_token() {
    // HO per query, then a context relay that it projects to: token-aligned, summed causally by a third.
    let (h, tokens) = head(5, heads::Mask::Causal);
    let mut w = Wiring::new(&tokens, Mask::Causal);
    let ho = w.population("HO", "i", (1, D), Linear);
    w.wire(0, ho, Basal, h.w_q.iter().cloned().chain([vec![1.0; D]]).collect());
    let next = w.population("next", "j", (1, D), Linear);
    w.wire(ho, next, Basal, identity(D));
    let sum = w.population("sum", "i", (1, D), Linear);
    w.wire(next, sum, Basal, identity(D)).mask = Some(Mask::Strict);
    let sent = evaluate(&w.net).unwrap();
    for i in 0..N {
        assert_eq!(sent[next].values[0][i], sent[ho].values[i][0]);
        for a in 0..D {
            let want: f64 = (0..i).map(|j| sent[ho].values[j][0][a]).sum();
            assert!((sent[sum].values[i][0][a] - want).abs() < 1e-14);
        }
    }
}

#[test]
fn halves_of_a_signed_signal_and_tonic() {
    let (h, tokens) = head(6, heads::Mask::Full);
    let mut w = Wiring::new(&tokens, Mask::Full);
    let tonic = w.population("tonic", "", (1, 1), Linear);
    w.net.populations[tonic].kind = Kind::Constant(1.0);
    let mut ends = Vec::new();
    for part in [Part::Plus, Part::Minus] {
        let half = w.population("half", "i", (1, D_K), Linear);
        w.net.populations[half].part = Some(part);
        w.wire(0, half, Basal, h.w_q.clone());
        w.wire(tonic, half, Apical, vec![vec![0.25]; D_K]);
        ends.push(half);
    }
    let sent = evaluate(&w.net).unwrap();
    for (i, x_i) in tokens.iter().enumerate() {
        for b in 0..D_K {
            let net = 0.25 + h.w_q[b].iter().zip(x_i).map(|(w, x)| w * x).sum::<f64>();
            let (plus, minus) = (sent[ends[0]].values[i][0][b], sent[ends[1]].values[i][0][b]);
            assert!((plus - minus - net).abs() < 1e-14 && plus >= 0.0 && minus >= 0.0 && plus * minus <= 0.0);
        }
    }
}

#[test]
fn what_the_language_does_not_have_is_an_error() {
    let cases: &[(&str, &str, &str, &str)] = &[
        ("queries are never summed", "ij", "j", "no projection sums over query"),
        ("nor into no index at all", "i", "", "no projection sums over query"),
        ("a sum over context has a query", "j", "", "a sum over context needs a query index at the target"),
    ];
    for (claim, from, to, reason) in cases {
        let (_, tokens) = head(7, heads::Mask::Full);
        let mut w = Wiring::new(&tokens, Mask::Full);
        let a = w.population("a", from, (1, 1), Linear);
        let b = w.population("b", to, (1, 1), Linear);
        w.wire(a, b, Basal, ones(1, 1));
        let error = evaluate(&w.net).unwrap_err();
        assert_eq!(error.to_string(), format!("2_to_3: {reason}"), "{claim}");
    }
    let (_, tokens) = head(7, heads::Mask::Full);
    let mut w = Wiring::new(&tokens, Mask::Full);
    let a = w.population("a", "i", (1, 1), Linear);
    w.wire(0, a, Basal, ones(1, D + 1));
    assert_eq!(evaluate(&w.net).unwrap_err().to_string(), "0_to_2: weights are not [1][4]");

    // a query population of another clock may sum a whole context, but not causally
    for (mask, reason) in
        [(Mask::Full, None), (Mask::Causal, Some("1_to_2: masks other than full need one clock"))]
    {
        let mut w = Wiring::new(&tokens, Mask::Full);
        let a = w.population("a", "i", (1, 1), Linear);
        w.net.populations[a].query_clock = N + 1;
        w.wire(1, a, Basal, ones(1, D)).mask = Some(mask);
        assert_eq!(evaluate(&w.net).err().map(|e| e.to_string()).as_deref(), reason);
    }
}

#[test]
fn an_empty_sum_is_zero_even_when_divided() {
    let (_, tokens) = head(8, heads::Mask::Strict);
    let mut w = Wiring::new(&tokens, Mask::Strict);
    let readout = w.population("readout", "i", (1, 1), Linear);
    w.wire(1, readout, Basal, ones(1, D));
    w.wire(1, readout, Basal, ones(1, D)).divisive = true;
    let y = w.run();
    assert_eq!(y[0], [0.0]);
    assert!(y[1..].iter().all(|t| (t[0] - 1.0).abs() < 1e-15));
}
