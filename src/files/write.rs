//! Writing under a temporary name, then renaming.

use super::disk::{self, Written};
use super::{Bad, stage};
use crate::diag::Diagnostic;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Files and folders that are not finished have names that begin so.
pub(super) const PREFIX: &str = ".writing-";
/// Temporary files have names that end so.
const SUFFIX: &str = ".tmp";

/// What the closure of [`atomic_write`] writes to; it can also seek.
pub type Sink<'a> = BufWriter<Written<'a>>;

/// Writes a file whole or not at all.
///
/// The bytes go to a temporary file in the same folder, are flushed and synced, and the file is then renamed. If
/// anything fails, the earlier file is untouched and the temporary one is removed. Permissions are those of any
/// new file (0666 less the umask); a symbolic link is followed. In the folder of a [`stage`], which nobody reads before
/// it is whole, the file is written as it is.
///
/// # Errors
/// `F004` when the system or `write` refuses, `F002` when a directory or device has that name.
pub fn atomic_write<F>(path: &Path, write: F) -> Result<(), Diagnostic>
where
    F: FnOnce(&mut Sink<'_>) -> io::Result<()>,
{
    let target = target(path)?;
    place(&target, write).map_err(|e| refused(path, &e))
}

/// Writes to a device or pipe, as it comes.
///
/// # Errors
/// `F004` when the system refuses.
pub fn write_device(path: &Path, bytes: &[u8]) -> Result<(), Diagnostic> {
    let write = || {
        let file = File::options().write(true).open(path)?;
        let mut to = Written { file: &file, path };
        to.write_all(bytes)?;
        to.flush()
    };
    write().map_err(|e| refused(path, &e))
}

/// `F004` for an error of the system.
pub(super) fn refused(path: &Path, error: &io::Error) -> Diagnostic {
    let folder = parent(path);
    let help = match error.kind() {
        io::ErrorKind::NotFound if !folder.is_dir() => {
            Some(format!("there is no folder `{}`", folder.display()))
        }
        io::ErrorKind::PermissionDenied => Some(format!("may you write in `{}`?", folder.display())),
        io::ErrorKind::StorageFull => Some("the disk is full; the earlier file, if any, is untouched".into()),
        io::ErrorKind::FileTooLarge => Some(
            "files may not grow so large here (`ulimit -f`); the earlier one, if any, is untouched".into(),
        ),
        _ => None,
    };
    let mut bad = Bad::new("F004", format!("could not be written: {error}"));
    bad.help = help;
    bad.in_file(path)
}

/// Removes temporary files in a folder whose writers are dead; those of living ones are locked.
pub fn remove_unfinished(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_temporary = name.to_str().is_some_and(|n| n.starts_with(PREFIX) && n.ends_with(SUFFIX));
        if is_temporary && let Ok(file) = File::open(entry.path()) {
            let is_dead = file.try_lock().is_ok();
            if is_dead {
                // It does no harm if it stays.
                let _ = disk::remove_file(&entry.path());
            }
        }
    }
}

pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

/// A name in `folder` that nobody else has.
pub(super) fn unique(folder: &Path, prefix: &str, suffix: &str) -> PathBuf {
    use std::hash::{BuildHasher, RandomState};
    // A hasher is seeded anew by the system each time.
    let number = RandomState::new().hash_one(std::process::id());
    folder.join(format!("{prefix}{number:016x}{suffix}"))
}

/// The path to rename to: renaming over a link would replace the link, over a device the device.
fn target(path: &Path) -> Result<PathBuf, Diagnostic> {
    match fs::metadata(path) {
        Ok(about) if !about.is_file() => {
            let what = if about.is_dir() { "a directory" } else { "a device, pipe or socket" };
            Err(Bad::new("F002", format!("is {what}; it cannot be replaced by a file"))
                .help("give the name of a file")
                .in_file(path))
        }
        Ok(_) if path.is_symlink() => Ok(fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())),
        _ => Ok(path.to_owned()),
    }
}

