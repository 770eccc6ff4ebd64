//! Drawings of circuits: shipped, random, of many areas, and odd ones.

use crate::binary::{json, run, run_in, text};
use crate::drawing_check::check;
use crate::drawing_circuits::{BARE, ODD, chain, row};
use crate::generate::heads::random_circuit;
use crate::generate::wild::random_wiring;
use crate::support::{from_text, load, root, shipped};
use pulvinar::circuit::Circuit;
use pulvinar_lab::figures::circuit::model::{Shape, Sketch};
use pulvinar_lab::figures::circuit::plan::Plan;
use pulvinar_lab::figures::circuit::{draw, plan};
use std::collections::BTreeSet;

fn drawn(name: &str, circuit: &Circuit) -> (Sketch, Plan) {
    let (sketch, plan) = plan(circuit);
    check(name, circuit, &sketch, &plan);
    let svg = draw(circuit).unwrap_or_else(|e| panic!("{name}: {e}"));
    let texts = well_formed(name, &svg);
    let mut want: Vec<String> = plan.labels.iter().map(|l| l.text.trim().to_owned()).collect();
    let mut got = texts;
    want.sort();
    got.sort();
    assert_eq!(got, want, "{name}: the words of the picture");
    assert_eq!(svg, draw(circuit).expect("as before"), "{name}: the same bytes");
    (sketch, plan)
}

fn wired(yaml: &str) -> Circuit {
    from_text(yaml).unwrap_or_else(|e| panic!("{e}")).1
}

/// Reads the text as XML: tags close in order, attributes are quoted, signs are escaped. Returns the words.
fn well_formed(name: &str, svg: &str) -> Vec<String> {
    let mut open: Vec<&str> = Vec::new();
    let mut texts = Vec::new();
    let mut rest = svg.trim();
    while let Some(at) = rest.find('<') {
        let words = rest[..at].trim();
        // The font, and what readers who see nothing are told.
        if !words.is_empty() && !matches!(open.last(), Some(&"style" | &"title")) {
            assert_eq!(open.last(), Some(&"text"), "{name}: words outside of text");
            texts.push(unescaped(name, words));
        }
        let end = rest[at..].find('>').unwrap_or_else(|| panic!("{name}: a tag does not end")) + at;
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed), "{name}: tags close in order");
            continue;
        }
        let (tag, alone) = tag.strip_suffix('/').map_or((tag, false), |t| (t, true));
        let (kind, mut attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        let mut seen = BTreeSet::new();
        while !attributes.trim().is_empty() {
            let (key, value) = attributes.split_once("=\"").unwrap_or_else(|| panic!("{name}: {attributes}"));
            let (value, more) = value.split_once('"').unwrap_or_else(|| panic!("{name}: {attributes}"));
            assert!(seen.insert(key.trim().to_owned()), "{name}: {key} twice");
            assert!(
                !value.contains('<') && !value.contains("NaN") && !value.contains("inf"),
                "{name}: {value}"
            );
            unescaped(name, value);
            attributes = more;
        }
        if !alone {
            open.push(kind);
        }
    }
    assert!(open.is_empty() && rest.is_empty(), "{name}: the picture ends");
    texts
}

fn unescaped(name: &str, words: &str) -> String {
    assert!(words.chars().all(|c| !c.is_control() || c == '\n'), "{name}: {words:?}");
    for (at, _) in words.match_indices('&') {
        let known = ["&lt;", "&gt;", "&amp;", "&quot;", "&apos;"].iter().any(|e| words[at..].starts_with(e));
        assert!(known, "{name}: {words}");
    }
    let text = words.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'");
    text.replace("&amp;", "&")
}

#[test]
fn shipped_circuits_are_drawn_cell_by_cell() {
    for path in shipped() {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let (_, circuit) = load(&path);
        let (sketch, plan) = drawn(&name, &circuit);
        assert!(!sketch.collapsed && plan.areas.len() == circuit.areas.len(), "{name}");
        // All populations but `tonic`.
        assert_eq!(plan.nodes.len(), circuit.populations.len() - 1, "{name}");
        assert!(plan.labels.iter().any(|l| l.text == name), "{name}: the title");
    }
}

