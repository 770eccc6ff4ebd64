//! Everything inside an attention module is understood, or the layer is refused.
//!
//! A tensor below the module's prefix is read as one of its matrices or biases, or is known to change nothing (a mask
//! that says what it is, the LayerNorm behind BERT's output matrix), or is left out because the user says so. Anything
//! else would make the heads another function than the layer: `F018`. So do tensors above the module that all layers
//! share and that enter the scores, such as rotary frequencies.
//!
//! **Deliberately absent:** a list of what is refused. [`CHANGES`] only finds the words.

use super::Scheme;
use super::heads::Found;
use super::layers::Layer;
use super::masks::{self, Buffer};
use crate::attention::Mask;
use crate::diag::did_you_mean;
use crate::files::{Bad, Entry, Tensors};

/// Parts of names, and what such a tensor would do to the heads; the first that fits is told.
const CHANGES: [(&[&str], &str); 24] = [
    (&["lora", "lokr_", "loha", "hada_", "ia3", "oft_", "boft_", "vera_", "adapter", "dora"], ADAPTER),
    (
        &[
            "absmax",
            "quant",
            "qweight",
            "qzeros",
            "scales",
            "weight_scale",
            "input_scale",
            "zero_point",
            "scb",
        ],
        "scale weights that were quantised",
    ),
    (&["sink"], "add a score to every sum"),
    (&["bias_k"], "add a key"),
    (&["bias_v"], "add a value"),
    (&["query_global", "key_global", "value_global", "global"], "let some tokens see all others"),
    (&["gru_rel_pos"], "gate scores that depend on distance"),
    (
        &["rotary", "rope", "inv_freq", "cos_cached", "sin_cached", "freqs"],
        "rotate queries and keys by position",
    ),
    (
        &[
            "rel_pos",
            "relative",
            "rel_attn",
            "rel_emb",
            "rel_bias",
            "alibi",
            "distance",
            "pos_bias",
            "pos_emb",
            "pos_key",
            "pos_query",
            "pos_proj",
            "linear_pos",
            "r_r_bias",
            "r_w_bias",
            "r_s_bias",
            "r_net",
            "position_bias",
            "bias_table",
        ],
        "make scores depend on distance",
    ),
    (&["seg_embed", "token_type"], "make scores depend on segments"),
    (
        &["inner_attn_ln", "sub_norm", "subln", "sub_layernorm", "g_norm", "gn.", "group_norm", "o_norm"],
        "normalise the heads before the output matrix",
    ),
    (&["q_norm", "query_norm", "q_layernorm", "q_ln", "ln_q", "norm_q"], "normalise queries"),
    (&["k_norm", "key_norm", "k_layernorm", "k_ln", "ln_k", "norm_k"], "normalise keys"),
    (&["v_norm", "value_norm", "v_layernorm", "norm_v"], "normalise values"),
    (
        &["head_scale", "head_gate", "c_attn_scale", "gamma", "layer_scale", "layerscale"],
        "scale heads or their output",
    ),
    (
        &["a_log", "dt_", "decay", "gk_", "gk.", "a_proj", "f_proj", "fgate", "w0", "time_"],
        "let what is remembered fade",
    ),
    (&["lambda"], "subtract one softmax of scores from another"),
    (&["conv"], "mix neighbouring tokens before the heads"),
    (&["feature_map"], "map queries and keys before their product"),
    (&["g_proj", "gate"], "gate the heads"),
    (&["b_proj", "beta"], "set how strongly each token is written"),
    (&["q_attn", "query_proj", "mem_k", "mem_v"], "add keys, values or queries of other tokens"),
    (&["temperature", "logit_scale", "scale"], "scale the scores"),
    (&["norm", "layernorm", "layer_norm", "ln"], "normalise tokens inside the module"),
];

const ADAPTER: &str = "change the weights: an adapter that is not in them yet";

