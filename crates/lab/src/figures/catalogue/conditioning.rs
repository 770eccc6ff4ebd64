//! Pavlovian conditioning: response to the test stimulus, trial by trial, of three memories.
//!
//! # Equation and source
//! Stimulus = key, US = value, test = query (Qiao 2025, arXiv 2508.08289). Delta rule: `V_s += rate (u - sum V x) x_s`
//! (Rescorla & Wagner 1972).

use super::Making;
use super::tables::{Experimented, Rows, colour};
use crate::figures::sheet::{Axes, Axis, Content, Figure, Look, Panel, Point, Row, Series, Width};
use pulvinar::diag::Diagnostics;
use pulvinar::spec::{ConditioningSpec, PhaseSpec, StimuliSpec, TrialSpec};

/// Panels in a row.
const ACROSS: usize = 3;
/// The protocol whose last response is the unit of each memory.
const UNIT: &str = "acquisition";

pub fn make(making: &Making<'_>) -> Result<Figure, Diagnostics> {
    let ran = Experimented::run(making, "conditioning", None, &[])?;
    let (curves, table) = (ran.rows("curves")?, ran.rows("conditioning")?);
    let protocols = table.words("protocol");
    let specs = ran.document(&[])?.spec.reserved.protocol.map(|p| p.conditioning.0).unwrap_or_default();
    let panels: Vec<Panel> = protocols
        .iter()
        .enumerate()
        .map(|(n, name)| {
            let spec = specs.iter().find(|(own, _)| own == name).map(|(_, spec)| spec);
            panel(name, spec, &curves, &table, n == 0)
        })
        .collect();
    let unseen: Vec<String> = protocols
        .iter()
        .filter(|p| table.with("protocol", p).with("shown", "yes").words("memory").is_empty())
        .map(|p| p.replace('_', " "))
        .collect();
    Ok(Figure {
        title: "Conditioning by three memory rules".to_owned(),
        caption: format!(
            "Response to the test stimulus after each trial (solid: training; dashed: control training), of a hebbian, a \
             decaying and a delta-rule memory of one circuit; nothing is random, so there are no error bars. Responses are \
             in units of each memory's own response at the end of {UNIT} (where it learns without bound, that is only a \
             scale). Below each panel are the trials: the stimuli shown, with the US (+) or without (-). In brackets behind each title are the memories that \
             show what animals do: a response above or below zero, or above or below the control, by \
             more than 5% of the strongest US. Where lines coincide, that of the delta rule is on top. Not shown by any of these rules: {}. All end \
             points equal the equations of associative strength to 1e-9. Stimuli as keys and the US as value are Qiao's; \
             the protocols and the comparison of rules are this project's.",
            if unseen.is_empty() { "none".to_owned() } else { unseen.join(", ") }
        ),
        source: "Qiao 2025 (arXiv 2508.08289); Rescorla & Wagner 1972; key-value memory: Granier & Senn 2025 (arXiv \
                 2504.06354v3); protocols and runs: this project"
            .to_owned(),
        circuits: vec![ran.file.clone()],
        width: Width::Page,
        rows: panels
            .chunks(ACROSS)
            .map(|panels| Row { height_mm: 46.0, panels: panels.to_vec() })
            .collect(),
        tolerance: 1e-9,
    })
}

/// The response that counts as 1.
fn unit(curves: &Rows<'_>, memory: &str) -> f64 {
    let mine = curves.with("memory", memory);
    let acquired = mine.with("protocol", UNIT).with("training", "train").numbers("response").last().copied();
    let largest = mine.numbers("response").into_iter().map(f64::abs).fold(0.0, f64::max);
    acquired.filter(|x| *x != 0.0).unwrap_or(if largest > 0.0 { largest } else { 1.0 })
}

/// `A`, or `AB` of several.
fn together(stimuli: &StimuliSpec) -> String {
    stimuli.0.names().collect()
}

