//! Cross-attention between two areas: the memory of one is read by the queries of another.

use super::Making;
use super::given::{Given, Plain, error_axes, errors, last, plain_block, trace};
use crate::figures::sheet::{Axes, Axis, Content, Figure, Look, Map, Panel, Point, Row, Series, Width};
use nalgebra::DMatrix;
use pulvinar::attention::equivalence::distance;
use pulvinar::attention::{Mask, Streams};
use pulvinar::diag::Diagnostics;
use pulvinar::linalg::count;
use pulvinar::spec::{RecordSpec, Variable};

const FILE: &str = "cross_attention.yaml";
const NAMES: [&str; 4] = ["W_Q", "W_K", "W_V", "W_O"];

pub fn make(making: &Making<'_>) -> Result<Figure, Diagnostics> {
    let given = Given::read(making, FILE, &[])?;
    let plain = Plain::of(&given, NAMES, Mask::Full)?;
    let (vision, sound) = (given.stream("vision")?, given.stream("sound")?);
    let adds = plain.adds(vision, sound);
    let truth = vision + &adds;

    let mut settings = given.settings();
    settings.record = vec![RecordSpec {
        population: "AUD.superficial".to_owned(),
        variable: Variable::Rate,
        compartment: None,
        cells: None,
        query: None,
        context: None,
        every: 1,
    }];
    let run = given.cells(&settings)?;
    // Under a full mask every query reads the same state.
    let (d_v, d_k) = (plain.v.nrows(), plain.k.nrows());
    let stored = DMatrix::from_row_slice(d_v, d_k, &last(trace(&run, 0)?)[..d_v * d_k]);
    let turned = Given { tokens: reversed(&given)?, ..Given::read(making, FILE, &[])? };
    let other_order = turned.cells(&given.settings())?.output;

    let patch = || Axis::new("image patch i (from 0)", "");
    let fewer = sound.columns(0, sound.ncols() - 1).into_owned();
    let fewer = vision + plain.adds(vision, &fewer);
    let error = |name: &str, look: Look, colour: usize, found: &DMatrix<f64>| {
        errors(name, look, colour, found, &truth)
    };
    let contribution = |name: &str, look: Look, m: &DMatrix<f64>| {
        let points = m.column_iter().enumerate().map(|(i, y)| Point::new(count(i), y.norm()));
        Series::new(name, look, 0, points.collect())
    };
    let far =
        distance(given.block()?, &plain_block(vec![plain.head("vision", "sound")], "vision", truth.nrows()));
    let far = far.map_err(|e| super::given::missing("", e.to_string()))?;
    if far.total.relative() > 1e-14 {
        return Err(super::given::missing("", format!("`{FILE}` is not the head of its matrices")));
    }
    let top = Row {
        height_mm: 108.0,
        panels: vec![
            Panel {
                title: "two senses, two areas".to_owned(),
                share: 0.46,
                content: Content::Circuit(given.drawing()),
            },
            Panel {
                title: "attention of patches to sounds".to_owned(),
                share: 0.54,
                content: Content::Map(Map {
                    values: plain.map(vision, sound).transpose(),
                    rows: Axis::new("sound j (from 0)", ""),
                    columns: patch(),
                    scale: Axis::new("k_j \u{b7} q_i", ""),
                }),
            },
        ],
    };
    let below = Row {
        height_mm: 48.0,
        panels: vec![
            Panel {
                title: "memory of sounds in AUD".to_owned(),
                share: 0.28,
                content: Content::Map(Map {
                    values: stored,
                    rows: Axis::new("microcolumn a", ""),
                    columns: Axis::new("cell b", ""),
                    scale: Axis::new("rate", ""),
                }),
            },
            Panel {
                title: "what sounds add to vision".to_owned(),
                share: 0.36,
                content: Content::Axes(Axes {
                    x: patch(),
                    y: Axis::new("norm of the contribution", ""),
                    series: vec![
                        contribution("head", Look::Line, &adds),
                        contribution("cells", Look::Marks, &(&run.output - vision)),
                    ],
                    guides: Vec::new(),
                }),
            },
            Panel {
                title: "error against the head".to_owned(),
                share: 0.36,
                content: Content::Axes(error_axes(
                    patch(),
                    vec![
                        error("compiled", Look::Line, 1, &given.algebra()?),
                        error("cells", Look::Marks, 0, &run.output),
                        error("sounds reversed", Look::Dots, 2, &other_order),
                        error("last sound left out", Look::LineAndMarks, 3, &fewer),
                    ],
                )),
            },
        ],
    };
    Ok(Figure {
        title: "Cross-attention: the memory of one area, read by another".to_owned(),
        caption: caption(vision.ncols(), sound.ncols()),
        source: "The paper (Granier & Senn 2025, arXiv 2504.06354v3, abstract) states that cross-attention corresponds \
                 to the key-value memory of one cortical area being used for retrieval by the query in another one. \
                 Senses, sizes, weights, the drawing and all numbers are ours."
            .to_owned(),
        circuits: vec![FILE.to_owned()],
        width: Width::Page,
        rows: vec![top, below],
        tolerance: 1e-9,
    })
}

