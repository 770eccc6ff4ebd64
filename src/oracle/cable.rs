//! A branched cable with channels and spines, by dense matrices and direct sums.
//!
//! The same equations and the same time-stepping as the fast integrator (backward Euler for the potentials, exact
//! exponentials for the gates, calcium by backward Euler), written once more: the linear system is filled in and solved by
//! Gaussian elimination with pivoting for the *change* of the potentials, slopes of currents are differences, open fractions of
//! receptors are sums over all past spikes, gates are evaluated without tables.

/// Gates and currents of a membrane; conductances in uS.
#[derive(Clone, Debug)]
pub enum Channels {
    None,
    /// sodium, Kv3, M; reversal of potassium
    Apical([f64; 3], f64),
    /// sodium, fast K, persistent sodium, slow K, M; shift of sodium
    Soma([f64; 5], f64),
    /// sodium; shift
    Axon(f64, f64),
    Basal(f64),
}

/// One node; nF, uS, nA.
#[derive(Clone, Debug)]
pub struct Node {
    pub parent: usize,
    pub axial: f64,
    pub capacity: f64,
    pub leak: f64,
    pub leak_current: f64,
    pub channels: Channels,
}

/// One spine head: node, peak conductances of AMPA and NMDA in uS for all its spines, number of spines.
#[derive(Clone, Debug)]
pub struct Head {
    pub node: usize,
    pub ampa: f64,
    pub nmda: f64,
    pub spines: f64,
    /// arrival of spikes, in steps
    pub arrivals: Vec<usize>,
}

/// What comes out: potentials of all nodes after each step, calcium and integral of each head at the end.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub potentials: Vec<Vec<f64>>,
    pub calcium: Vec<f64>,
    pub integral: Vec<f64>,
}

/// Solves `a x = b` by Gaussian elimination with row pivoting; `a` is `[n][n]`.
#[must_use]
pub fn dense_solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for k in 0..n {
        let mut best = k;
        for i in k + 1..n {
            if a[i][k].abs() > a[best][k].abs() {
                best = i;
            }
        }
        a.swap(k, best);
        b.swap(k, best);
        for i in k + 1..n {
            let f = a[i][k] / a[k][k];
            let row = a[k].clone();
            for (x, y) in a[i].iter_mut().zip(&row).skip(k) {
                *x -= f * y;
            }
            b[i] -= f * b[k];
        }
    }
    for k in (0..n).rev() {
        for j in k + 1..n {
            b[k] -= a[k][j] * b[j];
        }
        b[k] /= a[k][k];
    }
    b
}

fn linoid(a: f64, x: f64, q: f64) -> f64 {
    if x == 0.0 { a * q } else { a * x / (1.0 - (-x / q).exp()) }
}

/// A rate read from 200 points between -120 and 100 mV.
fn read(v: f64, f: impl Fn(f64) -> f64) -> f64 {
    let width = 220.0 / 199.0;
    let below = ((v + 120.0) / width).floor();
    let left = -120.0 + below * width;
    f(left) + (v - left) / width * (f(left + width) - f(left))
}

