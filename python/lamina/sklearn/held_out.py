"""Rows that are held out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import sklearn
from sklearn.model_selection import train_test_split

from lamina.sklearn.objective import Rows
from lamina.sklearn.rows import chosen

__all__ = ["counted", "divided"]

Array = npt.NDArray[Any]


def counted(rows: Rows) -> Rows:
    """Return the rows whose weight is not 0."""
    if rows.weight is None or rows.weight.all():
        return rows
    chosen_ones = np.flatnonzero(rows.weight)
    return Rows(chosen(rows.X, chosen_ones), rows.targets[chosen_ones], rows.weight[chosen_ones])


def divided(
    rows: Rows,
    trained: Array | None,
    random: np.random.RandomState,
    fraction: float,
    strata: Callable[[Array], Array | None],
) -> tuple[Rows, Array | None, Rows]:
    """Divide rows by drawing.

    Parameters
    ----------
    rows : Rows
    trained : ndarray or None
        Their weights in training.
    random : RandomState
    fraction : float
        The share of the rows to hold out.
    strata : callable
        Returns for targets the classes whose shares held-out rows have too, or None.

    Returns
    -------
    rows, trained, held_out : Rows, ndarray or None, Rows
    """
    classes = strata(rows.targets)
    if classes is not None and classes.ndim == 1:  # of several classes each must have rows on both sides
        count, most = len(np.unique(classes)), math.ceil(fraction * rows.size)
        classes = classes if count <= min(most, rows.size - most) else None
    arrays = [part for part in (rows.X, rows.targets, rows.weight, trained) if part is not None]
    with sklearn.config_context(skip_parameter_validation=True):  # what it says itself is about the data
        parts = train_test_split(*arrays, random_state=random, test_size=fraction, stratify=classes)
    kept, held_out = parts[0::2], parts[1::2]
    weighted = rows.weight is not None
    return (
        Rows(kept[0], kept[1], kept[2] if weighted else None),
        None if trained is None else kept[-1],
        Rows(held_out[0], held_out[1], held_out[2] if weighted else None),
    )
