//! The compiled stages, one after another.

use crate::attention::growth::growing;
use crate::attention::{AsStage, Block, ForwardError, Memory, Stage, StageRef, Streams, forward};
use crate::circuit::{Circuit, Population};
use crate::diag::{Diagnostic, Diagnostics, codes};
use crate::linalg::Real;
use crate::spec::AccumulateSpec;
use nalgebra::DMatrix;

/// What a run gives.
#[derive(Clone, Debug)]
pub struct Run<T: Real = f64> {
    /// output of the last stage, `[d_model, n_tokens]`
    pub output: DMatrix<T>,
    /// input streams and the output of every stage, by name
    pub streams: Streams<T>,
}

/// Runs all stages (or blocks) in the precision `T` on `inputs`, one token per column.
///
/// Cost is linear in the number of tokens for linear and feature-map heads. The same input gives the same bytes for
/// any number of threads.
///
/// # Errors
/// `R001` when a stage diverges (division of a non-zero number by zero, overflow, a loop that does not settle).
pub fn run<T: Real>(stages: &[impl AsStage<f64>], inputs: &Streams) -> Result<Run<T>, Diagnostic> {
    let mut streams: Streams<T> =
        inputs.iter().map(|(name, tokens)| (name.clone(), tokens.map(<T as Real>::from_f64))).collect();
    let mut output = DMatrix::zeros(0, 0);
    for stage in stages.iter().map(AsStage::as_stage) {
        output = match stage {
            StageRef::Block(block) => {
                let narrow: Block<T> = in_precision(block)?;
                forward(&narrow, &streams).map_err(|e| diverged(&block.relay, &e))?
            }
            StageRef::Map(map) => {
                let narrow = Stage::from(map.cast::<T>());
                narrow.forward(&streams).map_err(|e| diverged(&map.name, &e))?
            }
        };
        streams.insert(stage.name().to_owned(), output.clone());
    }
    Ok(Run { output, streams })
}

/// A block in the precision `T`.
///
/// # Errors
/// `U005` for a decay that the precision rounds to nothing: a memory without memory is another circuit.
pub fn in_precision<T: Real>(block: &Block) -> Result<Block<T>, Diagnostic> {
    let narrow: Block<T> = block.cast();
    for (head, rounded) in block.heads.iter().zip(&narrow.heads) {
        if let (Memory::Decay(g), Memory::Decay(zero)) = (&head.memory, &rounded.memory)
            && *g > 0.0
            && *zero == T::zero()
        {
            let what = format!(
                "a memory of block `{}` decays by {g:?}, which is 0 in single precision",
                block.relay
            );
            return Err(Diagnostic::error(codes::U005, "", what).help("run it with `--precision f64`"));
        }
    }
    Ok(narrow)
}

/// A warning for each delta memory that ran away on `streams`, inputs and outputs of blocks.
#[must_use]
pub fn runaway(circuit: &Circuit, blocks: &[Block], streams: &Streams) -> Diagnostics {
    let mut found = Diagnostics::new();
    for (block, grown) in blocks.iter().flat_map(|b| growing(b, streams).into_iter().map(move |g| (b, g))) {
        let area = &block.heads[grown.head].area;
        let is_delta = |p: &&Population| matches!(p.accumulate, Some(AccumulateSpec::Delta { .. }));
        let mut memories = circuit.populations.iter().filter(is_delta);
        let of_area =
            |p: &&Population| p.name.strip_prefix(area.as_str()).is_some_and(|r| r.starts_with('.'));
        let memory = memories.clone().find(of_area).or_else(|| memories.next());
        let (name, path) = memory.map_or((area.as_str(), ""), |p| (p.name.as_str(), p.path.as_str()));
        let factor = grown.to / grown.from;
        let rose = if factor.is_finite() { format!("{factor:.1e}-fold") } else { "without bound".to_owned() };
        let what = format!(
            "the delta memory `{name}` was still growing when its tokens ended: its largest number rose {rose} in the \
             second half, to {:.1e}; rate x |key|^2 is {:.3} at token {}",
            grown.to, grown.strength, grown.token
        );
        found.push(Diagnostic::warning(codes::R005, path, what).help(
            "above 2 a write overshoots what it corrects, ever more: lower the rate (or gate), or shorten the keys (`gain` on their projection)",
        ));
    }
    found
}

/// What a block says of its tokens.
pub(super) fn diverged(relay: &str, error: &ForwardError) -> Diagnostic {
    match error {
        ForwardError::DivisionByZero { .. } | ForwardError::Underflow { .. } | ForwardError::NotFinite { .. } | ForwardError::OutputNotFinite { .. } => {
            Diagnostic::error(codes::R001, "", format!("block `{relay}` diverged: {error}")).help(
                "smaller tokens or weights keep exponentials finite; a divisor that can be zero needs another kernel",
            )
        }
        ForwardError::InMap { map, error } => match **error {
            ForwardError::CellsDivideByZero { .. } | ForwardError::CellsNotFinite { .. } => {
                Diagnostic::error(codes::R001, "", format!("map `{map}` diverged: {error}"))
                    .help("smaller tokens or weights keep rates finite; add a `tonic` input to a divisor that can be silent")
            }
            ForwardError::Unsettled { .. } => {
                Diagnostic::error(codes::R001, "", format!("map `{map}` diverged: {error}"))
                    .help("weaken the projections of the loop, or divide by them: cells that excite each other grow without end")
            }
            _ => Diagnostic::error(codes::R003, "", format!("map `{map}` does not run on these tokens: {error}"))
                .help("give every stream that the circuit reads tokens of its width, and as many as its clock has"),
        },
        other => Diagnostic::error(codes::R003, "", format!("block `{relay}` does not run on these tokens: {other}"))
            .help("give every stream that the circuit reads tokens of its width, and as many as its clock has"),
    }
}
