//! Circuits of spikes: their trials and scores beside the library's protocols, their neuron beside plain loops, and what
//! is printed beside what was read.

use crate::cable::as_oracle;
use pulvinar::circuit::{SpikeCircuit, spikes};
use pulvinar::oracle::cable as oracle;
use pulvinar::seed;
use pulvinar::simulate::cable::event::Event;
use pulvinar::simulate::cable::protocol::{Controlling, Matching, THETA, delays};
use pulvinar::simulate::cable::score::Control;
use pulvinar::simulate::cable::{Neuron, Run};
use pulvinar::simulate::spiking::{Plan, Runs, Summary, run, score};
use pulvinar::spec::{self, read, to_yaml};
use std::path::Path;

/// A neuron with one spine head on each branch, small enough for tests.
pub const SMALL: &str = "
schema: pulvinar/1
name: small
seed: 7
parameters: {query: 6 Hz, matched: in_turn}
thalamus:
  query: {pathway: core, cells: 1, spike_trains: {renewal: {rate: $query, dead_time: 50 ms}}}
areas:
  A1:
    populations:
      keys:   {layer: L2/3, cell_type: pyramidal, cells: 6, spike_trains: {renewal: {rate: 6 Hz, dead_time: 50 ms}}}
      neuron: {layer: L5, cell_type: pyramidal, cells: 1, cable: {shaft: 2, top: 1, tuft: 2}}
projections:
  K: {from: A1.keys, to: A1.neuron.spines, weights: {blocks: {count: 6, of: ones}}}
  Q: {from: query, to: A1.neuron.soma, weights: ones}
output: A1.neuron
protocol: {match_and_control: {match: {from: 250 ms, duration: 0.5 s}, control: {pause: 500 ms, duration: 1 s}, trials: 3, matched: $matched, delay_runs: 2}}
";

/// A match phase alone, the query repeating the matched axon.
pub fn matching() -> String {
    SMALL
        .replace("spike_trains: {renewal: {rate: $query, dead_time: 50 ms}}", "spike_trains: {follow: {population: A1.keys}}")
        .replace("from: 250 ms", "from: 50 ms")
        .replace(", control: {pause: 500 ms, duration: 1 s}", ", jitter: 1 ms")
}

fn circuit(text: &str) -> SpikeCircuit {
    let document = read(text.as_bytes(), Path::new("."), &[]).unwrap_or_else(|d| panic!("{d}\n{text}"));
    spikes(&document.spec).unwrap_or_else(|d| panic!("{d}\n{text}"))
}

fn plan(text: &str) -> Plan {
    Plan::of(&circuit(text), Path::new(".")).unwrap_or_else(|d| panic!("{d}\n{text}"))
}

fn ran(plan: &Plan) -> Runs {
    run(plan, |_| {}).expect("runs")
}

#[test]
fn a_run_is_the_published_protocol() {
    // Control: the matched axon repeats the query.
    let mine = plan(SMALL);
    let runs = ran(&mine);
    let settings = Run { lanes: 4, ..Run::default() };
    let delays_ms = delays(&mine.neuron, &settings, 2, 7).expect("runs");
    assert_eq!(runs.delays_ms, delays_ms);
    let controlling = Controlling { window_ms: 500.0, theta: THETA[0].1, trials: 3, seed: 7 };
    for (i, input) in runs.inputs.iter().enumerate() {
        assert_eq!(*input, controlling.trial(&mine.neuron, &delays_ms, i), "trial {i}");
    }
    let want = controlling.run(&mine.neuron, &settings, &delays_ms).expect("runs");
    assert_eq!(runs.scores.len(), want.len());
    for (score, want) in runs.scores.iter().zip(&want) {
        assert_eq!((score.axon, score.queries, score.control), (Some(want.axon), want.queries, Some(want.control)));
        assert!(score.matched.is_some_and(|g| g > 0.0), "read at the start of the control phase");
    }
    assert!(runs.spikes_ms.iter().any(|s| !s.is_empty()));
    // Match: the query repeats the matched axon, 1 ms to and fro.
    let mine = plan(&matching());
    let runs = ran(&mine);
    let matching = Matching { window_ms: 500.0, jitter_ms: 1.0, trials: 3, seed: 7 };
    let want = matching.run(&mine.neuron, &settings, &runs.delays_ms).expect("runs");
    for (score, want) in runs.scores.iter().zip(&want) {
        assert_eq!((score.axon, score.queries), (Some(want.axon), want.queries));
        assert_eq!(score.matched, Some(want.matched / THETA[0].1));
        assert_eq!(score.best_other, want.best_other() / THETA[0].1);
        assert_eq!((score.control, score.controller), (None, None), "there is no control phase");
    }
}

