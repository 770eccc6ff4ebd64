//! `pulvinar compile FILE`: circuit -> heads.

use super::args::{Compile, Emit};
use super::dale::plus_minus;
use super::emit;
use super::load;
use super::output;
use super::report::{Failure, Outcome, Reporter, diagnostics_json, exit_code};
use clap::ValueEnum;
use pulvinar::attention::{Head, Kernel};
use pulvinar::compile::{Compiled, CompiledBlock, CompiledMap, Step, explain::explain};
use pulvinar::diag::{Diagnostic, codes};
use pulvinar::model::Model;
use pulvinar::spec::Document;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::fmt::Write;

pub fn run(args: &Compile, out: &Reporter) -> Outcome {
    if let Some(path) = &args.output {
        output::for_emit(path, args.emit, args.force)?;
        if output::is_stdout(path) && out.json {
            return Err(Diagnostic::error(
                codes::U005,
                "",
                "`-o -` and `--format json` both write to stdout",
            )
            .help("give -o the name of a file, or leave `--format json` out")
            .into());
        }
    }
    let model = load::model(&args.file, &args.reading)?;
    let document = model.document();
    // Early stages can be looked at when a later one fails.
    if let Some(stage @ Emit::Spec) = args.emit
        && !args.explain
    {
        emitted(args, out, stage, &pulvinar::spec::to_yaml(&document.spec), Map::new(), true)?;
        return Ok(0);
    }
    if let Some(stage @ (Emit::Graph | Emit::Dot | Emit::Svg)) = args.emit
        && document.spec.spikes()
        && !args.explain
    {
        let circuit = model.spikes()?;
        let text = match stage {
            Emit::Graph => circuit.to_string(),
            Emit::Dot => emit::spikes_dot(&circuit),
            _ => emit::svg(&circuit.drawn())?,
        };
        emitted(args, out, stage, &text, Map::new(), true)?;
        return Ok(0);
    }
    let circuit = model.circuit()?;
    if args.dale {
        return dale(&model, out);
    }
    let early = match args.emit {
        Some(Emit::Spec) => Some(pulvinar::spec::to_yaml(&document.spec)),
        Some(Emit::Graph) => Some(circuit.to_string()),
        Some(Emit::Dot) => Some(emit::dot(&circuit)),
        Some(Emit::Svg) => Some(emit::svg(&circuit)?),
        _ => None,
    };
    if let (Some(stage), Some(text), false) = (args.emit, &early, args.explain) {
        emitted(args, out, stage, text, Map::new(), true)?;
        return Ok(0);
    }
    // What is explained is compiled as well; a stage that has a file of its own is not printed.
    let own = args.output.as_deref().filter(|path| args.emit.is_some_and(|s| output::takes(s, path)));
    if let (Some(path), Some(text)) = (own, &early) {
        output::write(path, text, out)?;
        output::say(path, out);
    }
    let compiled = model.compiled()?;
    let unmet = load::unmet(&model, &compiled);
    if let Some(path) = args.output.as_ref().filter(|_| own.is_none()) {
        if let Some(map) = compiled.maps.first() {
            let what = format!("a heads file cannot hold the map `{}`", map.map.name);
            return Err(Diagnostic::error(codes::F012, "", what)
                .help("run `pulvinar explain F012` for what it can hold; `--emit heads` prints maps too")
                .into());
        }
        let blocks = compiled.plain_blocks();
        output::put(path, |path| Ok(pulvinar::weights::write_heads(path, &blocks)?), out)?;
        output::say(path, out);
    }
    let stage = early.filter(|_| own.is_none()).or_else(|| match args.emit {
        Some(Emit::Factors) => Some(compiled.factors.to_string()),
        Some(Emit::Heads) => Some(emit::heads(&compiled)),
        _ => None,
    });
    let origins = args.explain.then(|| explain(&compiled, &circuit, |p| document.line(p)));
    let is_said = args.output.as_deref().is_some_and(output::is_stdout);
    if out.json {
        let mut rest = if stage.is_some() { Map::new() } else { object(&compiled) };
        rest.insert("name".to_owned(), json!(document.spec.name));
        rest.insert("seed".to_owned(), json!(document.spec.seed));
        rest.insert("diagnostics".to_owned(), diagnostics_json(&unmet));
        if let Some(path) = &args.output {
            rest.insert("files".to_owned(), json!([path.display().to_string()]));
        }
        if let Some(text) = origins {
            rest.insert("explain".to_owned(), json!(text));
        }
        match (args.emit, stage) {
            (Some(name), Some(text)) => emitted(args, out, name, &text, rest, !unmet.has_errors())?,
            _ => out.object("compile", !unmet.has_errors(), rest),
        }
    } else {
        match (args.emit, stage) {
            (Some(name), Some(text)) => emitted(args, out, name, &text, Map::new(), true)?,
            _ if is_said => {}
            _ => out.result(&report(document, &compiled)),
        }
        if let Some(text) = origins.filter(|_| !is_said) {
            out.result(&text);
        }
        out.draw(&unmet);
    }
    Ok(exit_code(&unmet))
}

