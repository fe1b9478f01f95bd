"""HoldingLayer: layers that are written as calls of layers that they hold. Each is a model of these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from lamina._common.parameters import parameters_of
from lamina._common.undo import noting, undoable
from lamina._engine.ops import OpenShape
from lamina.layers.building import BuiltLayer
from lamina.layers.composition import check_nothing_lost, held
from lamina.layers.shapes import check_open_shape

__all__ = ["HoldingLayer"]


class HoldingLayer(BuiltLayer):
    """Base class of `Layer`: what a layer does that holds others; arguments as there."""

    def __init__(self, trainable: bool, dtype: Any, name: str | None) -> None:
        super().__init__(trainable, dtype, name)
        self._wrapped: Any = None  # what `as_model` has made

    # Returns the model that a layer is which calls layers that it holds.
    model_of: ClassVar[Callable[[Any, OpenShape], Any]]

    @property
    def by_call(self) -> bool:
        """Whether the layer is computed by its `call`, which a user has written; defined by `Layer`."""
        raise NotImplementedError(f"{type(self).__name__} has no call.")

    @property
    def holds_layers(self) -> bool:
        """Whether the layer is written as calls of layers that it holds. It is then a model of these."""
        return self.by_call and bool(held(self))

    def composes(self, row_shape: tuple[int | None, ...]) -> bool:
        """Return whether the layer is written as calls of layers that it holds, or that its `build` makes."""
        if self.by_call and self.defines_build and not self.placed and len(parameters_of(self.build)) == 1:
            self.build_or_discard((None, *check_open_shape(self._who(), row_shape)))
        return self.holds_layers

    def as_model(self, row_shape: tuple[int | None, ...]) -> Any:
        """Return the model of the layers that `call` calls, made for the first shape of rows."""
        with self.once.taken():
            if self._wrapped is None:
                who, self.stored = self._who(), None  # the layers in it take their values later
                check_nothing_lost(who, self)
                self._wrapped = type(self).model_of(self, check_open_shape(who, row_shape))
                undoable(self._unwrap)
            return self._wrapped

    def as_chain(self, row_shape: tuple[int | None, ...]) -> Any:
        """Return `as_model`, None if the layer holds no layers or its `call` is no chain of calls of these."""
        if not self.composes(row_shape):
            return None
        with noting() as undo:
            try:
                return self.as_model(row_shape)
            except (TypeError, ValueError):  # it says why where a model needs the chain
                undo()
                return None

    def _unwrap(self) -> None:
        self._wrapped = None

    def _built_input(self) -> Any:
        return super()._built_input() if self._wrapped is None else self._wrapped.input_shape[1:]

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """Output shape, batch first; for built layers."""
        return super().output_shape if self._wrapped is None else self._wrapped.output_shape

    @property
    def shape_known(self) -> bool:
        """Whether `input_shape` and `output_shape` are known."""
        return self.placed if self._wrapped is None else self._wrapped.built
