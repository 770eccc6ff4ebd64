//! The cable integrator against dense matrices, against cable theory, and against itself in other arrangements.

use pulvinar::oracle::cable as oracle;
use pulvinar::seed;
use pulvinar::simulate::cable::morphology::{Channels, Node, Passive, Section, Site, tree};
use pulvinar::simulate::cable::spines::Synapses;
use pulvinar::simulate::cable::{CableError, Head, Neuron, Pyramidal, Quantity, Record, Run, Trial, run};
use std::f64::consts::PI;

const PASSIVE: Passive =
    Passive { capacity_uf_cm2: 1.0, axial_ohm_cm: 200.0, leak_s_cm2: 2e-4, leak_mv: -85.0 };

fn section(
    parent: Option<(usize, Site)>,
    length_um: f64,
    compartments: usize,
    channels: Channels,
) -> Section {
    Section {
        name: "s".to_owned(),
        parent,
        length_um,
        diameters_um: vec![2.0],
        compartments,
        passive: PASSIVE,
        channels,
    }
}

/// A neuron of a few nodes that has every kind of membrane, and two spines on the last node.
fn small() -> Neuron {
    let soma = Channels::Soma {
        sodium: 0.03,
        shift_mv: 10.0,
        fast_k: 0.01,
        slow_k: 0.05,
        persistent: 1e-4,
        m: 7e-4,
    };
    let apical = Channels::Apical { sodium: 0.3, kv3: 0.24, m: 6.75e-5, e_k_mv: -77.0 };
    let sections = [
        section(None, 20.0, 1, soma),
        section(Some((0, Site::Middle)), 100.0, 1, Channels::Basal { h: 1.6e-3 }),
        section(Some((0, Site::Start)), 20.0, 2, Channels::Axon { sodium: 2.0, shift_mv: 0.2 }),
        section(Some((0, Site::End)), 60.0, 3, apical),
    ];
    let mut nodes = tree(&sections).expect("valid").nodes;
    let mut heads = Vec::new();
    let dendrite = nodes.iter().rposition(|n| matches!(n.channels, Channels::Apical { .. })).expect("one");
    for (axon, spines) in [(0, 1), (1, 10)] {
        let area = 0.8 * spines as f64;
        nodes.push(Node {
            parent: dendrite,
            axial_us: 0.008 * spines as f64,
            capacity_nf: area * 1e-5,
            leak_us: area * 2e-6,
            leak_na: area * 2e-6 * -85.0,
            area_um2: 0.0,
            channels: Channels::None,
        });
        heads.push(Head { node: nodes.len() - 1, axon, spines, branch: 0, distance_um: 0.0 });
    }
    Neuron { nodes, soma: 0, axons: 2, heads, synapses: Synapses::default() }
}

pub fn as_oracle(neuron: &Neuron, trial: &Trial, dt: f64) -> (Vec<oracle::Node>, Vec<oracle::Head>) {
    let node = |n: &Node| {
        let us = |density: f64| density * n.area_um2 * 1e-2;
        oracle::Node {
            parent: n.parent,
            axial: n.axial_us,
            capacity: n.capacity_nf,
            leak: n.leak_us,
            leak_current: n.leak_na,
            channels: match n.channels {
                Channels::None => oracle::Channels::None,
                Channels::Apical { sodium, kv3, m, e_k_mv } => {
                    oracle::Channels::Apical([us(sodium), us(kv3), us(m)], e_k_mv)
                }
                Channels::Axon { sodium, shift_mv } => oracle::Channels::Axon(us(sodium), shift_mv),
                Channels::Soma { sodium, shift_mv, fast_k, slow_k, persistent, m } => oracle::Channels::Soma(
                    [us(sodium), us(fast_k), us(persistent), us(slow_k), us(m)],
                    shift_mv,
                ),
                Channels::Basal { h } => oracle::Channels::Basal(us(h)),
            },
        }
    };
    let s = &neuron.synapses;
    let head = |h: &Head| oracle::Head {
        node: h.node,
        ampa: s.ampa_ns * 1e-3 * h.spines as f64,
        nmda: s.nmda_ns * 1e-3 * h.spines as f64,
        spines: h.spines as f64,
        // the first step whose middle is not before the spike plus 1 ms
        arrivals: trial.keys[h.axon]
            .iter()
            .map(|k| (0..).find(|n| k + 1.0 <= (*n as f64 + 0.5) * dt).expect("ends"))
            .collect(),
    };
    (neuron.nodes.iter().map(node).collect(), neuron.heads.iter().map(head).collect())
}

