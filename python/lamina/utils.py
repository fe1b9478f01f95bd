"""Helpers: seeds, one-hot rows, a check of gradients."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import backend, random
from lamina._common.checks import KindError, choice, flag, integer, listed, number, short
from lamina._common.custom import (
    CustomObjectScope,
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)
from lamina._common.names import absences
from lamina._common.objects import deserialize_keras_object as deserialize_keras_object
from lamina._common.objects import serialize
from lamina._common.objects import serialize_keras_object as serialize_keras_object
from lamina._data.arrays import any_array, real_array, whole_numbers
from lamina.models import Sequential
from lamina.models.prepared import prepare

__all__ = [
    "CustomObjectScope", "PyDataset", "Sequence", "check_gradients", "clear_session", "custom_object_scope",
    "get_custom_objects", "get_registered_name", "get_registered_object", "normalize",
    "pad_sequences", "register_keras_serializable", "set_random_seed", "split_dataset",
    "to_categorical",
]  # fmt: skip


def set_random_seed(seed: int) -> None:
    """Seed lamina and, as in Keras, Python's and NumPy's global generators, to make results repeatable.

    Parameters
    ----------
    seed : int in [0, 2**32)

    Raises
    ------
    TypeError, ValueError
        Not an integer, or out of range.
    """
    number = integer("set_random_seed", "seed", seed, 0, 2**32 - 1)
    import random as python_random  # here: `import lamina` need not load it

    python_random.seed(number)
    np.random.seed(number)  # noqa: NPY002  (Keras users draw from it after this call)
    random.global_seeds.reset(number)


def to_categorical(x: npt.ArrayLike, num_classes: int | None = None) -> npt.NDArray[Any]:
    """Return one-hot rows.

    Parameters
    ----------
    x : array_like of int, any shape
        Class numbers; a last axis of size 1 is dropped.
    num_classes : int, optional
        ``max(x) + 1`` if omitted.

    Returns
    -------
    ndarray, shape (..., num_classes), dtype float64
        As Keras returns it.

    Raises
    ------
    TypeError, ValueError
        `x` holds values that are not class numbers in ``[0, num_classes)``.

    Examples
    --------
    >>> to_categorical([0, 2])
    array([[1., 0., 0.],
           [0., 0., 1.]])
    """
    labels = whole_numbers("to_categorical", "x", real_array("to_categorical", "x", x), "whole class numbers")
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    labels = labels.astype(np.int64)
    classes = (
        int(labels.max(initial=-1)) + 1
        if num_classes is None
        else integer("to_categorical", "num_classes", num_classes, 0, 2**31 - 1)
    )
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        raise ValueError(
            f"to_categorical: x must be in [0, {classes}); got values from {labels.min()} to {labels.max()}."
        )
    rows = np.zeros((labels.size, classes))
    rows[np.arange(labels.size), labels.ravel()] = 1
    return rows.reshape(*labels.shape, classes)


class PyDataset:
    """Base class of data sets that `fit` reads batch by batch; a subclass defines ``__len__`` and ``__getitem__``.

    Parameters
    ----------
    workers, use_multiprocessing, max_queue_size
        Accepted as in Keras, without effect: batches are made one after the other.
    """

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        self.workers, self.use_multiprocessing, self.max_queue_size = workers, use_multiprocessing, max_queue_size

    def __len__(self) -> int:
        """Return the number of batches."""
        raise NotImplementedError(f"{type(self).__name__}: a PyDataset defines __len__.")

    def __getitem__(self, index: int) -> Any:
        """Return batch number `index`: (x, y) or (x, y, sample_weight)."""
        raise NotImplementedError(f"{type(self).__name__}: a PyDataset defines __getitem__.")

    @property
    def num_batches(self) -> int:
        """The number of batches."""
        return len(self)

    def on_epoch_begin(self) -> None:
        """Run before each epoch."""

    def on_epoch_end(self) -> None:
        """Run after each epoch."""


Sequence = PyDataset


def normalize(x: npt.ArrayLike, axis: int = -1, order: int = 2) -> npt.NDArray[Any]:
    """Return `x` divided by its norms along an axis; vectors of norm 0 stay unchanged.

    Parameters
    ----------
    x : array_like
    axis : int
    order : int
        Order of the norm; 2 is the Euclidean norm.

    Examples
    --------
    >>> normalize([[3.0, 4.0]])
    array([[0.6, 0.8]])
    """
    array = np.atleast_1d(real_array("normalize", "x", x))
    axis = integer("normalize", "axis", axis, -array.ndim, array.ndim - 1)
    order = integer("normalize", "order", order)
    norms = np.atleast_1d(
        np.linalg.norm(array.astype(np.float64), order, axis)
    )  # in float64 the squares of float32 neither overflow nor vanish
    norms[norms == 0] = 1
    found: npt.NDArray[Any] = array / np.expand_dims(norms, axis)
    return found.astype(array.dtype) if array.dtype.kind == "f" else found


def pad_sequences(
    sequences: Any,
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: float = 0.0,
) -> npt.NDArray[Any]:
    """Return sequences as rows of equal length, padded or cut.

    Parameters
    ----------
    sequences : sequence of sequences of numbers
    maxlen : int, optional
        The length of the longest sequence if omitted.
    dtype : dtype
    padding, truncating : {"pre", "post"}
        The ends at which short sequences are filled with `value`, and at which long ones are cut.
    value : float

    Examples
    --------
    >>> pad_sequences([[1], [2, 3, 4]], maxlen=2)
    array([[0, 1],
           [3, 4]], dtype=int32)
    """
    dtype = _array_dtype("pad_sequences", dtype)
    choice("pad_sequences", "padding", padding, ("pre", "post"))
    choice("pad_sequences", "truncating", truncating, ("pre", "post"))
    rows = [_of_type("pad_sequences", one, dtype) for one in listed("pad_sequences", "sequences", sequences)]
    if any(row.ndim == 0 for row in rows):
        raise KindError("pad_sequences: sequences must hold sequences; one of them is a single value.")
    if dtype.kind in "biuf":
        filling: Any = number("pad_sequences", "value", float(value) if isinstance(value, bool) else value)
        _of_type("pad_sequences", filling, dtype)
    else:
        filling = value
    length = (
        max((len(row) for row in rows), default=0) if maxlen is None else integer("pad_sequences", "maxlen", maxlen, 0)
    )
    inner = next((row.shape[1:] for row in rows if len(row)), ())
    found = np.full((len(rows), length, *inner), filling, dtype)
    for to, row in zip(found, rows, strict=True):
        kept = row[: length or 0] if truncating == "post" else row[max(0, len(row) - length) :]
        if len(kept):
            to[slice(0, len(kept)) if padding == "post" else slice(length - len(kept), length)] = kept
    return found


def _array_dtype(who: str, value: Any) -> np.dtype[Any]:
    """Return a NumPy dtype, or raise."""
    try:
        found: np.dtype[Any] = np.dtype(value)
    except (TypeError, ValueError):
        raise KindError(f"{who}: dtype must be one of NumPy's; got {short(value)}.") from None
    return found


def _of_type(who: str, values: Any, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return an array whose numbers fit into a dtype, or raise; NumPy converts values that are not numbers."""
    array = any_array(who, "a sequence", values)
    if dtype.kind in "iu" and array.dtype.kind in "iuf" and array.size:
        least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
        if not (array.min() >= least and array.max() <= most):
            raise ValueError(
                f"{who}: the numbers must be in [{least}, {most}] for dtype {dtype}; got {array.min()} to "
                f"{array.max()}."
            )
    if dtype.kind in "biuf" and array.dtype.kind not in "biuf":
        try:  # NumPy may parse strings as numbers
            return array.astype(dtype)
        except (TypeError, ValueError, OverflowError):
            raise KindError(f"{who}: a sequence must be numbers for dtype {dtype}; got {short(values)}.") from None
    return array


