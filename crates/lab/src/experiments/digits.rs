//! Retrieval of handwritten digits from corrupted ones.
//!
//! Images are centred (the mean of all images is taken off) and brought to length 1; a cue keeps some of the pixels, the
//! others are those of the mean image. Stored images are keys and values at once. An answer counts as right if no other stored
//! image is nearer to it, by cosine, than the one that the cue came from. The first draw of each row is compared with the
//! memory by its definition (`loops`).

use super::capacity::repeated;
use super::draw::Mean;
use super::hopfield::weights;
use super::loops::stored;
use super::memory::{Memory, Rule, memories, width};
use super::report::{Cell, Digits, Report, Table};
use super::setup::{Setup, room, unfit};
use nalgebra::{DMatrix, DVector};
use pulvinar::diag::{Diagnostic, Diagnostics};
use pulvinar::files::read_tokens;
use pulvinar::linalg::count;
use pulvinar::seed;
use rand_chacha::ChaCha8Rng;

/// Most cues of one draw, and how many of the first draw are kept as examples.
const ASKED: usize = 64;
const EXAMPLES: usize = 3;
/// Largest difference to the memory by its definition, relative to the largest answer.
const SAME: f64 = 1e-10;

pub fn run(setup: &Setup<'_>) -> Result<Report, Diagnostics> {
    let document = setup.document(&[])?;
    let plan = setup.plan(&document, |p| p.digits.clone())?;
    let trials = setup.trials.unwrap_or(plan.trials);
    let seed = document.spec.seed;
    let Images { centred: images, mean, length } = images(&document.folder.join(&plan.path))?;
    let document = setup.document(&[("d", images.nrows().to_string())])?;
    for stream in ["cue", "key", "value"] {
        let n = width(&document, stream)?;
        if n != images.nrows() {
            let what =
                format!("images have {} pixels, but the stream `{stream}` has {n} numbers", images.nrows());
            return Err(unfit(&format!("tokens.streams.{stream}.d_model"), what)
                .help("let cues, keys and values have $d numbers: the experiment sets the parameter `d`")
                .into());
        }
    }
    let memories = memories(&document)?;
    let mut report = Report { seed, circuit: document.spec.name.clone(), ..Report::default() };
    let mut table = Table::new(
        "digits",
        format!("right answers to cues that keep a part of the pixels (of {} images)", images.ncols()),
        &[
            ("stored", Digits::Short),
            ("kept", Digits::Short),
            ("memory", Digits::Short),
            ("passes", Digits::Short),
            ("right", Digits::Short),
            ("se", Digits::Short),
            ("against_loops", Digits::Rounding),
        ],
    );
    let mut examples = Table::new(
        "examples",
        "pixels of stored images, cues and answers: answers are brought to the length of the stored image",
        &[
            ("stored", Digits::Short),
            ("kept", Digits::Short),
            ("cue", Digits::Short),
            ("image", Digits::Short),
            ("pixel", Digits::Short),
            ("value", Digits::Short),
        ],
    );
    examples.hidden = true;
    for &n in &plan.stored {
        if n > images.ncols() {
            return Err(unfit(
                "protocol.digits.stored",
                format!("{n} images cannot be stored: there are {}", images.ncols()),
            )
            .help("store fewer, or give a file with more")
            .into());
        }
        room(images.nrows(), n.saturating_mul(plan.passes))?;
        for kept in &plan.kept {
            let all = setup.trials(seed, &format!("n{n}.kept{kept}"), trials, |trial, rng| {
                let chosen = chosen(images.ncols(), n, rng);
                let keys = DMatrix::from_fn(images.nrows(), n, |i, j| images[(i, chosen[j])]);
                let cues = DMatrix::from_fn(keys.nrows(), n.min(ASKED), |i, j| {
                    let is_kept = *kept >= 1.0 || seed::uniform(rng, 0.0, 1.0) < *kept;
                    if is_kept { keys[(i, j)] } else { 0.0 }
                });
                let mut drawn = Drawn { found: Vec::with_capacity(memories.len()), shown: Vec::new() };
                let mut show = |name: &str, answers: &DMatrix<f64>| {
                    for (cue, chosen) in chosen.iter().take(EXAMPLES.min(answers.ncols())).enumerate() {
                        let answer = answers.column(cue);
                        let size = if name == "cue" { 1.0 } else { answer.norm() };
                        let scale = if size > 0.0 { length[*chosen] / size } else { 0.0 };
                        drawn.shown.push((cue, name.to_owned(), &mean + answer * scale));
                    }
                };
                if trial == 0 {
                    show("stored", &keys);
                    show("cue", &cues);
                }
                for memory in &memories {
                    let told = repeated(&keys, passes(memory, plan.passes));
                    let got = memory.recall(&cues, &told, &told)?;
                    let apart = if trial == 0 { apart(memory, &got, &cues, &told) } else { None };
                    if trial == 0 {
                        show(&memory.name, &got);
                    }
                    drawn.found.push((right(&got, &keys), apart));
                }
                Ok(drawn)
            })?;
            for (cue, image, pixels) in all.first().iter().flat_map(|drawn| &drawn.shown) {
                for (pixel, value) in pixels.iter().enumerate() {
                    let place =
                        [Cell::Count(n), Cell::Number(*kept), Cell::Count(*cue), Cell::Text(image.clone())];
                    examples
                        .rows
                        .push(place.into_iter().chain([Cell::Count(pixel), Cell::Number(*value)]).collect());
                }
            }
            for (number, memory) in memories.iter().enumerate() {
                let accuracy = Mean::of(&all.iter().map(|t| t.found[number].0).collect::<Vec<_>>());
                let apart = match all[0].found[number].1 {
                    None => Cell::None,
                    Some(apart) => {
                        let what = format!("{} by loops, {n} images, {kept} kept", memory.name);
                        let [apart, _] = report.judge_exact(what, apart, 0.0, SAME);
                        apart
                    }
                };
                table.rows.push(vec![
                    Cell::Count(n),
                    Cell::Number(*kept),
                    Cell::Text(memory.name.clone()),
                    Cell::Count(passes(memory, plan.passes)),
                    Cell::Number(accuracy.mean),
                    Cell::Number(accuracy.se),
                    apart,
                ]);
            }
        }
    }
    report.tables.extend([table, examples]);
    Ok(report)
}

