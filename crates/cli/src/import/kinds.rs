//! What the heads are, as far as it is not in their matrices: sizes, attention, masks, memories.

use pulvinar::attention::{Head, Kernel, Memory, Normalisation};
use pulvinar::weights::Loaded;
use serde_json::{Map, Value, json};

/// One line: what is the same for all heads once, what is not in the order of the heads.
pub(super) fn line(loaded: &Loaded) -> String {
    let heads = &loaded.block.heads;
    let mut parts = Vec::new();
    if loaded.shared < loaded.heads {
        let s = if loaded.shared == 1 { "" } else { "s" };
        parts.push(format!("{} heads sharing {} key/value head{s}", loaded.heads, loaded.shared));
    }
    parts.push(format!("d_k {}", list(heads, |h| h.d_key().to_string())));
    parts.push(format!("d_v {}", list(heads, |h| h.d_value().to_string())));
    parts.push(format!("{} attention", list(heads, attention)));
    if heads.iter().any(|h| !matches!(h.memory, Memory::None)) {
        parts.push(format!("memory {}", list(heads, |h| h.memory.name().to_owned())));
    }
    parts.push(format!("mask {}", list(heads, |h| h.mask.name().into_owned())));
    if let Some(tensor) = stated_by(loaded) {
        parts.push(format!("stated by `{tensor}`"));
    }
    parts.join(", ")
}

/// The same for programs: one value where all heads agree, else a list with one per head.
pub(super) fn object(loaded: &Loaded, rest: &mut Map<String, Value>) {
    let heads = &loaded.block.heads;
    let mut put = |key: &str, value: Value| rest.insert(key.to_owned(), value);
    put("n_key_value_heads", json!(loaded.shared));
    put("d_key", each(heads, |h| json!(h.d_key())));
    put("d_value", each(heads, |h| json!(h.d_value())));
    put("attention", each(heads, |h| json!(attention(h))));
    put("memory", each(heads, |h| json!(h.memory.name())));
    put("mask", each(heads, |h| json!(h.mask.name())));
    put("mask_tensor", json!(stated_by(loaded)));
}

/// The tensor that states the mask, where that mask is in force.
fn stated_by(loaded: &Loaded) -> Option<&str> {
    let causal = loaded.block.heads.iter().all(|h| h.mask == pulvinar::attention::Mask::Causal);
    loaded.mask_tensor.as_deref().filter(|_| causal)
}

fn attention(head: &Head) -> String {
    match (&head.kernel, head.normalisation) {
        (Kernel::Exp, Normalisation::Sum) => "softmax".to_owned(),
        (kernel, Normalisation::Sum) => format!("{} (divided by its sum)", kernel.name()),
        (kernel, Normalisation::None) => kernel.name().to_owned(),
    }
}

fn list(heads: &[Head], of: impl Fn(&Head) -> String) -> String {
    let mut seen: Vec<String> = Vec::new();
    for value in heads.iter().map(of) {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    seen.join(" and ")
}

fn each(heads: &[Head], of: impl Fn(&Head) -> Value) -> Value {
    let values: Vec<Value> = heads.iter().map(of).collect();
    match values.first() {
        Some(first) if values.iter().all(|v| v == first) => first.clone(),
        _ => Value::Array(values),
    }
}
