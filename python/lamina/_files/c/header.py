"""Writes C headers: a network as C99 code with its numbers in it.

The code needs nothing but math.h and stdint.h, allocates no memory, and checks itself by examples that it holds.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from lamina import _core
from lamina._common.checks import flag, integer, text
from lamina._common.names import required
from lamina._files import network as steps
from lamina._files.c.functions import functions_for
from lamina._files.c.steps import COLUMNS, Code, code_of
from lamina._files.c.text import Text, indented
from lamina._files.network import NetworkState
from lamina._files.writing import replace_file

__all__ = ["header_of", "write_network"]

_TILE = 8  # rows of a batch that go through the network together
_STANDARD = {
    "assert", "complex", "ctype", "errno", "fenv", "float", "inttypes", "iso646", "limits", "locale", "math", "setjmp",
    "signal", "stdarg", "stdbool", "stddef", "stdint", "stdio", "stdlib", "string", "tgmath", "time", "wchar", "wctype",
}  # fmt: skip


def write_network(
    who: str, path: Path, state: NetworkState, batch: Any = None, name: Any = None, own_math: Any = True
) -> None:
    """Write a network; see `lamina.models.Model.export`."""
    batch = None if batch is None else integer(who, "batch", batch, most=2**31 - 1)
    header = header_of(state, _checked_name(who, path, name), batch, flag(who, "own_math", own_math))
    with replace_file(who, path) as file:
        file.write(header.encode())


def _checked_name(who: str, path: Path, name: Any) -> str:
    """Return the beginning of the names in the header."""
    if name is None:
        stem = re.sub(r"[^A-Za-z0-9_]", "_", path.stem).strip("_") or "model"
        name = f"model_{stem}" if stem[0].isdigit() else stem
    elif not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", text(who, "name", name)):
        raise ValueError(f"{who}: name must be letters, digits and underscores, a letter first; got {name!r}.")
    if path.stem in _STANDARD:
        raise ValueError(f"{who}: {path.name} is the name of a header of the C library; it needs another one.")
    return str(name)


def header_of(state: NetworkState, name: str, batch: int | None, own_math: bool) -> str:
    """Return the text of the header."""
    writer = Text(name, state.dtype)
    shapes = [state.row_shape, *(step.row_shape for step in state.steps)]
    found = [
        code_of(writer, number, step, shapes[number], batch is not None) for number, step in enumerate(state.steps)
    ]
    codes = [code for code in found if code is not None]
    sizes = list(map(math.prod, shapes))
    tile = 1 if batch is None else min(_TILE, batch)
    given = "int" if state.indices else "REAL"
    rows, buffers = _rows(codes, given, tile, sizes)
    stack = buffers + COLUMNS + 16  # sums, and what compilers keep there
    parts = [
        _comment(state, shapes[-1], stack),
        f"#ifndef {name}_HEADER\n#define {name}_HEADER\n",
        _preamble(writer, sizes[0], sizes[-1], own_math),
        *functions_for(writer, [code.code for code in codes], own_math),
        *(code.code for code in codes),
        rows,
        "/* Predict one row. x and y must not overlap. */",
        f"static inline void @predict(const {given} *x, REAL *y) {{ @rows(x, y, 1); }}\n",
        *([] if batch is None else [_batch(given, batch, tile, sizes)]),
        _self_check(writer, state, given),
        "#endif\n",
    ]
    return writer.filled("\n".join(parts))


def _comment(state: NetworkState, shape: steps.Shape, stack: int) -> str:
    kind = "int" if state.indices else "REAL"
    return f"""\
/* What a neural network computes, written by lamina {_core.__version__}.

   REAL y[OUTPUTS];
   @predict(x, y);

   x points to a row of {kind}, of shape {state.row_shape}, y to one of REAL, of shape {shape}; rows of several axes lie
   in C's order. Needs C99, the C library's math.h (link with -lm), and about {stack} REAL of stack.
   @self_check() returns how many numbers of its examples come out wrong: 0. */
"""


def _preamble(writer: Text, inputs: int, outputs: int, own_math: bool) -> str:
    fma = writer.filled("fma$")
    return f"""\
