//! Heads of one area: the rank of its lateral weights, and what noise in the wiring does to it.

use super::Making;
use super::given::{Given, missing};
use super::random_matrices::{edge, outlier, quantile};
use crate::figures::sheet::{Axes, Axis, Content, Figure, Look, Map, Panel, Point, Row, Series, Width};
use nalgebra::DMatrix;
use pulvinar::attention::equivalence::distance;
use pulvinar::attention::{Head, strength};
use pulvinar::circuit::{Circuit, Weights};
use pulvinar::compile::compile;
use pulvinar::diag::Diagnostics;
use pulvinar::linalg::count;
use pulvinar::seed;
use rayon::prelude::*;

const FILE: &str = "rank_two_lateral.yaml";
/// Superficial and deep cells: more than the file has, so that the noise has a bulk.
const SIZE: [(&str, usize); 2] = [("d_k", 24), ("d_v", 36)];
/// Standard deviations of the noise on each lateral weight.
const NOISE: [f64; 9] = [0.01, 0.03, 0.1, 0.3, 0.6, 1.0, 2.0, 3.0, 5.0];
/// Of which all singular values are drawn.
const DETAIL: [usize; 3] = [0, 2, 5];
/// Of which the matrix is drawn.
const SHOWN: usize = 3;
const DRAWS: usize = 20;
/// Heads that count beside the strongest.
const ABOVE: f64 = 0.01;

/// One circuit whose wiring is noisy.
struct Noisy {
    /// singular values that the compiled heads stand for, strongest first
    lateral: Vec<f64>,
    /// heads whose functional norm is at least [`ABOVE`] of the strongest
    strong: usize,
    /// certified distance to the block without noise, and the size of that
    distance: f64,
    size: f64,
}

pub fn make(making: &Making<'_>) -> Result<Figure, Diagnostics> {
    let set: Vec<(&str, String)> = SIZE.iter().map(|(n, v)| (*n, v.to_string())).collect();
    let given = Given::read(making, FILE, &set)?;
    let clean = given.weights("A")?;
    let heads = &given.compiled.blocks.last().ok_or_else(|| missing("output", "no block".to_owned()))?.heads;
    let lateral: Vec<f64> = heads.iter().map(|h| h.singular).collect();
    let rank = lateral.len();

    making.progress.begin("wiring noise", NOISE.len() * DRAWS);
    let all: Vec<Result<Noisy, Diagnostics>> = (0..NOISE.len() * DRAWS)
        .into_par_iter()
        .map(|k| {
            let found = noisy(&given, k / DRAWS, k % DRAWS);
            making.progress.step();
            found
        })
        .collect();
    let all: Vec<Noisy> = all.into_iter().collect::<Result<_, _>>()?;
    let by_noise: Vec<&[Noisy]> = all.chunks(DRAWS).collect();

    let (m, n) = clean.shape();
    let rest = [m - rank, n - rank];
    let first = with_noise(&given.circuit, SHOWN, 0);
    let shown = weights(&first).ok_or_else(|| missing("projections.A", "no lateral weights".to_owned()))?;
    let panel = |title: &str, share: f64, content: Content| Panel { title: title.to_owned(), share, content };
    let rows = vec![
        Row {
            height_mm: 50.0,
            panels: vec![
                panel("lateral weights A, rank 2", 0.3, Content::Map(lateral_map(clean))),
                panel(
                    &format!("with wiring noise, std {}", NOISE[SHOWN]),
                    0.3,
                    Content::Map(lateral_map(shown)),
                ),
                panel("heads that the area compiles to", 0.4, Content::Axes(ranks(making, &set)?)),
            ],
        },
        Row {
            height_mm: 50.0,
            panels: vec![
                panel("what every head stands for", 0.5, Content::Axes(spectrum(&lateral, &by_noise, rest))),
                panel(
                    "two heads among those of noise",
                    0.5,
                    Content::Axes(against_noise(&lateral, &by_noise, rest, [m, n])),
                ),
            ],
        },
        Row {
            height_mm: 50.0,
            panels: vec![
                panel("how many heads are seen", 0.5, Content::Axes(counts(&by_noise, rest))),
                panel("distance to the noiseless block", 0.5, Content::Axes(distances(&given, &by_noise)?)),
            ],
        },
    ];
    Ok(Figure {
        title: "The rank of the lateral weights is the number of heads".to_owned(),
        caption: caption([m, n]),
        source: "Superficial cells that act on deep cells in one microcolumn per pair of tokens: Granier & Senn 2025 \
                 (arXiv 2504.06354v1). That an area with lateral weights of rank R is exactly R heads, and the law of \
                 the distance, are this project's own. Known laws of random matrices: Marchenko & Pastur 1967 (bulk), \
                 Bai & Yin 1993 (edge), Benaych-Georges & Nadakuditi 2012 (heads above the edge)."
            .to_owned(),
        circuits: vec![FILE.to_owned()],
        width: Width::Page,
        rows,
        tolerance: 1e-9,
    })
}

