//! Sequences to learn from: their distribution, that they are reproducible, and what does not fit a circuit.

use crate::support::{from_text, load, root};
use nalgebra::{DMatrix, DVector};
use pulvinar::attention::Streams;
use pulvinar::files::{Array, Dtype, write_npz};
use pulvinar::plasticity::tasks::{Split, Task};
use pulvinar::seed;
use std::collections::BTreeSet;
use std::path::Path;

/// A head whose question may stand in a stream of its own.
fn circuit(streams: &str, query: &str, context: &str, widths: [usize; 2], task: &str) -> String {
    let [d, out] = widths;
    format!(
        "
schema: pulvinar/1
name: learner
seed: 11
tokens: {{mask: full, streams: {{{streams}}}}}
thalamus:
  Q: {{pathway: core, per: [query], cells: {d}, tokens: {query}}}
  C: {{pathway: matrix, per: [context], cells: {d}, tokens: {context}}}
  HO: {{pathway: core, per: [query], cells: {out}}}
areas:
  A1: {{template: {{key_value_memory_head: {{query: Q, context: C, to: HO, d_k: 3, d_v: 2}}}}}}
output: HO
task: {task}
"
    )
}

const TWO: &str = "{query: q, context: c}";

fn one_stream(d: usize, out: usize, task: &str) -> String {
    let streams = format!("main: {{d_model: {d}}}, target: {{d_model: {out}, clock: main}}");
    circuit(&streams, "main", "main", [d, out], task)
}

fn two_streams(d: usize, out: usize, task: &str) -> String {
    let streams = format!("q: {{d_model: {d}}}, c: {{d_model: {d}}}, target: {{d_model: {out}, clock: q}}");
    circuit(&streams, "q", "c", [d, out], task)
}

fn task_in(text: &str, folder: &Path) -> Result<Task, String> {
    let (document, circuit) = from_text(text)?;
    let spec = document.spec.reserved.task.expect("a task");
    Task::new(&spec, &circuit, folder, None).map_err(|d| d.to_string())
}

fn task(text: &str) -> Task {
    task_in(text, root()).unwrap_or_else(|e| panic!("{e}"))
}

fn sequence(task: &Task, split: Split, index: u64) -> Streams {
    let mut streams = task.sample();
    task.fill(split, index, &mut streams).expect("a sequence");
    streams
}

/// Mean and its standard error.
fn mean(numbers: &[f64]) -> (f64, f64) {
    let n = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / n;
    let square = numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (square / n).sqrt())
}

fn is_near(claim: &str, numbers: &[f64], want: f64) {
    let (mean, error) = mean(numbers);
    assert!(error > 0.0 && (mean - want).abs() < 4.5 * error, "{claim}: {mean} +- {error}, not {want}");
}

#[test]
fn regression_has_the_stated_distribution() {
    let (d, n, s) = (3, 5, 0.5);
    let task =
        task(&one_stream(d + 1, 1, &format!("{{in_context_regression: {{context: {n}, noise: {s}}}}}")));
    assert_eq!(task.lengths().collect::<Vec<_>>(), [("main", n + 1), ("target", n + 1)]);
    assert_eq!((task.target(), task.size(Split::Train)), ("target", None));
    for split in [Split::Train, Split::HeldOut] {
        let mut of: [Vec<f64>; 9] = Default::default();
        for k in 0..20_000 {
            let x = sequence(&task, split, k);
            let (tokens, target) = (&x["main"], &x["target"]);
            assert_eq!(tokens[(d, n)], 0.0, "the question has no y");
            let (y, clean) = (tokens[(d, 0)], target[(0, 0)]);
            let values = [
                tokens[(0, 1)],
                tokens[(0, 1)] * tokens[(0, 1)],
                tokens[(0, 1)] * tokens[(1, 1)],
                tokens[(0, 1)] * tokens[(0, 2)],
                y * y,
                (y - clean).powi(2),
                (y - clean) * clean,
                target[(0, n)].powi(2),
                tokens[(2, 0)] * tokens[(d, 0)] * tokens[(2, n)] * target[(0, n)],
            ];
            of.iter_mut().zip(values).for_each(|(list, value)| list.push(value));
        }
        is_near("x has mean 0", &of[0], 0.0);
        is_near("x has variance 1", &of[1], 1.0);
        is_near("numbers of a token are independent", &of[2], 0.0);
        is_near("tokens are independent", &of[3], 0.0);
        is_near("y has variance d + s^2", &of[4], d as f64 + s * s);
        is_near("noise has variance s^2", &of[5], s * s);
        is_near("noise does not know the clean value", &of[6], 0.0);
        is_near("targets have variance d", &of[7], d as f64);
        is_near("one w for examples and question: E x_a y x_qa t = E w_a^2", &of[8], 1.0);
    }
}

