//! What is printed is clean, what is written reads back, and pictures are well-formed, whatever stands in names.

use crate::binary::{Ran, run_in};
use proptest::prelude::*;
use pulvinar::diag::{Diagnostic, codes, is_unclean};
use pulvinar::{circuit, spec};
use pulvinar_lab::figures::circuit::draw;
use pulvinar_lab::report::{Body, Page, Section, html};
use std::fs;
use std::path::Path;

const HEAD: &str = include_str!("../../circuits/one_head_attention_mask.yaml");

/// What a terminal would act on: a colour, a title of the window, an eight-bit control, turned text, nothing to see.
const NASTY: &str = "\u{1b}[31m\u{1b}]0;x\u{7}\u{9b}2J\u{202e}\u{200b}\u{2066}\u{feff}\u{85}\u{2028}\r\u{8}";

fn is_clean(text: &str) -> bool {
    !text.chars().any(|c| is_unclean(c) && c != '\n' && c != '\t')
}

fn assert_clean(ran: &Ran) {
    assert!(is_clean(&ran.stdout), "{}: {:?}", ran.line, ran.stdout);
    assert!(is_clean(&ran.stderr), "{}: {:?}", ran.line, ran.stderr);
}

fn quoted(text: &str) -> String {
    let escape = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if (c as u32) < 0x20 || is_unclean(c) && (c as u32) <= 0xffff => format!("\\u{:04x}", c as u32),
        c if is_unclean(c) => format!("\\U{:08x}", c as u32),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}

/// The head with a name and a description.
fn named(name: &str) -> String {
    let line = "name: one_head_attention_mask";
    assert!(HEAD.contains(line));
    let mut text = HEAD.replace(line, &format!("name: {}", quoted(name)));
    let from = text.find("description:").expect("a description");
    let to = from + text[from..].find('\n').expect("its end");
    text.replace_range(from..to, &format!("description: {}", quoted(name)));
    text
}

#[test]
fn names_never_reach_a_terminal_raw() {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("written");
    let odd = format!("a{}b.yaml", NASTY.replace(['\u{0}', '/'], ""));
    write(&odd, &named(NASTY));
    write("bad.yaml", &HEAD.replace("W_K:", &format!("{}:", quoted(NASTY))));
    write("stream.yaml", &HEAD.replace("output: HO", &format!("output: {}", quoted(NASTY))));
    // Raw in the text itself: what YAML lets pass stands in the excerpt.
    write("raw.yaml", &HEAD.replace("output: HO", "output: \"x\u{202e}\u{200b}y\"  # \u{2066}"));
    write("broken.yaml", "a: [1, 2 \u{202e}\nb: {\u{200b}");
    for format in ["text", "json"] {
        for args in [
            &["validate", &odd, "bad.yaml", "stream.yaml", "raw.yaml", "broken.yaml"][..],
            &["compile", &odd],
            &["compile", &odd, "--emit", "graph"],
            &["compile", &odd, "--emit", "spec"],
            &["compile", &odd, "--emit", "dot"],
            &["compile", &odd, "--emit", "svg"],
            &["simulate", &odd, "-v"],
            &["simulate", &odd, "--mode", "cells", "-v"],
            &["simulate", "no\u{1b}[31msuch\u{202e}.yaml"],
            &["check", &odd, "--against", "no\u{1b}[0m.safetensors"],
            &["compile", &odd, "--set", "\u{1b}[31m=1"],
            &["explain", "\u{1b}[31mC001\u{202e}"],
            &["simulate", &odd, "--tokens", "\u{1b}[31m=x.npy"],
            &["simulate", &odd, "--record", "\u{9b}31m\u{202e}", "--mode", "cells"],
            &["\u{1b}[31m", "--colour\u{202e}"],
            &["simulate", &odd, "-o", "out\u{1b}[31m\u{202e}", "--force"],
        ] {
            for color in ["never", "always"] {
                let ran = run_in(dir.path(), &[args, &["--format", format]].concat());
                assert_clean(&ran);
                // Colours are escapes of the program's own; nothing of the file's is among them.
                let ran = run_in(dir.path(), &[args, &["--format", format, "--color", color]].concat());
                let all = format!("{}{}", ran.stdout, ran.stderr);
                for bad in [
                    "\u{1b}[31m\u{1b}",
                    "\u{1b}]0",
                    "\u{7}",
                    "\u{9b}",
                    "\u{202e}",
                    "\u{200b}",
                    "\u{2066}",
                    "\u{feff}",
                ] {
                    assert!(!all.contains(bad), "{}: {bad:?} in {all:?}", ran.line);
                }
            }
        }
    }
}

