//! Which kernel of vectors the race of axons is.

use super::super::Making;
use super::{CABLE, EVENT, SOURCE, TOLERANCE, circuits, lab, panel, points, with_se};
use crate::experiments::match_and_control::attention::{Bin, Race, Score, Target, binned, run};
use crate::experiments::match_and_control::code::{COMPONENTS, TOKENS};
use crate::experiments::match_and_control::fits::{Family, Fit};
use crate::experiments::match_and_control::{Fidelity, Lab};
use crate::figures::sheet::{Axes, Axis, Figure, Look, Panel, Point, Row, Series, Width};
use pulvinar::diag::Diagnostics;

/// Range and bins of inner products (closed form, cable) and of spikes that meet; fewest tokens in a bin.
const PRODUCTS: ((f64, f64), [usize; 2]) = ((-3.0, 4.0), [28, 14]);
const MEETINGS: ((f64, f64), [usize; 2]) = ((-0.5, 9.5), [10, 10]);
const LEAST: usize = 12;
/// Colours of the families, without the uniform one.
const FAMILIES: [(Family, usize, &str); 3] =
    [(Family::Softmax, 1, "softmax"), (Family::Power, 3, "power"), (Family::Linear, 4, "linear")];

/// One target: both tiers, their fits.
struct Seen {
    score: Score,
    target: Target,
    event: (Vec<Fit>, Vec<Bin>),
    cable: (Vec<Fit>, Vec<Bin>),
}

pub fn make(making: &Making<'_>) -> Result<Figure, Diagnostics> {
    draw(&lab(making)?)
}

pub fn draw(lab: &Lab<'_>) -> Result<Figure, Diagnostics> {
    let (event, cable) = (run(lab, Fidelity::Event)?, run(lab, Fidelity::Cable)?);
    let look = |race: &Race, score: Score, target: Target, place: usize| {
        let (range, bins) = if score == Score::InnerProduct { PRODUCTS } else { MEETINGS };
        let observed = race.observed(score, target);
        let fits = race.fits(score, target, lab.seed);
        let bins = binned(&observed, &fits, range, bins[place], LEAST);
        (fits, bins)
    };
    let see = |score: Score, target: Target| Seen {
        score,
        target,
        event: look(&event, score, target, 0),
        cable: look(&cable, score, target, 1),
    };
    let seen = [
        see(Score::InnerProduct, Target::Winner),
        see(Score::Overlap, Target::Winner),
        see(Score::InnerProduct, Target::Potentiation),
    ];
    let row = |s: &Seen| Row { height_mm: 46.0, panels: vec![shares(s), likelihoods(s)] };
    Ok(Figure {
        title: "Which kernel of attention the race of axons is".to_owned(),
        caption: caption(lab, &seen, &event, &cable),
        source: format!(
            "{SOURCE}. The comparison with kernels of transformers is ours and stated by nobody else."
        ),
        circuits: circuits(),
        width: Width::Page,
        rows: seen.iter().map(row).collect(),
        tolerance: TOLERANCE,
    })
}

fn shares(seen: &Seen) -> Panel {
    let measured = |bins: &[Bin]| bins.iter().map(|b| with_se(b.score, &b.share)).collect::<Vec<Point>>();
    let mut series = vec![
        Series::new("closed form", Look::Marks, EVENT, measured(&seen.event.1)),
        Series::new("cable", Look::Marks, CABLE, measured(&seen.cable.1)),
    ];
    for (family, colour, name) in FAMILIES {
        let Some(place) = seen.event.0.iter().position(|f| f.family == family) else { continue };
        let line = points(seen.event.1.iter().map(|b| (b.score, b.predicted[place])));
        series.push(Series::new(name, Look::Line, colour, line));
    }
    let axes = Axes {
        x: Axis::new(
            if seen.score == Score::InnerProduct { "k . q / sqrt(d)" } else { "spikes that meet" },
            "",
        ),
        y: Axis::new(seen.target.name(), "").range(0.0, 1.0),
        series,
        guides: vec![],
    };
    panel(title(seen), 1.2, axes)
}

