//! Finite data: sequences from a file, among them handwritten digits.
//!
//! Which sequences are held out depends on the seed alone: they are put in the order of
//! `SHA-256("pulvinar/1\0", seed as 8 bytes, "task.split.K")`, K their number in the file, and the first
//! `round(held_out x n)` are held out. A script in any language can repeat that.

use super::Split;
use super::resolve::{Finder, Resolved};
use crate::attention::Streams;
use crate::circuit::Circuit;
use crate::diag::{Diagnostic, Diagnostics, codes};
use crate::files::{Array, read_array};
use crate::seed;
use crate::spec::{DigitsSpec, FileTaskSpec};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::path::Path;

const ROWS: usize = 8;
const PIXELS: usize = 8;
const CLASSES: usize = 10;

/// All sequences.
#[derive(Clone, Debug)]
pub(super) struct Data {
    /// stream, numbers of one sequence, and those of all sequences, one after another
    arrays: Vec<(String, usize, Vec<f64>)>,
    train: Vec<u32>,
    held_out: Vec<u32>,
    /// targets are one-hot
    pub classes: bool,
}

impl Data {
    pub fn digits(
        spec: &DigitsSpec,
        circuit: &Circuit,
        folder: &Path,
    ) -> Result<(Resolved, Self), Diagnostics> {
        let mut f = Finder::new(circuit, "digits");
        let tokens = f.stream("tokens", &spec.tokens, ROWS);
        let target = f.stream("target", &spec.target, ROWS);
        let (Some(tokens), Some(target)) = (tokens, target) else { return Err(f.mistakes) };
        let width = f.d_model(tokens);
        if width != PIXELS && width != PIXELS + ROWS {
            let what = format!("stream `{}` has d_model {width}, but a row has {PIXELS} pixels", spec.tokens);
            f.wrong("tokens", what, "write `d_model: 8`, or 16 for rows that say which row they are");
        }
        f.wants_width("target", target, CLASSES, "there are as many digits as");
        let resolved = f.finish(target)?;

        let file = folder.join(&spec.path);
        let place = |d: Diagnostic| Diagnostics::from(placed(d, "task.digits.path".to_owned()));
        let images = read_array(&file, Some("images")).map_err(place)?;
        let labels = read_array(&file, Some("labels")).map_err(place)?;
        let n = labels.data.len();
        let bad = |what: String| {
            let what = format!("`{}`: {what}", file.display());
            place(Diagnostic::error(codes::F009, "", what).help(
                "`images` is [n, 64] with pixels from 0 to 16, `labels` is [n] with digits from 0 to 9",
            ))
        };
        if labels.shape != [n] || images.shape != [n, ROWS * PIXELS] {
            return Err(bad(format!("`images` is {:?} and `labels` {:?}", images.shape, labels.shape)));
        }
        if let Some(x) = images.data.iter().find(|x| !(0.0..=16.0).contains(*x)) {
            return Err(bad(format!("a pixel is {x}")));
        }
        let mut classes = Vec::with_capacity(n);
        for x in &labels.data {
            let Some(class) = (0..CLASSES).find(|c| *c as f64 == *x) else {
                return Err(bad(format!("a label is {x}")));
            };
            classes.push(class);
        }
        let mut rows = Vec::with_capacity(n * ROWS * width);
        for image in images.data.chunks_exact(ROWS * PIXELS) {
            for (number, row) in image.chunks_exact(PIXELS).enumerate() {
                rows.extend(row.iter().map(|pixel| pixel / 16.0));
                rows.extend((PIXELS..width).map(|i| f64::from(u8::from(i - PIXELS == number))));
            }
        }
        let mut targets = Vec::with_capacity(n * ROWS * CLASSES);
        for class in classes {
            for _ in 0..ROWS {
                targets.extend((0..CLASSES).map(|c| f64::from(u8::from(c == class))));
            }
        }
        let (train, held_out) = split(circuit.seed, n, spec.held_out, "task.digits.held_out")?;
        let arrays =
            vec![(spec.tokens.clone(), ROWS * width, rows), (spec.target.clone(), ROWS * CLASSES, targets)];
        Ok((resolved, Self { arrays, train, held_out, classes: true }))
    }

    pub fn file(
        spec: &FileTaskSpec,
        circuit: &Circuit,
        folder: &Path,
    ) -> Result<(Resolved, Self), Diagnostics> {
        let mut f = Finder::new(circuit, "file");
        let file = folder.join(&spec.path);
        let mut arrays: Vec<(String, usize, Vec<f64>)> = Vec::new();
        let mut target = None;
        let mut sequences = None;
        let tokens = spec.tokens.iter().map(|pair| ("tokens", pair));
        for (key, (stream, name)) in tokens.chain(spec.target.iter().map(|pair| ("target", pair))) {
            let array = match read(&file, name, stream, circuit) {
                Ok(array) => array,
                Err(d) => {
                    f.lose(stream, placed(d, format!("task.file.{key}.{stream}")));
                    continue;
                }
            };
            let n = *sequences.get_or_insert(array.shape[0]);
            if n != array.shape[0] {
                let what =
                    format!("array `{name}` has {} sequences, but the first array has {n}", array.shape[0]);
                f.wrong(
                    &format!("{key}.{stream}"),
                    what,
                    "all arrays of a task need the same number of sequences",
                );
            }
            let number = f.stream(&format!("{key}.{stream}"), stream, array.shape[1]);
            if key == "target" {
                target = number;
            }
            arrays.push((stream.to_owned(), array.shape[1] * array.shape[2], array.data));
        }
        let (Some(target), Some(n)) = (target, sequences) else { return Err(f.mistakes) };
        let resolved = f.finish(target)?;
        let (train, held_out) = split(circuit.seed, n, spec.held_out, "task.file.held_out")?;
        Ok((resolved, Self { arrays, train, held_out, classes: false }))
    }

