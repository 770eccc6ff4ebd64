//! Rotary positions: which cells of queries and keys turn together, and how fast, as `transformers` computes it.
//!
//! Su et al. 2021 (RoFormer); scaled: linear (Chen et al. 2023), dynamic NTK, yarn (Peng et al. 2023), longrope (Ding et al.
//! 2024), llama3.

use super::config::Config;
use super::features::{Asked, Dims, Rope, unknown};
use super::keys::{self, Key};
use crate::files::Bad;
use std::f64::consts::TAU;

/// Which cells are rotated together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// cell `f` with cell `f + dims/2`
    Halves,
    /// cell `2 f` with cell `2 f + 1`
    Pairs,
}

/// Cell pairs of queries and keys turn by `frequency * position`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotary {
    pub pairing: Pairing,
    /// cells of each head that turn, from the first
    pub dims: usize,
    /// in radians per token, `dims/2` of them
    pub frequencies: Vec<f64>,
    /// the base, where frequencies are its powers: `theta^(-2 f / dims)`
    pub theta: Option<f64>,
    /// of cosines and sines
    pub scale: f64,
    /// the length that the frequencies are right for, where they depend on it
    pub length: Option<usize>,
}

impl Rotary {
    pub(super) fn name(&self) -> String {
        let how = match self.pairing {
            Pairing::Halves => "halves",
            Pairing::Pairs => "pairs",
        };
        format!("rotary positions ({} cells, {how})", self.dims)
    }
}

/// Keys of the layers without a window, or with one, where each has its own.
struct Keys {
    theta: &'static Key,
    kind: &'static Key,
    factor: &'static Key,
    needs_theta: bool,
}

/// All that may be said of rotary positions.
pub(super) const KEYS: &[&Key] = &[
    keys::THETA,
    keys::THETA_FULL,
    keys::THETA_SLIDING,
    keys::ROPE_TYPE,
    keys::ROPE_TYPE_FULL,
    keys::ROPE_TYPE_SLIDING,
    keys::PARTIAL,
    keys::ROTARY_DIM,
    keys::NO_ROPE_EVERY,
];

pub(super) fn find(rope: Rope, windowed: bool, asked: &mut Asked) -> Result<Rotary, Bad> {
    let config = asked.config;
    let dims = match rope.dims {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        Dims::Share(usual) => {
            let share = config.number(keys::PARTIAL)?.unwrap_or(usual);
            if !(0.0..=1.0).contains(&share) {
                return Err(Bad::new(
                    "F009",
                    format!("`config.json`: {share} is no share of a head that is rotated"),
                ));
            }
            (asked.d_key as f64 * share) as usize
        }
        Dims::Key => config.whole(keys::ROTARY_DIM)?.unwrap_or(asked.d_key),
    };
    if dims == 0 || dims > asked.d_key || !dims.is_multiple_of(2) {
        return Err(Bad::new(
            "F009",
            format!("{dims} cells of a head of {} cannot be rotated in pairs", asked.d_key),
        ));
    }
    let plain = Keys { theta: keys::THETA, kind: keys::ROPE_TYPE, factor: keys::FACTOR, needs_theta: false };
    let own = |theta, kind| Keys { theta, kind, factor: keys::FACTOR_FULL, needs_theta: true };
    let full = own(keys::THETA_FULL, keys::ROPE_TYPE_FULL);
    let sliding = own(keys::THETA_SLIDING, keys::ROPE_TYPE_SLIDING);
    let used = match (rope.by_window, windowed) {
        (false, _) => plain,
        (true, here) => {
            // The other kind of layers is understood as well.
            config.know(&[full.theta, full.kind, sliding.theta, sliding.kind]);
            if here { sliding } else { full }
        }
    };
    let (theta, frequencies, scale, fixed) = frequencies(&used, dims, config, asked.length)?;
    let rotary = Rotary {
        pairing: rope.pairing,
        dims,
        frequencies,
        theta,
        scale,
        length: if fixed { asked.length } else { None },
    };
    buffers(&rotary, asked)?;
    Ok(rotary)
}

