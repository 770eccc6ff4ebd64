//! Sequences of tokens and targets, to learn from and to be measured on.
//!
//! 1. `resolve` finds the streams that the task names, checks widths and clocks, and knows how long each is.
//! 2. `draw` makes in-context regression and associative recall, `teacher` runs another block, `data` cuts files.
//! 3. [`regression_floor`] has the loss of a given head on in-context regression in closed form, [`recall_floor`] the
//!    least that linear heads can reach in recall.
//!
//! Sequence `k` is a pure function of the circuit's seed, the split and `k`, whichever thread asks for it and in
//! whatever order.
//!
//! **Deliberately absent:** the loss, weights, learning.

mod data;
mod draw;
pub mod recall_floor;
pub mod regression_floor;
mod resolve;
mod teacher;

use crate::attention::{Block, Streams};
use crate::circuit::Circuit;
use crate::diag::{Diagnostic, Diagnostics};
use crate::seed;
use crate::spec::TaskSpec;
use data::Data;
use draw::{Recall, Regression};
use nalgebra::DMatrix;
use rand_chacha::ChaCha8Rng;
use resolve::Resolved;
use std::path::Path;
use teacher::Teacher;

pub use super::sequences::Split;

/// One kind of sequences, resolved against a circuit: all sizes are known and checked.
#[derive(Clone, Debug)]
pub struct Task {
    streams: Resolved,
    kind: Kind,
    train: ChaCha8Rng,
    held_out: ChaCha8Rng,
}

#[derive(Clone, Debug)]
enum Kind {
    Teacher(Box<Teacher>),
    Regression(Regression),
    Recall(Recall),
    Data(Data),
}

impl Task {
    /// Resolves a task. `teacher` holds the blocks of the teacher, one after another, for
    /// [`TaskSpec::Teacher`] and is not looked at for others; paths start at `folder`.
    ///
    /// # Errors
    /// `C001` no such stream, `C060` streams that do not fit the task or the output, `C061` a stream that nobody
    /// fills, `C006` sequences that are too long, `F...` files that cannot be read or hold something else.
    ///
    /// # Panics
    /// If the task has a teacher and `teacher` is `None`.
    pub fn new(
        spec: &TaskSpec,
        circuit: &Circuit,
        folder: &Path,
        teacher: Option<Vec<Block>>,
    ) -> Result<Self, Diagnostics> {
        let (streams, kind) = match spec {
            TaskSpec::Teacher(t) => {
                let blocks = teacher.expect("the blocks of the teacher");
                let (streams, teacher) = Teacher::new(t, circuit, blocks)?;
                (streams, Kind::Teacher(Box::new(teacher)))
            }
            TaskSpec::InContextRegression(t) => {
                let (streams, regression) = Regression::new(t, circuit)?;
                (streams, Kind::Regression(regression))
            }
            TaskSpec::AssociativeRecall(t) => {
                let (streams, recall) = Recall::new(t, circuit)?;
                (streams, Kind::Recall(recall))
            }
            TaskSpec::Digits(t) => {
                let (streams, data) = Data::digits(t, circuit, folder)?;
                (streams, Kind::Data(data))
            }
            TaskSpec::File(t) => {
                let (streams, data) = Data::file(t, circuit, folder)?;
                (streams, Kind::Data(data))
            }
        };
        Ok(Self {
            streams,
            kind,
            train: seed::stream(circuit.seed, "task.train"),
            held_out: seed::stream(circuit.seed, "task.held_out"),
        })
    }

    /// Name and number of tokens of every stream that a sequence has.
    pub fn lengths(&self) -> impl Iterator<Item = (&str, usize)> {
        self.streams.all.iter().map(|s| (s.name.as_str(), s.length))
    }

    /// The stream that carries the targets.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.streams.all[self.streams.target].name
    }

    /// Number of sequences of a finite data set; `None` where they never end.
    #[must_use]
    pub fn size(&self, split: Split) -> Option<u64> {
        match &self.kind {
            Kind::Data(data) => Some(data.size(split)),
            _ => None,
        }
    }

    /// Of in-context regression: what [`regression_floor`] needs to know.
    #[must_use]
    pub fn regression(&self) -> Option<regression_floor::Setting> {
        match &self.kind {
            Kind::Regression(task) => Some(task.setting()),
            _ => None,
        }
    }

    /// Of associative recall: what [`recall_floor`] needs to know.
    #[must_use]
    pub fn recall(&self) -> Option<recall_floor::Setting> {
        match &self.kind {
            Kind::Recall(task) => Some(task.setting()),
            _ => None,
        }
    }

    /// Matrices of the right shapes, `[d_model, n_tokens]`, to be filled again and again; positions stand in theirs already.
    #[must_use]
    pub fn sample(&self) -> Streams {
        self.streams.all.iter().map(|s| (s.name.clone(), s.blank())).collect()
    }

    /// Fills `streams` (from [`Task::sample`]) with sequence number `index`.
    ///
    /// Of a finite data set the sequences to learn from come in a new order each time round, held-out ones always in the
    /// same. Only a teacher allocates.
    ///
    /// # Errors
    /// `R001` when the teacher diverges on these tokens.
    ///
    /// # Panics
    /// If `streams` are not those of [`Task::sample`].
    pub fn fill(&self, split: Split, index: u64, streams: &mut Streams) -> Result<(), Diagnostic> {
        let family = match split {
            Split::Train => &self.train,
            Split::HeldOut => &self.held_out,
        };
        match &self.kind {
            Kind::Data(data) => data.fill(family, split, index, streams),
            Kind::Regression(task) => task.fill(&mut seed::member(family, index), streams),
            Kind::Recall(task) => task.fill(&mut seed::member(family, index), streams),
            Kind::Teacher(task) => return task.fill(&mut seed::member(family, index), streams),
        }
        Ok(())
    }

    /// Of a task of classes: how many counted tokens have their largest output where the target has its largest, and
    /// how many are counted. `None` for other tasks. Both are `[d_model, n_tokens]`.
    #[must_use]
    pub fn right(&self, y: &DMatrix<f64>, t: &DMatrix<f64>, counted: &[bool]) -> Option<(usize, usize)> {
        let Kind::Data(Data { classes: true, .. }) = self.kind else { return None };
        let asked = (0..t.ncols()).filter(|i| counted[*i]);
        let right = asked.clone().filter(|&i| y.column(i).argmax().0 == t.column(i).argmax().0);
        Some((right.count(), asked.count()))
    }
}
