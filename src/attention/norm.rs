//! The functional size of a head: what it does, whatever gauge its matrices are written in.
//!
//! A linear head acts only through `P = W_O W_V` and `B = scale W_K^T W_Q`, each token with a 1 appended for the
//! biases. Where keys and values read one stream the two context slots of `T_abce = P_ab B_ce` are summed over the
//! same token, so only the part that is symmetric in `(b, c)` does anything:
//!
//! ```text
//! <f, f'> = 1/2 [ <OO, VV> <KK, QQ> + tr(OO VK QQ KV) ]
//! OO = W_O^T W_O'  VV = W_V W_V'^T  KK = W_K W_K'^T  QQ = W_Q W_Q'^T  VK = W_V' W_K^T  KV = W_K' W_V^T
//! ```
//!
//! **Deliberately absent:** distances of whole blocks; masks, decay and kernels (for other than linear heads the
//! number is that of the same `P` and `B`: a size, not a distance).

use super::block::Head;
use crate::linalg::{Real, gemm};
use nalgebra::{DMatrix, DVector};

/// `<f, g>` of two heads, from their factors; cost O(r^2 D).
///
/// Zero when they read different streams. When values and keys of a head come from different streams nothing is
/// symmetrised, and the result is `<OO, VV> <KK, QQ>`.
///
/// # Panics
/// If heads on the same streams have different widths.
///
/// # Source
/// Our own derivation; closest prior work arXiv 2408.17221 and 2410.10101.
#[must_use]
pub fn functional_inner<T: Real>(f: &Head<T>, g: &Head<T>) -> f64 {
    let streams = |h: &Head<T>| (h.query_stream.clone(), h.context_stream.clone(), h.value_stream.clone());
    if streams(f) != streams(g) {
        return 0.0;
    }
    let (fq, fk, fv) = augmented(f);
    let (gq, gk, gv) = augmented(g);
    let scale = f.scale.to_f64() * g.scale.to_f64();
    let widest = [&fk, &fv, &gk, &gv].into_iter().map(DMatrix::nrows).max().unwrap_or(0);
    if widest > WIDE && widest > 4 * fk.ncols().max(fq.ncols()).max(f.w_o.nrows()) {
        return scale * wide(f, g, (&fq, &fk, &fv), (&gq, &gk, &gv));
    }
    let oo = product(&double(&f.w_o), true, &double(&g.w_o), false);
    let vv = product(&fv, false, &gv, true);
    let kk = product(&fk, false, &gk, true);
    let qq = product(&fq, false, &gq, true);
    let direct = oo.dot(&vv) * kk.dot(&qq);
    if f.value_stream != f.context_stream {
        return scale * direct;
    }
    let vk = product(&gv, false, &fk, true);
    let kv = product(&gk, false, &fv, true);
    // tr(OO VK QQ KV) = <(OO VK)^T, QQ KV>
    let left = product(&oo, false, &vk, false);
    let right = product(&qq, false, &kv, false);
    scale * 0.5 * (direct + left.transpose().dot(&right))
}

/// Keys or values beyond which the products `[r, r]` of factors are not made, if tokens are much narrower.
const WIDE: usize = 2048;

type Factors<'a> = (&'a DMatrix<f64>, &'a DMatrix<f64>, &'a DMatrix<f64>);

/// The same from `P = W_O W_V` and `B = W_K^T W_Q`: `1/2 [<P, P'> <B, B'> + tr(P^T P' B B'^T)]`; cost O(r D^2).
fn wide<T: Real>(f: &Head<T>, g: &Head<T>, (fq, fk, fv): Factors<'_>, (gq, gk, gv): Factors<'_>) -> f64 {
    let p = product(&double(&f.w_o), false, fv, false);
    let q = product(&double(&g.w_o), false, gv, false);
    let (b, c) = (product(fk, true, fq, false), product(gk, true, gq, false));
    let direct = p.dot(&q) * b.dot(&c);
    if f.value_stream != f.context_stream {
        return direct;
    }
    let turned = product(&q, true, &p, false);
    0.5 * (direct + turned.dot(&product(&b, false, &c, true)))
}

