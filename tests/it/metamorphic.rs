//! Changes of a circuit that change nothing: other names, another order of lines, a projection in two parts, a linear population on
//! the way. Cells and heads of what comes of it give the same output, on heads of every kind and on maps.

use crate::free_circuits_agree::shuffled;
use crate::generate::heads::random_circuit;
use crate::generate::maps::maps_circuit;
use crate::support::{by_cells, from_text, heads_output, relative};
use nalgebra::DMatrix;
use pulvinar::attention::Streams;
use pulvinar::circuit::Circuit;
use pulvinar::simulate::inputs;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Sums in another order; norms and loops multiply rounding.
const SAME: f64 = 1e-10;

/// One projection as the generators write it, `  NAME: {from: F, to: T, weights: W REST}`.
struct Line {
    name: String,
    from: String,
    to: String,
    weights: String,
    /// from the comma behind the weights
    rest: String,
}

impl Line {
    fn read(line: &str) -> Option<Self> {
        let (name, rest) = line.strip_prefix("  ")?.split_once(": {from: ")?;
        let (from, rest) = rest.split_once(", to: ")?;
        let (to, rest) = rest.split_once(", weights: ")?;
        let weights = value(rest);
        let rest = rest[weights.len()..].strip_suffix('}')?;
        let own = |s: &str| s.to_owned();
        Some(Self { name: own(name), from: own(from), to: own(to), weights: own(weights), rest: own(rest) })
    }

    fn write(&self) -> String {
        let Self { name, from, to, weights, rest } = self;
        format!("  {name}: {{from: {from}, to: {to}, weights: {weights}{rest}}}")
    }

    /// The gain as text, and the rest without it.
    fn without_gain(&self) -> (Option<&str>, String) {
        let Some((before, behind)) = self.rest.split_once(", gain: ") else {
            return (None, self.rest.clone());
        };
        let gain = value(behind);
        (Some(gain), format!("{before}{}", &behind[gain.len()..]))
    }
}

/// The value that a text begins with: up to a comma or a closing bracket of its own level.
fn value(text: &str) -> &str {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' if depth == 0 => return &text[..at],
            '}' | ']' => depth -= 1,
            ',' if depth == 0 => return &text[..at],
            _ => {}
        }
    }
    text
}

fn numbers(matrix: &DMatrix<f64>) -> String {
    let row = |r: usize| matrix.row(r).iter().map(|x| format!("{x:?}")).collect::<Vec<_>>().join(", ");
    let rows: Vec<String> = (0..matrix.nrows()).map(|r| format!("[{}]", row(r))).collect();
    format!("{{values: [{}]}}", rows.join(", "))
}

/// Every line that is a projection, changed.
fn projections(text: &str, mut change: impl FnMut(Line) -> String) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let _ = writeln!(out, "{}", Line::read(line).map_or_else(|| line.to_owned(), &mut change));
    }
    out
}

/// The circuit with its drawn weights as numbers: draws go by name.
fn with_numbers(text: &str, circuit: &Circuit) -> String {
    projections(text, |mut line| {
        if ["normal", "uniform", "rank"].iter().any(|drawn| line.weights.contains(drawn)) {
            let p = circuit.projections.iter().find(|p| p.name == line.name).expect("it is wired");
            line.rest = line.without_gain().1;
            line.weights = numbers(&p.synapses.weights.dense());
        }
        line.write()
    })
}

/// Other names for relays, areas, populations and projections.
fn renamed(text: &str, circuit: &Circuit) -> String {
    let mut names: Vec<&str> = circuit.areas.iter().map(String::as_str).collect();
    for p in &circuit.populations {
        names.extend(p.name.split('.').next_back());
    }
    names.extend(circuit.projections.iter().map(|p| p.name.as_str()));
    names.retain(|n| *n != "tonic" && !text.contains(&format!("layer: {n}")));
    let new: BTreeMap<&str, String> =
        names.iter().enumerate().map(|(k, n)| (*n, format!("{}{k}", ["z", "B", "m"][k % 3]))).collect();
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = String::new();
    for piece in text.split_inclusive(|c: char| !word(c)) {
        let name = piece.trim_end_matches(|c: char| !word(c));
        out += new.get(name).map_or(name, String::as_str);
        out += &piece[name.len()..];
    }
    out
}

/// A random projection written as two.
fn split(text: &str, circuit: &Circuit, rng: &mut ChaCha8Rng) -> String {
    let chosen = &circuit.projections[rng.random_range(0..circuit.projections.len())].name;
    projections(text, |line| {
        if line.name != *chosen || line.without_gain().0.is_some_and(|g| g.starts_with('{')) {
            return line.write();
        }
        let (gain, rest) = line.without_gain();
        let gain: f64 = gain.map_or(1.0, |g| g.parse().expect("a number"));
        let part = |name: &str, share: f64| {
            let rest = format!("{rest}, gain: {:?}", gain * share);
            let (from, to, weights) = (line.from.clone(), line.to.clone(), line.weights.clone());
            Line { name: format!("{}{name}", line.name), from, to, weights, rest }.write()
        };
        format!("{}\n{}", part("", 0.375), part("b", 0.625))
    })
}

