"""Cells in time beside Nengo's reference simulator, in turns: `pip install nengo`, then `python benches/cells_nengo.py`.

Ours: `cargo bench --bench cells`, leaky cells of two compartments in the columns of one attention head: half of them
superficial, half deep, a lateral matrix of 8 x 8 in each column, a sum over the context for each query.

Nengo's: as many rate neurons. A Nengo neuron has one input current and no compartments, so each neuron receives two
signals through a `Lowpass` of 10 ms each, the discrete form of our leaky compartment (exponential Euler), and rectifies
their sum where ours multiplies the two. Half of the neurons (superficial) read two constant inputs; the other half (deep)
one constant input and one superficial neuron each. That is the same number of state variables, and less work than ours:
one lateral synapse for each deep neuron where we have eight, no output. Nothing is decoded, nothing is probed. Step 1 ms,
float64 in both. Nengo runs these operators on one thread.

Each round runs one configuration of ours and one of Nengo's; the best and the median of the rounds are printed.
"""

import statistics
import subprocess
import sys
import time

import nengo
import numpy as np

ROUNDS = 5
# Tokens: 16 tokens^2 cells. Steps of Nengo's short and long run.
SIZES = {25: (50, 550), 250: (2, 12)}


def model(cells):
    half = cells // 2
    rng = np.random.default_rng(1)
    with nengo.Network(seed=1) as net:
        ensembles = [
            nengo.Ensemble(half, 1, neuron_type=nengo.RectifiedLinear(), gain=np.ones(half), bias=np.zeros(half))
            for _ in range(2)
        ]
        superficial, deep = ensembles
        leak = nengo.Lowpass(0.01)
        inputs = [nengo.Node(rng.normal(size=half)) for _ in range(3)]
        for node, to in zip(inputs, [superficial, superficial, deep]):
            nengo.Connection(node, to.neurons, synapse=leak)
        nengo.Connection(superficial.neurons, deep.neurons, synapse=leak)
    return net


def nengo_rate(sim, cells, steps):
    times = []
    for n in steps:
        start = time.perf_counter()
        sim.run_steps(n, progress_bar=False)
        times.append(time.perf_counter() - start)
    return cells * (steps[1] - steps[0]) / (times[1] - times[0])


def our_rate(threads, tokens):
    """Cell-steps per second and the triad's GB/s."""
    command = ["cargo", "bench", "-q", "--bench", "cells", "--", "--row", str(threads), str(tokens)]
    line = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(line[0]), float(line[1])


def main():
    print(f"nengo {nengo.__version__}, numpy {np.__version__}, python {sys.version.split()[0]}; {ROUNDS} rounds")
    print(f"{'cells':>8} {'threads':>8} {'ours: best':>11} {'median':>9} {'nengo: best':>12} {'median':>9}"
          f" {'ratio of medians':>17} {'triad GB/s':>11} {'time / floor':>13}")
    for tokens, steps in SIZES.items():
        cells = 16 * tokens * tokens
        with nengo.Simulator(model(cells), dt=0.001, progress_bar=False) as sim:
            sim.run_steps(2, progress_bar=False)
            ours, theirs = {1: [], 2: []}, []
            for _ in range(ROUNDS):
                for threads, rates in ours.items():
                    rates.append(our_rate(threads, tokens))
                    theirs.append(nengo_rate(sim, cells, steps))
        for threads, rates in ours.items():
            mine = [r for r, _ in rates]
            # Potentials of two compartments read and written, two inputs read: 48 bytes for each cell and step.
            floors = [48 * r / (1e9 * triad) for r, triad in rates]
            middle, their_middle = statistics.median(mine), statistics.median(theirs)
            print(f"{cells:>8} {threads:>8} {max(mine):>11.2e} {middle:>9.2e} {max(theirs):>12.2e} {their_middle:>9.2e}"
                  f" {middle / their_middle:>17.1f} {statistics.median(t for _, t in rates):>11.1f}"
                  f" {1 / statistics.median(floors):>13.2f}", flush=True)


if __name__ == "__main__":
    main()
