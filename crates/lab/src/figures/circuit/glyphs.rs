//! Shapes of cells, dendrites, endings and samples.

use super::columns::BODY;
use super::corners::rounded;
use super::down::SOMA;
use super::model::{Ending, Node, Shape};
use super::plan::{Placed, Point, Rect, at};
use crate::figures::canvas::Canvas;
use crate::figures::style::{COLOURS, INK};
use plotters::style::{RGBColor, WHITE};
use pulvinar::circuit::Compartment;
use pulvinar::spec::{Part, Pathway};

/// Colours say what a body is; an axon has the colour of its body.
pub(super) fn colour(shape: Shape) -> RGBColor {
    match shape {
        Shape::Relay(Pathway::Core) => COLOURS[0],
        Shape::Relay(Pathway::Matrix) => COLOURS[1],
        Shape::Interneuron => COLOURS[3],
        Shape::Stellate => COLOURS[4],
        Shape::Pyramid | Shape::Cell | Shape::Areas => COLOURS[2],
    }
}

/// Between a colour and white.
pub(super) fn pale(c: RGBColor, part: f64) -> RGBColor {
    let mix = |x: u8| (255.0 - (255.0 - f64::from(x)) * part).round() as u8;
    RGBColor(mix(c.0), mix(c.1), mix(c.2))
}

/// Dendrites of one node: roots, trunk and tuft, with marks on gates and third compartments.
pub(super) fn dendrites(canvas: &Canvas<'_>, placed: &Placed, base: f64) {
    let wood = pale(colour(placed.node.shape), 0.55);
    let x = placed.centre;
    if matches!(placed.node.shape, Shape::Relay(_)) {
        for (compartment, r) in placed.dendrites.iter().filter(|(c, _)| *c != Compartment::Basal) {
            canvas.line(&[r.centre(), at(r.centre().x, r.bottom)], wood, 2.0);
            mark(canvas, *compartment, *r);
        }
        return;
    }
    for (compartment, r) in &placed.dendrites {
        match compartment {
            Compartment::Basal => {
                for (corner, sign) in [(r.left, -1.0), (r.right, 1.0)] {
                    let root = at(x + sign * BODY * 0.8, r.top + 2.0);
                    let tip = at(corner, r.bottom);
                    canvas.line(&[root, tip], wood, 3.0);
                    // A twig, away from the axons that come from below.
                    let fork = at((root.x + tip.x) / 2.0, f64::midpoint(root.y, tip.y));
                    canvas.line(&[fork, at(tip.x - sign * 1.0, r.top + 5.0)], wood, 2.0);
                }
            }
            Compartment::Apical if r.right - r.left < 10.0 => {
                canvas.line(&[at(x, r.top), at(x, r.bottom + 8.0)], wood, 4.0);
            }
            Compartment::Apical => {
                for corner in [r.left, r.right] {
                    let tip = at(corner, r.bottom - 16.0);
                    canvas.line(&[at(x, r.bottom + 1.0), tip], wood, 3.0);
                    for part in [0.35, 0.7, 1.0] {
                        let fork = at(x + (tip.x - x) * part, r.bottom + (tip.y - r.bottom) * part);
                        canvas.line(
                            &[fork, at(fork.x + (tip.x - x).signum() * 3.0 * (1.0 - part), r.top)],
                            wood,
                            2.0,
                        );
                    }
                }
            }
            Compartment::Gate | Compartment::Third => {
                let side = (r.centre().x - x).signum();
                let root = at(x + side * BODY * 0.7, base - 3.0);
                canvas.line(&[root, at(r.centre().x, r.centre().y)], wood, 2.0);
                mark(canvas, *compartment, *r);
            }
        }
    }
}

/// A square for gates, a diamond for the third compartment, a fork for the apical one of a relay.
pub(super) fn mark(canvas: &Canvas<'_>, compartment: Compartment, r: Rect) {
    let c = r.centre();
    let points = match compartment {
        Compartment::Third => vec![at(c.x, r.top), at(r.right, c.y), at(c.x, r.bottom), at(r.left, c.y)],
        Compartment::Apical => {
            let y = r.top + 1.0;
            return canvas.line(&[at(r.left, y), at(c.x, r.bottom), at(r.right, y)], INK, 1.5);
        }
        _ => vec![at(r.left, r.top), at(r.right, r.top), at(r.right, r.bottom), at(r.left, r.bottom)],
    };
    canvas.shape(&points, WHITE, INK, 1.2)
}

