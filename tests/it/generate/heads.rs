//! Circuits of every kind of head: one to three blocks, each of one to three areas of random wiring, masks, memories, kernels,
//! biases, gains and read-outs.

use super::Writer;
use rand::RngExt;
use std::fmt::Write;

/// What an area attends from and to.
struct Ends<'a> {
    query: &'a str,
    context: &'a str,
    out: &'a str,
    masks: &'a [&'a str],
}

/// What areas are drawn from.
pub const KINDS: [&str; 10] = [
    "attention_mask",
    "broadcast",
    "memory",
    "decay",
    "delta",
    "gated",
    "softmax",
    "softmax_weights",
    "power",
    "feature",
];

impl Writer {
    fn size(&mut self) -> usize {
        self.rng.random_range(1..=4)
    }

    fn weights(&mut self) -> String {
        match self.rng.random_range(0..3) {
            0 => "{normal: {fan_in: 1}}".to_owned(),
            1 => "{normal: {std: 0.5}}".to_owned(),
            _ => "{uniform: {low: -0.8, high: 0.8}}".to_owned(),
        }
    }

    fn gain(&mut self) -> &'static str {
        match self.rng.random_range(0..5) {
            0 => ", gain: -1",
            1 => ", gain: 0.7",
            2 => ", gain: {inv_sqrt: 3}",
            _ => "",
        }
    }

    fn project(&mut self, from: &str, to: &str, more: &str, weights: &str) {
        let gain = if weights == "identity" || weights == "ones" { "" } else { self.gain() };
        self.wire(from, to, weights, &format!("{gain}{more}"));
    }

    /// A form of a token, sometimes with a bias.
    fn form(&mut self, from: &str, to: &str, onto: &str) {
        let w = self.weights();
        self.project(from, to, onto, &w);
        if self.chance(0.3) {
            self.project("tonic", to, onto, "{normal: {std: 0.5}}");
        }
    }

    /// From the cells that hold the result to the relay, sometimes through a linear population.
    fn read_out(&mut self, area: &str, cells: &str, n: usize, pool: &str, out: &str, per: &str) -> String {
        let w = self.weights();
        if pool.is_empty() && self.chance(0.3) {
            let m = self.size();
            let text = format!("      L6: {{layer: L6, cells: {m}, activation: linear, per: [{per}]}}\n");
            self.project(&format!("{area}.{cells}"), &format!("{area}.L6.basal"), "", &w);
            let w = self.weights();
            self.project(&format!("{area}.L6"), &format!("{out}.basal"), "", &w);
            let _ = n;
            return text;
        }
        self.project(&format!("{area}.{cells}"), &format!("{out}.basal"), pool, &w);
        String::new()
    }

    fn area(&mut self, name: &str, kind: &str, e: &Ends<'_>) {
        let mask = self.pick(e.masks);
        let _ = writeln!(self.areas, "  {name}:\n    mask: {mask}");
        match kind {
            "attention_mask" | "broadcast" | "power" | "softmax" | "softmax_weights" => {
                self.pairs(name, kind, e)
            }
            "feature" => self.feature(name, e),
            _ => self.memory(name, kind, e),
        }
    }

    fn pairs(&mut self, a: &str, kind: &str, e: &Ends<'_>) {
        let (dk, dv) = (self.size(), self.size());
        let mut text = format!(
            "    microcolumns: {{per: [query, context]}}\n    populations:\n      superficial: {{cells: {dk}, activation: product}}\n      deep: {{cells: {dv}, activation: product}}\n"
        );
        self.form(e.context, &format!("{a}.superficial.apical"), "");
        self.form(e.query, &format!("{a}.superficial.basal"), "");
        self.form(e.context, &format!("{a}.deep.basal"), "");
        let (superficial, score, deep) =
            (format!("{a}.superficial"), format!("{a}.score.basal"), format!("{a}.deep.apical"));
        match kind {
            "attention_mask" => {
                let rank = 1 + self.rng.random_range(0..dk.min(dv));
                let lateral = match self.rng.random_range(0..4) {
                    0 => "ones".to_owned(),
                    1 if dk == dv => format!("{{blocks: {{count: {dk}, of: ones}}}}"),
                    2 => format!("{{rank: {{of: {rank}, std: 1}}}}"),
                    _ => self.weights(),
                };
                self.project(&superficial, &deep, "", &lateral);
                text += &self.read_out(a, "deep", dv, "", e.out, "query");
            }
            "broadcast" => {
                text += "      score: {cells: 1, activation: linear}\n";
                self.project(&superficial, &score, "", "{normal: {std: 1}}");
                self.project(&format!("{a}.score"), &deep, "", "{normal: {std: 1}}");
                text += &self.read_out(a, "deep", dv, "", e.out, "query, context");
            }
            "power" => {
                let n = self.rng.random_range(2..=4);
                let _ = writeln!(text, "      score: {{cells: 1, activation: {{power: {{exponent: {n}}}}}}}");
                let w = if self.chance(0.5) { "ones".to_owned() } else { self.weights() };
                self.project(&superficial, &score, "", &w);
                self.project(&format!("{a}.score"), &deep, "", "ones");
                text += &self.read_out(a, "deep", dv, "", e.out, "query");
            }
            _ => {
                text += "      score: {cells: 1, activation: exp}\n      total: {cells: 1, per: [query]}\n";
                let w = if self.chance(0.6) { "ones".to_owned() } else { self.weights() };
                self.project(&superficial, &score, "", &w);
                if self.chance(0.3) {
                    // an additive score term
                    self.project(e.context, &score, "", "{normal: {std: 0.5}}");
                }
                self.project(&format!("{a}.score"), &format!("{a}.total.basal"), "", "ones");
                if kind == "softmax" {
                    let _ = writeln!(text, "      readout: {{cells: {dv}, per: [query]}}");
                    self.project(&format!("{a}.score"), &deep, "", "ones");
                    self.project(&format!("{a}.deep"), &format!("{a}.readout.basal"), "", "identity");
                    self.project(
                        &format!("{a}.total"),
                        &format!("{a}.readout.basal"),
                        ", effect: divisive",
                        "ones",
                    );
                    text += &self.read_out(a, "readout", dv, "", e.out, "query");
                } else {
                    text += "      weight: {cells: 1}\n";
                    self.project(&format!("{a}.score"), &format!("{a}.weight.basal"), "", "identity");
                    self.project(
                        &format!("{a}.total"),
                        &format!("{a}.weight.basal"),
                        ", effect: divisive",
                        "ones",
                    );
                    self.project(&format!("{a}.weight"), &deep, "", "ones");
                    text += &self.read_out(a, "deep", dv, "", e.out, "query");
                }
            }
        }
        self.areas += &text;
    }

    fn memory(&mut self, a: &str, kind: &str, e: &Ends<'_>) {
        let (dk, dv) = (self.size(), self.size());
        let gated_delta = kind == "delta" && self.chance(0.4);
        let rule = match kind {
            "decay" => format!("{{decay: {{g: {:.2}}}}}", self.rng.random_range(0.3..1.0)),
            "delta" if gated_delta => "{delta: {}}".to_owned(),
            "delta" => format!("{{delta: {{rate: {:.2}}}}}", self.rng.random_range(0.1..1.0)),
            "gated" => "{gated: {}}".to_owned(),
            _ => format!("{{hebbian: {{rate: {:.2}}}}}", self.rng.random_range(0.5..1.5)),
        };
        let mut text = format!(
            "    microcolumns: {{count: {dv}}}\n    populations:\n      superficial: {{cells: {dk}, per: [context], activation: product, accumulate: {rule}}}\n      deep: {{cells: {dk}, per: [query], activation: product}}\n"
        );
        let superficial = format!("{a}.superficial");
        self.form(e.context, &format!("{superficial}.apical"), ", onto: cells");
        self.form(e.context, &format!("{superficial}.basal"), ", onto: microcolumns");
        if kind == "gated" || gated_delta {
            // one gate per value row, per key column (not for delta), or one for all
            let axis = match self.rng.random_range(0..3) {
                0 if !gated_delta => ("cells", dk),
                1 => ("microcolumns", dv),
                _ => ("one", 1),
            };
            let map = self.pick(&["sigmoid", "sigmoid", "relu"]);
            let units = self.size();
            let _ = writeln!(text, "      gates: {{cells: {units}, per: [context], activation: {map}}}");
            // gates live in one microcolumn's cells here: address all of them
            let onto = match axis.0 {
                "one" => "",
                "cells" => ", onto: cells",
                _ => ", onto: microcolumns",
            };
            self.form(e.context, &format!("{a}.gates.basal"), ", onto: cells");
            let scale = format!("{{uniform: {{low: 0.0, high: {:.3}}}}}", 0.5 / units as f64);
            if axis.0 == "one" {
                self.project(
                    &format!("{a}.gates"),
                    &format!("{superficial}.gate"),
                    ", pool: microcolumns",
                    "ones",
                );
                let last = self.projections.trim_end().rfind("weights: ones").expect("just written");
                let small = format!("weights: ones, gain: {:.3}", 0.5 / (units * dv) as f64);
                self.projections.replace_range(last..last + "weights: ones".len(), &small);
            } else {
                self.project(
                    &format!("{a}.gates"),
                    &format!("{superficial}.gate"),
                    &format!("{onto}, pool: microcolumns"),
                    &scale,
                );
            }
        }
        self.project(&superficial, &format!("{a}.deep.apical"), "", "identity");
        self.form(e.query, &format!("{a}.deep.basal"), ", onto: cells");
        text += &self.read_out(a, "deep", dk * dv, ", pool: cells", e.out, "query");
        self.areas += &text;
    }

    fn feature(&mut self, a: &str, e: &Ends<'_>) {
        let (dk, dv) = (self.size(), self.size());
        let normalised = self.chance(0.6);
        let map = if normalised {
            "elu_plus_one"
        } else {
            self.pick(&[
                "relu",
                "sigmoid",
                "exp",
                "elu_plus_one",
                "sign",
                "tanh",
                "silu",
                "gelu",
                "gelu_tanh",
                "sine",
            ])
        };
        let query_map = if normalised || self.chance(0.5) { map } else { "linear" };
        let mut text = format!(
            "    microcolumns: {{count: {dv}}}\n    populations:\n      phi_k: {{cells: {dk}, per: [context], activation: {map}}}\n      phi_q: {{cells: {dk}, per: [query], activation: {query_map}}}\n      superficial: {{cells: {dk}, per: [context], activation: product, accumulate: {{hebbian: {{}}}}}}\n      deep: {{cells: {dk}, per: [query], activation: product}}\n"
        );
        self.form(e.context, &format!("{a}.phi_k.basal"), ", onto: cells");
        self.form(e.query, &format!("{a}.phi_q.basal"), ", onto: cells");
        self.project(&format!("{a}.phi_k"), &format!("{a}.superficial.apical"), "", "identity");
        self.form(e.context, &format!("{a}.superficial.basal"), ", onto: microcolumns");
        self.project(&format!("{a}.superficial"), &format!("{a}.deep.apical"), "", "identity");
        self.project(&format!("{a}.phi_q"), &format!("{a}.deep.basal"), "", "identity");
        if normalised {
            let _ = write!(
                text,
                "      z: {{cells: {dk}, per: [context], activation: linear, accumulate: {{hebbian: {{}}}}}}\n      zq: {{cells: {dk}, per: [query], activation: product}}\n      readout: {{cells: 1, per: [query]}}\n"
            );
            self.project(&format!("{a}.phi_k"), &format!("{a}.z.basal"), "", "identity");
            self.project(&format!("{a}.z"), &format!("{a}.zq.apical"), "", "identity");
            self.project(&format!("{a}.phi_q"), &format!("{a}.zq.basal"), "", "identity");
            // one read-out cell in each microcolumn
            self.project(&format!("{a}.deep"), &format!("{a}.readout.basal"), ", pool: cells", "identity");
            let rows: Vec<String> = (0..dv)
                .map(|m| {
                    let cells: Vec<&str> =
                        (0..dv * dk).map(|c| if c / dk == m { "1" } else { "0" }).collect();
                    format!("[{}]", cells.join(", "))
                })
                .collect();
            let values = format!("{{values: [{}]}}", rows.join(", "));
            self.wire(&format!("{a}.zq"), &format!("{a}.readout.basal"), &values, ", effect: divisive");
            text += &self.read_out(a, "readout", dv, "", e.out, "query");
        } else {
            text += &self.read_out(a, "deep", dk * dv, ", pool: cells", e.out, "query");
        }
        self.areas += &text;
    }
}

