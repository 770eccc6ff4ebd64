//! `positions` of a stream of tokens.

use super::fields::{At, Decoder, Fields, MAX_COUNT, join};
use super::node::{Value, shorten};
use super::types::*;
use crate::diag::{Diagnostic, codes, did_you_mean};

const KINDS: [&str; 4] = ["index", "one_hot", "rotary", "sinusoid"];

/// A stream that has `positions`: its width follows from them, and its length from the clock.
pub fn stream(d: &mut Decoder, f: &mut Fields<'_>) -> Option<StreamSpec> {
    let kind = f.required(d, "positions", kind);
    let offset = f.optional(d, "offset", offset);
    let clock = f.required(d, "clock", Decoder::string);
    for (key, why) in
        [("d_model", "their width says how many numbers they have"), ("input", "they are computed")]
    {
        let Some(node) = f.given(key) else { continue };
        f.asked_also(key);
        d.error(
            Diagnostic::error(codes::S022, join(&f.path, key), format!("`{key}` beside `positions`: {why}"))
                .help(format!("leave `{key}` out"))
                .at(node.span),
        );
    }
    let positions = PositionsSpec { kind: kind?, offset: offset.unwrap_or(0) };
    Some(StreamSpec {
        d_model: positions.width(),
        input: None,
        clock: Some(clock?),
        positions: Some(positions),
    })
}

fn kind(d: &mut Decoder, at: At<'_>) -> Option<PositionKind> {
    let expected = "`{index: {}}`, `{one_hot: 16}`, `{rotary: {dims: 8, theta: 10000, pairing: halves}}` or \
                    `{sinusoid: {d_model: 8, theta: 10000}}`";
    let (key, node) = d.choice(at, expected)?;
    let path = join(at.path, &key.name);
    let at = At { node, path: &path };
    match key.name.as_str() {
        "index" => {
            d.map(at, "`{}`")?.finish(d);
            Some(PositionKind::Index {})
        }
        "one_hot" => d.count(at).map(PositionKind::OneHot),
        "rotary" => rotary(d, at).map(PositionKind::Rotary),
        "sinusoid" => {
            let mut f = d.map(at, "a map with `d_model` and `theta`")?;
            let d_model = f.required(d, "d_model", Decoder::count);
            let theta = f.required(d, "theta", positive);
            f.finish(d);
            Some(PositionKind::Sinusoid { d_model: d_model?, theta: theta? })
        }
        other => {
            let what = format!("`{}` is not a kind of positions", shorten(other));
            d.error(
                Diagnostic::error(codes::S009, &path, what).help(did_you_mean(other, KINDS)).at(key.span),
            );
            None
        }
    }
}

fn rotary(d: &mut Decoder, at: At<'_>) -> Option<RotarySpec> {
    let mut f = d.map(at, "a map with `dims`, `theta` and `pairing`")?;
    let dims = f.required(d, "dims", even);
    let listed = f.optional(d, "frequencies", frequencies);
    let turns = match (f.given("theta"), f.given("frequencies")) {
        (Some(node), Some(_)) => {
            let what = "`theta` beside `frequencies`: each says how fast the pairs turn";
            d.error(
                Diagnostic::error(codes::S010, join(&f.path, "theta"), what)
                    .help("keep one of the two")
                    .at(node.span),
            );
            f.asked_also("theta");
            None
        }
        (None, Some(_)) => {
            f.asked_also("theta");
            listed.map(Turns::Frequencies)
        }
        _ => f.required(d, "theta", positive).map(Turns::Theta),
    };
    let scale = f.optional(d, "scale", positive);
    let pairing = f.required(d, "pairing", |d, at| d.word(at, &Pairing::NAMES));
    if let (Some(dims), Some(Turns::Frequencies(all))) = (dims, &turns)
        && all.len() != dims / 2
    {
        let node = f.given("frequencies");
        let what = format!("{} frequencies, but {dims} numbers turn as {} pairs", all.len(), dims / 2);
        d.error(
            Diagnostic::error(codes::S011, join(&f.path, "frequencies"), what)
                .help("write one frequency for each pair, in radians per token")
                .at(node.and_then(|n| n.span)),
        );
        return None;
    }
    f.finish(d);
    Some(RotarySpec { dims: dims?, turns: turns?, scale: scale.unwrap_or(1.0), pairing: pairing? })
}

fn even(d: &mut Decoder, at: At<'_>) -> Option<usize> {
    let n = d.count(at)?;
    if n.is_multiple_of(2) {
        return Some(n);
    }
    d.error(
        Diagnostic::error(
            codes::S006,
            at.path,
            format!("`dims` is {n}, but must be even: numbers turn in pairs"),
        )
        .help(format!("write {} or {}", n - 1, n + 1))
        .at(at.node.span),
    );
    None
}

fn frequencies(d: &mut Decoder, at: At<'_>) -> Option<Vec<f64>> {
    let Value::Seq(items) = &at.node.value else {
        return d.wrong(at, "a list of numbers, radians per token of each pair");
    };
    items.iter().map(|node| d.number(At { node, path: at.path })).collect()
}

/// The number of the first token, from 0.
fn offset(d: &mut Decoder, at: At<'_>) -> Option<usize> {
    match at.node.value {
        Value::Int(i) if (0..=MAX_COUNT).contains(&i) => usize::try_from(i).ok(),
        _ => d.wrong(at, "a whole number from 0 to 100000000"),
    }
}

fn positive(d: &mut Decoder, at: At<'_>) -> Option<f64> {
    d.number_where(at, "positive", |x| x > 0.0)
}