#[test]
fn dense_matrices_give_the_same_potentials_and_calcium() {
    let neuron = small();
    let trial = Trial { keys: vec![vec![3.0, 9.3], vec![1.013, 5.5, 14.0]], queries: vec![8.21, 20.0] };
    let (dt, steps) = (0.025, 1200);
    let duration_ms = steps as f64 * dt;
    let what = (0..neuron.nodes.len()).map(Quantity::Potential).chain((0..2).map(Quantity::Calcium));
    let record = Record { from_ms: 0.0, to_ms: duration_ms, every: 1, what: what.collect() };
    let settings = Run { duration_ms, table_mv: 0.005, lanes: 1, record: Some(record), ..Run::default() };
    let mine = &run(&neuron, std::slice::from_ref(&trial), &settings).expect("runs")[0];
    let (nodes, heads) = as_oracle(&neuron, &trial, dt);
    let pulse = |n: usize| {
        let t = (n as f64 + 0.5) * dt;
        if trial.queries.iter().any(|q| (*q..q + 1.0).contains(&t)) { 4.0 } else { 0.0 }
    };
    let want = oracle::run(&nodes, &heads, -75.0, dt, steps, pulse);
    let mut worst: f64 = 0.0;
    for (n, potentials) in want.potentials.iter().enumerate() {
        for (i, v) in potentials.iter().enumerate() {
            worst = worst.max((v - mine.traces[i][n + 1]).abs());
        }
    }
    let highest = want.potentials.iter().map(|v| v[0]).fold(f64::MIN, f64::max);
    assert!(highest > 20.0, "the soma should spike, but reaches {highest} mV");
    // tables of 0.005 mV; a spike rises by 20 mV in a step
    assert!(worst < 1e-3, "potentials differ by {worst} mV");
    for h in 0..2 {
        let (a, b) = (mine.integrals[h], want.integral[h]);
        assert!(b > 1e-16 && (a - b).abs() < 1e-5 * b, "head {h}: {a:e}, {b:e}");
        let (a, b) = (mine.traces[neuron.nodes.len() + h][steps], want.calcium[h]);
        assert!((a - b).abs() < 1e-5 * b, "head {h}: calcium {a:e}, {b:e}");
    }
}

/// A passive cylinder as a neuron without spines.
fn cylinder(length_um: f64, compartments: usize) -> Neuron {
    let nodes = tree(&[section(None, length_um, compartments, Channels::None)]).expect("valid").nodes;
    Neuron { nodes, soma: 0, axons: 0, heads: vec![], synapses: Synapses::default() }
}

#[test]
fn a_sealed_cylinder_attenuates_as_cosh() {
    // lambda^2 = (d / 4) / (Ra g), steady input resistance = coth(L / lambda) / (g pi d lambda)
    let (d, ra, g): (f64, f64, f64) = (2.0e-4, 200.0, 2e-4);
    let lambda = (d / 4.0 / (ra * g)).sqrt() * 1e4;
    let length: f64 = 800.0;
    let input_mohm = 1e-6 / (g * PI * d * lambda * 1e-4) / (length / lambda).tanh();
    let na = 0.01;
    let mut errors = Vec::new();
    for n in [20, 40] {
        let neuron = cylinder(length, n);
        let what = [Quantity::Potential(0), Quantity::Potential(n - 1)];
        let record = Record { from_ms: 100.0, to_ms: 100.0 + 0.025, every: 1, what: what.to_vec() };
        let pulse = (na, 1000.0);
        let settings = Run { duration_ms: 101.0, pulse, record: Some(record), ..Run::default() };
        let trial = Trial { keys: vec![], queries: vec![0.0] };
        let out = &run(&neuron, &[trial], &settings).expect("runs")[0];
        // the current enters at the first centre, half a compartment from the end
        let x = length * (1.0 - 0.5 / n as f64);
        let far = na * input_mohm / (length / lambda).cosh() * ((length - x) / lambda).cosh();
        let near = na * input_mohm * (x / lambda).cosh() / (length / lambda).cosh();
        let wrong = |got: f64, want: f64| ((got + 85.0) / want - 1.0).abs();
        // current at x0 instead of 0 scales the far end by cosh(x0 / lambda)
        let shift = (length * 0.5 / n as f64 / lambda).cosh();
        errors.push((wrong(out.traces[0][0], near * shift), wrong(out.traces[1][0], far * shift)));
    }
    assert!(errors[0].0 < 2e-3 && errors[0].1 < 2e-3, "{errors:?}");
    // second order in the size of compartments
    for ratio in [errors[0].0 / errors[1].0, errors[0].1 / errors[1].1] {
        assert!((3.5..4.5).contains(&ratio), "{errors:?}");
    }
}

