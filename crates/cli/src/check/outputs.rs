//! `check FILE --tokens x.npy --outputs y.npy`: does the circuit compute what another program gave?
//!
//! Nothing of this goes through a reading of weights: tokens in, outputs beside those that were recorded.

use super::text::short;
use crate::args::Check;
use crate::load;
use crate::report::{Failure, Outcome, Reporter};
use nalgebra::DMatrix;
use pulvinar::attention::Streams;
use pulvinar::diag::{Diagnostic, codes};
use pulvinar::files::{Array, read_table};
use pulvinar::simulate::inputs::sequences;
use pulvinar::simulate::run as run_stages;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::path::Path;

/// Tokens shown in the table, at most.
const SHOWN: usize = 32;

/// One token beside what it should be.
struct Token {
    sequence: usize,
    token: usize,
    /// the cell that is furthest off, what it gives and what it should
    cell: usize,
    here: f64,
    there: f64,
}

impl Token {
    fn error(&self) -> f64 {
        (self.here - self.there).abs()
    }
}

/// All tokens, and what counts.
struct Compared {
    tokens: Vec<Token>,
    /// largest absolute output of the other program
    largest: f64,
    worst: usize,
}

impl Compared {
    fn relative(&self, error: f64) -> f64 {
        if error == 0.0 { 0.0 } else { error / self.largest }
    }
}

pub fn run(args: &Check, out: &Reporter) -> Outcome {
    let Some(path) = &args.outputs else { return Ok(0) };
    let model = load::model(&args.file, &args.reading)?;
    let (circuit, compiled) = (model.circuit()?, model.compiled()?);
    let overrides = load::overrides(&args.tokens, &circuit)?;
    let inputs = sequences(&circuit, &model.document().folder, &overrides).map_err(|d| model.placed(d))?;
    load::say_headers(&model, &overrides, |_| true, out)?;
    let stages = compiled.stages();
    let ours = inputs.iter().map(|streams: &Streams| Ok(run_stages::<f64>(&stages, streams)?.output));
    let ours: Vec<DMatrix<f64>> = ours.collect::<Result<_, Failure>>()?;
    let theirs = recorded(path)?;
    load::say_header(path, theirs.shape[2], out);
    let found = compare(&ours, &theirs, path)?;
    let error = found.tokens[found.worst].error();
    // Written so that NaN is a no.
    let equivalent = error <= args.tolerance() * found.largest;
    if out.json {
        out.object("check", equivalent, object(args, &found, equivalent));
    } else {
        out.result(&text(args, path, &found, equivalent));
    }
    Ok(u8::from(!equivalent))
}

fn wrong(path: &Path, message: &str, help: &str) -> Diagnostic {
    Diagnostic::error(codes::F009, "", format!("`{}`: {message}", path.display())).help(help)
}

/// What another program gave: `[batch, n_tokens, d]`, every number finite.
fn recorded(path: &Path) -> Result<Array, Failure> {
    let mut array = read_table(path, None, "outputs")?;
    if array.shape.len() == 2 {
        array.shape.insert(0, 1);
    }
    if array.shape.len() != 3 {
        let message = format!(
            "outputs need the axes [n_tokens, d] or [batch, n_tokens, d], these have shape {:?}",
            array.shape
        );
        return Err(wrong(path, &message, "save what the layer writes, one token per row").into());
    }
    if array.data.is_empty() {
        let message = format!("there is nothing to compare with in an array of shape {:?}", array.shape);
        return Err(wrong(path, &message, "record at least one token").into());
    }
    Ok(array)
}

