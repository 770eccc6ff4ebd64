//! Attention heads as double loops over tokens.
//!
//! `q_i = W_Q x_i + b_Q`, `k_j = W_K x_j + b_K`, `v_j = W_V x_j + b_V`, `y_i = b_O + sum_s R_s x^s_i +
//! sum_h W_O^h u^h_i`; what `u_i` is depends on kernel, normalisation, mask and memory, see [`HeadSpec`].
//! Here a token is a `Vec<f64>` and a sequence a `Vec` of tokens; matrices are rows.

/// Rows of a matrix, or a sequence of tokens.
pub type Rows = Vec<Vec<f64>>;

/// Which context tokens a query sees: all, `j <= i`, `j < i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    Full,
    Causal,
    Strict,
}

/// An elementwise map of key or query cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    Identity,
    Relu,
    Exp,
    EluPlusOne,
    Sigmoid,
    Sign,
}

/// What a pair `(k_j, q_i)` weighs, `s = scale (k_j . q_i)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    Linear,
    Exp,
    Power(u32),
    Feature {
        key: Map,
        query: Map,
    },
    /// the chain of functions of the head
    Function,
}

/// `constant + weights * map(features x + bias)` of the tokens of one stream, one number per row.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    pub stream: usize,
    pub constant: Vec<f64>,
    pub weights: Rows,
    pub features: Rows,
    pub bias: Vec<f64>,
    pub maps: Vec<Map>,
}

/// The write strength of the delta rule.
#[derive(Clone, Debug, PartialEq)]
pub enum Rate {
    Constant(f64),
    Gate(Gate),
}

/// What context token `t` does to the memory matrix `M [d_v, d_k]`.
#[derive(Clone, Debug, PartialEq)]
pub enum Memory {
    /// no memory: `u_i = sum_{j in M(i)} weight_ij v_j`
    None,
    /// `M_t = M_{t-1} + v_t k_t^T`
    Hebbian,
    /// `M_t = g M_{t-1} + v_t k_t^T`
    Decay(f64),
    /// `M_t = M_{t-1} + diag(b_t) (v_t - M_{t-1} k_t) k_t^T`
    Delta(Rate),
    /// `M_t = diag(g_t) M_{t-1} + v_t k_t^T`
    GatedRows(Gate),
    /// `M_t = M_{t-1} diag(g_t) + v_t k_t^T`
    GatedColumns(Gate),
}

/// One head; streams are indices into the list given to [`block`].
#[derive(Clone, Debug, PartialEq)]
pub struct HeadSpec {
    pub w_q: Rows,
    pub w_k: Rows,
    pub w_v: Rows,
    pub w_o: Rows,
    pub b_q: Vec<f64>,
    pub b_k: Vec<f64>,
    pub b_v: Vec<f64>,
    pub scale: f64,
    pub kernel: Kernel,
    /// divide the read-out by the sum of the weights
    pub normalised: bool,
    pub mask: Mask,
    pub memory: Memory,
    pub query_stream: usize,
    pub context_stream: usize,
    pub value_stream: usize,
    /// `(gain, bias, map)` of each function of a chain, the first first
    pub function: Vec<(f64, f64, Map)>,
    /// one row, of a query token: joins the sum of the weights
    pub sink: Option<Gate>,
}

/// Output of a block: `n_tokens` of `clock_stream`, each `b_o.len()` wide.
#[must_use]
pub fn block(
    heads: &[HeadSpec],
    residual: &[(usize, Rows)],
    b_o: &[f64],
    clock_stream: usize,
    streams: &[Rows],
) -> Rows {
    let mut y: Rows = vec![b_o.to_vec(); streams[clock_stream].len()];
    for (stream, matrix) in residual {
        for (y_i, x_i) in y.iter_mut().zip(&streams[*stream]) {
            add(y_i, &times(matrix, x_i));
        }
    }
    for head in heads {
        for (y_i, u_i) in y.iter_mut().zip(read_out(head, streams)) {
            add(y_i, &times(&head.w_o, &u_i));
        }
    }
    y
}

/// Read-outs `u_i` of one head; x/0 comes out as an infinity, 0/0 as 0.
#[must_use]
pub fn read_out(head: &HeadSpec, streams: &[Rows]) -> Rows {
    let affine = |w: &Rows, b: &[f64], stream: usize| -> Rows {
        streams[stream]
            .iter()
            .map(|x| {
                let mut out = times(w, x);
                add(&mut out, b);
                out
            })
            .collect()
    };
    let q = affine(&head.w_q, &head.b_q, head.query_stream);
    let k = affine(&head.w_k, &head.b_k, head.context_stream);
    let v = affine(&head.w_v, &head.b_v, head.value_stream);
    let state_kernel = matches!(head.kernel, Kernel::Linear | Kernel::Feature { .. });
    if state_kernel && head.memory != Memory::None {
        with_memory(head, &q, &k, &v, streams)
    } else {
        with_weights(head, &q, &k, &v, streams)
    }
}

/// `u_i = sum_j a_ij v_j [/ sum_j a_ij]` over `j` in `M(i)`.
fn with_weights(head: &HeadSpec, q: &Rows, k: &Rows, v: &Rows, streams: &[Rows]) -> Rows {
    let d_v = head.w_v.len();
    let mut u = Vec::new();
    for (i, q_i) in q.iter().enumerate() {
        let seen = seen(head.mask, i, k.len());
        let mut u_i = vec![0.0; d_v];
        let mut sum = head.sink.as_ref().map_or(0.0, |sink| gain(sink, streams, i, 0));
        for j in 0..seen {
            let mut a_ij = score(head, &k[j], q_i);
            if let Memory::Decay(g) = head.memory {
                for _ in 0..seen - 1 - j {
                    a_ij *= g;
                }
            }
            sum += a_ij;
            for (u_ia, v_ja) in u_i.iter_mut().zip(&v[j]) {
                *u_ia += a_ij * v_ja;
            }
        }
        if head.normalised {
            for u_ia in &mut u_i {
                *u_ia = divide(*u_ia, sum);
            }
        }
        u.push(u_i);
    }
    u
}

