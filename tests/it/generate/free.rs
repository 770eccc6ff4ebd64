//! Circuits of any wiring, most of them no attention, as text.
//!
//! Each seed joins relays and a few populations by projections that the index rules allow, with small whole weights, so that
//! sums cancel and divisors vanish far more often than in circuits that people write.

use super::Writer;
use rand::RngExt;
use std::fmt::Write;

/// A population or relay that something may read.
#[derive(Clone)]
struct Node {
    name: String,
    cells: usize,
    /// indices of what it sends
    query: bool,
    context: bool,
}

struct Free {
    w: Writer,
    nodes: Vec<Node>,
    divisive: bool,
}

impl Free {
    fn values(&mut self, rows: usize, columns: usize) -> String {
        let whole = self.w.chance(0.75);
        let row = |w: &mut Self| {
            let one = |w: &mut Self| {
                let n: i32 = w.w.rng.random_range(-2..=2);
                if whole { format!("{n}.0") } else { format!("{:.1}", f64::from(n) * 0.3) }
            };
            format!("[{}]", (0..columns).map(|_| one(w)).collect::<Vec<_>>().join(", "))
        };
        format!("{{values: [{}]}}", (0..rows).map(|_| row(self)).collect::<Vec<_>>().join(", "))
    }

    fn weights(&mut self, rows: usize, columns: usize) -> String {
        match self.w.rng.random_range(0..20) {
            0..7 => "ones".to_owned(),
            7..11 if rows == columns => "identity".to_owned(),
            11 => "zeros".to_owned(),
            _ => self.values(rows, columns),
        }
    }

    fn project(&mut self, from: &Node, to: (&str, usize), compartment: &str, divides: bool) {
        let weights = self.weights(to.1, from.cells);
        let effect = if divides { ", effect: divisive" } else { "" };
        let gain = if self.w.chance(0.1) { ", gain: -1" } else { "" };
        self.w.wire(&from.name, &format!("{}.{compartment}", to.0), &weights, &format!("{gain}{effect}"));
    }

    /// Additive inputs of a compartment, and sometimes something that divides them.
    fn feed(&mut self, to: (&str, usize), query: bool, compartment: &str, most: usize) {
        let allowed: Vec<Node> =
            self.nodes.iter().filter(|n| query || !(n.query && n.context)).cloned().collect();
        for _ in 0..self.w.rng.random_range(1..=most) {
            // What was made last is read most.
            let at = self.w.rng.random_range(0..allowed.len()).max(self.w.rng.random_range(0..allowed.len()));
            self.project(&allowed[at], to, compartment, false);
        }
        if self.divisive && self.w.chance(0.2) {
            let at = self.w.rng.random_range(0..allowed.len());
            self.project(&allowed[at], to, compartment, true);
        }
    }

    /// The name of a node that fits, later ones more often.
    fn find(&mut self, fits: impl Fn(&Node) -> bool) -> Option<Node> {
        let all: Vec<Node> = self.nodes.iter().filter(|n| fits(n)).cloned().collect();
        if all.is_empty() {
            return None;
        }
        let at = self.w.rng.random_range(0..all.len()).max(self.w.rng.random_range(0..all.len()));
        Some(all[at].clone())
    }

    fn write(
        &mut self,
        number: usize,
        cells: usize,
        (query, context): (bool, bool),
        activation: &str,
        rule: &str,
    ) -> String {
        let per = match (query, context) {
            (true, true) => "query, context",
            (true, false) => "query",
            _ => "context",
        };
        let _ = writeln!(
            self.w.areas,
            "      n{number}: {{cells: {cells}, per: [{per}], activation: {activation}{rule}}}"
        );
        let sends = if rule.is_empty() { (query, context) } else { (true, false) };
        let name = format!("A.n{number}");
        self.nodes.push(Node { name: name.clone(), cells, query: sends.0, context: sends.1 });
        name
    }