fn caption([m, n]: [usize; 2]) -> String {
    format!(
        "One area whose {n} superficial cells contact all its {m} deep cells, by lateral weights A (`--set d_k={n} \
         --set d_v={m}`). **A** A as the file draws it: rank 2, entries of standard deviation 0.5. **B** The same with \
         independent Gaussian noise of standard deviation {shown} on every weight. **C** Heads that the circuit \
         compiles to, for files that ask for a lateral rank of 1 to 8 (`--set heads=R`). Line: heads = rank. \
         **D** What each head of the compiled circuit stands for, a singular value of A, without noise (2 heads) and \
         with three sizes of noise ({n} heads). Lines: quantiles of the Marchenko-Pastur law for the \
         {} x {} dimensions that the two heads leave over. \
         **E** Singular values of the two strongest heads and of the strongest further one. Lines: the edge of the noise, \
         std x (sqrt({}) + sqrt({})) (Bai-Yin), and, while they exceed that, where a rank-one matrix of the noiseless \
         strength would appear (Benaych-Georges & Nadakuditi). \
         **F** Heads whose functional norm is at least 1 % of the strongest one's, heads whose singular value exceeds \
         the edge of the noise by 10 %, and all heads. \
         **G** Certified functional distance to the noiseless block, over the norm of that. Line: exact expectation \
         of its square over the noise, std^2 x sum over cells (a, b) of the squared norm of the head that the single synapse b \
         to a makes. \
         D to G: n = {DRAWS} draws of the noise on one circuit, means (G: root mean square) +- standard deviations; \
         bars are mostly smaller than the marks. The known laws hold for large matrices; these are finite.",
        m - 2,
        n - 2,
        m - 2,
        n - 2,
        shown = NOISE[SHOWN],
    )
}

fn lateral_map(values: DMatrix<f64>) -> Map {
    Map {
        values,
        rows: Axis::new("deep cell", ""),
        columns: Axis::new("superficial cell", ""),
        scale: Axis::new("weight", ""),
    }
}

fn weights(circuit: &Circuit) -> Option<DMatrix<f64>> {
    circuit.projections.iter().find(|p| p.name == "A").map(|p| p.synapses.weights.dense())
}

/// The circuit with noise on each of its lateral weights.
fn with_noise(circuit: &Circuit, size: usize, draw: usize) -> Circuit {
    let mut circuit = circuit.clone();
    let mut rng = seed::stream(circuit.seed, &format!("figures.lateral-rank.{size}.{draw}"));
    if let Some(p) = circuit.projections.iter_mut().find(|p| p.name == "A") {
        let noisy = p.synapses.weights.dense().map(|w| w + NOISE[size] * seed::normal(&mut rng));
        p.synapses.weights = Weights::Dense(noisy);
    }
    circuit
}

fn noisy(given: &Given, size: usize, draw: usize) -> Result<Noisy, Diagnostics> {
    let compiled = compile(&with_noise(&given.circuit, size, draw))?;
    let last = compiled.blocks.last().ok_or_else(|| missing("output", "no block".to_owned()))?;
    let mut lateral: Vec<f64> = last.heads.iter().map(|h| h.singular).collect();
    lateral.sort_by(|a, b| b.total_cmp(a));
    let strongest = last.heads.iter().map(|h| h.strength).fold(0.0, f64::max);
    let strong = last.heads.iter().filter(|h| h.strength >= ABOVE * strongest).count();
    let far = distance(given.block()?, &last.block).map_err(|e| missing("", e.to_string()))?;
    Ok(Noisy { lateral, strong, distance: far.attention.absolute, size: far.attention.norm_a })
}

/// Mean and standard deviation as a point with its bar; the bar of a logarithmic axis stays above zero.
fn spread(x: f64, numbers: impl Iterator<Item = f64>) -> Point {
    let numbers: Vec<f64> = numbers.collect();
    let n = count(numbers.len());
    let mean = numbers.iter().sum::<f64>() / n;
    let variance = numbers.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / (n - 1.0);
    Point::with_error(x, mean, variance.sqrt())
}

/// Heads of the compiled circuit against the rank that the file asks for.
fn ranks(making: &Making<'_>, set: &[(&str, String)]) -> Result<Axes, Diagnostics> {
    let mut points = Vec::new();
    for rank in 1..=8usize {
        let set: Vec<_> = set.iter().cloned().chain([("heads", rank.to_string())]).collect();
        let heads = Given::read(making, FILE, &set)?.block()?.heads.len();
        points.push(Point::new(count(rank), count(heads)));
    }
    let line = vec![Point::new(1.0, 1.0), Point::new(8.0, 8.0)];
    Ok(Axes {
        x: Axis::new("rank of the lateral weights", "").range(0.0, 9.0),
        y: Axis::new("compiled heads", "").range(0.0, 9.0),
        series: vec![
            Series::new("heads = rank", Look::Line, 6, line),
            Series::new("compiled", Look::Marks, 0, points),
        ],
        guides: Vec::new(),
    })
}

