//! Which few cells and tokens of a run are worth a line.

use pulvinar::attention::Streams;
use pulvinar::circuit::{Circuit, Kind, Output, PopulationId};
use pulvinar::simulate::cells::{Settings, Sketch, presentations};
use pulvinar::spec::{ActivationSpec, LayoutSpec, MaskSpec, RecordSpec, Variable};

/// Areas that get panels of their own, and panels in all.
const AREAS: usize = 4;
const PANELS: usize = 12;
/// Panels that one column holds where areas stand side by side, and one or two areas get.
const ROWS: usize = 3;
const FEW: usize = 6;
/// Tokens (or pairs of tokens), and cells of each, that get a line; or so many of the one where there is one of the other.
pub(super) const TOKENS: usize = 3;
pub(super) const CELLS: usize = 2;
pub(super) const LINES: usize = 6;
/// Output numbers that the distance to the algebra is taken over: tokens and cells.
const WATCHED: (usize, usize) = (16, 16);
/// Tokens in time: where more are shown than the first number, rates are drawn of as many as the second.
const CROWD: usize = 12;
const WINDOW: usize = 8;

/// What has to be recorded for a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// one for each panel, then the output relays
    pub record: Vec<Sketch>,
    /// column and row of each panel
    pub(super) places: Vec<[usize; 2]>,
    pub(super) columns: usize,
    /// populations (or recorded traces) that are not shown
    pub(super) left_out: usize,
    /// rates are drawn of this part of the run
    pub(super) shown_ms: [f64; 2],
    /// of how many tokens in time, if not of all
    pub(super) crowd: Option<[usize; 2]>,
}

/// Which cells to record for a picture: those that the user records, else the first of each area.
#[must_use]
pub fn plan(circuit: &Circuit, settings: &Settings, streams: &Streams) -> Plan {
    let mut plan = Plan {
        record: Vec::new(),
        places: Vec::new(),
        columns: 0,
        left_out: 0,
        shown_ms: [0.0, f64::INFINITY],
        crowd: None,
    };
    plan.window(circuit, settings, streams);
    let asked = asked(circuit, &settings.record);
    if asked.is_empty() {
        plan.areas(circuit);
    } else {
        plan.left_out = asked.len().saturating_sub(PANELS);
        let shown = asked.len().min(PANELS);
        plan.grid(shown);
        for of in asked.into_iter().take(shown) {
            plan.panel(of, circuit);
        }
    }
    for population in outputs(circuit) {
        let of = rate(circuit, population);
        // The way to the heads is drawn of the whole run, unless tokens crowd.
        let shown_ms = plan.shown_ms;
        plan.record.push(Sketch { of, cells: WATCHED.1, columns: WATCHED.0, last: true, shown_ms });
    }
    plan
}

/// What the user records, each once; the rates of the output have a panel of their own.
fn asked(circuit: &Circuit, record: &[RecordSpec]) -> Vec<RecordSpec> {
    let outputs: Vec<RecordSpec> = outputs(circuit).into_iter().map(|id| rate(circuit, id)).collect();
    let mut asked: Vec<RecordSpec> = Vec::new();
    for spec in record {
        let one = RecordSpec { every: 1, ..spec.clone() };
        if !asked.contains(&one) && !outputs.contains(&one) {
            asked.push(one);
        }
    }
    asked
}

fn rate(circuit: &Circuit, id: PopulationId) -> RecordSpec {
    let population = circuit.population(id).name.clone();
    let variable = Variable::Rate;
    RecordSpec { population, variable, compartment: None, cells: None, query: None, context: None, every: 1 }
}

fn outputs(circuit: &Circuit) -> Vec<PopulationId> {
    match circuit.output {
        Output::Relay(r) => vec![r],
        Output::Signed { plus, minus } => vec![plus, minus],
    }
}

impl Plan {
    /// Of very many tokens in time, a few: those around the first lesion, else the first; under a full mask the last,
    /// whose outputs are read.
    fn window(&mut self, circuit: &Circuit, settings: &Settings, streams: &Streams) {
        let LayoutSpec::Time { duration, gap } = &circuit.layout else { return };
        let (all, period) = (presentations(circuit, streams), duration.ms + gap.ms);
        if all <= CROWD {
            return;
        }
        let begins = settings.lesions.iter().filter_map(|l| l.window().from.or(l.window().until));
        let first = begins.map(|t| t.ms).fold(f64::INFINITY, f64::min);
        let place = |k: usize| pulvinar::linalg::count(k) * period;
        let begin = if first.is_finite() {
            (0..all - WINDOW).rev().find(|k| place(k + 1) <= first).unwrap_or(0)
        } else if circuit.mask == MaskSpec::Full {
            all - WINDOW
        } else {
            0
        };
        self.shown_ms = [place(begin), place(begin + WINDOW)];
        self.crowd = Some([WINDOW, all]);
    }

    /// Panels of the areas, side by side.
    fn areas(&mut self, circuit: &Circuit) {
        let mut areas: Vec<(usize, Vec<PopulationId>)> = Vec::new();
        let mut order = circuit.order.clone();
        // As the file has them, not in the order of evaluation.
        order.sort_unstable();
        for id in order {
            if let Kind::Cells { area } = circuit.population(id).kind {
                match areas.iter_mut().find(|(a, _)| *a == area) {
                    Some((_, own)) => own.push(id),
                    None => areas.push((area, vec![id])),
                }
            }
        }
        let populations: usize = areas.iter().map(|(_, own)| own.len()).sum();
        areas.truncate(AREAS);
        let most = if areas.len() <= 2 { FEW } else { ROWS };
        for (_, own) in &mut areas {
            // Cells that multiply come first: there queries meet keys and values.
            let multiplies =
                |id: &PopulationId| circuit.population(*id).activation == ActivationSpec::Product;
            own.sort_by_key(|id| !multiplies(id));
            own.truncate(most);
            own.sort_unstable();
        }
        self.left_out = populations - areas.iter().map(|(_, own)| own.len()).sum::<usize>();
        if let [(_, only)] = areas.as_slice() {
            self.grid(only.len());
        } else {
            for (_, own) in &areas {
                self.places.extend((0..own.len()).map(|k| [self.columns + k / ROWS, k % ROWS]));
                self.columns += own.len().div_ceil(ROWS);
            }
        }
        for id in areas.iter().flat_map(|(_, own)| own) {
            self.panel(rate(circuit, *id), circuit);
        }
    }

    /// Rows of at most four panels, as equal as can be.
    fn grid(&mut self, panels: usize) {
        self.columns = panels.div_ceil(panels.div_ceil(4).max(1)).max(1);
        self.places = (0..panels).map(|k| [k % self.columns, k / self.columns]).collect();
    }

    fn panel(&mut self, of: RecordSpec, circuit: &Circuit) {
        let one = matches!(circuit.layout, LayoutSpec::Time { .. });
        let listed = of.query.is_some() || of.context.is_some();
        let cells = if one || of.cells.is_some() || listed { LINES } else { CELLS };
        let columns = if listed { LINES } else { TOKENS };
        self.record.push(Sketch { of, cells, columns, last: true, shown_ms: self.shown_ms });
    }

    pub(super) fn rows(&self) -> usize {
        self.places.iter().map(|[_, row]| row + 1).max().unwrap_or(0)
    }
}
