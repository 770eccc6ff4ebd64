"""Writes principal.npz: tokens that vary most along one direction, and a linear head that reads it from them."""

from pathlib import Path

import numpy as np

SEQUENCES, TOKENS, D = 320, 8, 6

rng = np.random.default_rng(20261122)
direction = rng.standard_normal(D)
direction *= np.sign(direction.sum()) / np.linalg.norm(direction)
along = 2.0 * rng.standard_normal((SEQUENCES, TOKENS, 1))
tokens = along * direction + 0.5 * rng.standard_normal((SEQUENCES, TOKENS, D))
values = tokens @ direction
scores = np.tril(0.05 * tokens @ tokens.transpose(0, 2, 1))
np.savez(
    Path(__file__).with_name("principal.npz"),
    tokens=tokens.astype(np.float32),
    read=(scores @ values[..., None]).astype(np.float32),
    direction=direction.astype(np.float32),
)