/// Words of names for what enters the scores of all layers.
const SHARED: [&str; 9] = [
    "rotary",
    "rope",
    "inv_freq",
    "alibi",
    "rel_pos",
    "relative_position",
    "relative_attention",
    "rel_embeddings",
    "rel_attn",
];

/// Words of metadata keys that say that there is more to the scores.
const SAID: [&str; 9] =
    ["rope", "rotary", "window", "softcap", "alibi", "sink", "clip", "relative", "qk_norm"];

/// What was found beside the matrices of a layer.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// The mask that the file states, and the tensor that does.
    pub mask: Option<(String, Mask)>,
    /// Tensors that nothing was made of, ignored ones among them.
    pub not_read: Vec<String>,
    /// Those that would be refused if they were not to be ignored.
    pub ignored: Vec<String>,
}

/// Goes through all tensors but those of the layer itself.
pub(super) fn survey(
    file: &mut Tensors,
    entries: &[Entry],
    layer: Layer,
    ignore: &[String],
    found: &Found,
) -> Result<Beside, Bad> {
    let mut beside = Beside { ignored: found.ignored.clone(), ..Beside::default() };
    let ignore: Vec<String> = ignore.iter().filter(|i| !found.ignored.contains(i)).cloned().collect();
    let mut unread: Vec<(String, &'static str)> = Vec::new();
    let asked = |name: &str| ignore.iter().any(|i| i == name || name.strip_prefix(layer.prefix) == Some(i));
    let mut met: Vec<&str> = Vec::new();
    for entry in entries {
        let name = entry.name.as_str();
        if found.read.contains(name) {
            continue;
        }
        if found.around.iter().any(|a| a == name) {
            beside.not_read.push(name.to_owned());
            continue;
        }
        let Some(stem) = name.strip_prefix(layer.prefix) else {
            if is_shared(name, layer.prefix) {
                met.push(name);
                if asked(name) {
                    beside.ignored.push(name.to_owned());
                } else {
                    unread.push((name.to_owned(), change(name)));
                }
            }
            continue;
        };
        if found.named.reads(stem) {
            if asked(name) {
                return Err(Bad::new("F018", format!("tensor `{name}` is read, so it cannot be ignored"))
                    .help("--ignore leaves out tensors that a head has no place for"));
            }
            continue;
        }
        met.push(name);
        if asked(name) {
            beside.ignored.push(name.to_owned());
            beside.not_read.push(name.to_owned());
        } else if after_output(layer, stem) {
            beside.not_read.push(name.to_owned());
        } else if !is_harmless(file, entry, stem, &mut beside)? {
            unread.push((name.to_owned(), change(stem)));
        }
    }
    let metadata = file.metadata();
    for key in metadata.keys().filter(|key| is_said(key)) {
        if ignore.contains(key) {
            beside.ignored.push(key.clone());
        } else {
            unread.push((key.clone(), change(key)));
        }
    }
    let known =
        |i: &&String| !met.iter().any(|name| *name == *i || name.strip_prefix(layer.prefix) == Some(i));
    if let Some(stranger) = ignore.iter().filter(|i| !metadata.contains_key(*i)).find(known) {
        return Err(
            Bad::new("F008", format!("no tensor `{stranger}` to ignore")).help(did_you_mean(stranger, met))
        );
    }
    if unread.is_empty() { Ok(beside) } else { Err(refused(&unread, layer, &metadata)) }
}

/// BERT's own LayerNorm, which acts on the sum of output and tokens.
fn after_output(layer: Layer, stem: &str) -> bool {
    let ends = ["weight", "bias", "gamma", "beta"];
    layer.layout.scheme == Scheme::Bert
        && stem.strip_prefix("output.LayerNorm.").is_some_and(|end| ends.contains(&end))
}

/// Buffers whose content says that they are what their name says.
fn is_harmless(file: &mut Tensors, entry: &Entry, stem: &str, beside: &mut Beside) -> Result<bool, Bad> {
    let Some(kind) = masks::buffer(stem, &entry.shape) else { return Ok(false) };
    let array = file.read(&entry.name)?;
    match kind {
        Buffer::Filling if masks::is_filling(&array) => {}
        Buffer::PositionIds if masks::counts(&array) => {}
        Buffer::Filling | Buffer::PositionIds => return Ok(false),
        Buffer::Mask => match (masks::mask(&entry.name, &array)?, &beside.mask) {
            (Some(found), Some((other, mask))) if found != *mask => {
                return Err(Bad::new(
                    "F012",
                    format!("`{other}` is a {} mask, `{}` a {} one", mask.name(), entry.name, found.name()),
                )
                .help("say which holds: --ignore the other"));
            }
            (Some(found), None) => {
                beside.mask = Some((entry.name.clone(), found));
                return Ok(true);
            }
            (Some(_), Some(_)) => return Ok(true),
            (None, _) => {}
        },
    }
    beside.not_read.push(entry.name.clone());
    Ok(true)
}

/// Whether a tensor outside the module enters the scores of all layers: its own module hangs above this one, or is that
/// of a layer of the same stack, whose numbers the others use.
fn is_shared(name: &str, prefix: &str) -> bool {
    let is_word = |part: &str| SHARED.iter().any(|word| part.to_lowercase().starts_with(word));
    let mut at = 0;
    for part in name.split('.') {
        if is_word(part) {
            let (above, layer) = (starred(&name[..at]), starred(prefix));
            return layer.starts_with(&above) || above.starts_with(&layer);
        }
        at += part.len() + 1;
    }
    false
}

/// A path whose numbers do not count.
fn starred(path: &str) -> Vec<&str> {
    let is_number = |part: &str| part.parse::<usize>().is_ok();
    path.split_terminator('.').map(|part| if is_number(part) { "*" } else { part }).collect()
}

fn is_said(key: &str) -> bool {
    let key = key.to_lowercase();
    SAID.iter().any(|word| key.contains(word))
}

/// What a tensor of that name would do.
fn change(name: &str) -> &'static str {
    let name = name.to_lowercase();
    // Where a word begins: `lora_A`, not `explora_tion`.
    let begins = |part: &str| {
        name.match_indices(part).any(|(at, _)| !name[..at].ends_with(|c: char| c.is_ascii_alphanumeric()))
    };
    let found = CHANGES.iter().find(|(parts, _)| parts.iter().any(|part| begins(part)));
    found.map_or("do something that this program does not know", |(_, what)| what)
}

