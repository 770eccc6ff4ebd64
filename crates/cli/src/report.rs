//! How results and diagnostics leave the program: text for people, one JSON object for programs.

use super::args::{Colour, Common, Format};
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use pulvinar::diag::{
    Class, Diagnostic, Diagnostics, Severity, clean, clean_lines, codes, escaped_json, is_unclean,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::OnceLock;

/// Diagnostics of one run.
pub struct Failure {
    pub diagnostics: Diagnostics,
    /// further keys of the JSON object
    pub rest: Map<String, Value>,
}

impl From<Diagnostic> for Failure {
    fn from(d: Diagnostic) -> Self {
        Diagnostics::from(d).into()
    }
}

impl From<Diagnostics> for Failure {
    fn from(diagnostics: Diagnostics) -> Self {
        Self { diagnostics, rest: Map::new() }
    }
}

pub type Outcome = Result<u8, Failure>;

/// Where and how to write.
pub struct Reporter {
    pub json: bool,
    pub quiet: bool,
    verbose: bool,
    colour: bool,
    /// why stdout takes no more
    lost: OnceLock<io::Error>,
}

impl Reporter {
    pub fn new(common: &Common) -> Self {
        Self {
            json: common.format == Format::Json,
            quiet: common.quiet,
            verbose: common.verbose,
            colour: is_coloured(common.color),
            lost: OnceLock::new(),
        }
    }

    /// What a command line that could not be read says about its output.
    pub fn of_words(words: &[String]) -> Self {
        let value = |flag: &str| {
            let mut values = words.iter().enumerate().filter_map(|(i, word)| {
                match word.strip_prefix(flag)?.strip_prefix('=') {
                    Some(value) => Some(value),
                    None if word == flag => words.get(i + 1).map(String::as_str),
                    None => None,
                }
            });
            values.next_back()
        };
        let colour = match value("--color") {
            Some("always") => Colour::Always,
            Some("never") => Colour::Never,
            _ => Colour::Auto,
        };
        Self {
            json: value("--format") == Some("json"),
            quiet: false,
            verbose: false,
            colour: is_coloured(colour),
            lost: OnceLock::new(),
        }
    }

    /// Help, or the version, on stdout.
    pub fn help(&self, text: &clap::builder::StyledStr) {
        if io::stdout().is_terminal() && self.colour {
            self.print(text.ansi().to_string().as_bytes());
        } else {
            self.print(text.to_string().as_bytes());
        }
    }

    /// A command line that could not be read: clap's words, or one JSON object.
    pub fn usage(&self, verb: &str, error: &clap::Error) {
        if self.json {
            let text = error.render().to_string();
            let mut parts = text.trim().splitn(2, "\n\n");
            let message = parts.next().unwrap_or_default();
            let message = message.strip_prefix("error: ").unwrap_or(message);
            let help = parts.next().unwrap_or("see `pulvinar help`").trim();
            let d = Diagnostic::error(codes::U005, "", message).help(help);
            self.failure(verb, &d.into());
            return;
        }
        let text = error.render();
        let mut stderr = std::io::stderr().lock();
        // Words of the command line stand in it as they were given; next to colours they could not be told apart.
        let given = std::env::args_os().any(|word| word.to_string_lossy().chars().any(is_unclean));
        let _ = if self.colour && !given {
            write!(stderr, "{}", text.ansi())
        } else {
            write!(stderr, "{}", clean_lines(&text.to_string()))
        };
    }

    /// A result on stdout.
    pub fn result(&self, text: &str) {
        self.print(clean_lines(text).as_bytes());
    }

    /// Bytes on stdout. What goes wrong is kept for [`Reporter::code`]; after that nothing more is printed.
    pub fn print(&self, bytes: &[u8]) {
        if self.lost.get().is_some() {
            return;
        }
        let mut out = io::stdout().lock();
        if let Err(e) = out.write_all(bytes).and_then(|()| out.flush()) {
            let _ = self.lost.set(e);
        }
    }

    /// The exit code of a verb that would end with `own`: a result that could not be printed is no success. Where nobody
    /// reads any more (a closed pipe, as of `| head`), the answer stands.
    pub fn code(&self, own: u8) -> u8 {
        match self.lost.get() {
            Some(e) if e.kind() != io::ErrorKind::BrokenPipe => {
                let d = Diagnostic::error(
                    codes::F004,
                    "",
                    format!("the result could not be written to stdout: {e}"),
                )
                .help("write to a place with room that can be written, and run it again");
                let d = Diagnostics::from(d);
                self.draw(&d);
                exit_code(&d)
            }
            _ => own,
        }
    }

    /// One JSON object on stdout.
    pub fn object(&self, verb: &str, ok: bool, mut rest: serde_json::Map<String, Value>) {
        let mut object = serde_json::Map::new();
        object.insert("schema".to_owned(), json!(format!("pulvinar.{verb}/1")));
        object.insert("ok".to_owned(), json!(ok));
        object.append(&mut rest);
        self.print(escaped_json(&format!("{}\n", Value::Object(object))).as_bytes());
    }

    /// A result that is text in itself: as it is, or as the value of `text`.
    pub fn text(&self, verb: &str, text: &str) {
        if self.json {
            let mut rest = serde_json::Map::new();
            rest.insert("text".to_owned(), json!(text));
            self.object(verb, true, rest);
        } else {
            self.result(text);
        }
    }

    /// A remark on stderr.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr(), "{}", clean_lines(text));
        }
    }

    /// A remark on stderr for those who asked with `-v`.
    pub fn detail(&self, text: &str) {
        if self.verbose {
            self.note(text);
        }
    }

    /// Reports a failure and returns the exit code.
    pub fn failure(&self, verb: &str, failure: &Failure) -> u8 {
        let code = exit_code(&failure.diagnostics);
        if self.json {
            let list = diagnostics_json(&failure.diagnostics);
            let mut rest = failure.rest.clone();
            rest.insert("diagnostics".to_owned(), list);
            self.object(verb, false, rest);
        } else {
            self.draw(&failure.diagnostics);
        }
        code
    }

    /// Draws diagnostics on stderr, like a compiler's.
    pub fn draw(&self, diagnostics: &Diagnostics) {
        let mut sources: BTreeMap<&Path, Option<String>> = BTreeMap::new();
        let renderer = if self.colour { Renderer::styled() } else { Renderer::plain() };
        let mut stderr = std::io::stderr().lock();
        for d in &diagnostics.0 {
            if self.quiet && d.severity == Severity::Warning {
                continue;
            }
            let source = d
                .file
                .as_ref()
                .and_then(|file| sources.entry(file).or_insert_with(|| source(file)).as_deref());
            let _ = writeln!(stderr, "{}", drawn(&renderer, d, source));
        }
        let errors = diagnostics.0.iter().filter(|d| d.severity == Severity::Error).count();
        if errors > 1 {
            let _ = writeln!(stderr, "\n{errors} errors; `pulvinar explain CODE` says more about each code");
        }
    }
}

