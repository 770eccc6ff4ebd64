//! The forms that `weights` can take.

use super::fields::{At, Decoder, join};
use super::node::{Value, shorten};
use super::types::{Pairing, ShapedWeights, Spread, WeightsSpec};
use crate::diag::{Diagnostic, codes, did_you_mean};

const FORMS: [&str; 16] = [
    "ones",
    "identity",
    "zeros",
    "centre",
    "rotate",
    "kron",
    "normal",
    "uniform",
    "file",
    "values",
    "blocks",
    "rank",
    "same_as",
    "transpose_of",
    "plus_of",
    "minus_of",
];

/// Reads one of the forms of weights (`circuits/README.md`, Projections).
pub fn read(d: &mut Decoder, at: At<'_>) -> Option<WeightsSpec> {
    if let Value::Str(word) = &at.node.value {
        if let Some((_, plain)) = WeightsSpec::WORDS.iter().find(|(name, _)| name == word) {
            return Some(plain.clone());
        }
        if FORMS.contains(&word.as_str()) {
            return d.wrong(at, &format!("a map: `{{{word}: ...}}`"));
        }
        d.unknown_word(at, word, FORMS);
        return None;
    }
    let (key, node) = d.choice(at, "one form of weights, for example `{normal: {fan_in: 1}}`")?;
    let path = join(at.path, &key.name);
    let at = At { node, path: &path };
    match key.name.as_str() {
        "identity" => d.count(at).map(|n| WeightsSpec::Shaped(ShapedWeights::Identity(n))),
        "centre" => d.count(at).map(|n| WeightsSpec::Shaped(ShapedWeights::Centre(n))),
        "ones" => shape(d, at).map(|shape| WeightsSpec::Shaped(ShapedWeights::Ones(shape))),
        "zeros" => shape(d, at).map(|shape| WeightsSpec::Shaped(ShapedWeights::Zeros(shape))),
        "rotate" => d.word(at, &Pairing::NAMES).map(WeightsSpec::Rotate),
        "kron" => kron(d, at),
        "normal" => normal(d, at),
        "uniform" => {
            let mut f = d.map(at, "a map with `low` and `high`")?;
            let low = f.required(d, "low", Decoder::number);
            let high = f.required(d, "high", Decoder::number);
            f.finish(d);
            let (low, high) = (low?, high?);
            if low >= high {
                d.error(
                    Diagnostic::error(codes::S006, &path, format!("`low` {low} is not below `high` {high}"))
                        .help("swap them")
                        .at(node.span),
                );
                return None;
            }
            Some(WeightsSpec::Uniform { low, high })
        }
        "file" => {
            let mut f = d.map(at, "a map with `path`")?;
            let path = f.required(d, "path", Decoder::string);
            let tensor = f.optional(d, "tensor", Decoder::string);
            f.finish(d);
            Some(WeightsSpec::File { path: path?, tensor })
        }
        "values" => d.matrix(at).map(WeightsSpec::Values),
        "blocks" => {
            let mut f = d.map(at, "a map with `count` and `of`")?;
            let count = f.required(d, "count", Decoder::count);
            let of = f.required(d, "of", read);
            f.finish(d);
            Some(WeightsSpec::Blocks { count: count?, of: Box::new(of?) })
        }
        "rank" => {
            let mut f = d.map(at, "a map with `of` and `std`")?;
            let of = f.required(d, "of", Decoder::count);
            let std = f.required(d, "std", positive);
            f.finish(d);
            Some(WeightsSpec::Rank { of: of?, std: std? })
        }
        "same_as" => d.string(at).map(WeightsSpec::SameAs),
        "transpose_of" => d.string(at).map(WeightsSpec::TransposeOf),
        "plus_of" => part(d, at).map(|(weights, draw)| WeightsSpec::PlusOf { weights, draw }),
        "minus_of" => part(d, at).map(|(weights, draw)| WeightsSpec::MinusOf { weights, draw }),
        other => {
            d.error(
                Diagnostic::error(
                    codes::S009,
                    &path,
                    format!("`{}` is not a form of weights", shorten(other)),
                )
                .help(did_you_mean(other, FORMS))
                .at(key.span),
            );
            None
        }
    }
}

/// `[rows, columns]`
fn shape(d: &mut Decoder, at: At<'_>) -> Option<[usize; 2]> {
    let Value::Seq(items) = &at.node.value else {
        return d.wrong(at, "a list of rows and columns: `[1, 2]`");
    };
    let [rows, columns] = &items[..] else { return d.wrong(at, "two numbers, rows and columns: `[1, 2]`") };
    let mut side = |node, number| d.count(At { node, path: &join(at.path, number) });
    let (rows, columns) = (side(rows, "0"), side(columns, "1"));
    Some([rows?, columns?])
}

/// The factors of a Kronecker product. One at most may leave its shape to the cells that it connects.
fn kron(d: &mut Decoder, at: At<'_>) -> Option<WeightsSpec> {
    let Value::Seq(items) = &at.node.value else {
        return d.wrong(at, "a list of factors: `[{identity: 2}, {ones: [1, 2]}]`");
    };
    if items.is_empty() {
        return d.wrong(at, "a list with at least one factor");
    }
    let mut factors = Vec::with_capacity(items.len());
    for (number, node) in items.iter().enumerate() {
        let path = join(at.path, &number.to_string());
        factors.push((node, read(d, At { node, path: &path })));
    }
    let mut open =
        factors.iter().enumerate().filter(|(_, (_, w))| w.as_ref().is_some_and(|w| w.shape().is_none()));
    if let (Some((first, _)), Some((second, (node, _)))) = (open.next(), open.next()) {
        let path = join(at.path, &second.to_string());
        let what = format!("factors {} and {} both leave their shape open", first + 1, second + 1);
        d.error(
            Diagnostic::error(codes::S021, path, what)
                .help("say the shape of all but one: `{identity: 4}`, `{centre: 4}`, `{ones: [1, 2]}`, `{values: [[...]]}`")
                .at(node.span),
        );
        return None;
    }
    factors.into_iter().map(|(_, w)| w).collect::<Option<Vec<_>>>().map(WeightsSpec::Kron)
}

fn positive(d: &mut Decoder, at: At<'_>) -> Option<f64> {
    d.number_where(at, "positive", |x| x > 0.0)
}

fn normal(d: &mut Decoder, at: At<'_>) -> Option<WeightsSpec> {
    let (key, node) = d.choice(at, "`{std: 0.1}` or `{fan_in: 1}`")?;
    let path = join(at.path, &key.name);
    let at = At { node, path: &path };
    match key.name.as_str() {
        "std" => positive(d, at).map(|s| WeightsSpec::Normal(Spread::Std(s))),
        "fan_in" => positive(d, at).map(|c| WeightsSpec::Normal(Spread::FanIn(c))),
        other => {
            d.error(
                Diagnostic::error(
                    codes::S009,
                    &path,
                    format!("`{}` is not a width of a normal draw", shorten(other)),
                )
                .help(did_you_mean(other, ["std", "fan_in"]))
                .at(key.span),
            );
            None
        }
    }
}

fn part(d: &mut Decoder, at: At<'_>) -> Option<(Box<WeightsSpec>, String)> {
    let mut f = d.map(at, "a map with `weights` and `draw`")?;
    let weights = f.required(d, "weights", read);
    let draw = f.required(d, "draw", Decoder::string);
    f.finish(d);
    Some((Box::new(weights?), draw?))
}
