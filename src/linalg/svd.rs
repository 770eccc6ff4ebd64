//! Singular values to full relative accuracy.

use nalgebra::DMatrix;

/// Singular value decomposition `A = sum_k s_k u_k v_k^T`, strongest first.
#[derive(Clone, Debug)]
pub struct Svd {
    /// `[rows, rank]`, orthonormal columns
    pub u: DMatrix<f64>,
    /// descending, all positive
    pub singular: Vec<f64>,
    /// `[columns, rank]`, orthonormal columns
    pub v: DMatrix<f64>,
}

/// Most sweeps over all pairs of columns; about ten are enough for any matrix seen.
const SWEEPS: usize = 60;

/// One-sided Jacobi (Hestenes 1958; accuracy: Demmel & Veselic 1992). Zero singular values are left out.
///
/// nalgebra's SVD loses the vectors of a singular value 1e-9 times the largest (absolute error 1e-9 in a 3 x 3 matrix),
/// and weak heads live there; hence our own.
#[must_use]
pub fn svd(a: &DMatrix<f64>) -> Svd {
    let wide = a.ncols() > a.nrows();
    let mut u = if wide { a.transpose() } else { a.clone() };
    let n = u.ncols();
    let mut v = DMatrix::<f64>::identity(n, n);
    for _ in 0..SWEEPS {
        let mut turned = false;
        for p in 0..n {
            for q in p + 1..n {
                let (alpha, beta) = (u.column(p).norm_squared(), u.column(q).norm_squared());
                let gamma = u.column(p).dot(&u.column(q));
                if gamma == 0.0 || gamma.abs() <= f64::EPSILON * (alpha * beta).sqrt() {
                    continue;
                }
                turned = true;
                let zeta = (beta - alpha) / (2.0 * gamma);
                let t = zeta.signum() / (zeta.abs() + zeta.hypot(1.0));
                let c = 1.0 / t.hypot(1.0);
                rotate(&mut u, p, q, c, c * t);
                rotate(&mut v, p, q, c, c * t);
            }
        }
        if !turned {
            break;
        }
    }
    let norms: Vec<f64> = u.column_iter().map(|c| c.norm()).collect();
    let mut order: Vec<usize> = (0..n).filter(|k| norms[*k] > 0.0).collect();
    order.sort_by(|a, b| norms[*b].total_cmp(&norms[*a]).then(a.cmp(b)));
    let left = DMatrix::from_fn(u.nrows(), order.len(), |i, k| u[(i, order[k])] / norms[order[k]]);
    let right = DMatrix::from_fn(n, order.len(), |i, k| v[(i, order[k])]);
    let singular = order.iter().map(|k| norms[*k]).collect();
    if wide { Svd { u: right, singular, v: left } } else { Svd { u: left, singular, v: right } }
}

fn rotate(m: &mut DMatrix<f64>, p: usize, q: usize, c: f64, s: f64) {
    for i in 0..m.nrows() {
        let (x, y) = (m[(i, p)], m[(i, q)]);
        m[(i, p)] = c * x - s * y;
        m[(i, q)] = s * x + c * y;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_matrix_back_and_keeps_tiny_values() {
        let graded = DMatrix::from_row_slice(
            3,
            3,
            &[1.0, 0.0, 0.0, 0.0, 1.0 + 1e-9, 1.0 - 1e-9, 0.0, 1.0 - 1e-9, 1.0 + 1e-9],
        );
        let mixed = |m: usize, n: usize| DMatrix::from_fn(m, n, |i, j| ((i * 7 + j * 13) % 11) as f64 - 5.0);
        let rows: &[(&str, DMatrix<f64>)] = &[
            ("a tiny singular value", graded.clone()),
            ("tall", mixed(8, 6)),
            ("wide", mixed(3, 9)),
            ("one row", mixed(1, 4)),
            ("one column", mixed(5, 1)),
            ("zero", DMatrix::zeros(3, 2)),
        ];
        for (claim, a) in rows {
            let Svd { u, singular, v } = svd(a);
            let back = DMatrix::from_fn(a.nrows(), a.ncols(), |i, j| {
                (0..singular.len()).map(|k| u[(i, k)] * singular[k] * v[(j, k)]).sum::<f64>()
            });
            assert!((back - a).amax() <= 1e-14 * (1.0 + a.amax()), "{claim}");
            assert!(singular.windows(2).all(|w| w[0] >= w[1]), "{claim}: order");
            let orthonormal = |m: &DMatrix<f64>| {
                (m.transpose() * m - DMatrix::identity(m.ncols(), m.ncols())).amax() < 1e-13
            };
            assert!(orthonormal(&v) && orthonormal(&u), "{claim}: orthonormal");
        }
        let tiny = svd(&graded).singular[2];
        assert!((tiny / 2e-9 - 1.0).abs() < 1e-6, "2e-9 comes out as {tiny:e}");
    }
}
