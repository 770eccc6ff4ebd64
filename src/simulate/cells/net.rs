//! The circuit as flat arrays: populations with their columns, compartments with their inputs, projections.

use super::arrive::{Arrival, Route, room};
use super::columns::Columns;
use super::delay::Ring;
use super::lesion::Lesions;
use super::memory::{Memory, Work};
use super::settings::{Grid, Settings, has_equation, taus_ms};
use super::sweep::{Leak, Output};
use super::underflow::before_quotients;
use crate::attention::Streams;
use crate::circuit::{Circuit, Compartment, IndexRule, Kind, Population, Projection, ProjectionId};
use crate::diag::{Diagnostic, codes};
use crate::memory;
use crate::spec::{Effect, LayoutSpec, MaskSpec};
use std::borrow::Cow;

/// Most numbers that one run may hold (2 GB).
pub const MOST_NUMBERS: usize = 250_000_000;

/// The inputs of one compartment with the same effect, summed.
#[derive(Debug, Default)]
pub struct Input {
    /// what the compartment reads, `[cells, columns]`
    pub now: Vec<f64>,
    /// the part that stands still between events; empty unless there is also one that moves
    pub fixed: Vec<f64>,
    /// incoming projections whose source stands still between events
    pub still: Vec<usize>,
    /// the others
    pub moving: Vec<usize>,
}

/// One compartment of all cells of a population.
#[derive(Debug)]
pub struct Membrane {
    pub which: Compartment,
    pub leak: Leak,
    /// potentials, `[cells, columns]`
    pub v: Vec<f64>,
    pub additive: Input,
    pub divisive: Option<Input>,
    /// of a divisor that belongs to a loop of the population: where it is still silent
    pub silent: Vec<bool>,
    /// of a memory: what its cells read of this compartment
    pub read: Vec<f64>,
}

/// A population at work.
#[derive(Debug)]
pub struct Cells<'a> {
    pub of: &'a Population,
    /// number of cells in a column
    pub n: usize,
    /// columns of its compartments
    pub columns: Columns,
    /// columns of what it sends
    pub sends: Columns,
    /// basal, apical, gate: those that receive something; none of a source
    pub membranes: Vec<Membrane>,
    pub memory: Option<(Memory, Work)>,
}

/// A projection at work.
pub struct Incoming<'a> {
    pub id: ProjectionId,
    /// number of the source in [`Net::cells`]
    pub from: usize,
    pub arrival: Arrival<'a>,
    pub delay: Option<Ring>,
    /// with tokens in time: what a sum over the context has collected so far
    pub sum: Option<Vec<f64>>,
}

/// A circuit at work.
pub struct Net<'a> {
    /// in the order of evaluation
    pub cells: Vec<Cells<'a>>,
    pub incoming: Vec<Incoming<'a>>,
    /// what each population sends, `[cells, columns]`
    pub rates: Vec<Vec<f64>>,
    /// tokens (or lesions) changed: what stood still must be summed again
    pub dirty: bool,
    /// cells that a lesion keeps silent
    pub silenced: Vec<Option<Vec<bool>>>,
    /// steps until an event has reached every cell
    pub reach: usize,
    /// steps since the last event
    pub since: usize,
    /// populations on whose numbers a quotient depends: what is left of them must be small beside what they come to
    pub before: Vec<bool>,
    /// what is left of numbers that come to 0 is 0
    pub flushes: bool,
}

impl<'a> Cells<'a> {
    pub fn output(&self) -> Output<'a> {
        let part = match self.of.kind {
            Kind::Relay { part, .. } => part,
            _ => None,
        };
        Output { activation: self.of.activation, part, limits: self.of.options.limits.as_ref() }
    }
}

