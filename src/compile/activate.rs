//! Activations of summed compartments: features of one token, scores of a pair.

use super::atoms::{Origin, Role, Score, Step};
use super::factor::Factors;
use super::reason::Reason;
use super::term::{Term, merge};
use super::value::Value;
use crate::vocabulary::{Activation, Function};
use nalgebra::DVector;
use std::collections::BTreeSet;

impl Factors<'_> {
    /// An activation of the summed compartments of population `name`.
    pub(super) fn activate(&mut self, v: Value, activation: Activation, name: &str) -> Result<Value, Reason> {
        let Activation::Function(map) = activation else { return Ok(v) };
        if activation.is_linear() {
            return Ok(v);
        }
        if v.is_constant() {
            let mut out = Value::zero(v.cells);
            let origin = v.constant.as_ref().map_or_else(|| self.parts.no_origin(), |(_, o)| *o);
            out.constant = Some((DVector::from_fn(v.cells, |c, _| map.value(v.constant_of(c))), origin));
            return Ok(out);
        }
        let mut lists = v.as_terms(&mut self.parts);
        self.settle(lists.iter_mut().flatten(), name)?;
        let mut out = Value::zero(v.cells);
        for list in lists {
            let flat: Vec<(u32, Term)> = list.iter().map(|t| (0, *t)).collect();
            let list: Vec<Term> = merge(&flat, &mut self.parts).into_iter().map(|(_, t)| t).collect();
            out.terms.push(self.activated_cell(&list, map)?);
        }
        Ok(out)
    }

    pub(super) fn activated_cell(&mut self, list: &[Term], map: Function) -> Result<Vec<Term>, Reason> {
        let name = || Activation::Function(map).name();
        let forms = |t: &Term| t.query.iter().chain(t.context.iter().flatten()).copied().collect::<Vec<_>>();
        if let Some(term) = self.function_of_score(list, map) {
            return Ok(vec![term]);
        }
        if list.iter().any(|t| !t.is_plain() || t.context[1].is_some()) {
            return Err(Reason::NonlinearSum { activation: name() });
        }
        if list.iter().flat_map(forms).any(|a| self.parts.get(a).rectified) {
            return Err(Reason::Rectified);
        }
        if list.iter().flat_map(forms).any(|a| self.parts.get(a).map != Function::Identity)
            && list.len() + forms(&list[0]).len() > 2
        {
            let role = |role: Role| list.iter().flat_map(forms).any(|a| self.parts.get(a).role == role);
            if role(Role::Query) && role(Role::Context) {
                return Err(Reason::TwoStreams);
            }
            return Err(Reason::NonlinearSum { activation: name() });
        }
        let Some(first) = list.first() else {
            let at_zero: f64 = map.value(0.0);
            let origin = self.parts.no_origin();
            return Ok(if at_zero == 0.0 { Vec::new() } else { vec![Term::constant(at_zero, origin)] });
        };
        let origin = list.iter().fold(first.origin, |o, t| self.parts.union(o, t.origin));
        // One linear form of one token: a feature of that token.
        if let ([t], [atom]) = (list, forms(first).as_slice()) {
            let form = self.parts.get(*atom).clone();
            if form.map != Function::Identity {
                return Err(Reason::NonlinearSum { activation: name() });
            }
            if matches!(map, Function::Power(_)) {
                return Err(Reason::Power);
            }
            let row = form.row.iter().map(|x| x * t.coefficient).collect();
            return Ok(self.feature(form.role, form.stream, map, row, origin));
        }
        // A function of a token pair: a score.
        let reads =
            |role: Role| list.iter().any(|t| forms(t).iter().any(|a| self.parts.get(*a).role == role));
        let (query, context) = (reads(Role::Query), reads(Role::Context));
        if query && context {
            let terms = list.iter().map(|t| (t.coefficient, t.query, t.context[0])).collect();
            let is_kernel = match map {
                Function::Exp => true,
                Function::Power(p) => p.whole().is_some(),
                _ => false,
            };
            if !is_kernel {
                return Err(Reason::Score { activation: name() });
            }
            let steps = vec![Step { gain: 1.0, bias: 0.0, function: map }];
            let id = self.parts.score(Score { steps, terms, origin });
            return Ok(vec![Term { score: Some(id), ..Term::constant(1.0, origin) }]);
        }
        // Several streams of one token, side by side.
        if matches!(map, Function::Power(_)) {
            return Err(Reason::Power);
        }
        let role = if query { Role::Query } else { Role::Context };
        let streams: BTreeSet<usize> =
            list.iter().flat_map(forms).map(|a| self.parts.get(a).stream).collect();
        if streams.is_empty() {
            return Err(Reason::NonlinearSum { activation: name() });
        }
        let stream = self.side_by_side(&streams);
        let mut row = vec![0.0; self.streams[stream].d_model + 1];
        let bias = row.len() - 1;
        for t in list {
            match forms(t).first() {
                None => row[bias] += t.coefficient,
                Some(atom) => {
                    let form = self.parts.get(*atom);
                    let (first, d) = (self.first_in(stream, form.stream), form.row.len() - 1);
                    for (x, w) in row[first..first + d].iter_mut().zip(&form.row) {
                        *x += t.coefficient * w;
                    }
                    row[bias] += t.coefficient * form.row[d];
                }
            }
        }
        Ok(self.feature(role, stream, map, row, origin))
    }

    fn feature(
        &mut self,
        role: Role,
        stream: usize,
        map: Function,
        row: Vec<f64>,
        origin: Origin,
    ) -> Vec<Term> {
        let Some((_, atom)) = self.parts.form(role, stream, false, map, row, origin) else {
            return Vec::new();
        };
        let mut term = Term::of_form(1.0, atom, &self.parts);
        term.origin = origin;
        vec![term]
    }

    /// One more function of one cell that is a function of a score, its gain and bias constants.
    fn function_of_score(&mut self, list: &[Term], function: Function) -> Option<Term> {
        let (constants, others): (Vec<Term>, Vec<Term>) = list.iter().partition(|t| t.is_constant());
        let [t] = others.as_slice() else { return None };
        let bare = Term { score: None, ..*t };
        let score = t.score.filter(|_| bare.is_plain() && bare.query.is_none() && bare.n_context() == 0)?;
        let mut score = self.parts.scores[score as usize].clone();
        let bias = constants.iter().map(|c| c.coefficient).sum();
        score.steps.push(Step { gain: t.coefficient, bias, function });
        let origin = list.iter().fold(score.origin, |o, t| self.parts.union(o, t.origin));
        score.origin = origin;
        let id = self.parts.score(score);
        Some(Term { score: Some(id), ..Term::constant(1.0, origin) })
    }
}
