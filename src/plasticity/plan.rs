//! A circuit laid out for sequences of given lengths: columns, ways, and who is evaluated after whom.

use super::link::{Link, Way};
use super::settle::{Stage, stages};
use crate::attention::Streams;
use crate::circuit::{Circuit, Compartment, IndexRule, Population, PopulationId, Projection, Signal};
use crate::diag::{Diagnostic, codes};
use crate::memory;
use crate::simulate::cells::columns::Columns;
use crate::simulate::cells::underflow::Pools;
use crate::spec::MaskSpec;

/// Most numbers that one sequence may need.
const MOST_NUMBERS: usize = 100_000_000;

/// A population, laid out.
#[derive(Debug)]
pub struct Cells<'c> {
    pub of: &'c Population,
    /// cells in a column
    pub n: usize,
    /// columns of its compartments
    pub columns: Columns,
    /// columns of what it sends
    pub sends: Columns,
    /// columns of its third compartment
    pub third: Columns,
    /// projections that end on basal, apical, gate and third, in file order
    pub inputs: [Vec<usize>; 4],
    /// projections onto basal and apical that divide
    pub divisors: [Vec<usize>; 2],
}

/// A circuit laid out.
#[derive(Debug)]
pub struct Plan<'c> {
    pub circuit: &'c Circuit,
    /// by number of the population
    pub cells: Vec<Cells<'c>>,
    /// by number of the projection
    pub ways: Vec<Way>,
    /// populations whose rates are needed, each after its sources
    pub order: Vec<usize>,
    /// the same, those of a loop together
    pub stages: Vec<Stage>,
    /// populations with errors, each after those whose feedback it takes
    pub thirds: Vec<usize>,
    /// the output relay, or the plus and the minus one, with their signs
    pub outputs: Vec<(usize, f64)>,
    /// tokens that the output answers for
    pub queries: usize,
    /// divisors that are above 0 on paper
    pools: Pools<'c>,
}

/// Numbers of basal, apical, gate and third in [`Cells::inputs`].
pub const fn slot(compartment: Compartment) -> usize {
    match compartment {
        Compartment::Basal => 0,
        Compartment::Apical => 1,
        Compartment::Gate => 2,
        Compartment::Third => 3,
    }
}

impl<'c> Plan<'c> {
    /// Lays the circuit out for sequences of the shapes of `sample`, one matrix `[d_model, n_tokens]` per stream.
    ///
    /// # Errors
    /// `C062` for what has no value within a token step (loops that no token settles for itself, errors that wait for each other,
    /// feedback out of a memory), `R003` for token counts that do not fit, `C006` for what would not fit into memory.
    pub fn new(circuit: &'c Circuit, sample: &Streams) -> Result<Self, Diagnostic> {
        let mut cells: Vec<Cells<'c>> =
            circuit.populations.iter().map(|p| lay_out(circuit, p, sample)).collect();
        for p in &circuit.projections {
            // The errors of a memory belong to the tokens that read it.
            if circuit.population(p.from).accumulate.is_some() && p.compartment != Compartment::Third {
                cells[p.from.0].third = match cells[p.to.0].columns {
                    Columns::Pairs { queries, .. } => Columns::Line(queries),
                    other => other,
                };
            }
        }
        let outputs = match circuit.output {
            crate::circuit::Output::Relay(r) => vec![(r.0, 1.0)],
            crate::circuit::Output::Signed { plus, minus } => vec![(plus.0, 1.0), (minus.0, -1.0)],
        };
        let queries = cells[outputs[0].0].columns.count();
        let mut plan = Self {
            circuit,
            cells,
            ways: Vec::new(),
            order: Vec::new(),
            stages: Vec::new(),
            thirds: Vec::new(),
            outputs,
            queries,
            pools: Pools::new(circuit),
        };
        plan.thirds = plan.thirds_in_order()?;
        plan.order = plan.needed();
        plan.stages = stages(circuit, &plan.order)?;
        for p in &circuit.projections {
            let link = if p.compartment == Compartment::Third { plan.error_link(p)? } else { plan.link(p)? };
            let (source, target) = (&plan.cells[p.from.0], &plan.cells[p.to.0]);
            let sources = if p.signal == Signal::Rate { source.sends } else { source.columns };
            let targets = if p.compartment == Compartment::Third { target.third } else { target.columns };
            plan.ways.push(Way {
                link,
                onto: p.synapses.onto,
                pool: p.synapses.pool,
                n_from: source.n,
                n_to: target.n,
                sources: sources.count(),
                targets: targets.count(),
            });
        }
        for (k, p) in circuit.projections.iter().enumerate() {
            let target = &mut plan.cells[p.to.0];
            match (p.effect, slot(p.compartment)) {
                (crate::spec::Effect::Divisive, c @ (0 | 1)) => target.divisors[c].push(k),
                (_, c) => target.inputs[c].push(k),
            }
        }
        plan.fits()?;
        Ok(plan)
    }

