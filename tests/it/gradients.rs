//! Gradients against PyTorch's automatic differentiation (`tests/golden/gradients/generate.py`).

use crate::support::root;
use nalgebra::{DMatrix, DVector};
use pulvinar::attention::gradient::{Tape, backward, backward_stack};
use pulvinar::attention::{
    Block, FeatureMap, Gate, GateSide, Head, Kernel, Mask, Memory, Normalisation, Rate, Residual, Streams,
};
use pulvinar::linalg::Real;
use safetensors::SafeTensors;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Sums of at most some hundred products in another order, in the norm of a tensor.
const F64: f64 = 1e-11;
/// The same in single precision.
const F32: f64 = 1e-4;

/// Numbers of the golden file, row after row.
struct Array {
    shape: Vec<usize>,
    data: Vec<f64>,
}

/// Every tensor of the golden file.
fn read() -> BTreeMap<String, Array> {
    let bytes = std::fs::read(root().join("tests/golden/gradients/gradients.safetensors")).expect("readable");
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let number = |b: &[u8]| f64::from_le_bytes(b.try_into().expect("eight bytes"));
    file.tensors()
        .into_iter()
        .map(|(name, t)| {
            assert_eq!(t.dtype(), safetensors::Dtype::F64, "{name}");
            let data = t.data().chunks_exact(8).map(number).collect();
            (name, Array { shape: t.shape().to_vec(), data })
        })
        .collect()
}

/// Every tensor of the golden file that begins with `prefix`.
struct Tensors<'a> {
    all: &'a BTreeMap<String, Array>,
    prefix: String,
}

impl Tensors<'_> {
    fn get(&self, name: &str) -> &Array {
        let name = format!("{}{name}", self.prefix);
        self.all.get(&name).unwrap_or_else(|| panic!("no tensor `{name}`"))
    }

    fn matrix(&self, name: &str) -> DMatrix<f64> {
        let array = self.get(name);
        assert_eq!(array.shape.len(), 2, "{name}");
        DMatrix::from_row_slice(array.shape[0], array.shape[1], &array.data)
    }

    fn vector(&self, name: &str) -> DVector<f64> {
        DVector::from_column_slice(&self.get(name).data)
    }

    fn scalar(&self, name: &str) -> f64 {
        let [x] = self.get(name).data[..] else { panic!("{name} is no scalar") };
        x
    }

    /// `[n_tokens, width]` of the file to one token per column.
    fn tokens(&self, name: &str) -> DMatrix<f64> {
        self.matrix(name).transpose()
    }
}

fn text<'a>(v: &'a Value, key: &str) -> &'a str {
    v[key].as_str().unwrap_or_else(|| panic!("{key} of {v}"))
}

fn map(name: &str) -> FeatureMap {
    match name {
        "identity" => FeatureMap::Identity,
        "relu" => FeatureMap::Relu,
        "exp" => FeatureMap::Exp,
        "elu_plus_one" => FeatureMap::EluPlusOne,
        "sigmoid" => FeatureMap::Sigmoid,
        "sign" => FeatureMap::Sign,
        other => panic!("map {other}"),
    }
}

fn gate(v: &Value, h: usize, t: &Tensors) -> Gate {
    Gate {
        stream: text(v, "gate").into(),
        constant: t.vector(&format!("h{h}.gate_constant")),
        weights: t.matrix(&format!("h{h}.gate_weights")),
        features: t.matrix(&format!("h{h}.gate_features")),
        bias: t.vector(&format!("h{h}.gate_bias")),
        maps: v["gate_maps"]
            .as_array()
            .expect("maps")
            .iter()
            .map(|m| map(m.as_str().expect("a name")))
            .collect(),
    }
}