fn caption(patches: usize, sounds: usize) -> String {
    format!(
        "**A** The circuit, drawn from its file: superficial cells of an auditory area (AUD) keep keys and values of \
         {sounds} sounds and gain-modulate the deep cells of a visual area (VIS), which hold the query of each of {patches} \
         image patches; the answer goes to the pulvinar (PUL), where it joins the patch itself (`skip`). Blue: core \
         relays, orange: matrix relays, green: pyramidal cells; \u{d7}: rate = basal x apical input; a ring: adds up \
         over sounds. \
         **B** Attention map k_j . q_i of the head that the four matrices of the file make, one column for each patch; every patch sees every sound. \
         The circuit never forms it. **C** What the cells hold instead: rates of the superficial cells of AUD, the sum of v_j k_j^T, \
         after leaky cells in time stand still. **D** What the sounds add to each patch: the head (line) and the cells (marks). \
         **E** Largest error of each patch over the largest output against x_i + sum over all sounds j of \
         W_O (k_j . q_i) v_j, by matrix products: the compiled head, the cells, and the cells with the same sounds in the opposite order, which must \
         not matter, all at or below 1e-12, which is rounding and drawn there. For comparison, the head without the last sound. Certified \
         from the weights, for all inputs of all lengths: the compiled circuit is at a relative distance below 1e-14 from that head. One \
         draw of weights and tokens, that of the file.",
    )
}

/// The same tokens, the last sound first.
fn reversed(given: &Given) -> Result<Streams, Diagnostics> {
    let sound = given.stream("sound")?;
    let order: Vec<usize> = (0..sound.ncols()).rev().collect();
    let mut tokens = given.tokens.clone();
    tokens.insert("sound".to_owned(), sound.select_columns(&order));
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::catalogue::given::FLOOR;
    use crate::figures::catalogue::tests::{axes, making, map, within};

    #[test]
    fn the_caption_says_what_the_panels_hold() {
        let figure = make(&making()).unwrap_or_else(|d| panic!("{d:?}"));
        let errors = &axes(&figure, 1, 2).series;
        assert!(errors[..3].iter().flat_map(|s| &s.points).all(|p| p.y <= FLOOR), "{errors:?}");
        assert!(errors[3].points.iter().all(|p| p.y > 1e-3), "{errors:?}");
        let [head, cells] = &axes(&figure, 1, 1).series[..] else { panic!("two series") };
        for (a, b) in head.points.iter().zip(&cells.points) {
            within(a.y, b.y, 1e-9 * (1.0 + a.y), "contribution");
        }
        let given = Given::read(&making(), FILE, &[]).unwrap_or_else(|d| panic!("{d:?}"));
        let want = pulvinar::attention::attention_map(given.block().unwrap(), 0, &given.tokens).unwrap();
        assert!((map(&figure, 0, 1).values.transpose() - &want).amax() < 1e-12 * want.amax());
        // The memory gives the answers: M q_i is what the map says.
        let plain = Plain::of(&given, NAMES, Mask::Full).unwrap_or_else(|d| panic!("{d:?}"));
        let vision = given.stream("vision").unwrap();
        let answers = &plain.o * &map(&figure, 1, 0).values * (&plain.q * vision);
        let adds = plain.adds(vision, given.stream("sound").unwrap());
        assert!((&answers - &adds).amax() < 1e-10 * adds.amax());
        let moved = reversed(&given).unwrap_or_else(|d| panic!("{d:?}"));
        assert_ne!(moved["sound"], given.tokens["sound"], "another order");
    }
}
