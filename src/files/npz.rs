//! NumPy's `.npz`: a zip archive of `.npy` files, stored or deflated.
//!
//! Archives are read with the `zip` crate, of which nothing but deflate is built. What an archive says about itself is
//! never trusted: an entry is inflated no further than it claims and never beyond the cap, memory grows with what
//! really came out, and checksums are verified.
//!
//! **Deliberately absent:** encryption, zip64 directories (more than 65 535 entries or 4 GB: beyond the cap
//! anyway), compression methods that NumPy does not write.

use super::{Array, Bad, Entry, MAX_BYTES, atomic_write, choose, npy};
use crate::diag::Diagnostic;
use std::collections::BTreeSet;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use zip::read::ZipFile;
use zip::result::ZipError;
use zip::write::FileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

/// What NumPy adds to the name of an array.
const SUFFIX: &str = ".npy";

/// Writes arrays by name, uncompressed; the bytes depend on nothing but the arrays and their order.
///
/// # Errors
/// `F009` if a name comes twice, shape and data disagree or the format has no such type (`bf16`), else as
/// [`atomic_write`].
pub fn write_npz(path: &Path, arrays: &[(String, Array)]) -> Result<(), Diagnostic> {
    let mut names = BTreeSet::new();
    for (name, array) in arrays {
        npy::check(array).map_err(|bad| bad.within(&format!("array `{name}`")).in_file(path))?;
        if !names.insert(name) {
            return Err(Bad::new("F009", format!("two arrays have the name `{name}`")).in_file(path));
        }
    }
    atomic_write(path, |out| {
        let mut patient = Patient { out, at: 0, end: 0, refused: None };
        let mut zip = ZipWriter::new(&mut patient);
        for (name, array) in arrays {
            let options = FileOptions::default()
                .compression_method(CompressionMethod::Stored)
                .last_modified_time(DateTime::default())
                .unix_permissions(0o644)
                .large_file(array.data.len() as u64 * 8 > MAX_BYTES);
            zip.start_file(file_name(name), options)?;
            npy::put(array, &mut zip)?;
        }
        let done = zip.finish().map(|_| ()).map_err(io::Error::from);
        drop(zip);
        patient.refused.map_or(done, Err)
    })
}

/// What the archive is written to. `ZipWriter` panics where a write fails; so the first failure is kept, and what follows it
/// goes nowhere.
struct Patient<W> {
    out: W,
    at: u64,
    end: u64,
    refused: Option<io::Error>,
}

impl<W: Write> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.refused.is_none()
            && let Err(e) = self.out.write_all(bytes)
        {
            self.refused = Some(e);
        }
        self.at += bytes.len() as u64;
        self.end = self.end.max(self.at);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.refused.is_none()
            && let Err(e) = self.out.flush()
        {
            self.refused = Some(e);
        }
        Ok(())
    }
}

impl<W: Seek> Seek for Patient<W> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.end.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::other("a place before the start"))?;
        if self.refused.is_none()
            && let Err(e) = self.out.seek(SeekFrom::Start(self.at))
        {
            self.refused = Some(e);
        }
        Ok(self.at)
    }
}

/// Reads one array of an archive.
pub(super) fn read(file: impl Read + Seek, name: Option<&str>) -> Result<Array, Bad> {
    let mut zip = open(BufReader::new(file))?;
    let name = choose(&names(&zip), name)?;
    member(&mut zip, &name, |entry, length| {
        let array = npy::read_from(entry, length, false)?;
        // Reading past the end makes the container compare the checksum.
        match entry.read(&mut [0])? {
            0 => Ok(array),
            _ => Err(Bad::malformed("holds more bytes than it claims")),
        }
    })
}

/// Names, shapes and types, sorted by name.
pub(super) fn list(file: impl Read + Seek) -> Result<Vec<Entry>, Bad> {
    let mut zip = open(BufReader::new(file))?;
    names(&zip)
        .into_iter()
        .map(|name| match member(&mut zip, &name, |entry, length| npy::entry_of(entry, length)) {
            Ok((shape, dtype)) => Ok(Entry { name, shape, dtype: dtype.name().to_owned() }),
            Err(bad) if bad.code == "F009" => {
                Ok(Entry { name, shape: Vec::new(), dtype: "unreadable".to_owned() })
            }
            Err(bad) => Err(bad),
        })
        .collect()
}

/// File of an array in the archive.
fn file_name(array: &str) -> String {
    format!("{array}{SUFFIX}")
}

