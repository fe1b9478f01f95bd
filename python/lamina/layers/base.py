"""Layer: what every layer is."""

from __future__ import annotations

import weakref
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lamina import _core, config, constraints, initializers, regularizers
from lamina._checks import NotBuiltError, flag
from lamina._names import snake_case, unique_name
from lamina.plan import ActivityStep, HostStep, Plan, Step, make_plan
from lamina.variables import Variable

__all__ = ["Layer", "Pass"]

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


# While a file is loaded: variable path → values, instead of what initializers would draw.
initial_values: ContextVar[dict[str, Array] | None] = ContextVar("initial_values", default=None)


class Pass(NamedTuple):
    """What `forward` of a layer written in Python leaves: the output, and whatever `backward` needs besides."""

    output: Array
    saved: Any = None


class Layer:
    """Base class of layers.

    Parameters
    ----------
    name : str, optional
        Unique in a model; made from the class name if omitted.
    trainable : bool
        Whether training changes its parameters.
    dtype : {"float32", "float64"}, optional
        Default: `lamina.config.floatx`. A model has one dtype.
    activity_regularizer : str, Regularizer or dict, optional
        A penalty on the output, divided by the rows of the batch, that the loss contains.
    input_shape : tuple of int, optional
        Shape of one row, without the batch; builds a model that begins with this layer.
    input_dim : int, optional
        The same for flat rows.
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        trainable: bool = True,
        dtype: str | None = None,
        activity_regularizer: Any = None,
        input_shape: tuple[int, ...] | None = None,
        input_dim: int | None = None,
        **unknown: Any,
    ) -> None:
        kind = type(self).__name__
        if unknown:
            raise TypeError(f"{kind}: unknown argument {sorted(unknown)[0]!r}.")
        if name is not None and not isinstance(name, str):
            raise TypeError(f"{kind}: name must be a str; got {type(name).__name__}.")
        self._name = name if name is not None else unique_name(snake_case(kind))
        self.trainable = flag(kind, "trainable", trainable)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        if self.activity_regularizer is not None and self.activity_regularizer.factors() is None:
            raise ValueError(f"{kind}: activity_regularizer must be one of lamina.regularizers: L1, L2 or L1L2.")
        self.dtype = config.check_float_type(kind, dtype) if dtype is not None else config.floatx()
        if input_dim is not None and input_shape is not None:
            raise ValueError(f"{kind}: give input_dim or input_shape, not both.")
        self.wanted_input_shape: Shape | None = None
        if input_dim is not None:
            self.wanted_input_shape = check_row_shape(kind, (input_dim,))
        elif input_shape is not None:
            self.wanted_input_shape = check_row_shape(kind, input_shape)
        self.built = False
        self.input_row_shape: Shape | None = None
        self._variables: list[Variable] = []
        self._block: _core.Parameters | None = None
        self._own_plan: Plan | None = None
        self.changes = 0  # of what is compiled into the plan and is neither a parameter nor an argument
        self._draws = 0  # calls of the layer by itself, as in training

    # What a subclass defines.

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the parameters for inputs of ``input_shape``, batch first (its size None)."""
        self.mark_built(input_shape)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the output shape, batch first, for an input shape."""
        return input_shape

    def steps(self) -> list[Step]:
        """Return what the layer is to the engine; one that defines `forward` and `backward` is computed by them."""
        shape = tuple(size for size in self.output_shape[1:] if size is not None)
        return [HostStep(self, shape, _Functions(self))]

    def all_steps(self) -> list[Step]:
        """Return `steps`, and the penalty on the output where there is one."""
        steps = self.steps()
        if self.activity_regularizer is None:
            return steps
        factors = self.activity_regularizer.factors()
        assert factors is not None
        return [*steps, ActivityStep(*factors)]

    def forward(self, x: Array, *, training: bool) -> Pass:
        """Return the output for a batch, and what `backward` needs.

        For layers written in Python. Parameters are read as ``variable.value``.

        Parameters
        ----------
        x : ndarray, shape (n, ...)
        training : bool
        """
        raise NotImplementedError(f"{type(self).__name__}: a layer defines forward and backward.")

    def backward(self, dy: Array, step: Pass, *, need_dx: bool) -> tuple[Array | None, list[Array]]:
        """Return the gradient with respect to the input, and those of the trainable parameters in their order.

        For layers written in Python.

        Parameters
        ----------
        dy : ndarray
            Gradient with respect to the output.
        step : Pass
            What `forward` returned.
        need_dx : bool
            Where False the first may be None.
        """
        raise NotImplementedError(f"{type(self).__name__}: a layer defines forward and backward.")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make the same layer, without its parameters' values."""
        settings: dict[str, Any] = {"name": self.name, "trainable": self.trainable, "dtype": self.dtype}
        if self.activity_regularizer is not None:
            settings["activity_regularizer"] = regularizers.serialize(self.activity_regularizer)
        if self.wanted_input_shape is not None:
            settings["input_shape"] = list(self.wanted_input_shape)
        return settings

    # What all layers share.

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        """Return a layer from `get_config`."""
        return cls(**config)

    @property
    def name(self) -> str:
        """Unique in a model; fixed, for parameters are stored under it."""
        return self._name

    def mark_built(self, input_shape: tuple[int | None, ...]) -> None:
        """Remember the input shape."""
        self.input_row_shape = check_row_shape(f"{type(self).__name__} {self.name!r}", tuple(input_shape)[1:])
        self.built = True

    def build_or_discard(self, input_shape: tuple[int | None, ...]) -> None:
        """Build; where that fails leave the layer as it was."""
        try:
            self.build(input_shape)
        except BaseException:
            self.discard_weights()
            raise

    def discard_weights(self) -> None:
        """Make the layer unbuilt again: what a failed build leaves behind is of no use."""
        self._variables = []
        self._block = self._own_plan = None
        self.input_row_shape = None
        self.built = False

    def add_weight(
        self,
        shape: Any = (),
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        name: str | None = None,
    ) -> Variable:
        """Make a parameter and return its variable.

        Its values come from the initializer, or from the file that is being loaded.

        Parameters
        ----------
        shape : tuple of int
        initializer : str, Initializer, callable or dict, optional
            Glorot uniform if omitted, as in Keras.
        dtype : optional
            The layer's, and no other.
        trainable : bool
        regularizer, constraint : optional
            Names, objects or configurations.
        name : str, optional
        """
        if isinstance(shape, (int, np.integer)):
            shape = (int(shape),)
        shape = tuple(int(size) for size in shape)
        name = name if name is not None else f"variable_{len(self._variables)}"
        if dtype is not None and config.check_float_type(name, dtype) != self.dtype:
            raise ValueError(f"{type(self).__name__} {self.name!r}: dtype of {name} must be the layer's, {self.dtype}.")
        initializer = initializers.get("glorot_uniform" if initializer is None else initializer)
        regularizer, constraint = regularizers.get(regularizer), constraints.get(constraint)
        if self._block is not None:
            raise RuntimeError(f"{type(self).__name__} {self.name!r}: add_weight must be called in build.")
        path = f"{self.name}/{name}"
        stored = initial_values.get()
        if stored is None:
            value = initializer(shape, self.dtype)
            source = f"the initializer of {name} must return"
        else:
            value = stored[path]
            source = f"{name} in the file must have"
            if value.dtype != self.dtype:
                raise ValueError(f"{path!r} in the file must be {self.dtype}; it is {value.dtype}")
        array = np.require(value, np.dtype(self.dtype), ["C_CONTIGUOUS", "ALIGNED", "WRITEABLE", "OWNDATA"])
        if array.shape != shape:
            raise ValueError(f"{type(self).__name__} {self.name!r}: {source} shape {shape}; got {array.shape}.")
        variable = Variable(array, name, path, trainable)
        variable.owner = self
        variable.regularizer, variable.constraint = regularizer, constraint
        if constraint is not None:
            constraint.projection(len(shape))  # raises where it does not fit
        self._variables.append(variable)
        return variable

    # Where the input is numbers of rows of a table: how many rows it has.
    vocabulary: int | None = None

    # A dense kernel and its bias lie in panels; other parameters one after the other.
    _dense_block = False

    def block(self) -> _core.Parameters:
        """Return the engine's memory for the parameters; they are moved there on the first call."""
        if self._block is None:
            shapes = [(v.shape[0], v.shape[1]) if v.ndim == 2 else (1, v.size) for v in self._variables]
            block = _core.Parameters(self.dtype, self._dense_block, shapes)
            for tensor, variable in enumerate(self._variables):
                variable.bind(block, tensor)
            self._block = block
        return self._block

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """Output shape, batch first; for built layers."""
        return self.compute_output_shape((None, *self._built_input()))

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Input shape, batch first; for built layers."""
        return (None, *self._built_input())

    def _built_input(self) -> Shape:
        if self.input_row_shape is None:
            raise NotBuiltError(
                f"{type(self).__name__} {self.name!r}: the layer must be built; it has not seen an input shape. "
                "Give input_shape, or call the model's build() or fit()."
            )
        return self.input_row_shape

    @property
    def weights(self) -> list[Variable]:
        """All variables, in Keras's order; empty before the layer is built."""
        return list(self._variables)

    @property
    def variables(self) -> list[Variable]:
        """The same as `weights`."""
        return self.weights

    @property
    def trainable_weights(self) -> list[Variable]:
        """Variables that training changes."""
        return [v for v in self._variables if v.trainable] if self.trainable else []

    @property
    def trainable_variables(self) -> list[Variable]:
        """The same as `trainable_weights`."""
        return self.trainable_weights

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """Variables that training leaves alone."""
        return [v for v in self._variables if not (self.trainable and v.trainable)]

    def count_params(self) -> int:
        """Return the number of parameters; for built layers."""
        self._built_input()
        return sum(variable.size for variable in self._variables)

    def get_weights(self) -> list[Array]:
        """Return copies of the parameters, in Keras's order."""
        self._built_input()
        return [variable.numpy() for variable in self._variables]

    def set_weights(self, weights: list[npt.ArrayLike]) -> None:
        """Write the parameters, all or none.

        Parameters
        ----------
        weights : list of array_like
            Of the number, order and shapes of `get_weights`.

        Raises
        ------
        ValueError
            Number or shapes differ. Nothing is written then.
        """
        self._built_input()
        assign_all(f"{type(self).__name__} {self.name!r}", self._variables, weights)

    def __call__(self, x: npt.ArrayLike, training: bool = False) -> Array:
        """Return the output for a batch ``(n, ...)``; builds the layer on first use."""
        from lamina._arrays import batch_array, float_array, index_array

        who = f"{type(self).__name__} {self.name!r}"
        if self.vocabulary is not None:
            batch = index_array(who, "x", x, self.input_row_shape, self.vocabulary)
        else:
            batch = float_array(who, "x", batch_array(who, "x", x, self.input_row_shape), self.dtype)
        if not self.built:
            self.build_or_discard((None, *batch.shape[1:]))
        if self._own_plan is None:
            self._own_plan = make_plan([self], self._built_input(), self.dtype)
        return self._own_plan.network.predict(batch, None, self._next_draw() if training else None).reshape(
            len(batch), *self._own_plan.output_shape
        )

    def _next_draw(self) -> int:
        self._draws += 1
        return self._draws

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_own_plan": None}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


