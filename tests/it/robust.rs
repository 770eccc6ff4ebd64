//! Thousands of damaged circuits: no panic, and every refusal says where and what to do.

use super::circuits::ALL;
use super::mistakes::{files_of, mistakes_beyond_text};
use super::odd;
use super::support::root;
use pulvinar::diag::Diagnostics;
use pulvinar::model::Model;
use pulvinar::spec::read;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Damaged files for each circuit.
const CASES: u64 = 700;

/// SplitMix64: the cases are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % n as u64).expect("small")
    }

    fn one_of<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

const SCALARS: [&str; 34] = [
    "1",
    "2",
    "3",
    "4",
    "8",
    "0",
    "-1",
    "0.5",
    ".nan",
    "1e999",
    "~",
    "[]",
    "{}",
    "true",
    "ones",
    "identity",
    "product",
    "linear",
    "relu",
    "exp",
    "VP_core",
    "\"null\"",
    "VP_matrix",
    "HO",
    "A1.deep",
    "A1.superficial",
    "tonic",
    "query",
    "[query]",
    "[context]",
    "[query, context]",
    "strict",
    "W_K",
    "{hebbian: {}}",
];
const EXTRAS: [&str; 12] = [
    ", delay: 5 ms",
    ", effect: divisive",
    ", mask: strict",
    ", mask: full",
    ", onto: cells",
    ", pool: cells",
    ", part: plus",
    ", accumulate: {delta: {rate: 1}}",
    ", per: [query]",
    ", activation: exp",
    ", tokens: main",
    ", gain: 0",
];

/// One change of the text: of lines, of a word, or of a few characters.
fn damage(text: &str, dice: &mut Dice) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.is_empty() {
        return text.to_owned();
    }
    let (i, j) = (dice.below(lines.len()), dice.below(lines.len()));
    match dice.below(12) {
        0 => drop(lines.remove(i)),
        1 => lines.insert(j, lines[i].clone()),
        2 => lines.swap(i, j),
        3 => lines[i] = lines[i].trim_start().to_owned(),
        4 => lines[i].insert_str(0, "  "),
        5 => lines.truncate(i + 1),
        6 => {
            let at =
                lines[i].char_indices().map(|(at, _)| at).nth(dice.below(lines[i].chars().count().max(1)));
            let mark = dice.one_of(&[
                "{", "}", "[", "]", ":", ",", "'", "\"", "#", "&a", "*a", "!", "|", "-", "?", "\t", "é", "$",
            ]);
            lines[i].insert_str(at.unwrap_or(0), mark);
        }
        7 => {
            if let Some(end) = lines[i].rfind('}') {
                lines[i].insert_str(end, dice.one_of(&EXTRAS));
            }
        }
        _ => {
            let words = words(&lines[i]);
            if !words.is_empty() {
                let (start, end) = words[dice.below(words.len())];
                lines[i].replace_range(start..end, dice.one_of(&SCALARS));
            }
        }
    }
    lines.join("\n") + "\n"
}

/// Byte ranges of what looks like a key or a value.
fn words(line: &str) -> Vec<(usize, usize)> {
    let inside = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '$' | '/' | '-');
    let mut found = Vec::new();
    let mut start = None;
    for (at, c) in line.char_indices().chain([(line.len(), ' ')]) {
        match (start, inside(c)) {
            (None, true) => start = Some(at),
            (Some(from), false) => {
                found.push((from, at));
                start = None;
            }
            _ => {}
        }
    }
    found
}

/// Mistakes, and whether the text was YAML.
fn run(text: &str) -> (Diagnostics, bool) {
    match read(text.as_bytes(), root(), &[]) {
        Ok(document) => (mistakes_beyond_text(&Model::of(document)), true),
        Err(mistakes) => {
            let parsed = mistakes.0.iter().all(|d| !d.code.starts_with('Y'));
            (mistakes, parsed)
        }
    }
}

fn check(name: &str, text: &str) -> bool {
    let outcome = catch_unwind(AssertUnwindSafe(|| run(text)));
    let Ok((mistakes, parsed)) = outcome else { panic!("{name}: panic on\n{text}") };
    for d in &mistakes.0 {
        assert!(!d.message.trim().is_empty(), "{name}: {} without a message on\n{text}", d.code);
        assert!(
            d.help.as_deref().is_some_and(|h| !h.trim().is_empty()),
            "{name}: no help for {d} on\n{text}"
        );
        assert!(d.span.is_some() || !parsed, "{name}: no place for {d} on\n{text}");
        if let Some(s) = d.span {
            let width = text.lines().nth(s.line as usize - 1).map_or(0, |l| l.chars().count());
            let lines = text.lines().count();
            let within = s.line as usize <= lines && s.column as usize <= width + 1;
            assert!(within || !parsed, "{name}: {}:{} is outside of\n{text}\n{d}", s.line, s.column);
        }
    }
    mistakes.0.is_empty()
}

#[test]
fn damaged_circuits_are_refused_in_words() {
    let mut circuits: Vec<(String, String)> =
        ALL.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect();
    for path in files_of(&root().join("circuits"), "yaml") {
        let text = std::fs::read_to_string(&path).expect("a circuit");
        circuits.push((path.display().to_string(), text));
    }
    let mut dice = Dice(20_250_401);
    let (mut accepted, mut refused) = (0u64, 0u64);
    for (name, text) in &circuits {
        let cases = if ALL.iter().any(|(n, _)| n == name) { CASES } else { CASES / 10 };
        for case in 0..cases {
            let mut damaged = text.clone();
            for _ in 0..=dice.below(3) {
                damaged = damage(&damaged, &mut dice);
            }
            if check(&format!("{name} {case}"), &damaged) {
                accepted += 1;
            } else {
                refused += 1;
            }
        }
    }
    // Both happen often, or the damage is of no use as a test.
    assert!(refused > 5 * accepted / 4 && accepted > 20, "{accepted} accepted, {refused} refused");
}

/// A value of one place put at another.
#[test]
fn exchanged_values_are_refused_in_words() {
    let mut dice = Dice(7);
    for (name, text) in ALL {
        let places = odd::places(text);
        for case in 0..CASES {
            let (from, to) = (&places[dice.below(places.len())], &places[dice.below(places.len())]);
            let value = odd::get(text, from);
            check(
                &format!("{name} {case}: {} := {}", to.join("."), from.join(".")),
                &odd::put(text, to, &value),
            );
        }
    }
}
