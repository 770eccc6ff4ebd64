//! The loop over steps, and how a run ends.

use super::growth::{Growing, Growth};
use super::lesion::Lesions;
use super::net::{Net, net};
use super::noise::Currents;
use super::record::{self, Recorder, Trace};
use super::schedule::{self, Room, Schedule};
use super::settings::{Grid, Settings, has_equation};
use super::step::Wild;
use super::sweep::finish;
use super::underflow;
use crate::attention::Streams;
use crate::circuit::{Circuit, Kind, Output, PopulationId};
use crate::diag::{Diagnostic, codes};
use crate::seed;
use crate::spec::{CircuitSpec, StopSpec};
use nalgebra::DMatrix;

/// Why a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// everything stood still
    Settled,
    /// the time was over
    TimeLimit,
    /// a number went wild
    Diverged { population: String, t_ms: f64, cause: Cause },
}

/// How a number goes wild.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// a number beyond what 64 bits hold
    Infinite,
    /// a non-zero input over a divisor of zero
    DividedByZero,
    /// infinity minus infinity, or over infinity
    NotANumber,
    /// a divisor that is above 0 on paper is too small for 64 bits
    Underflow,
    /// a loop that did not come to rest where it is evaluated settled
    Unsettled,
    /// a loop whose rest has no derivative
    Singular,
}

impl Cause {
    /// The words that reports use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Infinite => "infinite",
            Self::DividedByZero => "divided_by_zero",
            Self::NotANumber => "not_a_number",
            Self::Underflow => "underflow",
            Self::Unsettled => "unsettled",
            Self::Singular => "singular",
        }
    }
}

impl End {
    /// The word that reports use.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::TimeLimit => "time_limit",
            Self::Diverged { .. } => "diverged",
        }
    }
}

/// What a run gives.
#[derive(Clone, Debug)]
pub struct Run {
    /// rates of the output relay (plus minus minus of a pair), `[d_model, n_tokens]`
    pub output: DMatrix<f64>,
    pub end: End,
    pub steps: usize,
    pub dt_ms: f64,
    /// largest distance from rest after the last step, relative to the largest potential of its population
    pub gap: f64,
    /// a delayed loop that was still growing when the time was over
    pub growing: Option<Growing>,
    /// cells in the run, all copies for tokens counted
    pub cells: usize,
    /// what was recorded, up to the end
    pub traces: Vec<Trace>,
    /// the same of [`Settings::draw`], at most 2048 samples each
    pub drawn: Vec<Trace>,
    /// with tokens in time: when each began, all passes
    pub onsets_ms: Vec<f64>,
    /// with tokens in time: when the output of each was read
    pub reads_ms: Vec<f64>,
}

impl Run {
    /// Simulated time.
    #[must_use]
    pub fn t_ms(&self) -> f64 {
        time(self.steps, self.dt_ms)
    }
}