/// `u_i = scale M phi(q_i)`, with the state `M` that the mask lets token `i` read.
fn with_memory(head: &HeadSpec, q: &Rows, k: &Rows, v: &Rows, streams: &[Rows]) -> Rows {
    let (key_map, query_map) = match head.kernel {
        Kernel::Feature { key, query } => (key, query),
        _ => (Map::Identity, Map::Identity),
    };
    let (d_v, d_k) = (head.w_v.len(), head.w_k.len());

    // states[t] = (M, z) before token t; states[N] is the final one.
    let mut memory: Rows = vec![vec![0.0; d_k]; d_v];
    let mut keys = vec![0.0; d_k]; // z_t = [g] z_{t-1} + k_t
    let mut states = vec![(memory.clone(), keys.clone())];
    for t in 0..k.len() {
        let k_t: Vec<f64> = k[t].iter().map(|x| apply(key_map, *x)).collect();
        let v_t = &v[t];
        let before = memory.clone();
        for a in 0..d_v {
            for b in 0..d_k {
                let hebb = v_t[a] * k_t[b];
                memory[a][b] = match &head.memory {
                    Memory::None | Memory::Hebbian => before[a][b] + hebb,
                    Memory::Decay(g) => g * before[a][b] + hebb,
                    Memory::Delta(rate) => {
                        let rate = match rate {
                            Rate::Constant(rate) => *rate,
                            Rate::Gate(gate) => gain(gate, streams, t, a),
                        };
                        let expected: f64 = before[a].iter().zip(&k_t).map(|(m, k)| m * k).sum();
                        before[a][b] + rate * (v_t[a] - expected) * k_t[b]
                    }
                    Memory::GatedRows(gate) => gain(gate, streams, t, a) * before[a][b] + hebb,
                    Memory::GatedColumns(gate) => gain(gate, streams, t, b) * before[a][b] + hebb,
                };
            }
        }
        for b in 0..d_k {
            let g = if let Memory::Decay(g) = head.memory { g } else { 1.0 };
            keys[b] = g * keys[b] + k_t[b];
        }
        states.push((memory.clone(), keys.clone()));
    }

    let mut u = Vec::new();
    for (i, q_i) in q.iter().enumerate() {
        let (memory, keys) = &states[seen(head.mask, i, k.len())];
        let q_i: Vec<f64> = q_i.iter().map(|x| apply(query_map, *x)).collect();
        let mut u_i: Vec<f64> = times(memory, &q_i).iter().map(|x| head.scale * x).collect();
        if head.normalised {
            let sink = head.sink.as_ref().map_or(0.0, |sink| gain(sink, streams, i, 0));
            let sum = sink + head.scale * keys.iter().zip(&q_i).map(|(z, q)| z * q).sum::<f64>();
            for u_ia in &mut u_i {
                *u_ia = divide(*u_ia, sum);
            }
        }
        u.push(u_i);
    }
    u
}

/// How many context tokens query `i` sees; they are always the first ones.
pub(super) fn seen(mask: Mask, i: usize, n_context: usize) -> usize {
    match mask {
        Mask::Full => n_context,
        Mask::Causal => i + 1,
        Mask::Strict => i,
    }
}

fn score(head: &HeadSpec, k: &[f64], q: &[f64]) -> f64 {
    let mut s = 0.0;
    for (k_b, q_b) in k.iter().zip(q) {
        s += match head.kernel {
            Kernel::Feature { key, query } => apply(key, *k_b) * apply(query, *q_b),
            _ => k_b * q_b,
        };
    }
    s *= head.scale;
    match head.kernel {
        Kernel::Linear | Kernel::Feature { .. } => s,
        Kernel::Exp => s.exp(),
        Kernel::Power(n) => (0..n).map(|_| s).product(),
        Kernel::Function => {
            for (gain, bias, map) in &head.function {
                s = apply(*map, gain * s + bias);
            }
            s
        }
    }
}

/// The gate of memory row (or column) `row` at token `t`; a gate with one row holds for all.
fn gain(gate: &Gate, streams: &[Rows], t: usize, row: usize) -> f64 {
    let row = if gate.constant.len() == 1 { 0 } else { row };
    let x = &streams[gate.stream][t];
    let mut g = gate.constant[row];
    for (f, feature) in gate.features.iter().enumerate() {
        let mut z = gate.bias[f];
        for (w, x_d) in feature.iter().zip(x) {
            z += w * x_d;
        }
        g += gate.weights[row][f] * apply(gate.maps[f], z);
    }
    g
}

pub(super) fn apply(map: Map, x: f64) -> f64 {
    match map {
        Map::Identity => x,
        Map::Relu => x.max(0.0),
        Map::Exp => x.exp(),
        Map::EluPlusOne if x > 0.0 => x + 1.0,
        Map::EluPlusOne => x.exp(),
        Map::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Map::Sign if x == 0.0 => 0.0,
        Map::Sign => x.signum(),
    }
}

fn divide(x: f64, y: f64) -> f64 {
    if x == 0.0 && y == 0.0 { 0.0 } else { x / y }
}

pub(super) fn times(matrix: &Rows, x: &[f64]) -> Vec<f64> {
    matrix.iter().map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum()).collect()
}

pub(super) fn add(to: &mut [f64], x: &[f64]) {
    for (a, b) in to.iter_mut().zip(x) {
        *a += b;
    }
}
