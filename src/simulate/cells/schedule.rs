//! Tokens one after another: when they come, when memories are written, when the output is read.
//!
//! There is one column of every population. Token i begins at `i (duration + gap)`. Query relays hold it to the end of
//! its gap, context relays to its offset, after which they are silent. Every memory takes one write per token, from
//! what its compartments hold at that moment; between writes it does not change. A sum over the context becomes a
//! running sum that is written like a memory. With B blocks of memories, one behind the other:
//!
//! | mask | block b writes token j | output i is read |
//! |---|---|---|
//! | causal | at its onset + b/B x duration | at the end of its gap |
//! | strict | at its offset | at its offset, before the writes |
//! | full | at its offset, in pass b of B + 1 passes | at the end of its gap in the last pass |

use super::memory::Read;
use super::net::{Cells, Membrane, Net};
use super::run::{longest, output_relays, time};
use super::settings::Grid;
use super::step::{Wild, reads};
use super::sweep::{activate, finish};
use crate::attention::Streams;
use crate::circuit::{Circuit, Compartment, IndexRule, Kind};
use crate::diag::{Diagnostic, codes};
use crate::spec::{LayoutSpec, MaskSpec};
use nalgebra::DMatrix;

/// The schedule of a run, in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub mask: MaskSpec,
    /// from onset to offset
    pub duration: usize,
    pub gap: usize,
    /// tokens of the longest stream
    pub tokens: usize,
    /// presentations of the whole sequence
    pub passes: usize,
    /// memories one behind the other
    pub blocks: usize,
}

/// What happens at the end of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// memories of this block are written with this token
    Write { block: usize, token: usize },
    /// all memories are
    WriteAll { token: usize },
    /// the output of this token is read
    Sample { token: usize },
}

impl Schedule {
    /// The schedule of a circuit with tokens in time; none with tokens in space.
    ///
    /// # Errors
    /// `C050` for durations that hold no whole number of steps, or too few of them.
    pub fn new(circuit: &Circuit, grid: &Grid, tokens: usize) -> Result<Option<Self>, Diagnostic> {
        let LayoutSpec::Time { duration, gap } = &circuit.layout else { return Ok(None) };
        let (_, blocks) = depths(circuit);
        let whole = |ms: f64, key: &str| {
            let path = format!("tokens.layout.time.{key}");
            let steps = if ms == 0.0 { 0 } else { grid.steps(ms, &path)? };
            if (time(steps, grid.dt_ms) - ms).abs() > 1e-6 * grid.dt_ms {
                let what = format!("`{key}` is {ms} ms, no whole number of steps of {} ms", grid.dt_ms);
                return Err(
                    Diagnostic::error(codes::C050, path, what).help("change it, or `simulation: {dt: ...}`")
                );
            }
            Ok(steps)
        };
        let (duration, gap) = (whole(duration.ms, "duration")?, whole(gap.ms, "gap")?);
        let mask = mask(circuit);
        if duration < blocks.max(1) {
            let what = format!("a token lasts {duration} steps, but {blocks} blocks write one after another");
            return Err(Diagnostic::error(codes::C050, "tokens.layout.time.duration", what)
                .help("present tokens longer, or choose a shorter `dt`"));
        }
        if mask == MaskSpec::Causal && gap == 0 {
            return Err(Diagnostic::error(
                codes::C050,
                "tokens.layout.time.gap",
                "a causal output reads its own token from memory after the last write, and there is no gap to do it in",
            )
            .help("leave a gap of at least one step, better of several time constants"));
        }
        let passes = if mask == MaskSpec::Full { blocks + 1 } else { 1 };
        let schedule = Self { mask, duration, gap, tokens, passes, blocks };
        let steps = (duration + gap).saturating_mul(tokens).saturating_mul(passes);
        grid.steps(time(steps, grid.dt_ms), "tokens.layout.time")?;
        Ok(Some(schedule))
    }

    /// Steps from one onset to the next.
    pub fn period(&self) -> usize {
        self.duration + self.gap
    }

    /// Steps of the whole run.
    pub fn steps(&self) -> usize {
        self.period() * self.tokens * self.passes
    }

