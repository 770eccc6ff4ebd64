//! Memory and time are bounded by what a file holds: estimates against what is really taken, refusals with the number and
//! the limit, and children that have little address space.

use crate::binary::{Ran, command, finish, run_in};
use crate::support::{every_shipped, root};
use pulvinar::circuit::memory::estimate;
use pulvinar::diag::codes;
use pulvinar::{circuit, compile, spec};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

const HEAD: &str = include_str!("../../circuits/one_head_attention_mask.yaml");
const MEMORY: &str = include_str!("../../circuits/one_head_key_value_memory.yaml");

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("head.yaml"), HEAD).expect("written");
    fs::write(dir.path().join("memory.yaml"), MEMORY).expect("written");
    dir
}

/// Runs the program with so much address space, in MiB.
fn within(dir: &Path, mib: u64, args: &[&str]) -> Ran {
    let program = env!("CARGO_BIN_EXE_pulvinar");
    let line = format!("ulimit -v {} && exec \"$0\" \"$@\"", mib << 10);
    let mut child = Command::new("/bin/sh");
    child.args(["-c", &line, program]).args(args).current_dir(dir).env_remove("RUST_BACKTRACE");
    finish(&mut child, args)
}

#[test]
fn a_wide_head_is_no_square_of_its_width() {
    let dir = folder();
    // 65,536 key cells of 8 numbers each: a square of them would take 34 GB.
    for (file, set) in [("head.yaml", "d_k=65536"), ("memory.yaml", "d_k=65536")] {
        let ran = run_in(dir.path(), &["validate", file, "--set", set, "--max-memory", "1GB"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }
}

#[test]
fn refused_with_the_number_and_the_limit_before_anything_is_taken() {
    let dir = folder();
    let rows: &[(&[&str], &str)] = &[
        (&["validate", "head.yaml", "--set", "d_k=1000000", "--max-memory", "100MB"], "C080"),
        (&["compile", "head.yaml", "--set", "d_v=900000", "--set", "d=80", "--max-memory", "1GB"], "C080"),
        (&["simulate", "head.yaml", "--set", "d=9000", "--set", "d_k=9000", "--max-memory", "2GB"], "C080"),
        (&["train", "head.yaml", "--set", "d=9000", "--set", "d_k=9000", "--max-memory", "2GB"], "C080"),
        (
            &[
                "simulate",
                "memory.yaml",
                "--mode",
                "cells",
                "--set",
                "d_v=500",
                "--set",
                "d_k=500",
                "--max-memory",
                "100MB",
            ],
            "C080",
        ),
    ];
    for (args, code) in rows {
        let ran = run_in(dir.path(), args);
        assert_eq!(ran.code, 3, "{}: {}", ran.line, ran.stderr);
        assert!(ran.stderr.contains(&format!("error[{code}]")), "{}: {}", ran.line, ran.stderr);
        assert!(
            ran.stderr.contains("would take about") && ran.stderr.contains("--max-memory"),
            "{}",
            ran.stderr
        );
        // What is advised is enough for the estimate.
        let advised =
            ran.stderr.split("`--max-memory ").nth(1).and_then(|s| s.split('`').next()).expect("advice");
        assert!(pulvinar::memory::parse(advised).is_ok(), "{advised}");
    }
    for size in ["", "0", "4 apples", "-1", "1e99"] {
        let ran = run_in(dir.path(), &["validate", "head.yaml", &format!("--max-memory={size}")]);
        assert_eq!(ran.code, 2, "{}: {}", ran.line, ran.stderr);
    }
}

#[test]
fn files_that_would_take_more_are_refused_by_name() {
    let dir = folder();
    let header = |axes: &str| {
        let text = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({axes}), }}\n");
        [b"\x93NUMPY\x01\0", &u16::try_from(text.len()).expect("short").to_le_bytes()[..], text.as_bytes()]
            .concat()
    };
    // An honest file: 2 MB of zeros, under a header that says so.
    let honest = [header("32768, 8"), vec![0; 32768 * 64]].concat();
    fs::write(dir.path().join("x.npy"), &honest).expect("written");
    let ran = run_in(dir.path(), &["simulate", "head.yaml", "--tokens", "x.npy", "--max-memory", "3MB"]);
    assert_eq!((ran.code, ran.stderr.contains("error[F031]")), (4, true), "{}", ran.stderr);
    assert!(ran.stderr.contains("x.npy") && ran.stderr.contains("4.19 MB"), "{}", ran.stderr);
    let ran = run_in(dir.path(), &["simulate", "head.yaml", "--tokens", "x.npy", "-q"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    // A table of one line, and one of one cell.
    fs::write(dir.path().join("line.csv"), "0.5,".repeat(1_000_000) + "1\n").expect("written");
    let ran = run_in(dir.path(), &["simulate", "head.yaml", "--tokens", "line.csv", "--max-memory", "3MB"]);
    assert_eq!((ran.code, ran.stderr.contains("error[F031]")), (4, true), "{}", ran.stderr);
    fs::write(dir.path().join("cell.csv"), "1".repeat(3_000_000)).expect("written");
    let ran = run_in(dir.path(), &["simulate", "head.yaml", "--tokens", "cell.csv"]);
    assert_eq!(
        (ran.code, ran.stderr.contains("line 1 has a cell of more than")),
        (4, true),
        "{}",
        ran.stderr
    );
    // Many empty tensors: a header and nothing else.
    let mut text = String::from("{");
    for k in 0..20_000 {
        let _ = write!(
            text,
            "{}\"t{k}\":{{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}",
            if k > 0 { "," } else { "" }
        );
    }
    text.push('}');
    let bytes = [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    fs::write(dir.path().join("many.safetensors"), bytes).expect("written");
    let args = ["check", "head.yaml", "--against", "many.safetensors"];
    assert!(run_in(dir.path(), &args).stderr.contains("error[F014]"));
    let ran = run_in(dir.path(), &[&args[..], &["--max-memory", "10MB"]].concat());
    assert!(ran.code == 4 && ran.stderr.contains("error[F031]"), "{}", ran.stderr);
}

/// `ulimit` is of Unix shells.
#[cfg(target_os = "linux")]
#[test]
fn little_address_space_ends_in_words() {
    let dir = folder();
    let in_root = |name: &str| root().join("circuits").join(name).display().to_string();
    let learn = in_root("learn_oja.yaml");
    fs::write(dir.path().join("zeros.csv"), "0.0,0,0,0,0,0,0,0\n".repeat(100_000)).expect("written");
    assert_eq!(run_in(dir.path(), &["compile", "head.yaml", "-o", "heads.safetensors"]).code, 0);
    let lines: &[&[&str]] = &[
        &["new", "attention_mask_head"],
        &["schema"],
        &["explain", "C080"],
        &["validate", "head.yaml"],
        &["validate", "head.yaml", "--set", "d_k=65536"],
        &["validate", "head.yaml", "--set", "d_k=9999999"],
        &["validate", "head.yaml", "--set", "d_v=99999999"],
        &["validate", "head.yaml", "--set", "d=9999", "--set", "d_k=9999", "--set", "d_v=9999"],
        &["compile", "head.yaml", "--set", "d=2000"],
        &["compile", "memory.yaml", "--set", "d_k=1500", "--set", "d_v=1500"],
        &["compile", "head.yaml", "--emit", "svg"],
        &["simulate", "head.yaml", "--tokens", "zeros.csv"],
        &["simulate", "memory.yaml", "--mode", "cells", "--tokens", "zeros.csv"],
        &["simulate", "head.yaml", "--mode", "cells", "--set", "d_k=20000"],
        &["check", "head.yaml", "--against", "heads.safetensors"],
        &["check", "head.yaml", "--gradients"],
        &["import", "heads.safetensors", "-o", "out.yaml", "--force"],
        &["train", &learn, "--steps", "2"],
        &["experiment", "capacity", "--set", "trials=2"],
        &["figures", "--list"],
    ];
    for mib in [400, 700, 1500] {
        for args in lines {
            let ran = within(dir.path(), mib, args);
            assert!(
                [0, 1, 2, 3, 4].contains(&ran.code),
                "{mib} MiB, {}: {} {}",
                ran.line,
                ran.code,
                ran.stderr
            );
            assert!(
                ran.code == 0 || !(ran.stdout + &ran.stderr).is_empty(),
                "{mib} MiB, {}: no word",
                ran.line
            );
        }
        let small = within(dir.path(), mib, &["validate", "head.yaml"]);
        assert_eq!(small.code, 0, "{mib} MiB: {}", small.stderr);
    }
}

/// Peak resident memory of a run beyond that of a small circuit, in bytes, as the system saw it.
#[cfg(target_os = "linux")]
fn taken(dir: &Path, args: &[&str]) -> Option<f64> {
    let program = env!("CARGO_BIN_EXE_pulvinar");
    let script = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
    let output =
        Command::new("python3").args(["-c", script, program]).args(args).current_dir(dir).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().parse::<f64>().ok())?
        .map(|kb| kb * 1024.0)
}

/// The second route to the number: what the kernel counts. Where there is no Python the estimate is only known to grow.
#[cfg(target_os = "linux")]
#[test]
fn estimates_are_near_what_is_taken() {
    let dir = folder();
    let base = taken(dir.path(), &["validate", "head.yaml"]);
    for (file, set) in [
        ("head.yaml", &["d=1000", "d_k=500", "d_v=500"][..]),
        ("head.yaml", &["d=40", "d_k=20000", "d_v=20"]),
        ("memory.yaml", &["d=300", "d_k=300", "d_v=300"]),
        ("memory.yaml", &["d=2000", "d_k=60", "d_v=60"]),
    ] {
        let mut args = vec!["validate", file];
        set.iter().for_each(|s| args.extend(["--set", s]));
        let text = fs::read(dir.path().join(file)).expect("there");
        let pairs: Vec<(String, String)> =
            set.iter().filter_map(|s| s.split_once('=')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
        let document = spec::read(&text, dir.path(), &pairs).expect("reads");
        let need = estimate(&document.spec).total();
        let (Some(base), Some(peak)) = (base, taken(dir.path(), &args)) else { continue };
        #[allow(clippy::cast_precision_loss)]
        let ratio = need as f64 / (peak - base).max(1.0);
        assert!(
            (0.4..4.0).contains(&ratio),
            "{args:?}: {ratio}, {need} bytes estimated, {} taken",
            peak - base
        );
    }
}

#[test]
fn shipped_circuits_take_little() {
    for path in every_shipped() {
        let document = spec::read_file(&path, &[]).expect("reads");
        let total = estimate(&document.spec).total();
        assert!(total < 200 << 20, "{}: {total}", path.display());
    }
}

/// A circuit with many projections from one relay to another.
fn many_projections(n: usize) -> String {
    let mut text = HEAD.replace("expect:", "# expect:");
    let at = text.find("projections:\n").expect("a section") + "projections:\n".len();
    let all: String =
        (0..n).map(|k| format!("  P{k}: {{from: VP_core, to: HO.basal, weights: identity}}\n")).collect();
    text.insert_str(at, &all);
    text
}

/// Provenance counts what a circuit of twice the size takes: about twice as much, not four times.
#[test]
fn twice_the_projections_take_twice_the_room() {
    let texts = [500, 1000, 2000].map(|n| {
        let document = spec::read(many_projections(n).as_bytes(), Path::new("."), &[]).expect("reads");
        let wired = circuit::wire(&document.spec, Path::new(".")).expect("is wired");
        let compiled = compile::compile(&wired).expect("compiles");
        let block = compiled.blocks.last().expect("a block");
        assert_eq!(block.residual[0].len(), n + 1, "each of them is behind the residual path");
        compiled.factors.to_string().len()
    });
    assert!(texts[2] < 5 * texts[0], "{texts:?}");
}

#[test]
fn ten_thousand_templates_and_projections() {
    let head = "schema: pulvinar/1\nname: many\ntokens: {d_model: 3, mask: causal}\nthalamus:\n  Q: {pathway: core, per: [query], cells: 3}\n  C: {pathway: matrix, per: [context], cells: 3}\n  HO: {pathway: core, per: [query], cells: 3}\nareas:\n";
    let areas: String = (0..10_000)
        .map(|k| format!("  A{k}: {{template: {{attention_mask_head: {{query: Q, context: C, to: HO, d_k: 1, d_v: 1}}}}}}\n"))
        .collect();
    for text in [format!("{head}{areas}output: HO\n"), many_projections(50_000)] {
        let document = spec::read(text.as_bytes(), Path::new("."), &[]).expect("reads");
        let start = std::time::Instant::now();
        let wired = circuit::wire(&document.spec, Path::new(".")).expect("is wired");
        assert!(wired.projections.len() > 49_000);
        assert!(start.elapsed().as_secs() < 60, "wiring is not quadratic: {:?}", start.elapsed());
    }
}

#[test]
fn a_run_that_is_to_settle_has_an_end() {
    let dir = folder();
    for (name, from, to, named) in [
        ("tau.yaml", "tau: 10 ms", "tau: 1e12 ms", ["1000000000000 ms", "1 ms", "1.0e15 steps"]),
        (
            "dt.yaml",
            "output: HO",
            "simulation: {dt: 1e-9 ms}\noutput: HO",
            ["10 ms", "0.000000001 ms", "1.0e13 steps"],
        ),
        (
            "us.yaml",
            "output: HO",
            "simulation: {dt: 0.00001 us, stop: settle}\noutput: HO",
            ["10 ms", "steps of", "steps, more than 1e8"],
        ),
    ] {
        let text = HEAD.replace(from, to);
        assert_ne!(text, HEAD, "{name}");
        fs::write(dir.path().join(name), text).expect("written");
        for args in [&["simulate", name, "--mode", "cells"][..], &["validate", name]] {
            let ran = run_in(dir.path(), args);
            assert_eq!(ran.code, 3, "{}: {}", ran.line, ran.stderr);
            assert!(ran.stderr.contains("error[C050]"), "{}", ran.stderr);
            named.iter().for_each(|n| assert!(ran.stderr.contains(n), "{n}: {}", ran.stderr));
        }
    }
}

#[test]
fn the_limit_is_explained_and_shown() {
    for code in [codes::C080, codes::F031] {
        let text = codes::explain(code).expect("in the catalogue").text;
        assert!(text.contains("--max-memory"), "{text}");
    }
    let help = finish(&mut command(root(), &["validate", "--help"]), &["validate", "--help"]).stdout;
    assert!(help.contains("--max-memory <SIZE>"), "{help}");
}
