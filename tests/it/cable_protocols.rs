//! The published experiments on the reduced neuron: short variants in every run, the whole of them on demand with
//! `cargo test --release --test it cable_protocols -- --ignored` (ten minutes on two cores).

use pulvinar::seed;
use pulvinar::simulate::cable::event::Event;
use pulvinar::simulate::cable::protocol::{Controlling, Matching, Offset, THETA, delays};
use pulvinar::simulate::cable::score::{Control, auc, explained, moments, quantile, true_positives};
use pulvinar::simulate::cable::trains::Renewal;
use pulvinar::simulate::cable::{Neuron, Pyramidal, Run, Trial, run};
use pulvinar_lab::experiments::match_and_control::published::OFFSETS;

fn reduced() -> (Neuron, Run) {
    (Pyramidal::reduced().build().expect("valid"), Run::default())
}

#[test]
fn trains_have_the_rate_and_the_dead_time() {
    let renewal = Renewal::default();
    let mut rng = seed::stream(1, "trains");
    let trains: Vec<Vec<f64>> = (0..4000).map(|_| renewal.draw(&mut rng, 50.0, 1050.0)).collect();
    let counts: Vec<f64> = trains.iter().map(|t| t.len() as f64).collect();
    // published queries: 6.05 spikes in a second
    let (mean, sd) = moments(&counts);
    assert!((mean - 6.05).abs() < 0.12, "{mean} +- {}", sd / 63.0);
    assert!(trains.iter().flat_map(|t| t.windows(2)).all(|w| w[1] - w[0] >= 50.0));
    assert!(trains.iter().flatten().all(|t| (50.0..1050.0).contains(t)));
    assert!(Renewal { rate_hz: 20.0, dead_ms: 50.0 }.check().is_err());
}

