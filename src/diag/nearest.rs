//! "Did you mean ...?": the nearest valid name, and lists of what was possible.

/// Edit distance with transpositions (optimal string alignment), on characters, capped at `limit + 1`.
fn distance(a: &str, b: &str, limit: usize) -> usize {
    let a: Vec<char> = a.chars().flat_map(char::to_lowercase).take(64).collect();
    let b: Vec<char> = b.chars().flat_map(char::to_lowercase).take(64).collect();
    if a.len().abs_diff(b.len()) > limit {
        return limit + 1;
    }
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

/// The valid name nearest to `given`, if one is near enough to be a slip of the fingers.
#[must_use]
pub fn nearest<'a>(given: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nearest_of(given, &valid.into_iter().collect::<Vec<_>>())
}

fn nearest_of<'a>(given: &str, valid: &[&'a str]) -> Option<&'a str> {
    let limit = (given.chars().count() / 3).clamp(1, 4);
    // `dk` is nearer to `d_k` than to `d`: a forgotten `_` or `.` is the likelier slip.
    let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
    valid
        .iter()
        .map(|name| (distance(given, name, limit), *name))
        .filter(|(d, _)| *d <= limit)
        .min_by_key(|(d, name)| (*d, letters(name) != letters(given)))
        .map(|(_, name)| name)
}

/// ``did you mean `x`?`` followed by the list of what was possible.
#[must_use]
pub fn did_you_mean<'a>(given: &str, valid: impl IntoIterator<Item = &'a str>) -> String {
    suggest(given, &valid.into_iter().collect::<Vec<_>>())
}

fn suggest(given: &str, valid: &[&str]) -> String {
    let list = list(valid);
    match nearest_of(given, valid) {
        Some(name) => format!("did you mean `{name}`? possible: {list}"),
        None => format!("possible: {list}"),
    }
}

/// Most names in a list of [`one_of`]: all keys of any map of the language.
const LISTED: usize = 24;

/// A list of names for a message, cut after twenty-four.
#[must_use]
pub fn one_of<'a>(valid: impl IntoIterator<Item = &'a str>) -> String {
    list(&valid.into_iter().collect::<Vec<_>>())
}

fn list(all: &[&str]) -> String {
    if all.is_empty() {
        return "(none)".to_owned();
    }
    let shown = all.iter().take(LISTED).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    if all.len() > LISTED { format!("{shown} and {} more", all.len() - LISTED) } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_and_leaves_strangers_alone() {
        let names = ["superficial", "deep", "apical", "basal"];
        assert_eq!(nearest("supreficial", names), Some("superficial"));
        assert_eq!(nearest("Basal", names), Some("basal"));
        assert_eq!(nearest("aipcal", names), Some("apical"));
        assert_eq!(nearest("hippocampus", names), None);
        assert_eq!(nearest("dk", ["d", "d_k", "d_v"]), Some("d_k"));
    }
}
