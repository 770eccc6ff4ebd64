//! Is a figure the same as the one that was kept? Numbers within tolerances, words to the letter, places within a pixel.
//!
//! **Deliberately absent:** reading files.

use pulvinar::files::csv::split;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Places in a drawing differ by less than this, in units of it: one pixel.
const PLACE: f64 = 8.0;
/// Relative difference of numbers that are the same to nine digits.
const DIGITS: f64 = 1e-9;

/// How a table differs from the kept one: names and rows exactly; numbers to nine digits, or within `tolerance` of the
/// largest number of their column and series.
#[must_use]
pub fn tables(drawn: &str, kept: &str, tolerance: f64) -> Vec<String> {
    // A line whose quotes do not close is one cell.
    let cells = |line: &str| {
        split(line).map_or_else(|| vec![line.to_owned()], |c| c.into_iter().map(Cow::into_owned).collect())
    };
    let rows = |text: &str| text.lines().map(cells).collect::<Vec<Vec<String>>>();
    let (drawn, kept) = (rows(drawn), rows(kept));
    let mut wrong = Vec::new();
    if drawn.len() != kept.len() {
        wrong.push(format!(
            "{} rows, kept are {}",
            drawn.len().saturating_sub(1),
            kept.len().saturating_sub(1)
        ));
    }
    let largest = largest(&kept);
    for (line, (a, b)) in drawn.iter().zip(&kept).enumerate() {
        if a.len() != b.len() {
            wrong.push(format!("line {}: {} cells, kept are {}", line + 1, a.len(), b.len()));
            continue;
        }
        for (column, (x, y)) in a.iter().zip(b).enumerate() {
            let same = match (x.parse::<f64>(), y.parse::<f64>()) {
                (Ok(u), Ok(v)) if u.is_finite() && v.is_finite() => {
                    let most = largest.get(&key(b, column)).copied().unwrap_or(0.0);
                    (u - v).abs() <= (DIGITS * v.abs()).max(tolerance * most)
                }
                _ => x == y,
            };
            if !same {
                let name = kept.first().and_then(|h| h.get(column)).map_or("", String::as_str);
                wrong.push(format!("line {}, {name}: {x}, kept is {y}", line + 1));
            }
        }
    }
    wrong
}

/// Panel, series and column.
fn key(row: &[String], column: usize) -> (String, String, usize) {
    let cell = |k: usize| row.get(k).cloned().unwrap_or_default();
    (cell(0), cell(1), column)
}

fn largest(rows: &[Vec<String>]) -> BTreeMap<(String, String, usize), f64> {
    let mut all = BTreeMap::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            if let Some(x) = cell.parse::<f64>().ok().filter(|x| x.is_finite()) {
                let most = all.entry(key(row, column)).or_insert(0.0f64);
                *most = most.max(x.abs());
            }
        }
    }
    all
}

/// One element of a drawing: its tag with attributes, and the words in it.
#[derive(Debug, PartialEq)]
struct Element<'a> {
    tag: &'a str,
    attributes: Vec<(&'a str, &'a str)>,
    words: &'a str,
}

/// How a drawing differs from the kept one: the same elements with the same words and colours, no place further than a
/// pixel away. Lines may have other points in between.
#[must_use]
pub fn drawings(drawn: &str, kept: &str) -> Vec<String> {
    let (drawn, kept) = (elements(drawn), elements(kept));
    let mut wrong = Vec::new();
    if drawn.len() != kept.len() {
        wrong.push(format!("{} elements, kept are {}", drawn.len(), kept.len()));
    }
    for (number, (a, b)) in drawn.iter().zip(&kept).enumerate() {
        if a.tag != b.tag {
            wrong.push(format!("element {number}: <{}>, kept is <{}>", a.tag, b.tag));
            return wrong;
        }
        // Fonts, and what stands beside the picture.
        if matches!(a.tag, "style" | "desc") {
            continue;
        }
        if a.words != b.words {
            wrong.push(format!("element {number}, <{}>: `{}`, kept is `{}`", a.tag, a.words, b.words));
        }
        if a.attributes.len() != b.attributes.len() {
            wrong.push(format!("element {number}, <{}>: other attributes", a.tag));
            continue;
        }
        for ((name, x), (other, y)) in a.attributes.iter().zip(&b.attributes) {
            if name != other || !alike(name, x, y) {
                let short = |t: &str| t.chars().take(60).collect::<String>();
                wrong.push(format!(
                    "element {number}, <{}>: {name}=\"{}\", kept is {other}=\"{}\"",
                    a.tag,
                    short(x),
                    short(y)
                ));
            }
        }
    }
    wrong
}

fn elements(svg: &str) -> Vec<Element<'_>> {
    let mut all = Vec::new();
    for part in svg.split('<').skip(1) {
        let Some((inside, words)) = part.split_once('>') else { continue };
        if inside.starts_with(['/', '!', '?']) {
            continue;
        }
        let inside = inside.trim_end_matches('/');
        let (tag, mut rest) = inside.split_once([' ', '\n']).unwrap_or((inside, ""));
        let mut attributes = Vec::new();
        while let Some((name, after)) = rest.split_once("=\"") {
            let Some((value, after)) = after.split_once('"') else { break };
            attributes.push((name.trim(), value));
            rest = after;
        }
        all.push(Element { tag, attributes, words: words.trim() });
    }
    all
}

