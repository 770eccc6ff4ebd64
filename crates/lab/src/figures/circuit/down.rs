//! Top to bottom: how high each band and each channel is.

use super::columns::{Column, Way};
use super::layout::Across;
use super::model::{CORE, MATRIX, Node, OTHER, Sketch};
use super::route::{Channel, WHITE_MATTER};

/// Height of a cell body, and of the dendrites under it.
pub(super) const SOMA: f64 = 34.0;
pub(super) const ROOTS: f64 = 16.0;
/// Height of a tuft.
pub(super) const TUFT: f64 = 22.0;
/// Of one line of text.
pub(super) const LINE: f64 = 13.0;
/// How far the copies of a stack stand above a body.
pub(super) const COPIES: f64 = 8.0;
/// From the last line of words beside a body to its base.
pub(super) const WORDS: f64 = 2.0;
/// Arrow and word below or above a relay that tokens enter or leave by.
pub(super) const GATEWAY: f64 = 32.0;
/// Above the first band.
const TITLE: f64 = 62.0;
const HEADER: f64 = 24.0;
/// Of a band without cells.
const EMPTY: f64 = 18.0;

/// Places of one band.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Level {
    pub top: f64,
    /// upper edge of bodies
    pub body: f64,
    /// height of the boxes of relays and areas
    pub boxes: f64,
    /// top of the room for tracks
    pub channel: f64,
    pub bottom: f64,
    pub shown: bool,
}

/// Everything about y.
pub(super) struct Down {
    pub levels: [Level; 8],
    /// where tufts branch off their trunks
    pub join: f64,
    pub area_top: f64,
    pub white_matter: f64,
    pub thalamus: (f64, f64),
}

/// Distance of rows in a channel.
fn pitch(channel: &Channel) -> f64 {
    if channel.labels { 17.0 } else { 9.0 }
}

/// Of a row from the top of its channel.
pub(super) fn row(channel: &Channel, row: usize) -> f64 {
    let first = if channel.labels { 17.0 } else { 6.0 };
    first + row as f64 * pitch(channel)
}

fn height(channel: &Channel) -> f64 {
    if channel.rows == 0 { 4.0 } else { row(channel, channel.rows - 1) + 9.0 }
}

/// Between the lowest dendrite and the channel: room for labels.
fn strip(columns: &[&Column]) -> f64 {
    let upright = columns.iter().filter(|c| c.upright).map(|c| c.foot_text).fold(0.0, f64::max);
    let level = if columns.iter().any(|c| c.foot_text > 0.0) { 28.0 } else { 8.0 };
    if upright > 0.0 { (upright + 14.0f64).max(level).ceil() } else { level }
}

pub(super) fn down(sketch: &Sketch, across: &Across, channels: &[Channel]) -> Down {
    let mut levels = [Level::default(); 8];
    let in_band = |band: usize| -> Vec<usize> {
        (0..sketch.nodes.len()).filter(|n| sketch.nodes[*n].band == band).collect()
    };
    let area_top = TITLE;
    let lines =
        |nodes: &mut dyn Iterator<Item = &Node>| nodes.map(|n| 1 + n.lines.len()).max().unwrap_or(0) as f64;
    let above = across.dense.cells && !sketch.collapsed;
    let mut y = TITLE + if sketch.collapsed { 0.0 } else { HEADER };
    if above {
        // Names of cells stand over their tufts.
        y += LINE * lines(&mut sketch.nodes.iter().filter(|n| n.tuft));
    }
    let mut join = y;
    for band in 0..CORE {
        let nodes = in_band(band);
        let columns: Vec<&Column> = nodes.iter().map(|n| &across.columns[*n]).collect();
        let level = &mut levels[band];
        level.shown =
            !sketch.areas.is_empty() && if band == OTHER { !nodes.is_empty() } else { !sketch.collapsed };
        level.top = y;
        if !level.shown {
            level.bottom = y;
            continue;
        }
        if band == 0 && sketch.nodes.iter().any(|n| n.tuft) {
            join = y + 10.0 + TUFT;
            let tufts = across.columns.iter().filter(|c| c.ports.iter().any(|p| p.way == Way::Tuft));
            let text = tufts.map(|c| c.tuft_text).fold(0.0, f64::max);
            let room = if text == 0.0 {
                4.0
            } else if across.dense.cells {
                (text + 14.0).ceil()
            } else {
                26.0
            };
            y = join + room;
        }
        // Words beside a body end above its dendrites.
        let own = nodes.iter().map(|n| &sketch.nodes[*n]);
        let head = if above {
            let names = LINE * lines(&mut own.filter(|n| !n.tuft));
            if names > 0.0 { names + COPIES + 6.0 } else { 0.0 }
        } else {
            LINE * lines(&mut own.into_iter()) - SOMA + WORDS + 2.0
        };
        level.body = y + head.max(12.0);
        if nodes.is_empty() {
            y = y.max(level.top + EMPTY - 4.0);
        } else if sketch.collapsed {
            level.boxes = boxes(sketch, &nodes);
            level.body = y + 10.0;
            y = level.body + level.boxes + strip(&columns);
        } else {
            y = level.body + SOMA + ROOTS + strip(&columns);
        }
        level.channel = y;
        y += height(&channels[band]);
        level.bottom = y;
    }
    let cortex = if sketch.areas.is_empty() { TITLE - 6.0 } else { y };
    let white_matter = cortex + 6.0;
    y = white_matter + height(&channels[WHITE_MATTER]) + 2.0;
    let top = y;
    for band in [CORE, MATRIX] {
        let nodes = in_band(band);
        let columns: Vec<&Column> = nodes.iter().map(|n| &across.columns[*n]).collect();
        let level = &mut levels[band];
        level.shown = true;
        level.top = y;
        if nodes.is_empty() {
            y += EMPTY + 4.0;
        } else {
            let gateway = nodes.iter().any(|n| is_gateway(&sketch.nodes[*n]));
            level.body = y
                + strip(&columns).max(14.0)
                + if columns.iter().any(|c| c.foot_text > 0.0) { 4.0 } else { 0.0 };
            level.boxes = boxes(sketch, &nodes);
            y = level.body + level.boxes + if gateway { GATEWAY } else { 10.0 };
        }
        level.channel = y;
        level.bottom = y;
    }
    Down { levels, join, area_top, white_matter, thalamus: (top, y) }
}

fn boxes(sketch: &Sketch, nodes: &[usize]) -> f64 {
    let lines = nodes.iter().map(|n| 1 + sketch.nodes[*n].lines.len()).max().unwrap_or(1);
    10.0 + LINE * lines as f64
}

pub(super) fn is_gateway(node: &Node) -> bool {
    node.input.is_some() || node.output.is_some()
}
