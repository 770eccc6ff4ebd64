//! NumPy's `.npy`: magic, version, a header that is a Python dictionary, then the numbers.
//!
//! The header is parsed here rather than by a library, because every claim in it must be checked before memory is
//! set aside. Versions 1 to 3; `f8 f4 f2`, `i1` to `i8`, `u1` to `u8`, `bool`; both byte orders; C and Fortran order.
//!
//! **Deliberately absent:** object arrays (pickles run code), structured and complex numbers, strings.
//!
//! Source: NEP 1 and `numpy.lib.format`.

use super::array::{count, read_values, within_cap};
use super::{Array, Bad, Dtype, Entry, atomic_write};
use crate::diag::Diagnostic;
use crate::linalg::Real;
use nalgebra::DMatrix;
use std::fmt::Write as _;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

pub(super) const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// NumPy itself refuses headers beyond 10 000 bytes.
const MAX_HEADER: u64 = 1 << 16;

/// What the header says, once it has been believed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Header {
    pub dtype: Dtype,
    pub big: bool,
    pub fortran: bool,
    pub shape: Vec<usize>,
    count: usize,
}

/// Writes tokens `[d_model, n_tokens]` as `[n_tokens, d_model]`, C order, `<f8` or `<f4` by their precision.
///
/// # Errors
/// `F004`, `F002` as [`atomic_write`].
pub fn write_npy<T: Real>(path: &Path, tokens: &DMatrix<T>) -> Result<(), Diagnostic> {
    write_npy_array(path, &Array::from_tokens(tokens))
}

/// Writes an array of any rank in its own type.
///
/// # Errors
/// `F009` if shape and data disagree or the format has no such type (`bf16`), else as [`atomic_write`].
pub fn write_npy_array(path: &Path, array: &Array) -> Result<(), Diagnostic> {
    check(array).map_err(|bad| bad.in_file(path))?;
    atomic_write(path, |out| put(array, out))
}

/// `F009` for what the format cannot hold.
pub(super) fn check(array: &Array) -> Result<(), Bad> {
    if array.dtype == Dtype::BF16 {
        return Err(Bad::new("F009", "numpy has no bf16").help("write f32 instead"));
    }
    array.check()
}

/// Header and numbers of an array that [`check`] accepts.
pub(super) fn put(array: &Array, out: &mut impl Write) -> io::Result<()> {
    put_header(array.dtype, &array.shape, out)?;
    array.encode(out)
}

/// Everything before the numbers.
pub(super) fn put_header(dtype: Dtype, axes: &[usize], out: &mut impl Write) -> io::Result<()> {
    let descr = match dtype {
        Dtype::F64 => "<f8",
        Dtype::F32 => "<f4",
        Dtype::F16 | Dtype::BF16 => "<f2",
        Dtype::I64 => "<i8",
        Dtype::I32 => "<i4",
        Dtype::I16 => "<i2",
        Dtype::I8 => "|i1",
        Dtype::U64 => "<u8",
        Dtype::U32 => "<u4",
        Dtype::U16 => "<u2",
        Dtype::U8 => "|u1",
        Dtype::Bool => "|b1",
    };
    let mut shape = String::new();
    for axis in axes {
        let _ = write!(shape, "{axis}, ");
    }
    let shape = if axes.len() == 1 { shape.trim_end() } else { shape.trim_end_matches(", ") };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    // The numbers start at a multiple of 64.
    header.push_str(&" ".repeat(63 - (10 + header.len()) % 64));
    header.push('\n');
    let length = u16::try_from(header.len()).map_err(|_| io::Error::other("too many axes"))?;
    out.write_all(MAGIC)?;
    out.write_all(&[1, 0])?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(header.as_bytes())
}

/// Reads a file of `length` bytes.
pub(super) fn read(file: impl Read, length: u64) -> Result<Array, Bad> {
    read_from(&mut BufReader::new(file), length, true)
}

/// Shape and type of a file of `length` bytes.
pub(super) fn entry(file: impl Read, length: u64) -> Result<Entry, Bad> {
    let header = read_header(&mut BufReader::new(file), length)?;
    Ok(Entry { name: String::new(), shape: header.shape, dtype: header.dtype.name().to_owned() })
}

