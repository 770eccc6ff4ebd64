//! The legend: what the signs of this drawing mean, and no others.

use super::columns::small;
use super::model::{Ending, Shape, Sketch};
use super::plan::{About, Label, Plan, Rect, Size};
use pulvinar::circuit::Compartment;
use pulvinar::spec::{Part, Pathway};

/// A sign and its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    Pyramid,
    Interneuron,
    Stellate,
    Cell,
    Product,
    Memory,
    Query,
    Context,
    Plus,
    Minus,
    Alike,
    Excitatory,
    Inhibitory,
    Signed,
    Divisive,
    Learning,
    Gate,
    Third,
    Tonic,
    Sum,
    Plastic,
    Axons,
}

impl Entry {
    /// In the order of the legend.
    const ALL: [Self; 22] = [
        Self::Pyramid,
        Self::Interneuron,
        Self::Stellate,
        Self::Cell,
        Self::Product,
        Self::Memory,
        Self::Query,
        Self::Context,
        Self::Plus,
        Self::Minus,
        Self::Alike,
        Self::Excitatory,
        Self::Inhibitory,
        Self::Signed,
        Self::Divisive,
        Self::Gate,
        Self::Third,
        Self::Learning,
        Self::Tonic,
        Self::Axons,
        Self::Sum,
        Self::Plastic,
    ];

    fn words(self) -> &'static str {
        match self {
            Self::Pyramid => "pyramids (apical above, basal below)",
            Self::Interneuron => "interneurons",
            Self::Stellate => "stellate cells",
            Self::Cell => "cells of no stated type",
            Self::Product => "rate = basal \u{d7} apical input",
            Self::Memory => "memory: adds up over tokens j",
            Self::Query => "one copy for each query token i",
            Self::Context => "one copy for each context token j",
            Self::Plus => "sends the positive part",
            Self::Minus => "sends the negative part",
            Self::Alike => "areas alike, drawn once",
            Self::Excitatory => "excitatory",
            Self::Inhibitory => "inhibitory",
            Self::Signed => "weights of both signs",
            Self::Divisive => "divisive",
            Self::Learning => "for learning only",
            Self::Gate => "gate of a memory",
            Self::Third => "third factor of plasticity",
            Self::Tonic => "constant input (bias)",
            Self::Sum => "sum over context tokens j",
            Self::Plastic => "plastic",
            Self::Axons => "branching (no dot: crossing)",
        }
    }

    /// Some are words of the labels.
    fn sample(self) -> Option<&'static str> {
        match self {
            Self::Sum => Some("\u{3a3}j"),
            Self::Plastic => Some("*"),
            _ => None,
        }
    }

    fn is_used(self, plan: &Plan, sketch: &Sketch) -> bool {
        let node = |holds: &dyn Fn(&super::model::Node) -> bool| sketch.nodes.iter().any(holds);
        let ends = |ending: Ending| plan.ends.iter().any(|e| e.ending == ending);
        let onto = |c: Compartment| plan.ends.iter().any(|e| e.compartment == c);
        let said = |what: &dyn Fn(&str) -> bool| sketch.links.iter().any(|l| what(&l.label));
        match self {
            Self::Pyramid => node(&|n| n.shape == Shape::Pyramid),
            Self::Interneuron => node(&|n| n.shape == Shape::Interneuron),
            Self::Stellate => node(&|n| n.shape == Shape::Stellate),
            Self::Cell => node(&|n| n.shape == Shape::Cell),
            Self::Product => node(&|n| n.product),
            Self::Memory => node(&|n| n.memory),
            Self::Query => node(&|n| n.indices.query),
            Self::Context => node(&|n| n.indices.context),
            Self::Plus => node(&|n| n.part == Some(Part::Plus)),
            Self::Minus => node(&|n| n.part == Some(Part::Minus)),
            Self::Alike => !sketch.collapsed && sketch.areas.iter().any(|a| a.count > 1),
            Self::Excitatory => ends(Ending::Excitatory),
            Self::Inhibitory => ends(Ending::Inhibitory),
            Self::Signed => ends(Ending::Signed),
            Self::Divisive => ends(Ending::Divisive),
            Self::Learning => plan.axons.iter().any(|a| a.learning),
            Self::Gate => onto(Compartment::Gate),
            Self::Third => onto(Compartment::Third),
            Self::Tonic => !plan.tonic.is_empty(),
            Self::Sum => said(&|l| l.starts_with("\u{3a3}j ")),
            Self::Plastic => said(&|l| l.contains('*')),
            Self::Axons => !plan.branches.is_empty(),
        }
    }
}

/// Room of a sample, and of a line.
const SAMPLE: f64 = 30.0;
const HIGH: f64 = 24.0;
/// The narrowest drawing.
const NARROW: f64 = 550.0;

/// Puts the legend under the drawing, in lines as wide as that is.
pub(super) fn add(plan: &mut Plan, sketch: &Sketch) {
    let titles = plan.labels.iter().map(|l| l.rect.right + 16.0);
    plan.width = titles.fold(plan.width.max(NARROW), f64::max).ceil();
    let used: Vec<Entry> = Entry::ALL.into_iter().filter(|e| e.is_used(plan, sketch)).collect();
    let (rows, lefts) = columns(&used, plan.width - 32.0);
    let top = plan.height;
    for (n, entry) in used.iter().enumerate() {
        let x = 16.0 + lefts[n / rows];
        let y = top + (n % rows) as f64 * HIGH;
        plan.legend.push((*entry, Rect::new(x, y, x + SAMPLE, y + HIGH)));
        let mut word = |text: &str, left: f64| {
            let rect = Rect::new(left, y + 6.0, left + small(text), y + 17.0);
            plan.labels.push(Label {
                text: text.to_owned(),
                rect,
                size: Size::Small,
                bold: false,
                upright: false,
                about: About::Picture,
            });
        };
        if let Some(sample) = entry.sample() {
            word(sample, x + (SAMPLE - small(sample)) / 2.0);
        }
        word(entry.words(), x + SAMPLE + 8.0);
    }
    plan.height = (top + rows as f64 * HIGH + 12.0).ceil();
}

/// Number of lines, and where each column begins: as many columns as fit.
fn columns(used: &[Entry], room: f64) -> (usize, Vec<f64>) {
    let width = |e: &Entry| small(e.words()) + SAMPLE + 8.0;
    for rows in 1..used.len() {
        let mut lefts = vec![0.0];
        for column in used.chunks(rows) {
            let widest = column.iter().map(width).fold(0.0, f64::max);
            lefts.push(lefts[lefts.len() - 1] + widest + 20.0);
        }
        if lefts[lefts.len() - 1] - 20.0 <= room {
            return (rows, lefts);
        }
    }
    (used.len().max(1), vec![0.0])
}

/// The body that stands for a kind of cells.
pub(super) fn shape(entry: Entry) -> Option<Shape> {
    match entry {
        Entry::Pyramid | Entry::Product | Entry::Memory => Some(Shape::Pyramid),
        Entry::Interneuron => Some(Shape::Interneuron),
        Entry::Stellate => Some(Shape::Stellate),
        Entry::Cell => Some(Shape::Cell),
        Entry::Plus | Entry::Minus => Some(Shape::Relay(Pathway::Core)),
        _ => None,
    }
}
