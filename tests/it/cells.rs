//! Cells in time against the algebra: every shipped circuit and random ones, by the plain-loop oracle and by the
//! compiled heads.

use crate::support::{load, oracle_output, relative, shipped};
use pulvinar::attention::Streams;
use pulvinar::circuit::Circuit;
use pulvinar::compile::compile;
use pulvinar::simulate::cells::{End, Run, Settings, run};
use pulvinar::simulate::inputs;
use pulvinar::spec::{Integrator, StopSpec, TauSpec, Time};
use std::collections::BTreeMap;

/// Prospective cells do the sums of the algebra in another order: a hundred times the rounding of the longest sum.
const PROSPECTIVE: f64 = 1e-12;
/// A settled compartment is within 1e-12 of its input, relative to its potential; products, powers, cancelling sums and
/// stacked blocks multiply that, a hundredfold at most in these circuits.
const SETTLED: f64 = 1e-10;

/// Tokens of 100 ms with gaps of 100 ms, time constants up to 15 ms: each stage of the chain memory, deep cells, relay
/// keeps some e^-6.7 = 1.3e-3 of what it had (measured: 4e-3 in all).
const HELD: f64 = 1e-2;

fn in_time(circuit: &Circuit) -> bool {
    matches!(circuit.layout, pulvinar::spec::LayoutSpec::Time { .. })
}

/// The tokens of a circuit; a prefix of the long ones, as the oracle visits every pair cell by cell.
fn tokens(name: &str, circuit: &Circuit, folder: &std::path::Path, most: usize) -> Streams {
    let tokens = inputs(circuit, folder, &BTreeMap::new()).unwrap_or_else(|d| panic!("{name}: {d}"));
    tokens.into_iter().map(|(n, x)| (n, x.columns(0, x.ncols().min(most)).into_owned())).collect()
}

fn checked(name: &str, circuit: &Circuit, tokens: &Streams, settings: &Settings) -> Run {
    run(circuit, tokens, settings).unwrap_or_else(|d| panic!("{name}: {d}"))
}

/// Prospective readout, from potentials that have nothing to do with the tokens.
fn prospective(steps: f64) -> Settings {
    Settings {
        prospective: true,
        start_std: 3.0,
        stop: StopSpec::Duration(Time { ms: steps }),
        dt_ms: Some(1.0),
        ..Settings::default()
    }
}

#[test]
fn prospective_cells_are_the_algebra_at_every_step() {
    for file in shipped() {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let (document, mut circuit) = load(&file);
        let tokens = tokens(&name, &circuit, &document.folder, 24);
        let want = oracle_output(&circuit, &tokens);
        // Time constants from a fifth of a step to a hundred steps, another one for each population.
        for (k, p) in circuit.populations.iter_mut().enumerate() {
            let tau = |k: usize| Time { ms: [0.2, 1.0, 7.0, 30.0, 100.0][k % 5] };
            p.options.tau = Some(TauSpec::Each { basal: tau(k), apical: tau(k + 3) });
        }
        if in_time(&circuit) {
            // The schedule says how long to run.
            let settings = Settings { stop: StopSpec::Settle, ..prospective(1.0) };
            let error = relative(&checked(&name, &circuit, &tokens, &settings).output, &want);
            assert!(error < PROSPECTIVE, "{name}: the cells differ by {error:e}");
            continue;
        }
        for steps in [1.0, 2.0, 5.0] {
            let got = checked(&name, &circuit, &tokens, &prospective(steps));
            assert_eq!((got.end, got.steps), (End::TimeLimit, steps as usize), "{name}");
            let error = relative(&got.output, &want);
            assert!(error < PROSPECTIVE, "{name}: after {steps} steps the cells differ by {error:e}");
        }
    }
}

#[test]
fn leaky_cells_settle_to_the_algebra() {
    for file in shipped() {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let (document, circuit) = load(&file);
        let tokens = tokens(&name, &circuit, &document.folder, 24);
        let compiled = compile(&circuit).unwrap_or_else(|d| panic!("{name}: {d}"));
        let algebra = pulvinar::simulate::run::<f64>(&compiled.plain_blocks(), &tokens);
        let want = algebra.unwrap_or_else(|d| panic!("{name}: {d}")).output;
        for integrator in [Integrator::Euler, Integrator::ExponentialEuler] {
            let settings = Settings { integrator, ..Settings::default() };
            let got = checked(&name, &circuit, &tokens, &settings);
            if in_time(&circuit) {
                let error = relative(&got.output, &want);
                assert!(error < HELD && error > 1e-6, "{name}: cells differ by {error:e}");
                continue;
            }
            assert_eq!(got.end, End::Settled, "{name} after {} steps, gap {:e}", got.steps, got.gap);
            let error = relative(&got.output, &want);
            assert!(error < SETTLED, "{name}: settled cells differ by {error:e}");
            // Potentials at the start are 0: nothing can be right after two steps.
            let early = Settings { stop: StopSpec::Duration(Time { ms: 2.0 }), ..settings };
            let error = relative(&checked(&name, &circuit, &tokens, &early).output, &want);
            assert!(error > 0.1, "{name}: leaky cells are right at once ({error:e})");
        }
    }
}
