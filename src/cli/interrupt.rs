//! Ctrl-C: the first asks the running work to end after its step, the second ends the program.

use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// Exit code of work that was interrupted.
pub const INTERRUPTED: u8 = 130;

/// From now on Ctrl-C only asks.
pub fn listen() {
    // Fails only if somebody listens already.
    let _ = ctrlc::set_handler(|| {
        if ASKED.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(INTERRUPTED));
        }
    });
}

/// Was Ctrl-C pressed?
pub fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}