/// `text` with trains written out: 6 random ones and a query, in 30 ms.
fn written_out(name: &str) -> String {
    let mut rng = seed::stream(3, name);
    let mut train = |n: usize| {
        let mut times: Vec<f64> = (0..n).map(|_| seed::uniform(&mut rng, 1.0, 24.0)).collect();
        times.sort_by(f64::total_cmp);
        let times: Vec<String> = times.iter().map(|t| format!("{t} ms")).collect();
        format!("[{}]", times.join(", "))
    };
    let keys: Vec<String> = (0..6).map(|_| train(2)).collect();
    let given = |trains: String| format!("spike_trains: {{times: {{trains: {trains}}}}}");
    SMALL
        .replace("spike_trains: {renewal: {rate: $query, dead_time: 50 ms}}", &given(format!("[{}]", train(1))))
        .replace("spike_trains: {renewal: {rate: 6 Hz, dead_time: 50 ms}}", &given(format!("[{}]", keys.join(", "))))
        .replace("{shaft: 2, top: 1, tuft: 2}", "{shaft: 1, top: 1, tuft: 1}")
        .replace("from: 250 ms, duration: 0.5 s}, control: {pause: 500 ms, duration: 1 s}, trials: 3", "from: 0 ms, duration: 25 ms}, trials: 1")
        .replace("weights: {blocks: {count: 6, of: ones}}", "weights: {blocks: {count: 6, of: ones}}, synapses: {potentiation: {theta: 1e-14 mM^4 ms}}")
        + "simulation: {stop: {duration: 25 ms}}\nrecord: [{population: A1.neuron, compartment: soma, every: 8}, \
           {population: A1.neuron, compartment: spines, variable: calcium, axons: [4, 1], from: 5 ms, every: 3}]\n"
}

#[test]
fn a_neuron_of_a_circuit_is_the_plain_loops() {
    let mut mine = plan(&written_out("a"));
    mine.settings.table_mv = 0.005;
    let runs = ran(&mine);
    let (dt, steps, trial) = (0.025, 1000, &runs.inputs[0]);
    assert!(runs.delays_ms.is_empty(), "given trains need no delays");
    assert_eq!(trial.keys.iter().map(Vec::len).sum::<usize>(), 12);
    let (nodes, heads) = as_oracle(&mine.neuron, trial, dt);
    assert_eq!((mine.neuron.soma, heads.len()), (0, 6));
    let pulse = |n: usize| {
        let t = (n as f64 + 0.5) * dt;
        if trial.queries.iter().any(|q| (*q..q + 1.0).contains(&t)) { 4.0 } else { 0.0 }
    };
    let want = oracle::run(&nodes, &heads, -75.0, dt, steps, pulse);
    let soma: Vec<f64> = runs.traces[0].iter().skip(1).copied().collect();
    assert_eq!((mine.traces[0].name.as_str(), soma.len()), ("A1.neuron.soma.potential", 125));
    let highest = soma.iter().copied().fold(f64::MIN, f64::max);
    assert!(highest > 0.0, "a spike: {highest}");
    for (i, v) in soma.iter().enumerate() {
        let want = want.potentials[(i + 1) * 8 - 1][0];
        assert!((v - want).abs() < 2e-3, "after {} steps {v}, not {want}", (i + 1) * 8);
    }
    // The last sample of calcium is after step 200 + 3 * 266 = 998: the ends are compared through integrals.
    for (axon, head) in heads.iter().enumerate() {
        let got = if axon == 0 { runs.scores[0].matched } else { None };
        let Some(got) = got else { continue };
        let want = want.integral[axon] / mine.theta;
        assert!(want > 0.0 && (got - want).abs() < 1e-5 * want, "{got}, {want} at node {}", head.node);
    }
    let times = mine.traces[1].times_ms(dt);
    assert_eq!((times[0], mine.traces[1].samples(), runs.traces[1].len()), (5.0, 267, 534));
}

