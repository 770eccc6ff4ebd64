//! Opening with suspicion, and errors that do not know their file yet.

use crate::diag::{Diagnostic, nearest, one_of};
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// What is wrong with a file, before anyone says which file.
#[derive(Clone, Debug)]
pub(crate) struct Bad {
    pub code: &'static str,
    pub message: String,
    pub help: Option<String>,
}

impl Bad {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None }
    }

    /// `F010`, a number that is not finite.
    pub(crate) fn not_finite(what: &str, index: &[usize], number: f64) -> Self {
        Self::new("F010", format!("{what} {index:?} is {number}")).help(
            "every number must be finite; look for a division by zero or an overflow where it was written",
        )
    }

    /// `F007`, malformed.
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::new("F007", message)
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Puts what is meant inside the file in front.
    pub(crate) fn within(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    pub(crate) fn in_file(self, path: &Path) -> Diagnostic {
        let help = self.help.or_else(|| {
            (self.code == "F007")
                .then(|| "the file is damaged or of another format; write it again".to_owned())
        });
        Diagnostic::error(self.code, "", format!("`{}`: {}", path.display(), self.message)).help_if(help)
    }
}

/// An error of reading: `F007` where the file is to blame, `F003` where the system is.
impl From<io::Error> for Bad {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Self::malformed("ends too early")
        } else if error.raw_os_error().is_none() {
            // Not the system but a decoder: a wrong checksum, a broken deflate stream.
            Self::malformed(error.to_string())
        } else {
            Self::new("F003", format!("could not be read: {error}"))
        }
    }
}

/// Opens a regular file of at most `limit` bytes; returns its length.
pub(super) fn open(path: &Path, limit: u64) -> Result<(File, u64), Diagnostic> {
    // Asked before opening: opening a pipe would wait for a writer.
    let about = fs::metadata(path).map_err(|e| refused(path, &e))?;
    if !about.is_file() {
        let what = if about.is_dir() { "is a directory" } else { "is a device, pipe or socket" };
        return Err(Bad::new("F002", format!("{what}, not a file"))
            .help("name the file itself")
            .in_file(path));
    }
    if about.len() > limit {
        return Err(Bad::new("F005", format!("has {} bytes, more than {limit}", about.len()))
            .help("split it, or store it with fewer or smaller numbers")
            .in_file(path));
    }
    super::manifest::trusted(path)?;
    let file = File::open(path).map_err(|e| refused(path, &e))?;
    super::inputs::note(path);
    Ok((file, about.len()))
}

fn refused(path: &Path, error: &io::Error) -> Diagnostic {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            let mut bad = Bad::new("F001", "no such file");
            bad.help = neighbours(path);
            bad.in_file(path)
        }
        io::ErrorKind::PermissionDenied => Bad::new("F003", "permission denied")
            .help("check who may read the file and its folder")
            .in_file(path),
        _ => Bad::new("F003", format!("could not be read: {error}")).in_file(path),
    }
}

/// Files of the same ending beside a missing one.
fn neighbours(path: &Path) -> Option<String> {
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let Ok(entries) = fs::read_dir(folder) else {
        return Some(format!("there is no folder `{}`", folder.display()));
    };
    let mut names: Vec<String> = entries
        .take(10_000)
        .flatten()
        .filter(|e| Path::new(&e.file_name()).extension() == path.extension() && e.path().is_file())
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let all = || names.iter().map(String::as_str);
    let given = path.file_name()?.to_string_lossy();
    match nearest(&given, all()) {
        Some(name) => Some(format!("did you mean `{name}`?")),
        None if names.is_empty() => None,
        None => Some(format!("in that folder: {}", one_of(all()))),
    }
}
