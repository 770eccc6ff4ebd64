//! Derivatives of blocks of attention heads, as double loops over pairs of tokens.
//!
//! For `L` with `delta_i = dL/dy_i` and `e_i = W_O^T delta_i`, and one linear head without normalisation
//! (`a_ij = k_j . q_i`, `g_ij = e_i . v_j`):
//!
//! ```text
//! dL/dW_O = sum_i  delta_i u_i^T      dL/dW_V = sum_ij a_ij e_i x_j^T
//! dL/dW_Q = sum_ij g_ij k_j x_i^T     dL/dW_K = sum_ij g_ij q_i x_j^T
//! ```
//!
//! In general `a_ij = f(s_ij) g^age / Z_i`, and a pair's share of `dL/ds_ij` is `f'(s_ij) g^age (e_i . (v_j - u_i)) /
//! Z_i` (`v_j` alone where nothing is divided). Delta and gated memories are not weights per pair and not here.

use super::heads::{HeadSpec, Kernel, Map, Memory, Rows, add, apply, seen, times};

/// Derivatives by the parameters of one head.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadGradient {
    pub w_q: Rows,
    pub w_k: Rows,
    pub w_v: Rows,
    pub w_o: Rows,
    pub b_q: Vec<f64>,
    pub b_k: Vec<f64>,
    pub b_v: Vec<f64>,
    pub scale: f64,
    /// 0 where there is no decay
    pub decay: f64,
}

/// Derivatives by everything a block is made of and reads.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockGradient {
    pub heads: Vec<HeadGradient>,
    pub residual: Vec<Rows>,
    pub b_o: Vec<f64>,
    pub streams: Vec<Rows>,
}

/// Derivatives of `L` from `delta`, one `dL/dy_i` for each token of the output.
///
/// # Panics
/// On a delta or gated memory, and on a sink.
#[must_use]
pub fn block(
    heads: &[HeadSpec],
    residual: &[(usize, Rows)],
    streams: &[Rows],
    delta: &Rows,
) -> BlockGradient {
    let mut d_streams: Vec<Rows> = streams.iter().map(like).collect();
    let mut b_o = vec![0.0; delta.first().map_or(0, Vec::len)];
    for delta_i in delta {
        add(&mut b_o, delta_i);
    }
    let mut paths = Vec::new();
    for (stream, matrix) in residual {
        let mut d_matrix = like(matrix);
        for (i, delta_i) in delta.iter().enumerate() {
            add_outer(&mut d_matrix, delta_i, &streams[*stream][i]);
            add(&mut d_streams[*stream][i], &transposed_times(matrix, delta_i));
        }
        paths.push(d_matrix);
    }
    let heads = heads.iter().map(|h| head(h, streams, delta, &mut d_streams)).collect();
    BlockGradient { heads, residual: paths, b_o, streams: d_streams }
}