/// Singular values by head, with and without noise.
fn spectrum(lateral: &[f64], by_noise: &[&[Noisy]], rest: [usize; 2]) -> Axes {
    let clean = lateral.iter().enumerate().map(|(h, s)| Point::new(count(h), *s)).collect();
    let mut series = vec![Series::new("no noise", Look::Marks, 0, clean)];
    for (colour, size) in (1..).zip(DETAIL) {
        let heads = by_noise[size][0].lateral.len();
        let points =
            (0..heads).map(|h| spread(count(h), by_noise[size].iter().map(|d| d.lateral[h]))).collect();
        series.push(Series::new(format!("std {}", NOISE[size]), Look::Dots, colour, points));
        let law = (lateral.len()..heads).map(|h| {
            let below = count(heads - h) - 0.5;
            Point::new(count(h), NOISE[size] * quantile(below / count(heads - lateral.len()), rest))
        });
        let name = if colour == 3 { "Marchenko-Pastur" } else { "" };
        series.push(Series::new(name, Look::Line, 6, law.collect()));
    }
    Axes {
        x: Axis::new("head, by strength (from 0)", ""),
        y: Axis::new("singular value", "").log(),
        series,
        guides: Vec::new(),
    }
}

/// The strongest heads against the size of the noise.
fn against_noise(lateral: &[f64], by_noise: &[&[Noisy]], rest: [usize; 2], whole: [usize; 2]) -> Axes {
    let mut series = Vec::new();
    for (h, name) in ["head 0", "head 1", "strongest further head"].into_iter().enumerate() {
        let points =
            NOISE.iter().zip(by_noise).map(|(s, draws)| spread(*s, draws.iter().map(|d| d.lateral[h])));
        series.push(Series::new(name, Look::Marks, h, points.collect()));
    }
    let fine = || (0..=60).map(|k| 0.01 * 10f64.powf(f64::from(k) / 60.0 * 500f64.log10()));
    for (h, theta) in lateral.iter().enumerate() {
        let law = fine().filter_map(|s| outlier(*theta, s, whole).map(|y| Point::new(s, y)));
        series.push(Series::new("", Look::Line, h, law.collect()));
    }
    let law = fine().map(|s| Point::new(s, s * edge(rest)));
    series.push(Series::new("edge of the noise", Look::Line, 2, law.collect()));
    Axes {
        x: Axis::new("noise of a lateral weight, std", "").log(),
        y: Axis::new("singular value", "").log(),
        series,
        guides: Vec::new(),
    }
}

/// Numbers of heads against the size of the noise.
fn counts(by_noise: &[&[Noisy]], rest: [usize; 2]) -> Axes {
    let of = |name: &str, look: Look, colour: usize, number: &dyn Fn(&Noisy, f64) -> usize| {
        let points =
            NOISE.iter().zip(by_noise).map(|(s, d)| spread(*s, d.iter().map(|d| count(number(d, *s)))));
        Series::new(name, look, colour, points.collect())
    };
    let beyond = |d: &Noisy, s: f64| d.lateral.iter().filter(|x| **x > 1.1 * s * edge(rest)).count();
    Axes {
        x: Axis::new("noise of a lateral weight, std", "").log(),
        y: Axis::new("heads", "").range(0.0, 28.0),
        series: vec![
            of("all", Look::LineAndMarks, 2, &|d, _| d.lateral.len()),
            of("1 % of strongest", Look::LineAndMarks, 1, &|d, _| d.strong),
            of("above the noise", Look::LineAndMarks, 0, &beyond),
        ],
        guides: Vec::new(),
    }
}

/// Distance against the size of the noise, with its law.
fn distances(given: &Given, by_noise: &[&[Noisy]]) -> Result<Axes, Diagnostics> {
    let points = NOISE.iter().zip(by_noise).map(|(s, draws)| {
        let square = draws.iter().map(|d| (d.distance / d.size).powi(2)).sum::<f64>() / count(draws.len());
        let bar = spread(*s, draws.iter().map(|d| d.distance / d.size));
        let half = bar.spread.map_or(0.0, |[_, high]| high - bar.y);
        Point::with_error(*s, square.sqrt(), half)
    });
    let points = points.collect();
    let slope = by_noise[0].first().map_or(f64::NAN, |d| per_noise(given).map_or(f64::NAN, |x| x / d.size));
    let law = [NOISE[0], NOISE[NOISE.len() - 1]].map(|s| Point::new(s, s * slope));
    Ok(Axes {
        x: Axis::new("noise of a lateral weight, std", "").log(),
        y: Axis::new("relative distance", "").log(),
        series: vec![
            Series::new("expected", Look::Line, 6, law.into()),
            Series::new("certified", Look::Marks, 0, points),
        ],
        guides: Vec::new(),
    })
}

