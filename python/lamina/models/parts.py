"""The parts of a model: layers, and models as layers."""

from __future__ import annotations

from typing import Any, Protocol

from lamina._engine.ops import OpenShape
from lamina.layers import Layer
from lamina.layers.composition import held

__all__ = [
    "NestedModel", "Part", "PartStack", "build_part", "called_layers", "is_deferred", "layers_of", "leaves", "shown",
    "title_of", "wanted_shape", "whole",
]  # fmt: skip


class PartStack(Protocol):
    """The layers of a model that is a part of another one; see `lamina.models.stack.Stack`."""

    built: bool

    @property
    def layers(self) -> list[Layer]:
        """All layers in the order in which they run."""

    @property
    def listed(self) -> list[Part]:
        """The parts, in the order in which an owner that composes them holds them."""

    @property
    def listed_layers(self) -> list[Layer]:
        """All layers, in the order of `listed`."""

    @property
    def composed(self) -> bool:
        """Whether the parts are added by a function once the shape of rows is known."""

    @property
    def follows_attributes(self) -> bool:
        """Whether the layers were found by following a `call`."""

    @property
    def row_shape(self) -> OpenShape | None:
        """Shape of one row of input."""

    def takes(self, row_shape: OpenShape) -> bool:
        """Return whether the model takes rows of a shape."""

    def all_models(self) -> list[NestedModel]:
        """Return all nested models, at any depth."""

    def remember_trainable(self, value: bool) -> None:
        """Set `trainable` of the model only."""


class NestedModel(Protocol):
    """A model that is a part of another model."""

    @property
    def name(self) -> str:
        """Unique in a model."""

    @property
    def dtype(self) -> str:
        """The dtype of all layers."""

    # The function of a symbolic tensor that it was made for: none.
    made_of: None

    @property
    def operations(self) -> list[Part]:
        """Its parts as `Model.operations` gives them."""

    @property
    def stack(self) -> PartStack:
        """The model's layers."""

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


def shown(parts: list[Any]) -> list[Any]:
    """Return parts with the layers that call others in place of the models that they are."""
    return [layer if (layer := getattr(part, "of_layer", None)) is not None else part for part in parts]


def title_of(part: Any) -> str:
    """Return the name of a part's class, or of Keras's class for the function that it was made for."""
    return type(part).__name__ if part.made_of is None else str(part.made_of.title)


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
    return part.stack.row_shape


def is_deferred(part: Part) -> bool:
    """Return whether the layers in a part are found out once the shape of rows is known: its call is followed then."""
    if isinstance(part, Layer):
        return part.holds_layers
    return part.stack.composed and not part.stack.built


def whole(part: Part, row_shape: OpenShape) -> Part:
    """Return a layer or model, or the model that a layer is which calls layers that it holds."""
    if isinstance(part, Layer) and part.composes(row_shape):
        made: Part = part.as_model(row_shape)
        return made
    return part


def build_part(who: str, part: Part, row_shape: OpenShape) -> None:
    """Build a part for rows of a shape, or, if it is built already, check that the shape fits."""
    if isinstance(part, Layer):
        if part.placed:
            part.check_row(who, row_shape)
            return
        part.build_or_discard((None, *row_shape))
    elif not part.stack.built:
        part.build((None, *row_shape))
    elif not part.stack.takes(row_shape):
        raise ValueError(
            f"{who}: model {part.name!r} must take rows of shape {part.stack.row_shape}, for which it was built; "
            f"those before it are {row_shape}."
        )
