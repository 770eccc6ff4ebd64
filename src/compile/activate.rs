//! Activations of summed compartments: features of one token, scores of a pair.

use super::atoms::{Role, Score};
use super::factor::Factors;
use super::reason::Reason;
use super::term::{Term, merge};
use super::value::Value;
use crate::vocabulary::{Activation, Function};
use nalgebra::DVector;

impl Factors<'_> {
    /// An activation of the summed compartments.
    pub(super) fn activate(&mut self, v: Value, activation: Activation) -> Result<Value, Reason> {
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
        let lists = v.as_terms(&mut self.parts);
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
        if list.iter().any(|t| {
            t.sum.is_some()
                || t.memory.is_some()
                || t.divisor.is_some()
                || t.score.is_some()
                || t.context[1].is_some()
        }) {
            return Err(Reason::NonlinearSum { activation: name() });
        }
        if list.iter().flat_map(forms).any(|a| self.parts.get(a).rectified) {
            return Err(Reason::Rectified);
        }
        if list.iter().flat_map(forms).any(|a| self.parts.get(a).map != Function::Identity)
            && list.len() + forms(&list[0]).len() > 2
        {
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
            let Some((_, atom)) = self.parts.form(form.role, form.stream, false, map, row, origin) else {
                return Ok(Vec::new());
            };
            let mut term = Term::of_form(1.0, atom, &self.parts);
            term.origin = origin;
            return Ok(vec![term]);
        }
        // A function of a token pair: a score.
        let reads =
            |role: Role| list.iter().any(|t| forms(t).iter().any(|a| self.parts.get(*a).role == role));
        if !(reads(Role::Query) && reads(Role::Context)) {
            return Err(Reason::TwoStreams);
        }
        let power = match map {
            Function::Exp => 0,
            Function::Power(p) if p.is_whole() => {
                p.whole().ok_or_else(|| Reason::Score { activation: name() })?
            }
            _ => return Err(Reason::Score { activation: name() }),
        };
        for role in [Role::Query, Role::Context] {
            let mut streams = list
                .iter()
                .flat_map(forms)
                .filter(|a| self.parts.get(*a).role == role)
                .map(|a| self.parts.get(a).stream);
            let first = streams.next();
            if streams.any(|s| Some(s) != first) {
                return Err(Reason::TwoStreams);
            }
        }
        let terms = list.iter().map(|t| (t.coefficient, t.query, t.context[0])).collect();
        let id = self.parts.score(Score { power, terms, origin });
        Ok(vec![Term { score: Some(id), ..Term::constant(1.0, origin) }])
    }
}
