//! Tokens that both sides are run on.

use super::super::args::Check;
use super::super::load;
use super::super::report::{Failure, Reporter};
use pulvinar::attention::Streams;
use pulvinar::attention::equivalence::Input;
use pulvinar::circuit::Circuit;
use pulvinar::model::Model;
use pulvinar::simulate::run;
use pulvinar::spec::InputSpec;

/// Tokens of the command line, else the circuit's own, carried through the blocks before the one that is compared.
pub(super) fn given(
    args: &Check,
    model: &Model,
    index: usize,
    out: &Reporter,
) -> Result<Vec<Input>, Failure> {
    let circuit = model.circuit()?;
    let overrides = load::overrides(&args.tokens, &circuit)?;
    let asked = !overrides.is_empty();
    let streams = match load::tokens(model, &overrides, out) {
        Ok(streams) => streams,
        Err(d) if asked => return Err(d.into()),
        Err(d) => {
            out.detail(&format!("only Gaussian tokens are run: {d}"));
            return Ok(Vec::new());
        }
    };
    let before = model.heads()?.plain_blocks();
    let streams: Streams = match run::<f64>(&before[..index], &streams) {
        Ok(ran) => ran.streams,
        Err(d) if asked => return Err(d.into()),
        Err(d) => {
            out.detail(&format!("only Gaussian tokens are run: {d}"));
            return Ok(Vec::new());
        }
    };
    let name = if asked { args.tokens.join(", ") } else { own(&circuit) };
    Ok(vec![Input { name, streams }])
}

fn own(circuit: &Circuit) -> String {
    let from_file = |i: &Option<InputSpec>| matches!(i, Some(InputSpec::File { .. } | InputSpec::Values(_)));
    let real = circuit.streams.iter().any(|s| from_file(&s.input));
    if real { "the circuit's tokens".to_owned() } else { "the circuit's drawn tokens".to_owned() }
}
