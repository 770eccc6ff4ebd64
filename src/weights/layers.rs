//! The names of each layout, and which layer of a file is meant.

use super::Scheme;
use crate::diag::{nearest, one_of};
use crate::files::{Bad, Entry};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// The tensors of one layout, named without the prefix of the layer.
#[derive(Debug)]
pub(super) struct Layout {
    pub scheme: Scheme,
    /// query, key, value: one tensor each, or one for all
    pub weights: &'static [&'static str],
    /// likewise; any of them may be absent
    pub biases: &'static [&'static str],
    /// possible names of the output matrix, each with that of its bias
    pub output: &'static [(&'static str, &'static str)],
    /// whether matrices are `[inputs, outputs]`
    pub transposed: bool,
}

const OUT_PROJ: (&str, &str) = ("out_proj.weight", "out_proj.bias");

const LAYOUTS: [Layout; 5] = [
    Layout {
        scheme: Scheme::Torch,
        weights: &["in_proj_weight"],
        biases: &["in_proj_bias"],
        output: &[OUT_PROJ],
        transposed: false,
    },
    Layout {
        scheme: Scheme::Torch,
        weights: &["q_proj_weight", "k_proj_weight", "v_proj_weight"],
        biases: &["in_proj_bias"],
        output: &[OUT_PROJ],
        transposed: false,
    },
    Layout {
        scheme: Scheme::Separate,
        weights: &["q_proj.weight", "k_proj.weight", "v_proj.weight"],
        biases: &["q_proj.bias", "k_proj.bias", "v_proj.bias"],
        output: &[("o_proj.weight", "o_proj.bias"), OUT_PROJ],
        transposed: false,
    },
    Layout {
        scheme: Scheme::Bert,
        weights: &["self.query.weight", "self.key.weight", "self.value.weight"],
        biases: &["self.query.bias", "self.key.bias", "self.value.bias"],
        output: &[("output.dense.weight", "output.dense.bias")],
        transposed: false,
    },
    Layout {
        scheme: Scheme::Gpt2,
        weights: &["c_attn.weight"],
        biases: &["c_attn.bias"],
        output: &[("c_proj.weight", "c_proj.bias")],
        transposed: true,
    },
];

/// One layer of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layer<'a> {
    pub layout: &'static Layout,
    /// empty, or with a dot at the end
    pub prefix: &'a str,
}

/// What stands before `stem` in a tensor name.
fn before<'a>(name: &'a str, stem: &str) -> Option<&'a str> {
    name.strip_suffix(stem).filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
}

/// Every layer: each place where the query weights of some layout are, by number and name.
fn layers(entries: &[Entry]) -> Vec<Layer<'_>> {
    let mut found: Vec<Layer<'_>> = entries
        .iter()
        .flat_map(|e| LAYOUTS.iter().map(move |layout| (layout, before(&e.name, layout.weights[0]))))
        .filter_map(|(layout, prefix)| Some(Layer { layout, prefix: prefix? }))
        .collect();
    found.sort_by_cached_key(|layer| natural(layer.prefix));
    found
}

/// `layer.2.` before `layer.10.`.
fn natural(name: &str) -> Vec<(usize, String)> {
    let part = |s: &str| s.parse::<usize>().map_or_else(|_| (0, s.to_owned()), |n| (n, String::new()));
    name.split('.').map(part).collect()
}

/// The layer that the prefix means, or the only one.
pub(super) fn choose<'a>(entries: &'a [Entry], prefix: Option<&str>) -> Result<Layer<'a>, Bad> {
    let all = layers(entries);
    if all.is_empty() {
        return Err(unknown(entries));
    }
    let wanted = match prefix {
        None | Some("") => String::new(),
        Some(p) => format!("{}.", p.strip_suffix('.').unwrap_or(p)),
    };
    let matching: Vec<Layer<'a>> =
        all.iter().copied().filter(|l| l.path().starts_with(&wanted) || l.prefix == wanted).collect();
    let exact: Vec<&Layer<'a>> = matching.iter().filter(|l| prefix.is_some() && l.prefix == wanted).collect();
    match (&exact[..], &matching[..]) {
        ([layer], _) => Ok(**layer),
        (_, [layer]) => Ok(*layer),
        (_, []) => Err(Bad::new("F015", format!("no layer of attention weights begins with `{wanted}`"))
            .help(format!("--prefix can be {}", one_of(nearest_first(&wanted, &all))))),
        (_, several) => {
            let what = if wanted.is_empty() { "the file".to_owned() } else { format!("`{wanted}`") };
            Err(Bad::new("F015", format!("{what} holds {} layers of attention weights", several.len())).help(
                format!("choose one with --prefix: {}", one_of(distinct(several.iter().map(|l| l.prefix)))),
            ))
        }
    }
}

