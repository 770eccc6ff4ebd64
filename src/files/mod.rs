//! Readers and writers of numeric files: `.npy`, `.npz`, `.csv` and `.safetensors`.
//!
//! Whatever a file holds is widened to `f64` in an [`Array`], row-major, with the number type remembered.
//! [`read_tokens`] turns `[n_tokens, d_model]` of a file into `[d_model, n_tokens]` of a token matrix.
//!
//! Files are hostile until proved otherwise: sizes are checked with overflow-safe arithmetic against the length
//! of the file **before** anything is allocated on their word, compressed archives are read no further than
//! [`MAX_BYTES`], and no input makes a reader panic. Every error is a [`Diagnostic`] that names the file, the
//! value and what to try (codes `F001` to `F010`).
//!
//! Every writer goes through [`atomic_write`]: a temporary file in the same folder, synced, then renamed; the
//! same numbers give the same bytes. Results of several files go through a [`Stage`].
//!
//! - [`npy`], [`npz`], [`csv`], [`safetensors`]: one format each.
//! - `shards`: one model in several `.safetensors`. `magic`: what a file is that is none of these.
//! - `json`: what stands beside weights. [`rows`]: `.npy` piece by piece, for tokens that do not fit in memory.
//! - [`mod@write`]: `atomic_write`. [`mod@stage`]: results of several files. [`claim`]: one writer at a time. [`manifest`]: what is in a run directory, with
//!   checksums. [`inputs`]: what was read and must not be replaced.
//! - `disk`: every change of a disk, one by one.
//!
//! **Deliberately absent:** transformer layouts and heads (`weights`), pickles, object arrays, hub downloads.

mod array;
pub mod claim;
pub mod csv;
mod disk;
mod guard;
pub mod inputs;
mod json;
mod magic;
pub mod manifest;
pub mod npy;
pub mod npz;
pub mod rows;
pub mod safetensors;
mod seal;
mod shards;
pub mod stage;
pub mod write;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod testing;

pub use array::{Array, Dtype, little_endian};
pub use claim::{Claim, is_claimed, settle};
pub use csv::write_csv;
pub(crate) use guard::Bad;
pub use inputs::not_an_input;
pub(crate) use json::read_json;
pub use manifest::{MANIFEST, Manifest};
pub use npy::{write_npy, write_npy_array};
pub use npz::write_npz;
pub use rows::{NpyRows, PutRows, write_npy_rows};
pub use safetensors::write_safetensors;
pub(crate) use shards::Tensors;
pub use stage::{Stage, abandon};
pub use write::{Sink, atomic_write, remove_unfinished, write_device};

use crate::diag::{Diagnostic, did_you_mean, one_of};
use nalgebra::DMatrix;
use std::path::Path;

/// Largest file, and largest array once widened to `f64`: 2^31 bytes.
pub const MAX_BYTES: u64 = 1 << 31;

/// The file formats, known by their ending in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Npy,
    Npz,
    Csv,
    Safetensors,
}

impl Format {
    /// Its name in messages.
    fn name(self) -> &'static str {
        match self {
            Self::Npy => ".npy",
            Self::Npz => ".npz",
            Self::Csv => ".csv",
            Self::Safetensors => "safetensors",
        }
    }

    /// The format of a path.
    ///
    /// # Errors
    /// `F006` for any other ending.
    pub fn of(path: &Path) -> Result<Self, Diagnostic> {
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
        match ending.as_str() {
            "npy" => Ok(Self::Npy),
            "npz" => Ok(Self::Npz),
            "csv" => Ok(Self::Csv),
            "safetensors" => Ok(Self::Safetensors),
            _ => {
                let what = if ending.is_empty() {
                    "has no ending".to_owned()
                } else {
                    format!("the ending `.{ending}` is not known")
                };
                Err(Bad::new("F006", what)
                    .help(did_you_mean(&ending, ["npy", "npz", "csv", "safetensors"]))
                    .in_file(path))
            }
        }
    }
}