    /// Has a divisor underflowed that is too small? That of number `k` of a compartment of population `i`.
    pub fn is_lost(&self, i: usize, compartment: usize, k: usize) -> bool {
        let cells = &self.cells[i];
        let which = if compartment == 0 { Compartment::Basal } else { Compartment::Apical };
        let query = cells.columns.locate(k / cells.n).0;
        self.pools.divides(i, which, k % cells.n, query, |population| self.cells[population].columns)
    }

    /// Whose rates are needed: for the output, and for errors and feedback.
    fn needed(&self) -> Vec<usize> {
        let circuit = self.circuit;
        let mut needed = vec![false; self.cells.len()];
        let mut open: Vec<usize> = self.outputs.iter().map(|(i, _)| *i).chain(self.thirds.clone()).collect();
        while let Some(i) = open.pop() {
            if !std::mem::replace(&mut needed[i], true) {
                open.extend(circuit.inputs_of(PopulationId(i)).map(|(_, p)| p.from.0));
            }
        }
        circuit.whole.iter().map(|id| id.0).filter(|i| needed[*i]).collect()
    }

    /// Populations with errors; those whose feedback others take come first.
    fn thirds_in_order(&self) -> Result<Vec<usize>, Diagnostic> {
        let circuit = self.circuit;
        let errors = || circuit.projections.iter().filter(|p| p.compartment == Compartment::Third);
        if let Some(p) =
            errors().find(|p| p.signal != Signal::Rate && circuit.population(p.from).accumulate.is_some())
        {
            let from = &circuit.population(p.from).name;
            let what = format!("feedback out of the memory `{from}` would need the errors of later tokens");
            return Err(Diagnostic::error(codes::C062, format!("{}.from", p.path), what)
                .help("end the chain of feedback at the memory, or use a population per [query, context]"));
        }
        let mut open: Vec<usize> = (0..self.cells.len()).filter(|i| errors().any(|p| p.to.0 == *i)).collect();
        let mut sorted = Vec::new();
        while !open.is_empty() {
            let waits = |i: &usize| {
                errors().any(|p| p.to.0 == *i && p.signal != Signal::Rate && open.contains(&p.from.0))
            };
            let Some(at) = open.iter().position(|i| !waits(i)) else {
                let names: Vec<&str> = open.iter().map(|i| self.cells[*i].of.name.as_str()).collect();
                let path = errors().find(|p| p.to.0 == open[0]).map_or("", |p| p.path.as_str());
                let what = format!("the errors of {} wait for each other", names.join(", "));
                return Err(Diagnostic::error(codes::C062, path, what)
                    .help("feedback runs one way, from the output towards the input: remove one projection of the loop"));
            };
            sorted.push(open.remove(at));
        }
        Ok(sorted)
    }

    fn misfit(&self, p: &Projection, a: usize, b: usize) -> Diagnostic {
        let (from, to) = (&self.cells[p.from.0].of.name, &self.cells[p.to.0].of.name);
        Diagnostic::error(codes::R003, &p.path, format!("`{from}` sends {a} tokens, but `{to}` has {b}"))
            .help("streams that meet in one index need the same number of tokens")
    }

    /// The link of a projection that carries rates.
    fn link(&self, p: &Projection) -> Result<Link, Diagnostic> {
        let (from, to) = (&self.cells[p.from.0], &self.cells[p.to.0]);
        let fits = |a: usize, b: usize, link: Link| if a == b { Ok(link) } else { Err(self.misfit(p, a, b)) };
        if let IndexRule::SumContext(mask) = p.index {
            let targets = to.columns.count();
            return match from.sends {
                Columns::Pairs { queries, contexts, .. } => {
                    let sees = |i, j| mask.sees(i, j, contexts).then_some(i);
                    fits(queries, targets, Link::gather(from.sends, targets, sees))
                }
                Columns::Line(n) if mask != MaskSpec::Full => {
                    fits(n, targets, Link::Window { mask, sources: n, targets })
                }
                other => Ok(Link::Window { mask: MaskSpec::Full, sources: other.count(), targets }),
            };
        }
        let query = from.of.sends().query;
        let target = to.columns;
        match (from.sends, target) {
            (Columns::Once, Columns::Once) => Ok(Link::Same),
            (Columns::Once, _) => Ok(Link::spread(target, 1, |_, _| 0)),
            (Columns::Line(m), Columns::Line(n)) => fits(m, n, Link::Same),
            (Columns::Line(m), Columns::Pairs { queries, .. }) if query => {
                fits(m, queries, Link::spread(target, m, |i, _| i))
            }
            (Columns::Line(m), Columns::Pairs { contexts, .. }) => {
                fits(m, contexts, Link::spread(target, m, |_, j| j))
            }
            (source @ Columns::Pairs { queries: m, .. }, Columns::Pairs { queries: n, .. }) => {
                let narrow = Link::spread(target, source.count(), |i, j| source.row(i).start + j);
                fits(m, n, if source == target { Link::Same } else { narrow })
            }
            // Wiring lets no projection lose an index without a sum.
            (a, b) => Err(self.misfit(p, a.count(), b.count())),
        }
    }

