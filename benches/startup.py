"""Wall time of short commands as processes: median and slowest tenth of 50 runs, after five to warm up.

    cargo build --release && python benches/startup.py [target/release/pulvinar]

Fails if a median passes 10 ms. Needs Python alone; of each time, what Python takes to start any process is part (`true`).
"""

import os
import statistics
import subprocess
import sys
import time

RUNS, LIMIT_MS = 50, 10.0
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def times(command):
    taken = []
    for _ in range(RUNS + 5):
        start = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        taken.append(1e3 * (time.perf_counter() - start))
    return sorted(taken[5:])


def main():
    program = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "target/release/pulvinar"))
    commands = [
        ["true"],
        [program, "--version"],
        [program, "validate", "circuits/one_head_attention_mask.yaml"],
        [program, "validate", "circuits/multihead_cortico_thalamic.yaml"],
    ]
    slow = []
    for command in commands:
        taken = times(command)
        median = statistics.median(taken)
        name = " ".join([os.path.basename(command[0]), *command[1:]])
        print(f"{name:<60} {median:6.2f} ms, slowest tenth from {taken[RUNS * 9 // 10]:6.2f} ms")
        if median > LIMIT_MS:
            slow.append(name)
    if slow:
        sys.exit(f"over {LIMIT_MS} ms: {', '.join(slow)}")


if __name__ == "__main__":
    main()
