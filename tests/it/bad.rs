//! The corpus of wrong circuits in `tests/bad`.
//!
//! Every file opens with the diagnostics that it must cause, in order: `# error[C010] 17:12 no population ...`.
//! `UPDATE_EXPECT=1 cargo test --test it bad` rewrites these lines; read the difference before committing it.

use super::mistakes::{files_of, mistakes_of};
use super::support::root;
use pulvinar::diag::{Diagnostic, Severity, codes};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The corpus, named from the root of the repository: some messages name files.
fn corpus() -> Vec<PathBuf> {
    std::env::set_current_dir(root()).expect("the root");
    files_of(Path::new("tests/bad"), "yaml")
}

/// Codes of circuits that no file of the corpus causes, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    ("Y008", "needs a file of more than 16 MiB: hostile::files_that_are_too_large"),
    (
        "C080",
        "needs a limit on memory: bounded::refused_with_the_number_and_the_limit_before_anything_is_taken",
    ),
    ("C054", "needs the tokens of a run: cells_run::traces_are_bounded_before_the_run"),
    ("N022", "what a relay per [context] combines is a map of its token since maps are compiled"),
    ("N023", "a nonlinear direct path is a map of its token since maps are compiled"),
    (
        "N021",
        "a memory is per [context]: wiring aligns queries to it or refuses them (C019), so none arrives",
    ),
];

/// The first line that a diagnostic puts into its file.
fn line_of(d: &Diagnostic) -> String {
    let word = if d.severity == Severity::Error { "error" } else { "warning" };
    let place = d.span.map_or(String::new(), |s| format!(" {}:{}", s.line, s.column));
    format!("# {word}[{}]{place} {}", d.code, d.message)
}

/// Splits a file into the lines that hold what is expected, and the rest. The rest need not be UTF-8.
fn split(bytes: &[u8]) -> (Vec<String>, &[u8]) {
    let mut expected = Vec::new();
    let mut rest = bytes;
    while rest.starts_with(b"# error[") || rest.starts_with(b"# warning[") {
        let end = rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |i| i + 1);
        expected.push(String::from_utf8_lossy(&rest[..end]).trim_end().to_owned());
        rest = &rest[end..];
    }
    (expected, rest)
}

fn found_in(path: &Path) -> (Vec<Diagnostic>, Vec<String>) {
    let found = mistakes_of(path).0;
    let lines = found.iter().map(line_of).collect();
    (found, lines)
}

/// Writes the diagnostics of a file into it. Lines that are added move the places below, hence the repetition.
fn rewrite(path: &Path) {
    for _ in 0..3 {
        let bytes = std::fs::read(path).expect("a readable file");
        let (expected, rest) = split(&bytes);
        let (_, found) = found_in(path);
        if found == expected {
            return;
        }
        let mut text: Vec<u8> = found.iter().flat_map(|l| format!("{l}\n").into_bytes()).collect();
        text.extend_from_slice(rest);
        std::fs::write(path, text).expect("a writable file");
    }
    panic!("{}: the places do not settle", path.display());
}

#[test]
fn every_mistake_is_reported_at_its_place() {
    let files = corpus();
    assert!(files.len() >= 55, "only {} wrong circuits", files.len());
    let mut wrong = Vec::new();
    for path in &files {
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            rewrite(path);
        }
        let bytes = std::fs::read(path).expect("a readable file");
        let (expected, _) = split(&bytes);
        let (found, lines) = found_in(path);
        let name = path.file_name().expect("a file").to_string_lossy();
        if expected != lines || lines.is_empty() {
            wrong.push(format!(
                "{name} expects\n  {}\nbut has\n  {}",
                expected.join("\n  "),
                lines.join("\n  ")
            ));
        }
        for d in &found {
            let line = line_of(d);
            if d.help.as_deref().is_none_or(str::is_empty) {
                wrong.push(format!("{name}: no help for {line}"));
            }
            // A file that cannot be parsed as a whole has no place inside it.
            if d.span.is_none() && !["Y002", "Y005"].contains(&d.code) {
                wrong.push(format!("{name}: no place for {line}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n(UPDATE_EXPECT=1 rewrites the first lines)", wrong.join("\n"));
}

#[test]
fn every_code_about_circuits_is_caused_by_some_file() {
    let mut caused: BTreeSet<&str> = BTreeSet::new();
    for path in corpus() {
        caused.extend(found_in(&path).0.iter().map(|d| d.code));
    }
    assert!(caused.len() >= 45, "only {} distinct codes", caused.len());
    for (code, reason) in ELSEWHERE {
        assert!(
            !caused.contains(code),
            "{code} is caused by a file now; no need for the exception: {reason}"
        );
    }
    let missing: Vec<&str> = codes::ALL
        .iter()
        .map(|c| c.code)
        .filter(|c| matches!(c.as_bytes()[0], b'Y' | b'S' | b'C' | b'N'))
        .filter(|c| !caused.contains(c) && !ELSEWHERE.iter().any(|(e, _)| e == c))
        .collect();
    assert!(missing.is_empty(), "no file in tests/bad causes {}", missing.join(", "));
}