def split_dataset(
    dataset: Any,
    left_size: float | None = None,
    right_size: float | None = None,
    shuffle: bool = False,
    seed: int | None = None,
) -> tuple[Any, Any]:
    """Return the two parts of an array, or of a tuple of arrays of equal length, each split at the same rows.

    Parameters
    ----------
    dataset : array_like, or tuple of array_like
    left_size, right_size : float in (0, 1), or int, >= 0, optional
        Share, or number of rows. One may be omitted; if both are given, rows between the parts may be left out.
    shuffle : bool
    seed : int, optional

    Raises
    ------
    ValueError
        Both sizes are missing, or they exceed the number of rows.
    """
    given = dataset if isinstance(dataset, tuple) else (dataset,)
    arrays = tuple(any_array("split_dataset", "dataset", array) for array in given)
    if not arrays or any(array.ndim == 0 for array in arrays):
        raise KindError(f"split_dataset: dataset must be an array, or a tuple of arrays; got {short(dataset)}.")
    rows = len(arrays[0])
    if any(len(array) != rows for array in arrays):
        raise ValueError("split_dataset: all arrays must have the same number of rows.")
    if left_size is None and right_size is None:
        raise ValueError("split_dataset: left_size or right_size must be given.")

    def rows_of(name: str, size: Any) -> int | None:
        if isinstance(size, (float, np.floating)):
            return round(number("split_dataset", name, size, above=0, below=1) * rows)
        return None if size is None else integer("split_dataset", name, size, 0)

    first, last = rows_of("left_size", left_size), rows_of("right_size", right_size)
    left = rows - (last or 0) if first is None else first
    right = rows - left if last is None else last
    if left < 0 or right < 0 or left + right > rows:
        raise ValueError(f"split_dataset: {left_size} and {right_size} of {rows} rows is not possible.")
    seed = None if seed is None else integer("split_dataset", "seed", seed, -(2**63))
    if flag("split_dataset", "shuffle", shuffle):
        key = random.stream_key(random.global_seeds.next_seed() if seed is None else seed, "split")
        order = random.permutation(key, 0, rows)
        arrays = tuple(array[order] for array in arrays)
    parts = tuple(array[:left] for array in arrays), tuple(array[rows - right :] for array in arrays)
    return parts if isinstance(dataset, tuple) else (parts[0][0], parts[1][0])


