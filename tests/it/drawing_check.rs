//! What must hold for every drawing: nothing overlaps, nothing is cut, every projection ends on its compartment.

use pulvinar::circuit::{Circuit, Kind, ProjectionId};
use pulvinar::spec::{Effect, Pathway};
use pulvinar_lab::figures::circuit::model::{Ending, Shape, Sketch};
use pulvinar_lab::figures::circuit::plan::{About, End, Placed, Plan, Point, Rect};

/// Looks at everything; `name` says which drawing is wrong.
pub fn check(name: &str, circuit: &Circuit, sketch: &Sketch, plan: &Plan) {
    inside(name, plan);
    labels(name, plan);
    bodies(name, plan);
    layers(name, circuit, plan);
    wires(name, sketch, plan);
    for number in 0..circuit.projections.len() {
        projection(name, circuit, sketch, plan, ProjectionId(number));
    }
}

fn is_boxed(placed: &Placed) -> bool {
    matches!(placed.node.shape, Shape::Relay(_) | Shape::Areas)
}

fn inside(name: &str, plan: &Plan) {
    let holds = |x: f64, y: f64| x >= 0.0 && y >= 0.0 && x <= plan.width && y <= plan.height;
    let mut rects: Vec<Rect> = plan.labels.iter().map(|l| l.rect).collect();
    rects.extend(plan.areas.iter().map(|a| a.rect));
    rects.extend(plan.bands.iter().map(|b| b.rect));
    rects.extend(plan.nodes.iter().flat_map(|n| n.dendrites.iter().map(|(_, r)| *r).chain([n.body])));
    rects.extend(plan.legend.iter().map(|(_, r)| *r));
    for r in rects {
        assert!(holds(r.left, r.top) && holds(r.right, r.bottom), "{name}: {r:?} is cut");
        assert!(r.left < r.right && r.top < r.bottom, "{name}: {r:?} is empty");
    }
    for p in plan.wires.iter().flat_map(|w| &w.points) {
        assert!(holds(p.x, p.y), "{name}: {p:?} is outside");
    }
}

fn labels(name: &str, plan: &Plan) {
    for (n, a) in plan.labels.iter().enumerate() {
        for b in &plan.labels[..n] {
            assert!(!a.rect.overlaps(&b.rect), "{name}: `{}` and `{}` overlap", a.text, b.text);
        }
        for (number, placed) in plan.nodes.iter().enumerate() {
            // Words of a box stand in it.
            let own = a.about == About::Node(number) && is_boxed(placed);
            let parts = placed.dendrites.iter().map(|(_, r)| r).chain([&placed.body]);
            for r in parts.filter(|_| !own) {
                assert!(!a.rect.overlaps(r), "{name}: `{}` lies on `{}`", a.text, placed.node.name);
            }
            if own && a.rect.top < placed.body.bottom {
                let within = a.rect.left >= placed.body.left && a.rect.right <= placed.body.right;
                assert!(within, "{name}: `{}` does not fit into `{}`", a.text, placed.node.name);
            }
        }
        for wire in &plan.wires {
            for pair in wire.points.windows(2) {
                assert!(!crosses(pair[0], pair[1], &a.rect), "{name}: an axon runs through `{}`", a.text);
            }
        }
        for square in &plan.tonic {
            assert!(!a.rect.overlaps(square), "{name}: `{}` lies on a square", a.text);
        }
    }
}

/// The segment (along an axis) has more than a point inside the box.
fn crosses(a: Point, b: Point, r: &Rect) -> bool {
    let along = Rect { left: a.x.min(b.x), right: a.x.max(b.x), top: a.y.min(b.y), bottom: a.y.max(b.y) };
    if a.x == b.x {
        r.left < a.x && a.x < r.right && along.top < r.bottom && r.top < along.bottom
    } else {
        r.top < a.y && a.y < r.bottom && along.left < r.right && r.left < along.right
    }
}