#[test]
fn names_of_tensors_and_members_never_reach_a_terminal_raw() {
    use pulvinar::files::{Array, Dtype, write_npz, write_safetensors};
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("head.yaml"), HEAD).expect("written");
    let array = |shape: &[usize]| Array {
        shape: shape.to_vec(),
        data: vec![0.5; shape.iter().product()],
        dtype: Dtype::F64,
    };
    let tensors: Vec<(String, Array)> =
        [("in_proj_weight", &[24, 8][..]), ("out_proj.weight", &[8, 8]), ("extra", &[2])]
            .iter()
            .map(|(name, shape)| (format!("{NASTY}.{name}"), array(shape)))
            .collect();
    write_safetensors(&dir.path().join("m.safetensors"), &tensors, &[(NASTY.to_owned(), NASTY.to_owned())])
        .expect("written");
    write_npz(
        &dir.path().join("t.npz"),
        &[(NASTY.to_owned(), array(&[3, 8])), (format!("{NASTY}2"), array(&[1]))],
    )
    .expect("written");
    let layer = format!("{NASTY}.");
    for format in ["text", "json"] {
        for args in [
            &["import", "m.safetensors", "-o", "m.yaml", "--force"][..],
            &["import", "m.safetensors", "-o", "m.yaml", "--heads", "2", "--force"],
            &[
                "import",
                "m.safetensors",
                "-o",
                "m.yaml",
                "--heads",
                "2",
                "--prefix",
                "x\u{1b}[31m",
                "--force",
            ],
            &["import", "m.safetensors", "-o", "m.yaml", "--heads", "2", "--prefix", &layer, "--force"],
            &["check", "head.yaml", "--against", "m.safetensors"],
            &["check", "head.yaml", "--against", "m.safetensors", "--heads", "2"],
            &["simulate", "head.yaml", "--tokens", "t.npz"],
        ] {
            assert_clean(&run_in(dir.path(), &[args, &["--format", format]].concat()));
        }
    }
    // What was imported, names in comments included, reads back.
    if let Ok(text) = fs::read(dir.path().join("m.yaml")) {
        assert!(is_clean(&String::from_utf8(text).expect("UTF-8")));
        assert_eq!(run_in(dir.path(), &["validate", "m.yaml"]).code, 0);
    }
}

/// A page is HTML: elements that stand open in its head are closed for the parser of XML.
fn closed(page: &str) -> String {
    let close = |line: &str| {
        let open = line.starts_with("<meta ") || line.starts_with("<link ");
        if open { line.replace("\">", "\"/>") } else { line.to_owned() }
    };
    page.lines().map(|line| close(line) + "\n").collect()
}

