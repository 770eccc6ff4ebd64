//! What compiles of circuits of any wiring is what the cells compute, whatever the order of its lines, and in its plus/minus form.

use crate::generate::free::free_circuit;
use crate::support::{by_cells, from_text};
use nalgebra::DMatrix;
use pulvinar::attention::Streams;
use pulvinar::circuit::Circuit;
use pulvinar::compile::{Compiled, compile};
use pulvinar::simulate::cells::divisions;
use pulvinar::simulate::{Run, inputs, run};
use pulvinar::spec::{Document, Effect};
use pulvinar::weights::dale::rewrite;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};

/// The tokens of the file, and two sets of Gaussian ones.
pub fn token_sets(own: &Streams, seed: u64) -> Vec<Streams> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x5eed);
    let mut sets = vec![own.clone()];
    for n in [2, 4] {
        let one = |(name, x): (&String, &DMatrix<f64>)| {
            let normal = |rng: &mut ChaCha8Rng| {
                let (a, b): (f64, f64) = (rng.random_range(1e-9..1.0), rng.random_range(0.0..1.0));
                (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
            };
            (name.clone(), DMatrix::from_fn(x.nrows(), n, |_, _| normal(&mut rng)))
        };
        sets.push(own.iter().map(one).collect());
    }
    sets
}

/// Why compiled heads are not what the cells compute.
pub fn disagreement(circuit: &Circuit, compiled: &Compiled, tokens: &Streams) -> Option<String> {
    let sound = divisions(circuit, tokens);
    // A rate of 1 by sigmoid(x/0) is no number of the language: the run has ended before.
    if sound.is_err() && (!compiled.maps.is_empty() || divided_by_a_token(circuit)) {
        return None;
    }
    let heads = sound.map_err(|d| d.to_string()).and_then(|_| output(compiled, tokens));
    match (by_cells(circuit, tokens), heads) {
        (None, Err(_)) => None,
        (None, Ok(r)) => Some(format!("cells diverge, heads say {}", r.output)),
        // A key divided by cells of the query: 0/0 is 0 for each pair, and nothing at all where there is no pair, but the
        // query's own quotient by 0 is none. That ends the run, and is no other number.
        (Some(_), Err(_)) if compiled.maps.iter().any(|m| divides_by_token(&m.map.name)) => None,
        (Some((want, _)), Err(d)) => Some(format!("cells say {want}, heads: {d}")),
        (Some((want, largest)), Ok(r)) => {
            if want.shape() != r.output.shape() {
                return Some(format!("cells {want} heads {}", r.output));
            }
            let error = (&r.output - &want).amax() / largest.max(1.0);
            (error > 1e-11).then(|| format!("{error:e}: cells {want} heads {}", r.output))
        }
    }
}

/// The circuit with the lines of each list in another order.
pub fn shuffled(text: &str, seed: u64) -> String {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut lines: Vec<&str> = text.lines().collect();
    let listed = |l: &str| {
        l.trim_start().starts_with(|c: char| c.is_alphabetic()) && l.contains(": {") && l.starts_with("  ")
    };
    let mut start = 0;
    while start < lines.len() {
        let indent = |l: &str| l.len() - l.trim_start().len();
        let mut end = start;
        while end < lines.len() && listed(lines[end]) && indent(lines[end]) == indent(lines[start]) {
            end += 1;
        }
        for i in (start + 1..end).rev() {
            lines.swap(i, rng.random_range(start..=i));
        }
        start = end.max(start + 1);
    }
    lines.join("\n") + "\n"
}

/// Some population is divided by a relay, or by cells of a context token.
fn divided_by_a_token(circuit: &Circuit) -> bool {
    circuit.projections.iter().filter(|p| p.effect == Effect::Divisive).any(|p| {
        let source = circuit.population(p.from);
        source.is_relay() || (source.indices.context && source.accumulate.is_none())
    })
}

fn divides_by_token(map: &str) -> bool {
    map.starts_with("1/") || map.contains(".query") || map.contains(".basal") || map.contains(".apical")
}

fn output(compiled: &Compiled, tokens: &Streams) -> Result<Run, String> {
    run::<f64>(&compiled.stages(), tokens).map_err(|d| d.to_string())
}

fn apart(a: &Compiled, b: &Compiled, tokens: &Streams) -> Option<String> {
    match (output(a, tokens), output(b, tokens)) {
        (Ok(x), Ok(y)) => {
            let largest = x.streams.values().map(|m| m.amax()).fold(1.0, f64::max);
            let error = (&x.output - &y.output).amax() / largest;
            (error > 1e-11).then(|| format!("{error:e}: {} {}", x.output, y.output))
        }
        (Err(_), Err(_)) => None,
        (x, y) => Some(format!("{:?} {:?}", x.err(), y.err())),
    }
}

