//! Writing under a temporary name, then renaming.

use super::Bad;
use crate::diag::Diagnostic;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Temporary files have these names.
const PREFIX: &str = ".writing-";
const SUFFIX: &str = ".tmp";

/// What the closure of [`atomic_write`] writes to; it can also seek.
pub type Sink<'a> = BufWriter<&'a File>;

/// Writes a file whole or not at all.
///
/// The bytes go to a temporary file in the same folder, are flushed and synced, and the file is then renamed. If
/// anything fails, the earlier file is untouched and the temporary one is removed. Permissions are those of any
/// new file (0666 less the umask); a symbolic link is followed.
///
/// # Errors
/// `F004` when the system or `write` refuses, `F002` when a directory or device has that name.
pub fn atomic_write<F>(path: &Path, write: F) -> Result<(), Diagnostic>
where
    F: FnOnce(&mut Sink<'_>) -> io::Result<()>,
{
    let target = target(path)?;
    place(&target, write).map_err(|error| {
        let folder = parent(&target);
        let help = match error.kind() {
            io::ErrorKind::NotFound if !folder.is_dir() => {
                Some(format!("there is no folder `{}`", folder.display()))
            }
            io::ErrorKind::PermissionDenied => Some(format!("may you write in `{}`?", folder.display())),
            io::ErrorKind::StorageFull => {
                Some("the disk is full; the earlier file, if any, is untouched".into())
            }
            _ => None,
        };
        let mut bad = Bad::new("F004", format!("could not be written: {error}"));
        bad.help = help;
        bad.in_file(path)
    })
}

/// Removes what writers that were killed left in a folder. Nobody else may be writing there.
pub fn remove_unfinished(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(|n| n.starts_with(PREFIX) && n.ends_with(SUFFIX)) {
            // It does no harm if it stays.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
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
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let temporary = builder.tempfile_in(folder)?;
    let mut sink = BufWriter::with_capacity(1 << 16, temporary.as_file());
    write(&mut sink)?;
    sink.flush()?;
    drop(sink);
    temporary.as_file().sync_all()?;
    temporary.persist(target).map_err(|e| e.error)?;
    // The rename itself reaches the disk with the folder; where folders cannot be synced there is nothing to do.
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(())
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
        remove_unfinished(dir.path());
        remove_unfinished(&dir.path().join("none"));
        let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".writing-x1", "a.csv", "a.tmp"]);
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
