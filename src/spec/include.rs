//! `include`: circuits of other files as parts of this one, each under a name of its own.
//!
//! A part brings its relays, areas, projections, masks and positions, `NAME.` before each name; its draws keep their own seed and
//! names. Each of its input relays receives, through an identity, what the feed of its stream sends. Nothing later knows of parts.

use super::declare::{Hand, Named, TEXT, form};
use super::fields::Decoder;
use super::types::*;
use crate::diag::{Diagnostic, Diagnostics, codes, did_you_mean, one_of};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Most files inside each other.
const DEEPEST: usize = 32;

form! {
    /// A circuit file as a part of this one.
    pub struct IncludeSpec = "a map with `circuit` and `tokens`" {
        /// its file; the path starts at the including file
        circuit: String, TEXT, !;
        /// its streams, each with the relay per query that feeds it; positions need none
        tokens: Table<String>, Named("streams and the relays that feed them", TEXT), [Table::default()];
        /// its parameters
        set: Table<Carried>, Named("parameters", Hand(Decoder::carried, || json!({"type": ["number", "string", "boolean"]}))), [Table::default()];
        /// of its draws, if not its own
        seed: u64, Hand(super::decode::seed, super::schema::seed), ?;
    }
}

/// Names that were written, and the place in the file that asked for them.
pub type Written = Vec<(String, String)>;

/// Adds every part to the circuit. `chain` holds the files that led here, this one last.
pub fn add(
    spec: &mut CircuitSpec,
    parts: &Table<IncludeSpec>,
    folder: &Path,
    chain: &[PathBuf],
    d: &mut Diagnostics,
) -> Written {
    let mut written = Vec::new();
    let (own_relays, own_areas): (BTreeSet<String>, BTreeSet<String>) =
        (spec.thalamus.names().map(str::to_owned).collect(), spec.areas.names().map(str::to_owned).collect());
    let mut read = Vec::new();
    for (name, include) in parts.iter() {
        let path = format!("include.{name}");
        if own_relays.contains(name) || own_areas.contains(name) {
            let what = format!("`{name}` is an area or a relay as well as a part");
            d.push(Diagnostic::error(codes::S023, &path, what).help("give one of them another name"));
            continue;
        }
        let Some(part) = part(&path, include, folder, chain, d) else { continue };
        if part.tokens.layout != spec.tokens.layout {
            let what = format!("`{}` lays its tokens out another way than this circuit", include.circuit);
            d.push(
                Diagnostic::error(codes::S023, format!("{path}.circuit"), what)
                    .help("give both the same `tokens: {layout: ...}`"),
            );
            continue;
        }
        read.push((name, include, merge(spec, name, include, part, &path, &mut written, d)));
    }
    // A feed may be a relay of a later part.
    for (name, include, streams) in read {
        feeds(spec, name, include, &streams, d);
    }
    written
}

/// The circuit of one file.
fn part(
    path: &str,
    include: &IncludeSpec,
    folder: &Path,
    chain: &[PathBuf],
    d: &mut Diagnostics,
) -> Option<CircuitSpec> {
    let at = format!("{path}.circuit");
    let file = folder.join(&include.circuit);
    let known = std::fs::canonicalize(&file).unwrap_or_else(|_| file.clone());
    if chain.contains(&known) || chain.len() > DEEPEST {
        let short =
            |p: &PathBuf| p.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let names: Vec<String> = chain.iter().chain([&known]).map(short).collect();
        let what = format!("these files include each other: {}", names.join(" -> "));
        d.push(Diagnostic::error(codes::S023, at, what).help("a circuit cannot be a part of itself"));
        return None;
    }
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(s) => s.clone(),
        other => other.to_string(),
    };
    let overrides: Vec<(String, String)> =
        include.set.iter().map(|(n, v)| (n.to_owned(), text(&v.0))).collect();
    let inner = super::read_bytes(&file).map_err(Diagnostics::from).and_then(|bytes| {
        let mut chain = chain.to_vec();
        chain.push(known);
        super::read_part(&bytes, file.parent().unwrap_or(Path::new("")), &overrides, &chain)
    });
    match inner {
        Ok(document) if document.spec.spikes() => {
            let what = format!("`{}` is a circuit of spikes", include.circuit);
            d.push(
                Diagnostic::error(codes::S023, at, what)
                    .help("circuits of rates and of spikes are separate files"),
            );
            None
        }
        Ok(document) => Some(document.spec),
        Err(found) => {
            for e in found.0 {
                if e.code == codes::U001 {
                    let set = overrides.iter().map(|(n, _)| n.as_str());
                    let what = format!("`{}` has no such parameter: {}", include.circuit, one_of(set));
                    d.push(Diagnostic { path: format!("{path}.set"), message: what, span: None, ..e });
                    continue;
                }
                let place = e.span.map_or(String::new(), |s| format!(":{}:{}", s.line, s.column));
                let message = if e.code.starts_with('F') {
                    e.message.clone()
                } else {
                    format!("`{}`{place}: {}", include.circuit, e.message)
                };
                d.push(Diagnostic { path: at.clone(), message, span: None, ..e });
            }
            None
        }
    }
}

