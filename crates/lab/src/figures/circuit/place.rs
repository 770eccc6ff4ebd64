//! From columns, bands and tracks to places: bodies, dendrites, axons, endings, labels.

use super::columns::{BODY, Port, Way, copies, mark, name_offset};
use super::down::{COPIES, Down, GATEWAY, LINE, ROOTS, SOMA, TUFT, WORDS, down};
use super::layout::{Across, MARGIN, across, heading};
use super::legend;
use super::model::{BANDS, CORE, OTHER, Shape, Sketch};
use super::plan::{About, AreaBox, Axon, Band, End, Label, Placed, Plan, Rect, Size, Wire, at};
use super::route::{self, Channel, Net, WHITE_MATTER};
use super::words;
use pulvinar::circuit::Compartment;

/// Beyond the outermost branch.
const BEYOND: f64 = 4.0;
/// From the tip of an ending to the square of `tonic`, and half the square.
const TONIC: f64 = 20.0;
const SQUARE: f64 = 4.0;

/// Everything gets its place.
pub(super) fn plan(sketch: &Sketch) -> Plan {
    let across = across(sketch);
    let nets = route::nets(sketch, &across);
    let channels = route::channels(sketch, &across, &nets);
    let down = down(sketch, &across, &channels);
    let mut plan = frame(sketch, &across, &down);
    for number in 0..sketch.nodes.len() {
        body(&mut plan, sketch, &across, &down, number);
    }
    plan.axons = nets.iter().map(|n| Axon { from: Some(n.from), learning: n.learning }).collect();
    let placing = Placing { sketch, across: &across, down: &down, nets: &nets, channels: &channels };
    for number in 0..nets.len() {
        placing.axon(&mut plan, number);
    }
    placing.tonic(&mut plan);
    placing.link_labels(&mut plan);
    legend::add(&mut plan, sketch);
    plan
}

fn text(plan: &mut Plan, text: &str, left: f64, top: f64, size: Size, bold: bool, about: About) {
    let wide = words::width(text, size.pixels(), bold);
    let high = size.pixels();
    let rect = Rect::new(left, top, left + wide, top + high);
    plan.labels.push(Label { text: text.to_owned(), rect, size, bold, upright: false, about });
}

/// Title, areas and bands.
fn frame(sketch: &Sketch, across: &Across, down: &Down) -> Plan {
    let right = across.right;
    let mut plan = Plan {
        width: right + 16.0,
        height: down.thalamus.1 + 16.0,
        areas: Vec::new(),
        bands: Vec::new(),
        thalamus: Rect::new(MARGIN, down.thalamus.0, right, down.thalamus.1),
        nodes: Vec::new(),
        axons: Vec::new(),
        wires: Vec::new(),
        branches: Vec::new(),
        ends: Vec::new(),
        tonic: Vec::new(),
        labels: Vec::new(),
        legend: Vec::new(),
    };
    text(&mut plan, &sketch.title, 16.0, 12.0, Size::Title, true, About::Picture);
    text(&mut plan, &sketch.subtitle, 16.0, 37.0, Size::Small, false, About::Picture);
    let bottom = down.levels[OTHER].bottom;
    for (area, (left, right)) in sketch.areas.iter().zip(&across.areas) {
        if !sketch.collapsed {
            plan.areas
                .push(AreaBox { rect: Rect::new(*left, down.area_top, *right, bottom), count: area.count });
            let (x, y) = (left + 8.0, down.area_top + 6.0);
            text(&mut plan, &area.name, x, y, Size::Heading, true, About::Picture);
            if !area.note.is_empty() {
                let x = x + heading(&area.name, "") + 10.0;
                text(&mut plan, &area.note, x, y + 2.0, Size::Small, false, About::Picture);
            }
        }
        for (band, level) in down.levels.iter().enumerate().take(CORE) {
            if level.shown && !sketch.collapsed {
                plan.bands.push(Band { band, rect: Rect::new(*left, level.top, *right, level.bottom) });
            }
        }
    }
    let mut side = |name: &str, top: f64, bottom: f64| {
        let wide = super::columns::small(name);
        let top = f64::midpoint(top, bottom) - wide / 2.0;
        let rect = Rect::new(8.0, top, 19.0, top + wide);
        let (text, size, about) = (name.to_owned(), Size::Small, About::Picture);
        plan.labels.push(Label { text, rect, size, bold: false, upright: true, about });
    };
    side("thalamus", down.thalamus.0, down.thalamus.1);
    if !sketch.areas.is_empty() && !sketch.collapsed {
        side("cortex", down.levels[0].top, bottom);
    }
    for (band, level) in down.levels.iter().enumerate().filter(|(_, l)| l.shown) {
        let name = if sketch.collapsed && band == OTHER { "areas" } else { BANDS[band] };
        let wide = super::columns::small(name);
        let y = f64::midpoint(level.top, level.bottom) - 6.0;
        text(&mut plan, name, MARGIN - 8.0 - wide, y, Size::Small, false, About::Picture);
        if band >= CORE {
            plan.bands.push(Band { band, rect: Rect::new(MARGIN, level.top, right, level.bottom) });
        }
    }
    plan
}

