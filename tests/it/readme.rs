//! The README's commands and outputs are real: each ```console block is run and compared; `...` leaves lines out.

use crate::binary::run_in;
use crate::support::root;
use std::path::Path;

/// Commands of the README's console blocks and what it prints below them.
fn sessions() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join("README.md")).expect("README.md");
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

#[test]
fn commands_print_what_the_readme_shows() {
    let sessions = sessions();
    assert!(sessions.len() >= 4, "the README shows its commands");
    let folder = copied();
    let mut compared = 0;
    for (command, want) in sessions {
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
                .unwrap_or_else(|| panic!("{command}\n{shown}\nhas not\n{part}"));
            assert!(number > 0 || at == 0, "{command}: starts with\n{part}");
            rest = &rest[at + part.len()..];
        }
        assert_eq!(rest, "\n", "{command}: ends with more\n{shown}");
        compared += 1;
    }
    assert!(compared >= 3);
}

#[test]
fn the_circuit_in_the_readme_compiles() {
    let text = std::fs::read_to_string(root().join("README.md")).expect("README.md");
    let yaml = text.split("```yaml\n").nth(1).and_then(|t| t.split("```").next()).expect("a circuit");
    assert_eq!(yaml.trim_end().lines().count(), 12, "twelve lines");
    let document =
        pulvinar::spec::read(yaml.as_bytes(), Path::new("."), &[]).unwrap_or_else(|d| panic!("{d}"));
    let circuit = pulvinar::circuit::wire(&document.spec, &document.folder).unwrap_or_else(|d| panic!("{d}"));
    let compiled = pulvinar::compile::compile(&circuit).unwrap_or_else(|d| panic!("{d}"));
    assert_eq!(compiled.blocks[0].heads.len(), 2);
}

/// Every circuit, verb and path that the README names is there.
#[test]
fn what_the_readme_names_exists() {
    let text = std::fs::read_to_string(root().join("README.md")).expect("README.md");
    for file in crate::support::every_shipped() {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(text.contains(&format!("`{name}`")), "the README does not name circuit {name}");
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
