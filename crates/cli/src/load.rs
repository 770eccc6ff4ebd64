//! What verbs do with a circuit before its run: the command line's changes, tokens, claims.

use super::args::Reading;
use super::report::{Failure, Reporter};
use pulvinar::attention::Streams;
use pulvinar::circuit::Circuit;
use pulvinar::compile::Compiled;
use pulvinar::diag::{Diagnostic, Diagnostics, codes};
use pulvinar::files::has_numbered_header;
use pulvinar::model::{Model, Parameters};
use pulvinar::simulate::inputs::Overrides;
use pulvinar::spec::InputSpec;
use std::path::{Path, PathBuf};

/// Follows `--threads`.
pub fn use_threads(threads: Option<u16>) {
    if let Some(n) = threads {
        // A second call within one process is refused by rayon; the first one holds.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(usize::from(n)).build_global();
    }
}

/// Reads the circuit with `--set` and `--seed`, and follows `--threads`.
pub fn model(file: &Path, reading: &Reading) -> Result<Model, Failure> {
    use_threads(reading.threads);
    Ok(Model::open(file, &Parameters { set: reading.set.clone(), seed: reading.seed })?)
}

/// `expect` claims that do not hold.
pub fn unmet(model: &Model, compiled: &Compiled) -> Diagnostics {
    let mut d = Diagnostics::new();
    let Some(expect) = &model.spec().expect else { return d };
    if let (Some(heads), Some(last)) = (&expect.heads, compiled.blocks.last()) {
        let strongest = last.heads.iter().map(|h| h.strength).fold(0.0, f64::max);
        let counted = last.heads.iter().filter(|h| h.strength >= heads.above * strongest).count();
        if counted != heads.count {
            d.push(
                Diagnostic::error(
                    codes::R002,
                    "expect.heads.count",
                    format!(
                        "expected {} heads above {} of the strongest, but the block of `{}` has {counted} ({} in all)",
                        heads.count,
                        heads.above,
                        last.block.relay,
                        last.heads.len()
                    ),
                )
                .help("`pulvinar compile FILE --explain` shows where each head came from"),
            );
        }
    }
    if let Some(blocks) = expect.blocks
        && blocks != compiled.blocks.len()
    {
        d.push(
            Diagnostic::error(
                codes::R002,
                "expect.blocks",
                format!("expected {blocks} blocks, but there are {}", compiled.blocks.len()),
            )
            .help("a block ends on every relay that receives and is not a linear copy of an earlier stream"),
        );
    }
    model.placed(d)
}

/// `--tokens FILE` is the stream `main` (or the only one); `--tokens NAME=FILE` names it.
pub fn overrides(tokens: &[String], circuit: &Circuit) -> Result<Overrides, Failure> {
    let mut all = Overrides::new();
    let is_stream = |name: &str| circuit.streams.iter().any(|s| s.name == name);
    for text in tokens {
        let (name, file) = match text.split_once('=') {
            Some((name, file)) if pulvinar::spec::is_name(name) => (name.to_owned(), PathBuf::from(file)),
            _ if streams_in(text, circuit).len() > 1 => {
                for name in streams_in(text, circuit) {
                    all.insert(name, PathBuf::from(text));
                }
                continue;
            }
            _ => {
                let name =
                    match circuit.streams.iter().filter(|s| s.positions.is_none()).collect::<Vec<_>>()[..] {
                        [only] => only.name.clone(),
                        _ if is_stream("main") => "main".to_owned(),
                        _ => {
                            return Err(Diagnostic::error(
                                codes::U002,
                                "tokens",
                                "this circuit has several streams; say which one the file is for",
                            )
                            .help(format!("write --tokens NAME={text}"))
                            .into());
                        }
                    };
                (name, PathBuf::from(text))
            }
        };
        if all.insert(name.clone(), file).is_some() {
            return Err(Diagnostic::error(
                codes::U002,
                "tokens",
                format!("--tokens gives stream `{name}` twice"),
            )
            .help("give each stream one file")
            .into());
        }
    }
    Ok(all)
}

/// The tokens of a run, which needs some; says where the first line of a table was taken for names.
pub fn tokens(model: &Model, overrides: &Overrides, out: &Reporter) -> Result<Streams, Diagnostics> {
    let streams = model.tokens(overrides)?;
    say_headers(model, overrides, |name| streams.contains_key(name), out)?;
    some(streams.iter().map(|(name, x)| (name.as_str(), x.ncols()))).map_err(|d| model.placed(d))?;
    Ok(streams)
}

/// Says where the first line of a table of tokens was taken for names, of the streams that are `read`.
pub fn say_headers(
    model: &Model,
    overrides: &Overrides,
    read: impl Fn(&str) -> bool,
    out: &Reporter,
) -> Result<(), Diagnostics> {
    for stream in model.circuit()?.streams.iter().filter(|s| read(&s.name)) {
        let file = match (overrides.get(&stream.name), &stream.input) {
            (Some(file), _) => file.clone(),
            (None, Some(InputSpec::File { path, .. })) => model.document().folder.join(path),
            _ => continue,
        };
        say_header(&file, stream.d_model, out);
    }
    Ok(())
}

/// The same of one table.
pub fn say_header(file: &Path, columns: usize, out: &Reporter) {
    if has_numbered_header(file) {
        let last = columns.saturating_sub(1);
        let file = file.display();
        out.note(&format!("`{file}`: its first line, 0 to {last}, was taken for the names of columns"));
    }
}

/// Refuses streams of no tokens, given with their names.
pub fn some<'a>(tokens: impl Iterator<Item = (&'a str, usize)>) -> Result<(), Diagnostics> {
    let mut d = Diagnostics::new();
    for (name, _) in tokens.filter(|(_, n)| *n == 0) {
        d.push(
            Diagnostic::error(
                codes::F030,
                "tokens",
                format!("stream `{name}` has no tokens: its file holds 0 rows"),
            )
            .help("a run needs one token at least; a first line of names, or of 0, 1, 2, ..., is no token"),
        );
    }
    if d.has_errors() { Err(d) } else { Ok(()) }
}

/// Streams for which the file holds an array of that name. Positions are replaced by name only.
fn streams_in(file: &str, circuit: &Circuit) -> Vec<String> {
    let entries = pulvinar::files::list_arrays(Path::new(file)).unwrap_or_default();
    let names = circuit.streams.iter().filter(|s| s.positions.is_none()).map(|s| s.name.clone());
    names.filter(|n| entries.iter().any(|e| e.name == *n)).collect()
}
