//! Where there is room: what stands in a panel, and whether words would touch it.

use super::Sides;
use crate::figures::canvas::Place;

/// What is drawn in a panel, for those who look for room.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken {
    segments: Vec<(Place, Place)>,
    boxes: Vec<Sides>,
}

impl Taken {
    pub fn segment(&mut self, a: Place, b: Place) {
        self.segments.push((a, b));
    }

    pub fn line(&mut self, points: &[Place]) {
        self.segments.extend(points.windows(2).map(|p| (p[0], p[1])));
    }

    pub fn sides(&mut self, sides: Sides) {
        self.boxes.push(sides);
    }

    pub fn disc(&mut self, (x, y): Place, radius: f64) {
        self.boxes.push([x - radius, y - radius, x + radius, y + radius]);
    }

    /// How many marks a box would touch.
    pub fn touched(&self, sides: &Sides) -> usize {
        let boxes = self.boxes.iter().filter(|b| overlap(b, sides)).count();
        boxes + self.segments.iter().filter(|(a, b)| crosses(*a, *b, sides)).count()
    }

    pub fn is_free(&self, sides: &Sides) -> bool {
        !self.boxes.iter().any(|b| overlap(b, sides))
            && !self.segments.iter().any(|(a, b)| crosses(*a, *b, sides))
    }
}

pub(super) fn overlap(a: &Sides, b: &Sides) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}

/// Larger by `by` on all sides.
pub(super) fn larger([left, top, right, bottom]: Sides, by: f64) -> Sides {
    [left - by, top - by, right + by, bottom + by]
}

fn crosses(a: Place, b: Place, sides: &Sides) -> bool {
    clipped(a, b, sides).is_some()
}

/// The part of a segment inside a box (Liang and Barsky 1984).
pub(super) fn clipped(a: Place, b: Place, [left, top, right, bottom]: &Sides) -> Option<(Place, Place)> {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let (mut from, mut until) = (0.0f64, 1.0f64);
    for (towards, room) in [(-dx, a.0 - left), (dx, right - a.0), (-dy, a.1 - top), (dy, bottom - a.1)] {
        if towards == 0.0 {
            if room < 0.0 {
                return None;
            }
        } else {
            let t = room / towards;
            if towards < 0.0 {
                from = from.max(t);
            } else {
                until = until.min(t);
            }
        }
    }
    (from <= until).then(|| {
        let at = |t: f64| (a.0 + t * dx, a.1 + t * dy);
        (if from > 0.0 { at(from) } else { a }, if until < 1.0 { at(until) } else { b })
    })
}

/// A line inside a box: its parts.
pub(super) fn inside(points: &[Place], sides: &Sides) -> Vec<Vec<Place>> {
    let mut parts: Vec<Vec<Place>> = Vec::new();
    for pair in points.windows(2) {
        let Some((a, b)) = clipped(pair[0], pair[1], sides) else { continue };
        match parts.last_mut() {
            Some(part) if part.last() == Some(&a) => part.push(b),
            _ => parts.push(vec![a, b]),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_cut_at_the_sides() {
        let frame = [0.0, 0.0, 10.0, 10.0];
        assert_eq!(clipped((-5.0, 5.0), (5.0, 5.0), &frame), Some(((0.0, 5.0), (5.0, 5.0))));
        assert_eq!(clipped((-5.0, 5.0), (-1.0, 9.0), &frame), None);
        assert_eq!(clipped((-4.0, 12.0), (-1.0, 11.0), &frame), None);
        assert_eq!(clipped((2.0, -4.0), (2.0, 40.0), &frame), Some(((2.0, 0.0), (2.0, 10.0))));
        let line = [(1.0, 1.0), (1.0, 20.0), (3.0, 20.0), (3.0, 1.0)];
        let parts = inside(&line, &frame);
        assert_eq!(parts, [vec![(1.0, 1.0), (1.0, 10.0)], vec![(3.0, 10.0), (3.0, 1.0)]]);
    }

    #[test]
    fn lines_through_a_box_are_seen() {
        let mut taken = Taken::default();
        taken.line(&[(0.0, 0.0), (10.0, 10.0)]);
        assert!(!taken.is_free(&[4.0, 4.0, 6.0, 6.0]) && taken.is_free(&[6.0, 1.0, 8.0, 4.0]));
        taken.disc((7.0, 2.0), 0.5);
        assert_eq!(taken.touched(&[6.0, 1.0, 8.0, 4.0]), 1);
    }
}
