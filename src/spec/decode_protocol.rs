//! The section `protocol`: what experiments do with a circuit.

use super::decode_run::list;
use super::fields::{At, Decoder, is_name, join};
use super::node::{Value, shorten};
use super::types::*;
use crate::diag::{Diagnostic, codes, did_you_mean};

/// Most trials of one training.
const MOST_TRIALS: usize = 1_000_000;

pub fn protocol(d: &mut Decoder, at: At<'_>) -> Option<ProtocolSpec> {
    let mut f = d.map(at, "a map from experiments to what they do")?;
    let spec = ProtocolSpec {
        capacity: f.optional(d, "capacity", capacity),
        crossover: f.optional(d, "crossover", crossover),
        conditioning: f
            .optional(d, "conditioning", |d, at| d.table(at, "conditioning protocols", conditioning))
            .unwrap_or_default(),
        identify: f.optional(d, "identify", identify),
        depth: f.optional(d, "depth", depth),
        hopfield: f.optional(d, "hopfield", hopfield),
        equilibrium: f.optional(d, "equilibrium", equilibrium),
        digits: f.optional(d, "digits", digits),
        match_and_control: f.optional(d, "match_and_control", super::decode_spikes::match_and_control),
    };
    f.finish(d);
    Some(spec)
}

fn capacity(d: &mut Decoder, at: At<'_>) -> Option<CapacitySpec> {
    let mut f = d.map(at, "a map with `d`, `load`, `ages` and `trials`")?;
    let sizes = f.required(d, "d", counts);
    let load = f.required(d, "load", loads);
    let ages = f.required(d, "ages", counts);
    let trials = f.required(d, "trials", trials);
    f.finish(d);
    Some(CapacitySpec { d: sizes?, load: load?, ages: ages?, trials: trials? })
}

fn crossover(d: &mut Decoder, at: At<'_>) -> Option<CrossoverSpec> {
    let mut f = d.map(at, "a map with `load` and `trials`")?;
    let load = f.required(d, "load", loads);
    let trials = f.required(d, "trials", trials);
    f.finish(d);
    Some(CrossoverSpec { load: load?, trials: trials? })
}

fn identify(d: &mut Decoder, at: At<'_>) -> Option<IdentifySpec> {
    let mut f = d.map(at, "a map with `circuits`, `noise`, `load`, `g` and `rate`")?;
    let circuits = f.required(d, "circuits", trials);
    let noise =
        f.required(d, "noise", |d, at| d.number_where(at, "from 0 to 1", |x| (0.0..=1.0).contains(&x)));
    let load = f.required(d, "load", |d, at| range(d, at, "positive, at most 1000", |x| x > 0.0 && x <= 1e3));
    let unit = "above 0 and at most 1";
    let g = f.required(d, "g", |d, at| range(d, at, unit, |x| x > 0.0 && x <= 1.0));
    let rate = f.required(d, "rate", |d, at| range(d, at, unit, |x| x > 0.0 && x <= 1.0));
    f.finish(d);
    Some(IdentifySpec { circuits: circuits?, noise: noise?, load: load?, g: g?, rate: rate? })
}

fn depth(d: &mut Decoder, at: At<'_>) -> Option<DepthSpec> {
    let mut f = d.map(at, "a map with `redundancy`, `pairs` and `trials`")?;
    let redundancy = f.required(d, "redundancy", counts);
    let pairs = f.required(d, "pairs", counts);
    let trials = f.required(d, "trials", trials);
    f.finish(d);
    Some(DepthSpec { redundancy: redundancy?, pairs: pairs?, trials: trials? })
}

fn hopfield(d: &mut Decoder, at: At<'_>) -> Option<HopfieldSpec> {
    let mut f =
        d.map(at, "a map with `patterns`, `norm`, `beta`, `n`, `trials`, `cells`, `dilution` and `runs`")?;
    let patterns = f.required(d, "patterns", Decoder::count);
    let norm = f.required(d, "norm", |d, at| d.number_where(at, "positive", |x| x > 0.0));
    let beta = f.required(d, "beta", |d, at| numbers(d, at, "positive", |x| x > 0.0));
    let n = f.required(d, "n", counts);
    let trials = f.required(d, "trials", trials);
    let cells = f.required(d, "cells", Decoder::count);
    let dilution = f.required(d, "dilution", |d, at| {
        d.number_where(at, "from 0 to below 1", |x| (0.0..1.0).contains(&x))
    });
    let runs = f.required(d, "runs", self::trials);
    f.finish(d);
    Some(HopfieldSpec {
        patterns: patterns?,
        norm: norm?,
        beta: beta?,
        n: n?,
        trials: trials?,
        cells: cells?,
        dilution: dilution?,
        runs: runs?,
    })
}

