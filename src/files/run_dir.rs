//! Output folders.

use super::Bad;
use crate::diag::Diagnostic;
use std::fs;
use std::path::Path;

/// Makes an output folder, with its parents.
///
/// With `force`, a folder that holds something is accepted as it is: files of the same name are replaced one by
/// one as they are written, nothing else is removed.
///
/// # Errors
/// `F011` if it holds anything (hidden files too) and `force` is false; `F004` if it cannot be made or looked
/// into, or a file has that name.
pub fn prepare_output_dir(path: &Path, force: bool) -> Result<(), Diagnostic> {
    if fs::metadata(path).is_ok_and(|about| !about.is_dir()) {
        return Err(Bad::new("F004", "is a file, but an output directory is needed")
            .help("give another -o directory")
            .in_file(path));
    }
    let refused = |e: std::io::Error| {
        Bad::new("F004", format!("the output directory cannot be made or read: {e}"))
            .help("give another -o directory")
            .in_file(path)
    };
    if path.as_os_str().is_empty() {
        return Err(refused(std::io::Error::other("the path is empty")));
    }
    fs::create_dir_all(path).map_err(refused)?;
    if force {
        return Ok(());
    }
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(path).map_err(refused)? {
        names.push(entry.map_err(refused)?.file_name().to_string_lossy().into_owned());
    }
    let Some(first) = names.iter().min() else { return Ok(()) };
    Err(Bad::new(
        "F011",
        format!("the output directory is not empty (it holds {}, `{first}` first)", names.len()),
    )
    .help("give another -o directory, or --force to replace what is there")
    .in_file(path))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{code, folder};
    use super::*;

    #[test]
    fn makes_parents_and_refuses_full_folders() {
        let dir = folder();
        let out = dir.path().join("a/b/c");
        prepare_output_dir(&out, false).unwrap();
        prepare_output_dir(&out, false).unwrap();
        fs::write(out.join("metrics.csv"), "1\n").unwrap();
        let error = prepare_output_dir(&out, false).unwrap_err();
        assert_eq!(error.code, "F011");
        assert!(error.message.contains("metrics.csv"), "{error}");
        prepare_output_dir(&out, true).unwrap();
        assert!(out.join("metrics.csv").exists());
        for force in [false, true] {
            assert_eq!(code(prepare_output_dir(&out.join("metrics.csv"), force)), "F004");
            assert_eq!(code(prepare_output_dir(&out.join("metrics.csv/x"), force)), "F004");
            assert_eq!(code(prepare_output_dir(Path::new(""), force)), "F004");
        }
    }
}
