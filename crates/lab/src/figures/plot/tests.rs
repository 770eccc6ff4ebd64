use super::*;
use crate::figures::sheet::{Axes, Axis, Guide, Look, Map, Point, Row, Series, Width};
use nalgebra::DMatrix;

fn figure(width: Width, height_mm: f64, panels: Vec<Content>) -> Figure {
    let panels = panels.into_iter().enumerate();
    let panels =
        panels.map(|(k, content)| Panel { title: format!("panel {k}"), share: 1.0, content }).collect();
    Figure {
        title: "A title of a figure".to_owned(),
        caption: String::new(),
        source: String::new(),
        circuits: Vec::new(),
        width,
        rows: vec![Row { height_mm, panels }],
        tolerance: 1e-9,
    }
}

fn wave(name: &str, look: Look, colour: usize) -> Series {
    let point = |k: i32| {
        let x = f64::from(k) / 4.0;
        Point::with_error(x, (x + f64::from(look as u8)).sin() * 3.0, 0.2)
    };
    Series::new(name, look, colour, (0..40).map(point).collect())
}

fn axes(series: Vec<Series>, guides: &[(f64, bool, &str)]) -> Axes {
    let guide = |g: &(f64, bool, &str)| Guide { at: g.0, is_vertical: g.1, words: g.2.to_owned() };
    Axes {
        x: Axis::new("time", "ms"),
        y: Axis::new("membrane potential", "mV"),
        series,
        guides: guides.iter().map(guide).collect(),
    }
}

/// Words that touch each other or leave the page.
fn wrong(picture: &Picture) -> Vec<String> {
    let texts: Vec<_> = picture.texts().collect();
    let mut wrong = Vec::new();
    for (k, a) in texts.iter().enumerate() {
        let r = room::larger(a.rect(), -0.8);
        if r[0] < -0.5 || r[1] < -0.5 || r[2] > picture.width + 0.5 || r[3] > picture.height + 0.5 {
            wrong.push(format!("`{}` leaves the page: {r:?}", a.words));
        }
        for b in &texts[k + 1..] {
            if room::overlap(&r, &room::larger(b.rect(), -0.8)) {
                wrong.push(format!("`{}` touches `{}`", a.words, b.words));
            }
        }
    }
    wrong
}

#[test]
fn words_never_touch_and_stay_on_the_page() {
    let names: Vec<String> =
        ["softmax attention", "linear", "a very long name of a rule", "x"].map(Into::into).into();
    let many: Vec<Series> =
        (0..7).map(|k| wave(&format!("a series with a long name {k}"), Look::Line, k)).collect();
    let looks =
        [Look::Line, Look::Dashed, Look::Marks, Look::LineAndMarks, Look::Dots, Look::Bars, Look::Steps];
    let each: Vec<Series> =
        looks.iter().enumerate().map(|(k, l)| wave(&format!("look {k}"), *l, k)).collect();
    let guides =
        [(1.0, true, "begins"), (1.2, true, "is written"), (1.4, true, "ends"), (0.0, false, "chance")];
    let bars = Series::new("bars", Look::Bars, 1, (0..4).map(|k| Point::new(f64::from(k), 2.0)).collect());
    let mut named = axes(vec![bars], &[]);
    named.x = Axis::new("rule", "").names(names.clone());
    let mut log = axes(vec![wave("w", Look::LineAndMarks, 2)], &[]);
    log.y = log.y.log();
    let map = Map {
        values: DMatrix::from_fn(4, 4, |r, c| r as f64 - c as f64),
        rows: Axis::new("query token", "").names(names.clone()),
        columns: Axis::new("context token", "").names(names),
        scale: Axis::new("attention weight", ""),
    };
    let contents = [
        Content::Axes(axes(many, &guides)),
        Content::Axes(axes(each, &guides)),
        Content::Axes(named),
        Content::Axes(log),
        Content::Axes(axes(Vec::new(), &[])),
        Content::Map(map),
        Content::Words {
            lines: vec!["Some words that are longer than a line of the panel".to_owned(); 3],
            code: false,
        },
    ];
    for n in [1, 2, 3] {
        for width in [Width::Column, Width::Page] {
            for height in [35.0, 50.0, 80.0] {
                if width == Width::Column && n > 1 {
                    continue;
                }
                // Seven long names leave no room in the lowest panels.
                for content in &contents[usize::from(height < 40.0)..] {
                    let picture = picture(&figure(width, height, vec![content.clone(); n]));
                    let wrong = wrong(&picture);
                    assert!(wrong.is_empty(), "{n} panels, {width:?}, {height} mm: {wrong:#?}");
                }
            }
        }
    }
}

#[test]
fn the_check_for_touching_words_can_fail() {
    let picture = Picture::draw(100.0, 50.0, "", |c| {
        c.label("one", (10.0, 20.0), Style::new(10.0));
        c.label("two", (20.0, 22.0), Style::new(10.0));
        c.label("three", (90.0, 40.0), Style::new(10.0));
    });
    assert_eq!(wrong(&picture).len(), 2);
}

#[test]
fn legends_hide_no_data() {
    let low = Series::new("low", Look::Line, 0, vec![Point::new(0.0, 0.0), Point::new(1.0, 0.1)]);
    let data = axes(vec![low], &[]);
    let data = Axes { y: data.y.clone().range(0.0, 1.0), ..data };
    let picture = picture(&figure(Width::Column, 50.0, vec![Content::Axes(data)]));
    let words = picture.texts().find(|t| t.words == "low").expect("a legend").rect();
    assert!(
        words[0] > picture.width / 2.0 && words[1] < picture.height / 2.0,
        "in the free corner: {words:?}"
    );
}

#[test]
fn every_number_is_drawn_inside_its_panel() {
    let mut data = axes(vec![wave("", Look::Marks, 0), wave("", Look::Line, 1)], &[]);
    data.y = data.y.range(-1.0, 1.0);
    let picture = picture(&figure(Width::Page, 50.0, vec![Content::Axes(data)]));
    for mark in &picture.marks {
        if let crate::figures::canvas::Mark::Ring { at, .. } = mark {
            assert!(at.1 > 0.0 && at.1 < picture.height, "{at:?}");
        }
    }
    let rings =
        picture.marks.iter().filter(|m| matches!(m, crate::figures::canvas::Mark::Ring { .. })).count();
    assert!(rings > 5 && rings < 40, "{rings}: those in the range");
}
