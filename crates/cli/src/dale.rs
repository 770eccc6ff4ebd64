//! Plus/minus forms that are known to be the circuit that they came from.

use nalgebra::DMatrix;
use pulvinar::attention::equivalence::{OutOfScope, distance, gaussian_inputs, probe};
use pulvinar::attention::{Block, Streams};
use pulvinar::circuit::Circuit;
use pulvinar::compile::Compiled;
use pulvinar::diag::{Diagnostic, Diagnostics, codes};
use pulvinar::model::{Model, Parameters};
use pulvinar::seed;
use pulvinar::simulate;
use pulvinar::weights::dale::{Rewritten, rewrite};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Largest relative difference of heads, paths and biases that counts as rounding.
const TOLERANCE: f64 = 1e-9;
/// Token counts of the drawn inputs that both circuits run on.
const LENGTHS: [usize; 3] = [1, 2, 5];

/// The plus/minus form of a circuit, read back from its text and found to be the same function.
///
/// # Errors
/// What `compile` says of a circuit that is not attention; `N024` where there is no such form, or where the one that was
/// found does not compile to the same function.
pub fn plus_minus(model: &Model) -> Result<(Rewritten, String), Diagnostics> {
    let (circuit, signed) = (model.circuit()?, model.heads()?);
    let new = rewrite(model.spec(), &circuit).map_err(|d| model.placed(d))?;
    let text = new.to_yaml();
    let why = match reread(&text, model) {
        Ok(again) => differs(&signed, &again, &circuit),
        Err(why) => Some(why),
    };
    why.map_or(Ok((new, text)), |why| Err(model.placed(refused(&circuit, &why))))
}

fn refused(circuit: &Circuit, why: &str) -> Diagnostic {
    let what = format!("`{}` has no plus/minus form that compiles to the same heads: {why}", circuit.name);
    Diagnostic::error(codes::N024, "", what)
        .help("nothing was written; the signed circuit still compiles and runs: `pulvinar explain N024`")
}

fn reread(text: &str, model: &Model) -> Result<Arc<Compiled>, String> {
    let read = Model::read(text.as_bytes(), &model.document().folder, &Parameters::default());
    read.and_then(|m| m.heads())
        .map_err(|d| d.0.first().map_or_else(String::new, |d| format!("{} ({})", d.message, d.code)))
}

/// Why two circuits are not one function: block by block where they have the same blocks, else by running both.
fn differs(signed: &Compiled, again: &Compiled, circuit: &Circuit) -> Option<String> {
    let (old, new) = (signed.plain_blocks(), again.plain_blocks());
    let heads = |blocks: &[Block]| blocks.iter().map(|b| b.heads.is_empty()).collect::<Vec<_>>();
    if heads(&old) != heads(&new) {
        return by_running(&old, &new, circuit);
    }
    let names: BTreeMap<&str, &str> =
        new.iter().zip(&old).map(|(n, o)| (n.relay.as_str(), o.relay.as_str())).collect();
    for (a, b) in old.iter().zip(&new) {
        let b = renamed(b, &names);
        let apart = match distance(a, &b) {
            Ok(found) => found.relative(),
            Err(OutOfScope::Head { .. }) => match gaussian_inputs(a, &b, 0) {
                Ok(inputs) => {
                    let seen = probe(a, &b, &inputs);
                    if seen.one_failed { f64::INFINITY } else { seen.relative }
                }
                Err(e) => return Some(e.to_string()),
            },
            Err(e) => return Some(e.to_string()),
        };
        if apart > TOLERANCE {
            return Some(format!("block `{}` is {apart:.1e} of its size away", a.relay));
        }
    }
    None
}

/// The block with the names that relays have in the signed circuit.
fn renamed(block: &Block, names: &BTreeMap<&str, &str>) -> Block {
    let mut block = block.clone();
    let rename = |name: &mut String| {
        if let Some(old) = names.get(name.as_str()) {
            (*old).clone_into(name);
        }
    };
    rename(&mut block.relay);
    for h in &mut block.heads {
        [&mut h.query_stream, &mut h.context_stream, &mut h.value_stream].into_iter().for_each(rename);
    }
    block.residual.iter_mut().for_each(|path| rename(&mut path.stream));
    block
}

fn by_running(old: &[Block], new: &[Block], circuit: &Circuit) -> Option<String> {
    for length in LENGTHS {
        let drawn = |s: &pulvinar::circuit::Stream| {
            let clock = if s.clock == 0 { length } else { length + 1 };
            let mut rng = seed::stream(0, &format!("dale.{}.{length}", s.name));
            (s.name.clone(), DMatrix::from_fn(s.d_model, clock, |_, _| seed::normal(&mut rng)))
        };
        let tokens: Streams = circuit.streams.iter().map(drawn).collect();
        match (simulate::run::<f64>(old, &tokens), simulate::run::<f64>(new, &tokens)) {
            (Ok(a), Ok(b)) if a.output.shape() == b.output.shape() => {
                let size = a.streams.values().map(DMatrix::amax).fold(a.output.amax(), f64::max);
                let apart = (a.output - b.output).amax() / size;
                if apart > TOLERANCE {
                    return Some(format!("its output is {apart:.1e} of its size away"));
                }
            }
            (Err(_), Err(_)) => {}
            _ => return Some("one of the two does not run on tokens on which the other does".to_owned()),
        }
    }
    None
}
