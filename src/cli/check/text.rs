//! The report for people: the verdict, why, and the table.

use super::Checked;
use super::blame::{blamed, projections};
use crate::attention::equivalence::{
    Blame, Claim, Comparison, ExactDistance, Factor, HeadRow, Method, OutOfScope, Side, expected_squared_gap,
    witness,
};
use crate::attention::{Block, Head};
use std::fmt::Write;

/// Number of Gaussian tokens that the closed form is quoted for.
pub(super) const GAUSSIAN: usize = 16;

/// A line of the table.
pub(super) struct Row<'a> {
    /// head of the circuit's block, from 0
    pub head: Option<usize>,
    pub area: Option<&'a str>,
    /// head of the file, from 0
    pub against: Option<usize>,
    pub row: Option<&'a HeadRow>,
}

/// What a distance of zero would say.
pub(super) fn claim(c: &Checked) -> &'static str {
    match &c.comparison.certificate {
        Some(d) => match d.claim {
            Claim::AllLengths => "all inputs of all lengths",
        },
        None => "the inputs that were run",
    }
}

/// What the file does not say and the circuit could not say either.
pub(super) fn assumed<'a>(c: &Checked<'a>) -> Vec<&'a String> {
    c.loaded.assumed.iter().filter(|a| !c.loaded.surroundings.contains(a)).collect()
}

/// Pairs in the order of the circuit, then heads without a partner.
pub(super) fn rows<'a>(c: &Checked<'a>) -> Vec<Row<'a>> {
    let found: &'a Comparison = c.comparison;
    let (ours, theirs): (&'a Block, &Block) = (&c.block.block, &c.aligned.block);
    let area = |h: usize| Some(ours.heads[h].area.as_str()).filter(|a| !a.is_empty());
    let mut out: Vec<Row<'a>> = (0..ours.heads.len())
        .map(|h| {
            let row = found.heads.iter().find(|r| r.matched.a == h);
            let against = row.map(|r| c.loaded.selected[r.matched.b]);
            Row { head: Some(h), area: area(h), against, row }
        })
        .collect();
    for h in 0..theirs.heads.len() {
        if !found.heads.iter().any(|r| r.matched.b == h) {
            out.push(Row { head: None, area: None, against: Some(c.loaded.selected[h]), row: None });
        }
    }
    out
}

pub(super) fn report(c: &Checked) -> String {
    let mut text = String::new();
    verdict(&mut text, c);
    compared(&mut text, c);
    why(&mut text, c);
    table(&mut text, c);
    text
}

fn verdict(text: &mut String, c: &Checked) {
    let found = c.comparison;
    let file = c.against.display();
    let layer = c.loaded.prefix.trim_end_matches('.');
    let theirs = if layer.is_empty() { format!("{file}") } else { format!("`{layer}` of {file}") };
    let word = if found.equivalent { "equivalent" } else { "NOT equivalent" };
    let _ = writeln!(text, "{word}: {} and {theirs}", c.args.file.display());
    let (distance, tolerance) = (short(found.relative_distance), short(c.args.tolerance));
    let _ = match (found.method, found.equivalent, &found.softmax) {
        (Method::Probe, true, Some(_)) => writeln!(
            text,
            "  QK and OV of the softmax heads agree, and so do the outputs on all {} inputs that were run:\n  \
             largest relative distance {distance}, tolerance {tolerance}",
            found.probed.ran
        ),
        (Method::Probe, true, None) => writeln!(
            text,
            "  agree on all {} inputs that were run: largest relative distance {distance}, tolerance {tolerance}\n  \
             (evidence, not proof: {})",
            found.probed.ran,
            no_certificate(c)
        ),
        (Method::Probe, false, _) => writeln!(
            text,
            "  relative distance {distance}, tolerance {tolerance}, from running both ({})",
            no_certificate(c)
        ),
        (method, equivalent, _) => {
            let how = if method == Method::Certificate { "" } else { ", summed in double-double" };
            let are = if equivalent {
                format!("the same function, for {}", claim(c))
            } else {
                "different functions".to_owned()
            };
            writeln!(
                text,
                "  {are}: relative distance {distance}, tolerance {tolerance}\n  (certificate from the weights{how})"
            )
        }
    };
    match &found.exact {
        Some(ExactDistance::Exact(f)) if f.is_zero() => {
            let _ = writeln!(text, "  in exact arithmetic the distance is 0");
        }
        Some(ExactDistance::Exact(f)) => {
            let _ = writeln!(text, "  in exact arithmetic the squared distance is {:e}, not 0", f.to_f64());
        }
        Some(ExactDistance::Rounded { why, .. }) => {
            let _ = writeln!(text, "  no exact arithmetic: {why}");
        }
        None => {}
    }
}

/// Why the verdict comes from running both.
fn no_certificate(c: &Checked) -> String {
    match &c.comparison.why_probe {
        Some(OutOfScope::Head { block, head, what }) => {
            let whose = if *block == Side::A { "the circuit" } else { "the file" };
            format!("no certificate for head {head} of {whose}: {what}")
        }
        Some(other) => format!("no certificate: {other}"),
        None => "no certificate".to_owned(),
    }
}

