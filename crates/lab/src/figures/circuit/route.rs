//! Which axon runs in which track.
//!
//! All projections of a node are branches of one axon (those into `third` of a second one). It leaves the body
//! downwards, runs level in the channel under a band, and its branches go up or down in the columns of their targets.
//! Under each band is a channel, and one between cortex and thalamus. Level parts that overlap have tracks of their own;
//! the order of tracks is the one with the fewest crossings that exchanging one track at a time finds.

use super::columns::{GRID, Way};
use super::layout::Across;
use super::model::{CORE, Sketch};

/// The channel between cortex and thalamus; others have the number of the band above them.
pub(super) const WHITE_MATTER: usize = CORE;
/// Room between axons in one row.
const GAP: f64 = 8.0;
/// Rounds of the search for few crossings.
const ROUNDS: usize = 20;

/// One axon and what it ends on.
pub(super) struct Net {
    pub from: usize,
    pub learning: bool,
    pub links: Vec<usize>,
    /// where it leaves the node
    pub x: f64,
}

/// Where something meets a level part of an axon.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pin {
    pub x: f64,
    pub up: bool,
    pub down: bool,
    /// none: the node that the axon comes from
    pub link: Option<usize>,
}

/// A level part of an axon.
pub(super) struct Track {
    pub net: usize,
    pub pins: Vec<Pin>,
    pub row: usize,
}

impl Track {
    pub fn low(&self) -> f64 {
        self.pins.iter().map(|p| p.x).fold(f64::INFINITY, f64::min)
    }

    pub fn high(&self) -> f64 {
        self.pins.iter().map(|p| p.x).fold(f64::NEG_INFINITY, f64::max)
    }
}

/// Level parts under one band.
#[derive(Default)]
pub(super) struct Channel {
    pub tracks: Vec<Track>,
    pub rows: usize,
    /// labels stand above its axons
    pub labels: bool,
}

/// Axons, in order of their nodes.
pub(super) fn nets(sketch: &Sketch, across: &Across) -> Vec<Net> {
    let mut nets: Vec<Net> = Vec::new();
    for learning in [false, true] {
        for from in 0..sketch.nodes.len() {
            let is_own =
                |l: &usize| sketch.links[*l].from == Some(from) && sketch.links[*l].learning == learning;
            let links: Vec<usize> = (0..sketch.links.len()).filter(is_own).collect();
            if !links.is_empty() {
                let x = across.x[from] + if learning { GRID } else { 0.0 };
                nets.push(Net { from, learning, links, x });
            }
        }
    }
    nets
}

/// Tracks of all channels.
pub(super) fn channels(sketch: &Sketch, across: &Across, nets: &[Net]) -> Vec<Channel> {
    let mut channels: Vec<Channel> = (0..=WHITE_MATTER).map(|_| Channel::default()).collect();
    for (number, net) in nets.iter().enumerate() {
        let mut pins: Vec<Vec<Pin>> = vec![Vec::new(); WHITE_MATTER + 1];
        for &link in &net.links {
            let (channel, pin, side) = pin(sketch, across, net, link);
            channels[channel].labels |= side;
            pins[channel].push(pin);
        }
        let relay = sketch.nodes[net.from].band >= CORE;
        let lowest = pins.iter().rposition(|p| !p.is_empty()).unwrap_or(WHITE_MATTER);
        for (channel, mut pins) in pins.into_iter().enumerate() {
            if pins.is_empty() {
                continue;
            }
            pins.push(Pin { x: net.x, up: !relay, down: relay || channel < lowest, link: None });
            pins.sort_by(|a, b| a.x.total_cmp(&b.x));
            channels[channel].tracks.push(Track { net: number, pins, row: 0 });
        }
    }
    channels.iter_mut().for_each(order);
    channels
}

