"""Writes NAME.npz for the circuits of tests/cases/maps: what ordinary transformer formulas give for their weights.

    cargo test --test it -- --ignored write_weights_of_maps       # weights and tokens of the wired circuits, DIR in its output
    python tests/golden/maps/generate.py DIR [NAME ...]

Nothing here reads a circuit file or knows of populations: each function is the layer as a book on transformers writes it, in PyTorch,
float64. Row i of X is token i; a weight matrix is [targets, sources], so W x_i is row i of X @ W.T.

A file holds `tokens` [n_tokens, d_model], the drawn weights that the formula uses, `w.NAME`, and `y` [n_tokens, d_out].
"""

import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).resolve().parent
FORMULAS = {}  # circuit name -> function of (weights, tokens)


def formula(function):
    FORMULAS[function.__name__] = function
    return function


class Weights(dict):
    """Weights by projection; remembers which were asked for."""

    def __init__(self, *args):
        super().__init__(*args)
        self.used = set()

    def __getitem__(self, name):
        self.used.add(name)
        return super().__getitem__(name)

    def of(self, part):
        """The weights of an included circuit, which are named PART.NAME."""
        whole = self

        class Part:
            def __getitem__(self, name):
                return whole[f"{part}.{name}"]

        return Part()


# What the formulas share -------------------------------------------------------------------------------------------


def heads(z, d_head):
    """[n, heads * d_head] -> [heads, n, d_head]"""
    return z.reshape(len(z), -1, d_head).transpose(0, 1)


def joined(z):
    """[heads, n, d_head] -> [n, heads * d_head]"""
    return z.transpose(0, 1).reshape(z.shape[1], -1)


def distance(n):
    """i - j"""
    i = torch.arange(n)
    return i[:, None] - i[None, :]


def causal(n):
    return distance(n) >= 0


def softmax_attention(q, k, v, mask=None, scale=None, bias=0.0):
    """[heads, n, d] each; scores are scale q . k + bias, scale 1/sqrt(d) unless said."""
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    scores = scale * q @ k.transpose(-1, -2) + bias
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return torch.softmax(scores, dim=-1) @ v


def layer_norm(x):
    return F.layer_norm(x, x.shape[-1:], eps=1e-5)


def rms_norm(x, eps):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps)


# Layers ------------------------------------------------------------------------------------------------------------


def rotate_half(z):
    a, b = z.chunk(2, dim=-1)
    return torch.cat((-b, a), dim=-1)


def rotary(z, theta):
    """Rotary positions by halves (Su et al. 2021), [heads, n, d]."""
    d = z.shape[-1]
    frequencies = theta ** (-torch.arange(0, d, 2, dtype=z.dtype) / d)
    angles = torch.arange(z.shape[-2], dtype=z.dtype)[:, None] * frequencies
    angles = torch.cat((angles, angles), dim=-1)
    return z * torch.cos(angles) + rotate_half(z) * torch.sin(angles)


def llama(w, x, norm):
    """x + grouped-query attention of the normed x, then + SwiGLU of the normed sum; window of 4 tokens."""
    mask = causal(len(x)) & (distance(len(x)) < 4)
    n = norm(x)
    q = torch.cat([heads(n @ w[f"WQ{g}"].T, 4) for g in (0, 1)])
    k = torch.cat([heads(n @ w[f"WK{g}"].T, 4) for g in (0, 1)]).repeat_interleave(2, dim=0)
    v = torch.cat([heads(n @ w[f"WV{g}"].T, 4) for g in (0, 1)]).repeat_interleave(2, dim=0)
    attended = joined(softmax_attention(rotary(q, 100.0), rotary(k, 100.0), v, mask))
    h = x + attended @ torch.cat((w["WO0"], w["WO1"]), dim=1).T
    n = norm(h)
    return h + (F.silu(n @ w["WG"].T) * (n @ w["WU"].T)) @ w["WD"].T


@formula
def llama_layer(w, x):
    return llama(w, x, lambda z: rms_norm(z, 1e-5))


# Kronecker products write the same layer, and an interneuron that settles at r = v / r is the square root.
FORMULAS |= {"llama_layer_kron": llama_layer, "llama_layer_recurrent": llama_layer}


@formula
def llama_layer_kick(w, x):
    """The divisor r = v / (r + e) is (sqrt(e^2 + 4 v) - e) / 2, v the mean square + 1e-5."""

    def norm(z):
        v, e = (z * z).mean(-1, keepdim=True) + 1e-5, 1e-10
        return z / ((torch.sqrt(e * e + 4 * v) - e) / 2)

    return llama(w, x, norm)


@formula
def bert_layer(w, x):
    """Post-norm: n = LN(x + MHA(x)) g + b; LN(n + W2 gelu(W1 n + b1) + b2) g + b'."""
    q, k, v = (heads(x @ w[f"W{a}"].T + w[f"b{a}"].T, 4) for a in "QKV")
    h = x + joined(softmax_attention(q, k, v)) @ w["WO"].T + w["bO"].T
    gains = torch.diag(w["g1"])
    assert torch.equal(torch.diag(gains), w["g1"])
    n = layer_norm(h) * gains + w["be1"].T
    h = n + F.gelu(n @ w["W1"].T + w["b1"].T) @ w["W2"].T + w["b2"].T
    return layer_norm(h) * gains + w["be2"].T


@formula
def gemma_head(w, x):
    """Queries and keys of RMS 1, scores 5 tanh(q . k / (sqrt(4) 5))."""
    q, k, v = (heads(x @ w[f"W{a}"].T, 4) for a in "QKV")
    q, k = rms_norm(q, 1e-6), rms_norm(k, 1e-6)
    scores = 5 * torch.tanh(q @ k.transpose(1, 2) / (2 * 5))
    scores = scores.masked_fill(~causal(len(x)), -torch.inf)
    return x + joined(torch.softmax(scores, dim=-1) @ v) @ w["WO"].T


