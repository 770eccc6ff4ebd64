//! Which projections of the circuit make a head differ from that of the file.

use super::Checked;
use pulvinar::attention::equivalence::{Blame, Factor, HeadRow, blame, softmax_folded};
use pulvinar::compile::HeadForm;

/// What is said of one head.
pub(super) struct Blamed<'a> {
    pub row: &'a HeadRow,
    /// best explanation first
    pub factors: [Blame; 4],
}

/// A projection of the file.
pub(super) struct Named<'a> {
    pub name: &'a str,
    pub line: Option<u32>,
}

/// Heads that differ from their partner and resemble it, the closest first.
pub(super) fn blamed<'a>(c: &Checked<'a>) -> Vec<Blamed<'a>> {
    let (ours, theirs) = (softmax_folded(&c.block.block), softmax_folded(&c.aligned.block));
    let mut rows: Vec<&'a HeadRow> =
        c.comparison.heads.iter().filter(|r| r.relative > c.args.tolerance() && alike(r)).collect();
    rows.sort_by(|x, y| x.relative.total_cmp(&y.relative).then(x.matched.a.cmp(&y.matched.a)));
    let both = rows.into_iter().map(|row| {
        let factors = blame(&ours.heads[row.matched.a], &theirs.heads[row.matched.b]).ok()?;
        Some(Blamed { row, factors })
    });
    both.flatten().collect()
}

/// Another head altogether has no projection at fault.
fn alike(row: &HeadRow) -> bool {
    row.matched.same_kind && (row.matched.qk.abs() > 0.5 || row.matched.ov.abs() > 0.5)
}

/// The projections that became a matrix of a head.
pub(super) fn projections<'a>(c: &Checked<'a>, head: usize, factor: Factor) -> Vec<Named<'a>> {
    let h: &'a HeadForm = &c.block.heads[head];
    let ids = match factor {
        Factor::Query => &h.query,
        Factor::Key => &h.key,
        Factor::Value => &h.value,
        Factor::Output => &h.output,
    };
    listed(c, ids)
}

/// Names and lines of projections.
pub(super) fn listed<'a>(c: &Checked<'a>, ids: &[u32]) -> Vec<Named<'a>> {
    ids.iter()
        .map(|id| {
            let p = &c.circuit.projections[*id as usize];
            Named { name: p.name.as_str(), line: c.document.line(&p.path) }
        })
        .collect()
}
