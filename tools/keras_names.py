"""Writes docs/keras.md: every public name of Keras's modules, whether lamina has it, and why not.

    python tools/keras_names.py
    python tools/keras_names.py --check

Needs real Keras beside lamina.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
import keras

import lamina

MODULES = [
    "", "models", "layers", "activations", "initializers", "regularizers", "constraints", "losses", "metrics",
    "optimizers", "optimizers.schedules", "callbacks", "utils", "config", "backend", "random", "datasets",
    "saving", "preprocessing", "preprocessing.sequence",
]  # fmt: skip

# Where no module says more: why names of a kind are not there.
REASONS = {
    "": "not part of dense sequential models",
    "models": "models are Sequential",
    "layers": "not a layer of dense networks, or prepares data; see what lamina.layers says when asked for it",
    "activations": "changes the shape of its input, or takes arguments that a name cannot carry",
    "initializers": "for other than dense layers",
    "regularizers": "not there yet",
    "losses": "of whole images, sequences or batches, not of rows",
    "metrics": "of segmentations or correlations over whole batches",
    "optimizers": "not there yet",
    "callbacks": "see what lamina.callbacks says when asked for it",
    "utils": "for models and data that lamina does not have",
    "config": "for backends, types and tracebacks that lamina does not have",
    "backend": "there is one backend",
    "random": "draw with NumPy; layers and initializers take seeds",
    "datasets": "downloads, or no rows of numbers",
}


# What differs where the names are the same.
DIFFERENCES = """\
## Where names are the same and something differs

Keras's own tests, as installed with Keras, run against lamina: `python tests/peers/keras_suite`. Those that are not for
lamina stand with the reason in `tests/peers/keras_suite/left_out.py`. Beyond that:

* A layer, loss, regularizer or optimizer written in Python gives its gradient: `forward` and `backward`,
  `value_and_gradient`, `update`. Keras's `call`, `train_step` and `update_step` raise, for they would not be called;
  a loss with a `call` alone can be computed, not trained with. Constraints and metrics may be any function.
* Models are stacks; a model may be a layer of another one, and no two layers of all of them have one name. Layers are
  called with arrays, not with symbols.
* Targets are not broadcast, those of cross-entropies lie in [0, 1], class numbers in range, and data are checked before
  any weight moves. Errors are of Keras's kind; the words are lamina's.
* A cross-entropy after a softmax or sigmoid is computed from the logits, as by Keras on TensorFlow.
* `AUC` and its kin compare scores outside [0, 1] as they are; Keras puts them into the nearest bucket.
* Where a derivative has two sides, lamina takes that of TensorFlow and PyTorch (0 for |w| and ReLU at 0).
* Files are safetensors; Keras's suffixes raise.
* Ignored rows (`ignore_class`) may hold NaN. NaN goes through activations, also those that would clip it.
* History and results of metrics are Python floats, accumulated in float64.
* A NaN is never the best value: `EarlyStopping`, `ModelCheckpoint` and `ReduceLROnPlateau` count it as worse than any
  number.
* `R2Score` of targets that are all the same is 1 where they are met, as in scikit-learn (Keras: NaN), and else 0.
* Focal losses after a sigmoid or softmax, or with `from_logits`, are computed from the logits, and keep their digits
  where probabilities would be clipped.
* Targets and predictions reach a metric that is a function with one rank: a last axis of size 1 is added where one
  lacks it.
* `class_weight` names classes that there are; missing values, masks and weights of no row raise instead of being NaN.
* Callbacks look at their arguments before the first step. `CSVLogger` refuses a file whose columns are others;
  `BackupAndRestore` keeps its folder where something else lies in it. Off a terminal an epoch is one line, not a bar.
* What is assigned after construction (an optimizer's momentum, a loss's reduction, a layer's activation or
  regularizer) is checked and acts, or raises where the state that it needs was not made; what parameters were made
  with (`units`, `use_bias`, `axis`) stays once the layer is built. Keras takes the new value and goes on with the old.
* `Optimizer.apply` takes variables that `build` was called with, and no others; `variables` of optimizers and metrics
  take what is assigned to them, or say that it follows from something else.
* Keras's warnings are given, but for these: `shuffle=True` with a generator (True is the default, and its order is its
  own), a mask that gets lost (`mask_zero` says where it would count, and raises there), `input_shape` of a layer (an
  argument like others), `run_eagerly` beside `jit_compile` (both are without effect), a `PyDataset` without
  `super().__init__()` (nothing needs it), an overridden `compile` (loading calls it with what the file holds).
* Axes of normalizing layers are the last ones, masks are not read, `Dropout` has no `noise_shape`.
"""


def public_names(module: object) -> list[str]:
    """Return the public names of a module that are not modules themselves."""
    names = [n for n in dir(module) if not n.startswith("_")]
    return [n for n in names if not inspect.ismodule(getattr(module, n))]


def find(root: object, path: str) -> object | None:
    """Return a module of a package, or None."""
    try:
        found = importlib.import_module(f"{root.__name__}.{path}" if path else root.__name__)
    except ImportError:
        return None
    return found


def table() -> str:
    """Return the document."""
    lines = [
        "# Keras's names",
        "",
        f"What of the public names of Keras {keras.__version__} lamina has, module by module, and why the others are "
        "missing. Written by `tools/keras_names.py`.",
        "",
    ]
    for path in MODULES:
        theirs, ours = find(keras, path), find(lamina, path)
        if theirs is None:
            continue
        names = public_names(theirs)
        has = [n for n in names if ours is not None and hasattr(ours, n)]
        hints = getattr(ours, "_ABSENT", {})
        why: dict[str, list[str]] = {}
        for name in names:
            if name not in has:
                reason = hints.get(name, REASONS.get(path, REASONS.get(path.split(".")[0], "")))
                why.setdefault(reason, []).append(name)
        more = [] if ours is None else [n for n in getattr(ours, "__all__", []) if n not in names and n not in has]
        more = [n for n in more if not inspect.ismodule(getattr(ours, n))]
        lines += [f"## `keras{'.' + path if path else ''}`", "", f"{len(has)} of {len(names)}.", ""]
        lines += ["| names | in lamina |", "|---|---|"]
        if has:
            lines.append(f"| {', '.join(f'`{n}`' for n in has)} | yes |")
        for reason, missing in sorted(why.items()):
            lines.append(f"| {', '.join(f'`{n}`' for n in missing)} | no: {reason} |")
        if more:
            lines.append(f"| {', '.join(f'`{n}`' for n in more)} | besides |")
        lines.append("")
    return "\n".join([*lines, DIFFERENCES])


def main() -> int:
    """Write the document, or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="status 1 where the document is not what would be written")
    options = parser.parse_args()
    path = Path(__file__).parents[1] / "docs" / "keras.md"
    text = table()
    if options.check:
        return int(path.read_text() != text)
    path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