fn is_coloured(choice: Colour) -> bool {
    match choice {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => {
            std::io::stderr().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
                && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
        }
    }
}

/// Longest line that is shown in an excerpt.
const SHOWN: usize = 400;

/// The text of a file, for excerpts.
fn source(file: &Path) -> Option<String> {
    let text = String::from_utf8(pulvinar::spec::read_bytes(file).ok()?).ok()?;
    Some(text.trim_start_matches('\u{FEFF}').to_owned())
}

fn drawn(renderer: &Renderer, d: &Diagnostic, source: Option<&str>) -> String {
    let level = match d.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let name = d.file.as_ref().map(|f| clean(&f.display().to_string()).into_owned());
    let mut group = Group::with_title(level.primary_title(d.message.as_str()).id(d.code));
    let line = d.span.and_then(|s| source?.lines().nth(s.line as usize - 1)).filter(|l| l.len() <= SHOWN);
    // Tabs are the renderer's; as many characters as before, so that places stay.
    let line = line.map(|l| l.split('\t').map(clean).collect::<Vec<_>>().join("\t"));
    let line = line.as_deref();
    if let (Some(span), Some(line)) = (d.span, line) {
        let byte = |column: usize| line.char_indices().nth(column).map_or(line.len(), |(i, _)| i);
        let start = span.column.saturating_sub(1) as usize;
        let (from, to) = (byte(start), byte(start + span.length.max(1) as usize));
        let snippet = Snippet::source(line)
            .line_start(span.line as usize)
            .path(name.clone())
            .annotation(AnnotationKind::Primary.span(from..to.max(from)));
        group = group.element(snippet);
    } else if let Some(name) = &name {
        let origin = match d.span {
            Some(s) => annotate_snippets::Origin::path(name.clone())
                .line(s.line as usize)
                .char_column(s.column as usize),
            None => annotate_snippets::Origin::path(name.clone()),
        };
        group = group.element(origin);
    }
    if let Some(help) = &d.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    renderer.render(&[group])
}

/// The contract's form of diagnostics.
pub fn diagnostics_json(diagnostics: &Diagnostics) -> Value {
    let one = |d: &Diagnostic| {
        json!({
            "code": d.code,
            "severity": d.severity,
            "message": d.message,
            "path": d.path,
            "file": d.file.as_ref().map(|f| f.display().to_string()),
            "line": d.span.map(|s| s.line),
            "column": d.span.map(|s| s.column),
            "help": d.help,
        })
    };
    Value::Array(diagnostics.0.iter().map(one).collect())
}

/// 2 for usage, else 3 for the circuit, else 4 for files, else 1.
pub fn exit_code(diagnostics: &Diagnostics) -> u8 {
    let has =
        |class: Class| diagnostics.0.iter().any(|d| d.severity == Severity::Error && d.class() == class);
    if has(Class::Usage) {
        2
    } else if has(Class::Circuit) {
        3
    } else if has(Class::File) {
        4
    } else {
        u8::from(has(Class::Answer))
    }
}

/// A capability that this version does not have: a usage error.
pub fn not_yet(what: &str, instead: &str) -> Failure {
    Diagnostic::error(codes::U004, "", format!("not in this version: {what}")).help(instead).into()
}