def clear_session(free_memory: bool = True) -> None:
    """Restart the numbering of automatic names, such as those of layers and metrics."""
    backend.clear_session(free_memory)


def _widen(settings: dict[str, Any]) -> None:
    """Set the dtype of all layers in a model's configuration to float64, also in nested models."""
    for layer in settings["layers"]:
        if "layers" in layer["config"]:
            _widen(layer["config"])
        elif layer["class_name"] != "InputLayer":
            layer["config"]["dtype"] = "float64"


def check_gradients(
    model: Sequential,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    sample_weight: npt.ArrayLike | None = None,
    step: float = 1e-6,
) -> float:
    """Return how far a model's gradients are from finite differences of its loss.

    A float64 copy of the model is used. Every parameter ``θ`` is moved by ``±step · max(1, |θ|)``, and the central
    difference of the loss is compared with the gradient of backpropagation.

    Parameters
    ----------
    model : Sequential
        Built and compiled.
    x, y, sample_weight
        A batch, as for `fit`; a few rows will do.
    step : float
        Relative size of the move.

    Returns
    -------
    float
        Largest ``|analytic - numeric| / max(1e-3, |analytic| + |numeric|)``, NaN if one of them is. About 1e-7 if all
        gradients are right; near 1 if a formula is wrong. A kink (ReLU at 0) within a move can raise it too.

    Raises
    ------
    RuntimeError, ValueError
        The model is not compiled or not built, or the batch does not fit.

    Examples
    --------
    >>> import lamina
    >>> model = lamina.Sequential([lamina.layers.Dense(2, activation="tanh", input_dim=3), lamina.layers.Dense(1)])
    >>> model.compile(loss="mse")
    >>> check_gradients(model, np.eye(3), np.ones(3)) < 1e-5
    True
    """
    if not isinstance(model, Sequential):
        raise KindError(f"check_gradients: model must be a Sequential; got {type(model).__name__}.")
    step = number("check_gradients", "step", step, above=0)
    compiled = model.executor.require_compiled("check_gradients")
    model.stack.require_built("check_gradients")
    seeds = random.global_seeds.counter
    settings = model.get_config()
    _widen(settings)
    twin = type(model).from_config(settings)
    twin.set_weights(list(model.get_weights()))
    random.global_seeds.counter = seeds  # undo the copy's draws
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # compiling the model warned already
        loss = type(compiled.loss).from_config(serialize(compiled.loss)["config"])
        twin.compile("sgd", loss, compiled.loss_weight)
    executor = twin.executor
    batch = prepare("check_gradients", twin.stack, executor.require_compiled("fit"), x, y, sample_weight)
    executor.commit(batch, twin.build)

    def value() -> float:
        twin.reset_metrics()
        executor.gradients(batch)  # as in training: with noise, and with the moments of the batch
        return float(twin.get_metrics_result()["loss"])

    worst = 0.0
    for variable, analytic in zip(twin.trainable_weights, executor.gradients(batch), strict=True):
        values, slopes = variable.numpy(), analytic.reshape(-1)
        flat = values.reshape(-1)
        for i in range(flat.size):
            kept = flat[i]
            move = step * max(1.0, abs(kept))
            flat[i] = kept + move
            variable.assign(values)
            above = value()
            flat[i] = kept - move
            variable.assign(values)
            below = value()
            flat[i] = kept
            variable.assign(values)
            numeric = (above - below) / (2 * move)
            error = abs(slopes[i] - numeric) / max(1e-3, abs(slopes[i]) + abs(numeric))
            worst = worst if error <= worst else error  # a NaN stays
    return float(worst)


_ABSENT = {
    "Progbar": "use tqdm",
    **dict.fromkeys(("plot_model", "model_to_dot"), "Sequential.summary prints the layers"),
    "get_file": "nothing is downloaded",
    **dict.fromkeys(
        ("image_dataset_from_directory", "text_dataset_from_directory", "audio_dataset_from_directory"),
        "read files before, or write a PyDataset",
    ),
    "timeseries_dataset_from_array": "numpy.lib.stride_tricks.sliding_window_view makes windows, which fit reads",
    "FeatureSpace": "scikit-learn's ColumnTransformer makes numbers of columns",
}


__getattr__ = absences(__name__, globals(), _ABSENT)
