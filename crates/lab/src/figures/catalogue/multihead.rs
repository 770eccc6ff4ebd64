//! Multihead attention: parallel cortico-thalamic loops, one head per area.

use super::Making;
use super::given::{Given, Plain, error_axes, errors, floored};
use crate::figures::sheet::{Axes, Axis, Content, Figure, Look, Map, Panel, Point, Row, Series, Width};
use nalgebra::DMatrix;
use pulvinar::attention::{Mask, attention_map};
use pulvinar::diag::Diagnostics;
use pulvinar::linalg::count;
use pulvinar::simulate::cells::Settings;
use pulvinar::spec::{LesionSpec, WindowSpec};

const FILE: &str = "multihead_cortico_thalamic.yaml";

/// What the heads and the areas of the circuit do.
struct Parts {
    /// output of the cells, `[d_model, n_tokens]`
    cells: DMatrix<f64>,
    /// what is lost of it when the deep cells of an area fall silent, by area
    lost: Vec<DMatrix<f64>>,
    /// what the head of that area adds, from its four matrices
    adds: Vec<DMatrix<f64>>,
    tokens: DMatrix<f64>,
    compiled: DMatrix<f64>,
}

pub fn make(making: &Making<'_>) -> Result<Figure, Diagnostics> {
    let given = Given::read(making, FILE, &[])?;
    let parts = parts(&given, making)?;
    let areas = &given.circuit.areas;
    let mut maps = Vec::new();
    for (head, area) in areas.iter().enumerate() {
        maps.push(Panel {
            title: format!("head {head}, area {area}"),
            share: 1.0 / count(areas.len()),
            content: Content::Map(Map {
                values: attention_map(given.block()?, head, &given.tokens)
                    .map_err(|e| super::given::missing("", e.to_string()))?,
                rows: Axis::new("query token i", ""),
                columns: Axis::new("context token j", ""),
                scale: Axis::new("k_j \u{b7} q_i", ""),
            }),
        });
    }
    let token = || Axis::new("token i (from 0)", "");
    let numbers = Row {
        height_mm: 44.0,
        panels: vec![
            Panel {
                title: "what each area adds".to_owned(),
                share: 0.36,
                content: Content::Axes(Axes {
                    x: token(),
                    y: Axis::new("norm of the contribution", ""),
                    series: contributions(&parts, areas),
                    guides: Vec::new(),
                }),
            },
            Panel {
                title: "summing up the heads".to_owned(),
                share: 0.28,
                content: Content::Axes(partial_sums(&parts)),
            },
            Panel {
                title: "error of the whole".to_owned(),
                share: 0.36,
                content: Content::Axes(whole(&parts, token())),
            },
        ],
    };
    Ok(Figure {
        title: "Parallel cortico-thalamic loops are multihead attention".to_owned(),
        caption: caption(parts.tokens.ncols(), areas.len()),
        source: "The paper (Granier & Senn 2025, arXiv 2504.06354v3, abstract) suggests the parallel between one head of \
                 attention and one cortical area, and proposes that a thalamo-cortico-thalamic pathway implements a \
                 multihead, unnormalised, linear self-attention block. Sizes, weights, the assignment of pathways to \
                 queries, keys and values, the drawing and all numbers are ours."
            .to_owned(),
        circuits: vec![FILE.to_owned()],
        width: Width::Page,
        rows: vec![
            Row {
                height_mm: 132.0,
                panels: vec![Panel {
                    title: "four areas between the same thalamic nuclei".to_owned(),
                    share: 1.0,
                    content: Content::Circuit(given.drawing()),
                }],
            },
            Row { height_mm: 38.0, panels: maps },
            numbers,
        ],
        tolerance: 1e-9,
    })
}

fn caption(tokens: usize, areas: usize) -> String {
    format!(
        "**A** The circuit, drawn from its file. All {areas} areas read the same tokens, queries through a core relay \
         (blue) and keys and values through a matrix relay (orange), and send their result to one higher-order relay, \
         where it adds up; `skip` is the residual path. Green triangles are pyramidal cells; \u{d7}: rate = basal x \
         apical input; a ring: adds up over context tokens; open arrows carry weights of both signs. \
         **B-E** Attention map of each of the heads that the circuit compiles to, one for each area: weight of \
         context token j for query token i (causal: j <= i). \
         **F** Contribution of each area to the output: norm of the change when the deep cells of the area are \
         silenced in a run of cells in time (marks), and norm of what the head with the same four matrices adds \
         (lines). **G** Distance between the output of the cells and the residual path plus the first so many heads, \
         as a fraction of the output (Frobenius norms): only the sum of all of them is the output. \
         **H** Largest error of each token over the largest output, against plain heads, x_i + sum over heads h and j <= i \
         of W_O^h (k_j^h . q_i^h) v_j^h, computed by matrix products from the matrices of the file: heads of the compiled \
         circuit and leaky cells in time that stand still, all at or below 1e-12, which is rounding and drawn there (as in \
         G). For comparison, plain heads that add 1e-6 more than they should. One draw of weights and of {tokens} tokens, that of the file.",
    )
}