/// Root mean square of the distance for noise of standard deviation 1: the block is linear in A, and each entry of A
/// is a head of one superficial and one deep cell.
fn per_noise(given: &Given) -> Result<f64, Diagnostics> {
    let whole = given.block()?;
    let of_file = ["W_Q", "W_K", "W_V", "W_O"].map(|name| given.weights(name));
    let [q, k, v, o] = of_file;
    let (q, k, v, o) = (q?, k?, v?, o?);
    let mut sum = 0.0;
    for a in 0..v.nrows() {
        for b in 0..k.nrows() {
            let head = Head {
                w_q: q.rows(b, 1).into_owned(),
                w_k: k.rows(b, 1).into_owned(),
                w_v: v.rows(a, 1).into_owned(),
                w_o: o.columns(a, 1).into_owned(),
                b_q: nalgebra::DVector::zeros(1),
                b_k: nalgebra::DVector::zeros(1),
                b_v: nalgebra::DVector::zeros(1),
                ..whole.heads[0].clone()
            };
            sum += strength(&head).powi(2);
        }
    }
    Ok(sum.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::catalogue::tests::{axes, making, map, within};
    use pulvinar::linalg::svd;

    #[test]
    fn the_caption_says_what_the_panels_hold() {
        let figure = make(&making()).unwrap_or_else(|d| panic!("{d:?}"));
        let named = |row: usize, place: usize, name: &str| {
            let found = axes(&figure, row, place).series.iter().find(|s| s.name == name);
            found.unwrap_or_else(|| panic!("no series {name}")).points.clone()
        };
        // Heads are as many as the rank.
        assert!(named(0, 2, "compiled").iter().all(|p| (p.x - p.y).abs() < 0.5));
        // What the heads stand for are the singular values of A, by another route.
        let clean = svd(&map(&figure, 0, 0).values).singular;
        for (p, s) in named(1, 0, "no noise").iter().zip(&clean) {
            within(p.y, *s, 1e-10 * clean[0], "singular value");
        }
        assert!(clean[2] < 1e-12 * clean[0], "rank two: {clean:?}");
        let noisy = svd(&map(&figure, 0, 1).values).singular;
        assert!(noisy[23] > 0.01, "full rank: {noisy:?}");
        // Bulk, edge and outliers.
        let series = &axes(&figure, 1, 0).series;
        for (dots, law) in [(1, 2), (3, 4), (5, 6)] {
            for p in &series[law].points {
                let found = series[dots].points.iter().find(|d| d.x == p.x).unwrap();
                within(found.y, p.y, 0.06 * p.y + 0.02 * series[law].points[0].y, "Marchenko-Pastur");
            }
        }
        let further = named(1, 1, "strongest further head");
        for p in further.iter().filter(|p| p.x <= 1.0) {
            let law = p.x * edge([34, 22]);
            assert!((0.9 * law..law).contains(&p.y), "the edge at {}: {} against {law}", p.x, p.y);
        }
        for (h, theta) in clean[..2].iter().enumerate() {
            for p in named(1, 1, &format!("head {h}")).iter().filter(|p| p.x <= 1.0) {
                let law = outlier(*theta, p.x, [36, 24]).unwrap();
                within(p.y, law, 0.02 * law, "outlier");
            }
        }
        // Numbers of heads: two above the noise until it drowns them.
        assert!(named(2, 0, "all").iter().all(|p| p.y == 24.0));
        let above = named(2, 0, "above the noise");
        assert!(above.iter().filter(|p| p.x <= 1.0).all(|p| p.y == 2.0), "{above:?}");
        assert!(above.last().unwrap().y < 1.0, "{above:?}");
        let strong = named(2, 0, "1 % of strongest");
        assert!(strong.windows(2).all(|w| w[0].y <= w[1].y), "{strong:?}");
        assert!(strong[0].y < 3.0 && strong.last().unwrap().y > 20.0, "{strong:?}");
        // The law of the distance is exact; 20 draws of it are within 4 standard errors.
        let law = named(2, 1, "expected");
        let slope = law[0].y / law[0].x;
        for p in named(2, 1, "certified") {
            let error = (p.spread.unwrap()[1] - p.y) / count(DRAWS).sqrt();
            within(p.y, slope * p.x, 4.0 * error, "distance");
        }
    }
}
