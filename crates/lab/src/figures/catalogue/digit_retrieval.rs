//! Retrieval of handwritten digits from corrupted cues, by three memories of one circuit.
//!
//! # Equation and source
//! Images are keys and values at once. Hebbian: `sum v k^T q`; delta: the same after passes of error correction; softmax:
//! `X softmax(beta X^T q)` (Ramsauer et al. 2020, arXiv 2008.02217). Digits: see `circuits/data/README.md`.

use super::Making;
use super::tables::{BARS, Experimented, Rows, colour};
use crate::figures::sheet::{Axes, Axis, Content, Figure, Look, Map, Panel, Row, Series, Width};
use nalgebra::DMatrix;
use pulvinar::diag::Diagnostics;
use pulvinar::linalg::count;

/// Pixels between images of the map.
const GAP: usize = 1;
/// The load and the fraction of pixels of the examples, where the file has them.
const STORED: &str = "64";
const KEPT: &str = "0.5";
/// The darkest pixel of an image.
const INK: f64 = 16.0;

pub fn make(making: &Making<'_>) -> Result<Figure, Diagnostics> {
    let ran = Experimented::run(making, "digits", None, &[])?;
    let table = ran.rows("digits")?;
    let plan = ran.document(&[])?.spec.reserved.protocol.and_then(|p| p.digits);
    let (passes, trials) = plan.map_or((0, 0), |p| (p.passes, p.trials));
    let (stored, kept) = (chosen(&table, "stored", STORED), chosen(&table, "kept", KEPT));
    let mut by_load = Vec::new();
    for kept in table.words("kept") {
        let percent = 100.0 * kept.parse::<f64>().unwrap_or(f64::NAN);
        let x = Axis::new("stored images", "").log();
        by_load.push(accuracy(
            &format!("{percent:.0}% of pixels kept"),
            x,
            &table.with("kept", &kept),
            "stored",
            by_load.is_empty(),
        ));
    }
    let most = table.words("stored").last().cloned().unwrap_or_default();
    let by_pixels = accuracy(
        &format!("{most} stored images"),
        Axis::new("fraction of pixels kept", ""),
        &table.with("stored", &most),
        "kept",
        false,
    );
    let examples = examples(&ran.rows("examples")?.with("stored", &stored).with("kept", &kept));
    Ok(Figure {
        title: "Handwritten digits from corrupted cues".to_owned(),
        caption: format!(
            "A hebbian, an error-correcting (delta rule, {passes} passes) and a softmax memory store the same images, as keys \
             and values at once; a cue keeps a part of the pixels, the others are those of the mean image. (A-C) Fraction \
             of answers to which no stored image is nearer (by cosine) than the one that the cue came from, over the \
             number of stored images; n = {trials} draws of up to 64 cues, bars of {BARS} standard errors of the mean. (D) \
             The same over the fraction of pixels kept, for {most} stored images. (E) Examples, {stored} stored images and \
             {kept} of the pixels kept: from left to right the stored image, the cue, and what {} answer, brought to the \
             length of the stored image; colours end at 0 and 16. Images are centred and of length 1 inside the memories. Real data, measured \
             here; no claim of a paper is tested.",
            examples.1.join(", ")
        ),
        source: "digits: UCI optical recognition of handwritten digits (circuits/data/README.md); softmax retrieval: \
                 Ramsauer et al. 2020 (arXiv 2008.02217); key-value memory: Granier & Senn 2025 (arXiv 2504.06354v3); \
                 measurements: this project"
            .to_owned(),
        circuits: vec![ran.file.clone()],
        width: Width::Page,
        rows: vec![
            Row { height_mm: 48.0, panels: by_load },
            Row { height_mm: 58.0, panels: vec![by_pixels, examples.0] },
        ],
        tolerance: 1e-9,
    })
}

/// The wanted value, or the last one of the column.
fn chosen(table: &Rows<'_>, column: &str, wanted: &str) -> String {
    let all = table.words(column);
    all.iter().find(|w| *w == wanted).or(all.last()).cloned().unwrap_or_default()
}

