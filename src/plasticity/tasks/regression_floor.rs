//! The loss of a given head on in-context linear regression, in closed form: no sampling.
//!
//! The last token z_q = (x_q, 0) reads n examples z_j = (x_j, y_j), y_j = w.x_j + s eps_j; w, x, eps ~ N(0, 1). Linear heads
//! without softmax send
//!
//! ```text
//! y = sum_e x_e (g_e + rho_e) + kappa(x) + beta      x = x_q
//! g_e = sum_j z_j^T A_e z_j        A_e = symmetric part of sum_h c_h b_he^T
//! c_h = (W_O W_V)^T    b_he = scale W_K^T W_Q, column e    A_e = [[P, r], [r^T, a]], P [d, d]
//! ```
//!
//! with rho the direct path of x, beta the output bias and, where the question is one of the tokens that it reads,
//! kappa(x) = sum_e x_e x^T P_e x. x is independent of the rest, so
//!
//! ```text
//! E (y - w.x)^2 = d - 2 sum_e E w_e g_e + sum_e E (g_e + rho_e)^2 + E kappa^2 + 2 sum_e E[kappa x_e] E[g_e + rho_e] + beta^2
//! ```
//!
//! Given w, z_j is normal and z_j^T A z_j has mean m(w) and variance 2 |Q(w)|^2, both polynomials in w, and Isserlis' theorem gives
//!
//! ```text
//! E w_e g_e = 2 n r_e                 E g = n (p + a d)          p = tr P + a s^2
//! E g^2 = n^2 [p^2 + 4 |r|^2 + a^2 d (d + 2) + 2 p a d]
//!       + 2 n [|P|^2 + 2 (d + 1 + s^2) |r|^2 + a^2 (d (d + 2) + 2 s^2 d + s^4) + 2 a tr P]
//! E kappa^2 = 6 |F|^2 + 9 |f|^2       E[kappa x_e] = 3 f_e       F: kappa fully symmetrised, f_a = sum_b F_abb
//! ```
//!
//! Our own derivation; for one head at its optimum it is the known one (von Oswald et al. 2023, arXiv 2212.07677; Ahn et al. 2023,
//! arXiv 2306.00297; Mahankali et al. 2023, arXiv 2307.03576).
//!
//! **Deliberately absent:** decay, delta rules, kernels, biases of queries, keys and values, stacks of blocks.

use crate::attention::{Block, Head, Kernel, Mask, Memory, Normalisation};
use crate::linalg::gemm;
use nalgebra::DMatrix;

/// In-context regression: width of x, number of examples, standard deviation of the noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    pub d: usize,
    pub n: usize,
    pub noise: f64,
}

/// Why a block has no closed form here.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
#[error("no closed form: {reason}")]
pub struct NoClosedForm {
    pub reason: String,
}

impl Setting {
    /// The least `E (y - w.x_q)^2` of any linear head: `d (d + 1 + s^2) / (n + d + 1 + s^2)`.
    #[must_use]
    pub fn optimum(&self) -> f64 {
        self.d() * (self.d() + 1.0 + self.noise.powi(2)) * self.gain()
    }

    /// The head that reaches it sends `gain x_q . sum_j x_j y_j`, `gain = 1 / (n + d + 1 + s^2)`.
    #[must_use]
    pub fn gain(&self) -> f64 {
        1.0 / (self.n() + self.d() + 1.0 + self.noise.powi(2))
    }

    #[allow(clippy::cast_precision_loss)]
    fn d(&self) -> f64 {
        self.d as f64
    }

    #[allow(clippy::cast_precision_loss)]
    fn n(&self) -> f64 {
        self.n as f64
    }
}

/// `E (y - w.x_q)^2` of a block at the last token, over all sequences of the task. Twice the loss of a circuit
/// that learns, which is half the squared error. Cost O(heads d^3).
///
/// # Errors
/// [`NoClosedForm`] with the reason.
pub fn population_loss(block: &Block, setting: &Setting) -> Result<f64, NoClosedForm> {
    check(block, setting)?;
    let d = setting.d;
    // A_e for the examples, and the part of it that also meets the question itself.
    let mut all = vec![DMatrix::zeros(d + 1, d + 1); d];
    let mut own = all.clone();
    for head in &block.heads {
        let itself = head.query_stream == head.context_stream && head.mask != Mask::Strict;
        let value = product(&head.w_o, false, &head.w_v);
        let key = product(&head.w_k, true, &head.w_q);
        for e in 0..d {
            let pair = head.scale * key.column(e) * value.row(0);
            let pair = 0.5 * (&pair + pair.transpose());
            if itself {
                own[e] += &pair;
            }
            all[e] += pair;
        }
    }
    let direct = |e: usize| block.residual.iter().map(|path| path.matrix[(0, e)]).sum::<f64>();
    let (cubic, slope) = cubic(&own);
    let mut loss = setting.d() + cubic + block.b_o[0].powi(2);
    for (e, a) in all.iter().enumerate() {
        let (mean, square) = moments(a, setting);
        let (r, rho) = (a[(e, d)], direct(e));
        loss += square + 2.0 * rho * mean + rho * rho - 4.0 * setting.n() * r;
        loss += 2.0 * slope[e] * (mean + rho);
    }
    Ok(loss)
}

