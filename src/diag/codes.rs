//! The catalogue of codes: one line of title and a paragraph of advice each; `pulvinar explain CODE` prints it.

use super::Class;

/// One entry of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    pub code: &'static str,
    pub title: &'static str,
    /// What it means and what to try.
    pub text: &'static str,
}

/// Finds a code, in either case.
#[must_use]
pub fn explain(code: &str) -> Option<&'static Code> {
    ALL.iter().find(|c| c.code.eq_ignore_ascii_case(code))
}

/// `F...` codes are about files, `U...` about the command line, `R...` about the answer, all others about the circuit.
#[must_use]
pub fn class(code: &str) -> Class {
    match code.as_bytes().first() {
        Some(b'F') => Class::File,
        Some(b'U') => Class::Usage,
        Some(b'R') => Class::Answer,
        _ => Class::Circuit,
    }
}

macro_rules! codes {
    ($($code:ident $title:literal : $text:literal;)*) => {
        $(#[doc = $title] pub const $code: &str = stringify!($code);)*
        /// Every code, in order.
        pub const ALL: &[Code] = &[$(Code { code: stringify!($code), title: $title, text: $text }),*];
    };
}

codes! {
    F001 "file not found": "The path names no file. Relative paths inside a circuit file start at the folder of that file.";
    F002 "not a regular file": "A directory or a device was given where a file is needed.";
    F003 "file could not be read": "The operating system refused to read the file; the message says why.";
    F004 "file could not be written": "Outputs are written under a temporary name and renamed; the earlier file, if any, is untouched.";
    F005 "file is too large": "A guard against running out of memory. Tokens and weights may have at most 2^31 bytes.";
    F006 "unknown file format": "Known by their ending: .npy, .npz, .csv, .safetensors.";
    F007 "malformed file": "The header or the body is damaged or lies about its size. Nothing was allocated on its word.";
    F008 "tensor not found in the file": "Name one of the tensors the file holds.";
    F009 "wrong shape or type in a file": "The tensor does not have the shape or number type that is needed here.";
    F010 "number that is not finite": "NaN or infinity in tokens or weights.";
    F011 "output directory is not empty": "Give another -o directory, or --force to replace what is there.";
    F012 "heads that the file format cannot hold": "The native heads file holds linear, exp and power kernels with no, hebbian, decay or constant-rate delta memories.";
}
