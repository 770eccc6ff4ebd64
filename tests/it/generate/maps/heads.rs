//! Heads that read maps, each ending at a relay.

use super::{Maps, Token, known};
use std::fmt::Write;

/// Scores whose heads are not normalised.
const SCORES: [&str; 10] = [
    "relu",
    "sigmoid",
    "tanh",
    "silu",
    "gelu",
    "gelu_tanh",
    "sine",
    "exp",
    "elu_plus_one",
    "{power: {exponent: 2}}",
];

impl Maps {
    /// An area of the given kind and its projections, from a token to a relay.
    pub fn head(&mut self, a: &str, kind: &'static str, token: &Token, out: &str) {
        let kind = if kind == "softcap" && known(&["tanh"]).is_empty() { "softmax" } else { kind };
        self.kinds.insert(kind);
        let windows = ["{causal: {window: 2}}", "{strict: {window: 2}}", "{full: {window: 1}}"];
        let windows = known(&windows);
        let mask = if kind != "memory" && !windows.is_empty() && self.w.chance(0.2) {
            self.kinds.insert("window");
            self.w.pick(&windows)
        } else {
            self.w.pick(&["full", "causal", "strict"])
        };
        let _ = writeln!(self.w.areas, "  {a}:\n    mask: {mask}");
        match kind {
            "memory" => self.memory(a, token, out),
            "queryless" | "mean" => self.without_query(a, kind, token, out),
            _ => self.pairs(a, kind, token, out),
        }
    }

    fn pairs(&mut self, a: &str, kind: &str, token: &Token, out: &str) {
        let (dk, dv) = (self.size(), self.size());
        let (query, key, value) = (self.read(token, false), self.read(token, true), self.read(token, true));
        let of = |name: &str| format!("{a}.{name}");
        self.factor(&query, &of("sup.basal"));
        self.factor(&key, &of("sup.apical"));
        self.factor(&value, &of("deep.basal"));
        let mut text = format!(
            "    microcolumns: {{per: [query, context]}}\n    populations:\n      sup: {{cells: {dk}, activation: product}}\n      deep: {{cells: {dv}, activation: product}}\n"
        );
        if kind == "linear" {
            let lateral = self.drawn();
            self.w.wire(&of("sup"), &of("deep.apical"), lateral, "");
            self.drive_to(&of("deep"), out);
            self.w.areas += &text;
            return;
        }
        let activation = match kind {
            "score" => self.w.pick(&known(&SCORES)),
            "ratio" => self.w.pick(&["sigmoid", "elu_plus_one"]),
            _ => "exp",
        };
        let _ = writeln!(text, "      score: {{cells: 1, activation: {activation}}}");
        let mut first = "score.basal";
        if kind == "softcap" {
            text += "      cap: {cells: 1, activation: tanh}\n";
            self.w.wire(&of("cap"), &of("score.basal"), "identity", ", gain: 2");
            first = "cap.basal";
        }
        let lateral = if self.w.chance(0.6) { "ones" } else { self.drawn() };
        self.w.wire(&of("sup"), &of(first), lateral, ", gain: 0.5");
        for (p, term) in [(0.25, &key), (0.1, &query)] {
            if self.w.chance(p) {
                self.w.wire(&term.name, &of(first), "{normal: {std: 0.5}}", "");
                self.kinds.insert("term_of_one_token");
            }
        }
        if self.w.chance(0.2) {
            self.w.wire("tonic", &of(first), "{normal: {std: 0.5}}", "");
        }
        if kind == "score" {
            self.w.wire(&of("score"), &of("deep.apical"), "ones", "");
            self.drive_to(&of("deep"), out);
            self.w.areas += &text;
            return;
        }
        text += "      total: {cells: 1, per: [query]}\n";
        self.w.wire(&of("score"), &of("total.basal"), "ones", "");
        if kind == "sink" {
            if self.w.chance(0.5) {
                self.w.wire("tonic", &of("total.basal"), "ones", ", gain: 0.7");
            } else {
                let from = self.read(token, false);
                let sink = self.layer(&from, 1, "exp");
                self.w.wire(&sink.name, &of("total.basal"), "ones", "");
            }
        }
        if self.w.chance(0.6) {
            let _ = writeln!(text, "      readout: {{cells: {dv}, per: [query]}}");
            self.w.wire(&of("score"), &of("deep.apical"), "ones", "");
            self.w.wire(&of("deep"), &of("readout.basal"), "identity", "");
            self.w.wire(&of("total"), &of("readout.basal"), "ones", ", effect: divisive");
            self.drive_to(&of("readout"), out);
        } else {
            text += "      weight: {cells: 1}\n";
            self.w.wire(&of("score"), &of("weight.basal"), "identity", "");
            self.w.wire(&of("total"), &of("weight.basal"), "ones", ", effect: divisive");
            self.w.wire(&of("weight"), &of("deep.apical"), "ones", "");
            self.drive_to(&of("deep"), out);
        }
        self.w.areas += &text;
    }

