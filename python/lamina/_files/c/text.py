"""C code as text: names, numbers, arrays."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Text", "indented"]

Array = npt.NDArray[Any]

_A_LINE = 8  # numbers of an array
_MACROS = "BATCH|HEADER|INPUTS|MADD|OUTPUTS|RESTRICT"


class Text:
    """Fills marks in code: see `lamina._files.c.functions`.

    Attributes
    ----------
    name : str
        The beginning of names of functions; in capital letters, of macros.
    dtype : {"float32", "float64"}
    """

    def __init__(self, name: str, dtype: str) -> None:
        self.name, self.dtype = name, dtype
        self.real, self._suffix, digits = ("float", "f", 9) if dtype == "float32" else ("double", "", 17)
        self._format = f"%.{digits}g"  # as many digits as tell each number from its neighbours

    def filled(self, code: str) -> str:
        """Return code without marks."""
        code = re.sub(r"\bREAL\b", self.real, code).replace("@", f"{self.name}_").replace("$", self._suffix)
        return re.sub(rf"\b({_MACROS})\b", rf"{self.name.upper()}_\1", code)

    def number(self, value: float) -> str:
        """Return a number as a literal that is exactly it."""
        if not math.isfinite(value):
            return "NAN" if math.isnan(value) else "INFINITY" if value > 0 else "-INFINITY"
        digits = self._format % value
        return f"{digits if set(digits) & set('.e') else digits + '.0'}{self._suffix}"

    def array(self, name: str, values: Array) -> str:
        """Return the definition of a constant array of one or two axes, with marks."""
        kind = "REAL" if values.dtype.kind == "f" else "int"
        shape = "".join(f"[{size}]" for size in values.shape)
        rows = [self._braces(row) for row in np.atleast_2d(values)]
        body = rows[0] if values.ndim == 1 else "{\n" + ",\n".join(rows) + "}"
        return f"static const {kind} @{name}{shape} = {body};\n"

    def _braces(self, row: Array) -> str:
        texts = (
            [self.number(value) for value in row.tolist()] if row.dtype.kind == "f" else list(map(str, row.tolist()))
        )
        lines = [", ".join(texts[begin : begin + _A_LINE]) for begin in range(0, len(texts), _A_LINE)]
        return "{" + ",\n ".join(lines) + "}"


def indented(lines: list[str], by: int = 2) -> str:
    """Return lines of code, each indented."""
    return "\n".join(" " * by + line if line else "" for code in lines for line in code.split("\n"))
