//! The distance of two blocks whose heads are alike, from differences of their factors.
//!
//! Where each head `f` has a partner `f'` that is nearly the same, `<f - f', f - f'>` is a small difference of large sums.
//! For any matrices `G`, `H` and number `c`, exactly,
//!
//! ```text
//! s P x B - s' P' x B' = s (P - c P') x B + P' x (c s B - s' B')                  P = O V, B = K^T Q
//! P - c P'             = (O - c O' G) V + c O' (G V - V')
//! c s B - s' B'        = (c s K - s' H^T K')^T Q + s' K'^T (H Q - Q')
//! ```
//!
//! With `G V` nearest to `V'` and `H Q` nearest to `Q'` each of the four products has a small factor, so that their sum is
//! formed in `f64` without cancellation. What is lost are roundings of the small factors, about 2^-53 of the heads.

use super::assignment::assignment;
use super::gram::{CANCELLED, Gram, Slots, form, gram};
use super::matched::Cosines;
use super::number::Number;
use super::stack::{Place, Stack};
use crate::linalg::{Operand, count, gemm, gemm_into};
use nalgebra::{Cholesky, DMatrix};
use std::ops::Range;

/// Least `|cos|` of QK times that of OV of partners.
const ALIKE: f64 = 0.5;
/// Of `|f|`: what rounding may change a distance by.
const FLOOR: f64 = 1e-12;
/// Of the distance: what rounding may change it by where that is more.
const RELATIVE: f64 = 1e-4;
/// Of the mean square of rows: keeps the fit of a gauge to dependent rows definite.
const RIDGE: f64 = 1e-13;

/// `|f - f'|^2` in units of the stack, where `signs` are 1 and -1 of the two blocks and `norm` is the size of either;
/// nothing if too much cancels all the same.
pub(super) fn aligned_square(stack: &Stack, plain: &Gram<f64>, signs: &[f64], norm: f64) -> Option<f64> {
    let of = |sign: f64| (0..signs.len()).filter(|h| signs[*h] == sign).collect::<Vec<usize>>();
    let (a, b) = (of(1.0), of(-1.0));
    let cosines = Cosines::of(stack, plain);
    let alike = DMatrix::from_fn(a.len(), b.len(), |i, j| {
        (cosines.qk[(a[i], b[j])] * cosines.ov[(a[i], b[j])]).abs()
    });
    let pairs: Vec<(usize, usize)> =
        assignment(&alike).into_iter().filter(|at| alike[*at] >= ALIKE).map(|(i, j)| (a[i], b[j])).collect();
    if pairs.is_empty() {
        return None;
    }
    let mut out = Differences::default();
    for (i, j) in &pairs {
        out.pair(stack, *i, *j, plain.ov[(*i, *j)] / plain.ov[(*j, *j)])?;
    }
    for h in (0..signs.len()).filter(|h| pairs.iter().all(|(i, j)| h != i && h != j)) {
        out.alone(stack, h, signs[h]);
    }
    let lost = out.lost.sqrt() * f64::EPSILON;
    let small = out.stack(stack.exponent);
    let (sum, size) = form(&gram::<f64>(&small), Slots::Pair, small.heads.len(), &|_, _| 1.0);
    let sum = sum.to_f64().max(0.0);
    let formed = lost <= (RELATIVE * sum.sqrt()).max(FLOOR * norm);
    let summed = sum >= CANCELLED * size || f64::EPSILON * size <= (0.1 * FLOOR * norm).powi(2);
    (formed && summed).then_some(sum)
}

/// Matrices one below the other.
#[derive(Default)]
struct Tall {
    parts: Vec<DMatrix<f64>>,
    rows: usize,
}

impl Tall {
    fn push(&mut self, m: DMatrix<f64>) -> Range<usize> {
        let from = self.rows;
        self.rows += m.nrows();
        self.parts.push(m);
        from..self.rows
    }

    fn matrix(self) -> DMatrix<f64> {
        let mut out = DMatrix::zeros(self.rows, self.parts.first().map_or(0, DMatrix::ncols));
        let mut at = 0;
        for part in self.parts {
            out.rows_mut(at, part.nrows()).copy_from(&part);
            at += part.nrows();
        }
        out
    }
}

/// The terms of `f - f'`.
#[derive(Default)]
struct Differences {
    o: Tall,
    v: Tall,
    k: Tall,
    q: Tall,
    heads: Vec<Place>,
    /// squares of the sizes that rounding of the small factors is relative to
    lost: f64,
}

