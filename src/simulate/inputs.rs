//! Tokens: drawn by name, or read from files.

use super::positions;
use crate::attention::Streams;
use crate::circuit::{Circuit, Stream};
use crate::diag::{Diagnostic, Diagnostics, codes, did_you_mean};
use crate::spec::{InputSpec, PositionsSpec};
use crate::{files, memory, seed};
use nalgebra::DMatrix;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Most numbers that one stream may hold.
pub(super) const MAX_NUMBERS: usize = 200_000_000;

/// Where `--tokens` takes a stream from: a file, and an array in it (by default the one named like the stream).
pub type Overrides = BTreeMap<String, PathBuf>;

/// The tokens of every input stream that the compiled part of the circuit needs, `[d_model, n_tokens]` each.
///
/// `overrides` replaces the circuit's own input for some streams; relative paths in the circuit start at `folder`.
///
/// # Errors
/// Unknown stream names, streams without input, files that cannot be read, widths or lengths that do not fit.
pub fn inputs(circuit: &Circuit, folder: &Path, overrides: &Overrides) -> Result<Streams, Diagnostics> {
    let one = |stream: &Stream, given: Option<&PathBuf>| whole(circuit, stream, folder, given);
    gather(circuit, overrides, one, numbered, DMatrix::ncols)
}

/// The first `n` tokens of a stream of positions.
fn numbered(stream: &Stream, spec: &PositionsSpec, n: usize) -> Result<DMatrix<f64>, Diagnostic> {
    positions::fit(stream, spec, n, n)?;
    Ok(positions::tokens(spec, 0, n))
}

/// What `one` makes of every stream that is needed, and `numbered` of positions that nothing replaces; as many `tokens` on each
/// clock.
pub(super) fn gather<X>(
    circuit: &Circuit,
    overrides: &Overrides,
    mut one: impl FnMut(&Stream, Option<&PathBuf>) -> Result<X, Diagnostic>,
    numbered: impl Fn(&Stream, &PositionsSpec, usize) -> Result<X, Diagnostic>,
    tokens: impl Fn(&X) -> usize,
) -> Result<BTreeMap<String, X>, Diagnostics> {
    let mut d = Diagnostics::new();
    for name in overrides.keys() {
        if !circuit.streams.iter().any(|s| s.name == *name) {
            d.push(
                Diagnostic::error(codes::U002, "tokens", format!("--tokens {name}=...: no stream `{name}`"))
                    .help(did_you_mean(name, circuit.streams.iter().map(|s| s.name.as_str()))),
            );
        }
    }
    let mut streams: BTreeMap<String, X> = BTreeMap::new();
    // What follows a clock comes after its owner.
    let (counted, given): (Vec<_>, Vec<_>) = circuit
        .streams
        .iter()
        .enumerate()
        .map(|(number, stream)| (number, stream, overrides.get(&stream.name)))
        .filter(|(number, _, given)| given.is_some() || is_needed(circuit, *number))
        .partition(|(_, stream, given)| stream.positions.is_some() && given.is_none());
    for (_, stream, given) in given.into_iter().chain(counted) {
        let made = match (&stream.positions, given) {
            (Some(spec), None) => {
                let Some(owner) = streams.get(&circuit.streams[stream.clock].name) else { continue };
                numbered(stream, spec, tokens(owner))
            }
            _ => one(stream, given),
        };
        match made {
            Ok(tokens) => {
                streams.insert(stream.name.clone(), tokens);
            }
            Err(e) => d.push(e),
        }
    }
    for stream in &circuit.streams {
        let owner = &circuit.streams[stream.clock];
        if let (Some(a), Some(b)) = (streams.get(&stream.name), streams.get(&owner.name))
            && tokens(a) != tokens(b)
        {
            d.push(
                Diagnostic::error(
                    codes::F013,
                    format!("tokens.streams.{}", stream.name),
                    format!(
                        "stream `{}` has {} tokens, but `{}`, whose clock it shares, has {}",
                        stream.name,
                        tokens(a),
                        owner.name,
                        tokens(b)
                    ),
                )
                .help("streams on one clock need the same number of tokens"),
            );
        }
    }
    if d.has_errors() {
        circuit.places.locate(&mut d);
        return Err(d);
    }
    Ok(streams)
}