#[test]
fn random_circuits_are_drawn() {
    for seed in 0..150 {
        let (yaml, _) = random_circuit(seed);
        drawn(&format!("seed {seed}"), &wired(&yaml));
    }
    // Wiring without any plan behind it; much of it is refused before it could be drawn.
    let mut seen = 0;
    for seed in 0..400 {
        if let Ok((_, circuit)) = from_text(&random_wiring(seed)) {
            drawn(&format!("wiring {seed}"), &circuit);
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen} of 400");
}

#[test]
fn odd_circuits_are_drawn() {
    let (sketch, plan) = drawn("odd", &wired(ODD));
    assert!(plan.labels.iter().any(|l| l.text == "again_1 \u{2026} \u{d7}3"), "a bundle and its number");
    let links = sketch.links.iter().filter(|l| l.projections.len() == 3).count();
    assert_eq!(links, 1, "three projections between the same cells are one bundle");
    let entries: Vec<String> = plan.legend.iter().map(|(e, _)| format!("{e:?}")).collect();
    for sign in
        ["Excitatory", "Inhibitory", "Signed", "Divisive", "Gate", "Third", "Learning", "Tonic", "Memory"]
    {
        assert!(entries.iter().any(|e| e == sign), "the legend explains {sign}");
    }
    assert!(!entries.iter().any(|e| e == "Alike"), "the legend explains what is there, and no more");
    let (_, plan) = drawn("bare", &wired(BARE));
    assert!(plan.areas.is_empty() && plan.nodes.len() == 2);
    assert!(draw(&wired(ODD)).expect("drawn").contains("a &lt;name&gt; &amp; its &quot;quotes&quot;"));
}

#[test]
fn eight_areas_are_shown_and_more_collapse() {
    for n in [1, 2, 8] {
        let (_, plan) = drawn(&format!("chain of {n}"), &wired(&chain(n)));
        assert_eq!(plan.areas.len(), n);
        assert_eq!(plan.nodes.iter().filter(|p| p.node.shape == Shape::Pyramid).count(), 2 * n);
        // At a width of 1200 pixels its letters, drawn with 11, have 7.5 or more.
        assert!(plan.width <= 1200.0 * 11.0 / 7.5, "{}", plan.width);
    }
    for n in [9, 12, 40] {
        let circuit = wired(&chain(n));
        let (sketch, plan) = drawn(&format!("chain of {n}"), &circuit);
        assert!(sketch.collapsed);
        let boxes: Vec<_> = plan.nodes.iter().filter(|p| p.node.shape == Shape::Areas).collect();
        assert!(boxes.len() <= 8, "{n}: {} boxes", boxes.len());
        assert_eq!(sketch.areas.iter().map(|a| a.count).sum::<usize>(), n, "every area is counted");
        assert_eq!(boxes.iter().map(|b| b.node.populations.len()).sum::<usize>(), 2 * n);
        let within = |words: &str| {
            words.strip_suffix(" inside").map(|w| w.split(' ').next().unwrap().parse::<usize>())
        };
        let inside: usize =
            boxes.iter().flat_map(|b| &b.node.lines).filter_map(|l| within(l)).map(Result::unwrap).sum();
        assert_eq!(inside, n, "one projection inside each area");
    }
}

#[test]
fn areas_that_are_alike_share_a_box() {
    let (sketch, plan) = drawn("row of 12", &wired(&row(12)));
    assert!(!sketch.collapsed);
    assert_eq!((plan.areas.len(), plan.areas[0].count), (1, 12));
    assert!(plan.labels.iter().any(|l| l.text == "12 areas alike"));
    assert!(sketch.links.iter().all(|l| l.projections.len() == 12), "each line stands for twelve");
    // One area differs: it is drawn apart.
    let other = row(12).replace(
        "H3: {template: {softmax_head: {query: R, context: C, to: HO, d_k: 2",
        "H3: {template: {softmax_head: {query: R, context: C, to: HO, d_k: 3",
    );
    let (sketch, plan) = drawn("row of 11 and 1", &wired(&other));
    assert_eq!(plan.areas.iter().map(|a| a.count).collect::<Vec<_>>(), [11, 1]);
    assert_eq!(sketch.areas[1].name, "H3");
}

#[test]
fn the_command_draws() {
    let ran = run(&["compile", "circuits/one_microcolumn.yaml", "--emit", "svg"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", ran.line);
    let own = "font-family=\"DejaVu Sans, Verdana, sans-serif\"";
    assert!(ran.stdout.starts_with("<svg ") && ran.stdout.matches(own).count() > 10);
    assert_eq!(ran.stdout.matches("font-family=").count(), ran.stdout.matches(own).count());
    assert!(ran.stdout.contains("<style>@font-face{font-family:\"DejaVu Sans\""), "the font comes along");
    // What is not attention can be looked at, too.
    let wrong = "tests/bad/not_attention_value_from_query_relay.yaml";
    assert_eq!(run(&["compile", wrong, "--emit", "svg"]).code, 0);
    let (code, object) = json(&["compile", "circuits/one_microcolumn.yaml", "--emit", "svg"]);
    assert_eq!((code, object["text"].as_str()), (0, Some(ran.stdout.as_str())));
}

#[test]
fn the_output_flag_goes_by_the_name_of_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let circuit = root().join("circuits/one_microcolumn.yaml");
    let circuit = text(&circuit);
    let there = |name: &str| std::fs::read(folder.path().join(name)).expect("written");
    let plain = run_in(folder.path(), &["compile", circuit, "--emit", "svg"]);
    let ran = run_in(folder.path(), &["compile", circuit, "--emit", "svg", "-o", "a.svg"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "", "wrote a.svg\n"));
    assert_eq!(there("a.svg"), plain.stdout.as_bytes());
    let ran =
        run_in(folder.path(), &["compile", circuit, "--emit", "svg", "-o", "a.svg", "--force", "--explain"]);
    assert!(
        ran.code == 0 && ran.stdout.contains("W_K <- W_K") && !ran.stdout.contains("<svg"),
        "{}",
        ran.stdout
    );
    let ran = run_in(folder.path(), &["compile", circuit, "--emit", "svg", "-o", "h.safetensors"]);
    assert!(ran.code == 2 && ran.stderr.contains("U007") && ran.stderr.contains(".svg"), "{}", ran.stderr);
}
