//! A bar on stderr for long work: only on a terminal, and not with `-q`.

use super::report::Reporter;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use pulvinar_lab::experiments::Progress;
use std::io::IsTerminal;

/// A bar of `length` pieces of work; silent where nobody looks.
pub fn bar(out: &Reporter, length: usize, what: &str) -> ProgressBar {
    if out.quiet || out.json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(length as u64), ProgressDrawTarget::stderr_with_hz(10));
    let template = "{prefix} {wide_bar} {pos}/{len} {speed} {msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        let speed = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let digits = if state.per_sec() < 10.0 { 2 } else { 0 };
            let _ = write!(out, "{:.digits$}/s", state.per_sec());
        };
        bar.set_style(style.with_key("speed", speed).progress_chars("=> "));
    }
    bar.set_prefix(what.to_owned());
    bar
}

/// From here on the bar counts; `done` was done earlier, and not at this speed.
pub fn start(bar: &ProgressBar, done: usize) {
    bar.set_position(done as u64);
    bar.reset_eta();
}

/// How far experiments and figures are.
pub struct Bar(ProgressBar);

impl Bar {
    pub fn new(out: &Reporter, what: &str) -> Self {
        Self(bar(out, 0, what))
    }

    /// Takes it off the terminal.
    pub fn end(&self) {
        self.0.finish_and_clear();
    }
}

impl Progress for Bar {
    fn begin(&self, what: &str, steps: usize) {
        self.0.reset();
        self.0.set_length(steps as u64);
        self.0.set_message(what.to_owned());
    }

    fn step(&self) {
        self.0.inc(1);
    }
}
