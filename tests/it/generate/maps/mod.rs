//! Circuits of attention whose heads and relays read maps of single tokens: layers, MLPs, gates, norms, pools, roots, loops, several
//! streams and positions, one behind the other; scores through any function, sinks, caps, windows, means without a query.
//!
//! All of them are legal: a map reads its own token only, keys are of the context, what has summed over the context ends at a relay.

mod heads;

use super::Writer;
use crate::support::from_text;
use rand::RngExt;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::{LazyLock, Mutex};

/// Cells of one token that something may read.
#[derive(Clone)]
struct Source {
    name: String,
    cells: usize,
    context: bool,
}

/// Relays of one token in both of its roles.
#[derive(Clone)]
struct Token {
    query: Source,
    context: Source,
}

/// What a map is made of.
pub const MAPS: [&str; 11] = [
    "layer",
    "mlp",
    "gate",
    "rms_norm",
    "layer_norm",
    "pool",
    "power",
    "recurrent_norm",
    "loop",
    "two_streams",
    "rotary",
];

/// What heads are drawn from.
pub const HEADS: [&str; 9] =
    ["linear", "score", "softmax", "sink", "softcap", "ratio", "memory", "queryless", "mean"];

/// Rates of a layer.
const LAYERS: [&str; 11] = [
    "relu",
    "tanh",
    "gelu",
    "gelu_tanh",
    "silu",
    "sigmoid",
    "sine",
    "exp",
    "elu_plus_one",
    "{power: {exponent: 2}}",
    "{power: {exponent: 3}}",
];

