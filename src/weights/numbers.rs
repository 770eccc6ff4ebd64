//! The numbers of one layer, once its shapes have been checked.

use super::layers::Form;
use super::tensors::{Shapes, shape_error};
use crate::files::{Array, Bad, Dtype, Tensors};
use nalgebra::{DMatrix, DVector};
use std::collections::BTreeSet;

/// Query, key and value.
const SIDES: [&str; 3] = ["query", "key", "value"];

/// The matrices of a layer, one row per cell.
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

impl Shapes<'_> {
    /// Reads the numbers.
    pub(super) fn read(&self, file: &mut Tensors) -> Result<Matrices, Bad> {
        let (layer, layout) = (self.layer(), self.layer().layout);
        let mut dtypes = BTreeSet::new();
        let mut unbiased = Vec::new();
        let mut take = |file: &mut Tensors, stem: &str| {
            let array = numbers(file, &layer.name(stem))?;
            dtypes.insert(array.dtype.name());
            Ok::<Array, Bad>(array)
        };
        let rows = self.sides.map(|(rows, _)| rows);
        let starts = [0, rows[0], rows[0] + rows[1]];

        let weights: Vec<DMatrix<f64>> = if let [all] = layout.weights {
            let all = matrix(&take(file, all)?, self.form);
            match &self.fused {
                Some(sides) => sides.iter().map(|rows| all.select_rows(rows)).collect(),
                None => starts.iter().zip(rows).map(|(&from, n)| all.rows(from, n).into_owned()).collect(),
            }
        } else {
            let read = layout.weights.iter().map(|stem| Ok(matrix(&take(file, stem)?, self.form)));
            read.collect::<Result<_, Bad>>()?
        };

        let mut bias = |file: &mut Tensors, stem: &str, n: usize| {
            let Some(entry) = self.named.entry(stem) else { return Ok(None) };
            let needed = match self.heads_of(stem) {
                Some(heads) => vec![heads, n / heads.max(1)],
                None => vec![n],
            };
            if entry.shape != needed {
                return Err(shape_error(&entry.name, &entry.shape, &format!("{needed:?}")));
            }
            Ok(Some(DVector::from_vec(take(file, stem)?.data)))
        };
        let biases: Vec<DVector<f64>> = if let [all] = layout.biases {
            let all = bias(file, all, starts[2] + rows[2])?;
            if all.is_none() {
                unbiased.extend(SIDES);
            }
            let part = |side: usize| match (&all, &self.fused) {
                (None, _) => DVector::zeros(rows[side]),
                (Some(b), Some(sides)) => b.select_rows(&sides[side]),
                (Some(b), None) => b.rows(starts[side], rows[side]).into_owned(),
            };
            (0..3).map(part).collect()
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
        let b_o = bias(file, self.named.output.1, d)?;
        if b_o.is_none() {
            unbiased.push("output");
        }
        // One head after another, each transposed, is one matrix transposed.
        let form = if self.form == Form::Cubes { Form::Columns } else { self.form };
        let mut last = take(file, self.named.output.0)?;
        if let [heads, each, out] = last.shape[..] {
            last.shape = vec![heads * each, out];
        }
        let output = matrix(&last, form);
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
}

impl Shapes<'_> {
    /// How many rows of numbers a bias has, where every head has one of its own.
    fn heads_of(&self, bias: &str) -> Option<usize> {
        let own = self.form == Form::Cubes && bias != self.named.output.1;
        let matrix = own.then(|| self.named.entry(&bias.replace('b', "W"))).flatten()?;
        matrix.shape.first().copied()
    }
}

/// Rows of cells that receive, whatever way they are stored.
fn matrix(array: &Array, form: Form) -> DMatrix<f64> {
    match (&array.shape[..], form) {
        (&[heads, d, each], _) => {
            DMatrix::from_fn(heads * each, d, |r, c| array.data[(r / each * d + c) * each + r % each])
        }
        (&[a, b], Form::Columns) => DMatrix::from_column_slice(b, a, &array.data),
        (&[a, b], _) => DMatrix::from_row_slice(a, b, &array.data),
        _ => DMatrix::zeros(0, 0),
    }
}

/// Finite numbers of a floating type.
fn numbers(file: &mut Tensors, name: &str) -> Result<Array, Bad> {
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
