"""The table that ``summary()`` prints, in Keras's layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.layers import Layer
    from lamina.models import Sequential
    from lamina.variables import Variable

__all__ = ["format_summary"]

_COLUMNS = ("Layer (type)", "Output Shape", "Param #")
_TRAINABLE = ("Trainable",)
# Right edges of the columns as shares of the width, and what borders and padding take of each column.
_EDGES = ((0.45, 3), (0.80, 4), (1.0, 3))
_EDGES_WITH_TRAINABLE = ((0.405, 3), (0.72, 4), (0.9, 3), (1.0, 3))


def format_summary(model: Sequential, line_length: int, show_trainable: bool = False) -> str:
    """Return the table for a model, built or not."""
    shares = _EDGES_WITH_TRAINABLE if show_trainable else _EDGES
    edges = [int(line_length * share) for share, _ in shares]
    widths = [
        max(len("Output Shape"), edge - before - taken)
        for edge, before, (_, taken) in zip(edges, [0, *edges[:-1]], shares, strict=True)
    ]
    columns = _COLUMNS + (_TRAINABLE if show_trainable else ())
    rows = [_cells(layer) + ((("Y" if layer.trainable else "N"),) if show_trainable else ()) for layer in model.layers]
    lines = [
        f'Model: "{model.name}"',
        _rule("┏", "━", "┳", "┓", widths),
        _line("┃", columns, widths),
        _rule("┡", "━", "╇", "┩", widths),
    ]
    for index, row in enumerate(rows):
        if index:
            lines.append(_rule("├", "─", "┼", "┤", widths))
        lines.extend(_line("│", part, widths) for part in _wrap(row, widths))
    lines.append(_rule("└", "─", "┴", "┘", widths))
    lines += [
        f" Total params: {_total(model.weights)}",
        f" Trainable params: {_total(model.trainable_weights)}",
        f" Non-trainable params: {_total(model.non_trainable_weights)}",
    ]
    return "\n".join(lines)


def _cells(layer: Layer) -> tuple[str, str, str]:
    shape = "(" + ", ".join(map(str, layer.output_shape)) + ")" if layer.built else "?"
    count = f"{layer.count_params():,}" if layer.built else "0 (unbuilt)"
    return f"{layer.name} ({type(layer).__name__})", shape, count


def _wrap(row: tuple[str, ...], widths: list[int]) -> list[tuple[str, ...]]:
    """Break cells that are too long over several lines."""
    parts = [
        [cell[i : i + width] for i in range(0, len(cell), width)] or [""]
        for cell, width in zip(row, widths, strict=True)
    ]
    height = max(map(len, parts))
    return [tuple(part[i] if i < len(part) else "" for part in parts) for i in range(height)]


def _line(bar: str, cells: tuple[str, ...], widths: list[int]) -> str:
    aligned = [
        cell.rjust(width) if index == 2 else cell.ljust(width)
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
