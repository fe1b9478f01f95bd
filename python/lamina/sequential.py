"""Sequential: a model that is a stack of layers."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any

import numpy.typing as npt

from lamina import config, random
from lamina import layers as layers_module
from lamina._checks import KindError, NotBuiltError, flag, function, integer, listed, mapping, only_none, text
from lamina._names import look_up, serialize, snake_case, unique_name
from lamina._registration import custom_object_scope
from lamina.layers import BatchNormalization, Embedding, Flatten, InputLayer, Layer, Reshape
from lamina.layers.base import Shape, assign_all, batch_shape, check_row_shape, loading
from lamina.saving.summary import format_summary
from lamina.training import Trainer
from lamina.variables import Variable, one_moment

__all__ = ["Part", "Sequential", "deserialize_part"]

Array = npt.NDArray[Any]


# What Keras calls in training and lamina would not.
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


class Sequential(Trainer):
    """A stack of layers, each taking the output of the one before.

    Parameters
    ----------
    layers : iterable of Layer or Sequential, optional
        More can be added with `add`. Where the first gives an input shape, or is an `Input`, parameters are
        made at once; otherwise when data are first seen, or by `build`. A `Sequential` among them shares its layers:
        training either trains both.
    trainable : bool
    name : str, optional

    Attributes
    ----------
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

    def __init__(self, layers: Iterable[Part] | None = None, trainable: bool = True, name: str | None = None) -> None:
        super().__init__()
        for method in _NOT_CALLED:
            if hasattr(type(self), method):
                raise _would_not_be_called(type(self), method)
        for attribute in ("trainable_variables", "trainable_weights"):
            if getattr(type(self), attribute) is not getattr(Sequential, attribute):
                raise KindError(
                    f"{type(self).__name__}: {attribute} would not be read: what trains is said by `trainable` of "
                    "layers and variables."
                )
        kind = type(self).__name__
        self.name = text(kind, "name", name) if name is not None else unique_name(snake_case(kind))
        self.seed = random.global_seeds.next_seed()
        self._parts: list[Part] = []
        # Of the last `build`: the layers that it built, and whether they kept parameters; the models, and their inputs.
        self._before_build: tuple[list[tuple[Layer, bool]], list[tuple[Sequential, Any]]] = ([], [])
        self._building = False
        self._nested = False  # whether there are models among the parts
        self._input: InputLayer | None = None
        self._trainable = True
        self.built = False
        for layer in [] if layers is None else listed(kind, "layers", layers):
            self.add(layer, rebuild=False)
        self._call_own_build()
        if not flag(f"{type(self).__name__} {self.name!r}", "trainable", trainable):
            self.trainable = False

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _NOT_CALLED:
            raise _would_not_be_called(type(self), name)
        super().__setattr__(name, value)

    # Composition.

    @property
    def layers(self) -> list[Part]:
        """The layers, and models that are layers of this one, without the `Input`."""
        return list(self._parts)

    @property
    def flat_layers(self) -> list[Layer]:
        """The layers, with those of models among them in their place."""
        if not self._nested:
            return self._parts  # type: ignore[return-value]  # there are only layers
        return [
            layer for part in self._parts for layer in (part.flat_layers if isinstance(part, Sequential) else [part])
        ]

    def all_models(self) -> list[Sequential]:
        """Return the model, and all models in it."""
        return [self, *(one for part in self._parts if isinstance(part, Sequential) for one in part.all_models())]

    def add(self, layer: Part, rebuild: bool = True) -> None:
        """Append a layer, or a model as a layer.

        Parameters
        ----------
        layer : Layer or Sequential
        rebuild : bool
            Whether a subclass's own `build` is called where the input's shape is known. Layers are built anyway.

        Raises
        ------
        TypeError
            Neither a layer nor a model.
        ValueError
            Its name is taken, its dtype is not the model's, its input shape is not the output shape before it, or
            it is an `Input` in the middle. The model stays as it was.
        """
        who = self._who("add")
        rebuild = flag(who, "rebuild", rebuild)
        if not isinstance(layer, (Layer, Sequential)):
            raise KindError(f"{who}: layer must be a lamina.layers.Layer; got {type(layer).__name__}.")
        with self._fitting.if_free(in_use := self._in_use(who)), self._running.if_free(in_use), self.once:
            self._add(who, layer)
        if rebuild:
            self._call_own_build()

    def _call_own_build(self) -> None:
        """Call a subclass's `build` once the layers are built, which they are as they come."""
        if self.built and type(self).build is not Sequential.build:
            self.build(self.input_shape)

    def _add(self, who: str, layer: Part) -> None:
        if isinstance(layer, InputLayer):
            if self._parts or self._input is not None:
                raise ValueError(f"{who}: an Input must come first; the model has layers already.")
            self._input = layer
            return
        if isinstance(layer, Layer):
            layer.check_computable()
        added = layer.flat_layers if isinstance(layer, Sequential) else [layer]
        if not added:
            raise ValueError(f"{who}: the model {layer.name!r} has no layers yet; add it when it has.")
        taken = {other.name for other in self.flat_layers} | {part.name for part in self._parts}
        for name in (layer.name, *(new.name for new in added)):
            if name in taken:
                raise ValueError(f"{who}: names must be unique; there is a layer {name!r} already.")
        if self._parts and layer.dtype != self.dtype:
            raise ValueError(
                f"{who}: a model has one dtype; layer {layer.name!r} is {layer.dtype}, the others are {self.dtype}."
            )
        start = self._input
        if start is None and not self._parts:
            shape = layer.input_row_shape if layer.placed else layer.wanted_input_shape
            start = None if shape is None else InputLayer(shape, dtype=layer.dtype)
        before = self._output_row_shape() if self._parts else (None if start is None else start.input_row_shape)
        if before is not None:
            _build_for(who, layer, before, [])
        self._input = start
        self._parts.append(layer)
        self._nested |= isinstance(layer, Sequential)
        if not self._trainable:
            layer.trainable = False
        self.built = before is not None
        self._metric_uses = None

    def pop(self, rebuild: bool = True) -> Part:
        """Remove the last layer and return it; `rebuild` is accepted as in Keras."""
        in_use = self._in_use(self._who("pop"))
        with self._fitting.if_free(in_use), self._running.if_free(in_use), self.once:
            if not self._parts:
                raise ValueError(f"{self._who('pop')}: the model must have a layer; it has none.")
            self._metric_uses = None
            *parts, layer = self._parts
            self._nested = any(isinstance(part, Sequential) for part in parts)
            self._parts = parts
            self.built = self.built and bool(parts)
            return layer

    # What makes a model a layer of another one.

    @property
    def input_row_shape(self) -> Shape | None:
        """The same as `row_shape`."""
        return self.row_shape

    @property
    def placed(self) -> bool:
        """The same as `built`."""
        return self.built

    @property
    def wanted_input_shape(self) -> Shape | None:
        """The shape of one row of input, where the model says it before it is built."""
        return self.row_shape

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the output shape, batch first, for an input shape."""
        shape = batch_shape(f"{type(self).__name__} {self.name!r}", input_shape)
        for layer in self._parts:
            shape = layer.compute_output_shape(shape)
        return shape

    def build_or_discard(self, input_shape: tuple[int | None, ...]) -> None:
        """Build; where that fails leave the model as it was."""
        self.build(input_shape)

    def _output_row_shape(self) -> Shape | None:
        return tuple(size for size in self._parts[-1].output_shape[1:] if size is not None) if self.built else None

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
        with self.once:
            self._build(input_shape)

    def _build(self, input_shape: Any) -> None:
        who = f"{type(self).__name__} {self.name!r}: build"
        if self.built:
            if input_shape is not None and check_row_shape(who, batch_shape(who, input_shape)[1:]) != self.row_shape:
                raise ValueError(f"{who}: the model was built for rows of shape {self.row_shape}; got {input_shape}.")
            return
        if not self._parts:
            raise ValueError(f"{who}: the model must have at least one layer.")
        if input_shape is None and self._input is not None:
            input_shape = (None, *(self._input.input_row_shape or ()))
        if input_shape is None:
            raise ValueError(f"{who}: input_shape must be given; got None. Or begin the model with an Input.")
        row_shape = check_row_shape(who, batch_shape(who, input_shape)[1:])
        if self._building:
            raise RuntimeError(
                f"{who}: the model must be built before it is used; it is being built by what this call interrupts, or "
                "is called by."
            )
        leaves: list[tuple[Layer, bool]] = []
        self._before_build = (leaves, [(model, model._input) for model in self.all_models() if not model.built])
        shape: tuple[int | None, ...] = (None, *row_shape)
        try:
            self._building = True
            for layer in self._parts:
                _build_for(who, layer, check_row_shape(who, shape[1:]), leaves)
                shape = layer.compute_output_shape(shape)
        except BaseException:
            self.undo_build()
            raise
        finally:
            self._building = False
        if self._input is None:
            self._input = InputLayer(row_shape, dtype=self.compute_dtype)
        self.built = True

    def undo_build(self) -> None:
        """Make the model as it was before the last `build`: without the parameters that were made then."""
        leaves, models = self._before_build
        for leaf, keeps in leaves:
            leaf.unplace(keeps)
        for model, start in models:
            model._input, model.built = start, False
        self._before_build = ([], [])

    # What training needs to know.

    @property
    def row_shape(self) -> Shape | None:
        """Shape of one row of input, or None before it is known."""
        return None if self._input is None else self._input.input_row_shape

    @property
    def compute_dtype(self) -> str:
        """The model's dtype."""
        if not self._parts:
            raise ValueError(f"{type(self).__name__} {self.name!r}: the model must have at least one layer.")
        return self._parts[0].dtype

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
        return self._parts[-1].output_shape

    @property
    def trainable(self) -> bool:
        """Whether training changes parameters; assigning sets it for all layers."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = flag(f"{type(self).__name__} {self.name!r}", "trainable", value)
        for part in self._parts:
            part.trainable = self._trainable

    def planned_output(self, row_shape: Shape) -> Shape:
        """Return the shape of one row of output for rows of that shape, built or not."""
        if not self._parts:
            raise ValueError(f"{type(self).__name__} {self.name!r}: the model must have at least one layer.")
        if self.built and row_shape == self.row_shape:
            shape = self._parts[-1].output_shape
        else:
            shape = self.compute_output_shape((None, *row_shape))
        return tuple(size for size in shape[1:] if size is not None)

    def check_masks(self, who: str) -> None:
        """Raise where Keras would mask steps: in the loss, or in a normalization by the batch."""
        masked = False
        for layer in self.flat_layers:
            if isinstance(layer, Embedding):
                masked = layer.mask_zero
            elif isinstance(layer, (Flatten, Reshape)):
                masked = False
            elif isinstance(layer, BatchNormalization) and masked:
                break
        if masked:
            raise ValueError(
                f"{who}: mask_zero of the Embedding must be False, or a Flatten follow it: neither losses nor "
                "BatchNormalization read masks here."
            )

    def _require_built(self, method: str) -> None:
        if not self.built:
            raise NotBuiltError(
                f"{type(self).__name__} {self.name!r}: {method}: the model must be built; it has no parameters yet. "
                "Begin it with an Input, or call build() or fit()."
            )

    # Parameters.

    def get_layer(self, name: str | None = None, index: int | None = None) -> Part:
        """Return a layer by name or index."""
        who = f"{type(self).__name__} {self.name!r}: get_layer"
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
        return [variable for layer in self.flat_layers for variable in layer.weights]

    @property
    def variables(self) -> list[Variable]:
        """The same as `weights`."""
        return self.weights

    @property
    def trainable_weights(self) -> list[Variable]:
        """Variables that training changes."""
        return [variable for layer in self.flat_layers for variable in layer.trainable_weights]

    @property
    def trainable_variables(self) -> list[Variable]:
        """The same as `trainable_weights`."""
        return self.trainable_weights

    @property
    def losses(self) -> list[float]:
        """Penalties of the regularizers on parameters."""
        return [penalty for layer in self.flat_layers for penalty in layer.losses]

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """The same as `non_trainable_weights`."""
        return self.non_trainable_weights

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """Variables that training leaves alone."""
        return [variable for layer in self.flat_layers for variable in layer.non_trainable_weights]

    def count_params(self) -> int:
        """Return the number of parameters; for built models."""
        self._require_built("count_params")
        return sum(variable.size for variable in self.weights)

    def get_weights(self) -> list[Array]:
        """Return copies of all parameters, in Keras's order; for built models."""
        self._require_built("get_weights")
        with one_moment(variables := self.weights):
            return [variable.numpy() for variable in variables]

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
        who = f"{type(self).__name__} {self.name!r}: summary"
        wide = flag(who, "show_trainable", show_trainable)
        if line_length is None:
            line_length = min(100 if wide else 88, shutil.get_terminal_size().columns - 4)
        show = print if print_fn is None else function(who, "print_fn", print_fn)
        show(format_summary(self, line_length, positions, expand_nested, show_trainable, layer_range))

    # Saving.

    def get_config(self) -> dict[str, Any]:
        """Return what makes the same model, without parameters' values, as Keras spells it."""
        first = [] if self._input is None else [self._input]
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": config.dtype_config(self.dtype if self._parts else config.floatx()),
            "layers": [serialize(layer) for layer in (*first, *self._parts)],
            "build_input_shape": None if self.row_shape is None else [None, *self.row_shape],
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Sequential:
        """Return a model from `get_config`, lamina's or Keras's.

        Parameters
        ----------
        config : dict
        custom_objects : dict, optional
            Name → class or function, for what is not lamina's.
        """
        who = f"{cls.__name__}.from_config"
        stored = loading.get()
        stored = stored if stored is not None and stored.belongs_to(config) else None
        config = mapping(who, "config", config)
        if not {"name", "layers"} <= set(config):
            raise ValueError(f"{who}: config must be a dict with 'name' and 'layers'.")
        trainable = flag(who, "trainable", config.get("trainable", True))
        model = cls(name=config["name"])
        model.seed = integer(who, "seed", config.get("seed", model.seed), 0, 2**64 - 1)
        with custom_object_scope(custom_objects):
            for layer in listed(who, "layers", config["layers"]):
                part = deserialize_part(layer)
                if isinstance(part, Layer):
                    part.stored = stored
                model.add(part)
        if config.get("build_input_shape") is not None and model._parts:
            model.build(config["build_input_shape"])
        model._trainable = trainable
        return model

    def save(self, filepath: Any, overwrite: bool = True, zipped: None = None) -> None:
        """Write the model into one file: architecture, parameters, and how it was compiled, with its state.

        Parameters
        ----------
        filepath : str or Path
            Ends in ``.safetensors``. Keras's suffixes raise, for they promise Keras's format.
        overwrite : bool
            False raises where the file exists.
        zipped : None
            Keras's choice of its own format; another value raises.

        Raises
        ------
        ValueError
            The suffix, an existing file, or the model is not built.
        """
        from lamina.saving.native import save_model

        only_none(f"{type(self).__name__} {self.name!r}: save", zipped=zipped)
        self._require_built("save")
        save_model(self, filepath, overwrite)

    def check_saving(self, who: str) -> None:
        """Raise where a file could not hold the model, for classes that a reader would not know."""
        from lamina.saving.native import check_classes

        check_classes(who, self)

    def save_weights(self, filepath: Any, overwrite: bool = True, max_shard_size: None = None) -> None:
        """Write the parameters into a file.

        Parameters
        ----------
        filepath : str or Path
            Ends in ``.safetensors``.
        overwrite : bool
            False raises where the file exists.
        max_shard_size : None
            There is one file; another value raises.
        """
        from lamina.saving.native import save_weights

        only_none(f"{type(self).__name__} {self.name!r}: save_weights", max_shard_size=max_shard_size)
        self._require_built("save_weights")
        save_weights(self, filepath, overwrite)

    def load_weights(self, filepath: Any, skip_mismatch: bool = False) -> None:
        """Read parameters that `save_weights` or `save` wrote, in the order of the layers; all or none.

        Parameters
        ----------
        filepath : str or Path
            Ends in ``.safetensors``.
        skip_mismatch : bool
            Leave parameters alone whose shape is another one in the file, instead of raising.

        Raises
        ------
        FileNotFoundError, ValueError
            There is no such file, it is damaged, or its parameters have other shapes.
        """
        from lamina.saving.native import load_weights

        self._require_built("load_weights")
        load_weights(self, filepath, flag(self._who("load_weights"), "skip_mismatch", skip_mismatch))

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
            raise KindError(f"{self._who('to_json')}: settings must be those of json.dumps; {error}.") from None

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Copy as usual; where another thread trains the model meanwhile, as it is at one moment between two steps.

        That copy is made apart: it does not share layers with other models that are copied or pickled together with it.
        """
        if _apart.get() is self:
            return super().__reduce_ex__(protocol)
        if self.trains_elsewhere():
            return pickle.loads, (self.pickled_apart(protocol),)
        witness = _Witness(self)
        reduced: Any = super().__reduce_ex__(protocol)
        make, arguments, state, *others = reduced
        return make, arguments, (state | {"_instead": witness} if isinstance(state, dict) else state), *others

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a state, or that of a copy that was made apart instead."""
        instead = state.get("_instead")
        self.__dict__.update(instead.__dict__ if isinstance(instead, Sequential) else state)
        self.__dict__.pop("_instead", None)

    def trains_elsewhere(self) -> bool:
        """Return whether another thread trains or evaluates the model."""
        return self._fitting.taken_elsewhere() or self._running.taken_elsewhere()

    def pickled_apart(self, protocol: Any) -> bytes:
        """Return a pickle of the model alone, of one moment between two steps of training."""
        before = _apart.get()
        try:  # set within: Ctrl-C may come as soon as it is
            _apart.set(self)
            with self.once, one_moment(self.weights):
                return pickle.dumps(self, protocol)
        finally:
            _apart.set(before)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


