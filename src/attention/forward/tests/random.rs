//! Random heads and streams, and their translation into the oracle's own types.

use crate::attention::{
    Block, FeatureMap, Gate, GateSide, Head, Kernel, Mask, Memory, Normalisation, Rate, Residual, Streams,
};
use crate::oracle::heads as oracle;
use nalgebra::{DMatrix, DVector};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Widths of streams `a` (queries, output) and `b` (context, values).
pub const D: [usize; 2] = [5, 7];
/// Width of the output.
pub const D_OUT: usize = 6;

/// Where random numbers come from, and from which range.
pub struct Draw {
    rng: ChaCha8Rng,
    low: f64,
}

impl Draw {
    /// `positive` keeps every score away from 0, so that dividing by a sum of scores is well conditioned.
    pub fn new(seed: u64, positive: bool) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), low: if positive { 0.2 } else { -1.0 } }
    }

    pub fn matrix(&mut self, rows: usize, cols: usize) -> DMatrix<f64> {
        DMatrix::from_fn(rows, cols, |_, _| self.rng.random_range(self.low..1.0))
    }

    fn vector(&mut self, rows: usize) -> DVector<f64> {
        self.matrix(rows, 1).column(0).into_owned()
    }

    /// Gains between 0 and 1.
    pub fn gate(&mut self, rows: usize, stream: &str) -> Gate {
        let d = D[usize::from(stream == "b")];
        let maps = vec![FeatureMap::Sigmoid, FeatureMap::Relu, FeatureMap::Sign];
        Gate {
            stream: stream.into(),
            constant: DVector::from_element(rows, 0.5),
            weights: self.matrix(rows, maps.len()) * 0.15,
            features: self.matrix(maps.len(), d) * 0.3,
            bias: self.vector(maps.len()),
            maps,
        }
    }

    pub fn streams(&mut self, n_a: usize, n_b: usize) -> Streams {
        [("a", D[0], n_a), ("b", D[1], n_b)].map(|(s, d, n)| (s.to_string(), self.matrix(d, n))).into()
    }

    /// A head that reads queries from `a`, keys and values from `b`.
    pub fn head(&mut self, d_k: usize, d_v: usize) -> Head {
        Head {
            w_q: self.matrix(d_k, D[0]),
            w_k: self.matrix(d_k, D[1]),
            w_v: self.matrix(d_v, D[1]),
            w_o: self.matrix(D_OUT, d_v),
            b_q: self.vector(d_k),
            b_k: self.vector(d_k),
            b_v: self.vector(d_v),
            scale: 0.3,
            kernel: Kernel::Linear,
            normalisation: Normalisation::None,
            mask: Mask::Full,
            memory: Memory::None,
            query_stream: "a".into(),
            context_stream: "b".into(),
            value_stream: "b".into(),
            function: Vec::new(),
            sink: None,
            area: String::new(),
        }
    }

    /// A block on the clock of `a`, with a residual path and an output bias.
    pub fn block(&mut self, heads: Vec<Head>) -> Block {
        let residual = vec![Residual { stream: "a".into(), matrix: self.matrix(D_OUT, D[0]) * 0.1 }];
        let b_o = self.vector(D_OUT) * 0.1;
        Block { relay: "HO".into(), d_model: D_OUT, clock_stream: "a".into(), heads, residual, b_o }
    }
}

pub fn rows(m: &DMatrix<f64>) -> oracle::Rows {
    m.row_iter().map(|r| r.iter().copied().collect()).collect()
}

fn numbers(v: &DVector<f64>) -> Vec<f64> {
    v.iter().copied().collect()
}

fn map(m: FeatureMap) -> oracle::Map {
    match m {
        FeatureMap::Identity => oracle::Map::Identity,
        FeatureMap::Relu => oracle::Map::Relu,
        FeatureMap::Exp => oracle::Map::Exp,
        FeatureMap::EluPlusOne => oracle::Map::EluPlusOne,
        FeatureMap::Sigmoid => oracle::Map::Sigmoid,
        FeatureMap::Sign => oracle::Map::Sign,
        other => unreachable!("{other:?} is not drawn"),
    }
}

pub fn stream(name: &str) -> usize {
    usize::from(name == "b")
}

fn gate(g: &Gate) -> oracle::Gate {
    oracle::Gate {
        stream: stream(&g.stream),
        constant: numbers(&g.constant),
        weights: rows(&g.weights),
        features: rows(&g.features),
        bias: numbers(&g.bias),
        maps: g.maps.iter().map(|m| map(*m)).collect(),
    }
}

pub fn spec(h: &Head) -> oracle::HeadSpec {
    oracle::HeadSpec {
        w_q: rows(&h.w_q),
        w_k: rows(&h.w_k),
        w_v: rows(&h.w_v),
        w_o: rows(&h.w_o),
        b_q: numbers(&h.b_q),
        b_k: numbers(&h.b_k),
        b_v: numbers(&h.b_v),
        scale: h.scale,
        kernel: match h.kernel {
            Kernel::Linear => oracle::Kernel::Linear,
            Kernel::Exp => oracle::Kernel::Exp,
            Kernel::Power(n) => oracle::Kernel::Power(n),
            Kernel::Feature { key, query } => oracle::Kernel::Feature { key: map(key), query: map(query) },
            Kernel::Function => oracle::Kernel::Function,
        },
        normalised: h.normalisation == Normalisation::Sum,
        mask: match h.mask {
            Mask::Full => oracle::Mask::Full,
            Mask::Causal => oracle::Mask::Causal,
            Mask::Strict => oracle::Mask::Strict,
            window => unreachable!("{window:?} is not drawn"),
        },
        memory: match &h.memory {
            Memory::None => oracle::Memory::None,
            Memory::Hebbian => oracle::Memory::Hebbian,
            Memory::Decay(g) => oracle::Memory::Decay(*g),
            Memory::Delta(Rate::Constant(b)) => oracle::Memory::Delta(oracle::Rate::Constant(*b)),
            Memory::Delta(Rate::Gate(g)) => oracle::Memory::Delta(oracle::Rate::Gate(gate(g))),
            Memory::Gated { side: GateSide::Value, gate: g } => oracle::Memory::GatedRows(gate(g)),
            Memory::Gated { side: GateSide::Key, gate: g } => oracle::Memory::GatedColumns(gate(g)),
        },
        query_stream: stream(&h.query_stream),
        context_stream: stream(&h.context_stream),
        value_stream: stream(&h.value_stream),
        function: h.function.iter().map(|l| (l.gain, l.bias, map(l.activation))).collect(),
        sink: h.sink.as_ref().map(gate),
    }
}

/// What the oracle says, `[d_model, n]`.
pub fn oracle_forward(block: &Block, streams: &Streams) -> DMatrix<f64> {
    let heads: Vec<_> = block.heads.iter().map(spec).collect();
    let residual: Vec<_> = block.residual.iter().map(|r| (stream(&r.stream), rows(&r.matrix))).collect();
    let tokens = ["a", "b"].map(|s| rows(&streams[s].transpose()));
    let clock = stream(&block.clock_stream);
    let y = oracle::block(&heads, &residual, &numbers(&block.b_o), clock, &tokens);
    DMatrix::from_fn(block.d_model, y.len(), |a, i| y[i][a])
}
