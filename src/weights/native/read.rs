//! Tensors to blocks.

use super::NativeBlock;
use super::metadata::check_keys;
use crate::attention::{Block, Head, Mask, Residual};
use crate::diag::did_you_mean;
use crate::files::{Array, Bad, Entry, Tensors};
use nalgebra::{DMatrix, DVector};
use std::collections::{BTreeMap, BTreeSet};

const TENSORS: [&str; 8] = ["W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O"];

/// The most that the axes of an empty tensor may promise together.
const MAX_EMPTY: usize = 1 << 16;

pub(super) fn wrong(message: impl Into<String>) -> Bad {
    Bad::new("F009", message)
}

pub(super) fn blocks(file: &mut Tensors) -> Result<Vec<NativeBlock>, Bad> {
    let entries = file.entries();
    let metadata = file.metadata();
    let prefixes = prefixes(&entries)?;
    check_names(&entries, &prefixes)?;
    check_keys(&metadata, &prefixes)?;
    prefixes
        .iter()
        .map(|prefix| {
            Part { file: &mut *file, entries: &entries, metadata: &metadata, prefix, assumed: vec![] }.block()
        })
        .collect()
}

/// The tensors of a file for a message.
fn found(entries: &[Entry]) -> String {
    let shown: Vec<String> = entries.iter().take(24).map(|e| format!("`{}` {:?}", e.name, e.shape)).collect();
    match entries.len() {
        0 => "the file holds no tensors".to_owned(),
        n if n > shown.len() => format!("the file holds {} and {} more", shown.join(", "), n - shown.len()),
        _ => format!("the file holds {}", shown.join(", ")),
    }
}

/// `block.1.` and the rest: the prefix `block.1.`, if there is one.
pub(super) fn split(name: &str) -> (&str, &str) {
    let Some(rest) = name.strip_prefix("block.") else { return ("", name) };
    match rest.find('.') {
        Some(dot) if rest[..dot].bytes().all(|b| b.is_ascii_digit()) && dot > 0 => {
            name.split_at("block.".len() + dot + 1)
        }
        _ => ("", name),
    }
}

/// One prefix per block, in order.
fn prefixes(entries: &[Entry]) -> Result<Vec<String>, Bad> {
    let used: BTreeSet<&str> = entries.iter().map(|e| split(&e.name).0).collect();
    let list = if used.contains("") || used.is_empty() {
        vec![String::new()]
    } else {
        (1..=used.len()).map(|n| format!("block.{n}.")).collect::<Vec<_>>()
    };
    if let Some(gap) = list.iter().find(|p| !p.is_empty() && !used.contains(p.as_str())) {
        return Err(wrong(format!(
            "the blocks of a stack are numbered from 1 without gaps; `{gap}` is missing"
        ))
        .help(found(entries)));
    }
    for prefix in &list {
        let has = |tensor: &str| entries.iter().any(|e| e.name == format!("{prefix}{tensor}"));
        if let Some(missing) = TENSORS[..4].iter().find(|t| !has(t)) {
            return Err(wrong(format!("is no native heads file: tensor `{prefix}{missing}` is missing"))
                .help(found(entries)));
        }
    }
    Ok(list)
}

fn check_names(entries: &[Entry], prefixes: &[String]) -> Result<(), Bad> {
    for entry in entries {
        let (prefix, name) = split(&entry.name);
        let known =
            TENSORS.contains(&name) || name.strip_prefix("R.").is_some_and(|stream| !stream.is_empty());
        if !known || !prefixes.iter().any(|p| p == prefix) {
            let help = if known { found(entries) } else { did_you_mean(name, TENSORS) + ", `R.STREAM`" };
            return Err(wrong(format!(
                "a native heads file has no tensor `{}` {:?}",
                entry.name, entry.shape
            ))
            .help(help));
        }
    }
    Ok(())
}

