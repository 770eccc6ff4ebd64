//! The sections `record` and `lesions`: what a run of cells shows, and what is done to it.

use super::fields::{At, Decoder, Fields, join};
use super::node::{Value, shorten};
use super::types::*;
use crate::diag::{Diagnostic, codes, did_you_mean};

/// A list, each item with a path of its own (`record.0`, `record.1`, ...).
pub fn list<T>(
    d: &mut Decoder,
    at: At<'_>,
    mut read: impl FnMut(&mut Decoder, At<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let Value::Seq(items) = &at.node.value else {
        return d.wrong(at, "a list of maps");
    };
    let mut all = Vec::with_capacity(items.len());
    for (number, node) in items.iter().enumerate() {
        let path = join(at.path, &number.to_string());
        all.extend(read(d, At { node, path: &path }));
    }
    Some(all)
}

pub fn record(d: &mut Decoder, at: At<'_>) -> Option<RecordSpec> {
    let mut f = d.map(at, "a map with `population`")?;
    let population = f.required(d, "population", Decoder::string);
    let compartment = f.optional(d, "compartment", |d, at| d.word(at, &CompartmentSpec::NAMES));
    let variable = f.optional(d, "variable", |d, at| d.word(at, &Variable::NAMES));
    let cells = f.optional(d, "cells", numbers);
    let query = f.optional(d, "query", numbers);
    let context = f.optional(d, "context", numbers);
    let every = f.optional(d, "every", Decoder::count).unwrap_or(1);
    f.finish(d);
    let otherwise = if compartment.is_some() { Variable::Potential } else { Variable::Rate };
    let variable = variable.unwrap_or(otherwise);
    if (variable == Variable::Rate) == compartment.is_some() {
        let (what, help) = if compartment.is_some() {
            (
                "a rate is of a whole cell, not of a compartment",
                "leave `compartment` out, or record its `potential`",
            )
        } else {
            ("which compartment?", "add `compartment: basal`, `apical` or `gate`")
        };
        d.error(Diagnostic::error(codes::S019, at.path, what).help(help).at(at.node.span));
        return None;
    }
    Some(RecordSpec { population: population?, variable, compartment, cells, query, context, every })
}

/// Numbers of cells or tokens, from 0.
pub(super) fn numbers(d: &mut Decoder, at: At<'_>) -> Option<Vec<usize>> {
    let Value::Seq(items) = &at.node.value else {
        return d.wrong(at, "a list of numbers from 0, such as `[0, 3]`");
    };
    let mut numbers = Vec::with_capacity(items.len());
    for node in items {
        match node.value {
            Value::Int(i) if (0..super::fields::MAX_COUNT).contains(&i) => {
                numbers.push(usize::try_from(i).ok()?);
            }
            _ => return d.wrong(At { node, path: at.path }, "whole numbers from 0"),
        }
    }
    Some(numbers)
}

pub fn lesion(d: &mut Decoder, at: At<'_>) -> Option<LesionSpec> {
    const KINDS: [&str; 4] = ["silence", "cut", "scale", "noise"];
    let expected = "`{silence: {population: A1.deep}}`, `{cut: {projection: W_K, fraction: 0.5}}`, \
                    `{scale: {projection: W_K, gain: 2}}` or `{noise: {population: A1.deep, std: 0.1}}`";
    let (key, node) = d.choice(at, expected)?;
    let path = join(at.path, &key.name);
    if !KINDS.contains(&key.name.as_str()) {
        let what = format!("`{}` is not a lesion", shorten(&key.name));
        d.error(
            Diagnostic::error(codes::S009, &path, what).help(did_you_mean(&key.name, KINDS)).at(key.span),
        );
        return None;
    }
    let mut f = d.map(At { node, path: &path }, "a map that says what is hit")?;
    let lesion = match key.name.as_str() {
        "silence" => {
            let population = f.required(d, "population", Decoder::string);
            let fraction = fraction(d, &mut f);
            population.zip(fraction).map(|(population, fraction)| LesionSpec::Silence {
                population,
                fraction,
                window: WindowSpec::default(),
            })
        }
        "cut" => {
            let projection = f.required(d, "projection", Decoder::string);
            let fraction = fraction(d, &mut f);
            projection.zip(fraction).map(|(projection, fraction)| LesionSpec::Cut {
                projection,
                fraction,
                window: WindowSpec::default(),
            })
        }
        "scale" => {
            let projection = f.required(d, "projection", Decoder::string);
            let gain = f.required(d, "gain", Decoder::number);
            projection.zip(gain).map(|(projection, gain)| LesionSpec::Scale {
                projection,
                gain,
                window: WindowSpec::default(),
            })
        }
        _ => {
            let population = f.required(d, "population", Decoder::string);
            let std = f.required(d, "std", |d, at| d.number_where(at, "zero or positive", |x| x >= 0.0));
            population.zip(std).map(|(population, std)| LesionSpec::Noise {
                population,
                std,
                window: WindowSpec::default(),
            })
        }
    };
    let from = f.optional(d, "from", |d, at| d.time(at, true));
    let until = f.optional(d, "until", |d, at| d.time(at, false));
    f.finish(d);
    if let (Some(from), Some(until)) = (from, until)
        && from.ms >= until.ms
    {
        let what = format!("a window from {} ms until {} ms is empty", from.ms, until.ms);
        d.error(
            Diagnostic::error(codes::S006, &path, what).help("let `until` come after `from`").at(node.span),
        );
        return None;
    }
    let mut lesion = lesion?;
    match &mut lesion {
        LesionSpec::Silence { window, .. }
        | LesionSpec::Cut { window, .. }
        | LesionSpec::Scale { window, .. }
        | LesionSpec::Noise { window, .. } => *window = WindowSpec { from, until },
    }
    Some(lesion)
}

/// 1 if the file says nothing.
fn fraction(d: &mut Decoder, f: &mut Fields<'_>) -> Option<f64> {
    let given = f.node("fraction").is_some();
    let fraction =
        f.optional(d, "fraction", |d, at| d.number_where(at, "from 0 to 1", |x| (0.0..=1.0).contains(&x)));
    if given { fraction } else { Some(1.0) }
}
