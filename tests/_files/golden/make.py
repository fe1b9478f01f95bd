"""Write the golden file of the present format, once, when the format is new: it must be readable forever.

``python tests/_files/golden/make.py`` writes ``format-<number>.safetensors`` and refuses to replace it.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

import lamina
from lamina import layers, optimizers
from lamina._files.native import FORMAT

ROWS = np.linspace(-1, 1, 40).reshape(8, 5).astype("f")
TARGETS = np.stack([ROWS.sum(axis=1), ROWS[:, 0] * ROWS[:, 1]], axis=1)


def main() -> None:
    """Write the file."""
    path = Path(__file__).with_name(f"format-{FORMAT}.safetensors")
    lamina.utils.set_random_seed(1)
    stack = [
        layers.Dense(6, "tanh", kernel_regularizer="l2", name="first"), layers.BatchNormalization(name="norm"),
        layers.Dropout(0.25, name="drop"), layers.Dense(2, name="last"),
    ]  # fmt: skip
    model = lamina.Sequential([lamina.Input((5,)), *stack], name="golden")
    model.compile(optimizers.Adam(0.01), "mse", metrics=["mae"])
    model.fit(ROWS, TARGETS, batch_size=4, epochs=3, verbose=0)
    model.save(path, overwrite=False)
    expected = {"predictions": model.predict(ROWS, verbose=0).tolist(), "iterations": model.optimizer.iterations}
    path.with_suffix(".json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    main()