/// Shape and type of an archive member that claims `length` bytes.
pub(super) fn entry_of(from: &mut impl Read, length: u64) -> Result<(Vec<usize>, Dtype), Bad> {
    read_header(from, length).map(|h| (h.shape, h.dtype))
}

/// Reads an array that should be `length` bytes in all; `trusted` when that is known and not only claimed.
pub(super) fn read_from(from: &mut impl Read, length: u64, trusted: bool) -> Result<Array, Bad> {
    let header = read_header(from, length)?;
    within_cap(header.count)?;
    let data = read_values(from, header.count, header.dtype, header.big, trusted)?;
    let data = if header.fortran { from_fortran(&data, &header.shape) } else { data };
    Ok(Array { shape: header.shape, data, dtype: header.dtype })
}

/// First axis fastest to last axis fastest.
fn from_fortran(data: &[f64], shape: &[usize]) -> Vec<f64> {
    if data.is_empty() {
        return Vec::new();
    }
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = 1;
    for &axis in shape {
        strides.push(stride);
        stride *= axis;
    }
    let mut index = vec![0usize; shape.len()];
    let mut at = 0;
    let mut out = Vec::with_capacity(data.len());
    loop {
        out.push(data[at]);
        let mut axis = shape.len();
        loop {
            if axis == 0 {
                return out;
            }
            axis -= 1;
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
}

pub(super) fn read_header(from: &mut impl Read, length: u64) -> Result<Header, Bad> {
    let short = || Bad::malformed(format!("is no .npy file: {length} bytes are not even a header"));
    let mut start = [0u8; 8];
    from.read_exact(&mut start).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => short(),
        _ => e.into(),
    })?;
    if &start[..6] != MAGIC {
        return Err(Bad::malformed(format!("is no .npy file: it starts with {:02x?}", &start[..6])));
    }
    let (prefix, header_length) = match start[6] {
        1 => {
            let mut raw = [0; 2];
            from.read_exact(&mut raw)?;
            (10u64, u64::from(u16::from_le_bytes(raw)))
        }
        2 | 3 => {
            let mut raw = [0; 4];
            from.read_exact(&mut raw)?;
            (12, u64::from(u32::from_le_bytes(raw)))
        }
        other => return Err(Bad::malformed(format!("version {other}.{} of .npy is not known", start[7]))),
    };
    if header_length > MAX_HEADER || prefix + header_length > length {
        return Err(Bad::malformed(format!("a header of {header_length} bytes in a file of {length}")));
    }
    let mut text = vec![0u8; usize::try_from(header_length).unwrap_or_default()];
    from.read_exact(&mut text)?;
    let (descr, fortran, shape) = Python { text: &text, at: 0 }.header()?;
    let (dtype, big) = parse_descr(&descr)?;
    let n = count(&shape, dtype)?;
    let body = length - prefix - header_length;
    let promised = n as u64 * dtype.bytes() as u64;
    if promised != body {
        return Err(Bad::malformed(format!(
            "the header promises shape {shape:?} of {} ({promised} bytes), but {body} bytes follow",
            dtype.name()
        )));
    }
    // `count` has bounded every axis.
    let shape = shape.iter().map(|&d| usize::try_from(d).unwrap_or(usize::MAX)).collect();
    Ok(Header { dtype, big, fortran, shape, count: n })
}

/// `<f8` and the like: the type, and whether it is big endian.
fn parse_descr(descr: &str) -> Result<(Dtype, bool), Bad> {
    let (order, kind) = match descr.as_bytes().first() {
        Some(b'<' | b'>' | b'=' | b'|') => descr.split_at(1),
        _ => ("=", descr),
    };
    let dtype = match kind {
        "f8" => Dtype::F64,
        "f4" => Dtype::F32,
        "f2" => Dtype::F16,
        "i8" => Dtype::I64,
        "i4" => Dtype::I32,
        "i2" => Dtype::I16,
        "i1" => Dtype::I8,
        "u8" => Dtype::U64,
        "u4" => Dtype::U32,
        "u2" => Dtype::U16,
        "u1" => Dtype::U8,
        "b1" | "?" => Dtype::Bool,
        _ => {
            return Err(Bad::new("F009", format!("numbers of type {descr:?} cannot be read"))
                .help("store real numbers, for example with `array.astype('<f8')`"));
        }
    };
    Ok((dtype, order == ">" || (order == "=" && cfg!(target_endian = "big"))))
}

