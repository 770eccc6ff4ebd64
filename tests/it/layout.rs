//! The tidy rules of the repository: who imports whom, how long files are, what is absent.

use super::support::root;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What every module but `oracle` may import.
const BASE: [&str; 7] = ["diag", "units", "memory", "seed", "linalg", "files", "vocabulary"];

/// Each module, and what it may import beside the base row. The base row itself is listed in full: it looks downward.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("diag", &[]),
    ("units", &[]),
    ("memory", &["diag"]),
    ("seed", &["diag"]),
    ("linalg", &["diag"]),
    ("files", &["diag", "units", "memory", "seed", "linalg"]),
    ("vocabulary", &["linalg"]),
    ("oracle", &[]),
    ("spec", &[]),
    ("circuit", &["spec"]),
    ("attention", &[]),
    ("compile", &["circuit", "attention", "spec"]),
    ("simulate", &["circuit", "attention", "spec"]),
    ("plasticity", &["circuit", "attention", "spec", "simulate"]),
    ("weights", &["circuit", "attention", "spec"]),
    ("answer", &["circuit", "attention", "compile"]),
    ("model", &["circuit", "attention", "spec", "compile", "simulate", "plasticity", "weights"]),
    (
        "experiments",
        &["circuit", "attention", "spec", "compile", "simulate", "plasticity", "weights", "model", "oracle"],
    ),
    (
        "figures",
        &[
            "circuit",
            "attention",
            "spec",
            "compile",
            "simulate",
            "plasticity",
            "weights",
            "model",
            "answer",
            "experiments",
            "report",
        ],
    ),
    (
        "report",
        &[
            "circuit",
            "attention",
            "spec",
            "compile",
            "simulate",
            "plasticity",
            "weights",
            "model",
            "answer",
            "experiments",
            "figures",
        ],
    ),
];

/// These see everything: the program, and the roots of the crates.
const TOP: [&str; 2] = ["cli", "lib"];

/// The crates by the folder of their sources, and what they may not depend on: the library draws nothing, and only the program
/// knows terminals.
const CRATES: [(&str, &str, &[&[&str]]); 3] = [
    ("Cargo.toml", "src", &[&["pulvinar-lab", "pulvinar-cli"], DRAWING, TERMINALS]),
    ("crates/lab/Cargo.toml", "crates/lab/src", &[&["pulvinar-cli"], TERMINALS]),
    ("crates/cli/Cargo.toml", "crates/cli/src", &[DRAWING]),
];
const DRAWING: &[&str] = &["plotters", "ab_glyph", "png"];
const TERMINALS: &[&str] =
    &["clap", "clap_complete", "clap_mangen", "annotate-snippets", "anstream", "indicatif"];

const MOST_LINES: usize = 400;

/// One source file: its path from the root of the repository, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// `src/spec/node.rs` and `src/spec.rs` belong to `spec`, `crates/lab/src/report/mod.rs` to `report`, all of the program to `cli`.
    fn module(&self) -> &str {
        if self.path.starts_with("crates/cli/") {
            return "cli";
        }
        let inside = self.path.split_once("src/").map_or(self.path.as_str(), |(_, inside)| inside);
        inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs")
    }

    /// The text without comments, strings left as they are.
    fn code(&self) -> String {
        self.text.lines().map(|l| l.split("//").next().unwrap_or(l)).collect::<Vec<_>>().join("\n")
    }

    /// The code without the unit tests, which stand at the end of a file or in files of their own.
    fn shipped(&self) -> String {
        let in_tests =
            self.path.contains("/tests/") || self.path.contains("test") || self.path.contains("fuzz");
        let code = self.code();
        match code.find("#[cfg(test)]\nmod tests {") {
            _ if in_tests => String::new(),
            Some(at) => code[..at].to_owned(),
            None => code,
        }
    }
}

fn sources(folder: &str) -> Vec<Source> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    walk(&root().join(folder), &mut paths);
    paths.sort();
    paths
        .into_iter()
        .map(|p| Source {
            text: std::fs::read_to_string(&p).expect("UTF-8"),
            path: p.strip_prefix(root()).expect("inside").to_string_lossy().replace('\\', "/"),
        })
        .collect()
}

/// The sources of all crates.
fn product() -> impl Iterator<Item = Source> {
    CRATES.iter().flat_map(|(_, folder, _)| sources(folder))
}

/// Modules that code names by `crate::X` or `crate::{X, Y::z}`, in its own crate or in one of ours.
fn imports(code: &str) -> BTreeSet<String> {
    let starts = ["crate::", "pulvinar::", "pulvinar_lab::", "pulvinar_cli::"];
    starts.iter().flat_map(|start| imports_by(start, code)).collect()
}

