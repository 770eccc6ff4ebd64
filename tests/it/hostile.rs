//! Files that try to hang, crash or fill the memory, and slips of editors and other programs.

use super::circuits::{ALL, MASK, MEMORY};
use super::mistakes::{mistakes_in, mistakes_of};
use super::odd;
use pulvinar::diag::Diagnostics;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Each case takes well below a second; a build without optimisation on a machine that also compiles gets more.
const LIMIT: Duration = Duration::from_secs(4);

/// Longest message and help that a reader of a terminal shall get.
const LONGEST: usize = 640;

/// Runs one case: in time, with short and helpful messages.
fn check(claim: &str, run: impl FnOnce() -> Diagnostics) -> Diagnostics {
    let start = Instant::now();
    let found = run();
    assert!(start.elapsed() < LIMIT, "{claim} took {:?}", start.elapsed());
    for d in &found.0 {
        let help = d.help.as_deref().unwrap_or_default();
        assert!(!d.message.is_empty() && !help.is_empty(), "{claim}: {d}");
        assert!(d.message.chars().count() <= LONGEST, "{claim}: a message of {} bytes", d.message.len());
        assert!(help.chars().count() <= LONGEST, "{claim}: a help of {} bytes", help.len());
    }
    found
}

/// The text must be refused, with `code` among the reasons.
fn refused(claim: &str, text: impl AsRef<[u8]>, code: &str) {
    let found = check(claim, || mistakes_in(text.as_ref()));
    assert!(found.0.iter().any(|d| d.code == code), "{claim}: wanted {code}, found {found}");
}

fn accepted(claim: &str, text: impl AsRef<[u8]>) {
    let found = check(claim, || mistakes_in(text.as_ref()));
    assert!(found.0.is_empty(), "{claim}: {found}");
}

/// Replaces what must be there.
fn with(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "`{old}` is not in the circuit");
    text.replacen(old, new, 1)
}

#[test]
fn nesting_without_end() {
    const N: usize = 100_000;
    let steps: String = (0..600).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    let rows: &[(&str, String)] = &[
        ("lists", "[".repeat(N) + &"]".repeat(N)),
        ("lists that never close", "[".repeat(2 * N)),
        ("maps", "{a: ".repeat(N / 2)),
        ("block lists", "- ".repeat(N)),
        ("complex keys", "? ".repeat(N)),
        ("indentation", steps),
        ("lists behind a string of two lines", format!("[\"a\n\", {}", "[".repeat(2 * N))),
        ("lists behind an escaped backslash", format!("[\"\\\\\", {}", "[".repeat(2 * N))),
        ("lists behind a quote within a word", format!("[a\n'b, {}", "[".repeat(2 * N))),
        ("one list a line", "[\n".repeat(N)),
    ];
    for (claim, text) in rows {
        refused(claim, text, "Y004");
    }
}

#[test]
fn aliases_that_expand() {
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    let mut chain = String::from("a0: &a0 {k: x}\n");
    for i in 1..30 {
        let tenfold = vec![format!("*a{}", i - 1); 10].join(",");
        writeln!(bomb, "a{i}: &a{i} [{tenfold}]").expect("text");
        writeln!(chain, "a{i}: &a{i} {{l: *a{p}, r: *a{p}}}", p = i - 1).expect("text");
    }
    refused("lists of lists", &bomb, "Y005");
    refused("maps of maps", &chain, "Y005");
    refused("an alias of itself", "a: &a [*a]\n", "Y004");
}

#[test]
fn files_that_are_too_large() {
    let folder = tempfile::tempdir().expect("a folder");
    for (claim, megabytes) in [("17 MB", 17), ("a scalar of 100 MB", 100), ("a sparse terabyte", 1_000_000)] {
        let path = folder.path().join("large.yaml");
        let mut text = MASK.as_bytes().to_vec();
        text.extend_from_slice(b"description: aaaa");
        std::fs::write(&path, text).expect("a file");
        let file = std::fs::OpenOptions::new().write(true).open(&path).expect("a file");
        if file.set_len(megabytes << 20).is_err() {
            continue; // not every file system is that large
        }
        let found = check(claim, || mistakes_of(&path));
        assert_eq!(found.0[0].code, "Y008", "{claim}: {found}");
    }
    refused("a scalar of 3 MB", format!("schema: {}", "a".repeat(3 << 20)), "S013");
}