/// One array of a file, without its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Empty for `.npy` and `.csv`, which hold one nameless array.
    pub name: String,
    pub shape: Vec<usize>,
    /// The number type as this crate names it (`f64`), or as the file does when it cannot be read here.
    pub dtype: String,
}

/// Reads one array of a file; the format is known by the ending.
///
/// `name` is the array of an `.npz` or the tensor of a `.safetensors`; it may be absent when the file holds
/// exactly one. `.npy` and `.csv` hold one array without a name.
///
/// # Errors
/// `F001` missing, `F002` not a regular file, `F003` unreadable, `F005` more than [`MAX_BYTES`], `F006` unknown
/// ending, `F007` malformed, `F008` no such array, `F009` a number type that cannot be held in `f64`.
pub fn read_array(path: &Path, name: Option<&str>) -> Result<Array, Diagnostic> {
    array(path, name, false)
}

/// The same of tokens and outputs, whose tables may number their columns: see [`has_numbered_header`].
///
/// # Errors
/// As [`read_array`], and `F010` for the first number of `what` that is not finite.
pub fn read_table(path: &Path, name: Option<&str>, what: &str) -> Result<Array, Diagnostic> {
    let array = array(path, name, true)?;
    array.require_finite(what).map_err(|bad| bad.in_file(path))?;
    Ok(array)
}

fn array(path: &Path, name: Option<&str>, may_be_numbered: bool) -> Result<Array, Diagnostic> {
    let (file, length) = guard::open(path, MAX_BYTES)?;
    let format = Format::of(path)?;
    match format {
        Format::Npy | Format::Csv => {
            if let Some(name) = name {
                return Err(Bad::new(
                    "F008",
                    format!("holds one array without a name, so there is no `{name}`"),
                )
                .help("leave the name out")
                .in_file(path));
            }
            if format == Format::Npy {
                npy::read(file, length)
            } else {
                csv::read_all(file, may_be_numbered).map(|read| read.array)
            }
        }
        Format::Npz => npz::read(file, name),
        Format::Safetensors => safetensors::checked(file, length, path).and_then(|mut r| {
            let chosen = choose(&r.names(), name)?;
            r.read(&chosen)
        }),
    }
    .map_err(|bad| magic::or_recognised(path, format.name(), bad).in_file(path))
}

/// Was the first line of a table, 0, 1, 2, ..., taken for the names of its columns? False for what cannot be read.
#[must_use]
pub fn has_numbered_header(path: &Path) -> bool {
    matches!(Format::of(path), Ok(Format::Csv))
        && guard::open(path, MAX_BYTES)
            .is_ok_and(|(file, _)| csv::read_all(file, true).is_ok_and(|read| read.numbered))
}

/// Reads tokens: `[n_tokens, d_model]` in the file, `[d_model, n_tokens]` (one token per column) in the result. A table may number
/// its columns: see [`has_numbered_header`].
///
/// # Errors
/// As [`read_array`], and `F009` unless the array has two axes, `F010` for the first number that is not finite.
pub fn read_tokens(path: &Path, name: Option<&str>) -> Result<DMatrix<f64>, Diagnostic> {
    let array = array(path, name, true)?;
    array.require_finite("tokens").and_then(|()| array.to_tokens()).map_err(|bad| bad.in_file(path))
}

/// What a file holds, sorted by name.
///
/// # Errors
/// As [`read_array`].
pub fn list_arrays(path: &Path) -> Result<Vec<Entry>, Diagnostic> {
    let (file, length) = guard::open(path, MAX_BYTES)?;
    let format = Format::of(path)?;
    match format {
        Format::Npy => npy::entry(file, length).map(|e| vec![e]),
        Format::Csv => csv::read(file)
            .map(|a| vec![Entry { name: String::new(), shape: a.shape, dtype: a.dtype.name().to_owned() }]),
        Format::Npz => npz::list(file),
        Format::Safetensors => safetensors::Reader::new(file, length).map(|r| r.entries()),
    }
    .map_err(|bad| magic::or_recognised(path, format.name(), bad).in_file(path))
}

