//! Everything that this crate changes on a disk: one function for each kind of change.
//!
//! In builds with debug assertions every change first asks [`fault`], which can be told to fail or to kill the program at
//! the n-th: so the tests see what is left after each. The released program has no such switch.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

/// Creates or empties a file.
pub fn create(path: &Path) -> io::Result<File> {
    step("create", path)?;
    File::create(path)
}

/// Creates a file that is not there yet.
pub fn create_new(path: &Path) -> io::Result<File> {
    step("create", path)?;
    File::options().read(true).write(true).create_new(true).open(path)
}

pub fn create_dir(path: &Path) -> io::Result<()> {
    step("create", path)?;
    fs::create_dir(path)
}

pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    step("rename", to)?;
    fs::rename(from, to)
}

pub fn remove_file(path: &Path) -> io::Result<()> {
    step("remove", path)?;
    fs::remove_file(path)
}

/// Removes an empty folder.
pub fn remove_dir(path: &Path) -> io::Result<()> {
    step("remove", path)?;
    fs::remove_dir(path)
}

pub fn remove_dir_all(path: &Path) -> io::Result<()> {
    step("remove", path)?;
    fs::remove_dir_all(path)
}

/// What was written to a file reaches the disk.
pub fn sync(file: &File, path: &Path) -> io::Result<()> {
    step("sync", path)?;
    file.sync_all()
}

/// The names in a folder reach the disk; where folders cannot be synced there is nothing to do.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    step("sync", path)?;
    match File::open(path).and_then(|folder| folder.sync_all()) {
        Err(e) if !matches!(e.kind(), InvalidInput | PermissionDenied | Unsupported) => Err(e),
        _ => Ok(()),
    }
}

/// A file that is written to.
#[derive(Debug)]
pub struct Written<'a> {
    pub file: &'a File,
    pub path: &'a Path,
}

impl Write for Written<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(e) = step("write", self.path) {
            // A disk that fills up takes a part first.
            self.file.write_all(&bytes[..bytes.len() / 2])?;
            return Err(e);
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Written<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

#[cfg(not(debug_assertions))]
fn step(_: &str, _: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(debug_assertions)]
use fault::step;

/// Failures on request, by the variable `PULVINAR_FAULT`: `error:7` lets the seventh change fail, `dead:7` it and all after it,
/// `full:7` from the seventh on all that need room, `kill:7` ends the program there. What was hit is added to the file that
/// `PULVINAR_FAULT_LOG` names.
#[cfg(debug_assertions)]
mod fault {
    use std::io::{self, Write};
    use std::path::Path;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static CHANGES: AtomicU64 = AtomicU64::new(0);
    static WANTED: OnceLock<Option<(String, u64)>> = OnceLock::new();

    fn wanted() -> Option<(String, u64)> {
        let text = std::env::var("PULVINAR_FAULT").ok()?;
        let (kind, number) = text.split_once(':')?;
        Some((kind.to_owned(), number.parse().ok()?))
    }

    pub fn step(what: &str, path: &Path) -> io::Result<()> {
        let Some((kind, number)) = WANTED.get_or_init(wanted) else { return Ok(()) };
        let n = CHANGES.fetch_add(1, Ordering::SeqCst) + 1;
        let needs_room = matches!(what, "create" | "write" | "sync");
        let hit = match kind.as_str() {
            "dead" => n >= *number,
            "full" => n >= *number && needs_room,
            _ => n == *number,
        };
        if !hit {
            return Ok(());
        }
        if let Some(log) = std::env::var_os("PULVINAR_FAULT_LOG") {
            let file = std::fs::File::options().append(true).create(true).open(log);
            let _ = file.and_then(|mut f| writeln!(f, "{n} {what} {}", path.display()));
        }
        if kind == "kill" {
            #[cfg(unix)]
            let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
            std::process::abort();
        }
        let code = if kind == "full" { io::ErrorKind::StorageFull } else { io::ErrorKind::Other };
        Err(io::Error::new(code, format!("{what} refused")))
    }
}
