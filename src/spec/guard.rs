//! Checks on the raw bytes of a circuit file, before a parser sees them: size, encoding, nesting.

use super::node::{MAX_BYTES, MAX_DEPTH};
use crate::diag::{Diagnostic, Span, codes};

/// The text of a circuit file, without its byte-order mark.
///
/// # Errors
/// Too large, not UTF-8, empty, nested too deep.
pub fn text(bytes: &[u8]) -> Result<&str, Diagnostic> {
    if bytes.len() > MAX_BYTES {
        return Err(Diagnostic::error(
            codes::Y008,
            "",
            format!("the file is larger than {MAX_BYTES} bytes, the most that a circuit file may have"),
        )
        .help("put large matrices into a .safetensors or .npy file and use `{file: {path: ...}}`"));
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if is_utf16(bytes) {
        return Err(Diagnostic::error(codes::Y001, "", "the file is UTF-16, not UTF-8")
            .help("save it as UTF-8 (in most editors: Save with encoding)")
            .at(Some(place(1, 1))));
    }
    let text = std::str::from_utf8(bytes).map_err(|e| not_utf8(bytes, e.valid_up_to()))?;
    if text.trim().is_empty() {
        return Err(empty());
    }
    check_depth(text)?;
    Ok(text)
}

/// The file holds nothing but blanks and comments.
pub fn empty() -> Diagnostic {
    Diagnostic::error(codes::Y002, "", "the file holds no YAML document")
        .help("start from `pulvinar new attention_mask_head`")
}

pub fn too_deep() -> Diagnostic {
    Diagnostic::error(codes::Y004, "", format!("nested deeper than {MAX_DEPTH} levels"))
        .help("a circuit needs fewer than ten levels; look for a bracket that is never closed")
}

/// With a byte-order mark, or with the zero that every second byte of plain text then is.
fn is_utf16(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xFF\xFE")
        || bytes.starts_with(b"\xFE\xFF")
        || matches!(bytes, [a, b, c, d, ..] if (*a == 0) == (*c == 0) && (*b == 0) == (*d == 0) && (*a == 0) != (*b == 0))
}

fn not_utf8(bytes: &[u8], valid: usize) -> Diagnostic {
    let before = &bytes[..valid];
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let in_line = before.rsplit(|b| *b == b'\n').next().unwrap_or_default();
    let column = String::from_utf8_lossy(in_line).chars().count() + 1;
    let bad = bytes[valid];
    Diagnostic::error(codes::Y001, "", format!("the file is not UTF-8: it holds the byte 0x{bad:02X}"))
        .help("save it as UTF-8 (in most editors: Save with encoding)")
        .at(Some(place(line, column)))
}

fn place(line: usize, column: usize) -> Span {
    let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Span { line: clamp(line), column: clamp(column), length: 1 }
}

/// Refuses deep nesting before the parser sees it: its time grows with the square of the depth.
///
/// Whether a quote opens a string depends on grammar that is not known here (`it's`, strings over several lines, text
/// blocks). Every reading that is possible is followed, with the deepest nesting of each, so no text gets deeper than
/// what is counted.
fn check_depth(text: &str) -> Result<(), Diagnostic> {
    let mut open = Readings { plain: Some(0), ..Readings::default() };
    for (number, line) in text.lines().enumerate() {
        open.start_line();
        let markers = leading_markers(line);
        let (mut previous, mut previous_visible) = ('\n', '\n');
        for (column, c) in line.chars().enumerate() {
            open.step(c, previous, previous_visible);
            if open.deepest() + markers > MAX_DEPTH {
                return Err(too_deep().at(Some(place(number + 1, column + 1))));
            }
            previous = c;
            if !c.is_whitespace() {
                previous_visible = c;
            }
        }
    }
    Ok(())
}

/// Number of `- ` or `? ` at the start of a line: each opens one more level.
fn leading_markers(line: &str) -> usize {
    line.split_whitespace().take_while(|word| *word == "-" || *word == "?").count()
}

/// Nesting by what the next character may be part of.
#[derive(Default)]
struct Readings {
    plain: Option<usize>,
    comment: Option<usize>,
    single: Option<usize>,
    double: Option<usize>,
    /// inside a double-quoted string, the next character is escaped
    escaped: bool,
}

impl Readings {
    fn deepest(&self) -> usize {
        self.plain.max(self.comment).max(self.single).max(self.double).unwrap_or(0)
    }

    fn start_line(&mut self) {
        // A text block (`|`) ends only at the start of a line, and only outside of brackets.
        self.plain = self.plain.max(self.comment.take()).max(Some(0));
        self.escaped = false;
    }

    fn step(&mut self, c: char, previous: char, previous_visible: char) {
        let (mut plain, mut single, mut double) = (self.plain, self.single, self.double);
        if let Some(depth) = self.plain {
            match c {
                '#' if previous.is_whitespace() => {
                    self.comment = self.comment.max(Some(depth));
                    plain = None;
                }
                '[' | '{' => plain = Some(depth + 1),
                ']' | '}' => plain = Some(depth.saturating_sub(1)),
                // Within a word a quote is a letter.
                '"' | '\'' if !previous.is_alphanumeric() => {
                    let starts_value = previous_visible == ':' && previous.is_whitespace()
                        || depth > 0 && matches!(previous_visible, '[' | '{' | ',');
                    if starts_value {
                        plain = None;
                    }
                    if c == '"' {
                        double = double.max(Some(depth));
                    } else {
                        single = single.max(Some(depth));
                    }
                }
                _ => {}
            }
        }
        if c == '\'' && self.single.is_some() {
            plain = plain.max(self.single);
            single = if self.single == single { None } else { single };
        }
        if self.double.is_some() {
            if self.escaped {
                self.escaped = false;
            } else if c == '\\' {
                self.escaped = true;
            } else if c == '"' {
                plain = plain.max(self.double);
                double = if self.double == double { None } else { double };
            }
        }
        (self.plain, self.single, self.double) = (plain, single, double);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_counted_whatever_quotes_pretend() {
        let deep = "[".repeat(MAX_DEPTH + 1);
        let wide = "{a: [1, 2], b: {c: \"[\", d: '{', e: it's}} # [[\n".repeat(500);
        let prose = "a: |\n  don't \"open [ this\nb: \"two\n  [lines\" \n".repeat(50);
        let rows: &[(&str, String, bool)] = &[
            ("brackets", deep.clone(), true),
            ("after an escaped backslash", format!("[\"\\\\\", {deep}"), true),
            ("after a string of two lines", format!("[\"a\n\", {deep}"), true),
            ("after a quote within a word", format!("[a-'b, {deep}"), true),
            ("after a quote on the second line of a plain text", format!("[a\n'b, {deep}"), true),
            ("after a text block with a quote", format!("a: |\n  x: \"\nb: {deep}"), true),
            ("after doubled quotes", format!("['a''b', {deep}"), true),
            ("between closing brackets in strings", "[\"]\", ".repeat(MAX_DEPTH + 1), true),
            ("inside a string", format!("a: \"{deep}\"\n"), false),
            ("inside a comment", format!("a: 1 # {deep}\n"), false),
            ("many closed brackets", wide, false),
            ("prose", prose, false),
        ];
        for (claim, text, refused) in rows {
            assert_eq!(check_depth(text).is_err(), *refused, "{claim}");
        }
    }
}
