//! One microcolumn, and the identity it rests on: `(A (k * q)) * v = (k . q) v`.

use super::Making;
use super::given::{Given, last, missing, trace};
use crate::figures::axis::bound;
use crate::figures::sheet::{Axes, Axis, Content, Figure, Look, Panel, Point, Row, Series, Width};
use nalgebra::DMatrix;
use pulvinar::diag::Diagnostics;
use pulvinar::simulate::cells::Settings;
use pulvinar::spec::{RecordSpec, Variable};

const FILE: &str = "one_microcolumn.yaml";
/// Draws of weights and tokens.
const DRAWS: u64 = 6;

pub fn make(making: &Making<'_>) -> Result<Figure, Diagnostics> {
    making.progress.begin("draws of weights and tokens", DRAWS as usize);
    let mut points = Vec::new();
    let mut worst = 0.0f64;
    let mut pairs = 0;
    let first = Given::read(making, FILE, &[])?;
    for draw in 0..DRAWS {
        let given = Given::of(first.model.clone().changed(|spec| spec.seed += draw))?;
        let (cells, algebra) = (rates(&given)?, product(&given)?);
        pairs += algebra.ncols();
        worst = worst.max((&cells - &algebra).amax() / algebra.amax());
        points.extend(algebra.iter().zip(cells.iter()).map(|(x, y)| Point::new(*x, *y)));
        making.progress.step();
    }
    let ends = points.iter().fold([f64::INFINITY, f64::NEG_INFINITY], |[a, b], p| [a.min(p.x), b.max(p.x)]);
    let bound = bound(worst);
    let axes = Axes {
        x: Axis::new("(k \u{b7} q) v from matrices", ""),
        y: Axis::new("settled rate of a deep cell", ""),
        series: vec![
            Series::new("equal", Look::Line, 1, ends.map(|x| Point::new(x, x)).into()),
            Series::new("one cell, one pair of tokens", Look::Dots, 0, points),
        ],
        guides: Vec::new(),
    };
    let panel = |title: String, content: Content| Panel { title, share: 1.0, content };
    let drawing =
        panel("a microcolumn for each pair of tokens".to_owned(), Content::Circuit(first.drawing()));
    let title = format!("cells against algebra: equal to {bound} of the largest");
    Ok(Figure {
        title: "A microcolumn multiplies a value by the product of key and query".to_owned(),
        caption: format!(
            "**A** The circuit: superficial pyramids multiply key (apical) and query (basal), element by element; each deep \
             cell sums its column (A) and multiplies the sum with its value. **B** The identity (A (k * q)) * v = (k \u{b7} q) v, measured: \
             rates of the two deep cells of every pair of tokens when all cells have settled in time, against (k \u{b7} q) v from the matrices of the file; line: equal. \
             n = {pairs} pairs of tokens in {DRAWS} draws of weights and Gaussian tokens; no error bars, every cell is shown. The largest deviation is \
             less than {bound} of the largest product of its draw: cells stop when they are that near to rest."
        ),
        source: "Granier & Senn 2025 (arXiv 2504.06354v1) state the construction and the identity; the run of cells in time and its numbers are ours."
            .to_owned(),
        circuits: vec![FILE.to_owned()],
        width: Width::Page,
        rows: vec![Row { height_mm: 100.0, panels: vec![drawing, panel(title, Content::Axes(axes))] }],
        tolerance: 1e-9,
    })
}

/// Settled rates of the deep cells, `[cells, pairs]`, pairs query by query.
fn rates(given: &Given) -> Result<DMatrix<f64>, Diagnostics> {
    let deep = RecordSpec {
        population: "A1.deep".to_owned(),
        variable: Variable::Rate,
        compartment: None,
        cells: None,
        query: None,
        context: None,
        every: 1,
    };
    let settings = Settings { record: vec![deep], ..given.settings() };
    let run = given.cells(&settings)?;
    let trace = trace(&run, 0)?;
    Ok(DMatrix::from_column_slice(trace.cells.len(), trace.tokens.len(), last(trace)))
}

/// `(k_j . q_i) v_j` from the weights and tokens, in the same order.
fn product(given: &Given) -> Result<DMatrix<f64>, Diagnostics> {
    let x = given.stream("main")?;
    let [q, k, v] = ["W_Q", "W_K", "W_V"].map(|name| given.weights(name).map(|w| w * x));
    let (q, k, v) = (q?, k?, v?);
    if q.nrows() != k.nrows() {
        return Err(missing("projections", "keys and queries have different lengths".to_owned()));
    }
    let n = x.ncols();
    let pair = |number: usize| (number / n, number % n);
    Ok(DMatrix::from_fn(v.nrows(), n * n, |cell, number| {
        let (i, j) = pair(number);
        k.column(j).dot(&q.column(i)) * v[(cell, j)]
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::catalogue::tests::making;

    #[test]
    fn cells_settle_on_the_product() {
        let given = Given::read(&making(), FILE, &[]).unwrap_or_else(|d| panic!("{d:?}"));
        let (cells, algebra) = (rates(&given).expect("rates"), product(&given).expect("products"));
        assert_eq!(cells.shape(), (2, 36));
        assert!((&cells - &algebra).amax() < 1e-6 * algebra.amax(), "{cells} {algebra}");
        // Not equal for another reason: tokens the other way round.
        assert!((&cells - &algebra.columns(0, 36).into_owned().map(|x| -x)).amax() > 0.1 * algebra.amax());
    }
}
