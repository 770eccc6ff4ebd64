//! Which context tokens a query token sees.

use serde::{Serialize, Serializer, ser::SerializeMap};
use std::borrow::Cow;
use std::ops::Range;

/// Which context tokens `j` a query token `i` sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mask {
    /// every token
    Full,
    /// `j <= i`
    Causal,
    /// `j < i`
    Strict,
    /// `|i - j| <= W`
    FullWindow(usize),
    /// `i - W < j <= i`: the last W tokens
    CausalWindow(usize),
    /// `i - W <= j < i`: the W tokens before
    StrictWindow(usize),
}

impl Mask {
    /// Those without a window.
    pub const WHOLE: [Self; 3] = [Self::Full, Self::Causal, Self::Strict];

    /// `full`, `causal`, `strict`: without the window.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Full | Self::FullWindow(_) => "full",
            Self::Causal | Self::CausalWindow(_) => "causal",
            Self::Strict | Self::StrictWindow(_) => "strict",
        }
    }

    /// `full`, `causal`, `strict`, with a window `causal:4`.
    #[must_use]
    pub fn name(self) -> Cow<'static, str> {
        match self.window() {
            None => Cow::Borrowed(self.word()),
            Some(w) => Cow::Owned(format!("{}:{w}", self.word())),
        }
    }

    /// One sentence for users.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Full => "all j",
            Self::Causal => "j <= i",
            Self::Strict => "j < i",
            Self::FullWindow(_) => "|i - j| <= W",
            Self::CausalWindow(_) => "i - W < j <= i",
            Self::StrictWindow(_) => "i - W <= j < i",
        }
    }

    /// `W`, if it has a window.
    #[must_use]
    pub fn window(self) -> Option<usize> {
        match self {
            Self::Full | Self::Causal | Self::Strict => None,
            Self::FullWindow(w) | Self::CausalWindow(w) | Self::StrictWindow(w) => Some(w),
        }
    }

    /// The same without its window.
    #[must_use]
    pub fn whole(self) -> Self {
        match self {
            Self::Full | Self::FullWindow(_) => Self::Full,
            Self::Causal | Self::CausalWindow(_) => Self::Causal,
            Self::Strict | Self::StrictWindow(_) => Self::Strict,
        }
    }

    /// The same with a window of `w` tokens.
    #[must_use]
    pub fn within(self, w: usize) -> Self {
        match self.whole() {
            Self::Causal => Self::CausalWindow(w),
            Self::Strict => Self::StrictWindow(w),
            _ => Self::FullWindow(w),
        }
    }

    /// Whether tokens see later ones.
    #[must_use]
    pub fn looks_ahead(self) -> bool {
        self.whole() == Self::Full
    }

    /// Smallest and largest `j - i`; `None` is without end.
    fn reach(self) -> (Option<i64>, Option<i64>) {
        let far = |w: usize| i64::try_from(w).unwrap_or(i64::MAX);
        match self {
            Self::Full => (None, None),
            Self::Causal => (None, Some(0)),
            Self::Strict => (None, Some(-1)),
            Self::FullWindow(w) => (Some(-far(w)), Some(far(w))),
            Self::CausalWindow(w) => (Some(1 - far(w)), Some(0)),
            Self::StrictWindow(w) => (Some(-far(w)), Some(-1)),
        }
    }

    /// The context tokens that query token `i` sees, of `n`: they lie side by side.
    #[must_use]
    pub fn seen(self, i: usize, n: usize) -> Range<usize> {
        let (first, end) = match self {
            Self::Full => (0, n),
            Self::Causal => (0, i.saturating_add(1)),
            Self::Strict => (0, i),
            Self::FullWindow(w) => (i.saturating_sub(w), i.saturating_add(w).saturating_add(1)),
            Self::CausalWindow(w) => (i.saturating_add(1).saturating_sub(w), i.saturating_add(1)),
            Self::StrictWindow(w) => (i.saturating_sub(w), i),
        };
        let end = end.min(n);
        first.min(end)..end
    }

    /// Whether query token `i` sees context token `j`, of `n`.
    #[must_use]
    pub fn sees(self, i: usize, j: usize, n: usize) -> bool {
        self.seen(i, n).contains(&j)
    }

    /// The query tokens, of `n`, that see context token `j`: they lie side by side.
    #[must_use]
    pub fn seeing(self, j: usize, n: usize) -> Range<usize> {
        let (first, end) = match self {
            Self::Full => (0, n),
            Self::Causal => (j, n),
            Self::Strict => (j.saturating_add(1), n),
            Self::FullWindow(w) => (j.saturating_sub(w), j.saturating_add(w).saturating_add(1)),
            Self::CausalWindow(w) => (j, j.saturating_add(w)),
            Self::StrictWindow(w) => (j.saturating_add(1), j.saturating_add(w).saturating_add(1)),
        };
        let end = end.min(n);
        first.min(end)..end
    }

    /// Whether all its pairs are pairs of `other`, whatever the number of tokens.
    #[must_use]
    pub fn narrows(self, other: Self) -> bool {
        let ((first, last), (other_first, other_last)) = (self.reach(), other.reach());
        let above = other_first.is_none_or(|o| first.is_some_and(|f| f >= o));
        let below = other_last.is_none_or(|o| last.is_some_and(|l| l <= o));
        above && below
    }
}

