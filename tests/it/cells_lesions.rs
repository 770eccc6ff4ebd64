//! Lesions: what they do to cells, and what the closed form expects of them. Dale: rates that are never negative.

use crate::support::{load, oracle_output, relative, root};
use nalgebra::DMatrix;
use pulvinar::attention::Streams;
use pulvinar::attention::equivalence::expected_squared_gap;
use pulvinar::circuit::Circuit;
use pulvinar::compile::compile;
use pulvinar::seed;
use pulvinar::simulate::cells::{End, Run, Settings, lesioned, run};
use pulvinar::simulate::inputs;
use pulvinar::spec::{LesionSpec, RecordSpec, StopSpec, Time, Variable, WindowSpec};
use std::collections::BTreeMap;

fn checked(circuit: &Circuit, tokens: &Streams, settings: &Settings) -> Run {
    run(circuit, tokens, settings).unwrap_or_else(|d| panic!("{}: {d}", circuit.name))
}

fn window(from: f64, until: f64) -> WindowSpec {
    WindowSpec { from: Some(Time { ms: from }), until: Some(Time { ms: until }) }
}

const WHOLE: WindowSpec = WindowSpec { from: None, until: None };

fn silence(fraction: f64, window: WindowSpec) -> LesionSpec {
    LesionSpec::Silence { population: "A1.deep".to_owned(), fraction, window }
}

fn cut(projection: &str, fraction: f64) -> LesionSpec {
    LesionSpec::Cut { projection: projection.to_owned(), fraction, window: WHOLE }
}

fn scale(projection: &str, gain: f64, window: WindowSpec) -> LesionSpec {
    LesionSpec::Scale { projection: projection.to_owned(), gain, window }
}

/// Settled cells under a lesion are the algebra of the circuit that is left: two routes, rates that are zeroed against
/// columns of weights that are.
#[test]
fn lesions_of_the_whole_run_are_the_circuit_that_is_left() {
    for file in ["one_head_attention_mask", "one_head_key_value_memory", "softmax_divisive"] {
        let (document, circuit) = load(&root().join(format!("circuits/{file}.yaml")));
        let tokens = inputs(&circuit, &document.folder, &BTreeMap::new()).unwrap_or_else(|d| panic!("{d}"));
        let intact = oracle_output(&circuit, &tokens);
        for lesions in [
            vec![silence(1.0, WHOLE)],
            vec![silence(0.5, WHOLE)],
            vec![cut("W_K", 0.3)],
            vec![cut("skip", 0.5), scale("W_Q", -0.7, WHOLE)],
            vec![cut("W_V", 1.0)],
        ] {
            let name = format!("{file} {lesions:?}");
            let left = lesioned(&circuit, &lesions).unwrap_or_else(|d| panic!("{d}")).expect("a circuit");
            let want = oracle_output(&left, &tokens);
            assert!(relative(&want, &intact) > 1e-3, "{name}: nothing changed");
            for prospective in [false, true] {
                let settings = Settings { lesions: lesions.clone(), prospective, ..Settings::default() };
                let got = checked(&circuit, &tokens, &settings);
                assert_eq!(got.end, End::Settled, "{name}");
                let error = relative(&got.output, &want);
                assert!(error < 1e-10, "{name}: {error:e}");
            }
        }
    }
}

#[test]
fn lesions_begin_and_end() {
    let (document, circuit) = load(&root().join("circuits/one_head_attention_mask.yaml"));
    let tokens = inputs(&circuit, &document.folder, &BTreeMap::new()).unwrap_or_else(|d| panic!("{d}"));
    let intact = oracle_output(&circuit, &tokens);
    let rate = RecordSpec {
        population: "HO".to_owned(),
        variable: Variable::Rate,
        compartment: None,
        cells: None,
        query: None,
        context: None,
        every: 1,
    };
    for lesion in [silence(0.5, window(10.0, 20.0)), scale("W_V", 3.0, window(10.0, 20.0))] {
        let whole = match &lesion {
            LesionSpec::Silence { .. } => silence(0.5, WHOLE),
            _ => scale("W_V", 3.0, WHOLE),
        };
        let left = lesioned(&circuit, &[whole]).unwrap_or_else(|d| panic!("{d}")).expect("a circuit");
        let lesion_output = oracle_output(&left, &tokens);
        let settings = Settings {
            lesions: vec![lesion],
            record: vec![rate.clone()],
            prospective: true,
            stop: StopSpec::Duration(Time { ms: 30.0 }),
            ..Settings::default()
        };
        let got = checked(&circuit, &tokens, &settings);
        let (d, n) = intact.shape();
        for (k, values) in got.traces[0].values.chunks(d * n).enumerate() {
            let want = if (10..20).contains(&k) { &lesion_output } else { &intact };
            let error = relative(&DMatrix::from_column_slice(d, n, values), want);
            assert!(error < 1e-12, "step {k}: {error:e}");
        }
        // Leaky cells forget it: they settle to the intact circuit, and not before the window is over.
        let settings = Settings { record: vec![], prospective: false, stop: StopSpec::Settle, ..settings };
        let got = checked(&circuit, &tokens, &settings);
        assert!(got.end == End::Settled && relative(&got.output, &intact) < 1e-10);
    }
}

