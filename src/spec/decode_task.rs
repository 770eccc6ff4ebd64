//! The section `task`: where sequences of tokens and targets come from.

use super::decode_learn::not_negative;
use super::fields::{At, Decoder, Fields, join};
use super::node::{Value, shorten};
use super::types::*;
use crate::diag::{Diagnostic, codes, did_you_mean};

const TASKS: [&str; 5] = ["teacher", "in_context_regression", "associative_recall", "digits", "file"];

pub fn task(d: &mut Decoder, at: At<'_>) -> Option<TaskSpec> {
    let (key, node) = d.choice(at, "one task, for example `{in_context_regression: {context: 8}}`")?;
    let path = join(at.path, &key.name);
    let at = At { node, path: &path };
    match key.name.as_str() {
        "teacher" => teacher(d, at).map(TaskSpec::Teacher),
        "in_context_regression" => regression(d, at).map(TaskSpec::InContextRegression),
        "associative_recall" => recall(d, at).map(TaskSpec::AssociativeRecall),
        "digits" => digits(d, at).map(TaskSpec::Digits),
        "file" => file(d, at).map(TaskSpec::File),
        other => {
            d.error(
                Diagnostic::error(codes::S009, &path, format!("`{}` is not a task", shorten(other)))
                    .help(did_you_mean(other, TASKS))
                    .at(key.span),
            );
            None
        }
    }
}

fn teacher(d: &mut Decoder, at: At<'_>) -> Option<TeacherSpec> {
    let mut f = d.map(at, "a map with `heads: FILE.safetensors` or `circuit: FILE.yaml`")?;
    let heads = f.optional(d, "heads", Decoder::string);
    let circuit = f.optional(d, "circuit", Decoder::string);
    let given = |name: &str| at.node.get(name).is_some();
    let prefix = if given("circuit") { None } else { f.optional(d, "prefix", Decoder::string) };
    let (tokens, target) = (stream(d, &mut f, "tokens"), stream(d, &mut f, "target"));
    f.finish(d);
    if given("heads") == given("circuit") {
        let what = "a teacher is either the `heads` of a file or a `circuit`";
        d.error(
            Diagnostic::error(codes::S010, at.path, what)
                .help("write `heads: FILE.safetensors` or `circuit: FILE.yaml`, one of the two")
                .at(at.node.span),
        );
        return None;
    }
    let from = match (heads, circuit) {
        (Some(heads), None) => TeacherFrom::Heads { heads, prefix },
        (None, Some(circuit)) => TeacherFrom::Circuit { circuit },
        _ => return None,
    };
    Some(TeacherSpec { from, tokens: tokens?, target: target? })
}

fn regression(d: &mut Decoder, at: At<'_>) -> Option<RegressionSpec> {
    let mut f = d.map(at, "a map with `context`")?;
    let context = f.required(d, "context", Decoder::count);
    let noise = f.optional(d, "noise", not_negative).unwrap_or(0.0);
    let (tokens, target) = (tokens_of(d, &mut f), stream(d, &mut f, "target"));
    f.finish(d);
    Some(RegressionSpec { context: context?, noise, tokens: tokens?, target: target? })
}

fn recall(d: &mut Decoder, at: At<'_>) -> Option<RecallSpec> {
    let mut f = d.map(at, "a map with `pairs`")?;
    let pairs = f.required(d, "pairs", Decoder::count);
    let (tokens, target) = (tokens_of(d, &mut f), stream(d, &mut f, "target"));
    f.finish(d);
    Some(RecallSpec { pairs: pairs?, tokens: tokens?, target: target? })
}

fn digits(d: &mut Decoder, at: At<'_>) -> Option<DigitsSpec> {
    let mut f = d.map(at, "a map with `path`")?;
    let path = f.required(d, "path", Decoder::string);
    let held_out = held_out(d, &mut f);
    let (tokens, target) = (stream(d, &mut f, "tokens"), stream(d, &mut f, "target"));
    f.finish(d);
    Some(DigitsSpec { path: path?, held_out, tokens: tokens?, target: target? })
}

fn file(d: &mut Decoder, at: At<'_>) -> Option<FileTaskSpec> {
    let mut f = d.map(at, "a map with `path`, `tokens` and `target`")?;
    let path = f.required(d, "path", Decoder::string);
    let tokens = f.required(d, "tokens", arrays);
    let target = f.required(d, "target", |d, at| match &at.node.value {
        Value::Str(array) => Some(Table(vec![(TaskSpec::TARGET.to_owned(), array.clone())])),
        _ => {
            d.choice(at, "the name of an array, or one `STREAM: ARRAY`")?;
            arrays(d, at)
        }
    });
    let held_out = held_out(d, &mut f);
    f.finish(d);
    Some(FileTaskSpec { path: path?, tokens: tokens?, target: target?, held_out })
}

/// `{STREAM: ARRAY, ...}`, at least one.
fn arrays(d: &mut Decoder, at: At<'_>) -> Option<Table<String>> {
    let arrays = d.table(at, "streams and their arrays", Decoder::string)?;
    if arrays.is_empty() {
        return d.wrong(at, "a map with at least one `STREAM: ARRAY`");
    }
    Some(arrays)
}

/// The name of a stream under `key`, or the stream of that role.
fn stream(d: &mut Decoder, f: &mut Fields<'_>, key: &'static str) -> Option<String> {
    let otherwise = if key == "tokens" { TaskSpec::TOKENS } else { TaskSpec::TARGET };
    if f.node(key).is_none() {
        return Some(otherwise.to_owned());
    }
    f.optional(d, key, |d, at| match &at.node.value {
        Value::Str(name) => Some(name.clone()),
        _ => d.wrong(at, "the name of a stream"),
    })
}

fn tokens_of(d: &mut Decoder, f: &mut Fields<'_>) -> Option<TokensOf> {
    let two = f.node("tokens").is_some_and(|n| !matches!(n.value, Value::Str(_)));
    if !two {
        return stream(d, f, "tokens").map(TokensOf::One);
    }
    f.optional(d, "tokens", |d, at| {
        let mut f = d.map(at, "the name of a stream, or `{query: STREAM, context: STREAM}`")?;
        let query = f.required(d, "query", Decoder::string);
        let context = f.required(d, "context", Decoder::string);
        f.finish(d);
        Some(TokensOf::Two { query: query?, context: context? })
    })
}

fn held_out(d: &mut Decoder, f: &mut Fields<'_>) -> f64 {
    f.optional(d, "held_out", |d, at| d.number_where(at, "above 0 and below 1", |x| x > 0.0 && x < 1.0))
        .unwrap_or(TaskSpec::HELD_OUT)
}