/// Steady state and time constant in ms of each gate.
#[must_use]
pub fn gates(channels: &Channels, v: f64) -> Vec<(f64, f64)> {
    let pair = |a: f64, b: f64, q: f64| (a / (a + b), 1.0 / (a + b) / q);
    let sodium = |u: f64| {
        let q = 2.3f64.powf(1.4);
        let m = |u: f64| pair(linoid(0.182, u + 28.0, 9.0), linoid(0.124, -u - 28.0, 9.0), q);
        let h_tau = |u: f64| 1.0 / q / (linoid(0.024, u + 50.0, 5.0) + linoid(0.0091, -u - 75.0, 5.0));
        let h_inf = |u: f64| 1.0 / (1.0 + ((u + 55.0) / 6.2).exp());
        [(read(u, |u| m(u).0), read(u, |u| m(u).1)), (read(u, h_inf), read(u, h_tau))]
    };
    match channels {
        Channels::None => vec![],
        Channels::Apical(..) => {
            let q = 2.3f64.powf(1.3);
            let (up, down) = ((0.1 * (v + 35.0)).exp(), (-0.1 * (v + 35.0)).exp());
            vec![
                pair(linoid(0.182, v + 38.0, 6.0), linoid(0.124, -v - 38.0, 6.0), q),
                pair(linoid(0.015, -v - 66.0, 6.0), linoid(0.015, v + 66.0, 6.0), q),
                (1.0 / (1.0 + ((18.7 - v) / 9.7).exp()), 4.0 / (1.0 + ((-46.56 - v) / 44.14).exp())),
                pair(0.0033 * up, 0.0033 * down, q),
            ]
        }
        Channels::Axon(_, shift) => sodium(v - shift).to_vec(),
        Channels::Soma(_, shift) => {
            let [m, h] = sodium(v - shift);
            let fast =
                |v: f64| pair(linoid(0.02, v - 25.0, 9.0), linoid(0.002, 25.0 - v, 9.0), 2.3f64.powf(1.4));
            let n = (read(v, |v| fast(v).0), read(v, |v| fast(v).1));
            let p_tau = if v < -40.0 {
                0.025 + 0.14 * ((v + 40.0) / 10.0).exp()
            } else {
                0.02 + 0.145 * (-(v + 40.0) / 10.0).exp()
            };
            let p = (1.0 / (1.0 + (-(v + 48.0) / 10.0).exp()), p_tau);
            let a = pair(linoid(0.0052, v - 11.1, 13.1), 0.01938 * (-(v + 1.27) / 71.0).exp() - 0.0053, 1.0);
            let b = 1.0 / (1.0 + ((v + 58.0) / 11.0).exp());
            let bell = (-((v + 75.0) / 48.0) * ((v + 75.0) / 48.0)).exp();
            let b_tau = 360.0 + (1010.0 + 23.7 * (v + 54.0)) * bell;
            let b1_tau = 2350.0 + 1380.0 * (-0.01118 * v).exp() - 210.0 * (-0.0306 * v).exp();
            let w = (v + 35.0) / 20.0;
            let k_tau = 1000.0 / 2.3f64.powf(0.1) / (3.3 * w.exp() + (-w).exp());
            let k = (1.0 / (1.0 + (-(v + 35.0) / 10.0).exp()), k_tau);
            vec![m, h, n, p, a, (b, b_tau), (b, b1_tau), k]
        }
        Channels::Basal(_) => {
            let opening = 0.00643 * (v + 154.9) / (((v + 154.9) / 11.9).exp() - 1.0);
            vec![pair(opening, 0.193 * (v / 33.1).exp(), 1.0)]
        }
    }
}

/// Current in nA through the channels at `v`.
fn current(channels: &Channels, s: &[f64], v: f64) -> f64 {
    match channels {
        Channels::None => 0.0,
        Channels::Apical([na, kv, m], e_k) => {
            na * s[0].powi(3) * s[1] * (v - 50.0) + (kv * s[2] + m * s[3]) * (v - e_k)
        }
        Channels::Axon(na, _) => na * s[0].powi(3) * s[1] * (v - 55.0),
        Channels::Soma([na, fast, persistent, slow, m], _) => {
            (na * s[0].powi(3) * s[1] + persistent * s[3]) * (v - 55.0)
                + (fast * s[2] + slow * s[4] * s[4] * (s[5] + s[6]) / 2.0 + m * s[7]) * (v + 80.0)
        }
        Channels::Basal(h) => h * s[0] * (v + 47.0),
    }
}

