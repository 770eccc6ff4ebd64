//! The cable neuron against stored results of the published simulations.
//!
//! They are not part of the repository: the folder is named by the environment variable `PULVINAR_ELLWOOD`. Without it these
//! tests are ignored.

use pulvinar::seed;
use pulvinar::simulate::cable::event::Event;
use pulvinar::simulate::cable::{Neuron, Pyramidal, Quantity, Record, Run, Trial, run};

/// Numbers of a file of comma-separated values without its comments.
fn table(name: &str) -> Vec<Vec<String>> {
    let folder = std::env::var_os("PULVINAR_ELLWOOD")
        .expect("PULVINAR_ELLWOOD names the folder of the reference data");
    let path = std::path::Path::new(&folder).join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let cells = |line: &str| line.split(',').map(|c| c.trim().to_owned()).collect();
    text.lines().filter(|l| !l.starts_with('#')).map(cells).collect()
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|e| panic!("`{text}`: {e}"))
}

/// Onsets of the queries of the stored trial; the file names them in its head.
const QUERIES_MS: [f64; 7] = [60.67781, 209.49225, 415.09064, 481.29066, 631.48041, 735.78367, 917.14575];
/// Somatic spikes of the stored trial.
const SPIKES_MS: [f64; 7] = [61.55, 210.4, 416.0, 482.2, 632.375, 736.675, 918.05];

/// The stored trial, the integral of each axon's first spine and the mean of its ten.
fn stored() -> (Trial, [Vec<f64>; 2]) {
    let rows = table("oracle_overlap_trial0.csv");
    let column = |i: usize| rows.iter().map(|r| number(&r[i])).collect::<Vec<_>>();
    let keys = rows.iter().map(|r| r[3].split_whitespace().map(number).collect()).collect();
    (Trial { keys, queries: QUERIES_MS.to_vec() }, [column(1), column(2)])
}

/// Integral of the first head, and the mean over the heads, of each axon.
fn integrals(neuron: &Neuron, trial: &Trial, settings: &Run) -> [Vec<f64>; 2] {
    let out = &run(neuron, std::slice::from_ref(trial), settings).expect("runs")[0];
    assert_eq!(out.spikes_ms.len(), SPIKES_MS.len(), "{:?}", out.spikes_ms);
    for (spike, want) in out.spikes_ms.iter().zip(SPIKES_MS) {
        assert!((spike - want).abs() <= 0.1, "{spike} instead of {want}");
    }
    let per = neuron.heads.len() / neuron.axons;
    let axons = || out.integrals.chunks(per);
    [axons().map(|c| c[0]).collect(), axons().map(|c| c.iter().sum::<f64>() / per as f64).collect()]
}

struct Fit {
    slope: f64,
    correlation: f64,
    /// root of the mean square difference, in means of the reference
    rms: f64,
}

/// Least squares `got = slope want + c`.
fn fit(want: &[f64], got: &[f64]) -> Fit {
    let n = want.len() as f64;
    let (a, b) = (want.iter().sum::<f64>() / n, got.iter().sum::<f64>() / n);
    let sum = |f: &dyn Fn(f64, f64) -> f64| want.iter().zip(got).map(|(x, y)| f(*x, *y)).sum::<f64>();
    let xy = sum(&|x, y| (x - a) * (y - b));
    let (xx, yy) = (sum(&|x, _| (x - a) * (x - a)), sum(&|_, y| (y - b) * (y - b)));
    let rms = (sum(&|x, y| (x - y) * (x - y)) / n).sqrt() / a;
    Fit { slope: xy / xx, correlation: xy / (xx * yy).sqrt(), rms }
}

#[test]
#[ignore = "needs the published data: PULVINAR_ELLWOOD=DIR cargo test --release --test it cable_reference -- --ignored"]
fn the_full_neuron_repeats_the_stored_trial() {
    let (trial, want) = stored();
    let neuron = Pyramidal::full().build().expect("valid");
    let got = integrals(&neuron, &trial, &Run { lanes: 1, ..Run::fine() });
    for (want, got) in want.iter().zip(&got) {
        let fit = fit(want, got);
        assert!((fit.slope - 1.0).abs() < 1e-3 && fit.rms < 1e-3, "{} {}", fit.slope, fit.rms);
    }
}

#[test]
#[ignore = "needs the published data: PULVINAR_ELLWOOD=DIR cargo test --release --test it cable_reference -- --ignored"]
fn the_reduced_neuron_follows_the_stored_trial() {
    let (trial, want) = stored();
    let neuron = Pyramidal::reduced().build().expect("valid");
    let got = integrals(&neuron, &trial, &Run { lanes: 1, ..Run::default() });
    // one head stands for ten spines
    let fit = fit(&want[1], &got[1]);
    assert!(fit.correlation > 0.999 && (1.0..1.02).contains(&fit.slope), "{} {}", fit.correlation, fit.slope);
}

#[test]
fn resting_potentials_are_as_given() {
    // no file needed: spine heads at 527, 724, 777 and 974 um after 49.9 ms from -75 mV, the soma after 40 ms
    let neuron = Pyramidal::full().build().expect("valid");
    let head = |um: f64| neuron.heads.iter().find(|h| (h.distance_um - um).abs() < 0.5).expect("there").node;
    let nodes = [head(526.885), head(724.0965), head(776.885), head(974.0965), neuron.soma];
    let what = nodes.map(Quantity::Potential).to_vec();
    let record = Record { from_ms: 40.0, to_ms: 49.9, every: 396, what };
    let settings = Run { duration_ms: 50.0, lanes: 1, record: Some(record), ..Run::fine() };
    let silent = Trial { keys: vec![vec![]; neuron.axons], queries: vec![] };
    let out = &run(&neuron, &[silent], &settings).expect("runs")[0];
    for (trace, want) in out.traces.iter().zip([-77.673, -83.538, -84.198, -84.732]) {
        assert!((trace[1] - want).abs() < 1e-3, "{} instead of {want}", trace[1]);
    }
    assert!((out.traces[4][0] + 72.11).abs() < 5e-3, "{}", out.traces[4][0]);
}

#[test]
#[ignore = "needs the published data: PULVINAR_ELLWOOD=DIR cargo test --release --test it cable_reference -- --ignored"]
fn the_closed_form_explains_the_stored_trial() {
    let (trial, want) = stored();
    let delays: Vec<f64> = table("fig2b_spine_delay.csv").iter().map(|r| number(&r[2])).collect();
    let event = Event::default();
    let got = event.integrals(&trial, &delays, 1150.0, &mut seed::stream(0, "")).expect("valid");
    let explained = pulvinar::simulate::cable::score::explained(&want[0], &got, 4.0);
    assert!(explained >= 0.83, "explained variance {explained}");
}
