//! What stands below the picture: the marks, what is not shown, how the run was made.

use super::distance::Distance;
use super::panel::Panel;
use super::sizes::LABEL;
use super::{EDGE, Pictured, Plan, WIDTH};
use crate::figures::font::{self, Face};

/// Do all panels mean the same by their colours? Then one legend is enough.
pub(super) fn shared(panels: &[Panel]) -> bool {
    panels.iter().all(|p| p.key() == panels[0].key())
}

pub(super) fn caption(
    plan: &Plan,
    run: &Pictured,
    distance: &Option<Distance>,
    panels: &[Panel],
    [from, until]: [f64; 2],
) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let pale = panels.iter().any(|p| p.tokens.len() > 1 && p.cells.len() > 1);
    let mut marks = "One line per cell".to_owned();
    if pale {
        let named = panels.iter().any(Panel::names_cells);
        let which =
            if named { "the second cell of a heading (else cell 1)" } else { "cell 1 (others: cell 0)" };
        marks += &format!("; colours are tokens, pale lines {which}");
    }
    if panels.iter().any(Panel::is_log) {
        marks += "; where numbers run away, the axis shows absolute values on a logarithmic scale";
    }
    all.push(marks + ".");
    if !run.onsets_ms.is_empty() {
        all.push("Grey lines: token onsets (only some where they would touch).".to_owned());
    }
    if let Some([shown, of]) = plan.crowd {
        all.push(format!(
            "Rates are shown from {from} to {until} ms: {shown} of the {of} tokens that are presented."
        ));
    }
    if panels.iter().any(Panel::has_rings) {
        let when = if run.onsets_ms.is_empty() { "" } else { ", at the time when the output is read" };
        all.push(format!("Rings: what the compiled heads say{when}."));
    }
    match distance {
        Some(d) => {
            let of = |[shown, all]: [usize; 2], what: &str| {
                if shown < all {
                    format!("the last {shown} of {all} {what}")
                } else {
                    format!("all {all} {what}")
                }
            };
            let cells = match d.watched[1] {
                [shown, all] if shown < all => format!("the first {shown} of {all} cells"),
                [_, all] => format!("all {all} cells"),
            };
            let reads = match (d.reads.is_empty(), d.has_line()) {
                (true, _) => "",
                (false, true) => " Dots: when the output is read.",
                (false, false) => " Dots: the output of each token when it is read.",
            };
            let over = if d.has_line() {
                format!("{} and {cells}", of(d.watched[0], "tokens"))
            } else {
                "all cells".to_owned()
            };
            all.push(format!(
                "Distance: the largest difference between output and heads over {over}, divided by the largest output of the heads.{reads}"
            ));
        }
        None if run.algebra.is_none() => all.push("There are no heads to compare with.".to_owned()),
        None => all.push("There is no output to compare with the heads.".to_owned()),
    }
    for band in &run.lesions {
        let window = match band.window_ms {
            [None, None] => "during the whole run".to_owned(),
            [Some(from), None] => format!("from {from} ms (shaded)"),
            [None, Some(until)] => format!("until {until} ms (shaded)"),
            [Some(from), Some(until)] => format!("from {from} to {until} ms (shaded)"),
        };
        all.push(format!("Lesion: {} {window}.", band.what));
    }
    match plan.left_out {
        0 => {}
        1 => all.push("One further population is not shown.".to_owned()),
        n => all.push(format!("{n} further populations are not shown.")),
    }
    all.push(format!("{}.", run.made.trim_end_matches('.')));
    font::wrap(&all.join(" "), WIDTH - 2.0 * EDGE, LABEL, Face::Sans)
}
