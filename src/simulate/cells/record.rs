//! Traces: what is kept of a run while it goes on.
//!
//! Rates and inputs of step n are those at time n dt; potentials too, before they move. What all traces may hold is
//! bounded before the run, from the longest it can be.

use super::columns::Columns;
use super::net::{Cells, Net};
use super::run::time;
use super::settings::has_equation;
use crate::circuit::{Circuit, Compartment, Indices};
use crate::diag::{Diagnostic, codes, did_you_mean};
use crate::spec::{CompartmentSpec, LayoutSpec, RecordSpec, Variable};

/// Most numbers that the traces of one run may hold (1 GiB).
pub const MOST_RECORDED: usize = 1 << 27;

/// Most samples of a trace that is only drawn: beyond it, every other one is dropped.
const MOST_DRAWN: usize = 2048;

/// The token indices of one recorded copy of a population, where it has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub query: Option<usize>,
    pub context: Option<usize>,
}

/// A few cells and tokens of a population, for a picture: whatever tokens it has.
#[derive(Clone, Debug, PartialEq)]
pub struct Sketch {
    /// what to draw; `every` is 1, and grows with the trace
    pub of: RecordSpec,
    /// the first of these cells, at most
    pub cells: usize,
    /// columns (tokens, or pairs of tokens query by query), at most
    pub columns: usize,
    /// the last columns, or the first
    pub last: bool,
    /// only samples from one time to another
    pub shown_ms: [f64; 2],
}

/// One recorded variable.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// `A1.deep.rate`, `A1.deep.basal.potential`
    pub name: String,
    pub population: String,
    pub variable: Variable,
    pub compartment: Option<CompartmentSpec>,
    /// of the values; rates and potentials of the language are pure numbers
    pub unit: &'static str,
    /// steps between samples
    pub every: usize,
    /// which cells of a column
    pub cells: Vec<usize>,
    /// which columns
    pub tokens: Vec<Token>,
    pub t_ms: Vec<f64>,
    /// `[samples, tokens, cells]`, the last varies fastest
    pub values: Vec<f64>,
}

/// A trace under way.
struct Probe {
    population: usize,
    membrane: Option<usize>,
    /// places in the population's arrays
    picks: Vec<usize>,
    /// times that are kept
    shown: [f64; 2],
    trace: Trace,
}

/// All traces of a run.
pub struct Recorder {
    /// those to be kept, then those to be drawn
    probes: Vec<Probe>,
    kept: usize,
    dt_ms: f64,
}

/// The population of a trace, by its place in the order, if it exists and receives what is asked for.
///
/// # Errors
/// `C010` for unknown names, `C053` for what cannot be recorded.
pub fn find(circuit: &Circuit, spec: &RecordSpec, path: &str) -> Result<usize, Diagnostic> {
    let place = population(circuit, &spec.population, &format!("{path}.population"))?;
    let p = circuit.population(circuit.order[place]);
    let nothing = |key: &str, what: String, help: &str| {
        Err(Diagnostic::error(codes::C053, format!("{path}.{key}"), what).help(help))
    };
    if let Some(which) = spec.compartment {
        let receives =
            circuit.inputs_of(circuit.order[place]).any(|(_, q)| q.compartment == compartment(which));
        if !receives || !has_equation(p) {
            let what = format!("nothing ends on `{}.{}`", p.name, which.name());
            return nothing("compartment", what, "name a compartment that receives something");
        }
    }
    for (key, list) in [("cells", &spec.cells), ("query", &spec.query), ("context", &spec.context)] {
        if list.as_ref().is_some_and(Vec::is_empty) {
            let what = format!("`{key}` is an empty list: nothing of `{}` would be recorded", p.name);
            return nothing(key, what, "name what to record, or leave the list out to record all");
        }
    }
    if let Some(cell) = spec.cells.iter().flatten().find(|c| **c >= p.size()) {
        let what = format!("`{}` has {} cells, counted from 0, and no cell {cell}", p.name, p.size());
        return nothing("cells", what, "name cells that exist");
    }
    let sends = if spec.variable == Variable::Rate { p.sends() } else { p.indices };
    for (key, list, has) in [("query", &spec.query, sends.query), ("context", &spec.context, sends.context)] {
        if list.is_some() && !has {
            let what = format!("what is recorded of `{}` has no {key} index", p.name);
            return nothing(key, what, "leave the list out");
        }
        if list.is_some() && matches!(circuit.layout, LayoutSpec::Time { .. }) {
            let what = format!(
                "with tokens in time `{}` has one column, which all tokens pass: no {key} token to choose",
                p.name
            );
            return nothing(
                key,
                what,
                "leave the list out; `onsets_ms` of the traces says when each token began",
            );
        }
    }
    Ok(place)
}