fn parts(given: &Given, making: &Making<'_>) -> Result<Parts, Diagnostics> {
    let tokens = given.stream("main")?.clone();
    let areas = &given.circuit.areas;
    making.progress.begin("lesions", areas.len() + 1);
    let cells = given.cells(&given.settings())?.output;
    making.progress.step();
    let (mut lost, mut adds) = (Vec::new(), Vec::new());
    for (k, area) in areas.iter().enumerate() {
        let population = format!("{area}.deep");
        let silence = LesionSpec::Silence { population, fraction: 1.0, window: WindowSpec::default() };
        let settings = Settings { lesions: vec![silence], ..given.settings() };
        lost.push(&cells - given.cells(&settings)?.output);
        making.progress.step();
        let names = ["W_Q", "W_K", "W_V", "W_O"].map(|w| format!("{w}{}", k + 1));
        let plain = Plain::of(given, names.each_ref().map(String::as_str), Mask::Causal)?;
        adds.push(plain.adds(&tokens, &tokens));
    }
    let compiled = given.algebra()?;
    Ok(Parts { cells, lost, adds, tokens, compiled })
}

fn contributions(parts: &Parts, areas: &[String]) -> Vec<Series> {
    let norms = |m: &DMatrix<f64>| -> Vec<Point> {
        m.column_iter().enumerate().map(|(i, y)| Point::new(count(i), y.norm())).collect()
    };
    let lines = parts.adds.iter().enumerate().map(|(k, m)| Series::new("", Look::Line, k, norms(m)));
    let marks = parts.lost.iter().zip(areas).enumerate();
    lines.chain(marks.map(|(k, (m, area))| Series::new(area, Look::Marks, k, norms(m)))).collect()
}

/// Distance of the output to the residual path and the first heads.
fn partial_sums(parts: &Parts) -> Axes {
    let size = parts.cells.norm();
    let mut sum = parts.tokens.clone();
    let mut points = vec![Point::new(0.0, (&parts.cells - &sum).norm() / size)];
    for (h, adds) in parts.adds.iter().enumerate() {
        sum += adds;
        points.push(Point::new(count(h + 1), floored((&parts.cells - &sum).norm() / size)));
    }
    let names =
        (0..=parts.adds.len()).map(|h| if h == 0 { "skip".to_owned() } else { format!("+{}", h - 1) });
    Axes {
        x: Axis::new("heads in the sum", "").names(names),
        y: Axis::new("distance to the output", "").log().range(1e-13, 10.0),
        series: vec![Series::new("", Look::LineAndMarks, 0, points)],
        guides: Vec::new(),
    }
}

fn whole(parts: &Parts, token: Axis) -> Axes {
    let truth = parts.adds.iter().fold(parts.tokens.clone(), |sum, adds| sum + adds);
    let other = parts.adds.iter().fold(parts.tokens.clone(), |sum, adds| sum + adds * (1.0 + 1e-6));
    error_axes(
        token,
        vec![
            errors("compiled", Look::Line, 1, &parts.compiled, &truth),
            errors("cells", Look::Marks, 0, &parts.cells, &truth),
            errors("heads \u{d7} (1 + 1e-6)", Look::LineAndMarks, 2, &other, &truth),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::catalogue::given::FLOOR;
    use crate::figures::catalogue::tests::{axes, making, map, within};

    #[test]
    fn the_caption_says_what_the_panels_hold() {
        let figure = make(&making()).unwrap_or_else(|d| panic!("{d:?}"));
        // What silencing an area takes away is what its head adds.
        let series = &axes(&figure, 2, 0).series;
        assert_eq!(series.len(), 8);
        for (line, marks) in series[..4].iter().zip(&series[4..]) {
            for (a, b) in line.points.iter().zip(&marks.points) {
                within(a.y, b.y, 1e-9 * (1.0 + a.y), &marks.name);
            }
            assert!(marks.points.iter().any(|p| p.y > 1.0), "{} adds something", marks.name);
        }
        // Every head is needed for the sum.
        let sums = &axes(&figure, 2, 1).series[0].points;
        assert!(sums[..4].iter().all(|p| p.y > 0.1) && sums[4].y <= FLOOR, "{sums:?}");
        let errors = &axes(&figure, 2, 2).series;
        assert!(errors[..2].iter().flat_map(|s| &s.points).all(|p| p.y <= FLOOR), "{errors:?}");
        assert!(errors[2].points.iter().any(|p| p.y > 1e-7), "{errors:?}");
        // Maps are k_j . q_i of the file's matrices, and no two are alike.
        let given = Given::read(&making(), FILE, &[]).unwrap_or_else(|d| panic!("{d:?}"));
        let x = given.stream("main").unwrap();
        for head in 0..4 {
            let names = ["W_Q", "W_K", "W_V", "W_O"].map(|w| format!("{w}{}", head + 1));
            let plain = Plain::of(&given, names.each_ref().map(String::as_str), Mask::Causal);
            let want = plain.unwrap_or_else(|d| panic!("{d:?}")).map(x, x);
            let shown = &map(&figure, 1, head).values;
            assert!((shown - &want).amax() < 1e-12 * want.amax(), "head {head}");
            for other in 0..head {
                assert!((shown - &map(&figure, 1, other).values).amax() > 0.1 * want.amax());
            }
        }
    }
}