/// What one draw gives.
struct Drawn {
    /// for each memory: right answers, and the distance to its definition
    found: Vec<(f64, Option<f64>)>,
    /// cue, what it is, pixels
    shown: Vec<(usize, String, DVector<f64>)>,
}

/// Only a memory that corrects itself gains from a second look.
fn passes(memory: &Memory, passes: usize) -> usize {
    if memory.kind == "delta" { passes } else { 1 }
}

/// Centred images of length 1, one per column, and what brings them back.
struct Images {
    centred: DMatrix<f64>,
    mean: DVector<f64>,
    length: Vec<f64>,
}

fn images(path: &std::path::Path) -> Result<Images, Diagnostic> {
    let mut centred = read_tokens(path, Some("images"))?;
    let mean = centred.column_mean();
    let mut length = Vec::with_capacity(centred.ncols());
    for mut image in centred.column_iter_mut() {
        image -= &mean;
        let size = image.norm();
        length.push(size);
        if size > 0.0 {
            image /= size;
        }
    }
    Ok(Images { centred, mean, length })
}

/// `n` different numbers below `all`, in random order.
fn chosen(all: usize, n: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..all).collect();
    for i in 0..n {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let j = (i + (seed::uniform(rng, 0.0, 1.0) * count(all - i)) as usize).min(all - 1);
        numbers.swap(i, j);
    }
    numbers.truncate(n);
    numbers
}

/// Fraction of answers to which no stored image is nearer than their own.
fn right(got: &DMatrix<f64>, keys: &DMatrix<f64>) -> f64 {
    let overlaps = keys.transpose() * got;
    let is_right = |j: usize| (0..keys.ncols()).all(|i| overlaps[(i, j)] <= overlaps[(j, j)]);
    count((0..got.ncols()).filter(|j| is_right(*j)).count()) / count(got.ncols())
}

/// Distance to the memory by its definition, where it has one.
fn apart(memory: &Memory, got: &DMatrix<f64>, cues: &DMatrix<f64>, told: &DMatrix<f64>) -> Option<f64> {
    let want = match (memory.rule(), memory.beta()) {
        (Some(rule @ (Rule::Hebbian | Rule::Decay(_) | Rule::Delta(_))), _) => {
            stored(rule, told, told) * cues
        }
        (None, Some(beta)) => {
            let mut want = DMatrix::zeros(told.nrows(), cues.ncols());
            for (j, cue) in cues.column_iter().enumerate() {
                want.set_column(j, &(told * weights(told, &cue.into_owned(), beta)));
            }
            want
        }
        (None, None) => return None,
    };
    Some((got - &want).amax() / want.amax())
}
