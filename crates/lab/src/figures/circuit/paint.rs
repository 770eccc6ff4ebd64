//! Paints a plan, from the back to the front.

use super::columns::BODY;
use super::corners::{bent, rounded};
use super::down::GATEWAY;
use super::glyphs::{
    box_copies, boxed, colour, dendrites, ending, mark, outline, pale, sign, soma, soma_copies,
};
use super::legend::{self, Entry};
use super::model::{CORE, Ending, MATRIX, Node, Shape};
use super::plan::{Label, Placed, Plan, Point, Rect, at};
use crate::figures::canvas::{Canvas, Style};
use crate::figures::font::Face;
use crate::figures::style::{COLOURS, FAINT, INK};
use plotters::style::{RGBColor, WHITE};
use pulvinar::circuit::Compartment;
use pulvinar::spec::{Part, Pathway};

/// Baseline below the top of a label, in em.
const BASELINE: f64 = 0.76;
/// Width of an axon, and of the gap in what it crosses.
const AXON: f64 = 1.5;
const GAP: f64 = 5.0;

pub(super) fn paint(canvas: &Canvas<'_>, plan: &Plan) {
    grounds(canvas, plan);
    for placed in &plan.nodes {
        match placed.node.shape {
            Shape::Relay(_) | Shape::Areas => box_copies(canvas, &placed.node, front(placed)),
            _ => soma_copies(canvas, &placed.node, placed.centre, placed.body.bottom),
        }
        dendrites(canvas, placed, placed.body.bottom);
    }
    axons(canvas, plan);
    for placed in &plan.nodes {
        if matches!(placed.node.shape, Shape::Relay(_) | Shape::Areas) {
            boxed(canvas, &placed.node, front(placed));
            gateway(canvas, &placed.node, at(placed.centre, placed.body.bottom));
        } else {
            soma(canvas, &placed.node, placed.centre, placed.body.bottom);
        }
    }
    for r in &plan.tonic {
        canvas.rect(*r, INK);
    }
    for end in &plan.ends {
        ending(canvas, end.ending, end.tip, end.towards, axon_colour(plan, end.axon));
    }
    for (entry, r) in &plan.legend {
        sample(canvas, *entry, *r);
    }
    plan.labels.iter().for_each(|l| words(canvas, l));
}

/// Words in their place, on the baseline that leaves room for accents above.
fn words(canvas: &Canvas<'_>, label: &Label) {
    let size = label.size.pixels();
    let style = Style { face: if label.bold { Face::Bold } else { Face::Sans }, ..Style::new(size) };
    let r = label.rect;
    if label.upright {
        canvas.text(&label.text, (r.left + BASELINE * size, r.bottom), style.upright());
    } else {
        canvas.text(&label.text, (r.left, r.top + BASELINE * size), style);
    }
}

/// The box without its copies.
fn front(placed: &Placed) -> Rect {
    let copies = |shown: bool| if shown { 8.0 } else { 0.0 };
    let (i, r) = (placed.node.indices, placed.body);
    let up = copies(i.query || i.context);
    Rect::new(r.left + copies(i.context), r.top + up, r.right - copies(i.query), r.bottom)
}

fn grounds(canvas: &Canvas<'_>, plan: &Plan) {
    for area in plan.areas.iter().filter(|a| a.count > 1) {
        for step in [6.0, 3.0] {
            let r = area.rect;
            let copy = Rect::new(r.left + step, r.top - step, r.right + step, r.bottom - step);
            canvas.shape(&rounded(copy, 6.0), WHITE, FAINT, 1.2);
        }
    }
    for area in &plan.areas {
        canvas.shape(&rounded(area.rect, 6.0), WHITE, INK, 1.2);
    }
    for band in &plan.bands {
        let r = band.rect;
        let ground = match band.band {
            CORE => pale(COLOURS[0], 0.09),
            MATRIX => pale(COLOURS[1], 0.09),
            n if n % 2 == 0 => RGBColor(242, 242, 242),
            _ => RGBColor(250, 250, 250),
        };
        canvas.rect(Rect::new(r.left + 0.8, r.top, r.right - 0.8, r.bottom), ground);
        if band.band > 0 && band.band < CORE {
            canvas.line(&[at(r.left, r.top), at(r.right, r.top)], FAINT, 0.8);
        }
    }
    for area in &plan.areas {
        let mut around = rounded(area.rect, 6.0);
        around.extend(around.clone().into_iter().take(2));
        canvas.line(&around, INK, 1.2);
    }
    let mut around = rounded(plan.thalamus, 6.0);
    around.extend(around.clone().into_iter().take(2));
    canvas.line(&around, FAINT, 1.2)
}