/// The few words of Python that a header is made of.
struct Python<'a> {
    text: &'a [u8],
    at: usize,
}

impl Python<'_> {
    /// `{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }` with the keys in any order.
    fn header(mut self) -> Result<(String, bool, Vec<u64>), Bad> {
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        self.expect(b'{')?;
        while !self.eat(b'}') {
            let key = self.string()?;
            self.expect(b':')?;
            let again = match key.as_str() {
                "descr" => {
                    self.space();
                    if self.text.get(self.at) == Some(&b'[') {
                        return Err(Bad::new("F009", "holds a structured array")
                            .help("store one of its fields as a plain array of floats"));
                    }
                    descr.replace(self.string()?).is_some()
                }
                "fortran_order" => fortran.replace(self.boolean()?).is_some(),
                "shape" => shape.replace(self.shape()?).is_some(),
                _ => return Err(Bad::malformed(format!("the header has an unknown key {key:?}"))),
            };
            if again {
                return Err(Bad::malformed(format!("the header has the key {key:?} twice")));
            }
            if !self.eat(b',') {
                self.expect(b'}')?;
                break;
            }
        }
        self.space();
        if self.at < self.text.len() {
            return self.wrong("the end");
        }
        match (descr, fortran, shape) {
            (Some(descr), Some(fortran), Some(shape)) => Ok((descr, fortran, shape)),
            _ => Err(Bad::malformed("the header lacks one of descr, fortran_order, shape")),
        }
    }

    fn wrong<T>(&self, wanted: &str) -> Result<T, Bad> {
        let rest = &self.text[self.at.min(self.text.len())..];
        let found = String::from_utf8_lossy(&rest[..rest.len().min(20)]).into_owned();
        Err(Bad::malformed(format!(
            "the header is damaged at byte {}: {wanted} expected, not {found:?}",
            self.at
        )))
    }

    fn space(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        self.space();
        let there = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, byte: u8) -> Result<(), Bad> {
        if self.eat(byte) { Ok(()) } else { self.wrong(&format!("`{}`", char::from(byte))) }
    }

    fn string(&mut self) -> Result<String, Bad> {
        self.space();
        let quote = match self.text.get(self.at) {
            Some(&q @ (b'\'' | b'"')) => q,
            _ => return self.wrong("a quoted word"),
        };
        let rest = &self.text[self.at + 1..];
        match rest.iter().position(|&b| b == quote) {
            Some(end) => {
                self.at += end + 2;
                Ok(String::from_utf8_lossy(&rest[..end]).into_owned())
            }
            None => self.wrong("a closing quote"),
        }
    }

    fn boolean(&mut self) -> Result<bool, Bad> {
        self.space();
        for (word, value) in [(&b"True"[..], true), (b"False", false)] {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        self.wrong("True or False")
    }

    fn shape(&mut self) -> Result<Vec<u64>, Bad> {
        let mut shape = Vec::new();
        self.expect(b'(')?;
        while !self.eat(b')') {
            self.space();
            let start = self.at;
            let mut axis = 0u64;
            while let Some(digit) = self.text.get(self.at).filter(|b| b.is_ascii_digit()) {
                axis = axis
                    .checked_mul(10)
                    .and_then(|n| n.checked_add(u64::from(digit - b'0')))
                    .ok_or_else(|| Bad::malformed("the header claims an axis beyond 2^64"))?;
                self.at += 1;
            }
            if self.at == start {
                return self.wrong("the length of an axis");
            }
            // Python 2 wrote `3L`.
            self.eat(b'L');
            shape.push(axis);
            if shape.len() > 64 {
                return Err(Bad::malformed("the header claims more than 64 axes"));
            }
            if !self.eat(b',') {
                self.expect(b')')?;
                break;
            }
        }
        Ok(shape)
    }
}

#[cfg(test)]
#[path = "npy_tests.rs"]
mod tests;