/// Lays the circuit out for these tokens.
///
/// # Errors
/// `C006` if it would not fit into memory, `R003` if token counts do not fit.
pub fn net<'a>(
    circuit: &'a Circuit,
    inputs: &Streams,
    settings: &Settings,
    grid: &Grid,
    lesions: &Lesions,
) -> Result<Net<'a>, Diagnostic> {
    let mut place = vec![None; circuit.populations.len()];
    for (i, id) in circuit.order.iter().enumerate() {
        place[id.0] = Some(i);
    }
    let in_time = matches!(circuit.layout, LayoutSpec::Time { .. });
    let mut cells: Vec<Cells<'a>> =
        circuit.order.iter().map(|id| lay_out(circuit, circuit.population(*id), inputs, in_time)).collect();
    let running: Vec<(usize, usize, &Projection, ProjectionId)> = circuit
        .projections
        .iter()
        .enumerate()
        .filter(|(_, p)| p.compartment != Compartment::Third)
        .filter_map(|(k, p)| Some((place[p.from.0]?, place[p.to.0]?, p, ProjectionId(k))))
        .collect();
    let routes: Vec<Route> = running
        .iter()
        .map(|(f, t, p, _)| route(p, &cells[*f], &cells[*t], in_time))
        .collect::<Result<_, _>>()?;
    fits(circuit, &cells, &running, &routes, grid)?;

    let mut incoming = Vec::new();
    let loops = circuit.loop_numbers();
    for ((from, to, p, id), route) in running.into_iter().zip(routes) {
        let (source, target) = (&cells[from], &cells[to]);
        let delay = match p.delay_ms {
            None => None,
            Some(ms) => {
                let steps = grid.steps(ms, &format!("{}.delay", p.path))?;
                Some(Ring::new(steps, source.n * source.sends.count()))
            }
        };
        let sum = (in_time && matches!(p.index, IndexRule::SumContext(_))).then(|| vec![0.0; source.n]);
        let still = delay.is_none() && (sum.is_some() || stands_still(source, in_time));
        let arrival = Arrival::new(
            route,
            Cow::Borrowed(&p.synapses),
            (source.sends, source.n),
            (target.columns, target.n),
        );
        let target = &mut cells[to];
        let membrane = target.membrane(p.compartment, settings, grid);
        let around = p.effect == Effect::Divisive && loops[p.to.0].is_some();
        if around && !still && loops[p.from.0] == loops[p.to.0] {
            // As many as there are columns, below.
            membrane.silent = vec![true];
        }
        let input = match p.effect {
            Effect::Additive => &mut membrane.additive,
            Effect::Divisive => membrane.divisive.get_or_insert_default(),
        };
        if still {
            input.still.push(incoming.len())
        } else {
            input.moving.push(incoming.len())
        }
        incoming.push(Incoming { id, from, arrival, delay, sum });
    }
    for (i, p) in cells.iter_mut().enumerate() {
        p.membranes.sort_by_key(|m| m.which);
        let noisy = (settings.noise_of(p.of) > 0.0 || lesions.is_noisy(i)) && has_equation(p.of);
        let length = p.n * p.columns.count();
        for (k, m) in p.membranes.iter_mut().enumerate() {
            m.v = vec![0.0; length];
            m.silent = vec![true; if m.silent.is_empty() { 0 } else { length }];
            m.read = if p.memory.is_some() { vec![0.0; length] } else { Vec::new() };
            let noisy = noisy && k == 0;
            for input in std::iter::once(&mut m.additive).chain(&mut m.divisive) {
                input.now = vec![0.0; length];
                if !input.still.is_empty() && (!input.moving.is_empty() || noisy) {
                    input.fixed = vec![0.0; length];
                }
            }
        }
    }
    let rates = cells.iter().map(|p| vec![0.0; p.n * p.sends.count()]).collect();
    let reach = reach(&cells, &incoming, &place, circuit);
    let silenced = vec![None; cells.len()];
    let (before, flushes) = (Vec::new(), false);
    let mut net = Net { cells, incoming, rates, silenced, dirty: true, reach, since: 0, before, flushes };
    net.before = before_quotients(circuit, &net);
    Ok(net)
}

/// Between events (new tokens, writes) these send the same.
fn stands_still(source: &Cells<'_>, in_time: bool) -> bool {
    !has_equation(source.of) || in_time && source.memory.is_some()
}

fn lay_out<'a>(circuit: &'a Circuit, p: &'a Population, inputs: &Streams, in_time: bool) -> Cells<'a> {
    let length = |clock: Option<usize>| {
        clock.map_or(1, |c| inputs.get(&circuit.streams[c].name).map_or(1, |x| x.ncols()))
    };
    let columns = match (p.indices.query, p.indices.context) {
        _ if in_time => Columns::Once,
        (false, false) => Columns::Once,
        (true, false) => Columns::Line(length(p.query_clock)),
        (false, true) => Columns::Line(length(p.context_clock)),
        (true, true) => {
            Columns::Pairs { queries: length(p.query_clock), contexts: length(p.context_clock), mask: p.mask }
        }
    };
    let memory = p.accumulate.map(|rule| {
        let work = Work { state: vec![0.0; p.size()], rate: vec![0.0; p.size()] };
        (Memory { rule, activation: p.activation, cells: p.cells, mask: p.mask }, work)
    });
    let sends = match &memory {
        Some((m, _)) if m.mask == MaskSpec::Full => Columns::Once,
        _ => columns,
    };
    Cells { of: p, n: p.size(), columns, sends, membranes: Vec::new(), memory }
}

fn route(p: &Projection, from: &Cells<'_>, to: &Cells<'_>, in_time: bool) -> Result<Route, Diagnostic> {
    let fits = |a: usize, b: usize, route: Route| {
        if a == b {
            return Ok(route);
        }
        let what = format!("`{}` sends {a} tokens, but `{}` has {b}", from.of.name, to.of.name);
        Err(Diagnostic::error(codes::R003, &p.path, what)
            .help("streams that meet in one index need the same number of tokens"))
    };
    if in_time {
        return Ok(Route::Same);
    }
    if let IndexRule::SumContext(mask) = p.index {
        return match (from.sends, to.columns) {
            (Columns::Pairs { queries, .. }, Columns::Line(n)) => fits(queries, n, Route::Sum(mask)),
            (Columns::Line(m), Columns::Line(n)) if mask != MaskSpec::Full => fits(m, n, Route::Sum(mask)),
            _ => Ok(Route::Sum(mask)),
        };
    }
    let query = from.of.sends().query;
    match (from.sends, to.columns) {
        (Columns::Once, Columns::Once) => Ok(Route::Same),
        (Columns::Once, _) => Ok(Route::Once),
        (Columns::Line(m), Columns::Line(n)) => fits(m, n, Route::Same),
        (Columns::Line(m), Columns::Pairs { queries, .. }) if query => fits(m, queries, Route::Query),
        (Columns::Line(m), Columns::Pairs { contexts, .. }) => fits(m, contexts, Route::Context),
        (Columns::Pairs { queries: m, mask: a, .. }, Columns::Pairs { queries: n, mask: b, .. }) => {
            fits(m, n, if a == b { Route::Same } else { Route::Narrow })
        }
        // Wiring lets no projection lose an index without a sum.
        (_, Columns::Once) | (Columns::Pairs { .. }, Columns::Line(_)) => fits(1, 0, Route::Same),
    }
}