#[test]
fn scores_count_what_they_say() {
    assert!((auc(&[2.0, 3.0], &[1.0, 2.0]) - 0.875).abs() < 1e-15, "three and a half of four pairs");
    assert!((quantile(&[3.0, 1.0, 2.0], 0.75) - 2.5).abs() < 1e-15);
    assert!((true_positives(&[0.5, 2.5, 9.0], &[1.0, 2.0, 3.0], 0.5) - 2.0 / 3.0).abs() < 1e-15);
    assert!((explained(&[0.0, 2.0, 4.0], &[0.0, 2.0, 3.0], 9.0) - 0.875).abs() < 1e-15);
    type Row = (&'static str, &'static [f64], &'static [f64], Option<f64>, f64);
    let rows: &[Row] = &[
        ("every key is followed", &[110.0, 200.0], &[112.0, 219.0], Some(1.0), 0.0),
        ("one key fails, one spike is stray", &[110.0, 200.0], &[115.0, 150.0], Some(0.5), 0.5),
        ("a silent soma has no stray spikes", &[110.0], &[], Some(0.0), 0.0),
        ("before the phase nothing counts", &[90.0], &[91.0, 120.0], None, 1.0),
    ];
    for (claim, keys, soma, success, spurious) in rows {
        let control = Control::count(keys, soma, 100.0);
        assert_eq!((control.success(), control.spurious()), (*success, *spurious), "{claim}");
    }
}

/// Reference: delay = 0.006802 d - 2.010 ms over 527 to 1022 um.
#[test]
fn the_spike_travels_at_147_um_per_ms() {
    let (neuron, settings) = reduced();
    let delays = delays(&neuron, &settings, 4, 1).expect("runs");
    let distances: Vec<f64> = neuron.heads.iter().map(|h| h.distance_um).collect();
    let ((mx, sx), (my, sy)) = (moments(&distances), moments(&delays));
    let products: Vec<f64> = distances.iter().zip(&delays).map(|(x, y)| (x - mx) * (y - my)).collect();
    let covariance = moments(&products).0;
    assert!(covariance / (sx * sy) > 0.99, "{}", covariance / (sx * sy));
    let slope = covariance / (sx * sx);
    assert!((slope / 0.006802 - 1.0).abs() < 0.04, "{slope}");
    for (d, delay) in distances.iter().zip(&delays) {
        assert!((0.006802 * d - 2.010 - delay).abs() < 0.2, "{delay} at {d} um");
    }
}

#[test]
fn matched_axons_score_above_the_others() {
    let (neuron, settings) = reduced();
    let delays: Vec<f64> = neuron.heads.iter().map(|h| 0.0069 * h.distance_um - 2.05).collect();
    let matching = Matching { window_ms: 500.0, jitter_ms: 0.0, trials: 16, seed: 1 };
    let results = matching.run(&neuron, &settings, &delays).expect("runs");
    let theta = THETA[0].1;
    for r in &results {
        let others: Vec<f64> = r.others.iter().map(|g| g / theta).collect();
        assert!(moments(&others).0 < 0.4, "axon {}: {}", r.axon, moments(&others).0);
        if r.queries >= 4 {
            assert!(r.matched > r.best_other() && r.matched > theta, "axon {}: {:e}", r.axon, r.matched);
        }
    }
    assert!(results.iter().filter(|r| r.queries >= 4).count() >= 3);
    assert!(matching.run(&neuron, &settings, &delays[1..]).is_err());
}

#[test]
fn the_closed_form_is_its_kernel() {
    let event = Event::default();
    for (lag, delay) in [(0.5, 2.0), (3.0, 1.6), (7.0, 3.4), (25.0, 4.7)] {
        let trial = Trial { keys: vec![vec![100.0]], queries: vec![100.0 + lag - delay] };
        let got = event.integrals(&trial, &[delay], 300.0, &mut seed::stream(0, "")).expect("valid")[0];
        // the integral itself decays with 20 s
        assert!((got - event.kernel(lag)).abs() <= 0.015 * event.kernel(lag), "{lag}: {got:e}");
    }
    let best = (0..=40).max_by(|a, b| event.kernel(*a as f64).total_cmp(&event.kernel(*b as f64)));
    assert_eq!(best, Some(7), "largest at 7 ms");
    let wrong = Event { jump_mm: -1.0, ..event };
    assert!(wrong.integrals(&Trial::default(), &[], 1.0, &mut seed::stream(0, "")).is_err());
}

/// The closed form against the reduced neuron, unmatched queries of 6 Hz for a second.
#[test]
fn the_closed_form_explains_the_reduced_neuron() {
    let (neuron, settings) = reduced();
    let delays = delays(&neuron, &settings, 4, 1).expect("runs");
    let mut rng = seed::stream(5, "trials");
    let mut train = || Renewal::default().draw(&mut rng, 50.0, 1050.0);
    let trials: Vec<Trial> = (0..32)
        .map(|_| Trial { keys: (0..neuron.axons).map(|_| train()).collect(), queries: train() })
        .collect();
    let (mut want, mut got) = (vec![], vec![]);
    for (trial, outcome) in trials.iter().zip(run(&neuron, &trials, &settings).expect("runs")) {
        want.extend(outcome.integrals);
        got.extend(Event::default().integrals(trial, &delays, 1150.0, &mut rng).expect("valid"));
    }
    let explained = explained(&want, &got, 4.0);
    assert!(explained >= 0.83, "{explained}");
}

#[test]
#[ignore = "about five minutes; cargo test --release --test it cable_protocols -- --ignored"]
fn calcium_peaks_seven_ms_after_the_key() {
    let (neuron, settings) = reduced();
    let delays = delays(&neuron, &settings, 10, 1).expect("runs");
    let mean = |offset_ms: f64| {
        let all: Vec<f64> = (0..neuron.axons)
            .step_by(5)
            .flat_map(|axon| {
                let offset = Offset { axon, delay_ms: delays[axon], offset_ms, seed: 1 };
                offset.run(&neuron, &settings, 16).expect("runs")
            })
            .collect();
        moments(&all).0 / THETA[1].1
    };
    let curve: Vec<f64> = OFFSETS.iter().map(|o| mean(o.0)).collect();
    let square: f64 = OFFSETS.iter().zip(&curve).map(|(o, m)| (o.1 - m) * (o.1 - m)).sum();
    let rms = (square / OFFSETS.len() as f64).sqrt();
    assert!(rms < 0.05 * 0.499, "{rms}: {curve:?}");
    let best = (0..curve.len()).max_by(|&i, &j| curve[i].total_cmp(&curve[j])).expect("some");
    assert!((6.0..=8.0).contains(&OFFSETS[best].0), "{curve:?}");
}

#[test]
#[ignore = "about four minutes; cargo test --release --test it cable_protocols -- --ignored"]
fn match_phases_are_told_apart_as_published() {
    let (neuron, settings) = reduced();
    let delays = delays(&neuron, &settings, 10, 1).expect("runs");
    // window, jitter, area under the curve, mean of matched and unmatched integrals in thresholds
    let rows = [
        (0, 0.0, 0.681, 1.013, 0.111),
        (1, 0.0, 0.915, 1.542, 0.147),
        (2, 0.0, 0.992, 2.265, 0.201),
        (1, 1.0, 0.899, f64::NAN, 0.147),
        (1, 2.0, 0.865, f64::NAN, 0.147),
    ];
    for (row, jitter_ms, area, matched, unmatched) in rows {
        let (window_ms, theta) = THETA[row];
        let matching = Matching { window_ms, jitter_ms, trials: 1500, seed: 1 };
        let results = matching.run(&neuron, &settings, &delays).expect("runs");
        let positive: Vec<f64> = results.iter().map(|r| r.matched / theta).collect();
        let negative: Vec<f64> = results.iter().map(|r| r.best_other() / theta).collect();
        let others: Vec<f64> = results.iter().flat_map(|r| r.others.iter().map(|g| g / theta)).collect();
        let got = auc(&positive, &negative);
        assert!((got - area).abs() <= 0.02, "{window_ms} ms, jitter {jitter_ms}: {got} instead of {area}");
        let mean = moments(&positive).0;
        assert!(matched.is_nan() || (mean / matched - 1.0).abs() < 0.05, "{window_ms} ms: {mean}");
        assert!((moments(&others).0 - unmatched).abs() < 0.03, "{window_ms}: {}", moments(&others).0);
    }
}

#[test]
#[ignore = "about five minutes; cargo test --release --test it cable_protocols -- --ignored"]
fn matched_axons_control_the_soma_as_published() {
    let (neuron, settings) = reduced();
    let delays = delays(&neuron, &settings, 10, 1).expect("runs");
    let rows = [(0.336, 0.145), (0.683, 0.115), (0.913, 0.110)];
    for ((window_ms, theta), (success, spurious)) in THETA.into_iter().zip(rows) {
        let results = Controlling { window_ms, theta, trials: 1000, seed: 1 }
            .run(&neuron, &settings, &delays)
            .expect("runs");
        let followed: Vec<f64> = results.iter().filter_map(|r| r.control.success()).collect();
        let stray: Vec<f64> = results.iter().map(|r| r.control.spurious()).collect();
        let got = (moments(&followed).0, moments(&stray).0);
        assert!((got.0 - success).abs() <= 0.04, "{window_ms} ms: success {}", got.0);
        assert!((got.1 - spurious).abs() <= 0.04, "{window_ms} ms: spurious {}", got.1);
    }
}