/// `E g` and `E g^2` of `g = sum_j z_j^T A z_j`, `A` symmetric.
fn moments(form: &DMatrix<f64>, setting: &Setting) -> (f64, f64) {
    let (d, n, s2) = (setting.d(), setting.n(), setting.noise.powi(2));
    let last = setting.d;
    let p_block = form.view((0, 0), (last, last));
    let (trace, p2) = (p_block.trace(), p_block.norm_squared());
    let r2 = form.view((0, last), (last, 1)).norm_squared();
    let a = form[(last, last)];
    let p = trace + a * s2;
    let of_mean = p * p + 4.0 * r2 + a * a * d * (d + 2.0) + 2.0 * p * a * d;
    let of_spread =
        p2 + 2.0 * (d + 1.0 + s2) * r2 + a * a * (d * (d + 2.0) + 2.0 * s2 * d + s2 * s2) + 2.0 * a * trace;
    (n * (p + a * d), n * n * of_mean + 2.0 * n * of_spread)
}

/// `E kappa^2` and `E[kappa x_e]` of `kappa = sum_e x_e x^T P_e x`, x ~ N(0, I).
#[allow(clippy::needless_range_loop)]
fn cubic(own: &[DMatrix<f64>]) -> (f64, Vec<f64>) {
    let d = own.len();
    let f = |a: usize, b: usize, c: usize| (own[a][(b, c)] + own[b][(a, c)] + own[c][(a, b)]) / 3.0;
    let (mut size, mut traces) = (0.0, vec![0.0; d]);
    for a in 0..d {
        for b in 0..d {
            traces[a] += f(a, b, b);
            size += (0..d).map(|c| f(a, b, c).powi(2)).sum::<f64>();
        }
    }
    let square = 6.0 * size + 9.0 * traces.iter().map(|t| t * t).sum::<f64>();
    (square, traces.into_iter().map(|t| 3.0 * t).collect())
}

fn check(block: &Block, setting: &Setting) -> Result<(), NoClosedForm> {
    let no = |reason: String| Err(NoClosedForm { reason });
    let width = setting.d + 1;
    if block.d_model != 1 {
        return no(format!("the output has {} numbers, not one", block.d_model));
    }
    let Some(first) = block.heads.first() else { return no("there is no head".to_owned()) };
    for (n, head) in block.heads.iter().enumerate() {
        if let Some(reason) = beyond(head, first, width) {
            return no(format!("head {n} {reason}"));
        }
    }
    if let Some(path) =
        block.residual.iter().find(|p| p.stream != first.query_stream || p.matrix.ncols() != width)
    {
        return no(format!("the direct path from `{}` is not one of the question", path.stream));
    }
    Ok(())
}

/// What of a head the formula does not know.
fn beyond(head: &Head, first: &Head, width: usize) -> Option<&'static str> {
    let zero = |b: &nalgebra::DVector<f64>| b.iter().all(|x| *x == 0.0);
    if head.kernel != Kernel::Linear {
        Some("has a kernel that is not linear")
    } else if head.normalisation != Normalisation::None {
        Some("is divided by the sum of its scores")
    } else if !matches!(head.memory, Memory::None | Memory::Hebbian) {
        Some("forgets or corrects what it stores")
    } else if !(zero(&head.b_q) && zero(&head.b_k) && zero(&head.b_v)) {
        Some("has biases")
    } else if head.value_stream != head.context_stream {
        Some("has keys and values from two streams")
    } else if (&head.query_stream, &head.context_stream) != (&first.query_stream, &first.context_stream) {
        Some("reads other streams than the first")
    } else if [&head.w_q, &head.w_k, &head.w_v].iter().any(|w| w.ncols() != width) {
        Some("reads tokens of another width than x and y")
    } else {
        None
    }
}

fn product(a: &DMatrix<f64>, transposed: bool, b: &DMatrix<f64>) -> DMatrix<f64> {
    let rows = if transposed { a.ncols() } else { a.nrows() };
    let mut c = DMatrix::zeros(rows, b.ncols());
    gemm(&mut c, 1.0, a, transposed, b, false, 0.0);
    c
}
