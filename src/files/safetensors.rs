//! `.safetensors`: eight bytes of header length, a JSON header, then the tensors back to back, little endian.
//!
//! The header is decoded and validated by the `safetensors` crate (tensors contiguous, shapes times types equal to
//! the bytes, no overflow); its length and the length of the data are compared with the file first. Tensors are read
//! one at a time. The writer is ours, because the crate writes metadata in hash order.
//!
//! **Deliberately absent:** memory maps, eight-bit and complex types.
//!
//! Source: <https://github.com/huggingface/safetensors>, "Format".

use super::array::{check_axes, read_values, within_cap};
use super::{Array, Bad, Dtype, Entry, MAX_BYTES, atomic_write, guard};
use crate::diag::Diagnostic;
use ::safetensors::tensor::{Dtype as Theirs, Metadata};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// The limit of the format itself.
const MAX_HEADER: u64 = 100_000_000;

/// An open file whose header has been validated.
#[derive(Debug)]
pub struct Reader<F = File> {
    file: F,
    header: Metadata,
    /// Where the tensors start.
    start: u64,
    names: Vec<String>,
}

/// Opens a file and validates its header.
///
/// # Errors
/// `F001` to `F005` as for any file, `F007` for a header that is damaged or does not describe this file.
pub fn open(path: &Path) -> Result<Reader, Diagnostic> {
    let (file, length) = guard::open(path, MAX_BYTES)?;
    Reader::new(file, length).map_err(|bad| bad.in_file(path))
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
            if let Some(bad) = of_pytorch(raw) {
                return Err(bad);
            }
            return Err(Bad::malformed(format!(
                "is no .safetensors file: a header of {size} bytes in {length}"
            )));
        }
        let mut text = vec![0; usize::try_from(size).unwrap_or_default()];
        file.read_exact(&mut text)?;
        let header: Metadata = serde_json::from_slice(&text).map_err(|e| {
            of_pytorch(raw).unwrap_or_else(|| Bad::malformed(format!("the header is damaged: {e}")))
        })?;
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

    /// The names of the tensors, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    /// What the file says about itself, by key.
    #[must_use]
    pub fn metadata(&self) -> BTreeMap<String, String> {
        self.header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect()
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

/// What `torch.save` writes, by the first bytes of a file that is not safetensors.
fn of_pytorch(raw: [u8; 8]) -> Option<Bad> {
    let what = match raw {
        [b'P', b'K', 3, 4, ..] => "a PyTorch archive (zip)",
        [0x80, 2..=5, ..] => "a pickle, as PyTorch writes it,",
        _ => return None,
    };
    Some(
        Bad::malformed(format!("is {what} and not safetensors"))
            .help("save the weights with `safetensors.torch.save_file`"),
    )
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
/// sorted by descending width of a number (so that all are aligned), then by name; metadata by key.
///
/// # Errors
/// `F009` if a name or key comes twice, a tensor is called `__metadata__`, or shape and data disagree; else as
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
    let mut keys = BTreeMap::new();
    for (key, value) in metadata {
        if keys.insert(key, value).is_some() {
            return refuse(format!("the metadata key `{key}` comes twice"));
        }
    }
    let mut sorted: Vec<&(String, Array)> = tensors.iter().collect();
    sorted.sort_by(|(a, x), (b, y)| y.dtype.bytes().cmp(&x.dtype.bytes()).then_with(|| a.cmp(b)));
    let mut parts = Vec::with_capacity(sorted.len() + 1);
    if !keys.is_empty() {
        let pairs: Vec<String> = keys.iter().map(|(k, v)| format!("{}:{}", json(k), json(v))).collect();
        parts.push(format!("\"__metadata__\":{{{}}}", pairs.join(",")));
    }
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
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        sorted.iter().try_for_each(|(_, array)| array.encode(out))
    })
}