    /// The link of a projection into `third`: that of the projection it answers backwards, else by the indices.
    fn error_link(&self, p: &Projection) -> Result<Link, Diagnostic> {
        let (from, to) = (&self.cells[p.from.0], &self.cells[p.to.0]);
        let source = if p.signal == Signal::Rate { from.sends } else { from.columns };
        let target = to.third;
        let answered = self.circuit.projections.iter().enumerate().find(|(k, q)| {
            let tied = p.tie.is_some_and(|t| t.transposed && t.to.0 == *k);
            let untied = p.tie.is_none_or(|t| !t.transposed);
            let same = p.signal == Signal::Feedback(q.compartment, q.effect);
            q.compartment != Compartment::Third
                && q.from == p.to
                && q.to == p.from
                && (tied || untied && same)
        });
        if let Some((_, q)) = answered
            && to.of.accumulate.is_none()
            && (self.cells[q.from.0].sends, self.cells[q.to.0].columns) == (target, source)
        {
            return Ok(self.link(q)?.reversed());
        }
        let fits = |a: usize, b: usize, link: Link| if a == b { Ok(link) } else { Err(self.misfit(p, a, b)) };
        let s = if p.signal == Signal::Rate { from.of.sends() } else { from.of.indices };
        let (tq, tc) = match to.of.accumulate {
            Some(_) => (true, false),
            None => (to.of.indices.query, to.of.indices.context),
        };
        match (source, target) {
            (a, b) if a == b && (s.query, s.context) == (tq, tc) => Ok(Link::Same),
            (Columns::Once, _) => Ok(Link::spread(target, 1, |_, _| 0)),
            (_, Columns::Once) => Ok(Link::gather(source, 1, |_, _| Some(0))),
            (Columns::Line(m), Columns::Pairs { queries, contexts, .. }) => {
                let n = if s.query { queries } else { contexts };
                fits(m, n, Link::spread(target, m, |i, j| if s.query { i } else { j }))
            }
            (Columns::Pairs { queries, contexts, .. }, Columns::Line(n)) => {
                let m = if tq { queries } else { contexts };
                fits(m, n, Link::gather(source, n, |i, j| Some(if tq { i } else { j })))
            }
            (Columns::Pairs { .. }, Columns::Pairs { .. }) => {
                let (a, b) = (source, target);
                Ok(Link::gather(a, b.count(), |i, j| (j < b.row(i).len()).then(|| b.row(i).start + j)))
            }
            // A query that is summed over, under the mask read backwards.
            (Columns::Line(m), Columns::Line(n)) if s.query && !tq => {
                Ok(Link::Back { mask: to.of.mask, sources: m, targets: n })
            }
            (Columns::Line(m), Columns::Line(n)) if !s.query && tq => {
                Ok(Link::Window { mask: from.of.mask, sources: m, targets: n })
            }
            (Columns::Line(m), Columns::Line(n)) => fits(m, n, Link::Same),
        }
    }

    /// Refuses before anything large is allocated.
    fn fits(&self) -> Result<(), Diagnostic> {
        let of = |c: &Cells<'_>| {
            let columns = c.columns.count().max(c.third.count());
            c.n.saturating_mul(columns).saturating_mul(12)
        };
        let (numbers, most) = self.order.iter().fold((0usize, 0), |(sum, most), i| {
            let most = if of(&self.cells[*i]) > of(&self.cells[most]) { *i } else { most };
            (sum.saturating_add(of(&self.cells[*i])), most)
        });
        let p = self.cells[most].of;
        if numbers <= MOST_NUMBERS {
            let bytes = memory::bytes(numbers, 8 * (rayon::current_num_threads() + 1));
            return memory::check(codes::C080, &p.path, "a sequence on each thread", bytes);
        }
        let what = format!(
            "one sequence would need about {numbers} numbers, the most is {MOST_NUMBERS}; `{}` needs most",
            p.name
        );
        Err(Diagnostic::error(codes::C006, &p.path, what)
            .help("use fewer tokens or cells, or a key-value memory instead of columns for token pairs"))
    }
}

fn lay_out<'c>(circuit: &'c Circuit, p: &'c Population, sample: &Streams) -> Cells<'c> {
    let length = |clock: Option<usize>| {
        clock.map_or(1, |c| sample.get(&circuit.streams[c].name).map_or(1, nalgebra::DMatrix::ncols))
    };
    let columns = match (p.indices.query, p.indices.context) {
        (false, false) => Columns::Once,
        (true, false) => Columns::Line(length(p.query_clock)),
        (false, true) => Columns::Line(length(p.context_clock)),
        (true, true) => {
            Columns::Pairs { queries: length(p.query_clock), contexts: length(p.context_clock), mask: p.mask }
        }
    };
    let sends = if p.accumulate.is_some() && p.mask == MaskSpec::Full { Columns::Once } else { columns };
    Cells {
        of: p,
        n: p.size(),
        columns,
        sends,
        third: columns,
        inputs: Default::default(),
        divisors: Default::default(),
    }
}