fn title(seen: &Seen) -> &'static str {
    match (seen.target, seen.score) {
        (Target::Winner, Score::InnerProduct) => "most calcium, by vectors",
        (Target::Winner, Score::Overlap) => "most calcium, by spikes",
        (Target::Potentiation, _) => "shares of potentiation, by vectors",
    }
}

fn likelihoods(seen: &Seen) -> Panel {
    let bars = |fits: &[Fit]| -> Vec<Point> {
        let of = |(i, (family, _, _)): (usize, &(Family, usize, &str))| {
            let fit = fits.iter().find(|f| f.family == *family)?;
            Some(with_se(i as f64, &fit.gain))
        };
        FAMILIES.iter().enumerate().filter_map(of).collect()
    };
    let axes = Axes {
        x: Axis::new("", "").names(FAMILIES.map(|f| f.2)),
        y: Axis::new("log-likelihood above uniform", "nats / trial"),
        series: vec![
            Series::new("closed form", Look::Bars, EVENT, bars(&seen.event.0)),
            Series::new("cable", Look::Bars, CABLE, bars(&seen.cable.0)),
        ],
        guides: vec![],
    };
    panel("what explains it", 1.0, axes)
}

fn caption(lab: &Lab<'_>, seen: &[Seen; 3], event: &Race, cable: &Race) -> String {
    let best = |fits: &[Fit]| {
        let softmax = fits.iter().find(|f| f.family == Family::Softmax);
        let linear = fits.iter().find(|f| f.family == Family::Linear);
        let power = fits.iter().find(|f| f.family == Family::Power);
        match (softmax, linear, power) {
            (Some(s), Some(l), Some(p)) => format!(
                "softmax b = {:.2} +- {:.2}, lapse {}; behind the best: softmax {:.3} +- {:.3}, power {:.3} +- {:.3}, linear {:.3} \
                 +- {:.3} nats per trial",
                s.b.value,
                s.b.se,
                s.lapse,
                s.behind.value,
                s.behind.se,
                p.behind.value,
                p.behind.se,
                l.behind.value,
                l.behind.se
            ),
            _ => String::new(),
        }
    };
    let [code, ..] = event.correlations();
    let potentiated = |race: &Race| {
        let [none, one, several] = race.potentiated();
        format!("{none:.2}, {one:.2}, {several:.2}")
    };
    format!(
        "{TOKENS} of {} axons carry keys, the others fire at 6 Hz. Keys and query have d = {COMPONENTS} components of N(0, 1); each \
         component has two bins of 50 ms in the match window, one for either sign, and puts a spike into one of them with \
         probability min(1, 0.8 |x|); spikes that meet are {code:.2} correlated with k . q. **A** probability that an axon has \
         the largest calcium integral of the {TOKENS} against its inner product; lines: families f of P = (1 - e) f(s) / sum f(s) + \
         e / {TOKENS}, fitted to the closed form by maximum likelihood: softmax exp(b s), power max(0, s)^b, linear max(0, 1 + b \
         s). **B** log-likelihood of the families. **C, D** the same by the number of spikes of key and query that meet. \
         **E, F** the same by vectors for the shares of potentiation 0.5 s after the window, in trials in which at \
         least one of the {TOKENS} axons is potentiated by half; no, one, several were in {} (closed form), {} (cable) \
         of the trials. n = {} trials in closed form, {} of the cable. Error bars: standard error, in A, C, E over \
         tokens, in B, D, F from 100 resamplings of trials. Measured here: by vectors {} (closed form), {} (cable); by \
         spikes {} (closed form); potentiation {} (closed form).",
        lab.neuron.axons,
        potentiated(event),
        potentiated(cable),
        event.trials.len(),
        cable.trials.len(),
        best(&seen[0].event.0),
        best(&seen[0].cable.0),
        best(&seen[1].event.0),
        best(&seen[2].event.0)
    )
}
