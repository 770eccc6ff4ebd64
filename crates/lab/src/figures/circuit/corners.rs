//! Round corners.

use super::plan::{Point, Rect, at};

/// A box with round corners.
pub(super) fn rounded(r: Rect, radius: f64) -> Vec<Point> {
    let radius = radius.min((r.right - r.left) / 2.0).min((r.bottom - r.top) / 2.0);
    let corners = [
        (r.right - radius, r.top + radius, -90.0),
        (r.right - radius, r.bottom - radius, 0.0),
        (r.left + radius, r.bottom - radius, 90.0),
        (r.left + radius, r.top + radius, 180.0),
    ];
    let mut points = Vec::new();
    for (x, y, from) in corners {
        for step in 0..=4 {
            let angle = f64::to_radians(from + 22.5 * f64::from(step));
            points.push(at(x + radius * angle.cos(), y + radius * angle.sin()));
        }
    }
    points
}

/// A polyline whose corners are rounded.
pub(super) fn bent(points: &[Point], radius: f64) -> Vec<Point> {
    let mut out = Vec::new();
    for (n, &p) in points.iter().enumerate() {
        let (Some(before), Some(after)) = (n.checked_sub(1).map(|b| points[b]), points.get(n + 1)) else {
            out.push(p);
            continue;
        };
        let towards = |q: Point| {
            let length = (q.x - p.x).hypot(q.y - p.y);
            let by = radius.min(length / 2.0) / length.max(1e-9);
            at(p.x + (q.x - p.x) * by, p.y + (q.y - p.y) * by)
        };
        let (a, b) = (towards(before), towards(*after));
        for step in 0..=4 {
            let t = f64::from(step) / 4.0;
            let (u, v, w) = ((1.0 - t) * (1.0 - t), 2.0 * t * (1.0 - t), t * t);
            out.push(at(u * a.x + v * p.x + w * b.x, u * a.y + v * p.y + w * b.y));
        }
    }
    out
}