fn names<R: Read + Seek>(zip: &ZipArchive<R>) -> Vec<String> {
    let names: BTreeSet<&str> = zip.file_names().filter_map(|file| file.strip_suffix(SUFFIX)).collect();
    names.into_iter().map(str::to_owned).collect()
}

/// Runs `use_it` on one entry, which yields at most the length that it claims, plus one byte.
fn member<R: Read + Seek, T>(
    zip: &mut ZipArchive<R>,
    name: &str,
    use_it: impl FnOnce(&mut io::Take<ZipFile<'_>>, u64) -> Result<T, Bad>,
) -> Result<T, Bad> {
    let place = |bad: Bad| bad.within(&format!("array `{name}`"));
    let entry = zip.by_name(&file_name(name)).map_err(|e| place(zip_bad(e)))?;
    let length = entry.size();
    if length > MAX_BYTES {
        return Err(place(
            Bad::new("F005", format!("claims {length} bytes, more than {MAX_BYTES}"))
                .help("split it, or store it with fewer or smaller numbers"),
        ));
    }
    use_it(&mut entry.take(length + 1), length).map_err(place)
}

fn zip_bad(error: ZipError) -> Bad {
    match error {
        ZipError::Io(e) => e.into(),
        ZipError::UnsupportedArchive(what) => {
            Bad::malformed(format!("is no archive that NumPy writes: {what}"))
                .help("write it with numpy.savez or savez_compressed")
        }
        other => Bad::malformed(format!("is no archive that can be read: {other}")),
    }
}

fn open<R: Read + Seek>(mut file: R) -> Result<ZipArchive<R>, Bad> {
    refuse_zip64(&mut file)?;
    ZipArchive::new(file).map_err(zip_bad)
}

/// A zip64 directory may claim any number of entries, for which the container would set memory aside.
fn refuse_zip64<R: Read + Seek>(file: &mut R) -> Result<(), Bad> {
    const END: &[u8] = b"PK\x05\x06";
    const LOCATOR: &[u8] = b"PK\x06\x07";
    let length = file.seek(SeekFrom::End(0))?;
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(length.saturating_sub(20 + 22 + 0xffff)))?;
    file.take(1 << 17).read_to_end(&mut tail)?;
    let end = tail.windows(4).rposition(|w| w == END);
    let Some(end) = end else {
        return Err(Bad::malformed("is no .npz file: it has no zip directory"));
    };
    // The container looks for the locator just before the end record.
    if end >= 20 && tail[end - 20..].starts_with(LOCATOR) {
        return Err(
            Bad::malformed("has a zip64 directory").help("write fewer than 65535 arrays, 4 GB in all")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{code, folder};
    use super::super::{Dtype, list_arrays, read_array};
    use super::*;
    use std::fs;
    use std::io::{Cursor, Write};

    /// An archive made by hand.
    fn archive(entries: &[(&str, &[u8], CompressionMethod)]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes, method) in entries {
            zip.start_file(*name, FileOptions::default().compression_method(*method)).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn npy_bytes(array: &Array) -> Vec<u8> {
        let mut bytes = Vec::new();
        npy::put(array, &mut bytes).unwrap();
        bytes
    }

    fn parse(bytes: &[u8], name: Option<&str>) -> Result<Array, Bad> {
        read(Cursor::new(bytes), name)
    }

    #[test]
    fn round_trip_by_name() {
        let dir = folder();
        let path = dir.path().join("traces.npz");
        let a = Array::from_slice(&[1.0f64, -2.5]);
        let b = Array { shape: vec![1, 3], data: vec![1.0, 2.0, 3.0], dtype: Dtype::F32 };
        write_npz(&path, &[("rate".into(), a.clone()), ("a/b c".into(), b.clone())]).unwrap();
        assert_eq!(read_array(&path, Some("rate")).unwrap(), a);
        assert_eq!(read_array(&path, Some("a/b c")).unwrap(), b);
        let list = list_arrays(&path).unwrap();
        assert_eq!(list.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), ["a/b c", "rate"]);
        assert_eq!((list[0].shape.clone(), list[0].dtype.as_str()), (vec![1, 3], "f32"));
        let bytes = fs::read(&path).unwrap();
        write_npz(&path, &[("rate".into(), a.clone()), ("a/b c".into(), b)]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes);

        let error = read_array(&path, Some("rats")).unwrap_err();
        assert_eq!(error.code, "F008");
        assert!(error.help.unwrap().contains("did you mean `rate`?"));
        assert!(read_array(&path, None).unwrap_err().help.unwrap().contains("`a/b c`, `rate`"));
        write_npz(&path, &[("only".into(), a.clone())]).unwrap();
        assert_eq!(read_array(&path, None).unwrap(), a);
        write_npz(&path, &[]).unwrap();
        assert_eq!(code(read_array(&path, None)), "F008");
        assert_eq!(code(write_npz(&path, &[("x".into(), a.clone()), ("x".into(), a)])), "F009");
    }

    #[test]
    fn compressed_archives_and_bystanders() {
        let array = Array { shape: vec![1000], data: vec![1.0; 1000], dtype: Dtype::F64 };
        let bytes = npy_bytes(&array);
        let good = archive(&[
            ("x.npy", &bytes, CompressionMethod::Deflated),
            ("readme.txt", b"hello", CompressionMethod::Stored),
        ]);
        assert_eq!(parse(&good, None).unwrap(), array);
        // bzip2 is method 12; the method stands 10 bytes into an entry of the directory.
        let mut odd = archive(&[("x.npy", &bytes, CompressionMethod::Stored)]);
        let at = odd.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap() + 10;
        odd[at..at + 2].copy_from_slice(&12u16.to_le_bytes());
        let error = parse(&odd, None).unwrap_err();
        assert_eq!(error.code, "F007");
        assert!(error.message.contains("Compression method"), "{}", error.message);
        let empty = archive(&[("x.npy", b"", CompressionMethod::Deflated)]);
        assert_eq!(parse(&empty, None).unwrap_err().code, "F007");
        for n in 0..good.len() {
            assert_eq!(parse(&good[..n], None).unwrap_err().code, "F007", "{n}");
        }
    }

    /// The uncompressed size stands in the central directory, 24 bytes after its signature.
    fn claim(archive: &mut [u8], size: u32) {
        let at = archive.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
        archive[at + 24..at + 28].copy_from_slice(&size.to_le_bytes());
    }

    #[test]
    fn bombs_and_lies() {
        // 64 MB of zeros in 64 kB, under a header for one number.
        let mut bytes = npy_bytes(&Array::from_slice(&[1.0f64]));
        let honest = bytes.len();
        bytes.resize(1 << 26, 0);
        let mut bomb = archive(&[("x.npy", &bytes, CompressionMethod::Deflated)]);
        assert!(bomb.len() < 1 << 17);
        assert_eq!(parse(&bomb, None).unwrap_err().code, "F007");
        // Claims the honest size, inflates to more.
        claim(&mut bomb, u32::try_from(honest).unwrap());
        let error = parse(&bomb, None).unwrap_err();
        assert_eq!(error.code, "F007");
        assert!(error.message.contains("more bytes than it claims"), "{}", error.message);
        // Claims beyond the cap.
        claim(&mut bomb, u32::MAX - 1);
        assert_eq!(parse(&bomb, None).unwrap_err().code, "F005");
        // Header and directory agree on 2 GB that are not there.
        let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (268435455, 1), }\n";
        let mut lie = [b"\x93NUMPY\x01\0", &u16::try_from(header.len()).unwrap().to_le_bytes()[..]].concat();
        lie.extend(header.as_bytes());
        let size = lie.len() as u64 + 268_435_455 * 8;
        lie.extend([0; 64]);
        let mut lie = archive(&[("x.npy", &lie, CompressionMethod::Deflated)]);
        if size <= MAX_BYTES {
            claim(&mut lie, u32::try_from(size).unwrap());
        }
        assert_eq!(parse(&lie, None).unwrap_err().code, "F007");
    }

    #[test]
    fn damaged_bodies_fail_the_checksum() {
        let bytes = npy_bytes(&Array::from_slice(&[1.0f64; 16]));
        let mut bad = archive(&[("x.npy", &bytes, CompressionMethod::Stored)]);
        let at = bad.windows(8).position(|w| w == 1f64.to_le_bytes()).unwrap();
        bad[at] ^= 1;
        assert_eq!(parse(&bad, None).unwrap_err().code, "F007");
    }

    #[test]
    fn zip64_directories_are_refused() {
        let mut bytes = vec![0; 64];
        bytes.extend(b"PK\x06\x07");
        bytes.extend([0; 16]);
        bytes.extend(b"PK\x05\x06");
        bytes.extend([0; 18]);
        let error = parse(&bytes, None).unwrap_err();
        assert!(error.message.contains("zip64"), "{}", error.message);
        assert_eq!(parse(b"0123456789", None).unwrap_err().code, "F007");
        assert_eq!(parse(b"", None).unwrap_err().code, "F007");
    }
}
