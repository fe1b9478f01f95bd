"""BuiltLayer: what a layer is besides its arithmetic: a name, a dtype, a shape of rows, and parameters for them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core, config, constraints, initializers, regularizers
from lamina._common.checks import NotBuiltError, flag, sizes, store_arrays, stored_arrays, text
from lamina._common.locks import Once
from lamina._common.names import redefines, snake_case, unique, unique_name
from lamina._common.undo import undoable
from lamina._data.arrays import converted
from lamina._engine.ops import OpenShape
from lamina._engine.variable import Variable, check_aggregation
from lamina._engine.variables import assign_all, one_moment
from lamina.layers.alone import Alone
from lamina.layers.mode import runs
from lamina.layers.parameters import ParameterSet
from lamina.layers.settings import Setting
from lamina.layers.shapes import batch_shape, check_open_shape, check_row_shape
from lamina.layers.stored import Stored
from lamina.layers.symbols import Operation

__all__ = ["BuiltLayer"]

Array = npt.NDArray[Any]


def _marking(build: Callable[..., Any]) -> Callable[..., Any]:
    """Return a subclass's `build` that remembers the shape, if it is called by the user and does not do so itself."""

    @wraps(build)
    def marking(self: BuiltLayer, *values: Any, **named: Any) -> Any:
        result = build(self, *values, **named)
        shape = values[0] if values else named.get("input_shape")
        if shape is not None and self.input_row_shape is None and not self._building:
            self.mark_built(shape)
        return result

    return marking


def _of_several(shape: Any) -> bool:
    """Return whether a shape is that of a number, or several shapes."""
    if isinstance(shape, dict):
        return True
    return isinstance(shape, (list, tuple)) and (
        not shape or any(isinstance(one, (list, tuple, dict)) for one in shape)
    )


