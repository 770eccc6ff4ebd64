//! A circuit made ready to learn: which projections change by which rule, and whether they can.

use super::plan::Plan;
use super::rules::needs_errors;
use crate::attention::Streams;
use crate::circuit::{AxisMap, Circuit, Compartment, PopulationId, Projection, Synapses, Weights};
use crate::diag::{Diagnostic, Diagnostics, codes};
use crate::linalg::count;
use crate::seed;
use crate::spec::{AccumulateSpec, PlasticitySpec, RouteSpec, RuleName};
use nalgebra::DMatrix;

/// Most synapses that one learning matrix may have.
const MOST_SYNAPSES: usize = 4_000_000;

/// A projection that learns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plastic {
    /// number of the projection
    pub k: usize,
    pub spec: PlasticitySpec,
}

/// A circuit whose learning matrices are written out, and what learns in it.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub circuit: Circuit,
    pub plastic: Vec<Plastic>,
    /// the exact gradient takes the place of the rules
    pub gradient: bool,
    /// feedback projections that were given weights of their own
    pub rewired: Vec<String>,
}

/// Makes a circuit ready to learn. `route` and `rate` take the place of the file's rules and rates.
///
/// Under `feedback_alignment` and `kolen_pollack` as a route, every feedback projection that is the transpose of a
/// learning one gets weights of its own, drawn with the same root mean square.
///
/// # Errors
/// `C063` for each rule that lacks what it is made of, `C006` for matrices that are too large to be written out.
pub fn prepare(
    circuit: &Circuit,
    route: Option<RouteSpec>,
    rate: Option<f64>,
) -> Result<Prepared, Diagnostics> {
    let mut d = Diagnostics::new();
    let gradient = route == Some(RouteSpec::Gradient);
    let mut circuit = circuit.clone();
    let mut rewired = Vec::new();
    if let Some(RouteSpec::Rule(rule)) = route {
        for p in &mut circuit.projections {
            // A feedback projection that learns keeps its own rule.
            if let Some(spec) = p.plasticity.as_mut().filter(|_| p.compartment != Compartment::Third) {
                spec.rule = rule;
            }
        }
        if matches!(rule, RuleName::FeedbackAlignment | RuleName::KolenPollack) {
            rewired = own_feedback(&mut circuit, rule);
        }
    }
    let mut plastic = Vec::new();
    for k in 0..circuit.projections.len() {
        let Some(mut spec) = circuit.projections[k].plasticity else { continue };
        if let Some(rate) = rate {
            spec.rate = rate;
        }
        if let Err(e) = write_out(&mut circuit, k) {
            d.push(e);
            continue;
        }
        let fits = if gradient { Ok(()) } else { fits(&circuit, k, &spec) };
        match fits {
            Ok(()) if gradient && circuit.projections[k].compartment == Compartment::Third => {}
            Ok(()) => plastic.push(Plastic { k, spec }),
            Err(e) => d.push(e),
        }
    }
    if plastic.is_empty() && !d.has_errors() {
        d.push(
            Diagnostic::error(codes::C063, "projections", "no projection of this circuit learns")
                .help("give those that shall learn a rule: `plasticity: {three_factor: {rate: 0.001}}`"),
        );
    }
    if d.has_errors() { Err(d) } else { Ok(Prepared { circuit, plastic, gradient, rewired }) }
}

/// A circuit as [`prepare()`] makes it for the exact gradient, with the rules of the file that fit it beside, and why the
/// others do not. A circuit in which nothing learns is as it is.
///
/// # Errors
/// As [`prepare()`] for the exact gradient.
pub fn prepare_to_compare(circuit: &Circuit) -> Result<(Prepared, Vec<Diagnostic>), Diagnostics> {
    if circuit.projections.iter().all(|p| p.plasticity.is_none()) {
        let (circuit, plastic, rewired) = (circuit.clone(), Vec::new(), Vec::new());
        return Ok((Prepared { circuit, plastic, gradient: true, rewired }, Vec::new()));
    }
    let mut prepared = prepare(circuit, Some(RouteSpec::Gradient), None)?;
    let mut misfits = Vec::new();
    prepared.plastic.retain(|p| fits(&prepared.circuit, p.k, &p.spec).map_err(|d| misfits.push(d)).is_ok());
    Ok((prepared, misfits))
}