fn head(v: &Value, h: usize, t: &Tensors) -> Head {
    let matrix = |name: &str| t.matrix(&format!("h{h}.{name}"));
    let vector = |name: &str| t.vector(&format!("h{h}.{name}"));
    let gated = v.get("gate").is_some();
    Head {
        w_q: matrix("w_q"),
        w_k: matrix("w_k"),
        w_v: matrix("w_v"),
        w_o: matrix("w_o"),
        b_q: vector("b_q"),
        b_k: vector("b_k"),
        b_v: vector("b_v"),
        scale: t.scalar(&format!("h{h}.scale")),
        kernel: match text(v, "kernel") {
            "linear" => Kernel::Linear,
            "exp" => Kernel::Exp,
            "power" => Kernel::Power(u32::try_from(v["degree"].as_u64().expect("a degree")).expect("small")),
            "feature" => Kernel::Feature { key: map(text(v, "key_map")), query: map(text(v, "query_map")) },
            other => panic!("kernel {other}"),
        },
        normalisation: if v["normalised"] == Value::Bool(true) {
            Normalisation::Sum
        } else {
            Normalisation::None
        },
        mask: match text(v, "mask") {
            "full" => Mask::Full,
            "causal" => Mask::Causal,
            "strict" => Mask::Strict,
            other => panic!("mask {other}"),
        },
        memory: match text(v, "memory") {
            "none" => Memory::None,
            "hebbian" => Memory::Hebbian,
            "decay" => Memory::Decay(t.scalar(&format!("h{h}.decay"))),
            "delta" if gated => Memory::Delta(Rate::Gate(gate(v, h, t))),
            "delta" => Memory::Delta(Rate::Constant(t.scalar(&format!("h{h}.rate")))),
            "gated" => {
                let side = if text(v, "side") == "value" { GateSide::Value } else { GateSide::Key };
                Memory::Gated { side, gate: gate(v, h, t) }
            }
            other => panic!("memory {other}"),
        },
        query_stream: text(v, "query").into(),
        context_stream: text(v, "context").into(),
        value_stream: text(v, "value").into(),
        function: Vec::new(),
        sink: None,
        area: String::new(),
    }
}

fn block(v: &Value, t: &Tensors) -> Block {
    let list = |key: &str| v[key].as_array().expect("a list").clone();
    Block {
        relay: text(v, "relay").into(),
        d_model: usize::try_from(v["d_model"].as_u64().expect("a width")).expect("small"),
        clock_stream: text(v, "clock").into(),
        heads: list("heads").iter().enumerate().map(|(h, v)| head(v, h, t)).collect(),
        residual: list("residual")
            .iter()
            .enumerate()
            .map(|(r, s)| Residual {
                stream: s.as_str().expect("a name").into(),
                matrix: t.matrix(&format!("r{r}")),
            })
            .collect(),
        b_o: t.vector("b_o"),
    }
}

/// One case: blocks, input streams, output, dL/d output, and what PyTorch says.
struct Case {
    name: String,
    blocks: Vec<Block>,
    inputs: Streams,
    y: DMatrix<f64>,
    d_output: DMatrix<f64>,
    /// by the names of this crate: `BLOCK head 0: W_Q`, `stream a`
    want: BTreeMap<String, Vec<f64>>,
}

/// `h0.w_q` of the file as this crate calls it, `head 0: W_Q`.
fn our_name(name: &str) -> String {
    let Some((head, rest)) = name.strip_prefix('h').and_then(|n| n.split_once('.')) else {
        return name.strip_prefix('r').map_or_else(|| "b_O".into(), |r| format!("residual {r}"));
    };
    let rest = match rest.split_once('_') {
        Some((letter @ ("w" | "b"), of)) => {
            let letter = if letter == "w" { "W" } else { "b" };
            format!("{letter}_{}", of.to_uppercase())
        }
        Some(("gate", of)) => format!("gate {of}"),
        _ => rest.to_owned(),
    };
    format!("head {head}: {rest}")
}

fn column_major(a: &Array) -> Vec<f64> {
    match a.shape[..] {
        [rows, columns] => DMatrix::from_row_slice(rows, columns, &a.data).as_slice().to_vec(),
        _ => a.data.clone(),
    }
}

fn cases() -> Vec<Case> {
    let all = read();
    let described =
        std::fs::read_to_string(root().join("tests/golden/gradients/cases.json")).expect("cases.json");
    let described: Value = serde_json::from_str(&described).expect("JSON");
    let one = |v: &Value| {
        let name = text(v, "name").to_owned();
        let tensors = |prefix: String| Tensors { all: &all, prefix };
        let mine = tensors(format!("{name}/"));
        let blocks: Vec<Block> = v["blocks"]
            .as_array()
            .expect("blocks")
            .iter()
            .map(|b| block(b, &tensors(format!("{name}/{}/", text(b, "relay")))))
            .collect();
        let mut inputs = Streams::new();
        let mut want = BTreeMap::new();
        let grads = format!("grad/{name}/");
        for (key, array) in all.range(grads.clone()..).take_while(|(key, _)| key.starts_with(&grads)) {
            let key = &key[grads.len()..];
            if let Some(stream) = key.strip_prefix("x.") {
                inputs.insert(stream.into(), mine.tokens(key));
                want.insert(format!("stream {stream}"), array.data.clone());
            } else {
                let (relay, parameter) = key.split_once('/').expect("RELAY/NAME");
                want.insert(format!("{relay} {}", our_name(parameter)), column_major(array));
            }
        }
        let (y, d_output) = (mine.tokens("y"), mine.tokens("d_output"));
        Case { name, blocks, inputs, y, d_output, want }
    };
    described.as_array().expect("cases").iter().map(one).collect()
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// Largest `|got - want| / |want|`; a tensor that cancels is measured against `least` of the largest one.
fn worst(least: f64, got: &BTreeMap<String, Vec<f64>>, want: &BTreeMap<String, Vec<f64>>) -> (f64, String) {
    assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>());
    let largest = want.values().map(|w| norm(w)).fold(1e-300, f64::max);
    let mut worst = (0.0, String::new());
    for (name, w) in want {
        let gap: Vec<f64> = got[name].iter().zip(w).map(|(g, w)| g - w).collect();
        assert_eq!((got[name].len(), gap.len()), (w.len(), w.len()), "{name}");
        let gap = norm(&gap) / norm(w).max(least * largest);
        assert!(!gap.is_nan(), "{name}");
        if gap > worst.0 {
            worst = (gap, name.clone());
        }
    }
    worst
}

