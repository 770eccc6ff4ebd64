"""Writes digits.npz from the copy of the UCI digits test set that scikit-learn ships.

Needs numpy and scikit-learn; downloads nothing. Run as `python make_digits.py` in any folder.
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

N_SMALL = 16  # digits whose rows are the tokens of digits.yaml


def main():
    digits = load_digits()
    images = digits.data.astype(np.uint8)  # [1797, 64], row by row, 0 to 16
    assert images.shape == (1797, 64) and np.array_equal(images, digits.data) and images.max() == 16
    labels = digits.target.astype(np.uint8)  # [1797], 0 to 9
    rows_small = images[:N_SMALL].reshape(N_SMALL * 8, 8).astype(np.float64) / 16  # [128, 8], 0 to 1
    target = Path(__file__).with_name("digits.npz")
    np.savez_compressed(target, images=images, labels=labels, rows_small=rows_small)
    print(f"{target.name}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
