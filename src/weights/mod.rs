//! Heads in files.
//!
//! - [`native`]: this program's own layout of `.safetensors`, which loses nothing of the blocks it can hold.
//!
//! **Deliberately absent:** downloads, and any change to imported numbers that is not said.

pub mod native;

pub use native::{NativeBlock, is_native, read_heads, read_heads_stated, write_heads};