    pub fn size(&self, split: Split) -> u64 {
        self.of(split).len() as u64
    }

    fn of(&self, split: Split) -> &[u32] {
        match split {
            Split::Train => &self.train,
            Split::HeldOut => &self.held_out,
        }
    }

    /// Sequence `index`: those to learn from in a new order each time round, held-out ones as they stand.
    pub fn fill(&self, family: &ChaCha8Rng, split: Split, index: u64, streams: &mut Streams) {
        let n = self.size(split);
        let (round, position) = (index / n, index % n);
        let position = match split {
            Split::Train => shuffled(position, n, seed::member(family, round).next_u64()),
            Split::HeldOut => position,
        };
        #[allow(clippy::cast_possible_truncation)]
        let row = self.of(split)[position as usize] as usize;
        for (name, size, numbers) in &self.arrays {
            let matrix = streams.get_mut(name).expect("the streams of `Task::sample`");
            // [n_tokens, d_model] by rows is [d_model, n_tokens] by columns.
            matrix.as_mut_slice().copy_from_slice(&numbers[row * size..][..*size]);
        }
    }
}

/// A mistake of a file, where the circuit names it.
fn placed(d: Diagnostic, path: String) -> Diagnostic {
    let help = d.help.clone().unwrap_or_else(|| "paths start at the folder of the circuit file".to_owned());
    Diagnostic { path, ..d }.help(help)
}

/// An array `[sequences, n_tokens, d_model]` of finite numbers for a stream.
fn read(file: &Path, name: &str, stream: &str, circuit: &Circuit) -> Result<Array, Diagnostic> {
    let array = read_array(file, Some(name))?;
    let wrong = |what: String| {
        Diagnostic::error(codes::F009, "", format!("`{}`: array `{name}` {what}", file.display())).help(
            "arrays of a task are [sequences, n_tokens, d_model], with one token and two sequences at least",
        )
    };
    let [n, tokens, width] = array.shape[..] else {
        return Err(wrong(format!("has shape {:?}", array.shape)));
    };
    if n < 2 || tokens == 0 || width == 0 || u32::try_from(n).is_err() {
        return Err(wrong(format!("has shape {:?}", array.shape)));
    }
    if let Some(s) = circuit.streams.iter().find(|s| s.name == stream)
        && s.d_model != width
    {
        return Err(wrong(format!(
            "has tokens of {width} numbers, but stream `{stream}` has d_model {}",
            s.d_model
        )));
    }
    array.require_finite(&format!("`{name}`")).map_err(|bad| bad.in_file(file))?;
    Ok(array)
}

/// Numbers of the sequences to learn from, and of the held-out ones, each in the order of their hashes.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn split(seed: u64, n: usize, held_out: f64, path: &str) -> Result<(Vec<u32>, Vec<u32>), Diagnostics> {
    let mut order: Vec<([u8; 32], u32)> =
        (0..n as u32).map(|k| (seed::key(seed, &format!("task.split.{k}")), k)).collect();
    order.sort_unstable();
    let held = (held_out * n as f64).round() as usize;
    if held == 0 || held >= n {
        let what =
            format!("a fraction of {held_out} of {n} sequences is {held}: both parts need one at least");
        return Err(Diagnostic::error(codes::C060, path, what)
            .help("change the fraction, or give more sequences")
            .into());
    }
    let numbers: Vec<u32> = order.into_iter().map(|(_, k)| k).collect();
    let (held, train) = numbers.split_at(held);
    Ok((train.to_vec(), held.to_vec()))
}

/// Where `position` of `n` goes in the order named by `key`: a Feistel network on the next power of 4, walked until it is back
/// below `n`. No table, so any thread finds its own sequence.
fn shuffled(position: u64, n: u64, key: u64) -> u64 {
    let half = (64 - (n - 1).leading_zeros()).div_ceil(2).max(1);
    let mask = (1u64 << half) - 1;
    let mut x = position;
    loop {
        let (mut left, mut right) = (x >> half, x & mask);
        for round in 0..6u64 {
            (left, right) = (right, left ^ (mixed(right ^ key.wrapping_add(round << 40)) & mask));
        }
        x = left << half | right;
        if x < n {
            return x;
        }
    }
}

/// The finaliser of SplitMix64 (Steele, Lea & Flood 2014).
fn mixed(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_visits_every_sequence_once() {
        for n in [1, 2, 3, 5, 16, 17, 360, 1437] {
            let mut orders = std::collections::BTreeSet::new();
            for key in [0, 1, 1 << 40, u64::MAX] {
                let order: Vec<u64> = (0..n).map(|i| shuffled(i, n, key)).collect();
                let mut sorted = order.clone();
                sorted.sort_unstable();
                assert!(sorted.into_iter().eq(0..n), "{n} sequences, key {key}");
                orders.insert(order);
            }
            assert!(n < 16 || orders.len() == 4, "{n} sequences: keys give equal orders");
        }
    }

    #[test]
    fn the_split_is_a_partition_of_the_stated_size() {
        let (train, held) = split(3, 1797, 0.2, "").unwrap();
        assert_eq!((train.len(), held.len()), (1438, 359));
        let mut all: Vec<u32> = train.iter().chain(&held).copied().collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..1797));
        assert_ne!(split(4, 1797, 0.2, "").unwrap().1, held);
        assert!(split(3, 4, 0.1, "").is_err());
        assert!(split(3, 4, 0.9, "").is_err());
    }
}
