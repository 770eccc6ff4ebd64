"""Writes complex_steps.safetensors: derivatives of a loss by every weight of circuits/three_level_hierarchy.yaml.

    python tests/golden/gradients/complex_steps.py PULVINAR

No differentiation by anybody: every weight in turn gets an imaginary part of 1e-40, and the imaginary part of the loss
is the derivative, to the last digit (Squire & Trapp 1998). The equations are plain loops over tokens, written from the
comments of the circuit; weights and tokens come from `PULVINAR simulate`. The loss is half the squared error to the
pattern of `projections.py`.
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from safetensors.numpy import load_file, save_file

HERE = pathlib.Path(__file__).resolve().parent
NAME = "three_level_hierarchy"
STEP = 1e-40


def area(core, matrix, w, n):
    """One level: y_i = skip c_i + W_O sum_{j <= i} (A (W_K m_j * W_Q c_i)) * W_V m_j."""
    y = []
    for i in range(len(core)):
        u = 0
        for j in range(i + 1):
            superficial = (w[f"W_K{n}"] @ matrix[j]) * (w[f"W_Q{n}"] @ core[i])
            u = u + (w[f"A{n}"] @ superficial) * (w[f"W_V{n}"] @ matrix[j])
        y.append(w[f"skip{n}"] @ core[i] + w[f"W_O{n}"] @ u)
    return y


def output(x, w):
    """Three levels; from the second on, context tokens come from the core relay through `relay`."""
    core = area(x, x, w, 1)
    for n in (2, 3):
        core = area(core, [w[f"relay{n - 1}"] @ c for c in core], w, n)
    return core


def loss(x, w):
    total = 0
    for i, y in enumerate(output(x, w)):
        for a, number in enumerate(y):
            total = total + (number - ((7 * i + 3 * a) % 5 - 2) / 2) ** 2 / 2
    return total


def main():
    binary = str(pathlib.Path(sys.argv[1]).resolve())
    circuit = HERE.parents[2] / "circuits" / f"{NAME}.yaml"
    with tempfile.TemporaryDirectory() as folder:
        run = [binary, "simulate", str(circuit), "-o", folder, "--force"]
        subprocess.run(run, check=True, capture_output=True)
        out = pathlib.Path(folder)
        weights = load_file(out / "weights.safetensors")
        with np.load(out / "inputs.npz") as arrays:
            x = list(arrays["main"].astype(np.float64))
        y = np.load(out / "output.npy")
    w = {name: matrix.astype(np.complex128) for name, matrix in weights.items()}
    assert np.abs(np.array(output(x, w)).real - y).max() < 1e-12 * np.abs(y).max()
    gradients = {}
    for name, matrix in w.items():
        gradient = np.empty(matrix.shape)
        for at in np.ndindex(matrix.shape):
            matrix[at] += 1j * STEP
            gradient[at] = loss(x, w).imag / STEP
            matrix[at] = matrix[at].real
        gradients[f"{NAME}/{name}"] = gradient
        print(f"{name:8} {np.linalg.norm(gradient):12.4f}")
    save_file(gradients, str(HERE / "complex_steps.safetensors"))


if __name__ == "__main__":
    main()
