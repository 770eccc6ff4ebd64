//! The right to write in a folder: one writer at a time.
//!
//! A lock file in the folder says who has it; the system lets go of the lock when the writer dies, however it does. What a
//! dead writer left is put in order by the next one, or by whoever reads there next ([`settle`]).

use super::stage::{LIST, begun, clear, ended, moves, stages};
use super::write::{PREFIX, parent, refused, remove_unfinished, unique};
use super::{Bad, Stage, disk, not_an_input};
use crate::diag::Diagnostic;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What claims the folder.
const LOCK: &str = ".writing.lock";
/// Looks at a folder that is being written, and the pause between them.
const LOOKS: usize = 200;
const PAUSE: Duration = Duration::from_millis(10);
/// Looks at a claim of somebody else.
const PATIENCE: usize = 10;

/// The right to write in a folder.
#[derive(Debug)]
pub struct Claim {
    folder: PathBuf,
    /// tells the results of one folder apart; empty where the whole folder is one result
    key: String,
    lock: Option<(File, PathBuf)>,
    /// folders that were made for it, the innermost last
    made: Vec<PathBuf>,
    /// files of an earlier result that this one goes on with
    own: bool,
    /// moves are left to whoever comes next
    stuck: AtomicBool,
}

impl Claim {
    /// Claims a run directory, which is made with its parents if it is not there.
    ///
    /// # Errors
    /// `F011` if it holds anything (hidden files too) and `force` is false; `F021` if another program writes there; `F004` if
    /// it cannot be made or looked into, or a file has that name.
    pub fn of(folder: &Path, force: bool) -> Result<Self, Diagnostic> {
        let made = make(folder)?;
        let claim = Self::locked(folder, "", false, made)?;
        claim.recover()?;
        remove_unfinished(folder);
        let names = claim.names()?;
        match names.iter().min() {
            Some(first) if !force => Err(Bad::new(
                "F011",
                format!("the output directory is not empty (it holds {}, `{first}` first)", names.len()),
            )
            .help("give another -o directory, or --force to replace what is there")
            .in_file(folder)),
            _ => Ok(claim),
        }
    }

    /// Claims a run directory to go on with what it holds.
    ///
    /// # Errors
    /// As [`Claim::of`].
    pub fn again(folder: &Path) -> Result<Self, Diagnostic> {
        let mut claim = Self::locked(folder, "", false, Vec::new())?;
        claim.own = true;
        claim.recover()?;
        remove_unfinished(folder);
        Ok(claim)
    }

    /// Claims the right to write `file` and those beside it that belong to it.
    ///
    /// # Errors
    /// `F021` if another program does so, `F004` if the folder cannot be written.
    pub fn beside(file: &Path) -> Result<Self, Diagnostic> {
        let key = file.file_name().unwrap_or_default().to_string_lossy().replace(['-', '.'], "_");
        let claim = Self::locked(parent(file), &key, false, Vec::new())?;
        claim.recover()?;
        Ok(claim)
    }

    /// Claims a folder of many results, and waits until nobody else writes there; what is there stays.
    ///
    /// # Errors
    /// `F004` if it cannot be made or written.
    pub fn waiting(folder: &Path) -> Result<Self, Diagnostic> {
        let made = make(folder)?;
        let claim = Self::locked(folder, "", true, made)?;
        claim.recover()?;
        Ok(claim)
    }

    fn locked(folder: &Path, key: &str, wait: bool, made: Vec<PathBuf>) -> Result<Self, Diagnostic> {
        let name = if key.is_empty() { LOCK.to_owned() } else { format!("{PREFIX}{key}.lock") };
        let path = folder.join(name);
        let mut claim = Self {
            folder: folder.to_owned(),
            key: key.to_owned(),
            lock: None,
            made,
            own: false,
            stuck: AtomicBool::new(false),
        };
        let mut looks = 0;
        loop {
            // Made before it can be locked: whoever removes one holds it, and is told apart below.
            let file = match File::options().read(true).write(true).open(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => match disk::create_new(&path) {
                    Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                    other => other,
                },
                other => other,
            };
            let file = file.map_err(|e| {
                // The lock is nothing that anybody asked for.
                let mut d = refused(&path, &e);
                d.message = d.message.replace(&path.display().to_string(), &folder.display().to_string());
                d
            })?;
            let locked = if wait { file.lock().map_err(TryLockError::Error) } else { file.try_lock() };
            if matches!(locked, Err(TryLockError::WouldBlock)) {
                // A reader that puts the folder in order lets go at once.
                looks += 1;
                if looks > PATIENCE {
                    return Err(taken(folder));
                }
                std::thread::sleep(PAUSE);
                continue;
            }
            // Where there are no locks, there is one writer by agreement.
            if is_at(&file, &path) {
                begun(&path);
                claim.lock = Some((file, path));
                return Ok(claim);
            }
        }
    }

