"""Trains the head of circuits/learn_digits.yaml by automatic differentiation, and writes what it reaches.

    python tests/golden/digits_learning.py              # trains, writes digits_learning.json
    python tests/golden/digits_learning.py --settle     # the same with a fifth of the training images set aside instead

Needs torch and numpy; downloads nothing. The architecture, the split, the loss and the budget (updates, sequences for each,
optimiser, rate and its schedule) are those of the circuit; the first weights have the same distribution and other draws, and so
have the batches. Equations are written by hand; nothing is read from the circuit. Rate, steps and width were settled with
`--settle`, never by looking at the held-out images.
"""

import argparse
import hashlib
import json
import math
import pathlib

import numpy as np
import torch

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parents[1] / "circuits" / "data" / "digits.npz"
SEED, HELD_OUT = 61, 0.2  # of the circuit
ROWS, PIXELS, CLASSES = 8, 8, 10
HEADS, D_K, D_V = 4, 4, 8
STEPS, BATCH, RATE, BETAS, EPSILON = 3000, 32, 0.01, (0.9, 0.999), 1e-8
RUNS = 5


def split(n):
    """Numbers of the images to learn from, and of the held-out ones: in the order of SHA-256(seed, number)."""
    def key(k):
        return hashlib.sha256(b"pulvinar/1\0" + SEED.to_bytes(8, "little") + f"task.split.{k}".encode()).digest()

    order = sorted(range(n), key=key)
    held = math.floor(HELD_OUT * n + 0.5)
    return order[held:], order[:held]


def sequences():
    """Row tokens [n, 8, 16] (pixels / 16, then a one at the number of the row) and one-hot targets [n, 10]."""
    with np.load(DATA) as arrays:
        images = torch.from_numpy(arrays["images"].astype(np.float64)).view(-1, ROWS, PIXELS) / 16
        labels = torch.from_numpy(arrays["labels"].astype(np.int64))
    rows = torch.eye(ROWS, dtype=torch.float64).expand(len(images), ROWS, ROWS)
    return torch.cat([images, rows], 2), labels


def fresh(generator):
    """Variance 1 / columns of each matrix, as `{normal: {fan_in: 1}}`; that of W_O is `fan_in: 0.1`."""
    d = PIXELS + ROWS

    def normal(*shape, fan_in=1.0):
        return torch.randn(*shape, generator=generator, dtype=torch.float64) * math.sqrt(fan_in / shape[-1])

    weights = [normal(HEADS * D_K, d), normal(HEADS * D_K, d), normal(HEADS * D_V, d), normal(CLASSES, HEADS * D_V, fan_in=0.1)]
    return [w.requires_grad_() for w in weights]


def last(weights, x):
    """Output at the last token, which reads all: sum over heads and rows of W_O^h v_j (k_j . q). [n, 10]."""
    w_q, w_k, w_v, w_o = weights
    n = len(x)
    q = (x[:, -1] @ w_q.T).view(n, HEADS, D_K)
    k = (x @ w_k.T).view(n, ROWS, HEADS, D_K)
    v = (x @ w_v.T).view(n, ROWS, HEADS, D_V)
    scores = torch.einsum("njhk,nhk->njh", k, q)
    return torch.einsum("njh,njhv->nhv", scores, v).reshape(n, -1) @ w_o.T


def measure(weights, x, labels):
    """Half the squared error per image, and the fraction of right answers."""
    with torch.no_grad():
        y = last(weights, x)
        target = torch.nn.functional.one_hot(labels, CLASSES).double()
        loss = 0.5 * (y - target).square().sum(1).mean()
        return loss.item(), (y.argmax(1) == labels).double().mean().item()


def train(x, labels, run):
    generator = torch.Generator().manual_seed(run)
    weights = fresh(generator)
    optimiser = torch.optim.Adam(weights, lr=RATE, betas=BETAS, eps=EPSILON)
    target = torch.nn.functional.one_hot(labels, CLASSES).double()
    order, at = torch.empty(0, dtype=torch.long), 0
    for step in range(STEPS):
        batch = []
        while len(batch) < BATCH:
            if at == len(order):
                order, at = torch.randperm(len(x), generator=generator), 0
            batch.append(order[at].item())
            at += 1
        for group in optimiser.param_groups:
            group["lr"] = RATE * (1 + math.cos(math.pi * step / STEPS)) / 2
        loss = 0.5 * (last(weights, x[batch]) - target[batch]).square().sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return [w.detach() for w in weights]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settle", action="store_true")
    settle = parser.parse_args().settle
    torch.set_num_threads(1)
    x, labels = sequences()
    learn, held = split(len(x))
    if settle:
        cut = len(learn) // 5
        learn, held = learn[cut:], learn[:cut]
    runs = []
    for run in range(RUNS):
        weights = train(x[learn], labels[learn], run)
        (train_loss, train_right), (loss, right) = (measure(weights, x[part], labels[part]) for part in (learn, held))
        runs.append({"train_loss": train_loss, "train_accuracy": train_right, "test_loss": loss, "test_accuracy": right})
        print(run, {name: round(value, 4) for name, value in runs[-1].items()}, flush=True)
    if settle:
        return
    result = {
        "what": "the head of circuits/learn_digits.yaml, trained by PyTorch autograd; see digits_learning.py",
        "torch": torch.__version__.split("+")[0],
        "train_images": len(learn), "test_images": len(held), "first_test_images": held[:8],
        "heads": HEADS, "d_k": D_K, "d_v": D_V,
        "steps": STEPS, "batch": BATCH, "optimiser": "adam", "rate": RATE, "schedule": "cosine",
        "mean_test_accuracy": sum(r["test_accuracy"] for r in runs) / RUNS,
        "runs": runs,
    }
    (HERE / "digits_learning.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