/// Place in the order of a population that runs.
pub fn population(circuit: &Circuit, name: &str, path: &str) -> Result<usize, Diagnostic> {
    let names = circuit.populations.iter().map(|p| p.name.as_str());
    let Some(id) = circuit.populations.iter().position(|p| p.name == name) else {
        return Err(Diagnostic::error(codes::C010, path, format!("no population `{name}`"))
            .help(did_you_mean(name, names)));
    };
    circuit.order.iter().position(|o| o.0 == id).ok_or_else(|| {
        Diagnostic::error(
            codes::C053,
            path,
            format!("`{name}` does not run: the output does not depend on it"),
        )
        .help("name a population on the way to the output")
    })
}

fn compartment(which: CompartmentSpec) -> Compartment {
    match which {
        CompartmentSpec::Basal => Compartment::Basal,
        CompartmentSpec::Apical => Compartment::Apical,
        CompartmentSpec::Gate => Compartment::Gate,
    }
}

impl Recorder {
    /// Probes for all that is asked for, in a run of at most `steps`.
    ///
    /// # Errors
    /// As [`find`]; `C054` if the traces could grow beyond [`MOST_RECORDED`].
    pub fn new(
        circuit: &Circuit,
        net: &Net<'_>,
        specs: &[RecordSpec],
        drawn: &[Sketch],
        steps: usize,
        dt_ms: f64,
    ) -> Result<Self, Diagnostic> {
        let mut probes: Vec<Probe> = Vec::new();
        let mut numbers = 0usize;
        for (k, spec) in specs.iter().enumerate() {
            let path = format!("record.{k}");
            let place = find(circuit, spec, &path)?;
            let mut probe = probe(place, &net.cells[place], spec, &path)?;
            let same = probes.iter().filter(|p| p.trace.name == probe.trace.name).count();
            if same > 0 {
                probe.trace.name = format!("{}_{}", probe.trace.name, same + 1);
            }
            let samples = steps.div_ceil(spec.every);
            numbers = numbers.saturating_add(samples.saturating_mul(probe.picks.len() + 1));
            if numbers > MOST_RECORDED {
                let what = format!(
                    "the traces could grow to {numbers} numbers ({} MB) in {steps} steps; the most is {MOST_RECORDED}",
                    numbers / 125_000
                );
                return Err(Diagnostic::error(codes::C054, path, what).help(
                    "record fewer cells or tokens, every k steps, or say how long to run: `simulation: {stop: {duration: 500 ms}}`",
                ));
            }
            probes.push(probe);
        }
        let kept = probes.len();
        for sketch in drawn {
            let place = find(circuit, &sketch.of, "")?;
            probes.push(sketched(place, &net.cells[place], sketch));
        }
        Ok(Self { probes, kept, dt_ms })
    }

    /// Potentials at the beginning of a step.
    pub fn before(&mut self, step: usize, net: &Net<'_>) {
        for probe in self.probes.iter_mut().skip(self.kept) {
            probe.thin();
        }
        for probe in self.probes.iter_mut().filter(|p| p.trace.variable == Variable::Potential) {
            let cells = &net.cells[probe.population];
            if let Some(m) = probe.membrane {
                probe.sample(step, self.dt_ms, |k| cells.membranes[m].v[k]);
            }
        }
    }

    /// Rates and inputs of a step.
    pub fn after(&mut self, step: usize, net: &Net<'_>) {
        for probe in &mut self.probes {
            let i = probe.population;
            match (probe.trace.variable, probe.membrane) {
                (Variable::Rate, _) => probe.sample(step, self.dt_ms, |k| net.rates[i][k]),
                (Variable::Input, Some(m)) => {
                    let m = &net.cells[i].membranes[m];
                    probe.sample(step, self.dt_ms, |k| m.input(k));
                }
                _ => {}
            }
        }
    }

    /// The traces to keep, and those to draw.
    pub fn finish(self) -> (Vec<Trace>, Vec<Trace>) {
        let mut all: Vec<Trace> = self.probes.into_iter().map(|p| p.trace).collect();
        let drawn = all.split_off(self.kept);
        (all, drawn)
    }
}

impl Probe {
    /// Drops every other sample of a trace that has grown too long to draw.
    fn thin(&mut self) {
        let t = &mut self.trace;
        if t.t_ms.len() < MOST_DRAWN {
            return;
        }
        let width = self.picks.len();
        let half = t.t_ms.len().div_ceil(2);
        for k in 1..half {
            t.t_ms[k] = t.t_ms[2 * k];
            t.values.copy_within(2 * k * width..(2 * k + 1) * width, k * width);
        }
        t.t_ms.truncate(half);
        t.values.truncate(half * width);
        t.every *= 2;
    }

    fn sample(&mut self, step: usize, dt_ms: f64, value: impl Fn(usize) -> f64) {
        let (t, [from, until]) = (time(step, dt_ms), self.shown);
        if step.is_multiple_of(self.trace.every) && (from..=until).contains(&t) {
            self.trace.t_ms.push(t);
            self.trace.values.extend(self.picks.iter().map(|k| value(*k)));
        }
    }
}

