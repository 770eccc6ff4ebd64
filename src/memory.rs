//! How much memory may be taken: asked before anything large is set aside, because a program whose allocation fails is stopped
//! where it stands.
//!
//! The limit is one number for the process: `--max-memory`, or half of what the machine (or the container, or the limit on the address
//! space) gives. What is estimated are matrices, tokens, the state of cells, heads and the arrays of files; not covered are
//! the program itself with its threads (some tens of megabytes) and many small things that grow with the length of a text.

use crate::diag::{Diagnostic, codes};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is assumed where the system does not say how much it has.
const UNKNOWN: u64 = 8 << 30;

/// Zero: not set.
static LIMIT: AtomicU64 = AtomicU64::new(0);

/// Sets the limit of the process, in bytes.
pub fn set_limit(bytes: u64) {
    LIMIT.store(bytes.max(1), Ordering::Relaxed);
}

/// The limit of the process, in bytes.
#[must_use]
pub fn limit() -> u64 {
    static DEFAULT: OnceLock<u64> = OnceLock::new();
    match LIMIT.load(Ordering::Relaxed) {
        0 => *DEFAULT.get_or_init(|| machine() / 2),
        set => set,
    }
}

/// Refuses what would take more than the limit: `C080`, or `F031` where a file asks for it; `what` opens the message.
///
/// # Errors
/// With the number and the limit.
pub fn check(code: &'static str, path: &str, what: &str, bytes: u128) -> Result<(), Diagnostic> {
    let limit = u128::from(limit());
    if bytes <= limit {
        return Ok(());
    }
    let message =
        format!("{what} would take about {}, more than the {} that may be taken", shown(bytes), shown(limit));
    debug_assert!([codes::C080, codes::F031].contains(&code));
    Err(Diagnostic::error(code, path, message).help(format!(
        "use fewer cells or tokens, or allow more with `--max-memory {}`; nothing was allocated",
        shown(bytes + bytes / 4).replace(' ', "")
    )))
}

/// Bytes of so many numbers, `each` bytes apiece.
#[must_use]
pub fn bytes(numbers: usize, each: usize) -> u128 {
    numbers as u128 * each as u128
}

/// Units of 1000 and of 1024.
const UNITS: [(&str, u64); 10] = [
    ("", 1),
    ("b", 1),
    ("kb", 1000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

/// Reads `4GB`, `512MiB`, `1.5 gb` or a plain number of bytes.
///
/// # Errors
/// Says what would be read.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim().to_lowercase();
    let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor as f64);
    let bytes = number.parse::<f64>().ok().zip(factor).map(|(number, factor)| number * factor);
    match bytes {
        Some(bytes) if (1.0..1e18).contains(&bytes) => Ok(bytes as u64),
        _ => Err("write a size such as 4GB, 512MiB or a number of bytes".to_owned()),
    }
}

/// `34.4 GB`, three digits.
#[must_use]
#[allow(clippy::cast_precision_loss)]
pub fn shown(bytes: u128) -> String {
    let mut x = bytes as f64;
    for unit in ["B", "kB", "MB", "GB", "TB", "PB"] {
        if x < 999.5 {
            let digits = if x < 9.995 { 2 } else { usize::from(x < 99.95) };
            return format!("{x:.*} {unit}", if unit == "B" { 0 } else { digits });
        }
        x /= 1000.0;
    }
    format!("{x:.3e} EB")
}

/// Bytes that the process may hope for.
fn machine() -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let group = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .map(|path| read(path).trim().parse().ok());
    let space = address_space(&read("/proc/self/limits"), &read("/proc/self/statm"));
    let known = [total(&read("/proc/meminfo")), group[0], group[1], space];
    known.into_iter().flatten().min().unwrap_or(UNKNOWN)
}

/// `MemTotal:  24000000 kB`
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kb| kb << 10)
}

/// What a limit on the address space leaves beside what is taken already.
fn address_space(limits: &str, statm: &str) -> Option<u64> {
    let line = limits.lines().find_map(|l| l.strip_prefix("Max address space"))?;
    let most: u64 = line.split_whitespace().next()?.parse().ok()?;
    let pages: u64 = statm.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
    Some(most.saturating_sub(pages * 4096).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_people_write_them() {
        let rows = [
            ("4GB", Some(4_000_000_000)),
            ("512MiB", Some(512 << 20)),
            ("1.5 gb", Some(1_500_000_000)),
            ("1000", Some(1000)),
            ("10b", Some(10)),
            ("0", None),
            ("-1GB", None),
            ("4 apples", None),
            ("GB", None),
            ("1e30", None),
            ("", None),
            ("9999999TB", None),
        ];
        for (text, want) in rows {
            assert_eq!(parse(text).ok(), want, "{text}");
        }
        let rows = [(999, "999 B"), (34_359_738_368, "34.4 GB"), (1500, "1.50 kB"), (999_999, "1.00 MB")];
        for (bytes, want) in rows {
            assert_eq!(shown(bytes), want);
            let back = parse(want).unwrap() as f64 / bytes as f64;
            assert!((back - 1.0).abs() < 0.01, "what is shown can be given: {want}");
        }
    }

    #[test]
    fn what_the_system_says() {
        assert_eq!(total("MemTotal:       24566784 kB\nMemFree: 1 kB\n"), Some(24_566_784 << 10));
        let limits = "Limit   Soft Limit  Hard Limit  Units\nMax address space         1000000000           unlimited            bytes\n";
        assert_eq!(address_space(limits, "1000 2 3"), Some(1_000_000_000 - 4_096_000));
        assert_eq!(address_space("Max address space  unlimited unlimited bytes\n", "1"), None);
        assert_eq!(total(""), None);
        assert!(limit() > 1);
    }

    #[test]
    fn refused_with_the_number_and_the_limit() {
        let refused = check(codes::C080, "areas.A1", "the heads", u128::MAX / 2).unwrap_err();
        assert!(refused.message.starts_with("the heads would take about"), "{refused}");
        assert!(refused.help.unwrap().contains("--max-memory"));
        assert!(check(codes::F031, "", "a file", 1).is_ok());
    }
}