fn bodies(name: &str, plan: &Plan) {
    for (n, a) in plan.nodes.iter().enumerate() {
        for b in &plan.nodes[..n] {
            let clear = !a.body.overlaps(&b.body);
            assert!(clear, "{name}: `{}` and `{}` overlap", a.node.name, b.node.name);
        }
        if a.node.shape == Shape::Areas {
            continue;
        }
        let band = plan.bands.iter().find(|b| b.band == a.node.band && covers(&b.rect, &a.body));
        assert!(band.is_some(), "{name}: `{}` is not in its layer", a.node.name);
        if let Some(area) = a.node.area {
            assert!(covers(&plan.areas[area].rect, &a.body), "{name}: `{}` is not in its area", a.node.name);
        }
    }
    for (n, a) in plan.areas.iter().enumerate() {
        assert!(plan.areas[..n].iter().all(|b| !a.rect.overlaps(&b.rect)), "{name}: areas overlap");
    }
}

/// Each cell is in the band of its layer, each relay in that of its pathway; bands are in the order of the cortex.
fn layers(name: &str, circuit: &Circuit, plan: &Plan) {
    for placed in plan.nodes.iter().filter(|p| p.node.shape != Shape::Areas) {
        let p = circuit.population(placed.node.populations[0]);
        let want = match (&p.kind, p.layer.as_deref()) {
            (Kind::Relay { pathway: Pathway::Core, .. }, _) => "core",
            (Kind::Relay { .. }, _) => "matrix",
            (_, Some("L2" | "L3")) => "L2/3",
            (_, Some("L5/6")) => "L5",
            (_, Some(layer)) => layer,
            (_, None) => "no layer",
        };
        // The name of a band stands at its middle, left of all.
        let band = plan.bands.iter().find(|b| b.band == placed.node.band).expect("a band").rect;
        let middle = f64::midpoint(band.top, band.bottom);
        let beside = |r: &Rect| r.right < plan.thalamus.left && r.top < middle && middle < r.bottom;
        let words = plan.labels.iter().filter(|l| !l.upright && beside(&l.rect));
        assert_eq!(words.map(|l| l.text.as_str()).collect::<Vec<_>>(), [want], "{name}: {}", p.name);
    }
    let mut tops: Vec<(usize, f64)> = plan.bands.iter().map(|b| (b.band, b.rect.top)).collect();
    tops.sort_by_key(|t| t.0);
    assert!(tops.windows(2).all(|t| t[0].1 <= t[1].1), "{name}: bands out of order");
}

fn covers(outer: &Rect, inner: &Rect) -> bool {
    outer.left <= inner.left
        && outer.right >= inner.right
        && outer.top <= inner.top
        && outer.bottom >= inner.bottom
}

/// Copies of a stack stand behind axons, up to this far from the body.
const COPIES: f64 = 10.0;

fn wires(name: &str, sketch: &Sketch, plan: &Plan) {
    let mut segments: Vec<(usize, Point, Point)> = Vec::new();
    for wire in &plan.wires {
        segments.extend(wire.points.windows(2).map(|p| (wire.axon, p[0], p[1])));
    }
    for (n, (axon, a, b)) in segments.iter().enumerate() {
        assert!(a.x == b.x || a.y == b.y, "{name}: an axon runs askew");
        for (other, c, d) in &segments[..n] {
            if other == axon {
                continue;
            }
            // Nearer than two pixels is the same line to the eye.
            let near = |p: f64, q: f64| (p - q).abs() < 2.0;
            let shared = |a: f64, b: f64, c: f64, d: f64| a.max(b).min(c.max(d)) - a.min(b).max(c.min(d));
            let upright = a.x == b.x && c.x == d.x && near(a.x, c.x) && shared(a.y, b.y, c.y, d.y) > 0.0;
            let level = a.y == b.y && c.y == d.y && near(a.y, c.y) && shared(a.x, b.x, c.x, d.x) > 0.0;
            assert!(!upright && !level, "{name}: two axons run on top of each other at {a:?}");
        }
        for (number, placed) in plan.nodes.iter().enumerate() {
            if !crosses(*a, *b, &placed.body) {
                continue;
            }
            let from = plan.axons[*axon].from == Some(number);
            let to = plan.ends.iter().any(|e| e.axon == *axon && e.to == number);
            let r = placed.body;
            let depth = (a.y.max(b.y).min(r.bottom) - a.y.min(b.y).max(r.top)).abs();
            let passes = format!("{name}: an axon runs through `{}`", placed.node.name);
            assert!((from || to) && a.x == b.x && depth <= COPIES, "{passes}");
        }
    }
    for (axon, point) in &plan.branches {
        let arms = segments.iter().filter(|(n, a, b)| n == axon && lies_on(*point, *a, *b)).count();
        assert!(arms >= 2, "{name}: a dot where nothing branches");
    }
    assert_eq!(plan.nodes.len(), sketch.nodes.len(), "{name}");
}

