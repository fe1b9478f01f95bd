"""Write ``python/lamina/datasets/digits.bin`` from scikit-learn's copy of the UCI digits.

Rows are shuffled, and a fifth of each class goes to the end: the test part. The result is committed; this says
where it came from. It is small because it lies in every wheel: the labels in their order, then the pixels column by
column, of the rows sorted by their labels, compressed by a strategy for small numbers.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

TARGET = Path(__file__).parent.parent / "python" / "lamina" / "datasets" / "digits.bin"


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
    alike = order[np.argsort(y[order], kind="stable")]
    content = np.uint16((~test).sum()).astype("<u2").tobytes() + y[order].tobytes() + x[alike].T.tobytes()
    packer = zlib.compressobj(9, memLevel=9, strategy=zlib.Z_FILTERED)
    TARGET.write_bytes(packer.compress(content) + packer.flush())


if __name__ == "__main__":
    main()