class _Functions:
    """A layer's `forward` and `backward` as the engine calls them: for flat rows, the last pass remembered."""

    def __init__(self, layer: Layer) -> None:
        self._layer = weakref.ref(layer)  # which the engine keeps alive no longer than the model does
        self.last: Pass | None = None

    def _alive(self) -> Layer:
        layer = self._layer()
        assert layer is not None
        return layer

    def forward(self, x: Array, training: bool) -> Array:
        layer = self._alive()
        step = layer.forward(x.reshape(-1, *layer._built_input()), training=training)
        if training:
            self.last = step
        return np.asarray(step.output)

    def backward(self, dy: Array, need_dx: bool) -> tuple[Array | None, list[Array | None]]:
        assert self.last is not None
        layer, dy = self._alive(), dy.reshape(np.shape(self.last.output))
        dx, gradients = layer.backward(dy, self.last, need_dx=need_dx)
        trained = layer.trainable_weights
        if len(gradients) != len(trained):
            raise ValueError(
                f"{type(layer).__name__} {layer.name!r}: backward must return {len(trained)} gradients, one a "
                f"trainable parameter; got {len(gradients)}."
            )
        found = {id(variable): gradient for variable, gradient in zip(trained, gradients, strict=True)}
        return dx, [found.get(id(variable)) for variable in layer.weights]


