//! Left to right: areas in the order in which signals meet them, their cells side by side, relays below where their
//! partners are.

use super::columns::{Column, Dense, GRID, Way, columns};
use super::model::{CORE, Sketch};
use super::plan::Size;
use super::words;

/// Left of the bands: their names.
pub(super) const MARGIN: f64 = 78.0;
/// Between the frame of an area and its cells.
const PAD: f64 = 6.0;
/// Between areas.
const APART: f64 = 18.0;
/// Between relays.
const RELAYS_APART: f64 = 8.0;
/// Drawings wider than this have upright labels.
const ROOMY: f64 = 950.0;

/// Everything about x.
pub(super) struct Across {
    pub columns: Vec<Column>,
    /// centre of each node
    pub x: Vec<f64>,
    /// left and right side of each area
    pub areas: Vec<(f64, f64)>,
    /// right end of the bands
    pub right: f64,
    pub dense: Dense,
}

/// Labels beside their axons if there is room, else along them.
pub(super) fn across(sketch: &Sketch) -> Across {
    let roomy = placed(sketch, Dense { cells: false, relays: false });
    if roomy.right <= ROOMY {
        return roomy;
    }
    // Relays have the room that the cortex leaves them.
    let cortex = |a: &Across| a.areas.last().map_or(0.0, |(_, right)| *right);
    let half = placed(sketch, Dense { cells: true, relays: false });
    if half.right <= cortex(&half) + APART {
        half
    } else {
        placed(sketch, Dense { cells: true, relays: true })
    }
}

fn placed(sketch: &Sketch, dense: Dense) -> Across {
    // Which axon comes from the left is known once the nodes have a place; that place hardly depends on it.
    let mut rank: Vec<usize> = (0..sketch.nodes.len()).collect();
    let mut across = once(sketch, &rank, dense);
    for _ in 0..2 {
        let mut order: Vec<usize> = (0..sketch.nodes.len()).collect();
        order.sort_by(|a, b| across.x[*a].total_cmp(&across.x[*b]));
        for (place, node) in order.into_iter().enumerate() {
            rank[node] = place;
        }
        across = once(sketch, &rank, dense);
    }
    across
}

fn once(sketch: &Sketch, rank: &[usize], dense: Dense) -> Across {
    let columns = columns(sketch, rank, dense);
    let relays: Vec<usize> = (0..sketch.nodes.len()).filter(|n| sketch.nodes[*n].band >= CORE).collect();
    let room = |r: &usize| columns[*r].left + columns[*r].right + RELAYS_APART + GRID / 2.0;
    let thalamus = relays.iter().map(room).sum::<f64>() + PAD;
    let mut x = vec![0.0; sketch.nodes.len()];
    let (areas, cortex) = cortical(sketch, &columns, 0.0, &mut x);
    // A wider thalamus spreads the areas above it.
    let spare = (thalamus - (cortex - MARGIN)).max(0.0) / areas.len().max(1) as f64;
    let (areas, cortex) = cortical(sketch, &columns, spare.floor(), &mut x);
    let right = thalamic(sketch, &columns, &relays, cortex, &mut x);
    Across { columns, x, areas, right: right.max(cortex), dense }
}

/// Areas with `spare` more room between them; their sides, and where the last one ends.
fn cortical(sketch: &Sketch, columns: &[Column], spare: f64, x: &mut [f64]) -> (Vec<(f64, f64)>, f64) {
    let mut at = MARGIN + (spare / 2.0).floor();
    let mut sides = Vec::new();
    for area in &sketch.areas {
        let left = at;
        at += PAD;
        for &n in &area.nodes {
            x[n] = ((at + columns[n].left) / GRID).ceil() * GRID;
            at = x[n] + columns[n].right + PAD;
        }
        at = at.max(left + heading(&area.name, &area.note) + 2.0 * PAD).ceil();
        sides.push((left, at));
        at += APART + spare;
    }
    let end = sides.last().map_or(MARGIN, |(_, right)| *right);
    (sides, end)
}

/// Width of the words above an area.
pub(super) fn heading(name: &str, note: &str) -> f64 {
    let name = words::width(name, Size::Heading.pixels(), true);
    name + if note.is_empty() { 0.0 } else { super::columns::small(note) + 10.0 }
}

