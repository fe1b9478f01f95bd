"""What the engine compiles of a model: a network for each kind of rows, and a trainer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core
from lamina._common.records import Record
from lamina._data.compact import kind_of_rows
from lamina._engine.network import CompiledNetwork, compile_network, head_activation
from lamina._engine.ops import Shape
from lamina._engine.variable import Variable
from lamina.layers.inner import version_of
from lamina.models.compiled import Compiled
from lamina.models.head import Given, loss_spec, metric_spec
from lamina.models.prepared import Prepared
from lamina.models.stack import Stack
from lamina.optimizers import SGD

__all__ = ["Compilation", "CompiledDerivatives", "CompiledTrainer", "split"]

# The parameters of an op, and for each of their tensors the variable that is trained, or None.
_Block = tuple[_core.Parameters, list[Variable | None]]

# Called with the index of an op and its gradient; at the end of a step with -1 and None.
GradientHook = Callable[[int, npt.NDArray[Any] | None], Any]


class CompiledTrainer(Record):
    """A trainer of the engine, and what it was compiled for.

    Attributes
    ----------
    key : list
        All that it depends on.
    engine : _core.Trainer
    variables : list of Variable
        Those that it trains, in the order of the engine's vector of gradients.
    size : int
        Of that vector.
    token : object
        Stands for this trainer, and can be copied and pickled.
    """

    key: list[Any]
    engine: _core.Trainer
    variables: list[Variable]
    size: int
    token: object


class CompiledDerivatives(Record):
    """The engine's derivatives of a network, and what they were compiled for.

    Attributes
    ----------
    key : list
        All that they depend on.
    engine : _core.Derivatives
    variables : list of Variable
        Those whose gradients it computes, in the order of the engine's vector of gradients.
    size : int
        Of that vector.
    output_shape : tuple of int
        Of a row.
    """

    key: list[Any]
    engine: _core.Derivatives
    variables: list[Variable]
    size: int
    output_shape: Shape


# How many networks and trainers are kept, for rows that differ in their number of steps.
_MOST_KEPT = 16


def _keep(kept: dict[Any, Any], key: Any, item: Any) -> None:
    """Store an item, in the place of the oldest one if it is one more than are kept."""
    if key not in kept and len(kept) >= _MOST_KEPT:
        del kept[next(iter(kept))]
    kept[key] = item


class Compilation:
    """Compiles a model for the engine when it is needed, and again when anything it depends on has changed.

    Parameters
    ----------
    stack : Stack
        The model's layers.
    given : Given
        Where metrics that take whole batches find them.
    """

    def __init__(self, stack: Stack, given: Given) -> None:
        self._stack, self._given = stack, given
        self._hook: GradientHook | None = None
        # (returns logits, kind and shape of input rows) → (`_structure` that it was compiled for, network).
        self._networks: dict[tuple[bool, str, Shape], tuple[list[Any], CompiledNetwork]] = {}
        self._trainers: dict[Shape, CompiledTrainer] = {}  # by the shape of input rows
        # By kind and shape of input rows, and whether derivatives with respect to the input are wanted.
        self._derivatives: dict[tuple[str, Shape, bool], CompiledDerivatives] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave out networks and trainer, which are made again when needed, and the hook."""
        return self.__dict__ | {"_networks": {}, "_trainers": {}, "_derivatives": {}, "_hook": None}

    @property
    def hooked(self) -> bool:
        """Whether a function is called with the gradients."""
        return self._hook is not None

    def on_gradient(self, function: GradientHook | None) -> None:
        """Set a function that trainers call with each op's gradient (`Executor.on_gradient`)."""
        with self._stack.once.taken():
            self._hook = function
            for trainer in self._trainers.values():
                trainer.engine.on_gradient(function)

    @property
    def row_shapes(self) -> set[Shape]:
        """The shapes of input rows for which a network or a trainer is kept."""
        kept = {kind[2] for kind in list(self._networks)} | {kind[1] for kind in list(self._derivatives)}
        return kept | set(self._trainers)

    def forget_trainer(self) -> None:
        """Drop the trainers; the next data make a new one."""
        with self._stack.once.taken():
            self._trainers.clear()

    def forget(self) -> None:
        """Drop everything."""
        with self._stack.once.taken():
            self._networks.clear()
            self._trainers.clear()
            self._derivatives.clear()

    def network(self, row_shape: Shape, logits: bool = False, reads: str = "dense") -> CompiledNetwork:
        """Return the compiled network for rows of a shape and kind; with `logits` it lacks the final activation."""
        key, kind = self._structure(), (logits, reads, row_shape)
        known = self._networks.get(kind)
        if known is None or known[0] != key:
            with self._stack.once.taken():
                known = self._networks.get(kind)
                if known is None or known[0] != key:
                    layers = self._stack.layers
                    made = compile_network(layers, row_shape, self._stack.dtype, logits=logits, reads=reads)
                    known = key, made
                    _keep(self._networks, kind, known)
        return known[1]

    def training_network(self, compiled: Compiled, prepared: Prepared) -> CompiledNetwork:
        """Return the network that trains on this kind of data."""
        rows = prepared.data.x
        return self.network(rows.shape[1:], self.fuses_head(compiled), kind_of_rows(rows))

    def fuses_head(self, compiled: Compiled) -> bool:
        """Return whether the loss includes the final activation, as a cross-entropy does its softmax or sigmoid."""
        head = head_activation(self._stack.layers)
        loss = compiled.loss
        return head is not None and not loss.in_python and head.name == loss.logits_activation

    def _structure(self) -> list[Any]:
        """Return what a compiled network depends on: the layers, their changes, and which variables train and how."""
        layers = self._stack.layers
        structure: list[Any] = list(layers)
        for layer in layers:
            simple = layer.activity_regularizer is None and not layer.argument_layers
            structure += [layer.trainable, layer.changes if simple else version_of(layer)]
            for variable in layer.weights:
                regularizer, constraint = variable.regularizer, variable.constraint
                structure += [variable.trainable, regularizer, constraint]
                if regularizer is not None:
                    structure += [regularizer.engine_factors(), regularizer.per_row]
                if constraint is not None:
                    structure.append(constraint.engine_projection(variable.ndim))
        return structure

    def trainer(self, compiled: Compiled, prepared: Prepared) -> CompiledTrainer:
        """Return the trainer for this kind of data; a new one if anything it depends on has changed."""
        with self._stack.once.taken():
            optimizer, loss, uses = compiled.optimizer, compiled.loss, prepared.uses
            key = [
                *self._structure(), *optimizer.spec_key(), loss.parameters(), loss.columns(), loss.divisor(),
                loss.from_logits, *uses, prepared.labels, kind_of_rows(prepared.data.x),
            ]  # fmt: skip
            for metric, _ in uses:
                if metric.engine_kernel is not None:
                    key += [metric.engine_kernel, metric.parameters()]
            row_shape = prepared.data.x.shape[1:]
            known = self._trainers.get(row_shape)
            if known is None or known.key != key:
                known = self._new_trainer(key, compiled, prepared)
                _keep(self._trainers, row_shape, known)
            return known

    def _new_trainer(self, key: list[Any], compiled: Compiled, prepared: Prepared) -> CompiledTrainer:
        network = self.training_network(compiled, prepared)
        head = head_activation(self._stack.layers) if self.fuses_head(compiled) else None
        numbers = iter(range(1, len(prepared.labels)))
        targets = [0 if array is None else next(numbers) for array in prepared.metric_targets]
        metrics = [
            metric_spec(use.metric, use.weighted, target, self._given, network.output_shape)
            for use, target in zip(prepared.uses, targets, strict=True)
        ]
        trained, blocks = _trained_in(network)
        trainer = _core.Trainer(
            network.network,
            loss_spec(compiled.loss, compiled.loss_weight, head, self._given, network.output_shape),
            metrics,
            prepared.labels,
            compiled.optimizer.update_spec(blocks),
        )
        if self._hook is not None:
            trainer.on_gradient(self._hook)
        return CompiledTrainer(key, trainer, *_order_of(trained), object())

    def derivatives(self, row_shape: Shape, reads: str, need_dx: bool) -> CompiledDerivatives:
        """Return the derivatives of the network for rows of a shape and kind, also those with respect to the input."""
        key, kind = self._structure(), (reads, row_shape, need_dx)
        known = self._derivatives.get(kind)
        if known is not None and known.key == key:
            return known
        with self._stack.once.taken():
            network = compile_network(
                self._stack.layers, row_shape, self._stack.dtype, reads=reads, input_gradient=need_dx
            )
            trained, blocks = _trained_in(network)
            engine = _core.Derivatives(network.network, SGD().update_spec(blocks, penalties=False))
            known = CompiledDerivatives(key, engine, *_order_of(trained), network.output_shape)
            _keep(self._derivatives, kind, known)
            return known

    def weights_in(
        self, compiled: Compiled, prepared: Prepared, blocks: list[_core.Parameters | None]
    ) -> list[npt.NDArray[Any]]:
        """Return the model's weights, those that the training network uses from copies of its parameters."""
        network = self.training_network(compiled, prepared)
        found: dict[int, npt.NDArray[Any]] = {}
        for owner, block in zip(network.owners, blocks, strict=True):
            if owner is None or block is None:
                continue
            for tensor, variable in enumerate(owner.engine_weights):
                found[id(variable)] = np.empty(variable.shape, variable.dtype)
                block.read(tensor, found[id(variable)])
        return [found[id(variable)] if id(variable) in found else variable.numpy() for variable in self._stack.weights]


def split(vector: npt.NDArray[Any], variables: Iterable[Variable]) -> list[npt.NDArray[Any]]:
    """Return the parts of a vector, one after the other, as views in the shapes of variables."""
    parts, begin = [], 0
    for variable in variables:
        end = begin + variable.size
        parts.append(vector[begin:end].reshape(variable.shape))
        begin = end
    return parts


def _order_of(trained: list[list[Variable | None]]) -> tuple[list[Variable], int]:
    """Return the variables whose gradients the engine's vector contains, in its order, and its size."""
    variables = [variable for op in trained for variable in op if variable is not None]
    return variables, sum(variable.size for variable in variables)


def _trained_in(network: CompiledNetwork) -> tuple[list[list[Variable | None]], list[_Block | None]]:
    """Return the variables of each op of a network, None for those that are not trained, and its blocks with these."""
    trained = [
        [] if owner is None else [v if owner.trainable and v.trainable else None for v in owner.engine_weights]
        for owner in network.owners
    ]
    blocks = [
        None if owner is None else (owner.block(), variables)
        for owner, variables in zip(network.owners, trained, strict=True)
    ]
    return trained, blocks