/// `|f_h| = sqrt(<f_h, f_h>)`: the strength of a head, the same for every gauge.
#[must_use]
pub fn strength<T: Real>(head: &Head<T>) -> f64 {
    // Four factors multiply: scaled to 1 each, only a norm beyond the range of f64 overflows.
    let mut unit: Head<f64> = head.cast();
    let mut size = unit.scale.abs();
    unit.scale = 1.0;
    let sides = [
        (&mut unit.w_q, Some(&mut unit.b_q)),
        (&mut unit.w_k, Some(&mut unit.b_k)),
        (&mut unit.w_v, Some(&mut unit.b_v)),
        (&mut unit.w_o, None),
    ];
    for (weights, bias) in sides {
        let largest = weights.amax().max(bias.as_ref().map_or(0.0, |b| b.amax()));
        if largest == 0.0 {
            return 0.0;
        }
        *weights /= largest;
        if let Some(bias) = bias {
            *bias /= largest;
        }
        size *= largest;
    }
    size * functional_inner(&unit, &unit).max(0.0).sqrt()
}

/// Queries, keys and values on tokens with a 1 appended, `[W b]`.
fn augmented<T: Real>(h: &Head<T>) -> (DMatrix<f64>, DMatrix<f64>, DMatrix<f64>) {
    (with_bias(&h.w_q, &h.b_q), with_bias(&h.w_k, &h.b_k), with_bias(&h.w_v, &h.b_v))
}

fn with_bias<T: Real>(w: &DMatrix<T>, b: &DVector<T>) -> DMatrix<f64> {
    let mut out = double(w).insert_column(w.ncols(), 0.0);
    out.set_column(w.ncols(), &b.map(Real::to_f64));
    out
}

fn double<T: Real>(m: &DMatrix<T>) -> DMatrix<f64> {
    m.map(Real::to_f64)
}

