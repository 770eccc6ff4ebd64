//! Which layer of a model is meant: by `--layer`, `--part`, `--stage`, or by `--prefix`.

use super::config::Config;
use super::rows::Architecture;
use super::{Part, Place, keys};
use crate::diag::one_of;
use crate::files::{Bad, Entry};
use crate::weights::Options;
use crate::weights::layers::Layer;
use std::collections::BTreeSet;

/// A module of a model.
#[derive(Clone, Copy, Debug)]
pub(super) struct There<'a> {
    pub layer: Layer<'a>,
    pub place: Place,
    /// counted from 0
    pub number: usize,
    pub stage: usize,
}

impl There<'_> {
    /// What the names of the tensors of its stack begin with: up to the number of the layer.
    pub(super) fn stack(&self) -> String {
        let fixed = self.place.path.split('{').next().unwrap_or_default();
        let at = self.layer.prefix.rfind(fixed).unwrap_or(0);
        self.layer.prefix[..at + fixed.len()].to_owned()
    }
}

/// The module that is meant.
pub(super) fn find<'a>(
    entries: &'a [Entry],
    row: &'static Architecture,
    options: &Options,
    config: &Config,
) -> Result<There<'a>, Bad> {
    let first = row.layout.weights[0];
    let mut all: Vec<There<'a>> = Vec::new();
    for entry in entries {
        let Some(prefix) = entry.name.strip_suffix(first) else { continue };
        let at = |place: &Place| {
            let (number, stage) = matches(place.path, prefix)?;
            Some(There { layer: Layer { layout: row.layout, prefix }, place: *place, number, stage })
        };
        all.extend(row.places.iter().find_map(at));
    }
    all.sort_by_key(|t| (t.place.part.name(), t.stage, t.number));
    if all.is_empty() {
        let places: Vec<String> = row.places.iter().map(|p| format!("{}{first}", p.path)).collect();
        return Err(Bad::new("F014", format!("no layer of a model of type `{}`", row.types[0]))
            .help(format!("looked for tensors {}", one_of(places.iter().map(String::as_str)))));
    }
    let wanted = options.prefix.as_deref().filter(|p| !p.is_empty());
    let wanted = wanted.map(|p| format!("{}.", p.strip_suffix('.').unwrap_or(p)));
    let chosen: Vec<There<'a>> = all
        .iter()
        .filter(|t| wanted.as_ref().is_none_or(|w| t.layer.prefix.starts_with(w)))
        .filter(|t| options.layer.is_none_or(|l| t.number == l))
        .filter(|t| options.stage.is_none_or(|s| t.stage == s))
        .filter(|t| options.part.is_none_or(|p| is_part(t.place.part, p, row)))
        .copied()
        .collect();
    // Without --part, what is no cross-attention.
    let own: Vec<There<'a>> = chosen.iter().filter(|t| t.place.part != Part::Cross).copied().collect();
    let chosen = if options.part.is_none() && wanted.is_none() && !own.is_empty() { own } else { chosen };
    match &chosen[..] {
        [one] => Ok(*one),
        [] => Err(none(&all, options, config)?),
        several => Err(ambiguous(several)),
    }
}

/// A model of one stack has one part, whatever it is called.
fn is_part(part: Part, wanted: Part, row: &Architecture) -> bool {
    let single = row.places.iter().filter(|p| p.part != Part::Cross).count() == 1;
    part == wanted || (single && part != Part::Cross && wanted != Part::Cross)
}

fn none(all: &[There], options: &Options, config: &Config) -> Result<Bad, Bad> {
    let numbers: BTreeSet<usize> = all.iter().map(|t| t.number).collect();
    let parts: BTreeSet<&str> = all.iter().map(|t| t.place.part.name()).collect();
    let said =
        config.whole(keys::LAYERS)?.map_or_else(String::new, |n| format!(" (`config.json`: {n} layers)"));
    let what = match (options.layer, options.part, &options.prefix) {
        (Some(l), ..) if !numbers.contains(&l) => format!("no layer {l}{said}"),
        (_, Some(part), _) => format!("no layer of part `{}`", part.name()),
        (.., Some(prefix)) => format!("no layer begins with `{prefix}`"),
        _ => "no such layer".to_owned(),
    };
    let (first, last) = (numbers.first().copied().unwrap_or(0), numbers.last().copied().unwrap_or(0));
    Ok(Bad::new("F015", what).help(format!(
        "the file holds layers {first} to {last} (--layer, from 0) of part {} (--part)",
        one_of(parts)
    )))
}

fn ambiguous(several: &[There]) -> Bad {
    let count = |of: fn(&There) -> String| several.iter().map(of).collect::<BTreeSet<String>>();
    let (parts, stages) = (count(|t| t.place.part.name().to_owned()), count(|t| t.stage.to_string()));
    let numbers: BTreeSet<usize> = several.iter().map(|t| t.number).collect();
    let mut ways = Vec::new();
    if parts.len() > 1 {
        ways.push(format!("--part {}", parts.into_iter().collect::<Vec<_>>().join(" or ")));
    }
    if stages.len() > 1 {
        ways.push(format!("--stage {}", stages.into_iter().collect::<Vec<_>>().join(" or ")));
    }
    if let (Some(first), Some(last)) = (numbers.first(), numbers.last())
        && first != last
    {
        ways.push(format!("--layer {first} to {last}"));
    }
    if ways.is_empty() {
        let names: Vec<&str> = several.iter().map(|t| t.layer.prefix.trim_end_matches('.')).collect();
        ways.push(format!("--prefix {}", one_of(names)));
    }
    Bad::new("F015", format!("the model holds {} such layers of attention", several.len()))
        .help(format!("choose one: {}", ways.join(", ")))
}

/// The numbers of layer and stage where `prefix` ends with the path.
fn matches(path: &str, prefix: &str) -> Option<(usize, usize)> {
    let (mut layer, mut stage) = (0, 0);
    let mut given = prefix.strip_suffix('.')?.rsplit('.');
    for part in path.strip_suffix('.')?.rsplit('.') {
        let found = given.next()?;
        match part {
            "{l}" => layer = found.parse().ok()?,
            "{s}" => stage = found.parse().ok()?,
            fixed if fixed == found => {}
            _ => return None,
        }
    }
    Some((layer, stage))
}
