//! `pulvinar new [TEMPLATE]`: starter circuits, the shipped ones that show one idea each.

use super::args::New;
use super::output;
use super::report::{Outcome, Reporter};
use pulvinar::diag::{Diagnostic, codes, did_you_mean};
use serde_json::json;
use std::fmt::Write as _;

/// The one that is run in spikes and does not compile.
const SPIKING: &str = "match_and_control";

/// Name, one line, text.
const STARTERS: [(&str, &str, &str); 9] = [
    (
        "attention_mask_head",
        "one head, one microcolumn for each pair of tokens",
        include_str!("../../../circuits/one_head_attention_mask.yaml"),
    ),
    (
        "key_value_memory_head",
        "one head, superficial key-value memory",
        include_str!("../../../circuits/one_head_key_value_memory.yaml"),
    ),
    (
        "multihead",
        "four areas as four heads between core and matrix relays, with a residual path",
        include_str!("../../../circuits/multihead_cortico_thalamic.yaml"),
    ),
    (
        "softmax_head",
        "softmax by divisive inhibition",
        include_str!("../../../circuits/softmax_divisive.yaml"),
    ),
    (
        "cross_attention",
        "one area attends to another stream",
        include_str!("../../../circuits/cross_attention.yaml"),
    ),
    (
        "hierarchy",
        "three blocks through higher-order relays",
        include_str!("../../../circuits/three_level_hierarchy.yaml"),
    ),
    (
        "delta_memory",
        "a memory that corrects its own recall",
        include_str!("../../../circuits/delta_memory.yaml"),
    ),
    (
        "dale_head",
        "a head of excitatory weights and rates above zero",
        include_str!("../../../circuits/dale_head.yaml"),
    ),
    (
        SPIKING,
        "keys and queries as spike trains on a pyramidal neuron (no heads; `simulate` runs it in trials)",
        include_str!("../../../circuits/match_and_control.yaml"),
    ),
];

pub fn run(args: &New, out: &Reporter) -> Outcome {
    let Some(name) = &args.template else {
        if args.output.is_some() {
            return Err(Diagnostic::error(codes::U005, "", "`-o` needs a template to write")
                .help(
                    "write `pulvinar new attention_mask_head -o FILE`; without `-o` the templates are listed",
                )
                .into());
        }
        return Ok(list(out));
    };
    let Some((_, _, text)) = STARTERS.iter().find(|(n, _, _)| n == name) else {
        return Err(Diagnostic::error(codes::U005, "", format!("no template `{name}`"))
            .help(did_you_mean(name, STARTERS.iter().map(|(n, _, _)| *n)))
            .into());
    };
    let Some(file) = &args.output else {
        out.text("new", text);
        return Ok(0);
    };
    if output::is_stdout(file) {
        out.text("new", text);
        return Ok(0);
    }
    output::may_be_written(file, output::CIRCUITS, "a circuit", args.force)?;
    output::write(file, text, out)?;
    if out.json {
        let mut rest = serde_json::Map::new();
        rest.insert("files".to_owned(), json!([file.display().to_string()]));
        out.object("new", true, rest);
    } else {
        let next = if name == SPIKING { "simulate" } else { "compile" };
        out.note(&format!("wrote {}; next: pulvinar {next} {}", file.display(), file.display()));
    }
    Ok(0)
}

fn list(out: &Reporter) -> u8 {
    if out.json {
        let all: Vec<_> =
            STARTERS.iter().map(|(n, line, _)| json!({"name": n, "description": line})).collect();
        let mut rest = serde_json::Map::new();
        rest.insert("templates".to_owned(), json!(all));
        out.object("new", true, rest);
        return 0;
    }
    let mut text = String::from("Starter circuits (pulvinar new NAME -o FILE):\n");
    for (name, line, _) in STARTERS {
        let _ = writeln!(text, "  {name:22} {line}");
    }
    text.push_str(
        "\nTemplates of an area (`template: {NAME: {query, context, to, d_k, d_v}}` in a circuit):\n",
    );
    for (name, line) in pulvinar::spec::template::list() {
        let _ = writeln!(text, "  {name:22} {line}");
    }
    out.result(&text);
    0
}
