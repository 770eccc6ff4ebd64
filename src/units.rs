//! Units at the border: YAML says `10 ms`, the inside uses plain `f64` with the unit in the name.

/// Parses a time such as `10 ms`, `0.2 s` or `500us` to milliseconds.
///
/// # Errors
/// Says what is wrong with the text: no number, no unit, or an unknown unit.
pub fn parse_time_ms(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let split = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-' | 'e' | 'E')))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let value: f64 = number.trim().parse().map_err(|_| format!("`{text}` does not start with a number"))?;
    let factor = match unit.trim() {
        "ms" => 1.0,
        "s" => 1000.0,
        "us" | "µs" => 1e-3,
        "" => return Err(format!("`{text}` has no unit")),
        other => return Err(format!("`{other}` is not a unit of time")),
    };
    let ms = value * factor;
    if ms.is_finite() { Ok(ms) } else { Err(format!("`{text}` is not finite")) }
}

/// Parses a number with one of these units; the factors lead to the unit used inside.
///
/// # Errors
/// Says what is wrong with the text: no number, no unit, or another unit.
pub fn parse(text: &str, units: &[(&str, f64)]) -> Result<f64, String> {
    let text = text.trim();
    let split = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-' | 'e' | 'E')))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let value: f64 = number.trim().parse().map_err(|_| format!("`{text}` does not start with a number"))?;
    let factor = match (unit.trim(), units.iter().find(|(name, _)| *name == unit.trim())) {
        (_, Some((_, factor))) => factor,
        ("", None) => return Err(format!("`{text}` has no unit")),
        (other, None) => return Err(format!("`{other}` is not one of its units")),
    };
    let value = value * factor;
    if value.is_finite() { Ok(value) } else { Err(format!("`{text}` is not finite")) }
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
            ("no unit is refused", "10", None),
            ("another unit is refused", "10 mV", None),
            ("words are refused", "soon", None),
            ("infinity is refused", "1e999 ms", None),
        ];
        for (claim, text, want) in rows {
            assert_eq!(parse_time_ms(text).ok(), *want, "{claim}");
        }
    }
}