/// What a file says about learning that cannot be: reported before anything learns. A circuit without learning
/// projections is fine.
///
/// # Errors
/// As [`prepare()`] and [`Plan::new`].
pub fn check(circuit: &Circuit) -> Result<(), Diagnostics> {
    if circuit.projections.iter().all(|p| p.plasticity.is_none()) {
        return Ok(());
    }
    let prepared = prepare(circuit, None, None)?;
    let two = |s: &crate::circuit::Stream| (s.name.clone(), DMatrix::zeros(s.d_model, 2));
    let sample: Streams = circuit.streams.iter().map(two).collect();
    Plan::new(&prepared.circuit, &sample)?;
    Ok(())
}

/// Gives feedback that mirrors learning weights weights of its own.
fn own_feedback(circuit: &mut Circuit, rule: RuleName) -> Vec<String> {
    let mut rewired = Vec::new();
    for k in 0..circuit.projections.len() {
        let p = &circuit.projections[k];
        let Some(tie) = p.tie.filter(|t| t.transposed && p.compartment == Compartment::Third) else {
            continue;
        };
        let partner = &circuit.projections[tie.to.0];
        let Some(learning) = partner.plasticity else { continue };
        let w = p.synapses.weights.dense();
        let size = (w.norm_squared() / count(w.len().max(1))).sqrt();
        let mut rng = seed::stream(circuit.seed, &format!("feedback.{}", p.name));
        let own = DMatrix::from_fn(w.nrows(), w.ncols(), |_, _| size * seed::normal(&mut rng));
        let p = &mut circuit.projections[k];
        p.synapses.weights = Weights::Dense(own);
        p.tie = None;
        if rule == RuleName::KolenPollack {
            p.plasticity = Some(PlasticitySpec { rule, ..learning });
        }
        rewired.push(p.name.clone());
    }
    rewired
}

/// Writes the matrix of a learning projection out; without a tie each cell gets its own copy.
fn write_out(circuit: &mut Circuit, k: usize) -> Result<(), Diagnostic> {
    let p = &circuit.projections[k];
    let (to, from) = (circuit.population(p.to).size(), circuit.population(p.from).size());
    let own_copies = !p.tied && (p.synapses.onto, p.synapses.pool) != (AxisMap::All, AxisMap::All);
    if own_copies && let Some(q) = circuit.projections.iter().find(|q| q.tie.is_some_and(|t| t.to.0 == k)) {
        let what =
            format!("`{}` has the weights of `{}`, which has its own copy for each cell", q.name, p.name);
        return Err(Diagnostic::error(codes::C063, format!("{}.tied", p.path), what)
            .help("leave `tied: false` out, or give the other projection weights of its own"));
    }
    let entries = if own_copies { to.saturating_mul(from) } else { p.synapses.weights.entries() };
    if entries > MOST_SYNAPSES {
        let what = format!("`{}` would learn {entries} synapses, the most is {MOST_SYNAPSES}", p.name);
        return Err(Diagnostic::error(codes::C006, format!("{}.plasticity", p.path), what)
            .help("let a smaller projection learn; nothing was allocated"));
    }
    let synapses = if own_copies {
        let weights = Weights::Dense(p.synapses.full(to, from));
        Synapses { weights, onto: AxisMap::All, pool: AxisMap::All }
    } else {
        Synapses { weights: Weights::Dense(p.synapses.weights.dense()), ..p.synapses.clone() }
    };
    circuit.projections[k].synapses = synapses;
    Ok(())
}