fn place<F>(target: &Path, write: F) -> io::Result<()>
where
    F: FnOnce(&mut Sink<'_>) -> io::Result<()>,
{
    if target.file_name().is_none() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no file name"));
    }
    let folder = parent(target);
    if stage::is_stage(folder) {
        return fill(&disk::create(target)?, target, write);
    }
    let (file, path) = temporary(folder)?;
    stage::begun(&path);
    let done = fill(&file, &path, write).and_then(|()| disk::rename(&path, target));
    if done.is_err() {
        let _ = disk::remove_file(&path);
    }
    stage::ended(&path);
    // The rename itself reaches the disk with the folder.
    done.and_then(|()| disk::sync_dir(folder))
}

fn fill<F>(file: &File, path: &Path, write: F) -> io::Result<()>
where
    F: FnOnce(&mut Sink<'_>) -> io::Result<()>,
{
    let mut sink = BufWriter::with_capacity(1 << 16, Written { file, path });
    let done = write(&mut sink).and_then(|()| sink.flush());
    // What a failure left in the buffer is not tried again.
    let _ = sink.into_parts();
    done?;
    disk::sync(file, path)
}

/// A new file that is locked as long as its writer lives.
fn temporary(folder: &Path) -> io::Result<(File, PathBuf)> {
    loop {
        let path = unique(folder, PREFIX, SUFFIX);
        match disk::create_new(&path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
            Ok(file) => {
                // Where there are no locks, nobody can take it for dead by one.
                let locked = file.try_lock();
                let taken = matches!(locked, Err(fs::TryLockError::WouldBlock)) || !path.exists();
                // Somebody who cleans up was faster than the lock.
                if !taken {
                    return Ok((file, path));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{code, folder};
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_earlier_file_and_no_rubbish() {
        let dir = folder();
        let path = dir.path().join("a.csv");
        atomic_write(&path, |w| w.write_all(b"first")).unwrap();
        let error = atomic_write(&path, |w| {
            w.write_all(&[b'x'; 1 << 17])?;
            Err(io::Error::other("power cut"))
        })
        .unwrap_err();
        assert_eq!(error.code, "F004");
        assert!(error.message.contains("power cut") && error.message.contains("a.csv"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        atomic_write(&path, |w| w.write_all(b"second")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
    }

    #[test]
    fn what_killed_writers_left_is_removed_and_nothing_else() {
        let dir = folder();
        for name in [".writing-x1.tmp", ".writing-x1", "a.tmp", "a.csv"] {
            fs::write(dir.path().join(name), b"x").unwrap();
        }
        // Another writer is at work there.
        let (_file, living) = temporary(dir.path()).unwrap();
        remove_unfinished(dir.path());
        remove_unfinished(&dir.path().join("none"));
        let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
        left.sort();
        let mut want = vec![living];
        want.extend([".writing-x1", "a.csv", "a.tmp"].map(|name| dir.path().join(name)));
        want.sort();
        assert_eq!(left, want);
    }

    #[test]
    fn places_that_cannot_be_written() {
        let dir = folder();
        let missing = atomic_write(&dir.path().join("no/a.csv"), |_| Ok(())).unwrap_err();
        assert_eq!(missing.code, "F004");
        assert!(missing.help.unwrap().contains("no folder"));
        assert_eq!(code(atomic_write(dir.path(), |_| Ok(()))), "F002");
        assert_eq!(code(atomic_write(Path::new(""), |_| Ok(()))), "F004");
    }

    #[cfg(unix)]
    #[test]
    fn permissions_links_and_devices() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = folder();
        let (plain, ours) = (dir.path().join("plain"), dir.path().join("ours"));
        fs::write(&plain, b"x").unwrap();
        atomic_write(&ours, |w| w.write_all(b"x")).unwrap();
        let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&ours), mode(&plain));
        let link = dir.path().join("link");
        symlink(&plain, &link).unwrap();
        atomic_write(&link, |w| w.write_all(b"through")).unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&plain).unwrap(), b"through");
        assert_eq!(code(atomic_write(Path::new("/dev/null"), |_| Ok(()))), "F002");
    }
}
