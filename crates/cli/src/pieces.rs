//! `pulvinar simulate FILE --stream`: compiled heads on tokens that are read and written piece by piece.

use super::args::{Precision, Simulate};
use super::interrupt;
use super::progress::bar;
use super::report::{Failure, Outcome, Reporter};
use super::resolved::Tokens;
use super::run_files::{RunFiles, claim};
use super::simulate::Ending;
use super::{load, page};
use nalgebra::DMatrix;
use pulvinar::attention::Block;
use pulvinar::circuit::Circuit;
use pulvinar::compile::Compiled;
use pulvinar::diag::{Diagnostic, Diagnostics, codes};
use pulvinar::files::{Claim, PutRows, little_endian, write_npy_rows};
use pulvinar::linalg::Real;
use pulvinar::model::Model;
use pulvinar::seed::Checksum;
use pulvinar::simulate::Fingerprint;
use pulvinar::simulate::algebraic::in_precision;
use pulvinar::simulate::inputs::Overrides;
use pulvinar::simulate::pieces::{self, Feeds, feeds};

/// A circuit that is to be run.
pub struct Job<'a> {
    pub args: &'a Simulate,
    pub model: &'a Model,
    pub circuit: &'a Circuit,
    pub compiled: &'a Compiled,
    pub overrides: &'a Overrides,
}

/// Why a run ended early.
enum Stop {
    Failed(Failure),
    Interrupted,
}

impl From<Diagnostic> for Stop {
    fn from(d: Diagnostic) -> Self {
        Self::Failed(d.into())
    }
}

/// What the output came to.
#[derive(Default)]
struct Sums {
    sha256: Checksum,
    fingerprint: Fingerprint,
    largest: f64,
}

impl Job<'_> {
    pub fn run(&self, out: &Reporter) -> Outcome {
        let placed = |d| self.model.placed(d);
        let mut feeds = feeds(self.circuit, &self.model.document().folder, self.overrides).map_err(placed)?;
        for (name, feed) in &feeds {
            out.detail(&format!("stream {name}: {} tokens x {}", feed.n_tokens(), feed.width()));
        }
        load::some(feeds.iter().map(|(name, feed)| (name.as_str(), feed.n_tokens()))).map_err(placed)?;
        let claim = self.args.output.as_ref().map(|dir| claim(dir, self.args.force)).transpose()?;
        interrupt::listen();
        let done = match self.args.precision {
            Precision::F64 => self.pass::<f64>(&mut feeds, claim.as_ref(), out),
            Precision::F32 => self.pass::<f32>(&mut feeds, claim.as_ref(), out),
        };
        match done {
            Ok(()) => Ok(0),
            Err(Stop::Interrupted) => Ok(interrupt::code()),
            Err(Stop::Failed(failure)) => Err(failure),
        }
    }

    fn pass<T: Real>(&self, feeds: &mut Feeds, claim: Option<&Claim>, out: &Reporter) -> Result<(), Stop> {
        let narrow = self.compiled.blocks.iter().map(|b| in_precision(&b.block));
        let blocks: Vec<Block<T>> = narrow.collect::<Result<_, _>>()?;
        let (n, width) = pieces::output_shape(&blocks, feeds);
        let bar = bar(out, pieces::n_passes(&blocks) * pieces::n_pieces(feeds), "pieces");
        let mut work = |put: PutRows<'_, T>| {
            let mut sums = Sums::default();
            let output = |y: &DMatrix<T>| {
                sums.sha256.add(&little_endian(y.as_slice()));
                sums.fingerprint.add(y);
                sums.largest = y.iter().map(|x| x.to_f64().abs()).fold(sums.largest, f64::max);
                put(y).map_err(|e| {
                    Diagnostic::error(codes::F004, "", format!("output.npy could not be written: {e}")).into()
                })
            };
            let done = || {
                bar.inc(1);
                if interrupt::asked() { Err(Stop::Interrupted) } else { Ok(()) }
            };
            pieces::run(&blocks, feeds, output, done).map(|()| sums)
        };
        let (mut folder, sums) = match claim {
            None => (None, work(&mut |_| Ok(()))?),
            Some(claim) => {
                let opened =
                    RunFiles::open(claim, self.model.document(), self.circuit, Tokens::Left, self.overrides);
                let mut folder = opened.map_err(Stop::Failed)?;
                let sums = write_npy_rows(&folder.path("output.npy"), (n, width), work)?;
                (Some(folder), sums)
            }
        };
        bar.finish_and_clear();
        let (sha256, fingerprint) = (sums.sha256.hex(), sums.fingerprint.hex::<T>());
        let tokens =
            feeds.iter().map(|(name, feed)| (name.as_str(), feed.n_tokens(), feed.width())).collect();
        let mut ending = Ending {
            shape: [n, width],
            sha256: &sha256,
            fingerprint: fingerprint.as_deref(),
            largest: sums.largest,
            files: &[],
            tokens,
            warnings: Diagnostics::default(),
        };
        let files = match folder.take() {
            None => Vec::new(),
            Some(folder) => self.close(folder, &ending).map_err(Stop::Failed)?,
        };
        ending.files = &files;
        ending.tell(self.args, self.circuit, self.compiled, out);
        Ok(())
    }

    /// Page and manifest.
    fn close(&self, mut folder: RunFiles<'_>, ending: &Ending<'_>) -> Result<Vec<String>, Failure> {
        let mut page =
            page::begun(self.model.document(), self.circuit, "simulate", &ending.facts(self.args))?;
        page.sections.extend(page::attention(Ok(self.compiled), None)?);
        folder.report(&page)?;
        ending.close(self.args, folder)
    }
}