/// Runs every cell of a circuit on `inputs`, one token per column.
///
/// Only what the output depends on runs. Potentials start at 0 (see [`Settings::start_std`]), delayed rates in
/// silence. The same circuit, seed, inputs and settings give the same bytes for any number of threads.
///
/// # Errors
/// `C006` for a circuit too large for memory, `C050` to `C052` for times that do not fit, `R003` for token counts
/// that do not. A run that diverges is not an error: see [`End::Diverged`].
pub fn run(circuit: &Circuit, inputs: &Streams, settings: &Settings) -> Result<Run, Diagnostic> {
    let grid = Grid::new(circuit, settings)?;
    let lesions = Lesions::new(circuit, &settings.lesions, &grid)?;
    noise_needs_an_end(circuit, settings, &lesions)?;
    let mut net = net(circuit, inputs, settings, &grid, &lesions)?;
    let mut currents = currents(circuit, settings, &net, &lesions);
    start(circuit, settings, &mut net);
    let schedule = Schedule::new(circuit, &grid, longest(circuit, inputs))?;
    if schedule.is_none() {
        present(circuit, inputs, &mut net);
    }
    let mut output = DMatrix::zeros(0, 0);
    let mut room = schedule.map(|_| Room::new(circuit, inputs, &net));
    if schedule.is_some() {
        output = DMatrix::zeros(net.cells[output_relays(circuit)[0].0].n, queries(circuit, inputs));
    }
    let settles = schedule.is_none() && settings.stop == StopSpec::Settle;
    if settles {
        grid.settles_in_time()?;
    }
    let patient = if settles { grid.most.saturating_add(lesions.last_change()) } else { grid.most };
    let most = schedule.map_or(patient, |s| s.steps());
    let mut recorder = Recorder::new(circuit, &net, &settings.record, &settings.draw, most, grid.dt_ms)?;
    let mut growth = Growth::new(circuit, &grid, lesions.last_change(), most);
    let patience = net.longest_delay() + 1;
    let (mut quiet, mut exactly, mut steps) = (0, 0, 0);
    let mut end = End::TimeLimit;
    let (mut wild, mut lost) = (None, None);
    // Lesions silence what divides, too.
    let may_be_lost = settings.lesions.is_empty();
    while steps < most && wild.is_none() && lost.is_none() {
        if let Some(schedule) = &schedule {
            schedule::present(schedule, steps, circuit, inputs, &mut net);
        }
        if lesions.changes_at(steps) {
            lesions.apply(steps, circuit, settings, &mut net, &mut currents);
            if let Some(schedule) = &schedule {
                schedule::show(schedule, steps, circuit, inputs, &mut net);
            } else {
                present(circuit, inputs, &mut net);
            }
        }
        recorder.before(steps, &net);
        match net.step(&mut currents, settings.tolerance) {
            Ok(still) => {
                recorder.after(steps, &net);
                if let Some(growth) = &mut growth {
                    growth.see(steps, &net);
                }
                steps += 1;
                quiet = if still.all { quiet + 1 } else { 0 };
                exactly = if still.exactly { exactly + 1 } else { 0 };
            }
            Err(Wild(i)) => wild = Some(i),
        }
        if let (Some(schedule), Some(room), None) = (&schedule, &mut room, wild) {
            for event in schedule.events(steps) {
                wild = wild.or(schedule::act(event, circuit, &mut net, room, &mut output).err().map(|w| w.0));
                if let (schedule::Event::Sample { token }, true, None) = (event, may_be_lost, lost) {
                    lost = underflow::lost(circuit, &mut net, Some(token));
                }
            }
        }
        if settles && wild.is_none() && quiet >= patience && steps > lesions.last_change() {
            if exactly >= patience {
                end = End::Settled;
                break;
            }
            // What is left decides quotients: it goes on until it is nothing, or lost.
            if !net.flushes && may_be_lost {
                lost = underflow::lost(circuit, &mut net, None);
            }
            net.flushes = true;
        }
    }
    if schedule.is_none() && wild.is_none() && lost.is_none() && may_be_lost {
        lost = underflow::lost(circuit, &mut net, None);
    }
    if let Some(i) = lost {
        let population = net.cells[i].of.name.clone();
        end = End::Diverged { population, t_ms: time(steps, grid.dt_ms), cause: Cause::Underflow };
    }
    if let Some(i) = wild {
        let population = net.cells[i].of.name.clone();
        end = End::Diverged { population, t_ms: time(steps, grid.dt_ms), cause: cause(&net, i) };
    }
    let growing = growth.filter(|_| end == End::TimeLimit).and_then(|g| g.found(&net, grid.dt_ms));
    if schedule.is_none() {
        output = sent(circuit, &net, wild.is_some());
    }
    let times = |steps: Vec<usize>| steps.into_iter().map(|k| time(k, grid.dt_ms)).collect();
    let onsets_ms = schedule.map_or(Vec::new(), |s| times(s.onsets().collect()));
    let reads_ms = schedule.map_or(Vec::new(), |s| times(s.reads().take(output.ncols()).collect()));
    let (gap, cells) = (net.gap(), count(&net));
    let (traces, drawn) = recorder.finish();
    Ok(Run { output, end, steps, dt_ms: grid.dt_ms, gap, growing, cells, traces, drawn, onsets_ms, reads_ms })
}

/// What happened to a population that went wild: looked up afterwards, so that steps need not ask.
pub fn cause(net: &Net<'_>, i: usize) -> Cause {
    let p = &net.cells[i];
    let by_zero = p.membranes.iter().filter(|m| !m.leak.waits).any(|m| {
        let divisors = m.divisive.iter().flat_map(|d| &d.now);
        m.additive.now.iter().zip(divisors).any(|(x, d)| *d == 0.0 && *x != 0.0 && x.is_finite())
    });
    let mut numbers = p.membranes.iter().flat_map(|m| m.additive.now.iter().chain(&m.v)).chain(&net.rates[i]);
    if by_zero {
        Cause::DividedByZero
    } else if numbers.any(|x| x.is_infinite()) {
        Cause::Infinite
    } else {
        Cause::NotANumber
    }
}

/// Tokens of the longest stream that some relay carries in.
pub fn longest(circuit: &Circuit, inputs: &Streams) -> usize {
    let streams = circuit.order.iter().filter_map(|id| match circuit.population(*id).kind {
        Kind::Relay { stream: Some(s), .. } => inputs.get(&circuit.streams[s].name),
        _ => None,
    });
    streams.map(DMatrix::ncols).max().unwrap_or(0)
}

/// Tokens that the output answers for.
fn queries(circuit: &Circuit, inputs: &Streams) -> usize {
    let place = output_relays(circuit)[0].0;
    let clock = circuit.population(circuit.order[place]).query_clock;
    clock.and_then(|c| inputs.get(&circuit.streams[c].name)).map_or(1, DMatrix::ncols)
}

/// What a file says about cells in time that cannot be: reported before anything runs.
///
/// # Errors
/// `C050` to `C052`, as [`run`].
pub fn check(spec: &CircuitSpec, circuit: &Circuit) -> Result<(), Diagnostic> {
    let settings = Settings::of(spec);
    let grid = Grid::new(circuit, &settings)?;
    if Schedule::new(circuit, &grid, 1)?.is_none() && settings.stop == StopSpec::Settle {
        grid.settles_in_time()?;
    }
    for (k, spec) in settings.record.iter().enumerate() {
        record::find(circuit, spec, &format!("record.{k}"))?;
    }
    noise_needs_an_end(circuit, &settings, &Lesions::new(circuit, &settings.lesions, &grid)?)
}