class BuiltLayer(Operation):
    """Base class of `Layer`: name, dtype, building and parameters; arguments as there.

    Attributes
    ----------
    once : Once
        Lock for everything that is made on first use.
    stored : Stored or None
        Where the parameters come from while the layer is loaded.
    input_row_shape : tuple of int or None
        Shape of the rows that the layer was built for; None before. An item of None stands for any size.
    """

    def __init_subclass__(cls, **named: Any) -> None:
        """Let the `build` of a user's class count also where it is called directly."""
        super().__init_subclass__(**named)
        if "build" in vars(cls) and not cls.__module__.startswith("lamina."):
            cls.build = _marking(cls.build)  # type: ignore[method-assign]  # it takes and returns the same

    def __init__(self, trainable: bool, dtype: Any, name: str | None) -> None:
        kind = type(self).__name__
        if name is not None:
            name = text(kind, "name", name)
        self._name = name if name is not None else unique_name(snake_case(kind))
        self.trainable = trainable
        self._dtype = config.check_float_type(kind, dtype) if dtype is not None else config.floatx()
        self.once = Once()
        self._built = False
        self._building = False
        self.stored: Stored | None = None
        self.input_row_shape: OpenShape | None = None
        self.called_row_shape: OpenShape | None = None  # of the last direct call of a layer that has nothing to build
        self._parameters = ParameterSet()
        self._alone = Alone()
        self._built_parts: list[BuiltLayer] = []  # arguments that were built together with the layer
        self.scope = ""  # before the name in the paths of parameters: the layer that it is an argument of
        self._activity_loss: float | None = None
        self.added_losses: list[float] = []  # what the last `call` has added to the loss

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the output shape, batch first, for an input shape; defined by `Layer`."""
        raise NotImplementedError(f"{type(self).__name__} has no output.")

    def _parts(self) -> list[Any]:
        """Return the layers in it: those that are its arguments, and those that its `call` calls."""
        return []

    def check_parts(self) -> None:
        """Raise if a layer that is an argument has parameters already, those of another layer."""
        for part in self._parts():
            if part.own_weights and not any(part is one for one in self._built_parts):
                raise ValueError(
                    f"{self._who()}: {part.name!r} has parameters, and can be an argument of one layer only; give each "
                    "layer one of its own."
                )

    def build_parts(self, input_shape: tuple[int | None, ...]) -> None:
        """Build the layers that are arguments, for input of a shape.

        Raises
        ------
        ValueError
            One of them has parameters already, those of another layer.
        """
        self.check_parts()
        for part in self._parts():
            if not part.placed:
                part.stored, part.dtype, part.scope = self.stored, self.dtype, f"{self.scope}{self.name}/"
                try:
                    part.build_or_discard(input_shape)
                finally:
                    part.stored = None
                self._built_parts = [*self._built_parts, part]

    trainable = Setting(flag)

    def _who(self) -> str:
        """Return how messages about the layer begin: its class and name."""
        return f"{type(self).__name__} {self.name!r}"

    @property
    def defines_build(self) -> bool:
        """Whether the class defines `build`, to make parameters when the shape of the input is known."""
        return type(self).build is not BuiltLayer.build

    @property
    def built(self) -> bool:
        """Whether the parameters exist, or the layer has none to make."""
        return self._built or not self.defines_build

    @built.setter
    def built(self, value: bool) -> None:
        self._built = bool(value)

    @property
    def placed(self) -> bool:
        """Whether the shape of input rows is known and the layer is not just being built."""
        return self.input_row_shape is not None and not self._building

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the parameters for inputs of ``input_shape``, batch first (its size None)."""
        self.mark_built(input_shape)

    @property
    def dtype(self) -> str:
        """The dtype in which the layer computes; may be assigned before the layer is built."""
        return self._dtype

    @dtype.setter
    def dtype(self, value: Any) -> None:
        who = self._who()
        if self.placed or self._parameters.variables:
            raise ValueError(f"{who}: dtype must be set before the layer is built; it is {self._dtype}.")
        self._dtype = config.check_float_type(who, value)

    @property
    def name(self) -> str:
        """Unique among the layers of a model; cannot be assigned, because parameters are stored under it."""
        return self._name

    def mark_built(self, input_shape: tuple[int | None, ...]) -> None:
        """Remember the input shape."""
        who = self._who()
        if _of_several(input_shape):  # what is called with several arrays, or with a number
            self.built = True
            return
        if self._parameters.variables and self.placed and not redefines(type(self), "build", "ops"):
            raise ValueError(f"{who}: build must be called once; it was, for rows of shape {self.input_row_shape}.")
        whole = batch_shape(who, input_shape)
        row_shape = whole[1:] if len(whole) > 1 or whole[0] is None else whole  # (4,) is one of rows of 4 numbers
        if self.open_axes:
            self.input_row_shape = check_open_shape(who, row_shape, self.open_last)
        elif None in row_shape:
            raise ValueError(f"{who}: rows must have one shape; got {row_shape}, where None is any size.")
        else:
            self.input_row_shape = check_row_shape(who, row_shape)
        self.built = True

    def build_once(self, shapes: dict[str, Any]) -> None:
        """Build the layer for a first direct call, whatever it is called with, unless it is built.

        Parameters
        ----------
        shapes : dict of str to tuple
            The arguments of `build`.
        """
        with self.once.taken():
            if self.built:
                return
            if len(shapes) == 1:
                self.build_or_discard(next(iter(shapes.values())))
                return
            known = self._parameters.variables
            try:
                self.build(**shapes)
            except BaseException:
                self._parameters.keep(known)
                raise
            self.built = True

    def build_or_discard(self, input_shape: tuple[int | None, ...]) -> bool:
        """Build the layer unless another thread has built it meanwhile; if building fails, leave it unchanged.

        Returns
        -------
        bool
            False if the layer was already built, for such rows.
        """
        with self.once.taken():
            if self.placed:
                self.check_row(self._who(), tuple(input_shape)[1:])
                return False
            if self._building:
                raise RuntimeError(
                    f"{self._who()}: the layer must be built before it is used; it is being "
                    "built by what this call interrupts, or is called by."
                )
            try:
                self._building = True
                keeps = self._build_or_discard(input_shape)
            finally:
                self._building = False
            undoable(partial(self.unplace, keeps))
            return True

    @property
    def open_axes(self) -> bool:
        """Whether rows of one layer may differ in all sizes but the last: what it computes depends on that alone."""
        return False

    # Whether they may differ in the last size, too.
    open_last = False

    def takes_row(self, row_shape: OpenShape) -> bool:
        """Return whether the layer, which is built, takes rows of a shape."""
        built = self.input_row_shape
        if built is None or not self.open_axes or len(built) != len(row_shape):
            return built == row_shape
        return self.open_last or built[-1] == row_shape[-1]

    def check_row(self, who: str, row_shape: tuple[int | None, ...]) -> None:
        """Raise unless the layer takes rows of a shape."""
        if not self.takes_row(row_shape):
            raise ValueError(
                f"{who}: layer {self.name!r} must take rows of shape {self.input_row_shape}, for which it was built; "
                f"those before it are {row_shape}."
            )

    def check_input_shape(self, input_shape: tuple[int | None, ...]) -> None:
        """Raise unless the layer, which is built, takes input of a shape for other reasons than its own shape."""

    def _build_or_discard(self, input_shape: tuple[int | None, ...]) -> bool:
        known = self._parameters.variables
        keeps = bool(known)
        try:
            if keeps and self._built:  # they were made before the shape of the rows was known
                self.mark_built(input_shape)
            else:
                self.build(input_shape)
            if self.input_row_shape is None:  # a subclass that only says `self.built = True`
                self.mark_built(input_shape)
            self.check_input_shape(input_shape)
        except BaseException:
            self.unplace(keeps)
            self._parameters.keep(known)
            raise
        return keeps

    def unplace(self, keeps: bool) -> None:
        """Drop the input shape, and the parameters unless they existed before the layer was built (`keeps`)."""
        if keeps:
            self.input_row_shape = None
            self._alone.forget_network()
        else:
            self.discard_weights()

    def discard_weights(self) -> None:
        """Make the layer unbuilt again and drop its parameters, as after a failed build."""
        for part in self._built_parts:
            part.discard_weights()
        self._built_parts = []
        self._parameters = ParameterSet()
        self._alone.forget_network()
        self.input_row_shape = None
        self.built = False

    def add_weight(
        self,
        shape: Any = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        aggregation: str = "none",
        overwrite_with_gradient: bool = False,
        name: str | None = None,
    ) -> Variable:
        """Make a parameter and return its variable.

        Its values come from the initializer, or from the file that is being loaded.

        Parameters
        ----------
        shape : tuple of int, optional
            Default: (), a single number.
        initializer : str, Initializer, callable or dict, optional
            Default: Glorot uniform, as in Keras; zeros for integers.
        dtype : optional
            The layer's dtype, or one of integers or bool, which are not trained; another one raises.
        trainable : bool
        autocast, aggregation
            Accepted as in Keras, where they choose how variables are stored and shared.
        regularizer, constraint : optional
            Names, objects or configurations.
        overwrite_with_gradient : False
            Another value raises.
        name : str, optional
        """
        who = f"{self._who()}: add_weight"
        if flag(who, "overwrite_with_gradient", overwrite_with_gradient):
            raise ValueError(f"{who}: overwrite_with_gradient must be False.")
        shape = () if shape is None else sizes(who, "shape", shape)
        name = text(who, "name", name) if name is not None else f"variable_{len(self._parameters.variables)}"
        trainable = flag(who, "trainable", trainable)
        flag(who, "autocast", autocast)
        check_aggregation(who, aggregation)
        dtype = config.any_dtype(who, dtype) or self.dtype
        if dtype == "bfloat16" or (np.dtype(dtype).kind == "f" and dtype != self.dtype):
            raise ValueError(f"{who}: dtype of {name} must be the layer's, {self.dtype}, or one of integers.")
        integers = np.dtype(dtype).kind != "f"
        otherwise = "zeros" if integers else "glorot_uniform"
        initializer = initializers.argument(who, "initializer", otherwise if initializer is None else initializer)
        regularizer = regularizers.argument(who, "regularizer", regularizer)
        constraint = constraints.argument(who, "constraint", constraint)
        if runs(self.once):
            raise ValueError(f"{who} must be called in __init__ or build: a call cannot add new elements of state.")
        if self._parameters.moved:
            raise RuntimeError(f"{who} must be called in build.")
        path = unique(f"{self.scope}{self.name}/{name}", {variable.path for variable in self._parameters.variables})
        if self.stored is None or not self.stored.knows(path):
            with _core.DefaultMode():  # the caller's floating-point mode may round differently
                value = initializer(shape, dtype)
            source = f"the initializer of {name} must return"
        else:
            value = self.stored.take(path, dtype)
            source = f"{path} in the file must have"
        array = converted(value, dtype, ("C_CONTIGUOUS", "ALIGNED", "WRITEABLE", "OWNDATA"))
        if array.shape != shape:
            raise ValueError(f"{who}: {source} shape {shape}; got {array.shape}.")
        variable = Variable.holding(array, name, path, trainable and not integers)
        variable.regularizer, variable.constraint = regularizer, constraint
        if constraint is not None:
            constraint.engine_projection(len(shape))  # raises if the constraint does not fit the rank
        self._parameters.add(variable, self)
        return variable

    def add_variable(
        self,
        shape: Any,
        initializer: Any,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        name: str | None = None,
    ) -> Variable:
        """Make a parameter and return its variable, as `add_weight`."""
        return self.add_weight(shape, initializer, dtype, trainable, autocast, regularizer, constraint, name=name)

    def adopt(self, variables: list[Variable]) -> None:
        """Make variables that belong to nobody parameters of the layer, as assigning them to an attribute does."""
        for variable in variables:
            if variable.owner is not None or variable.block is not None:
                continue
            if any(variable is known for known in self._parameters.variables):
                continue
            who = f"{self._who()}: variable {variable.name!r}"
            if variable.is_float and variable.dtype not in ("float32", "float64"):
                raise ValueError(f"{who} must have the layer's dtype, {self.dtype}; it has {variable.dtype}.")
            if self._parameters.moved:
                raise RuntimeError(f"{who} must be assigned before the layer is used.")
            variable.trainable &= variable.is_float
            if variable.is_float and variable.dtype != self.dtype:  # NumPy's arrays are float64 unasked
                variable.convert(self.dtype)
            own = {other.path for other in self._parameters.variables}
            variable.path = unique(f"{self.scope}{self.name}/{variable.name}", own)
            self._parameters.add(variable, self)

    # Whether the parameters are a dense kernel and its bias, stored in panels; others are stored one after the other.
    _dense_block = False

    def block(self) -> _core.Parameters:
        """Return the engine's memory for the parameters; they are moved there on the first call."""
        return self._parameters.block(self.once, self.dtype, self._dense_block)

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """Output shape, batch first; for built layers."""
        return self.compute_output_shape((None, *self._built_input()))

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Input shape, batch first; for built layers."""
        return (None, *self._built_input())

    def _require_variables(self) -> None:
        if not self.built:
            self._built_input()

    @property
    def _seen_row(self) -> OpenShape | None:
        """The shape of the rows that the layer was built for, or else called with last."""
        return self.called_row_shape if self.input_row_shape is None else self.input_row_shape

    def _built_input(self) -> Any:
        """Return the shape of input rows: ints, but where `open_axes` lets it hold None."""
        if self._seen_row is None:
            raise NotBuiltError(
                f"{self._who()}: the layer must be built; it has not seen an input shape. "
                "Give input_shape, or call the model's build() or fit()."
            )
        return self._seen_row

    @property
    def own_weights(self) -> list[Variable]:
        """The variables that `add_weight` made, without those of layers in it."""
        return list(self._parameters.variables)

    @property
    def engine_weights(self) -> list[Variable]:
        """Those of the `own_weights` with which the engine computes, which are not of integers."""
        return self._parameters.in_engine

    @property
    def weights(self) -> list[Variable]:
        """All variables, in Keras's order; empty before the layer is built."""
        own, parts = list(self._parameters.variables), self._parts()
        return [*own, *(v for part in parts for v in part.weights)] if parts else own

    @property
    def variables(self) -> list[Variable]:
        """The same as `weights`."""
        return self.weights

    @property
    def trainable_weights(self) -> list[Variable]:
        """Variables that training changes."""
        own = [v for v in self._parameters.variables if v.trainable] if self.trainable else []
        parts = self._parts()
        return [*own, *(v for part in parts for v in part.trainable_weights)] if parts else own

    @property
    def trainable_variables(self) -> list[Variable]:
        """The same as `trainable_weights`."""
        return self.trainable_weights

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """Variables that training leaves alone."""
        own = [v for v in self._parameters.variables if not (self.trainable and v.trainable)]
        return [*own, *(v for part in self._parts() for v in part.non_trainable_weights)]

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """The same as `non_trainable_weights`."""
        return self.non_trainable_weights

    @property
    def losses(self) -> list[Any]:
        """Penalties of the regularizers of parameters and of the last call's activity, also those of layers in it."""
        regularized = [
            v for v in self._parameters.variables if v.regularizer is not None and v.trainable and self.trainable
        ]
        found = [v.regularizer(v.value) for v in regularized if v.regularizer is not None]
        found += self.added_losses if self._activity_loss is None else [*self.added_losses, self._activity_loss]
        return [*found, *(loss for part in self._parts() for loss in part.losses)]

    @property
    def compute_dtype(self) -> str:
        """The layer's dtype."""
        return self.dtype

    @property
    def variable_dtype(self) -> str:
        """The layer's dtype."""
        return self.dtype

    @property
    def input_dtype(self) -> str:
        """The layer's dtype, to which input is converted."""
        return self.dtype

    @property
    def path(self) -> str:
        """The layer's name, after that of the layer that it is an argument of."""
        return f"{self.scope}{self.name}"

    def get_build_config(self) -> dict[str, Any] | None:
        """Return the argument of `build_from_config` that makes the parameters; None before the layer is built."""
        return None if self._seen_row is None else {"input_shape": [None, *self._seen_row]}

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Make the parameters for the shape in `get_build_config`."""
        if config and not self.placed:
            self.build_or_discard(tuple(config["input_shape"]))

    def save_own_variables(self, store: dict[str, Any]) -> None:
        """Put the parameters into a mapping, as ``"0"``, ``"1"``, … in their order."""
        who = f"{self._who()}: save_own_variables"
        store_arrays(who, store, [variable.numpy() for variable in self._parameters.variables])

    def load_own_variables(self, store: dict[str, Any]) -> None:
        """Take the parameters from a mapping that `save_own_variables` filled."""
        who = f"{self._who()}: load_own_variables"
        own = self._parameters.variables
        assign_all(who, own, stored_arrays(who, store, len(own)))

    def count_params(self) -> int:
        """Return the number of parameters; for built layers."""
        self._require_variables()
        return sum(variable.size for variable in self.weights)

    def get_weights(self) -> list[Array]:
        """Return copies of the parameters, in Keras's order; there are none before the layer is built."""
        with one_moment(variables := self.weights):
            return [variable.numpy() for variable in variables]

    def set_weights(self, weights: list[npt.ArrayLike]) -> None:
        """Write the parameters, all or none.

        Parameters
        ----------
        weights : list of array_like
            In number, order and shapes as `get_weights` returns them.

        Raises
        ------
        ValueError
            Number or shapes differ. Nothing is written then.
        """
        self._require_variables()
        assign_all(self._who(), self.weights, weights)

    def __copy__(self) -> Any:
        copied = type(self).__new__(type(self))
        vars(copied).update(self.__getstate__())
        copied._parameters, copied._alone = copy.copy(self._parameters), Alone()
        copied._alone.draws = self._alone.draws
        if not self._parameters.variables:
            copied.once = Once()
        return copied

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_building": False, "stored": None}
