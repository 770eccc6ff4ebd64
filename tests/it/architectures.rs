//! Layers of tiny models of many architectures: read, written as circuits, run, and compared with what PyTorch recorded
//! (`tests/golden/architectures`). The same rows are the table of `docs/architectures.md`.

use super::binary::run_in;
use super::support::{oracle_output, root};
use nalgebra::DMatrix;
use pulvinar::compile::compile;
use pulvinar::diag::Diagnostic;
use pulvinar::files::{read_array, write_npy, write_safetensors};
use pulvinar::simulate::inputs::Overrides;
use pulvinar::simulate::{inputs, run};
use pulvinar::weights::model::keys::KEYS;
use pulvinar::weights::model::refused::REFUSED;
use pulvinar::weights::model::rows::ARCHITECTURES;
use pulvinar::weights::{self, Loaded, Options, Part, Style, import::import_layer};
use pulvinar::{circuit, spec};
use rayon::prelude::*;
use serde_json::Value;
use std::path::PathBuf;

/// Where the recorded run was in double precision throughout, relative to the largest output.
const DOUBLE: f64 = 1e-10;
/// Where PyTorch computes angles or softmax in single precision.
const SINGLE: f64 = 1e-6;

struct Case {
    name: String,
    folder: PathBuf,
    options: Options,
    /// angles or softmax are in single precision
    single: bool,
}

enum Outcome {
    /// the largest error over the largest output
    Equal(f64),
    Refused(Diagnostic),
}

fn cases() -> Vec<Case> {
    let here = root().join("tests/golden/architectures");
    let text = std::fs::read_to_string(here.join("cases.json")).expect("cases");
    let list: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let number = |v: &Value, key: &str| v[key].as_u64().map(|n| usize::try_from(n).expect("small"));
    let case = |v: &Value| Case {
        name: v["name"].as_str().expect("a name").to_owned(),
        folder: here.join(v["name"].as_str().expect("a name")),
        options: Options {
            layer: number(v, "layer"),
            heads: number(v, "heads"),
            length: number(v, "length"),
            part: v["part"].as_str().map(|p| match p {
                "encoder" => Part::Encoder,
                "decoder" => Part::Decoder,
                _ => Part::Cross,
            }),
            like: v["as"].as_str().map(str::to_owned),
            prefix: v["prefix"].as_str().map(str::to_owned),
            mask: v["mask"].as_str().map(|_| pulvinar::attention::Mask::Causal),
            ..Options::default()
        },
        single: v["angles"] == true,
    };
    list.iter().map(case).collect()
}

fn array(case: &Case, name: &str) -> Option<DMatrix<f64>> {
    let array = read_array(&case.folder.join("recorded.npz"), Some(name)).ok()?;
    Some(DMatrix::from_column_slice(array.shape[1], array.shape[0], &array.data))
}

/// The layer as it is read, and how its circuit compares with what PyTorch gave.
fn outcome(case: &Case) -> (Option<Loaded>, Outcome) {
    let loaded = match weights::read_layer(&case.folder, &case.options) {
        Ok(loaded) => loaded,
        Err(refused) => return (None, Outcome::Refused(refused)),
    };
    let dir = tempfile::tempdir().expect("a folder");
    let style = Style {
        name: case.name.clone(),
        weights_file: "w.safetensors".into(),
        wiring: None,
        ignored: Vec::new(),
    };
    let imported = match import_layer(&case.folder, &loaded, &style) {
        Ok(imported) => imported,
        Err(refused) => return (Some(loaded), Outcome::Refused(refused)),
    };
    write_safetensors(&dir.path().join("w.safetensors"), &imported.weights, &[]).expect("written");
    let name = &case.name;
    let yaml = &imported.yaml;
    let document =
        spec::read(yaml.as_bytes(), dir.path(), &[]).unwrap_or_else(|d| panic!("{name}: {d}\n{yaml}"));
    let wired = circuit::wire(&document.spec, dir.path()).unwrap_or_else(|d| panic!("{name}: {d}\n{yaml}"));
    // What nobody but the circuit knows, as the places of tokens, it makes itself.
    let mut given = Overrides::new();
    for name in ["x", "context"] {
        if let Some(tokens) = array(case, name) {
            let path = dir.path().join(format!("{name}.npy"));
            write_npy(&path, &tokens).expect("written");
            given.insert(if name == "x" { "main" } else { name }.to_owned(), path);
        }
    }
    let streams = inputs(&wired, dir.path(), &given).unwrap_or_else(|d| panic!("{name}: {d}\n{yaml}"));
    let got = if loaded.beyond.is_plain() {
        let compiled = compile(&wired).unwrap_or_else(|d| panic!("{name}: {d}\n{yaml}"));
        run::<f64>(&compiled.plain_blocks(), &streams).unwrap_or_else(|d| panic!("{name}: {d}")).output
    } else {
        oracle_output(&wired, &streams)
    };
    let want = array(case, "y").expect("outputs");
    assert_eq!(got.shape(), want.shape(), "{name}");
    let error = (&got - &want).amax() / want.amax();
    assert!(error.is_finite(), "{name}");
    (Some(loaded), Outcome::Equal(error))
}