/// Does the rule find what it is made of?
fn fits(circuit: &Circuit, k: usize, spec: &PlasticitySpec) -> Result<(), Diagnostic> {
    let rule = spec.rule;
    let p = &circuit.projections[k];
    let target = circuit.population(p.to);
    let (name, cells) = (rule.name(), &target.name);
    let refuse = |what: String, help: &str| {
        Err(Diagnostic::error(codes::C063, format!("{}.plasticity", p.path), what).help(help))
    };
    if p.compartment == Compartment::Third {
        return match rule {
            RuleName::KolenPollack => Ok(()),
            _ => refuse(
                format!(
                    "`{}` brings errors to `{cells}`; {name} does not say how such synapses change",
                    p.name
                ),
                "feedback weights learn by `kolen_pollack`, or not at all",
            ),
        };
    }
    if let Some(twin) =
        mirror(circuit, k).filter(|_| matches!(rule, RuleName::FeedbackAlignment | RuleName::KolenPollack))
    {
        return refuse(
            format!(
                "{name} needs feedback weights of their own, but `{}` is the transpose of `{}`",
                twin.name, p.name
            ),
            "give the feedback its own draw, `weights: {normal: {fan_in: 1}}`, or choose the rule by `--rule`, which does that",
        );
    }
    if !needs_errors(spec) {
        return Ok(());
    }
    if !receives_errors(circuit, p.to) {
        return refuse(
            format!("{name} needs errors, but nothing ends on the third compartment of `{cells}`"),
            "bring the error there: `fb: {from: ERR, to: CELLS.third, weights: {transpose_of: W}}`; `--rule gradient` needs none",
        );
    }
    let no_memory = circuit.populations.iter().all(|p| p.accumulate.is_none());
    match target.accumulate {
        None if no_memory && matches!(rule, RuleName::OwnToken | RuleName::FrozenMemory) => refuse(
            format!("{name} says how synapses on memories learn, but this circuit has no memory"),
            "use `three_factor`, or a circuit with `accumulate`",
        ),
        None => Ok(()),
        Some(_) if rule == RuleName::ThreeFactor => refuse(
            format!(
                "three_factor sees one token, but `{cells}` is a memory: its synapses need traces of past tokens"
            ),
            "use `online`, which keeps a trace at each synapse",
        ),
        Some(AccumulateSpec::Delta { .. }) if rule != RuleName::FrozenMemory => refuse(
            format!(
                "the trace of a synapse on the delta memory `{cells}` would need the traces of its neighbours"
            ),
            "use a hebbian, decay or gated memory, `frozen_memory`, or `--rule gradient`",
        ),
        Some(_) => Ok(()),
    }
}

/// Feedback that is the transpose of projection `k`.
fn mirror(circuit: &Circuit, k: usize) -> Option<&Projection> {
    circuit
        .projections
        .iter()
        .find(|q| q.compartment == Compartment::Third && q.tie.is_some_and(|t| t.transposed && t.to.0 == k))
}

fn receives_errors(circuit: &Circuit, to: PopulationId) -> bool {
    circuit.projections.iter().any(|p| p.to == to && p.compartment == Compartment::Third)
}

/// The projection whose matrix `k` has, if it is another's.
pub fn root(circuit: &Circuit, k: usize) -> Option<usize> {
    let mut tie = circuit.projections[k].tie;
    let mut root = None;
    while let Some(t) = tie {
        root = Some(t.to.0);
        tie = circuit.projections[t.to.0].tie;
    }
    root.filter(|r| *r != k)
}

/// Is the matrix of `k` the transpose of its root's?
pub fn is_transposed(circuit: &Circuit, k: usize) -> bool {
    let mut tie = circuit.projections[k].tie;
    let mut transposed = false;
    while let Some(t) = tie {
        transposed ^= t.transposed;
        tie = circuit.projections[t.to.0].tie;
    }
    transposed
}
