//! One time step of several independent trials side by side.
//!
//! Every quantity is an array `[f64; L]` with a place for each trial. No number crosses from one place to another and all
//! arithmetic is that of a single trial in a fixed order, so results do not depend on `L`. The loops are plain; where the
//! processor has AVX2 a second compilation of them is chosen at run time. It gives the same bits: products and sums are
//! never contracted.
//!
//! A step from `t` to `t + dt`, after spikes due by `t + dt / 2` have been added:
//!
//! 1. synaptic currents and their slopes at `v(t)`; calcium by backward Euler with the influx at `v(t)`; decay of receptors;
//! 2. `v(t + dt)` by backward Euler, all other conductances as they stand at `t`: elimination from the leaves to the root,
//!    substitution back;
//! 3. gates from `t` to `t + dt` at `v(t + dt)`.

use super::model::{Group, Model, SpineConstants};
use super::tables::Gates;
use multiversion::multiversion;

/// A number for each of `L` trials, aligned with the registers: loads do not cross lines of the cache.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub struct Lanes<const L: usize>(pub [f64; L]);

/// State of `L` trials.
#[derive(Clone, Debug)]
pub struct State<const L: usize> {
    /// potential of each node
    pub v: Vec<Lanes<L>>,
    /// diagonal and right-hand side of the next step, as far as known at `t`
    diagonal: Vec<Lanes<L>>,
    rhs: Vec<Lanes<L>>,
    /// gates of the members of each group
    gates: Vec<Vec<[Gates; L]>>,
    pub heads: Vec<HeadState<L>>,
}

/// State of a spine head in `L` trials.
#[derive(Clone, Debug)]
#[repr(align(32))]
pub struct HeadState<const L: usize> {
    ampa: [[f64; L]; 2],
    nmda: [[f64; L]; 2],
    /// factor of the AMPA conductance
    pub gain: [f64; L],
    /// mM
    pub calcium: [f64; L],
    /// integral of calcium above rest to the fourth power, mM^4 ms
    pub integral: [f64; L],
    /// the integral as potentiation sees it, mM^4 ms
    pub lagged: [f64; L],
}

impl<const L: usize> HeadState<L> {
    /// A presynaptic spike arrives in trial `lane`.
    pub fn spike(&mut self, lane: usize) {
        for receptor in [&mut self.ampa, &mut self.nmda] {
            receptor[0][lane] += 1.0;
            receptor[1][lane] += 1.0;
        }
    }
}

impl<const L: usize> State<L> {
    /// All nodes at `start_mv`, gates as after a long time there, synapses silent.
    #[must_use]
    pub fn new(model: &Model, start_mv: f64) -> Self {
        let n = model.parents.len();
        let head = HeadState {
            ampa: [[0.0; L]; 2],
            nmda: [[0.0; L]; 2],
            gain: [1.0; L],
            calcium: [super::spines::CALCIUM_REST_MM; L],
            integral: [0.0; L],
            lagged: [0.0; L],
        };
        let gates = |g: &Group| vec![[Gates(g.table.steady(start_mv)); L]; g.members.len()];
        let mut state = Self {
            v: vec![Lanes([start_mv; L]); n],
            diagonal: vec![Lanes([0.0; L]); n],
            rhs: vec![Lanes([0.0; L]); n],
            gates: model.groups.iter().map(gates).collect(),
            heads: vec![head; model.heads.len()],
        };
        for i in 0..n {
            state.restart(model, i);
        }
        for (group, gates) in model.groups.iter().zip(&state.gates) {
            for (member, gates) in group.members.iter().zip(gates) {
                conduct(group, member, gates, &mut state.diagonal, &mut state.rhs);
            }
        }
        state
    }

    /// Current into the soma during the next step, in nA.
    pub fn inject(&mut self, model: &Model, lane: usize, na: f64) {
        self.rhs[model.soma].0[lane] += na;
    }

    /// Sets the AMPA gain of each head from its lagged integral.
    pub fn potentiate(&mut self, spine: &SpineConstants, theta: f64) {
        for head in &mut self.heads {
            for l in 0..L {
                head.gain[l] = spine.gain(head.lagged[l], theta);
            }
        }
    }

    /// Diagonal and right-hand side of node `i` without channels.
    #[inline(always)]
    fn restart(&mut self, model: &Model, i: usize) {
        let (c, leak) = (model.inertia_us[i], model.leak_na[i]);
        self.diagonal[i] = Lanes([model.diagonal_us[i]; L]);
        self.rhs[i] = Lanes(self.v[i].0.map(|v| c * v + leak));
    }
}

/// One step of all trials.
#[multiversion(targets("x86_64+avx2+fma"))]
pub fn step<const L: usize>(model: &Model, state: &mut State<L>) {
    synapses(model, state);
    solve(model, state);
    gates(model, state);
}