impl Differences {
    /// Four terms for heads `i` and `j`; nothing if a gauge cannot be fitted.
    fn pair(&mut self, stack: &Stack, i: usize, j: usize, c: f64) -> Option<()> {
        let (f, g) = (&stack.heads[i], &stack.heads[j]);
        let rows = |m: &DMatrix<f64>, r: &Range<usize>| m.rows(r.start, r.len()).into_owned();
        let (o, v, k, q) =
            (rows(&stack.o, &f.o), rows(&stack.v, &f.v), rows(&stack.k, &f.k), rows(&stack.q, &f.q));
        let (o2, v2) = (rows(&stack.o, &g.o), rows(&stack.v, &g.v));
        let (k2, q2) = (rows(&stack.k, &g.k), rows(&stack.q, &g.q));
        let (s, s2) = (f.coefficient, g.coefficient);

        let (of_v, of_q) = (gauge(&v, &v2)?, gauge(&q, &q2)?);
        let (near_v, near_q) = (product(&of_v, false, &v), product(&of_q, false, &q));
        let (near_o, near_k) = (product(&of_v, true, &o2) * c, product(&of_q, true, &k2) * s2);
        let whole_k = &k * (c * s);
        let sizes = [
            (o.norm() + near_o.norm()) * v.norm() + c.abs() * o2.norm() * (near_v.norm() + v2.norm()),
            (whole_k.norm() + near_k.norm()) * q.norm() + s2.abs() * k2.norm() * (near_q.norm() + q2.norm()),
        ];
        self.lost += (sizes[0] * s.abs() * k.norm() * q.norm()).powi(2);
        self.lost += (sizes[1] * o2.norm() * v2.norm()).powi(2);

        let (small_o, o2) = (self.o.push(o - near_o), self.o.push(o2));
        let (v, small_v, v2) = (self.v.push(v), self.v.push(near_v - &v2), self.v.push(v2));
        let (k, small_k, k2) = (self.k.push(k), self.k.push(whole_k - near_k), self.k.push(k2));
        let (q, small_q) = (self.q.push(q), self.q.push(near_q - q2));
        let mut term =
            |o: &Range<usize>, v: Range<usize>, k: &Range<usize>, q: &Range<usize>, coefficient| {
                self.heads.push(Place { o: o.clone(), v, k: k.clone(), q: q.clone(), coefficient });
            };
        term(&small_o, v, &k, &q, s);
        term(&o2, small_v, &k, &q, c * s);
        term(&o2, v2.clone(), &small_k, &q, 1.0);
        term(&o2, v2, &k2, &small_q, s2);
        Some(())
    }

    /// A head without a partner.
    fn alone(&mut self, stack: &Stack, h: usize, sign: f64) {
        let place = &stack.heads[h];
        let push = |to: &mut Tall, m: &DMatrix<f64>, r: &Range<usize>| {
            to.push(m.rows(r.start, r.len()).into_owned())
        };
        self.heads.push(Place {
            o: push(&mut self.o, &stack.o, &place.o),
            v: push(&mut self.v, &stack.v, &place.v),
            k: push(&mut self.k, &stack.k, &place.k),
            q: push(&mut self.q, &stack.q, &place.q),
            coefficient: sign * place.coefficient,
        });
    }

    fn stack(self, exponent: i32) -> Stack {
        let [o, v, k, q] = [self.o, self.v, self.k, self.q].map(Tall::matrix);
        Stack { o, v, k, q, heads: self.heads, exponent }
    }
}

/// The `G` that brings `G from` nearest to `to`; improved twice, since normal equations square the condition.
fn gauge(from: &DMatrix<f64>, to: &DMatrix<f64>) -> Option<DMatrix<f64>> {
    let outer = |a: &DMatrix<f64>, b: &DMatrix<f64>| {
        let mut out = DMatrix::zeros(a.nrows(), b.nrows());
        gemm_into(out.as_mut_slice(), 1.0, Operand::of(a), Operand::of(b).t(), 0.0);
        out
    };
    let mut square = outer(from, from);
    let ridge = RIDGE * square.trace() / count(square.nrows().max(1));
    for i in 0..square.nrows() {
        square[(i, i)] += ridge;
    }
    let factored = Cholesky::new(square)?;
    let mut g = DMatrix::zeros(to.nrows(), from.nrows());
    for _ in 0..3 {
        let mut rest = to.clone();
        gemm(&mut rest, -1.0, &g, false, from, false, 1.0);
        g += factored.solve(&outer(from, &rest)).transpose();
    }
    Some(g)
}

fn product(a: &DMatrix<f64>, transposed: bool, b: &DMatrix<f64>) -> DMatrix<f64> {
    let mut out = DMatrix::zeros(if transposed { a.ncols() } else { a.nrows() }, b.ncols());
    gemm(&mut out, 1.0, a, transposed, b, false, 0.0);
    out
}
