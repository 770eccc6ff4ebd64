//! Layers of tiny models of many architectures: read, written as circuits, run, and compared with what PyTorch recorded
//! (`tests/golden/architectures`). The same rows are the table of `docs/architectures.md`.

use super::support::root;
use nalgebra::DMatrix;
use pulvinar::attention::Streams;
use pulvinar::compile::compile;
use pulvinar::diag::Diagnostic;
use pulvinar::files::{read_array, write_safetensors};
use pulvinar::simulate::run;
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
    let compiled = compile(&wired).unwrap_or_else(|d| panic!("{name}: {d}\n{yaml}"));
    let x = array(case, "x").expect("tokens");
    let mut streams = Streams::from([("main".to_owned(), x)]);
    if let Some(context) = array(case, "context") {
        streams.insert("context".to_owned(), context);
    }
    let ran = run::<f64>(&compiled.plain_blocks(), &streams).unwrap_or_else(|d| panic!("{name}: {d}"));
    let got = ran.output;
    let want = array(case, "y").expect("outputs");
    assert_eq!(got.shape(), want.shape(), "{name}");
    let error = (&got - &want).amax() / want.amax();
    assert!(error.is_finite(), "{name}");
    (Some(loaded), Outcome::Equal(error))
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
}
