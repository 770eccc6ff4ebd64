//! The section `tokens`: streams, clocks, masks, layout.

use super::fields::{At, Decoder, Fields};
use super::node::shorten;
use super::types::*;
use crate::diag::{Diagnostic, codes, did_you_mean};

pub fn tokens(d: &mut Decoder, at: At<'_>) -> Option<TokensSpec> {
    let mut f = d.map(at, "a map with `d_model` and `input`, or with `streams`")?;
    let streams = if f.node("streams").is_some() {
        f.optional(d, "streams", |d, at| {
            d.table(at, "streams", |d, at| {
                let mut f = d.map(at, "a map with `d_model`")?;
                let stream = stream(d, &mut f, true);
                f.finish(d);
                stream
            })
        })
    } else {
        stream(d, &mut f, false).map(|s| Table(vec![("main".to_owned(), s)]))
    };
    let mask = f.optional(d, "mask", mask).unwrap_or(MaskSpec::Full);
    let layout = f.optional(d, "layout", layout).unwrap_or(LayoutSpec::Space {});
    f.finish(d);
    let streams = streams?;
    if streams.is_empty() {
        return d.wrong(at, "a map with at least one stream");
    }
    Some(TokensSpec { streams, mask, layout })
}

pub fn stream(d: &mut Decoder, f: &mut Fields<'_>, named: bool) -> Option<StreamSpec> {
    if named && f.given("positions").is_some() {
        return super::decode_positions::stream(d, f);
    }
    let d_model = f.required(d, "d_model", Decoder::count);
    let input = f.optional(d, "input", input);
    let clock = if named { f.optional(d, "clock", Decoder::string) } else { None };
    if named {
        f.asked_also("positions");
        f.asked_also("offset");
        if let Some(node) = f.given("offset") {
            d.error(
                Diagnostic::error(
                    codes::S022,
                    super::fields::join(&f.path, "offset"),
                    "`offset` counts positions, and this stream has none",
                )
                .help("leave it out, or write `positions: {index: {}}` in place of `d_model` and `input`")
                .at(node.span),
            );
        }
    }
    Some(StreamSpec { d_model: d_model?, input, clock, positions: None })
}

pub fn input(d: &mut Decoder, at: At<'_>) -> Option<InputSpec> {
    let expected = "`{gaussian: {length: 16}}`, `{file: {path: tokens.npy}}` or `{values: [[...]]}`";
    let (key, node) = d.choice(at, expected)?;
    let path = super::fields::join(at.path, &key.name);
    let at = At { node, path: &path };
    match key.name.as_str() {
        "gaussian" => {
            let mut f = d.map(at, "a map with `length`")?;
            let length = f.required(d, "length", Decoder::count);
            let std =
                f.optional(d, "std", |d, at| d.number_where(at, "positive", |x| x > 0.0)).unwrap_or(1.0);
            f.finish(d);
            Some(InputSpec::Gaussian { length: length?, std })
        }
        "file" => {
            let mut f = d.map(at, "a map with `path`")?;
            let path = f.required(d, "path", Decoder::string);
            let array =
                f.optional(d, "array", Decoder::string).or_else(|| f.optional(d, "tensor", Decoder::string));
            f.asked_also("tensor");
            f.finish(d);
            Some(InputSpec::File { path: path?, array })
        }
        "values" => d.matrix(at).map(InputSpec::Values),
        other => {
            d.error(
                Diagnostic::error(codes::S009, &path, format!("`{}` is not a kind of input", shorten(other)))
                    .help(did_you_mean(other, ["gaussian", "file", "values"]))
                    .at(key.span),
            );
            None
        }
    }
}

pub fn layout(d: &mut Decoder, at: At<'_>) -> Option<LayoutSpec> {
    let (key, node) = d.choice(at, "`{space: {}}` or `{time: {duration: 200 ms, gap: 50 ms}}`")?;
    let path = super::fields::join(at.path, &key.name);
    let at = At { node, path: &path };
    match key.name.as_str() {
        "space" => {
            d.map(at, "`{}`")?.finish(d);
            Some(LayoutSpec::Space {})
        }
        "time" => {
            let mut f = d.map(at, "a map with `duration` and `gap`")?;
            let duration = f.required(d, "duration", |d, at| d.time(at, false));
            let gap = f.required(d, "gap", |d, at| d.time(at, true));
            f.finish(d);
            Some(LayoutSpec::Time { duration: duration?, gap: gap? })
        }
        other => {
            d.error(
                Diagnostic::error(codes::S009, &path, format!("`{}` is not a layout", shorten(other)))
                    .help(did_you_mean(other, ["space", "time"]))
                    .at(key.span),
            );
            None
        }
    }
}

pub fn mask(d: &mut Decoder, at: At<'_>) -> Option<MaskSpec> {
    d.word(at, &MaskSpec::WHOLE.map(|m| (m.word(), m)))
}
