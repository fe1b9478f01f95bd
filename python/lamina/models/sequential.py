"""Sequential: a stack of layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lamina import config
from lamina._common.checks import KindError, flag, integer, listed, mapping
from lamina._common.custom import custom_object_scope
from lamina._common.names import required
from lamina._common.objects import serialize
from lamina.layers import REGISTRY as LAYERS
from lamina.layers import Layer
from lamina.layers.stored import loading
from lamina.layers.symbols import KerasTensor
from lamina.models import graph
from lamina.models.model import Model
from lamina.models.parts import Part, shown

__all__ = ["Sequential"]


class Sequential(Model):
    """A stack of layers, each taking the output of the one before.

    Parameters
    ----------
    layers : iterable of Layer or Model, optional
        More can be added with `add`. If the first layer has an input shape or is an `Input`, parameters are made at
        once; otherwise when data are first seen, or by `build`. A nested model shares its layers with this one:
        training either trains both.
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

    seed_in_config = True

    def __init__(self, layers: Iterable[Part] | None = None, trainable: bool = True, name: str | None = None) -> None:
        self._begin(name)
        for layer in [] if layers is None else listed(self.stack.kind, "layers", layers):
            self.add(layer, rebuild=False)
        self._call_own_build()
        if not flag(self.stack.who(), "trainable", trainable):
            self.trainable = False

    @property
    def layers(self) -> list[Part]:
        """The layers and nested models, without the `Input`."""
        return shown(self.stack.parts)

    @property
    def operations(self) -> list[Part]:
        """The same as `layers`."""
        return self.layers

    def add(self, layer: Part | KerasTensor, rebuild: bool = True) -> None:
        """Append a layer, or a model as a layer.

        Parameters
        ----------
        layer : Layer, Model, or what an Input returned
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
        if isinstance(layer, KerasTensor):
            layer = graph.input_layer(who, layer)
        if not isinstance(layer, (Layer, Model)):
            raise KindError(f"{who}: layer must be a lamina.layers.Layer; got {type(layer).__name__}.")
        executor, in_use = self.executor, self.executor.in_use(who)
        with executor.fitting.if_free(in_use), executor.running.if_free(in_use), executor.once.taken():
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
        with executor.fitting.if_free(in_use), executor.running.if_free(in_use), executor.once.taken():
            layer = self.stack.pop(who)
            executor.forget_metrics()
        return layer

    # Saving.

    def get_config(self) -> dict[str, Any]:
        """Return the configuration that makes the same model, without parameters' values, in Keras's form."""
        stack = self.stack
        first = [] if stack.input is None else [stack.input]
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": config.dtype_config(stack.default_dtype),
            "layers": [serialize(layer) for layer in (*first, *shown(stack.parts))],
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
        if model.stack.parts or model.stack.input is not None:
            raise ValueError(f"{who}: the constructor must make an empty model: the configuration holds the layers.")
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


LAYERS.add(Sequential, package="keras", room="")