/// Body, dendrites and name of a node.
fn body(plan: &mut Plan, sketch: &Sketch, across: &Across, down: &Down, number: usize) {
    let node = &sketch.nodes[number];
    let (x, column) = (across.x[number], &across.columns[number]);
    let level = &down.levels[node.band];
    let about = About::Node(number);
    if matches!(node.shape, Shape::Relay(_) | Shape::Areas) {
        let (top, bottom) = (level.body, level.body + level.boxes);
        let body = Rect::new(
            x - column.half - copies(node, -1.0),
            top - copies(node, 1.0).max(copies(node, -1.0)),
            x + column.half + copies(node, 1.0),
            bottom,
        );
        let mut dendrites = Vec::new();
        for port in &column.ports {
            let compartment = sketch.links[port.link].compartment;
            if compartment != Compartment::Basal && node.shape != Shape::Areas {
                let tip = x + port.dx;
                dendrites.push((compartment, Rect::new(tip - 5.0, top - 9.0, tip + 5.0, top)));
            }
        }
        if !dendrites.is_empty() {
            dendrites
                .push((Compartment::Basal, Rect::new(x - column.half, top - 1.0, x + column.half, bottom)));
        }
        let first = top + 5.0 + (level.boxes - 10.0 - LINE * (1 + node.lines.len()) as f64) / 2.0;
        let mut line = |words_: &str, n: usize, bold: bool| {
            let wide = words::width(words_, 11.0, bold);
            text(plan, words_, x - wide / 2.0, first + LINE * n as f64, Size::Small, bold, about);
        };
        line(&node.name, 0, true);
        for (n, words_) in node.lines.iter().enumerate() {
            line(words_, n + 1, false);
        }
        if let Some(words_) = node.input.as_deref().or(node.output) {
            let wide = super::columns::small(words_);
            text(plan, words_, x - wide / 2.0, bottom + GATEWAY - 14.0, Size::Small, false, about);
        }
        plan.nodes.push(Placed { node: node.clone(), centre: x, body, dendrites });
        return;
    }
    let (top, base) = (level.body, level.body + SOMA);
    let raised = copies(node, 1.0).max(copies(node, -1.0));
    let body = Rect::new(x - BODY - copies(node, -1.0), top - raised, x + BODY + copies(node, 1.0), base);
    let mut dendrites = Vec::new();
    let feet = |c: Compartment| {
        let own =
            column.ports.iter().filter(move |p| p.way == Way::Foot && sketch.links[p.link].compartment == c);
        own.map(|p| p.dx).collect::<Vec<f64>>()
    };
    let basal = feet(Compartment::Basal);
    let reach = |sign: f64| basal.iter().map(|dx| dx * sign).fold(BODY + 8.0, f64::max) + BEYOND;
    dendrites
        .push((Compartment::Basal, Rect::new(x - reach(-1.0), base - 2.0, x + reach(1.0), base + ROOTS)));
    for compartment in [Compartment::Gate, Compartment::Third] {
        for dx in feet(compartment) {
            let rect = Rect::new(x + dx - 4.0, base + ROOTS - 8.0, x + dx + 4.0, base + ROOTS);
            dendrites.push((compartment, rect));
        }
    }
    if node.tuft {
        let tuft = column.ports.iter().filter(|p| p.way == Way::Tuft).map(|p| -p.dx).fold(22.0, f64::max);
        dendrites.push((Compartment::Apical, Rect::new(x - 3.0, down.join, x + 3.0, top)));
        dendrites
            .push((Compartment::Apical, Rect::new(x - tuft - BEYOND, down.join - TUFT, x + 22.0, down.join)));
    }
    // Beside the body, or where that takes too much room over the tuft or the body.
    let high = LINE * (1 + node.lines.len()) as f64;
    let first = match (across.dense.cells, node.tuft) {
        (false, _) => base - WORDS - high,
        (true, true) => down.levels[0].top - 2.0 - high,
        (true, false) => top - COPIES - 3.0 - high,
    };
    let lines = std::iter::once((&node.name, true)).chain(node.lines.iter().map(|l| (l, false)));
    for (n, (words_, bold)) in lines.enumerate() {
        let wide = words::width(words_, 11.0, bold);
        let left = if across.dense.cells { x - wide / 2.0 } else { x + name_offset(node) };
        text(plan, words_, left, first + LINE * n as f64, Size::Small, bold, about);
    }
    plan.nodes.push(Placed { node: node.clone(), centre: x, body, dendrites });
}

