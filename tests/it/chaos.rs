//! Circuits wired at random, without any plan: whatever compiles must be what its cells compute; the rest is refused.

use crate::support::{from_text, oracle_output, relative};
use pulvinar::compile::compile;
use pulvinar::simulate::{inputs, run};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

fn pick<'a>(rng: &mut ChaCha8Rng, of: &[&'a str]) -> &'a str {
    of[rng.random_range(0..of.len())]
}

/// What a population sends is indexed by.
#[derive(Clone, Copy, PartialEq)]
enum Sends {
    Nothing,
    Query,
    Context,
    Pairs,
}

struct Chaos {
    rng: ChaCha8Rng,
    sources: Vec<(String, Sends)>,
    wires: String,
    count: usize,
}

impl Chaos {
    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        pick(&mut self.rng, of)
    }

    /// Something earlier; mostly what the index rules allow.
    fn source(&mut self, target: Sends) -> String {
        loop {
            let (name, sends) = self.sources[self.rng.random_range(0..self.sources.len())].clone();
            let sensible = match target {
                Sends::Context => matches!(sends, Sends::Context | Sends::Nothing),
                Sends::Query => matches!(sends, Sends::Query | Sends::Pairs | Sends::Nothing),
                _ => true,
            };
            if sensible || self.rng.random_bool(0.02) {
                return name;
            }
        }
    }

    fn wire(&mut self, from: &str, to: &str, effect: &str) {
        self.count += 1;
        let weights = self.pick(&[
            "ones",
            "{uniform: {low: -1, high: 1}}",
            "{normal: {std: 0.7}}",
            "{normal: {std: 0.7}}",
        ]);
        let _ =
            writeln!(self.wires, "  w{}: {{from: {from}, to: {to}, weights: {weights}{effect}}}", self.count);
    }

    /// One population of an area, and what reaches it.
    fn population(&mut self, name: &str, short: &str) -> String {
        const INDEX: [(&str, Sends); 7] = [
            ("query, context", Sends::Pairs),
            ("query, context", Sends::Pairs),
            ("query, context", Sends::Pairs),
            ("query, context", Sends::Pairs),
            ("query", Sends::Query),
            ("context", Sends::Context),
            ("context", Sends::Context),
        ];
        let (index, sends) = INDEX[self.rng.random_range(0..INDEX.len())];
        let activation = if self.rng.random_bool(0.12) {
            self.pick(&["exp", "relu", "{power: {exponent: 2}}", "sigmoid"])
        } else {
            self.pick(&["product", "product", "linear"])
        };
        let memory = if index == "context" && self.rng.random_bool(0.6) {
            self.pick(&[
                ", accumulate: {hebbian: {}}",
                ", accumulate: {decay: {g: 0.8}}",
                ", accumulate: {delta: {rate: 0.3}}",
                ", accumulate: {gated: {}}",
            ])
        } else {
            ""
        };
        for compartment in ["basal", "apical"] {
            if activation != "product" && compartment == "apical" && self.rng.random_bool(0.8) {
                continue;
            }
            let more = usize::from(self.rng.random_bool(0.25));
            for _ in 0..=more {
                let from = self.source(sends);
                self.wire(&from, &format!("{name}.{compartment}"), "");
            }
            if self.rng.random_bool(0.04) {
                let from = self.source(sends);
                self.wire(&from, &format!("{name}.{compartment}"), ", effect: divisive");
            }
        }
        if memory.contains("gated") {
            let from = self.pick(&["C", "PC", "tonic"]);
            self.wire(from, &format!("{name}.gate"), "");
        }
        // Later populations like to read recent ones.
        let sends = if memory.is_empty() { sends } else { Sends::Query };
        self.sources.extend([(name.to_owned(), sends), (name.to_owned(), sends)]);
        let cells = self.rng.random_range(1..=2);
        format!("      {short}: {{cells: {cells}, per: [{index}], activation: {activation}{memory}}}\n")
    }
}