/// Does a compiled relay read the stream, or does something that is compiled follow its clock?
fn is_needed(circuit: &Circuit, number: usize) -> bool {
    circuit.order.iter().any(|id| {
        let p = circuit.population(*id);
        let read = matches!(p.kind, crate::circuit::Kind::Relay { stream: Some(s), .. } if s == number);
        read || p.query_clock == Some(number) || p.context_clock == Some(number)
    })
}

/// Where the circuit speaks of a stream.
fn place(circuit: &Circuit, stream: &Stream) -> String {
    if circuit.streams.len() == 1 && stream.name == "main" {
        "tokens".to_owned()
    } else {
        format!("tokens.streams.{}", stream.name)
    }
}

/// An error of the file that the circuit itself names, at the line that names it.
pub(super) fn in_circuit(circuit: &Circuit, stream: &Stream, error: Diagnostic) -> Diagnostic {
    if !error.path.is_empty() {
        return error;
    }
    Diagnostic { path: format!("{}.input.file.path", place(circuit, stream)), ..error }
}

/// `F009` for tokens of another width than the stream's.
pub(super) fn check_width(circuit: &Circuit, stream: &Stream, width: usize) -> Result<(), Diagnostic> {
    if width == stream.d_model {
        return Ok(());
    }
    Err(Diagnostic::error(
        codes::F009,
        place(circuit, stream),
        format!("tokens of `{}` have {width} numbers each, but d_model is {}", stream.name, stream.d_model),
    )
    .help("one row per token, one column per number; transpose the file or change d_model"))
}

/// All tokens of a stream.
pub(super) fn whole(
    circuit: &Circuit,
    stream: &Stream,
    folder: &Path,
    given: Option<&PathBuf>,
) -> Result<DMatrix<f64>, Diagnostic> {
    let path = place(circuit, stream);
    let tokens = match (given, &stream.input) {
        (Some(file), _) => from_file(circuit, file, None, stream)?,
        (None, Some(InputSpec::File { path: file, array })) => {
            from_file(circuit, &folder.join(file), array.as_deref(), stream)
                .map_err(|e| in_circuit(circuit, stream, e))?
        }
        (None, Some(InputSpec::Values(rows))) => {
            DMatrix::from_fn(rows[0].len(), rows.len(), |i, j| rows[j][i])
        }
        (None, Some(InputSpec::Gaussian { length, std })) => {
            if length.checked_mul(stream.d_model).is_none_or(|n| n > MAX_NUMBERS) {
                return Err(Diagnostic::error(
                    codes::C006,
                    format!("{path}.input.gaussian.length"),
                    format!("{length} tokens of {} numbers each are too many; a stream may hold {MAX_NUMBERS} numbers", stream.d_model),
                )
                .help("use fewer tokens; nothing was allocated"));
            }
            let bytes = memory::bytes(length * stream.d_model, 32);
            memory::check(codes::C080, &format!("{path}.input.gaussian.length"), "its tokens", bytes)?;
            let mut rng = seed::stream(circuit.seed, &format!("tokens.{}", stream.name));
            let numbers: Vec<f64> =
                (0..length * stream.d_model).map(|_| std * seed::normal(&mut rng)).collect();
            // Token after token: one column each.
            DMatrix::from_vec(stream.d_model, *length, numbers)
        }
        (None, None) => {
            return Err(Diagnostic::error(
                codes::U003,
                path,
                format!("stream `{}` has no tokens", stream.name),
            )
            .help(format!("give them: `--tokens {}=FILE.npy`, or add `input:` to the stream", stream.name)));
        }
    };
    check_width(circuit, stream, tokens.nrows())?;
    Ok(tokens)
}

