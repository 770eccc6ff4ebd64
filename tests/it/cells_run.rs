//! Cells in time: the equation of a compartment, noise, limits, delays, traces, how runs end.

use crate::support::{from_text, load, relative, root};
use nalgebra::DMatrix;
use pulvinar::attention::Streams;
use pulvinar::circuit::Circuit;
use pulvinar::simulate::cells::{End, Run, Settings, Trace, run};
use pulvinar::simulate::inputs;
use pulvinar::spec::{Integrator, StopSpec, Time};
use std::collections::BTreeMap;

fn checked(circuit: &Circuit, tokens: &Streams, settings: &Settings) -> Run {
    run(circuit, tokens, settings).unwrap_or_else(|d| panic!("{}: {d}", circuit.name))
}

fn tokens(circuit: &Circuit, folder: &std::path::Path) -> Streams {
    inputs(circuit, folder, &BTreeMap::new()).unwrap_or_else(|d| panic!("{d}"))
}

/// A circuit from text, run with what the text asks for.
pub fn ran(text: &str) -> Run {
    let (document, circuit) = from_text(text).unwrap_or_else(|e| panic!("{e}"));
    checked(&circuit, &tokens(&circuit, &document.folder), &Settings::of(&document.spec))
}

pub fn refused(text: &str) -> String {
    let (document, circuit) = from_text(text).unwrap_or_else(|e| panic!("{e}"));
    let tokens = tokens(&circuit, &document.folder);
    let error = run(&circuit, &tokens, &Settings::of(&document.spec)).err();
    error.unwrap_or_else(|| panic!("not refused\n{text}")).to_string()
}

fn trace<'a>(run: &'a Run, name: &str) -> &'a Trace {
    run.traces.iter().find(|t| t.name == name).unwrap_or_else(|| panic!("no trace {name}"))
}

/// One token `value` through one relay into `HO`; `projections` and `rest` of the file are free.
pub fn chain(value: f64, cells: &str, projections: &str, rest: &str) -> String {
    format!(
        "schema: pulvinar/1\nname: chain\ntokens: {{d_model: 1, input: {{values: [[{value}]]}}}}\nthalamus:\n  \
         IN: {{pathway: core, per: [query], cells: 1}}\n  HO: {{pathway: core, per: [query], cells: 1{cells}}}\n\
         projections:\n  w: {{from: IN, to: HO.basal, weights: ones}}\n{projections}output: HO\n{rest}"
    )
}

#[test]
fn a_compartment_approaches_its_input_as_the_method_says() {
    // (method, one step of 2 ms with tau 8 ms leaves this of the distance)
    for (method, left) in [("euler", 1.0 - 2.0 / 8.0), ("exponential_euler", (-2.0f64 / 8.0).exp())] {
        let rest = format!(
            "simulation: {{dt: 2 ms, integrator: {method}, stop: {{duration: 80 ms}}}}\n\
             record: [{{population: HO, compartment: basal}}]\n"
        );
        let got = ran(&chain(3.0, ", tau: 8 ms", "", &rest));
        let v = trace(&got, "HO.basal.potential");
        assert_eq!(v.t_ms.len(), 40);
        // Samples belong to the beginning of their step, the output to the end of the last one.
        let end = 3.0 * (1.0 - left.powi(40));
        assert!(
            (got.output[(0, 0)] - end).abs() < 1e-14 * 3.0,
            "{method}: {}, not {end}",
            got.output[(0, 0)]
        );
        for (n, v) in v.values.iter().enumerate() {
            let want = 3.0 * (1.0 - left.powi(n as i32));
            assert!((v - want).abs() < 1e-14 * 3.0, "{method}, step {n}: {v}, not {want}");
        }
        // The rate fitted to the trace, as an experimenter would: the slope of log distance.
        let distance = |n: usize| (3.0 - v.values[n]).ln();
        let fitted = (distance(30) - distance(0)) / 30.0;
        assert!((fitted / left.ln() - 1.0).abs() < 0.01, "{method}: {fitted}");
    }
}

