//! Cells in time: loops that run away, why runs diverge, what is rounded, what cannot be recorded.

use crate::binary::{json_in, run_in, text};
use crate::cells_run::{chain, ran, refused};
use crate::support::{from_text, root};
use pulvinar::simulate::cells::{Cause, End, Settings, notes};
use serde_json::json as value;
use std::fs;

fn back(gain: f64, delay: &str) -> String {
    format!("  back: {{from: HO, to: HO.basal, weights: ones, gain: {gain}, delay: {delay}}}\n")
}

/// `tau dy/dt = -y + x + g y(t - d)`: the real root of `tau l = g exp(-l d) - 1` is the rate of growth, so the second half of
/// a run of T is larger by `exp(l T / 2)`.
#[test]
fn a_loop_that_runs_away_is_found_and_its_growth_is_right() {
    for (gain, delay) in [(1.05, 20.0), (1.2, 20.0), (1.5, 80.0)] {
        let got = ran(&chain(
            3.0,
            "",
            &back(gain, &format!("{delay} ms")),
            "simulation: {stop: {duration: 4 s}}\n",
        ));
        assert_eq!(got.end, End::TimeLimit, "{gain}");
        let grew = got.growing.unwrap_or_else(|| panic!("{gain}: not growing"));
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..200 {
            let l = (low + high) / 2.0;
            if 10.0 * l < gain * f64::exp(-l * delay) - 1.0 { low = l } else { high = l }
        }
        let want = low * 2000.0;
        let found = (grew.to / grew.from).ln();
        assert!((found / want - 1.0).abs() < 0.05, "{gain}: {found} {want}");
        assert_eq!((grew.population.as_str(), grew.since_ms), ("HO", 2000.0));
    }
}

/// A gain of one grows with time, a little less slowly to rest; neither is a runaway, nor is a circuit without loops, nor
/// what a late lesion changes, nor a run too short to say.
#[test]
fn what_does_not_run_away_is_not_said_to() {
    let long = "simulation: {stop: {duration: 4 s}}\n";
    let step =
        "simulation: {stop: {duration: 4 s}}\nlesions: [{scale: {projection: w, gain: 100, from: 3 s}}]\n";
    for (claim, projections, rest) in [
        ("gain one", back(1.0, "20 ms"), long),
        ("below one", back(0.999, "20 ms"), long),
        ("oscillation", back(-1.0, "20 ms"), long),
        ("no loop", String::new(), step),
        ("a lesion late in a run", back(0.5, "20 ms"), step),
        ("too short", back(3.0, "20 ms"), "simulation: {stop: {duration: 300 ms}}\n"),
        ("settles", back(0.5, "20 ms"), ""),
    ] {
        let got = ran(&chain(3.0, "", &projections, rest));
        assert_eq!(got.growing, None, "{claim}");
    }
    // After the lesion the loop has a gain above one.
    let opened =
        "simulation: {stop: {duration: 4 s}}\nlesions: [{scale: {projection: back, gain: 3, from: 1 s}}]\n";
    let grew = ran(&chain(3.0, "", &back(0.5, "20 ms"), opened)).growing;
    assert_eq!(grew.map(|g| g.since_ms), Some(2500.0));
}

#[test]
fn a_run_says_why_it_diverged() {
    let exp = "schema: pulvinar/1\nname: e\ntokens: {d_model: 1, input: {values: [[1000]]}}\nthalamus:\n  \
        IN: {pathway: core, per: [query], cells: 1}\n  HO: {pathway: core, per: [query], cells: 1}\n\
        areas: {A: {microcolumns: {per: [query]}, populations: {s: {cells: 1, activation: exp}}}}\n\
        projections:\n  a: {from: IN, to: A.s.basal, weights: ones}\n  b: {from: A.s, to: HO.basal, weights: ones}\noutput: HO\n";
    let zero = "  d: {from: tonic, to: HO.basal, weights: {values: [[0]]}, effect: divisive}\n";
    let both = "  p: {from: IN, to: HO.basal, weights: ones, gain: 1e10}\n  m: {from: IN, to: HO.basal, weights: ones, gain: -1e10}\n";
    for (file, cause) in [
        (exp.to_owned(), Cause::Infinite),
        (chain(3.0, "", zero, ""), Cause::DividedByZero),
        (chain(1e300, "", both, ""), Cause::NotANumber),
        (chain(3.0, "", &back(3.0, "2 ms"), "simulation: {stop: {duration: 100 s}}\n"), Cause::Infinite),
    ] {
        let End::Diverged { cause: got, .. } = ran(&file).end else { panic!("did not diverge\n{file}") };
        assert_eq!(got, cause, "{file}");
    }
}