/// A circuit and the kinds of areas in it.
pub fn random_circuit(seed: u64) -> (String, Vec<&'static str>) {
    let mut w = Writer::new(seed);
    let d = w.rng.random_range(2..=5);
    let n = w.rng.random_range(2..=6);
    let other = w.rng.random_range(2..=5);
    let cross = w.chance(0.3);
    let mut streams = format!("    main: {{d_model: {d}, input: {{gaussian: {{length: {n}}}}}}}\n");
    let _ = writeln!(w.relays, "  Q0: {{pathway: core, per: [query], cells: {d}, tokens: main}}");
    let _ = writeln!(w.relays, "  C0: {{pathway: matrix, per: [context], cells: {d}, tokens: main}}");
    if cross {
        let _ =
            writeln!(streams, "    other: {{d_model: {other}, input: {{gaussian: {{length: {}}}}}}}", n + 1);
        let _ = writeln!(w.relays, "  X: {{pathway: matrix, per: [context], cells: {other}, tokens: other}}");
    }
    let blocks = w.rng.random_range(1..=3);
    let mut kinds = Vec::new();
    for block in 0..blocks {
        let (query, context) = (format!("Q{block}"), format!("C{block}"));
        let next = block + 1;
        let width = if w.chance(0.7) { d } else { w.rng.random_range(2..=5) };
        let previous = if block == 0 { d } else { 0 };
        let _ = writeln!(w.relays, "  Q{next}: {{pathway: core, per: [query], cells: {width}}}");
        let out = format!("Q{next}");
        for area in 0..w.rng.random_range(1..=3) {
            let kind = w.pick(&KINDS);
            kinds.push(kind);
            let attends_across = cross && w.chance(0.4);
            let context = if attends_across { "X" } else { context.as_str() };
            let masks: &[&str] = if attends_across { &["full"] } else { &["full", "causal", "strict"] };
            w.area(&format!("A{block}_{area}"), kind, &Ends { query: &query, context, out: &out, masks });
        }
        let _ = previous;
        if w.chance(0.6) {
            let from = if w.chance(0.8) { query.clone() } else { "Q0".to_owned() };
            let weights = w.weights();
            w.project(&from, &format!("{out}.basal"), "", &weights);
        }
        if w.chance(0.3) {
            w.project("tonic", &format!("{out}.basal"), "", "{normal: {std: 0.5}}");
        }
        let _ = writeln!(w.relays, "  C{next}: {{pathway: matrix, per: [context], cells: {width}}}");
        w.project(&out, &format!("C{next}.basal"), "", "identity");
    }
    (w.file(&format!("random_{seed}"), seed, &streams, "full", &format!("Q{blocks}")), kinds)
}