/// Open receptors `n` steps after the start, peak 1 for one spike.
fn open(arrivals: &[usize], n: usize, dt: f64, rise: f64, fall: f64) -> f64 {
    let peak = rise * fall / (fall - rise) * (fall / rise).ln();
    let top = (-peak / fall).exp() - (-peak / rise).exp();
    let mut sum = 0.0;
    for &a in arrivals {
        if a <= n {
            let t = (n - a) as f64 * dt;
            sum += ((-t / fall).exp() - (-t / rise).exp()) / top;
        }
    }
    sum
}

/// Magnesium block, from 1,000 intervals between -140 and 80 mV.
fn unblocked(v: f64) -> f64 {
    let width = 220.0 / 1000.0;
    let f = |v: f64| 1.0 / (1.0 + (-0.075 * (v + 10.0)).exp());
    let left = -140.0 + ((v + 140.0) / width).floor() * width;
    f(left) + (v - left) / width * (f(left + width) - f(left))
}

/// Runs a cell for `steps` steps of `dt` ms from `start` mV; `inject(n)` is the current in nA into node 0 in step `n`.
#[must_use]
pub fn run(
    nodes: &[Node],
    heads: &[Head],
    start: f64,
    dt: f64,
    steps: usize,
    inject: impl Fn(usize) -> f64,
) -> Outcome {
    let n = nodes.len();
    let mut v = vec![start; n];
    let mut state: Vec<Vec<f64>> =
        nodes.iter().map(|c| gates(&c.channels, start).iter().map(|g| g.0).collect()).collect();
    let rest = 5e-7;
    let mut out = Outcome {
        potentials: Vec::new(),
        calcium: vec![rest; heads.len()],
        integral: vec![0.0; heads.len()],
    };
    for step in 0..steps {
        let mut a = vec![vec![0.0; n]; n];
        let mut b = vec![0.0; n];
        b[0] += inject(step);
        for (i, c) in nodes.iter().enumerate() {
            let total = |v: f64| c.leak * v - c.leak_current + current(&c.channels, &state[i], v);
            a[i][i] += c.capacity / dt + (total(v[i] + 1e-3) - total(v[i] - 1e-3)) / 2e-3;
            b[i] -= total(v[i]);
            if c.parent != i {
                let p = c.parent;
                a[i][i] += c.axial;
                a[p][p] += c.axial;
                a[i][p] -= c.axial;
                a[p][i] -= c.axial;
                b[i] += c.axial * (v[p] - v[i]);
                b[p] -= c.axial * (v[p] - v[i]);
            }
        }
        for (k, h) in heads.iter().enumerate() {
            let u = v[h.node];
            let ampa = h.ampa * open(&h.arrivals, step, dt, 0.34, 2.0);
            let nmda = h.nmda * open(&h.arrivals, step, dt, 2.0, 26.0);
            let total = |u: f64| ampa * u + nmda * unblocked(u) * (u + 0.7);
            a[h.node][h.node] += (total(u + 1e-6) - total(u - 1e-6)) / 2e-6;
            b[h.node] -= total(u);
            let calcium_current = 0.021 * nmda * unblocked(u) * (u - 130.0) / h.spines;
            let density = 100.0 * calcium_current / (std::f64::consts::PI * 0.25);
            let inflow = (-1e4 * density / (2.0 * 96485.33 * 0.125 * 18.0)).max(0.0);
            out.calcium[k] = (out.calcium[k] + dt * inflow + dt * rest / 15.0) / (1.0 + dt / 15.0);
            out.integral[k] =
                (out.integral[k] + dt * (out.calcium[k] - rest).powi(4)) / (1.0 + dt / 20_000.0);
        }
        for (v, change) in v.iter_mut().zip(dense_solve(a, b)) {
            *v += change;
        }
        for (i, c) in nodes.iter().enumerate() {
            for (s, (steady, tau)) in state[i].iter_mut().zip(gates(&c.channels, v[i])) {
                *s = steady + (*s - steady) * (-dt / tau).exp();
            }
        }
        out.potentials.push(v.clone());
    }
    out
}