#[test]
fn what_is_rounded_or_hits_nothing_is_noted() {
    let noted = |projections: &str, rest: &str| {
        let (document, circuit) =
            from_text(&chain(3.0, "", projections, rest)).unwrap_or_else(|e| panic!("{e}"));
        notes(&circuit, &Settings::of(&document.spec)).unwrap_or_else(|d| panic!("{d}"))
    };
    assert_eq!(noted(&back(0.5, "2 ms"), "simulation: {dt: 0.1 ms}\n"), [""; 0]);
    let stop = "simulation: {dt: 1 ms, stop: {duration: 20.3 ms}}\n";
    for (projections, rest, want) in [
        (back(0.5, "2.4 ms"), "", "the delay of `back` is 2.4 ms, rounded to 2 ms (steps of 1 ms)"),
        (String::new(), stop, "the duration of the run is 20.3 ms, rounded to 20 ms (steps of 1 ms)"),
        (
            String::new(),
            "lesions: [{silence: {population: HO, from: 10.6 ms, until: 20 ms}}]\n",
            "the begin of `silence HO` is 10.6 ms, rounded to 11 ms (steps of 1 ms)",
        ),
        (
            String::new(),
            "lesions: [{silence: {population: HO, fraction: 0.4}}]\n",
            "`silence HO` hits nothing: 0.4 of 1 cell, rounded, is none",
        ),
        (
            String::new(),
            "lesions: [{cut: {projection: w, fraction: 0.1}}]\n",
            "`cut w` hits nothing: 0.1 of 1 synapse, rounded, is none",
        ),
    ] {
        assert_eq!(noted(&projections, rest), [want]);
    }
    let empty = noted("", "lesions: [{silence: {population: HO, from: 10.1 ms, until: 10.2 ms}}]\n");
    assert_eq!(
        empty.last().map(String::as_str),
        Some("`silence HO` lasts less than a step: it changes nothing")
    );
}

#[test]
fn tokens_that_do_not_exist_are_named() {
    let head = fs::read_to_string(root().join("circuits/one_head_attention_mask.yaml")).expect("there");
    for (record, want) in [
        ("{population: HO, query: [3, 99]}", "`HO` has 16 query tokens, counted from 0, and no token 99"),
        (
            "{population: A1.deep, query: [2], context: [16]}",
            "`A1.deep` has 16 context tokens, counted from 0, and no token 16",
        ),
        (
            "{population: A1.deep, query: [2], context: [5]}",
            "leaves no pair of these query and context tokens",
        ),
        (
            "{population: A1.deep, query: []}",
            "`query` is an empty list: nothing of `A1.deep` would be recorded",
        ),
    ] {
        let said = refused(&format!("{head}record: [{record}]\n"));
        assert!(said.contains(want) && said.contains("C053"), "{record}: {said}");
    }
}

/// Euler's method leaves `1 - dt / tau` of a distance: it swings beyond tau and is unstable from 2 tau, which is what is said.
#[test]
fn the_help_on_eulers_method_names_its_limit() {
    let with = |dt: f64| {
        chain(3.0, ", tau: 10 ms", "", &format!("simulation: {{dt: {dt} ms, integrator: euler}}\n"))
    };
    assert!((ran(&with(19.0)).output[(0, 0)] - 3.0).abs() < 1e-9);
    let (document, circuit) = from_text(&with(20.0)).unwrap_or_else(|e| panic!("{e}"));
    let refused =
        notes(&circuit, &Settings::of(&document.spec)).err().and_then(|d| d.help).unwrap_or_default();
    assert!(refused.contains("stable below 20 ms") && refused.contains("swings above 10 ms"), "{refused}");
}

