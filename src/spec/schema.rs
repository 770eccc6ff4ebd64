//! The JSON Schema.
/// The schema of circuit files, as JSON text.
#[must_use]
pub fn json_schema() -> String {
    String::new()
}