fn probe(place: usize, p: &Cells<'_>, spec: &RecordSpec, path: &str) -> Result<Probe, Diagnostic> {
    let chosen = chosen(p, spec, path)?;
    let cells: Vec<usize> = spec.cells.clone().unwrap_or_else(|| (0..p.n).collect());
    Ok(of(place, p, spec, &chosen, cells))
}

/// The columns that a list of tokens means.
fn chosen(p: &Cells<'_>, spec: &RecordSpec, path: &str) -> Result<Vec<usize>, Diagnostic> {
    let (columns, indices) = recorded(p, spec.variable);
    let tokens = |k: usize| token(columns, indices, k);
    let fail = |key: &str, what: String, help: &str| {
        Err(Diagnostic::error(codes::C053, format!("{path}.{key}"), what).help(help))
    };
    let lengths = match columns {
        Columns::Once => [0; 2],
        Columns::Line(n) => [n; 2],
        Columns::Pairs { queries, contexts, .. } => [queries, contexts],
    };
    for (key, list, n) in [("query", &spec.query, lengths[0]), ("context", &spec.context, lengths[1])] {
        if let Some(wrong) = list.iter().flatten().find(|t| **t >= n) {
            let what = format!("`{}` has {n} {key} tokens, counted from 0, and no token {wrong}", p.of.name);
            return fail(key, what, "name tokens that exist");
        }
    }
    let wanted = |list: &Option<Vec<usize>>, at: Option<usize>| match (list, at) {
        (Some(list), Some(at)) => list.contains(&at),
        _ => true,
    };
    let is_wanted =
        |k: &usize| wanted(&spec.query, tokens(*k).query) && wanted(&spec.context, tokens(*k).context);
    let chosen: Vec<usize> = (0..columns.count()).filter(is_wanted).collect();
    if chosen.is_empty() && columns.count() > 0 {
        let what = format!("the mask of `{}` leaves no pair of these query and context tokens", p.of.name);
        return fail(
            "context",
            what,
            "a causal mask keeps contexts up to the query, a strict one those before it",
        );
    }
    Ok(chosen)
}

/// A trace for a picture.
fn sketched(place: usize, p: &Cells<'_>, sketch: &Sketch) -> Probe {
    let spec = RecordSpec { every: 1, ..sketch.of.clone() };
    // What cannot be chosen was refused when it was recorded.
    let columns = chosen(p, &spec, "").unwrap_or_default();
    let shown = sketch.columns.min(columns.len());
    let columns = if sketch.last { &columns[columns.len() - shown..] } else { &columns[..shown] };
    let mut cells: Vec<usize> = spec.cells.clone().unwrap_or_else(|| (0..p.n.min(sketch.cells)).collect());
    cells.truncate(sketch.cells);
    let mut probe = of(place, p, &spec, columns, cells);
    probe.shown = sketch.shown_ms;
    probe
}

/// The columns of a variable, and the indices that they stand for.
fn recorded(p: &Cells<'_>, variable: Variable) -> (Columns, Indices) {
    if variable == Variable::Rate { (p.sends, p.of.sends()) } else { (p.columns, p.of.indices) }
}

fn token(columns: Columns, indices: Indices, column: usize) -> Token {
    match columns {
        Columns::Once => Token { query: None, context: None },
        Columns::Line(_) => Token {
            query: indices.query.then_some(column),
            context: (!indices.query && indices.context).then_some(column),
        },
        Columns::Pairs { .. } => {
            let (i, j) = columns.locate(column);
            Token { query: Some(i), context: Some(j) }
        }
    }
}

/// A probe of some cells in some columns.
fn of(place: usize, p: &Cells<'_>, spec: &RecordSpec, columns: &[usize], cells: Vec<usize>) -> Probe {
    let (all, indices) = recorded(p, spec.variable);
    let which = spec.compartment.map(compartment);
    let inside = spec.compartment.map_or(String::new(), |c| format!(".{}", c.name()));
    let trace = Trace {
        name: format!("{}{inside}.{}", p.of.name, spec.variable.name()),
        population: p.of.name.clone(),
        variable: spec.variable,
        compartment: spec.compartment,
        unit: "1",
        every: spec.every,
        tokens: columns.iter().map(|c| token(all, indices, *c)).collect(),
        t_ms: Vec::new(),
        values: Vec::new(),
        cells,
    };
    Probe {
        population: place,
        membrane: which.and_then(|w| p.membranes.iter().position(|m| m.which == w)),
        picks: columns.iter().flat_map(|c| trace.cells.iter().map(move |k| c * p.n + k)).collect(),
        shown: [0.0, f64::INFINITY],
        trace,
    }
}