#[test]
fn examples_without_noise_determine_the_answer() {
    let (d, n) = (4, 6);
    let task = task(&one_stream(d + 1, 1, &format!("{{in_context_regression: {{context: {n}}}}}")));
    for k in 0..50 {
        let x = sequence(&task, Split::Train, k);
        let tokens = &x["main"];
        let design = tokens.view((0, 0), (d, d)).transpose();
        let y = DVector::from_fn(d, |j, _| tokens[(d, j)]);
        let w = design.lu().solve(&y).expect("independent examples");
        let answer = |j: usize| tokens.view((0, j), (d, 1)).dot(&w);
        for j in 0..=n {
            assert!((answer(j) - x["target"][(0, j)]).abs() < 1e-8 * (1.0 + w.norm().powi(3)), "{k}, {j}");
        }
    }
}

#[test]
fn two_streams_hold_the_same_numbers_as_one() {
    let rows = [
        ("regression", 5, 1, "{in_context_regression: {context: 6, noise: 0.3", "}}"),
        ("recall", 7, 2, "{associative_recall: {pairs: 6", "}}"),
    ];
    for (claim, d, out, head, tail) in rows {
        let one = task(&one_stream(d, out, &format!("{head}{tail}")));
        let two = task(&two_streams(d, out, &format!("{head}, tokens: {TWO}{tail}")));
        assert_eq!(two.lengths().map(|(_, n)| n).collect::<Vec<_>>(), [6, 1, 1], "{claim}");
        for k in 0..20 {
            let (a, b) = (sequence(&one, Split::Train, k), sequence(&two, Split::Train, k));
            assert_eq!(a["main"].columns(0, 6), b["c"].columns(0, 6), "{claim}");
            assert_eq!(a["main"].column(6), b["q"].column(0), "{claim}");
            assert_eq!(a["target"].column(6), b["target"].column(0), "{claim}");
        }
    }
}

#[test]
fn recall_asks_for_a_stored_value() {
    let (d_key, d_value, pairs) = (5, 2, 4);
    let task = task(&one_stream(d_key + d_value, d_value, "{associative_recall: {pairs: 4}}"));
    let (mut asked, mut signs, mut first) = (vec![Vec::new(); pairs], Vec::new(), Vec::new());
    for k in 0..8_000 {
        let x = sequence(&task, Split::HeldOut, k);
        let (tokens, target) = (&x["main"], &x["target"]);
        let key = |j: usize| tokens.view((0, j), (d_key, 1)).into_owned();
        let value = |j: usize| tokens.view((d_key, j), (d_value, 1)).into_owned();
        let r = (0..pairs).find(|&j| key(j) == key(pairs)).expect("a stored key");
        assert_eq!(value(pairs).amax(), 0.0);
        assert_eq!(target.column(pairs), value(r).column(0));
        for (j, asked) in asked.iter_mut().enumerate() {
            assert!((key(j).norm() - 1.0).abs() < 1e-14 && value(j).iter().all(|v| v.abs() == 1.0));
            assert_eq!(target.column(j), value(j).column(0));
            asked.push(f64::from(u8::from(j == r)));
        }
        signs.push(tokens[(d_key, 0)]);
        first.push(tokens[(0, 0)].powi(2));
    }
    asked.iter().for_each(|a| is_near("every pair is asked for equally often", a, 1.0 / pairs as f64));
    is_near("values are +1 as often as -1", &signs, 0.0);
    is_near("keys have no direction", &first, 1.0 / d_key as f64);
}