fn equilibrium(d: &mut Decoder, at: At<'_>) -> Option<EquilibriumSpec> {
    let mut f = d.map(at, "a map with `load` and `trials`")?;
    let load = f.required(d, "load", loads);
    let trials = f.required(d, "trials", trials);
    f.finish(d);
    Some(EquilibriumSpec { load: load?, trials: trials? })
}

fn digits(d: &mut Decoder, at: At<'_>) -> Option<RetrievalSpec> {
    let mut f = d.map(at, "a map with `path`, `stored`, `kept`, `passes` and `trials`")?;
    let path = f.required(d, "path", Decoder::string);
    let stored = f.required(d, "stored", counts);
    let kept =
        f.required(d, "kept", |d, at| numbers(d, at, "above 0 and at most 1", |x| x > 0.0 && x <= 1.0));
    let passes = f.required(d, "passes", Decoder::count);
    let trials = f.required(d, "trials", trials);
    f.finish(d);
    Some(RetrievalSpec { path: path?, stored: stored?, kept: kept?, passes: passes?, trials: trials? })
}

/// Stored pairs over key cells.
fn loads(d: &mut Decoder, at: At<'_>) -> Option<Vec<f64>> {
    numbers(d, at, "positive, at most 1000", |x| x > 0.0 && x <= 1e3)
}

fn trials(d: &mut Decoder, at: At<'_>) -> Option<usize> {
    let wanted = "a whole number from 2 to 1000000";
    let n = d.number_where(at, wanted, |x| x.fract() == 0.0 && (2.0..=1e6).contains(&x))?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Some(n as usize)
}

