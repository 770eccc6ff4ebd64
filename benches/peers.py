#!/usr/bin/env python3
"""Our passes and PyTorch's on one machine, interleaved; one table.

    python benches/peers.py                   # all rows
    python benches/peers.py middle f32        # rows that hold all these words
    python benches/peers.py --binary PATH     # with a bench binary that is already built

Needs PyTorch. Builds `benches/attention.rs` and asks it for one sample at a time; rounds alternate between the two, and
each number is the fastest of all rounds. Operation counts are those of the plain algorithm, whatever either side does:
projections 2 N D (2 d_k + 2 d_v) H, memories 4 N d_k d_v H, softmax 4 N^2 d H (half of it under a causal mask), a step of
training three forward passes. The floor of a row is the larger of its operations over the GEMM rate (one product to a
thread, side by side) and its input, output and weights over the memory bandwidth (triad), measured in the same rounds.
PyTorch runs eagerly with a fused projection of queries, keys and values; its causal linear heads are the faster of masked
scores and chunks, chosen before the rounds. Rows of decay, delta and gated memories stand beside PyTorch's plain causal
heads. `general` goes through heads token by token where `full` may use the algebra of second moments.
"""

import sys
import time

import torch
import torch.nn.functional as F

from ours import Ours

ROUNDS = 3
SIZES = {"large": (512, 8, 4096), "middle": (64, 4, 256), "small": (16, 2, 32)}
# work, size, aim (PyTorch's time over ours, f32 and f64)
ROWS = [
    ("general_full", "large", (None, None)),
    ("full", "large", (2.0, 2.5)),
    ("causal", "large", (1.4, 1.6)),
    ("decay_causal", "large", (None, None)),
    ("delta_causal", "large", (None, None)),
    ("gated_causal", "large", (None, None)),
    ("general_full_step", "large", (1.1, 1.4)),
    ("full_step", "large", (1.1, 1.4)),
    ("causal_step", "large", (1.2, 1.2)),
    ("softmax_full", "large", (1.0, None)),
    ("softmax_causal", "large", (None, None)),
    ("full", "middle", (2.0, 2.0)),
    ("causal", "middle", (2.5, 2.5)),
    ("full_step", "middle", (2.5, 2.5)),
    ("causal_step", "middle", (2.5, 2.5)),
    ("stream", "middle", (20.0, 20.0)),
    ("full", "small", (12.0, 12.0)),
    ("causal", "small", (12.0, 12.0)),
    ("full_step", "small", (30.0, 30.0)),
    ("causal_step", "small", (30.0, 30.0)),
]
TYPES = {"f32": torch.float32, "f64": torch.float64}


