"""Writes per second to an associative memory: a NumPy loop, and PyTorch as a loop and (hebbian, decay) as one product.

The counterpart of `cargo bench --bench memories`: d = 64 key and 64 value cells, 4096 pairs, one cue, float64.
Needs numpy and torch; prints one line per rule and way.
"""

import time

import numpy as np
import torch

D, WRITES, G, RATE, REPEATS = 64, 4096, 0.95, 1.0, 7


def numpy_loop(rule, cue, keys, values):
    memory = np.zeros((D, D))
    for k, v in zip(keys, values):
        if rule == "decay":
            memory *= G
        if rule == "delta":
            v = RATE * (v - memory @ k)
        memory += np.outer(v, k)
    return memory @ cue


def torch_loop(rule, cue, keys, values):
    memory = torch.zeros(D, D, dtype=torch.float64)
    for k, v in zip(keys, values):
        if rule == "decay":
            memory.mul_(G)
        if rule == "delta":
            v = RATE * (v - memory @ k)
        memory.addr_(v, k)
    return memory @ cue


def torch_product(rule, cue, keys, values):
    if rule == "delta":
        return None
    weights = torch.ones(WRITES, dtype=torch.float64) if rule == "hebbian" else G ** torch.arange(WRITES - 1, -1, -1).double()
    return values.T @ (weights[:, None] * keys) @ cue


def best(run):
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        answer = run()
        times.append(time.perf_counter() - start)
    return min(times), answer


def main():
    torch.set_num_threads(1)
    rng = np.random.default_rng(1)
    cue, keys, values = (0.125 * rng.normal(size=s) for s in [(D,), (WRITES, D), (WRITES, D)])
    as_torch = [torch.from_numpy(x) for x in (cue, keys, values)]
    print(f"numpy {np.__version__}, torch {torch.__version__}")
    for rule in ["hebbian", "decay", "delta"]:
        answers = []
        ways = [
            ("numpy loop", lambda: numpy_loop(rule, cue, keys, values)),
            ("torch loop", lambda: torch_loop(rule, *as_torch)),
            ("torch product", lambda: torch_product(rule, *as_torch)),
        ]
        for name, run in ways:
            seconds, answer = best(run)
            if answer is None:
                continue
            answers.append(np.asarray(answer))
            print(f"{rule:8} {name:14} {WRITES / seconds:12.3g} writes/s")
        assert all(np.allclose(a, answers[0], rtol=1e-9) for a in answers)


if __name__ == "__main__":
    main()