/// Moves the part in, all but what feeds it; its streams.
fn merge(
    spec: &mut CircuitSpec,
    name: &str,
    include: &IncludeSpec,
    part: CircuitSpec,
    path: &str,
    written: &mut Written,
    d: &mut Diagnostics,
) -> Table<StreamSpec> {
    let inside = |inner: &str| if inner == "tonic" { inner.to_owned() } else { format!("{name}.{inner}") };
    let mask = part.tokens.mask;
    let seed = include.seed.unwrap_or(part.seed);
    let folder = Path::new(&include.circuit).parent().unwrap_or(Path::new("")).to_owned();
    let sums = |p: &ProjectionSpec| {
        let relay = part.thalamus.get(&p.from).and_then(|r| r.per.as_deref()) == Some(&[Index::Context]);
        let to = p.to.rsplit_once('.').map_or(p.to.as_str(), |(to, _)| to);
        relay && indices(&part, to).is_some_and(|per| per == [Index::Query])
    };
    let (mut receives, mut unfed) = (BTreeSet::new(), BTreeSet::new());
    for (short, p) in part.projections.iter() {
        if let Some((to, "basal" | "apical")) = p.to.rsplit_once('.') {
            receives.insert(to.to_owned());
        }
        let own = inside(short);
        let drawn = p.drawn.clone().unwrap_or_else(|| DrawnSpec { seed, name: short.to_owned() });
        let moved = ProjectionSpec {
            from: inside(&p.from),
            to: inside(&p.to),
            weights: renamed(&p.weights, &inside, &folder),
            mask: if sums(p) { Some(p.mask.unwrap_or(mask)) } else { p.mask },
            drawn: Some(drawn),
            ..p.clone()
        };
        written.push((format!("projections.{own}"), path.to_owned()));
        spec.projections.0.push((own, moved));
    }
    for (short, relay) in part.thalamus.iter() {
        let own = inside(short);
        let mut moved = relay.clone();
        if !receives.contains(short) {
            let stream = relay.tokens.clone().unwrap_or_else(|| "main".to_owned());
            moved.tokens = None;
            let positions = part.tokens.streams.get(&stream).is_some_and(|s| s.positions.is_some());
            if positions {
                moved.tokens = Some(inside(&stream));
            } else if let Some(feed) = include.tokens.get(&stream) {
                let fed = format!("{own}_tokens");
                written.push((format!("projections.{fed}"), path.to_owned()));
                spec.projections.0.push((fed, identity(feed, &format!("{own}.basal"))));
            } else if part.tokens.streams.get(&stream).is_some() && unfed.insert(stream.clone()) {
                let what = format!(
                    "nothing feeds the stream `{stream}` of `{}`, which its relay `{short}` reads",
                    include.circuit
                );
                d.push(
                    Diagnostic::error(codes::S023, path, what)
                        .help(format!("name a relay per [query]: `tokens: {{{stream}: RELAY}}`")),
                );
            }
        }
        written.push((format!("thalamus.{own}"), path.to_owned()));
        spec.thalamus.0.push((own, moved));
    }
    for (short, area) in part.areas.iter() {
        let own = inside(short);
        written.push((format!("areas.{own}"), path.to_owned()));
        spec.areas.0.push((own, AreaSpec { mask: Some(area.mask.unwrap_or(mask)), ..area.clone() }));
    }
    part.tokens.streams
}

/// The identity that carries a feed into an input relay.
fn identity(from: &str, to: &str) -> ProjectionSpec {
    ProjectionSpec {
        from: from.to_owned(),
        to: to.to_owned(),
        onto: None,
        pool: None,
        weights: WeightsSpec::Identity,
        gain: None,
        sign: None,
        effect: Effect::Additive,
        mask: None,
        plasticity: None,
        delay: None,
        tied: None,
        synapses: None,
        pulse: None,
        drawn: None,
    }
}

/// Over which indices a population is replicated.
fn indices<'a>(spec: &'a CircuitSpec, name: &str) -> Option<&'a [Index]> {
    if let Some(relay) = spec.thalamus.get(name) {
        return relay.per.as_deref();
    }
    let (area, short) = name.rsplit_once('.')?;
    let area = spec.areas.get(area)?;
    area.populations.get(short)?.per.as_deref().or(area.microcolumns.per.as_deref())
}

