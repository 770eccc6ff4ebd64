//! Runs the program as a user does.

use crate::support::root;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

/// What one run left behind.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    /// for messages
    pub line: String,
}

/// The program, in `folder`, in a plain environment.
pub fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pulvinar"));
    command.args(args).current_dir(folder).stdin(Stdio::null());
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "RUST_BACKTRACE"] {
        command.env_remove(name);
    }
    command
}

/// Runs it to the end.
pub fn run_in(folder: &Path, args: &[&str]) -> Ran {
    finish(&mut command(folder, args), args)
}

pub fn finish(command: &mut Command, args: &[&str]) -> Ran {
    let line = format!("pulvinar {}", args.join(" "));
    let output = command.output().unwrap_or_else(|e| panic!("{line}: {e}"));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap_or_else(|e| panic!("{line}: {e}"));
    let ran = Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
        line,
    };
    assert!(!ran.stderr.contains("panicked"), "{}: {}", ran.line, ran.stderr);
    ran
}

/// Runs it in the root of the crate, where `circuits/` is.
pub fn run(args: &[&str]) -> Ran {
    run_in(root(), args)
}

/// Runs it with `--format json`: the code and the one object on stdout.
pub fn json_in(folder: &Path, args: &[&str]) -> (i32, Value) {
    let mut args = args.to_vec();
    args.extend(["--format", "json"]);
    let ran = run_in(folder, &args);
    (ran.code, one_object(&ran))
}

pub fn json(args: &[&str]) -> (i32, Value) {
    json_in(root(), args)
}

/// stdout holds one object on one line, with the keys that every object has, and stderr holds no second account of it.
pub fn one_object(ran: &Ran) -> Value {
    let Ran { code, stdout, stderr, line } = ran;
    assert_eq!(stdout.matches('\n').count(), 1, "{line}: one line expected\n{stdout}{stderr}");
    let object: Value = serde_json::from_str(stdout).unwrap_or_else(|e| panic!("{line}: {e}\n{stdout}"));
    assert!(object.is_object(), "{line}: {stdout}");
    let schema = object["schema"].as_str().unwrap_or_else(|| panic!("{line}: no schema\n{stdout}"));
    assert!(schema.starts_with("pulvinar.") && schema.ends_with("/1"), "{line}: {schema}");
    assert_eq!(object["ok"].as_bool(), Some(*code == 0), "{line}: ok and the exit code {code} disagree");
    assert!(!stderr.contains("error"), "{line}: the diagnostics are on stdout already\n{stderr}");
    for d in object["diagnostics"].as_array().into_iter().flatten() {
        let mut keys: Vec<&str> = d.as_object().expect("a map").keys().map(String::as_str).collect();
        keys.sort_unstable();
        let want = ["code", "column", "file", "help", "line", "message", "path", "severity"];
        assert_eq!(keys, want, "{line}");
        let code = d["code"].as_str().expect("a code");
        assert!(pulvinar::diag::codes::explain(code).is_some(), "{line}: {code} is not explained");
        assert!(!d["message"].as_str().expect("a message").is_empty(), "{line}");
        assert_eq!(d["line"].is_null(), d["column"].is_null(), "{line}");
    }
    object
}

/// The path as text.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}
