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
    "optimizers", "optimizers.schedules", "callbacks", "utils", "config", "backend", "ops", "random",
    *(f"datasets.{name}" for name in (
        "boston_housing", "california_housing", "cifar10", "cifar100", "fashion_mnist", "imdb", "mnist", "reuters",
    )),
    "saving", "preprocessing", "preprocessing.sequence", "wrappers",
]  # fmt: skip

# By module: the reason for missing names that the module's `_ABSENT` does not list.
REASONS = {
    "": "not part of dense sequential models",
    "models": "models are Sequential",
    "layers": "not a layer of dense networks, or prepares data",
    "activations": "changes the shape of its input, or takes arguments that a name cannot carry",
    "initializers": "for layers other than dense ones",
    "regularizers": "not there yet",
    "losses": "of whole images, sequences or batches, not of rows",
    "metrics": "of segmentations or correlations over whole batches",
    "optimizers": "not there yet",
    "callbacks": "there is ModelCheckpoint",
    "utils": "for models and data that lamina does not have",
    "config": "for backends, types and tracebacks that lamina does not have",
    "backend": "there is one backend",
    "ops": "compute with NumPy",
    "random": "draw with NumPy; layers and initializers take seeds",
}


# How many published programs run.
SAMPLE = """\
Of 250 programs with dense networks from 70 public repositories (books, courses, projects; Sequential or a functional
chain; at most 8 of a repository; small data in place of theirs, and older spellings changed so far that they run on
Keras 3.15) 244 (98 %) run with their imports changed, which means: to their end, without an error. What the others
need: several outputs (2 programs), layers in a `call` that is no chain (2), `Conv2D`, and a misspelt argument that
Keras ignores (1 each). Of a second sample, 154 programs from 52 other repositories, 149 (97 %) ran when they were first
tried; what the others needed was built since, and all run."""


