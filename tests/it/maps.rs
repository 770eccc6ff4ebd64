//! Token maps, positions, windows and composition: circuits in `tests/cases/maps` against plain transformer formulas.
//!
//! `tests/golden/maps` holds what PyTorch gives for each (`generate.py` there). The oracle, the compiled heads and the cells in time
//! are each compared with that, as far as the program reads, compiles and runs the circuit; how far it must get stands in the table.
//! What is refused on the way is refused by a diagnostic: nothing gives another number.

use crate::support::{heads_output, oracle_output, relative, root};
use pulvinar::circuit::{self, Circuit};
use pulvinar::diag::Diagnostic;
use pulvinar::files::{Array, read_array, read_tokens, write_npz};
use pulvinar::simulate::cells::{End, Settings, run as run_cells};
use pulvinar::simulate::inputs;
use pulvinar::spec::{Document, read_file};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Sums of at most some hundred products in another order, four layers of them at most.
const ORACLE: f64 = 1e-11;
const HEADS: f64 = 1e-10;
/// Settled compartments are within 1e-12 of their inputs; norms and layers multiply that.
const CELLS: f64 = 1e-9;
/// Golden files are kept small enough to be looked at in a review.
const MAX_BYTES: u64 = 40_000;

/// How far a circuit gets at least.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
enum Gets {
    /// refused before it is wired
    Nowhere,
    /// wired: the oracle is right
    Wired,
    /// its heads and maps are right
    Compiled,
    /// its cells settle there, too
    Settled,
}

use Gets::{Compiled, Nowhere, Settled, Wired};

const CASES: &[(&str, Gets)] = &[
    ("alibi", Settled),
    ("bert_layer", Settled),
    ("centred_layer", Settled),
    ("centred_stack", Settled),
    ("dale_mlp", Settled),
    ("efficient", Wired),
    ("efficient_by_maps", Settled),
    ("gemma_head", Wired),
    ("gpt2", Settled),
    ("gpt2_layer", Settled),
    ("induction", Settled),
    ("induction_match", Settled),
    ("induction_previous", Settled),
    ("llama_layer", Nowhere),
    ("llama_layer_kick", Nowhere),
    ("llama_layer_kron", Nowhere),
    ("llama_layer_recurrent", Nowhere),
    ("sink", Nowhere),
    ("t5_bias", Settled),
];

fn file(name: &str) -> PathBuf {
    root().join("tests/cases/maps").join(format!("{name}.yaml"))
}

fn golden(name: &str) -> PathBuf {
    root().join("tests/golden/maps").join(format!("{name}.npz"))
}

/// The wired circuit, or what refuses it.
fn wired(name: &str) -> Result<(Document, Circuit), String> {
    let document = read_file(&file(name), &[]).map_err(|d| d.to_string())?;
    let circuit = circuit::wire(&document.spec, &document.folder).map_err(|d| d.to_string())?;
    Ok((document, circuit))
}

/// What must not be refused any more is not, and what may be is refused by a code.
fn refused(name: &str, at_least: Gets, step: Gets, why: &str) {
    assert!(at_least < step, "{name} is to be {step:?}: {why}");
    let has_code = why.split('[').skip(1).any(|rest| rest.len() > 4 && rest.as_bytes()[4] == b']');
    assert!(has_code, "{name}: refused without a code: {why}");
}

#[test]
fn circuits_are_their_plain_formulas() {
    for (name, at_least) in CASES {
        let (document, circuit) = match wired(name) {
            Ok(both) => both,
            Err(why) => {
                refused(name, *at_least, Wired, &why);
                continue;
            }
        };
        if *at_least == Nowhere && !golden(name).exists() {
            println!("{name} is wired now; {REGENERATE}");
            continue;
        }
        let read =
            |array: &str| read_tokens(&golden(name), Some(array)).unwrap_or_else(|d| panic!("{name}: {d}"));
        let tokens =
            inputs(&circuit, &document.folder, &BTreeMap::new()).unwrap_or_else(|d| panic!("{name}: {d}"));
        assert_eq!(tokens["main"], read("tokens"), "{name}: other tokens; {REGENERATE}");
        for p in &circuit.projections {
            if let Ok(recorded) = read_array(&golden(name), Some(&format!("w.{}", p.name))) {
                let own = Array::from_matrix(&p.synapses.weights.dense());
                assert_eq!(recorded, own, "{name}: other weights of {}; {REGENERATE}", p.name);
            }
        }
        let want = read("y");
        assert!(want.amax() > 1e-3, "{name}: the golden output is next to nothing");
        let close = |what: &str, got: &nalgebra::DMatrix<f64>, limit: f64| {
            let error = relative(got, &want);
            assert!(error < limit, "{name}: {what} differs from the formula by {error:e}");
            println!("{name}: {what} within {error:.1e}");
        };
        close("the oracle", &oracle_output(&circuit, &tokens), ORACLE);
        match heads_output(&circuit, &tokens) {
            Ok(heads) => close("heads", &heads, HEADS),
            Err(d) => refused(name, *at_least, Compiled, &located(&d)),
        }
        match run_cells(&circuit, &tokens, &Settings::of(&document.spec)) {
            Ok(ran) if ran.end == End::Settled => close("cells", &ran.output, CELLS),
            Ok(ran) => refused(name, *at_least, Settled, &format!("[R001] {:?}", ran.end)),
            Err(d) => refused(name, *at_least, Settled, &located(&d)),
        }
    }
}

