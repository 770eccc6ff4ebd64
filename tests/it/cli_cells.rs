//! `simulate --mode cells`: run directories with traces, JSON keys, ends, lesions, circuits that do not compile.

use crate::binary::{json, json_in, run_in, text};
use crate::support::root;
use pulvinar::files::read_array;
use serde_json::{Value, json as value};
use std::fs;

const HEAD: &str = "circuits/one_head_attention_mask.yaml";

#[test]
fn a_run_directory_holds_output_traces_and_what_they_are() {
    let dir = tempfile::tempdir().expect("a folder");
    let out = dir.path().join("run");
    let (code, object) = json(&[
        "simulate",
        HEAD,
        "--mode",
        "cells",
        "-o",
        text(&out),
        "--record",
        "A1.deep",
        "--record",
        "A1.deep.apical:input@10",
        "--record",
        "HO.basal@5",
    ]);
    assert_eq!(code, 0, "{object}");
    for (key, want) in [
        ("mode", value!("cells")),
        ("end", value!("settled")),
        ("output_shape", value!([16, 8])),
        ("relay", value!("HO")),
        ("dt_ms", value!(1.0)),
        ("integrator", value!("exponential_euler")),
        ("cells", value!(16 * 17 / 2 * 8 + 16 * 8)),
    ] {
        assert_eq!(object[key], want, "{key}");
    }
    assert!(object["max_rel_error"].as_f64().is_some_and(|e| e < 1e-10), "{object}");
    let files: Vec<&str> =
        object["files"].as_array().expect("files").iter().filter_map(Value::as_str).collect();
    assert_eq!(
        files,
        [
            "circuit.yaml",
            "inputs.npz",
            "weights.safetensors",
            "output.npy",
            "traces.npz",
            "traces.svg",
            "report.html",
            "manifest.json"
        ]
    );
    let manifest: Value =
        serde_json::from_slice(&fs::read(out.join("manifest.json")).expect("there")).expect("JSON");
    assert_eq!(manifest["output_sha256"], object["output_sha256"]);
    let steps = object["steps"].as_u64().expect("steps") as usize;
    let traces = manifest["traces"].as_array().expect("traces");
    assert_eq!(traces.len(), 3);
    for (trace, (name, every, tokens, cells)) in traces.iter().zip([
        ("A1.deep.rate", 1, 136, 4),
        ("A1.deep.apical.input", 10, 136, 4),
        ("HO.basal.potential", 5, 16, 8),
    ]) {
        assert_eq!((&trace["name"], &trace["every"]), (&value!(name), &value!(every)));
        assert_eq!((&trace["unit"], &trace["time_unit"]), (&value!("1"), &value!("ms")));
        let array = read_array(&out.join("traces.npz"), Some(name)).expect("readable");
        assert_eq!(array.shape, [steps.div_ceil(every), tokens, cells], "{name}");
        assert_eq!(trace["shape"], value!(array.shape), "{name}");
        let times = read_array(&out.join("traces.npz"), Some(&format!("{name}.t_ms"))).expect("readable");
        assert_eq!(times.data.len(), array.shape[0]);
        assert_eq!(times.data[1], every as f64, "{name}");
    }
    // The potentials of a linear relay at the last sample are nearly the output.
    let output = read_array(&out.join("output.npy"), None).expect("readable");
    let potentials = read_array(&out.join("traces.npz"), Some("HO.basal.potential")).expect("readable");
    let last = &potentials.data[potentials.data.len() - output.data.len()..];
    assert!(last.iter().zip(&output.data).all(|(a, b)| (a - b).abs() < 1e-6 * (1.0 + b.abs())));

    // The directory runs again to the same bytes.
    let again = json(&["simulate", text(&out.join("circuit.yaml")), "--mode", "cells", "--threads", "1"]).1;
    assert_eq!(again["output_sha256"], object["output_sha256"]);
}