/// The outline of a body with its base at `base`.
pub(super) fn outline(shape: Shape, x: f64, base: f64) -> Vec<Point> {
    match shape {
        Shape::Pyramid => vec![at(x, base - SOMA), at(x + BODY, base), at(x - BODY, base)],
        Shape::Stellate => {
            let (centre, n) = (at(x, base - BODY), 16);
            let spoke = |k: i32| {
                let angle = f64::from(k) / f64::from(n) * std::f64::consts::TAU;
                let r = if k % 2 == 0 { BODY } else { BODY * 0.68 };
                at(centre.x + r * angle.sin(), centre.y - r * angle.cos())
            };
            (0..n).map(spoke).collect()
        }
        _ => {
            let turn = |k: i32| f64::from(k) / 32.0 * std::f64::consts::TAU;
            (0..32).map(|k| at(x + BODY * turn(k).sin(), base - BODY - BODY * turn(k).cos())).collect()
        }
    }
}

/// The copies behind the body of a cell.
pub(super) fn soma_copies(canvas: &Canvas<'_>, node: &Node, x: f64, base: f64) {
    let own = colour(node.shape);
    for step in [8.0, 4.0] {
        for (shown, side) in [(node.indices.query, 1.0), (node.indices.context, -1.0)] {
            if shown {
                let copy = outline(node.shape, x + side * step, base - step);
                canvas.shape(&copy, pale(own, 0.25), pale(own, 0.7), 1.0);
            }
        }
    }
}

/// The body of a cell.
pub(super) fn soma(canvas: &Canvas<'_>, node: &Node, x: f64, base: f64) {
    let own = colour(node.shape);
    let inside = if node.shape == Shape::Cell { WHITE } else { own };
    canvas.shape(
        &outline(node.shape, x, base),
        inside,
        if node.shape == Shape::Cell { own } else { WHITE },
        1.5,
    );
    let (sign, centre) = match node.shape {
        Shape::Pyramid => (WHITE, at(x, base - 11.0)),
        Shape::Cell => (INK, at(x, base - BODY)),
        _ => (WHITE, at(x, base - BODY)),
    };
    if node.memory {
        canvas.ring(centre, 8.0, sign, 1.5);
    }
    if node.product {
        for s in [-1.0, 1.0] {
            canvas.line(
                &[at(centre.x - 4.0, centre.y - 4.0 * s), at(centre.x + 4.0, centre.y + 4.0 * s)],
                sign,
                2.0,
            );
        }
    }
}

fn radius(shape: Shape) -> f64 {
    if shape == Shape::Areas { 4.0 } else { 14.0 }
}

/// The copies behind the box of a relay.
pub(super) fn box_copies(canvas: &Canvas<'_>, node: &Node, r: Rect) {
    let (own, radius) = (colour(node.shape), radius(node.shape));
    let moved = |dx: f64, dy: f64| Rect::new(r.left + dx, r.top + dy, r.right + dx, r.bottom + dy);
    for step in [8.0, 4.0] {
        for (shown, side) in [(node.indices.query, 1.0), (node.indices.context, -1.0)] {
            if shown {
                canvas.shape(
                    &rounded(moved(side * step, -step), radius),
                    pale(own, 0.12),
                    pale(own, 0.6),
                    1.0,
                );
            }
        }
    }
}

/// The box of a relay, or of areas.
pub(super) fn boxed(canvas: &Canvas<'_>, node: &Node, r: Rect) {
    let own = colour(node.shape);
    canvas.shape(&rounded(r, radius(node.shape)), pale(own, 0.2), own, 1.8);
    if let Some(part) = node.part {
        sign(canvas, part, at(r.left + 9.0, f64::midpoint(r.top, r.bottom)));
    }
}

/// Plus or minus.
pub(super) fn sign(canvas: &Canvas<'_>, part: Part, c: Point) {
    canvas.line(&[at(c.x - 4.0, c.y), at(c.x + 4.0, c.y)], INK, 2.0);
    if part == Part::Plus {
        canvas.line(&[at(c.x, c.y - 4.0), at(c.x, c.y + 4.0)], INK, 2.0);
    }
}

/// What stands at the tip of an axon that arrives along `towards`.
pub(super) fn ending(canvas: &Canvas<'_>, ending: Ending, tip: Point, towards: (f64, f64), own: RGBColor) {
    let (dx, dy) = towards;
    // `back` behind the tip, `aside` to its side.
    let point = |back: f64, aside: f64| at(tip.x - dx * back - dy * aside, tip.y - dy * back + dx * aside);
    match ending {
        Ending::Excitatory => canvas.shape(&[tip, point(8.0, 3.8), point(8.0, -3.8)], own, own, 0.8),
        Ending::Signed => canvas.shape(&[tip, point(8.0, 3.8), point(8.0, -3.8)], WHITE, own, 1.3),
        Ending::Inhibitory => canvas.line(&[point(2.4, 5.0), point(2.4, -5.0)], own, 2.6),
        Ending::Divisive => canvas.disc(point(3.6, 0.0), 4.0, own),
    }
}