@formula
def gpt2_layer(w, x):
    """Pre-norm: h = x + MHA(LN(x)); h + W2 gelu_tanh(W1 LN(h) + b1) + b2."""
    n = layer_norm(x)
    q, k, v = (heads(n @ w[f"W{a}"].T + w[f"b{a}"].T, 4) for a in "QKV")
    h = x + joined(softmax_attention(q, k, v, causal(len(x)))) @ w["WO"].T + w["bO"].T
    inner = F.gelu(layer_norm(h) @ w["W1"].T + w["b1"].T, approximate="tanh")
    return h + inner @ w["W2"].T + w["b2"].T


@formula
def gpt2(w, x):
    assert not torch.equal(w["L0.WQ"], w["L1.WQ"]), "the second layer has weights of its own"
    return layer_norm(gpt2_layer(w.of("L1"), gpt2_layer(w.of("L0"), x)))


@formula
def efficient(w, x):
    """Shen et al. 2021: softmax over features of queries, softmax over tokens of keys, q (k^T v)."""
    q = torch.softmax(x @ w["W_Q"].T, dim=1)
    k = torch.softmax(x @ w["W_K"].T, dim=0)
    return q @ (k.T @ (x @ w["W_V"].T))


FORMULAS["efficient_by_maps"] = efficient


@formula
def centred_layer(_, x):
    """(softmax - uniform) x, both over the tokens seen, then LN."""
    n = len(x)
    seen = causal(n)
    scores = (x @ x.T / 8**0.5).masked_fill(~seen, -torch.inf)
    uniform = seen.to(x.dtype) / seen.sum(1, keepdim=True)
    return layer_norm((torch.softmax(scores, dim=1) - uniform) @ x)


@formula
def centred_stack(w, x):
    for _ in range(4):
        x = centred_layer(w, x)
    return x


@formula
def t5_bias(w, x):
    """Scores q . k / 2 + b[h, i, j]."""
    q, k, v = (heads(x @ w[f"W{a}"].T, 4) for a in "QKV")
    n = len(x)
    table = w["tab"].reshape(2, 12, 12)  # head, j, i
    attended = softmax_attention(q, k, v, bias=table[:, :n, :n].transpose(1, 2))
    return x + joined(attended) @ w["WO"].T


@formula
def alibi(w, x):
    """Press et al. 2022: scores q . k / 2 - m_h (i - j)."""
    q, k, v = (heads(x @ w[f"W{a}"].T, 4) for a in "QKV")
    slopes = torch.tensor([0.25, 0.0625], dtype=x.dtype)[:, None, None]
    attended = softmax_attention(q, k, v, causal(len(x)), bias=-slopes * distance(len(x)))
    return x + joined(attended) @ w["WO"].T


@formula
def sink(w, x):
    """A token without value joins each softmax with logit ln s_h; beside it W times the mean of all tokens."""
    q, k, v = (heads(x @ w[f"W{a}"].T, 4) for a in "QKV")
    n = len(x)
    scores = 0.5 * q @ k.transpose(1, 2)
    scores = scores.masked_fill(~(causal(n) & (distance(n) < 3)), -torch.inf)
    logits = torch.log(torch.tensor([1.5, 0.3], dtype=x.dtype))[:, None, None].expand(2, n, 1)
    weights = torch.softmax(torch.cat((scores, logits), dim=2), dim=2)[:, :, :n]
    return x + joined(weights @ v) @ w["WO"].T + (x @ w["mu"].T).mean(0)


@formula
def dale_mlp(w, x):
    """W2 gelu_tanh(W1 x), weights given by their positive and negative parts."""
    w1, w2 = w["pp"] - w["mm"], w["o1"] - w["o2"]
    return F.gelu(x @ w1.T, approximate="tanh") @ w2.T


@formula
def induction_previous(_, x):
    """The symbol before, recalled with the one that each token carries, joins the token."""
    y, before = x.clone(), torch.zeros(4, dtype=x.dtype)
    for i in range(len(x)):
        y[i, 4:8] += before * x[i, 8]
        before = 1e-12 * before + x[i, :4] * x[i, 8]
    return y


@formula
def induction_match(_, x):
    """sum over j <= i of (before_j . symbol_i) symbol_j."""
    symbols, before = x[:, :4], x[:, 4:8]
    return (symbols @ before.T * causal(len(x))) @ symbols


@formula
def induction(w, x):
    return induction_match(w, induction_previous(w, x))


# Files -------------------------------------------------------------------------------------------------------------


def main():
    folder = pathlib.Path(sys.argv[1])
    for name in sys.argv[2:] or sorted(FORMULAS):
        with np.load(folder / f"{name}.npz") as file:
            arrays = {key: torch.from_numpy(file[key]) for key in file.files}
        tokens = arrays.pop("tokens")
        weights = Weights((key.removeprefix("w."), value) for key, value in arrays.items())
        y = FORMULAS[name](weights, tokens)
        assert y.dtype == torch.float64 and torch.isfinite(y).all()
        kept = {f"w.{key}": weights[key].numpy() for key in sorted(weights.used)}
        path = HERE / f"{name}.npz"
        np.savez(path, tokens=tokens.numpy(), y=y.numpy(), **kept)
        print(f"{name}: {path.stat().st_size} bytes, {len(kept)} weights, |y| up to {y.abs().max():.3g}")


if __name__ == "__main__":
    main()