fn axon_colour(plan: &Plan, axon: usize) -> RGBColor {
    plan.axons[axon].from.map_or(INK, |n| colour(plan.nodes[n].node.shape))
}

/// Level parts first, then what goes up and down, with a gap where it crosses them.
fn axons(canvas: &Canvas<'_>, plan: &Plan) {
    let draw = |axon: usize, points: &[Point]| {
        let own = axon_colour(plan, axon);
        if plan.axons[axon].learning {
            canvas.dashes(points, own, AXON, [4.0, 3.0])
        } else {
            canvas.line(points, own, AXON)
        }
    };
    for wire in &plan.wires {
        draw(wire.axon, &bent(&wire.points, 5.0));
    }
    for wire in &plan.wires {
        for pair in wire.points.windows(2).filter(|p| p[0].x == p[1].x) {
            let (top, bottom) = (pair[0].y.min(pair[1].y), pair[0].y.max(pair[1].y));
            for y in crossed(plan, wire.axon, pair[0].x, top, bottom) {
                let (a, b) = (at(pair[0].x, y - GAP / 2.0), at(pair[0].x, y + GAP / 2.0));
                canvas.line(&[a, b], WHITE, GAP);
                canvas.line(&[a, b], axon_colour(plan, wire.axon), AXON);
            }
        }
    }
    for (axon, point) in &plan.branches {
        canvas.disc(*point, 2.4, axon_colour(plan, *axon));
    }
}

/// Heights at which level parts of other axons cross a line that goes up or down.
fn crossed(plan: &Plan, axon: usize, x: f64, top: f64, bottom: f64) -> Vec<f64> {
    let mut all = Vec::new();
    for wire in plan.wires.iter().filter(|w| w.axon != axon) {
        for pair in wire.points.windows(2).filter(|p| p[0].y == p[1].y) {
            let (left, right) = (pair[0].x.min(pair[1].x), pair[0].x.max(pair[1].x));
            if left < x && x < right && top < pair[0].y && pair[0].y < bottom {
                all.push(pair[0].y);
            }
        }
    }
    all
}

/// Where tokens come in and answers go out.
fn gateway(canvas: &Canvas<'_>, node: &Node, foot: Point) {
    let far = at(foot.x, foot.y + GATEWAY - 15.0);
    if node.input.is_some() {
        canvas.line(&[far, at(foot.x, foot.y + 4.0)], INK, 1.8);
        return ending(canvas, Ending::Excitatory, at(foot.x, foot.y + 1.0), (0.0, -1.0), INK);
    }
    if node.output.is_some() {
        canvas.line(&[foot, far], INK, 1.8);
        ending(canvas, Ending::Excitatory, far, (0.0, 1.0), INK);
    }
}