/// `v + tau dv/dt` formed from recorded potentials is what the cell sends.
#[test]
fn the_prospective_readout_is_the_derivative_of_the_potential() {
    let (document, circuit) = load(&root().join("circuits/one_head_attention_mask.yaml"));
    let tokens = tokens(&circuit, &document.folder);
    let mut settings =
        Settings { integrator: Integrator::Euler, dt_ms: Some(0.5), ..Settings::of(&document.spec) };
    settings.stop = StopSpec::Duration(Time { ms: 20.0 });
    settings.start_std = 1.0;
    settings.prospective = true;
    for (compartment, variable) in
        [(Some("basal"), "potential"), (Some("apical"), "potential"), (None, "rate")]
    {
        settings.record.push(record("A1.superficial", compartment, variable));
    }
    let got = checked(&circuit, &tokens, &settings);
    let (basal, apical) =
        (trace(&got, "A1.superficial.basal.potential"), trace(&got, "A1.superficial.apical.potential"));
    let rate = trace(&got, "A1.superficial.rate");
    let n = rate.tokens.len() * rate.cells.len();
    let tau_over_dt = 10.0 / 0.5;
    for k in 0..39 * n {
        let ahead = |v: &Trace| v.values[k] + tau_over_dt * (v.values[k + n] - v.values[k]);
        let want = ahead(basal) * ahead(apical);
        assert!((rate.values[k] - want).abs() < 1e-12 * (1.0 + want.abs()), "{} {want}", rate.values[k]);
    }
}

fn record(population: &str, compartment: Option<&str>, variable: &str) -> pulvinar::spec::RecordSpec {
    use pulvinar::spec::{CompartmentSpec, RecordSpec, Variable};
    let named = |c: &str| CompartmentSpec::NAMES.iter().find(|(n, _)| *n == c).expect("a compartment").1;
    RecordSpec {
        population: population.to_owned(),
        variable: Variable::NAMES.iter().find(|(n, _)| *n == variable).expect("a variable").1,
        compartment: compartment.map(named),
        cells: None,
        query: None,
        context: None,
        every: 1,
    }
}

#[test]
fn noise_has_the_deviation_that_it_says() {
    for (method, dt) in [("euler", "5 ms"), ("exponential_euler", "5 ms"), ("euler", "1 ms")] {
        let rest = format!(
            "simulation: {{dt: {dt}, integrator: {method}, stop: {{duration: 200 s}}}}\n\
             record: [{{population: HO, compartment: basal}}]\n"
        );
        let got = ran(&chain(2.0, ", noise: {std: 0.3}", "", &rest));
        let v = &trace(&got, "HO.basal.potential").values[100..];
        let n = v.len() as f64;
        let mean = v.iter().sum::<f64>() / n;
        let variance = v.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
        // Samples are correlated over tau = 10 ms: about 200 s / 20 ms = 10^4 independent ones; 4 standard errors.
        assert!((mean - 2.0).abs() < 4.0 * 0.3 / 100.0, "{method} {dt}: mean {mean}");
        assert!(
            (variance / 0.09 - 1.0).abs() < 4.0 * 2.0f64.sqrt() / 100.0,
            "{method} {dt}: variance {variance}"
        );
    }
}

#[test]
fn limits_bound_rates() {
    for (value, want) in [(-3.0, 0.0), (5.0, 5.0), (250.0, 100.0)] {
        let got = ran(&chain(value, ", limits: {min: 0, max: 100}", "", ""));
        assert_eq!(got.end, End::Settled);
        assert!((got.output[(0, 0)] - want).abs() < 1e-9, "{value}: {}", got.output[(0, 0)]);
    }
}

/// A loop through a delay: `y = x + g y(t - delay)` settles at `x / (1 - g)`, and diverges beyond.
#[test]
fn loops_run_through_a_delay() {
    for prospective in [false, true] {
        let cells = format!(", prospective: {prospective}");
        let back =
            |g: f64| format!("  back: {{from: HO, to: HO.basal, weights: ones, gain: {g}, delay: 7 ms}}\n");
        for g in [-0.5, 0.25, 0.5] {
            let got = ran(&chain(3.0, &cells, &back(g), ""));
            assert_eq!(got.end, End::Settled, "{g}");
            let want = 3.0 / (1.0 - g);
            assert!((got.output[(0, 0)] - want).abs() < 1e-9 * want, "{g}: {}", got.output[(0, 0)]);
        }
        let got = ran(&chain(3.0, &cells, &back(2.0), "simulation: {stop: {duration: 100 s}}\n"));
        let End::Diverged { population, t_ms, .. } = got.end else { panic!("did not diverge") };
        assert!(population == "HO" && t_ms > 100.0 && t_ms < 100_000.0, "{population} {t_ms}");
    }
}