/// The circuit with plus and minus cells.
fn dale(model: &Model, out: &Reporter) -> Outcome {
    let (new, text) = plus_minus(model)?;
    if out.json {
        let mut rest = Map::new();
        rest.insert("remarks".to_owned(), json!(new.remarks));
        rest.insert("text".to_owned(), json!(text));
        out.object("compile", true, rest);
    } else {
        out.result(&text);
        new.remarks.iter().for_each(|remark| out.note(remark));
    }
    Ok(0)
}

/// One stage: to the file that it was given, else to stdout; in JSON it is the value of `text`.
fn emitted(
    args: &Compile,
    out: &Reporter,
    stage: Emit,
    text: &str,
    mut rest: Map<String, Value>,
    ok: bool,
) -> Result<(), Failure> {
    let name = stage.to_possible_value().map_or_else(String::new, |v| v.get_name().to_owned());
    let given = args.output.as_deref();
    if let Some(path) = given.filter(|path| output::takes(stage, path)) {
        output::write(path, text, out)?;
        output::say(path, out);
    } else if given.is_none() && !out.json {
        out.result(text);
    }
    if out.json {
        rest.insert("emit".to_owned(), json!(name));
        match given {
            Some(path) => rest.insert("files".to_owned(), json!([path.display().to_string()])),
            None => rest.insert("text".to_owned(), json!(text)),
        };
        out.object("compile", ok, rest);
    }
    Ok(())
}

/// The report for people: every block and its heads.
pub(super) fn report(document: &Document, compiled: &Compiled) -> String {
    let mut text = String::new();
    let blocks = compiled.blocks.len();
    let heads: usize = compiled.blocks.iter().map(|b| b.heads.len()).sum();
    let maps = match compiled.maps.len() {
        0 => String::new(),
        n => format!(", {n} map{}", plural(n)),
    };
    let _ = writeln!(
        text,
        "{}: {heads} head{} in {blocks} block{}{maps} (seed {})",
        document.spec.name,
        plural(heads),
        plural(blocks),
        document.spec.seed
    );
    for step in &compiled.steps {
        let block = match step {
            Step::Map(m) => {
                let map = &compiled.maps[*m];
                let (name, sources, d) = (&map.map.name, map.sources.join(", "), map.map.d_model());
                let _ = writeln!(text, "\nmap {name} <- {sources} (per token): d_model {d}");
                continue;
            }
            Step::Block(b) => &compiled.blocks[*b],
        };
        let b = &block.block;
        let residual: Vec<&str> = b.residual.iter().map(|r| r.stream.as_str()).collect();
        let path = if residual.is_empty() { "none".to_owned() } else { residual.join(", ") };
        let bias = if b.b_o.iter().any(|x| *x != 0.0) { ", output bias" } else { "" };
        let _ = writeln!(text, "\nblock {}: d_model {}, residual from {path}{bias}", b.relay, b.d_model);
        if block.heads.is_empty() {
            let _ = writeln!(text, "  no heads: a linear combination of earlier streams");
            continue;
        }
        let _ = writeln!(
            text,
            "  {:>4} {:>5} {:>5} {:>11} {:>9}  {:<8} {:<7} {:<15} {:<12} area",
            "head", "d_k", "d_v", "strength", "lateral", "mask", "memory", "kernel", "q <- kv"
        );
        for (number, h) in block.heads.iter().enumerate() {
            let head = &h.head;
            let streams = format!("{} <- {}", head.query_stream, head.context_stream);
            let _ = writeln!(
                text,
                "  {:>4} {:>5} {:>5} {:>11} {:>9}  {:<8} {:<7} {:<15} {:<12} {}",
                number,
                head.d_key(),
                head.d_value(),
                number_text(h.strength),
                number_text(h.singular),
                head.mask.name(),
                head.memory.name(),
                kernel_text(head),
                streams,
                head.area
            );
        }
    }
    text
}

/// Four significant digits.
fn number_text(x: f64) -> String {
    if x == 0.0 || (1e-3..1e5).contains(&x.abs()) { format!("{x:.4}") } else { format!("{x:.3e}") }
}

