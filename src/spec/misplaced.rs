//! Sections that stand inside another one because their line is indented too far: one mistake, told once.

use super::fields::join;
use super::node::{Key, Node, Value};
use crate::diag::{Diagnostic, Diagnostics, codes};

/// Top-level keys that no relay, area or projection is likely to be named after.
const SECTIONS: [&str; 14] = [
    "schema",
    "parameters",
    "tokens",
    "thalamus",
    "areas",
    "projections",
    "output",
    "expect",
    "simulation",
    "loss",
    "task",
    "train",
    "lesions",
    "protocol",
];

/// Reports sections that stand inside others, and puts them where they belong, so that nothing follows from it.
pub fn lift(root: &mut Node, d: &mut Diagnostics) {
    let Value::Map(entries) = &mut root.value else { return };
    let mut lifted = Vec::new();
    for (key, node) in entries.iter_mut().filter(|(k, _)| k.name != "parameters") {
        let table = matches!(key.name.as_str(), "thalamus" | "areas" | "projections");
        take(node, &key.name, table, &mut lifted);
    }
    for (inside, key, node) in lifted {
        d.push(
            Diagnostic::error(
                codes::S012,
                join(&inside, &key.name),
                format!("`{}` stands inside `{inside}`", key.name),
            )
            .help(format!(
                "it is a section of its own: write `{}:` at the start of a line, without blanks before it",
                key.name
            ))
            .at(key.span),
        );
        if !entries.iter().any(|(k, _)| k.name == key.name) {
            entries.push((key, node));
        }
    }
}

/// Takes the sections out of a node. In a `table` of relays, areas or projections every name is the user's, so a name of a
/// section counts only if its value is no relay, area or projection.
fn take(node: &mut Node, path: &str, table: bool, lifted: &mut Vec<(String, Key, Node)>) {
    let Value::Map(entries) = &mut node.value else { return };
    let found = |(key, value): &(Key, Node)| is_section(&key.name, value, table);
    while let Some(at) = entries.iter().position(found) {
        let (key, mut value) = entries.remove(at);
        let tables = matches!(key.name.as_str(), "thalamus" | "areas" | "projections");
        take(&mut value, &key.name, tables, lifted);
        lifted.push((path.to_owned(), key, value));
    }
    for (key, value) in entries {
        take(value, &join(path, &key.name), false, lifted);
    }
}

fn is_section(name: &str, value: &Node, table: bool) -> bool {
    let has = |node: &Node, keys: &[&str]| keys.iter().any(|k| node.get(k).is_some());
    let any = |keys: &[&str]| match &value.value {
        Value::Map(entries) => entries.iter().any(|(_, inner)| has(inner, keys)),
        _ => false,
    };
    match name {
        "thalamus" => any(&["pathway"]),
        "areas" => any(&["populations", "template"]),
        "projections" => any(&["from", "weights"]),
        _ => {
            table
                && SECTIONS.contains(&name)
                && !has(value, &["pathway", "populations", "template", "from", "to", "weights"])
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::spec;
    use std::path::Path;

    const GOOD: &str = "schema: pulvinar/1
name: x
tokens: {d_model: 4, mask: causal}
thalamus:
  Q: {pathway: core, per: [query], cells: 4}
  C: {pathway: matrix, per: [context], cells: 4}
  HO: {pathway: core, per: [query], cells: 4}
areas:
  A1: {template: {attention_mask_head: {query: Q, context: C, to: HO, d_k: 2, d_v: 2}}}
projections:
  skip: {from: Q, to: HO.basal, weights: identity}
output: HO
expect: {blocks: 1}
";

    /// The text with the section's lines, from its key on, `by` blanks further in.
    fn indented(section: &str, by: usize) -> String {
        let mut inside = false;
        let lines = GOOD.lines().map(|line| {
            inside = if line.starts_with(' ') { inside } else { line.starts_with(section) };
            format!("{}{line}\n", " ".repeat(if inside { by } else { 0 }))
        });
        lines.collect()
    }

    #[test]
    fn one_mistake_for_a_section_that_is_indented() {
        assert!(spec::read(GOOD.as_bytes(), Path::new("."), &[]).is_ok());
        for (section, inside) in [("areas", "thalamus"), ("projections", "areas"), ("output", "projections")]
        {
            let text = indented(section, 2);
            let found = spec::read(text.as_bytes(), Path::new("."), &[]).unwrap_err();
            assert_eq!(found.0.len(), 1, "{section}: {found}");
            assert!(found.0[0].message.contains(&format!("`{section}` stands inside `{inside}`")), "{found}");
            let line = text.lines().position(|l| l.trim_start().starts_with(section)).unwrap() + 1;
            assert_eq!(found.0[0].span.unwrap().line as usize, line);
        }
    }

    #[test]
    fn two_levels_of_it_are_two_mistakes() {
        let text = GOOD
            .replace("areas:\n  A1", "  areas:\n    A1")
            .replace("projections:\n  skip", "    projections:\n      skip");
        let found = spec::read(text.as_bytes(), Path::new("."), &[]).unwrap_err();
        assert_eq!(found.0.len(), 2, "{found}");
    }

    #[test]
    fn relays_and_areas_may_be_named_like_sections() {
        let text = GOOD.replace("HO", "output").replace("A1", "projections").replace("skip:", "areas:");
        let read = spec::read(text.as_bytes(), Path::new("."), &[]);
        assert!(read.is_ok(), "{}", read.unwrap_err());
    }
}
