"""Small attention layers in every naming scheme, and what PyTorch makes of them.

    python tests/golden/weights/generate.py

Writes CASE.safetensors (weights) and golden.npz: CASE.x and, of another width, CASE.context and CASE.values (tokens,
[n_tokens, width]) and CASE.softmax, CASE.causal, CASE.linear (outputs, [n_tokens, D]), all float64. `widened.npz` holds the half-precision
weights as float64, tensor by tensor.
"""

import math
import pathlib

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import scaled_dot_product_attention as sdpa

HERE = pathlib.Path(__file__).parent
D, H, N = 8, 2, 5
golden, widened = {}, {}


def keep(case, **arrays):
    for name, array in arrays.items():
        golden[f"{case}.{name}"] = array.detach().double().numpy()


def heads(x, n):
    """[tokens, n * d] -> [n, tokens, d]"""
    return x.unflatten(-1, (n, -1)).transpose(0, 1)


def outputs(q, k, v, w_o, b_o, n_kv=H, n=H):
    """q, k, v: projected tokens [tokens, rows]. Softmax, causal softmax and unnormalised linear attention."""
    q, k, v = heads(q, n), heads(k, n_kv), heads(v, n_kv)
    shared = n_kv < n
    close = lambda u: nn.functional.linear(u.transpose(0, 1).flatten(1), w_o, b_o)
    soft = sdpa(q[None], k[None], v[None], enable_gqa=shared)[0]
    causal = sdpa(q[None], k[None], v[None], is_causal=True, enable_gqa=shared)[0] if len(q[0]) == len(k[0]) else soft
    k, v = (t.repeat_interleave(n // n_kv, 0) for t in (k, v))
    linear = torch.einsum("hia,hja,hjb->hib", q, k, v)
    return dict(softmax=close(soft), causal=close(causal), linear=close(linear))


def randomise(module):
    """Biases that are not zero."""
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn_like(p) / math.sqrt(p.shape[-1] if p.dim() > 1 else 4))
    return module


def multihead(case, dtype=torch.float64, save=None, **kw):
    """nn.MultiheadAttention itself gives both softmax outputs."""
    mha = randomise(nn.MultiheadAttention(D, H, batch_first=True, **kw)).to(dtype)
    save_file({k: v.to(save or dtype).contiguous() for k, v in mha.state_dict().items()}, HERE / f"{case}.safetensors")
    if save:
        mha.load_state_dict({k: v.to(save).double() for k, v in mha.state_dict().items()})
        for name, p in mha.state_dict().items():
            widened[f"{case}.{name}"] = p.double().numpy()
    check_multihead(case, mha, dtype)


def check_multihead(case, mha, dtype):
    x = torch.randn(N, D, dtype=dtype)
    context = torch.randn(N, mha.kdim, dtype=dtype) if mha.kdim != D else x
    values = torch.randn(N, mha.vdim, dtype=dtype) if mha.vdim != D else x
    parts = mha.in_proj_weight.chunk(3) if mha.in_proj_weight is not None else (
        mha.q_proj_weight, mha.k_proj_weight, mha.v_proj_weight)
    bias = mha.in_proj_bias.chunk(3) if mha.in_proj_bias is not None else (None,) * 3
    q, k, v = (nn.functional.linear(t, w, b) for t, w, b in zip((x, context, values), parts, bias))
    out = outputs(q, k, v, mha.out_proj.weight, mha.out_proj.bias)
    with torch.no_grad():
        run = lambda **kw: mha(x[None], context[None], values[None], need_weights=False, **kw)[0][0]
        out["softmax"] = run()
        future = torch.triu(torch.ones(N, N, dtype=torch.bool), 1)
        out["causal"] = run(attn_mask=future)
    keep(case, x=x, **out)
    keep(case, **{name: t for name, t in dict(context=context, values=values).items() if t is not x})


def projections(case, names, rows=(D, D, D), n=H, n_kv=H, bias=(True,) * 4, dtype=torch.float64, prefix="",
                transposed=False, extra=None, layers=1, metadata=None):
    """Four nn.Linear under given names; the last of `layers` is the one with a golden output."""
    tensors = {}
    for layer in range(layers):
        shapes = [(D, r) for r in rows] + [(rows[2] // n_kv * n, D)]
        linear = [randomise(nn.Linear(i, o, bias=b)).to(dtype) for (i, o), b in zip(shapes, bias)]
        at = prefix.format(layer)
        if len(names) == 2:  # packed
            packed = torch.cat([l.weight for l in linear[:3]]), torch.cat([l.bias for l in linear[:3]])
            pairs = [(names[0], *packed), (names[1], linear[3].weight, linear[3].bias)]
        else:
            pairs = [(name, l.weight, l.bias) for name, l in zip(names, linear)]
        for name, w, b in pairs:
            tensors[f"{at}{name}.weight"] = (w.T if transposed else w).detach().contiguous()
            if b is not None:
                tensors[f"{at}{name}.bias"] = b.detach().contiguous()
        for name, t in (extra or {}).items():
            tensors[f"{at}{name}"] = t.clone()
    save_file(tensors, HERE / f"{case}.safetensors", metadata)
    x = torch.randn(N, D, dtype=dtype)
    q, k, v = (l(x) for l in linear[:3])
    keep(case, x=x, **outputs(q, k, v, linear[3].weight, linear[3].bias, n_kv, n))


def encoder(case):
    """A whole nn.TransformerEncoder; attention of its second layer."""
    layer = nn.TransformerEncoderLayer(D, H, dim_feedforward=4, batch_first=True)
    model = randomise(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)).float().eval()
    save_file(model.state_dict(), HERE / f"{case}.safetensors", {"format": "pt"})
    check_multihead(case, model.layers[1].self_attn, torch.float32)


torch.manual_seed(0)
multihead("torch_f64")
multihead("torch_f32", torch.float32)
multihead("torch_f16", save=torch.float16)
multihead("torch_bf16", save=torch.bfloat16)
multihead("torch_unbiased", bias=False)
multihead("torch_widths", kdim=6, vdim=3)
encoder("torch_encoder")
projections("separate", ["q_proj", "k_proj", "v_proj", "out_proj"], prefix="decoder.layers.{}.self_attn.", layers=11,
            dtype=torch.float32)
projections("separate_unbiased", ["q_proj", "k_proj", "v_proj", "o_proj"], bias=(True, False, True, False),
            prefix="model.layers.{}.self_attn.")
projections("grouped", ["q_proj", "k_proj", "v_proj", "o_proj"], rows=(D, D // 2, D // 2), n=4, n_kv=2,
            bias=(True, True, True, False), prefix="model.layers.{}.self_attn.", layers=2)
projections("bert", ["self.query", "self.key", "self.value", "output.dense"], prefix="encoder.layer.{}.attention.",
            layers=2, dtype=torch.float32,
            extra={"output.LayerNorm.weight": torch.ones(D), "output.LayerNorm.bias": torch.zeros(D)})
projections("gpt2", ["c_attn", "c_proj"], prefix="h.{}.attn.", layers=2, transposed=True, dtype=torch.float32,
            extra={"bias": torch.ones(1, 1, 6, 6).tril(), "masked_bias": torch.tensor(-1e4)})
projections("metadata", ["q_proj", "k_proj", "v_proj", "o_proj"],
            metadata={"heads": "2", "attention": "softmax", "mask": "causal"})

np.savez(HERE / "golden.npz", **golden)
np.savez(HERE / "widened.npz", **widened)
total = sum(f.stat().st_size for f in HERE.glob("*.[sn]*"))
print(f"torch {torch.__version__}, numpy {np.__version__}: {total} bytes")