/// As circuit files write it: `causal`, or `{causal: {window: 4}}`.
impl Serialize for Mask {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Window {
            window: usize,
        }
        let Some(window) = self.window() else { return serializer.serialize_str(self.word()) };
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.word(), &Window { window })?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const N: usize = 9;

    fn all() -> Vec<Mask> {
        let windows = Mask::WHOLE.into_iter().flat_map(|m| [1, 2, 3, 20].map(|w| m.within(w)));
        Mask::WHOLE.into_iter().chain(windows).collect()
    }

    /// Word by word from the reference of the language.
    fn sees(mask: Mask, i: usize, j: usize) -> bool {
        match mask {
            Mask::Full => true,
            Mask::Causal => j <= i,
            Mask::Strict => j < i,
            Mask::FullWindow(w) => i.abs_diff(j) <= w,
            Mask::CausalWindow(w) => i < j + w && j <= i,
            Mask::StrictWindow(w) => i <= j + w && j < i,
        }
    }

    #[test]
    fn tokens_that_are_seen_lie_side_by_side() {
        for mask in all() {
            for i in 0..N {
                for j in 0..N {
                    let want = sees(mask, i, j);
                    assert_eq!(mask.sees(i, j, N), want, "{mask:?} {i} {j}");
                    assert_eq!(mask.seen(i, N).contains(&j), want, "{mask:?} {i} {j}");
                    assert_eq!(mask.seeing(j, N).contains(&i), want, "{mask:?} {i} {j}");
                }
            }
        }
        assert_eq!(Mask::CausalWindow(usize::MAX).seen(3, 9), 0..4);
        assert_eq!(Mask::FullWindow(usize::MAX).seeing(3, 9), 0..9);
        assert!(Mask::StrictWindow(2).seen(9, 4).is_empty(), "beyond the context");
    }

    #[test]
    fn a_mask_narrows_another_if_its_pairs_are_a_subset() {
        // Of many tokens, since two masks may agree on few.
        let n = 60;
        for a in all() {
            for b in all() {
                let subset = (0..n).all(|i| (0..n).all(|j| !sees(a, i, j) || sees(b, i, j)));
                assert_eq!(a.narrows(b), subset, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn names_say_the_window() {
        assert_eq!(Mask::Causal.name(), "causal");
        assert_eq!(Mask::StrictWindow(4).name(), "strict:4");
        let text = |m: Mask| serde_json::to_string(&m).unwrap();
        assert_eq!(text(Mask::Full), r#""full""#);
        assert_eq!(text(Mask::FullWindow(2)), r#"{"full":{"window":2}}"#);
        for mask in all() {
            assert_eq!(mask.whole().name(), mask.word());
            assert_eq!(mask.window().map_or(mask, |w| mask.whole().within(w)), mask);
        }
    }
}
