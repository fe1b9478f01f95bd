"""Model: what all models have besides training: layers, parameters, files, copies."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, cast

import numpy.typing as npt

from lamina._common.checks import KindError, arguments, flag, function, integer, mapping, text
from lamina._common.custom import custom_object_scope
from lamina._common.names import Former, snake_case, unique_name, unknown_argument
from lamina._common.objects import serialize
from lamina._common.output import say
from lamina._common.parameters import parameters_of
from lamina._common.recorded import accepted_settings, recorded_config
from lamina._engine.ops import OpenShape
from lamina._engine.variable import Variable
from lamina._engine.variables import assign_all, one_moment
from lamina.callbacks.model import TrainedModel
from lamina.layers import InputLayer, Layer
from lamina.layers.composition import check_nothing_lost, follow, held, mode_noted
from lamina.layers.mode import mode_of_caller
from lamina.layers.stored import loading
from lamina.layers.symbols import KerasTensor, Operation, holds_symbols, one_symbol, output_of
from lamina.models import graph
from lamina.models.parts import Part, shown
from lamina.models.storing import StoredModel
from lamina.models.summary import format_summary

__all__ = ["Model"]

Array = npt.NDArray[Any]

# Methods that Keras calls in training and lamina does not.
_NOT_CALLED = frozenset(
    {
        "call", "compute_loss", "compute_mask", "compute_metrics", "make_predict_function", "make_test_function",
        "make_train_function", "predict_step", "stateless_compute_loss", "test_function", "test_step", "train_function",
        "train_step",
    }
)  # fmt: skip


def _would_not_be_called(kind: type, method: str) -> KindError:
    return KindError(
        f"{kind.__name__}: {method} would not be called: epochs run in C++. Write a loop of your own with "
        "train_on_batch, or a Layer, a Loss or a Metric."
    )


def _following(build: Callable[..., Any]) -> Callable[..., Any]:
    """Return a subclass's `build` that follows its `call` afterwards, if it is called by the user."""

    @wraps(build)
    def following(self: Model, *values: Any, **named: Any) -> Any:
        result = build(self, *values, **named)
        shape = values[0] if values else named.get("input_shape")
        if shape is not None and self.by_call:
            self.stack.compose(tuple(shape)[1:])
        return result

    return following


