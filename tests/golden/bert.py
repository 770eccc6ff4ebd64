"""A BERT encoder in plain PyTorch, from a dictionary of tensors under BERT's names; and what its attention layers do.

Used by `transformer/train_digits.py` and `minilm.py`. Tokens are rows, [n_tokens, D]; training adds an axis of images in
front. Devlin et al. 2019 (arXiv 1810.04805): x <- LN(x + attention(x)); x <- LN(x + W_2 act(W_1 x + b_1) + b_2).
"""

import torch
from torch.nn import functional as F


def linear(w, name, x):
    return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])


def layer_norm(w, name, x, eps):
    return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], eps)


def attention(w, at, x, heads):
    """PyTorch's own multihead attention on [n_tokens, D] or [n_images, n_tokens, D].

    Returns the output after `output.dense` and its bias, before residual and LayerNorm, and the attention maps
    [heads, n_query, n_context] (of each image).
    """
    parts = [f"{at}.self.{part}" for part in ("query", "key", "value")]
    batch = x[None] if x.dim() == 2 else x
    tokens = batch.transpose(0, 1)  # [n_tokens, n_images, D], as the function wants it
    y, maps = F.multi_head_attention_forward(
        tokens, tokens, tokens, x.shape[-1], heads,
        torch.cat([w[f"{p}.weight"] for p in parts]), torch.cat([w[f"{p}.bias"] for p in parts]),
        None, None, False, 0.0, w[f"{at}.output.dense.weight"], w[f"{at}.output.dense.bias"],
        training=False, need_weights=True, average_attn_weights=False,
    )  # fmt: skip
    y = y.transpose(0, 1)
    return (y[0], maps[0]) if x.dim() == 2 else (y, maps)


def attention_by_heads(w, at, x, heads):
    """The same from the equations, head by head: W_O^h sum_j softmax_j(q_i . k_j / sqrt(d_k)) v_j, without output bias.

    Returns contributions [heads, n_tokens, D] and maps [heads, n_query, n_context].
    """
    q, k, v = (linear(w, f"{at}.self.{part}", x) for part in ("query", "key", "value"))
    d = q.shape[1] // heads
    w_o = w[f"{at}.output.dense.weight"]
    contributions, maps = [], []
    for h in range(heads):
        own = slice(h * d, (h + 1) * d)
        scores = q[:, own] @ k[:, own].T / d**0.5
        weights = torch.exp(scores - scores.max(dim=1, keepdim=True).values)
        weights = weights / weights.sum(dim=1, keepdim=True)
        maps.append(weights)
        contributions.append(weights @ v[:, own] @ w_o[:, own].T)
    return torch.stack(contributions), torch.stack(maps)


def encode(w, x, layers, heads, activation, eps, seen=None):
    """Runs the encoder; `seen(layer, input, output, maps)` is called for the attention of every layer."""
    for n in range(layers):
        at = f"encoder.layer.{n}"
        y, maps = attention(w, f"{at}.attention", x, heads)
        if seen is not None:
            seen(n, x, y, maps)
        x = layer_norm(w, f"{at}.attention.output.LayerNorm", x + y, eps)
        y = linear(w, f"{at}.output.dense", activation(linear(w, f"{at}.intermediate.dense", x)))
        x = layer_norm(w, f"{at}.output.LayerNorm", x + y, eps)
    return x


def relative(a, b):
    return ((a - b).abs().max() / b.abs().max()).item()


def recorder(w, heads, name, into, by_heads=False):
    """A `seen` for `encode` that puts into the dictionary `into`, with P the precision f32 or f64,

        layer.N.NAME.input.P, layer.N.NAME.output.P       [n_tokens, D]
        layer.N.NAME.map.H, layer.N.NAME.head.H           [n_query, n_context], [n_tokens, D]; f64, if `by_heads`

    and makes sure that PyTorch's attention is what the equations say.
    """

    def seen(n, x, y, maps):
        double = x.dtype == torch.float64
        parts, equations = attention_by_heads(w, f"encoder.layer.{n}.attention", x, heads)
        whole = parts.sum(dim=0) + w[f"encoder.layer.{n}.attention.output.dense.bias"]
        off = max(relative(whole, y), relative(equations, maps))
        limit = 1e-12 if double else 1e-5
        assert off < limit, f"layer {n}, {name}: PyTorch and the equations differ by {off:.2e}"
        at, p = f"layer.{n}.{name}", "f64" if double else "f32"
        arrays = {f"{at}.input.{p}": x, f"{at}.output.{p}": y}
        if by_heads and double:
            arrays |= {f"{at}.map.{h}": m for h, m in enumerate(maps)}
            arrays |= {f"{at}.head.{h}": part for h, part in enumerate(parts)}
        into.update((key, a.detach().clone().contiguous()) for key, a in arrays.items())

    return seen
