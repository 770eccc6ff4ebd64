//! `report.html`: one page about a run that opens from disk, with pictures inside and nothing to load.
//!
//! - [`Page`]: sections of words, tables and pictures; [`html`] writes them.
//! - `parts`: what runs have in common: circuit, heads, attention maps; and learning curves.
//!
//! **Deliberately absent:** scripts, and computing what is shown.

mod parts;

pub use parts::{circuit, curves, heads, maps};

use crate::figures::canvas::svg::escaped;
use crate::figures::font::{Face, style_sheet};
use std::fmt::Write as _;

/// A page about one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    pub title: String,
    /// what the circuit is, in a sentence of its file
    pub about: Option<String>,
    /// name and value
    pub facts: Vec<(String, String)>,
    pub sections: Vec<Section>,
}

/// A part of a page.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    pub heading: String,
    pub words: Vec<String>,
    pub body: Vec<Body>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// SVG text without fonts of its own
    Picture(String),
    Table {
        head: Vec<String>,
        rows: Vec<Vec<String>>,
    },
}

/// Letters of pictures are as wide as they were measured, whatever their size on a screen.
const STYLE: &str = "body{font:15px/1.45 \"DejaVu Sans\",Verdana,sans-serif;color:#282828;max-width:1000px;\
    margin:2em auto;padding:0 1em}h1{font-size:1.5em;margin-bottom:.2em}h2{font-size:1.15em;margin-top:2em}\
    table{border-collapse:collapse;font-size:.85em}td,th{padding:.2em .9em .2em 0;text-align:left;border-bottom:\
    1px solid #ddd}td.n{text-align:right;font-variant-numeric:tabular-nums}svg{max-width:100%;height:auto}\
    .wide{overflow-x:auto}text{text-rendering:geometricPrecision}";

/// The page as text of a file.
#[must_use]
pub fn html(page: &Page) -> String {
    let mut text = String::from("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    let title = escaped(&page.title);
    let _ = writeln!(text, "<title>{title}</title>\n<link rel=\"icon\" href=\"data:,\">");
    let _ = writeln!(
        text,
        "<style>{}{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>",
        style_sheet(&Face::ALL[..2])
    );
    if let Some(about) = &page.about {
        let _ = writeln!(text, "<p>{}</p>", escaped(about));
    }
    let facts: Vec<Vec<String>> = page.facts.iter().map(|(n, v)| vec![n.clone(), v.clone()]).collect();
    if !facts.is_empty() {
        table(&mut text, &[], &facts);
    }
    for section in &page.sections {
        let _ = writeln!(text, "<h2>{}</h2>", escaped(&section.heading));
        for words in &section.words {
            let _ = writeln!(text, "<p>{}</p>", escaped(words));
        }
        for body in &section.body {
            match body {
                Body::Picture(svg) => {
                    let _ = writeln!(text, "<div class=\"wide\">{svg}</div>");
                }
                Body::Table { head, rows } => table(&mut text, head, rows),
            }
        }
    }
    text + "</body>\n</html>\n"
}

fn table(text: &mut String, head: &[String], rows: &[Vec<String>]) {
    text.push_str("<div class=\"wide\"><table>\n");
    if !head.is_empty() {
        let cells: String = head.iter().map(|c| format!("<th>{}</th>", escaped(c))).collect();
        let _ = writeln!(text, "<tr>{cells}</tr>");
    }
    for row in rows {
        let cell = |c: &String| {
            let class = if !head.is_empty() && c.parse::<f64>().is_ok() { " class=\"n\"" } else { "" };
            format!("<td{class}>{}</td>", escaped(c))
        };
        let _ = writeln!(text, "<tr>{}</tr>", row.iter().map(cell).collect::<String>());
    }
    text.push_str("</table></div>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_write_stays_words() {
        let bad = "<script>alert(1)</script> & \"x\" 'y'\u{0}";
        let page = Page {
            title: bad.to_owned(),
            about: Some(bad.to_owned()),
            facts: vec![(bad.to_owned(), bad.to_owned())],
            sections: vec![Section {
                heading: bad.to_owned(),
                words: vec![bad.to_owned()],
                body: vec![Body::Table {
                    head: vec![bad.to_owned()],
                    rows: vec![vec![bad.to_owned(), "1.5".into()]],
                }],
            }],
        };
        let text = html(&page);
        assert!(!text.contains("<script") && !text.contains('\u{0}') && !text.contains(" & "));
        assert_eq!(text.matches("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;x&quot;").count(), 9);
        assert!(text.contains("<td class=\"n\">1.5</td>"));
    }
}