fn imports_by(start: &str, code: &str) -> BTreeSet<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(start) {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + start.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            found.insert(name(rest));
            continue;
        };
        let (mut depth, mut fresh) = (1, true);
        for (i, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => fresh = true,
                c if fresh && c.is_alphabetic() => {
                    found.insert(name(&group[i..]));
                    fresh = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    found.remove("");
    found
}

#[test]
fn modules_import_only_what_they_may() {
    let mut wrong = Vec::new();
    for source in product() {
        let module = source.module();
        if TOP.contains(&module) {
            continue;
        }
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(m, _)| *m == module) else {
            wrong.push(format!("{}: add module `{module}` to the table", source.path));
            continue;
        };
        let unit_tests = imports(&source.code());
        let shipped = imports(&source.shipped());
        let low = BASE.contains(&module) || module == "oracle";
        let may = |name: &str| name == module || allowed.contains(&name) || !low && BASE.contains(&name);
        for name in &shipped {
            // A macro or an item at the root of the crate is no module.
            let is_module = MAY_IMPORT.iter().any(|(m, _)| m == name) || TOP.contains(&name.as_str());
            if is_module && !may(name) {
                wrong.push(format!("{}: `{module}` may not import `{name}`", source.path));
            }
        }
        // Unit tests may ask the oracle, and use what their module may use; the oracle asks nobody.
        for name in unit_tests.difference(&shipped) {
            if module == "oracle" && name != "oracle" {
                wrong.push(format!(
                    "{}: the oracle may import nothing, not even `{name}` in tests",
                    source.path
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_import_rule_reads_all_forms() {
    let rows: &[(&str, &str, &[&str])] = &[
        ("a path", "let x = crate::seed::stream(1);", &["seed"]),
        ("an import", "use crate::diag::{Diagnostic, codes};", &["diag"]),
        ("a group", "use crate::{circuit::{Kind, wire}, seed,\n spec::read};", &["circuit", "seed", "spec"]),
        ("visibility is no module", "pub(crate) fn f() {}", &[]),
        (
            "another crate of ours",
            "use pulvinar::seed; pulvinar_lab::{figures::plot, report}",
            &["figures", "report", "seed"],
        ),
        ("another crate", "mycrate::x::y()", &[]),
    ];
    for (claim, code, want) in rows {
        assert_eq!(imports(code), want.iter().map(|w| (*w).to_owned()).collect(), "{claim}");
    }
}

#[test]
fn crates_depend_only_on_what_they_may() {
    let mut wrong = Vec::new();
    for (manifest, _, forbidden) in CRATES {
        let text = std::fs::read_to_string(root().join(manifest)).expect("a manifest");
        let tables = text.split("\n[").filter(|table| {
            table
                .split_once(']')
                .is_some_and(|(name, _)| name.ends_with("dependencies") && !name.starts_with("workspace"))
        });
        let names: Vec<&str> = tables
            .flat_map(|table| table.lines().skip(1))
            .filter_map(|line| line.split(['.', ' ', '=']).next())
            .filter(|name| !name.is_empty())
            .collect();
        assert!(names.len() > 5, "{manifest}: the dependencies are not read: {names:?}");
        for name in names {
            // Tests of the program look into the pictures that it drew.
            let in_tests = manifest == "crates/cli/Cargo.toml" && name == "png";
            if forbidden.iter().any(|group| group.contains(&name)) && !in_tests {
                wrong.push(format!("{manifest} may not depend on {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_are_short() {
    let mut wrong = Vec::new();
    for source in product().chain(sources("tests")) {
        let lines = source.text.lines().count();
        if lines > MOST_LINES {
            wrong.push(format!("{} has {lines} lines, more than {MOST_LINES}", source.path));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn modules_say_what_they_are_and_lack() {
    let mut wrong = Vec::new();
    for source in product() {
        if !source.text.starts_with("//! ") && !source.path.ends_with("tests.rs") {
            wrong.push(format!("{} does not begin with what it is", source.path));
        }
        let top = source.path.ends_with(&format!("src/{}/mod.rs", source.module()));
        if top && !TOP.contains(&source.module()) && !source.text.contains("**Deliberately absent:**") {
            wrong.push(format!("{} does not say what is deliberately absent", source.path));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_command_line_prints() {
    let mut wrong = Vec::new();
    for source in product().filter(|s| s.module() != "cli") {
        let code = source.shipped();
        for word in ["println!", "print!(", "dbg!(", "std::process::exit"] {
            if code.contains(word) {
                wrong.push(format!("{} uses {word}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The order of a hash map changes from run to run; looking something up is all it is for.
#[test]
fn nobody_iterates_over_a_hash_map() {
    let mut wrong = Vec::new();
    for source in product() {
        let code = source.shipped();
        for name in hash_maps(&code) {
            for method in [
                "iter()",
                "iter_mut()",
                "values()",
                "values_mut()",
                "keys()",
                "into_iter()",
                "into_values()",
                "into_keys()",
                "drain(",
                "retain(",
            ] {
                let call = format!("{name}.{method}");
                let word = |c: char| c.is_alphanumeric() || c == '_';
                if code.match_indices(&call).any(|(at, _)| !code[..at].ends_with(word)) {
                    wrong.push(format!("{}: `{call}` is in the order of a hash map", source.path));
                }
            }
            for form in [format!("in {name} {{"), format!("in &{name} {{"), format!("in &self.{name} {{")] {
                if code.contains(&form) {
                    wrong.push(format!("{}: `{form}` is in the order of a hash map", source.path));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Names of variables, fields and arguments whose type or first value is a hash map or set.
fn hash_maps(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in code.lines().filter(|l| !l.trim_start().starts_with("use ")) {
        let Some(at) = line.find("HashMap").or_else(|| line.find("HashSet")) else { continue };
        let before = line[..at].trim_end_matches(|c: char| !matches!(c, ':' | '='));
        let before = before.trim_end_matches([':', '=', ' ']);
        let before = before.split(':').next().unwrap_or(before);
        let name: String = before.chars().rev().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let name: String = name.chars().rev().collect();
        if !name.is_empty() && name != "fn" {
            found.insert(name);
        }
    }
    found
}

#[test]
fn hash_maps_are_recognised() {
    let code = "use std::collections::HashMap;\nlet mut place: HashMap<u32, f64> = HashMap::new();\n\
                let local = HashMap::new();\n    form_index: HashMap<(u32, u32), Atom>,\nlet list = Vec::new();";
    let names: Vec<String> = hash_maps(code).into_iter().collect();
    assert_eq!(names, ["form_index", "local", "place"]);
}