fn accuracy(title: &str, x: Axis, rows: &Rows<'_>, over: &str, legend: bool) -> Panel {
    let series = rows
        .words("memory")
        .iter()
        .map(|memory| {
            let name = if legend { memory.as_str() } else { "" };
            let points = rows.with("memory", memory).points(over, "right", Some("se"));
            Series::new(name, Look::LineAndMarks, colour(memory), points)
        })
        .collect();
    Panel {
        title: title.to_owned(),
        share: 1.0,
        content: Content::Axes(Axes {
            x,
            y: Axis::new("right answers", "").range(0.0, 1.05),
            series,
            guides: Vec::new(),
        }),
    }
}

/// Stored images, cues and answers side by side, one example per row; and the names of the memories.
fn examples(rows: &Rows<'_>) -> (Panel, Vec<String>) {
    let (images, cues) = (rows.words("image"), rows.words("cue"));
    let pixels = |cue: &str, image: &str| rows.with("cue", cue).with("image", image).numbers("value");
    let size = cues.first().zip(images.first()).map_or(0, |(cue, image)| pixels(cue, image).len());
    let side = size.isqrt();
    let step = side + GAP;
    let mut map = DMatrix::zeros((step * cues.len()).max(1), (step * images.len()).max(1));
    for (i, cue) in cues.iter().enumerate() {
        for (j, image) in images.iter().enumerate() {
            for (at, value) in pixels(cue, image).into_iter().enumerate() {
                map[(i * step + at / side, j * step + at % side)] = value;
            }
        }
    }
    // Names stand below the middle of each image, at 0, 1, 2, ...
    let axis = |names: &[String], n: usize| {
        let at = |pixel: f64| (pixel - (count(side) - 1.0) / 2.0) / count(step);
        Axis::default().names(names).range(at(0.0), at(count(n) - 1.0))
    };
    let content = Map {
        rows: Axis { label: "example".to_owned(), ..axis(&cues, map.nrows()) },
        columns: axis(&images, map.ncols()),
        scale: Axis::new("ink", "of 16").range(0.0, INK),
        values: map,
    };
    let memories = images.iter().skip(2).map(|m| format!("the {m} memory")).collect();
    let title = "examples".to_owned();
    (Panel { title, share: 2.0, content: Content::Map(content) }, memories)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::catalogue::tests::making;

    #[test]
    fn panels_show_what_the_caption_says() {
        let figure = make(&making()).unwrap_or_else(|d| panic!("{d}"));
        let series = |row: usize, panel: usize| match &figure.rows[row].panels[panel].content {
            Content::Axes(axes) => axes.series.clone(),
            other => panic!("{other:?}"),
        };
        let last = |panel: usize, memory: usize| series(0, panel)[memory].points.last().expect("points").y;
        assert_eq!([last(0, 1), last(0, 2)], [1.0, 1.0], "whole cues: delta and softmax are always right");
        for panel in 0..3 {
            assert!(last(panel, 0) < last(panel, 1) && last(panel, 0) < last(panel, 2), "hebbian is last");
        }
        for s in series(1, 0) {
            let y: Vec<f64> = s.points.iter().map(|p| p.y).collect();
            assert!(y.windows(2).all(|w| w[1] <= w[0]), "fewer pixels, fewer right answers: {y:?}");
            assert!(s.points.iter().all(|p| p.spread.is_some()));
        }
        let Content::Map(map) = &figure.rows[1].panels[1].content else { panic!("a map") };
        assert_eq!(map.values.shape(), (27, 45), "3 examples of 5 images of 8 x 8 pixels");
        assert!(map.values.iter().all(|x| (-16.0..=32.0).contains(x)), "{}", map.values.amax());
        let image = |row: usize, column: usize| map.values.view((9 * row, 9 * column), (8, 8)).into_owned();
        let like = |a: &DMatrix<f64>, b: &DMatrix<f64>| (a - b).norm() / b.norm();
        for example in 0..3 {
            let stored = image(example, 0);
            assert!(stored.min() >= -1e-9 && stored.max() <= 16.0 + 1e-9, "pixels are what was stored");
            let kept =
                image(example, 1).iter().zip(stored.iter()).filter(|(a, b)| (*a - *b).abs() < 1e-9).count();
            assert!((16..=60).contains(&kept), "a part of the pixels is kept: {kept} of 64");
            // The answer is nearer to the stored image than the cue is, for the memories that correct or compete.
            assert!(
                like(&image(example, 4), &stored) < like(&image(example, 1), &stored),
                "softmax cleans up"
            );
        }
    }
}
