//! The program in one picture: a file, its circuit, the heads it compiles to, and cells that agree with them.

use super::Making;
use super::given::Given;
use crate::figures::axis::bound;
use crate::figures::sheet::{Axes, Axis, Content, Figure, Look, Map, Panel, Point, Row, Series, Width};
use nalgebra::DMatrix;
use pulvinar::attention::attention_map;
use pulvinar::diag::{Diagnostic, Diagnostics, codes};

const FILE: &str = "two_heads_by_blocks.yaml";
/// Tokens of the maps that are shown.
const TOKENS: usize = 12;

pub fn make(making: &Making<'_>) -> Result<Figure, Diagnostics> {
    let path = making.circuits.join(FILE);
    let unread = |e: std::io::Error| {
        Diagnostic::error(codes::F003, "", format!("{}: {e}", path.display()))
            .help("figures read the project's circuits")
    };
    let text = std::fs::read_to_string(&path).map_err(unread)?;
    let given = Given::read(making, FILE, &[])?;
    let run = given.cells(&given.settings())?;
    let algebra = given.algebra()?;
    let worst = (&run.output - &algebra).amax() / algebra.amax();
    let bound = bound(worst);
    let block = given.block()?;
    let map = |head: usize| -> Result<Content, Diagnostics> {
        let whole = attention_map(block, head, &given.tokens)
            .map_err(|e| Diagnostic::error(codes::R001, "output", e.to_string()))?;
        let shown: DMatrix<f64> =
            whole.view((0, 0), (TOKENS.min(whole.nrows()), TOKENS.min(whole.ncols()))).into_owned();
        let (rows, columns) = (Axis::new("query token i", ""), Axis::new("context token j", ""));
        Ok(Content::Map(Map { values: shown, rows, columns, scale: Axis::new("weight", "") }))
    };
    let ends = algebra.iter().fold([f64::INFINITY, f64::NEG_INFINITY], |[a, b], y| [a.min(*y), b.max(*y)]);
    let axes = Axes {
        x: Axis::new("output of the compiled heads", ""),
        y: Axis::new("settled rates of the cells", ""),
        series: vec![
            Series::new("equal", Look::Line, 1, ends.map(|x| Point::new(x, x)).into()),
            Series::new(
                "",
                Look::Dots,
                0,
                algebra.iter().zip(run.output.iter()).map(|(x, y)| Point::new(*x, *y)).collect(),
            ),
        ],
        guides: Vec::new(),
    };
    let panel = |title: String, share: f64, content: Content| Panel { title, share, content };
    let heads = block.heads.len();
    let mut below = Vec::new();
    for head in 0..heads.min(2) {
        below.push(panel(format!("head {head} of {heads}: its attention"), 1.0, map(head)?));
    }
    below.push(panel(format!("cells = heads, to {bound}"), 1.0, Content::Axes(axes)));
    let code = Content::Words { lines: shown(&text), code: true };
    Ok(Figure {
        title: "A circuit in YAML is a set of attention heads".to_owned(),
        caption: format!(
            "**A** A circuit file, without its comments. **B** The circuit it states, as `pulvinar compile --emit svg` draws it. **C, D** \
             The heads that it compiles to: weight of each context token for each query token, the first {TOKENS} tokens. **E** All {n} outputs \
             ({tokens} tokens) of all cells, run in time until they settle, against the compiled heads; line: equal; \
             largest difference less than {bound} of the largest output. One draw of weights and tokens, that of the file.",
            n = algebra.len(),
            tokens = algebra.ncols(),
        ),
        source: "The construction is that of Granier & Senn 2025 (arXiv 2504.06354); file, program and numbers are ours.".to_owned(),
        circuits: vec![FILE.to_owned()],
        width: Width::Page,
        rows: vec![
            Row {
                height_mm: 84.0,
                panels: vec![
                    panel("a circuit, written".to_owned(), 1.15, code),
                    panel("and drawn".to_owned(), 0.8, Content::Circuit(given.drawing())),
                ],
            },
            Row { height_mm: 48.0, panels: below },
        ],
        tolerance: 1e-9,
    })
}

/// The lines of a file that are not comments.
fn shown(text: &str) -> Vec<String> {
    let code = |line: &str| line.split(" #").next().unwrap_or(line).trim_end().to_owned();
    let is_shown = |line: &&str| {
        let hidden = ["#", "source:", "description:", "expect:"];
        !hidden.iter().any(|h| line.trim_start().starts_with(h))
    };
    let mut lines: Vec<String> = text.lines().filter(is_shown).map(code).collect();
    lines.dedup_by(|a, b| a.is_empty() && b.is_empty());
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_not_shown() {
        let text = "# about\nschema: pulvinar/1\ndescription: x\n\n\nareas:   # here\n  A1: {}\n\n";
        assert_eq!(shown(text), ["schema: pulvinar/1", "", "areas:", "  A1: {}"]);
    }
}
