//! The words of `--record` and `--lesion`.
//!
//! ```text
//! --record  POPULATION[.COMPARTMENT][:VARIABLE][@EVERY]        A1.deep   A1.deep.apical   A1.deep.basal:input@10
//! --lesion  KIND=NAME[:NUMBER][@[FROM]..[UNTIL]]               silence=A1.deep:0.5   cut=W_K   scale=W_Q:2@100ms..200ms
//! ```

use pulvinar::circuit::Circuit;
use pulvinar::diag::{Diagnostic, codes, did_you_mean};
use pulvinar::spec::{CompartmentSpec, LesionSpec, RecordSpec, Time, Variable, WindowSpec};
use pulvinar::units::parse_time_ms;

fn wrong(flag: &str, text: &str, what: &str, help: impl Into<String>) -> Diagnostic {
    Diagnostic::error(codes::U005, "", format!("--{flag} {text}: {what}")).help(help)
}

/// One `--record`.
pub fn record(text: &str, circuit: &Circuit) -> Result<RecordSpec, Diagnostic> {
    let help = "write POPULATION[.COMPARTMENT][:VARIABLE][@EVERY], for example A1.deep or A1.deep.apical:potential@10";
    let (rest, every) = match text.split_once('@') {
        None => (text, 1),
        Some((rest, every)) => match every.parse() {
            Ok(n) if n > 0 => (rest, n),
            _ => return Err(wrong("record", text, "the number of steps is not a number from 1", help)),
        },
    };
    let (target, variable) = match rest.split_once(':') {
        None => (rest, None),
        Some((target, word)) => match Variable::NAMES.iter().find(|(n, _)| *n == word) {
            Some((_, v)) => (target, Some(*v)),
            None => {
                let names = Variable::NAMES.iter().map(|(n, _)| *n);
                return Err(wrong("record", text, "no such variable", did_you_mean(word, names)));
            }
        },
    };
    let is_population = circuit.populations.iter().any(|p| p.name == target);
    let compartment = target.rsplit_once('.').filter(|_| !is_population).and_then(|(population, last)| {
        CompartmentSpec::NAMES.iter().find(|(n, _)| *n == last).map(|(_, c)| (population, *c))
    });
    let (population, compartment) = compartment.map_or((target, None), |(p, c)| (p, Some(c)));
    let otherwise = if compartment.is_some() { Variable::Potential } else { Variable::Rate };
    let variable = variable.unwrap_or(otherwise);
    if (variable == Variable::Rate) == compartment.is_some() {
        return Err(wrong("record", text, "rates are of cells, potentials and inputs of compartments", help));
    }
    let population = population.to_owned();
    Ok(RecordSpec { population, variable, compartment, cells: None, query: None, context: None, every })
}

/// One `--lesion`.
pub fn lesion(text: &str) -> Result<LesionSpec, Diagnostic> {
    let help = "write KIND=NAME[:NUMBER][@[FROM]..[UNTIL]]: silence=A1.deep:0.5, cut=W_K, scale=W_Q:2@100ms..200ms or noise=A1.deep:0.1";
    let fail = |what: &str| wrong("lesion", text, what, help);
    let (rest, window) = match text.split_once('@') {
        None => (text, WindowSpec::default()),
        Some((rest, window)) => {
            let (from, until) = window.split_once("..").ok_or_else(|| fail("a window is FROM..UNTIL"))?;
            let time = |t: &str| match t {
                "" => Ok(None),
                t => match parse_time_ms(t) {
                    Ok(ms) if ms >= 0.0 => Ok(Some(Time { ms })),
                    Ok(_) => Err(fail("a time is negative")),
                    Err(e) => Err(fail(&e)),
                },
            };
            let window = WindowSpec { from: time(from)?, until: time(until)? };
            if let (from, Some(until)) = (window.from.map_or(0.0, |t| t.ms), window.until)
                && from >= until.ms
            {
                return Err(fail("the window is empty"));
            }
            (rest, window)
        }
    };
    let (kind, rest) = rest.split_once('=').ok_or_else(|| fail("no `=`"))?;
    let (name, number) = match rest.split_once(':') {
        None => (rest, None),
        Some((name, number)) => {
            let number: f64 = number.parse().map_err(|_| fail("the number is no number"))?;
            (
                name,
                Some(number)
                    .filter(|x| x.is_finite())
                    .ok_or_else(|| fail("the number is not finite"))
                    .map(Some)?,
            )
        }
    };
    let fraction = || match number.unwrap_or(1.0) {
        f if (0.0..=1.0).contains(&f) => Ok(f),
        _ => Err(fail("a fraction is from 0 to 1")),
    };
    let name = name.to_owned();
    Ok(match kind {
        "silence" => LesionSpec::Silence { population: name, fraction: fraction()?, window },
        "cut" => LesionSpec::Cut { projection: name, fraction: fraction()?, window },
        "scale" => {
            let gain = number.ok_or_else(|| fail("by how much?"))?;
            LesionSpec::Scale { projection: name, gain, window }
        }
        "noise" => {
            let std = number.filter(|s| *s >= 0.0).ok_or_else(|| fail("how strong? (0 or more)"))?;
            LesionSpec::Noise { population: name, std, window }
        }
        other => {
            return Err(wrong(
                "lesion",
                text,
                "no such lesion",
                did_you_mean(other, ["silence", "cut", "scale", "noise"]),
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lesions_are_read() {
        let ms = |ms| Some(Time { ms });
        let rows: &[(&str, Option<LesionSpec>)] = &[
            (
                "silence=A1.deep",
                Some(LesionSpec::Silence {
                    population: "A1.deep".to_owned(),
                    fraction: 1.0,
                    window: WindowSpec::default(),
                }),
            ),
            (
                "cut=W_K:0.25@..200ms",
                Some(LesionSpec::Cut {
                    projection: "W_K".to_owned(),
                    fraction: 0.25,
                    window: WindowSpec { from: None, until: ms(200.0) },
                }),
            ),
            (
                "scale=W_Q:-2@0.1s..",
                Some(LesionSpec::Scale {
                    projection: "W_Q".to_owned(),
                    gain: -2.0,
                    window: WindowSpec { from: ms(100.0), until: None },
                }),
            ),
            ("scale=W_Q", None),
            ("noise=A1.deep:-1", None),
            ("cut=W_K:1.5", None),
            ("burn=W_K", None),
            ("silence", None),
            ("silence=A@200ms..100ms", None),
            ("silence=A@200", None),
            ("noise=A:nan", None),
        ];
        for (text, want) in rows {
            assert_eq!(lesion(text).ok(), *want, "{text}");
        }
    }
}