    /// Steps at which tokens begin, all passes.
    pub fn onsets(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.passes * self.tokens).map(|k| k * self.period())
    }

    /// Steps after which the output of each token is read.
    pub fn reads(&self) -> impl Iterator<Item = usize> + '_ {
        let inside = if self.mask == MaskSpec::Strict { self.duration } else { self.period() };
        let first = (self.passes - 1) * self.tokens;
        (first..first + self.tokens).map(move |k| k * self.period() + inside)
    }

    /// Token at a step, and the step within it.
    fn place(&self, step: usize) -> (usize, usize, usize) {
        let (number, inside) = (step / self.period(), step % self.period());
        (number / self.tokens, number % self.tokens, inside)
    }

    /// What happens when `done` steps are over, in order.
    pub fn events(&self, done: usize) -> impl Iterator<Item = Event> {
        let (pass, token, inside) = self.place(done - 1);
        let inside = inside + 1;
        let (offset, end) = (inside == self.duration, inside == self.period());
        let last = pass + 1 == self.passes;
        let mut events = [None; 3];
        // Tokens in time have no windows.
        match self.mask.whole() {
            MaskSpec::Causal => {
                let block = (1..=self.blocks).find(|b| {
                    // rounded to the nearest step
                    (2 * b * self.duration + self.blocks) / (2 * self.blocks) == inside
                });
                events[0] = block.map(|block| Event::Write { block, token });
                events[1] = end.then_some(Event::Sample { token });
            }
            MaskSpec::Strict if offset => {
                events = [Some(Event::Sample { token }), Some(Event::WriteAll { token }), None];
            }
            MaskSpec::Strict => {}
            _ => {
                events[0] = (offset && !last).then_some(Event::Write { block: pass + 1, token });
                events[1] = (end && last).then_some(Event::Sample { token });
            }
        }
        events.into_iter().flatten()
    }
}

/// Of tokens in time: how often one is presented in a run over `inputs`, all passes.
#[must_use]
pub fn presentations(circuit: &Circuit, inputs: &Streams) -> usize {
    let tokens = longest(circuit, inputs);
    if mask(circuit) == MaskSpec::Full { (depths(circuit).1 + 1) * tokens } else { tokens }
}

/// The one mask of a circuit with tokens in time (wiring refuses several).
fn mask(circuit: &Circuit) -> MaskSpec {
    let memories = circuit.order.iter().map(|id| circuit.population(*id)).filter(|p| p.accumulate.is_some());
    let sums = circuit.projections.iter().filter_map(|p| match p.index {
        IndexRule::SumContext(mask) => Some(mask),
        _ => None,
    });
    memories.map(|p| p.mask).chain(sums).next().unwrap_or(circuit.mask)
}

/// Sets the relays for a step, if tokens come or go in it.
pub fn present(schedule: &Schedule, step: usize, circuit: &Circuit, inputs: &Streams, net: &mut Net<'_>) {
    let (_, _, inside) = schedule.place(step);
    if inside == 0 || inside == schedule.duration {
        show(schedule, step, circuit, inputs, net);
    }
}

/// Sets the relays to what they hold in a step.
pub fn show(schedule: &Schedule, step: usize, circuit: &Circuit, inputs: &Streams, net: &mut Net<'_>) {
    let (_, token, inside) = schedule.place(step);
    for (p, rates) in net.cells.iter().zip(&mut net.rates) {
        match p.of.kind {
            Kind::Tonic => rates.fill(1.0),
            Kind::Relay { stream: Some(s), .. } => {
                let tokens = inputs.get(&circuit.streams[s].name).filter(|x| token < x.ncols());
                let shows = inside < schedule.duration || p.of.indices.query;
                match tokens.filter(|_| shows) {
                    Some(x) => rates.copy_from_slice(x.column(token).as_slice()),
                    None => rates.fill(0.0),
                }
                finish(p.output(), rates, &mut false);
            }
            _ => {}
        }
    }
    for i in 0..net.cells.len() {
        if net.cells[i].membranes.is_empty() {
            let mut rates = std::mem::take(&mut net.rates[i]);
            net.silence(i, &mut rates);
            net.rates[i] = rates;
        }
    }
    net.dirty = true;
}

/// Room for the writes and samples of a run.
pub struct Room {
    /// what a membrane holds at the end of a step, three for each population
    held: [Vec<f64>; 3],
    rates: Vec<f64>,
    tokens: Vec<Option<usize>>,
    depths: Vec<usize>,
}

/// For each population in order, how many memories (and sums over the context) lie before it; and the most that lie
/// one behind the other: the blocks.
pub fn depths(circuit: &Circuit) -> (Vec<usize>, usize) {
    let mut place = vec![None; circuit.populations.len()];
    let mut depths = Vec::with_capacity(circuit.order.len());
    let mut blocks = 0;
    for (i, id) in circuit.order.iter().enumerate() {
        let mut depth = 0;
        for (_, q) in circuit.inputs_of(*id).filter(|(_, q)| q.compartment != Compartment::Third) {
            // What comes later in the order arrives with a delay, through a loop.
            let Some(from) = place[q.from.0] else { continue };
            let sum = matches!(q.index, IndexRule::SumContext(_));
            let stores = sum || circuit.population(q.from).accumulate.is_some();
            let source: usize = depths[from];
            depth = depth.max(source + usize::from(stores));
        }
        place[id.0] = Some(i);
        depths.push(depth);
        blocks = blocks.max(depth);
    }
    (depths, blocks)
}

