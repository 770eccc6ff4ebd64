//! What the captions claim, in small variants.

use super::*;
use crate::experiments::Quiet;
use crate::figures::sheet::Figure;

fn small() -> Lab<'static> {
    let sizes = Sizes {
        delays: 2,
        offsets: (3, 2),
        kernel: (12, 6),
        matched: 8,
        controlled: 8,
        attention: 16,
        event: (300, 500),
        ..Sizes::quick()
    };
    Lab::new(Plan::published(sizes).expect("a neuron"), &Quiet).expect("a lab")
}

fn axes(figure: &Figure) -> Vec<&Axes> {
    let all = figure.rows.iter().flat_map(|r| &r.panels);
    all.filter_map(|p| if let Content::Axes(a) = &p.content { Some(a) } else { None }).collect()
}

fn series<'a>(figure: &'a Figure, panel: usize, name: &str) -> &'a Series {
    axes(figure)[panel].series.iter().find(|s| s.name == name).unwrap_or_else(|| panic!("no series {name}"))
}

/// Numbers are finite, named points exist, ranges hold what is drawn, the caption says n and what bars are.
fn sound(figure: &Figure) {
    for (i, axes) in axes(figure).iter().enumerate() {
        assert!(!axes.series.is_empty());
        for series in &axes.series {
            assert!(!series.points.is_empty(), "panel {i}: `{}` is empty", series.name);
            for p in &series.points {
                let finite = p.x.is_finite() && p.y.is_finite();
                assert!(finite && p.spread.is_none_or(|s| s[0] <= p.y && p.y <= s[1]), "panel {i}: {p:?}");
                if !axes.x.names.is_empty() {
                    assert!(p.x.fract() == 0.0 && (p.x as usize) < axes.x.names.len(), "panel {i}: {p:?}");
                }
            }
        }
    }
    let caption = &figure.caption;
    assert!(!caption.contains("NaN") && !caption.contains("  "), "{caption}");
    let has_errors =
        axes(figure).iter().flat_map(|a| &a.series).flat_map(|s| &s.points).any(|p| p.spread.is_some());
    assert!(!has_errors || caption.contains("standard error"), "{caption}");
    assert!(figure.source.contains("Ellwood 2024"));
}

#[test]
fn spikes_travel_at_the_quoted_speed() {
    let figure = spine_delay::draw(&small()).expect("runs");
    sound(&figure);
    let (measured, quoted) = (series(&figure, 1, "least-squares line"), series(&figure, 1, QUOTED));
    let slope = |s: &Series| {
        let (a, b) = (s.points[0], s.points[s.points.len() - 1]);
        (b.y - a.y) / (b.x - a.x)
    };
    assert!((slope(measured) / slope(quoted) - 1.0).abs() < 0.04, "{} {}", slope(measured), slope(quoted));
    let peak = |panel: &str| {
        let points = &series(&figure, 0, panel).points;
        points.iter().max_by(|a, b| a.y.total_cmp(&b.y)).expect("some").x
    };
    let (near, far) = (peak("spine, 529 um"), peak("spine, 1019 um"));
    assert!(peak("soma") < near && near < far, "{near} {far}");
}

#[test]
fn calcium_is_largest_at_the_line() {
    let figure = calcium_offset::draw(&small()).expect("runs");
    sound(&figure);
    let cable = series(&figure, 0, "cable");
    let best = cable.points.iter().max_by(|a, b| a.y.total_cmp(&b.y)).expect("some");
    assert!((best.x - axes(&figure)[0].guides[0].at).abs() <= 3.0, "{best:?}");
}

#[test]
fn kernels_agree_where_they_are_drawn_together() {
    let figure = kernel::draw(&small()).expect("runs");
    sound(&figure);
    let at = |name: &str, lag: f64| {
        let points = &series(&figure, 0, name).points;
        points.iter().find(|p| p.x == lag).expect("a lag").y
    };
    for lag in [-20.0, 7.0, 12.0, 25.0] {
        assert!((at("fit to cable", lag) - at("parametric form", lag)).abs() < 0.08, "{lag}");
    }
    assert!(at("fit to cable", 7.0) > 5.0 * at("fit to cable", -7.0).abs());
    let explained = &series(&figure, 1, "cable").points;
    assert!(explained.iter().all(|p| (0.5..1.0).contains(&p.y)), "{explained:?}");
}

#[test]
fn matching_improves_with_the_window() {
    let figure = matching::draw(&small()).expect("runs");
    sound(&figure);
    let event = &series(&figure, 5, "closed form").points;
    assert!(event[0].y < event[1].y && event[1].y < event[2].y && event[4].y < event[1].y, "{event:?}");
    // densities integrate to at most 1
    for panel in axes(&figure).iter().take(3) {
        for series in &panel.series {
            let width = series.points[1].x - series.points[0].x;
            let area: f64 = series.points.iter().map(|p| p.y * width).sum();
            assert!(area <= 1.0 + 1e-9 && area > 0.8, "{}: {area}", series.name);
        }
    }
}

#[test]
fn success_and_failure_are_told_by_the_gain() {
    let figure = potentiation::draw(&small()).expect("runs");
    sound(&figure);
    let top = |panel: usize, name: &str| {
        series(&figure, panel, name).points.iter().map(|p| p.y).fold(0.0, f64::max)
    };
    assert!(top(5, "matched") > 4.5, "{}", top(5, "matched"));
    let spikes = |panel: usize| {
        let soma = &axes(&figure)[panel].series[0].points;
        soma.iter().filter(|p| p.x > 1.75 && p.y > 0.0).count()
    };
    assert!(spikes(1) >= 4, "the soma of a success follows every key");
    assert!(spikes(2) < spikes(1));
    assert!(top(3, "matched") > 1.0, "the integral of a success passes the threshold");
}

#[test]
fn control_grows_with_the_window() {
    let figure = control_phase::draw(&small()).expect("runs");
    sound(&figure);
    let success = &series(&figure, 0, "cable").points;
    assert!(success[0].y < success[2].y, "{success:?}");
    let (all, spiking) = (series(&figure, 1, "as published"), series(&figure, 1, "if the soma spiked"));
    assert!(all.points.iter().zip(&spiking.points).all(|(a, b)| a.y <= b.y));
}

#[test]
fn spikes_that_meet_decide_the_race_steeply() {
    let figure = attention_kernel::draw(&small()).expect("runs");
    sound(&figure);
    let bars = |panel: usize| {
        let points = &series(&figure, panel, "closed form").points;
        [points[0].y, points[1].y, points[2].y]
    };
    let (vectors, [softmax, power, linear]) = (bars(1), bars(3));
    assert!(softmax > linear + 0.3 && power > linear + 0.3, "{softmax} {power} {linear}");
    assert!(vectors.iter().all(|gain| *gain > 0.25 && *gain < linear), "{vectors:?}");
    let shares = &series(&figure, 0, "closed form").points;
    assert!(shares[shares.len() - 1].y > 5.0 * shares[0].y, "{shares:?}");
}
