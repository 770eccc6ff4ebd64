//! A drawing inside a figure: without its title and its legend, which the figure has itself.

use super::plan::{About, Plan, Point, Rect};

/// Room around what is left.
const EDGE: f64 = 6.0;

/// The plan without title and legend, no larger than the rest of it.
#[must_use]
pub fn cropped(mut plan: Plan) -> Plan {
    let boxes = || plan.areas.iter().map(|a| a.rect).chain(plan.bands.iter().map(|b| b.rect));
    let top = boxes().fold(plan.thalamus.top, |t, r| t.min(r.top));
    let bottom = boxes().fold(plan.thalamus.bottom, |b, r| b.max(r.bottom));
    plan.legend.clear();
    // Names of areas and layers stand inside, beside what they name.
    plan.labels.retain(|l| l.about != About::Picture || (l.rect.bottom > top && l.rect.top < bottom));
    let all = around(&plan);
    let (dx, dy) = (EDGE - all.left, EDGE - all.top);
    plan.width = all.right + dx + EDGE;
    plan.height = all.bottom + dy + EDGE;
    shift(&mut plan, dx, dy);
    plan
}

/// The smallest box around everything.
fn around(plan: &Plan) -> Rect {
    let areas = plan.areas.iter().map(|a| a.rect);
    let rects = areas
        .chain(plan.bands.iter().map(|b| b.rect))
        .chain([plan.thalamus])
        .chain(plan.nodes.iter().map(|n| n.body))
        .chain(plan.nodes.iter().flat_map(|n| n.dendrites.iter().map(|(_, r)| *r)))
        .chain(plan.tonic.iter().copied())
        .chain(plan.labels.iter().map(|l| l.rect));
    let points =
        plan.wires.iter().flat_map(|w| w.points.iter().copied()).chain(plan.ends.iter().map(|e| e.tip));
    let nowhere = Rect::new(f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY);
    rects.chain(points.map(|p| Rect::new(p.x, p.y, p.x, p.y))).fold(nowhere, |all, r| {
        let (left, top) = (all.left.min(r.left), all.top.min(r.top));
        Rect::new(left, top, all.right.max(r.right), all.bottom.max(r.bottom))
    })
}

/// Moves everything.
fn shift(plan: &mut Plan, dx: f64, dy: f64) {
    let rect = |r: &mut Rect| *r = Rect::new(r.left + dx, r.top + dy, r.right + dx, r.bottom + dy);
    let point = |p: &mut Point| *p = Point { x: p.x + dx, y: p.y + dy };
    plan.areas.iter_mut().for_each(|a| rect(&mut a.rect));
    plan.bands.iter_mut().for_each(|b| rect(&mut b.rect));
    rect(&mut plan.thalamus);
    for node in &mut plan.nodes {
        node.centre += dx;
        rect(&mut node.body);
        node.dendrites.iter_mut().for_each(|(_, r)| rect(r));
    }
    plan.wires.iter_mut().flat_map(|w| &mut w.points).for_each(point);
    plan.branches.iter_mut().for_each(|(_, p)| point(p));
    plan.ends.iter_mut().for_each(|e| point(&mut e.tip));
    plan.tonic.iter_mut().for_each(rect);
    plan.labels.iter_mut().for_each(|l| rect(&mut l.rect));
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulvinar::model::{Model, Parameters};
    use std::path::Path;

    #[test]
    fn what_is_left_is_moved_as_one_and_inside() {
        let text = include_bytes!("../../../../../circuits/multihead_cortico_thalamic.yaml");
        let model = Model::read(text, Path::new("circuits"), &Parameters::default());
        let circuit = model.and_then(|m| m.circuit()).unwrap_or_else(|d| panic!("{d}"));
        let (_, whole) = super::super::plan(&circuit);
        let plan = cropped(whole.clone());
        assert!(plan.height < whole.height - 100.0 && plan.width <= whole.width);
        assert_eq!(plan.labels.iter().filter(|l| l.text == circuit.name).count(), 0, "no title");
        assert!(plan.legend.is_empty());
        // Names of areas, layers, nodes and projections are all there.
        for text in ["A1", "A4", "L2/3", "core", "thalamus", "cortex", "VP_core", "W_O3"] {
            assert_eq!(plan.labels.iter().filter(|l| l.text == text).count(), 1, "{text}");
        }
        let page = Rect::new(0.0, 0.0, plan.width, plan.height);
        let all = around(&plan);
        assert!(
            page.holds(Point { x: all.left, y: all.top })
                && page.holds(Point { x: all.right, y: all.bottom })
        );
        // Tips stay on what they end on.
        for (a, b) in plan.ends.iter().zip(&whole.ends) {
            assert_eq!(
                plan.nodes[a.to].receives(a.compartment, a.tip),
                whole.nodes[b.to].receives(b.compartment, b.tip)
            );
        }
    }
}