/// One row of the table in `docs/architectures.md`; errors are rounded up to a power of ten.
fn row(case: &Case, loaded: Option<&Loaded>, outcome: &Outcome) -> String {
    let config = std::fs::read_to_string(case.folder.join("config.json")).unwrap_or_default();
    let config: Value = serde_json::from_str(&config).unwrap_or_default();
    let kind = config["model_type"].as_str().unwrap_or("(names alone)");
    let beside = loaded.map_or_else(String::new, |l| {
        let mut all = Vec::new();
        if l.shared < l.heads {
            all.push(format!("{} heads share {} key/value heads", l.heads, l.shared));
        }
        all.extend(l.beyond.names());
        all.join("; ")
    });
    let part = case.options.part.map_or("", Part::name);
    let last = match outcome {
        Outcome::Equal(error) => {
            let power = error.max(1e-16).log10().ceil();
            format!("{:.0e}{}", 10f64.powf(power).max(1e-14), if case.single { " (single)" } else { "" })
        }
        Outcome::Refused(d) => {
            let place = case.folder.display().to_string();
            let said = d.message.replace(&format!("`{place}/config.json`: "), "");
            format!("refused ({}): {}", d.code, said.replace(&format!("`{place}`: "), "").replace('|', "/"))
        }
    };
    format!("| {} | {kind} | {part} | {beside} | {last} |", case.name)
}

/// The page: what is written around the table, and the table.
fn page(rows: &[String]) -> String {
    let mut text = String::from(
        "# Architectures

`pulvinar import DIR --layer L -o FILE.yaml` reads a model that says what it is: `config.json` beside `*.safetensors`. `model_type` is looked up
in a table of architectures; nothing is guessed. A type that is not known, a key of the configuration that may change what a layer computes, a
tensor inside the layer: each is refused by its name (F034, F018). `--as TYPE` reads a model like one of another type, `--ignore NAME` leaves
a key or tensor out; every verdict then says so. `--part encoder|decoder|cross` chooses where there are several attentions, `--stage S` the stage of
hierarchical models; `--length N` fixes what depends on the number of tokens. Layers count from 0.

Cross-attention reads queries from the stream `main` and keys and values from `context`: `simulate FILE.yaml --tokens main=x.npy --tokens context=c.npy`.

## Measured

Each row is one attention module of a tiny model with random weights, as its library makes and saves it (transformers 5.24, torch 2.15, timm 1.0.31,
x-transformers): read by this program, written as a circuit, and run in double precision on what the module read: compiled to heads,
or, where there is more beside them than heads hold, every cell of the circuit by plain loops (`simulate --mode cells` runs those too). The last column is
the largest error over the largest output that PyTorch gave, rounded up to a power of ten; 1e-14 stands for less. *single*: PyTorch computes
angles or softmax in single precision there although the model is in double; then 1e-6 is allowed, else 1e-10. A test keeps
this table (`tests/golden/architectures/`).

| layer | `model_type` | part | beside plain heads | error, or why it is refused |
|---|---|---|---|---|
",
    );
    for row in rows {
        text += row;
        text.push('\n');
    }
    text += "\n## Types of models that are read\n\n";
    let types: Vec<String> =
        ARCHITECTURES.iter().flat_map(|row| row.types).map(|t| format!("`{t}`")).collect();
    text += &types.join(", ");
    text += ".\n\n## Types of models that are refused\n\n| `model_type` | what it has |\n|---|---|\n";
    for (kind, why) in REFUSED {
        text += &format!("| {kind} | {why} |\n");
    }
    text += "\n## Keys of `config.json` that are read\n\n| decides | keys, the first that is there |\n|---|---|\n";
    for key in KEYS {
        let names: Vec<String> = key.names.iter().map(|n| format!("`{n}`")).collect();
        text += &format!("| {} | {} |\n", key.decides, names.join(", "));
    }
    text
}

