#!/usr/bin/env python3
"""How the time of a pass grows with the number of tokens, and what a second thread gives.

    python benches/scaling.py                  # builds `benches/attention.rs`
    python benches/scaling.py --binary PATH    # a bench binary that is already built

D = 64, 4 heads, f32; the exponent is the slope of log time over log tokens, least squares over all sizes.
"""

import math
import sys

from ours import Ours

SIZES = [1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000]
WORKS = ["full", "causal", "delta_causal"]


def slope(points):
    mean = [sum(p[i] for p in points) / len(points) for i in (0, 1)]
    return sum((x - mean[0]) * (y - mean[1]) for x, y in points) / sum((x - mean[0]) ** 2 for x, _ in points)


def main():
    ours = Ours(sys.argv[2] if sys.argv[1:2] == ["--binary"] else None)
    print("| work | threads | 10^3 | 10^4 | 10^5 | 10^6 tokens | exponent |")
    print("|---|---|---|---|---|---|---|")
    for work in WORKS:
        for threads in (1, 2):
            best = {n: min(ours.ask(work, 64, 4, n, "f32", threads, 3) for _ in range(2)) for n in SIZES}
            times = " | ".join(f"{best[n] * 1e3:.2f} ms" for n in SIZES[::2])
            exponent = slope([(math.log(n), math.log(t)) for n, t in best.items()])
            print(f"| {work.replace('_', ' ')} | {threads} | {times} | {exponent:.3f} |", flush=True)


main()