#[test]
fn a_sequence_is_a_function_of_its_number() {
    let text = two_streams(5, 1, &format!("{{in_context_regression: {{context: 6, tokens: {TWO}}}}}"));
    let bytes =
        |s: &Streams| -> Vec<u64> { s.values().flat_map(|m| m.iter().map(|x| x.to_bits())).collect() };
    let (a, b) = (task(&text), task(&text));
    let mut streams = b.sample();
    let mut seen = BTreeSet::new();
    for k in [7, 0, 3, u64::MAX, 1 << 33] {
        for split in [Split::HeldOut, Split::Train] {
            b.fill(split, k, &mut streams).expect("filled");
            assert_eq!(
                bytes(&streams),
                bytes(&sequence(&a, split, k)),
                "what the matrices held does not matter"
            );
            assert!(seen.insert(bytes(&streams)), "sequences differ: {split:?} {k}");
        }
    }
    let other = task(&text.replace("seed: 11", "seed: 12"));
    assert!(seen.insert(bytes(&sequence(&other, Split::Train, 0))), "seeds differ");
}

#[test]
fn digits_come_from_their_file_and_are_split_by_the_seed() {
    let spec = "{digits: {path: circuits/data/digits.npz, held_out: 0.25}}";
    let file = root().join("circuits/data/digits.npz");
    let images = pulvinar::files::read_array(&file, Some("images")).expect("images");
    let labels = pulvinar::files::read_array(&file, Some("labels")).expect("labels");
    let (plain, placed) = (task(&one_stream(8, 10, spec)), task(&one_stream(16, 10, spec)));
    assert_eq!((plain.size(Split::Train), plain.size(Split::HeldOut)), (Some(1348), Some(449)));
    let number = |x: &Streams| {
        let tokens = &x["main"];
        let pixel = |k: usize| tokens[(k % 8, k / 8)] * 16.0;
        let row =
            images.data.chunks(64).position(|image| image.iter().enumerate().all(|(k, p)| *p == pixel(k)));
        let row = row.expect("an image of the file");
        assert_eq!(x["target"].column(7).argmax(), (labels.data[row] as usize, 1.0));
        assert!(x["target"].column_iter().all(|c| c.sum() == 1.0 && c == x["target"].column(7)));
        row
    };
    let rows = |split, from: u64, n: u64| -> Vec<usize> {
        (from..from + n).map(|k| number(&sequence(&plain, split, k))).collect()
    };
    let held = rows(Split::HeldOut, 0, 449);
    let set = |rows: &[usize]| rows.iter().copied().collect::<BTreeSet<usize>>();
    let (first, second) = (rows(Split::Train, 0, 1348), rows(Split::Train, 1348, 1348));
    assert!(first != second && set(&first) == set(&second), "a new order each time round");
    assert!(set(&held).is_disjoint(&set(&first)));
    assert!(set(&held).len() + set(&first).len() == 1797, "no two images are equal, all are used");
    assert_eq!(rows(Split::HeldOut, 449, 10), held[..10]);
    // The split, as a script would repeat it.
    let mut order: Vec<usize> = (0..1797).collect();
    order.sort_by_key(|k| seed::key(11, &format!("task.split.{k}")));
    assert_eq!(set(&held), set(&order[..449]));

    let (a, b) = (sequence(&plain, Split::Train, 5), sequence(&placed, Split::Train, 5));
    assert_eq!(a["main"], b["main"].rows(0, 8).into_owned());
    assert_eq!(b["main"].rows(8, 8).into_owned(), DMatrix::identity(8, 8));
    let mut output = a["target"].clone();
    let mut last = [false; 8];
    last[7] = true;
    assert_eq!(plain.right(&output, &a["target"], &[true; 8]), Some((8, 8)));
    output.column_mut(7).fill(0.0);
    output[((a["target"].column(7).argmax().0 + 1) % 10, 7)] = 0.5;
    assert_eq!(plain.right(&output, &a["target"], &[true; 8]), Some((7, 8)));
    assert_eq!(plain.right(&output, &a["target"], &last), Some((0, 1)));
}

