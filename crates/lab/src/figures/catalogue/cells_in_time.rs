//! Leaky cells in time on their way to the heads that they compile to, and cells that read ahead.

use super::Making;
use super::given::{ERRORS, Given, Plain, floored, missing, trace};
use super::tokens_one_by_one::{
    DRAWN, InTime, LONG_MS, LOOK_MS, TIME, TOKEN_MS, after_writes, at_reads, in_time, outputs, rates_of,
    slowest_ms,
};
use crate::figures::sheet::{Axes, Axis, Content, Figure, Look, Panel, Point, Row, Series, Width};
use nalgebra::DMatrix;
use pulvinar::attention::Mask;
use pulvinar::diag::Diagnostics;
use pulvinar::simulate::cells::{Run, Settings, TAU_MS, Trace};
use pulvinar::spec::{StopSpec, Time};

const SPACE: &str = "one_head_attention_mask.yaml";
/// Short steps, so that what is seen are the cells and not the steps.
const DT_MS: f64 = 0.1;
/// Length of the run with all tokens at once, and what is shown of its rates.
const RUN_MS: f64 = 320.0;
const RISE_MS: f64 = 80.0;

pub fn make(making: &Making<'_>) -> Result<Figure, Diagnostics> {
    making.progress.begin("runs of cells", 4 + 4 * TOKEN_MS.len());
    let space = Space::run(making)?;
    let looks = [false, true].map(|prospective| in_time(making, LOOK_MS, prospective));
    let [leaky, ahead] = looks;
    let (leaky, ahead) = (leaky?, ahead?);
    let panel = |title: &str, share: f64, axes: Axes| Panel {
        title: title.to_owned(),
        share,
        content: Content::Axes(axes),
    };
    let lag = leaky.lag(1e-2);
    let rows = vec![
        Row {
            height_mm: 54.0,
            panels: vec![
                panel("rates on their way", 0.45, space.rates()?),
                panel("distance to the compiled head", 0.55, space.distance()?),
            ],
        },
        Row {
            height_mm: 46.0,
            panels: vec![panel("output while tokens come one after another", 1.0, outputs(&leaky, &ahead))],
        },
        Row {
            height_mm: 54.0,
            panels: vec![
                panel("after a token was written", 0.5, after_writes(&leaky, &ahead)),
                panel("when the output is read", 0.5, at_reads(making)?),
            ],
        },
    ];
    Ok(Figure {
        title: "Cells in time come to the algebra of attention, at the pace of their slowest compartment".to_owned(),
        caption: caption(lag, &leaky),
        source: "The circuits are those of Granier & Senn 2025 (arXiv 2504.06354): v1 for A and B, v3 for C to E. Leaky \
                 compartments, the closed form, the schedule of tokens, decay of the memories and all numbers are ours. Cells that read \
                 v + tau dv/dt: prospective coding, Haider et al. 2021 (Latent equilibrium, arXiv 2110.14549)."
            .to_owned(),
        circuits: vec![SPACE.to_owned(), TIME.to_owned()],
        width: Width::Page,
        rows,
        tolerance: 1e-9,
    })
}

fn caption(lag: f64, run: &InTime) -> String {
    format!(
        "Every cell is run in time (exponential Euler); nothing in these runs knows of heads. \
         **A, B** All tokens at once, potentials start at 0, all time constants {TAU_MS} ms, steps of {DT_MS} ms. **A** Rates of a superficial and a deep \
         cell of the last pair of tokens, over what they settle to (open circles), and what leaky compartments \
         in a row give in closed form (lines; s = t / tau): (1 - e^-s)^2 and (1 - e^-s)(1 - 2 s e^-s - e^-2s). Cells with a prospective readout, \
         v + tau dv/dt from the cell's own equation, are there at once. **B** Largest distance of all outputs to the head that the circuit compiles to, \
         over the largest output: leaky cells (circles), the closed form (line) and exp(-t / {TAU_MS} ms) (dashed), whose \
         slope it takes on in the end, up to the power of t that stages in a row add. Prospective cells equal the algebra at every step; this proves \
         the wiring, not the dynamics. Distances below 1e-12 are rounding and drawn there, here and below. \
         **C-E** Tokens one after another (two memories with decay; slowest time constant {slow} ms, steps of 1 ms). **C** First cell of the output relay for the first \
         {DRAWN} tokens, each held for {duration} ms before a gap of {gap} ms; dashed lines: the token is written into the memories. \
         Circles: what the compiled heads say, at the time when the output is read. **D** Distance to the compiled heads \
         since the write, mean of {n} tokens (band: least to largest): leaky cells come to within 1 % of the largest output in {lag} ms \
         and on with the slope of the slowest compartment (dashed), down to what was written too early. **E** The \
         same when the output is read, largest over {n} tokens, against the time T of token and gap (blue) or of one of them while the other is \
         {LONG_MS} ms. Dashed: exp(-T / {slow} ms) and exp(-T / {TAU_MS} ms), the slowest compartment that reads a memory, and those that write \
         it. One draw of weights and tokens, that of the files; D: n = {n} tokens.",
        slow = slowest_ms(&run.given.circuit),
        duration = LOOK_MS[0],
        gap = LOOK_MS[1],
        n = run.truth.ncols(),
    )
}