class _Witness:
    """The last part of a model's state that is pickled: None, or a copy of the model where it was trained meanwhile."""

    def __init__(self, model: Sequential) -> None:
        self._model = model
        self._versions = self._now()

    def _now(self) -> list[Any]:
        blocks = (variable.block for variable in self._model.weights)
        return [self._model.built, *(None if block is None else block[0].version for block in blocks)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self._now() == self._versions and not self._model.trains_elsewhere():
            return type(None), ()
        return pickle.loads, (self._model.pickled_apart(protocol),)


# The model that is being pickled apart from everything else.
_apart: ContextVar[Any] = ContextVar("apart", default=None)

# What a model is made of.
Part = Layer | Sequential


def _build_for(who: str, part: Part, row_shape: Shape, built: list[tuple[Layer, bool]]) -> None:
    """Build a layer or a model for rows of a shape; where it is built already, make sure that it is for these.

    Layers that were built here, and not by another thread meanwhile, are added to `built`, with whether they kept
    parameters.
    """
    if isinstance(part, Sequential):
        if not part.placed:
            part.build((None, *row_shape))
            built += part._before_build[0]
        elif part.input_row_shape != row_shape:
            raise ValueError(
                f"{who}: model {part.name!r} must take rows of shape {part.input_row_shape}, for which it was built; "
                f"those before it are {row_shape}."
            )
        return
    if part.placed:
        part.check_row(who, row_shape)
        return
    keeps = part.build_or_discard((None, *row_shape))
    if keeps is not None:
        built.append((part, keeps))


def deserialize_part(config: dict[str, Any]) -> Part:
    """Return a layer or a model from ``{"class_name", "config"}``, as `serialize` makes it."""
    known: dict[str, Any] = layers_module._CLASSES | {"Sequential": Sequential}
    return look_up("models", "layer", config, known, Layer)