#[inline(always)]
fn synapses<const L: usize>(model: &Model, state: &mut State<L>) {
    use super::spines::{CALCIUM_MV, CALCIUM_REST_MM, NMDA_MV};
    let c = &model.spine;
    for (head, k) in state.heads.iter_mut().zip(&model.heads) {
        // Everything a head needs is copied out and back, one short loop for each result: so they vectorise.
        let v = state.v[k.node].0;
        let (mut diagonal, mut rhs) = (state.diagonal[k.node].0, state.rhs[k.node].0);
        let ([mut a0, mut a1], [mut n0, mut n1]) = (head.ampa, head.nmda);
        let (gain, mut calcium) = (head.gain, head.calcium);
        let (mut integral, mut lagged) = (head.integral, head.lagged);
        let (block, slope) = c.unblocked.at(&v);
        let (mut ampa, mut nmda) = ([0.0; L], [0.0; L]);
        for l in 0..L {
            ampa[l] = k.ampa_us * (a1[l] - a0[l]) * gain[l];
            nmda[l] = k.nmda_us * (n1[l] - n0[l]);
        }
        for l in 0..L {
            let bend = slope[l] * (v[l] - NMDA_MV);
            diagonal[l] += ampa[l] + nmda[l] * (block[l] + bend);
            rhs[l] += nmda[l] * (bend * v[l] + block[l] * NMDA_MV);
        }
        for l in 0..L {
            let inflow = k.influx * (nmda[l] * block[l]) * (CALCIUM_MV - v[l]);
            let inflow = if inflow > 0.0 { inflow } else { 0.0 };
            calcium[l] = (calcium[l] + inflow + c.calcium_back) * c.calcium_keep;
        }
        for l in 0..L {
            let above = calcium[l] - CALCIUM_REST_MM;
            let square = above * above;
            integral[l] = (integral[l] + c.dt_ms * (square * square)) * c.integral_keep;
            lagged[l] = (lagged[l] + c.lag * integral[l]) * c.lag_keep;
        }
        for l in 0..L {
            a0[l] *= c.ampa.0;
            a1[l] *= c.ampa.1;
            n0[l] *= c.nmda.0;
            n1[l] *= c.nmda.1;
        }
        (head.ampa, head.nmda) = ([a0, a1], [n0, n1]);
        (head.calcium, head.integral, head.lagged) = (calcium, integral, lagged);
        (state.diagonal[k.node], state.rhs[k.node]) = (Lanes(diagonal), Lanes(rhs));
    }
}

#[inline(always)]
fn solve<const L: usize>(model: &Model, state: &mut State<L>) {
    let n = model.parents.len();
    for i in (1..n).rev() {
        let (axial, parent) = (model.axial_us[i], model.parents[i]);
        let (d, r) = (state.diagonal[i].0, state.rhs[i].0);
        let (mut dp, mut rp) = (state.diagonal[parent].0, state.rhs[parent].0);
        let (mut share, mut alone) = ([0.0; L], [0.0; L]);
        for l in 0..L {
            let inverse = 1.0 / d[l];
            share[l] = axial * inverse;
            alone[l] = r[l] * inverse;
            dp[l] -= axial * share[l];
            rp[l] += axial * alone[l];
        }
        (state.diagonal[i], state.rhs[i]) = (Lanes(share), Lanes(alone));
        (state.diagonal[parent], state.rhs[parent]) = (Lanes(dp), Lanes(rp));
    }
    for l in 0..L {
        state.v[0].0[l] = state.rhs[0].0[l] / state.diagonal[0].0[l];
    }
    state.restart(model, 0);
    for i in 1..n {
        let vp = state.v[model.parents[i]].0;
        let (share, alone) = (state.diagonal[i].0, state.rhs[i].0);
        let mut v = [0.0; L];
        for l in 0..L {
            v[l] = alone[l] + share[l] * vp[l];
        }
        state.v[i] = Lanes(v);
        state.restart(model, i);
    }
}

#[inline(always)]
fn gates<const L: usize>(model: &Model, state: &mut State<L>) {
    for (group, gates) in model.groups.iter().zip(&mut state.gates) {
        for (member, gates) in group.members.iter().zip(gates) {
            group.table.advance(&state.v[member.node].0, gates);
            conduct(group, member, gates, &mut state.diagonal, &mut state.rhs);
        }
    }
}

/// Adds the channels of a membrane to its diagonal and right-hand side.
#[inline(always)]
fn conduct<const L: usize>(
    group: &Group,
    member: &super::model::Member,
    gates: &[Gates; L],
    diagonal: &mut [Lanes<L>],
    rhs: &mut [Lanes<L>],
) {
    let (mut d, mut r) = (diagonal[member.node].0, rhs[member.node].0);
    for l in 0..L {
        let open = group.quartet.open(&gates[l].0);
        d[l] += member.us[0] * open[0] + member.us[1] * open[1] + member.us[2] * open[2];
        r[l] += member.na[0] * open[0] + member.na[1] * open[1] + member.na[2] * open[2];
    }
    (diagonal[member.node], rhs[member.node]) = (Lanes(d), Lanes(r));
}