    /// A population of a kind that heads are made of.
    fn sensible(&mut self, number: usize) -> bool {
        let query = |n: &Node| n.query && !n.context;
        let context = |n: &Node| n.context && !n.query;
        let pair = |n: &Node| n.query && n.context;
        let cells = self.w.rng.random_range(1..=2);
        let mut more = Vec::new();
        let (ends, per, activation, rule) = match self.w.rng.random_range(0..16) {
            0..4 => ((self.find(query), self.find(context)), (true, true), "product", ""),
            4..7 => ((self.find(pair), self.find(context)), (true, true), "product", ""),
            7 => {
                let rule = self.w.pick(&[", accumulate: {hebbian: {}}", ", accumulate: {decay: {g: 0.5}}"]);
                let rule = if rule.contains("hebb") {
                    ", accumulate: {hebbian: {}}"
                } else {
                    ", accumulate: {decay: {g: 0.5}}"
                };
                ((self.find(context), self.find(context)), (false, true), "product", rule)
            }
            8 => ((self.find(query), self.find(|n| n.name == "Q")), (true, false), "product", ""),
            9 => ((self.find(context), None), (false, true), "linear", ""),
            10 => ((self.find(query), None), (true, false), "linear", ""),
            11 | 12 => ((self.find(pair), None), (true, false), "linear", ""),
            13 => ((self.find(pair), None), (true, true), "linear", ""),
            14 => {
                let activation = ["exp", "exp", "{power: {exponent: 2}}"][self.w.rng.random_range(0..3)];
                ((self.find(pair), None), (true, true), activation, "")
            }
            _ => {
                let activation = [
                    "relu",
                    "exp",
                    "elu_plus_one",
                    "sigmoid",
                    "sign",
                    "tanh",
                    "silu",
                    "gelu",
                    "gelu_tanh",
                    "sine",
                ][self.w.rng.random_range(0..10)];
                let on = self.w.chance(0.5);
                let name = if on { "Q" } else { "C" };
                ((self.find(|n| n.name == name), None), (on, !on), activation, "")
            }
        };
        let (first, second) = ends;
        if first.is_none() || (activation == "product" && second.is_none()) {
            return false;
        }
        for (compartment, from) in [("basal", first), ("apical", second)] {
            let Some(from) = from else { continue };
            more.push((compartment, from.clone(), false));
            if self.w.chance(0.15) {
                let same = self.find(|n| n.query == from.query && n.context == from.context);
                more.extend(same.map(|n| (compartment, n, false)));
            }
            if self.w.chance(0.1) {
                more.push((compartment, self.nodes[0].clone(), false));
            }
            // Weights divided by their own sum, or anything by anything.
            if self.divisive && per == (true, false) && pair(&from) && self.w.chance(0.6) {
                more.push((compartment, from, true));
            } else if self.divisive && self.w.chance(0.25) {
                let by = if self.w.chance(0.7) { self.find(query) } else { self.find(|n| !pair(n) || per.0) };
                more.extend(by.map(|n| (compartment, n, true)));
            }
        }
        let name = self.write(number, cells, per, activation, rule);
        for (compartment, from, divides) in more {
            self.project(&from, (&name, cells), compartment, divides);
        }
        true
    }

    fn population(&mut self, number: usize) {
        if self.w.chance(0.9) && self.sensible(number) {
            return;
        }
        let per = [(true, false), (false, true), (true, true), (true, true)][self.w.rng.random_range(0..4)];
        let cells = self.w.rng.random_range(1..=2);
        let activation =
            ["product", "linear", "linear", "relu", "exp", "sigmoid"][self.w.rng.random_range(0..6)];
        let name = format!("A.n{number}");
        self.feed((&name, cells), per.0, "basal", 2);
        if activation == "product" || self.w.chance(0.1) {
            self.feed((&name, cells), per.0, "apical", 2);
        }
        self.write(number, cells, per, activation, "");
    }

