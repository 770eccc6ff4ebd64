//! Requests to end: Ctrl-C (exit code 130), and SIGTERM and SIGHUP (143).
//!
//! Work that can be kept ends after its step: the first request only asks, the second ends the program. Everything else
//! ends at once, without the files that are not finished. Signals are blocked in all threads and waited for in one, so no
//! handler runs in the middle of anything; writing beyond a limit of size (SIGXFSZ) is then an error like a full disk.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// The exit code that was asked for; 0 before.
static ASKED: AtomicU8 = AtomicU8::new(0);
static LISTENING: AtomicBool = AtomicBool::new(false);

/// Exit code of work that was interrupted.
const INTERRUPTED: u8 = 130;
/// Exit code of work that was told to end.
#[cfg(unix)]
const TERMINATED: u8 = 143;

/// Before any other thread begins: from now on requests come here.
pub fn begin() {
    #[cfg(unix)]
    unix::wait();
    // Fails only if somebody listens already.
    #[cfg(not(unix))]
    let _ = ctrlc::set_handler(|| request(INTERRUPTED));
}

/// From now on the first request only asks.
pub fn listen() {
    LISTENING.store(true, Ordering::SeqCst);
}

/// Has somebody asked for an end?
pub fn asked() -> bool {
    ASKED.load(Ordering::SeqCst) != 0
}

/// The exit code of work that ended because it was asked to.
pub fn code() -> u8 {
    match ASKED.load(Ordering::SeqCst) {
        0 => INTERRUPTED,
        code => code,
    }
}

fn request(code: u8) {
    let is_first = ASKED.compare_exchange(0, code, Ordering::SeqCst, Ordering::SeqCst).is_ok();
    if !(is_first && LISTENING.load(Ordering::SeqCst)) {
        pulvinar::files::abandon();
        std::process::exit(i32::from(code));
    }
}

#[cfg(unix)]
mod unix {
    use super::{INTERRUPTED, TERMINATED, request};
    use nix::sys::signal::{SigSet, Signal};

    pub fn wait() {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGXFSZ] {
            // What `nohup` lets ignore stays ignored. Shells let jobs in the background ignore SIGINT, but who sends
            // it to one of them means it.
            if signal != Signal::SIGHUP || !is_ignored(signal) {
                set.add(signal);
            }
        }
        if set.thread_block().is_err() {
            return;
        }
        std::thread::spawn(move || {
            while let Ok(signal) = set.wait() {
                request(if signal == Signal::SIGINT { INTERRUPTED } else { TERMINATED });
            }
        });
    }

    /// Was this program started to ignore the signal? No where the system does not say.
    fn is_ignored(signal: Signal) -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("SigIgn:"));
        let bits = line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
        bits & (1 << (signal as u32 - 1)) != 0
    }
}
