//! Numbers of any type, widened to `f64`.

use super::{Bad, MAX_BYTES};
use crate::diag::codes;
use crate::linalg::Real;
use crate::memory;
use half::{bf16, f16};
use nalgebra::DMatrix;
use std::io::{self, Read, Write};

/// Number types that files hold and `f64` can represent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    F64,
    F32,
    F16,
    BF16,
    I64,
    I32,
    I16,
    I8,
    U64,
    U32,
    U16,
    U8,
    Bool,
}

/// An array of any rank, row-major (the last axis varies fastest).
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub shape: Vec<usize>,
    /// `shape.iter().product()` numbers.
    pub data: Vec<f64>,
    /// The type in the file that it came from, or that it is to be written as.
    pub dtype: Dtype,
}

impl Dtype {
    /// Bytes of one number in a file.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::F64 | Self::I64 | Self::U64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::BF16 | Self::I16 | Self::U16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// `f64`, `bf16`, `u8`, `bool` and so on.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::I64 => "i64",
            Self::I32 => "i32",
            Self::I16 => "i16",
            Self::I8 => "i8",
            Self::U64 => "u64",
            Self::U32 => "u32",
            Self::U16 => "u16",
            Self::U8 => "u8",
            Self::Bool => "bool",
        }
    }

    /// The type of a precision that blocks run in.
    #[must_use]
    pub fn of<T: Real>() -> Self {
        if size_of::<T>() == 4 { Self::F32 } else { Self::F64 }
    }
}

impl Array {
    /// `[d_model, n_tokens]` (one token per column) to `[n_tokens, d_model]` of files.
    #[must_use]
    pub fn from_tokens<T: Real>(tokens: &DMatrix<T>) -> Self {
        // Column-major [D, N] and row-major [N, D] have the same bytes.
        let data = tokens.as_slice().iter().map(|x| x.to_f64()).collect();
        Self { shape: vec![tokens.ncols(), tokens.nrows()], data, dtype: Dtype::of::<T>() }
    }

    /// `[rows, columns]` as it stands.
    #[must_use]
    pub fn from_matrix<T: Real>(matrix: &DMatrix<T>) -> Self {
        Self { shape: vec![matrix.nrows(), matrix.ncols()], ..Self::from_tokens(&matrix.transpose()) }
    }

    /// `[n]`.
    #[must_use]
    pub fn from_slice<T: Real>(numbers: &[T]) -> Self {
        let data = numbers.iter().map(|x| x.to_f64()).collect();
        Self { shape: vec![numbers.len()], data, dtype: Dtype::of::<T>() }
    }

    /// `F009` unless there are two axes.
    pub(crate) fn to_tokens(&self) -> Result<DMatrix<f64>, Bad> {
        match self.shape[..] {
            [n_tokens, d_model] => Ok(DMatrix::from_column_slice(d_model, n_tokens, &self.data)),
            _ => Err(Bad::new(
                "F009",
                format!("tokens need two axes [n_tokens, d_model], this array has shape {:?}", self.shape),
            )
            .help("reshape it; one token is one row")),
        }
    }

    /// `F010` for the first number that is not finite.
    pub(crate) fn require_finite(&self, what: &str) -> Result<(), Bad> {
        let Some(flat) = self.data.iter().position(|x| !x.is_finite()) else { return Ok(()) };
        let mut rest = flat;
        let mut index: Vec<usize> = self
            .shape
            .iter()
            .rev()
            .map(|&n| {
                let i = rest % n.max(1);
                rest /= n.max(1);
                i
            })
            .collect();
        index.reverse();
        Err(Bad::not_finite(what, &index, self.data[flat]))
    }

    /// `F009` if the shape and the data disagree, or the numbers do not fit the type to be written.
    pub(super) fn check(&self) -> Result<(), Bad> {
        let count = self.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if count != Some(self.data.len()) {
            let found = self.data.len();
            return Err(Bad::new("F009", format!("shape {:?} does not hold {found} numbers", self.shape)));
        }
        match self.data.iter().find(|&&x| !fits(x, self.dtype)) {
            Some(x) => Err(Bad::new("F009", format!("{x} is not a number of type {}", self.dtype.name()))),
            None => Ok(()),
        }
    }