    /// Names in the folder, but for the lock.
    fn names(&self) -> Result<Vec<String>, Diagnostic> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(|e| unmade(&self.folder, &e))? {
            let entry = entry.map_err(|e| unmade(&self.folder, &e))?;
            if entry.file_name() != LOCK {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(names)
    }

    /// Completes moves that another writer did not live to finish, and removes what it left.
    fn recover(&self) -> Result<(), Diagnostic> {
        for work in stages(&self.folder, &self.key) {
            let done = match moves(&work) {
                Some(moves) => moves.play(&self.folder, &work).map(|()| clear(&work)),
                None => disk::remove_dir_all(&work),
            };
            done.map_err(|e| {
                Bad::new("F004", format!("the end of an interrupted run is not in place: {e}"))
                    .help(format!("its files are in `{}`", work.display()))
                    .in_file(&self.folder)
            })?;
        }
        Ok(())
    }

    /// Which folder it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Refuses files with these names if this process has read them under any name.
    ///
    /// # Errors
    /// `F020` with the first of them.
    pub fn guard<S: AsRef<str>>(&self, names: &[S]) -> Result<(), Diagnostic> {
        if self.own {
            return Ok(());
        }
        names.iter().try_for_each(|name| not_an_input(&self.folder.join(name.as_ref())))
    }

    /// Moves could neither be made nor taken back: whoever comes next completes them.
    pub(super) fn leave(&self) {
        self.stuck.store(true, Ordering::SeqCst);
    }

    /// A place for new files.
    ///
    /// # Errors
    /// `F004` if the folder cannot be written.
    pub fn begin(&self) -> Result<Stage<'_>, Diagnostic> {
        let prefix = if self.key.is_empty() { PREFIX.to_owned() } else { format!("{PREFIX}{}-", self.key) };
        Stage::new(self, unique(&self.folder, &prefix, ""))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some((_file, path)) = self.lock.take() {
            if !self.stuck.load(Ordering::SeqCst) {
                let _ = disk::remove_file(&path);
            }
            ended(&path);
        }
        // Folders that nothing came into go again.
        for folder in self.made.iter().rev() {
            ended(folder);
            let _ = disk::remove_dir(folder);
        }
    }
}

/// Before a run directory is read: completes moves that a writer did not live to finish, and waits for those of a living one.
///
/// # Errors
/// `F021` while they go on, `F004` if they cannot be completed.
pub fn settle(folder: &Path) -> Result<(), Diagnostic> {
    if !is_claimed(folder) {
        return Ok(());
    }
    for _ in 0..LOOKS {
        if !stages(folder, "").iter().any(|work| work.join(LIST).exists()) {
            return Ok(());
        }
        match Claim::locked(folder, "", false, Vec::new()) {
            Ok(claim) => return claim.recover(),
            Err(d) if d.code == "F021" => std::thread::sleep(PAUSE),
            Err(d) => return Err(d),
        }
    }
    Err(taken(folder))
}

/// Does somebody write there, or did somebody not live to finish? A writer that ends by itself removes its claim.
#[must_use]
pub fn is_claimed(folder: &Path) -> bool {
    folder.join(LOCK).exists()
}

fn taken(folder: &Path) -> Diagnostic {
    Bad::new("F021", "another run of pulvinar writes there")
        .help("wait until it ends, or give another -o")
        .in_file(folder)
}

fn unmade(folder: &Path, e: &io::Error) -> Diagnostic {
    Bad::new("F004", format!("the output directory cannot be made or read: {e}"))
        .help("give another -o directory")
        .in_file(folder)
}

/// Is `file` what `path` names?
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(a), Ok(b)) = (file.metadata(), fs::metadata(path)) else { return false };
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

