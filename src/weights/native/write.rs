//! Blocks to tensors and metadata.

use super::prefix;
use crate::attention::{Block, Head, Kernel, Memory, Rate};
use crate::diag::Diagnostic;
use crate::files::{Array, Bad, Dtype, write_safetensors};
use nalgebra::{DMatrix, DVector};
use std::collections::BTreeSet;
use std::path::Path;

/// Everything that goes into the file.
#[derive(Default)]
struct Contents {
    tensors: Vec<(String, Array)>,
    metadata: Vec<(String, String)>,
}

pub(super) fn heads(path: &Path, blocks: &[Block]) -> Result<(), Diagnostic> {
    let mut contents = Contents::default();
    if blocks.is_empty() {
        return Err(Bad::new("F012", "there is no block to write").in_file(path));
    }
    for (index, block) in blocks.iter().enumerate() {
        let prefix = prefix(index, blocks.len());
        put_block(&mut contents, &prefix, block).map_err(|bad| {
            let bad = if prefix.is_empty() { bad } else { bad.within(prefix.trim_end_matches('.')) };
            bad.in_file(path)
        })?;
    }
    for (name, array) in &contents.tensors {
        array.require_finite(&format!("tensor `{name}`")).map_err(|bad| bad.in_file(path))?;
    }
    write_safetensors(path, &contents.tensors, &contents.metadata)
}

fn put_block(contents: &mut Contents, prefix: &str, block: &Block) -> Result<(), Bad> {
    for (index, head) in block.heads.iter().enumerate() {
        check_head(head, block.d_model)
            .map_err(|bad| bad.within(&format!("head {index} (area `{}`)", head.area)))?;
    }
    check_block(block)?;
    let heads = &block.heads;
    let mut tensor = |name: &str, array: Array| contents.tensors.push((format!("{prefix}{name}"), array));
    tensor("W_Q", stack(heads.iter().map(|h| &h.w_q), None));
    tensor("W_K", stack(heads.iter().map(|h| &h.w_k), None));
    tensor("W_V", stack(heads.iter().map(|h| &h.w_v), None));
    tensor("W_O", stack(heads.iter().map(|h| &h.w_o), Some(block.d_model)));
    let mut bias = |name: &str, of: fn(&Head) -> &DVector<f64>| {
        if heads.iter().any(|h| !is_zero(of(h))) {
            tensor(name, stack_vectors(heads.iter().map(of)));
        }
    };
    bias("b_Q", |h| &h.b_q);
    bias("b_K", |h| &h.b_k);
    bias("b_V", |h| &h.b_v);
    if !is_zero(&block.b_o) {
        tensor("b_O", Array::from_slice(block.b_o.as_slice()));
    }
    for residual in &block.residual {
        tensor(&format!("R.{}", residual.stream), Array::from_matrix(&residual.matrix));
    }
    put_metadata(&mut contents.metadata, prefix, block);
    Ok(())
}

fn put_metadata(metadata: &mut Vec<(String, String)>, prefix: &str, block: &Block) {
    let heads = &block.heads;
    let mut put = |key: &str, value: String| metadata.push((format!("{prefix}{key}"), value));
    put("relay", block.relay.clone());
    put("clock_stream", block.clock_stream.clone());
    let streams: Vec<&str> = block.residual.iter().map(|r| r.stream.as_str()).collect();
    put("residual", streams.join(","));

    let mut each = |key: &str, of: &dyn Fn(&Head) -> String| {
        let entries: Vec<String> = heads.iter().map(of).collect();
        put(key, entries.join(","));
    };
    each("kernel", &|h| h.kernel.name().to_owned());
    each("scale", &|h| format!("{:?}", h.scale));
    each("normalisation", &|h| h.normalisation.name().to_owned());
    each("mask", &|h| h.mask.name().into_owned());
    each("memory", &|h| h.memory.name().to_owned());
    each("decay", &|h| if let Memory::Decay(g) = h.memory { format!("{g:?}") } else { "1".to_owned() });
    each("rate", &|h| match h.memory {
        Memory::Delta(Rate::Constant(b)) => format!("{b:?}"),
        _ => "0".to_owned(),
    });
    each("query_stream", &|h| h.query_stream.clone());
    each("context_stream", &|h| h.context_stream.clone());
    each("d_key", &|h| h.d_key().to_string());
    each("d_value", &|h| h.d_value().to_string());
    each("area", &|h| h.area.clone());
    if heads.iter().any(|h| matches!(h.kernel, Kernel::Power(_))) {
        each("exponent", &|h| if let Kernel::Power(n) = h.kernel { n.to_string() } else { "1".to_owned() });
    }
    if heads.iter().any(|h| h.value_stream != h.context_stream) {
        each("value_stream", &|h| h.value_stream.clone());
    }
    let mut width = |key: &str, of: &dyn Fn(&Head) -> usize| {
        if heads.iter().any(|h| of(h) != of(&heads[0])) {
            each(key, &|h| of(h).to_string());
        }
    };
    width("query_width", &|h| h.w_q.ncols());
    width("context_width", &|h| h.w_k.ncols());
    width("value_width", &|h| h.w_v.ncols());
}