/// Texts of letters, of what YAML and XML treat in a way of their own, and of anything.
fn text() -> impl Strategy<Value = String> {
    let special = [
        "\u{85}",
        "\u{2028}",
        "\u{2029}",
        "\u{feff}",
        "\"",
        "'",
        ": ",
        " #",
        "#",
        "- ",
        "  ",
        "\t",
        "\n",
        "\r",
        "\\",
        "\u{0}",
        "\u{1b}",
        "\u{7f}",
        "\u{9f}",
        "{",
        "}",
        "[",
        "]",
        ",",
        "&",
        "*",
        "!",
        "|",
        ">",
        "<",
        "%",
        "@",
        "`",
        "~",
        "null",
        "true",
        "1e3",
        ".nan",
        "0x1f",
        "---",
        "...",
        "\u{fffe}",
        "\u{ffff}",
        "\u{e0041}",
        "\u{1f9e0}",
        "\u{202e}",
        "]]>",
        "<!--",
        "?",
        "=",
        "<<",
        "10 ms",
        "é",
    ];
    let piece = prop_oneof![
        prop::sample::select(special.to_vec()).prop_map(str::to_owned),
        "[a-z0-9 _./-]{0,6}",
        any::<char>().prop_map(|c| c.to_string()),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_text_that_is_written_is_read_back(name in text(), about in text()) {
        let document = spec::read(HEAD.as_bytes(), Path::new("."), &[]).expect("reads");
        let mut own = document.spec.clone();
        own.name.clone_from(&name);
        own.description = Some(about.clone());
        own.source = Some(format!("{about}{name}"));
        let written = spec::to_yaml(&own);
        prop_assert!(is_clean(&written), "{:?}", written);
        let back = spec::read(written.as_bytes(), Path::new("."), &[]);
        let back = match back { Ok(back) => back.spec, Err(d) => return Err(TestCaseError::fail(format!("{d}\n{written}"))) };
        prop_assert_eq!(&back.name, &name);
        prop_assert_eq!(back.description.as_deref(), Some(about.as_str()));
        prop_assert_eq!(spec::to_yaml(&back), written);
    }

    #[test]
    fn pictures_and_pages_are_well_formed(name in text()) {
        let document = spec::read(HEAD.as_bytes(), Path::new("."), &[]).expect("reads");
        let mut own = document.spec.clone();
        own.name.clone_from(&name);
        own.description = Some(name.clone());
        let wired = circuit::wire(&own, Path::new(".")).expect("is wired");
        let svg = draw(&wired).expect("a drawing");
        prop_assert!(is_clean(&svg), "{:?}", name);
        if let Err(e) = roxmltree::Document::parse(&svg) {
            return Err(TestCaseError::fail(format!("{e} for {name:?}")));
        }
        let page = Page {
            title: name.clone(),
            about: Some(name.clone()),
            facts: vec![(name.clone(), name.clone())],
            sections: vec![Section {
                heading: name.clone(),
                words: vec![name.clone()],
                body: vec![Body::Table { head: vec![name.clone()], rows: vec![vec![name.clone()]] }, Body::Picture(svg)],
            }],
        };
        let page = closed(&html(&page));
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        if let Err(e) = roxmltree::Document::parse_with_options(&page, options) {
            return Err(TestCaseError::fail(format!("{e} for {name:?}")));
        }
    }

    #[test]
    fn messages_are_clean_and_bounded(what in text(), help in text()) {
        let d = Diagnostic::error(codes::F007, "", what.repeat(90)).help_if(Some(help.repeat(90)));
        prop_assert!(is_clean(&d.to_string()));
        prop_assert!(d.message.chars().count() <= 620 && d.help.expect("some").chars().count() <= 620);
    }
}

#[test]
fn the_picture_of_a_run_has_a_parser_of_its_own_and_a_long_description_takes_no_time() {
    let dir = tempfile::tempdir().expect("a folder");
    let long = format!("{NASTY}<&>]]> ").repeat(1000);
    fs::write(dir.path().join("long.yaml"), named(&long)).expect("written");
    let ran = run_in(dir.path(), &["simulate", "long.yaml", "--mode", "cells", "-o", "out"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_clean(&ran);
    let svg = fs::read_to_string(dir.path().join("out/traces.svg")).expect("a picture");
    roxmltree::Document::parse(&svg).unwrap_or_else(|e| panic!("{e}"));
    assert!(is_clean(&svg));
    let page = fs::read_to_string(dir.path().join("out/report.html")).expect("a page");
    assert!(is_clean(&page));
    let back = run_in(dir.path(), &["validate", "out/circuit.yaml"]);
    assert_eq!(back.code, 0, "{}", back.stderr);
}