    pub fn drive_to(&mut self, from: &str, out: &str) {
        let weights = self.drawn();
        self.w.wire(from, &format!("{out}.basal"), weights, "");
    }

    fn memory(&mut self, a: &str, token: &Token, out: &str) {
        let (dk, dv) = (self.size(), self.size());
        let rule = self.w.pick(&["{hebbian: {}}", "{decay: {g: 0.8}}", "{delta: {rate: 0.3}}"]);
        let _ = write!(
            self.w.areas,
            "    microcolumns: {{count: {dv}}}\n    populations:\n      sup: {{cells: {dk}, per: [context], activation: product, accumulate: {rule}}}\n      deep: {{cells: {dk}, per: [query], activation: product}}\n"
        );
        for (context, to, onto) in [
            (true, "sup.apical", "cells"),
            (true, "sup.basal", "microcolumns"),
            (false, "deep.basal", "cells"),
        ] {
            let (from, weights) = (self.read(token, context), self.drawn());
            self.w.wire(&from.name, &format!("{a}.{to}"), weights, &format!(", onto: {onto}"));
        }
        self.w.wire(&format!("{a}.sup"), &format!("{a}.deep.apical"), "identity", "");
        let weights = self.drawn();
        self.w.wire(&format!("{a}.deep"), &format!("{out}.basal"), weights, ", pool: cells");
    }

    /// Means over the context: of values, each weighted by its own token, or all alike.
    fn without_query(&mut self, a: &str, kind: &str, token: &Token, out: &str) {
        let dv = self.size();
        let of = |name: &str| format!("{a}.{name}");
        let value = self.read(token, true);
        if kind == "mean" {
            let _ = write!(
                self.w.areas,
                "    microcolumns: {{per: [context]}}\n    populations:\n      one: {{cells: 1}}\n      number: {{cells: 1, per: [query]}}\n      mean: {{cells: {dv}, per: [query]}}\n"
            );
            self.w.wire("tonic", &of("one.basal"), "ones", "");
            self.w.wire(&of("one"), &of("number.basal"), "ones", "");
            let (weights, mask) = (self.drawn(), self.mask_of(a));
            self.w.wire(&value.name, &of("mean.basal"), weights, &format!(", mask: {mask}"));
            self.w.wire(&of("number"), &of("mean.basal"), "ones", ", effect: divisive");
        } else {
            let _ = write!(
                self.w.areas,
                "    microcolumns: {{per: [context]}}\n    populations:\n      score: {{cells: 1, activation: exp}}\n      value: {{cells: {dv}, activation: product}}\n      number: {{cells: 1, per: [query]}}\n      mean: {{cells: {dv}, per: [query]}}\n"
            );
            let key = self.read(token, true);
            self.drive(&key, &of("score.basal"), 0.3);
            self.w.wire(&of("score"), &of("value.apical"), "ones", "");
            self.drive(&value, &of("value.basal"), 0.3);
            self.w.wire(&of("score"), &of("number.basal"), "ones", "");
            self.w.wire(&of("value"), &of("mean.basal"), "identity", "");
            self.w.wire(&of("number"), &of("mean.basal"), "ones", ", effect: divisive");
        }
        self.drive_to(&of("mean"), out);
    }

    /// The mask of the area that is being written.
    fn mask_of(&self, a: &str) -> String {
        let text = self.w.areas.split(&format!("  {a}:\n    mask: ")).nth(1).unwrap_or_default();
        text.lines().next().unwrap_or_default().to_owned()
    }
}