/// `F012` for what the layout has no place for, `F009` for matrices that do not fit each other.
fn check_head(head: &Head, d_model: usize) -> Result<(), Bad> {
    let cannot =
        |what: String| Err(Bad::new("F012", what).help("run `pulvinar explain F012` for what it can hold"));
    match (&head.memory, head.kernel) {
        (Memory::Gated { .. }, _) => return cannot("a heads file cannot hold a gated memory".into()),
        (Memory::Delta(Rate::Gate(_)), _) => {
            return cannot("a heads file cannot hold a gated delta rate".into());
        }
        (_, Kernel::Feature { .. }) => return cannot("a heads file cannot hold a feature-map kernel".into()),
        (_, Kernel::Function) => {
            return cannot("a heads file cannot hold a chain of functions of the score".into());
        }
        _ if head.sink.is_some() => {
            return cannot("a heads file cannot hold a sink that joins the sum of scores".into());
        }
        (_, Kernel::Power(n @ (0 | 1))) => {
            return cannot(format!("a power kernel of exponent {n} has no meaning"));
        }
        _ => {}
    }
    for (what, name) in [
        ("query stream", &head.query_stream),
        ("context stream", &head.context_stream),
        ("value stream", &head.value_stream),
        ("area", &head.area),
    ] {
        check_name(what, name, what == "area")?;
    }
    let mut numbers = vec![("scale", head.scale)];
    match head.memory {
        Memory::Decay(g) => numbers.push(("decay", g)),
        Memory::Delta(Rate::Constant(b)) => numbers.push(("rate", b)),
        _ => {}
    }
    if let Some((what, x)) = numbers.into_iter().find(|(_, x)| !x.is_finite()) {
        return Err(Bad::new("F010", format!("{what} is {x}")).help("it must be finite"));
    }
    let (d_k, d_v) = (head.d_key(), head.d_value());
    let wanted = [
        ("rows of W_Q", head.w_q.nrows(), d_k),
        ("entries of b_Q", head.b_q.len(), d_k),
        ("entries of b_K", head.b_k.len(), d_k),
        ("entries of b_V", head.b_v.len(), d_v),
        ("columns of W_O", head.w_o.ncols(), d_v),
        ("rows of W_O", head.w_o.nrows(), d_model),
    ];
    match wanted.into_iter().find(|(_, found, wanted)| found != wanted) {
        Some((what, found, wanted)) => {
            Err(Bad::new("F009", format!("the head has {found} {what}, {wanted} are needed")))
        }
        None => Ok(()),
    }
}

fn check_block(block: &Block) -> Result<(), Bad> {
    let d_model = block.d_model;
    let mut seen = BTreeSet::new();
    for residual in &block.residual {
        check_name("residual stream", &residual.stream, false)?;
        if !seen.insert(&residual.stream) {
            return Err(Bad::new("F012", format!("two residuals come from stream `{}`", residual.stream)));
        }
        let rows = residual.matrix.nrows();
        if rows != d_model {
            let stream = &residual.stream;
            return Err(Bad::new("F009", format!("R.{stream} has {rows} rows, {d_model} are needed")));
        }
    }
    if block.b_o.len() != d_model {
        return Err(Bad::new("F009", format!("b_O has {} entries, {d_model} are needed", block.b_o.len())));
    }
    Ok(())
}

/// Lists are comma-separated and trimmed, so names may have neither commas nor blanks around them.
fn check_name(what: &str, name: &str, may_be_empty: bool) -> Result<(), Bad> {
    if name.contains(',') || name.trim() != name || (name.is_empty() && !may_be_empty) {
        return Err(Bad::new("F012", format!("a heads file cannot hold the {what} {name:?}"))
            .help("rename it: no commas, no blanks around it, not empty"));
    }
    Ok(())
}

/// `[H, rows, columns]` of the widest, zero beyond a smaller one; `rows` where it is known without heads.
fn stack<'a>(matrices: impl Iterator<Item = &'a DMatrix<f64>> + Clone, rows: Option<usize>) -> Array {
    let n = matrices.clone().count();
    let rows = rows.unwrap_or_else(|| matrices.clone().map(DMatrix::nrows).max().unwrap_or(0));
    let columns = matrices.clone().map(DMatrix::ncols).max().unwrap_or(0);
    let mut data = vec![0.0; n * rows * columns];
    for (h, matrix) in matrices.enumerate() {
        for (c, column) in matrix.column_iter().enumerate() {
            for (r, &x) in column.iter().enumerate() {
                data[(h * rows + r) * columns + c] = x;
            }
        }
    }
    Array { shape: vec![n, rows, columns], data, dtype: Dtype::F64 }
}

/// `[H, d]` of the longest, zero beyond a shorter one.
fn stack_vectors<'a>(vectors: impl Iterator<Item = &'a DVector<f64>> + Clone) -> Array {
    let width = vectors.clone().map(DVector::len).max().unwrap_or(0);
    let mut data = Vec::new();
    for vector in vectors {
        data.extend(vector.iter().copied().chain(std::iter::repeat_n(0.0, width - vector.len())));
    }
    Array { shape: vec![data.len() / width.max(1), width], data, dtype: Dtype::F64 }
}

/// Positive zeros only: a negative zero is worth keeping.
fn is_zero(vector: &DVector<f64>) -> bool {
    vector.iter().all(|x| x.to_bits() == 0)
}
