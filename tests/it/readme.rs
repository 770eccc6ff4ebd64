//! The commands and outputs of the README and of `docs/` are real: each ```console block is run and compared; `...` leaves
//! lines out.

use crate::binary::run_in;
use crate::support::root;
use std::path::Path;

fn document(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Commands of a document's console blocks and what it prints below them.
fn sessions(name: &str) -> Vec<(String, String)> {
    let text = document(name);
    let mut all = Vec::new();
    for block in text.split("```console\n").skip(1) {
        let body = block.split("```").next().unwrap_or_default();
        let (command, output) = body.split_once('\n').unwrap_or((body, ""));
        let command = command.strip_prefix("$ ").expect("a block starts with a command");
        all.push((command.to_owned(), output.to_owned()));
    }
    all
}

/// Minutes without optimisation; compared in release.
const LONG: &[&str] = &["pulvinar experiment hopfield"];

/// Hash digits depend on the processor's rounding; everything else is compared to the letter.
fn without_hash(text: &str) -> String {
    text.lines().map(|l| l.split(", sha256 ").next().unwrap_or(l).trim_end()).collect::<Vec<_>>().join("\n")
}

/// What the commands name, copied to where they may write.
fn copied() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let mut folders = vec!["circuits".to_owned(), "tests/bad".to_owned(), "tests/golden".to_owned()];
    while let Some(folder) = folders.pop() {
        std::fs::create_dir_all(dir.path().join(&folder)).expect("a folder");
        for entry in std::fs::read_dir(root().join(&folder)).expect("a folder") {
            let entry = entry.expect("readable");
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                folders.push(name);
            } else {
                std::fs::copy(entry.path(), dir.path().join(&name)).expect("copied");
            }
        }
    }
    dir
}

/// Runs the commands of a document one after another, in a folder of their own.
fn prints_what_it_shows(document: &str) {
    let folder = copied();
    for (command, want) in sessions(document) {
        let words = command.strip_prefix("cargo run --release -- ").or(command.strip_prefix("pulvinar "));
        let Some(words) = words else {
            assert_eq!(command, "cargo test --release", "only these commands are known");
            continue;
        };
        if cfg!(debug_assertions) && LONG.contains(&command.as_str()) {
            continue;
        }
        let arguments: Vec<&str> = words.split_whitespace().collect();
        let got = run_in(folder.path(), &arguments);
        let shown = got.stdout + &got.stderr;
        let (shown, want) = (without_hash(shown.trim_end()), without_hash(want.trim_end()));
        let whole = format!("{shown}\n");
        // A line `...` stands for lines left out; what is shown must be there, in this order, to the letter.
        let mut rest = whole.as_str();
        for (number, part) in want.split("\n...\n").enumerate() {
            let at = rest
                .find(&format!("{part}\n"))
                .unwrap_or_else(|| panic!("{document}: {command}\n{shown}\nhas not\n{part}"));
            assert!(number > 0 || at == 0, "{document}: {command}: starts with\n{part}");
            rest = &rest[at + part.len()..];
        }
        assert_eq!(rest, "\n", "{document}: {command}: ends with more\n{shown}");
    }
}

/// One test for each document: they run side by side.
macro_rules! documents {
    ($($test:ident: $name:literal;)*) => {
        /// Documents that show commands.
        const SHOWING: &[&str] = &[$($name),*];
        $(#[test]
        fn $test() {
            prints_what_it_shows($name);
        })*
    };
}

documents! {
    readme: "README.md";
    experiments: "docs/experiments.md";
    figures: "docs/figures.md";
    heads: "docs/heads.md";
    learning: "docs/learning.md";
    match_and_control: "docs/match-and-control.md";
    models: "docs/models.md";
}

/// Documents without commands.
const QUIET: &[&str] = &[
    "docs/architectures.md",
    "docs/cells.md",
    "docs/circuits.md",
    "docs/glossary.md",
    "docs/rust.md",
    "docs/validation.md",
    "docs/verbs.md",
];

fn documents() -> impl Iterator<Item = &'static str> {
    SHOWING.iter().chain(QUIET).copied()
}

#[test]
fn every_document_is_among_them_and_links_lead_somewhere() {
    let mut names: Vec<String> = std::fs::read_dir(root().join("docs"))
        .expect("docs/")
        .map(|e| format!("docs/{}", e.expect("readable").file_name().to_string_lossy()))
        .collect();
    names.push("README.md".to_owned());
    names.sort();
    let mut listed: Vec<&str> = documents().collect();
    listed.sort_unstable();
    assert_eq!(names, listed);
    assert!(SHOWING.iter().all(|name| !sessions(name).is_empty()), "a document that shows nothing");
    assert!(QUIET.iter().all(|name| sessions(name).is_empty()), "commands that nobody runs");
    for name in documents() {
        let folder = root().join(name).parent().expect("a folder").to_owned();
        for link in document(name).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap_or_default();
            assert!(path.contains("://") || folder.join(path).exists(), "{name}: no {link}");
        }
    }
}

#[test]
fn the_readme_is_short() {
    assert!(document("README.md").len() <= 12 * 1024);
}

#[test]
fn the_circuit_in_the_readme_compiles() {
    let text = document("README.md");
    let yaml = text.split("```yaml\n").nth(1).and_then(|t| t.split("```").next()).expect("a circuit");
    assert_eq!(yaml.trim_end().lines().count(), 12, "twelve lines");
    let document =
        pulvinar::spec::read(yaml.as_bytes(), Path::new("."), &[]).unwrap_or_else(|d| panic!("{d}"));
    let circuit = pulvinar::circuit::wire(&document.spec, &document.folder).unwrap_or_else(|d| panic!("{d}"));
    let compiled = pulvinar::compile::compile(&circuit).unwrap_or_else(|d| panic!("{d}"));
    assert_eq!(compiled.blocks[0].heads.len(), 2);
}

/// Every circuit is named, and so is every path that a reader needs.
#[test]
fn what_the_documents_name_exists() {
    let text: String = documents().map(document).collect();
    for file in crate::support::every_shipped() {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(text.contains(&format!("`{name}`")), "no document names circuit {name}");
    }
    for path in [
        "circuits/pulvinar.schema.json",
        "tests/golden/generate.py",
        "tests/golden/minilm.py",
        "circuits/data/transformer/README.md",
        "benches/README.md",
        "circuits/data/README.md",
    ] {
        assert!(text.contains(path) && root().join(path).exists(), "{path}");
    }
}