fn refused(
    unread: &[(String, &'static str)],
    layer: Layer,
    metadata: &std::collections::BTreeMap<String, String>,
) -> Bad {
    // What can be named is told first.
    let first = unread.iter().position(|(_, what)| *what != change("")).unwrap_or(0);
    let (name, what) = &unread[first];
    let more = match unread.len() - 1 {
        0 => String::new(),
        n => {
            let others = unread.iter().enumerate().filter(|(i, _)| *i != first);
            let shown: Vec<String> = others.take(3).map(|(_, (name, _))| format!("`{name}`")).collect();
            let rest = n - shown.len();
            let rest = if rest == 0 { String::new() } else { format!(" and {rest} more") };
            format!("; nor are {}{rest}", shown.join(", "))
        }
    };
    let place = match layer.prefix.trim_end_matches('.') {
        _ if metadata.contains_key(name) => format!("metadata `{name}` is not read"),
        "" => format!("tensor `{name}` beside the heads is not read"),
        module if name.starts_with(layer.prefix) => format!("tensor `{name}` inside `{module}` is not read"),
        _ => format!("tensor `{name}`, which all layers share, is not read"),
    };
    let way_out = if *what == ADAPTER {
        "merge the adapters into the weights (peft: `merge_and_unload()`) and save them again".to_owned()
    } else {
        "only layers without it can be read".to_owned()
    };
    Bad::new("F018", format!("{place}; it would {what}{more}"))
        .help(format!("{way_out}, or take the responsibility: --ignore {name}"))
}
