//! The font of all pictures: DejaVu Sans with its bold and its fixed-width face, cut down to what figures need.
//!
//! Faces have no kerning, so the width of words is the sum of their advances, here as in a browser. `make.py` made
//! them; their licence stands beside them.
//!
//! **Deliberately absent:** fonts of the machine.

use ab_glyph::{Font as _, FontRef};
use std::fmt::Write as _;
use std::sync::LazyLock;

/// A face of the font.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    Sans,
    Bold,
    /// all letters as wide as each other
    Mono,
}

impl Face {
    pub const ALL: [Self; 3] = [Self::Sans, Self::Bold, Self::Mono];

    /// As in a style sheet, with what stands in where fonts of a picture are not read.
    #[must_use]
    pub fn family(self) -> &'static str {
        match self {
            Self::Sans | Self::Bold => "DejaVu Sans, Verdana, sans-serif",
            Self::Mono => "DejaVu Sans Mono, monospace",
        }
    }

    /// Outlines and advances; nothing if the embedded file were damaged.
    pub(super) fn font(self) -> Option<&'static FontRef<'static>> {
        static FACES: LazyLock<[Option<FontRef<'static>>; 3]> = LazyLock::new(|| {
            let read = |bytes: &'static [u8]| FontRef::try_from_slice(bytes).ok();
            [
                read(include_bytes!("sans.ttf")),
                read(include_bytes!("bold.ttf")),
                read(include_bytes!("mono.ttf")),
            ]
        });
        FACES[self as usize].as_ref()
    }

    fn compressed(self) -> &'static [u8] {
        match self {
            Self::Sans => include_bytes!("sans.woff2"),
            Self::Bold => include_bytes!("bold.woff2"),
            Self::Mono => include_bytes!("mono.woff2"),
        }
    }

    /// Width of a letter in em. What the face lacks a browser takes from elsewhere: as wide as it is high, at most.
    fn advance(self, c: char) -> f64 {
        let own = |face: Self| {
            let font = face.font()?;
            let id = font.glyph_id(c);
            let em = font.units_per_em()?;
            (id.0 != 0).then(|| f64::from(font.h_advance_unscaled(id)) / f64::from(em))
        };
        own(self).or_else(|| own(Self::Sans).map(|w| 1.15 * w)).unwrap_or(1.05)
    }
}

/// Width of words in the unit of `size`, the height of the font (its em).
#[must_use]
pub fn width(words: &str, size: f64, face: Face) -> f64 {
    words.chars().map(|c| face.advance(c)).sum::<f64>() * size
}

/// The longest front part of words that fits `room`, with dots in place of the rest.
#[must_use]
pub fn cut(words: &str, room: f64, size: f64, face: Face) -> String {
    if width(words, size, face) <= room {
        return words.to_owned();
    }
    let mut left = room - width("\u{2026}", size, face);
    let front = words.chars().take_while(|c| {
        left -= face.advance(*c) * size;
        left >= 0.0
    });
    format!("{}\u{2026}", front.collect::<String>().trim_end())
}

/// Lines that fit `room`; a word that does not is alone on its line.
#[must_use]
pub fn wrap(words: &str, room: f64, size: f64, face: Face) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words.split_whitespace() {
        let Some(line) = lines.last_mut() else { break };
        if !line.is_empty() && width(&format!("{line} {word}"), size, face) > room {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// Rules of a style sheet that bring the faces along.
#[must_use]
pub fn style_sheet(faces: &[Face]) -> String {
    let mut text = String::new();
    for face in faces {
        let family = if *face == Face::Mono { "DejaVu Sans Mono" } else { "DejaVu Sans" };
        let weight = if *face == Face::Bold { "bold" } else { "normal" };
        let data = base64(face.compressed());
        let _ = write!(
            text,
            "@font-face{{font-family:\"{family}\";font-weight:{weight};src:url(data:font/woff2;base64,{data}) format(\"woff2\")}}"
        );
    }
    text
}

/// Bytes as letters (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |k: usize| u32::from(three.get(k).copied().unwrap_or(0));
        let all = byte(0) << 16 | byte(1) << 8 | byte(2);
        for k in 0..4 {
            let letter = LETTERS[(all >> (18 - 6 * k) & 63) as usize];
            text.push(if k <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_the_standard() {
        for (bytes, want) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), want);
        }
        assert_eq!(base64(&[251, 255, 254]), "+//+");
    }

    /// Advances of the face as its maker states them: in units of 2048 to the em.
    #[test]
    fn widths_are_those_of_the_face() {
        for (words, units) in [("n", 1298), ("i", 569), ("m", 1995), ("0", 1303), (" ", 651), ("nim", 3862)] {
            assert!((width(words, 2048.0, Face::Sans) - f64::from(units)).abs() < 1e-9, "{words}");
        }
        assert_eq!(width("iiii", 10.0, Face::Mono), width("mmmm", 10.0, Face::Mono));
        assert!(width("rate", 10.0, Face::Bold) > width("rate", 10.0, Face::Sans));
        for face in Face::ALL {
            assert!(face.font().is_some() && width("k·q ± α × 10", 10.0, face) > 40.0);
        }
    }

    #[test]
    fn the_face_has_what_figures_write() {
        let font = Face::Sans.font().expect("whole");
        for c in
            "abcXYZ019.,;:()[]{}|/+-−×·±≈≤≥≠∞√∑∏∂∈→←↔⇒αβγδηθλμπρστφψωΔΣΦΩ⁰¹²³⁴⁵⁶⁷⁸⁹⁻₀₁₂₃ᵀᵢⱼäöüéç–—…°µ⟨⟩‖✓"
                .chars()
        {
            assert!(font.glyph_id(c).0 != 0, "{c}");
        }
    }

    #[test]
    fn words_are_cut_and_wrapped_to_their_room() {
        assert_eq!(cut("rate", 100.0, 10.0, Face::Sans), "rate");
        let short = cut("distance to the compiled heads", 60.0, 10.0, Face::Sans);
        assert!(short.starts_with("distance") && short.ends_with('\u{2026}'), "{short}");
        assert!(width(&short, 10.0, Face::Sans) <= 60.0);
        let lines = wrap("distance to the compiled heads", 60.0, 10.0, Face::Sans);
        assert!(lines.len() > 1 && lines.iter().all(|l| width(l, 10.0, Face::Sans) <= 60.0), "{lines:?}");
        assert_eq!(lines.join(" "), "distance to the compiled heads");
    }
}