    /// Row-major bytes, little endian.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub(super) fn encode(&self, out: &mut impl Write) -> io::Result<()> {
        let data = self.data.iter();
        macro_rules! put {
            ($map:expr) => {
                data.map($map).try_for_each(|bytes| out.write_all(&bytes))
            };
        }
        match self.dtype {
            Dtype::F64 => put!(|x| x.to_le_bytes()),
            Dtype::F32 => put!(|&x| (x as f32).to_le_bytes()),
            Dtype::F16 => put!(|&x| f16::from_f64(x).to_le_bytes()),
            Dtype::BF16 => put!(|&x| bf16::from_f64(x).to_le_bytes()),
            Dtype::I64 => put!(|&x| (x as i64).to_le_bytes()),
            Dtype::I32 => put!(|&x| (x as i32).to_le_bytes()),
            Dtype::I16 => put!(|&x| (x as i16).to_le_bytes()),
            Dtype::I8 => put!(|&x| (x as i8).to_le_bytes()),
            Dtype::U64 => put!(|&x| (x as u64).to_le_bytes()),
            Dtype::U32 => put!(|&x| (x as u32).to_le_bytes()),
            Dtype::U16 => put!(|&x| (x as u16).to_le_bytes()),
            Dtype::U8 | Dtype::Bool => put!(|&x| (x as u8).to_le_bytes()),
        }
    }
}

/// Whether an integer type holds this number exactly; floating types round.
fn fits(x: f64, dtype: Dtype) -> bool {
    let (low, high) = match dtype {
        Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16 => return true,
        Dtype::I64 => (-(2f64.powi(63)), 2f64.powi(63)),
        Dtype::I32 => (f64::from(i32::MIN), f64::from(i32::MAX) + 1.0),
        Dtype::I16 => (f64::from(i16::MIN), f64::from(i16::MAX) + 1.0),
        Dtype::I8 => (f64::from(i8::MIN), f64::from(i8::MAX) + 1.0),
        Dtype::U64 => (0.0, 2f64.powi(64)),
        Dtype::U32 => (0.0, f64::from(u32::MAX) + 1.0),
        Dtype::U16 => (0.0, f64::from(u16::MAX) + 1.0),
        Dtype::U8 => (0.0, f64::from(u8::MAX) + 1.0),
        Dtype::Bool => (0.0, 2.0),
    };
    x.trunc().to_bits() == x.to_bits() && x >= low && x < high
}

/// `F007` for an axis that no file within the cap can fill. An empty array costs its file nothing whatever it claims,
/// and code further on may set memory aside by its axes, so those are bounded closely.
pub(super) fn check_axes(shape: &[u64]) -> Result<(), Bad> {
    let limit = if shape.contains(&0) { 1 << 20 } else { MAX_BYTES };
    match shape.iter().find(|&&axis| axis > limit) {
        Some(axis) => {
            Err(Bad::malformed(format!("the header claims an axis of length {axis} in shape {shape:?}")))
        }
        None => Ok(()),
    }
}

/// The number of values of a shape: `F007` when the axes or the bytes overflow.
pub(super) fn count(shape: &[u64], dtype: Dtype) -> Result<usize, Bad> {
    check_axes(shape)?;
    let overflow = || Bad::malformed(format!("the header claims the impossible shape {shape:?}"));
    let n = if shape.contains(&0) {
        0
    } else {
        shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d)).ok_or_else(overflow)?
    };
    n.checked_mul(dtype.bytes() as u64).ok_or_else(overflow)?;
    usize::try_from(n).map_err(|_| overflow())
}