/// The array that `name` means, among those of a file.
fn choose(names: &[String], name: Option<&str>) -> Result<String, Bad> {
    let list = || names.iter().map(String::as_str);
    match name {
        Some(name) if names.iter().any(|n| n == name) => Ok(name.to_owned()),
        Some(name) => Err(Bad::new("F008", format!("no array `{name}`")).help(did_you_mean(name, list()))),
        None if names.len() == 1 => Ok(names[0].clone()),
        None if names.is_empty() => Err(Bad::new("F008", "holds no arrays")),
        None => Err(Bad::new("F008", format!("holds {} arrays; name one", names.len()))
            .help(format!("possible: {}", one_of(list())))),
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{code, folder};
    use super::*;
    use std::fs;

    #[test]
    fn missing_files_directories_and_strange_endings() {
        let dir = folder();
        fs::write(dir.path().join("tokens.npy"), b"").unwrap();
        fs::write(dir.path().join("tokens.txt"), b"1").unwrap();
        let missing = read_array(&dir.path().join("tokesn.npy"), None).unwrap_err();
        assert_eq!(missing.code, "F001");
        assert!(missing.message.contains("tokesn.npy"), "{missing}");
        assert!(missing.help.as_ref().unwrap().contains("`tokens.npy`"), "{missing}");
        let nowhere = read_array(&dir.path().join("no/such/tokens.npy"), None).unwrap_err();
        assert_eq!(nowhere.code, "F001");
        assert!(nowhere.help.as_ref().unwrap().contains("no folder"), "{nowhere}");
        assert_eq!(code(read_array(&dir.path().join("tokens.npy/x.npy"), None)), "F001");
        assert_eq!(code(read_array(dir.path(), None)), "F002");
        assert_eq!(code(list_arrays(dir.path())), "F002");
        assert_eq!(code(read_array(&dir.path().join("tokens.txt"), None)), "F006");
        assert_eq!(code(read_array(&dir.path().join("tokens.npy"), None)), "F007");
        assert_eq!(code(read_array(Path::new("a\0b.npy"), None)), "F003");
        assert_eq!(code(read_array(Path::new(""), None)), "F001");
    }

    #[cfg(unix)]
    #[test]
    fn devices_are_not_files() {
        assert_eq!(code(read_array(Path::new("/dev/null"), None)), "F002");
    }

    #[test]
    fn the_cap_is_checked_before_reading() {
        let dir = folder();
        for name in ["big.npy", "big.npz", "big.csv", "big.safetensors"] {
            let path = dir.path().join(name);
            fs::File::create(&path).unwrap().set_len(MAX_BYTES + 1).unwrap();
            let error = read_array(&path, None).unwrap_err();
            assert_eq!(error.code, "F005", "{error}");
            assert!(error.message.contains("2147483649"), "{error}");
        }
    }

    #[test]
    fn tokens_are_columns_and_must_be_finite_and_flat() {
        let dir = folder();
        let path = dir.path().join("x.csv");
        fs::write(&path, "1,2,3\n4,5,6\n").unwrap();
        let tokens = read_tokens(&path, None).unwrap();
        assert_eq!(tokens.shape(), (3, 2));
        assert_eq!(tokens.column(1).as_slice(), [4.0, 5.0, 6.0]);
        fs::write(&path, "1,2\n3,nan\n").unwrap();
        let error = read_tokens(&path, None).unwrap_err();
        assert_eq!(error.code, "F010");
        assert!(error.message.contains("[1, 1]"), "{error}");
        for (shape, n) in [(vec![], 1), (vec![4], 4), (vec![2, 1, 2], 4)] {
            let path = dir.path().join("x.npy");
            write_npy_array(&path, &Array { shape, data: vec![1.0; n], dtype: Dtype::F64 }).unwrap();
            assert_eq!(code(read_tokens(&path, None)), "F009");
        }
        assert_eq!(code(read_array(&path, Some("x"))), "F008");
    }
}