/// The sign of an entry of the legend.
fn sample(canvas: &Canvas<'_>, entry: Entry, r: Rect) {
    let c = r.centre();
    let ends = |kind: Ending| {
        let tip = at(r.right - 2.0, c.y);
        canvas.line(&[at(r.left + 2.0, c.y), at(tip.x - 5.0, c.y)], INK, AXON);
        ending(canvas, kind, tip, (1.0, 0.0), INK)
    };
    let diamond = Rect::new(c.x - 4.0, c.y - 4.0, c.x + 4.0, c.y + 4.0);
    match entry {
        Entry::Excitatory => ends(Ending::Excitatory),
        Entry::Inhibitory => ends(Ending::Inhibitory),
        Entry::Signed => ends(Ending::Signed),
        Entry::Divisive => ends(Ending::Divisive),
        Entry::Learning => canvas.dashes(&[at(r.left, c.y), at(r.right, c.y)], INK, AXON, [4.0, 3.0]),
        Entry::Gate => mark(canvas, Compartment::Gate, diamond),
        Entry::Third => mark(canvas, Compartment::Third, diamond),
        Entry::Tonic => canvas.rect(diamond, INK),
        Entry::Axons => {
            canvas.line(&[at(r.left, c.y), at(r.right, c.y)], INK, AXON);
            canvas.line(&[c, at(c.x, r.bottom - 4.0)], INK, AXON);
            canvas.disc(c, 2.4, INK)
        }
        Entry::Plus => sign(canvas, Part::Plus, c),
        Entry::Minus => sign(canvas, Part::Minus, c),
        Entry::Alike => {
            for step in [3.0, 0.0, -3.0] {
                let one = Rect::new(c.x - 8.0 + step, c.y - 5.0 - step, c.x + 8.0 + step, c.y + 5.0 - step);
                canvas.shape(&rounded(one, 2.0), WHITE, INK, 1.0);
            }
        }
        Entry::Query
        | Entry::Context
        | Entry::Pyramid
        | Entry::Interneuron
        | Entry::Stellate
        | Entry::Cell => stand_in(canvas, entry, c),
        Entry::Product | Entry::Memory => stand_in(canvas, entry, c),
        Entry::Sum | Entry::Plastic => {}
    }
}

/// A small cell.
fn stand_in(canvas: &Canvas<'_>, entry: Entry, c: Point) {
    let shape = legend::shape(entry);
    let own = colour(shape.unwrap_or(Shape::Relay(Pathway::Core)));
    let triangle = |dx: f64, dy: f64| {
        vec![
            at(c.x + dx, c.y - 7.0 + dy),
            at(c.x + 9.0 + dx, c.y + 9.0 + dy),
            at(c.x - 9.0 + dx, c.y + 9.0 + dy),
        ]
    };
    match entry {
        Entry::Query | Entry::Context => {
            let side = if entry == Entry::Query { 1.0 } else { -1.0 };
            for step in [6.0, 3.0, 0.0] {
                let (dx, dy) = (side * (step - 3.0), 3.0 - step);
                let one = Rect::new(c.x - 8.0 + dx, c.y - 5.0 + dy, c.x + 8.0 + dx, c.y + 5.0 + dy);
                canvas.shape(&rounded(one, 3.0), pale(INK, 0.1), INK, 1.0);
            }
        }
        Entry::Product => {
            canvas.area(&triangle(0.0, 0.0), own);
            for s in [-1.0, 1.0] {
                let (a, b) = (at(c.x - 3.0, c.y + 4.0 - 3.0 * s), at(c.x + 3.0, c.y + 4.0 + 3.0 * s));
                canvas.line(&[a, b], WHITE, 1.5);
            }
        }
        Entry::Memory => {
            canvas.area(&triangle(0.0, 0.0), own);
            canvas.ring(at(c.x, c.y + 4.0), 4.0, WHITE, 1.4)
        }
        Entry::Pyramid => {
            let wood = pale(own, 0.55);
            canvas.line(&[at(c.x, c.y - 4.0), at(c.x, c.y - 11.0)], wood, 2.5);
            for side in [-1.0, 1.0] {
                canvas.line(&[at(c.x + side * 6.0, c.y + 6.0), at(c.x + side * 12.0, c.y + 11.0)], wood, 2.0);
            }
            let small = [at(c.x, c.y - 7.0), at(c.x + 8.0, c.y + 7.0), at(c.x - 8.0, c.y + 7.0)];
            canvas.area(&small, own)
        }
        _ => {
            // The body at half its size.
            let whole = outline(shape.unwrap_or(Shape::Cell), 0.0, BODY);
            let half: Vec<Point> = whole.iter().map(|p| at(c.x + p.x / 2.0, c.y + p.y / 2.0)).collect();
            let inside = if entry == Entry::Cell { WHITE } else { own };
            canvas.shape(&half, inside, own, 1.2)
        }
    }
}
