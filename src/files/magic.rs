//! What a file is by its first bytes, where it is not what its name says.
//!
//! **Deliberately absent:** reading any of these formats.

use super::Bad;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes that are looked at.
const BYTES: u64 = 512;

const SAVE: &str = "save the weights with `safetensors.torch.save_file`";

/// First bytes, what writes them, and what to do.
const KINDS: [(&[u8], &str, &str); 17] = [
    (
        b"version https://git-lfs",
        "a Git LFS pointer in place of the file",
        "run `git lfs pull` where it was cloned",
    ),
    (b"GGUF", "a GGUF file", "convert it to safetensors, or take the model that it was made from"),
    (b"ggjt", "a GGML file", "convert it to safetensors, or take the model that it was made from"),
    (b"lmgg", "a GGML file", "convert it to safetensors, or take the model that it was made from"),
    (
        b"\x93NUMPY",
        "a NumPy array (.npy)",
        "name it .npy if it holds tokens; heads are read from .safetensors",
    ),
    (
        b"\x89HDF\r\n\x1a\n",
        "an HDF5 file",
        "load it with the program that wrote it and save .npy or .safetensors",
    ),
    (b"\x1f\x8b", "compressed (gzip)", "unpack it with `gunzip`"),
    (b"\x28\xb5\x2f\xfd", "compressed (zstd)", "unpack it with `zstd -d`"),
    (b"BZh", "compressed (bzip2)", "unpack it with `bunzip2`"),
    (b"\xfd7zXZ\0", "compressed (xz)", "unpack it with `unxz`"),
    (b"\x80\x02", PICKLE, SAVE),
    (b"\x80\x03", PICKLE, SAVE),
    (b"\x80\x04", PICKLE, SAVE),
    (b"\x80\x05", PICKLE, SAVE),
    (b"\x89PNG", "a picture (PNG)", "name the file of numbers"),
    (b"%PDF", "a PDF", "name the file of numbers"),
    (b"\x7fELF", "a program", "name the file of numbers"),
];

const PICKLE: &str = "a pickle, as PyTorch writes it,";

/// The error that says what the file is, where its first bytes tell; else the one that was found.
pub(super) fn or_recognised(path: &Path, wanted: &str, found: Bad) -> Bad {
    if found.code != "F007" {
        return found;
    }
    let mut first = Vec::new();
    let read = File::open(path).and_then(|file| file.take(BYTES).read_to_end(&mut first));
    match (read, kind(&first)) {
        (Ok(_), Some((what, help))) => Bad::malformed(format!("is {what} and not {wanted}")).help(help),
        (Ok(_), None) if wanted != ".csv" && is_text(&first) => {
            Bad::malformed(format!("is text and not {wanted}")).help("name the file that holds the numbers")
        }
        _ => found,
    }
}

fn is_text(first: &[u8]) -> bool {
    first.len() >= 8 && first.iter().all(|b| matches!(b, b' '..=b'~' | b'\t' | b'\r' | b'\n'))
}

fn kind(first: &[u8]) -> Option<(&'static str, &'static str)> {
    if first.starts_with(b"PK\x03\x04") {
        return Some(zip(first));
    }
    if let Some((_, what, help)) = KINDS.iter().find(|(magic, ..)| first.starts_with(magic)) {
        return Some((what, help));
    }
    if first.get(257..262) == Some(b"ustar") {
        return Some(("an archive (tar)", "unpack it with `tar xf`"));
    }
    let text = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first).trim_ascii_start();
    let starts = |word: &str| text.get(..word.len()).is_some_and(|t| t.eq_ignore_ascii_case(word.as_bytes()));
    if ["<!doctype", "<html", "<head", "<?xml"].iter().any(|word| starts(word)) {
        return Some((
            "a web page (HTML)",
            "the download went wrong: fetch the file itself, not the page about it",
        ));
    }
    if text.first() == Some(&b'{') {
        return Some(("JSON", "name the .safetensors file, or the directory that holds it"));
    }
    // Protocol buffers: the version of the format, then the name of the program or the graph.
    if let [0x08, 1..=32, 0x12 | 0x1a | 0x22 | 0x32 | 0x3a | 0x42, ..] = first {
        return Some(("an ONNX model", "export the weights from where the model was made, as .safetensors"));
    }
    None
}

/// An archive of NumPy arrays or what `torch.save` writes, by its first member.
fn zip(first: &[u8]) -> (&'static str, &'static str) {
    let length = first.get(26..28).map_or(0, |n| usize::from(n[0]) | usize::from(n[1]) << 8);
    let member = first.get(30..(30 + length).min(first.len())).unwrap_or_default();
    if member.ends_with(b".npy") {
        return (
            "a NumPy archive (.npz)",
            "name it .npz if it holds tokens; heads are read from .safetensors",
        );
    }
    ("a PyTorch archive (zip)", SAVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_their_first_bytes() {
        let npz = [b"PK\x03\x04".as_slice(), &[0; 22], &[5, 0, 0, 0], b"a.npy", &[0; 40]].concat();
        let tar = [&[b'x'; 257][..], b"ustar\0"].concat();
        let rows: &[(&[u8], Option<&str>)] = &[
            (b"version https://git-lfs.github.com/spec/v1\noid", Some("LFS")),
            (b"\xef\xbb\xbf \n<!DocType html>", Some("HTML")),
            (b"<HTML>", Some("HTML")),
            (b"{\"error\": \"Repository not found\"}", Some("JSON")),
            (b"GGUF\x03\0\0\0", Some("GGUF")),
            (b"PK\x03\x04", Some("PyTorch archive")),
            (&npz, Some("(.npz)")),
            (&tar, Some("tar")),
            (b"\x89HDF\r\n\x1a\n\0", Some("HDF5")),
            (b"\x08\x07\x12\x07pytorch", Some("ONNX")),
            (b"\x08\x08\x3a\x10", Some("ONNX")),
            (b"\x80\x02\x8a", Some("pickle")),
            (b"", None),
            (b"P", None),
            (b"\x90\x01\0\0\0\0\0\0{\"", None),
        ];
        for (bytes, want) in rows {
            let found = kind(bytes).map(|(what, _)| what);
            match want {
                Some(word) => assert!(found.is_some_and(|f| f.contains(word)), "{bytes:?}: {found:?}"),
                None => assert_eq!(found, None, "{bytes:?}"),
            }
        }
    }
}