#include <math.h>
{_OWN_MATH if own_math else ""}
#define INPUTS {inputs}
#define OUTPUTS {outputs}

#ifdef __cplusplus
#define RESTRICT
#else
#define RESTRICT restrict
#endif
/* a * b + c; in one step where the CPU has it */
#ifdef FP_FAST_{fma.upper()}
#define MADD(a, b, c) {fma}(a, b, c)
#else
#define MADD(a, b, c) ((a) * (b) + (c))
#endif
"""


_OWN_MATH = """\
#include <stdint.h>

#ifdef __FAST_MATH__
#error "-ffast-math changes what the functions in this header compute: export with own_math=False for it"
#endif
"""


def _rows(codes: list[Code], given: str, tile: int, sizes: list[int]) -> tuple[str, int]:
    """Return the function that calls the steps, for up to `tile` rows, and how many numbers its buffers hold.

    Steps that make rows of rows go from one buffer to the other and from the last one to the output. Those that change
    rows where they are do so once they are in a buffer.
    """
    moves = [index for index, code in enumerate(codes) if not code.in_place]
    first = moves[0] if moves else len(codes)
    at = "x"
    calls = []
    buffers: set[str] = set()
    if first > 0 and codes:  # the first ones change rows: copy them
        at = "y" if not moves else "a"
        calls.append(f"for (int i = 0; i < rows * {sizes[0]}; ++i) {at}[i] = x[i];")
        buffers |= {at}
    for index, code in enumerate(codes):
        masked = ", x" if code.masked else ""
        if code.in_place:
            calls.append(f"@{code.name}({at}, rows);")
            continue
        to = "y" if index == moves[-1] else "b" if at == "a" else "a"
        buffers |= {to}
        calls.append(f"@{code.name}({at}{masked}, {to}, rows);")
        at = to
    if not codes:
        calls.append(f"for (int i = 0; i < rows * {sizes[0]}; ++i) y[i] = x[i];")
    arrays = [f"REAL {one}[{tile * max(sizes)}];" for one in sorted(buffers - {"y"})]
    function = (
        f"/* Predict up to {tile} rows. */\nstatic inline void @rows(const {given} *x, REAL *y, int rows) {{\n"
        f"{indented([*arrays, *calls])}\n}}\n"
    )
    return function, len(arrays) * tile * max(sizes)


def _batch(given: str, batch: int, tile: int, sizes: list[int]) -> str:
    whole = batch - batch % tile
    calls = [f"for (; r < {whole}; r += {tile}, x += {tile * sizes[0]}, y += {tile * sizes[-1]}) @rows(x, y, {tile});"]
    if batch > whole:
        calls.append(f"@rows(x, y, {batch - whole});")
    return (
        f"#define BATCH {batch}\n\n/* Predict BATCH rows. x and y must not overlap. */\n"
        f"static inline void @predict_batch(const {given} *x, REAL *y) {{\n"
        f"{indented(['int r = 0;', *calls])}\n}}\n"
    )


def _self_check(writer: Text, state: NetworkState, given: str) -> str:
    x, y, tolerance = required("a header", "examples", state.examples)
    arrays = "".join([
        writer.array("example_inputs", np.reshape(x, (len(x), -1))),
        writer.array("example_outputs", np.reshape(y, (len(y), -1))),
    ])  # fmt: skip
    return f"""\
{arrays}
/* Return how many numbers of the predictions for the examples differ from what they were where this was written. */
static inline int @self_check(void) {{
  int wrong = 0;
  for (int r = 0; r < {len(x)}; ++r) {{
    REAL y[OUTPUTS];
    @predict(@example_inputs[r], y);
    for (int j = 0; j < OUTPUTS; ++j) {{
      const REAL expected = @example_outputs[r][j], size = expected < 0 ? -expected : expected;
      const REAL apart = y[j] < expected ? expected - y[j] : y[j] - expected;
      const int same = y[j] == expected || (y[j] != y[j] && expected != expected);
      wrong += !(same || apart <= {writer.number(tolerance)} * (1.0$ + size));
    }}
  }}
  return wrong;
}}
"""