/// `tau dy/dt = -y + x - 2 y(t - delay)` is stable below a delay of tau acos(-1/2) / sqrt(3), here 12.1 ms.
#[test]
fn delayed_inhibition_oscillates_beyond_its_critical_delay() {
    for (delay, stable) in [(11.0, true), (13.0, false)] {
        let back =
            format!("  back: {{from: HO, to: HO.basal, weights: ones, gain: -2, delay: {delay} ms}}\n");
        let got = ran(&chain(3.0, "", &back, "simulation: {dt: 0.05 ms, stop: {duration: 3 s}}\n"));
        let gap = (got.output[(0, 0)] - 1.0).abs();
        assert_eq!(gap < 1e-3, stable, "{delay} ms: {gap:e}");
        assert_eq!(gap > 10.0, !stable, "{delay} ms: {gap:e}");
    }
}

/// Prospective cells send at once, so what arrives late is late by the delay and nothing else.
#[test]
fn delays_are_as_long_as_they_say() {
    let text = chain(
        3.0,
        ", prospective: true",
        "  late: {from: IN, to: HO.basal, weights: ones, gain: 10, delay: 4 ms}\n",
        "simulation: {dt: 2 ms, stop: {duration: 12 ms}}\nrecord: [{population: HO}]\n",
    );
    let got = ran(&text);
    let rate = trace(&got, "HO.rate");
    assert_eq!(rate.t_ms, [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
    assert_eq!(rate.values, [3.0, 3.0, 33.0, 33.0, 33.0, 33.0]);
}

#[test]
fn traces_hold_what_was_asked_for() {
    let (document, circuit) = load(&root().join("circuits/one_head_attention_mask.yaml"));
    let tokens = tokens(&circuit, &document.folder);
    let mut settings = Settings { stop: StopSpec::Duration(Time { ms: 20.0 }), ..Settings::default() };
    let mut part = record("A1.deep", None, "rate");
    (part.cells, part.query, part.context, part.every) =
        (Some(vec![3, 0]), Some(vec![2, 5]), Some(vec![0, 2]), 4);
    settings.record = vec![part, record("A1.deep", None, "rate"), record("A1.deep", Some("apical"), "input")];
    let got = checked(&circuit, &tokens, &settings);
    let (part, all) = (trace(&got, "A1.deep.rate"), trace(&got, "A1.deep.rate_2"));
    assert_eq!(part.t_ms, [0.0, 4.0, 8.0, 12.0, 16.0]);
    // causal: queries 2 and 5 both see contexts 0 and 2
    let places: Vec<_> = part.tokens.iter().map(|t| (t.query, t.context)).collect();
    assert_eq!(places, [(2, 0), (2, 2), (5, 0), (5, 2)].map(|(i, j)| (Some(i), Some(j))));
    assert_eq!((all.tokens.len(), all.cells.len(), all.t_ms.len()), (16 * 17 / 2, 4, 20));
    for (s, t) in part.t_ms.iter().enumerate() {
        for (c, token) in part.tokens.iter().enumerate() {
            for (k, cell) in part.cells.iter().enumerate() {
                let column = all.tokens.iter().position(|t| t == token).expect("recorded");
                let want = all.values[(*t as usize * all.tokens.len() + column) * 4 + cell];
                assert_eq!(part.values[(s * 4 + c) * 2 + k].to_bits(), want.to_bits());
            }
        }
    }
    // The last rates are the output's: the sum of deep cells through W_O and the skip, from the potentials before.
    assert!(trace(&got, "A1.deep.apical.input").values.iter().any(|x| x.abs() > 0.1));
}

#[test]
fn traces_are_bounded_before_the_run() {
    let text = std::fs::read_to_string(root().join("circuits/one_head_attention_mask.yaml")).expect("there");
    let text = text.replace("length: 16", "length: 400");
    let error = refused(&format!("{text}record: [{{population: A1.deep}}]\n"));
    assert!(error.contains("C054") && error.contains("MB"), "{error}");
    let error = refused(&text.replace("length: 400", "length: 30000"));
    assert!(error.contains("C006") && error.contains("would hold about"), "{error}");
}

#[test]
fn the_same_bytes_for_any_number_of_threads() {
    let text = std::fs::read_to_string(root().join("circuits/softmax_divisive.yaml")).expect("there");
    let text = text
        .replace("length: 12", "length: 300")
        .replace("cells: $d_v, activation: product}", "cells: $d_v, activation: product, noise: {std: 0.1}}");
    let text = text + "simulation: {stop: {duration: 20 ms}}\n";
    let (document, circuit) = from_text(&text).unwrap_or_else(|e| panic!("{e}"));
    let tokens = tokens(&circuit, &document.folder);
    let bits = |threads: usize| -> Vec<u64> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let run = pool.install(|| checked(&circuit, &tokens, &Settings::of(&document.spec)));
        run.output.iter().map(|x| x.to_bits()).collect()
    };
    let one = bits(1);
    assert!(one.iter().any(|b| *b != 0));
    assert_eq!(one, bits(2));
    assert_eq!(one, bits(5));
}

/// A circuit that no compiler would take: values through a rectifier, twice the context, no query.
#[test]
fn cells_need_not_be_attention() {
    let text = std::fs::read_to_string(root().join("circuits/one_head_attention_mask.yaml")).expect("there");
    let text = text.replacen("activation: product", "activation: relu", 2);
    let (document, circuit) = from_text(&text).unwrap_or_else(|e| panic!("{e}"));
    assert!(pulvinar::compile::compile(&circuit).is_err());
    let tokens = tokens(&circuit, &document.folder);
    let got: DMatrix<f64> = checked(&circuit, &tokens, &Settings::default()).output;
    let error = relative(&got, &crate::support::oracle_output(&circuit, &tokens));
    assert!(error < 1e-10, "{error:e}");
}

/// Extreme times are refused or run to a limit; a run that cannot settle in time says so.
#[test]
fn extreme_times_are_survived() {
    let limited = |text: &str| {
        let (document, circuit) = from_text(text).unwrap_or_else(|e| panic!("{e}"));
        run(&circuit, &tokens(&circuit, &document.folder), &Settings::of(&document.spec))
    };
    for (claim, rest, want) in [
        ("a step without end", "simulation: {dt: 1e300 ms}\n", Ok(End::Settled)),
        ("no step at all", "simulation: {dt: 1e-300 ms, stop: {duration: 1 ms}}\n", Err("C050")),
        ("a run shorter than a step", "simulation: {dt: 1 ms, stop: {duration: 0.1 ms}}\n", Err("C050")),
        ("too many steps", "simulation: {dt: 1 us, stop: {duration: 1e9 s}}\n", Err("C050")),
        ("too short to settle", "simulation: {stop: {duration: 3 ms}}\n", Ok(End::TimeLimit)),
    ] {
        let got = limited(&chain(3.0, "", "", rest));
        match (got, want) {
            (Ok(run), Ok(end)) => assert_eq!(run.end, end, "{claim}"),
            (Err(d), Err(code)) => assert_eq!(d.code, code, "{claim}"),
            (got, want) => panic!("{claim}: {:?}, not {want:?}", got.map(|r| r.end)),
        }
    }
    // A delay that would fill the memory is refused before it does.
    let late = "  late: {from: IN, to: HO.basal, weights: ones, delay: 500 s}\n";
    let got = limited(&chain(3.0, "", late, "simulation: {dt: 1 us}\n"));
    assert_eq!(got.err().map(|d| d.code), Some("C006"));
}

/// One token under a strict mask: no pair exists, and the answer is the residual alone.
#[test]
fn a_circuit_without_any_pair_runs() {
    let text = std::fs::read_to_string(root().join("circuits/one_head_attention_mask.yaml")).expect("there");
    let text = text.replace("mask: causal", "mask: strict").replace("length: 16", "length: 1");
    let got = ran(&text);
    let (document, circuit) = from_text(&text).unwrap_or_else(|e| panic!("{e}"));
    let x = &tokens(&circuit, &document.folder)["main"];
    assert_eq!(got.end, End::Settled);
    assert!(relative(&got.output, x) < 1e-11);
}