/// A JSON string.
fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{code, folder};
    use super::super::{list_arrays, read_array};
    use super::*;
    use std::fs;
    use std::io::Cursor;

    fn parse(bytes: &[u8]) -> Result<Reader<Cursor<&[u8]>>, Bad> {
        Reader::new(Cursor::new(bytes), bytes.len() as u64)
    }

    /// A file with any header text.
    fn file(header: &str, body: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), body].concat()
    }

    #[test]
    fn round_trip_and_equal_bytes_in_any_order() {
        let dir = folder();
        let path = dir.path().join("w.safetensors");
        use Dtype::{BF16, Bool, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};
        let mut tensors: Vec<(String, Array)> =
            [F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16, U8, Bool]
                .into_iter()
                .map(|dtype| {
                    (
                        format!("w \"{}\"", dtype.name()),
                        Array { shape: vec![3, 1], data: vec![0.0, 1.0, 1.0], dtype },
                    )
                })
                .collect();
        tensors.push(("none".into(), Array { shape: vec![0, 4], data: vec![], dtype: F32 }));
        tensors.push(("one".into(), Array { shape: vec![], data: vec![-0.0], dtype: F64 }));
        let mut metadata: Vec<(String, String)> = ["kernel", "mask", "a\n\"b\"", "zeta", "é"]
            .iter()
            .map(|k| ((*k).into(), format!("{k},{k}")))
            .collect();
        write_safetensors(&path, &tensors, &metadata).unwrap();
        let bytes = fs::read(&path).unwrap();
        assert_eq!(u64::from_le_bytes(bytes[..8].try_into().unwrap()) % 8, 0);
        for (name, array) in &tensors {
            let back = read_array(&path, Some(name)).unwrap();
            assert_eq!(&back, array);
            assert_eq!(back.data.first().map(|x| x.to_bits()), array.data.first().map(|x| x.to_bits()));
        }
        // The crate that defines the format agrees.
        let theirs = ::safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(theirs.len(), tensors.len());
        let want: BTreeMap<String, String> = metadata.iter().cloned().collect();
        assert_eq!(open(&path).unwrap().metadata(), want);
        tensors.reverse();
        metadata.reverse();
        write_safetensors(&path, &tensors, &metadata).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes);

        let names: Vec<String> = list_arrays(&path).unwrap().into_iter().map(|e| e.name).collect();
        assert!(names.is_sorted() && names.len() == 15);
        let error = read_array(&path, Some("non")).unwrap_err();
        assert_eq!(error.code, "F008");
        assert!(error.help.unwrap().contains("did you mean `none`?"));
        assert_eq!(code(read_array(&path, None)), "F008");
    }

    #[test]
    fn rounding_to_half_precision() {
        let dir = folder();
        let path = dir.path().join("w.safetensors");
        for (dtype, want) in [(Dtype::F16, 0.333_251_953_125), (Dtype::BF16, 0.333_984_375)] {
            let array = Array { shape: vec![1], data: vec![1.0 / 3.0], dtype };
            write_safetensors(&path, &[("x".into(), array)], &[]).unwrap();
            assert_eq!(read_array(&path, None).unwrap().data, [want]);
        }
    }

    #[test]
    fn headers_that_lie_or_are_damaged() {
        let tensor = |shape: &str, from: u64, to: u64| {
            format!("{{\"x\":{{\"dtype\":\"F64\",\"shape\":{shape},\"data_offsets\":[{from},{to}]}}}}")
        };
        parse(&file(&tensor("[2]", 0, 16), &[0; 16])).unwrap();
        let huge = 1u64 << 61;
        let rows: &[(&str, String)] = &[
            ("more than there is", tensor("[1000000000000]", 0, 8_000_000_000_000)),
            ("shape and offsets disagree", tensor("[1000000000000]", 0, 16)),
            ("overflow", tensor("[4294967296,4294967296]", 0, 16)),
            ("nearly 2^64 bytes", tensor(&format!("[{}]", huge - 1), 0, (huge - 1) * 8)),
            ("negative", tensor("[-2]", 0, 16)),
            ("a hole in front", tensor("[1]", 8, 16)),
            ("backwards", tensor("[2]", 16, 0)),
            ("less than there is", tensor("[1]", 0, 8)),
            ("not JSON", "{".into()),
            ("deep", "[".repeat(5000)),
            ("a list", "[]".into()),
            ("empty", String::new()),
            ("metadata of numbers", "{\"__metadata__\":{\"a\":1}}".into()),
        ];
        for (claim, header) in rows {
            let bad = parse(&file(header, &[0; 16])).unwrap_err();
            assert_eq!(bad.code, "F007", "{claim}: {}", bad.message);
        }
        // Sums of tensors that pass 2^64 only together.
        let each = huge - 1;
        let many: Vec<String> = (0..8)
            .map(|i| {
                let (from, to) = (i * each, (i + 1) * each);
                format!("\"x{i}\":{{\"dtype\":\"U8\",\"shape\":[{each}],\"data_offsets\":[{from},{to}]}}")
            })
            .collect();
        assert_eq!(parse(&file(&format!("{{{}}}", many.join(",")), &[])).unwrap_err().code, "F007");
        for size in [17, u64::MAX, u64::MAX - 7, 100_000_001, 1 << 40] {
            let bytes = [&size.to_le_bytes()[..], &[b' '; 16]].concat();
            assert_eq!(parse(&bytes).unwrap_err().code, "F007", "{size}");
        }
        assert_eq!(parse(b"0123456789").unwrap_err().code, "F007");
        // Nothing in it, but of an impossible width.
        let flat = file(&tensor("[0,9000000000000000]", 0, 0), &[]);
        assert_eq!(parse(&flat).unwrap().read("x").unwrap_err().code, "F007");
        let odd = "{\"x\":{\"dtype\":\"F8_E4M3\",\"shape\":[16],\"data_offsets\":[0,16]}}";
        assert_eq!(parse(&file(odd, &[0; 16])).unwrap().read("x").unwrap_err().code, "F009");
    }

    #[test]
    fn truncated_at_every_byte() {
        let header = "{\"x\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}";
        let good = file(header, &[0; 16]);
        for n in 0..good.len() {
            assert_eq!(parse(&good[..n]).unwrap_err().code, "F007", "{n}");
        }
        assert_eq!(parse(&[good, vec![0]].concat()).unwrap_err().code, "F007");
    }

    #[test]
    fn tensors_that_cannot_be_written() {
        let dir = folder();
        let path = dir.path().join("w.safetensors");
        let x = || Array::from_slice(&[1.0f64]);
        let twice = [("a".to_owned(), x()), ("a".to_owned(), x())];
        assert_eq!(code(write_safetensors(&path, &twice, &[])), "F009");
        assert_eq!(code(write_safetensors(&path, &[("__metadata__".into(), x())], &[])), "F009");
        let keys = [("k".to_owned(), String::new()), ("k".to_owned(), String::new())];
        assert_eq!(code(write_safetensors(&path, &[], &keys)), "F009");
        assert!(!path.exists());
        write_safetensors(&path, &[], &[]).unwrap();
        assert!(list_arrays(&path).unwrap().is_empty());
    }
}