/// Refuses before anything large is allocated.
fn fits(
    circuit: &Circuit,
    cells: &[Cells<'_>],
    running: &[(usize, usize, &Projection, ProjectionId)],
    routes: &[Route],
    grid: &Grid,
) -> Result<(), Diagnostic> {
    let mut numbers = 0usize;
    let mut largest = (0, 0);
    for (i, p) in cells.iter().enumerate() {
        let inputs = running.iter().filter(|(_, to, ..)| *to == i).count();
        // Potential and input of at most three compartments, twice where something stands still, and the rates.
        let arrays = 1 + (3 * inputs).min(9);
        let own = p.n.saturating_mul(p.columns.count().max(p.sends.count())).saturating_mul(arrays);
        numbers = numbers.saturating_add(own);
        largest = largest.max((own, i));
    }
    for ((from, to, p, _), route) in running.iter().zip(routes) {
        let (source, target) = (&cells[*from], &cells[*to]);
        let mut own = room(*route, source.sends, target.columns, source.n, target.n);
        if let Some(ms) = p.delay_ms {
            let steps = grid.steps(ms, &format!("{}.delay", p.path))?;
            own = own.saturating_add(steps.saturating_mul(source.n).saturating_mul(source.sends.count()));
        }
        numbers = numbers.saturating_add(own);
        largest = largest.max((own, *to));
    }
    let p = cells[largest.1].of;
    if numbers <= MOST_NUMBERS {
        return memory::check(codes::C080, &p.path, "the state of the cells", memory::bytes(numbers, 8));
    }
    let what = format!(
        "a run of `{}` would hold about {numbers} numbers, the most is {MOST_NUMBERS}; `{}` and its inputs need most",
        circuit.name, p.name
    );
    Err(Diagnostic::error(codes::C006, &p.path, what)
        .help("use fewer tokens or cells, or a key-value memory instead of columns for token pairs; nothing was allocated"))
}

/// Steps that a signal needs for the longest way through: one for each leaky population, and the delays.
fn reach(
    cells: &[Cells<'_>],
    incoming: &[Incoming<'_>],
    place: &[Option<usize>],
    circuit: &Circuit,
) -> usize {
    let mut steps = vec![0; cells.len()];
    for i in 0..cells.len() {
        let leaky = cells[i].membranes.iter().any(|m| !m.leak.prospective);
        let before = incoming
            .iter()
            .filter(|q| !circuit.recurrent.contains(&q.id) && place[circuit.projection(q.id).to.0] == Some(i))
            .map(|q| steps[q.from] + q.delay.as_ref().map_or(0, Ring::steps))
            .max();
        steps[i] = before.unwrap_or(0) + usize::from(leaky);
    }
    steps.into_iter().max().unwrap_or(0)
}

impl Net<'_> {
    /// Zeroes the rates of silenced cells of population `i`, in all columns.
    pub fn silence(&self, i: usize, rates: &mut [f64]) {
        if let Some(silenced) = &self.silenced[i] {
            for column in rates.chunks_exact_mut(silenced.len()) {
                column.iter_mut().zip(silenced).filter(|(_, s)| **s).for_each(|(r, _)| *r = 0.0);
            }
        }
    }
}

impl Cells<'_> {
    /// A compartment, made when the first projection ends on it.
    fn membrane(&mut self, which: Compartment, settings: &Settings, grid: &Grid) -> &mut Membrane {
        let at = self.membranes.iter().position(|m| m.which == which).unwrap_or_else(|| {
            let [basal, apical] = taus_ms(self.of);
            let tau_ms = if which == Compartment::Apical { apical } else { basal };
            let fraction = grid.fraction(tau_ms);
            // Closer than this a potential cannot come: its steps would be below its rounding.
            let tolerance = settings.tolerance.max((f64::EPSILON / fraction).min(1e-6));
            let prospective = settings.is_prospective(self.of);
            self.membranes.push(Membrane {
                which,
                leak: Leak { fraction, prospective, waits: false, tolerance },
                v: Vec::new(),
                additive: Input::default(),
                divisive: None,
                silent: Vec::new(),
                read: Vec::new(),
            });
            self.membranes.len() - 1
        });
        &mut self.membranes[at]
    }
}
