//! Sizes of words, for the last row of a lecture room, and words that lose their middle.

use crate::figures::font::{self, Face};
use crate::figures::style;

pub(super) const LABEL: f64 = style::SMALL;
pub(super) const HEADING: f64 = style::HEADING;
pub(super) const TITLE: f64 = style::TITLE;

/// How wide a label is.
pub(super) fn width(words: &str, size: f64) -> f64 {
    font::width(words, size, Face::Sans)
}

/// Words that fit, with dots in place of their middle if need be.
pub(super) fn fit(words: &str, room: f64, size: f64, face: Face) -> String {
    if font::width(words, size, face) <= room {
        return words.to_owned();
    }
    let all: Vec<char> = words.chars().collect();
    let short = |n: usize| -> String {
        let (front, back) = (n.div_ceil(2), n / 2);
        all[..front].iter().chain(&['\u{2026}']).chain(&all[all.len() - back..]).collect()
    };
    let fits = |n: &usize| font::width(&short(*n), size, face) <= room;
    // No more than the narrowest letters would let in; long texts are not tried letter by letter.
    let narrowest =
        all.iter().map(|c| font::width(c.encode_utf8(&mut [0; 4]), size, face)).filter(|w| *w > 0.0);
    let narrowest = narrowest.fold(f64::INFINITY, f64::min);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let most = ((room / narrowest).clamp(0.0, 1e9) as usize).saturating_add(1).min(all.len() - 1);
    short((0..=most).rev().find(fits).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_words_lose_their_middle() {
        assert_eq!(fit("A1.deep", 100.0, 14.0, Face::Bold), "A1.deep");
        let long = "a_very_long_area.superficial";
        let short = fit(long, 100.0, 14.0, Face::Sans);
        assert!(width(&short, 14.0) <= 100.0 && short.contains('\u{2026}'), "{short}");
        assert!(short.starts_with("a_ver") && short.ends_with("ficial"), "{short}");
        assert_eq!(fit(long, 0.0, 14.0, Face::Sans), "\u{2026}");
    }
}
