"""CompactRows: rows in a form of their own, from which the engine gathers the numbers of each batch."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

__all__ = ["CompactRows", "Rows", "kind_of_rows"]


class CompactRows:
    """Base class of the kinds of rows that are no arrays.

    Attributes
    ----------
    reads : str
        The engine's name of the kind, as `lamina._core.Network` takes it.
    shape : tuple of int
        Rows and columns.
    """

    reads: ClassVar[str]
    shape: tuple[int, int]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> CompactRows:
        """Return some of the rows, given a slice or an array of their numbers."""
        raise NotImplementedError(f"{type(self).__name__}: rows define __getitem__.")

    def engine_input(self) -> Any:
        """Return what the engine reads them from."""
        raise NotImplementedError(f"{type(self).__name__}: rows define engine_input.")


# The rows of a call.
Rows = npt.NDArray[Any] | CompactRows


def kind_of_rows(rows: Rows) -> str:
    """Return the engine's name of the kind that rows are of: "dense" for an array."""
    return "dense" if isinstance(rows, np.ndarray) else rows.reads
