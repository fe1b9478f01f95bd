"""The table that ``summary()`` prints, in Keras's layout."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lamina._common.checks import flag, integer, numbers
from lamina._engine.variable import Variable
from lamina.layers import Layer
from lamina.models.parts import Part, title_of
from lamina.models.stack import Stack
from lamina.optimizers import Optimizer

__all__ = ["format_summary"]

_COLUMNS = ("Layer (type)", "Output Shape", "Param #")
_TRAINABLE = ("Trainable",)
# Right edges of the columns as shares of the width; a column's least width.
_SHARES = (0.45, 0.80, 1.0)
_LEAST_WIDTH = 4


def format_summary(
    stack: Stack,
    layers: list[Part],
    optimizer: Optimizer | None,
    line_length: int,
    positions: Any = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Any = None,
) -> str:
    """Return the table for a model, built or not; arguments as `lamina.models.Sequential.summary`."""
    who = stack.who("summary")
    line_length = integer(who, "line_length", line_length, 1, 2**20)
    expand_nested = flag(who, "expand_nested", expand_nested)
    show_trainable = flag(who, "show_trainable", show_trainable)
    shares = _SHARES if positions is None else _given_shares(stack, positions)
    if show_trainable:
        shares = (*(0.9 * share for share in shares), 1.0)
    edges = [int(line_length * share) for share in shares]
    widths = [edge - before for edge, before in zip(edges, [0, *edges[:-1]], strict=True)]
    if min(widths) < _LEAST_WIDTH:
        raise ValueError(f"{stack.who('summary')}: line_length must leave room for each column; got {line_length}.")
    widths = _without_borders(widths, line_length)
    columns = _COLUMNS + (_TRAINABLE if show_trainable else ())
    rows = []
    for layer, prefix in _parts(_in_range(stack, layers, layer_range), expand_nested):
        rows.append(_cells(layer, prefix) + ((_trains(layer),) if show_trainable else ()))
    lines = [
        f'Model: "{stack.name}"',
        _rule("┏", "━", "┳", "┓", widths),
        *(_line("┃", part, widths) for part in _wrap(columns, widths)),
        _rule("┡", "━", "╇", "┩", widths),
    ]
    for index, row in enumerate(rows):
        if index:
            lines.append(_rule("├", "─", "┼", "┤", widths))
        lines.extend(_line("│", part, widths) for part in _wrap(row, widths))
    lines.append(_rule("└", "─", "┴", "┘", widths))
    kept = optimizer.variables if optimizer is not None and optimizer.built else []
    lines += [
        f" Total params: {_total([*stack.weights, *kept])}",
        f" Trainable params: {_total(stack.trainable_weights)}",
        f" Non-trainable params: {_total(stack.non_trainable_weights)}",
    ]
    if kept:
        lines.append(f" Optimizer params: {_total(kept)}")
    return "\n".join(lines)


def _trains(layer: Any) -> str:
    return "-" if not layer.weights else "Y" if layer.trainable else "N"


def _without_borders(widths: list[int], line_length: int) -> list[int]:
    """Return the widths of the columns' contents, without borders and padding, computed as `rich` does.

    A column has two characters of padding and a border; the excess is taken from all columns equally.
    """
    over = sum(widths) + 3 * len(widths) + 1 - line_length
    found = []
    for number, width in enumerate(widths):
        taken = min(width, round(over / (len(widths) - number)))
        found.append(width - taken)
        over -= taken
    return found


def _given_shares(stack: Stack, positions: Any) -> tuple[float, ...]:
    shares = tuple(numbers(stack.who("summary"), "positions", positions))
    if len(shares) != len(_SHARES) or list(shares) != sorted(shares) or not 0 < shares[0] <= shares[-1] <= 1:
        raise ValueError(
            f"{stack.who('summary')}: positions must be {len(_SHARES)} ascending shares of the "
            f"width, up to 1; got {positions!r}."
        )
    return shares


def _in_range(stack: Stack, layers: list[Part], layer_range: Any) -> list[Part]:
    """Return the layers from the first that matches one pattern to the last that matches another."""
    if layer_range is None:
        return layers
    if not isinstance(layer_range, (list, tuple)) or len(layer_range) != 2:
        raise ValueError(f"{stack.who('summary')}: layer_range must be two names; got {layer_range!r}.")
    first, last = (
        [i for i, layer in enumerate(layers) if re.match(str(pattern), layer.name)] for pattern in layer_range
    )
    if not first or not last:
        raise ValueError(f"{stack.who('summary')}: layer_range must name layers; got {layer_range!r}.")
    return layers[min(*first, *last) : max(*first, *last) + 1]


def _parts(layers: list[Part], expand_nested: bool, depth: int = 0) -> Iterator[tuple[Part, str]]:
    """Yield layers and the prefix of their names: an indented mark for the layers of nested models."""
    for layer in layers:
        yield layer, "   " * depth + "└ " if depth else ""
        if expand_nested and not isinstance(layer, Layer):
            yield from _parts(layer.operations, True, depth + 1)


def _cells(layer: Any, prefix: str) -> tuple[str, str, str]:
    known = layer.shape_known if isinstance(layer, Layer) else layer.built
    shape = "(" + ", ".join(map(str, layer.output_shape)) + ")" if known else "?"
    count = f"{layer.count_params():,}" if layer.built else "0 (unbuilt)"
    return f"{prefix}{layer.name} ({title_of(layer)})", shape, count


def _wrap(row: tuple[str, ...], widths: list[int]) -> list[tuple[str, ...]]:
    """Return the lines of a row: long cells are wrapped between words; a word that is too long is cut."""
    parts = [_broken(cell, width) for cell, width in zip(row, widths, strict=True)]
    height = max(map(len, parts))
    return [tuple(part[i] if i < len(part) else "" for part in parts) for i in range(height)]


def _broken(cell: str, width: int) -> list[str]:
    lines = [""]
    for word in re.findall(r"\s*\S+", cell):
        if len(lines[-1] + word) <= width or not lines[-1]:
            lines[-1] += word
        else:
            lines.append(word.lstrip())
    return [line if len(line) <= width else line[: width - 1] + "…" for line in lines]


def _line(bar: str, cells: tuple[str, ...], widths: list[int]) -> str:
    aligned = [
        cell.rjust(width) if index == 2 else cell.center(width) if index == 3 else cell.ljust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return bar + bar.join(f" {cell} " for cell in aligned) + bar


def _rule(left: str, dash: str, cross: str, right: str, widths: list[int]) -> str:
    return left + cross.join(dash * (width + 2) for width in widths) + right


def _total(variables: list[Variable]) -> str:
    count = sum(variable.size for variable in variables)
    size = float(sum(variable.nbytes for variable in variables))
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024 or unit == "GB":
            break
        size /= 1024
    return f"{count:,} ({size:.2f} {unit})"
