"""Sequential: a model that is a stack of layers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from typing import Any

import numpy.typing as npt

from lamina import random
from lamina._checks import NotBuiltError, flag
from lamina._names import serialize, unique_name
from lamina.layers import InputLayer, Layer, deserialize
from lamina.layers.base import Shape, assign_all, check_row_shape
from lamina.saving.summary import format_summary
from lamina.training import Trainer
from lamina.variables import Variable

__all__ = ["Sequential", "clone_model", "load_model", "model_from_json"]

Array = npt.NDArray[Any]


class Sequential(Trainer):
    """A stack of layers, each taking the output of the one before.

    Parameters
    ----------
    layers : iterable of Layer, optional
        More can be added with `add`. Where the first gives an input shape, or is an `Input`, parameters are
        made at once; otherwise when data are first seen, or by `build`.
    name : str, optional

    Attributes
    ----------
    layers : list of Layer
        Without the `Input`.
    built : bool
        Whether parameters exist.

    Examples
    --------
    >>> import numpy as np
    >>> import lamina
    >>> lamina.utils.set_random_seed(0)
    >>> model = Sequential([lamina.layers.Dense(8, activation="tanh"), lamina.layers.Dense(1, activation="sigmoid")])
    >>> model.compile(optimizer=lamina.optimizers.SGD(0.5, momentum=0.9), loss="binary_crossentropy")
    >>> x, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    >>> history = model.fit(x, y, epochs=300, batch_size=4, verbose=0)
    >>> model.predict(x).round()[:, 0]
    array([0., 1., 1., 0.], dtype=float32)
    """

    def __init__(self, layers: Iterable[Layer] | None = None, name: str | None = None) -> None:
        super().__init__()
        self.name = name if name is not None else unique_name("sequential")
        self.seed = random.global_seeds.next_seed()
        self.layers = []
        self._input: InputLayer | None = None
        self._trainable = True
        self.built = False
        for layer in layers or []:
            self.add(layer)

    # Composition.

    def add(self, layer: Layer) -> None:
        """Append a layer.

        Raises
        ------
        TypeError
            Not a layer.
        ValueError
            Its name is taken, its dtype is not the model's, its input shape is not the output shape before it, or
            it is an `Input` in the middle. The model stays as it was.
        """
        who = f"{type(self).__name__} {self.name!r}: add"
        if not isinstance(layer, Layer):
            raise TypeError(f"{who}: layer must be a lamina.layers.Layer; got {type(layer).__name__}.")
        if isinstance(layer, InputLayer):
            if self.layers or self._input is not None:
                raise ValueError(f"{who}: an Input must come first; the model has layers already.")
            self._input = layer
            return
        if any(layer.name == other.name for other in self.layers):
            raise ValueError(f"{who}: names must be unique; there is a layer {layer.name!r} already.")
        if self.layers and layer.dtype != self.layers[0].dtype:
            raise ValueError(
                f"{who}: a model has one dtype; layer {layer.name!r} is {layer.dtype}, the others are "
                f"{self.layers[0].dtype}."
            )
        start = self._input
        if start is None and not self.layers:
            shape = layer.input_row_shape if layer.built else layer.wanted_input_shape
            start = None if shape is None else InputLayer(shape, dtype=layer.dtype)
        if start is not None and start.integer_dtype is None and start.dtype != layer.dtype:
            raise ValueError(
                f"{who}: a model has one dtype; layer {layer.name!r} is {layer.dtype}, the Input {start.dtype}."
            )
        before = self._output_row_shape() if self.layers else (None if start is None else start.input_row_shape)
        if before is not None:
            _build_for(who, layer, before)
        self._input = start
        self.layers.append(layer)
        self.built = before is not None
        self._metric_uses = None

    def pop(self) -> Layer:
        """Remove the last layer and return it."""
        if not self.layers:
            raise ValueError(f"{type(self).__name__} {self.name!r}: pop: the model has no layers.")
        self._metric_uses = None
        layer = self.layers.pop()
        self.built = self.built and bool(self.layers)
        return layer

    def _output_row_shape(self) -> Shape | None:
        return tuple(size for size in self.layers[-1].output_shape[1:] if size is not None) if self.built else None

    def build(self, input_shape: Any = None) -> None:
        """Make the parameters.

        Parameters
        ----------
        input_shape : tuple
            Batch first, its size None, as ``(None, 784)``.

        Raises
        ------
        ValueError
            No shape, a wrong one, or the model has no layers.
        """
        who = f"{type(self).__name__} {self.name!r}: build"
        if self.built:
            return
        if not self.layers:
            raise ValueError(f"{who}: the model must have at least one layer.")
        if input_shape is None:
            raise ValueError(f"{who}: input_shape must be given; got None. Or begin the model with an Input.")
        row_shape = check_row_shape(who, tuple(input_shape)[1:])
        new = [layer for layer in self.layers if not layer.built]
        shape: tuple[int | None, ...] = (None, *row_shape)
        try:
            for layer in self.layers:
                _build_for(who, layer, check_row_shape(who, shape[1:]))
                shape = layer.compute_output_shape(shape)
        except BaseException:
            for layer in new:
                layer.discard_weights()
            raise
        self._input = InputLayer(row_shape, dtype=self.compute_dtype)
        self.built = True

    # What training needs to know.

    @property
    def row_shape(self) -> Shape | None:
        """Shape of one row of input, or None before it is known."""
        return None if self._input is None else self._input.input_row_shape

    @property
    def compute_dtype(self) -> str:
        """The model's dtype."""
        if not self.layers:
            raise ValueError(f"{type(self).__name__} {self.name!r}: the model must have at least one layer.")
        return self.layers[0].dtype

    @property
    def dtype(self) -> str:
        """The model's dtype."""
        return self.compute_dtype

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Input shape, batch first; for built models."""
        self._require_built("input_shape")
        return (None, *(self.row_shape or ()))

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """Output shape, batch first; for built models."""
        self._require_built("output_shape")
        return self.layers[-1].output_shape

    @property
    def trainable(self) -> bool:
        """Whether training changes parameters; assigning sets it for all layers."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = flag(f"{type(self).__name__} {self.name!r}", "trainable", value)
        for layer in self.layers:
            layer.trainable = self._trainable

    def planned_units(self, row_shape: Shape) -> int:
        """Return the number of columns of the output for rows of that shape, built or not."""
        if not self.layers:
            raise ValueError(f"{type(self).__name__} {self.name!r}: the model must have at least one layer.")
        shape: tuple[int | None, ...] = (None, *row_shape)
        for layer in self.layers:
            shape = layer.compute_output_shape(shape)
        if len(shape) != 2 or shape[1] is None:
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: a loss needs an output of shape (n, units); the last layer "
                f"gives {shape}. Put a Flatten before it."
            )
        return shape[1]

    def _require_built(self, method: str) -> None:
        if not self.built:
            raise NotBuiltError(
                f"{type(self).__name__} {self.name!r}: {method}: the model must be built; it has no parameters yet. "
                "Begin it with an Input, or call build() or fit()."
            )

    # Parameters.

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return a layer by name or index."""
        who = f"{type(self).__name__} {self.name!r}: get_layer"
        if (name is None) == (index is None):
            raise ValueError(f"{who}: give name or index.")
        if index is not None:
            if not -len(self.layers) <= index < len(self.layers):
                raise ValueError(f"{who}: index must be below {len(self.layers)}; got {index}.")
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(f"{who}: name must be one of {[layer.name for layer in self.layers]}; got {name!r}.")

    @property
    def weights(self) -> list[Variable]:
        """All variables, layer by layer; empty before the model is built."""
        return [variable for layer in self.layers for variable in layer.weights]

    @property
    def variables(self) -> list[Variable]:
        """The same as `weights`."""
        return self.weights

    @property
    def trainable_weights(self) -> list[Variable]:
        """Variables that training changes."""
        return [variable for layer in self.layers for variable in layer.trainable_weights]

    @property
    def trainable_variables(self) -> list[Variable]:
        """The same as `trainable_weights`."""
        return self.trainable_weights

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """Variables that training leaves alone."""
        return [variable for layer in self.layers for variable in layer.non_trainable_weights]

    def count_params(self) -> int:
        """Return the number of parameters; for built models."""
        self._require_built("count_params")
        return sum(variable.size for variable in self.weights)

    def get_weights(self) -> list[Array]:
        """Return copies of all parameters, in Keras's order; for built models."""
        self._require_built("get_weights")
        return [variable.numpy() for variable in self.weights]

    def set_weights(self, weights: list[npt.ArrayLike]) -> None:
        """Write all parameters, or none where one does not fit.

        Parameters
        ----------
        weights : list of array_like
            Of the number, order and shapes of `get_weights`.

        Raises
        ------
        ValueError
            Number or shapes differ, or the model is not built.
        """
        self._require_built("set_weights")
        assign_all(f"{type(self).__name__} {self.name!r}", self.weights, weights)

    def summary(
        self,
        line_length: int | None = None,
        positions: None = None,
        print_fn: Callable[[str], Any] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: None = None,
    ) -> None:
        """Print layers, output shapes and numbers of parameters.

        Parameters
        ----------
        line_length : int, optional
            Width of the table; 88 if omitted, less in a narrow terminal.
        positions, layer_range : None
            Not supported yet; another value raises.
        print_fn : callable, optional
            Called with the text instead of `print`.
        expand_nested : bool
            Accepted as in Keras; there are no nested models.
        show_trainable : bool
            Add a column that says which layers train.
        """
        for name, value in (("positions", positions), ("layer_range", layer_range)):
            if value is not None:
                raise ValueError(f"{type(self).__name__} {self.name!r}: summary: {name} is not supported yet.")
        if line_length is None:
            line_length = min(88, shutil.get_terminal_size().columns - 4)
        (print_fn or print)(format_summary(self, line_length, show_trainable))

    # Saving.

    def get_config(self) -> dict[str, Any]:
        """Return what makes the same model, without parameters' values."""
        return {
            "name": self.name,
            "seed": self.seed,
            "input_shape": None if self.row_shape is None else list(self.row_shape),
            "trainable": self.trainable,
            "layers": [serialize(layer) for layer in self.layers],
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Sequential:
        """Return a model from `get_config`."""
        layers = [deserialize(layer) for layer in config["layers"]]
        model = cls(name=config.get("name"))
        model.seed = int(config.get("seed", model.seed))
        if config.get("input_shape") is not None and layers:
            model.add(InputLayer(tuple(config["input_shape"]), dtype=layers[0].dtype))
        for layer in layers:
            model.add(layer)
        model._trainable = bool(config.get("trainable", True))
        return model

    def save(self, filepath: Any, overwrite: bool = True) -> None:
        """Write the model into one file: architecture, parameters, and how it was compiled, with its state.

        Parameters
        ----------
        filepath : str or Path
            Ends in ``.safetensors``. Keras's suffixes raise, for they promise Keras's format.
        overwrite : bool
            False raises where the file exists.

        Raises
        ------
        ValueError
            The suffix, an existing file, or the model is not built.
        """
        from lamina.saving.native import save_model

        save_model(self, filepath, overwrite)

    def save_weights(self, filepath: Any, overwrite: bool = True) -> None:
        """Write the parameters into a file.

        Parameters
        ----------
        filepath : str or Path
            Ends in ``.safetensors``.
        overwrite : bool
            False raises where the file exists.
        """
        from lamina.saving.native import save_weights

        self._require_built("save_weights")
        save_weights(self, filepath, overwrite)

    def load_weights(self, filepath: Any) -> None:
        """Read parameters that `save_weights` or `save` wrote, in the order of the layers; all or none.

        Parameters
        ----------
        filepath : str or Path
            Ends in ``.safetensors``.

        Raises
        ------
        FileNotFoundError, ValueError
            There is no such file, it is damaged, or its parameters have other shapes.
        """
        from lamina.saving.native import load_weights

        self._require_built("load_weights")
        load_weights(self, filepath)

    def to_json(self, **settings: Any) -> str:
        """Return `get_config` as JSON; `model_from_json` makes the model again.

        Parameters
        ----------
        **settings
            Passed on to `json.dumps`.
        """
        return json.dumps(serialize(self), **settings)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


def _build_for(who: str, layer: Layer, row_shape: Shape) -> None:
    """Build a layer for rows of a shape; where it is built already, make sure that it is for these."""
    if not layer.built:
        layer.build_or_discard((None, *row_shape))
    elif layer.input_row_shape != row_shape:
        raise ValueError(
            f"{who}: layer {layer.name!r} must take rows of shape {layer.input_row_shape}, for which it was built; "
            f"those before it are {row_shape}."
        )


def model_from_json(json_string: str) -> Sequential:
    """Return a model from `Sequential.to_json`, its parameters drawn anew."""
    found = json.loads(json_string)
    if not isinstance(found, dict) or found.get("class_name") != "Sequential":
        raise ValueError("model_from_json: the text must be that of a Sequential's to_json.")
    return Sequential.from_config(found["config"])


def clone_model(model: Sequential) -> Sequential:
    """Return a model of the same layers, its parameters drawn anew.

    Parameters
    ----------
    model : Sequential
    """
    if not isinstance(model, Sequential):
        raise TypeError(f"clone_model: model must be a Sequential; got {type(model).__name__}.")
    config = model.get_config()
    copy = Sequential.from_config(config)
    copy.seed = random.global_seeds.next_seed()
    return copy


def load_model(filepath: Any, compile: bool = True) -> Sequential:
    """Return the model that `Sequential.save` wrote.

    Reading a file executes nothing.

    Parameters
    ----------
    filepath : str or Path
        Ends in ``.safetensors``.
    compile : bool
        Whether to restore optimizer (state included), loss and metrics too.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The suffix, or the file is damaged or not lamina's.
    """
    from lamina.saving.native import load_model as load

    return load(filepath, compile)
