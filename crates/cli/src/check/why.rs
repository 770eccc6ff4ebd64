//! What differs, by how much, and which lines of the circuit are at fault.

use super::Checked;
use super::blame::{Named, blamed, listed, projections};
use super::text::{GAUSSIAN, short};
use pulvinar::attention::Block;
use pulvinar::attention::equivalence::{Blame, Factor, expected_squared_gap, witness};
use std::fmt::Write;

/// What differs, and how much.
pub(super) fn why(text: &mut String, c: &Checked) {
    let found = c.comparison;
    text.push('\n');
    if let Some(d) = &found.certificate {
        let residual = d.residual.values().map(|g| g.relative()).fold(0.0, f64::max);
        let _ = writeln!(
            text,
            "  heads differ by {} of their size, residual by {}, output bias by {}",
            short(d.attention.relative()),
            short(residual),
            short(d.bias.relative())
        );
        if d.groups.len() > 1 {
            for g in &d.groups {
                let kind = format!("{:?}", g.group).to_lowercase();
                let _ = writeln!(
                    text,
                    "    {kind} heads of decay {}: {} of the circuit, {} of the file, differ by {}",
                    g.decay,
                    g.heads_a.len(),
                    g.heads_b.len(),
                    short(g.gap.relative())
                );
            }
        }
    }
    if let Some(s) = &found.softmax {
        let _ = writeln!(
            text,
            "  QK and OV differ by {}, residual by {}, output bias (with value biases) by {}",
            short(s.attention),
            short(s.residual),
            short(s.bias)
        );
    }
    if !found.equivalent {
        shown(text, c);
    }
    if let Some(gap) = c.softmax {
        let _ = writeln!(
            text,
            "  compared as linear heads; softmax of the same weights differs from that by {} of its size on {}",
            short(gap.probed.relative),
            gap.tokens
        );
    }
    for (input, why) in &found.probed.failed {
        let _ = writeln!(text, "  not run on {}: {why}", found.inputs[*input].name);
    }
}

/// An input that shows the difference.
fn shown(text: &mut String, c: &Checked) {
    let found = c.comparison;
    let (ours, theirs) = (&c.block.block, &c.aligned.block);
    if found.certificate.is_some() {
        if let Ok(w) = witness(ours, theirs) {
            let _ = writeln!(
                text,
                "  two unit tokens show it: at token {} (from 0) the outputs differ by {}, predicted {} (--format json has them)",
                w.at,
                short(w.measured),
                short(w.predicted)
            );
        }
        let nothing =
            Block { heads: Vec::new(), residual: Vec::new(), b_o: &theirs.b_o * 0.0, ..theirs.clone() };
        let gap = expected_squared_gap(ours, theirs, GAUSSIAN);
        if let (Ok(gap), Ok(size)) = (gap, expected_squared_gap(ours, &nothing, GAUSSIAN)) {
            let _ = writeln!(
                text,
                "  on {GAUSSIAN} Gaussian tokens outputs differ by {} (root mean square, closed form), of {}",
                short(gap.mean.sqrt()),
                short(size.mean.sqrt())
            );
        }
    } else if let Some(worst) = found.probed.worst {
        let _ = writeln!(
            text,
            "  largest difference on {}: at token {} (from 0) the outputs differ by {}, of {} (--format json has them)",
            found.inputs[worst.input].name,
            worst.token,
            short(worst.gap),
            short(worst.size)
        );
    }
    output_bias(text, c);
    blame(text, c);
    let (n, m) = (ours.heads.len(), theirs.heads.len());
    if n != m {
        let _ = writeln!(text, "  number of heads: {n} in the circuit, {m} in the file");
    }
}

/// The projections of the output bias, where that differs.
fn output_bias(text: &mut String, c: &Checked) {
    let found = c.comparison;
    let by = match (&found.certificate, &found.softmax) {
        (Some(d), _) => d.bias.relative(),
        (_, Some(s)) => s.bias,
        _ => 0.0,
    };
    if by <= c.args.tolerance() {
        return;
    }
    let named = named(&listed(c, &c.block.bias));
    let fold = if found.softmax.is_some() { "; value biases of softmax heads count with it" } else { "" };
    let _ = writeln!(text, "  the output bias differs by {} of its size: {named}{fold}", short(by));
}

/// Names and lines of the projections behind a matrix.
fn places(c: &Checked, head: usize, factor: Factor) -> String {
    named(&projections(c, head, factor))
}

fn named(all: &[Named]) -> String {
    let one = |p: &Named| p.line.map_or(p.name.to_owned(), |l| format!("{} (line {l})", p.name));
    let mut list: Vec<String> = all.iter().take(SHOWN).map(one).collect();
    if all.len() > SHOWN {
        list.push(format!("{} more", all.len() - SHOWN));
    }
    if list.is_empty() { "nothing in the circuit".to_owned() } else { list.join(" + ") }
}

/// Projections named for one matrix, at most.
const SHOWN: usize = 4;

/// What of a head may remain when one matrix explains its difference.
const EXPLAINED: f64 = 1e-9;

/// Heads named before the table, at most.
const NAMED: usize = 4;

/// The closest heads that differ, and the projections at fault.
fn blame(text: &mut String, c: &Checked) {
    let all = blamed(c);
    for b in all.iter().take(NAMED) {
        let (m, best) = (&b.row.matched, &b.factors[0]);
        let explains = best.residual <= c.args.tolerance().max(EXPLAINED);
        // A factor can be common to two matrices: then either one explains it.
        let as_good = |f: &&Blame| {
            f.change <= 1.001 * best.change && (f.residual <= c.args.tolerance().max(EXPLAINED)) == explains
        };
        let causes: Vec<&Blame> =
            if explains { b.factors.iter().filter(as_good).collect() } else { vec![best] };
        let names: Vec<&str> = causes.iter().map(|f| f.factor.name()).collect();
        let named: Vec<String> = causes.iter().map(|f| places(c, m.a, f.factor)).collect();
        let (names, named) = (names.join(" or "), named.join(", or "));
        let _ = write!(text, "  head {} is closest to head {} of the file; ", m.a, c.loaded.selected[m.b]);
        let (change, rest) = (short(best.change), short(best.residual));
        let _ = if explains {
            writeln!(text, "{names} alone makes the difference, by {change} of its size: {named}")
        } else {
            writeln!(text, "{names} differs most ({change} of its size, {rest} of the head remains): {named}")
        };
    }
    if all.len() > NAMED {
        let _ = writeln!(text, "  (and {} heads more; --format json has them all)", all.len() - NAMED);
    }
}
