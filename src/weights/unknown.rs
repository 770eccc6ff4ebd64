//! What is said of a file in which no layout is found: what looks like attention in it, and what it lacks.

use super::layers::{LAYOUTS, before};
use crate::files::{Bad, Entry};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Parts of names of what may be attention.
const ALIKE: [&str; 18] = [
    "attn",
    "attention",
    "query",
    "key",
    "value",
    "qkv",
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "out_proj",
    "in_proj",
    "to_q",
    "q_lin",
    "w_q",
    "w_k",
    "w_v",
    "w_o",
];

/// Parts of names that only models without attention have, parts that speak against it, and what those models are.
const WITHOUT: [(&[&str], &[&str], &str); 2] = [
    (
        &["a_log", "dt_proj", "dt_bias", "x_proj", "conv1d", "log_dt", "ssm"],
        &["attn", "qkv", "q_proj"],
        "a state-space model (Mamba and its kin)",
    ),
    (
        &[
            "time_decay",
            "time_first",
            "time_mix",
            "time_maa",
            "time_faaaa",
            "receptance",
            "w_lora",
            "r_proj",
            ".r_k",
            ".k_k",
        ],
        &["q_proj", "query"],
        "a WKV model (RWKV), whose state fades channel by channel",
    ),
];

/// Nothing was recognised.
pub(super) fn layout(entries: &[Entry]) -> Bad {
    let alike: Vec<&Entry> = entries.iter().filter(|e| has(&e.name, &ALIKE)).collect();
    // Two different words: a layer called `ssm` may be anything.
    let any = |words: &[&str]| entries.iter().any(|e| has(&e.name, words));
    let without = WITHOUT
        .iter()
        .find(|(words, against, _)| words.iter().filter(|word| any(&[word])).count() > 1 && !any(against));
    if let Some((words, _, what)) = without {
        let shown: Vec<&Entry> = entries.iter().filter(|e| has(&e.name, words)).collect();
        return Bad::new("F014", format!("no attention here: {what}, by {}", found(&shown)))
            .help("what it computes is no head; only attention layers can be read");
    }
    if alike.is_empty() {
        let all: Vec<&Entry> = entries.iter().collect();
        return Bad::new(
            "F014",
            format!("no tensor is named like attention; the file holds {}", found(&all)),
        )
        .help(format!("read are layers with {}", known()));
    }
    let (name, lacks) = nearest(entries);
    Bad::new("F014", format!("no known layout of attention weights; like attention are {}", found(&alike)))
        .help(format!("the nearest is {name}, which lacks {lacks}"))
}

/// Whether a part of the name holds one of the words.
fn has(name: &str, words: &[&str]) -> bool {
    let name = name.to_lowercase();
    words.iter().any(|word| name.contains(word))
}

/// The first tensors of all layouts.
fn known() -> String {
    let names = LAYOUTS.iter().map(|l| format!("`{}` ({})", l.weights[0], l.scheme.name()));
    names.collect::<Vec<_>>().join(", ")
}

/// The layout of which most is there, and what is not.
fn nearest(entries: &[Entry]) -> (&'static str, String) {
    let mut best: Option<(usize, &'static str, String)> = None;
    for layout in &LAYOUTS {
        let output: Vec<&str> = layout.output.iter().map(|(weight, _)| *weight).collect();
        let mut needs: Vec<&[&str]> = layout.weights.iter().map(std::slice::from_ref).collect();
        needs.push(&output);
        let (there, lacks) = missing(entries, &needs);
        if best.as_ref().is_none_or(|(most, ..)| there > *most) {
            best = Some((there, layout.scheme.name(), lacks));
        }
    }
    best.map(|(_, name, lacks)| (name, lacks)).unwrap_or_default()
}

/// How many of these tensors are there, at the place in the file that has most of them, and which are not.
fn missing(entries: &[Entry], needs: &[&[&str]]) -> (usize, String) {
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
    let lacks = lacks.map(|(_, names)| format!("`{prefix}{}`", names.join("` or `")));
    (has.len(), lacks.collect::<Vec<_>>().join(", "))
}

/// Characters of a list of tensors: a message has room for 600 in all.
const LONGEST_LIST: usize = 430;

/// The tensors of a file for a message, at most 20; those that differ by the number of their layer are told once.
fn found(entries: &[&Entry]) -> String {
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
