//! Sequences that are drawn: in-context regression and associative recall.
//!
//! In-context regression (von Oswald et al. 2023, arXiv 2212.07677): w, x_j, x_q ~ N(0, I_d), examples
//! (x_j, w.x_j + s eps_j), the question (x_q, 0) (or x_q alone, in a stream of its own), target w.x_q. Associative recall: keys are random unit vectors, values +1
//! or -1; examples (key_j, value_j), the question (key_r, 0), target value_r.
//!
//! In one stream the targets of the examples are w.x_j, without noise, and value_j.

use super::recall_floor;
use super::regression_floor::Setting;
use super::resolve::{Finder, Resolved};
use crate::attention::Streams;
use crate::circuit::Circuit;
use crate::diag::Diagnostics;
use crate::seed;
use crate::spec::{RecallSpec, RegressionSpec, TokensOf};
use nalgebra::DMatrix;
use rand_chacha::ChaCha8Rng;

/// Where examples, question and target stand.
#[derive(Clone, Debug)]
struct Places {
    examples: String,
    /// `None`: after the examples
    question: Option<String>,
    target: String,
    count: usize,
}

/// In-context linear regression.
#[derive(Clone, Debug)]
pub(super) struct Regression {
    places: Places,
    d: usize,
    noise: f64,
}

/// Associative recall.
#[derive(Clone, Debug)]
pub(super) struct Recall {
    places: Places,
    d_key: usize,
    d_value: usize,
}

/// The streams of `count` examples and a question, and the number of the target stream.
fn places(f: &mut Finder<'_>, tokens: &TokensOf, target: &str, count: usize) -> Option<(Places, [usize; 2])> {
    let (examples, question, length) = match tokens {
        TokensOf::One(name) => (f.stream("tokens", name, count + 1), None, count + 1),
        TokensOf::Two { query, context } => {
            (f.stream("tokens.context", context, count), Some(f.stream("tokens.query", query, 1)), 1)
        }
    };
    let target_stream = f.stream("target", target, length);
    let (examples_stream, target_stream) = (examples?, target_stream?);
    if let Some(question) = question {
        // A question may leave its blank out: x alone, or a key alone.
        let (question, width) = (question?, f.d_model(examples_stream));
        if f.d_model(question) + f.d_model(target_stream) != width {
            f.wants_width("tokens.query", question, width, "the tokens of the context have");
        }
    }
    let places = match tokens {
        TokensOf::One(name) => {
            Places { examples: name.clone(), question: None, target: target.to_owned(), count }
        }
        TokensOf::Two { query, context } => Places {
            examples: context.clone(),
            question: Some(query.clone()),
            target: target.to_owned(),
            count,
        },
    };
    Some((places, [examples_stream, target_stream]))
}

impl Regression {
    pub fn new(spec: &RegressionSpec, circuit: &Circuit) -> Result<(Resolved, Self), Diagnostics> {
        let mut f = Finder::new(circuit, "in_context_regression");
        let Some((places, [examples, target])) = places(&mut f, &spec.tokens, &spec.target, spec.context)
        else {
            return Err(f.mistakes);
        };
        if f.d_model(examples) < 2 {
            f.wrong(
                "tokens",
                "tokens of one number have no room for x and y",
                "write `d_model: 2` or more: x, then y",
            );
        }
        f.wants_width("target", target, 1, "a regression has targets of width");
        let d = f.d_model(examples) - 1;
        Ok((f.finish(target)?, Self { places, d, noise: spec.noise }))
    }

    pub fn setting(&self) -> Setting {
        Setting { d: self.d, n: self.places.count, noise: self.noise }
    }

    pub fn fill(&self, rng: &mut ChaCha8Rng, streams: &mut Streams) {
        let mut at = self.places.take(streams);
        let d = self.d;
        // w stands in the token of the question until its x is drawn.
        for i in 0..d {
            at.question()[i] = seed::normal(rng);
        }
        for j in 0..self.places.count {
            let mut clean = 0.0;
            for i in 0..d {
                let x = seed::normal(rng);
                clean += at.question()[i] * x;
                at.examples[(i, j)] = x;
            }
            at.examples[(d, j)] = clean + self.noise * seed::normal(rng);
            at.set_target(j, 0, clean);
        }
        let question = at.question();
        let mut answer = 0.0;
        for w in &mut question[..d] {
            let x = seed::normal(rng);
            answer += *w * x;
            *w = x;
        }
        question[d..].fill(0.0);
        at.set_answer(0, answer);
    }
}