fn product(a: &DMatrix<f64>, trans_a: bool, b: &DMatrix<f64>, trans_b: bool) -> DMatrix<f64> {
    let rows = if trans_a { a.ncols() } else { a.nrows() };
    let cols = if trans_b { b.nrows() } else { b.ncols() };
    let mut c = DMatrix::zeros(rows, cols);
    gemm(&mut c, 1.0, a, trans_a, b, trans_b, 0.0);
    c
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::{Kernel, Mask, Memory, Normalisation};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const D: usize = 3;

    fn head(d_k: usize, d_v: usize, rng: &mut ChaCha8Rng) -> Head {
        let mut m = |r, c| DMatrix::from_fn(r, c, |_, _| rng.random_range(-1.0..1.0));
        Head {
            w_q: m(d_k, D),
            w_k: m(d_k, D),
            w_v: m(d_v, D),
            w_o: m(D, d_v),
            b_q: m(d_k, 1).column(0).into_owned(),
            b_k: m(d_k, 1).column(0).into_owned(),
            b_v: m(d_v, 1).column(0).into_owned(),
            scale: 0.7,
            kernel: Kernel::Linear,
            normalisation: Normalisation::None,
            mask: Mask::Full,
            memory: Memory::None,
            query_stream: "main".into(),
            context_stream: "main".into(),
            value_stream: "main".into(),
            function: Vec::new(),
            sink: None,
            area: String::new(),
        }
    }

    /// `T[a][b][c][e]`, symmetrised over `(b, c)` or not, as one vector.
    fn dense(h: &Head, symmetric: bool) -> Vec<f64> {
        let (q, k, v) = augmented(h);
        let p = &h.w_o * &v;
        let b = k.transpose() * &q * h.scale;
        let mut out = Vec::new();
        for a in 0..D {
            for x in 0..=D {
                for y in 0..=D {
                    for e in 0..=D {
                        let one = p[(a, x)] * b[(y, e)];
                        let swapped = p[(a, y)] * b[(x, e)];
                        out.push(if symmetric { 0.5 * (one + swapped) } else { one });
                    }
                }
            }
        }
        out
    }

    fn dot(x: &[f64], y: &[f64]) -> f64 {
        x.iter().zip(y).map(|(x, y)| x * y).sum()
    }

    #[test]
    fn the_narrow_way_is_the_same() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let (f, mut g) = (head(4, 5, &mut rng), head(2, 7, &mut rng));
        for streams in ["main", "other"] {
            g.value_stream = streams.to_owned();
            let mut f = f.clone();
            f.value_stream = streams.to_owned();
            let ((fq, fk, fv), (gq, gk, gv)) = (augmented(&f), augmented(&g));
            let got = wide(&f, &g, (&fq, &fk, &fv), (&gq, &gk, &gv)) * f.scale * g.scale;
            let want = functional_inner(&f, &g);
            assert!((got - want).abs() <= 1e-13 * want.abs().max(1.0), "{streams}: {got} {want}");
        }
    }

    #[test]
    fn agrees_with_the_dense_tensor() {
        let rng = &mut ChaCha8Rng::seed_from_u64(3);
        for (d_k, d_v) in [(1, 1), (2, 3), (4, 1), (3, 3)] {
            for symmetric in [true, false] {
                let (mut f, mut g) = (head(d_k, d_v, rng), head(2, 2, rng));
                if !symmetric {
                    f.value_stream = "other".into();
                    g.value_stream = "other".into();
                }
                let (df, dg) = (dense(&f, symmetric), dense(&g, symmetric));
                let want = dot(&df, &dg);
                assert!((functional_inner(&f, &g) - want).abs() < 1e-12, "{d_k} {d_v} {symmetric}");
                assert!((strength(&f) - dot(&df, &df).sqrt()).abs() < 1e-12, "{d_k} {d_v} {symmetric}");
            }
        }
    }

    #[test]
    fn strength_of_extreme_weights_does_not_overflow() {
        let rng = &mut ChaCha8Rng::seed_from_u64(4);
        let f = head(2, 2, rng);
        for factor in [1e160, 1e-200] {
            let mut g = f.clone();
            g.w_v *= factor;
            g.b_v *= factor;
            assert!((strength(&g) / factor / strength(&f) - 1.0).abs() < 1e-12, "{factor:e}");
        }
    }

    #[test]
    fn strength_is_free_of_gauge() {
        let rng = &mut ChaCha8Rng::seed_from_u64(4);
        let f = head(2, 2, rng);
        let g = DMatrix::from_row_slice(2, 2, &[2.0, 1.0, -0.5, 3.0]);
        let inverse = g.clone().try_inverse().unwrap();
        let mut h = f.clone();
        h.w_k = &g * &f.w_k;
        h.b_k = &g * &f.b_k;
        h.w_q = inverse.transpose() * &f.w_q;
        h.b_q = inverse.transpose() * &f.b_q;
        h.w_v = &g * &f.w_v;
        h.b_v = &g * &f.b_v;
        h.w_o = &f.w_o * &inverse;
        assert!((strength(&f) - strength(&h)).abs() < 1e-12 * strength(&f));
        let gap = strength(&f).powi(2) + strength(&h).powi(2) - 2.0 * functional_inner(&f, &h);
        assert!(gap.abs() < 1e-12);
    }

    #[test]
    fn a_swap_of_key_and_value_is_invisible_at_rank_one() {
        // P = a b^T, B = c d^T against P' = a c^T, B' = b d^T: the two context slots trade places.
        let rng = &mut ChaCha8Rng::seed_from_u64(5);
        let f = head(1, 1, rng);
        let mut g = f.clone();
        (g.w_k, g.w_v) = (f.w_v.clone(), f.w_k.clone());
        (g.b_k, g.b_v) = (f.b_v.clone(), f.b_k.clone());
        let (ff, fg) = (functional_inner(&f, &f), functional_inner(&f, &g));
        assert!((ff - fg).abs() < 1e-13 * ff.abs());
    }

    #[test]
    fn heads_on_other_streams_have_nothing_in_common() {
        let rng = &mut ChaCha8Rng::seed_from_u64(6);
        let f = head(2, 2, rng);
        let mut g = f.clone();
        g.query_stream = "other".into();
        assert!(functional_inner(&f, &g).abs() <= 0.0);
    }
}