/// Two values of an attribute.
fn alike(name: &str, a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    match name {
        "points" => {
            let (a, b) = (points(a), points(b));
            near(&a, &b) && near(&b, &a)
        }
        "x" | "y" | "cx" | "cy" | "r" | "x1" | "y1" | "x2" | "y2" | "width" | "height" | "transform" => {
            let (a, b) = (numbers(a), numbers(b));
            a.len() == b.len() && !a.is_empty() && a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= PLACE)
        }
        // Colours of a map follow its numbers.
        "fill" => match (colour(a), colour(b)) {
            (Some(a), Some(b)) => a.iter().zip(&b).all(|(a, b)| a.abs_diff(*b) <= 1),
            _ => false,
        },
        _ => false,
    }
}

fn numbers(text: &str) -> Vec<f64> {
    let parts = text.split(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-'));
    parts.filter_map(|p| p.parse().ok()).collect()
}

fn colour(text: &str) -> Option<[u8; 3]> {
    let hex = text.strip_prefix('#').filter(|h| h.len() == 6)?;
    let part = |k: usize| u8::from_str_radix(hex.get(k..k + 2)?, 16).ok();
    Some([part(0)?, part(2)?, part(4)?])
}

fn points(text: &str) -> Vec<(f64, f64)> {
    numbers(text).chunks_exact(2).map(|p| (p[0], p[1])).collect()
}

/// Is every point of a line within a pixel of the other line?
fn near(points: &[(f64, f64)], line: &[(f64, f64)]) -> bool {
    points.iter().all(|p| {
        let ends = line.iter().any(|q| (p.0 - q.0).hypot(p.1 - q.1) <= PLACE);
        ends || line.windows(2).any(|s| distance(*p, s[0], s[1]) <= PLACE)
    })
}

fn distance(p: (f64, f64), a: (f64, f64), b: (f64, f64)) -> f64 {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let length = dx * dx + dy * dy;
    let t =
        if length == 0.0 { 0.0 } else { (((p.0 - a.0) * dx + (p.1 - a.1) * dy) / length).clamp(0.0, 1.0) };
    (p.0 - a.0 - t * dx).hypot(p.1 - a.1 - t * dy)
}

/// Is a page the same but for its numbers?
#[must_use]
pub fn pages(drawn: &str, kept: &str) -> Vec<String> {
    let plain = |t: &str| t.chars().filter(|c| !c.is_ascii_digit() && *c != '.').collect::<String>();
    let mut wrong: Vec<String> = Vec::new();
    if drawn.lines().count() != kept.lines().count() {
        wrong.push(format!("{} lines, kept are {}", drawn.lines().count(), kept.lines().count()));
    }
    for (number, (a, b)) in drawn.lines().zip(kept.lines()).enumerate() {
        if plain(a) != plain(b) {
            wrong.push(format!("line {}: other words", number + 1));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_differ_beyond_their_tolerance() {
        let table = |y: &str| {
            format!("panel,series,x,y\nA,one,1.0,{y}\nA,one,2.0,100.0\nA,\"two, three\",2.0,1e-3\n")
        };
        let kept = table("5.0");
        for (drawn, tolerance, differs) in [
            ("5.0", 0.0, false),
            ("5.000000001", 0.0, false),
            ("5.0000001", 0.0, true),
            ("5.00000005", 1e-9, false),
            ("5.001", 1e-6, true),
            ("", 1.0, true),
            ("five", 1.0, true),
        ] {
            let wrong = tables(&table(drawn), &kept, tolerance);
            assert_eq!(!wrong.is_empty(), differs, "{drawn}: {wrong:?}");
            assert!(wrong.iter().all(|w| w.starts_with("line 2, y: ")), "{wrong:?}");
        }
        assert_eq!(
            tables(&kept.replace("two", "2"), &kept, 1.0),
            ["line 4, series: 2, three, kept is two, three"]
        );
        assert_eq!(tables("panel,series,x,y\n", &kept, 1.0), ["0 rows, kept are 3"]);
    }

    #[test]
    fn drawings_differ_by_words_and_places() {
        let kept = "<svg width=\"80\"><style>a</style><polyline points=\"0,0 80,0 80,80 \"/><text x=\"16\" \
                    fill=\"#102030\">\nrate\n</text></svg>";
        let same = |from: &str, to: &str| drawings(&kept.replacen(from, to, 1), kept).is_empty();
        assert!(same("", "") && same("16", "20") && same(">a<", ">b<"));
        assert!(same("80,0 80,80", "40,3 80,0 80,80"), "a point more on the same line");
        assert!(same("#102030", "#112030"));
        assert!(!same("rate", "rates") && !same("x=\"16\"", "x=\"32\"") && !same("80,80 ", "80,60 "));
        assert!(!same("#102030", "#902030") && !same("<text", "<circle") && !same("</svg>", "<g/></svg>"));
    }

    #[test]
    fn pages_may_have_other_numbers() {
        assert!(pages("n = 12 tokens\n", "n = 13 tokens\n").is_empty());
        assert_eq!(pages("n = 12 tokens\n", "n = 12 heads\n").len(), 1);
    }
}
