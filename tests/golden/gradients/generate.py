"""Gradients of small blocks of every kind, by PyTorch's automatic differentiation of equations written by hand.

    python tests/golden/gradients/generate.py

Writes cases.json (what each block is) and gradients.safetensors, all float64: for each case its parameters
(CASE/RELAY/h0.w_q, ...), input streams (CASE/x.STREAM, [n_tokens, width]), output (CASE/y), CASE/d_output, and under the
same names with `grad/` in front dL/d of each parameter and stream, for L = sum(d_output * y).

Nothing here knows how the library goes backward: scores are whole matrices, memories are loops over tokens.
"""

import json
import pathlib

import numpy as np
import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
N = 6
WIDTH = {"a": 3, "b": 4}
D_OUT, D_K, D_V = 3, 2, 3
torch.set_default_dtype(torch.float64)

MAPS = {
    "identity": lambda x: x,
    "relu": torch.relu,
    "exp": torch.exp,
    "elu_plus_one": lambda x: torch.nn.functional.elu(x) + 1,
    "sigmoid": torch.sigmoid,
    "sign": torch.sign,
}


def seen(mask, n_query, n_context):
    """How many of the first context tokens each query sees."""
    return [{"full": n_context, "causal": i + 1, "strict": i}[mask] for i in range(n_query)]


def gains(p, head, streams):
    """[n_context, rows]: constant + weights * map(features x + bias)."""
    z = streams[head["gate"]] @ p["gate_features"].T + p["gate_bias"]
    z = torch.stack([MAPS[m](z[:, f]) for f, m in enumerate(head["gate_maps"])], dim=1)
    return p["gate_constant"] + z @ p["gate_weights"].T


def with_scores(p, head, q, k, v):
    limit = seen(head["mask"], len(q), len(k))
    scores = p["scale"] * (q @ k.T)
    weights = {"exp": torch.exp, "power": lambda s: s ** head.get("degree", 0)}.get(head["kernel"], lambda s: s)(scores)
    rows = []
    for i, end in enumerate(limit):
        w = weights[i, :end]
        if head["memory"] == "decay":
            w = w * p["decay"] ** torch.arange(end - 1, -1, -1)
        u = w @ v[:end]
        if head["normalised"] and end > 0:
            u = u / w.sum()
        rows.append(u)
    return torch.stack(rows)


def with_memory(p, head, q, k, v, streams):
    q = p["scale"] * q
    rule = head["memory"]
    rates = None
    if "gate" in head:
        rates = gains(p, head, streams)
    elif rule == "delta":
        rates = p["rate"].expand(len(k), 1)
    memory = torch.zeros(v.shape[1], k.shape[1])
    states = [memory]
    for t in range(len(k)):
        if rule == "delta":
            memory = memory + torch.outer(rates[t] * (v[t] - memory @ k[t]), k[t])
        elif head["side"] == "value":
            memory = rates[t][:, None] * memory + torch.outer(v[t], k[t])
        else:
            memory = memory * rates[t][None, :] + torch.outer(v[t], k[t])
        states.append(memory)
    return torch.stack([states[end] @ q[i] for i, end in enumerate(seen(head["mask"], len(q), len(k)))])


def forward(p, block, streams):
    y = p["b_o"] + torch.zeros(len(streams[block["clock"]]), 1)
    for r, stream in enumerate(block["residual"]):
        y = y + streams[stream] @ p[f"r{r}"].T
    for h, head in enumerate(block["heads"]):
        mine = {name.split(".", 1)[1]: value for name, value in p.items() if name.startswith(f"h{h}.")}
        q = streams[head["query"]] @ mine["w_q"].T + mine["b_q"]
        k = streams[head["context"]] @ mine["w_k"].T + mine["b_k"]
        v = streams[head["value"]] @ mine["w_v"].T + mine["b_v"]
        if head["kernel"] == "feature":
            k, q = MAPS[head["key_map"]](k), MAPS[head["query_map"]](q)
        recurrent = head["memory"] in ("delta", "gated")
        u = with_memory(mine, head, q, k, v, streams) if recurrent else with_scores(mine, head, q, k, v)
        y = y + u @ mine["w_o"].T
    return y


def draw(rng, *shape, low=-1.0):
    return torch.tensor(rng.uniform(low, 1.0, shape))


def parameters(rng, block, widths, low):
    p = {"b_o": draw(rng, block["d_model"])}
    for r, stream in enumerate(block["residual"]):
        p[f"r{r}"] = draw(rng, block["d_model"], widths[stream])
    for h, head in enumerate(block["heads"]):
        mine = {
            "w_q": draw(rng, D_K, widths[head["query"]], low=low),
            "w_k": draw(rng, D_K, widths[head["context"]], low=low),
            "w_v": draw(rng, D_V, widths[head["value"]]),
            "w_o": draw(rng, block["d_model"], D_V),
            "b_q": draw(rng, D_K, low=low),
            "b_k": draw(rng, D_K, low=low),
            "b_v": draw(rng, D_V),
            "scale": torch.tensor(0.7),
        }
        if head["memory"] == "decay":
            mine["decay"] = torch.tensor(head.pop("g"))
        if "gate" in head:
            n_features = len(head["gate_maps"])
            mine["gate_constant"] = torch.full((head["gate_rows"],), 0.4)
            mine["gate_weights"] = 0.3 * draw(rng, head["gate_rows"], n_features)
            mine["gate_features"] = draw(rng, n_features, widths[head["gate"]])
            mine["gate_bias"] = draw(rng, n_features)
        elif head["memory"] == "delta":
            mine["rate"] = torch.tensor(0.3)
        p.update({f"h{h}.{name}": value for name, value in mine.items()})
    return p