#[test]
fn a_run_that_diverges_keeps_its_traces() {
    let dir = tempfile::tempdir().expect("a folder");
    let head = fs::read_to_string(root().join(HEAD)).expect("there");
    let changed = head.replace(
        "  skip: {from: VP_core",
        "  back: {from: HO, to: HO.basal, weights: identity, gain: 3, delay: 2 ms}\n  skip: {from: VP_core",
    );
    assert_ne!(head, changed);
    fs::write(dir.path().join("loop.yaml"), changed).expect("written");
    let args = ["simulate", "loop.yaml", "--mode", "cells", "-o", "run", "--record", "HO@10"];
    let (code, object) = json_in(dir.path(), &args);
    assert_eq!(code, 1, "{object}");
    assert_eq!((&object["ok"], &object["end"]), (&value!(false), &value!("diverged")));
    assert_eq!(object["diverged"]["population"], "HO", "{object}");
    let t = object["diverged"]["t_ms"].as_f64().expect("a time");
    assert_eq!(object["not_compiled"]["code"], "N015");
    assert_eq!(object["diagnostics"][0]["code"], "R001");
    let times = read_array(&dir.path().join("run/traces.npz"), Some("HO.rate.t_ms")).expect("readable");
    let last = times.data.last().copied().unwrap_or_default();
    assert!(last < t && last > t - 11.0, "{last} {t}");
    assert!(!dir.path().join("run/output.npy").exists());
}

/// Relays of 20 000 cells: too wide to compile, not too large to run.
#[test]
fn what_is_too_large_to_compile_is_valid_and_runs() {
    let dir = tempfile::tempdir().expect("a folder");
    let wide = "schema: pulvinar/1\nname: wide\ntokens: {d_model: 20000, mask: causal, input: {gaussian: {length: 3}}}\n\
        thalamus:\n  Q: {pathway: core, per: [query], cells: 20000}\n  C: {pathway: matrix, per: [context], cells: 20000}\n  \
        HO: {pathway: core, per: [query], cells: 20000}\nareas:\n  A1: {template: {attention_mask_head: {query: Q, context: C, to: HO, d_k: 2, d_v: 2}}}\n\
        projections:\n  skip: {from: Q, to: HO.basal, weights: identity}\noutput: HO\n";
    fs::write(dir.path().join("wide.yaml"), wide).expect("written");
    let valid = run_in(dir.path(), &["validate", "wide.yaml"]);
    assert_eq!(valid.code, 0, "{}", valid.stderr);
    assert!(valid.stderr.contains("warning[C006]"), "{}", valid.stderr);
    assert_eq!(valid.stdout, "wide.yaml: valid\n");
    let (code, object) = json_in(dir.path(), &["simulate", "wide.yaml", "--mode", "cells"]);
    assert_eq!(code, 0, "{object}");
    assert_eq!(object["end"], "settled");
    assert_eq!(object["not_compiled"]["code"], "C006");
    assert_eq!(run_in(dir.path(), &["simulate", "wide.yaml"]).code, 3);
}