/// Base where they are its powers, frequencies, scale, and whether they depend on the length.
type Turns = (Option<f64>, Vec<f64>, f64, bool);

#[allow(clippy::cast_precision_loss)]
fn frequencies(used: &Keys, dims: usize, config: &Config, length: Option<usize>) -> Result<Turns, Bad> {
    let theta = match config.number(used.theta)? {
        Some(theta) => theta,
        None if used.needs_theta => return Err(missing(used.theta.names[0])),
        None => 10_000.0,
    };
    if !(theta.is_finite() && theta > 0.0) {
        return Err(Bad::new("F009", format!("`config.json`: {theta} is no base of rotary frequencies")));
    }
    let (n, d) = (dims / 2, dims as f64);
    let powers = |theta: f64| (0..n).map(|f| theta.powf(-2.0 * f as f64 / d)).collect::<Vec<f64>>();
    let number = |key: &'static Key| config.number(key)?.ok_or_else(|| missing(key.names[0]));
    let needs_length = |kind: &str| {
        Bad::new(
            "F018",
            format!("`config.json`: rotary frequencies of type `{kind}` depend on the number of tokens"),
        )
        .help("fix it: --length N")
    };
    Ok(match config.word(used.kind)?.unwrap_or("default") {
        "default" => (Some(theta), powers(theta), 1.0, false),
        "linear" => {
            let factor = number(used.factor)?;
            (None, powers(theta).iter().map(|f| f / factor).collect(), 1.0, false)
        }
        "dynamic" if !used.needs_theta => {
            let (factor, longest) = (number(keys::FACTOR)?, number(keys::LONGEST)?);
            let length = length.ok_or_else(|| needs_length("dynamic"))? as f64;
            let stretched = factor * length.max(longest) / longest - (factor - 1.0);
            let base = theta * stretched.powf(d / (d - 2.0));
            (None, powers(base), 1.0, true)
        }
        "yarn" if !used.needs_theta => {
            let (frequencies, scale) = yarn(theta, powers(theta), config)?;
            (None, frequencies, scale, false)
        }
        "llama3" if !used.needs_theta => {
            let (factor, low, high) =
                (number(keys::FACTOR)?, number(keys::LOW_FACTOR)?, number(keys::HIGH_FACTOR)?);
            let original = number(keys::ORIGINAL)?;
            let one = |f: &f64| {
                let turns = original * f / TAU;
                // Slower than one turn in `original / low` tokens: stretched; faster than in `original / high`: not.
                if turns < low {
                    f / factor
                } else if turns > high {
                    *f
                } else {
                    let smooth = (turns - low) / (high - low);
                    (1.0 - smooth) * f / factor + smooth * f
                }
            };
            (None, powers(theta).iter().map(one).collect(), 1.0, false)
        }
        "longrope" | "su" if !used.needs_theta => {
            let length = length.ok_or_else(|| needs_length("longrope"))?;
            longrope(&powers(theta), config, length)?
        }
        other => return Err(unknown(used.kind.names[0], other)),
    })
}

fn missing(key: &str) -> Bad {
    Bad::new("F009", format!("`config.json` does not say `{key}`"))
}