fn compare(ours: &[DMatrix<f64>], theirs: &Array, path: &Path) -> Result<Compared, Failure> {
    let &[batch, n, d] = &theirs.shape[..] else { return Err(wrong(path, "no outputs", "").into()) };
    let help =
        "record x and y in the same run; x is what the query matrix reads, y what the output matrix gives";
    if batch != ours.len() {
        let message = format!("{batch} sequences of outputs, {} of tokens", ours.len());
        return Err(wrong(path, &message, help).into());
    }
    let mut found = Compared { tokens: Vec::new(), largest: 0.0, worst: 0 };
    for (sequence, own) in ours.iter().enumerate() {
        if own.shape() != (d, n) {
            let message = format!(
                "{n} outputs of {d} numbers, but the circuit gives {} of {} on these tokens",
                own.ncols(),
                own.nrows()
            );
            return Err(wrong(path, &message, help).into());
        }
        for (token, column) in own.column_iter().enumerate() {
            let row = &theirs.data[(sequence * n + token) * d..][..d];
            found.largest = row.iter().fold(found.largest, |most, x| most.max(x.abs()));
            let far = |(here, there): (&f64, &f64)| (here - there).abs();
            let cells = column.iter().zip(row).map(far).enumerate();
            let (cell, _) = cells.fold((0, 0.0), |most, next| if next.1 > most.1 { next } else { most });
            found.tokens.push(Token { sequence, token, cell, here: column[cell], there: row[cell] });
        }
    }
    let errors = found.tokens.iter().map(Token::error).enumerate();
    found.worst = errors.fold((0, 0.0), |most, next| if next.1 > most.1 { next } else { most }).0;
    Ok(found)
}

fn number(x: f64) -> Value {
    if x.is_finite() { json!(x) } else { Value::Null }
}

fn object(args: &Check, found: &Compared, equivalent: bool) -> Map<String, Value> {
    let one = |t: &Token| {
        json!({
            "sequence": t.sequence, "token": t.token, "max_abs_error": number(t.error()),
            "max_rel_error": number(found.relative(t.error())),
        })
    };
    let worst = &found.tokens[found.worst];
    let object = json!({
        "equivalent": equivalent,
        "method": "outputs",
        "max_abs_error": number(worst.error()),
        "max_rel_error": number(found.relative(worst.error())),
        "tolerance": args.tolerance(),
        "conditional": false,
        "assumed": [],
        "not_read": [],
        "ignored": [],
        "largest_output": found.largest,
        "worst": {
            "sequence": worst.sequence, "token": worst.token, "cell": worst.cell, "circuit": number(worst.here),
            "outputs": worst.there,
        },
        "tokens": found.tokens.iter().map(one).collect::<Vec<_>>(),
    });
    object.as_object().cloned().unwrap_or_default()
}

fn text(args: &Check, path: &Path, found: &Compared, equivalent: bool) -> String {
    let mut text = String::new();
    let word = if equivalent { "equivalent" } else { "NOT equivalent" };
    let n = found.tokens.len();
    let s = if n == 1 { "" } else { "s" };
    let _ = writeln!(
        text,
        "{word}: {} and {} on {n} token{s} of {}",
        args.file.display(),
        path.display(),
        args.tokens.join(", ")
    );
    let worst = &found.tokens[found.worst];
    let _ = writeln!(
        text,
        "  largest error {}, {} of the largest output {}; tolerance {}\n  \
         it is in cell {} of token {} of sequence {} (from 0): {} here, {} there",
        short(worst.error()),
        short(found.relative(worst.error())),
        short(found.largest),
        short(args.tolerance()),
        worst.cell,
        worst.token,
        worst.sequence,
        worst.here,
        worst.there
    );
    let _ = writeln!(text, "\n  {:>8} {:>6} {:>10} {:>10}", "sequence", "token", "max abs", "max rel");
    for t in found.tokens.iter().take(SHOWN) {
        let (error, relative) = (short(t.error()), short(found.relative(t.error())));
        let _ = writeln!(text, "  {:>8} {:>6} {error:>10} {relative:>10}", t.sequence, t.token);
    }
    if n > SHOWN {
        let _ = writeln!(text, "  and {} more (--format json has them all)", n - SHOWN);
    }
    text
}
