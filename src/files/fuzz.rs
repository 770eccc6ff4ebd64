//! Damaged files by the thousand: no panic, no large allocation, and no result longer than the file allows.

use super::testing::{Dice, folder};
use super::{
    Array, Dtype, list_arrays, read_array, read_tokens, write_npy_array, write_npz, write_safetensors,
};
use std::fs;
use std::path::Path;

/// Flips, cuts, doubles and overwrites.
fn damage(good: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..=dice.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = dice.below(bytes.len());
        match dice.below(8) {
            0..=2 => bytes[at] ^= 1 << dice.below(8),
            3 => bytes[at] = [0, 0xff, b'9', b'-', b'"', b'}'][dice.below(6)],
            4 => bytes.truncate(at),
            5 => bytes.insert(at, b'0' + u8::try_from(dice.below(10)).unwrap()),
            6 => {
                let end = (at + 8).min(bytes.len());
                bytes[at..end].fill(0xff);
            }
            _ => {
                let piece = bytes[at..(at + 16).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

fn survive(path: &Path, seed: u64, rounds: usize) {
    let good = fs::read(path).unwrap();
    let mut dice = Dice(seed);
    for _ in 0..rounds {
        let bytes = damage(&good, &mut dice);
        fs::write(path, &bytes).unwrap();
        if let Ok(array) = read_array(path, None) {
            assert_eq!(array.data.len(), array.shape.iter().product::<usize>());
            assert!(array.data.len() <= 2000 * bytes.len());
        }
        let _ = read_array(path, Some("x"));
        let _ = read_tokens(path, None);
        let _ = list_arrays(path);
    }
}

fn example() -> Array {
    Array { shape: vec![4, 3], data: (0..12).map(f64::from).collect(), dtype: Dtype::F32 }
}

#[test]
fn damaged_npy() {
    let dir = folder();
    let path = dir.path().join("a.npy");
    write_npy_array(&path, &example()).unwrap();
    survive(&path, 1, 2000);
}

#[test]
fn damaged_npz() {
    let dir = folder();
    let path = dir.path().join("a.npz");
    write_npz(&path, &[("x".into(), example())]).unwrap();
    survive(&path, 2, 2000);
    write_npz(&path, &[("x".into(), example()), ("y".into(), example())]).unwrap();
    survive(&path, 3, 1000);
}

#[test]
fn damaged_safetensors() {
    let dir = folder();
    let path = dir.path().join("a.safetensors");
    let metadata = [("mask".to_owned(), "full".to_owned())];
    write_safetensors(&path, &[("x".into(), example()), ("y".into(), example())], &metadata).unwrap();
    survive(&path, 4, 2000);
    write_safetensors(&path, &[("x".into(), example()), ("y".into(), example())], &metadata).unwrap();
    fs::write(&path, super::safetensors::unsealed(&fs::read(&path).unwrap())).unwrap();
    survive(&path, 4, 2000);
}

#[test]
fn damaged_csv() {
    let dir = folder();
    let path = dir.path().join("a.csv");
    fs::write(&path, "# tokens\na,\"b\"\n1.5,-2e3\n\n3,4\n").unwrap();
    survive(&path, 5, 2000);
}

/// Runs the tests above, and those of headers that lie, in a process that may not have more than 512 MB: a file that
/// is believed about its size would abort it.
#[cfg(target_os = "linux")]
#[test]
fn damaged_files_get_no_memory() {
    let me = std::env::current_exe().unwrap();
    for tests in ["files::fuzz::damaged_", "headers_that_lie", "bombs_and_lies", "damaged_files_never_panic"]
    {
        let done = std::process::Command::new("sh")
            .args(["-c", "ulimit -v 524288 && exec \"$0\" \"$@\""])
            .arg(&me)
            .args([tests, "--skip", "get_no_memory", "--test-threads", "1"])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success(), "{tests}: {text}{}", String::from_utf8_lossy(&done.stderr));
        assert!(!text.contains("running 0 tests"), "{tests}: {text}");
    }
}
