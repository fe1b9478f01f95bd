"""The C code of the steps of networks: a function for each, which works on some rows.

Loops are written so that compilers make vectors of them: the innermost runs over columns, whose number is a constant,
and adds the products of four inputs at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._common.records import Record
from lamina._files import network as steps
from lamina._files.c.functions import ACTIVATIONS
from lamina._files.c.text import Text, indented
from lamina._files.network import Shape, Step

__all__ = ["COLUMNS", "Code", "code_of"]

Array = npt.NDArray[Any]

COLUMNS = 64  # that are summed at a time: as many as fit into the registers of most CPUs
_TOGETHER = 4  # rows that share what they read of a matrix, of as many columns
_COLUMNS_TOGETHER = 16
_VECTOR = 4  # columns of matrices are a multiple of it


class Code(Record):
    """A step in C.

    Attributes
    ----------
    name : str
        Of its function.
    code : str
        Constants and the function, with marks.
    in_place : bool
        Whether the function is called with one array, which it changes, or with two.
    masked : bool
        Whether it is called with the network's input, too.
    """

    name: str
    code: str
    in_place: bool
    masked: bool = False


def code_of(text: Text, number: int, step: Step, shape: Shape, tiled: bool) -> Code | None:
    """Return the code of a step for rows of a shape; None if it has none.

    With `tiled` it is for several rows, which share what they read of a matrix.
    """
    if isinstance(step, (steps.Reshape, steps.Noise)):
        return None
    name = step.name if isinstance(step, steps.Activation) else type(step).__name__.lower()
    return _WRITERS[type(step)](_Writer(text, f"{number}_{name}", shape, tiled), step)


class _Writer:
    """What the code of a step needs: names, and loops.

    Attributes
    ----------
    text : Text
    name : str
        Of the step.
    shape : tuple of int
        Of a row of input.
    columns : int
        Numbers along its last axis.
    """

    def __init__(self, text: Text, name: str, shape: Shape, tiled: bool) -> None:
        self.text, self.name, self.shape, self.tiled = text, name, shape, tiled
        self.columns = shape[-1]
        self._constants: list[str] = []

    def constant(self, name: str, values: Array) -> str:
        """Define an array, and return its name."""
        full = f"{self.name}_{name}"
        self._constants.append(self.text.array(full, np.asarray(values, self.text.dtype)))
        return f"@{full}"

    def rows(self) -> str:
        """Return how many rows of one axis there are."""
        outer = math.prod(self.shape[:-1])
        return "rows" if outer == 1 else f"rows * {outer}"

    def in_place(self, body: list[str], elements: bool = False) -> Code:
        """Return a function that changes rows ``y``, or elements ``y[j]``."""
        if elements:
            loop = f"for (int j = 0; j < rows * {math.prod(self.shape)}; ++j) {{\n{indented(body)}\n}}"
        else:
            loop = f"for (int r = 0; r < {self.rows()}; ++r, y += {self.columns}) {{\n{indented(body)}\n}}"
        return self._code("REAL *y, int rows", [loop], True)

    def out_of_place(self, body: list[str], kind: str = "REAL", masked: bool = False) -> Code:
        """Return a function that makes ``y`` of ``x``."""
        given = ", const int *RESTRICT indices" if masked else ""
        return self._code(f"const {kind} *RESTRICT x{given}, REAL *RESTRICT y, int rows", body, False, masked)

    def _code(self, arguments: str, body: list[str], in_place: bool, masked: bool = False) -> Code:
        function = f"static inline void @{self.name}({arguments}) {{\n{indented(body)}\n}}\n"
        return Code(self.name, "".join(self._constants) + function, in_place, masked)

    def columns_loop(self, body: str) -> str:
        """Return a loop over columns ``j``."""
        return f"for (int j = 0; j < {self.columns}; ++j) {body}"


# Dense layers.


def _dense(writer: _Writer, step: steps.Dense) -> Code:
    ins, outs = step.kernel.shape
    if outs == 1:
        return writer.out_of_place(_one_column(writer, step, ins))
    wide = -(-outs // _VECTOR) * _VECTOR
    kernel = writer.constant("kernel", np.pad(step.kernel, ((0, 0), (0, wide - outs))))
    bias = None if step.bias is None else writer.constant("bias", np.pad(step.bias, (0, wide - outs)))
    body = ["int r = 0;"]
    if writer.tiled and wide > _COLUMNS_TOGETHER:
        count = _TOGETHER
        blocks = _blocks(wide, outs, _COLUMNS_TOGETHER, lambda at, width, stored: _tile(
            kernel, bias, ins, outs, at, width, stored
        ))  # fmt: skip
        body.append(
            f"for (; r + {count} <= {writer.rows()}; r += {count}, x += {count * ins}, y += {count * outs}) {{\n"
            f"{indented(blocks)}\n}}"
        )
    blocks = _blocks(wide, outs, COLUMNS, lambda at, width, stored: _row(kernel, bias, ins, at, width, stored))
    body.append(f"for (; r < {writer.rows()}; ++r, x += {ins}, y += {outs}) {{\n{indented(blocks)}\n}}")
    return writer.out_of_place(body)


def _one_column(writer: _Writer, step: steps.Dense, ins: int) -> list[str]:
    """Return the code of dot products, as four sums."""
    kernel = writer.constant("kernel", step.kernel[:, 0])
    bias = 0.0 if step.bias is None else float(step.bias[0])
    sums = "abcd"
    whole = ins - ins % len(sums)
    body = [f"REAL a = {writer.text.number(bias)}, b = 0, c = 0, d = 0;"]
    if whole:
        adds = [f"{one} = MADD(x[i + {k}], {kernel}[i + {k}], {one});" for k, one in enumerate(sums)]
        body.append(f"for (int i = 0; i < {whole}; i += {len(sums)}) {{\n{indented(adds)}\n}}")
    for k, one in zip(range(whole, ins), sums, strict=False):
        body.append(f"{one} = MADD(x[{k}], {kernel}[{k}], {one});")
    body.append("*y = (a + b) + (c + d);")
    return [f"for (int r = 0; r < {writer.rows()}; ++r, x += {ins}, ++y) {{\n{indented(body)}\n}}"]


def _blocks(wide: int, outs: int, most: int, block: Callable[[str, int, int], list[str]]) -> list[str]:
    """Return code for all columns, some at a time; `block` is given where they begin, how many, how many are kept."""
    whole = outs // most
    code, begin = [], whole * most
    if whole == 1:
        code.append(f"{{\n{indented(block('0', most, most))}\n}}")
    elif whole:
        code.append(f"for (int k = 0; k < {begin}; k += {most}) {{\n{indented(block('k', most, most))}\n}}")
    if wide > begin:
        code.append(f"{{\n{indented(block(str(begin), wide - begin, outs - begin))}\n}}")
    return code


def _row(kernel: str, bias: str | None, ins: int, at: str, width: int, stored: int) -> list[str]:
    """Return the code of some columns of one row."""
    begin = "0" if bias is None else f"{bias}[{at} + j]"
    whole = ins - ins % 4
    code = [f"REAL a[{width}];", f"for (int j = 0; j < {width}; ++j) a[j] = {begin};"]
    if whole:
        adds = [
            "const REAL x0 = x[i], x1 = x[i + 1], x2 = x[i + 2], x3 = x[i + 3];",
            *(f"const REAL *RESTRICT w{k} = &{kernel}[i + {k}][{at}];" for k in range(4)),
            f"for (int j = 0; j < {width}; ++j)\n  a[j] += MADD(x1, w1[j], x0 * w0[j]) + MADD(x3, w3[j], x2 * w2[j]);",
        ]
        code.append(f"for (int i = 0; i < {whole}; i += 4) {{\n{indented(adds)}\n}}")
    code += [
        f"for (int j = 0; j < {width}; ++j) a[j] = MADD(x[{i}], {kernel}[{i}][{at} + j], a[j]);"
        for i in range(whole, ins)
    ]
    return [*code, f"for (int j = 0; j < {stored}; ++j) y[{at} + j] = a[j];"]


def _tile(kernel: str, bias: str | None, ins: int, outs: int, at: str, width: int, stored: int) -> list[str]:
    """Return the code of some columns of several rows."""
    begin = "0" if bias is None else f"{bias}[{at} + j]"
    sums = [f"a{r}" for r in range(_TOGETHER)]
    whole = ins - ins % 2
    code = [
        f"REAL {', '.join(f'{one}[{width}]' for one in sums)};",
        f"for (int j = 0; j < {width}; ++j) {' = '.join(f'{one}[j]' for one in sums)} = {begin};",
    ]
    if whole:
        adds = [
            *(f"const REAL u{r} = x[i + {r * ins}], v{r} = x[i + {r * ins + 1}];" for r in range(_TOGETHER)),
            *(f"const REAL *RESTRICT w{k} = &{kernel}[i + {k}][{at}];" for k in range(2)),
            f"for (int j = 0; j < {width}; ++j) {{\n"
            + indented([f"a{r}[j] = MADD(v{r}, w1[j], MADD(u{r}, w0[j], a{r}[j]));" for r in range(_TOGETHER)])
            + "\n}",
        ]
        code.append(f"for (int i = 0; i < {whole}; i += 2) {{\n{indented(adds)}\n}}")
    if whole < ins:
        adds = [
            f"a{r}[j] = MADD(x[{whole + r * ins}], {kernel}[{whole}][{at} + j], a{r}[j]);" for r in range(_TOGETHER)
        ]
        code.append(f"for (int j = 0; j < {width}; ++j) {{\n{indented(adds)}\n}}")
    stores = [f"y[{at} + {r * outs} + j] = a{r}[j];" for r in range(_TOGETHER)]
    return [*code, f"for (int j = 0; j < {stored}; ++j) {{\n{indented(stores)}\n}}"]


# What works on columns, or on numbers one by one.


def _activation(writer: _Writer, step: steps.Activation) -> Code:
    if step.name in _ROWWISE:
        return writer.in_place(_ROWWISE[step.name](writer))
    alpha = [] if step.alpha is None else [f"const REAL alpha = {writer.text.number(step.alpha)};"]
    return writer.in_place([*alpha, "const REAL x = y[j];", f"y[j] = {ACTIVATIONS[step.name]};"], elements=True)


def _clipped_relu(writer: _Writer, step: steps.ClippedRelu) -> Code:
    slope, most, threshold = map(writer.text.number, (step.slope, step.most, step.threshold))
    above = "x" if math.isinf(step.most) else f"(x > {most} ? {most} : x)"
    code = f"x <= {threshold} ? 0 : {above}"
    if step.slope:
        below = f"{slope} * ((x > {threshold} ? {threshold} : x) - {threshold})"
        code = f"{below} + (x > {threshold} ? {above} : 0)"
    return writer.in_place(["const REAL x = y[j];", f"y[j] = {code};"], elements=True)


def _affine(writer: _Writer, step: steps.Affine) -> Code:
    return _scaled(writer, step.center, step.scale, step.shift)


def _scaled(writer: _Writer, center: Array, scale: Array, shift: Array | None) -> Code:
    code = f"(y[j] - {writer.constant('center', center)}[j])" if center.any() else "y[j]"
    code += f" * {writer.constant('scale', scale)}[j]"
    if shift is not None and shift.any():
        code += f" + {writer.constant('shift', shift)}[j]"
    return writer.in_place([writer.columns_loop(f"y[j] = {code};")])


def _batch_norm(writer: _Writer, step: steps.BatchNorm) -> Code:
    deviation = np.maximum(np.sqrt(step.variance.astype(np.float64) + step.epsilon), step.least)
    return _scaled(writer, step.mean, (1 if step.gamma is None else step.gamma) / deviation, step.beta)


def _prelu(writer: _Writer, step: steps.Prelu) -> Code:
    slopes = writer.constant("slopes", step.slopes)
    return writer.in_place([writer.columns_loop(f"y[j] *= y[j] > 0 ? 1 : {slopes}[j];")])


# What works on rows.


def _softmax(writer: _Writer) -> list[str]:
    return [
        "REAL top = y[0], sum = 0;",
        writer.columns_loop("top = y[j] > top ? y[j] : top;"),
        writer.columns_loop("y[j] = @exp(y[j] - top);"),
        writer.columns_loop("sum += y[j];"),
        writer.columns_loop("y[j] /= sum;"),
    ]


def _log_softmax(writer: _Writer) -> list[str]:
    return [
        "REAL top = y[0], sum = 0;",
        writer.columns_loop("top = y[j] > top ? y[j] : top;"),
        writer.columns_loop("sum += @exp(y[j] - top);"),
        "sum = @log(sum);",
        writer.columns_loop("y[j] = (y[j] - top) - sum;"),
    ]


def _row_norm(writer: _Writer, step: steps.RowNorm) -> Code:
    gamma = "" if step.gamma is None else f" * {writer.constant('gamma', step.gamma)}[j]"
    beta = "" if step.beta is None else f" + {writer.constant('beta', step.beta)}[j]"
    body = ["REAL squares = 0;"]
    if step.centered:
        body += [
            "REAL mean = 0;",
            writer.columns_loop("mean += y[j];"),
            f"mean /= {writer.text.number(writer.columns)};",
            writer.columns_loop("y[j] -= mean;"),
        ]
    body += [
        writer.columns_loop("squares += y[j] * y[j];"),
        f"squares = 1.0$ / sqrt$(squares / {writer.text.number(writer.columns)} + {writer.text.number(step.epsilon)});",
        writer.columns_loop(f"y[j] = y[j] * squares{gamma}{beta};"),
    ]
    return writer.in_place(body)


# What makes rows of another shape.


def _lookup(writer: _Writer, step: steps.Lookup) -> Code:
    count, columns = step.table.shape
    table = writer.constant("table", step.table)
    body = (
        f"for (int i = 0; i < rows * {math.prod(writer.shape)}; ++i, y += {columns}) {{\n"
        f"  const int known = x[i] >= 0 && x[i] < {count};\n"
        f"  for (int j = 0; j < {columns}; ++j) y[j] = known ? {table}[x[i]][j] : NAN;\n"
        "}"
    )
    return writer.out_of_place([body], "int")


def _pool(writer: _Writer, step: steps.Pool) -> Code:
    count, columns = writer.shape
    if step.pooling == "maximum":
        each = [
            writer.columns_loop("y[j] = x[j];"),
            f"for (int i = 1; i < {count}; ++i)\n  "
            + writer.columns_loop(f"{{\n    const REAL one = x[i * {columns} + j];\n"
                                  "    y[j] = one > y[j] || one != one ? one : y[j];\n  }"),
        ]  # fmt: skip
    elif step.masked:
        each = [
            "REAL count = 0;",
            writer.columns_loop("y[j] = 0;"),
            f"for (int i = 0; i < {count}; ++i) {{\n  if (indices[i] == 0) continue;\n  count += 1;\n  "
            + writer.columns_loop(f"y[j] += x[i * {columns} + j];") + "\n}",
            writer.columns_loop("y[j] /= count;"),
            f"indices += {count};",
        ]  # fmt: skip
    else:
        each = [
            writer.columns_loop("y[j] = 0;"),
            f"for (int i = 0; i < {count}; ++i)\n  " + writer.columns_loop(f"y[j] += x[i * {columns} + j];"),
            writer.columns_loop(f"y[j] /= {writer.text.number(count)};"),
        ]
    body = f"for (int r = 0; r < rows; ++r, x += {count * columns}, y += {columns}) {{\n{indented(each)}\n}}"
    return writer.out_of_place([body], masked=step.masked)


_ROWWISE: dict[str, Callable[[_Writer], list[str]]] = {"log_softmax": _log_softmax, "softmax": _softmax}
_WRITERS: dict[type[Step], Callable[[_Writer, Any], Code]] = {
    steps.Activation: _activation,
    steps.Affine: _affine,
    steps.BatchNorm: _batch_norm,
    steps.ClippedRelu: _clipped_relu,
    steps.Dense: _dense,
    steps.Lookup: _lookup,
    steps.Pool: _pool,
    steps.Prelu: _prelu,
    steps.RowNorm: _row_norm,
}