def check_row_shape(who: str, shape: Any) -> Shape:
    """Return the shape of one row as a tuple of positive ints, or raise."""
    if isinstance(shape, (int, np.integer)):
        shape = (shape,)
    try:
        sizes = tuple(shape)
    except TypeError:
        raise TypeError(f"{who}: input shape must be a tuple of ints; got {shape!r}.") from None
    if not sizes or any(
        isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1 for size in sizes
    ):
        raise ValueError(f"{who}: input shape must hold positive ints, without the batch; got {tuple(sizes)}.")
    return tuple(int(size) for size in sizes)


def assign_all(who: str, variables: list[Variable], weights: list[npt.ArrayLike]) -> None:
    """Write arrays into variables after all of them were checked."""
    if len(weights) != len(variables):
        raise ValueError(f"{who}: set_weights needs {len(variables)} arrays; got {len(weights)}.")
    arrays = [np.asarray(weight) for weight in weights]
    for variable, array in zip(variables, arrays, strict=True):
        if array.shape != variable.shape:
            raise ValueError(
                f"{who}: weight {variable.path!r} must have shape {variable.shape}; got {array.shape}. Nothing was set."
            )
        if array.dtype.kind not in "biuf":
            raise TypeError(
                f"{who}: weight {variable.path!r} must be real numbers; got dtype {array.dtype}. Nothing was set."
            )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