/// `F005` when `n` numbers do not fit the cap as `f64`. To be asked once the file is known to be that long.
pub(super) fn within_cap(n: usize) -> Result<(), Bad> {
    if n as u64 > MAX_BYTES / 8 {
        return Err(Bad::new("F005", format!("holds {n} numbers, more than {}", MAX_BYTES / 8))
            .help("split it into smaller arrays"));
    }
    let bytes = memory::bytes(n, HELD);
    memory::check(codes::F031, "", "what it holds", bytes).map_err(|d| Bad {
        code: d.code,
        message: d.message,
        help: d.help,
    })
}

/// Bytes that a number takes while a file is read: in the array, and in what is made of it.
const HELD: usize = 16;

/// Reads exactly `n` numbers. Memory grows with what was really read unless `trusted`: then the file is known to
/// be long enough.
pub(super) fn read_values(
    from: &mut impl Read,
    n: usize,
    dtype: Dtype,
    big: bool,
    trusted: bool,
) -> Result<Vec<f64>, Bad> {
    let size = dtype.bytes();
    let mut out = Vec::with_capacity(if trusted { n } else { n.min(1 << 13) });
    let mut buffer = vec![0u8; n.saturating_mul(size).min(1 << 16)];
    while out.len() < n {
        let take = (n - out.len()).min(buffer.len() / size) * size;
        from.read_exact(&mut buffer[..take]).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => Bad::malformed(format!(
                "ends early: the header promises {n} numbers of type {}, not all are there",
                dtype.name()
            )),
            _ => e.into(),
        })?;
        decode(&buffer[..take], dtype, big, &mut out)?;
    }
    Ok(out)
}

/// The bytes of numbers in their own precision, little endian.
#[must_use]
pub fn little_endian<T: Real>(numbers: &[T]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size_of_val(numbers));
    for x in numbers {
        let x = x.to_f64();
        if size_of::<T>() == size_of::<f64>() {
            bytes.extend_from_slice(&x.to_le_bytes());
        } else {
            // Exact: the number was an f32.
            #[allow(clippy::cast_possible_truncation)]
            bytes.extend_from_slice(&(x as f32).to_le_bytes());
        }
    }
    bytes
}

/// Widens; `F009` for a 64-bit integer that `f64` cannot hold.
pub(super) fn decode(bytes: &[u8], dtype: Dtype, big: bool, out: &mut Vec<f64>) -> Result<(), Bad> {
    macro_rules! widen {
        ($type:ty, $map:expr) => {
            for chunk in bytes.chunks_exact(size_of::<$type>()) {
                let mut raw = [0; size_of::<$type>()];
                raw.copy_from_slice(chunk);
                let x = if big { <$type>::from_be_bytes(raw) } else { <$type>::from_le_bytes(raw) };
                out.push($map(x));
            }
        };
    }
    /// A 64-bit integer, if exact.
    macro_rules! exact {
        ($type:ty) => {
            for chunk in bytes.chunks_exact(8) {
                let mut raw = [0; 8];
                raw.copy_from_slice(chunk);
                let x = if big { <$type>::from_be_bytes(raw) } else { <$type>::from_le_bytes(raw) };
                #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
                let (wide, back) = (x as f64, (x as f64) as i128);
                if back != i128::from(x) {
                    return Err(Bad::new("F009", format!("the integer {x} does not fit a 64-bit float"))
                        .help("scale the numbers down, or store them as floats"));
                }
                out.push(wide);
            }
        };
    }
    match dtype {
        Dtype::F64 => widen!(f64, |x| x),
        Dtype::F32 => widen!(f32, f64::from),
        Dtype::F16 => widen!(f16, f64::from),
        Dtype::BF16 => widen!(bf16, f64::from),
        Dtype::I64 => exact!(i64),
        Dtype::U64 => exact!(u64),
        Dtype::I32 => widen!(i32, f64::from),
        Dtype::I16 => widen!(i16, f64::from),
        Dtype::I8 => widen!(i8, f64::from),
        Dtype::U32 => widen!(u32, f64::from),
        Dtype::U16 => widen!(u16, f64::from),
        Dtype::U8 => widen!(u8, f64::from),
        Dtype::Bool => widen!(u8, |x| f64::from(u8::from(x != 0))),
    }
    Ok(())
}