class Theirs:
    """One block of attention heads in PyTorch."""

    def __init__(self, work, d, heads, n, dtype):
        torch.manual_seed(1)
        self.work, self.d, self.h, self.n, self.w = work, d, heads, n, d // heads
        self.x = torch.randn(n, d, dtype=dtype)
        self.target = torch.randn(n, d, dtype=dtype)
        self.qkv = torch.randn(3 * d, d, dtype=dtype) * 0.05
        self.bias = torch.zeros(3 * d, dtype=dtype)
        self.out = torch.randn(d, d, dtype=dtype) * 0.05
        self.out_bias = torch.zeros(d, dtype=dtype)
        self.state = torch.zeros(heads, self.w, self.w, dtype=dtype)
        self.step = "step" in work
        if self.step:
            for t in (self.x, self.qkv, self.bias, self.out, self.out_bias):
                t.requires_grad_(True)
        self.chunk = None
        self.masks = {c: torch.tril(torch.ones(c, c, dtype=dtype)) for c in (n, 64, 128) if n % c == 0 and c <= max(n, 128) and c <= 1024}
        if "causal" in work and "softmax" not in work:
            self.chunk = min(self.masks, key=lambda c: self.time_of(c))

    def time_of(self, chunk):
        self.chunk = chunk
        return fastest(self.run, 2)

    def heads(self):
        q, k, v = F.linear(self.x, self.qkv, self.bias).view(self.n, 3, self.h, self.w).permute(1, 2, 0, 3)
        return q * self.w**-0.5, k, v

    def forward(self):
        q, k, v = self.heads()
        if "softmax" in self.work:
            u = F.scaled_dot_product_attention(q[None], k[None], v[None], is_causal="causal" in self.work, scale=1.0)[0]
        elif "causal" in self.work:
            u = self.causal(q, k, v)
        else:
            u = q @ (k.transpose(1, 2) @ v)
        return F.linear(u.transpose(0, 1).reshape(self.n, self.d), self.out, self.out_bias)

    def causal(self, q, k, v):
        c = self.chunk
        if c == self.n:
            return ((q @ k.transpose(1, 2)) * self.masks[c]) @ v
        q, k, v = (x.reshape(self.h, self.n // c, c, self.w) for x in (q, k, v))
        states = k.transpose(2, 3) @ v
        before = torch.cumsum(states, 1) - states
        u = q @ before + ((q @ k.transpose(2, 3)) * self.masks[c]) @ v
        return u.reshape(self.h, self.n, self.w)

    def token(self):
        q, k, v = F.linear(self.x[0], self.qkv, self.bias).view(3, self.h, self.w)
        self.state = self.state + k[:, :, None] * v[:, None, :]
        u = (q[:, None, :] @ self.state).reshape(self.d) * self.w**-0.5
        return F.linear(u, self.out, self.out_bias)

    def run(self):
        if self.step:
            for t in (self.x, self.qkv, self.bias, self.out, self.out_bias):
                t.grad = None
            (0.5 * (self.forward() - self.target).square().sum()).backward()
        else:
            with torch.no_grad():
                self.token() if self.work == "stream" else self.forward()


def fastest(run, samples):
    run()
    start = time.perf_counter()
    run()
    repeats = min(2000, max(1, int(1e-3 / (time.perf_counter() - start))))
    best = float("inf")
    for _ in range(samples):
        start = time.perf_counter()
        for _ in range(repeats):
            run()
        best = min(best, (time.perf_counter() - start) / repeats)
    return best


def operations(work, d, heads, n):
    w = d // heads
    if work == "stream":
        n = 1
    inner = 4 * n * n * w * heads * (0.5 if "causal" in work else 1) if "softmax" in work else 4 * n * w * w * heads
    return (8 * n * d * d + inner) * (3 if "step" in work else 1)


def moved(work, d, n, width):
    """Bytes of input, output and weights, each once; a step also reads targets and writes all derivatives."""
    n = 1 if work == "stream" else n
    return (2 * n * d + 4 * d * d) * width * (2.5 if "step" in work else 1)


def main():
    wanted, binary = sys.argv[1:], None
    if "--binary" in wanted:
        at = wanted.index("--binary")
        binary = wanted[at + 1]
        del wanted[at : at + 2]
    ours = Ours(binary)
    print(f"PyTorch {torch.__version__}; fastest of {ROUNDS} rounds; GFLOP by the plain algorithm\n")
    print("| work | size | type | threads | ours | PyTorch | ratio | aim | GFLOP/s | of the floor |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for precision, dtype in TYPES.items():
        width = 4 if precision == "f32" else 8
        for threads in (1, 2):
            rows = [r for r in ROWS if all(x in f"{r[0]} {r[1]} {precision} {threads} threads".split() for x in wanted)]
            if not rows:
                continue
            torch.set_num_threads(threads)
            peers = {(w, s): Theirs(w, *SIZES[s], dtype) for w, s, _ in rows}
            best = {}

            def note(key, seconds):
                best[key] = min(best.get(key, float("inf")), seconds)

            for _ in range(ROUNDS):
                note("gemm", ours.ask("gemm", 512, 1, 1, precision, threads, 3))
                note("triad", ours.ask("triad", 1, 1, 8_000_000, precision, threads, 2))
                for work, size, _ in rows:
                    d, heads, n = SIZES[size]
                    samples = 1 if size == "large" else 25
                    note((work, size, 0), ours.ask(work, d, heads, n, precision, threads, samples))
                    note((work, size, 1), fastest(peers[work, size].run, samples))
            rate = 2 * 512**3 * threads / best["gemm"]
            bandwidth = 3 * 8_000_000 * width / best["triad"]
            print(f"| GEMM rate | | {precision} | {threads} | | | | | {rate / 1e9:.0f} | triad {bandwidth / 1e9:.0f} GB/s |")
            for work, size, aim in rows:
                d, heads, n = SIZES[size]
                mine, other = best[work, size, 0], best[work, size, 1]
                flop = operations(work, d, heads, n)
                floor = max(flop / rate, moved(work, d, n, width) / bandwidth)
                aimed = aim[0 if precision == "f32" else 1]
                print(
                    f"| {work.replace('_', ' ')} | {size} | {precision} | {threads} | {show(mine)} | {show(other)} "
                    f"| {other / mine:.2f} | {aimed or ''} | {flop / mine / 1e9:.1f} | {floor / mine:.2f} |",
                    flush=True,
                )


def show(seconds):
    return f"{seconds * 1e3:.1f} ms" if seconds > 1e-3 else f"{seconds * 1e6:.1f} us"


main()
