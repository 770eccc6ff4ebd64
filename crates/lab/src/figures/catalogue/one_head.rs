//! One head from microcolumns, as a mask on pairs of tokens and as a key-value memory, beside the head of a transformer.

use super::Making;
use super::given::{Given, Plain, error_axes, errors, floored, last, plain_block, trace};
use crate::figures::sheet::{Axes, Axis, Content, Figure, Look, Map, Panel, Point, Row, Series, Width};
use nalgebra::DMatrix;
use pulvinar::attention::Mask;
use pulvinar::attention::equivalence::distance;
use pulvinar::diag::Diagnostics;
use pulvinar::spec::{CompartmentSpec, RecordSpec, Variable};

const PAIRS: &str = "one_head_attention_mask.yaml";
const MEMORY: &str = "one_head_key_value_memory.yaml";
const NAMES: [&str; 4] = ["W_Q", "W_K", "W_V", "W_O"];

pub fn make(making: &Making<'_>) -> Result<Figure, Diagnostics> {
    let (pairs, memory) = (Given::read(making, PAIRS, &[])?, Given::read(making, MEMORY, &[])?);
    let plain = Plain::of(&pairs, NAMES, Mask::Causal)?;
    let x = pairs.stream("main")?;
    let truth = x + plain.adds(x, x);

    let score = RecordSpec {
        population: "A1.deep".to_owned(),
        variable: Variable::Potential,
        compartment: Some(CompartmentSpec::Apical),
        cells: Some(vec![0]),
        query: None,
        context: None,
        every: 1,
    };
    let mut settings = pairs.settings();
    settings.record = vec![score];
    let by_pairs = pairs.cells(&settings)?;
    let trace_of_scores = trace(&by_pairs, 0)?;
    let mut scores = DMatrix::zeros(x.ncols(), x.ncols());
    for (token, score) in trace_of_scores.tokens.iter().zip(last(trace_of_scores)) {
        if let (Some(i), Some(j)) = (token.query, token.context) {
            scores[(i, j)] = *score;
        }
    }

    let end = x.ncols() - 1;
    let mut settings = memory.settings();
    settings.record = vec![RecordSpec {
        population: "A1.superficial".to_owned(),
        variable: Variable::Rate,
        compartment: None,
        cells: None,
        query: Some(vec![end]),
        context: None,
        every: 1,
    }];
    let by_memory = memory.cells(&settings)?;
    let (d_v, d_k) = (plain.v.nrows(), plain.k.nrows());
    let stored = DMatrix::from_row_slice(d_v, d_k, last(trace(&by_memory, 0)?));

    let token = || Axis::new("query token i (from 0)", "");
    let maps = Row {
        height_mm: 44.0,
        panels: vec![
            Panel {
                title: "scores in the deep cells".to_owned(),
                share: 0.36,
                content: Content::Map(Map {
                    values: scores,
                    rows: token(),
                    columns: Axis::new("context token j (from 0)", ""),
                    scale: Axis::new("apical potential", ""),
                }),
            },
            Panel {
                title: "memory after the last token".to_owned(),
                share: 0.28,
                content: Content::Map(Map {
                    values: stored,
                    rows: Axis::new("microcolumn a", ""),
                    columns: Axis::new("cell b", ""),
                    scale: Axis::new("rate", ""),
                }),
            },
            Panel {
                title: "output of the cells".to_owned(),
                share: 0.36,
                content: Content::Axes(outputs(&truth, [&by_pairs.output, &by_memory.output])),
            },
        ],
    };
    let found = [
        ("pairs, compiled", Look::Line, 0, pairs.algebra()?),
        ("memory, compiled", Look::Dashed, 1, memory.algebra()?),
        ("pairs, cells", Look::Marks, 0, by_pairs.output),
        ("memory, cells", Look::Dots, 1, by_memory.output),
    ];
    let mut series: Vec<Series> = found
        .iter()
        .map(|(name, look, colour, output)| errors(name, *look, *colour, output, &truth))
        .collect();
    for (colour, change) in [(2, 1e-6), (3, 1e-3)] {
        let other = Plain { k: &plain.k * (1.0 + change), ..plain.clone() };
        let output = x + other.adds(x, x);
        series.push(errors(
            &format!("W_K \u{d7} (1 + {change:e})"),
            Look::LineAndMarks,
            colour,
            &output,
            &truth,
        ));
    }
    let numbers = Row {
        height_mm: 42.0,
        panels: vec![
            Panel {
                title: "error against the transformer head".to_owned(),
                share: 0.55,
                content: Content::Axes(error_axes(token(), series)),
            },
            Panel {
                title: "the certificate sees any change".to_owned(),
                share: 0.45,
                content: Content::Axes(certificate(&pairs, &memory, &plain)?),
            },
        ],
    };
    let drawings = Row {
        height_mm: 114.0,
        panels: [("a microcolumn for each pair of tokens", &pairs), ("one key-value memory", &memory)]
            .map(|(title, given)| Panel {
                title: title.to_owned(),
                share: 0.5,
                content: Content::Circuit(given.drawing()),
            })
            .into(),
    };
    Ok(Figure {
        title: "One head of attention from microcolumns, in two circuits".to_owned(),
        caption: caption(x.ncols()),
        source: "The paper (Granier & Senn 2025, arXiv 2504.06354) states: superficial pyramidal cells encode an \
                 attention mask on deep ones, and such microcolumns make a circuit equivalent to one head (v1, \
                 abstract); superficial cells maintain a key-value memory that gain-modulates deep cells, which \
                 encode the query (v3, abstract). Sizes, weights, drawings, compiler and certificate are ours."
            .to_owned(),
        circuits: vec![PAIRS.to_owned(), MEMORY.to_owned()],
        width: Width::Page,
        rows: vec![drawings, maps, numbers],
        tolerance: 1e-9,
    })
}

