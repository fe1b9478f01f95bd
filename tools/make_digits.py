"""Write ``python/lamina/datasets/digits.npz`` from scikit-learn's copy of the UCI digits.

Rows are shuffled, and a fifth of each class goes to the end: the test part. The result is committed; this says
where it came from.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

TARGET = Path(__file__).parent.parent / "python" / "lamina" / "datasets" / "digits.npz"


def main() -> None:
    """Write the file."""
    digits = load_digits()
    x, y = digits.data.astype(np.uint8), digits.target.astype(np.uint8)
    generator = np.random.default_rng(20240501)
    order = generator.permutation(len(x))
    test = np.zeros(len(x), bool)
    for digit in range(10):
        rows = order[y[order] == digit]
        test[rows[: round(len(rows) / 5)]] = True
    order = np.concatenate([order[~test[order]], order[test[order]]])
    np.savez_compressed(TARGET, x=x[order], y=y[order], train_rows=np.int64((~test).sum()))


if __name__ == "__main__":
    main()