    fn relay(&mut self, name: &str, query: bool, cells: usize, part: &str) {
        let per = if query { "query" } else { "context" };
        let _ = writeln!(self.w.relays, "  {name}: {{pathway: core, per: [{per}], cells: {cells}{part}}}");
        for _ in 0..self.w.rng.random_range(1..=2) {
            let from = match self.w.rng.random_range(0..10) {
                0..7 if query => self.find(|n| n.query && n.name != "Q"),
                7 if query => self.find(|n| n.name == "Q"),
                8 if query => self.find(|n| n.query && !n.context && !n.name.contains('.')),
                _ if query => self.find(|n| n.query || n.name == "tonic"),
                _ => self.find(|n| (!n.query || !n.context) && !n.name.contains('.') && n.name != "tonic"),
            };
            if let Some(from) = from.or_else(|| self.find(|n| n.name == "Q")) {
                self.project(&from, (name, cells), "basal", false);
            }
        }
        if self.divisive
            && self.w.chance(0.1)
            && let Some(by) = self.find(|n| n.query && !n.context)
        {
            self.project(&by, (name, cells), "basal", true);
        }
        self.nodes.push(Node { name: name.to_owned(), cells, query, context: !query });
    }

    fn input(&mut self, name: &str, query: bool, cells: usize, stream: &str, part: &str) {
        let per = if query { "query" } else { "context" };
        let _ = writeln!(
            self.w.relays,
            "  {name}: {{pathway: core, per: [{per}], cells: {cells}, tokens: {stream}{part}}}"
        );
        self.nodes.push(Node { name: name.to_owned(), cells, query, context: !query });
    }
}

fn part(w: &mut Free, there: bool) -> &'static str {
    if !there {
        return "";
    }
    match w.w.rng.random_range(0..3) {
        0 => ", part: plus",
        1 => ", part: minus",
        _ => "",
    }
}

/// A circuit of random wiring; `parts` of tokens and divisors are there for some seeds only.
pub fn free_circuit(seed: u64) -> String {
    let mut w = Free { w: Writer::new(seed), nodes: Vec::new(), divisive: seed.is_multiple_of(3) };
    let parts = seed % 4 == 1;
    let d = w.w.rng.random_range(1..=2);
    let length = w.w.rng.random_range(1..=3);
    let tokens = w.values(length, d);
    w.nodes.push(Node { name: "tonic".to_owned(), cells: 1, query: false, context: false });
    w.input("Q", true, d, "main", "");
    w.input("C", false, d, "main", "");
    let mut streams = format!("    main: {{d_model: {d}, input: {tokens}}}\n");
    if w.w.chance(0.15) {
        let side = w.values(length, d);
        let _ = writeln!(streams, "    side: {{d_model: {d}, clock: main, input: {side}}}");
        let query = w.w.chance(0.5);
        w.input("X", query, d, "side", "");
    }
    if parts {
        for (name, query, half) in
            [("Qp", true, "plus"), ("Qm", true, "minus"), ("Cp", false, "plus"), ("Cm", false, "minus")]
        {
            if w.w.chance(0.7) {
                w.input(name, query, d, "main", &format!(", part: {half}"));
            }
        }
    }
    let steps = w.w.rng.random_range(2..=7);
    for number in 0..steps {
        if w.w.chance(0.2) {
            let (query, half) = (w.w.chance(0.7), part(&mut w, parts));
            let cells = w.w.rng.random_range(1..=2);
            w.relay(&format!("R{number}"), query, cells, half);
        } else {
            w.population(number);
        }
    }
    let cells = w.w.rng.random_range(1..=2);
    let half = part(&mut w, parts && seed % 8 == 1);
    let output = if w.w.chance(0.2) {
        w.relay("HO", true, cells, half);
        let half = part(&mut w, parts && seed % 8 == 1);
        w.relay("HM", true, cells, half);
        "{plus: HO, minus: HM}"
    } else {
        w.relay("HO", true, cells, half);
        "HO"
    };
    let mask = w.w.pick(&["full", "causal", "strict"]);
    if !w.w.areas.is_empty() {
        w.w.areas.insert_str(0, "  A:\n    populations:\n");
    }
    w.w.file(&format!("free_{seed}"), seed, &streams, mask, output)
}