impl Layer<'_> {
    /// The name of its first tensor.
    fn path(&self) -> String {
        self.name(self.layout.weights[0])
    }

    /// A tensor of this layer, as the file calls it.
    pub(super) fn name(&self, stem: &str) -> String {
        format!("{}{stem}", self.prefix)
    }
}

fn distinct<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    names.into_iter().filter(|name| seen.insert(*name)).collect()
}

/// Those that hold what was typed, or a slip of the fingers away from it, first; then those with most parts in common.
fn nearest_first<'a>(wanted: &str, all: &[Layer<'a>]) -> Vec<&'a str> {
    let mut names = distinct(all.iter().map(|l| l.prefix));
    let parts = wanted.matches('.').count().max(1);
    // As many parts of a name as were typed, from any of them on.
    let runs = |name: &'a str| {
        let starts = std::iter::once(0).chain(name.match_indices('.').map(|(at, _)| at + 1));
        starts.filter_map(move |from| {
            let (end, _) = name[from..].match_indices('.').nth(parts - 1)?;
            Some(&name[from..=from + end])
        })
    };
    let slip = nearest(wanted, names.iter().flat_map(|name| runs(name)));
    let common = |name: &str| name.split('.').zip(wanted.split('.')).filter(|(a, b)| a == b).count();
    names.sort_by_cached_key(|name| (!runs(name).any(|run| Some(run) == slip), Reverse(common(name))));
    names
}

/// Characters of a list of tensors: a message has room for 600 in all.
const LONGEST_LIST: usize = 430;

/// The tensors of a file for a message, at most 20; those that differ by the number of their layer are told once.
fn found(entries: &[Entry]) -> String {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let mut kinds: Vec<(&Entry, usize)> = Vec::new();
    let mut index: BTreeMap<(String, &[usize]), usize> = BTreeMap::new();
    for e in entries {
        let parts: Vec<&str> = e.name.split('.').map(|part| if digits(part) { "*" } else { part }).collect();
        let at = *index.entry((parts.join("."), &e.shape)).or_insert(kinds.len());
        match kinds.get_mut(at) {
            Some((_, count)) => *count += 1,
            None => kinds.push((e, 1)),
        }
    }
    let mut list = String::new();
    let mut shown = 0;
    for (e, count) in kinds.iter().take(20) {
        let comma = if list.is_empty() { "" } else { ", " };
        let alike = if *count > 1 { format!(" ({} more like it)", count - 1) } else { String::new() };
        let next = format!("{comma}`{}` {:?}{alike}", e.name, e.shape);
        if shown > 0 && list.len() + next.len() > LONGEST_LIST {
            break;
        }
        list += &next;
        shown += count;
    }
    match entries.len() - shown {
        0 if shown == 0 => "no tensors at all".to_owned(),
        0 => list,
        more => format!("{list} and {more} more"),
    }
}

/// Nothing was recognised: what there is, and what each layout lacks.
fn unknown(entries: &[Entry]) -> Bad {
    let native: [&[&str]; 4] = [&["W_Q"], &["W_K"], &["W_V"], &["W_O"]];
    let mut tried = vec![format!("native lacks {}", missing(entries, &native))];
    for layout in &LAYOUTS {
        let output: Vec<&str> = layout.output.iter().map(|(weight, _)| *weight).collect();
        let mut needs: Vec<&[&str]> = layout.weights.iter().map(std::slice::from_ref).collect();
        needs.push(&output);
        tried.push(format!("{} lacks {}", layout.scheme.name(), missing(entries, &needs)));
    }
    Bad::new("F014", format!("no known layout of attention weights; it holds {}", found(entries)))
        .help(tried.join("; "))
}

/// What is missing of these tensors at the place in the file that has most of them.
fn missing(entries: &[Entry], needs: &[&[&str]]) -> String {
    let mut places: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for entry in entries {
        for (i, names) in needs.iter().enumerate() {
            for prefix in names.iter().filter_map(|stem| before(&entry.name, stem)) {
                places.entry(prefix).or_default().insert(i);
            }
        }
    }
    let none = BTreeSet::new();
    let best = places.iter().min_by_key(|(_, has)| Reverse(has.len()));
    let (prefix, has) = best.map_or(("", &none), |(prefix, has)| (*prefix, has));
    let lacks = needs.iter().enumerate().filter(|(i, _)| !has.contains(i));
    lacks.map(|(_, names)| format!("`{prefix}{}`", names.join("` or `"))).collect::<Vec<_>>().join(", ")
}