fn located(d: &Diagnostic) -> String {
    format!("[{}] {d}", d.code)
}

const REGENERATE: &str = "see tests/golden/maps/generate.py";

#[test]
fn every_circuit_of_maps_is_in_the_table() {
    let folder = |path: &str, ending: &str| -> Vec<String> {
        let all =
            std::fs::read_dir(root().join(path)).expect("is there").map(|e| e.expect("readable").path());
        let mut names: Vec<String> = all
            .filter(|p| p.extension().is_some_and(|e| e == ending))
            .map(|p| p.file_stem().expect("a name").to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    let listed: Vec<&str> = CASES.iter().map(|(name, _)| *name).collect();
    assert_eq!(folder("tests/cases/maps", "yaml"), listed);
    let goldens = folder("tests/golden/maps", "npz");
    for (name, at_least) in CASES {
        assert!(*at_least == Nowhere || goldens.iter().any(|g| g == name), "{name} has no golden file");
    }
    for name in goldens {
        let bytes = golden(&name).metadata().expect("a file").len();
        assert!(bytes < MAX_BYTES && listed.contains(&name.as_str()), "{name}: {bytes} bytes");
    }
}

/// Writes weights and tokens of the wired circuits for `tests/golden/maps/generate.py`.
#[test]
#[ignore = "writes the input of tests/golden/maps/generate.py: cargo test --test it -- --ignored write_weights_of_maps --nocapture"]
fn write_weights_of_maps() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("maps");
    std::fs::create_dir_all(&folder).expect("a folder");
    println!("{}", folder.display());
    for (name, _) in CASES {
        let (document, circuit) = match wired(name) {
            Ok(both) => both,
            Err(why) => {
                println!("{name}: {why}");
                continue;
            }
        };
        let tokens =
            inputs(&circuit, &document.folder, &BTreeMap::new()).unwrap_or_else(|d| panic!("{name}: {d}"));
        let weights = circuit.projections.iter().map(|p| {
            let matrix = p.synapses.weights.dense();
            (format!("w.{}", p.name), Array::from_matrix(&matrix))
        });
        let arrays: Vec<_> =
            weights.chain([("tokens".to_owned(), Array::from_tokens(&tokens["main"]))]).collect();
        write_npz(&folder.join(format!("{name}.npz")), &arrays).expect("written");
    }
}

/// What the documents say of verbs and maps.
#[test]
fn verbs_run_maps_or_refuse_them() {
    use crate::binary::{json_in, run_in, text};
    let dir = tempfile::tempdir().expect("a folder");
    let at = dir.path();
    for name in ["bert_layer", "centred_layer", "gpt2_layer"] {
        let path = file(name);
        let circuit = text(&path);
        let (code, answer) = json_in(at, &["simulate", circuit, "-o", name]);
        assert_eq!(code, 0, "{name}: {answer}");
        let want = read_tokens(&golden(name), Some("y")).expect("recorded");
        let got = read_tokens(&at.join(name).join("output.npy"), None).expect("written");
        let error = relative(&got, &want);
        assert!(error < HEADS, "{name}: the program differs from the formula by {error:e}");
        let (code, single) =
            json_in(at, &["simulate", circuit, "--precision", "f32", "-o", &format!("{name}_f32")]);
        assert_eq!(code, 0, "{name}: {single}");
        let got = read_tokens(&at.join(format!("{name}_f32/output.npy")), None).expect("written");
        assert!(relative(&got, &want) < 1e-5, "{name}: {:e} in single precision", relative(&got, &want));
        let [given, outputs] = ["inputs.npz", "output.npy"].map(|f| at.join(name).join(f));
        let (code, answer) =
            json_in(at, &["check", circuit, "--tokens", text(&given), "--outputs", text(&outputs)]);
        assert_eq!((code, &answer["equivalent"]), (0, &true.into()), "{name}: {answer}");
        let (code, answer) = json_in(at, &["compile", circuit]);
        assert_eq!(code, 0, "{name}");
        let kinds: Vec<&str> =
            answer["stages"].as_array().expect("stages").iter().filter_map(|s| s["kind"].as_str()).collect();
        assert!(kinds.contains(&"map") && kinds.contains(&"block"), "{name}: {kinds:?}");
        for (args, exit, code) in [
            (vec!["simulate", circuit, "--stream", "-o", "streamed"], 2, "U004"),
            (vec!["check", circuit, "--against", "h.safetensors"], 2, "U004"),
            (vec!["compile", circuit, "--dale"], 2, "U004"),
            (vec!["compile", circuit, "-o", "h.safetensors"], 4, "F012"),
        ] {
            let ran = run_in(at, &args);
            assert_eq!(ran.code, exit, "{}: {}", ran.line, ran.stderr);
            assert!(ran.stderr.contains(code), "{}: {}", ran.line, ran.stderr);
            assert!(
                !at.join("h.safetensors").exists() && !at.join("streamed/output.npy").exists(),
                "{}",
                ran.line
            );
        }
    }
}