class Model(StoredModel):
    """A model of layers between two symbolic tensors; the base class of all models.

    The layers must form a chain, each taking the output of the one before. A subclass may define a `call` instead that
    calls layers which are its attributes, one after the other; it is followed once, when the shape of rows is known.

    Parameters
    ----------
    inputs : KerasTensor, or list of one
        What an `Input` returned, or a layer of another model.
    outputs : KerasTensor, or list of one
        What a chain of calls of layers and models returned that begins with `inputs`. The model shares the layers with
        all others that have them: training one trains all.
    name : str, optional
    trainable : bool

    Examples
    --------
    >>> from lamina import layers
    >>> inputs = layers.Input((784,))
    >>> hidden = layers.Dense(32, activation="relu")(inputs)
    >>> autoencoder = Model(inputs, layers.Dense(784)(hidden))
    >>> encoder = Model(autoencoder.input, autoencoder.layers[1].output)
    >>> encoder.output_shape
    (None, 32)
    """

    def __init_subclass__(cls, **named: Any) -> None:
        """Let a direct call of the `build` of a user's class build the model."""
        super().__init_subclass__(**named)
        if "build" in vars(cls) and not cls.__module__.startswith("lamina."):
            cls.build = _following(cls.build)  # type: ignore[method-assign]  # it takes and returns the same

    # The class of the models that `Model(inputs, outputs)` makes.
    functional: type[Model] | None = None

    def __new__(cls, *values: Any, **named: Any) -> Any:
        """Return a new model, for ``Model(inputs, outputs)`` a `Functional` one."""
        kind = cls.functional if cls is Model and cls.functional is not None else cls
        return super().__new__(kind, *values, **named)

    def __init__(
        self,
        inputs: Any = None,
        outputs: Any = None,
        name: str | None = None,
        trainable: bool = True,
        **unknown: Any,
    ) -> None:
        if unknown:
            raise unknown_argument(type(self).__name__, sorted(unknown)[0])
        self._begin(name, takes_call=inputs is None and outputs is None)
        who = self.stack.who()
        if self.by_call:
            self.stack.compose_by(self._compose_by_call, partial(held, self))
        elif inputs is None or outputs is None:
            raise ValueError(
                f"{who}: inputs and outputs must be given, an Input and what a chain of layers returns for it. Or "
                "define call, or write Sequential([layer, layer])."
            )
        else:
            self._compose(graph.chain(who, inputs, outputs))
        if not flag(who, "trainable", trainable):
            self.trainable = False

    def _begin(self, name: str | None, takes_call: bool = False) -> None:
        """Check the class, and make an empty model; `takes_call`: whether the class may define its call."""
        for method in _NOT_CALLED:
            if hasattr(type(self), method) and not (takes_call and method == "call"):
                raise _would_not_be_called(type(self), method)
        for attribute in ("trainable_variables", "trainable_weights"):
            if getattr(type(self), attribute) is not getattr(Model, attribute):
                raise KindError(
                    f"{type(self).__name__}: {attribute} would not be read: what trains is said by `trainable` of "
                    "layers and variables."
                )
        kind = type(self).__name__
        name = text(kind, "name", name) if name is not None else unique_name(snake_case(kind))
        super().__init__(kind, name)

    @property
    def by_call(self) -> bool:
        """Whether the model is written as a `call` of the layers that it holds."""
        return hasattr(type(self), "call")

    def _compose_by_call(self, row_shape: OpenShape) -> None:
        """Take the layers that `call` calls."""
        who, written = self.stack.who("call"), cast(Any, self)
        check_nothing_lost(who, self)
        if not held(self) and type(self).build is not Model.build:  # which makes the layers
            self.build((None, *row_shape))
        symbol = InputLayer(row_shape).symbol()
        self._compose(graph.chain(who, symbol, follow(who, written.call, symbol)))

    def _compose(self, chain: graph.Chain) -> None:
        """Take the layers of a chain."""
        self.stack.take(self.stack.who(), chain.start, chain.parts, chain.symbols)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _NOT_CALLED:
            raise _would_not_be_called(type(self), name)
        before = vars(self).get(name)
        if isinstance(before, Operation) and before is not value and self.by_call and self.built:
            raise KindError(
                f"{self.stack.who()}: {name} must stay the layer that the model was built with; make another model."
            )
        super().__setattr__(name, value)

    # Composition.

    @property
    def name(self) -> str:
        """The model's name; may be assigned."""
        return self.stack.name

    @name.setter
    def name(self, value: str) -> None:
        self.stack.name = text(type(self).__name__, "name", value)

    @property
    def layers(self) -> list[Part]:
        """The layers and nested models, the layer of the `Input` first; without functions that were called between."""
        return [part for part in self.operations if part.made_of is None]

    @property
    def operations(self) -> list[Part]:
        """The `layers`, and those of the functions and operators of symbolic tensors between them."""
        if self.stack.composed:
            return self.stack.listed
        return [] if self.stack.input is None else [self.stack.input, *shown(self.stack.parts)]

    @property
    def flat_layers(self) -> list[Layer]:
        """The layers; nested models are replaced by their layers."""
        return list(self.stack.layers)

    @property
    def built(self) -> bool:
        """Whether parameters exist."""
        return self.stack.built

    @built.setter
    def built(self, value: bool) -> None:
        if not (value and self.by_call and not self.stack.parts):  # said in a user's `build`: `call` is followed later
            self.stack.built = bool(value)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the output shape, batch first, for an input shape."""
        return self.stack.compute_output_shape(input_shape)

    @property
    def compute_dtype(self) -> str:
        """The model's dtype."""
        return self.stack.dtype

    @property
    def dtype(self) -> str:
        """The model's dtype."""
        return self.stack.dtype

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Input shape, batch first; for built models."""
        self.stack.require_built("input_shape")
        return (None, *(self.stack.row_shape or ()))

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """Output shape, batch first; for built models."""
        self.stack.require_built("output_shape")
        return self.stack.parts[-1].output_shape

    @property
    def trainable(self) -> bool:
        """Whether training changes parameters; assigning sets it for all layers."""
        return self.stack.trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self.stack.trainable = flag(self.stack.who(), "trainable", value)

    @property
    def input(self) -> Any:
        """The symbolic tensor that stands for the input; for built models."""
        return self.stack.symbols()[0]

    @property
    def output(self) -> Any:
        """The symbolic tensor that stands for the output; for built models."""
        return self.stack.symbols()[-1]

    @property
    def inputs(self) -> list[KerasTensor]:
        """A list of the `input`."""
        return [self.input]

    @property
    def outputs(self) -> list[KerasTensor]:
        """A list of the `output`."""
        return [self.output]

    def __call__(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the output for one batch, as Keras's ``model(x)``.

        With `training`, noise is added, and batches are normalized by their own moments, which update the running
        means; nothing is trained. For a symbolic tensor the output is one, too: the model becomes a layer of another.
        """
        if isinstance(inputs, KerasTensor) or holds_symbols(inputs):
            return self._called_with(inputs, training)
        if training is None and self.by_call and mode_of_caller() is None:
            written: Any = self
            named = parameters_of(written.call).get("training")
            training = named.default if named is not None and isinstance(named.default, bool) else None
        return super().__call__(inputs, training)

    add_loss = Former("layers add losses in their call")

    # Whether all layers run as in training, or not, in training and in predictions alike.
    fixed_training: bool | None = None

    def fix_training(self, training: bool) -> None:
        """Run all layers as in training, or not, in training and in predictions alike."""
        layers = [layer for layer in self.stack.layers if not layer.by_own_call]  # whose own call says it
        for layer in layers:
            layer.check_training(training)
        for layer in layers:
            layer.fix_training(training)
        for one in {id(one): one for one in (self, *shown([self]))}.values():
            one.fixed_training = training

    def _called_with(self, x: Any, training: bool | None) -> KerasTensor:
        who = self.stack.who("call")
        x = one_symbol(who, x)
        if not mode_noted(self, training) and training is not None:
            self.fix_training(training)
        self.build(x.shape)
        return output_of(self, (x,), self.compute_output_shape(x.shape), self.stack.dtype)

    # Parameters.

    def get_layer(self, name: str | None = None, index: int | None = None) -> Part:
        """Return a layer by name or index."""
        who = self.stack.who("get_layer")
        if (name is None) == (index is None):
            raise ValueError(f"{who}: give name or index.")
        if index is not None:
            return self.layers[integer(who, "index", index, -len(self.layers), len(self.layers) - 1)]
        name = text(who, "name", name)
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(f"{who}: name must be one of {[layer.name for layer in self.layers]}; got {name!r}.")

    @property
    def weights(self) -> list[Variable]:
        """All variables, layer by layer; empty before the model is built."""
        return self.stack.weights

    @property
    def variables(self) -> list[Variable]:
        """The same as `weights`."""
        return self.weights

    @property
    def trainable_weights(self) -> list[Variable]:
        """Variables that training changes."""
        return self.stack.trainable_weights

    @property
    def trainable_variables(self) -> list[Variable]:
        """The same as `trainable_weights`."""
        return self.trainable_weights

    @property
    def losses(self) -> list[Any]:
        """Penalties of the regularizers on parameters."""
        return [penalty for layer in self.stack.layers for penalty in layer.losses]

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """The same as `non_trainable_weights`."""
        return self.non_trainable_weights

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """Variables that training leaves alone."""
        return self.stack.non_trainable_weights

    def count_params(self) -> int:
        """Return the number of parameters; for built models."""
        self.stack.require_built("count_params")
        return sum(variable.size for variable in self.weights)

    def get_weights(self) -> list[Array]:
        """Return copies of all parameters, in Keras's order; for built models."""
        self.stack.require_built("get_weights")
        with one_moment(variables := self.weights):
            return [variable.numpy() for variable in variables]

    def set_weights(self, weights: list[npt.ArrayLike]) -> None:
        """Write all parameters, or none where one does not fit.

        Parameters
        ----------
        weights : list of array_like
            In number, order and shapes as `get_weights` returns them.

        Raises
        ------
        ValueError
            Number or shapes differ, or the model is not built.
        """
        self.stack.require_built("set_weights")
        assign_all(self.stack.who(), self.weights, weights)

    def summary(
        self,
        line_length: int | None = None,
        positions: Any = None,
        print_fn: Callable[[str], Any] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Any = None,
    ) -> None:
        """Print layers, output shapes and numbers of parameters.

        Parameters
        ----------
        line_length : int, optional
            Width of the table; 88 if omitted, 100 with `show_trainable`, less in a narrow terminal.
        positions : sequence of float, optional
            Right edges of the columns as shares of the width.
        print_fn : callable, optional
            Called with the text instead of `print`.
        expand_nested : bool
            Show the layers of models that are layers, too.
        show_trainable : bool
            Add a column that says which layers train.
        layer_range : sequence of two str, optional
            Names, or regular expressions, of the first and the last layer to show.
        """
        who = self.stack.who("summary")
        wide = flag(who, "show_trainable", show_trainable)
        if line_length is None:
            import shutil  # here: `import lamina` need not load it

            line_length = min(100 if wide else 88, shutil.get_terminal_size().columns - 4)
        show = say if print_fn is None else function(who, "print_fn", print_fn)
        optimizer = self.optimizer if self.compiled else None
        show(
            format_summary(
                self.stack,
                self.operations,
                optimizer,
                line_length,
                positions,
                expand_nested,
                show_trainable,
                layer_range,
            )
        )

    # Saving.

    def get_config(self) -> dict[str, Any]:
        """Return the configuration that makes the same model, without parameters' values, in Keras's form.

        That of a subclass with a `call` are the arguments of the constructor; that of one with another constructor,
        too, if they are plain numbers, text, and lists, tuples and dicts of these.

        Raises
        ------
        NotImplementedError
            The arguments of a subclass with a `call` are not plain; such a subclass defines it, and adds them to the
            name, and whether the model trains, which it gets here.
        """
        settings = {"name": self.name, "trainable": self.trainable}
        kind = type(self)
        if self.by_call and isinstance(self.recorded, str) and kind.get_config is not Model.get_config:
            return accepted_settings(kind, settings)  # the class adds its arguments
        if self.by_call or (kind.__init__ is not Model.__init__ and isinstance(self.recorded, dict)):
            return recorded_config(self.stack.who("get_config"), kind, self.recorded, settings)
        return settings | graph.chain_config(self.stack)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Model:
        """Return a model from `get_config`, lamina's or Keras's.

        Parameters
        ----------
        config : dict
        custom_objects : dict, optional
            Name → class or function, for user-defined ones.
        """
        who = f"{cls.__name__}.from_config"
        stored = loading.get()
        stored = stored if stored is not None and stored.belongs_to(config) else None
        config = mapping(who, "config", config)
        if hasattr(cls, "call") or (cls.__init__ is not Model.__init__ and "input_layers" not in config):
            parameters = inspect.signature(cls).parameters
            if "dtype" not in parameters:  # Keras writes it for every model
                config.pop("dtype", None)
            trains = config.get("trainable", True)
            if not any(one.kind is one.VAR_KEYWORD for one in parameters.values()) and "trainable" not in parameters:
                config.pop("trainable", None)
            with custom_object_scope(custom_objects):
                made: Model = cls(**arguments(cls, config))
            if trains is False:
                made.trainable = False
            return made
        if not {"name", "layers", "input_layers", "output_layers"} <= set(config):
            raise ValueError(f"{who}: config must hold 'name', 'layers', 'input_layers' and 'output_layers'.")
        trainable = flag(who, "trainable", config.get("trainable", True))
        with custom_object_scope(custom_objects):
            chain = graph.chain_from_config(who, config, stored)
        model: Model = cls(chain.symbols[0], chain.symbols[-1], name=config["name"])
        model.stack.remember_trainable(trainable)
        return model

    def to_json(self, **settings: Any) -> str:
        """Return `get_config` as JSON; `model_from_json` makes the model again.

        Parameters
        ----------
        **settings
            Passed on to `json.dumps`.
        """
        config = serialize(self)
        try:
            return json.dumps(config, **settings)
        except (TypeError, ValueError) as error:
            raise KindError(f"{self.stack.who('to_json')}: settings must be those of json.dumps; {error}.") from None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


def _as_callbacks_see_it(model: Model) -> TrainedModel:
    return model  # type checkers verify here that a model has all that callbacks use
