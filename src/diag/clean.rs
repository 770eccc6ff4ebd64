//! Text of files that comes to a terminal: nothing in it may move the cursor, change colours, turn the direction of what
//! follows, or hide.

use std::borrow::Cow;
use std::fmt::Write;

/// Control characters, marks that turn the direction of text, separators of lines, and characters without width.
#[must_use]
pub fn is_unclean(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e0fff}')
}

/// One line: control characters become blanks, others that do not show become replacement characters. As many characters as before.
#[must_use]
pub fn clean(text: &str) -> Cow<'_, str> {
    replaced(text, is_unclean)
}

/// The same, but ends of lines and tabs stay.
#[must_use]
pub fn clean_lines(text: &str) -> Cow<'_, str> {
    replaced(text, |c| is_unclean(c) && c != '\n' && c != '\t')
}

fn replaced(text: &str, bad: impl Fn(char) -> bool) -> Cow<'_, str> {
    // Plain letters, most of all texts, are passed by quickly.
    if !text.chars().any(&bad) {
        return Cow::Borrowed(text);
    }
    let one = |c: char| match c {
        c if !bad(c) => c,
        c if c.is_control() => ' ',
        _ => '\u{fffd}',
    };
    Cow::Owned(text.chars().map(one).collect())
}

/// JSON text in which such characters, which can only stand within its strings, are escapes.
#[must_use]
pub fn escaped_json(json: &str) -> Cow<'_, str> {
    let bad = |c: char| is_unclean(c) && !matches!(c, '\n' | '\t' | '\r');
    if !json.chars().any(bad) {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if bad(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(c);
        }
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on() {
        let rows = [
            ("plain, mit Umlauten: ä, 漢字, 🧠", None),
            ("\u{1b}[31mred\u{7}", Some(" [31mred ")),
            ("\u{9b}31m", Some(" 31m")),
            ("a\u{202e}b\u{200b}c\u{feff}", Some("a\u{fffd}b\u{fffd}c\u{fffd}")),
            ("two\nlines\tand a tab", Some("two lines and a tab")),
            ("\u{85}\u{2028}\u{e0041}", Some(" \u{fffd}\u{fffd}")),
        ];
        for (text, want) in rows {
            assert_eq!(clean(text), want.unwrap_or(text));
            assert_eq!(clean(text).chars().count(), text.chars().count());
        }
        assert_eq!(clean_lines("a\n\tb\r\u{1b}c"), "a\n\tb  c");
        let text = serde_json::to_string("\u{7f}\u{202e}\u{e0041}\u{1b}é").expect("JSON");
        let escaped = escaped_json(&text);
        assert!(escaped.chars().all(|c| !is_unclean(c)), "{escaped}");
        assert_eq!(serde_json::from_str::<String>(&escaped).expect("JSON"), "\u{7f}\u{202e}\u{e0041}\u{1b}é");
    }
}
