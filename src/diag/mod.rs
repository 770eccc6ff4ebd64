//! Diagnostics: every mistake of a user has a stable code, a place, a message and advice.
//!
//! A [`Diagnostic`] is plain data. It names the code (explained by [`codes`]), the path inside the YAML
//! document (`projections.W_K.to`), the position in the file when there is one, and what to try. Only the
//! command line knows how to draw one on a terminal.
//!
//! **Deliberately absent:** colours, terminals, exit codes of the process.

mod clean;
pub mod codes;
mod nearest;

pub use clean::{clean, clean_lines, escaped_json, is_unclean};
pub use nearest::{did_you_mean, nearest, one_of};

use serde::Serialize;
use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// A place in a text file: 1-based line and column, and the number of characters to underline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Span {
    pub line: u32,
    pub column: u32,
    pub length: u32,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
}

/// What kind of trouble a code stands for; the command line turns it into an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The circuit file is not valid, or the circuit is not attention.
    Circuit,
    /// A file could not be read or written, or holds bad numbers.
    File,
    /// The command line itself is wrong.
    Usage,
    /// It ran, and the answer is no (for example: diverged, `expect` not met).
    Answer,
}

/// One mistake, with its place and advice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable code, for example `C001`; see [`codes::explain`].
    pub code: &'static str,
    pub severity: Severity,
    pub message: String,
    /// Path inside the document, for example `projections.W_K.to`; empty when the document as a whole is meant.
    pub path: String,
    /// The file that it is about, once known.
    pub file: Option<Arc<PathBuf>>,
    /// Where in the file, once known.
    pub span: Option<Span>,
    /// What to try.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A new error without a place; `code` must be one of [`codes::ALL`].
    #[must_use]
    pub fn error(code: &'static str, path: impl Into<String>, message: impl Into<String>) -> Self {
        debug_assert!(codes::explain(code).is_some(), "code {code} is not in the catalogue");
        Self {
            code,
            severity: Severity::Error,
            message: bounded(message.into()),
            path: path.into(),
            file: None,
            span: None,
            help: None,
        }
    }

    /// The same, as a warning: the run goes on.
    #[must_use]
    pub fn warning(code: &'static str, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, path, message) }
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(bounded(help.into()));
        self
    }

    #[must_use]
    pub fn help_if(self, help: Option<String>) -> Self {
        match help {
            Some(help) => self.help(help),
            None => self,
        }
    }

    #[must_use]
    pub fn at(mut self, span: Option<Span>) -> Self {
        self.span = span;
        self
    }

    /// What kind of trouble this is.
    #[must_use]
    pub fn class(&self) -> Class {
        codes::class(self.code)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{word}[{}]", self.code)?;
        match (&self.file, self.span) {
            (Some(file), Some(s)) => write!(f, " {}:{}:{}", file.display(), s.line, s.column)?,
            (Some(file), None) => write!(f, " {}:", file.display())?,
            (None, Some(s)) => write!(f, " {}:{}", s.line, s.column)?,
            (None, None) => {}
        }
        write!(f, " {}", self.message)?;
        if let Some(help) = &self.help {
            write!(f, " ({help})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}

/// Longest message and longest help, in characters: names in them come from a file that may be hostile.
const LONGEST: usize = 600;

/// Cuts the middle out of a text that is too long; what a terminal would act on becomes blank.
fn bounded(mut text: String) -> String {
    if let Cow::Owned(cleaned) = clean(&text) {
        text = cleaned;
    }
    let Some((cut, _)) = text.char_indices().nth(LONGEST) else { return text };
    let tail: String = text.chars().rev().take(LONGEST / 4).collect();
    let head: String = text[..cut].chars().take(LONGEST * 3 / 4 - 5).collect();
    format!("{head} ... {}", tail.chars().rev().collect::<String>())
}

/// Most mistakes that are kept: a file with more is of another kind, and a report of millions helps nobody.
pub const MOST: usize = 200;

/// All mistakes of one stage, in the order of the file; at most [`MOST`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub fn push(&mut self, mut diagnostic: Diagnostic) {
        if self.0.len() + 1 == MOST {
            let help = diagnostic.help.take().unwrap_or_default();
            diagnostic.help = Some(format!("{help}; mistakes beyond {MOST} are not listed"));
        }
        if self.0.len() < MOST {
            self.0.push(diagnostic);
        }
    }

    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|d| d.severity == Severity::Error)
    }

    /// Says of each which file it is about, where that is not known.
    #[must_use]
    pub fn in_file(mut self, file: &Arc<PathBuf>) -> Self {
        for d in self.0.iter_mut().filter(|d| d.file.is_none()) {
            d.file = Some(Arc::clone(file));
        }
        self
    }

    /// Orders by place and drops exact repetitions.
    pub fn sort(&mut self) {
        self.0.sort_by(|a, b| {
            let key = |d: &Diagnostic| d.span.map_or((u32::MAX, u32::MAX), |s| (s.line, s.column));
            key(a).cmp(&key(b)).then_with(|| a.code.cmp(b.code)).then_with(|| a.message.cmp(&b.message))
        });
        self.0.dedup();
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(d: Diagnostic) -> Self {
        Self(vec![d])
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, d) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{d}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}
