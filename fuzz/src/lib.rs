//! What all targets share: a place for the file that is read, and a limit on memory.

use std::path::PathBuf;
use std::sync::Once;

/// Most memory that a reader may take, in bytes: far above every seed, far below the limit of the fuzzer.
const MEMORY: u64 = 256 << 20;

/// Writes the bytes to the file of this process, `name` with its ending; readers know formats by it.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    static START: Once = Once::new();
    START.call_once(limit);
    let folder = std::env::temp_dir().join(format!("pulvinar-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for files");
    let path = folder.join(name);
    std::fs::write(&path, bytes).expect("a file to read");
    path
}

pub fn limit() {
    pulvinar::memory::set_limit(MEMORY);
}

/// Reads arrays in every way there is.
pub fn arrays(path: &std::path::Path) {
    use pulvinar::files::{list_arrays, read_array, read_tokens};
    let _ = list_arrays(path);
    for name in [None, Some("x")] {
        if let Ok(array) = read_array(path, name) {
            assert_eq!(array.data.len(), array.shape.iter().product::<usize>());
        }
    }
    let _ = read_tokens(path, None);
    let _ = pulvinar::files::has_numbered_header(path);
}