#[test]
fn a_patch_of_membrane_decays_exponentially() {
    let tau = 1.0 / 2e-4 * 1e-3; // C / g in ms
    let neuron = cylinder(20.0, 1);
    let error = |dt: f64| {
        let record = Record { from_ms: 5.0, to_ms: 6.0, every: 1, what: vec![Quantity::Potential(0)] };
        let settings = Run { duration_ms: 6.0, dt_ms: dt, record: Some(record), ..Run::default() };
        let out = &run(&neuron, &[Trial::default()], &settings).expect("runs")[0];
        let got = out.traces[0][0] + 85.0;
        // backward Euler to the last digits
        let implicit = 10.0 * (1.0 + dt / tau).powf(-5.0 / dt);
        assert!((got - implicit).abs() < 1e-9, "{got} {implicit}");
        (got / (10.0 * (-5.0 / tau).exp()) - 1.0).abs()
    };
    let ratio = error(0.05) / error(0.025);
    assert!((1.9..2.1).contains(&ratio), "first order in the step: {ratio}");
}

#[test]
fn resolution_keeps_membrane_and_channels() {
    let full = Pyramidal::full().build().expect("valid");
    let reduced = Pyramidal::reduced().build().expect("valid");
    assert_eq!((full.nodes.len(), full.heads.len()), (5029, 1500));
    assert_eq!((reduced.nodes.len(), reduced.heads.len()), (341, 150));
    let total = |n: &Neuron, f: fn(&Node) -> f64| n.nodes.iter().map(f).sum::<f64>();
    for f in [|n: &Node| n.capacity_nf, |n: &Node| n.leak_us, |n: &Node| n.leak_na, |n: &Node| n.area_um2] {
        let (a, b) = (total(&full, f), total(&reduced, f));
        assert!((a / b - 1.0).abs() < 1e-10, "{a} {b}");
    }
    for neuron in [&full, &reduced] {
        let sorted = neuron.nodes.iter().enumerate().all(|(i, n)| n.parent < i || i == 0);
        assert!(sorted, "parents precede children");
    }
}

/// Trials that differ, with spikes and potentiation.
fn busy(neuron: &Neuron, n: usize) -> Vec<Trial> {
    let train = |name: String| {
        let mut rng = seed::stream(3, &name);
        let mut times: Vec<f64> = (0..4).map(|_| seed::uniform(&mut rng, 0.0, 40.0)).collect();
        times.sort_by(f64::total_cmp);
        times
    };
    let trial = |t: usize| Trial {
        keys: (0..neuron.axons).map(|a| train(format!("{t} {a}"))).collect(),
        queries: train(format!("{t} query")),
    };
    (0..n).map(trial).collect()
}

#[test]
fn lanes_and_threads_change_no_bit() {
    let neuron = small();
    let trials = busy(&neuron, 19);
    let settings = |lanes| Run { duration_ms: 50.0, theta: Some(1e-17), lanes, ..Run::default() };
    let one = run(&neuron, &trials, &settings(1)).expect("runs");
    assert!(one.iter().any(|o| !o.spikes_ms.is_empty()) && one[0].integrals != one[1].integrals);
    for lanes in [2, 4, 8, 16] {
        assert_eq!(run(&neuron, &trials, &settings(lanes)).expect("runs"), one, "{lanes} lanes");
    }
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let same = pool.install(|| run(&neuron, &trials, &settings(4)).expect("runs"));
        assert_eq!(same, one, "{threads} threads");
    }
    // a trial does not depend on its neighbours
    let alone = run(&neuron, &trials[7..8], &settings(8)).expect("runs");
    assert_eq!(alone[0], one[7]);
}

#[test]
fn potentiation_raises_the_synaptic_potential() {
    let neuron = small();
    let trial = Trial { keys: vec![vec![], vec![10.0, 40.0]], queries: vec![15.0] };
    let top = |theta| {
        let what = vec![Quantity::Potential(neuron.heads[1].node)];
        let record = Record { from_ms: 41.0, to_ms: 46.0, every: 1, what };
        let settings = Run { duration_ms: 50.0, theta, record: Some(record), ..Run::default() };
        let out = &run(&neuron, std::slice::from_ref(&trial), &settings).expect("runs")[0];
        out.traces[0].iter().copied().fold(f64::MIN, f64::max)
    };
    let (plain, far, near) = (top(None), top(Some(1.0)), top(Some(1e-19)));
    assert!((plain - far).abs() < 1e-6, "far below threshold nothing changes: {plain} {far}");
    assert!(near > plain + 1.0, "above it the potential grows: {plain} {near}");
}