#[test]
fn files_that_are_not_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let circuit = |name: &str, weights: &str| {
        let text = with(MASK, "weights: {normal: {std: 0.3}}", weights);
        std::fs::write(at(name), text).expect("a file");
        at(name)
    };
    std::fs::create_dir(at("folder.npy")).expect("a folder");
    std::fs::write(at("cut.npy"), b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f8'").expect("a file");
    std::fs::write(at("empty.npy"), b"").expect("a file");
    std::fs::write(at("words.csv"), "a,b\n1,x\n").expect("a file");
    std::fs::write(at("cells.bin"), "a").expect("a file");
    let rows = [
        ("no circuit file", at("none.yaml"), "F001"),
        ("a folder for a circuit", folder.path().to_owned(), "F002"),
        ("no weights file", circuit("1.yaml", "weights: {file: {path: none.npy}}"), "F001"),
        ("a folder of weights", circuit("2.yaml", "weights: {file: {path: folder.npy}}"), "F002"),
        ("weights cut off", circuit("3.yaml", "weights: {file: {path: cut.npy}}"), "F007"),
        ("no bytes of weights", circuit("4.yaml", "weights: {file: {path: empty.npy}}"), "F007"),
        ("words for weights", circuit("5.yaml", "weights: {file: {path: words.csv}}"), "F007"),
        ("an unknown format", circuit("6.yaml", "weights: {file: {path: cells.bin}}"), "F006"),
        ("a path of nothing", circuit("7.yaml", "weights: {file: {path: \"\"}}"), "F002"),
        ("a path with a zero", circuit("8.yaml", "weights: {file: {path: \"a\\0.npy\"}}"), "F003"),
        (
            "a very long path",
            circuit("9.yaml", &format!("weights: {{file: {{path: {}.npy}}}}", "a".repeat(9000))),
            "F003",
        ),
    ];
    for (claim, path, code) in rows {
        let found = check(claim, || mistakes_of(&path));
        assert!(found.0.iter().any(|d| d.code == code), "{claim}: wanted {code}, found {found}");
        if claim != "no circuit file" && claim != "a folder for a circuit" {
            assert!(found.0.iter().all(|d| d.span.is_some()), "{claim}: no place: {found}");
        }
    }
}

#[test]
fn encodings() {
    let utf16 = |text: &str, little: bool| -> Vec<u8> {
        let bytes = |u: u16| if little { u.to_le_bytes() } else { u.to_be_bytes() };
        text.encode_utf16().flat_map(bytes).collect()
    };
    let marked = format!("\u{FEFF}{MASK}");
    accepted("a byte-order mark", &marked);
    accepted("line ends of Windows", MASK.replace('\n', "\r\n"));
    accepted("both", marked.replace('\n', "\r\n"));
    refused("UTF-16 LE with a mark", utf16(&marked, true), "Y001");
    refused("UTF-16 BE with a mark", utf16(&marked, false), "Y001");
    refused("UTF-16 LE without a mark", utf16(MASK, true), "Y001");
    refused("UTF-16 BE without a mark", utf16(MASK, false), "Y001");
    refused(
        "quotes of Windows",
        with(MASK, "one_head", "XoneX").replace('X', "\u{93}").chars().map(|c| c as u8).collect::<Vec<_>>(),
        "Y001",
    );
    refused("no UTF-8 at all", [0x80, 0xFF, 0xC0, 0xAF], "Y001");
    refused("a zero byte", with(MASK, "one_head", "one\0head"), "Y003");
    refused("only zeros", [0u8; 64], "Y003");
    refused("typographic quotes are no quotes", with(MASK, "output: HO", "output: “HO”"), "C010");
    refused("nothing", "", "Y002");
    refused("blanks", " \n\t\n  ", "Y002");
    refused("null", "~\n", "Y002");
    refused("a word", "attention\n", "S002");
    refused("a list", "- a\n- b\n", "S002");
    refused("tabs", MASK.replace("  ", "\t"), "Y003");
}