/// The activations and masks among these that the program reads.
fn known(words: &[&'static str]) -> Vec<&'static str> {
    static READ: LazyLock<Mutex<BTreeMap<&'static str, bool>>> = LazyLock::new(Mutex::default);
    let mut read = READ.lock().expect("no test panics in here");
    let reads = |word: &str| {
        let circuit = |activation: &str, mask: &str| {
            let text = format!(
                "schema: pulvinar/1\nname: words\ntokens: {{d_model: 1, mask: {mask}}}\nthalamus:\n  Q: {{pathway: core, per: [query], cells: 1}}\n  Y: {{pathway: core, per: [query], cells: 1}}\nareas:\n  A: {{populations: {{a: {{cells: 1, per: [query], activation: {activation}}}}}}}\nprojections:\n  p: {{from: Q, to: A.a.basal, weights: ones}}\n  q: {{from: A.a, to: Y.basal, weights: ones}}\noutput: Y\n"
            );
            from_text(&text).is_ok()
        };
        circuit(word, "full") || circuit("linear", word)
    };
    words.iter().copied().filter(|w| *read.entry(w).or_insert_with(|| reads(w))).collect()
}

struct Maps {
    w: Writer,
    /// populations of the area of maps
    cells: String,
    number: usize,
    /// a second stream of the same tokens, and their positions
    side: Option<Token>,
    positions: Option<Token>,
    rotary: Option<(usize, &'static str)>,
    kinds: BTreeSet<&'static str>,
}

impl Maps {
    fn drawn(&mut self) -> &'static str {
        [
            "{normal: {fan_in: 1}}",
            "{normal: {fan_in: 1}}",
            "{normal: {std: 0.5}}",
            "{uniform: {low: -0.8, high: 0.8}}",
        ][self.w.rng.random_range(0..4)]
    }

    fn size(&mut self) -> usize {
        self.w.rng.random_range(1..=3)
    }

    fn population(&mut self, cells: usize, context: bool, activation: &str) -> Source {
        self.number += 1;
        let (n, per) = (self.number, if context { "context" } else { "query" });
        let _ =
            writeln!(self.cells, "      n{n}: {{cells: {cells}, per: [{per}], activation: {activation}}}");
        Source { name: format!("M.n{n}"), cells, context }
    }

    fn drive(&mut self, from: &Source, to: &str, bias: f64) {
        let weights = self.drawn();
        self.w.wire(&from.name, to, weights, "");
        if self.w.chance(bias) {
            self.w.wire("tonic", to, "{normal: {std: 0.5}}", "");
        }
    }

    fn layer(&mut self, from: &Source, cells: usize, activation: &str) -> Source {
        let to = self.population(cells, from.context, activation);
        self.drive(from, &format!("{}.basal", to.name), 0.4);
        to
    }

    /// Cell for cell.
    fn copy(&mut self, from: &Source, activation: &str) -> Source {
        let to = self.population(from.cells, from.context, activation);
        self.w.wire(&from.name, &format!("{}.basal", to.name), "identity", "");
        to
    }

    /// What a source is divided by: its root mean square, by an activation or by an interneuron that divides its own input, or one
    /// and its mean square.
    fn divisor(&mut self, of: &Source, recurrent: bool) -> Source {
        let squares = self.copy(of, "{power: {exponent: 2}}");
        let root =
            if recurrent || known(&["sqrt"]).is_empty() || self.w.chance(0.3) { "linear" } else { "sqrt" };
        let divisor = self.population(1, of.context, root);
        let to = format!("{}.basal", divisor.name);
        self.w.wire(&squares.name, &to, "ones", &format!(", gain: {{inv: {}}}", of.cells));
        let gain = if root == "sqrt" || recurrent { ", gain: 0.01" } else { "" };
        self.w.wire("tonic", &to, "ones", gain);
        if recurrent {
            self.w.wire(&divisor.name, &to, "ones", ", effect: divisive, delay: 1 ms");
        }
        divisor
    }

    /// One map of a token.
    fn map(&mut self, from: &Source) -> Source {
        let kind = MAPS[self.w.rng.random_range(0..MAPS.len())];
        let made = self.map_of(kind, from);
        if made.is_some() {
            self.kinds.insert(kind);
        }
        let made = made.unwrap_or_else(|| from.clone());
        if self.w.chance(0.3) { self.map(&made) } else { made }
    }

    fn map_of(&mut self, kind: &str, from: &Source) -> Option<Source> {
        let size = self.size();
        let activation = self.w.pick(&known(&LAYERS));
        let out = match kind {
            "layer" => self.layer(from, size, activation),
            "mlp" => {
                let middle = self.layer(from, size + 1, activation);
                self.layer(&middle, size, "linear")
            }
            "gate" => {
                let gate = self.layer(from, size, activation);
                let out = self.population(size, from.context, "product");
                self.w.wire(&gate.name, &format!("{}.apical", out.name), "identity", "");
                self.drive(from, &format!("{}.basal", out.name), 0.3);
                out
            }
            "rms_norm" | "layer_norm" | "recurrent_norm" => {
                let mut of = from.clone();
                if kind == "layer_norm" {
                    of = self.population(from.cells, from.context, "linear");
                    self.w.wire(&from.name, &format!("{}.basal", of.name), "centre", "");
                }
                let root = self.divisor(&of, kind == "recurrent_norm");
                let out = self.copy(&of, "linear");
                self.w.wire(&root.name, &format!("{}.basal", out.name), "ones", ", effect: divisive");
                out
            }
            "pool" => {
                let shares = self.layer(from, size + 1, "exp");
                let total = self.population(1, from.context, "linear");
                self.w.wire(&shares.name, &format!("{}.basal", total.name), "ones", "");
                let out = self.copy(&shares, "linear");
                self.w.wire(&total.name, &format!("{}.basal", out.name), "ones", ", effect: divisive");
                out
            }
            "power" => {
                let inner = self.w.pick(&["exp", "sigmoid", "relu"]);
                let inner = self.layer(from, size, inner);
                let powers = [
                    "{power: {exponent: 2}}",
                    "{power: {exponent: 1.5}}",
                    "{power: {exponent: 0.5}}",
                    "sqrt",
                ];
                let activation = self.w.pick(&known(&powers));
                self.copy(&inner, activation)
            }
            "loop" => {
                let activation = self.w.pick(&known(&["linear", "tanh", "relu"]));
                let out = self.layer(from, size, activation);
                let (to, weights) = (format!("{}.basal", out.name), "{uniform: {low: -0.3, high: 0.3}}");
                self.w.wire(&out.name, &to, weights, ", delay: 2 ms");
                out
            }
            "two_streams" => {
                let other = if self.w.chance(0.5) { self.side.clone() } else { self.positions.clone() };
                let other = other.or_else(|| self.side.clone())?;
                let other = if from.context { other.context } else { other.query };
                let activation = self.w.pick(&known(&["product", "tanh", "relu"]));
                let out = self.population(size, from.context, activation);
                let second = if activation == "product" { "apical" } else { "basal" };
                self.drive(from, &format!("{}.basal", out.name), 0.2);
                self.drive(&other, &format!("{}.{second}", out.name), 0.2);
                out
            }
            "rotary" => {
                let (dims, pairing) = self.rotary?;
                let turned = self.positions.clone()?;
                let turned = if from.context { turned.context } else { turned.query };
                let z = self.layer(from, dims, "linear");
                let both = self.population(2 * dims, from.context, "product");
                self.w.wire(&z.name, &format!("{}.basal", both.name), &format!("{{rotate: {pairing}}}"), "");
                self.w.wire(&turned.name, &format!("{}.apical", both.name), "identity", "");
                let out = self.population(dims, from.context, "linear");
                let sum = format!("{{kron: [{{ones: [1, 2]}}, {{identity: {dims}}}]}}");
                self.w.wire(&both.name, &format!("{}.basal", out.name), &sum, "");
                out
            }
            _ => return None,
        };
        Some(out)
    }

    /// What a head reads of its token: the relay, or a map of it; keys and values may be a map of the query relay, passed on.
    fn read(&mut self, token: &Token, context: bool) -> Source {
        let own = if context { &token.context } else { &token.query };
        if self.w.chance(0.3) {
            return own.clone();
        }
        if context && self.w.chance(0.25) {
            let map = self.map(&token.query);
            self.kinds.insert("context_population");
            let behind = self.population(map.cells, true, "linear");
            self.w.wire(&map.name, &format!("{}.basal", behind.name), "identity", "");
            return behind;
        }
        self.map(own)
    }

    /// A form of a source on a compartment, sometimes divided there.
    fn factor(&mut self, from: &Source, to: &str) {
        if self.w.chance(0.2) {
            let root = self.divisor(from, false);
            self.w.wire(&root.name, to, "ones", ", effect: divisive");
            self.kinds.insert("divided_on_the_dendrite");
        }
        self.drive(from, to, 0.0);
        if self.w.chance(0.2) {
            self.w.wire("tonic", to, "{normal: {std: 0.5}}", "");
        }
    }

    fn relay(&mut self, name: &str, cells: usize, context: bool, rest: &str) -> Source {
        let (pathway, per) = if context { ("matrix", "context") } else { ("core", "query") };
        let _ =
            writeln!(self.w.relays, "  {name}: {{pathway: {pathway}, per: [{per}], cells: {cells}{rest}}}");
        Source { name: name.to_owned(), cells, context }
    }

    fn input(&mut self, name: &str, cells: usize, stream: &str) -> Token {
        let rest = format!(", tokens: {stream}");
        Token {
            query: self.relay(&format!("{name}Q"), cells, false, &rest),
            context: self.relay(&format!("{name}C"), cells, true, &rest),
        }
    }

    /// A relay that receives heads, residual paths and maps of the last token.
    fn block(&mut self, number: usize, token: &Token) -> Source {
        let width = if self.w.chance(0.7) { token.query.cells } else { self.w.rng.random_range(2..=4) };
        let out = self.relay(&format!("R{number}"), width, false, "");
        for head in 0..self.w.rng.random_range(1..=2) {
            let kind = HEADS[self.w.rng.random_range(0..HEADS.len())];
            self.head(&format!("A{number}_{head}"), kind, token, &out.name);
        }
        self.beside(token, &out);
        out
    }

    /// Residual paths and maps into a relay; says whether there are any.
    fn beside(&mut self, token: &Token, out: &Source) -> bool {
        let mut any = false;
        if self.w.chance(0.6) {
            let weights = if out.cells == token.query.cells { "identity" } else { self.drawn() };
            self.w.wire(&token.query.name, &format!("{}.basal", out.name), weights, "");
            any = true;
        }
        if self.w.chance(0.4) {
            let map = self.map(&token.query);
            self.drive_to(&map.name, &out.name);
            self.kinds.insert("map_into_a_relay");
            any = true;
        }
        if self.w.chance(0.2) {
            self.w.wire("tonic", &format!("{}.basal", out.name), "{normal: {std: 0.5}}", "");
        }
        any
    }
}

/// A circuit and the kinds of heads and maps in it.
pub fn maps_circuit(seed: u64) -> (String, BTreeSet<&'static str>) {
    let mut m = Maps {
        w: Writer::new(seed ^ 0x6d61_7073),
        cells: String::new(),
        number: 0,
        side: None,
        positions: None,
        rotary: None,
        kinds: BTreeSet::new(),
    };
    let (d, n) = (m.w.rng.random_range(2..=4), m.w.rng.random_range(2..=6));
    let mut streams = format!("    main: {{d_model: {d}, input: {{gaussian: {{length: {n}}}}}}}\n");
    let mut token = m.input("X", d, "main");
    if m.w.chance(0.3) {
        let side = m.w.rng.random_range(1..=3);
        let _ = writeln!(
            streams,
            "    side: {{d_model: {side}, clock: main, input: {{gaussian: {{length: {n}}}}}}}"
        );
        m.side = Some(m.input("S", side, "side"));
    }
    if m.w.chance(0.4) {
        let (width, kind) = match m.w.rng.random_range(0..4) {
            0 => (1, "{index: {}}".to_owned()),
            1 => (7, "{one_hot: 7}".to_owned()),
            2 => (4, "{sinusoid: {d_model: 4, theta: 100}}".to_owned()),
            _ => {
                let (dims, pairing) =
                    (2 * m.w.rng.random_range(1..=2), ["halves", "pairs"][m.w.rng.random_range(0..2)]);
                m.rotary = Some((dims, pairing));
                (2 * dims, format!("{{rotary: {{dims: {dims}, theta: 100, pairing: {pairing}}}}}"))
            }
        };
        let _ = writeln!(streams, "    pos: {{positions: {kind}, clock: main}}");
        m.positions = Some(m.input("P", width, "pos"));
    }
    let blocks = m.w.rng.random_range(0..=2);
    for number in 1..=blocks {
        let query = m.block(number, &token);
        let context = m.relay(&format!("C{number}"), query.cells, true, "");
        m.w.wire(&query.name, &format!("{}.basal", context.name), "identity", "");
        token = Token { query, context };
    }
    let mut output = token.query.name.clone();
    if blocks == 0 || m.w.chance(0.3) {
        // a relay of maps alone
        let out = m.relay("Y", d, false, "");
        let map = m.map(&token.query);
        m.drive_to(&map.name, &out.name);
        m.beside(&token, &out);
        output = out.name;
    }
    if !m.cells.is_empty() {
        let cells = std::mem::take(&mut m.cells);
        let _ = write!(m.w.areas, "  M:\n    populations:\n{cells}");
    }
    (m.w.file(&format!("maps_{seed}"), seed, &streams, "full", &output), m.kinds)
}
