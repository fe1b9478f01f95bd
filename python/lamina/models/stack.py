"""Stack: the layers of a model, their composition, shapes and building."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import get_ident
from typing import Any

from lamina import config
from lamina._common.checks import NotBuiltError
from lamina._common.locks import Once
from lamina._common.undo import Undo, noting
from lamina._data.arrays import fits
from lamina._engine.ops import OpenShape, Shape, row_of
from lamina._engine.variable import Variable
from lamina.layers import BatchNormalization, InputLayer, Layer, Softmax
from lamina.layers.shapes import batch_shape, check_open_shape
from lamina.layers.symbols import KerasTensor, output_of
from lamina.models.parts import (
    NestedModel,
    Part,
    PartStack,
    build_part,
    called_layers,
    is_deferred,
    layers_of,
    leaves,
    shown,
    wanted_shape,
    whole,
)

__all__ = ["Stack"]


class Stack:
    """The parts of a model: layers, and models as layers.

    Parameters
    ----------
    kind, name : str
        The model's class and name, for messages.

    Attributes
    ----------
    parts : list of Layer and model
    input : InputLayer or None
        Holds the shape of an input row, once that is known.
    built : bool
    once : Once
        Lock for building, and for everything else that the model makes on first use.
    """

    def __init__(self, kind: str, name: str) -> None:
        self.kind, self.name = kind, name
        self.parts: list[Part] = []  # replaced, never changed
        self._nested = False  # whether there are models among the parts
        self.input: InputLayer | None = None
        # The parts for which symbolic tensors were made, and the tensors: the input's, then the output of each part.
        self._symbols: tuple[list[Part], list[KerasTensor]] | None = None
        self._taken: tuple[list[Any], OpenShape] | None = None  # for `taken_shape`
        self.built = False
        self.once = Once()
        self._trainable = True
        self._composer: Callable[[OpenShape], None] | None = None
        self._composes = self._used_by_others = False
        self._builder = 0  # the thread that has built the parts last
        # The parts in the order in which a composer's owner holds them; None: as they run.
        self._held: Callable[[], list[Any]] | None = None
        self._undo = Undo()  # of the last `build` or `compose`

    def who(self, method: str | None = None) -> str:
        """Return how messages begin."""
        title = f"{self.kind} {self.name!r}"
        return title if method is None else f"{title}: {method}"

    # Composition.

    @property
    def layers(self) -> list[Layer]:
        """All layers in the order in which they run; nested models are replaced by their layers."""
        if not self._nested:
            return self.parts  # type: ignore[return-value]  # all of them are layers
        return [layer for part in self.parts for layer in layers_of(part)]

    def all_models(self) -> list[NestedModel]:
        """Return all nested models, at any depth."""
        models = [part for part in self.parts if not isinstance(part, Layer)]
        return [one for model in models for one in (model, *model.stack.all_models())]

    def all_stacks(self) -> list[PartStack]:
        """Return this stack and those of all models in it."""
        return [self, *(model.stack for model in self.all_models())]

    def add(self, who: str, part: Part) -> None:
        """Append a part, or raise and change nothing."""
        if isinstance(part, InputLayer):
            if self.parts or self.input is not None:
                raise ValueError(f"{who}: an Input must come first; the model has layers already.")
            self.input = part
            return
        if isinstance(part, Layer):
            part.check_computable()
        with noting() as undo:
            try:
                self._add(who, part)
            except BaseException:
                undo()
                raise

    def _add(self, who: str, part: Part) -> None:
        """Append a part; what it has built must be undone if it raises."""
        start = self.input
        if start is None and not self.parts:
            wanted = wanted_shape(part)
            start = None if wanted is None else InputLayer(wanted, dtype=part.dtype)
        before = self.output_row_shape if self.parts else (None if start is None else start.input_row_shape)
        if before is not None:
            part = whole(part, before)
            if not isinstance(part, Layer) and part.stack.composed:
                part.build((None, *before))
        added = layers_of(part)
        if not added and not is_deferred(part):
            raise ValueError(f"{who}: the model {part.name!r} has no layers yet; add it when it has.")
        self._check_names(who, [*self.parts, part])
        known = self.layers
        if known and added and added[0].dtype != known[0].dtype:
            raise ValueError(
                f"{who}: a model has one dtype; layer {part.name!r} is {added[0].dtype}, the others are {self.dtype}."
            )
        _check_mask_readers(who, [*known, *added])
        if isinstance(part, Layer):
            part.take_integers(None if start is None or self.parts else start.integer_dtype)
        if before is not None:
            build_part(who, part, before)
        self.input = start
        self.parts = [*self.parts, part]
        for layer in called_layers([part]):
            layer.called.belongs_to(self)
        self._nested |= not isinstance(part, Layer)
        if not self._trainable:
            part.trainable = False
        self.built = before is not None

    def _check_names(self, who: str, parts: list[Part]) -> None:
        """Raise unless all parts have names of their own. As in Keras, layers of nested models may share theirs."""
        taken: set[str] = set()
        for part in parts:
            if part.name in taken:
                raise ValueError(f"{who}: names must be unique; there is a layer {part.name!r} already.")
            taken.add(part.name)

    def take(self, who: str, start: InputLayer, parts: list[Any], symbols: list[KerasTensor]) -> None:
        """Take all parts at once, which symbolic tensors lie between; other threads see all of them or none."""
        made = Stack(self.kind, self.name)
        made.add(who, start)
        for part in parts:
            made.add(who, part)
        for layer in called_layers(parts):
            layer.called.belongs_to(self)
        for part in parts:
            if not self._trainable:
                part.trainable = False
        self.input, self._nested, self.built, self._symbols = start, made._nested, made.built, (made.parts, symbols)
        self.parts = made.parts

    def compose_by(self, composer: Callable[[OpenShape], None], held: Callable[[], list[Any]]) -> None:
        """Leave it to a function to add the parts, once the shape of rows is known.

        Parameters
        ----------
        composer : callable
            Called with the shape of a row.
        held : callable
            As for `list_by`.
        """
        self._composer, self._held = composer, held

    def list_by(self, held: Callable[[], list[Any]]) -> None:
        """List the parts, and their parameters, in the order in which a function returns layers and models."""
        self._held = held

    @property
    def composed(self) -> bool:
        """Whether the parts, or those in them, are known once the shape of rows is."""
        return self._composer is not None or (not self.built and any(is_deferred(part) for part in self.parts))

    @contextmanager
    def composing(self, row_shape: Any) -> Iterator[None]:
        """Add the parts, if a function does that and they are not there; remove them if the block raises.

        They stay if another thread has begun to use them.
        """
        made = self.compose(row_shape)
        try:
            yield
        except BaseException:
            if made:
                self.undo_build()
            raise

    def compose(self, row_shape: Any) -> bool:
        """Add the parts for a shape of rows, if a function does that and they are not there; return whether it did.

        A shape without sizes is that of no rows, which the caller finds out.
        """
        if not self.composed or not row_shape:
            return False
        with self.once.taken():
            if self.built or self._composes:
                self._used_by_others |= get_ident() != self._builder
                return False
            row_shape = check_open_shape(self.who(), row_shape)
            if self._composer is None:
                self._build((None, *row_shape))
                return True
            try:
                self._composes = True
                with self._noting():
                    self._composer(row_shape)
            finally:
                self._composes = False
            return True

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Note what the block builds, and undo it if the block raises."""
        self._used_by_others, self._builder = False, get_ident()
        with noting() as self._undo:
            self._undo.add(partial(self._put_back, self.input, self.parts))
            try:
                yield
            except BaseException:
                self._undo()
                raise

    def _put_back(self, start: InputLayer | None, parts: list[Part]) -> None:
        """Be as before the build, with that input and these parts."""
        self.input, self.built, self.parts = start, False, parts
        self._nested = any(not isinstance(part, Layer) for part in parts)

    def undo_build(self) -> None:
        """Undo the last `build` or `compose`: drop what it made, unless another thread has begun to use it."""
        with self.once.taken():
            if not self._used_by_others:
                self._undo()

    @property
    def listed(self) -> list[Part]:
        """The parts, in the order in which an owner that composes them holds them."""
        return self.parts if self._held is None else self._held()

    @property
    def listed_layers(self) -> list[Layer]:
        """Return all layers, in the order of `listed`, here and in nested models."""
        running = self.layers
        if self._held is None and not self._nested:
            return running
        found: list[Layer] = []
        for part in self.listed:
            for layer in leaves(part) if isinstance(part, Layer) else part.stack.listed_layers:
                if any(layer is one for one in running) and not any(layer is one for one in found):
                    found.append(layer)
        return [*found, *(layer for layer in running if not any(layer is one for one in found))]

    def pop(self, who: str) -> Part:
        """Remove the last part and return it."""
        if not self.parts:
            raise ValueError(f"{who}: the model must have a layer; it has none.")
        *self.parts, part = self.parts
        self._nested = any(not isinstance(other, Layer) for other in self.parts)
        self.built = self.built and bool(self.parts)
        whole: Part = shown([part])[0]
        return whole

    def keep_symbols(self, symbols: list[KerasTensor]) -> None:
        """Keep the symbolic tensors between the parts, with which they were called."""
        self._symbols = (self.parts, symbols)

    def symbols(self) -> list[KerasTensor]:
        """Return the symbolic tensors before, between and after the parts; for built models."""
        self.require_built("input")
        with self.once.taken():
            if self._symbols is None or self._symbols[0] is not self.parts:
                assert self.input is not None
                found = [self.input.symbol()]
                for part in self.parts:
                    shape = part.compute_output_shape(found[-1].shape)
                    output = output_of(part, (found[-1],), shape, self.dtype)
                    found.append(output)
                    for layer in called_layers([part]):
                        layer.called.note(output)
                self._symbols = (self.parts, found)
            return self._symbols[1]

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the symbolic tensors, which are made again, and what could be undone."""
        return self.__dict__ | {"_symbols": None, "_taken": None, "_undo": Undo()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for layer in called_layers(self.parts):
            layer.called.belongs_to(self)

    @property
    def trainable(self) -> bool:
        """Whether training changes parameters; assigning sets it for all parts."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = value
        for part in self.listed:
            part.trainable = value

    def remember_trainable(self, value: bool) -> None:
        """Set `trainable` of the model only: in a configuration each part has its own."""
        self._trainable = value

    # Shapes.

    @property
    def row_shape(self) -> OpenShape | None:
        """Shape of one row of input, None if it is not known yet; items of None are any size."""
        return None if self.input is None else self.input.input_row_shape

    @property
    def taken_shape(self) -> OpenShape | None:
        """Shape of the rows that are taken: `row_shape`, with None for sizes in which rows may differ from it."""
        shape = self.row_shape
        if shape is None or not self.parts or (len(shape) == 1 and self.vocabulary is None):
            return shape
        if any(stack.follows_attributes for stack in self.all_stacks()):  # a call may have read the sizes
            return shape
        layers, known = self.layers, self._taken
        state = [shape, *layers, *(layer.changes for layer in layers)]
        if known is None or known[0] != state:
            known = self._taken = (state, _opened(shape, layers))
        return known[1]

    @property
    def follows_attributes(self) -> bool:
        """Whether the layers were found by following a `call`, of a model or of a layer that holds layers."""
        return self._held is not None

    def takes(self, row_shape: OpenShape) -> bool:
        """Return whether the model takes rows of a shape, in which None is any size."""
        return fits(row_shape, self.taken_shape or ())

    @property
    def dtype(self) -> str:
        """The dtype of all layers."""
        return self.require_layers()[0].dtype

    @property
    def default_dtype(self) -> str:
        """The dtype of all layers, or `lamina.config.floatx` if there are none."""
        return self.dtype if self.layers else config.floatx()

    def require_layers(self) -> list[Layer]:
        """Return the layers; raise where there are none."""
        if not self.parts:
            raise ValueError(f"{self.who()}: the model must have at least one layer.")
        return self.layers

    def require_built(self, method: str) -> None:
        """Raise where the parameters have not been made."""
        if not self.built:
            raise NotBuiltError(
                f"{self.who(method)}: the model must be built; it has no parameters yet. Begin it with an Input, or "
                "call build() or fit()."
            )

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Return the output shape, batch first, for an input shape."""
        shape = batch_shape(self.who(), input_shape)
        for part in self.parts:
            shape = part.compute_output_shape(shape)
        return shape

    @property
    def output_row_shape(self) -> OpenShape | None:
        """Shape of one row of output, None before the model is built."""
        return self.parts[-1].output_shape[1:] if self.built else None

    def planned_output(self, row_shape: Shape) -> Shape:
        """Return the shape of an output row for input rows of shape `row_shape`; the model need not be built."""
        self.require_layers()
        if self.built and row_shape == self.row_shape:
            shape = self.parts[-1].output_shape
        else:
            shape = self.compute_output_shape((None, *row_shape))
        return row_of(shape)

    @property
    def vocabulary(self) -> int | None:
        """Number of rows of the embedding table whose row indices are the input; None for other input."""
        layers = self.layers
        return layers[0].vocabulary if layers else None

    def check_masks(self, who: str) -> None:
        """Raise if Keras would mask steps where that is not supported: in the loss and in some layers."""
        masked = False
        for layer in self.layers:
            if masked and isinstance(layer, (BatchNormalization, Softmax)):
                break
            masked = layer.passes_mask(masked)
        if masked:
            raise ValueError(
                f"{who}: mask_zero of the Embedding must be False, or a GlobalAveragePooling1D or Flatten follow it: "
                "neither losses nor BatchNormalization and Softmax read masks here."
            )

    # Parameters.

    @property
    def weights(self) -> list[Variable]:
        """All variables, layer by layer."""
        return [variable for layer in self.listed_layers for variable in layer.weights]

    @property
    def trainable_weights(self) -> list[Variable]:
        """The variables that training changes."""
        return [variable for layer in self.listed_layers for variable in layer.trainable_weights]

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The variables that training leaves alone."""
        return [variable for layer in self.listed_layers for variable in layer.non_trainable_weights]

    # Building.

    def build(self, input_shape: Any = None) -> None:
        """Make the parameters for a shape of input, batch first; or raise and change nothing."""
        with self.once.taken():
            self._build(input_shape)

    def _build(self, input_shape: Any) -> None:
        who = self.who("build")
        if self.built:
            self._used_by_others |= get_ident() != self._builder
            if input_shape is not None and not self.takes(check_open_shape(who, batch_shape(who, input_shape)[1:])):
                raise ValueError(f"{who}: the model was built for rows of shape {self.row_shape}; got {input_shape}.")
            return
        if self._composer is not None and input_shape is not None:
            self.compose(check_open_shape(who, batch_shape(who, input_shape)[1:]))
            return
        if not self.parts:
            raise ValueError(f"{who}: the model must have at least one layer.")
        if input_shape is None and self.input is not None:
            input_shape = (None, *(self.input.input_row_shape or ()))
        if input_shape is None:
            raise ValueError(f"{who}: input_shape must be given; got None. Or begin the model with an Input.")
        row_shape = check_open_shape(who, batch_shape(who, input_shape)[1:])
        shape: tuple[int | None, ...] = (None, *row_shape)
        parts: list[Part] = []
        with self._noting():
            for part in self.parts:
                before = check_open_shape(who, shape[1:])
                parts.append(whole(part, before))
                build_part(who, parts[-1], before)
                shape = parts[-1].compute_output_shape(shape)
            if any(not isinstance(part, Layer) for part in parts):  # whose layers may be known only now
                self._check_names(who, parts)
                _check_mask_readers(who, [layer for part in parts for layer in layers_of(part)])
                self.parts, self._nested = parts, any(not isinstance(part, Layer) for part in parts)
                for layer in called_layers(parts):
                    layer.called.belongs_to(self)
        if self.input is None:
            self.input = InputLayer(row_shape, dtype=self.dtype)
        self.built = True


def _opened(shape: OpenShape, layers: list[Layer]) -> OpenShape:
    """Return a shape with None for the sizes that do not matter to the layers."""
    opened = (None,) * len(shape) if layers[0].vocabulary is not None else (*(None,) * (len(shape) - 1), shape[-1])
    at: OpenShape = (None, *opened)
    for layer in layers:
        if None not in at[1:]:
            break
        if not layer.open_axes:
            return shape
        at = layer.compute_output_shape(at)
    return opened


def _check_mask_readers(who: str, layers: list[Layer]) -> None:
    """Raise if the `call` of a layer takes a mask and there is one, which it would not get."""
    masked = False
    for layer in layers:
        if masked and layer.by_call and "mask" in layer.call_parameters:
            raise ValueError(
                f"{who}: mask_zero of the Embedding must be False, or {layer.name!r} take no mask: a call in a model "
                "gets its input alone. A layer may compute the mask from indices that are its input."
            )
        masked = layer.passes_mask(masked)