fn compared(text: &mut String, c: &Checked) {
    let (ours, theirs) = (&c.block.block, &c.aligned.block);
    let of = match c.number {
        (_, 1) => String::new(),
        (b, n) => format!(" (block {b} of {n}; --block compares another)"),
    };
    let _ = writeln!(text, "\n  circuit  relay {}{of}: {}", ours.relay, summary(ours));
    let of = if c.loaded.blocks > 1 { format!(" of {} blocks", c.loaded.blocks) } else { String::new() };
    let _ = writeln!(
        text,
        "  file     {} layout{of}, {}: {}",
        c.loaded.scheme.name(),
        c.loaded.dtypes.join(" and "),
        summary(theirs)
    );
    if !c.taken.is_empty() {
        let _ = writeln!(text, "  from the circuit, as the file does not say: {}", c.taken.join("; "));
    }
    for line in assumed(c) {
        let _ = writeln!(text, "  assumed: {line}");
    }
    for line in &c.loaded.overruled {
        let _ = writeln!(text, "  overruled: {line}");
    }
}

fn summary(block: &Block) -> String {
    let n = block.heads.len();
    let shared = |of: fn(&Head) -> String| {
        let mut all: Vec<String> = block.heads.iter().map(of).collect();
        all.dedup();
        if let [one] = &all[..] { one.clone() } else { "mixed".to_owned() }
    };
    let kind = shared(|h| match (h.kernel.name(), h.normalisation.name()) {
        ("exp", "sum") => "softmax".to_owned(),
        (kernel, "sum") => format!("{kernel} / sum"),
        (kernel, _) => kernel.to_owned(),
    });
    let memory = shared(|h| match h.memory.name() {
        "none" | "hebbian" => String::new(),
        other => format!(", {other} memory"),
    });
    let mask = shared(|h| h.mask.name().to_owned());
    let paths: Vec<&str> = block.residual.iter().map(|r| r.stream.as_str()).collect();
    let paths =
        if paths.is_empty() { "no residual".to_owned() } else { format!("residual {}", paths.join(", ")) };
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {kind} head{s}, d_model {}, {mask} mask{memory}, {paths}", block.d_model)
}

/// What differs, and how much.
fn why(text: &mut String, c: &Checked) {
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
    } else if let Some((input, token)) = found.probed.worst {
        let _ = writeln!(
            text,
            "  largest difference on {}, at token {token} (from 0): {} of the output",
            found.inputs[input].name,
            short(found.probed.relative)
        );
    }
    blame(text, c);
    let (n, m) = (ours.heads.len(), theirs.heads.len());
    if n != m {
        let _ = writeln!(text, "  number of heads: {n} in the circuit, {m} in the file");
    }
}

/// Names and lines of the projections behind a matrix.
fn places(c: &Checked, head: usize, factor: Factor) -> String {
    let named: Vec<String> = projections(c, head, factor)
        .iter()
        .map(|p| p.line.map_or(p.name.to_owned(), |l| format!("{} (line {l})", p.name)))
        .collect();
    if named.is_empty() { "a constant".to_owned() } else { named.join(" + ") }
}

/// What of a head may remain when one matrix explains its difference.
const EXPLAINED: f64 = 1e-9;

/// Heads named before the table, at most.
const NAMED: usize = 4;

/// The closest heads that differ, and the projections at fault.
fn blame(text: &mut String, c: &Checked) {
    let all = blamed(c);
    for b in all.iter().take(NAMED) {
        let (m, best) = (&b.row.matched, &b.factors[0]);
        let explains = best.residual <= c.args.tolerance.max(EXPLAINED);
        // A factor can be common to two matrices: then either one explains it.
        let as_good = |f: &&Blame| {
            f.change <= 1.001 * best.change && (f.residual <= c.args.tolerance.max(EXPLAINED)) == explains
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

fn table(text: &mut String, c: &Checked) {
    let found = c.comparison;
    let dtype = c.loaded.dtypes.join("+");
    let given = found.inputs.first().map_or("tokens", |i| i.name.as_str());
    let _ = writeln!(
        text,
        "\n  {:>4} {:<10} {:>7} {:>10} {:>8} {:>8} {:>10} {:>10}  dtype",
        "head", "area", "against", "distance", "QK cos", "OV cos", "max abs", "max rel"
    );
    let all = rows(c);
    for r in &all {
        let index = |i: Option<usize>| i.map_or("-".to_owned(), |i| i.to_string());
        let _ = write!(text, "  {:>4} {:<10} {:>7}", index(r.head), r.area.unwrap_or("-"), index(r.against));
        let _ = match r.row {
            Some(m) => writeln!(
                text,
                " {:>10} {:>8.5} {:>8.5} {:>10} {:>10}  {dtype}",
                short(m.relative),
                m.matched.qk,
                m.matched.ov,
                short(m.max_abs),
                short(m.max_rel)
            ),
            None => writeln!(text, " {:>10} {:>8} {:>8} {:>10} {:>10}  {dtype}", "-", "-", "-", "-", "-"),
        };
    }
    let _ = writeln!(
        text,
        "  all outputs: max abs {}, max rel {} (of the largest output), on {given} and {} drawn inputs",
        short(found.probed.max_abs),
        short(found.probed.max_rel),
        found.inputs.len().saturating_sub(1)
    );
    let apart = found.heads.iter().any(|r| r.relative > c.args.tolerance);
    if found.equivalent && (apart || all.iter().any(|r| r.row.is_none())) {
        let _ = writeln!(
            text,
            "  heads differ one by one, but their sum does not: split, merged or key/value-swapped heads"
        );
    }
}

/// Two significant digits.
fn short(x: f64) -> String {
    if x == 0.0 {
        "0".to_owned()
    } else if (0.01..1000.0).contains(&x.abs()) {
        format!("{x:.3}")
    } else {
        format!("{x:.1e}").replace(".0e", "e")
    }
}