/// Exit 0 with a warning at the population's line; the key `growing` for programs. A run that diverged has no hash.
#[test]
fn a_runaway_is_reported() {
    let dir = tempfile::tempdir().expect("a folder");
    let loops = |gain: f64, delay: &str| chain(3.0, "", &back(gain, delay), "");
    fs::write(dir.path().join("slow.yaml"), loops(1.2, "20 ms")).expect("written");
    fs::write(dir.path().join("fast.yaml"), loops(3.0, "2 ms")).expect("written");
    let (code, object) = json_in(dir.path(), &["simulate", "slow.yaml", "--mode", "cells"]);
    assert_eq!((code, &object["end"], &object["ok"]), (0, &value!("time_limit"), &value!(true)));
    let growing = &object["growing"];
    assert_eq!((&growing["population"], &growing["since_ms"]), (&value!("HO"), &value!(10_000.0)));
    assert!(growing["factor"].as_f64().is_some_and(|f| f > 1e20), "{growing}");
    let d = &object["diagnostics"][0];
    assert_eq!((&d["code"], &d["severity"], &d["line"]), (&value!("R005"), &value!("warning"), &value!(6)));
    let said = run_in(dir.path(), &["simulate", "slow.yaml", "--mode", "cells"]);
    for words in ["warning[R005]", "`HO` was still growing", "-fold in the second half", "slow.yaml:6:"] {
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
    }
    assert!(!said.stderr.contains("passing state"), "{}", said.stderr);

    let (code, object) = json_in(dir.path(), &["simulate", "fast.yaml", "--mode", "cells", "-o", "run"]);
    assert_eq!((code, &object["output_sha256"]), (1, &value!(null)));
    assert_eq!(object["diverged"]["cause"], "infinite");
    assert_eq!(object["diagnostics"][0]["line"], 6);
    let manifest = fs::read_to_string(dir.path().join("run/manifest.json")).expect("there");
    assert!(manifest.contains("\"output_sha256\": null"), "{manifest}");
    let said = run_in(dir.path(), &["simulate", "fast.yaml", "--mode", "cells"]);
    assert!(said.stdout.contains("output HO: none, the run diverged") && !said.stdout.contains("sha256"));
    assert!(
        said.stderr.contains("a number became infinite") && !said.stderr.contains("zero"),
        "{}",
        said.stderr
    );
}

/// The words of a finished run: its schedule, its duration, one of something, why no expectation.
#[test]
fn runs_are_worded_as_they_were() {
    let dir = tempfile::tempdir().expect("a folder");
    let said = |file: &str, more: &[&str]| {
        let path = root().join(format!("circuits/{file}.yaml"));
        let mut args = vec!["simulate", text(&path), "--mode", "cells"];
        args.extend(more);
        let ran = run_in(dir.path(), &args);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        (ran.stdout, ran.stderr)
    };
    let (time, _) = said("tokens_in_time", &["--record", "SLOW.deep@1000"]);
    assert!(
        time.contains("all tokens presented in 1200 steps (1200 ms)\n") && !time.contains("rest"),
        "{time}"
    );
    assert!(time.contains("trace SLOW.deep.rate: 2 samples x 1 token x 9 cells"), "{time}");
    let (one, _) = said("three_level_hierarchy", &["--prospective"]);
    assert!(one.contains("settled after 1 step (1 ms)"), "{one}");
    for (lesion, why) in [
        ("silence=A1.deep", "what is left does not compile: this circuit is not attention"),
        ("silence=A1.deep@10ms..20ms", "a lesion acts in a window of time"),
        ("silence=HO:0.5", "the output itself is silenced"),
    ] {
        let (out, _) = said("one_head_key_value_memory", &["--lesion", lesion]);
        assert!(out.contains(&format!("expected mean |dy|^2: none, {why}")), "{lesion}: {out}");
    }
    let (_, err) = said("one_head_key_value_memory", &["--lesion", "silence=A1.deep:0.01"]);
    assert!(
        err.contains("note: `silence A1.deep` hits nothing: 0.01 of 16 cells, rounded, is none"),
        "{err}"
    );
}