fn kernel_text(head: &Head) -> String {
    let kernel = match head.kernel {
        Kernel::Power(n) => format!("power {n}"),
        other => other.name().to_owned(),
    };
    let sink = if head.sink.is_some() { ", sink" } else { "" };
    match (head.kernel, head.normalisation.name()) {
        (Kernel::Exp, "sum") => format!("softmax{sink}"),
        (_, "sum") => format!("{kernel} / sum{sink}"),
        _ => kernel,
    }
}

fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}

/// The contract's JSON: the blocks, and the keys of the output block once more at the top.
fn object(compiled: &Compiled) -> Map<String, Value> {
    let blocks: Vec<Value> = compiled.blocks.iter().map(|b| Value::Object(block_json(b))).collect();
    let mut rest = match compiled.steps.last() {
        Some(Step::Map(m)) => map_json(&compiled.maps[*m]),
        _ => compiled.blocks.last().map(block_json).unwrap_or_default(),
    };
    rest.insert("blocks".to_owned(), Value::Array(blocks));
    let stage = |step: &Step| match step {
        Step::Map(m) => {
            let mut map = map_json(&compiled.maps[*m]);
            map.insert("kind".to_owned(), json!("map"));
            Value::Object(map)
        }
        Step::Block(b) => json!({"kind": "block", "relay": compiled.blocks[*b].block.relay, "block": b}),
    };
    rest.insert("stages".to_owned(), Value::Array(compiled.steps.iter().map(stage).collect()));
    rest
}

/// A map: the stream that it makes, those that it reads, and its cells.
fn map_json(map: &CompiledMap) -> Map<String, Value> {
    let cells =
        map.parts.iter().map(|p| json!({"population": p.name, "activation": p.activation, "loop": p.looped}));
    let mut object = Map::new();
    object.insert("relay".to_owned(), json!(map.map.name));
    object.insert("d_model".to_owned(), json!(map.map.d_model()));
    let reads: Vec<&str> = map.map.inputs.iter().map(|i| i.stream.as_str()).collect();
    object.insert("reads".to_owned(), json!(reads));
    object.insert("cells".to_owned(), Value::Array(cells.collect()));
    object
}

fn block_json(block: &CompiledBlock) -> Map<String, Value> {
    let b = &block.block;
    let shared = |get: fn(&Head) -> Cow<'static, str>| -> Cow<'static, str> {
        let mut names = b.heads.iter().map(get);
        match names.next() {
            None => "none".into(),
            Some(first) if names.all(|n| n == first) => first,
            Some(_) => "mixed".into(),
        }
    };
    let heads: Vec<Value> = block
        .heads
        .iter()
        .map(|h| {
            let head = &h.head;
            let decay = match head.memory {
                pulvinar::attention::Memory::Decay(g) => json!(g),
                _ => Value::Null,
            };
            json!({
                "d_key": head.d_key(),
                "d_value": head.d_value(),
                "strength": finite(h.strength),
                "lateral_singular_value": finite(h.singular),
                "area": head.area,
                "mask": head.mask.name(),
                "kernel": head.kernel.name(),
                "exponent": match head.kernel { Kernel::Power(n) => json!(n), _ => Value::Null },
                "scale": head.scale,
                "normalisation": head.normalisation.name(),
                "memory": head.memory.name(),
                "decay": decay,
                "query_stream": head.query_stream,
                "context_stream": head.context_stream,
                "value_stream": head.value_stream,
            })
        })
        .collect();
    let mut map = Map::new();
    map.insert("relay".to_owned(), json!(b.relay));
    map.insert("d_model".to_owned(), json!(b.d_model));
    map.insert("mask".to_owned(), json!(shared(|h| h.mask.name())));
    map.insert("kernel".to_owned(), json!(shared(|h| h.kernel.name().into())));
    map.insert("normalisation".to_owned(), json!(shared(|h| h.normalisation.name().into())));
    map.insert("memory".to_owned(), json!(shared(|h| h.memory.name().into())));
    map.insert(
        "residual".to_owned(),
        json!(b.residual.iter().map(|r| r.stream.as_str()).collect::<Vec<_>>()),
    );
    let singular: Vec<Value> = block.heads.iter().map(|h| finite(h.singular)).collect();
    map.insert("lateral_singular_values".to_owned(), Value::Array(singular));
    map.insert("heads".to_owned(), Value::Array(heads));
    map
}

/// No NaN in JSON.
fn finite(x: f64) -> Value {
    if x.is_finite() { json!(x) } else { Value::Null }
}
