"""Sequential: a stack of layers that can be trained, run, copied and saved."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any

import numpy.typing as npt

from lamina import config
from lamina._common.checks import KindError, flag, function, integer, listed, mapping, only_none, text
from lamina._common.custom import custom_object_scope
from lamina._common.names import required, snake_case, unique_name
from lamina._common.objects import serialize
from lamina._engine.variable import Variable, assign_all, one_moment
from lamina.callbacks.model import TrainedModel
from lamina.layers import REGISTRY as LAYERS
from lamina.layers import Layer
from lamina.layers.stored import loading
from lamina.models import files
from lamina.models.model import Model
from lamina.models.stack import Part
from lamina.models.summary import format_summary

__all__ = ["Sequential"]

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


class Sequential(Model):
    """A stack of layers, each taking the output of the one before.

    Parameters
    ----------
    layers : iterable of Layer or Sequential, optional
        More can be added with `add`. If the first layer has an input shape or is an `Input`, parameters are made at
        once; otherwise when data are first seen, or by `build`. A nested `Sequential` shares its layers with this
        model: training either trains both.
    trainable : bool
    name : str, optional

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
        name = text(kind, "name", name) if name is not None else unique_name(snake_case(kind))
        super().__init__(kind, name)
        for layer in [] if layers is None else listed(kind, "layers", layers):
            self.add(layer, rebuild=False)
        self._call_own_build()
        if not flag(self.stack.who(), "trainable", trainable):
            self.trainable = False

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _NOT_CALLED:
            raise _would_not_be_called(type(self), name)
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
        """The layers and nested models, without the `Input`."""
        return list(self.stack.parts)

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
        self.stack.built = bool(value)

    def add(self, layer: Part, rebuild: bool = True) -> None:
        """Append a layer, or a model as a layer.

        Parameters
        ----------
        layer : Layer or Sequential
        rebuild : bool
            Whether to call `build` of a subclass if the input shape is known. Layers are built in any case.

        Raises
        ------
        TypeError
            Neither a layer nor a model.
        ValueError
            Its name is taken, its dtype is not the model's, its input shape is not the output shape of the layer
            before it, or it is an `Input` and not the first layer. The model is unchanged.
        """
        who = self.stack.who("add")
        rebuild = flag(who, "rebuild", rebuild)
        if not isinstance(layer, (Layer, Sequential)):
            raise KindError(f"{who}: layer must be a lamina.layers.Layer; got {type(layer).__name__}.")
        executor, in_use = self.executor, self.executor.in_use(who)
        with executor.fitting.if_free(in_use), executor.running.if_free(in_use), executor.once:
            self.stack.add(who, layer)
            executor.forget_metrics()
        if rebuild:
            self._call_own_build()

    def _call_own_build(self) -> None:
        """Call `build` of a subclass if the layers are built, which `add` does if the input shape is known."""
        if self.built and type(self).build is not Sequential.build:
            self.build(self.input_shape)

    def pop(self, rebuild: bool = True) -> Part:
        """Remove the last layer and return it; `rebuild` is accepted as in Keras."""
        who = self.stack.who("pop")
        executor, in_use = self.executor, self.executor.in_use(who)
        with executor.fitting.if_free(in_use), executor.running.if_free(in_use), executor.once:
            layer = self.stack.pop(who)
            executor.forget_metrics()
        return layer

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
        show = print if print_fn is None else function(who, "print_fn", print_fn)
        optimizer = self.optimizer if self.compiled else None
        show(format_summary(self.stack, optimizer, line_length, positions, expand_nested, show_trainable, layer_range))

    # Saving.

    def get_config(self) -> dict[str, Any]:
        """Return the configuration that makes the same model, without parameters' values, in Keras's form."""
        stack = self.stack
        first = [] if stack.input is None else [stack.input]
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": config.dtype_config(stack.default_dtype),
            "layers": [serialize(layer) for layer in (*first, *stack.parts)],
            "build_input_shape": None if stack.row_shape is None else [None, *stack.row_shape],
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Sequential:
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
        if not {"name", "layers"} <= set(config):
            raise ValueError(f"{who}: config must be a dict with 'name' and 'layers'.")
        trainable = flag(who, "trainable", config.get("trainable", True))
        model = cls(name=config["name"])
        model.seed = integer(who, "seed", config.get("seed", model.seed), 0, 2**64 - 1)
        with custom_object_scope(custom_objects):
            for layer in listed(who, "layers", config["layers"]):
                part = required(who, "layer", LAYERS.get(layer, who, "layer"))
                if isinstance(part, Layer):
                    part.stored = stored
                model.add(part)
        if config.get("build_input_shape") is not None and model.stack.parts:
            model.build(config["build_input_shape"])
        model.stack.remember_trainable(trainable)
        return model

    def save(self, filepath: Any, overwrite: bool = True, zipped: None = None) -> None:
        """Write the model into one file: configuration, parameters, compile arguments, and the optimizer's state.

        Parameters
        ----------
        filepath : str or Path
            Ends in ``.safetensors``, which holds everything; in ``.keras``, or in ``.h5`` or ``.hdf5`` as in older
            versions of Keras: real Keras loads such files too. Keras's formats need h5py (extra ``keras``).
        overwrite : bool
            False raises if the file exists.
        zipped : None
            An option of Keras's own format; another value raises.

        Raises
        ------
        ImportError
            The format is Keras's, and h5py is missing.
        ValueError
            The suffix is another one, the file must not be overwritten, the model is not built, or it holds something
            that Keras lacks and the format is Keras's.
        """
        only_none(self.stack.who("save"), zipped=zipped)
        self.stack.require_built("save")
        files.save_model(self, filepath, overwrite)

    def check_saving(self, who: str) -> None:
        """Raise if the model cannot be saved because it uses classes or functions that are not registered."""
        files.check_classes(who, self)

    def save_backup(self, filepath: Any, epoch: int) -> None:
        """Write the state from which training resumes, without the configuration; see `BackupAndRestore`."""
        files.save_backup(self, filepath, epoch)

    def restore_backup(self, filepath: Any) -> int:
        """Restore the state of a backup; return the epoch to resume with."""
        return files.restore_backup(self, filepath)

    def save_weights(self, filepath: Any, overwrite: bool = True, max_shard_size: None = None) -> None:
        """Write the parameters into a file.

        Parameters
        ----------
        filepath : str or Path
            Ends in ``.safetensors``; or as in Keras in ``.weights.h5``, or ``.h5`` or ``.hdf5`` for older versions.
        overwrite : bool
            False raises if the file exists.
        max_shard_size : None
            Files are not split; another value raises.
        """
        only_none(self.stack.who("save_weights"), max_shard_size=max_shard_size)
        self.stack.require_built("save_weights")
        files.save_weights(self, filepath, overwrite)

    def load_weights(self, filepath: Any, skip_mismatch: bool = False) -> None:
        """Read parameters that `save_weights` or `save` wrote, in the order of the layers; all or none.

        Parameters
        ----------
        filepath : str or Path
            A file that `save_weights` or `save` wrote, lamina's or Keras's.
        skip_mismatch : bool
            Skip parameters whose shape differs in the file, instead of raising.

        Raises
        ------
        FileNotFoundError, ValueError
            There is no such file, it is damaged, or its parameters have other shapes.
        """
        self.stack.require_built("load_weights")
        files.restore_weights(self, filepath, flag(self.stack.who("load_weights"), "skip_mismatch", skip_mismatch))

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

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Copy as usual, or, if another thread is training the model, its state at one moment between two steps.

        The latter is a separate pickle: it shares no layers with other models that are copied or pickled with it.
        """
        if _apart.get() is self:
            return super().__reduce_ex__(protocol)
        if self.trains_elsewhere():
            return pickle.loads, (self.pickled_apart(protocol),)
        witness = _Witness(self)
        reduced: Any = super().__reduce_ex__(protocol)
        make, arguments, state, *others = reduced
        return make, arguments, (state | {_SEPARATE: witness} if isinstance(state, dict) else state), *others

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a state, or that of the separate copy, if there is one in it."""
        instead = state.get(_SEPARATE)
        self.__dict__.update(instead.__dict__ if isinstance(instead, Sequential) else state)
        self.__dict__.pop(_SEPARATE, None)

    def trains_elsewhere(self) -> bool:
        """Return whether another thread trains or evaluates the model."""
        return self.executor.fitting.taken_elsewhere() or self.executor.running.taken_elsewhere()

    def pickled_apart(self, protocol: Any) -> bytes:
        """Return a pickle of the model alone, as it is at one moment between two steps of training."""
        before = _apart.get()
        try:  # set inside `try`: Ctrl-C may come right after it
            _apart.set(self)
            with self.stack.once, one_moment(self.weights):
                return pickle.dumps(self, protocol)
        finally:
            _apart.set(before)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


class _Witness:
    """Last item of a model's pickled state: pickles as None, or as a new copy if the model was trained meanwhile."""

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


# The model of which `pickled_apart` is making a separate pickle.
_apart: ContextVar[Any] = ContextVar("apart", default=None)
# Where a model's state holds that pickle, taken apart.
_SEPARATE = "separate copy"


def _as_callbacks_see_it(model: Sequential) -> TrainedModel:
    return model  # type checkers verify here that a model has all that callbacks use


LAYERS.add(Sequential, package="keras", room="")
