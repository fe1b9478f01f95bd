"""CompactRows: input rows in another format than an array, from which the engine reads each batch."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

__all__ = ["CompactRows", "Rows", "kind_of_rows"]


class CompactRows:
    """Base class of input rows that are not an array.

    Attributes
    ----------
    reads : str
        The engine's name for this kind of rows: the argument `reads` of `lamina._core.Network`.
    shape : tuple of int
        Rows and columns.
    """

    reads: ClassVar[str]
    shape: tuple[int, int]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> CompactRows:
        """Return some of the rows, given a slice or an array of row indices."""
        raise NotImplementedError(f"{type(self).__name__}: rows define __getitem__.")

    def engine_input(self) -> Any:
        """Return the object from which the engine reads the rows."""
        raise NotImplementedError(f"{type(self).__name__}: rows define engine_input.")

    def rows_not_finite(self) -> list[int]:
        """Return the numbers of the rows that contain NaN or infinity."""
        raise NotImplementedError(f"{type(self).__name__}: rows define rows_not_finite.")


# Input rows of a call.
Rows = npt.NDArray[Any] | CompactRows


def kind_of_rows(rows: Rows) -> str:
    """Return the engine's name for the kind of the rows: "dense" for an array."""
    return "dense" if isinstance(rows, np.ndarray) else rows.reads
