//! Lines of Python with which PyTorch records what a layer reads and writes, for a comparison that does not go through
//! this program's reading of the file.

use super::Scheme;
use super::layers::Layer;
use super::tensors::Named;

/// One line for the tokens, one for the output, and one between them where keys come from another stream; `model` is the
/// module whose tensors the file holds.
pub(super) fn lines(layer: Layer, named: &Named, context: &str) -> Vec<String> {
    let module = layer.prefix.trim_end_matches('.');
    let hook = |at: &str, file: &str, what: &str, more: &str| {
        let path = if at.is_empty() || module.is_empty() {
            format!("{module}{at}")
        } else {
            format!("{module}.{at}")
        };
        let arguments = if more.is_empty() { "m, i, o" } else { "m, i, k, o" };
        let model =
            if path.is_empty() { "model".to_owned() } else { format!("model.get_submodule({path:?})") };
        format!(
            "{model}.register_forward_hook(lambda {arguments}: \
             numpy.save({file:?}, {what}.detach().double().cpu().numpy()){more})"
        )
    };
    let other = context != "main";
    let stem = |tensor: &'static str| tensor.trim_end_matches(".weight");
    let output = stem(named.output.0);
    match layer.layout.scheme {
        Scheme::Native => Vec::new(),
        // Its output matrix is not called as a module.
        Scheme::Torch => [("x.npy", "i[0]"), ("context.npy", "i[1]"), ("y.npy", "o[0]")]
            .into_iter()
            .filter(|(file, _)| other || *file != "context.npy")
            .map(|(file, what)| {
                let what =
                    format!("({what} if m.batch_first or {what}.dim() < 3 else {what}.transpose(0, 1))");
                hook("", file, &what, "")
            })
            .collect(),
        Scheme::TransformerLens => {
            let named = ", with_kwargs=True";
            vec![hook("", "x.npy", "k['query_input']", named), hook("", "y.npy", "o", named)]
        }
        _ => {
            let weights = layer.layout.weights;
            let mut lines = vec![hook(stem(weights[0]), "x.npy", "i[0]", "")];
            if other && let Some(key) = weights.get(1) {
                lines.push(hook(stem(key), "context.npy", "i[0]", ""));
            }
            lines.push(hook(output, "y.npy", "o", ""));
            lines
        }
    }
}
