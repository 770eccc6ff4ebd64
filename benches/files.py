#!/usr/bin/env python3
"""Time and memory of `pulvinar simulate --stream` by the length of the file of tokens.

    cargo build --release && python benches/files.py [FOLDER]    # 6 GB of room in FOLDER, default a temporary one

Four causal linear heads (`circuits/multihead_cortico_thalamic.yaml` with d = 64), f32, output written to a run directory.
"""

import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SIZES = [10**5, 10**6, 10**7]
SETTINGS = ["--set", "d=64", "--set", "d_k=16", "--set", "d_v=16", "--precision", "f32", "--stream", "--force", "-q"]


def tokens(path, n):
    """A file of `n` tokens of 64 normal numbers, a piece at a time."""
    import numpy as np  # in a process of its own: what is measured counts the memory of this one

    rng, piece = np.random.default_rng(1), 1 << 16
    with open(path, "wb") as out:
        np.lib.format.write_array_header_1_0(out, {"descr": "<f4", "fortran_order": False, "shape": (n, 64)})
        for first in range(0, n, piece):
            out.write(rng.standard_normal((min(piece, n - first), 64), dtype=np.float32).tobytes())


def run(arguments):
    """Seconds and largest memory in bytes of a process of its own."""
    start = time.perf_counter()
    child = os.posix_spawn(arguments[0], arguments, os.environ, file_actions=[
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
    _, status, usage = os.wait4(child, 0)
    assert status == 0, arguments
    return time.perf_counter() - start, usage.ru_maxrss * 1024


def main():
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if sys.argv[1:] else None) as folder:
        print("| tokens | file | time | largest memory |")
        print("|---|---|---|---|")
        points = []
        for n in SIZES:
            path = pathlib.Path(folder) / "tokens.npy"
            subprocess.run([sys.executable, __file__, "--tokens", str(path), str(n)], check=True)
            circuit = ROOT / "circuits/multihead_cortico_thalamic.yaml"
            command = [str(ROOT / "target/release/pulvinar"), "simulate", str(circuit), *SETTINGS]
            command += ["--tokens", str(path), "-o", str(pathlib.Path(folder) / "run")]
            seconds, memory = min(run(command) for _ in range(2))
            points.append((math.log(n), math.log(seconds)))
            print(f"| {n:,} | {path.stat().st_size / 1e9:.2f} GB | {seconds:.2f} s | {memory / 1e6:.0f} MB |", flush=True)
        mean = [sum(p[i] for p in points) / len(points) for i in (0, 1)]
        slope = sum((x - mean[0]) * (y - mean[1]) for x, y in points) / sum((x - mean[0]) ** 2 for x, _ in points)
        print(f"\nexponent {slope:.3f}")


if sys.argv[1:2] == ["--tokens"]:
    tokens(sys.argv[2], int(sys.argv[3]))
else:
    main()