#[test]
fn a_noise_lesion_ends_with_its_window() {
    let (document, circuit) = load(&root().join("circuits/one_head_key_value_memory.yaml"));
    let tokens = inputs(&circuit, &document.folder, &BTreeMap::new()).unwrap_or_else(|d| panic!("{d}"));
    let noise = |window| LesionSpec::Noise { population: "A1.deep".to_owned(), std: 0.5, window };
    let settings = Settings { lesions: vec![noise(window(100.0, 200.0))], ..Settings::default() };
    let got = checked(&circuit, &tokens, &settings);
    assert!(got.end == End::Settled && got.t_ms() > 200.0);
    let error = relative(&got.output, &oracle_output(&circuit, &tokens));
    assert!(error < 1e-10, "{error:e}");
    let during = Settings { stop: StopSpec::Duration(Time { ms: 190.0 }), ..settings.clone() };
    let error = relative(&checked(&circuit, &tokens, &during).output, &oracle_output(&circuit, &tokens));
    assert!(error > 1e-3, "no noise: {error:e}");
    let endless = Settings { lesions: vec![noise(WHOLE)], ..settings };
    let refused = run(&circuit, &tokens, &endless).err().map(|d| d.to_string()).unwrap_or_default();
    assert!(refused.contains("C052"), "{refused}");
}

/// The squared change of single runs, drawn over tokens, against the closed form of the two compiled blocks.
#[test]
fn the_mean_change_is_what_the_closed_form_expects() {
    for file in ["one_head_attention_mask", "one_head_key_value_memory"] {
        let (document, circuit) = load(&root().join(format!("circuits/{file}.yaml")));
        let tokens = inputs(&circuit, &document.folder, &BTreeMap::new()).unwrap_or_else(|d| panic!("{d}"));
        let n = 5;
        for lesions in [vec![silence(0.5, WHOLE)], vec![cut("W_K", 0.5)], vec![scale("W_V", 0.5, WHOLE)]] {
            let left = lesioned(&circuit, &lesions).unwrap_or_else(|d| panic!("{d}")).expect("a circuit");
            let block = |c: &Circuit| compile(c).unwrap_or_else(|d| panic!("{d}")).blocks[0].block.clone();
            let expected = expected_squared_gap(&block(&circuit), &block(&left), n).expect("linear").mean;
            let with = Settings { lesions: lesions.clone(), prospective: true, ..Settings::default() };
            let without = Settings { lesions: vec![], ..with.clone() };
            let mut rng = seed::stream(1, &format!("{file} {lesions:?}"));
            let draws = 4000;
            let changes: Vec<f64> = (0..draws)
                .map(|_| {
                    let x = DMatrix::from_fn(tokens["main"].nrows(), n, |_, _| seed::normal(&mut rng));
                    let x = Streams::from([("main".to_owned(), x)]);
                    let gap = checked(&circuit, &x, &with).output - checked(&circuit, &x, &without).output;
                    gap.norm_squared() / n as f64
                })
                .collect();
            let mean = changes.iter().sum::<f64>() / draws as f64;
            let variance = changes.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / (draws - 1) as f64;
            let error = (variance / draws as f64).sqrt();
            assert!(error < 0.1 * expected, "{file} {lesions:?}: too few draws ({error} of {expected})");
            assert!(
                (mean - expected).abs() < 3.0 * error,
                "{file} {lesions:?}: {mean} +- {error}, expected {expected}"
            );
        }
    }
}

/// Plus and minus cells: every rate of every step is at least 0, and the answer is the algebra's.
#[test]
fn dale_circuits_run_on_positive_rates() {
    let (document, circuit) = load(&root().join("circuits/dale_head.yaml"));
    let tokens = inputs(&circuit, &document.folder, &BTreeMap::new()).unwrap_or_else(|d| panic!("{d}"));
    for prospective in [false, true] {
        let record = circuit.order.iter().map(|id| RecordSpec {
            population: circuit.population(*id).name.clone(),
            variable: Variable::Rate,
            compartment: None,
            cells: None,
            query: None,
            context: None,
            every: 1,
        });
        let settings = Settings { prospective, record: record.collect(), ..Settings::default() };
        let settings = Settings { stop: StopSpec::Duration(Time { ms: 600.0 }), ..settings };
        let got = checked(&circuit, &tokens, &settings);
        let mut active = 0;
        for t in &got.traces {
            assert!(t.values.iter().all(|r| *r >= 0.0), "{} has a negative rate", t.name);
            active += usize::from(t.values.iter().any(|r| *r > 0.0));
        }
        assert_eq!(active, got.traces.len(), "some population is silent");
        let compiled = compile(&circuit).unwrap_or_else(|d| panic!("{d}"));
        let want = pulvinar::simulate::run::<f64>(&compiled.plain_blocks(), &tokens).expect("runs").output;
        let error = relative(&got.output, &want);
        assert!(error < 1e-10, "{error:e}");
    }
}
