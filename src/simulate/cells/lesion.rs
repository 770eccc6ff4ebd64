//! Lesions: cells that fall silent, synapses that are cut or scaled, noise, in a window of time.
//!
//! A fraction hits that many of the cells (synapses) of a population (projection), rounded to the nearest number and
//! drawn without replacement from the stream `lesion.K.NAME`, where K counts the lesions of the run from 0. A cell that
//! is silenced is silent in all its copies for tokens. Synapses are the entries of the matrix as written, so those
//! that `onto` ties together are cut together.

use super::net::Net;
use super::noise::Currents;
use super::record::population;
use super::settings::{Grid, Settings, has_equation};
use crate::circuit::{AxisMap, Circuit, ProjectionId, Synapses, Weights};
use crate::diag::{Diagnostic, codes, did_you_mean};
use crate::seed;
use crate::spec::LesionSpec;
use rand::RngExt;
use std::borrow::Cow;

/// Most entries of a matrix of which a fraction is cut: it is written out.
const MOST_ENTRIES: usize = 10_000_000;

/// What a lesion does while it acts.
#[derive(Clone, Debug)]
enum Act {
    /// place in the order, and which cells
    Silence(usize, Vec<bool>),
    /// what is left of the matrix: kept entries, or a factor
    Keep(ProjectionId, Vec<bool>),
    Scale(ProjectionId, f64),
    /// place in the order, and the standard deviation
    Noise(usize, f64),
}

/// A lesion and its window, in steps.
#[derive(Clone, Debug)]
struct Hit {
    from: usize,
    until: usize,
    act: Act,
}

/// All lesions of a run.
#[derive(Clone, Debug, Default)]
pub struct Lesions {
    hits: Vec<Hit>,
}

/// `n` flags of which `round(fraction n)` are set.
fn draw(seed: u64, stream: &str, n: usize, fraction: f64) -> Vec<bool> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let wanted = ((crate::linalg::count(n) * fraction).round() as usize).min(n);
    let mut flags: Vec<bool> = (0..n).map(|k| k < wanted).collect();
    if wanted < n {
        let mut rng = seed::stream(seed, stream);
        for k in (1..n).rev() {
            flags.swap(k, rng.random_range(0..=k));
        }
    }
    flags
}

fn projection(circuit: &Circuit, name: &str, path: &str) -> Result<ProjectionId, Diagnostic> {
    let names = circuit.projections.iter().map(|p| p.name.as_str());
    let Some(id) = circuit.projections.iter().position(|p| p.name == name) else {
        return Err(Diagnostic::error(codes::C055, path, format!("no projection `{name}`"))
            .help(did_you_mean(name, names)));
    };
    if !super::settings::runs(circuit, &circuit.projections[id]) {
        let what = format!("`{name}` does not run: the output does not depend on it");
        return Err(
            Diagnostic::error(codes::C055, path, what).help("name a projection on the way to the output")
        );
    }
    Ok(ProjectionId(id))
}

/// Number of synapses that can be cut one by one.
fn synapses(w: &Weights) -> usize {
    if let Weights::Identity { n, .. } = w { *n } else { w.entries() }
}

impl Lesions {
    /// Draws what is hit.
    ///
    /// # Errors
    /// `C010` or `C055` for names that do not run, `C052` for noise without a membrane, `C006` for a matrix too large to
    /// be cut in part.
    pub fn new(circuit: &Circuit, specs: &[LesionSpec], grid: &Grid) -> Result<Self, Diagnostic> {
        let mut hits = Vec::new();
        for (k, spec) in specs.iter().enumerate() {
            let act = act(circuit, spec, k)?;
            let window = spec.window();
            let path = format!("lesions.{k}");
            let step = |t: Option<crate::spec::Time>, otherwise: usize| match t {
                None => Ok(otherwise),
                Some(t) if t.ms == 0.0 => Ok(0),
                Some(t) => grid.steps(t.ms, &path),
            };
            hits.push(Hit { from: step(window.from, 0)?, until: step(window.until, usize::MAX)?, act });
        }
        Ok(Self { hits })
    }