/// Makes a folder with its parents; returns those that were not there.
fn make(folder: &Path) -> Result<Vec<PathBuf>, Diagnostic> {
    if fs::metadata(folder).is_ok_and(|about| !about.is_dir()) {
        return Err(Bad::new("F004", "is a file, but an output directory is needed")
            .help("give another -o directory")
            .in_file(folder));
    }
    if folder.as_os_str().is_empty() {
        return Err(unmade(folder, &io::Error::other("the path is empty")));
    }
    let mut missing: Vec<PathBuf> = folder
        .ancestors()
        .filter(|f| !f.as_os_str().is_empty())
        .take_while(|f| !f.is_dir())
        .map(Path::to_owned)
        .collect();
    missing.reverse();
    for (n, one) in missing.iter().enumerate() {
        match disk::create_dir(one) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists || !one.is_dir() => {
                missing[..n].iter().rev().for_each(|made| {
                    ended(made);
                    let _ = disk::remove_dir(made);
                });
                return Err(unmade(folder, &e));
            }
            _ => begun(one),
        }
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{code, folder};
    use super::*;

    #[test]
    fn makes_parents_refuses_full_folders_and_leaves_nothing_behind() {
        let dir = folder();
        let out = dir.path().join("a/b/c");
        let claim = Claim::of(&out, false).unwrap();
        assert!(out.is_dir());
        // One at a time.
        assert_eq!(code(Claim::of(&out, true)), "F021");
        drop(claim);
        assert!(!dir.path().join("a").exists(), "folders that nothing came into go again");
        fs::create_dir_all(&out).unwrap();
        drop(Claim::of(&out, false).unwrap());
        fs::write(out.join("metrics.csv"), "1\n").unwrap();
        let error = Claim::of(&out, false).unwrap_err();
        assert_eq!(error.code, "F011");
        assert!(error.message.contains("holds 1, `metrics.csv` first"), "{error}");
        drop(Claim::of(&out, true).unwrap());
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
        for force in [false, true] {
            assert_eq!(code(Claim::of(&out.join("metrics.csv"), force)), "F004");
            assert_eq!(code(Claim::of(&out.join("metrics.csv/x"), force)), "F004");
            assert_eq!(code(Claim::of(Path::new(""), force)), "F004");
        }
    }

    #[test]
    fn new_files_come_together_and_old_ones_that_are_not_replaced_go() {
        let dir = folder();
        let put = |stage: &Stage<'_>, name: &str, text: &str| fs::write(stage.path(name), text).unwrap();
        let claim = Claim::of(dir.path(), true).unwrap();
        let stage = claim.begin().unwrap();
        put(&stage, "a", "1");
        put(&stage, "m", "of a");
        stage.commit(Some("m"), &[]).unwrap();
        fs::write(dir.path().join("mine"), "kept").unwrap();
        // One that is given up leaves nothing.
        put(&claim.begin().unwrap(), "a", "never");
        let stage = claim.begin().unwrap();
        put(&stage, "b", "2");
        put(&stage, "m", "of b");
        stage.commit(Some("m"), &["a".to_owned(), "none".to_owned()]).unwrap();
        drop(claim);
        let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["b", "m", "mine"]);
        assert_eq!(fs::read_to_string(dir.path().join("m")).unwrap(), "of b");
    }

    /// Wherever the moves of a dead writer ended, they are completed; a list that leads elsewhere is not followed.
    #[test]
    fn interrupted_moves_are_completed() {
        for moved in 0..4 {
            let dir = folder();
            let at = |name: &str| dir.path().join(name);
            let work = at(".writing-0");
            fs::create_dir_all(work.join(".old")).unwrap();
            fs::write(at("m"), "old").unwrap();
            fs::write(at("a"), "old").unwrap();
            fs::write(work.join("m"), "new").unwrap();
            fs::write(work.join("a"), "new").unwrap();
            fs::write(work.join(LIST), r#"{"away": ["m", "a"], "place": ["a", "m"]}"#).unwrap();
            fs::write(at(LOCK), "").unwrap();
            let steps = [("m", ".writing-0/.old/m"), ("a", ".writing-0/.old/a"), (".writing-0/a", "a")];
            for (from, to) in &steps[..moved] {
                fs::rename(at(from), at(to)).unwrap();
            }
            settle(dir.path()).unwrap();
            for name in ["m", "a"] {
                assert_eq!(fs::read_to_string(at(name)).unwrap(), "new", "{moved}");
            }
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "{moved}");
        }
        let dir = folder();
        let work = dir.path().join("in/.writing-0");
        fs::create_dir_all(work.join(".old")).unwrap();
        fs::write(dir.path().join("precious"), "here").unwrap();
        fs::write(work.join(LIST), r#"{"away": ["../precious"], "place": []}"#).unwrap();
        fs::write(dir.path().join("in").join(LOCK), "").unwrap();
        settle(&dir.path().join("in")).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("precious")).unwrap(), "here");
    }
}
