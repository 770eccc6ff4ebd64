"""Trains a small transformer on the handwritten digits of circuits/data/, and writes what its attention layers compute.

    python tests/golden/transformer/train_digits.py             # trains, writes both files
    python tests/golden/transformer/train_digits.py --keep      # keeps model.safetensors, writes activations.safetensors

Needs torch, numpy and safetensors; downloads nothing. One thread, one seed: the same versions on the same machine give
the same bytes. Nothing was chosen by looking at the held-out images: tokens, epochs, rate and shifts were settled with
images 1077 to 1436 set aside from training.
"""

import argparse
import math
import pathlib
import sys

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import bert  # noqa: E402

DATA = HERE.parents[2] / "circuits" / "data" / "digits.npz"
OUT = DATA.parent / "transformer"
LAYERS, HEADS, D, D_HIDDEN, CLASSES, SIDE = 2, 4, 32, 64, 10, 8
EPS = 1e-12  # of LayerNorm, as in BERT
TRAIN = 1437  # the first 1437 images; the last 360 are held out
EPOCHS, BATCH, RATE, DECAY, SMOOTHING = 60, 64, 3e-3, 0.05, 0.05
SEED = 7


def digits():
    """Images [n, 8 rows, 8 pixels] from 0 to 1, and labels."""
    with np.load(DATA) as arrays:
        images = torch.from_numpy(arrays["images"].astype(np.float32)).view(-1, SIDE, SIDE) / 16
        return images, torch.from_numpy(arrays["labels"].astype(np.int64))


def fresh():
    """Weights before training, under BERT's names."""
    w = {}

    def dense(name, rows, columns):
        w[f"{name}.weight"] = torch.randn(rows, columns) / math.sqrt(columns)
        w[f"{name}.bias"] = torch.zeros(rows)

    def norm(name):
        w[f"{name}.weight"], w[f"{name}.bias"] = torch.ones(D), torch.zeros(D)

    dense("embeddings.row_embeddings", D, SIDE)
    w["embeddings.position_embeddings.weight"] = 0.1 * torch.randn(SIDE, D)
    norm("embeddings.LayerNorm")
    for n in range(LAYERS):
        at = f"encoder.layer.{n}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            dense(f"{at}.attention.{part}", D, D)
        norm(f"{at}.attention.output.LayerNorm")
        dense(f"{at}.intermediate.dense", D_HIDDEN, D)
        dense(f"{at}.output.dense", D, D_HIDDEN)
        norm(f"{at}.output.LayerNorm")
    dense("classifier", CLASSES, D)
    return w


def logits(w, images, seen=None):
    """One token per pixel row; the classifier reads the mean of the tokens. The activation is ReLU."""
    x = bert.linear(w, "embeddings.row_embeddings", images) + w["embeddings.position_embeddings.weight"]
    x = bert.layer_norm(w, "embeddings.LayerNorm", x, EPS)
    x = bert.encode(w, x, LAYERS, HEADS, F.relu, EPS, seen)
    return bert.linear(w, "classifier", x.mean(dim=-2))


def shifted(images, generator):
    """Each image moved by at most one pixel along each axis."""
    dy, dx = torch.randint(0, 3, (2, len(images), 1), generator=generator)
    padded, steps = F.pad(images, (1, 1, 1, 1)), torch.arange(SIDE)
    which = torch.arange(len(images))[:, None, None]
    return padded[which, (dy + steps)[:, :, None], (dx + steps)[:, None, :]]


def train(images, labels):
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    w = {name: tensor.requires_grad_() for name, tensor in fresh().items()}
    flat = [t for t in w.values() if t.dim() == 1]
    matrices = [t for t in w.values() if t.dim() > 1]
    optimiser = torch.optim.AdamW([{"params": matrices}, {"params": flat, "weight_decay": 0.0}], RATE, weight_decay=DECAY)
    steps = EPOCHS * math.ceil(len(images) / BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.1)
    for epoch in range(EPOCHS):
        total = 0.0
        for batch in torch.randperm(len(images), generator=generator).split(BATCH):
            loss = F.cross_entropy(
                logits(w, shifted(images[batch], generator)), labels[batch], label_smoothing=SMOOTHING
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * len(batch)
        if (epoch + 1) % 10 == 0:
            print(f"epoch {epoch + 1:3}  loss {total / len(images):.4f}")
    return {name: tensor.detach().contiguous() for name, tensor in w.items()}


def right(w, images, labels):
    return logits(w, images).argmax(dim=1) == labels


def activations(w, images, labels):
    """Of the first held-out image of each class and the first two that are misread (others, if there are not two)."""
    ok = right(w, images[TRAIN:], labels[TRAIN:])
    held = range(TRAIN, len(labels))
    chosen = [next(i for i in held if labels[i] == c) for c in range(CLASSES)]
    rest = sorted((i for i in held if i not in chosen), key=lambda i: (bool(ok[i - TRAIN]), i))
    chosen += rest[:2]
    arrays = {}
    for dtype in (torch.float64, torch.float32):
        cast = {name: tensor.to(dtype) for name, tensor in w.items()}
        for count, i in enumerate(chosen):
            name = f"digit_{i}"
            seen = bert.recorder(cast, HEADS, name, arrays, by_heads=count >= len(chosen) - 2)
            y = logits(cast, images[i].to(dtype), seen)
            if dtype == torch.float64:
                arrays[f"{name}.logits"] = y[None].clone()
    return arrays


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="do not train; read model.safetensors")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    images, labels = digits()
    model = OUT / "model.safetensors"
    if not args.keep:
        save_file(train(images[:TRAIN], labels[:TRAIN]), model, {"format": "pt"})
    w = load_file(model)
    with torch.no_grad():
        for name, part in [("training", slice(None, TRAIN)), ("held out", slice(TRAIN, None))]:
            ok = right(w, images[part], labels[part])
            print(f"{name}: {int(ok.sum())} of {len(ok)} right, {100 * ok.float().mean():.2f} %")
        arrays = activations(w, images, labels)
    save_file(arrays, OUT / "activations.safetensors")
    for file in sorted(OUT.glob("*.safetensors")):
        print(f"{file.name}: {file.stat().st_size} bytes")
    print(f"torch {torch.__version__}, numpy {np.__version__}")


if __name__ == "__main__":
    main()
