//! The report for people: the verdict, why, and the table.

use super::Checked;
use super::why::why;
use pulvinar::attention::equivalence::{Claim, Comparison, ExactDistance, HeadRow, Method, OutOfScope, Side};
use pulvinar::attention::{Block, Head};
use pulvinar::weights::Loaded;
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

/// What else is to be known of the file, but for what the circuit says of the heads' surroundings.
pub(super) fn notes<'a>(c: &Checked<'a>) -> Vec<&'a String> {
    c.loaded.notes.iter().filter(|a| !c.loaded.surroundings.contains(a)).collect()
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
    let without = match c.loaded.ignored.len() {
        0 => String::new(),
        n => format!(" without {n} ignored tensor{}", if n == 1 { "" } else { "s" }),
    };
    let _ = writeln!(text, "{}: {} and {theirs}{without}", c.verdict, c.args.file.display());
    let (distance, tolerance) = (short(found.relative_distance), short(c.args.tolerance()));
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
    for line in c.verdict.assumed() {
        let _ = writeln!(text, "  assumed: {line}");
    }
    for line in notes(c) {
        let _ = writeln!(text, "  {line}");
    }
    for line in &c.loaded.overruled {
        let _ = writeln!(text, "  overruled: {line}");
    }
    text.push_str(&unread(c.loaded));
}

/// Tensors that nothing was made of.
pub fn unread(loaded: &Loaded) -> String {
    let mut text = String::new();
    for name in &loaded.ignored {
        let _ = writeln!(text, "  ignored as asked for: {name}");
    }
    let quiet: Vec<&str> =
        loaded.not_read.iter().filter(|n| !loaded.ignored.contains(n)).map(String::as_str).collect();
    if !quiet.is_empty() {
        let more = quiet.len().saturating_sub(4);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let _ = writeln!(text, "  not read: {}{more}", quiet[..quiet.len().min(4)].join(", "));
    }
    text
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
    let mask = shared(|h| h.mask.name().into_owned());
    let paths: Vec<&str> = block.residual.iter().map(|r| r.stream.as_str()).collect();
    let paths =
        if paths.is_empty() { "no residual".to_owned() } else { format!("residual {}", paths.join(", ")) };
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {kind} head{s}, d_model {}, {mask} mask{memory}, {paths}", block.d_model)
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
    if !found.equivalent {
        return;
    }
    let apart = |r: &&HeadRow| r.relative > c.args.tolerance();
    for r in found.heads.iter().filter(apart).filter(|r| r.share <= c.args.tolerance()) {
        let _ = writeln!(
            text,
            "  but head {} differs by {} of its own size: only {} of the output, so below the tolerance of the whole",
            r.matched.a,
            short(r.relative),
            short(r.share)
        );
    }
    let rearranged = found.heads.iter().filter(apart).any(|r| r.share > c.args.tolerance());
    if rearranged || all.iter().any(|r| r.row.is_none()) {
        let _ = writeln!(
            text,
            "  heads differ one by one, but their sum does not: split, merged or key/value-swapped heads"
        );
    }
}

/// Two significant digits.
pub(super) fn short(x: f64) -> String {
    if x == 0.0 {
        "0".to_owned()
    } else if (0.01..1000.0).contains(&x.abs()) {
        format!("{x:.3}")
    } else {
        format!("{x:.1e}").replace(".0e", "e")
    }
}
