//! Units at the border: YAML says `10 ms`, the inside uses plain `f64` with the unit in the name.

/// Parses a time such as `10 ms`, `0.2 s` or `500us` to milliseconds.
///
/// # Errors
/// Says what is wrong with the text: no number, no unit, or an unknown unit.
pub fn parse_time_ms(text: &str) -> Result<f64, String> {
    let (value, unit) = split(text)?;
    let factor = match unit.as_str() {
        "ms" => 1.0,
        "s" => 1000.0,
        "us" => 1e-3,
        other => return Err(format!("`{other}` is not a unit of time")),
    };
    finite(value * factor, text)
}

/// Parses a number with one of these units; the factors lead to the unit used inside.
///
/// # Errors
/// Says what is wrong with the text: no number, no unit, or another unit.
pub fn parse(text: &str, units: &[(&str, f64)]) -> Result<f64, String> {
    let (value, unit) = split(text)?;
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("`{unit}` is not one of its units"));
    };
    finite(value * factor, text)
}

/// The number and its unit. Micro is `u`: both signs that Unicode has for it, U+00B5 and the Greek letter U+03BC, are read as that.
fn split(text: &str) -> Result<(f64, String), String> {
    let text = text.trim();
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-' | 'e' | 'E')))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let value = number.parse().map_err(|_| format!("`{text}` does not start with a number"))?;
    match unit.trim() {
        "" => Err(format!("`{text}` has no unit")),
        unit => Ok((value, unit.replace(['\u{b5}', '\u{3bc}'], "u"))),
    }
}

fn finite(value: f64, text: &str) -> Result<f64, String> {
    if value.is_finite() { Ok(value) } else { Err(format!("`{}` is not finite", text.trim())) }
}

/// The text form of a time in milliseconds.
#[must_use]
pub fn format_time_ms(ms: f64) -> String {
    format!("{ms} ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times() {
        let rows: &[(&str, &str, Option<f64>)] = &[
            ("milliseconds", "10 ms", Some(10.0)),
            ("seconds", "0.2 s", Some(200.0)),
            ("no space, exponent", "1e3us", Some(1.0)),
            ("the sign for micro", "500 \u{b5}s", Some(0.5)),
            ("the Greek letter", "10000 \u{3bc}s", Some(10.0)),
            ("blanks around it", " 10000\u{a0}\u{3bc}s ", Some(10.0)),
            ("micro of nothing", "5 \u{3bc}", None),
            ("no unit is refused", "10", None),
            ("another unit is refused", "10 mV", None),
            ("words are refused", "soon", None),
            ("infinity is refused", "1e999 ms", None),
        ];
        for (claim, text, want) in rows {
            assert_eq!(parse_time_ms(text).ok(), *want, "{claim}");
        }
    }

    #[test]
    fn reads_units_of_a_table_with_either_sign_for_micro() {
        let units = [("mV", 1.0), ("uV", 1e-3), ("V", 1e3)];
        for text in ["-70000 uV", "-70000 \u{b5}V", "-70000\u{3bc}V", "-70 mV", "-0.07 V"] {
            let value = parse(text, &units).unwrap();
            assert!((value + 70.0).abs() < 1e-12, "{text}: {value}");
        }
        for text in ["-70", "-70 \u{3bc}A", "\u{3bc}V", "1e400 V"] {
            assert!(parse(text, &units).is_err(), "{text}");
        }
    }
}