/// Ties follow their partner into the part, and files the part's folder.
fn renamed(weights: &WeightsSpec, inside: &impl Fn(&str) -> String, folder: &Path) -> WeightsSpec {
    let boxed = |inner: &WeightsSpec| Box::new(renamed(inner, inside, folder));
    match weights {
        WeightsSpec::SameAs(p) => WeightsSpec::SameAs(inside(p)),
        WeightsSpec::TransposeOf(p) => WeightsSpec::TransposeOf(inside(p)),
        WeightsSpec::File { path, tensor } => {
            WeightsSpec::File { path: folder.join(path).display().to_string(), tensor: tensor.clone() }
        }
        WeightsSpec::Blocks { count, of } => WeightsSpec::Blocks { count: *count, of: boxed(of) },
        WeightsSpec::PlusOf { weights, draw } => {
            WeightsSpec::PlusOf { weights: boxed(weights), draw: draw.clone() }
        }
        WeightsSpec::MinusOf { weights, draw } => {
            WeightsSpec::MinusOf { weights: boxed(weights), draw: draw.clone() }
        }
        WeightsSpec::Kron(factors) => {
            WeightsSpec::Kron(factors.iter().map(|factor| renamed(factor, inside, folder)).collect())
        }
        other => other.clone(),
    }
}

/// Checks the feeds of a part, and lets its positions follow their clock.
fn feeds(
    spec: &mut CircuitSpec,
    name: &str,
    include: &IncludeSpec,
    streams: &Table<StreamSpec>,
    d: &mut Diagnostics,
) {
    let path = format!("include.{name}.tokens");
    for (stream, feed) in include.tokens.iter() {
        let at = format!("{path}.{stream}");
        let wrong = |what: String, help: String| Diagnostic::error(codes::S023, &at, what).help(help);
        let Some(fed) = streams.get(stream).filter(|s| s.positions.is_none()) else {
            let names = streams.iter().filter(|(_, s)| s.positions.is_none()).map(|(n, _)| n);
            d.push(wrong(
                format!("`{}` has no stream `{stream}` to feed", include.circuit),
                did_you_mean(stream, names),
            ));
            continue;
        };
        match spec.thalamus.get(feed) {
            None => d.push(wrong(
                format!("no relay `{feed}` to feed a part"),
                did_you_mean(feed, spec.thalamus.names()),
            )),
            Some(r) if r.per.as_deref() != Some(&[Index::Query]) => d.push(wrong(
                format!("`{feed}` is not per [query]"),
                "a feed is one relay per [query]: the part's relays per [context] take its tokens one by one"
                    .to_owned(),
            )),
            Some(r) if r.cells != fed.d_model => d.push(wrong(
                format!(
                    "`{feed}` has {} cells, but tokens of `{stream}` have {} numbers",
                    r.cells, fed.d_model
                ),
                format!("feed it from a relay of {} cells", fed.d_model),
            )),
            Some(_) => {}
        }
    }
    for (short, stream) in streams.iter().filter(|(_, s)| s.positions.is_some()) {
        let owner = stream.clock.as_deref().unwrap_or_default();
        let clock = include.tokens.get(owner).and_then(|feed| clock_of(spec, feed, &mut BTreeSet::new()));
        let own = format!("{name}.{short}");
        match clock {
            Some(clock) => {
                spec.tokens.streams.0.push((own, StreamSpec { clock: Some(clock), ..stream.clone() }))
            }
            None => d.push(
                Diagnostic::error(
                    codes::S023,
                    &path,
                    format!(
                        "nothing says how many tokens the positions `{short}` of `{}` number",
                        include.circuit
                    ),
                )
                .help(format!("feed the stream `{owner}` that they follow")),
            ),
        }
    }
}

/// The stream that the query tokens of a population follow.
fn clock_of(spec: &CircuitSpec, name: &str, seen: &mut BTreeSet<String>) -> Option<String> {
    if !seen.insert(name.to_owned()) {
        return None;
    }
    let ends_here = |p: &&ProjectionSpec| {
        p.to.rsplit_once('.').is_some_and(|(to, end)| to == name && matches!(end, "basal" | "apical"))
    };
    let sources: Vec<&str> =
        spec.projections.iter().map(|(_, p)| p).filter(ends_here).map(|p| p.from.as_str()).collect();
    if let (true, Some(relay)) = (sources.is_empty(), spec.thalamus.get(name)) {
        let stream = relay.tokens.as_deref().unwrap_or("main");
        let (stream, own) = spec.tokens.streams.iter().find(|(n, _)| *n == stream)?;
        return Some(own.clock.clone().unwrap_or_else(|| stream.to_owned()));
    }
    let queries =
        sources.into_iter().filter(|s| indices(spec, s).is_some_and(|per| per.contains(&Index::Query)));
    queries.into_iter().find_map(|source| clock_of(spec, source, seen))
}