/// A list with at least one item.
fn some<T>(
    d: &mut Decoder,
    at: At<'_>,
    what: &str,
    read: impl FnMut(&mut Decoder, At<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    match &at.node.value {
        Value::Seq(items) if !items.is_empty() => list(d, at, read),
        _ => d.wrong(at, what),
    }
}

fn counts(d: &mut Decoder, at: At<'_>) -> Option<Vec<usize>> {
    some(d, at, "a list of whole numbers, such as `[16, 64]`", Decoder::count)
}

fn numbers(d: &mut Decoder, at: At<'_>, wanted: &str, rule: impl Fn(f64) -> bool) -> Option<Vec<f64>> {
    some(d, at, "a list of numbers, such as `[0.5, 1]`", |d, at| d.number_where(at, wanted, &rule))
}

/// Two numbers, the smaller one first.
fn range(d: &mut Decoder, at: At<'_>, wanted: &str, rule: impl Fn(f64) -> bool) -> Option<[f64; 2]> {
    let expected = "two numbers, the smaller one first, such as `[0.5, 0.9]`";
    match &at.node.value {
        Value::Seq(items) if items.len() == 2 => {}
        _ => return d.wrong(at, expected),
    }
    let both = numbers(d, at, wanted, rule)?;
    match both.as_slice() {
        [low, high] if low <= high => Some([*low, *high]),
        [low, high] => {
            d.error(
                Diagnostic::error(codes::S006, at.path, format!("the range from {low} to {high} is empty"))
                    .help(format!("write {expected}"))
                    .at(at.node.span),
            );
            None
        }
        _ => None,
    }
}

fn conditioning(d: &mut Decoder, at: At<'_>) -> Option<ConditioningSpec> {
    let mut f = d.map(at, "a map with `train`, `test` and `shows`")?;
    let train = f.required(d, "train", training);
    let has_control = f.node("control").is_some();
    let control = f.optional(d, "control", training);
    let test = f.required(d, "test", stimuli);
    let shows = f.required(d, "shows", |d, at| d.word(at, &Shows::NAMES));
    if let Some(shows) = shows
        && shows.needs_control()
        && !has_control
    {
        let what = format!("`{}` says `shows: {}`, but has no `control`", at.path, shows.name());
        d.error(
            Diagnostic::error(codes::S001, at.path, what)
                .help("add the training that it is compared with: `control: [...]`")
                .at(at.node.span),
        );
        return None;
    }
    f.finish(d);
    let spec = ConditioningSpec {
        train: train?,
        control: if has_control { control? } else { Vec::new() },
        test: test?,
        shows: shows?,
    };
    known(d, at, &spec)?;
    Some(spec)
}

/// A test must not ask for a stimulus that no trial has shown: that would be a slip of the pen.
fn known(d: &mut Decoder, at: At<'_>, spec: &ConditioningSpec) -> Option<()> {
    let phases = spec.train.iter().chain(&spec.control);
    let mut shown: Vec<&str> = phases.flat_map(|p| &p.trials).flat_map(|t| t.cs.0.names()).collect();
    shown.sort_unstable();
    shown.dedup();
    let path = join(at.path, "test");
    if spec.test.0.is_empty() {
        let what = "the test shows nothing";
        d.error(Diagnostic::error(codes::S001, path, what).help("name a stimulus: `test: [A]`"));
        return None;
    }
    for name in spec.test.0.names() {
        if !shown.contains(&name) {
            let what = format!("no trial shows `{}`", shorten(name));
            d.error(
                Diagnostic::error(codes::S009, path, what).help(did_you_mean(name, shown.iter().copied())),
            );
            return None;
        }
    }
    Some(())
}

/// Phases, one after another.
fn training(d: &mut Decoder, at: At<'_>) -> Option<Vec<PhaseSpec>> {
    let before = d.diagnostics.0.len();
    let phases =
        some(d, at, "a list of phases, such as `[{repeat: 100, trials: [{cs: [A], us: 1}]}]`", phase)?;
    let total = phases.iter().fold(0usize, |n, p| n.saturating_add(p.repeat.saturating_mul(p.trials.len())));
    if total > MOST_TRIALS {
        let what = format!("a training of {total} trials is too long; the most is {MOST_TRIALS}");
        d.error(Diagnostic::error(codes::S007, at.path, what).help("repeat less often").at(at.node.span));
        return None;
    }
    // A phase that could not be read would make a training that nobody wrote.
    (d.diagnostics.0.len() == before).then_some(phases)
}

fn phase(d: &mut Decoder, at: At<'_>) -> Option<PhaseSpec> {
    let mut f = d.map(at, "a map with `trials`, and `repeat`")?;
    let repeat = f.optional(d, "repeat", Decoder::count);
    let trials = f.required(d, "trials", |d, at| some(d, at, "a list of trials", trial));
    f.finish(d);
    Some(PhaseSpec { repeat: repeat.unwrap_or(1), trials: trials? })
}

fn trial(d: &mut Decoder, at: At<'_>) -> Option<TrialSpec> {
    let mut f = d.map(at, "a map with `cs` and `us`; `{}` is a rest")?;
    let cs = f.optional(d, "cs", stimuli).unwrap_or_default();
    let us = f.optional(d, "us", Decoder::number).unwrap_or(0.0);
    f.finish(d);
    Some(TrialSpec { cs, us })
}

/// `[A, B]`, or `{A: 1, B: 0.5}` with intensities.
fn stimuli(d: &mut Decoder, at: At<'_>) -> Option<StimuliSpec> {
    let expected = "stimuli: `[A, B]`, or with intensities `{A: 1, B: 0.5}`";
    let Value::Seq(items) = &at.node.value else {
        if !matches!(at.node.value, Value::Map(_)) {
            return d.wrong(at, expected);
        }
        return d.table(at, "intensities", Decoder::number).map(StimuliSpec);
    };
    let mut table = Table::default();
    for node in items {
        let at = At { node, path: at.path };
        let Value::Str(name) = &node.value else { return d.wrong(at, expected) };
        if !is_name(name) {
            let what = format!("`{}` is not a name", shorten(name));
            let help = "names have letters, digits and `_`, and do not start with a digit";
            d.error(Diagnostic::error(codes::S004, at.path, what).help(help).at(node.span));
            return None;
        }
        if table.get(name).is_some() {
            let what = format!("stimulus `{name}` stands here twice");
            let help = format!("a stronger stimulus is written `{{{name}: 2}}`");
            d.error(Diagnostic::error(codes::S003, at.path, what).help(help).at(node.span));
            return None;
        }
        table.0.push((name.clone(), 1.0));
    }
    Some(StimuliSpec(table))
}