fn lies_on(p: Point, a: Point, b: Point) -> bool {
    let between = |p: f64, a: f64, b: f64| a.min(b) - 1e-6 <= p && p <= a.max(b) + 1e-6;
    between(p.x, a.x, b.x) && between(p.y, a.y, b.y)
}

/// One projection: it has one ending, on its compartment, with its sign, and a way back to its source.
fn projection(name: &str, circuit: &Circuit, sketch: &Sketch, plan: &Plan, id: ProjectionId) {
    let p = circuit.projection(id);
    let name = format!("{name}: `{}`", p.name);
    let of = |population| sketch.nodes.iter().position(|n| n.populations.contains(&population));
    let (from, to) = (of(p.from), of(p.to).expect("every target is drawn"));
    let links: Vec<usize> =
        (0..sketch.links.len()).filter(|l| sketch.links[*l].projections.contains(&id)).collect();
    if links.is_empty() {
        let within = from == Some(to) && sketch.nodes[to].populations.len() > 1;
        assert!(sketch.collapsed && within, "{name} is not drawn");
        return;
    }
    assert_eq!(links.len(), 1, "{name} is drawn twice");
    let ends: Vec<&End> = plan.ends.iter().filter(|e| e.link == links[0]).collect();
    assert_eq!(ends.len(), 1, "{name} ends once");
    let end = ends[0];
    assert_eq!((end.to, plan.axons[end.axon].from), (to, from), "{name} joins its populations");
    if from.is_none() {
        assert_eq!(circuit.population(p.from).kind, Kind::Tonic, "{name}");
    }
    let placed = &plan.nodes[to];
    if placed.node.shape != Shape::Areas {
        assert_eq!(end.compartment, p.compartment, "{name}");
    }
    assert!(placed.receives(end.compartment, end.tip), "{name} ends beside its compartment: {end:?}");
    for (other, r) in &placed.dendrites {
        assert!(*other == end.compartment || !r.holds(end.tip), "{name} ends on {other:?}, too");
    }
    let weights = p.synapses.weights.dense();
    let (plus, minus) = (weights.iter().any(|w| *w > 0.0), weights.iter().any(|w| *w < 0.0));
    let want = match (p.effect, plus, minus) {
        (Effect::Divisive, ..) => Ending::Divisive,
        (_, true, true) => Ending::Signed,
        (_, false, true) => Ending::Inhibitory,
        _ => Ending::Excitatory,
    };
    assert_eq!(end.ending, want, "{name}");
    assert!(reaches(plan, end, from), "{name} has no way from its source");
}

/// Follows the wires of the axon from the tip; do they come to the body it starts from?
fn reaches(plan: &Plan, end: &End, from: Option<usize>) -> bool {
    let own: Vec<&Vec<Point>> = plan.wires.iter().filter(|w| w.axon == end.axon).map(|w| &w.points).collect();
    let touches = |points: &[Point], p: Point| points.windows(2).any(|s| lies_on(p, s[0], s[1]));
    let mut known = vec![false; own.len()];
    for (n, points) in own.iter().enumerate() {
        known[n] = touches(points, end.tip);
    }
    loop {
        let mut more = false;
        for n in 0..own.len() {
            let joined = (0..own.len()).any(|m| {
                known[m]
                    && (own[n].iter().any(|p| touches(own[m], *p))
                        || own[m].iter().any(|p| touches(own[n], *p)))
            });
            if !known[n] && joined {
                known[n] = true;
                more = true;
            }
        }
        if !more {
            break;
        }
    }
    let points = own.iter().zip(&known).filter(|(_, k)| **k).flat_map(|(points, _)| points.iter());
    points.into_iter().any(|p| match from {
        Some(node) => plan.nodes[node].body.holds(*p),
        None => plan.tonic.iter().any(|r| r.holds(*p)),
    })
}