fn found<T: Real>(case: &Case) -> BTreeMap<String, Vec<f64>> {
    let blocks: Vec<Block<T>> = case.blocks.iter().map(Block::cast).collect();
    let narrow = |m: &DMatrix<f64>| m.map(<T as Real>::from_f64);
    let inputs: Streams<T> = case.inputs.iter().map(|(s, x)| (s.clone(), narrow(x))).collect();
    let found = backward_stack(&blocks, &inputs, &narrow(&case.d_output)).unwrap_or_else(|e| panic!("{e}"));
    let wide = |d: &[T]| d.iter().map(|d| d.to_f64()).collect::<Vec<f64>>();
    let mut all = BTreeMap::new();
    for (block, gradient) in blocks.iter().zip(&found.blocks) {
        for (name, d) in gradient.tensors() {
            all.insert(format!("{} {name}", block.relay), wide(d));
        }
    }
    for (name, d) in &found.streams {
        all.insert(format!("stream {name}"), wide(d.as_slice()));
    }
    all
}

#[test]
fn gradients_are_those_of_automatic_differentiation() {
    for case in cases() {
        let name = &case.name;
        assert!(case.want.values().map(|w| norm(w)).fold(0.0, f64::max) > 1e-3, "{name}: next to nothing");
        let tape = Tape::record(&case.blocks, &case.inputs).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!((tape.output() - &case.y).norm() < 1e-12 * case.y.norm(), "{name}: the output differs");
        let (gap, tensor) = worst(1e-3, &found::<f64>(&case), &case.want);
        assert!(gap < F64, "{name}: {tensor} differs from PyTorch by {gap:e}");
        let (gap, tensor) = worst(1e-2, &found::<f32>(&case), &case.want);
        assert!(gap < F32, "{name}: {tensor} in f32 differs from PyTorch by {gap:e}");
    }
}

#[test]
fn one_block_is_a_stack_of_one() {
    for case in cases().iter().filter(|c| c.blocks.len() == 1) {
        let one = backward(&case.blocks[0], &case.inputs, &case.d_output).unwrap_or_else(|e| panic!("{e}"));
        let stack =
            backward_stack(&case.blocks, &case.inputs, &case.d_output).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((&one.block, &one.streams), (&stack.blocks[0], &stack.streams), "{}", case.name);
    }
}

#[test]
fn every_kind_of_head_is_among_the_cases() {
    let cases = cases();
    let heads: Vec<&Head> = cases.iter().flat_map(|c| c.blocks.iter().flat_map(|b| &b.heads)).collect();
    let kinds: BTreeSet<String> = heads
        .iter()
        .map(|h| {
            let memory = match &h.memory {
                Memory::Delta(Rate::Gate(g)) => format!("delta with {} gates", g.constant.len()),
                Memory::Gated { side, gate } => format!("gated on the {side:?} by {}", gate.constant.len()),
                other => other.name().to_owned(),
            };
            format!("{:?} {} {} {memory}", h.mask, h.kernel.name(), h.normalisation.name())
        })
        .collect();
    for mask in ["Full", "Causal", "Strict"] {
        for kernel in ["linear", "exp", "power", "feature"] {
            for normalisation in ["none", "sum"] {
                for memory in ["none", "decay"] {
                    let kind = format!("{mask} {kernel} {normalisation} {memory}");
                    assert!(kinds.contains(&kind), "{kind}");
                }
            }
        }
        for memory in ["hebbian", "delta", "delta with 3 gates", "delta with 1 gates"] {
            assert!(kinds.contains(&format!("{mask} linear none {memory}")), "{mask} {memory}");
        }
        for gates in ["Value by 3", "Key by 2", "Value by 1", "Key by 1"] {
            assert!(kinds.contains(&format!("{mask} linear none gated on the {gates}")), "{mask} {gates}");
        }
        assert!(kinds.contains(&format!("{mask} feature none delta")), "{mask} delta on features");
    }
}