#[test]
fn the_recorded_gain_follows_the_lagged_integral() {
    let (neuron, theta) = (small(), 3e-19);
    let trial = Trial { keys: vec![vec![], vec![10.0, 40.0]], queries: vec![15.0] };
    let what = vec![Quantity::Lagged(1), Quantity::Gain(1), Quantity::Gain(0)];
    let record = Record { from_ms: 0.0, to_ms: 100.0, every: 1, what };
    let settings = Run {
        duration_ms: 100.0,
        theta: Some(theta),
        gain_every: 1,
        record: Some(record),
        ..Run::default()
    };
    let out = &run(&neuron, std::slice::from_ref(&trial), &settings).expect("runs")[0];
    let (lagged, gain, silent) = (&out.traces[0], &out.traces[1], &out.traces[2]);
    // a step takes the gain of the integral before it
    for (d, k) in lagged.iter().zip(&gain[1..]) {
        let alpha = 1.0 / (1.0 + (-20.0 * (d / theta - 1.0)).exp());
        assert!((k - (1.0 + 7.0 * alpha)).abs() < 1e-12, "{k} at {d:e}");
    }
    let (low, high) = (gain[200], gain[gain.len() - 1]);
    assert!(low < 1.1 && high > 2.0, "the gain rises from {low} to {high}");
    assert!(silent.iter().all(|k| *k < 1.1), "an axon without spikes is not potentiated");
}

#[test]
fn wrong_parameters_are_refused() {
    let neuron = small();
    let good = Trial { keys: vec![vec![1.0], vec![]], queries: vec![2.0] };
    let short = Run { duration_ms: 5.0, ..Run::default() };
    let refused =
        |trial: &Trial, settings: &Run| run(&neuron, std::slice::from_ref(trial), settings).unwrap_err();
    let record = |from_ms, to_ms, what| Some(Record { from_ms, to_ms, every: 1, what });
    let keys = |keys: Vec<Vec<f64>>| Trial { keys, queries: vec![] };
    let with = |f: fn(&mut Pyramidal)| {
        let mut p = Pyramidal::reduced();
        f(&mut p);
        p.build().unwrap_err()
    };
    let rows: Vec<(CableError, &str)> = vec![
        (refused(&good, &Run { dt_ms: 0.1, ..short.clone() }), "0.1 ms is too coarse: the longest is 0.05"),
        (refused(&good, &Run { dt_ms: -0.1, ..short.clone() }), "time step in ms is -0.1"),
        (refused(&good, &Run { duration_ms: f64::NAN, ..short.clone() }), "duration in ms is NaN"),
        (refused(&good, &Run { theta: Some(0.0), ..short.clone() }), "threshold of potentiation is 0"),
        (refused(&good, &Run { lanes: 3, ..short.clone() }), "3 trials side by side"),
        (refused(&good, &Run { table_mv: 5.0, ..short.clone() }), "distance of table rows in mV is 5"),
        (
            refused(&good, &Run { record: record(1.0, 9.0, vec![]), ..short.clone() }),
            "recording from 1 to 9 ms does not lie in the run of 5 ms",
        ),
        (
            refused(&good, &Run { record: record(1.0, 2.0, vec![Quantity::Calcium(2)]), ..short.clone() }),
            "no spine head 2: there are 2",
        ),
        (refused(&keys(vec![vec![]]), &short), "trial 0 has trains for 1 axons, the neuron has 2"),
        (refused(&keys(vec![vec![], vec![7.0]]), &short), "axon 1 holds the time 7 ms, which is outside"),
        (
            refused(&keys(vec![vec![3.0, 2.0], vec![]]), &short),
            "times of axon 0 do not rise (3 ms, then 2 ms)",
        ),
        (with(|p| p.spines = 1800), "1800 spines on 150 axons of 10 spines each, which hold 1500"),
        (with(|p| p.spines_per_head = 3), "do not divide into equal parts: 10 by 3"),
        (with(|p| p.tuft = 0), "number of tuft compartments is 0"),
        (with(|p| p.tuft = usize::MAX), "more than 1000000"),
        (with(|p| p.synapses.ampa_ns = -1.0), "AMPA conductance is -1, but must be at least 0"),
        (with(|p| p.synapses.nmda_ms = (2.0, 1.0)), "NMDA decay time is 1, but must be longer"),
        (refused(&good, &Run { pulse: (1e308, 1.0), ..short.clone() }), "trial 0 diverged"),
        (
            tree(&[section(None, 20.0, 1, Channels::Basal { h: -1.0 })]).unwrap_err(),
            "H density of section `s` is -1, but must be at least 0",
        ),
        (
            tree(&[section(Some((0, Site::End)), 20.0, 1, Channels::None)]).unwrap_err(),
            "hangs on section 0, which does not precede it",
        ),
    ];
    for (error, want) in rows {
        assert!(error.to_string().contains(want), "`{error}` lacks `{want}`");
        assert!(!error.hint().is_empty());
    }
}
