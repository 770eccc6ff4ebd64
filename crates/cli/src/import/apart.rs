//! Heads of one block that no one wiring can hold: which of them can be imported together.

use pulvinar::attention::Head;
use pulvinar::diag::{Diagnostic, codes};
use pulvinar::weights::{Loaded, Style, Wiring, import::import};
use std::path::Path;

/// What is said instead of `refused` where each wiring is wrong for some of the heads, and each head has one.
pub(super) fn advice(model: &Path, loaded: &Loaded, style: &Style, refused: Diagnostic) -> Diagnostic {
    if refused.code != codes::F012 {
        return refused;
    }
    let mut one = loaded.block.clone();
    let mut can = |head: &Head, number: usize, wiring: Wiring| {
        one.heads = vec![head.clone()];
        import(model, &one, &[number], &Style { wiring: Some(wiring), ..style.clone() }).is_ok()
    };
    let (mut masks, mut memories, mut only_masks) = (Vec::new(), Vec::new(), 0);
    for (head, &number) in loaded.block.heads.iter().zip(&loaded.selected) {
        match (can(head, number, Wiring::AttentionMask), can(head, number, Wiring::KeyValueMemory)) {
            (false, false) => return refused,
            (false, true) => memories.push(number.to_string()),
            (true, both) => {
                masks.push(number.to_string());
                only_masks += usize::from(!both);
            }
        }
    }
    if only_masks == 0 || memories.is_empty() {
        return refused;
    }
    let heads =
        |list: &[String]| format!("head{} {}", if list.len() == 1 { "" } else { "s" }, list.join(", "));
    Diagnostic::error(
        codes::F012,
        "",
        format!(
            "`{}`: the heads need different wirings: {} can be an attention mask, {} only a key-value memory",
            model.display(),
            heads(&masks),
            heads(&memories)
        ),
    )
    .help(format!(
        "import them apart: with --select {} --circuit {}, and with --select {} --circuit {}",
        masks.join(","),
        Wiring::AttentionMask.name(),
        memories.join(","),
        Wiring::KeyValueMemory.name()
    ))
}