/// Two areas of populations with random indices, activations and memories; projections from anything earlier.
pub fn random_wiring(seed: u64) -> String {
    let mut c = Chaos {
        rng: ChaCha8Rng::seed_from_u64(seed ^ 0xC0FF_EE00),
        sources: Vec::new(),
        wires: String::new(),
        count: 0,
    };
    let (d, p) = (c.rng.random_range(1..=3), c.rng.random_range(1..=3));
    let (clock, length) = if c.rng.random_bool(0.85) { (", clock: main", 4) } else { ("", 5) };
    let mut relays = String::new();
    for (name, index, cells, stream, sends) in [
        ("Q", "query", d, "main", Sends::Query),
        ("C", "context", d, "main", Sends::Context),
        ("PQ", "query", p, "more", Sends::Query),
        ("PC", "context", p, "more", Sends::Context),
    ] {
        let half = if c.rng.random_bool(0.03) { c.pick(&[", part: plus", ", part: minus"]) } else { "" };
        let _ = writeln!(
            relays,
            "  {name}: {{pathway: core, per: [{index}], cells: {cells}, tokens: {stream}{half}}}"
        );
        c.sources.push((name.to_owned(), sends));
    }
    c.sources.push(("tonic".to_owned(), Sends::Nothing));
    let mut areas = String::new();
    for area in 0..2 {
        let mask = c.pick(&["full", "full", "causal", "strict"]);
        let columns = c.rng.random_range(1..=2);
        let _ = writeln!(
            areas,
            "  A{area}:\n    mask: {mask}\n    microcolumns: {{count: {columns}}}\n    populations:"
        );
        for number in 0..c.rng.random_range(2..=4) {
            areas += &c.population(&format!("A{area}.p{number}"), &format!("p{number}"));
        }
        // A relay after each area, as a token of both indices.
        let _ = writeln!(relays, "  R{area}: {{pathway: core, per: [query], cells: 2}}");
        let _ = writeln!(relays, "  T{area}: {{pathway: matrix, per: [context], cells: 2}}");
        let (last, _) = c.sources[c.sources.len() - 1].clone();
        c.wire(&last, &format!("R{area}.basal"), "");
        if c.rng.random_bool(0.3) {
            let from = c.source(Sends::Query);
            c.wire(&from, &format!("R{area}.basal"), "");
        }
        c.wire(&format!("R{area}"), &format!("T{area}.basal"), "");
        c.sources.extend([(format!("R{area}"), Sends::Query), (format!("T{area}"), Sends::Context)]);
    }
    let output = c.pick(&["R0", "R0", "R1"]);
    format!(
        "schema: pulvinar/1\nname: chaos\nseed: {seed}\ntokens:\n  streams:\n    main: {{d_model: {d}, input: {{gaussian: {{length: 4}}}}}}\n    more: {{d_model: {p}{clock}, input: {{gaussian: {{length: {length}}}}}}}\nthalamus:\n{relays}areas:\n{areas}projections:\n{}output: {output}\n",
        c.wires
    )
}

#[test]
fn right_or_refused() {
    let (mut compared, mut wired) = (0, 0);
    let mut reasons: BTreeSet<&str> = BTreeSet::new();
    for seed in 0..8_000 {
        let text = random_wiring(seed);
        let Ok((document, circuit)) = from_text(&text) else { continue };
        wired += 1;
        let compiled = match compile(&circuit) {
            Ok(compiled) => compiled,
            Err(reason) => {
                reasons.insert(reason.code);
                continue;
            }
        };
        let tokens = inputs(&circuit, &document.folder, &BTreeMap::new()).expect("tokens");
        let want = oracle_output(&circuit, &tokens);
        if !want.iter().all(|x| x.is_finite() && x.abs() < 1e6) || want.amax() < 1e-9 {
            continue;
        }
        let got = run::<f64>(&compiled.plain_blocks(), &tokens)
            .unwrap_or_else(|d| panic!("seed {seed}: {d}\n{text}"))
            .output;
        let error = relative(&got, &want);
        // Unplanned sums may cancel: the bound is relative to the result, not to its parts.
        assert!(error < 1e-9, "seed {seed}: differs from its cells by {error:e}\n{text}");
        compared += 1;
    }
    assert!(compared >= 100, "only {compared} of {wired} wired circuits compile: the test says too little");
    assert!(reasons.len() >= 10, "only the reasons {reasons:?}");
}