#[test]
fn sizes() {
    let cells = |n: &str| with(MASK, "cells: $d_k", &format!("cells: {n}"));
    let d = |n: &str| MASK.replace("cells: 8", &format!("cells: {n}")).replace("d: 8", &format!("d: {n}"));
    let ragged = "[1, 2], ".repeat(50_000) + "[1]";
    let rows: &[(&str, String, &str)] = &[
        ("10^12 cells", cells("1000000000000"), "S007"),
        ("10^30 cells", cells("1000000000000000000000000000000"), "S007"),
        ("10^60 cells", cells(&format!("1{}", "0".repeat(60))), "S002"),
        ("10^8 cells", cells("100000000"), "C006"),
        ("negative cells", cells("-4"), "S006"),
        ("no cells", cells("0"), "S006"),
        ("minus zero", cells("-0"), "S006"),
        ("a fraction", cells("4.0"), "S002"),
        ("quotes", cells("\"4\""), "S002"),
        ("infinity by exponent", cells("1e999"), "S002"),
        ("an octal of old", cells("010"), "S002"),
        ("a separator", cells("1_000"), "S002"),
        (
            "columns x cells",
            MEMORY.replace("count: 3", "count: 100000000").replace("cells: 4", "cells: 100000000"),
            "C006",
        ),
        ("10^8 wide tokens, 10^8 of them", d("100000000").replace("length: 16", "length: 100000000"), "C006"),
        ("10^8 blocks", with(MASK, "count: 2", "count: 100000000"), "C024"),
        ("rank 10^8", with(MASK, "of: 2, std", "of: 100000000, std"), "C021"),
        ("a tie to itself", with(MASK, "{transpose_of: A}", "{transpose_of: fb_A}"), "C029"),
        (
            "a long list of rows",
            with(MASK, "{normal: {std: 0.3}}", &format!("{{values: [{ragged}]}}")),
            "S011",
        ),
        (
            "a large matrix",
            with(MASK, "{normal: {std: 0.3}}", &format!("{{values: [[{}1]]}}", "0.25, ".repeat(100_000))),
            "C023",
        ),
        ("a weight of infinity", with(MASK, "{normal: {std: 0.3}}", "{values: [[1e999]]}"), "S005"),
    ];
    for (claim, text, code) in rows {
        refused(claim, text, code);
    }
    accepted("a hexadecimal number", with(MASK, "length: 16", "length: 0x10"));
}

#[test]
fn many_of_everything() {
    let unknown: String = (0..5000).map(|i| format!("key_{i}: {i}\n")).collect();
    refused("5,000 unknown keys", format!("{MASK}{unknown}"), "S012");
    let twice: String = "seed: 1\n".repeat(5000);
    refused("5,000 times one key", format!("{MASK}{twice}"), "S003");
    let choices: String = (0..5000).map(|i| format!("c{i}: 1, ")).collect();
    refused("5,000 choices", with(MASK, "{normal: {std: 0.3}}", &format!("{{{choices}}}")), "S010");
    let lost: String = (0..5000)
        .map(|i| format!("  p{i}: {{from: nowhere_{i}, to: A1.nothing_{i}.basal, weights: ones}}\n"))
        .collect();
    refused("5,000 projections from nowhere", with(MASK, "output:", &format!("{lost}output:")), "C010");
    let ties: String = (0..5000)
        .map(|i| format!("  t{i}: {{from: VP_core, to: HO.basal, weights: {{same_as: t{}}}}}\n", i + 1))
        .collect();
    refused("a chain of 5,000 ties", with(MASK, "output:", &format!("{ties}output:")), "C029");
    let cells: String = (0..5000).map(|i| format!("      c{i}: {{cells: 1, per: [query]}}\n")).collect();
    let steps: String = (1..5000)
        .map(|i| format!("  c{i}: {{from: A2.c{}, to: A2.c{i}.basal, weights: ones}}\n", i - 1))
        .collect();
    let chain =
        with(MASK, "projections:\n", &format!("  A2:\n    populations:\n{cells}projections:\n{steps}"));
    refused("a chain of 5,000 populations", chain, "C032");
}

