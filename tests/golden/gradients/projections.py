"""Writes projections.safetensors: derivatives of a loss by the weights of every projection of some circuits.

    python tests/golden/gradients/projections.py PULVINAR

The loss is half the squared error to a pattern of small numbers; the equations are those of ../generate.py, which knows
circuits by hand, and PyTorch differentiates them. Weights and tokens come from `PULVINAR simulate`. Projections that an
equation only makes sure of (ones, identities) have no derivative here.
"""

import pathlib
import sys
import tempfile

import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import generate  # noqa: E402

NAMES = [
    "learning_feedback",
    "one_head_key_value_memory",
    "two_heads_by_blocks",
    "rank_two_lateral",
    "broadcast_lateral",
    "cross_attention",
    "three_level_hierarchy",
    "decoder",
    "softmax_divisive",
    "polynomial_kernel",
    "feature_map_memory",
    "decay_memory",
    "delta_memory",
    "gated_memory",
    "learn_in_context",
    "learn_recall",
]


def pattern(n, d):
    """Row i, cell a: ((7 i + 3 a) mod 5 - 2) / 2."""
    i, a = torch.arange(n)[:, None], torch.arange(d)[None, :]
    return ((7 * i + 3 * a) % 5 - 2).double() / 2


def main():
    torch.set_num_threads(1)
    binary = str(pathlib.Path(sys.argv[1]).resolve())
    gradients = {}
    for name in NAMES:
        with tempfile.TemporaryDirectory() as folder:
            weights, streams, output = generate.run(binary, name, pathlib.Path(folder))
        for w in weights.values():
            w.requires_grad_(True)
        y = generate.EXPECTED[name](weights, streams)
        assert (torch.from_numpy(output) - y).abs().max() < 1e-9 * y.abs().max()
        loss = 0.5 * (y - pattern(*y.shape)).square().sum()
        loss.backward()
        found = {k: w.grad for k, w in weights.items() if w.grad is not None}
        print(f"{name:28} loss {loss.item():12.4f}   {len(found)} of {len(weights)} projections")
        gradients |= {f"{name}/{k}": g.contiguous() for k, g in found.items()}
    save_file(gradients, str(HERE / "projections.safetensors"))


if __name__ == "__main__":
    main()
