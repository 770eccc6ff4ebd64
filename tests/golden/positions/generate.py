"""Writes tables.npz: positions as public implementations make them (transformers), and as formulas of NumPy.

    python tests/golden/positions/generate.py

The tables of transformers are in single precision, whatever the default; the formulas, `exact_*`, are in double. Queries
`q` [6, 8] are turned by transformers' own functions. Neither a circuit nor this library is involved.
"""

import pathlib

import numpy as np
import torch
import transformers
from transformers.models.distilbert.modeling_distilbert import create_sinusoidal_embeddings
from transformers.models.gptj import modeling_gptj as gptj
from transformers.models.llama import modeling_llama as llama
from transformers.models.roformer import modeling_roformer as roformer

N, DIMS = 12, 8
HERE = pathlib.Path(__file__).resolve().parent


def llama_table(theta, **scaling):
    parameters = {"rope_type": "default", "rope_theta": theta, **scaling}
    config = transformers.LlamaConfig(hidden_size=2 * DIMS, num_attention_heads=2, max_position_embeddings=128, rope_parameters=parameters)
    module = llama.LlamaRotaryEmbedding(config)
    cos, sin = module(torch.zeros(1, N, DIMS), torch.arange(N)[None])
    return module, cos[0].numpy(), sin[0].numpy()


def main():
    torch.manual_seed(0)
    out = {}
    q = torch.randn(6, DIMS)
    out["q"] = q.numpy()
    heads = q[None, None]  # [batch, head, token, dims]

    _, cos, sin = llama_table(10000.0)
    out["llama"] = np.concatenate([cos, sin], 1)
    at = torch.from_numpy(cos[None, :6]), torch.from_numpy(sin[None, :6])
    out["llama_q"] = llama.apply_rotary_pos_emb(heads, heads, *at)[0][0, 0].numpy()

    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
    module, cos, sin = llama_table(500.0, **yarn)
    out["yarn"] = np.concatenate([cos, sin], 1)
    out["yarn_frequencies"] = module.inv_freq.double().numpy()
    out["yarn_scale"] = np.array([module.attention_scaling])

    table = gptj.create_sinusoidal_positions(N, DIMS)  # sines, then cosines, one for each pair
    sin, cos = torch.split(table, DIMS // 2, dim=1)
    out["gptj"] = torch.cat([cos.repeat_interleave(2, 1), sin.repeat_interleave(2, 1)], 1).numpy()
    turned = gptj.apply_rotary_pos_emb(heads.transpose(1, 2), sin[None, :6], cos[None, :6])  # [batch, token, head, dims]
    out["gptj_q"] = turned[0, :, 0].numpy()

    embedding = roformer.RoFormerSinusoidalPositionalEmbedding(N, DIMS)
    weight = embedding.create_weight() if hasattr(embedding, "create_weight") else embedding._init_weight()
    weight = (weight if weight is not None else embedding.weight).detach()
    turned = roformer.RoFormerSelfAttention.apply_rotary_position_embeddings(weight[None, None, :6], heads, heads)[0]
    out["roformer_q"] = turned[0, 0].numpy()

    table = torch.empty(N, 6)
    create_sinusoidal_embeddings(n_pos=N, dim=6, out=table)
    out["sinusoid"] = table.detach().numpy()

    i = np.arange(N)[:, None]
    pair = {"halves": np.tile(np.arange(DIMS // 2), 2), "pairs": np.repeat(np.arange(DIMS // 2), 2)}
    for name, f in pair.items():
        angle = i * 10000.0 ** (-2 * f / DIMS)
        out[f"exact_{name}"] = np.concatenate([np.cos(angle), np.sin(angle)], 1)
    angle = i * 10000.0 ** (-2 * np.arange(3) / 6)
    out["exact_sinusoid"] = np.stack([np.sin(angle), np.cos(angle)], 2).reshape(N, 6)
    np.savez(HERE / "tables.npz", **{k: v.astype(np.float64) for k, v in out.items()})
    print({k: v.shape for k, v in out.items()}, transformers.__version__, torch.__version__)


main()