/// `A+, then AB+`; trials of a phase that take turns are `A+/AB-`.
fn in_words(phases: &[PhaseSpec]) -> String {
    let trial = |t: &TrialSpec| match (together(&t.cs), t.us) {
        (cs, 0.0) if cs.is_empty() => "rest".to_owned(),
        (cs, 0.0) => format!("{cs}-"),
        (cs, _) => format!("{cs}+"),
    };
    let phase = |p: &PhaseSpec| p.trials.iter().map(trial).collect::<Vec<_>>().join("/");
    phases.iter().map(phase).collect::<Vec<_>>().join(", then ")
}

fn panel(
    protocol: &str,
    spec: Option<&ConditioningSpec>,
    curves: &Rows<'_>,
    table: &Rows<'_>,
    legend: bool,
) -> Panel {
    let mine = curves.with("protocol", protocol);
    let mut series = Vec::new();
    for (training, look) in [("control", Look::Dashed), ("train", Look::Line)] {
        for memory in table.words("memory") {
            let rows = mine.with("memory", &memory).with("training", training);
            let unit = unit(curves, &memory);
            let points: Vec<Point> = rows
                .points("trial", "response", None)
                .into_iter()
                .map(|p| Point::new(p.x, p.y / unit))
                .collect();
            if points.is_empty() {
                continue;
            }
            let name = if legend && look == Look::Line { memory.clone() } else { String::new() };
            series.push(Series::new(name, look, colour(&memory), points));
        }
    }
    let shown = table.with("protocol", protocol).with("shown", "yes").words("memory");
    let by = match shown.len() {
        0 => "none".to_owned(),
        n if n == table.words("memory").len() => "all".to_owned(),
        _ => shown.join(", "),
    };
    let (trials, test) = spec.map(|s| (in_words(&s.train), together(&s.test))).unwrap_or_default();
    Panel {
        title: format!("{} ({by})", protocol.replace('_', " ")),
        share: 1.0,
        content: Content::Axes(Axes {
            x: Axis::new(format!("trial: {trials}"), ""),
            y: Axis::new(format!("response to {test}"), "rel."),
            series,
            guides: Vec::new(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::catalogue::tests::making;

    #[test]
    fn panels_show_what_the_caption_says() {
        let figure = make(&making()).unwrap_or_else(|d| panic!("{d}"));
        let panels: Vec<&Panel> = figure.rows.iter().flat_map(|r| &r.panels).collect();
        let titles: Vec<&str> = panels.iter().map(|p| p.title.as_str()).collect();
        assert_eq!(titles.len(), 9);
        assert!(
            titles.contains(&"blocking (delta)") && titles.contains(&"extinction (decay, delta)"),
            "{titles:?}"
        );
        assert!(figure.caption.contains("spontaneous recovery, latent inhibition, second order"));
        let series = |title: &str| match &panels.iter().find(|p| p.title == title).expect(title).content {
            Content::Axes(axes) => axes.series.clone(),
            other => panic!("{other:?}"),
        };
        // Solid lines come last, in the order of the memories; each ends at 1 after acquisition.
        for s in series("acquisition (all)") {
            assert!((s.points.last().expect("points").y - 1.0).abs() < 1e-12);
            assert_eq!(s.points.len(), 100);
        }
        let specs = [("blocking (delta)", "trial: A+, then AB+", "response to B")];
        for (title, x, y) in specs {
            let panel = panels.iter().find(|p| p.title == title).expect(title);
            let Content::Axes(axes) = &panel.content else { panic!("axes") };
            assert_eq!((axes.x.label.as_str(), axes.y.label.as_str()), (x, y));
        }
        let blocking = series("blocking (delta)");
        assert_eq!(blocking.len(), 6, "three memories, each with its control");
        let end = |s: &Series| s.points.last().expect("points").y;
        let unit = 1.0 - 0.9f64.powi(100);
        assert!((end(&blocking[5]) - 1.328_069_944_1e-5 / unit).abs() < 1e-14, "B is blocked");
        assert!((end(&blocking[2]) - 0.499_999_999_9 / unit).abs() < 1e-9, "its control is not");
        assert_eq!(end(&blocking[3]), end(&blocking[0]), "a hebbian memory is not blocked");
    }
}