/// The script that trains the same architecture in PyTorch sets the same images aside, with the same budget.
#[test]
fn the_script_that_learns_digits_agrees_with_the_circuit() {
    let (document, circuit) = load(&root().join("circuits/learn_digits.yaml"));
    let spec = document.spec.reserved.task.expect("a task");
    let task = Task::new(&spec, &circuit, &document.folder, None).unwrap_or_else(|d| panic!("{d}"));
    let text = std::fs::read_to_string(root().join("tests/golden/digits_learning.json")).expect("there");
    let script: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(script["train_images"].as_u64(), task.size(Split::Train));
    assert_eq!(script["test_images"].as_u64(), task.size(Split::HeldOut));
    let mut order: Vec<usize> = (0..1797).collect();
    order.sort_by_key(|k| seed::key(circuit.seed, &format!("task.split.{k}")));
    assert_eq!(script["first_test_images"], serde_json::json!(order[..8]));
    let train = document.spec.reserved.train.expect("settings");
    assert_eq!(script["steps"], serde_json::json!(train.steps));
    assert_eq!(script["batch"], serde_json::json!(train.batch));
    assert_eq!(script["optimiser"], serde_json::json!(train.optimiser.name()));
    assert_eq!(script["schedule"], serde_json::to_value(train.schedule).expect("a word"));
    for p in circuit.projections.iter().filter_map(|p| p.plasticity) {
        assert_eq!(script["rate"], serde_json::json!(p.rate));
    }
}

#[test]
fn files_give_their_rows() {
    let dir = tempfile::tempdir().expect("a folder");
    let array = |shape: [usize; 3], add: f64| Array {
        shape: shape.to_vec(),
        data: (0..shape.iter().product::<usize>()).map(|i| i as f64 + add).collect(),
        dtype: Dtype::F64,
    };
    let arrays = [
        ("x".to_owned(), array([10, 3, 4], 0.0)),
        ("y".to_owned(), array([10, 3, 2], 0.5)),
        ("z".to_owned(), array([9, 3, 2], 0.0)),
    ];
    write_npz(&dir.path().join("d.npz"), &arrays).expect("written");
    let text = |target: &str| {
        one_stream(4, 2, &format!("{{file: {{path: d.npz, tokens: {{main: x}}, target: {target}}}}}"))
    };
    let task = task_in(&text("y"), dir.path()).expect("a task");
    assert_eq!((task.size(Split::Train), task.size(Split::HeldOut)), (Some(8), Some(2)));
    assert_eq!(task.right(&task.sample()["target"], &task.sample()["target"], &[true]), None);
    let mut seen = BTreeSet::new();
    for (split, n) in [(Split::Train, 8), (Split::HeldOut, 2)] {
        for k in 0..n {
            let x = sequence(&task, split, k);
            let row = (x["main"][(0, 0)] / 12.0) as usize;
            assert!(seen.insert(row));
            assert_eq!(x["main"], DMatrix::from_fn(4, 3, |i, j| (12 * row + 4 * j + i) as f64));
            assert_eq!(x["target"], DMatrix::from_fn(2, 3, |i, j| (6 * row + 2 * j + i) as f64 + 0.5));
        }
    }
    for (target, code, word) in
        [("z", "C060", "9 sequences"), ("x", "F009", "4 numbers"), ("w", "F008", "`w`")]
    {
        let e = task_in(&text(target), dir.path()).expect_err("refused");
        assert!(e.contains(code) && e.contains(word), "{e}");
    }
}

