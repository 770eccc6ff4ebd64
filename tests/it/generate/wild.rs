//! Circuits wired at random, without any plan.

use super::Writer;
use rand::RngExt;
use std::fmt::Write;

/// What a population sends is indexed by.
#[derive(Clone, Copy, PartialEq)]
enum Sends {
    Nothing,
    Query,
    Context,
    Pairs,
}

struct Wild {
    w: Writer,
    sources: Vec<(String, Sends)>,
}

impl Wild {
    /// Something earlier; mostly what the index rules allow.
    fn source(&mut self, target: Sends) -> String {
        loop {
            let (name, sends) = self.sources[self.w.rng.random_range(0..self.sources.len())].clone();
            let sensible = match target {
                Sends::Context => matches!(sends, Sends::Context | Sends::Nothing),
                Sends::Query => matches!(sends, Sends::Query | Sends::Pairs | Sends::Nothing),
                _ => true,
            };
            if sensible || self.w.rng.random_bool(0.02) {
                return name;
            }
        }
    }

    fn wire(&mut self, from: &str, to: &str, effect: &str) {
        let weights = self.w.pick(&[
            "ones",
            "{uniform: {low: -1, high: 1}}",
            "{normal: {std: 0.7}}",
            "{normal: {std: 0.7}}",
        ]);
        self.w.wire(from, to, weights, effect);
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
        let (index, sends) = INDEX[self.w.rng.random_range(0..INDEX.len())];
        let activation = if self.w.rng.random_bool(0.12) {
            self.w.pick(&["exp", "relu", "{power: {exponent: 2}}", "sigmoid"])
        } else {
            self.w.pick(&["product", "product", "linear"])
        };
        let memory = if index == "context" && self.w.rng.random_bool(0.6) {
            self.w.pick(&[
                ", accumulate: {hebbian: {}}",
                ", accumulate: {decay: {g: 0.8}}",
                ", accumulate: {delta: {rate: 0.3}}",
                ", accumulate: {gated: {}}",
            ])
        } else {
            ""
        };
        for compartment in ["basal", "apical"] {
            if activation != "product" && compartment == "apical" && self.w.rng.random_bool(0.8) {
                continue;
            }
            let more = usize::from(self.w.rng.random_bool(0.25));
            for _ in 0..=more {
                let from = self.source(sends);
                self.wire(&from, &format!("{name}.{compartment}"), "");
            }
            if self.w.rng.random_bool(0.04) {
                let from = self.source(sends);
                self.wire(&from, &format!("{name}.{compartment}"), ", effect: divisive");
            }
        }
        if memory.contains("gated") {
            let from = self.w.pick(&["C", "PC", "tonic"]);
            self.wire(from, &format!("{name}.gate"), "");
        }
        // Later populations like to read recent ones.
        let sends = if memory.is_empty() { sends } else { Sends::Query };
        self.sources.extend([(name.to_owned(), sends), (name.to_owned(), sends)]);
        let cells = self.w.rng.random_range(1..=2);
        format!("      {short}: {{cells: {cells}, per: [{index}], activation: {activation}{memory}}}\n")
    }
}

/// Two areas of populations with random indices, activations and memories; projections from anything earlier.
pub fn random_wiring(seed: u64) -> String {
    let mut c = Wild { w: Writer::new(seed ^ 0xC0FF_EE00), sources: Vec::new() };
    let (d, p) = (c.w.rng.random_range(1..=3), c.w.rng.random_range(1..=3));
    let (clock, length) = if c.w.rng.random_bool(0.85) { (", clock: main", 4) } else { ("", 5) };
    for (name, index, cells, stream, sends) in [
        ("Q", "query", d, "main", Sends::Query),
        ("C", "context", d, "main", Sends::Context),
        ("PQ", "query", p, "more", Sends::Query),
        ("PC", "context", p, "more", Sends::Context),
    ] {
        let half = if c.w.rng.random_bool(0.03) { c.w.pick(&[", part: plus", ", part: minus"]) } else { "" };
        let _ = writeln!(
            c.w.relays,
            "  {name}: {{pathway: core, per: [{index}], cells: {cells}, tokens: {stream}{half}}}"
        );
        c.sources.push((name.to_owned(), sends));
    }
    c.sources.push(("tonic".to_owned(), Sends::Nothing));
    for area in 0..2 {
        let mask = c.w.pick(&["full", "full", "causal", "strict"]);
        let columns = c.w.rng.random_range(1..=2);
        let _ = writeln!(
            c.w.areas,
            "  A{area}:\n    mask: {mask}\n    microcolumns: {{count: {columns}}}\n    populations:"
        );
        for number in 0..c.w.rng.random_range(2..=4) {
            let cells = c.population(&format!("A{area}.p{number}"), &format!("p{number}"));
            c.w.areas += &cells;
        }
        // A relay after each area, as a token of both indices.
        let _ = writeln!(c.w.relays, "  R{area}: {{pathway: core, per: [query], cells: 2}}");
        let _ = writeln!(c.w.relays, "  T{area}: {{pathway: matrix, per: [context], cells: 2}}");
        let (last, _) = c.sources[c.sources.len() - 1].clone();
        c.wire(&last, &format!("R{area}.basal"), "");
        if c.w.rng.random_bool(0.3) {
            let from = c.source(Sends::Query);
            c.wire(&from, &format!("R{area}.basal"), "");
        }
        c.wire(&format!("R{area}"), &format!("T{area}.basal"), "");
        c.sources.extend([(format!("R{area}"), Sends::Query), (format!("T{area}"), Sends::Context)]);
    }
    let output = c.w.pick(&["R0", "R0", "R1"]);
    let streams = format!(
        "    main: {{d_model: {d}, input: {{gaussian: {{length: 4}}}}}}\n    more: {{d_model: {p}{clock}, input: {{gaussian: {{length: {length}}}}}}}\n"
    );
    c.w.file("chaos", seed, &streams, "full", output)
}