#[test]
fn lesions_state_their_change() {
    let lesioned = |more: &[&str]| {
        let mut args = vec!["simulate", HEAD, "--mode", "cells", "--prospective"];
        args.extend(more);
        json(&args)
    };
    let (code, object) = lesioned(&["--lesion", "scale=W_V:0.5"]);
    assert_eq!(code, 0, "{object}");
    let change = &object["change"];
    for key in ["max_abs", "mean_squared", "relative", "expected_squared"] {
        assert!(change[key].as_f64().is_some_and(|x| x > 0.0), "{key}: {change}");
    }
    assert_eq!(object["lesions"][0]["scale"], value!({"projection": "W_V", "gain": 0.5}));
    // Halved values halve what attention adds; twice halved leaves a quarter: (3/4)^2 / (1/2)^2 = 9/4.
    let twice = lesioned(&["--lesion", "scale=W_V:0.5", "--lesion", "scale=W_O:0.5"]).1;
    for key in ["mean_squared", "expected_squared"] {
        let ratio =
            twice["change"][key].as_f64().expect("a number") / change[key].as_f64().expect("a number");
        // W_O also carries the residual? No: the skip is a projection of its own.
        assert!((ratio - 2.25).abs() < 1e-9, "{key}: {ratio}");
    }
    let (_, window) = lesioned(&["--lesion", "cut=W_V@10ms..20ms"]);
    assert!(window["change"]["expected_squared"].is_null(), "{window}");
    assert!(window["change"]["max_abs"].as_f64().is_some_and(|x| x < 1e-9), "{window}");
    for (flag, word) in
        [("--lesion", "cut=W_X"), ("--lesion", "melt=W_V"), ("--record", "A1.depe"), ("--record", "HO:rates")]
    {
        let (code, object) = lesioned(&[flag, word]);
        assert!(code == 2 || code == 3, "{flag} {word}: {object}");
        assert!(object["diagnostics"][0]["help"].as_str().is_some_and(|h| !h.is_empty()), "{object}");
    }
}

#[test]
fn tokens_in_time_run_from_the_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let text = fs::read_to_string(root().join("circuits/one_head_key_value_memory.yaml")).expect("there");
    let text = text
        .replace("  mask: causal\n", "  mask: causal\n  layout: {time: {duration: 100 ms, gap: 100 ms}}\n");
    fs::write(dir.path().join("time.yaml"), &text).expect("written");
    let (code, object) = json_in(
        dir.path(),
        &["simulate", "time.yaml", "--mode", "cells", "-o", "run", "--record", "A1.superficial@100"],
    );
    assert_eq!(code, 0, "{object}");
    assert_eq!((&object["end"], &object["steps"]), (&value!("time_limit"), &value!(16 * 200)));
    assert!(object["max_rel_error"].as_f64().is_some_and(|e| e > 1e-5 && e < 1e-2), "{object}");
    let onsets = read_array(&dir.path().join("run/traces.npz"), Some("onsets_ms")).expect("readable");
    assert_eq!(onsets.data, (0..16).map(|k| 200.0 * f64::from(k)).collect::<Vec<_>>());
    let (_, exact) = json_in(dir.path(), &["simulate", "time.yaml", "--mode", "cells", "--prospective"]);
    assert!(exact["max_rel_error"].as_f64().is_some_and(|e| e < 1e-12), "{exact}");
}

/// The picture is well-formed, holds a line for every panel, and says how the output comes to the heads.
#[test]
fn a_run_directory_has_a_picture() {
    let dir = tempfile::tempdir().expect("a folder");
    for (circuit, panels) in [("multihead_cortico_thalamic", 8), ("softmax_divisive", 3), ("dale_head", 3)] {
        let out = dir.path().join(circuit);
        let file = root().join(format!("circuits/{circuit}.yaml"));
        let args = ["simulate", text(&file), "--mode", "cells", "-o", text(&out)];
        let ran = run_in(dir.path(), &args);
        assert_eq!(ran.code, 0, "{}: {}", ran.line, ran.stderr);
        let svg = std::fs::read_to_string(out.join("traces.svg")).expect("written");
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{circuit}");
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count(), "{circuit}");
        assert!(svg.contains("distance to the compiled heads"), "{circuit}");
        let lines = svg.matches("<polyline").count();
        assert!(lines > panels * 2, "{circuit}: {lines} lines");
        assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{circuit}");
        // The same bytes again, with another number of threads.
        let again = dir.path().join(format!("{circuit}_again"));
        let args = ["simulate", text(&file), "--mode", "cells", "--threads", "1", "-o", text(&again)];
        assert_eq!(run_in(dir.path(), &args).code, 0);
        assert_eq!(svg, std::fs::read_to_string(again.join("traces.svg")).expect("written"), "{circuit}");
    }
}