struct Placing<'a> {
    sketch: &'a Sketch,
    across: &'a Across,
    down: &'a Down,
    nets: &'a [Net],
    channels: &'a [Channel],
}

impl Placing<'_> {
    fn y(&self, channel: usize, row: usize) -> f64 {
        let top =
            if channel == WHITE_MATTER { self.down.white_matter } else { self.down.levels[channel].channel };
        top + super::down::row(&self.channels[channel], row)
    }

    fn port(&self, link: usize) -> Option<&Port> {
        self.across.columns[self.sketch.links[link].to].ports.iter().find(|p| p.link == link)
    }

    /// The tip of an ending on a foot or a tuft.
    fn tip(&self, plan: &Plan, port: &Port) -> (f64, f64) {
        let to = self.sketch.links[port.link].to;
        let placed = &plan.nodes[to];
        let x = placed.centre + port.dx;
        let compartment = self.sketch.links[port.link].compartment;
        let own: Vec<Rect> =
            placed.dendrites.iter().filter(|(c, _)| *c == compartment).map(|(_, r)| *r).collect();
        let level = &self.down.levels[placed.node.band];
        let y = match (placed.node.shape, port.way) {
            (Shape::Areas, _) => placed.body.bottom,
            (Shape::Relay(_), _) if compartment == Compartment::Basal => level.body,
            (Shape::Relay(_), _) => level.body - 9.0,
            // Branches are straight lines from their root to the far corner of their rectangle.
            (_, Way::Tuft) => {
                own.last().map_or(0.0, |r| along(placed.centre, r.left, x, r.bottom, r.bottom - 16.0))
            }
            (_, _) if compartment == Compartment::Basal => own.first().map_or(0.0, |r| {
                let corner = if port.dx < 0.0 { r.left } else { r.right };
                along(placed.centre + BODY.copysign(port.dx) * 0.8, corner, x, r.top + 2.0, r.bottom)
            }),
            _ => own.iter().find(|r| r.left < x && x < r.right).map_or(0.0, |r| r.bottom),
        };
        (x, y)
    }

    /// Wires, branches and endings of one axon.
    fn axon(&self, plan: &mut Plan, number: usize) {
        let net = &self.nets[number];
        let from = &plan.nodes[net.from];
        let relay = from.node.band >= CORE;
        let top = self.down.levels[from.node.band].body;
        let leaves = match from.node.shape {
            Shape::Relay(_) => top,
            Shape::Pyramid => top + SOMA,
            Shape::Areas => from.body.bottom,
            // Round bodies.
            _ => {
                let dx = net.x - from.centre;
                top + SOMA - BODY + (BODY * BODY - dx * dx).sqrt()
            }
        };
        let tracks: Vec<(usize, &route::Track)> = self
            .channels
            .iter()
            .enumerate()
            .flat_map(|(c, channel)| channel.tracks.iter().map(move |t| (c, t)))
            .filter(|(_, t)| t.net == number)
            .collect();
        let mut stub = at(net.x, leaves);
        for (n, (channel, track)) in tracks.iter().enumerate() {
            let y = self.y(*channel, track.row);
            let (low, high) = (track.low(), track.high());
            let goes_on = !relay && n + 1 < tracks.len();
            // Both ends of the level part bend into what comes to them, unless something branches there.
            let mut level = vec![at(low, y), at(high, y)];
            for pin in &track.pins {
                let (low_end, high_end) = (pin.x == low, pin.x == high);
                let arms = usize::from(!low_end)
                    + usize::from(!high_end)
                    + usize::from(pin.up)
                    + usize::from(pin.down);
                if arms > 2 {
                    plan.branches.push((number, at(pin.x, y)));
                }
                let end = match pin.link {
                    None => stub,
                    Some(link) => self.ending(plan, number, link, y, net.x),
                };
                if !pin.up && !pin.down {
                    continue;
                }
                let corner = arms == 2 && (low_end || high_end);
                match (corner, low_end) {
                    (true, true) => level.insert(0, end),
                    (true, false) => level.push(end),
                    _ => plan.wires.push(Wire { axon: number, points: vec![end, at(pin.x, y)] }),
                }
            }
            if goes_on {
                stub = at(net.x, y);
            }
            plan.wires.push(Wire { axon: number, points: level });
        }
    }

    /// The end of a link whose level part is at height `y`; returns where the axon ends.
    fn ending(&self, plan: &mut Plan, axon: usize, link: usize, y: f64, from: f64) -> super::plan::Point {
        let l = &self.sketch.links[link];
        let Some(port) = self.port(link) else { return at(from, y) };
        let (tip, towards) = if port.way == Way::Trunk {
            let x = plan.nodes[l.to].centre + 3.0 * port.dx;
            (at(x, y), (-port.dx, 0.0))
        } else {
            let (x, tip) = self.tip(plan, port);
            let relay = matches!(plan.nodes[l.to].node.shape, Shape::Relay(_));
            (at(x, tip), (0.0, if relay { 1.0 } else { -1.0 }))
        };
        plan.ends.push(End {
            link,
            to: l.to,
            compartment: l.compartment,
            ending: l.ending,
            axon,
            tip,
            towards,
        });
        tip
    }

    /// Squares of `tonic`, each beside what it ends on.
    fn tonic(&self, plan: &mut Plan) {
        for (number, link) in self.sketch.links.iter().enumerate().filter(|(_, l)| l.from.is_none()) {
            let Some(port) = self.port(number) else { continue };
            let axon = plan.axons.len();
            plan.axons.push(Axon { from: None, learning: link.learning });
            let (x, y) = self.tip(plan, port);
            let down = if matches!(plan.nodes[link.to].node.shape, Shape::Relay(_)) { -1.0 } else { 1.0 };
            let far = y + down * TONIC;
            plan.wires.push(Wire { axon, points: vec![at(x, y), at(x, far)] });
            plan.ends.push(End {
                link: number,
                to: link.to,
                compartment: link.compartment,
                ending: link.ending,
                axon,
                tip: at(x, y),
                towards: (0.0, -down),
            });
            plan.tonic.push(Rect::new(x - SQUARE, far - SQUARE, x + SQUARE, far + SQUARE));
        }
    }

    /// Names of projections, each beside its ending.
    fn link_labels(&self, plan: &mut Plan) {
        for end in plan.ends.clone() {
            let label = &self.sketch.links[end.link].label;
            let Some(port) = self.port(end.link) else { continue };
            let wide = super::columns::small(label);
            let about = About::Link(end.link);
            let placed = &plan.nodes[end.to];
            let column = &self.across.columns[end.to];
            if port.way == Way::Trunk {
                let left = if port.dx < 0.0 { end.tip.x - 6.0 - wide } else { end.tip.x + 6.0 };
                text(plan, label, left, end.tip.y - 14.0, Size::Small, false, about);
                continue;
            }
            let level = &self.down.levels[placed.node.band];
            // Labels of a band stand in one line.
            let near = match (placed.node.shape, port.way) {
                (Shape::Relay(_), _) => level.body - 10.0,
                (Shape::Areas, _) => placed.body.bottom + 2.0,
                (_, Way::Tuft) => self.down.join + 2.0,
                _ => level.body + SOMA + ROOTS + 2.0,
            };
            let relay = matches!(placed.node.shape, Shape::Relay(_));
            let outwards = if port.way == Way::Tuft { 1.0 } else { port.dx.signum() };
            let upright = if port.way == Way::Tuft { self.across.dense.cells } else { column.upright };
            let rect = if upright {
                let by = if plan.axons[end.axon].from.is_none() { 4.5 } else { 3.0 };
                let left = if outwards > 0.0 { end.tip.x + by } else { end.tip.x - by - 11.0 };
                let top = if relay { near - 2.0 - wide } else { near + mark(end.ending) };
                Rect::new(left, top, left + 11.0, top + wide)
            } else {
                // A square is wider than an axon.
                let by = if plan.axons[end.axon].from.is_none() { 7.0 } else { 5.0 };
                let left = if outwards > 0.0 { end.tip.x + by } else { end.tip.x - by - wide };
                let top = if relay { near - 11.0 } else { near + 6.0 };
                Rect::new(left, top, left + wide, top + 11.0)
            };
            plan.labels.push(Label {
                text: label.clone(),
                rect,
                size: Size::Small,
                bold: false,
                upright,
                about,
            });
        }
    }
}

/// The height at `x` on the line from `(x0, y0)` to `(x1, y1)`.
fn along(x0: f64, x1: f64, x: f64, y0: f64, y1: f64) -> f64 {
    y0 + (y1 - y0) * (x - x0) / (x1 - x0)
}
