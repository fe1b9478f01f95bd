"""Pictures of models: a box for each layer, one below the other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from lamina._common.checks import KindError, choice, flag, integer
from lamina._common.paths import path
from lamina.models import Model
from lamina.models.parts import title_of

__all__ = ["model_to_dot", "plot_model"]


def plot_model(
    model: Model,
    to_file: Any = "model.png",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int | None = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    **unknown: Any,
) -> None:
    """Draw a model into a file, with matplotlib (extra ``plot``).

    Parameters
    ----------
    model : Model
    to_file : str or Path
        Its suffix says the format: ``.png``, ``.svg``, ``.pdf``, …
    show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable : bool
        What the boxes say besides the class of the layer.
    rankdir : {"TB", "LR"}
        From top to bottom, or from left to right.
    expand_nested : bool
        Draw the layers of models that are layers.
    dpi : int, optional
        Dots per inch.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    """
    who = "plot_model"
    if unknown:
        raise TypeError(f"{who}: unknown argument {sorted(unknown)[0]!r}.")
    rows = _boxes(
        who, model, show_shapes=show_shapes, show_dtype=show_dtype, show_layer_names=show_layer_names,
        expand_nested=expand_nested, show_layer_activations=show_layer_activations, show_trainable=show_trainable,
    )  # fmt: skip
    choice(who, "rankdir", rankdir, ("TB", "LR"))
    dots = 200 if dpi is None else integer(who, "dpi", dpi, 10, 2400)
    target = path(who, "to_file", to_file)
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(f"{who}: pictures need matplotlib: pip install 'lamina[plot]'.") from None
    texts = list(rows)
    lines = max(text.count("\n") + 1 for text in texts)
    width = 0.11 * max(len(line) for text in texts for line in text.split("\n")) + 0.4
    height = 0.22 * lines + 0.2
    down = rankdir == "TB"
    pitch = (height if down else width) + 0.35
    size = (width + 0.4, pitch * len(texts)) if down else (pitch * len(texts), height + 0.4)
    figure = Figure(figsize=size)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0, size[0])
    axes.set_ylim(size[1], 0)
    axes.axis("off")
    places = [(size[0] / 2, pitch * (i + 0.5)) if down else (pitch * (i + 0.5), size[1] / 2) for i in range(len(texts))]
    gap = (height if down else width) / 2 + 0.02
    for text, (x, y) in zip(texts, places, strict=True):
        box = {"boxstyle": "square,pad=0.35", "facecolor": "white", "edgecolor": "black"}
        axes.text(x, y, text, ha="center", va="center", family="monospace", fontsize=10, bbox=box)
    for (x, y), (to_x, to_y) in pairwise(places):
        begin, end = ((x, y + gap), (to_x, to_y - gap)) if down else ((x + gap, y), (to_x - gap, to_y))
        axes.annotate("", end, begin, arrowprops={"arrowstyle": "->"})
    figure.savefig(target, dpi=dots)


def model_to_dot(
    model: Model,
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int | None = 200,
    subgraph: bool = False,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    **unknown: Any,
) -> Any:
    """Return a model as a graph of Graphviz, with pydot (extra ``plot``).

    Parameters
    ----------
    model, show_shapes, show_dtype, show_layer_names, rankdir, expand_nested, dpi
        As in `plot_model`.
    show_layer_activations, show_trainable : bool
        As in `plot_model`.
    subgraph : bool
        Return a cluster for another graph.

    Returns
    -------
    pydot.Dot, or pydot.Cluster for `subgraph`

    Raises
    ------
    ImportError
        pydot is not installed.
    """
    who = "model_to_dot"
    if unknown:
        raise TypeError(f"{who}: unknown argument {sorted(unknown)[0]!r}.")
    rows = _boxes(
        who, model, show_shapes=show_shapes, show_dtype=show_dtype, show_layer_names=show_layer_names,
        expand_nested=expand_nested, show_layer_activations=show_layer_activations, show_trainable=show_trainable,
    )  # fmt: skip
    choice(who, "rankdir", rankdir, ("TB", "LR"))
    try:
        import pydot
    except ImportError:
        raise ImportError(f"{who}: graphs need pydot: pip install 'lamina[plot]'.") from None
    made = (
        pydot.Cluster(model.name, label=model.name)
        if flag(who, "subgraph", subgraph)
        else pydot.Dot(graph_type="digraph", rankdir=rankdir, dpi=200 if dpi is None else integer(who, "dpi", dpi, 10))
    )
    texts = list(rows)
    for i, text in enumerate(texts):
        escaped = text.replace("\n", "\\n")
        made.add_node(pydot.Node(f"layer_{i}", label=f'"{escaped}"', shape="box"))
    for i in range(1, len(texts)):
        made.add_edge(pydot.Edge(f"layer_{i - 1}", f"layer_{i}"))
    return made


def _boxes(
    who: str,
    model: Any,
    *,
    show_shapes: Any,
    show_dtype: Any,
    show_layer_names: Any,
    expand_nested: Any,
    show_layer_activations: Any,
    show_trainable: Any,
) -> Iterator[str]:
    """Return the texts of the boxes of a model."""
    if not isinstance(model, Model):
        raise KindError(f"{who}: model must be a model; got {type(model).__name__}.")
    model.stack.require_built(who)
    names = flag(who, "show_layer_names", show_layer_names)
    shapes, dtypes = flag(who, "show_shapes", show_shapes), flag(who, "show_dtype", show_dtype)
    activations = flag(who, "show_layer_activations", show_layer_activations)
    trainable, nested = flag(who, "show_trainable", show_trainable), flag(who, "expand_nested", expand_nested)

    def texts(parts: list[Any]) -> Iterator[str]:
        for part in parts:
            if nested and isinstance(part, Model):
                yield from texts(part.operations)
                continue
            lines = [f"{part.name} ({title_of(part)})" if names else title_of(part)]
            activation = getattr(part, "activation", None)
            if activations and activation is not None:
                lines.append(f"activation: {getattr(activation, '__name__', type(activation).__name__)}")
            if shapes:
                lines.append(f"{part.input_shape} → {part.output_shape}")
            if dtypes:
                lines.append(f"dtype: {part.dtype}")
            if trainable:
                lines.append(f"trainable: {part.trainable}")
            yield "\n".join(lines)

    parts = model.operations
    start = [] if model.stack.input is None or parts[:1] == [model.stack.input] else [model.stack.input]
    return texts([*start, *parts])