/// Relays in one row of columns, as near as possible to their partners; returns where the last one ends.
fn thalamic(sketch: &Sketch, columns: &[Column], relays: &[usize], cortex: f64, x: &mut [f64]) -> f64 {
    if relays.is_empty() {
        return cortex;
    }
    let wish = wishes(sketch, relays, cortex, x);
    let mut order: Vec<usize> = (0..relays.len()).collect();
    order.sort_by(|a, b| wish[*a].total_cmp(&wish[*b]).then(a.cmp(b)));
    // Distance of each centre from the first, at least.
    let mut offset = vec![0.0; order.len()];
    for k in 1..order.len() {
        let (before, this) = (&columns[relays[order[k - 1]]], &columns[relays[order[k]]]);
        // Whole steps of the grid, so that nobody is pushed on.
        let step = before.right + RELAYS_APART + this.left;
        offset[k] = offset[k - 1] + (step / GRID).ceil() * GRID;
    }
    let wanted: Vec<f64> = order.iter().zip(&offset).map(|(o, by)| wish[*o] - by).collect();
    let first = &columns[relays[order[0]]];
    let last = &columns[relays[order[order.len() - 1]]];
    let low = MARGIN + PAD + first.left;
    let high = (cortex - PAD - last.right - offset[order.len() - 1]).max(low);
    let targets: Vec<f64> =
        isotonic(&wanted).into_iter().zip(&offset).map(|(place, by)| place.clamp(low, high) + by).collect();
    let taken = taken(sketch, columns, x);
    let mut least = f64::NEG_INFINITY;
    let mut end = cortex;
    for (k, target) in targets.iter().enumerate() {
        let node = relays[order[k]];
        // Between the lines of the grid that cortical axons stand on; if the next relay has room, not next to one.
        let first = ((target.max(least) - GRID / 2.0) / GRID).ceil() * GRID + GRID / 2.0;
        let spare = match targets.get(k + 1) {
            Some(next) => next - first - (offset[k + 1] - offset[k]),
            None => 3.0 * GRID,
        };
        let near = |shift: f64| {
            let beside = |pin: &f64| taken.iter().any(|t| (t - (first + shift + pin)).abs() < GRID);
            pins(sketch, columns, node).iter().filter(|p| beside(p)).count()
        };
        let shifts = [0.0, GRID, 2.0 * GRID, 3.0 * GRID].into_iter().filter(|s| *s == 0.0 || *s <= spare);
        x[node] = first + shifts.min_by_key(|s| near(*s)).unwrap_or(0.0);
        least = x[node] + offset.get(k + 1).map_or(0.0, |next| next - offset[k]);
        end = x[node] + columns[node].right + PAD;
    }
    end
}

/// Where axons come from the cortex or go there.
fn taken(sketch: &Sketch, columns: &[Column], x: &[f64]) -> Vec<f64> {
    let mut all = Vec::new();
    for (number, link) in sketch.links.iter().enumerate() {
        let Some(from) = link.from else { continue };
        match (sketch.nodes[from].band >= CORE, sketch.nodes[link.to].band >= CORE) {
            (true, false) => {
                let ports = columns[link.to].ports.iter().filter(|p| p.link == number && p.way != Way::Trunk);
                all.extend(ports.map(|p| x[link.to] + p.dx));
            }
            (false, true) => all.push(x[from] + if link.learning { GRID } else { 0.0 }),
            _ => {}
        }
    }
    all
}

/// Offsets at which axons come to a relay or leave it.
fn pins(sketch: &Sketch, columns: &[Column], relay: usize) -> Vec<f64> {
    let mut all: Vec<f64> = columns[relay].ports.iter().map(|p| p.dx).collect();
    let sent = sketch.links.iter().filter(|l| l.from == Some(relay));
    all.extend(sent.map(|l| if l.learning { GRID } else { 0.0 }));
    all
}

/// Where each relay would stand: under what it projects to, right of what it receives from.
fn wishes(sketch: &Sketch, relays: &[usize], cortex: f64, x: &[f64]) -> Vec<f64> {
    let partner = |n: usize| (sketch.nodes[n].band < CORE).then(|| x[n]);
    let mut wish: Vec<Option<f64>> = relays
        .iter()
        .map(|&r| {
            let forward = |l: &&super::model::Link| !l.learning;
            let targets = sketch.links.iter().filter(forward).filter(|l| l.from == Some(r));
            let sources = sketch.links.iter().filter(forward).filter(|l| l.to == r);
            let first = targets.filter_map(|l| partner(l.to)).reduce(f64::min);
            let last = sources.filter_map(|l| l.from.and_then(partner)).reduce(f64::max);
            match (last, first) {
                (Some(last), Some(first)) => Some(f64::midpoint(last, first)),
                (Some(last), None) => Some(last + 60.0),
                (None, first) => first,
            }
        })
        .collect();
    // Relays among relays follow those that have a place.
    for _ in 0..relays.len() {
        let mut next = wish.clone();
        for (n, &r) in relays.iter().enumerate().filter(|(n, _)| wish[*n].is_none()) {
            let near: Vec<f64> = sketch
                .links
                .iter()
                .filter_map(|l| match l.from {
                    Some(f) if f == r => Some(l.to),
                    Some(f) if l.to == r => Some(f),
                    _ => None,
                })
                .filter_map(|other| relays.iter().position(|o| *o == other))
                .filter_map(|other| wish[other])
                .collect();
            if !near.is_empty() {
                next[n] = Some(near.iter().sum::<f64>() / near.len() as f64 + 30.0);
            }
        }
        wish = next;
    }
    wish.into_iter().map(|w| w.unwrap_or(cortex)).collect()
}

/// The nearest non-decreasing sequence in least squares: neighbours that are out of order are pooled.
fn isotonic(wanted: &[f64]) -> Vec<f64> {
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for &w in wanted {
        pools.push((w, 1));
        while let [.., (a, n), (b, m)] = pools[..]
            && a > b
        {
            pools.truncate(pools.len() - 2);
            pools.push(((a * n as f64 + b * m as f64) / (n + m) as f64, n + m));
        }
    }
    pools.into_iter().flat_map(|(mean, n)| std::iter::repeat_n(mean, n)).collect()
}

#[cfg(test)]
mod tests {
    use super::isotonic;

    #[test]
    fn neighbours_out_of_order_are_pooled() {
        assert_eq!(isotonic(&[1.0, 2.0, 3.0]), [1.0, 2.0, 3.0]);
        assert_eq!(isotonic(&[3.0, 1.0, 5.0]), [2.0, 2.0, 5.0]);
        assert_eq!(isotonic(&[6.0, 3.0, 0.0]), [3.0, 3.0, 3.0]);
    }
}