#[test]
fn traces_end_in_the_oracles_calcium() {
    let text = written_out("b").replace("from: 5 ms, every: 3", "from: 24 ms, every: 20");
    let mut mine = plan(&text);
    mine.settings.table_mv = 0.005;
    let runs = ran(&mine);
    let (nodes, heads) = as_oracle(&mine.neuron, &runs.inputs[0], 0.025);
    let queries = &runs.inputs[0].queries;
    let pulse = |n: usize| {
        let t = (n as f64 + 0.5) * 0.025;
        if queries.iter().any(|q| (*q..q + 1.0).contains(&t)) { 4.0 } else { 0.0 }
    };
    let want = oracle::run(&nodes, &heads, -75.0, 0.025, 1000, pulse);
    let last = &runs.traces[1][runs.traces[1].len() - 2..];
    for (got, axon) in last.iter().zip([4, 1]) {
        let want = want.calcium[axon];
        assert!(want > 5e-7 && (got - want).abs() < 1e-5 * want, "axon {axon}: {got:e}, {want:e}");
    }
}

#[test]
fn the_closed_form_runs_on_the_same_trials() {
    let text = matching().replace("output:", "fidelity: {event: {noise: 0.1}}\noutput:");
    let mine = plan(&text);
    let runs = ran(&mine);
    let event = Event { noise: 0.1, ..Event::default() };
    for (i, score) in runs.scores.iter().enumerate() {
        assert_eq!(runs.inputs[i], plan(&matching()).trial(&runs.delays_ms, i), "fidelity changes no train");
        let mut rng = seed::stream(7, &format!("event {i}"));
        let want = event.integrals(&runs.inputs[i], &runs.delays_ms, 650.0, &mut rng).expect("valid");
        assert_eq!(score.matched, Some(want[i] / THETA[0].1));
        assert_eq!((score.spikes, score.control), (None, None));
    }
    // Synapses of the circuit are those of the closed form too.
    let slow = text.replace("{count: 6, of: ones}}}", "{count: 6, of: ones}}, synapses: {calcium: {decay: 30 ms}}}");
    assert!(ran(&plan(&slow)).scores[0].matched > runs.scores[0].matched);
}

#[test]
fn scores_say_who_was_in_control() {
    let control = |spikes, stray| Control { keys: 5, followed: 0, spikes, stray };
    let rows: &[(&str, &[Control], Option<usize>)] = &[
        ("most spikes follow axon 1", &[control(6, 5), control(6, 1), control(6, 4)], Some(1)),
        ("half is not most", &[control(6, 3), control(6, 5)], None),
        ("a silent soma is nobody's", &[control(0, 0), control(0, 0)], None),
        ("of equals the first", &[control(4, 1), control(4, 1)], Some(0)),
    ];
    for (claim, all, want) in rows {
        assert_eq!(score::controller(all), *want, "{claim}");
    }
    let scored = |spikes, stray, followed| score::Scored {
        axon: Some(0),
        matched: Some(2.0),
        best_other: 1.5,
        control: Some(Control { keys: 4, followed, spikes, stray }),
        control_spikes: Some(spikes),
        ..score::Scored::default()
    };
    let summary = Summary::of(&[scored(4, 1, 4), scored(0, 0, 0)]);
    let mean = |name: &str| summary.get(name).map(|m| (m.mean, m.trials));
    assert_eq!(mean("success"), Some((0.5, 2)));
    assert_eq!(mean("spurious"), Some((0.125, 2)), "a silent trial counts as 0");
    assert_eq!(mean("spurious_if_any"), Some((0.25, 1)), "or not at all");
    assert_eq!(mean("silent"), Some((0.5, 2)));
    let error = summary.get("success").and_then(|m| m.standard_error).expect("of two");
    assert!((error - 0.5).abs() < 1e-15, "sd 0.7071 / sqrt 2: {error}");
    assert_eq!(summary.get("spurious_if_any").and_then(|m| m.standard_error), None, "of one there is none");
}

