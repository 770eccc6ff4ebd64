//! The matrices of one layer: shapes checked first, then the numbers.

use super::Scheme;
use super::layers::Layer;
use crate::files::safetensors::Reader;
use crate::files::{Array, Bad, Dtype, Entry};
use nalgebra::{DMatrix, DVector};
use std::collections::BTreeSet;

/// Query, key and value.
const SIDES: [&str; 3] = ["query", "key", "value"];

/// Tensors that change what the heads compute and that a head has no place for, by the last parts of their names.
const FOREIGN: [(&str, &str); 9] = [
    ("bias_k", "an additional key"),
    ("bias_v", "an additional value"),
    ("q_norm.weight", "a normalisation of queries"),
    ("k_norm.weight", "a normalisation of keys"),
    ("q_layernorm.weight", "a normalisation of queries"),
    ("k_layernorm.weight", "a normalisation of keys"),
    ("distance_embedding.weight", "scores that depend on distance"),
    ("relative_attention_bias.weight", "scores that depend on distance"),
    ("sinks", "an additional score in the sum"),
];

/// Likewise, by what the first part of the name begins with.
const FOREIGN_PARTS: [(&str, &str); 5] = [
    ("rotary", "a rotation of queries and keys by position"),
    ("rel_pos", "scores that depend on distance"),
    ("relative_position", "scores that depend on distance"),
    ("alibi", "scores that depend on distance"),
    ("pos_bias", "scores that depend on distance"),
];

/// Repeating shared heads may make this many times more numbers than the file holds.
const MOST_GROWTH: usize = 16;

/// How the rows of the matrices fall into heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Split {
    /// query heads
    pub heads: usize,
    /// heads of keys and values, each shared by consecutive query heads
    pub shared: usize,
    pub d_key: usize,
    pub d_value: usize,
}

/// The matrices of a layer, one row per cell; [`Shapes`] that have been checked.
pub(super) struct Matrices {
    /// query, key, value: `[rows, width of the stream]`
    pub weights: [DMatrix<f64>; 3],
    pub biases: [DVector<f64>; 3],
    /// `[D, heads * d_value]`
    pub output: DMatrix<f64>,
    pub b_o: DVector<f64>,
    pub dtypes: BTreeSet<&'static str>,
    /// which of the three and the output have no bias in the file
    pub unbiased: Vec<&'static str>,
}

/// A layer whose shapes fit each other.
#[derive(Debug)]
pub(super) struct Shapes<'a> {
    layer: Layer<'a>,
    entries: &'a [Entry],
    /// names of the output matrix and its bias
    output: (&'static str, &'static str),
    /// query, key, value: rows and columns
    pub sides: [(usize, usize); 3],
    /// columns of the output matrix
    reads: usize,
}

fn shape_error(name: &str, found: &[usize], needed: &str) -> Bad {
    Bad::new("F009", format!("tensor `{name}` has shape {found:?}, {needed} is needed"))
}

impl<'a> Shapes<'a> {
    /// Checks names and shapes.
    pub(super) fn of(layer: Layer<'a>, entries: &'a [Entry]) -> Result<Self, Bad> {
        let mut shapes =
            Self { layer, entries, output: layer.layout.output[0], sides: [(0, 0); 3], reads: 0 };
        let outputs = layer.layout.output;
        let found: Vec<_> = outputs.iter().filter(|(weight, _)| shapes.entry(weight).is_some()).collect();
        if let [(one, _), (other, _), ..] = found[..] {
            return Err(Bad::new(
                "F015",
                format!(
                    "the layer has two output matrices, `{}` and `{}`",
                    layer.name(one),
                    layer.name(other)
                ),
            )
            .help("which one is meant? save the layer without the other"));
        }
        if let [one] = found[..] {
            shapes.output = *one;
        }
        shapes.refuse_foreign()?;
        if let [all] = layer.layout.weights {
            let (rows, columns) =
                shapes.matrix(all, if layer.layout.transposed { "[D, 3 D]" } else { "[3 D, D]" })?;
            if rows != 3 * columns {
                return Err(shapes.not_three(all, rows, columns));
            }
            shapes.sides = [(columns, columns); 3];
        } else {
            for (i, stem) in layer.layout.weights.iter().enumerate() {
                shapes.sides[i] = shapes.matrix(stem, "[rows, columns]")?;
            }
        }
        let (rows, reads) = shapes.matrix(shapes.output.0, "[rows, columns]")?;
        let d = shapes.sides[0].1;
        if rows != d {
            let needed = if layer.layout.transposed { format!("[any, {d}]") } else { format!("[{d}, any]") };
            let found = &shapes.needed(shapes.output.0)?.shape;
            return Err(shape_error(&layer.name(shapes.output.0), found, &needed)
                .help(format!("the output has the width of the query tokens, {d}")));
        }
        shapes.reads = reads;
        Ok(shapes)
    }

