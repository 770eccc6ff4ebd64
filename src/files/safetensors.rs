//! `.safetensors`: eight bytes of header length, a JSON header, then the tensors back to back, little endian.
//!
//! The header is decoded and validated by the `safetensors` crate (tensors contiguous, shapes times types equal to
//! the bytes, no overflow); its length and the length of the data are compared with the file first. Tensors are read
//! one at a time. The writer is ours, because the crate writes metadata in hash order.
//!
//! Files that are written here carry their own SHA-256, in the metadata key [`SEAL`]: of the whole file, with zeros in place of
//! the hash. Where a file has that key, it is compared before anything is read.
//!
//! **Deliberately absent:** memory maps, eight-bit and complex types.
//!
//! Source: <https://github.com/huggingface/safetensors>, "Format".

use super::array::{check_axes, read_values, within_cap};
use super::{Array, Bad, Dtype, Entry, MAX_BYTES, atomic_write, guard, inputs, magic, seal};
use crate::diag::{Diagnostic, codes};
use crate::memory;
use crate::seed::Checksum;
use ::safetensors::tensor::{Dtype as Theirs, Metadata};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// The limit of the format itself.
const MAX_HEADER: u64 = 100_000_000;

/// The metadata key of the checksum.
pub const SEAL: &str = "pulvinar.sha256";
/// What stands before it.
const KEY: &str = "\"pulvinar.sha256\":\"";

/// An open file whose header has been validated.
#[derive(Debug)]
pub struct Reader<F = File> {
    file: F,
    header: Metadata,
    /// Where the tensors start.
    start: u64,
    names: Vec<String>,
}

/// Opens a file and validates its header and, if it has one, its checksum; [`inputs::unsummed`] knows those without.
///
/// # Errors
/// `F001` to `F005` as for any file, `F007` for a header that is damaged or does not describe this file, `F022` for a
/// checksum that is not the file's.
pub fn open(path: &Path) -> Result<Reader, Diagnostic> {
    let (file, length) = guard::open(path, MAX_BYTES)?;
    let reader = checked(file, length, path)
        .map_err(|bad| magic::or_recognised(path, "safetensors", bad).in_file(path))?;
    if reader.seal().is_none() {
        inputs::note_unsummed(path);
    }
    Ok(reader)
}

/// A reader of a file that has the checksum that it carries, if it carries one.
pub(super) fn checked(file: File, length: u64, path: &Path) -> Result<Reader, Bad> {
    let mut reader = Reader::new(file, length)?;
    if reader.seal().is_some() && !inputs::is_checked(path) {
        reader.check()?;
        inputs::checked(path);
    }
    Ok(reader)
}

impl<F: Read + Seek> Reader<F> {
    /// Reads the header of a file of `length` bytes.
    pub(super) fn new(mut file: F, length: u64) -> Result<Self, Bad> {
        let mut raw = [0; 8];
        let Some(rest) = length.checked_sub(8) else {
            return Err(Bad::malformed(format!(
                "is no .safetensors file: {length} bytes are not even a header"
            )));
        };
        file.read_exact(&mut raw)?;
        let size = u64::from_le_bytes(raw);
        if size > rest.min(MAX_HEADER) {
            return Err(Bad::malformed(format!(
                "is no .safetensors file: a header of {size} bytes in {length}"
            )));
        }
        within_memory(size)?;
        let mut text = vec![0; usize::try_from(size).unwrap_or_default()];
        file.read_exact(&mut text)?;
        let header: Metadata = serde_json::from_slice(&text)
            .map_err(|e| Bad::malformed(format!("the header is damaged: {e}")))?;
        let (promised, body) = (header.data_len() as u64, rest - size);
        if promised != body {
            return Err(Bad::malformed(format!(
                "the header promises {promised} bytes of tensors, {body} follow"
            )));
        }
        let mut names = header.offset_keys();
        names.sort();
        Ok(Self { file, header, start: 8 + size, names })
    }

    /// The checksum that the file carries.
    #[must_use]
    pub fn seal(&self) -> Option<&str> {
        self.header.metadata().as_ref()?.get(SEAL).map(String::as_str)
    }

    /// `F022` unless the file has the checksum that it carries.
    fn check(&mut self) -> Result<(), Bad> {
        let seal = self.seal().unwrap_or_default().to_owned();
        let mut header = vec![0; usize::try_from(self.start).unwrap_or_default()];
        self.file.seek(SeekFrom::Start(0))?;
        self.file.read_exact(&mut header)?;
        if let Some(open) = seal::open(&header, KEY) {
            header = open;
        }
        let mut sum = Checksum::default();
        sum.add(&header);
        let mut buffer = vec![0; 1 << 20];
        loop {
            match self.file.read(&mut buffer)? {
                0 => break,
                n => sum.add(&buffer[..n]),
            }
        }
        if sum.hex() == seal {
            return Ok(());
        }
        Err(Bad::new("F022", format!("does not have the SHA-256 that it carries ({seal})")).help(format!(
            "the file is damaged; if another program changed it on purpose, let it leave out the metadata key `{SEAL}`"
        )))
    }

