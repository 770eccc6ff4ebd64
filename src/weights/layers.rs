//! The names of each layout, and which layer of a file is meant.

use super::Scheme;
use crate::diag::{nearest, one_of};
use crate::files::{Bad, Entry};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// How the matrices of a layout are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `[outputs, inputs]`, heads one after another
    Rows,
    /// `[inputs, outputs]`
    Columns,
    /// either of the two; the shapes of all matrices together say which
    Either,
    /// `[heads, inputs, outputs]`
    Cubes,
}

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
    pub form: Form,
}

const OUT_PROJ: (&str, &str) = ("out_proj.weight", "out_proj.bias");

pub(super) const LAYOUTS: [Layout; 7] = [
    Layout {
        scheme: Scheme::Torch,
        weights: &["in_proj_weight"],
        biases: &["in_proj_bias"],
        output: &[OUT_PROJ],
        form: Form::Rows,
    },
    Layout {
        scheme: Scheme::Torch,
        weights: &["q_proj_weight", "k_proj_weight", "v_proj_weight"],
        biases: &["in_proj_bias"],
        output: &[OUT_PROJ],
        form: Form::Rows,
    },
    Layout {
        scheme: Scheme::Separate,
        weights: &["q_proj.weight", "k_proj.weight", "v_proj.weight"],
        biases: &["q_proj.bias", "k_proj.bias", "v_proj.bias"],
        output: &[("o_proj.weight", "o_proj.bias"), OUT_PROJ],
        form: Form::Rows,
    },
    Layout {
        scheme: Scheme::Separate,
        weights: &["to_q.weight", "to_k.weight", "to_v.weight"],
        biases: &["to_q.bias", "to_k.bias", "to_v.bias"],
        output: &[("to_out.weight", "to_out.bias")],
        form: Form::Rows,
    },
    Layout {
        scheme: Scheme::Bert,
        weights: &["self.query.weight", "self.key.weight", "self.value.weight"],
        biases: &["self.query.bias", "self.key.bias", "self.value.bias"],
        output: &[("output.dense.weight", "output.dense.bias")],
        form: Form::Rows,
    },
    Layout {
        scheme: Scheme::Gpt2,
        weights: &["c_attn.weight"],
        biases: &["c_attn.bias"],
        output: &[("c_proj.weight", "c_proj.bias")],
        form: Form::Either,
    },
    Layout {
        scheme: Scheme::TransformerLens,
        weights: &["W_Q", "W_K", "W_V"],
        biases: &["b_Q", "b_K", "b_V"],
        output: &[("W_O", "b_O")],
        form: Form::Cubes,
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
pub(super) fn before<'a>(name: &'a str, stem: &str) -> Option<&'a str> {
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
        return Err(super::unknown::layout(entries));
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
