//! A text that carries its own SHA-256: of itself, with zeros in place of the hash.

use crate::seed::sha256_hex;

/// What stands in place of the hash while it is taken.
pub const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Where the hash stands: behind the last `key`, which ends in an opening quotation mark.
pub fn place(text: &[u8], key: &str) -> Option<usize> {
    let at = text.windows(key.len()).rposition(|w| w == key.as_bytes())? + key.len();
    (text.len() >= at + ZEROS.len()).then_some(at)
}

/// The same text with zeros in place of the hash.
pub fn open(text: &[u8], key: &str) -> Option<Vec<u8>> {
    let at = place(text, key)?;
    let mut text = text.to_vec();
    text[at..at + ZEROS.len()].copy_from_slice(ZEROS.as_bytes());
    Some(text)
}

/// Puts the hash where the zeros stand.
pub fn close(text: &str, key: &str) -> String {
    match place(text.as_bytes(), key) {
        Some(at) => format!("{}{}{}", &text[..at], sha256_hex(text.as_bytes()), &text[at + ZEROS.len()..]),
        None => text.to_owned(),
    }
}
