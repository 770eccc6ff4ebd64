//! The factor form as stable text: what `compile --emit factors` prints.

use super::atoms::Atom;
use super::block_form::BlockForm;
use super::factor::Factors;
use super::term::{Fold, Sum, Term};
use super::{CompiledMap, Step};
use crate::attention::FeatureMap;
use crate::attention::token_map::{Arrow, Compartment, Source};
use std::fmt::{self, Write};

/// One block: its direct paths and how many terms of each shape it sums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactorText(String);

impl fmt::Display for FactorText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Terms beyond this number are counted, not listed.
const LISTED: usize = 200;

impl FactorText {
    /// The stages in order; of blocks the text is known.
    pub(super) fn of(blocks: &[String], maps: &[CompiledMap], steps: &[Step]) -> Self {
        let text = |step: &Step| match step {
            Step::Map(m) => map(&maps[*m]),
            Step::Block(b) => blocks[*b].clone(),
        };
        Self(steps.iter().map(text).collect())
    }
}

/// One map: the cells inside and what they read.
fn map(m: &CompiledMap) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "map {} [{}]", m.map.name, m.map.d_model());
    let source = |s: Source| match s {
        Source::Stream(s) => m.map.inputs[s].stream.clone(),
        Source::Cells(c) => m.map.cells[c].name.clone(),
        Source::Constant => "1".to_owned(),
    };
    let sum = |arrows: &[Arrow]| {
        let list: Vec<String> = arrows.iter().map(|a| source(a.source)).collect();
        if list.is_empty() { "0".to_owned() } else { list.join(" + ") }
    };
    let compartment = |c: &Compartment| {
        if c.divisors.is_empty() {
            sum(&c.sums)
        } else {
            format!("({}) / ({})", sum(&c.sums), sum(&c.divisors))
        }
    };
    // Of cells that multiply to a power the first ones tell what arrives.
    let first = |name: &str| m.map.cells.iter().find(|c| c.name == name);
    for (part, cells) in m.parts.iter().filter_map(|p| first(&p.name).map(|c| (p, c))) {
        let (basal, apical) = (compartment(&cells.basal), compartment(&cells.apical));
        let sides = match part.activation.as_str() {
            "product" => format!("[{basal}] x [{apical}]"),
            _ if apical == "0" => basal,
            _ => format!("{basal} + {apical}"),
        };
        let looped = if part.looped { " (loop)" } else { "" };
        let _ = writeln!(out, "  {} [{}] {}: {sides}{looped}", cells.name, cells.n, part.activation);
    }
    out
}

/// One block: its direct paths and terms.
pub(super) fn block(form: &BlockForm, f: &Factors<'_>) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "block {} [{}]: {} terms", form.relay, form.d_model, form.terms.len());
    for p in &form.residual {
        let from = names(f, &f.parts.projections(p.origin));
        let _ = writeln!(out, "  direct {} through {from}", f.streams[p.stream].name);
    }
    for (column, t) in form.terms.iter().take(LISTED) {
        let _ = writeln!(out, "  {}", Line { column: *column, term: t, f });
    }
    if form.terms.len() > LISTED {
        let _ = writeln!(out, "  ... and {} more", form.terms.len() - LISTED);
    }
    out
}

struct Line<'a> {
    column: u32,
    term: &'a Term,
    f: &'a Factors<'a>,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = self.term;
        write!(out, "o{} x {:.6}", self.column, t.coefficient)?;
        if let Some(sum) = t.sum {
            write!(out, " {}", sum_text(sum))?;
        }
        for (atom, token) in
            t.query.iter().map(|a| (a, "i")).chain(t.context.iter().flatten().map(|a| (a, "j")))
        {
            write!(out, " {}", form_text(self.f, *atom, token))?;
        }
        if let Some(s) = t.score {
            let score = &self.f.parts.scores[s as usize];
            let name = score.steps.iter().map(|s| s.function.name()).collect::<Vec<_>>().join(" then ");
            write!(out, " {name}(score s{s}: {} products)", score.terms.len())?;
        }
        if let Some(g) = t.gate {
            write!(out, " gate g{g}")?;
        }
        if let Some(d) = t.divisor {
            write!(out, " / divisor d{d}")?;
        }
        for over in t.over.iter().flatten() {
            write!(out, " x {}", form_text(self.f, *over, "token"))?;
        }
        if let Some((p, cell)) = t.memory {
            write!(out, " state {}[{cell}]", self.f.circuit.populations[p as usize].name)?;
        }
        Ok(())
    }
}

fn sum_text(sum: Sum) -> String {
    let rule = match sum.fold {
        Fold::Pooled => String::new(),
        Fold::Hebbian => " hebbian".to_owned(),
        Fold::Decay(bits) => format!(" decay {}", f64::from_bits(bits)),
        Fold::Gated => " gated".to_owned(),
        Fold::Delta => " delta".to_owned(),
    };
    format!("sum[{}{rule}]", sum.mask.name())
}

fn form_text(f: &Factors<'_>, atom: Atom, token: &str) -> String {
    let form = f.parts.get(atom);
    let from = names(f, &f.parts.projections(form.origin));
    let inner = format!("<{from} #{}>.{}_{token}", form.class, f.streams[form.stream].name);
    match form.map {
        FeatureMap::Identity => inner,
        map => format!("{}({inner})", FeatureMap::name(map).replace(['_', ' '], "")),
    }
}

fn names(f: &Factors<'_>, projections: &[u32]) -> String {
    projections.iter().map(|p| f.circuit.projections[*p as usize].name.as_str()).collect::<Vec<_>>().join("+")
}