/// The circuit with a column for each pair of tokens, from rest.
struct Space {
    given: Given,
    leaky: Run,
    ahead: Run,
}

impl Space {
    fn run(making: &Making<'_>) -> Result<Self, Diagnostics> {
        let given = Given::read(making, SPACE, &[])?;
        if (slowest_ms(&given.circuit) - TAU_MS).abs() > 0.0 {
            return Err(missing(
                "areas",
                format!("the closed form is that of time constants of {TAU_MS} ms"),
            ));
        }
        let last = given.stream("main")?.ncols() - 1;
        let pair = Some([last, last]);
        let settings = Settings {
            dt_ms: Some(DT_MS),
            stop: StopSpec::Duration(Time { ms: RUN_MS }),
            record: vec![
                rates_of("A1.superficial", 10, pair),
                rates_of("A1.deep", 10, pair),
                rates_of("HO", 20, None),
            ],
            ..given.settings()
        };
        let leaky = given.cells(&settings)?;
        making.progress.step();
        let ahead = given.cells(&Settings { prospective: true, ..settings })?;
        making.progress.step();
        Ok(Self { given, leaky, ahead })
    }

    /// Rates over what they settle to.
    fn rates(&self) -> Result<Axes, Diagnostics> {
        let laws: [fn(f64) -> f64; 2] = [superficial, deep];
        let mut series = Vec::new();
        for (k, (name, law)) in ["superficial", "deep"].into_iter().zip(laws).enumerate() {
            let line =
                (0..=160).map(|n| f64::from(n) * RISE_MS / 160.0).map(|t| Point::new(t, law(t / TAU_MS)));
            series.push(Series::new("", Look::Line, k, line.collect()));
            let t = trace(&self.leaky, k)?;
            let settled = t.values[t.values.len() - 1];
            let marks = t.t_ms.iter().zip(&t.values).filter(|(t, _)| **t <= RISE_MS).step_by(4);
            let marks = marks.map(|(t, v)| Point::new(*t, v / settled)).collect();
            series.push(Series::new(format!("{name}, leaky"), Look::Marks, k, marks));
            let t = trace(&self.ahead, k)?;
            let ahead = t.t_ms.iter().zip(&t.values).filter(|(t, _)| **t <= RISE_MS);
            let ahead = ahead.map(|(t, v)| Point::new(*t, v / settled)).collect();
            series.push(Series::new(format!("{name}, prospective"), Look::Dashed, k, ahead));
        }
        Ok(Axes {
            x: Axis::new("time", "ms").range(0.0, RISE_MS),
            y: Axis::new("rate / settled rate", "").range(0.0, 1.15),
            series,
            guides: Vec::new(),
        })
    }

    /// Distance of the output to the head.
    fn distance(&self) -> Result<Axes, Diagnostics> {
        let truth = self.given.algebra()?;
        let x = self.given.stream("main")?;
        let plain = Plain::of(&self.given, ["W_Q", "W_K", "W_V", "W_O"], Mask::Causal)?;
        let adds = plain.adds(x, x);
        let times: Vec<f64> = (0..=160).map(|k| f64::from(k) * RUN_MS / 160.0).collect();
        let law = times.iter().map(|t| {
            let s = t / TAU_MS;
            let left = x * (-s).exp() + &adds * missing_output(s);
            Point::new(*t, floored(left.amax() / truth.amax()))
        });
        let slope = [0.0, RUN_MS].map(|t| Point::new(t, floored((-t / TAU_MS).exp())));
        let marks = distances(trace(&self.leaky, 2)?, &truth).step_by(5);
        let ahead = distances(trace(&self.ahead, 2)?, &truth);
        Ok(Axes {
            x: Axis::new("time", "ms").range(0.0, RUN_MS),
            y: Axis::new("relative distance", "").log().range(ERRORS[0], ERRORS[1]),
            series: vec![
                Series::new("closed form", Look::Line, 0, law.collect()),
                Series::new("leaky", Look::Marks, 0, marks.collect()),
                Series::new(format!("exp(\u{2212}t / {TAU_MS} ms)"), Look::Dashed, 6, slope.into()),
                Series::new("prospective", Look::Line, 1, ahead.collect()),
            ],
            guides: Vec::new(),
        })
    }
}

