"""Many models in one call: training, predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from lamina._common.checks import listed
from lamina.callbacks import History
from lamina.models.jobs import check_models, train_many
from lamina.models.prediction import predict_each

__all__ = ["fit_many", "predict_many"]

Array = npt.NDArray[Any]


def fit_many(
    models: Sequence[Any],
    x: Any,
    y: Any,
    *,
    rows: Sequence[Any] | None = None,
    batch_size: Any = None,
    epochs: Any = 1,
    sample_weight: Any = None,
    validation_rows: Sequence[Any] | None = None,
    early_stopping: Any = None,
    shuffle: bool = True,
    verbose: Any = "auto",
) -> list[History]:
    """Train many models on rows of the same data: folds, replicas, seeds, searches.

    All of it is one call into the engine, without the GIL. Each model trains on one thread, and a thread takes the next
    model when it has finished one; a model that is too large for one core's share of the caches trains on all threads.
    Weights and History of each model are bit for bit those of ``model.fit(x[rows[i]], y[rows[i]], ...)``.

    Parameters
    ----------
    models : sequence of Model
        Compiled, different ones that share no layers. No code written in Python may take part in their steps: no layer,
        loss, optimizer, regularizer or constraint, and no metric that needs whole batches, such as AUC or Precision.
    x : array_like, shape (n, ...)
        Read in place.
    y : array_like, shape (n, ...), or a list of arrays, one a model
    rows : sequence of array_like, optional
        For each model the indices of the rows that it trains on, repeats allowed, or a mask of n bools; None for all.
    batch_size, epochs : int or sequence of int
        One for all models, or one a model. As in `fit` a `batch_size` of None is 32, or all rows for optimizers that
        need them.
    sample_weight : array_like, shape (n,), or a list of arrays, one a model; optional
    validation_rows : sequence of array_like, optional
        For each model the rows to validate with after each epoch, in batches of `batch_size`; None for none.
    early_stopping : EarlyStopping, dict of its arguments, or a sequence of them; optional
        Each model gets its own copy.
    shuffle : bool
        Train the rows in a random order, another one in each epoch.
    verbose : {"auto", 0, 1, 2}
        0 shows no progress bar, else there is one for all models.

    Returns
    -------
    list of History
        One a model, also as ``model.history``.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        A model is not compiled, given twice, shares layers with another one or needs code in Python, there is nothing
        that `early_stopping` could watch, or the data do not fit. Nothing has changed. If the training of a model fails
        later, the others go on, and the error names the model.

    Warns
    -----
    UserWarning
        The loss of a model has become NaN: its training has ended.

    Examples
    --------
    >>> import numpy as np
    >>> import lamina
    >>> models = [lamina.Sequential([lamina.layers.Dense(1)]) for _ in range(3)]
    >>> for model in models:
    ...     model.compile("adam", "mse")
    >>> x = np.eye(6)
    >>> histories = fit_many(models, x, x.sum(1), rows=[[0, 1], [2, 3], [4, 5]], epochs=2, verbose=0)
    >>> [len(history.history["loss"]) for history in histories]
    [2, 2, 2]
    """
    return train_many(
        "fit_many", models, x, y, rows=rows, batch_size=batch_size, epochs=epochs, sample_weight=sample_weight,
        validation_rows=validation_rows, early_stopping=early_stopping, shuffle=shuffle, verbose=verbose,
    )  # fmt: skip


def predict_many(models: Sequence[Any], x: Any) -> Array:
    """Return the predictions of many models for the same rows.

    Parameters
    ----------
    models : sequence of Model
        With outputs of one shape.
    x : array_like, shape (n, ...)

    Returns
    -------
    ndarray, shape (models, n, ...)

    Raises
    ------
    TypeError, ValueError
        There is no model, one of them is none, or their outputs differ in shape.

    Examples
    --------
    >>> import lamina
    >>> models = [lamina.Sequential([lamina.Input((2,)), lamina.layers.Dense(1)]) for _ in range(3)]
    >>> predict_many(models, [[1.0, 2.0]]).shape
    (3, 1, 1)
    """
    found = listed("predict_many", "models", models)
    if not found:
        raise ValueError("predict_many: models must not be empty.")
    check_models("predict_many", found)
    return predict_each("predict_many", found, x)