impl Recall {
    pub fn new(spec: &RecallSpec, circuit: &Circuit) -> Result<(Resolved, Self), Diagnostics> {
        let mut f = Finder::new(circuit, "associative_recall");
        let Some((places, [examples, target])) = places(&mut f, &spec.tokens, &spec.target, spec.pairs)
        else {
            return Err(f.mistakes);
        };
        let (width, d_value) = (f.d_model(examples), f.d_model(target));
        if d_value >= width {
            let what = format!("tokens of {width} numbers have no room for a key and a value of {d_value}");
            f.wrong("tokens", what, "tokens hold the key, then the value, which is as wide as the target");
        }
        let d_key = width.saturating_sub(d_value);
        Ok((f.finish(target)?, Self { places, d_key, d_value }))
    }

    pub fn setting(&self) -> recall_floor::Setting {
        recall_floor::Setting { d_key: self.d_key, d_value: self.d_value, pairs: self.places.count }
    }

    pub fn fill(&self, rng: &mut ChaCha8Rng, streams: &mut Streams) {
        let mut at = self.places.take(streams);
        let d_key = self.d_key;
        for j in 0..self.places.count {
            let token = &mut at.examples.as_mut_slice()[j * (d_key + self.d_value)..][..d_key + self.d_value];
            let (key, value) = token.split_at_mut(d_key);
            let mut square = 0.0;
            while square == 0.0 {
                key.fill_with(|| seed::normal(rng));
                square = key.iter().map(|x| x * x).sum();
            }
            key.iter_mut().for_each(|x| *x /= square.sqrt());
            value.fill_with(|| if seed::uniform(rng, -1.0, 1.0) < 0.0 { -1.0 } else { 1.0 });
            for a in 0..self.d_value {
                let value = at.examples[(d_key + a, j)];
                at.set_target(j, a, value);
            }
        }
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let asked = (seed::uniform(rng, 0.0, self.places.count as f64) as usize).min(self.places.count - 1);
        for i in 0..d_key {
            at.question()[i] = at.examples[(i, asked)];
        }
        at.question()[d_key..].fill(0.0);
        for a in 0..self.d_value {
            let value = at.examples[(d_key + a, asked)];
            at.set_answer(a, value);
        }
    }
}

/// The matrices of one sequence, borrowed from the map of streams.
struct Matrices<'a> {
    examples: &'a mut DMatrix<f64>,
    question: Option<&'a mut DMatrix<f64>>,
    target: &'a mut DMatrix<f64>,
    count: usize,
}

impl Places {
    fn take<'a>(&self, streams: &'a mut Streams) -> Matrices<'a> {
        let (mut examples, mut question, mut target) = (None, None, None);
        for (name, matrix) in streams.iter_mut() {
            if *name == self.examples {
                examples = Some(matrix);
            } else if Some(name) == self.question.as_ref() {
                question = Some(matrix);
            } else if *name == self.target {
                target = Some(matrix);
            }
        }
        let whole = "the streams of `Task::sample`";
        Matrices {
            examples: examples.expect(whole),
            question,
            target: target.expect(whole),
            count: self.count,
        }
    }
}

impl Matrices<'_> {
    /// The token that asks.
    fn question(&mut self) -> &mut [f64] {
        match &mut self.question {
            Some(question) => question.as_mut_slice(),
            None => {
                let d = self.examples.nrows();
                &mut self.examples.as_mut_slice()[self.count * d..]
            }
        }
    }

    /// The target of an example, where examples have one.
    fn set_target(&mut self, example: usize, cell: usize, value: f64) {
        if self.question.is_none() {
            self.target[(cell, example)] = value;
        }
    }

    /// The target of the question.
    fn set_answer(&mut self, cell: usize, value: f64) {
        let last = self.target.ncols() - 1;
        self.target[(cell, last)] = value;
    }
}