# What differs where the names are the same.
DIFFERENCES = """\
## Where names are the same and something differs

Keras's own tests, as installed with Keras, run against lamina: `python tests/peers/keras_suite`. The tests that do
not apply to lamina are listed, with the reason, in `tests/peers/keras_suite/left_out.py`. Apart from these tests:

* Layers, losses, activations and regularizers written in Python are a `call` or a function in functions of
  `lamina.ops` and operators, differentiated by the package autograd (extra `ops`); or they compute their gradients
  themselves, in `forward` and `backward`, or `value_and_gradient`. Variables are used through attributes of the layer
  or in functions of `ops`; where a gradient would be lost an error says so. The `call` of a subclass of a built-in
  layer may return what `super().call` returns, for noise also with a fixed `training`, and nothing else. Noise that
  stays on is drawn anew for each prediction, and is the same in each evaluation and validation. `train_step` and an
  optimizer's `update_step` raise, because they would not be called. Constraints and metrics may be any function.
* The `call` of a subclass of `Model`, or of a layer that holds layers, is followed once with a symbolic tensor, when
  the shape of rows is known: it must be a chain of calls. What it does in training alone must be noise. In a model the
  inner layers take the place of the layer that holds them. `.keras` and `.safetensors` files hold the class's name and
  the constructor's arguments; `.h5` files, which Keras could not read again either, are refused.
* `Input((None,))` is for numbers of steps, which the layers that follow must not depend on: a `Flatten`, a `Reshape`,
  a `PReLU`, a `Normalization`, a `Rescaling` by arrays, and layers written in Python need one shape.
* Functions of one symbolic tensor become layers: activations, and a number that is added or multiplied, in the engine,
  all else in Python (autograd). Keras computes them in its graph.
* Models are chains of layers: stacks, and `Model(inputs, outputs)` of layers that follow each other. A model may be a
  layer of another one. Branches, merges, several inputs or outputs, a layer
  that is called twice, and rows of output without an axis are refused. What calls layers that it holds has no
  parameters of its own, and models call their layers with the input alone: other arguments of a `call`, several
  inputs or outputs, and the mask of an `Embedding`, are for layers that are called directly.
* `training=` in a call with a symbolic tensor stays as it was given, in training and in predictions, as Keras's guides
  on fine-tuning say it (Keras 3.15 overrides it); True for a `BatchNormalization` is refused.
* `compile` without a loss is for models whose layers add losses, or whose parameters have penalties, and for
  `evaluate`; `fit` raises if there is nothing to minimize.
* `add_loss` is for layers that compute in functions of `lamina.ops`, in their `call`. Hooks that would not be called
  when a file is written or read (`save_own_variables`, `save_assets`, `get_build_config` and their counterparts) are
  refused.
* An optimizer that several models share counts the steps of all of them, of which it warns, and has state for the
  variables of each. Keras warns of nothing and mixes their state where the shapes are the same, or raises.
* Targets are not broadcast. Targets of cross-entropies, but for the categorical one, must lie in [0, 1], and class
  numbers in their range. Data are checked before any weight changes. Errors are of the same type as Keras's; the
  messages are lamina's.
* `wrappers.SKLearnClassifier` also takes a model with one unit for two classes; `warm_start` takes effect; `fit` prints
  nothing unless `fit_kwargs` say so.
* scikeras's estimators, which import Keras, take models of lamina's that their function compiles; optimizers, losses
  and callbacks that they are given apart are Keras's. keras_tuner takes models of Keras's class only: search with
  scikit-learn's `GridSearchCV`, as above, or with Optuna.
* A cross-entropy after a softmax or sigmoid is computed from the logits, as by Keras on TensorFlow.
* `AUC` and related metrics compare scores outside of [0, 1] as they are; Keras puts them into the nearest bucket.
* At a point with two one-sided derivatives, lamina uses the value of TensorFlow and PyTorch (0 for |w| and ReLU at
  0).
* `utils.get_file` and the data sets use Keras's cache. A download replaces what is there when it is complete and its
  checksum is right; a broken one continues; without a connection the error says which file to put where. Where Keras
  falls back to a folder in ``/tmp`` the error asks for another `KERAS_HOME`. A data set's file with another checksum
  than Keras's is replaced, or, without a connection, read with a warning. `fashion_mnist` also reads the files of
  Debian's package ``dataset-fashion-mnist``.
* Files hold the names of classes and functions that users write, and no code: `load_model` finds what is registered, in
  a `custom_object_scope`, or in `custom_objects`, and raises for the rest; of a lambda expression saving warns. A class
  without `get_config` is written down by the arguments of its constructor if they are plain; if they are not, saving,
  and a `ModelCheckpoint` before the training, raises. The library's function or class never stands for a user's of the
  same name.
* Files of every format are read and written without Keras: `.safetensors` holds everything a model is; `.keras`,
  `.h5`, `.hdf5` and `.weights.h5` are Keras's (h5py, extra `keras`). Keras ignores what it has no place for (the
  counters on which shuffles and noise depend); layers, losses and settings that it lacks are refused when such a
  file is written. Of the files of `save_weights`, `.weights.h5` holds the optimizer's state. On JAX, Keras 3.15
  forgets the optimizer's state in `.h5` files, its own too.
* Ignored rows (`ignore_class`) may contain NaN. Activations pass NaN on, also those that clip.
* Calls of models, layers, losses and metrics return NumPy arrays that also have `numpy()`. Losses and metrics are
  accumulated in float64. The values in a `History` are Python floats.
* A NaN is never the best value: `EarlyStopping`, `ModelCheckpoint` and `ReduceLROnPlateau` count it as worse than any
  number.
* If all targets are equal, `R2Score` is 1 if the predictions equal them, and 0 otherwise, as in scikit-learn (Keras:
  NaN).
* Focal losses after a sigmoid or softmax, or with `from_logits`, are computed from the logits, and stay accurate
  where probabilities would be clipped.
* A metric that is a function gets targets and predictions of the same rank: if only one of them has a last axis of
  size 1, it is added to the targets or removed from them.
* `class_weight` must name existing classes. Missing values, masked arrays and weights that belong to no row raise; in
  Keras they lead to NaN.
* Callbacks check their arguments before the first step. `CSVLogger` does not append to a file with other columns.
  `BackupAndRestore` does not remove its folder if there are other files in it; the `History` of a resumed training is
  whole, where Keras's begins with the resumed epoch. If the output is not a terminal, an
  epoch is printed as one line instead of a progress bar.
* A value that is assigned after construction (an optimizer's momentum, a loss's reduction, a layer's activation or
  regularizer) is checked and takes effect, or raises if the state that it needs does not exist. Arguments that
  determine the parameters (`units`, `use_bias`, `axis`) cannot change once the layer is built. Keras accepts the new
  value and continues with the old one.
* `Optimizer.apply` accepts only variables that `build` was called with. A value can be assigned to `variables` of
  optimizers and metrics; if it follows from other values, the assignment raises.
* A generator of validation data goes on where it was; Keras begins each validation with its first two batches again.
* lamina warns where Keras does, with these exceptions: `shuffle=True` with a generator (True is the default, and a
  generator has its own order), a mask that gets lost (`mask_zero` raises where the mask would count), `input_shape`
  of a layer (an ordinary argument here), `run_eagerly` together with `jit_compile` (both have no effect), a
  `PyDataset` without `super().__init__()` (nothing needs it), an overridden `compile` (loading calls it with the
  contents of the file).
* `BatchNormalization` works along the last axis, `LayerNormalization` and `RMSNormalization` along the last axis or
  axes. The mask of an `Embedding` is read by `GlobalAveragePooling1D` alone. `Dropout` has no `noise_shape`.
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
        f"Which public names of Keras {keras.__version__} lamina has, module by module, and why it lacks the others. "
        "Generated by `tools/keras_names.py`.",
        "",
        *SAMPLE.splitlines(),
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
        same = path.read_text() == text
        if not same:
            print(f"{path} is not what this writes: run it without --check.")
        return int(not same)
    path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
