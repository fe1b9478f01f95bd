"""The parts of a model: layers, and models as layers."""

from __future__ import annotations

from typing import Any, Protocol

from lamina._engine.ops import OpenShape
from lamina.layers import InputLayer, Layer
from lamina.layers.composition import held

__all__ = [
    "Before", "NestedModel", "Part", "build_part", "called_layers", "layers_of", "leaves", "shown", "wanted_shape",
]  # fmt: skip


class NestedModel(Protocol):
    """A model that is a part of another model."""

    @property
    def name(self) -> str:
        """Unique in a model."""

    @property
    def layers(self) -> list[Part]:
        """Its parts as `Model.layers` gives them."""

    @property
    def stack(self) -> Any:
        """The model's layers, a `lamina.models.stack.Stack`."""

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """Output shape, batch first."""

    @property
    def trainable(self) -> bool:
        """Whether training changes parameters."""

    @trainable.setter
    def trainable(self, value: bool) -> None: ...

    def build(self, input_shape: Any = None) -> None:
        """Make the parameters."""

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the output shape, batch first, for an input shape."""


Part = Layer | NestedModel


class Before:
    """What parts were before a build or a composition, which can be undone.

    Attributes
    ----------
    layers : list of (Layer, bool)
        Those that were not built, and whether each had parameters.
    """

    def __init__(self) -> None:
        self.layers: list[tuple[Layer, bool]] = []
        self._stacks: list[tuple[Any, InputLayer | None, bool, list[Part]]] = []

    def note(self, stack: Any) -> None:
        """Note a stack as it is."""
        self._stacks.append((stack, stack.input, stack.built, stack.parts))

    def put_back(self) -> None:
        """Drop the parameters that were made, and put the stacks back."""
        for layer, keeps in self.layers:
            layer.unplace(keeps)
        for stack, start, built, parts in self._stacks:
            stack.input, stack.built, stack.parts = start, built, parts
        self.layers, self._stacks = [], []


def shown(parts: list[Any]) -> list[Any]:
    """Return parts with the layers that call others in place of the models that they are."""
    return [layer if (layer := getattr(part, "of_layer", None)) is not None else part for part in parts]


def called_layers(parts: list[Any]) -> list[Layer]:
    """Return the layers among parts, also those that call others."""
    return [part for part in shown(parts) if isinstance(part, Layer)]


def leaves(part: Any) -> list[Layer]:
    """Return the layers of which a layer or model consists, where it is written as calls of others."""
    found: list[Layer] = []
    seen: list[Any] = []

    def look(part: Any) -> None:
        if any(part is one for one in seen):  # it holds what holds it
            return
        seen.append(part)
        inner = held(part) if isinstance(part, Layer) and part.holds_layers else None
        if isinstance(part, Layer) and inner is None:
            found.append(part)
        for one in part.stack.listed if inner is None and not isinstance(part, Layer) else inner or []:
            look(one)

    look(part)
    return found


def layers_of(part: Part) -> list[Layer]:
    """Return a layer, or the layers of a model, in a list."""
    return [part] if isinstance(part, Layer) else part.stack.layers


def wanted_shape(part: Part) -> OpenShape | None:
    """Return the shape of an input row that a part was built with or given; None if it has none."""
    if isinstance(part, Layer):
        return part.input_row_shape if part.placed else part.wanted_input_shape
    shape: OpenShape | None = part.stack.row_shape
    return shape


def build_part(who: str, part: Part, row_shape: OpenShape, built: list[tuple[Layer, bool]]) -> None:
    """Build a part for rows of a shape, or, if it is built already, check that the shape fits.

    Appends to `built` each layer that this call built (not another thread meanwhile), and whether it kept parameters
    that it had before.
    """
    if isinstance(part, Layer):
        if part.placed:
            part.check_row(who, row_shape)
            return
        keeps = part.build_or_discard((None, *row_shape))
        if keeps is not None:
            built.append((part, keeps))
        if part.holds_layers:
            raise ValueError(
                f"{who}: build of {part.name!r} makes layers that its call calls, which needs the shape of its rows; "
                "begin the model with an Input."
            )
    elif not part.stack.built:
        part.build((None, *row_shape))
        built += part.stack.built_last
    elif not part.stack.takes(row_shape):
        raise ValueError(
            f"{who}: model {part.name!r} must take rows of shape {part.stack.row_shape}, for which it was built; "
            f"those before it are {row_shape}."
        )