    fn entry(&self, stem: &str) -> Option<&'a Entry> {
        let name = self.layer.name(stem);
        // Sorted by name.
        self.entries.binary_search_by(|e| e.name.as_str().cmp(&name)).ok().map(|i| &self.entries[i])
    }

    fn needed(&self, stem: &str) -> Result<&'a Entry, Bad> {
        self.entry(stem).ok_or_else(|| {
            let scheme = self.layer.layout.scheme.name();
            let there = self.layer.name(self.layer.layout.weights[0]);
            Bad::new("F008", format!("no tensor `{}`", self.layer.name(stem)))
                .help(format!("the layer has `{there}` and is read as {scheme}"))
        })
    }

    /// Rows and columns of a matrix as this program has it: a row per cell that receives.
    fn matrix(&self, stem: &str, needed: &str) -> Result<(usize, usize), Bad> {
        let entry = self.needed(stem)?;
        match entry.shape[..] {
            [a, b] if a > 0 && b > 0 => Ok(if self.layer.layout.transposed { (b, a) } else { (a, b) }),
            _ => Err(shape_error(&entry.name, &entry.shape, needed)),
        }
    }

    /// A packed matrix that is not three square ones.
    fn not_three(&self, stem: &str, rows: usize, columns: usize) -> Bad {
        let transposed = self.layer.layout.transposed;
        let (found, needed) = if transposed {
            ([columns, rows], format!("[D, 3 D], for example [{columns}, {}],", columns.saturating_mul(3)))
        } else {
            ([rows, columns], format!("[3 D, D], for example [{}, {columns}],", columns.saturating_mul(3)))
        };
        let bad = shape_error(&self.layer.name(stem), &found, &needed);
        if columns == rows.saturating_mul(3) {
            return bad.help("it seems to be transposed; write it as its layout has it");
        }
        bad
    }

    /// Other tensors of the layer.
    pub(super) fn others(&self) -> impl Iterator<Item = &'a str> {
        let layout = self.layer.layout;
        let prefix = self.layer.prefix;
        let output = self.output;
        self.entries.iter().filter_map(move |e| Some((e, e.name.strip_prefix(prefix)?))).filter_map(
            move |(e, stem)| {
                let ours = layout.weights.contains(&stem)
                    || layout.biases.contains(&stem)
                    || stem == output.0
                    || stem == output.1;
                (!ours).then_some(e.name.as_str())
            },
        )
    }

    fn refuse_foreign(&self) -> Result<(), Bad> {
        for name in self.others() {
            let stem = &name[self.layer.prefix.len()..];
            let inside = stem.strip_prefix("self.").unwrap_or(stem);
            let whole = FOREIGN.iter().find(|(end, _)| inside == *end);
            let part = || FOREIGN_PARTS.iter().find(|(begin, _)| inside.starts_with(begin));
            if let Some((_, what)) = whole.or_else(part) {
                return Err(Bad::new(
                    "F012",
                    format!("tensor `{name}` is {what}, which a head has no place for"),
                )
                .help("only layers without it can be read"));
            }
            if inside.split('.').any(|part| part.starts_with("lora_")) {
                return Err(Bad::new(
                    "F012",
                    format!("tensor `{name}` is an adapter, whose change of the weights is not in them yet"),
                )
                .help(
                    "merge the adapters into the weights (peft: `merge_and_unload()`) and save them again",
                ));
            }
        }
        Ok(())
    }

    /// How `heads` heads share the rows.
    pub(super) fn split(&self, heads: usize) -> Result<Split, Bad> {
        let [(q, d), (k, _), (v, _)] = self.sides;
        let name = |i: usize| {
            self.layer.name(self.layer.layout.weights.get(i).unwrap_or(&self.layer.layout.weights[0]))
        };
        if heads == 0 || q % heads != 0 {
            let each = if self.layer.layout.weights.len() == 1 { "the query part of " } else { "" };
            return Err(Bad::new(
                "F016",
                format!("{heads} heads do not divide the {q} rows of {each}`{}`", name(0)),
            )
            .help(possible(q)));
        }
        let d_key = q / heads;
        let grouped = self.layer.layout.scheme == Scheme::Separate;
        let shared = if grouped { k / d_key } else { heads };
        if k % d_key != 0 || shared == 0 || !heads.is_multiple_of(shared) || shared * d_key != k {
            let rows = if grouped { format!("n * {d_key}") } else { q.to_string() };
            let bad = shape_error(&name(1), &self.needed_shape(1), &format!("[{rows}, any]"));
            return Err(if grouped {
                bad.help(format!("{heads} heads have keys of {d_key} rows each; n must divide {heads}"))
            } else {
                bad
            });
        }
        if v % shared != 0 {
            return Err(shape_error(
                &name(2),
                &self.needed_shape(2),
                &format!("[a multiple of {shared}, any]"),
            ));
        }
        let d_value = v / shared;
        if heads.checked_mul(d_value) != Some(self.reads) {
            let needed = heads.saturating_mul(d_value);
            let needed = if self.layer.layout.transposed {
                format!("[{needed}, {d}]")
            } else {
                format!("[{d}, {needed}]")
            };
            let entry = self.needed(self.output.0)?;
            return Err(shape_error(&entry.name, &entry.shape, &needed)
                .help(format!("{heads} heads with values of {d_value} rows each")));
        }
        // Shared heads are repeated: a small file must not grow without bounds.
        let held: usize =
            self.sides.iter().map(|(rows, width)| rows.saturating_mul(*width)).fold(0, usize::saturating_add);
        let limit = held.saturating_mul(MOST_GROWTH);
        for (rows, (_, width)) in [(q, self.sides[1]), (self.reads, self.sides[2])] {
            if rows.checked_mul(width).is_none_or(|n| n > limit) {
                return Err(Bad::new(
                    "F005",
                    format!("heads that share keys or values would hold {rows} rows of {width} numbers each, but the file holds {held} in all"),
                )
                .help("so much sharing is found in no transformer; are heads and prefix right?"));
            }
        }
        Ok(Split { heads, shared, d_key, d_value })
    }

    fn needed_shape(&self, i: usize) -> Vec<usize> {
        let stem = self.layer.layout.weights.get(i).unwrap_or(&self.layer.layout.weights[0]);
        self.entry(stem).map(|e| e.shape.clone()).unwrap_or_default()
    }

    /// Reads the numbers.
    pub(super) fn read(&self, file: &mut Reader) -> Result<Matrices, Bad> {
        let layout = self.layer.layout;
        let mut dtypes = BTreeSet::new();
        let mut unbiased = Vec::new();
        let mut take = |file: &mut Reader, stem: &str| {
            let array = numbers(file, &self.layer.name(stem))?;
            dtypes.insert(array.dtype.name());
            Ok::<Array, Bad>(array)
        };
        let matrix = |array: &Array| {
            let (a, b) = (array.shape[0], array.shape[1]);
            if layout.transposed {
                DMatrix::from_column_slice(b, a, &array.data)
            } else {
                DMatrix::from_row_slice(a, b, &array.data)
            }
        };
        let rows = self.sides.map(|(rows, _)| rows);
        let starts = [0, rows[0], rows[0] + rows[1]];

        let weights: Vec<DMatrix<f64>> = if let [all] = layout.weights {
            let all = matrix(&take(file, all)?);
            starts.iter().zip(rows).map(|(&from, n)| all.rows(from, n).into_owned()).collect()
        } else {
            let read = layout.weights.iter().map(|stem| Ok(matrix(&take(file, stem)?)));
            read.collect::<Result<_, Bad>>()?
        };

        let mut bias = |file: &mut Reader, stem: &str, n: usize| {
            let Some(entry) = self.entry(stem) else { return Ok(None) };
            if entry.shape != [n] {
                return Err(shape_error(&entry.name, &entry.shape, &format!("[{n}]")));
            }
            Ok(Some(DVector::from_vec(take(file, stem)?.data)))
        };
        let biases: Vec<DVector<f64>> = if let [all] = layout.biases {
            let all = bias(file, all, starts[2] + rows[2])?;
            if all.is_none() {
                unbiased.extend(SIDES);
            }
            let part = |(&from, n): (&usize, usize)| {
                all.as_ref().map_or_else(|| DVector::zeros(n), |b| b.rows(from, n).into_owned())
            };
            starts.iter().zip(rows).map(part).collect()
        } else {
            let mut read = Vec::with_capacity(3);
            for (i, stem) in layout.biases.iter().enumerate() {
                let b = bias(file, stem, rows[i])?;
                if b.is_none() {
                    unbiased.push(SIDES[i]);
                }
                read.push(b.unwrap_or_else(|| DVector::zeros(rows[i])));
            }
            read
        };
        let d = self.sides[0].1;
        let b_o = bias(file, self.output.1, d)?;
        if b_o.is_none() {
            unbiased.push("output");
        }
        let output = matrix(&take(file, self.output.0)?);
        let three = |what: &str| Bad::new("F009", format!("three {what} are needed"));
        Ok(Matrices {
            weights: weights.try_into().map_err(|_| three("weights"))?,
            biases: biases.try_into().map_err(|_| three("biases"))?,
            output,
            b_o: b_o.unwrap_or_else(|| DVector::zeros(d)),
            dtypes,
            unbiased,
        })
    }

    /// The buffer of GPT-2 that states the causal mask, if there is one.
    pub(super) fn causal_buffer(&self, file: &mut Reader) -> Result<Option<&'a str>, Bad> {
        if self.layer.layout.scheme != Scheme::Gpt2 {
            return Ok(None);
        }
        let Some(entry) = self.entry("bias") else { return Ok(None) };
        let &[1, 1, n, m] = &entry.shape[..] else { return Ok(None) };
        let mask = file.read(&entry.name)?;
        let allowed = |i: usize, j: usize| if j <= i { 1.0 } else { 0.0 };
        let lower = n == m && mask.data.iter().enumerate().all(|(at, x)| *x == allowed(at / n, at % n));
        if !lower {
            return Err(Bad::new(
                "F012",
                format!("tensor `{}` is a mask, but not the causal one", entry.name),
            ));
        }
        Ok(Some(&entry.name))
    }
}

/// Finite numbers of a floating type.
fn numbers(file: &mut Reader, name: &str) -> Result<Array, Bad> {
    let array = file.read(name)?;
    if !matches!(array.dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16) {
        return Err(Bad::new(
            "F009",
            format!("tensor `{name}` holds numbers of type {}", array.dtype.name()),
        )
        .help("weights are F64, F32, F16 or BF16; quantised ones must be widened first"));
    }
    array.require_finite(&format!("tensor `{name}`"))?;
    Ok(array)
}

/// Numbers of heads that divide `rows`.
pub(super) fn possible(rows: usize) -> String {
    let divisors: Vec<String> =
        (1..=rows.min(4096)).filter(|h| rows.is_multiple_of(*h)).take(16).map(|h| h.to_string()).collect();
    format!("--heads must divide {rows}: {}", divisors.join(", "))
}