#[allow(clippy::cast_precision_loss)]
fn yarn(theta: f64, powers: Vec<f64>, config: &Config) -> Result<(Vec<f64>, f64), Bad> {
    let original = config.number(keys::ORIGINAL)?.ok_or_else(|| missing(keys::ORIGINAL.names[0]))?;
    let factor = match (config.number(keys::FACTOR)?, config.number(keys::LONGEST)?) {
        (Some(factor), _) => factor,
        (None, Some(longest)) => longest / original,
        (None, None) => return Err(missing(keys::FACTOR.names[0])),
    };
    let log = |m: f64| if factor <= 1.0 { 1.0 } else { 0.1 * m * factor.ln() + 1.0 };
    let set = |x: &f64| *x != 0.0;
    let (mscale, all) =
        (config.number(keys::MSCALE)?.filter(set), config.number(keys::MSCALE_ALL)?.filter(set));
    let scale = match (config.number(keys::ATTENTION_FACTOR)?, mscale, all) {
        (Some(said), ..) => said,
        (None, Some(m), Some(a)) => log(m) / log(a),
        _ => log(1.0),
    };
    let fast = config.number(keys::BETA_FAST)?.filter(set).unwrap_or(32.0);
    let slow = config.number(keys::BETA_SLOW)?.filter(set).unwrap_or(1.0);
    let dims = 2.0 * powers.len() as f64;
    let place = |turns: f64| dims * (original / (turns * TAU)).ln() / (2.0 * theta.ln());
    let (mut low, mut high) = (place(fast), place(slow));
    if config.flag(keys::TRUNCATE)?.unwrap_or(true) {
        (low, high) = (low.floor(), high.ceil());
    }
    let (low, high) = (low.max(0.0), high.min(dims - 1.0));
    let width = if low.to_bits() == high.to_bits() { 0.001 } else { high - low };
    let one = |(at, f): (usize, &f64)| {
        let ramp = ((at as f64 - low) / width).clamp(0.0, 1.0);
        f / factor * ramp + f * (1.0 - ramp)
    };
    Ok((powers.iter().enumerate().map(one).collect(), scale))
}

#[allow(clippy::cast_precision_loss)]
fn longrope(powers: &[f64], config: &Config, length: usize) -> Result<Turns, Bad> {
    let outside = config.number(keys::ORIGINAL_OUTSIDE)?;
    let original =
        config.number(keys::ORIGINAL)?.or(outside).ok_or_else(|| missing(keys::ORIGINAL.names[0]))?;
    let factor = match (config.number(keys::FACTOR)?, config.number(keys::LONGEST)?) {
        (Some(factor), _) => factor,
        (None, Some(longest)) => longest / original,
        (None, None) => return Err(missing(keys::FACTOR.names[0])),
    };
    let scale = match config.number(keys::ATTENTION_FACTOR)? {
        Some(said) => said,
        None if factor <= 1.0 => 1.0,
        None => (1.0 + factor.ln() / original.ln()).sqrt(),
    };
    let (short, long) = (config.numbers(keys::SHORT_FACTORS)?, config.numbers(keys::LONG_FACTORS)?);
    let (key, by) =
        if length as f64 > original { (keys::LONG_FACTORS, long) } else { (keys::SHORT_FACTORS, short) };
    let by = by.ok_or_else(|| missing(key.names[0]))?;
    if by.len() != powers.len() {
        let needed = powers.len();
        return Err(Bad::new(
            "F009",
            format!("`{}` holds {} numbers, {needed} are needed", key.names[0], by.len()),
        ));
    }
    Ok((None, powers.iter().zip(by).map(|(f, by)| f / by).collect(), scale, true))
}

/// Frequencies that the file holds must be these.
fn buffers(rotary: &Rotary, asked: &mut Asked) -> Result<(), Bad> {
    let names: Vec<String> = asked
        .entries
        .iter()
        .filter(|e| e.name.ends_with(".inv_freq") && e.shape == [rotary.frequencies.len()])
        .map(|e| e.name.clone())
        .collect();
    for name in names {
        let Some(array) = asked.tensor(&name)? else { continue };
        let far =
            array.data.iter().zip(&rotary.frequencies).find(|(a, b)| (*a - *b).abs() > 1e-5 * b.abs() + 1e-9);
        if let Some((held, computed)) = far {
            return Err(Bad::new(
                "F018",
                format!("`{name}` holds the rotary frequency {held}, `config.json` gives {computed}"),
            )
            .help("file and configuration are of different models"));
        }
    }
    Ok(())
}
