//! The page beside the figures: each with its caption, source, circuits and command.
//!
//! **Deliberately absent:** files.

use super::catalogue::{Entry, Group};
use super::sheet::Figure;
use std::fmt::Write as _;

const HEAD: &str = "\
# Figures

Drawn by `pulvinar figures` from the circuits in [`circuits/`](../circuits). They illustrate constructions that the named
papers state; they are ours, not copies of figures of those papers. The numbers of each picture stand beside it as CSV, one
row for each point: panel, series, x, y, value (of a map), low and high (ends of the error bar), then what x, y and the
value are. `pulvinar figures --check` draws all again and compares numbers and pictures with those kept here.
";

/// `figures/README.md`.
#[must_use]
pub fn page(drawn: &[(&Entry, &Figure)]) -> String {
    let mut text = String::from(HEAD);
    for group in Group::ALL {
        let own: Vec<_> = drawn.iter().filter(|(e, _)| e.group == group).collect();
        if own.is_empty() {
            continue;
        }
        let _ = write!(text, "\n## {}\n", heading(group));
        for (entry, figure) in own {
            let name = entry.name;
            let _ = write!(
                text,
                "\n### {name}: {}\n\n![{}]({name}.svg)\n\n{}\n",
                figure.title, entry.about, figure.caption
            );
            let _ = write!(text, "\nSource: {}", figure.source);
            let circuits: Vec<String> =
                figure.circuits.iter().map(|c| format!("[`{c}`](../circuits/{c})")).collect();
            let _ = write!(
                text,
                "\n\nNumbers: [`{name}.csv`]({name}.csv). Circuits: {}. Command: `pulvinar figures {name}`.\n",
                circuits.join(", ")
            );
        }
    }
    text
}

fn heading(group: Group) -> &'static str {
    match group {
        Group::CorticoThalamic => "Cortico-thalamic attention (group `cortico-thalamic`)",
        Group::Memory => "Memory (group `memory`)",
        Group::MatchAndControl => "Match and control in one cell (group `match-and-control`)",
    }
}
