//! The picture of a run of cells: what it shows, and that none of its words touch or are cut.

use crate::binary::{run_in, text};
use crate::support::root;
use pulvinar_lab::figures::font::{Face, width};
use std::fs;
use std::path::Path;

/// A run directory's picture.
fn picture(folder: &Path, file: &str, more: &[&str]) -> String {
    let path = if file.ends_with(".yaml") {
        folder.join(file)
    } else {
        root().join(format!("circuits/{file}.yaml"))
    };
    let mut args = vec!["simulate", text(&path), "--mode", "cells", "-o", "run", "--force"];
    args.extend(more);
    let ran = run_in(folder, &args);
    assert!(ran.code <= 1, "{}: {}", ran.line, ran.stderr);
    fs::read_to_string(folder.join("run/traces.svg")).expect("written")
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let rest = tag.split_once(&format!(" {name}=\""))?.1;
    rest.split('"').next()
}

/// A word of the picture and the room that it takes, in its units: left, top, right, bottom.
#[derive(Debug)]
struct Word {
    words: String,
    room: [f64; 4],
}

/// All words, with the widths of their font.
fn words(svg: &str) -> Vec<Word> {
    let number = |tag: &str, name: &str| attribute(tag, name).and_then(|x| x.parse::<f64>().ok());
    svg.split("<text")
        .skip(1)
        .map(|part| {
            let (tag, rest) = part.split_once('>').expect("a tag");
            let words = rest.split("</text>").next().unwrap_or_default().trim().to_owned();
            let plain = [("&lt;", "<"), ("&gt;", ">"), ("&apos;", "'"), ("&quot;", "\""), ("&amp;", "&")]
                .iter()
                .fold(words.clone(), |plain, (from, to)| plain.replace(from, to));
            let (x, y) = (number(tag, "x").expect("x"), number(tag, "y").expect("y"));
            let size = number(tag, "font-size").expect("a size");
            let face = match attribute(tag, "font-family") {
                Some(family) if family.contains("Mono") => Face::Mono,
                _ if tag.contains("bold") => Face::Bold,
                _ => Face::Sans,
            };
            let long = width(&plain, size, face);
            let from = match attribute(tag, "text-anchor") {
                Some("middle") => -long / 2.0,
                Some("end") => -long,
                _ => 0.0,
            };
            assert_eq!(attribute(tag, "dy"), Some("0.5ex"), "{words}");
            // Half the height of an x below its place is the baseline.
            let base = 0.5 * 1120.0 / 2048.0 * size;
            let (up, down) = (base - 0.73 * size, base + 0.18 * size);
            let room = if tag.contains("rotate") {
                [x + up, y - from - long, x + down, y - from]
            } else {
                [x + from, y + up, x + from + long, y + down]
            };
            Word { words, room }
        })
        .collect()
}

/// No words touch, and none are cut.
pub fn check(svg: &str, claim: &str) {
    let view = attribute(svg, "viewBox").expect("a view box");
    let size: Vec<f64> = view.split(' ').map(|x| x.parse().expect("a number")).collect();
    let all = words(svg);
    assert!(all.len() > 10, "{claim}");
    for (k, a) in all.iter().enumerate() {
        let [left, top, right, bottom] = a.room;
        assert!(left >= 0.0 && top >= 0.0 && right <= size[2] && bottom <= size[3], "{claim}: cut: {a:?}");
        for b in &all[k + 1..] {
            let apart = (0..2).any(|i| a.room[i + 2] <= b.room[i] || b.room[i + 2] <= a.room[i]);
            assert!(apart, "{claim}: {a:?} touches {b:?}");
        }
    }
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{claim}");
}

#[test]
fn no_words_touch_or_are_cut() {
    let dir = tempfile::tempdir().expect("a folder");
    let read = |name: &str| fs::read_to_string(root().join(format!("circuits/{name}.yaml"))).expect("there");
    let write = |name: &str, text: String| fs::write(dir.path().join(name), text).expect("written");
    write("crowd.yaml", read("tokens_in_time").replace("length: 6", "length: 128"));
    let skip = "  skip: {from: VP_core";
    let back = |gain: f64, delay: &str| {
        let back = format!(
            "  back: {{from: HO, to: HO.basal, weights: identity, gain: {gain}, delay: {delay}}}\n{skip}"
        );
        read("one_head_attention_mask").replace(skip, &back)
    };
    write("diverged.yaml", back(3.0, "2 ms"));
    write("growing.yaml", back(1.2, "20 ms"));
    let long = "a_name_that_is_much_longer_than_names_are_wont_to_be";
    write(
        "long.yaml",
        read("multihead_cortico_thalamic")
            .replace("superficial", long)
            .replace("name: multihead", &format!("name: {long}_{long}")),
    );
    let window = "silence=A1.deep:0.5@100ms..200ms";
    let kv = [
        "--record",
        "A1.deep",
        "--record",
        "A1.superficial",
        "--record",
        "A1.deep.apical",
        "--lesion",
        window,
    ];
    let two = ["--lesion", "silence=FAST.deep:0.5@500ms..650ms", "--lesion", "scale=slow_Q:2@600ms..900ms"];
    for (file, more) in [
        ("multihead_cortico_thalamic", &[][..]),
        ("multihead_cortico_thalamic", &["--lesion", "cut=W_K1@20ms..30ms"]),
        ("tokens_in_time", &[]),
        ("tokens_in_time", &two),
        ("softmax_divisive", &[]),
        ("dale_head", &[]),
        ("three_level_hierarchy", &["--prospective"]),
        ("one_head_key_value_memory", &kv),
        ("crowd.yaml", &[]),
        ("crowd.yaml", &["--lesion", "silence=FAST.deep@9s..9.5s"]),
        ("diverged.yaml", &[]),
        ("growing.yaml", &[]),
        ("long.yaml", &[]),
    ] {
        check(&picture(dir.path(), file, more), &format!("{file} {more:?}"));
    }
}

