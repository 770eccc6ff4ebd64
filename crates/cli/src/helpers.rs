//! `schema`, `explain`, `completions`, `man`.

use super::args::Cli;
use super::report::{Outcome, Reporter};
use clap::CommandFactory;
use pulvinar::diag::{Diagnostic, codes, one_of};
use serde_json::json;
use std::fmt::Write as _;

pub fn schema(out: &Reporter) -> Outcome {
    out.text("schema", &pulvinar::spec::schema::json_schema());
    Ok(0)
}

pub fn explain(code: &Option<String>, out: &Reporter) -> Outcome {
    let Some(code) = code else {
        let mut text = String::new();
        for c in codes::ALL {
            let _ = writeln!(text, "{}  {}", c.code, c.title);
        }
        if out.json {
            let all: Vec<_> = codes::ALL
                .iter()
                .map(|c| json!({"code": c.code, "title": c.title, "text": c.text}))
                .collect();
            let mut rest = serde_json::Map::new();
            rest.insert("codes".to_owned(), json!(all));
            out.object("explain", true, rest);
        } else {
            out.result(&text);
        }
        return Ok(0);
    };
    let Some(c) = codes::explain(code) else {
        return Err(Diagnostic::error(codes::U005, "", format!("no code `{code}`"))
            .help(format!("nearest: {}; `pulvinar explain` lists all codes", one_of(codes::near(code))))
            .into());
    };
    if out.json {
        let mut rest = serde_json::Map::new();
        rest.insert("code".to_owned(), json!(c.code));
        rest.insert("title".to_owned(), json!(c.title));
        rest.insert("text".to_owned(), json!(c.text));
        out.object("explain", true, rest);
    } else {
        out.result(&format!("{}: {}\n\n{}\n", c.code, c.title, c.text));
    }
    Ok(0)
}

pub fn completions(shell: clap_complete::Shell, out: &Reporter) -> Outcome {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "pulvinar", &mut text);
    out.text("completions", &String::from_utf8_lossy(&text));
    Ok(0)
}

pub fn man(out: &Reporter) -> Outcome {
    let mut text = Vec::new();
    // Writing to memory does not fail.
    let _ = clap_mangen::Man::new(Cli::command()).render(&mut text);
    out.text("man", &String::from_utf8_lossy(&text));
    Ok(0)
}