/// Time of a step.
pub fn time(step: usize, dt_ms: f64) -> f64 {
    crate::linalg::count(step) * dt_ms
}

fn count(net: &Net<'_>) -> usize {
    net.cells.iter().filter(|p| has_equation(p.of)).map(|p| p.n * p.columns.count()).sum()
}

/// Noise never settles.
fn noise_needs_an_end(circuit: &Circuit, settings: &Settings, lesions: &Lesions) -> Result<(), Diagnostic> {
    let in_space = matches!(circuit.layout, crate::spec::LayoutSpec::Space {});
    if in_space && settings.stop == StopSpec::Settle && lesions.ends_noisy() {
        let what = "a noise current goes on to the end, so the run would never settle";
        return Err(Diagnostic::error(codes::C052, "lesions", what)
            .help("let it end (`until`), or say how long to run: `simulation: {stop: {duration: 500 ms}}`"));
    }
    for p in circuit.order.iter().map(|id| circuit.population(*id)) {
        if !has_equation(p) && p.options.noise.as_ref().is_some_and(|n| n.std > 0.0) {
            let what =
                format!("`{}` carries tokens in: it has no membrane that a current could act on", p.name);
            return Err(Diagnostic::error(codes::C052, format!("{}.noise", p.path), what)
                .help("put the noise on the cells that receive from it"));
        }
        if in_space && settings.stop == StopSpec::Settle && has_equation(p) && settings.noise_of(p) > 0.0 {
            let what = format!("`{}` has a noise current, so the run would never settle", p.name);
            let path =
                if p.options.noise.is_some() { format!("{}.noise", p.path) } else { "noise".to_owned() };
            return Err(Diagnostic::error(codes::C052, path, what)
                .help("say how long to run: `simulation: {stop: {duration: 500 ms}}`"));
        }
    }
    Ok(())
}

fn currents(
    circuit: &Circuit,
    settings: &Settings,
    net: &Net<'_>,
    lesions: &Lesions,
) -> Vec<Option<Currents>> {
    let one = |(i, p): (usize, &super::net::Cells<'_>)| {
        let std = settings.noise_of(p.of);
        let m = p.membranes.first().filter(|_| std > 0.0 || lesions.is_noisy(i))?;
        Some(Currents::new(circuit.seed, &p.of.name, m.v.len(), std, m.leak.fraction))
    };
    net.cells.iter().enumerate().map(one).collect()
}

/// Potentials at the start.
fn start(circuit: &Circuit, settings: &Settings, net: &mut Net<'_>) {
    if settings.start_std <= 0.0 {
        return;
    }
    for p in &mut net.cells {
        let mut rng = seed::stream(circuit.seed, &format!("start.{}", p.of.name));
        for m in &mut p.membranes {
            m.v.iter_mut().for_each(|v| *v = settings.start_std * seed::normal(&mut rng));
        }
    }
}

/// All tokens at once: relays that carry them in, and `tonic`.
pub fn present(circuit: &Circuit, inputs: &Streams, net: &mut Net<'_>) {
    for i in 0..net.cells.len() {
        let mut rates = std::mem::take(&mut net.rates[i]);
        let p = &net.cells[i];
        match p.of.kind {
            Kind::Tonic => rates.fill(1.0),
            Kind::Relay { stream: Some(s), .. } => {
                if let Some(tokens) = inputs.get(&circuit.streams[s].name) {
                    rates.copy_from_slice(tokens.as_slice());
                }
                finish(p.output(), &mut rates, &mut false);
            }
            _ => {}
        }
        if p.membranes.is_empty() {
            net.silence(i, &mut rates);
        }
        net.rates[i] = rates;
    }
    net.dirty = true;
}

/// The output relays by their place in the order, and their signs.
pub fn output_relays(circuit: &Circuit) -> Vec<(usize, f64)> {
    let place = |id: PopulationId| circuit.order.iter().position(|o| *o == id).unwrap_or(0);
    match circuit.output {
        Output::Relay(id) => vec![(place(id), 1.0)],
        Output::Signed { plus, minus } => vec![(place(plus), 1.0), (place(minus), -1.0)],
    }
}

/// What the output relay sends now.
fn sent(circuit: &Circuit, net: &Net<'_>, diverged: bool) -> DMatrix<f64> {
    let of = |i: usize| {
        let p = &net.cells[i];
        let mut rates = net.rates[i].clone();
        // Rates of a step belong to its beginning; the output to the end of the last one.
        if !diverged {
            let mut held = [(); 3].map(|()| vec![0.0; rates.len()]);
            schedule::rates_after(net, i, &mut held, &mut rates);
        }
        DMatrix::from_vec(p.n, p.sends.count(), rates)
    };
    match output_relays(circuit).as_slice() {
        [(plus, _), (minus, _)] => of(*plus) - of(*minus),
        relays => of(relays[0].0),
    }
}