    /// The names of the tensors, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    /// What the file says about itself, by key, but for the checksum.
    #[must_use]
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let all = self.header.metadata().iter().flatten().filter(|(k, _)| *k != SEAL);
        all.map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// Names, shapes and types, sorted by name.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.names
            .iter()
            .filter_map(|name| {
                let info = self.header.info(name)?;
                let dtype = ours(info.dtype).map_or_else(|| info.dtype.to_string(), |d| d.name().to_owned());
                Some(Entry { name: name.clone(), shape: info.shape.clone(), dtype })
            })
            .collect()
    }

    /// `F008` for an unknown name, `F009` for a type that is not read here.
    pub(crate) fn read(&mut self, name: &str) -> Result<Array, Bad> {
        let name = super::choose(&self.names, Some(name))?;
        let within = |bad: Bad| bad.within(&format!("tensor `{name}`"));
        let Some(info) = self.header.info(&name) else {
            return Err(within(Bad::new("F008", "not found")));
        };
        let dtype = ours(info.dtype).ok_or_else(|| {
            within(
                Bad::new("F009", format!("numbers of type {} cannot be read", info.dtype))
                    .help("store it as F64, F32, F16 or BF16"),
            )
        })?;
        let (from, to) = info.data_offsets;
        let n = (to - from) / dtype.bytes();
        let axes: Vec<u64> = info.shape.iter().map(|&axis| axis as u64).collect();
        check_axes(&axes).map_err(within)?;
        within_cap(n).map_err(within)?;
        self.file.seek(SeekFrom::Start(self.start + from as u64))?;
        let data = read_values(&mut BufReader::new(&mut self.file), n, dtype, false, true).map_err(within)?;
        Ok(Array { shape: info.shape.clone(), data, dtype })
    }
}

/// Bytes that are taken for each byte of a header: names, shapes and places, several times.
const HEADER: u128 = 20;

/// `F031` for a header that would take too much.
fn within_memory(size: u64) -> Result<(), Bad> {
    memory::check(codes::F031, "", "its header", u128::from(size) * HEADER).map_err(|d| Bad {
        code: d.code,
        message: d.message,
        help: d.help,
    })
}

fn ours(theirs: Theirs) -> Option<Dtype> {
    Some(match theirs {
        Theirs::F64 => Dtype::F64,
        Theirs::F32 => Dtype::F32,
        Theirs::F16 => Dtype::F16,
        Theirs::BF16 => Dtype::BF16,
        Theirs::I64 => Dtype::I64,
        Theirs::I32 => Dtype::I32,
        Theirs::I16 => Dtype::I16,
        Theirs::I8 => Dtype::I8,
        Theirs::U64 => Dtype::U64,
        Theirs::U32 => Dtype::U32,
        Theirs::U16 => Dtype::U16,
        Theirs::U8 => Dtype::U8,
        Theirs::BOOL => Dtype::Bool,
        _ => return None,
    })
}

/// Writes tensors, each in its own type. The bytes depend only on what is written, not on its order: tensors are
/// sorted by descending width of a number (so that all are aligned), then by name; metadata by key, the checksum among it.
///
/// # Errors
/// `F009` if a name or key comes twice, a tensor is called `__metadata__`, a key is [`SEAL`], or shape and data disagree; else as
/// [`atomic_write`].
pub fn write_safetensors(
    path: &Path,
    tensors: &[(String, Array)],
    metadata: &[(String, String)],
) -> Result<(), Diagnostic> {
    let refuse = |message: String| Err(Bad::new("F009", message).in_file(path));
    let mut names: BTreeSet<&str> = BTreeSet::from(["__metadata__"]);
    for (name, array) in tensors {
        array.check().map_err(|bad| bad.within(&format!("tensor `{name}`")).in_file(path))?;
        if !names.insert(name) {
            return refuse(format!("the tensor name `{name}` is taken"));
        }
    }
    let mut keys = BTreeMap::from([(SEAL, seal::ZEROS)]);
    for (key, value) in metadata {
        if keys.insert(key.as_str(), value.as_str()).is_some() {
            return refuse(format!("the metadata key `{key}` comes twice"));
        }
    }
    let mut sorted: Vec<&(String, Array)> = tensors.iter().collect();
    sorted.sort_by(|(a, x), (b, y)| y.dtype.bytes().cmp(&x.dtype.bytes()).then_with(|| a.cmp(b)));
    let mut parts = Vec::with_capacity(sorted.len() + 1);
    let pairs: Vec<String> = keys.iter().map(|(k, v)| format!("{}:{}", json(k), json(v))).collect();
    parts.push(format!("\"__metadata__\":{{{}}}", pairs.join(",")));
    let mut offset = 0;
    for (name, array) in &sorted {
        let end = offset + array.data.len() * array.dtype.bytes();
        let axes: Vec<String> = array.shape.iter().map(ToString::to_string).collect();
        let (name, dtype, axes) = (json(name), array.dtype.name().to_uppercase(), axes.join(","));
        parts.push(format!(
            "{name}:{{\"dtype\":\"{dtype}\",\"shape\":[{axes}],\"data_offsets\":[{offset},{end}]}}"
        ));
        offset = end;
    }
    let mut header = format!("{{{}}}", parts.join(","));
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    if header.len() as u64 > MAX_HEADER {
        return refuse(format!("a header of {} bytes is more than the format allows", header.len()));
    }
    atomic_write(path, |out| {
        let mut summed = Summed { out: &mut *out, sum: Checksum::default() };
        summed.write_all(&(header.len() as u64).to_le_bytes())?;
        summed.write_all(header.as_bytes())?;
        sorted.iter().try_for_each(|(_, array)| array.encode(&mut summed))?;
        let hash = summed.sum.hex();
        let Some(at) = seal::place(header.as_bytes(), KEY) else { return Ok(()) };
        out.seek(SeekFrom::Start(8 + at as u64))?;
        out.write_all(hash.as_bytes())
    })
}

/// Adds up what is written.
struct Summed<W> {
    out: W,
    sum: Checksum,
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.sum.add(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// A JSON string.
fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
#[path = "safetensors_tests.rs"]
mod tests;
#[cfg(test)]
pub(crate) use tests::unsealed;