def head(kernel="linear", mask="causal", memory="none", normalised=False, query="a", context="b", value=None, **more):
    return dict(
        kernel=kernel, mask=mask, memory=memory, normalised=normalised, query=query, context=context,
        value=value or context, **more,
    )


def gate(rows, stream="b"):
    return dict(gate=stream, gate_rows=rows, gate_maps=["sigmoid", "relu", "exp"])


def block(relay, heads, residual=(), clock="a", d_model=D_OUT):
    return dict(relay=relay, d_model=d_model, clock=clock, residual=list(residual), heads=heads)


def cases():
    masks = ("full", "causal", "strict")
    kernels = {
        "linear": {},
        "exp": dict(kernel="exp"),
        "square": dict(kernel="power", degree=2),
        "cube": dict(kernel="power", degree=3),
        "elu": dict(kernel="feature", key_map="elu_plus_one", query_map="elu_plus_one"),
        "relu_sigmoid": dict(kernel="feature", key_map="relu", query_map="sigmoid"),
        "exp_sign": dict(kernel="feature", key_map="exp", query_map="sign"),
    }
    for mask in masks:
        for name, kernel in kernels.items():
            for normalised in (False, True):
                for memory in (dict(memory="none"), dict(memory="decay", g=0.8)):
                    if name in ("square", "relu_sigmoid", "exp_sign") and (mask != "causal") and memory["memory"] == "none":
                        continue  # keeps the file small; covered by a neighbour
                    rule = memory["memory"] + ("_sum" if normalised else "")
                    yield f"{mask}_{name}_{rule}", [block("HO", [head(mask=mask, normalised=normalised, **kernel, **memory)])]
        yield f"{mask}_hebbian", [block("HO", [head(mask=mask, memory="hebbian")])]
        elu = dict(kernel="feature", key_map="elu_plus_one", query_map="sigmoid")
        yield f"{mask}_delta", [block("HO", [head(mask=mask, memory="delta")])]
        yield f"{mask}_delta_elu", [block("HO", [head(mask=mask, memory="delta", **elu)])]
        yield f"{mask}_delta_gate", [block("HO", [head(mask=mask, memory="delta", **gate(D_V))])]
        yield f"{mask}_delta_gate_one_row", [block("HO", [head(mask=mask, memory="delta", **gate(1, "a"))])]
        for side, rows in (("value", D_V), ("key", D_K), ("value", 1), ("key", 1)):
            name = f"{mask}_gated_{side}_{rows}"
            yield name, [block("HO", [head(mask=mask, memory="gated", side=side, **gate(rows))])]
    yield "self_attention", [block("HO", [head(query="a", context="a")], residual=["a"])]
    yield "values_from_elsewhere", [block("HO", [head(query="a", context="b", value="a", kernel="exp", normalised=True)])]
    many = [
        head(mask="full", kernel="exp", normalised=True, context="a"),
        head(mask="strict", memory="decay", g=0.9),
        head(mask="causal", memory="gated", side="value", **gate(D_V, "a")),
    ]
    yield "many_heads", [block("HO", many, residual=["a", "b"])]
    stack = [
        block("H1", [head(context="a")], residual=["a"]),
        block("H2", [head(query="H1", context="b", kernel="exp", normalised=True)], residual=["H1"]),
        block("unread", [head(query="H1", context="H2")]),
        block("H3", [head(query="H2", context="H1", memory="delta"), head(query="a", context="H2")], residual=["H2", "a"]),
    ]
    yield "stack", stack


def main():
    described, tensors = [], {}
    for index, (name, blocks) in enumerate(cases()):
        rng = np.random.default_rng([2025, index])
        positive = any(h["normalised"] for b in blocks for h in b["heads"])
        low = 0.1 if positive else -1.0
        cross = all(h["mask"] == "full" for b in blocks for h in b["heads"]) and len(blocks[0]["heads"]) == 1
        lengths = {"a": N, "b": N}
        needs_one_clock = any(h.get("gate") == "a" or h["value"] != h["context"] for b in blocks for h in b["heads"])
        if cross and not needs_one_clock:
            lengths["b"] = N + 2
        inputs = {s: draw(rng, n, WIDTH[s], low=low) for s, n in lengths.items()}
        widths = dict(WIDTH)
        everything = []
        for b in blocks:
            everything.append(parameters(rng, b, widths, low))
            widths[b["relay"]] = b["d_model"]
        leaves = {f"{name}/x.{s}": x for s, x in inputs.items()}
        for b, p in zip(blocks, everything):
            leaves.update({f"{name}/{b['relay']}/{key}": value for key, value in p.items()})
        for leaf in leaves.values():
            leaf.requires_grad_(True)
        streams = dict(inputs)
        for b, p in zip(blocks, everything):
            y = streams[b["relay"]] = forward(p, b, streams)
        d_output = draw(rng, *y.shape)
        grads = torch.autograd.grad((d_output * y).sum(), list(leaves.values()), allow_unused=True)
        tensors.update({key: leaf.detach() for key, leaf in leaves.items()})
        for (key, leaf), g in zip(leaves.items(), grads):
            tensors[f"grad/{key}"] = torch.zeros_like(leaf) if g is None else g
        tensors[f"{name}/y"], tensors[f"{name}/d_output"] = y.detach(), d_output
        described.append(dict(name=name, blocks=blocks))
    save_file({key: value.contiguous() for key, value in tensors.items()}, HERE / "gradients.safetensors")
    lines = ",\n".join(json.dumps(case) for case in described)
    (HERE / "cases.json").write_text(f"[\n{lines}\n]\n")
    print(f"{len(described)} cases, {sum(t.numel() for t in tensors.values())} numbers, torch {torch.__version__}")


main()