/// What is wrong with the plus/minus form.
fn dale_is_the_same(
    document: &Document,
    circuit: &Circuit,
    compiled: &Compiled,
    tokens: &Streams,
) -> Result<(), String> {
    if !compiled.maps.is_empty() {
        return Ok(());
    }
    let new = rewrite(&document.spec, circuit).map_err(|d| d.to_string())?;
    let text = new.to_yaml();
    let (_, dale) = from_text(&text)?;
    let again = compile(&dale).map_err(|d| format!("{d}\n{text}"))?;
    match apart(compiled, &again, tokens) {
        None => Ok(()),
        Some(why) => Err(format!("APART {why}\n{text}")),
    }
}

/// Seeds whose circuits are tried; more of them are tried by hand.
fn seeds(least: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse().ok());
    let first = number("PULVINAR_FIRST_SEED").unwrap_or(0);
    first..first + number("PULVINAR_SEEDS").unwrap_or(least)
}

/// Runs `check` on every circuit that compiles; returns how many did, and the codes of what is refused.
fn accepted(
    seeds: std::ops::Range<u64>,
    mut check: impl FnMut(u64, &str, &Document, &Circuit, &Compiled),
) -> (usize, BTreeSet<String>) {
    let (mut count, mut codes) = (0, BTreeSet::new());
    for seed in seeds {
        let text = free_circuit(seed);
        let Ok((document, circuit)) = from_text(&text) else { continue };
        match compile(&circuit) {
            Ok(compiled) => {
                count += 1;
                check(seed, &text, &document, &circuit, &compiled);
            }
            Err(d) => _ = codes.insert(d.code.to_string()),
        }
    }
    (count, codes)
}

fn own_tokens(document: &Document, circuit: &Circuit) -> Streams {
    inputs(circuit, &document.folder, &BTreeMap::new()).unwrap_or_else(|d| panic!("{d}"))
}

#[test]
fn what_compiles_is_what_cells_compute() {
    let mut divided = 0;
    let (count, codes) = accepted(seeds(4000), |seed, text, document, circuit, compiled| {
        for tokens in token_sets(&own_tokens(document, circuit), seed) {
            if let Some(why) = disagreement(circuit, compiled, &tokens) {
                panic!("seed {seed}: {why}\n{text}");
            }
        }
        divided += usize::from(text.contains("effect: divisive"));
    });
    assert!(count > 300 && codes.len() >= 15, "{count} circuits compiled; refusals: {codes:?}");
    assert!(divided > 30, "only {divided} circuits divide");
}

#[test]
fn the_order_of_lines_decides_nothing() {
    accepted(seeds(1500), |seed, text, document, circuit, compiled| {
        for turn in 0..3 {
            let other = shuffled(text, seed * 3 + turn);
            let (_, again) = from_text(&other).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
            let again = compile(&again).unwrap_or_else(|d| panic!("seed {seed}: {d}\n{text}\n{other}"));
            for tokens in token_sets(&own_tokens(document, circuit), seed) {
                if let Some(why) = apart(compiled, &again, &tokens) {
                    panic!("seed {seed}: {why}\n{text}\n{other}");
                }
            }
        }
    });
    // Nor is anything accepted that another order refuses.
    for seed in seeds(1500) {
        let text = free_circuit(seed);
        let (one, other) = (from_text(&text), from_text(&shuffled(&text, seed)));
        let verdict = |c: Result<(Document, Circuit), String>| c.is_ok_and(|(_, c)| compile(&c).is_ok());
        assert_eq!(verdict(one), verdict(other), "seed {seed}\n{text}");
    }
}

#[test]
fn plus_minus_forms_are_the_circuit() {
    let (mut same, mut lost) = (0, Vec::new());
    accepted(seeds(2000), |seed, _, document, circuit, compiled| {
        let own = own_tokens(document, circuit);
        for tokens in token_sets(&own, seed) {
            match dale_is_the_same(document, circuit, compiled, &tokens) {
                Ok(()) => same += 1,
                Err(why) if why.contains("N024") => {}
                Err(why) => lost.push(format!("seed {seed}: {why}")),
            }
        }
    });
    // What does not compile again the program refuses to write; what does is the same.
    let wrong: Vec<&String> = lost.iter().filter(|why| why.contains("APART")).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(same > 300 && lost.len() * 15 < same, "{} of {same}: {}", lost.len(), lost.join("\n"));
}