/// Recorded traces take the place of the default ones; lesions have a band and a word in every panel.
#[test]
fn what_is_recorded_is_drawn_and_lesions_are_marked() {
    let dir = tempfile::tempdir().expect("a folder");
    let shown = |more: &[&str]| {
        let svg = picture(dir.path(), "one_head_key_value_memory", more);
        words(&svg).into_iter().map(|w| w.words).collect::<Vec<_>>()
    };
    let has = |all: &[String], word: &str| all.iter().filter(|w| *w == word).count();
    let plain = shown(&[]);
    for (word, n) in [
        ("A1.superficial", 1),
        ("A1.deep", 1),
        ("HO, output", 1),
        ("distance to the compiled heads", 1),
        ("silence", 0),
    ] {
        assert_eq!(has(&plain, word), n, "{word}");
    }
    assert_eq!(has(&plain, "rate (unitless)"), 3);
    assert_eq!(has(&plain, "relative distance (unitless)"), 1);
    assert_eq!(has(&plain, "time (ms)"), 4);
    for token in ["query token", "13", "14", "15"] {
        assert_eq!(has(&plain, token), 1, "{token}");
    }
    let asked = shown(&[
        "--record",
        "A1.deep.apical",
        "--record",
        "HO@50",
        "--lesion",
        "silence=A1.deep@100ms..200ms",
    ]);
    for (word, n) in [
        ("A1.deep.apical", 1),
        ("A1.superficial", 0),
        ("A1.deep", 0),
        ("HO, output", 1),
        ("potential (unitless)", 1),
    ] {
        assert_eq!(has(&asked, word), n, "{word}");
    }
    assert_eq!(has(&asked, "silence"), 3);
    let caption = asked.join(" ");
    assert!(caption.contains("Lesion: silence A1.deep from 100 to 200 ms (shaded)."), "{caption}");
    // The output alone has its panel anyway.
    assert_eq!(has(&shown(&["--record", "HO@50"]), "A1.superficial"), 1);

    let file = fs::read_to_string(root().join("circuits/one_head_key_value_memory.yaml")).expect("there");
    let some = "record: [{population: A1.deep, cells: [3, 7], query: [2, 5]}]\n";
    fs::write(dir.path().join("some.yaml"), format!("{file}{some}")).expect("written");
    let all: Vec<String> =
        words(&picture(dir.path(), "some.yaml", &[])).into_iter().map(|w| w.words).collect();
    for word in ["A1.deep, cells 3, 7", "2", "5"] {
        assert!(has(&all, word) >= 1, "{word}: {all:?}");
    }
}

/// The lines of a memory in time are level or upright, never aslope: it is written at once.
#[test]
fn writes_are_steps() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = fs::read_to_string(root().join("circuits/tokens_in_time.yaml")).expect("there");
    for length in ["length: 6", "length: 128"] {
        fs::write(dir.path().join("time.yaml"), file.replace("length: 6", length)).expect("written");
        let svg = picture(dir.path(), "time.yaml", &["--record", "SLOW.superficial"]);
        let panel = svg.split("SLOW.superficial").next().expect("before its heading");
        let lines: Vec<&str> =
            panel.split("<polyline").skip(1).filter_map(|p| attribute(p, "points")).collect();
        let lines: Vec<Vec<[f64; 2]>> = lines
            .iter()
            .map(|l| {
                l.split_whitespace()
                    .filter_map(|p| p.split_once(','))
                    .map(|(x, y)| [x, y].map(|n| n.parse().expect("a number")))
                    .collect()
            })
            .collect();
        let corners: usize = lines.iter().map(Vec::len).sum();
        assert!(corners > 60, "{corners}");
        for pair in lines.iter().flat_map(|l| l.windows(2)) {
            assert!(pair[0][0] == pair[1][0] || pair[0][1] == pair[1][1], "{pair:?}");
        }
    }
}

/// 128 tokens are no bar code: lines of onsets stay apart, and the distance is a dot for each output.
#[test]
fn a_crowd_of_tokens_is_thinned_out() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = fs::read_to_string(root().join("circuits/tokens_in_time.yaml")).expect("there");
    fs::write(dir.path().join("crowd.yaml"), file.replace("length: 6", "length: 128")).expect("written");
    let svg = picture(dir.path(), "crowd.yaml", &[]);
    let dots = svg.matches("<circle").count();
    // One for each token, and a filled and an open one for each ring: 8 tokens of 6 cells, and the word.
    assert_eq!(dots, 128 + 2 * (8 * 6 + 1));
    let all: Vec<String> = words(&svg).into_iter().map(|w| w.words).collect();
    let caption = all.join(" ");
    assert!(caption.contains("Rates are shown from 0 to 1600 ms: 8 of the 128 tokens"), "{caption}");
    assert!(svg.len() < 400_000, "{} bytes", svg.len());
}
