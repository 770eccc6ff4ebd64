//! Parts of pages: the circuit, its heads, their attention maps, learning curves.

use super::{Body, Section};
use crate::figures::canvas::svg::Fonts;
use crate::figures::circuit::picture;
use crate::figures::plot;
use crate::figures::sheet::{
    Axes, Axis, Content, Figure, Look, Map, Panel, Point, Row as Panels, Series, Width,
};
use nalgebra::DMatrix;
use pulvinar::attention::{ForwardError, Mask, Streams, attention_map};
use pulvinar::circuit::Circuit;
use pulvinar::compile::{Compiled, CompiledBlock};
use pulvinar::linalg::count;
use pulvinar::plasticity::metrics::Row;

/// Heads and tokens that a map is drawn of, at most; and maps side by side.
const HEADS: usize = 6;
const TOKENS: usize = 32;
const BESIDE: usize = 3;
/// Pairs of tokens that a whole map may have.
const MOST: usize = 1 << 22;

/// The drawing of the circuit.
///
/// # Errors
/// What the drawing library says.
pub fn circuit(circuit: &Circuit) -> Result<Section, String> {
    let svg = picture(circuit).svg("px", Fonts::OfThePage)?;
    Ok(Section { heading: "Circuit".to_owned(), words: Vec::new(), body: vec![Body::Picture(svg)] })
}

/// The compiled heads, numbered from 0 in each block.
#[must_use]
pub fn heads(compiled: &Compiled) -> Section {
    let head =
        ["block", "head", "d_k", "d_v", "strength", "mask", "memory", "kernel", "query", "context", "area"];
    let mut rows = Vec::new();
    for block in &compiled.blocks {
        for (number, h) in block.heads.iter().enumerate() {
            let of = &h.head;
            rows.push(vec![
                block.block.relay.clone(),
                number.to_string(),
                of.d_key().to_string(),
                of.d_value().to_string(),
                format!("{:.4}", h.strength),
                of.mask.name().into_owned(),
                of.memory.name().to_owned(),
                of.kernel.name().to_owned(),
                of.query_stream.clone(),
                of.context_stream.clone(),
                of.area.clone(),
            ]);
        }
    }
    Section {
        heading: "Compiled heads".to_owned(),
        words: Vec::new(),
        body: vec![Body::Table { head: head.map(str::to_owned).into(), rows }],
    }
}

/// Attention maps of the first heads, of their first tokens. `streams` are the inputs and the outputs of all blocks.
///
/// # Errors
/// What the drawing library says.
pub fn maps(compiled: &Compiled, streams: &Streams) -> Result<Section, String> {
    let (mut panels, mut words, mut all, mut cut) = (Vec::new(), Vec::new(), 0, false);
    for block in &compiled.blocks {
        for number in 0..block.heads.len() {
            all += 1;
            if panels.len() >= HEADS {
                continue;
            }
            let title = format!("{}, head {number}", block.block.relay);
            match map(block, number, streams) {
                Ok(map) => {
                    let (rows, columns) = (map.nrows().min(TOKENS), map.ncols().min(TOKENS));
                    cut |= (rows, columns) != map.shape();
                    let values = map.view((0, 0), (rows, columns)).into_owned();
                    let axis = |label: &str| Axis::new(label, "");
                    let (rows, columns) = (axis("query token i"), axis("context token j"));
                    let map = Map { values, rows, columns, scale: axis("weight") };
                    panels.push(Panel { title, share: 1.0, content: Content::Map(map) });
                }
                Err(e) => words.push(format!("{title}: {e}")),
            }
        }
    }
    words.insert(
        0,
        format!(
            "Weight of each context token j for each query token i; {} of {all} heads{}.",
            panels.len(),
            if cut { format!(", the first {TOKENS} tokens") } else { String::new() }
        ),
    );
    let mut body = Vec::new();
    if !panels.is_empty() {
        let rows = panels.chunks(BESIDE).map(|own| {
            let mut panels = own.to_vec();
            // Maps of the last row are as large as the others.
            while panels.len() < BESIDE.min(all) {
                let content = Content::Words { lines: Vec::new(), code: false };
                panels.push(Panel { title: String::new(), share: 1.0, content });
            }
            Panels { height_mm: 52.0, panels }
        });
        body.push(Body::Picture(drawn(rows.collect())?));
    }
    Ok(Section { heading: "Attention maps".to_owned(), words, body })
}

/// Of a causal head the first tokens see no others; the whole matrix is made for others, unless it is huge.
fn map(block: &CompiledBlock, number: usize, streams: &Streams) -> Result<DMatrix<f64>, String> {
    let head = &block.block.heads[number].clone();
    let said = |e: ForwardError| e.to_string();
    if head.mask != Mask::Full {
        let first = |x: &DMatrix<f64>| x.columns(0, x.ncols().min(TOKENS)).into_owned();
        let few: Streams = streams.iter().map(|(name, x)| (name.clone(), first(x))).collect();
        return attention_map(&block.block, number, &few).map_err(said);
    }
    let length = |name: &String| streams.get(name).map_or(0, DMatrix::ncols);
    let all = length(&head.query_stream).saturating_mul(length(&head.context_stream));
    if all > MOST {
        return Err(format!("not drawn: {all} pairs of tokens"));
    }
    attention_map(&block.block, number, streams).map_err(said)
}

/// Losses and, where there are some, cosines between local rules and gradients, over the steps of a training.
///
/// # Errors
/// What the drawing library says.
pub fn curves(rows: &[Row], names: &[&str]) -> Result<Section, String> {
    let at = |r: &Row| count(r.step);
    let points = |of: &dyn Fn(&Row) -> Option<f64>| -> Vec<Point> {
        rows.iter().filter_map(|r| of(r).map(|y| Point::new(at(r), y))).collect()
    };
    let held = rows.iter().map(|r| Point::with_error(at(r), r.held_out, r.standard_error)).collect();
    let loss = Axes {
        x: Axis::new("step", ""),
        y: Axis::new("loss", ""),
        series: vec![
            Series::new("held out", Look::Line, 0, held),
            Series::new("last batch", Look::Dots, 1, points(&|r| r.loss)),
        ],
        guides: Vec::new(),
    };
    let mut panels = vec![Panel { title: "loss".to_owned(), share: 1.0, content: Content::Axes(loss) }];
    let cosines: Vec<Series> = names
        .iter()
        .enumerate()
        .map(|(k, name)| {
            let own = points(&|r| r.cosines.get(k).copied().flatten());
            Series::new(*name, Look::LineAndMarks, k, own)
        })
        .filter(|s| !s.points.is_empty())
        .take(7)
        .collect();
    if !cosines.is_empty() {
        let (x, y) = (Axis::new("step", ""), Axis::new("cosine", ""));
        let axes = Axes { x, y, series: cosines, guides: Vec::new() };
        let title = "local update against the gradient".to_owned();
        panels.push(Panel { title, share: 1.0, content: Content::Axes(axes) });
    }
    let words = vec![
        "Held-out loss with a band of one standard error to both sides, measured before the step; loss of the last batch."
            .to_owned(),
    ];
    let body = vec![Body::Picture(drawn(vec![Panels { height_mm: 60.0, panels }])?)];
    Ok(Section { heading: "Learning".to_owned(), words, body })
}

fn drawn(rows: Vec<Panels>) -> Result<String, String> {
    let figure = Figure {
        title: String::new(),
        caption: String::new(),
        source: String::new(),
        circuits: Vec::new(),
        width: Width::Page,
        rows,
        tolerance: 0.0,
    };
    plot::picture(&figure).svg("mm", Fonts::OfThePage)
}
