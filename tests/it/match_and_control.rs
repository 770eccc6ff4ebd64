//! Match-and-control as experiments: small variants, judged by what must hold in them.

use pulvinar_lab::experiments::match_and_control::attention::{Score, Target};
use pulvinar_lab::experiments::match_and_control::control::Outcomes;
use pulvinar_lab::experiments::match_and_control::fits::Family;
use pulvinar_lab::experiments::match_and_control::{
    Fidelity, Lab, Plan, Sizes, attention, control, kernel, matching, potentiation, published, spine,
};
use pulvinar_lab::experiments::{Progress, Quiet};
use std::sync::atomic::{AtomicUsize, Ordering};

fn lab(change: impl FnOnce(&mut Plan)) -> Lab<'static> {
    let sizes = Sizes {
        delays: 2,
        offsets: (4, 2),
        every_offset: false,
        kernel: (24, 8),
        matched: 16,
        controlled: 16,
        attention: 16,
        event: (400, 600),
    };
    let mut plan = Plan::published(sizes).expect("a neuron");
    change(&mut plan);
    Lab::new(plan, &Quiet).expect("a neuron")
}

#[test]
fn delays_lie_on_a_line_and_calcium_peaks_at_seven_ms() {
    let lab = lab(|_| ());
    let delays = spine::delays(&lab);
    assert!((delays.slope_ms_um / published::DELAY.0 - 1.0).abs() < 0.04, "{}", delays.slope_ms_um);
    assert!(delays.correlation > 0.99);
    let spread = spine::spreading(&lab, &[0, 74]).expect("runs");
    let peak =
        |mv: &[f64]| (0..mv.len()).max_by(|&i, &j| mv[i].total_cmp(&mv[j])).map(|i| spread.times_ms[i]);
    let (soma, near, far) = (peak(&spread.soma_mv), peak(&spread.heads[0].1), peak(&spread.heads[1].1));
    assert!(soma < near && near < far, "{soma:?} {near:?} {far:?}");
    let curve = spine::offsets(&lab).expect("runs");
    assert!((6.0..=8.0).contains(&spine::best(&curve)), "{curve:?}");
    // 8 runs for each offset instead of 300
    assert!(spine::off_by(&curve) < 0.15, "{}", spine::off_by(&curve));
    assert!(curve[0].integral.value < 0.02, "a query at once after the key leaves nothing: {:?}", curve[0]);
}

/// The event tier explains the cable at least as well as is stated, and the fit finds the kernel.
#[test]
fn a_sum_over_pairs_explains_calcium() {
    let kernel = kernel::fit(&lab(|_| ())).expect("runs");
    assert!((6.0..=8.0).contains(&kernel.best_ms()), "{}", kernel.best_ms());
    assert!(kernel.off_by() < 0.15, "{}", kernel.off_by());
    assert!(kernel.train.value > 0.75 && kernel.test.value > 0.7, "{:?} {:?}", kernel.train, kernel.test);
    assert!(kernel.event_test.value >= 0.83, "{:?}", kernel.event_test);
    assert!(kernel.event_all < kernel.event_test.value, "outliers are harder: {}", kernel.event_all);
}

#[test]
fn longer_windows_and_sharper_queries_tell_axons_apart() {
    let lab = lab(|_| ());
    let event = |window, jitter| matching::run(&lab, window, jitter, Fidelity::Event).expect("runs").auc();
    let (half, one, two) = (event(500.0, 0.0), event(1000.0, 0.0), event(2000.0, 0.0));
    assert!(half.value + 3.0 * half.se < one.value && one.value < two.value, "{half:?} {one:?} {two:?}");
    let jittered = event(1000.0, 2.0);
    assert!(jittered.value + 2.0 * jittered.se < one.value, "{jittered:?} {one:?}");
    let cable = matching::run(&lab, 500.0, 0.0, Fidelity::Cable).expect("runs");
    let area = cable.auc();
    assert!((area.value - published::WINDOWS[0].auc).abs() < 3.0 * area.se.max(0.05), "{area:?}");
    assert_eq!((cable.matched.len(), cable.others.len()), (16, 16 * 149));
    let refused = matching::run(&lab, 700.0, 0.0, Fidelity::Event).expect_err("no threshold");
    assert!(refused.to_string().contains("no threshold of potentiation for a window of 700 ms"), "{refused}");
}

