//! Softmax by divisive inhibition: heads of a trained transformer as circuits, run cell by cell in time.
//!
//! **Deliberately absent:** the training of the transformer (`tests/golden/transformer/`).

use super::Making;
use super::softmax_layer::{Example, Layer, Network, Ran, distance};
use super::trainings::middle;
use crate::figures::circuit::plan;
use crate::figures::sheet::{
    Axes, Axis, Content, Figure, Guide, Look, Map, Panel, Point, Row, Series, Width,
};
use nalgebra::DMatrix;
use pulvinar::diag::Diagnostics;
use pulvinar::linalg::count;
use rayon::prelude::*;

/// Times at which attention is shown, before it is settled.
const EARLY_MS: [f64; 2] = [5.0, 20.0];
/// Contexts whose scores are drawn in time.
const CONTEXTS: usize = 4;
/// End of the time axes.
const UNTIL_MS: f64 = 120.0;

/// What is shown of a network.
pub(super) struct Shown {
    /// number of the layer
    pub layer: usize,
    pub head: usize,
    /// name of what a token is, and of an example
    pub words: [&'static str; 2],
    /// the network, for the caption
    pub about: &'static str,
    pub source: &'static str,
    /// with a drawing of the circuit of the head
    pub draws: bool,
}

/// Makes the figure.
///
/// # Errors
/// Those of the files in `data/transformer`.
pub fn make(making: &Making<'_>) -> Result<Figure, Diagnostics> {
    let folder = making.circuits.join("data").join("transformer");
    let network = Network {
        model: folder.join("model.safetensors"),
        recording: folder.join("activations.safetensors"),
        heads: 4,
        layers: vec![0, 1],
        most_tokens: 8,
    };
    let shown = Shown {
        layer: 0,
        head: 0,
        words: ["pixel row", "images"],
        about: "a transformer of two layers of four heads that we trained to read handwritten digits (data/transformer)",
        source: "Transformer: trained by this project on the UCI digits (Alpaydin & Kaynak 1998, CC BY 4.0).",
        draws: true,
    };
    drawn(making, &network, &shown)
}

/// A layer with its examples run.
struct Whole {
    layer: Layer,
    ran: Vec<Ran>,
}

pub(super) fn drawn(making: &Making<'_>, network: &Network, shown: &Shown) -> Result<Figure, Diagnostics> {
    making.progress.begin("attention layers", network.layers.len());
    let mut wholes = Vec::new();
    for index in &network.layers {
        let layer = network.layer(*index, None)?;
        let ran: Vec<Result<Ran, Diagnostics>> = layer.examples.par_iter().map(|e| layer.run(e)).collect();
        let ran = ran.into_iter().collect::<Result<Vec<_>, _>>()?;
        wholes.push(Whole { layer, ran });
        making.progress.step();
    }
    let at = wholes.iter().position(|w| w.layer.index == shown.layer).unwrap_or(0);
    let whole = &wholes[at];
    let mapped = whole.layer.examples.iter().position(|e| !e.maps.is_empty()).unwrap_or(0);
    let (example, ran) = (&whole.layer.examples[mapped], &whole.ran[mapped]);
    let head = shown.head;
    let query = sharpest(example, head);
    let [scores, weights] = in_time(example, ran, head, query, shown.words[0]);
    let panel = |title: &str, share, content| Panel { title: title.to_owned(), share, content };
    let map = |values: DMatrix<f64>| {
        let tokens = |what: &str| Axis::new(format!("{what} ({})", shown.words[0]), "");
        let scale = Axis::new("attention", "").range(0.0, example.maps.get(head).map_or(1.0, DMatrix::max));
        Content::Map(Map { values, rows: tokens("query"), columns: tokens("context"), scale })
    };
    let last = ran.t_ms().len() - 1;
    let mut rows = Vec::new();
    let mut first = vec![
        panel("scores and inhibition", 0.5, Content::Axes(scores)),
        panel("attention in time", 0.5, Content::Axes(weights)),
    ];
    if shown.draws {
        let one = network.layer(shown.layer, Some(vec![head]))?;
        first.iter_mut().for_each(|p| p.share = 0.28);
        first.insert(
            0,
            panel("the head as a circuit", 0.44, Content::Circuit(Box::new(plan(&one.circuit).1))),
        );
    }
    rows.push(Row { height_mm: if shown.draws { 90.0 } else { 48.0 }, panels: first });
    let mut maps: Vec<Panel> = EARLY_MS
        .iter()
        .map(|t| panel(&format!("cells, {t} ms"), 0.25, map(ran.attention(head, sample(ran, *t)))))
        .collect();
    maps.push(panel("cells, settled", 0.25, map(ran.attention(head, last))));
    maps.push(panel("transformer", 0.25, map(example.maps.get(head).cloned().unwrap_or_default())));
    rows.push(Row { height_mm: 44.0, panels: maps });
    rows.push(Row {
        height_mm: 46.0,
        panels: vec![
            panel("all maps", 0.33, Content::Axes(all_maps(&wholes))),
            panel("output on its way", 0.34, Content::Axes(approach(&wholes))),
            panel("settled, by layer", 0.33, Content::Axes(ends(&wholes))),
        ],
    });
    Ok(Figure {
        title: "Softmax attention by divisive inhibition".to_owned(),
        caption: caption(network, shown, &wholes, query, &example.name),
        source: format!(
            "Softmax by an exponential score and divisive inhibition, import and run: this project. Microcolumns for pairs of \
             tokens: Granier & Senn 2025 (arXiv 2504.06354v1), who state linear attention only. {} Its outputs and maps: PyTorch.",
            shown.source
        ),
        circuits: if shown.draws {
            vec!["softmax_divisive.yaml".to_owned(), "data/transformer/README.md".to_owned()]
        } else {
            vec!["softmax_divisive.yaml".to_owned()]
        },
        width: Width::Page,
        rows,
        tolerance: 1e-6,
    })
}

fn caption(network: &Network, shown: &Shown, wholes: &[Whole], query: usize, example: &str) -> String {
    let examples = wholes.first().map_or(0, |w| w.ran.len());
    let with_maps =
        wholes.first().map_or(0, |w| w.layer.examples.iter().filter(|e| !e.maps.is_empty()).count());
    let entries: usize =
        wholes.iter().flat_map(|w| &w.layer.examples).flat_map(|e| &e.maps).map(DMatrix::len).sum();
    let letters: Vec<&str> = if shown.draws {
        vec!["B", "C", "D-F", "G", "H", "I", "J"]
    } else {
        vec!["A", "B", "C-E", "F", "G", "H", "I"]
    };
    let circuit = if shown.draws {
        "A: the circuit, as `import` writes it (the wiring of softmax_divisive.yaml). "
    } else {
        ""
    };
    format!(
        "Attention heads of {}, imported as circuits and run cell by cell on the activations that reach these layers in the \
         network. For each pair of tokens a score cell has an exponential response to (k . q) / sqrt(d_k); an interneuron sums the scores \
         of a query and divides the cells that read them out. {circuit}{}: scores (colours: the {CONTEXTS} contexts with the \
         strongest attention) and the summed inhibition of query {} (layer {}, head {}, {}), from silence; all time constants \
         10 ms. {}: score over inhibition; dashed: softmax weights of the transformer. At first inhibition lags behind (ratios above 1 are left out) and all \
         contexts weigh the same, then the weights part. {}: attention maps of that head in time. {}: the map that PyTorch \
         recorded. {}: every entry of every map ({entries} entries: {} layers of {} heads, {with_maps} {}), cells at rest against PyTorch. {}: distance of the \
         output from PyTorch's over its largest entry; lines are medians over n = {examples} {}, bands reach from the smallest to the largest. \
         {}: the same at rest, and for the compiled heads, rounded up to a power of ten, the largest of all {}. All numbers measured here.",
        shown.about,
        letters[0],
        query,
        shown.layer,
        shown.head,
        example,
        letters[1],
        letters[2],
        letters[3],
        letters[4],
        network.layers.len(),
        network.heads,
        shown.words[1],
        letters[5],
        shown.words[1],
        letters[6],
        shown.words[1],
    )
}

/// The query whose largest weight in the recorded map is largest.
fn sharpest(example: &Example, head: usize) -> usize {
    let Some(map) = example.maps.get(head) else { return 0 };
    let largest: Vec<f64> = map.row_iter().map(|r| r.max()).collect();
    (0..largest.len()).max_by(|a, b| largest[*a].total_cmp(&largest[*b])).unwrap_or(0)
}

/// The sample at a time.
fn sample(ran: &Ran, t_ms: f64) -> usize {
    ran.t_ms().iter().position(|t| *t >= t_ms - 1e-9).unwrap_or(0)
}

fn time() -> Axis {
    Axis::new("time", "ms").range(0.0, UNTIL_MS)
}

/// Scores and inhibition of one query, and what the one is of the other.
fn in_time(example: &Example, ran: &Ran, head: usize, query: usize, token: &str) -> [Axes; 2] {
    let want = example.maps.get(head).map_or(Vec::new(), |m| m.row(query).iter().copied().collect());
    let mut order: Vec<usize> = (0..want.len()).collect();
    order.sort_by(|a, b| want[*b].total_cmp(&want[*a]));
    order.truncate(CONTEXTS);
    let shown: Vec<usize> = (0..ran.t_ms().len()).filter(|s| ran.t_ms()[*s] <= UNTIL_MS).collect();
    let line = |of: &dyn Fn(usize) -> Option<f64>| -> Vec<Point> {
        shown.iter().filter_map(|s| Some(Point::new(ran.t_ms()[*s], of(*s)?))).collect()
    };
    let mut scores = Vec::new();
    let (mut weights, mut dashed) = (Vec::new(), Vec::new());
    for (colour, j) in order.into_iter().enumerate() {
        let name = format!("{token} {j}");
        let score = line(&|s| Some(ran.scores(head, s)[(query, j)]));
        scores.push(Series::new(&name, Look::Line, colour, score));
        // In the first steps there is hardly any inhibition, and no weight to speak of.
        let weight = line(&|s| {
            (ran.inhibition(head, s)[query] > 0.0)
                .then(|| ran.attention(head, s)[(query, j)])
                .filter(|weight| *weight <= 1.0)
        });
        weights.push(Series::new(&name, Look::Line, colour, weight));
        let ends = [0.0, UNTIL_MS].map(|t| Point::new(t, want[j])).to_vec();
        dashed.push(Series::new("", Look::Dashed, colour, ends));
    }
    let total = line(&|s| Some(ran.inhibition(head, s)[query]));
    scores.push(Series::new("inhibition", Look::Line, 5, total));
    weights.extend(dashed);
    let axes = |label: &str, series| Axes { x: time(), y: Axis::new(label, ""), series, guides: vec![] };
    [axes("rate", scores), axes("score / inhibition", weights)]
}

/// Every entry of every recorded map.
fn all_maps(wholes: &[Whole]) -> Axes {
    let mut series = vec![Series::new("", Look::Dashed, 5, vec![Point::new(0.0, 0.0), Point::new(1.0, 1.0)])];
    for (colour, whole) in wholes.iter().enumerate() {
        let mut points = Vec::new();
        for (example, ran) in whole.layer.examples.iter().zip(&whole.ran) {
            let last = ran.t_ms().len() - 1;
            for (h, map) in example.maps.iter().enumerate() {
                let cells = ran.attention(h, last);
                points.extend(map.iter().zip(&cells).map(|(x, y)| Point::new(*x, *y)));
            }
        }
        series.push(Series::new(format!("layer {}", whole.layer.index), Look::Dots, colour, points));
    }
    Axes {
        x: Axis::new("attention, transformer", "").range(0.0, 1.0),
        y: Axis::new("attention, cells", "").range(0.0, 1.0),
        series,
        guides: vec![],
    }
}

/// The output of the cells on its way to that of the transformer.
fn approach(wholes: &[Whole]) -> Axes {
    let series = wholes.iter().enumerate().map(|(colour, whole)| {
        let pairs = || whole.layer.examples.iter().zip(&whole.ran);
        let samples = whole.ran.iter().map(|r| r.t_ms().len()).min().unwrap_or(0);
        let points = (0..samples).step_by(4).filter_map(|s| {
            let (y, ends) = middle(pairs().map(|(e, r)| distance(&r.output(s), &e.output)))?;
            Some(Point { x: whole.ran[0].t_ms()[s], y, spread: Some(ends) })
        });
        Series::new(format!("layer {}", whole.layer.index), Look::Line, colour, points.collect())
    });
    Axes {
        x: Axis::new("time", "ms"),
        y: Axis::new("distance", "of the largest output").log(),
        series: series.collect(),
        guides: vec![],
    }
}

/// How far compiled heads and settled cells are, to the next power of ten: what is below depends on the processor.
fn ends(wholes: &[Whole]) -> Axes {
    let bound = |of: &dyn Fn(&Example, &Ran) -> f64, whole: &Whole| {
        let worst = whole.layer.examples.iter().zip(&whole.ran).map(|(e, r)| of(e, r)).fold(1e-16, f64::max);
        10f64.powf(worst.log10().ceil())
    };
    let series = |name: &str, colour, of: &dyn Fn(&Example, &Ran) -> f64| {
        let points = wholes.iter().enumerate().map(|(x, w)| Point::new(count(x), bound(of, w)));
        Series::new(name, Look::Bars, colour, points.collect())
    };
    let maps = |e: &Example, maps: &dyn Fn(usize) -> DMatrix<f64>| {
        e.maps.iter().enumerate().map(|(h, map)| (maps(h) - map).amax()).fold(0.0, f64::max)
    };
    Axes {
        x: Axis::new("layer", "").names(wholes.iter().map(|w| w.layer.index.to_string())),
        y: Axis::new("distance, at most", "").log().range(1e-17, 1e-8),
        series: vec![
            series("heads, output", 0, &|e, r| distance(&r.compiled, &e.output)),
            series("cells, output", 1, &|e, r| distance(&r.cells.output, &e.output)),
            series("heads, maps", 2, &|e, r| maps(e, &|h| r.maps[h].clone())),
            series("cells, maps", 3, &|e, r| maps(e, &|h| r.attention(h, r.t_ms().len() - 1))),
        ],
        guides: vec![Guide { at: 1e-10, is_vertical: false, words: "allowed".to_owned() }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::catalogue::tests::{axes, making, map};

    #[test]
    fn cells_come_to_the_attention_of_the_transformer() {
        let figure = make(&making()).unwrap_or_else(|d| panic!("{d}"));
        let settled = map(&figure, 1, 2);
        let want = map(&figure, 1, 3);
        assert!(want.values.max() > 0.3 && want.values.shape() == (8, 8), "a map that is not flat");
        assert!((&settled.values - &want.values).amax() < 1e-10);
        let early = map(&figure, 1, 0);
        assert!((&early.values - &want.values).amax() > 0.05, "it takes time");
        // At 5 ms contexts hardly differ.
        for row in early.values.row_iter() {
            assert!(row.max() < 2.0 * row.min(), "{row}");
        }
        let all = axes(&figure, 2, 0);
        let points: Vec<&Point> = all.series.iter().skip(1).flat_map(|s| &s.points).collect();
        assert_eq!(points.len(), 2 * 4 * 2 * 64);
        assert!(points.iter().all(|p| (p.x - p.y).abs() < 1e-10));
        for series in &axes(&figure, 2, 1).series {
            let (first, last) = (&series.points[0], series.points.last().unwrap());
            assert!(first.y > 0.1 && last.spread.unwrap()[1] < 1e-9, "{first:?} {last:?}");
        }
        let ends = axes(&figure, 2, 2);
        assert!(ends.series.iter().flat_map(|s| &s.points).all(|p| p.y <= 1e-10));
        let weights = axes(&figure, 0, 2);
        for c in 0..CONTEXTS {
            let (line, dashed) = (&weights.series[c], &weights.series[c + CONTEXTS]);
            assert!((line.points.last().unwrap().y - dashed.points[0].y).abs() < 1e-3, "{}", line.name);
        }
    }
}