fn caption(tokens: usize) -> String {
    format!(
        "**A, B** The two circuits, drawn from their files. Green triangles are pyramidal cells with an apical \
         dendrite (up) and basal ones; \u{d7}: the rate is basal times apical input; a ring: the cell adds up over \
         context tokens j. Blue boxes are core relays, orange ones matrix relays; stacks are copies for query tokens \
         i or context tokens j; filled arrows excite, open ones carry weights of both signs; \u{3a3}j sums over \
         context tokens. Both files draw the same W_Q, W_K, W_V and W_O (same seed, same names), so that both should \
         be one head of causal, unnormalised linear attention with these matrices, d_k = d_v = 4. \
         **C** Circuit A run as leaky cells in time until they stand still: apical potential of the first deep cell \
         of every column (i, j), which is the attention map k_j . q_i. Columns with j > i do not exist (shown as 0). \
         **D** Circuit B, same: rates of its superficial cells for the last token, the sum of v_j k_j^T. \
         **E** All {tokens} x 8 outputs of both circuits, cells in time, against the transformer head \
         y_i = x_i + sum over j <= i of W_O (k_j . q_i) v_j, computed by matrix products from the four matrices alone. \
         **F** Largest error of each token over the largest output, for cells in time and for the heads that the \
         circuits compile to: all at or below 1e-12, which is rounding and drawn there. For comparison, two \
         transformer heads whose W_K differs by 1e-6 and 1e-3 of its size. \
         **G** Control: distance between each compiled circuit and the transformer head after W_K of the latter was \
         multiplied by 1 + change, as the certificate gives it from the weights, for all inputs of all lengths. \
         Line: distance = change. Without a change the distance is below 1e-15. Nothing here is a mean: one draw of \
         weights and tokens, that of the files.",
    )
}

/// Every output of the cells against that of the head.
fn outputs(truth: &DMatrix<f64>, found: [&DMatrix<f64>; 2]) -> Axes {
    let (low, high) = (truth.min(), truth.max());
    let mut series =
        vec![Series::new("equal", Look::Line, 6, vec![Point::new(low, low), Point::new(high, high)])];
    for ((name, look, colour), output) in
        [("pairs", Look::Marks, 0), ("memory", Look::Dots, 1)].into_iter().zip(found)
    {
        let points = truth.iter().zip(output.iter()).map(|(t, y)| Point::new(*t, *y)).collect();
        series.push(Series::new(name, look, colour, points));
    }
    Axes {
        x: Axis::new("transformer head, y", ""),
        y: Axis::new("cells in time, y", ""),
        series,
        guides: Vec::new(),
    }
}