/// Contexts of unequal lengths: every population is drawn with the tokens that it has.
#[test]
fn contexts_of_other_lengths_have_a_picture() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("two.yaml"), TWO_CLOCKS).expect("written");
    let ran = run_in(dir.path(), &["simulate", "two.yaml", "--mode", "cells", "-o", "run"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let svg = fs::read_to_string(dir.path().join("run/traces.svg")).expect("written");
    assert_eq!(svg.matches("\nquery 5, context\n").count(), 4);
    for token in [0, 1, 2, 11, 12, 13] {
        assert!(svg.matches(&format!("\n{token}\n")).count() >= 2, "{token}");
    }
}

const TWO_CLOCKS: &str = "
schema: pulvinar/1
name: two
tokens:
  mask: full
  streams:
    main: {d_model: 4, input: {gaussian: {length: 6}}}
    a: {d_model: 4, input: {gaussian: {length: 14}}}
    b: {d_model: 4, input: {gaussian: {length: 3}}}
thalamus:
  Q: {pathway: core, per: [query], cells: 4}
  CA: {pathway: matrix, per: [context], cells: 4, tokens: a}
  CB: {pathway: matrix, per: [context], cells: 4, tokens: b}
  HO: {pathway: core, per: [query], cells: 4}
areas:
  A1: {template: {attention_mask_head: {query: Q, context: CA, to: HO, d_k: 2, d_v: 2}}}
  A2: {template: {attention_mask_head: {query: Q, context: CB, to: HO, d_k: 2, d_v: 2}}}
output: HO
";

/// What the command line adds is in the circuit of the run directory, and how much a fraction hits is said.
#[test]
fn a_run_directory_repeats_a_lesioned_run() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = root().join(HEAD);
    let lesions =
        ["--lesion", "silence=A1.deep:0.5", "--lesion", "cut=W_K:0.2", "--lesion", "silence=A1.deep:0.1"];
    let mut args =
        vec!["simulate", text(&file), "--mode", "cells", "--prospective", "--seed", "5", "-o", "run"];
    args.extend(lesions);
    let (code, first) = json_in(dir.path(), &args);
    assert_eq!(code, 0, "{first}");
    assert_eq!(first["lesions_hit"], value!([[2, 4], [6, 32], [0, 4]]));
    assert_eq!(first["prospective"], true);
    let (code, again) = json_in(dir.path(), &["simulate", "run/circuit.yaml", "--mode", "cells"]);
    assert_eq!((code, &again["output_sha256"]), (0, &first["output_sha256"]));
    let (_, intact) = json_in(dir.path(), &["simulate", text(&file), "--mode", "cells", "--seed", "5"]);
    assert_ne!(intact["output_sha256"], first["output_sha256"]);
    args.push("--force");
    let ran = run_in(dir.path(), &args);
    assert!(ran.stdout.contains("silence A1.deep: 2 of 4 cells"), "{}", ran.stdout);
    assert!(ran.stdout.contains("cut W_K: 6 of 32 synapses"), "{}", ran.stdout);
}

/// A silenced memory splits into many heads; the closed form over them would take minutes and gigabytes.
#[test]
fn the_expected_change_of_very_many_heads_is_not_worked_out() {
    let file = root().join("circuits/one_head_key_value_memory.yaml");
    let sized = |d: &'static str| {
        let (k, v) = (format!("d_k={d}"), format!("d_v={d}"));
        let args = [
            "simulate",
            text(&file),
            "--mode",
            "cells",
            "--lesion",
            "silence=A1.deep:0.5",
            "--set",
            &k,
            "--set",
            &v,
        ];
        let ran = run_in(root(), &args);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.stdout
    };
    let (small, large) = (sized("4"), sized("60"));
    assert!(small.contains("expected mean |dy|^2 for tokens"), "{small}");
    assert!(
        large.contains("not worked out") && large.contains("of the lesioned circuit differ by less"),
        "{large}"
    );
}