impl Room {
    pub fn new(circuit: &Circuit, inputs: &Streams, net: &Net<'_>) -> Self {
        let most = net.cells.iter().map(|p| p.n).max().unwrap_or(0);
        let length = |p: &Cells<'_>| {
            let clock = p.of.context_clock?;
            inputs.get(&circuit.streams[clock].name).map(nalgebra::DMatrix::ncols)
        };
        Self {
            held: [vec![0.0; most], vec![0.0; most], vec![0.0; most]],
            rates: vec![0.0; most],
            tokens: net.cells.iter().map(length).collect(),
            depths: depths(circuit).0,
        }
    }

    /// Is `token` one of those that the population runs over?
    fn has(&self, i: usize, token: usize) -> bool {
        self.tokens[i].is_none_or(|n| token < n)
    }
}

/// Does what an event says; false if a number went wild.
pub fn act(
    event: Event,
    circuit: &Circuit,
    net: &mut Net<'_>,
    room: &mut Room,
    output: &mut DMatrix<f64>,
) -> Result<(), Wild> {
    match event {
        Event::Sample { token } => {
            if token < output.ncols() {
                sample(circuit, net, room, output, token);
            }
            Ok(())
        }
        Event::Write { block, token } => write(net, room, token, Some(block)),
        Event::WriteAll { token } => write(net, room, token, None),
    }
}

/// What a membrane holds when a step is over: a leaky one its potential, a prospective one its input.
fn hold(m: &Membrane, to: &mut [f64]) {
    if !m.leak.prospective {
        to.copy_from_slice(&m.v);
        return;
    }
    to.iter_mut().enumerate().for_each(|(k, x)| *x = m.input(k));
}

/// Rates of a population when a step is over, all its columns; `held` is room for its membranes.
pub fn rates_after(net: &Net<'_>, i: usize, held: &mut [Vec<f64>; 3], rates: &mut [f64]) {
    let (p, n) = (&net.cells[i], rates.len());
    if p.membranes.is_empty() || p.memory.is_some() {
        rates.copy_from_slice(&net.rates[i]);
        return;
    }
    let [basal, apical, _] = held;
    apical[..n].fill(0.0);
    for (m, to) in p.membranes.iter().zip([&mut *basal, &mut *apical]) {
        hold(m, &mut to[..n]);
    }
    activate(p.output(), &basal[..n], &apical[..n], rates, &mut false);
    net.silence(i, rates);
}

fn sample(circuit: &Circuit, net: &Net<'_>, room: &mut Room, output: &mut DMatrix<f64>, token: usize) {
    let mut column = output.column_mut(token);
    column.fill(0.0);
    for (i, sign) in output_relays(circuit) {
        rates_after(net, i, &mut room.held, &mut room.rates[..net.cells[i].n]);
        for (y, r) in column.iter_mut().zip(&room.rates) {
            *y += sign * r;
        }
    }
}

/// Writes a token into the memories and running sums of one block, or of all.
fn write(net: &mut Net<'_>, room: &mut Room, token: usize, block: Option<usize>) -> Result<(), Wild> {
    let due = |depth: usize| block.is_none_or(|b| depth + 1 == b);
    for k in 0..net.incoming.len() {
        let from = net.incoming[k].from;
        if net.incoming[k].sum.is_none() || !due(room.depths[from]) || !room.has(from, token) {
            continue;
        }
        rates_after(net, from, &mut room.held, &mut room.rates[..net.cells[from].n]);
        if let Some(sum) = &mut net.incoming[k].sum {
            sum.iter_mut().zip(&room.rates).for_each(|(s, r)| *s += r);
        }
    }
    for i in 0..net.cells.len() {
        if net.cells[i].memory.is_none() || !due(room.depths[i]) || !room.has(i, token) {
            continue;
        }
        let p = &mut net.cells[i];
        for m in &mut p.membranes {
            let mut read = std::mem::take(&mut m.read);
            hold(m, &mut read);
            m.read = read;
        }
        let output = p.output();
        let read: Read<'_> = reads(&p.membranes);
        let Some((memory, work)) = &mut p.memory else { continue };
        memory.write(read, &mut work.state, &mut work.rate);
        let mut wild = false;
        let mut rates = std::mem::take(&mut net.rates[i]);
        rates.copy_from_slice(&work.state);
        finish(output, &mut rates, &mut wild);
        net.silence(i, &mut rates);
        net.rates[i] = rates;
        if wild {
            return Err(Wild(i));
        }
    }
    net.dirty = true;
    Ok(())
}