/// A linear population in the way of a random projection; nothing where there is none to choose.
fn relayed(text: &str, circuit: &Circuit, rng: &mut ChaCha8Rng) -> Option<String> {
    let fits: Vec<_> =
        circuit.projections.iter().filter(|p| circuit.population(p.from).name != "tonic").collect();
    let chosen = fits.get(rng.random_range(0..fits.len().max(1)))?;
    if chosen.delay_ms.is_some() {
        return None;
    }
    let source = circuit.population(chosen.from);
    let per = source.sends().describe();
    let mask = text
        .split(&format!("  {}:\n    mask: ", source.name.split('.').next()?))
        .nth(1)
        .and_then(|rest| rest.lines().next())
        .unwrap_or("full");
    let area = format!(
        "areas:\n  ZZ:\n    mask: {mask}\n    microcolumns: {{count: {}}}\n    populations:\n      way: {{cells: {}, per: {per}, activation: linear}}\n",
        source.microcolumns, source.cells
    );
    let text = if text.contains("\nareas:\n") {
        text.replacen("areas:\n", &area, 1)
    } else {
        text.replacen("projections:\n", &format!("{area}projections:\n"), 1)
    };
    Some(projections(&text, |mut line| {
        if line.name != chosen.name {
            return line.write();
        }
        let way = format!("  way: {{from: {}, to: ZZ.way.basal, weights: identity}}", line.from);
        "ZZ.way".clone_into(&mut line.from);
        format!("{way}\n{}", line.write())
    }))
}

struct Original {
    tokens: Streams,
    cells: DMatrix<f64>,
    heads: Option<DMatrix<f64>>,
}

/// Compares a changed circuit with its original; says whether it compiles where the original does.
fn same(what: &str, seed: u64, original: &Original, text: &str) -> Result<bool, String> {
    let (_, circuit) = from_text(text)?;
    let (cells, _) = by_cells(&circuit, &original.tokens).ok_or("its cells diverge")?;
    let error = relative(&cells, &original.cells);
    if error > SAME {
        return Err(format!("seed {seed}, {what}: cells differ by {error:e}\n{text}"));
    }
    let Some(want) = &original.heads else { return Ok(true) };
    match heads_output(&circuit, &original.tokens) {
        Ok(heads) if relative(&heads, want) < SAME => Ok(true),
        Ok(heads) => {
            Err(format!("seed {seed}, {what}: heads differ by {:e}\n{text}", relative(&heads, want)))
        }
        Err(d) => {
            println!("seed {seed}, {what}: {d}");
            Ok(false)
        }
    }
}

/// Every change of the circuits of a family; how many were compared by heads, and how many were refused after a change only.
fn changes_change_nothing(family: impl Fn(u64) -> String, seeds: u64) -> (usize, usize) {
    let (mut compared, mut lost) = (0, 0);
    for seed in 0..seeds {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let drawn = family(seed);
        let Ok((document, circuit)) = from_text(&drawn) else { continue };
        let text = with_numbers(&drawn, &circuit);
        let tokens = inputs(&circuit, &document.folder, &BTreeMap::new()).expect("tokens");
        let Some((cells, _)) = by_cells(&circuit, &tokens) else { continue };
        if cells.amax() > 1e6 || cells.amax() < 1e-9 {
            continue;
        }
        let heads = heads_output(&circuit, &tokens).ok();
        let original = Original { tokens, cells, heads };
        let mut changed = vec![
            ("weights as numbers", text.clone()),
            ("other names", renamed(&text, &circuit)),
            ("another order", shuffled(&text, seed)),
        ];
        for _ in 0..3 {
            changed.push(("a projection in two parts", split(&text, &circuit, rng)));
            changed.extend(relayed(&text, &circuit, rng).map(|t| ("a population on the way", t)));
        }
        for (what, text) in changed {
            match same(what, seed, &original, &text) {
                Ok(compiles) => {
                    compared += usize::from(compiles && original.heads.is_some());
                    lost += usize::from(!compiles);
                }
                Err(why) => panic!("seed {seed}, {what}: {why}\n{drawn}"),
            }
        }
    }
    println!("{compared} compared, {lost} refused after the change");
    (compared, lost)
}

#[test]
fn heads_of_every_kind() {
    let (compared, lost) = changes_change_nothing(|seed| random_circuit(seed).0, 60);
    assert!(compared > 300 && lost * 20 < compared, "{compared} compared, {lost} lost");
}

#[test]
fn maps_of_every_kind() {
    let (compared, lost) = changes_change_nothing(|seed| maps_circuit(seed).0, 150);
    assert!(lost * 10 <= compared, "{compared} compared, {lost} lost");
}
