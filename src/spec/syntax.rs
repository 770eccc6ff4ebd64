//! What the YAML parser says, in words and at a place that help.

use super::fields::is_name;
use super::guard::too_deep;
use super::node::{MAX_NODES, TOO_MANY};
use crate::diag::{Diagnostic, Span, codes};

/// The diagnostic for an error of the parser.
pub fn error(error: &serde_yaml::Error, text: &str) -> Diagnostic {
    let said = error.to_string();
    let span = error.location().map(|l| span(l.line(), l.column())).or_else(|| span_in(&said, 1));
    if said.contains("more than one document") {
        return Diagnostic::error(codes::Y006, "", "the file holds more than one YAML document")
            .help("keep one circuit per file: remove the `---` line")
            .at(second_document(text));
    }
    if said.contains("recursion limit") {
        return too_deep().at(span);
    }
    if said.contains(TOO_MANY) && !has_aliases(text) {
        return Diagnostic::error(codes::Y008, "", format!("the file holds more than {MAX_NODES} values"))
            .help("put large matrices into a .safetensors or .npy file and use `{file: {path: ...}}`")
            .at(span);
    }
    if said.contains("repetition limit") || said.contains(TOO_MANY) {
        return Diagnostic::error(
            codes::Y005,
            "",
            "the document grows too large when its aliases are expanded",
        )
        .help("write the repeated parts out, or use fewer aliases")
        .at(span);
    }
    if said.contains("invalid type: enum") {
        return Diagnostic::error(
            codes::Y007,
            "",
            "YAML tags (`!name`) are not part of the circuit language",
        )
        .help("write `name: value` or `{name: value}`")
        .at(span);
    }
    not_yaml(&said, span, text)
}

/// Does the text hold something like `*name`, where a value may begin?
fn has_aliases(text: &str) -> bool {
    text.match_indices('*').any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + 1..].chars().next();
        before.is_none_or(|c| c.is_whitespace() || matches!(c, '[' | '{' | ',' | ':'))
            && after.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '-')
    })
}

/// Where something was opened that never ends, the opening is the place to look at, not where the parser gave up.
fn not_yaml(said: &str, gave_up: Option<Span>, text: &str) -> Diagnostic {
    let (problem, context) = said.split_once(", while ").unwrap_or((said, ""));
    let words = problem.split(" at line ").next().unwrap_or(problem);
    let opened = span_in(context, 1);
    let noticed = gave_up.map_or(String::new(), |s| format!(" (noticed on line {})", s.line));
    let braced = opened.zip(gave_up).and_then(|(from, to)| braced(text, from, to));
    if let Some((name, place)) = braced {
        let what = format!("not valid YAML: `${{{name}}}` is not how a parameter is used");
        return Diagnostic::error(codes::Y003, "", what)
            .help(format!("write `${name}`, without braces"))
            .at(Some(place));
    }
    let (message, help, place) = if context.starts_with("scanning a quoted scalar") {
        ("the text in quotes that starts here does not end".to_owned(), "close the quotes", opened)
    } else if context.starts_with("parsing a flow sequence") {
        (
            format!("the list that `[` opens here is not closed, or lacks a comma{noticed}"),
            "close it with `]`, and put commas between its values",
            opened,
        )
    } else if context.starts_with("parsing a flow mapping") {
        (
            format!("the map that `{{` opens here is not closed, or lacks a comma{noticed}"),
            "close it with `}`, and put commas between its entries",
            opened,
        )
    } else if context.starts_with("scanning a simple key") {
        (
            "a key without `:` and a blank after it".to_owned(),
            "write `key: value`, with a blank after the colon",
            opened,
        )
    } else if at(text, gave_up) == Some('\t') {
        ("a tab where YAML wants blanks".to_owned(), "indent by blanks, not by tabs", gave_up)
    } else {
        (words.to_owned(), "check indentation, colons and closing brackets near this place", gave_up)
    };
    Diagnostic::error(codes::Y003, "", format!("not valid YAML: {message}")).help(help).at(place.or(gave_up))
}

/// The first `${name}` between two places, and where it stands: within a map or list YAML takes its braces for a map.
fn braced(text: &str, from: Span, to: Span) -> Option<(&str, Span)> {
    let first = from.line.saturating_sub(1) as usize;
    let lines = text.lines().enumerate().skip(first).take((to.line - from.line.min(to.line)) as usize + 1);
    for (i, line) in lines {
        for (at, _) in line.match_indices("${") {
            let name = line[at + 2..].split_once('}').map(|(name, _)| name).filter(|n| is_name(n));
            let column = line[..at].chars().count() + 1;
            if let Some(name) = name.filter(|_| i > first || column >= from.column as usize) {
                return Some((name, Span { length: clamp(name.len() + 3), ..span(i + 1, column) }));
            }
        }
    }
    None
}

/// The line that separates the second document.
fn second_document(text: &str) -> Option<Span> {
    let mut begun = false;
    for (i, line) in text.lines().enumerate() {
        let separator = line == "---" || line.starts_with("--- ");
        if separator && begun {
            return Some(Span { length: 3, ..span(i + 1, 1) });
        }
        let code = line.trim_start();
        begun |= separator || !code.is_empty() && !code.starts_with(['#', '%']);
    }
    None
}

/// The character at a place.
fn at(text: &str, span: Option<Span>) -> Option<char> {
    let s = span?;
    text.lines().nth(s.line.checked_sub(1)? as usize)?.chars().nth(s.column.checked_sub(1)? as usize)
}

fn clamp(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn span(line: usize, column: usize) -> Span {
    Span { line: clamp(line), column: clamp(column), length: 1 }
}

/// Takes the last `at line L column C` out of an error's text.
pub fn span_in(text: &str, length: u32) -> Option<Span> {
    let (_, tail) = text.rsplit_once("at line ")?;
    let (line, column) = tail.split_once(" column ")?;
    let digits = |s: &str| s.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok();
    Some(Span { line: digits(line)?, column: digits(column)?, length })
}

#[cfg(test)]
mod tests {
    use super::has_aliases;

    #[test]
    fn aliases_are_told_from_products_and_prose() {
        for text in ["a: *x", "[*x, *y]", "{a: *x}", "- *x-1", "a: &x 1\nb: *x\n"] {
            assert!(has_aliases(text), "{text}");
        }
        for text in ["a: 2 * 3", "a: x*y", "# a **bold** word", "a: [1, 1]", "a: '*'", "a: $mk*2"] {
            assert!(!has_aliases(text), "{text}");
        }
    }
}