/// Reads an array; in a file with several, the one named `array`, else the one named like the stream.
fn from_file(
    circuit: &Circuit,
    file: &Path,
    array: Option<&str>,
    stream: &Stream,
) -> Result<DMatrix<f64>, Diagnostic> {
    let too_long = |d: Diagnostic| {
        if d.code == codes::F005 { d.help("`simulate --stream` reads .npy files of any length") } else { d }
    };
    // A table has no names, and is read once.
    if files::Format::of(file).is_ok_and(|format| format == files::Format::Csv) {
        return files::read_tokens(file, array).map_err(too_long);
    }
    let listed = files::list_arrays(file).map_err(too_long)?;
    let name = array.or_else(|| listed.iter().any(|e| e.name == stream.name).then_some(stream.name.as_str()));
    let entry = listed.iter().find(|e| name.is_none_or(|name| e.name == name)).filter(|e| e.shape.len() == 2);
    if let Some(entry) = entry.filter(|_| listed.len() == 1 || name.is_some()) {
        // Known before a number is read: a small archive may hold gigabytes.
        check_width(circuit, stream, entry.shape[1])?;
    }
    files::read_tokens(file, name).map_err(too_long)
}

/// The array of a file that is named like the stream, if there is one.
fn own_array(file: &Path, stream: &Stream) -> Result<Option<String>, Diagnostic> {
    let named = files::list_arrays(file)?.iter().any(|e| e.name == stream.name);
    Ok(named.then(|| stream.name.clone()))
}

/// The tokens of every stream, once for each sequence: files of `overrides` may hold `[batch, n_tokens, d_model]`.
///
/// Streams of one sequence go with all sequences of the others. Tokens that nobody gave are not drawn: another program
/// cannot have seen them.
///
/// # Errors
/// As [`inputs()`], `F009` for numbers of sequences that do not go together or no tokens, `U003` for a stream whose
/// tokens would be drawn.
pub fn sequences(
    circuit: &Circuit,
    folder: &Path,
    overrides: &Overrides,
) -> Result<Vec<Streams>, Diagnostics> {
    let one = |stream: &Stream, given: Option<&PathBuf>| match given {
        Some(file) => batch(circuit, stream, file),
        None if matches!(stream.input, Some(InputSpec::Gaussian { .. })) => Err(Diagnostic::error(
            codes::U003,
            place(circuit, stream),
            format!(
                "nobody gave the tokens of stream `{}`, and drawn ones are not what was recorded",
                stream.name
            ),
        )
        .help(format!("give them: --tokens {}=FILE.npy", stream.name))),
        None => Ok(vec![whole(circuit, stream, folder, None)?]),
    };
    let same = |stream: &Stream, spec: &PositionsSpec, n| Ok(vec![numbered(stream, spec, n)?]);
    let all = gather(circuit, overrides, one, same, |list| list.first().map_or(0, DMatrix::ncols))?;
    let count = all.values().map(Vec::len).max().unwrap_or(0);
    if let Some((name, list)) = all.iter().find(|(_, list)| list.len() != count && list.len() != 1) {
        let message = format!("stream `{name}` has {} sequences, another {count}", list.len());
        return Err(Diagnostic::error(codes::F009, "", message)
            .help("all streams need as many sequences, or one for all")
            .into());
    }
    let of = |n: usize| {
        let pick = |(name, list): (&String, &Vec<DMatrix<f64>>)| {
            Some((name.clone(), list.get(n).or_else(|| list.first())?.clone()))
        };
        all.iter().filter_map(pick).collect()
    };
    Ok((0..count).map(of).collect())
}

/// The sequences of a file.
fn batch(circuit: &Circuit, stream: &Stream, file: &Path) -> Result<Vec<DMatrix<f64>>, Diagnostic> {
    let name = own_array(file, stream)?;
    let array = files::read_array(file, name.as_deref())?;
    array.require_finite("tokens").map_err(|bad| bad.in_file(file))?;
    let wrong = |message: String| {
        Diagnostic::error(codes::F009, "", format!("`{}`: {message}", file.display()))
            .help("tokens are [n_tokens, d_model] or [batch, n_tokens, d_model], one token per row")
    };
    let (count, n, d) = match array.shape[..] {
        [n, d] => (1, n, d),
        [count, n, d] => (count, n, d),
        _ => return Err(wrong(format!("an array of shape {:?} holds no tokens", array.shape))),
    };
    if array.data.is_empty() {
        return Err(wrong(format!("no tokens in an array of shape {:?}", array.shape)));
    }
    check_width(circuit, stream, d)?;
    let each = array.data.chunks_exact(n * d).take(count);
    Ok(each.map(|numbers| DMatrix::from_column_slice(d, n, numbers)).collect())
}