/// A circuit with a random choice of everything that may be said or left out.
fn random(number: u64) -> String {
    let mut rng = seed::stream(number, "circuit of spikes");
    let mut coin = || seed::uniform(&mut rng, 0.0, 1.0);
    let mut maybe = |p: f64, text: String| if coin() < p { text } else { String::new() };
    let cable = [
        maybe(0.5, "resolution: full, ".into()),
        maybe(0.5, format!("shaft: {}, ", 1 + number % 5)),
        maybe(0.3, "spines: 60, ".into()),
        maybe(0.3, "spines_per_head: 5, ".into()),
        maybe(0.3, "necks: false, ".into()),
        maybe(0.3, "start: -70.5 mV, ".into()),
    ]
    .concat();
    let synapses = [
        maybe(0.4, "ampa: {peak: 0.016 nS, rise: 300 us}, ".into()),
        maybe(0.4, "nmda: {decay: 30.25 ms}, ".into()),
        maybe(0.4, "calcium: {decay: 12 ms}, ".into()),
        maybe(0.6, format!("potentiation: {{theta: {}e-14 mM^4 ms, gain: 6.5}}, ", number + 1)),
    ]
    .concat();
    let record = [
        maybe(0.5, "{population: A1.neuron, compartment: soma, every: 4}, ".into()),
        maybe(0.5, "{population: A1.neuron, compartment: spines, variable: gain, axons: [0, 5], from: 10 ms, until: 20.5 ms}, ".into()),
    ]
    .concat();
    let jitter = maybe(0.5, ", jitter: 1.5 ms".into());
    let pulse = maybe(0.5, ", pulse: {current: 3.5 nA, duration: 0.9 ms}".into());
    let step = maybe(0.5, "simulation: {dt: 0.04 ms}\n".into());
    let fidelity = maybe(0.5, "fidelity: cable\n".into());
    SMALL
        .replace("{shaft: 2, top: 1, tuft: 2}", &format!("{{{cable}tuft: 3}}"))
        .replace("count: 6, of: ones}}", &format!("count: 6, of: ones}}}}, synapses: {{{synapses}}}"))
        .replace("matched: $matched", &format!("matched: {}{jitter}", number % 6))
        .replace("soma, weights: ones", &format!("soma, weights: ones{pulse}"))
        + &format!("record: [{record}]\n{step}{fidelity}")
}

#[test]
fn what_is_printed_is_what_was_read() {
    let mut plans = 0;
    for number in 0..60 {
        let text = random(number);
        let first = read(text.as_bytes(), Path::new("."), &[]).unwrap_or_else(|d| panic!("{d}\n{text}")).spec;
        let printed = to_yaml(&first);
        let second = read(printed.as_bytes(), Path::new("."), &[]).unwrap_or_else(|d| panic!("{d}\n{printed}")).spec;
        assert_eq!(first, second, "{printed}");
        assert_eq!(to_yaml(&second), printed);
        let same = |spec: &spec::CircuitSpec| spikes(spec).unwrap_or_else(|d| panic!("{d}\n{printed}"));
        assert_eq!(same(&first), same(&second));
        assert_eq!(same(&first).to_string(), same(&second).to_string());
        plans += usize::from(Plan::of(&same(&first), Path::new(".")).is_ok());
    }
    assert!(plans > 20, "{plans} of 60 can run");
}

#[test]
fn what_the_file_says_is_what_runs() {
    let text = SMALL
        .replace("{shaft: 2, top: 1, tuft: 2}", "{shaft: 2, top: 1, tuft: 4, spines: 24, spines_per_head: 2, start: -70 mV}")
        .replace("of: ones}}", "of: ones}}, delay: 2 ms, synapses: {ampa: {peak: 16 pS}, nmda: {rise: 1 ms}, potentiation: {theta: 3e-14 mM^4 ms, gain: 5, lag: 0.4 s}}")
        .replace("soma, weights: ones", "soma, weights: ones, pulse: {current: 3 nA, duration: 2 ms}")
        + "simulation: {dt: 0.05 ms, stop: {duration: 3 s}}\n";
    let plan = plan(&text);
    let Neuron { heads, synapses: s, axons, .. } = &plan.neuron;
    assert_eq!((heads.len(), *axons, heads[0].spines), (12, 6, 2));
    assert_eq!((s.ampa_ns, s.nmda_ms, s.delay_ms, s.potentiated, s.lag_ms), (0.016, (1.0, 26.0), 2.0, 5.0, 400.0));
    let r = &plan.settings;
    assert_eq!((r.dt_ms, r.duration_ms, r.start_mv, r.pulse, r.theta), (0.05, 3000.0, -70.0, (3.0, 2.0), Some(3e-14)));
    assert_eq!((plan.phases.match_ms, plan.phases.control_ms), ((250.0, 750.0), Some((1250.0, 2250.0))));
}