/// One block of a file.
pub(super) struct Part<'a> {
    file: &'a mut Tensors,
    entries: &'a [Entry],
    pub(super) metadata: &'a BTreeMap<String, String>,
    pub(super) prefix: &'a str,
    pub(super) assumed: Vec<&'static str>,
}

impl Part<'_> {
    fn block(mut self) -> Result<NativeBlock, Bad> {
        let w_o = self.tensor("W_O", &[None, None, None])?;
        let (n, d_model, d_v) = (w_o.shape[0], w_o.shape[1], w_o.shape[2]);
        let w_k = self.tensor("W_K", &[Some(n), None, None])?;
        let d_k = w_k.shape[1];
        let w_q = self.tensor("W_Q", &[Some(n), Some(d_k), None])?;
        let w_v = self.tensor("W_V", &[Some(n), Some(d_v), None])?;
        let b_q = self.bias("b_Q", &[n, d_k])?;
        let b_k = self.bias("b_K", &[n, d_k])?;
        let b_v = self.bias("b_V", &[n, d_v])?;
        let b_o = DVector::from_vec(self.bias("b_O", &[d_model])?.data);
        let residual = self.residual(d_model)?;

        let keys = self.sizes("d_key", n, d_k)?;
        let values = self.sizes("d_value", n, d_v)?;
        let query_widths = self.sizes("query_width", n, w_q.shape[2])?;
        let context_widths = self.sizes("context_width", n, w_k.shape[2])?;
        let value_widths = self.sizes("value_width", n, w_v.shape[2])?;
        let kernels = self.kernels(n)?;
        let normalisations = self.normalisations(n, &kernels)?;
        let scales = self.scales(n, &kernels, &keys)?;
        let memories = self.memories(n)?;
        let masks = self.choices("mask", n, &Mask::WHOLE, Mask::word)?;
        let query_streams = self.streams("query_stream", n)?;
        let context_streams = self.streams("context_stream", n)?;
        let value_streams = self.list("value_stream", n)?.unwrap_or_else(|| context_streams.clone());
        let areas = self.list("area", n)?.unwrap_or_else(|| vec![String::new(); n]);

        let mut heads = Vec::with_capacity(n);
        for h in 0..n {
            heads.push(Head {
                w_q: self.slice("W_Q", &w_q, h, keys[h], query_widths[h])?,
                w_k: self.slice("W_K", &w_k, h, keys[h], context_widths[h])?,
                w_v: self.slice("W_V", &w_v, h, values[h], value_widths[h])?,
                w_o: self.slice("W_O", &w_o, h, d_model, values[h])?,
                b_q: self.part("b_Q", &b_q, h, keys[h])?,
                b_k: self.part("b_K", &b_k, h, keys[h])?,
                b_v: self.part("b_V", &b_v, h, values[h])?,
                scale: scales[h],
                kernel: kernels[h],
                normalisation: normalisations[h],
                mask: masks[h],
                memory: memories[h].clone(),
                query_stream: query_streams[h].clone(),
                context_stream: context_streams[h].clone(),
                value_stream: value_streams[h].clone(),
                function: Vec::new(),
                sink: None,
                area: areas[h].clone(),
            });
        }
        let clock = query_streams.first().map_or("main", String::as_str);
        let clock_stream = self.single("clock_stream", clock);
        let relay = self.single("relay", "output");
        let block = Block { relay, d_model, clock_stream, heads, residual, b_o };
        Ok(NativeBlock { block, assumed: self.assumed })
    }

    /// A finite tensor of the given shape; `None` is any length.
    fn tensor(&mut self, name: &str, shape: &[Option<usize>]) -> Result<Array, Bad> {
        let full = format!("{}{name}", self.prefix);
        let array = self.file.read(&full)?;
        let fits = array.shape.len() == shape.len()
            && array.shape.iter().zip(shape).all(|(found, wanted)| wanted.is_none_or(|w| w == *found));
        if !fits {
            let wanted: Vec<String> =
                shape.iter().map(|d| d.map_or("any".into(), |d| d.to_string())).collect();
            return Err(wrong(format!(
                "tensor `{full}` has shape {:?}, [{}] is needed",
                array.shape,
                wanted.join(", ")
            ))
            .help(found(self.entries)));
        }
        // An empty tensor may claim any number of heads or cells; what follows sets memory aside for them.
        let axes = array.shape.iter().filter(|&&d| d > 0).try_fold(1usize, |n, &d| n.checked_mul(d));
        if array.data.is_empty() && axes.is_none_or(|n| n > MAX_EMPTY) {
            return Err(wrong(format!("tensor `{full}` is empty, but claims the shape {:?}", array.shape)));
        }
        array.require_finite(&format!("tensor `{full}`"))?;
        Ok(array)
    }

    /// A tensor that is zero where the file lacks it.
    fn bias(&mut self, name: &str, shape: &[usize]) -> Result<Array, Bad> {
        if self.entries.iter().any(|e| e.name == format!("{}{name}", self.prefix)) {
            let shape: Vec<Option<usize>> = shape.iter().copied().map(Some).collect();
            return self.tensor(name, &shape);
        }
        let zeros = vec![0.0; shape.iter().product()];
        Ok(Array { shape: shape.to_vec(), ..Array::from_slice(&zeros) })
    }

    fn residual(&mut self, d_model: usize) -> Result<Vec<Residual>, Bad> {
        let start = format!("{}R.", self.prefix);
        let held: Vec<&str> = self.entries.iter().filter_map(|e| e.name.strip_prefix(&start)).collect();
        let order: Vec<String> = match self.metadata.get(&format!("{}residual", self.prefix)) {
            Some(text) if text.is_empty() => Vec::new(),
            Some(text) => text.split(',').map(|s| s.trim().to_owned()).collect(),
            None => held.iter().map(|s| (*s).to_owned()).collect(),
        };
        let named: BTreeSet<&str> = order.iter().map(String::as_str).collect();
        if named.len() != order.len() || named != held.iter().copied().collect() {
            return Err(wrong(format!(
                "metadata `{}residual` names the streams [{}], the tensors are of [{}]",
                self.prefix,
                order.join(", "),
                held.join(", ")
            )));
        }
        order
            .into_iter()
            .map(|stream| {
                let array = self.tensor(&format!("R.{stream}"), &[Some(d_model), None])?;
                let matrix = DMatrix::from_row_slice(array.shape[0], array.shape[1], &array.data);
                Ok(Residual { stream, matrix })
            })
            .collect()
    }

    /// The first `rows` by `columns` of head `h`; what lies beyond must be zero.
    fn slice(
        &self,
        name: &str,
        of: &Array,
        h: usize,
        rows: usize,
        columns: usize,
    ) -> Result<DMatrix<f64>, Bad> {
        let (all_rows, all_columns) = (of.shape[1], of.shape[2]);
        for r in 0..all_rows {
            for c in 0..all_columns {
                let x = of.data[(h * all_rows + r) * all_columns + c];
                if (r >= rows || c >= columns) && x != 0.0 {
                    return Err(wrong(format!(
                        "tensor `{}{name}` [{h}, {r}, {c}] is {x}, but head {h} has only {rows} by {columns} entries",
                        self.prefix
                    ))
                    .help("what lies beyond a narrower head must be zero; correct the metadata"));
                }
            }
        }
        Ok(DMatrix::from_fn(rows, columns, |r, c| of.data[(h * all_rows + r) * all_columns + c]))
    }

    /// The first `length` entries of head `h`; what lies beyond must be zero.
    fn part(&self, name: &str, of: &Array, h: usize, length: usize) -> Result<DVector<f64>, Bad> {
        let width = of.shape[1];
        let row = &of.data[h * width..(h + 1) * width];
        match row[length..].iter().find(|&&x| x != 0.0) {
            Some(x) => Err(wrong(format!(
                "tensor `{}{name}` has {x} beyond the {length} entries of head {h}",
                self.prefix
            ))),
            None => Ok(DVector::from_column_slice(&row[..length])),
        }
    }
}