/// The channel of a link, where it leaves the level part, and whether it ends right there, on a trunk.
fn pin(sketch: &Sketch, across: &Across, net: &Net, link: usize) -> (usize, Pin, bool) {
    let to = sketch.links[link].to;
    let (source, target) = (sketch.nodes[net.from].band, sketch.nodes[to].band);
    let port = across.columns[to].ports.iter().find(|p| p.link == link);
    let (way, dx) = port.map_or((Way::Foot, 0.0), |p| (p.way, p.dx));
    let x = across.x[to] + if way == Way::Trunk { 3.0 * dx } else { dx };
    if way == Way::Trunk {
        return (source, Pin { x, up: false, down: false, link: Some(link) }, true);
    }
    let channel = source.max(target).min(WHITE_MATTER);
    let down = target >= CORE;
    (channel, Pin { x, up: !down, down, link: Some(link) }, false)
}

/// Orders the tracks of a channel and gives them rows.
fn order(channel: &mut Channel) {
    let n = channel.tracks.len();
    let cost: Vec<Vec<usize>> =
        (0..n).map(|a| (0..n).map(|b| crossings(&channel.tracks[a], &channel.tracks[b])).collect()).collect();
    let middle = |t: usize| channel.tracks[t].low() + channel.tracks[t].high();
    let mut by_middle: Vec<usize> = (0..n).collect();
    by_middle.sort_by(|a, b| middle(*a).total_cmp(&middle(*b)).then(a.cmp(b)));
    let backwards: Vec<usize> = by_middle.iter().rev().copied().collect();
    // Every second one first: chains of neighbours need few rows that way.
    let (even, odd): (Vec<_>, Vec<_>) = by_middle.iter().enumerate().partition(|(k, _)| k % 2 == 0);
    let alternating: Vec<usize> = even.into_iter().chain(odd).map(|(_, t)| *t).collect();
    let mut best: Option<(usize, usize, Vec<usize>)> = None;
    for mut sequence in [by_middle, backwards, alternating] {
        for _ in 0..ROUNDS {
            if !improved(&mut sequence, &cost) {
                break;
            }
        }
        let total = (0..n)
            .flat_map(|a| (0..a).map(move |b| (a, b)))
            .map(|(a, b)| cost[sequence[b]][sequence[a]])
            .sum();
        let rows = rows(&channel.tracks, &sequence);
        let height = rows.iter().max().map_or(0, |r| r + 1);
        if best.as_ref().is_none_or(|(t, h, _)| (total, height) < (*t, *h)) {
            best = Some((total, height, rows));
        }
    }
    if let Some((_, height, rows)) = best {
        channel.rows = height;
        channel.tracks.iter_mut().zip(rows).for_each(|(track, row)| track.row = row);
    }
}

/// The row of each track: below all that come before it in the sequence and share some of its width.
fn rows(tracks: &[Track], sequence: &[usize]) -> Vec<usize> {
    let mut rows = vec![0; tracks.len()];
    for (k, &t) in sequence.iter().enumerate() {
        let (low, high) = (tracks[t].low(), tracks[t].high());
        let beside =
            sequence[..k].iter().filter(|b| tracks[**b].low() < high + GAP && low < tracks[**b].high() + GAP);
        rows[t] = beside.map(|b| rows[*b] + 1).max().unwrap_or(0);
    }
    rows
}

/// Moves each track to its best place; says whether that helped.
fn improved(sequence: &mut Vec<usize>, cost: &[Vec<usize>]) -> bool {
    let mut better = false;
    for (track, own) in cost.iter().enumerate() {
        let from = sequence.iter().position(|t| *t == track).unwrap_or(0);
        sequence.remove(from);
        // Crossings of the track when it stands first; each place further down changes one pair.
        let mut here: isize = sequence.iter().map(|t| own[*t].cast_signed()).sum();
        let mut costs = vec![here];
        for t in &*sequence {
            here += cost[*t][track].cast_signed() - own[*t].cast_signed();
            costs.push(here);
        }
        let least = costs.iter().copied().min().unwrap_or(0);
        let to =
            if costs[from] == least { from } else { costs.iter().position(|c| *c == least).unwrap_or(from) };
        better |= to != from;
        sequence.insert(to, track);
    }
    better
}

/// Crossings of two tracks if the first is above the second.
fn crossings(above: &Track, below: &Track) -> usize {
    let within = |t: &Track, x: f64| t.low() < x && x < t.high();
    above.pins.iter().filter(|p| p.down && within(below, p.x)).count()
        + below.pins.iter().filter(|p| p.up && within(above, p.x)).count()
}