/// Distance of the compiled circuits to heads whose keys were changed.
fn certificate(pairs: &Given, memory: &Given, plain: &Plain) -> Result<Axes, Diagnostics> {
    let mut series = Vec::new();
    let changes: Vec<f64> = (-11..=0).map(|k| 10f64.powi(k)).collect();
    let equal = changes.iter().map(|c| Point::new(*c, *c)).collect();
    series.push(Series::new("distance = change", Look::Line, 6, equal));
    for (name, look, colour, given) in [("pairs", Look::Marks, 0, pairs), ("memory", Look::Dots, 1, memory)] {
        let block = given.block()?;
        let mut points = Vec::new();
        for change in &changes {
            let mut head = plain.head("main", "main");
            head.w_k *= 1.0 + change;
            let far = distance(block, &plain_block(vec![head], "main", block.d_model));
            let far = far.map_err(|e| super::given::missing("", e.to_string()))?;
            points.push(Point::new(*change, floored(far.attention.relative())));
        }
        series.push(Series::new(name, look, colour, points));
    }
    Ok(Axes {
        x: Axis::new("change made to W_K", "").log(),
        y: Axis::new("certified distance", "").log(),
        series,
        guides: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::catalogue::given::FLOOR;
    use crate::figures::catalogue::tests::{axes, making, map, within};
    use pulvinar::oracle::heads::{
        HeadSpec, Kernel as OracleKernel, Mask as OracleMask, Memory as OracleMemory, block,
    };

    fn given(file: &str) -> Given {
        Given::read(&making(), file, &[]).unwrap_or_else(|d| panic!("{d:?}"))
    }

    #[test]
    fn the_files_draw_one_and_the_same_head() {
        let (pairs, memory) = (given(PAIRS), given(MEMORY));
        for name in NAMES {
            assert_eq!(pairs.weights(name).ok(), memory.weights(name).ok(), "{name}");
        }
        assert_eq!(pairs.tokens, memory.tokens);
        let plain = Plain::of(&pairs, NAMES, Mask::Causal).unwrap_or_else(|d| panic!("{d:?}"));
        let head = plain_block(vec![plain.head("main", "main")], "main", 8);
        for given in [&pairs, &memory] {
            let far = distance(given.block().unwrap(), &head).unwrap_or_else(|e| panic!("{e}"));
            assert!(far.total.relative() < 1e-15, "{:?}", far.total);
        }
    }

    /// The plain head in matrix products against loops over tokens that share no code with it.
    #[test]
    fn the_plain_head_is_that_of_the_loops() {
        let pairs = given(PAIRS);
        let plain = Plain::of(&pairs, NAMES, Mask::Causal).unwrap_or_else(|d| panic!("{d:?}"));
        let x = pairs.stream("main").unwrap();
        let rows =
            |m: &DMatrix<f64>| m.row_iter().map(|r| r.iter().copied().collect()).collect::<Vec<Vec<f64>>>();
        let head = HeadSpec {
            w_q: rows(&plain.q),
            w_k: rows(&plain.k),
            w_v: rows(&plain.v),
            w_o: rows(&plain.o),
            b_q: vec![0.0; 4],
            b_k: vec![0.0; 4],
            b_v: vec![0.0; 4],
            scale: 1.0,
            kernel: OracleKernel::Linear,
            normalised: false,
            mask: OracleMask::Causal,
            memory: OracleMemory::None,
            query_stream: 0,
            context_stream: 0,
            value_stream: 0,
            function: Vec::new(),
            sink: None,
        };
        let tokens = vec![rows(&x.transpose())];
        let want = block(&[head], &[(0, rows(&DMatrix::identity(8, 8)))], &[0.0; 8], 0, &tokens);
        let got = x + plain.adds(x, x);
        for (i, token) in want.iter().enumerate() {
            for (a, y) in token.iter().enumerate() {
                assert!((y - got[(a, i)]).abs() < 1e-12 * got.amax(), "token {i}, cell {a}");
            }
        }
    }

    #[test]
    fn the_caption_says_what_the_panels_hold() {
        let figure = make(&making()).unwrap_or_else(|d| panic!("{d:?}"));
        let errors = axes(&figure, 2, 0);
        assert_eq!(errors.series.len(), 6);
        for series in &errors.series {
            assert_eq!(series.points.len(), 16);
            let worst = series.points.iter().map(|p| p.y).fold(0.0, f64::max);
            match series.name.as_str() {
                "W_K \u{d7} (1 + 1e-6)" => within(worst, 1e-6, 1e-6, "a head that differs"),
                "W_K \u{d7} (1 + 1e-3)" => within(worst, 1e-3, 1e-3, "a head that differs"),
                name => assert!(worst <= FLOOR, "{name}: {worst:e}"),
            }
        }
        // Panel C is the attention map of the compiled head, panel D the sum of v_j k_j^T.
        let pairs = given(PAIRS);
        let want = pulvinar::attention::attention_map(pairs.block().unwrap(), 0, &pairs.tokens).unwrap();
        let scores = map(&figure, 1, 0);
        assert!((&scores.values - &want).amax() < 1e-10 * want.amax());
        assert!(
            scores.values.upper_triangle().iter().filter(|s| **s != 0.0).count() <= 16,
            "nothing above the diagonal"
        );
        let x = pairs.stream("main").unwrap();
        let plain = Plain::of(&pairs, NAMES, Mask::Causal).unwrap_or_else(|d| panic!("{d:?}"));
        let want = (&plain.v * x) * (&plain.k * x).transpose();
        assert!((&map(&figure, 1, 1).values - &want).amax() < 1e-10 * want.amax());
        // The certificate gives back what was changed.
        for series in &axes(&figure, 2, 1).series {
            for p in &series.points {
                within(p.y, p.x, 1e-2 * p.x + 2e-16, &series.name);
            }
        }
    }
}