/// Teachers of one and of three blocks.
#[test]
fn a_teacher_sends_its_output() {
    let (document, circuit) = load(&root().join("circuits/learning_feedback.yaml"));
    let teacher = |name: &str| {
        let path = root().join(format!("circuits/{name}.yaml"));
        let wider =
            if name == "three_level_hierarchy" { vec![("d".to_owned(), "8".to_owned())] } else { Vec::new() };
        let document = pulvinar::spec::read_file(&path, &wider).expect("valid");
        let circuit = pulvinar::circuit::wire(&document.spec, &document.folder).expect("wired");
        let compiled = pulvinar::compile::compile(&circuit).expect("heads");
        compiled.blocks.into_iter().map(|b| b.block).collect::<Vec<_>>()
    };
    let spec = |text: &str| {
        let text = format!("{}\ntask: {text}\n", pulvinar::spec::to_yaml(&document.spec));
        from_text(&text).expect("a circuit").0.spec.reserved.task.expect("a task")
    };
    let of = spec("{teacher: {circuit: unused.yaml}}");
    for name in ["one_head_attention_mask", "three_level_hierarchy"] {
        let blocks = teacher(name);
        let task = Task::new(&of, &circuit, root(), Some(blocks.clone()));
        let task = task.unwrap_or_else(|d| panic!("{name}: {d}"));
        assert_eq!(task.lengths().collect::<Vec<_>>(), [("main", 12), ("target", 12)], "{name}");
        for (split, k) in [(Split::Train, 3), (Split::HeldOut, 3)] {
            let x = sequence(&task, split, k);
            assert_eq!(x.len(), 2, "{name}: nothing of the teacher is left");
            let want = pulvinar::simulate::run::<f64>(&blocks, &x).expect("runs").output;
            assert_eq!(x["target"], want, "{name}");
        }
    }
    let refused = |blocks, word: &str| {
        let d = Task::new(&of, &circuit, root(), Some(blocks)).expect_err(word);
        assert!(d.to_string().contains(word) && d.0.iter().all(|d| d.code == "C060"), "{d}");
    };
    refused(teacher("cross_attention"), "the teacher reads a stream");
    refused(Vec::new(), "no block");
    let mut wide = teacher("one_head_attention_mask");
    wide[0].heads[0].w_v = DMatrix::zeros(4, 9);
    refused(wide, "does not run on these tokens");
}

#[test]
fn what_does_not_fit_is_named() {
    let regression = |more: &str| format!("{{in_context_regression: {{context: 4{more}}}}}");
    let rows: &[(&str, String, &[&str])] = &[
        ("targets of another width", one_stream(5, 2, &regression("")), &["C060", "d_model 2", "width 1"]),
        (
            "no such stream",
            one_stream(5, 1, &regression(", target: targt")),
            &["C001", "`targt`", "did you mean `target`"],
        ),
        ("a stream in two roles", one_stream(5, 1, &regression(", target: main")), &["C060", "two roles"]),
        (
            "a relay without tokens",
            two_streams(5, 1, &regression(", tokens: q")),
            &["C061", "`C`", "stream `c`"],
        ),
        (
            "another clock",
            two_streams(5, 1, &regression(", tokens: {query: c, context: q}")),
            &["C060", "clock"],
        ),
        ("no room for y", one_stream(1, 1, &regression("")), &["C060", "no room"]),
        ("no room for a key", one_stream(2, 2, "{associative_recall: {pairs: 3}}"), &["C060", "no room"]),
        ("too long", one_stream(5, 1, &regression("").replace('4', "90000000")), &["C006", "20000000"]),
        ("no file", one_stream(8, 10, "{digits: {path: none.npz}}"), &["F001", "none.npz"]),
        ("rows of another width", one_stream(9, 10, "{digits: {path: none.npz}}"), &["C060", "d_model 9"]),
        (
            "nothing held out",
            one_stream(8, 10, "{digits: {path: circuits/data/digits.npz, held_out: 0.0001}}"),
            &["C060", "is 0"],
        ),
    ];
    for (claim, text, words) in rows {
        let error = task_in(text, root()).expect_err(claim);
        for word in *words {
            assert!(error.contains(word), "{claim}: no {word} in {error}");
        }
    }
}
