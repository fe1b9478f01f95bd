"""Train a network on the digits that ship with the package, and report accuracy and time.

The command ``export`` converts files of models instead.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

import lamina
from lamina import datasets, layers, optimizers
from lamina._files.formats import EXPORT_FORMATS, FORMATS

Array = npt.NDArray[np.float32]

UNITS = (128, 64)
BATCH = 32
RATE, MOMENTUM = 0.05, 0.9


def make_model() -> lamina.Sequential:
    """Return the network, compiled."""
    model = lamina.Sequential(name="digits")
    model.add(lamina.Input((64,)))
    for units in UNITS:
        model.add(layers.Dense(units, activation="relu", kernel_initializer="he_uniform"))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(optimizers.SGD(RATE, momentum=MOMENTUM), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def numpy_epoch(weights: list[Array], velocities: list[Array], x: Array, y: npt.NDArray[np.uint8]) -> None:
    """Train the same network for one epoch, in NumPy."""
    order = np.random.default_rng(0).permutation(len(x))
    for begin in range(0, len(x), BATCH):
        rows = order[begin : begin + BATCH]
        outputs = [x[rows]]
        for i in range(0, len(weights), 2):
            z = outputs[-1] @ weights[i] + weights[i + 1]
            outputs.append(np.maximum(z, 0) if i < len(weights) - 2 else z)
        z = outputs[-1] - outputs[-1].max(axis=1, keepdims=True)
        dz = np.exp(z)
        dz /= dz.sum(axis=1, keepdims=True)
        dz[np.arange(len(rows)), y[rows]] -= 1
        dz /= len(rows)
        for i in range(len(weights) - 2, -1, -2):
            gradients = outputs[i // 2].T @ dz, dz.sum(axis=0)
            dz = (dz @ weights[i].T) * (outputs[i // 2] > 0)
            for parameter, velocity, gradient in zip(weights[i : i + 2], velocities[i : i + 2], gradients, strict=True):
                velocity *= MOMENTUM
                velocity -= RATE * gradient
                parameter += velocity


def _listed(suffixes: Iterable[str]) -> str:
    *first, last = suffixes
    return f"{', '.join(first)} or {last}"


def convert(source: str, target: str) -> int:
    """Convert a file of a model into another one. Return 0, or 1 after a message that says why that is not possible."""
    known = [*(suffix for suffix, form in FORMATS.items() if form.write is not None), *EXPORT_FORMATS]
    try:
        if not target.endswith(tuple(known)):
            raise ValueError(f"export: OUT must end in {_listed(known)}; got {target!r}.")
        model = lamina.models.load_model(source)
        if target.endswith(tuple(EXPORT_FORMATS)):
            model.export(target)
        else:
            model.save(target)
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Train, print the results, compare with NumPy. Return 0, or 1 if the accuracy is below 97 %.

    With ``export``: convert a file. Return 0, or 1 if it cannot be converted.
    """
    parser = argparse.ArgumentParser(prog="python -m lamina", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=30, help="passes over the training rows (30)")
    parser.add_argument("--seed", type=int, default=1, help="of initial weights and shuffling (1)")
    exporting = parser.add_subparsers(dest="command").add_parser("export", help="convert a file of a model")
    exporting.add_argument("model", help=f"what to read: a name that ends in {_listed(FORMATS)}")
    written = [suffix for suffix, form in FORMATS.items() if form.write is not None]
    exporting.add_argument("out", help=f"what to write: a name that ends in {_listed([*written, *EXPORT_FORMATS])}")
    options = parser.parse_args(arguments)
    if options.command == "export":
        return convert(options.model, options.out)
    if options.epochs < 0:
        parser.error(f"argument --epochs: must be >= 0; got {options.epochs}")
    if not 0 <= options.seed < 2**32:
        parser.error(f"argument --seed: must be in [0, 2**32); got {options.seed}")

    print("Data: 1,797 handwritten digits of 8 × 8 pixels, a fifth held back for the test.")
    print("      Alpaydin & Kaynak 1998, UCI Machine Learning Repository, doi:10.24432/C50P49, CC BY 4.0.\n")
    (x_train, y_train), (x_test, y_test) = datasets.digits.load_data()
    x_train, x_test = (x.astype(np.float32) / np.float32(16) for x in (x_train, x_test))

    lamina.utils.set_random_seed(options.seed)
    model = make_model()
    model.summary()
    weights = model.get_weights()
    begin = time.perf_counter()
    model.fit(x_train, y_train, batch_size=BATCH, epochs=options.epochs, verbose=1)
    seconds = time.perf_counter() - begin
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)

    velocities = [np.zeros_like(weight) for weight in weights]
    numpy_epoch(weights, velocities, x_train, y_train)
    begin = time.perf_counter()
    for _ in range(3):
        numpy_epoch(weights, velocities, x_train, y_train)
    numpy_seconds = (time.perf_counter() - begin) / 3 * options.epochs

    print(f"\nTest loss {loss:.4f}, test accuracy {accuracy:.2%}.")
    print(f"Training took {seconds:.2f} s; the same network in pure NumPy takes {numpy_seconds:.2f} s on this machine.")
    facts = lamina.runtime.config_facts()
    print(f"({facts['isa']} kernels, {facts['threads']} threads)")
    return 0 if accuracy >= 0.97 else 1


if __name__ == "__main__":
    sys.exit(main())