/// Superficial rate over its end, s time constants after the start: a product of two compartments.
fn superficial(s: f64) -> f64 {
    (1.0 - (-s).exp()).powi(2)
}

/// Deep rate: a compartment times one that follows the superficial rate.
fn deep(s: f64) -> f64 {
    (1.0 - (-s).exp()) * (1.0 - 2.0 * s * (-s).exp() - (-2.0 * s).exp())
}

/// What a compartment that follows the deep rate still lacks.
fn missing_output(s: f64) -> f64 {
    let e = (-s).exp();
    e * (s * s + s - 0.5) + (1.0 + 2.0 * s) * e * e + 0.5 * e * e * e
}

/// Largest distance of all tokens at each sample, relative to the largest output.
fn distances<'a>(t: &'a Trace, truth: &'a DMatrix<f64>) -> impl Iterator<Item = Point> + 'a {
    let size = truth.amax();
    t.t_ms.iter().zip(t.values.chunks(truth.len())).map(move |(t, now)| {
        // Tokens, cells fastest: the columns of the output.
        let far = now.iter().zip(truth.iter()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        Point::new(*t, floored(far / size))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::catalogue::given::FLOOR;
    use crate::figures::catalogue::tests::{axes, making, within};

    /// The closed forms solve the equations of the compartments, step by step.
    #[test]
    fn the_closed_forms_solve_the_equations() {
        let ds = 1e-4;
        let (mut gain, mut output) = (0.0f64, 0.0f64);
        for k in 0..100_000u32 {
            let s = f64::from(k) * ds;
            let compartment = 1.0 - (-s).exp();
            if k % 5000 == 0 {
                within(superficial(s), compartment * compartment, 1e-12, "superficial");
                within(deep(s), compartment * gain, 2e-4, "deep");
                within(1.0 - missing_output(s), output, 2e-4, "output");
            }
            let of_deep = compartment * gain;
            gain += ds * (compartment * compartment - gain);
            output += ds * (of_deep - output);
        }
    }

    fn slope(points: &[Point], from: f64, until: f64) -> f64 {
        let at = |x: f64| {
            points.iter().find(|p| (p.x - x).abs() < 1e-6).unwrap_or_else(|| panic!("{x}: {points:?}"))
        };
        (at(from).y / at(until).y).ln() / (until - from)
    }

    #[test]
    fn the_caption_says_what_the_panels_hold() {
        let figure = make(&making()).unwrap_or_else(|d| panic!("{d:?}"));
        let named = |row: usize, place: usize, name: &str| {
            let found = axes(&figure, row, place).series.iter().find(|s| s.name == name);
            found.unwrap_or_else(|| panic!("no series {name}")).points.clone()
        };
        // Rates follow their closed forms to within the steps that a signal takes.
        for (name, law) in [("superficial", superficial as fn(f64) -> f64), ("deep", deep)] {
            for p in named(0, 0, &format!("{name}, leaky")) {
                within(p.y, law(p.x / TAU_MS), 0.01, name);
            }
            for p in &named(0, 0, &format!("{name}, prospective")) {
                within(p.y, 1.0, 1e-11, "prospective");
            }
        }
        let law = named(0, 1, "closed form");
        for p in named(0, 1, "leaky").iter().filter(|p| p.x > 0.0) {
            let want = law.iter().find(|l| (l.x - p.x).abs() < 1e-9).unwrap().y;
            within((p.y / want).ln(), 0.0, 0.05, "distance");
        }
        assert!(named(0, 1, "prospective").iter().all(|p| p.y <= FLOOR));
        // The slope of the slowest compartment, less the power of t: two over the number of time constants.
        let found = slope(&named(0, 1, "leaky"), 250.0, 300.0) * TAU_MS;
        within(found, 1.0 - 2.0 / 27.5, 0.01, "slope");
        // Tokens in time: prospective cells equal the heads at once, leaky ones with the slope of 15 ms.
        assert!(named(2, 0, "prospective").iter().all(|p| p.y <= FLOOR));
        let leaky = named(2, 0, "leaky");
        assert!(leaky.iter().any(|p| p.y > 0.1), "they lag: {leaky:?}");
        let found = slope(&leaky, 100.0, 150.0) * 15.0;
        assert!((0.75..1.0).contains(&found), "slope {found}");
        assert!(named(2, 1, "prospective").iter().all(|p| p.y <= FLOOR));
        let both = named(2, 1, "token and gap T");
        assert!(both.windows(2).all(|w| w[1].y < w[0].y), "{both:?}");
        let found = slope(&named(2, 1, "gap T"), 160.0, 240.0) * 15.0;
        assert!((0.75..1.0).contains(&found), "slope of the gap {found}");
        let found = slope(&named(2, 1, "token T"), 80.0, 160.0) * 10.0;
        assert!((0.8..1.05).contains(&found), "slope of the token {found}");
    }
}