    /// Does anything begin or end at this step?
    pub fn changes_at(&self, step: usize) -> bool {
        self.hits.iter().any(|h| h.from == step || h.until == step)
    }

    /// The last step at which anything begins or ends.
    pub fn last_change(&self) -> usize {
        let ends = self.hits.iter().flat_map(|h| [h.from, h.until]);
        ends.filter(|s| *s != usize::MAX).max().unwrap_or(0)
    }

    /// Makes the net what it is from this step on.
    pub fn apply<'a>(
        &self,
        step: usize,
        circuit: &'a Circuit,
        settings: &Settings,
        net: &mut Net<'a>,
        currents: &mut [Option<Currents>],
    ) {
        let active = |h: &&Hit| (h.from..h.until).contains(&step);
        for (i, silenced) in net.silenced.iter_mut().enumerate() {
            *silenced = None;
            for hit in self.hits.iter().filter(active) {
                if let Act::Silence(place, flags) = &hit.act
                    && *place == i
                {
                    let all = silenced.get_or_insert_with(|| vec![false; flags.len()]);
                    all.iter_mut().zip(flags).for_each(|(a, f)| *a |= f);
                }
            }
        }
        for q in &mut net.incoming {
            let touched = self.hits.iter().any(|h| h.act.projection() == Some(q.id));
            if touched {
                let mut left = Cow::Borrowed(&circuit.projection(q.id).synapses);
                for hit in self.hits.iter().filter(active).filter(|h| h.act.projection() == Some(q.id)) {
                    left = Cow::Owned(hit.act.on(&left));
                }
                q.arrival.replace(left);
            }
        }
        for (i, currents) in currents.iter_mut().enumerate() {
            let added: f64 = self
                .hits
                .iter()
                .filter(active)
                .filter_map(|h| match h.act {
                    Act::Noise(place, std) if place == i => Some(std * std),
                    _ => None,
                })
                .sum();
            if let Some(currents) = currents {
                let own = settings.noise_of(net.cells[i].of);
                currents.set((own * own + added).sqrt());
            }
        }
        net.dirty = true;
    }

    /// Populations that get a noise current at some time.
    pub fn is_noisy(&self, place: usize) -> bool {
        self.hits.iter().any(|h| matches!(h.act, Act::Noise(p, std) if p == place && std > 0.0))
    }

    /// Does noise go on to the end of the run?
    pub fn ends_noisy(&self) -> bool {
        self.hits.iter().any(|h| matches!(h.act, Act::Noise(_, std) if std > 0.0) && h.until == usize::MAX)
    }
}

fn act(circuit: &Circuit, spec: &LesionSpec, k: usize) -> Result<Act, Diagnostic> {
    let path = format!("lesions.{k}.{}", spec.name());
    let stream = format!("lesion.{k}.{}", spec.target());
    Ok(match spec {
        LesionSpec::Silence { population: name, fraction, .. } => {
            let place = population(circuit, name, &format!("{path}.population"))?;
            let n = circuit.population(circuit.order[place]).size();
            Act::Silence(place, draw(circuit.seed, &stream, n, *fraction))
        }
        LesionSpec::Cut { projection: name, fraction, .. } => {
            let id = projection(circuit, name, &format!("{path}.projection"))?;
            if *fraction >= 1.0 {
                return Ok(Act::Scale(id, 0.0));
            }
            let w = &circuit.projection(id).synapses.weights;
            if w.entries() > MOST_ENTRIES {
                let what = format!(
                    "`{name}` has {} weights; a part of at most {MOST_ENTRIES} can be cut",
                    w.entries()
                );
                return Err(
                    Diagnostic::error(codes::C006, path, what).help("cut it as a whole, or use `scale`")
                );
            }
            let cut = draw(circuit.seed, &stream, synapses(w), *fraction);
            Act::Keep(id, cut.into_iter().map(|c| !c).collect())
        }
        LesionSpec::Scale { projection: name, gain, .. } => {
            Act::Scale(projection(circuit, name, &format!("{path}.projection"))?, *gain)
        }
        LesionSpec::Noise { population: name, std, .. } => {
            let place = population(circuit, name, &format!("{path}.population"))?;
            if !has_equation(circuit.population(circuit.order[place])) {
                let what = format!("`{name}` has no membrane that a current could act on");
                return Err(Diagnostic::error(codes::C052, path, what)
                    .help("put the noise on the cells that receive from it"));
            }
            Act::Noise(place, *std)
        }
    })
}