#[test]
fn the_matched_axon_drives_the_soma_after_a_long_match() {
    let lab = lab(|plan| plan.sizes.controlled = 8);
    let all = Outcomes::all(&control::run(&lab, 2000.0).expect("runs"));
    assert!(all.success.value > 0.7, "{all:?}");
    assert!(all.spurious_if_spiking.value >= all.spurious.value, "{all:?}");
}

#[test]
fn examples_are_what_they_are_called() {
    let lab = lab(|_| ());
    let found = potentiation::examples(&lab).expect("runs");
    assert!(found.success.success == 1.0 && found.failure.success == 0.0);
    assert!(found.gain_off < 1e-9, "{}", found.gain_off);
    let top = |gain: &[f64]| gain.iter().copied().fold(0.0, f64::max);
    assert!(top(&found.success.matched.gain) > 4.5, "{}", top(&found.success.matched.gain));
    let e = &found.success;
    assert!(e.queries_ms.iter().all(|q| *q < e.control_from_ms), "the query is silent in the control phase");
    assert!(e.spikes_ms.iter().any(|s| *s > e.control_from_ms));
}

#[test]
fn vectors_race_as_a_steep_function_of_their_inner_product() {
    let lab = lab(|_| ());
    let race = attention::run(&lab, Fidelity::Event).expect("runs");
    let [code, vectors, trains] = race.correlations();
    assert!(code > 0.5 && trains > 0.85 && vectors > 0.4, "{code} {vectors} {trains}");
    let gains = |score: Score| {
        let fits = race.fits(score, Target::Winner, 1);
        let gain = |f: Family| fits.iter().find(|x| x.family == f).expect("there").gain.value;
        [Family::Softmax, Family::Power, Family::Linear].map(gain)
    };
    let [softmax, power, linear] = gains(Score::Overlap);
    assert!(softmax > linear + 0.3 && power > linear + 0.3, "{softmax} {power} {linear}");
    // what the code of spikes adds hides which family it is
    let vectors = gains(Score::InnerProduct);
    assert!(vectors.iter().all(|g| *g > 0.25 && *g < linear), "{vectors:?} {linear}");
    let again = attention::run(&lab, Fidelity::Event).expect("runs");
    assert!(again == race, "the same seed gives the same race");
}

/// The shipped circuit is the published neuron; a file in closed form has match phases only.
#[test]
fn the_shipped_circuit_is_the_published_neuron() {
    let path = crate::support::root().join("circuits/match_and_control.yaml");
    let document = pulvinar::spec::read_file(&path, &[]).expect("valid");
    let plan = Plan::of(&document, Sizes::quick()).expect("valid");
    let published = Plan::published(Sizes::quick()).expect("a neuron");
    assert!(plan.neuron == published.neuron && plan.run == published.run && plan.is_cable);
    assert!(plan.seed == published.seed && plan.event == published.event);
    let theta = |p: &Plan, ms: f64| p.thetas.iter().find(|t| t.0 == ms).map(|t| t.1);
    assert!([500.0, 1000.0, 2000.0].iter().all(|ms| theta(&plan, *ms) == theta(&published, *ms)));
}

/// Steps are announced and taken.
#[test]
fn progress_is_told() {
    #[derive(Default)]
    struct Steps(AtomicUsize, AtomicUsize);
    impl Progress for Steps {
        fn begin(&self, _: &str, steps: usize) {
            self.0.fetch_add(steps, Ordering::Relaxed);
        }
        fn step(&self) {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }
    let steps = Steps::default();
    let lab = Lab::new(Plan::published(Sizes { delays: 1, ..Sizes::quick() }).expect("a neuron"), &steps);
    spine::spreading(&lab.expect("a neuron"), &[3]).expect("runs");
    assert_eq!((steps.0.into_inner(), steps.1.into_inner()), (1, 1));
    let mut plan = Plan::published(Sizes::quick()).expect("a neuron");
    plan.run.dt_ms = 0.1;
    let wrong = Lab::new(plan, &Quiet).err().expect("refused").to_string();
    assert!(wrong.contains("0.1 ms is too coarse"), "{wrong}");
}