#[test]
fn long_names_and_texts() {
    let long = "x".repeat(100_000);
    let rows: &[(&str, String)] = &[
        ("a key", format!("{MASK}{}: 1\n", "x".repeat(1000))),
        ("a name", with(MASK, "W_Q:", &format!("{}:", "x".repeat(1000)))),
        ("a source", with(MASK, "from: A1.superficial,", &format!("from: {long},"))),
        ("a target", with(MASK, "to: HO.basal", &format!("to: {long}.basal"))),
        ("a compartment", with(MASK, "to: HO.basal", &format!("to: HO.{long}"))),
        ("feedback", with(MASK, "feedback.apical", &format!("feedback.{long}"))),
        ("an output", with(MASK, "output: HO", &format!("output: {long}"))),
        ("a stream", with(MASK, "tokens: main", &format!("tokens: {long}"))),
        ("a clock", with(MASK, "clock: main", &format!("clock: {long}"))),
        ("a time", with(MASK, "tau: 10 ms", &format!("tau: {long}"))),
        ("a unit", with(MASK, "tau: 10 ms", &format!("tau: 10 {long}"))),
        ("a schema", with(MASK, "pulvinar/1", &long)),
        ("a parameter", with(MASK, "cells: $d_k", &format!("cells: ${long}"))),
        ("a mask", with(MASK, "mask: causal", &format!("mask: {long}"))),
        ("weights", with(MASK, "weights: identity", &format!("weights: {long}"))),
        ("a tie", with(MASK, "{transpose_of: A}", &format!("{{transpose_of: {long}}}"))),
        ("a tensor", with(MASK, "{normal: {std: 0.3}}", &format!("{{file: {{path: {long}}}}}"))),
        ("control characters", with(MASK, "output: HO", "output: \"\\e[31mHO\\a\\0\"")),
    ];
    for (claim, text) in rows {
        let found = check(claim, || mistakes_in(text.as_bytes()));
        assert!(!found.0.is_empty(), "{claim} is accepted");
        for d in &found.0 {
            assert!(
                !d.message.chars().any(char::is_control),
                "{claim}: control characters in {:?}",
                d.message
            );
        }
    }
}

#[test]
fn odd_values_at_every_place() {
    for (name, text) in ALL {
        for place in odd::places(text) {
            for (value, always_wrong) in odd::values() {
                let claim = format!("{name}: {} = {value:?}", place.join("."));
                let found = check(&claim, || mistakes_in(odd::put(text, &place, &value).as_bytes()));
                assert!(found.0.iter().all(|d| d.span.is_some() || d.code == "Y002"), "{claim}: {found}");
                assert!(!found.0.is_empty() || !always_wrong, "{claim} is accepted");
            }
        }
    }
}

/// All of the above within 2 GB of addresses: memory is not asked for on the word of a file.
#[cfg(target_os = "linux")]
#[test]
fn memory_is_bounded() {
    let me = std::env::current_exe().expect("a test binary");
    if std::env::var_os("HOSTILE_CHILD").is_some() || !Path::new("/bin/sh").exists() {
        return;
    }
    let output = std::process::Command::new("/bin/sh")
        .args(["-c", "ulimit -v 2000000 && exec \"$0\" hostile:: --test-threads=1 --skip every_place"])
        .arg(me)
        .env("HOSTILE_CHILD", "1")
        .output()
        .expect("a shell");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