impl Act {
    fn projection(&self) -> Option<ProjectionId> {
        match self {
            Self::Keep(id, _) | Self::Scale(id, _) => Some(*id),
            _ => None,
        }
    }

    /// What is left of a matrix.
    fn on(&self, synapses: &Synapses) -> Synapses {
        let weights = match self {
            Self::Scale(_, gain) => synapses.weights.clone().scaled(*gain),
            Self::Keep(_, kept) => {
                let mut left = synapses.weights.dense();
                if let Weights::Identity { n, .. } = &synapses.weights {
                    (0..*n).filter(|k| !kept[*k]).for_each(|k| left[(k, k)] = 0.0);
                } else {
                    // Entries are numbered row by row.
                    let columns = left.ncols();
                    (0..kept.len())
                        .filter(|k| !kept[*k])
                        .for_each(|k| left[(k / columns, k % columns)] = 0.0);
                }
                Weights::Dense(left)
            }
            _ => synapses.weights.clone(),
        };
        Synapses { weights, onto: synapses.onto, pool: synapses.pool }
    }
}

/// How many cells or synapses each lesion hits, and of how many; none for what hits all of its target.
///
/// # Errors
/// As [`lesioned`].
pub fn extents(circuit: &Circuit, specs: &[LesionSpec]) -> Result<Vec<Option<[usize; 2]>>, Diagnostic> {
    let one = |(k, spec): (usize, &LesionSpec)| {
        Ok(match act(circuit, spec, k)? {
            Act::Silence(_, flags) => Some([flags.iter().filter(|f| **f).count(), flags.len()]),
            Act::Keep(_, kept) => Some([kept.iter().filter(|k| !**k).count(), kept.len()]),
            Act::Scale(..) | Act::Noise(..) => None,
        })
    };
    specs.iter().enumerate().map(one).collect()
}

/// The circuit that is left, for lesions of the whole run that change synapses only: silent cells lose their outgoing
/// ones. None for windows, noise, and a silenced output.
///
/// # Errors
/// `C010` or `C055` for names that do not run, `C052` for noise without a membrane, `C006` for a matrix too large to be cut
/// in part.
pub fn lesioned(circuit: &Circuit, specs: &[LesionSpec]) -> Result<Option<Circuit>, Diagnostic> {
    let mut left = circuit.clone();
    for (k, spec) in specs.iter().enumerate() {
        let whole = spec.window() == crate::spec::WindowSpec::default();
        match act(circuit, spec, k)? {
            _ if !whole => return Ok(None),
            Act::Noise(_, std) if std > 0.0 => return Ok(None),
            Act::Noise(..) => {}
            act @ (Act::Keep(id, _) | Act::Scale(id, _)) => {
                let p = &mut left.projections[id.0];
                p.synapses = act.on(&p.synapses);
            }
            Act::Silence(place, flags) => {
                if super::run::output_relays(circuit).iter().any(|(relay, _)| *relay == place) {
                    return Ok(None);
                }
                silence(&mut left, circuit.order[place], &flags);
            }
        }
    }
    Ok(Some(left))
}

fn silence(circuit: &mut Circuit, id: crate::circuit::PopulationId, flags: &[bool]) {
    let sizes: Vec<usize> = circuit.populations.iter().map(crate::circuit::Population::size).collect();
    for p in circuit.projections.iter_mut().filter(|p| p.from == id) {
        if flags.iter().all(|f| *f) {
            p.synapses.weights = p.synapses.weights.clone().scaled(0.0);
            continue;
        }
        let mut full = p.synapses.full(sizes[p.to.0], sizes[id.0]);
        for (cell, _) in flags.iter().enumerate().filter(|(_, f)| **f) {
            full.column_mut(cell).fill(0.0);
        }
        p.synapses = Synapses { weights: Weights::Dense(full), onto: AxisMap::All, pool: AxisMap::All };
    }
}