fn head(h: &HeadSpec, streams: &[Rows], delta: &Rows, d_streams: &mut [Rows]) -> HeadGradient {
    let (key_map, query_map) = match h.kernel {
        Kernel::Feature { key, query } => (key, query),
        _ => (Map::Identity, Map::Identity),
    };
    assert!(h.sink.is_none(), "a sink has derivatives of its own");
    let decay = match h.memory {
        Memory::None | Memory::Hebbian => 1.0,
        Memory::Decay(g) => g,
        _ => panic!("a memory that is no weight per pair of tokens"),
    };
    let cells = |w: &Rows, b: &[f64], stream: usize| -> Rows {
        let sum = |x: &Vec<f64>| times(w, x).iter().zip(b).map(|(z, b)| z + b).collect();
        streams[stream].iter().map(sum).collect()
    };
    let map =
        |z: &Rows, m: Map| -> Rows { z.iter().map(|z| z.iter().map(|z| apply(m, *z)).collect()).collect() };
    let z_q = cells(&h.w_q, &h.b_q, h.query_stream);
    let z_k = cells(&h.w_k, &h.b_k, h.context_stream);
    let v = cells(&h.w_v, &h.b_v, h.value_stream);
    let (q, k) = (map(&z_q, query_map), map(&z_k, key_map));

    let (mut d_q, mut d_k, mut d_v) = (like(&q), like(&k), like(&v));
    let mut d_w_o = like(&h.w_o);
    let (mut d_scale, mut d_decay) = (0.0, 0.0);
    for (i, delta_i) in delta.iter().enumerate() {
        let n = seen(h.mask, i, k.len());
        let inner: Vec<f64> = (0..n).map(|j| product(&k[j], &q[i])).collect();
        let age = |j: usize| i32::try_from(n - 1 - j).expect("few tokens");
        let fade: Vec<f64> = (0..n).map(|j| decay.powi(age(j))).collect();
        let weight: Vec<f64> = (0..n).map(|j| kernel(h, h.scale * inner[j]).0 * fade[j]).collect();
        let z = if h.normalised { weight.iter().sum() } else { 1.0 };
        if z == 0.0 {
            continue; // 0/0 is 0, a constant
        }
        let mut u_i = vec![0.0; h.w_v.len()];
        for j in 0..n {
            for (u, v) in u_i.iter_mut().zip(&v[j]) {
                *u += weight[j] * v / z;
            }
        }
        add_outer(&mut d_w_o, delta_i, &u_i);
        let e_i = transposed_times(&h.w_o, delta_i);
        for j in 0..n {
            let through_sum = if h.normalised { product(&e_i, &u_i) } else { 0.0 };
            let g_ij = (product(&e_i, &v[j]) - through_sum) / z; // dL / d(weight_ij)
            for (d, e) in d_v[j].iter_mut().zip(&e_i) {
                *d += weight[j] / z * e;
            }
            let (value, slope) = kernel(h, h.scale * inner[j]);
            if age(j) > 0 {
                d_decay += g_ij * value * f64::from(age(j)) * decay.powi(age(j) - 1);
            }
            let d_s = g_ij * slope * fade[j];
            d_scale += d_s * inner[j];
            for b in 0..k[j].len() {
                d_q[i][b] += d_s * h.scale * k[j][b];
                d_k[j][b] += d_s * h.scale * q[i][b];
            }
        }
    }
    unmap(&mut d_q, &z_q, query_map);
    unmap(&mut d_k, &z_k, key_map);

    let mut project = |w: &Rows, d: &Rows, stream: usize| {
        let (mut d_w, mut d_b) = (like(w), vec![0.0; w.len()]);
        for (t, d_t) in d.iter().enumerate() {
            add_outer(&mut d_w, d_t, &streams[stream][t]);
            add(&mut d_b, d_t);
            add(&mut d_streams[stream][t], &transposed_times(w, d_t));
        }
        (d_w, d_b)
    };
    let (w_q, b_q) = project(&h.w_q, &d_q, h.query_stream);
    let (w_k, b_k) = project(&h.w_k, &d_k, h.context_stream);
    let (w_v, b_v) = project(&h.w_v, &d_v, h.value_stream);
    HeadGradient { w_q, w_k, w_v, w_o: d_w_o, b_q, b_k, b_v, scale: d_scale, decay: d_decay }
}

/// `f(s)` and `f'(s)`.
fn kernel(head: &HeadSpec, s: f64) -> (f64, f64) {
    match head.kernel {
        Kernel::Linear | Kernel::Feature { .. } => (s, 1.0),
        Kernel::Exp => (s.exp(), s.exp()),
        Kernel::Power(n) => {
            let n = i32::try_from(n).expect("a small exponent");
            (s.powi(n), f64::from(n) * s.powi(n - 1))
        }
        Kernel::Function => {
            let through = |(s, d): (f64, f64), (gain, bias, map): &(f64, f64, Map)| {
                let z = gain * s + bias;
                (apply(*map, z), d * gain * slope(*map, z))
            };
            head.function.iter().fold((s, 1.0), through)
        }
    }
}

/// From derivatives by `map(z)` to derivatives by `z`.
fn unmap(d: &mut Rows, z: &Rows, map: Map) {
    for (d, z) in d.iter_mut().flatten().zip(z.iter().flatten()) {
        *d *= slope(map, *z);
    }
}

fn slope(map: Map, z: f64) -> f64 {
    match map {
        Map::Identity => 1.0,
        Map::Relu => f64::from(u8::from(z > 0.0)),
        Map::Exp => z.exp(),
        Map::EluPlusOne => z.min(0.0).exp(),
        Map::Sigmoid => 0.25 / (0.5 * z).cosh().powi(2),
        Map::Sign => 0.0,
    }
}

fn like(m: &Rows) -> Rows {
    m.iter().map(|row| vec![0.0; row.len()]).collect()
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn transposed_times(m: &Rows, x: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; m.first().map_or(0, Vec::len)];
    for (row, x) in m.iter().zip(x) {
        for (o, w) in out.iter_mut().zip(row) {
            *o += w * x;
        }
    }
    out
}

fn add_outer(m: &mut Rows, a: &[f64], b: &[f64]) {
    for (row, a) in m.iter_mut().zip(a) {
        for (w, b) in row.iter_mut().zip(b) {
            *w += a * b;
        }
    }
}