/// Errors are of this processor: a stated one must not be exceeded, nor be a thousand times too large.
fn agrees(stated: &str, got: &str) -> bool {
    let error = |line: &str| -> Option<(String, f64)> {
        let (before, last) = line.trim_end_matches(" |").rsplit_once("| ")?;
        Some((before.to_owned(), last.split(' ').next()?.parse().ok()?))
    };
    stated == got
        || matches!((error(stated), error(got)), (Some((a, x)), Some((b, y))) if a == b && y <= x && x <= 1e3 * y)
}

#[test]
fn circuits_of_layers_compute_what_pytorch_gave_or_are_refused() {
    let cases = cases();
    let all: Vec<(Option<Loaded>, Outcome)> = cases.par_iter().map(outcome).collect();
    let mut wrong = Vec::new();
    for (case, (loaded, outcome)) in cases.iter().zip(&all) {
        let name = &case.name;
        match outcome {
            Outcome::Equal(error) => {
                let limit = if case.single { SINGLE } else { DOUBLE };
                println!("{name:20} {error:8.1e}");
                if *error > limit {
                    wrong.push(format!("{name}: {error:e}"));
                }
            }
            Outcome::Refused(d) => println!("{name:20} refused {}: {}", d.code, d.message),
        }
        // What its configuration says is not assumed.
        if let Some(loaded) = loaded
            && case.options.like.is_none()
            && case.folder.join("config.json").exists()
        {
            wrong.extend(loaded.assumed.iter().map(|a| format!("{name}: assumed {a}")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let rows: Vec<String> =
        cases.iter().zip(&all).map(|(case, (loaded, outcome))| row(case, loaded.as_ref(), outcome)).collect();
    let (path, text) = (root().join("docs/architectures.md"), page(&rows));
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &text).expect("written");
    }
    let stated = std::fs::read_to_string(&path).unwrap_or_default();
    for (stated, got) in stated.lines().zip(text.lines()) {
        assert!(
            agrees(stated, got),
            "docs/architectures.md has\n{stated}\nand not\n{got}\n(UPDATE_EXPECT=1 rewrites it)"
        );
    }
    assert_eq!(
        stated.lines().count(),
        text.lines().count(),
        "docs/architectures.md (UPDATE_EXPECT=1 rewrites it)"
    );
}

/// Every cell in time comes to the same, by the command line.
#[test]
fn cells_of_layers_settle_at_what_pytorch_gave() {
    for (name, limit) in
        [("llama", SINGLE), ("gptj", SINGLE), ("falcon_alibi", DOUBLE), ("t5_decoder", DOUBLE)]
    {
        let case = cases().into_iter().find(|c| c.name == name).expect("a case");
        let dir = tempfile::tempdir().expect("a folder");
        let here = dir.path();
        write_npy(&here.join("x.npy"), &array(&case, "x").expect("tokens")).expect("written");
        let model = case.folder.display().to_string();
        let mut args = vec!["import", &model, "--layer", "1", "-o", "c.yaml"];
        if name == "t5_decoder" {
            args.extend(["--part", "decoder", "--length", "10"]);
        }
        let imported = run_in(here, &args);
        assert_eq!(imported.code, 0, "{name}: {}", imported.stderr);
        assert!(imported.stdout.contains("\n  beside the heads: "), "{name}: {}", imported.stdout);
        let ran =
            run_in(here, &["simulate", "c.yaml", "--mode", "cells", "--tokens", "main=x.npy", "-o", "run"]);
        assert_eq!(ran.code, 0, "{name}: {}", ran.stderr);
        let got = read_array(&here.join("run/output.npy"), None).expect("an output");
        let got = DMatrix::from_column_slice(got.shape[1], got.shape[0], &got.data);
        let want = array(&case, "y").expect("outputs");
        let error = (&got - &want).amax() / want.amax();
        assert!(error < limit, "{name}: {error:e}");
        // Heads of the file are not all that the layer is.
        let checked = run_in(here, &[&args[..], &["--check", "--force"]].concat());
        assert_eq!(checked.code, 4, "{name}: {}", checked.stdout);
        assert!(checked.stderr.contains("it is more than its heads"), "{name}: {}", checked.stderr);
    }
}
