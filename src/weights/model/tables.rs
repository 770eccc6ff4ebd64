//! What is added to scores for the places of two tokens: slopes (ALiBi), tables of distances (T5), tables of places in
//! a square (Swin).

use super::features::{Asked, Slopes, Whose};
use super::keys;
use crate::files::{Array, Bad};

/// What is added to the score of a pair of tokens, head by head.
#[derive(Clone, Debug, PartialEq)]
pub enum Distance {
    /// `slope * (j - i)` (Press et al. 2022)
    Slopes(Vec<f64>),
    /// a number for each class of distances (Raffel et al. 2020)
    Buckets {
        /// `[buckets, heads]`, row by row
        table: Vec<f64>,
        buckets: usize,
        heads: usize,
        /// distances from here on are one class
        farthest: usize,
        /// context tokens after the query have classes of their own
        both: bool,
    },
    /// a number for each way in a square of `side * side` tokens (Liu et al. 2021)
    Grid {
        /// `[(2 side - 1)^2, heads]`, row by row
        table: Vec<f64>,
        side: usize,
        heads: usize,
    },
}

impl Distance {
    /// What head `h` adds to the score of query token `i` and context token `j`; `None` beyond a square.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn of(&self, h: usize, i: usize, j: usize) -> Option<f64> {
        match self {
            Self::Slopes(slopes) => Some(slopes.get(h)? * (j as f64 - i as f64)),
            Self::Buckets { table, buckets, heads, farthest, both } => {
                table.get(bucket(i, j, *buckets, *farthest, *both) * heads + h).copied()
            }
            Self::Grid { table, side, heads } => {
                if i.max(j) >= side * side {
                    return None;
                }
                let way = |a: usize, b: usize| a + side - 1 - b;
                let place = way(i / side, j / side) * (2 * side - 1) + way(i % side, j % side);
                table.get(place * heads + h).copied()
            }
        }
    }

    /// Most tokens that it is known for.
    #[must_use]
    pub fn longest(&self) -> Option<usize> {
        match self {
            Self::Grid { side, .. } => Some(side * side),
            _ => None,
        }
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Slopes(_) => "scores that fall with distance (ALiBi)".to_owned(),
            Self::Buckets { buckets, .. } => format!("a table of {buckets} classes of distances"),
            Self::Grid { side, .. } => format!("a table of places in a square of {side} x {side} tokens"),
        }
    }
}

/// The class of a distance, with the single-precision logarithm of the original.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn bucket(i: usize, j: usize, buckets: usize, farthest: usize, both: bool) -> usize {
    let n = if both { buckets / 2 } else { buckets };
    let (after, distance) = match (both, j > i) {
        (true, later) => (if later { n } else { 0 }, i.abs_diff(j)),
        (false, true) => (0, 0),
        (false, false) => (0, i - j),
    };
    let exact = n / 2;
    if distance < exact.max(1) {
        return after + distance;
    }
    let exact = exact.max(1);
    let log = (distance as f32 / exact as f32).ln() / (farthest as f64 / exact as f64).ln() as f32;
    after + (exact + (log * (n - exact) as f32) as usize).min(n - 1)
}

pub(super) fn slopes(how: Slopes, asked: &Asked) -> Result<Distance, Bad> {
    let heads = asked.counts.heads;
    let largest = asked.config.number(keys::ALIBI_MAX)?.unwrap_or(8.0);
    #[allow(clippy::cast_precision_loss)]
    let power = |n: usize, k: usize| 2f64.powf(-largest * k as f64 / n as f64);
    let mut list: Vec<f64> = if how.by_two {
        let n = heads.next_power_of_two();
        let all: Vec<f64> = (1..=n).map(|k| power(n, k)).collect();
        if n == heads {
            all
        } else {
            let second = |from: usize| all.iter().skip(from).step_by(2).copied();
            second(1).chain(second(0)).take(heads).collect()
        }
    } else {
        // The largest power of two, then every second slope of twice as many.
        let n = if heads.is_power_of_two() { heads } else { heads.next_power_of_two() / 2 };
        let more = (1..).step_by(2).map(|k| power(2 * n, k));
        (1..=n).map(|k| power(n, k)).chain(more).take(heads).collect()
    };
    if how.divided {
        #[allow(clippy::cast_precision_loss)]
        let root = (asked.d_key as f64).sqrt();
        list.iter_mut().for_each(|slope| *slope /= root);
    }
    Ok(Distance::Slopes(list))
}

/// The table of a stack or of the whole model; cross-attention has none.
pub(super) fn buckets(whose: Whose, asked: &mut Asked) -> Result<Option<Distance>, Bad> {
    let end = ".relative_attention_bias.weight";
    let config = asked.config;
    let farthest = config.whole(keys::FARTHEST)?.unwrap_or(128);
    let said = config.whole(keys::BUCKETS)?.unwrap_or(32);
    // Asked for already: the tables of other stacks are not this layer's.
    let tables: Vec<String> =
        asked.entries.iter().filter(|e| e.name.ends_with(end)).map(|e| e.name.clone()).collect();
    let own = |name: &&String| whose == Whose::All || name.starts_with(&asked.stack);
    let (mine, others): (Vec<_>, Vec<_>) = tables.iter().partition(own);
    asked.read.extend(others.into_iter().cloned());
    if asked.prefix.ends_with("EncDecAttention.") {
        asked.read.extend(mine.into_iter().cloned());
        return Ok(None);
    }
    let [name] = mine[..] else {
        return Err(Bad::new(
            "F008",
            format!("{} tables `...{end}` of this stack, one is needed", mine.len()),
        )
        .help("scores of this architecture depend on distances"));
    };
    let name = name.clone();
    let heads = asked.counts.heads;
    let table = shaped(asked, &name, &[said, heads])?;
    if said < 4 || farthest < said {
        return Err(Bad::new("F009", format!("`config.json`: {said} classes of distances up to {farthest}")));
    }
    let both = !asked.causal;
    Ok(Some(Distance::Buckets { table: table.data, buckets: said, heads, farthest, both }))
}

pub(super) fn grid(asked: &mut Asked) -> Result<Distance, Bad> {
    if !asked.layer.is_multiple_of(2) {
        return Err(Bad::new(
            "F018",
            "blocks of odd number shift their windows, whose borders are masks of their own",
        )
        .help("read a block of even number: --layer 0"));
    }
    let side = asked.config.whole(keys::WINDOW)?;
    let Some(side) = side.filter(|w| (1..4096).contains(w)) else {
        return Err(Bad::new("F009", "`config.json` does not say `window_size`"));
    };
    let name = format!("{}self.relative_position_bias_table", asked.prefix);
    let heads = asked.counts.heads;
    let table = shaped(asked, &name, &[(2 * side - 1).pow(2), heads])?;
    // The index of the table is a buffer of old files.
    let index = format!("{}self.relative_position_index", asked.prefix);
    asked.read.insert(index);
    Ok(Distance::Grid { table: table.data, side, heads })
}

fn shaped(asked: &mut Asked, name: &str, needed: &[usize]) -> Result<Array, Bad> {
    match asked.tensor(name)? {
        Some(array) if array.shape == needed => Ok(array),
        Some(array) => Err(Bad::new(
            "F009",
            format!("tensor `{name}` has shape {:?}, {needed:?} is needed", array.shape),
        )),
        None => Err(Bad::new("F008", format!("no tensor `{name}`"))
            .help("scores of this architecture depend on distances")),
    }
}
