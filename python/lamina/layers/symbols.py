"""Symbolic tensors: what `Input`, and layers and models that are called with them, return.

They hold no values. Each remembers the call that made it, so that `Model(inputs, outputs)` finds the layers between two
of them. The calls make a graph of any form; which forms a model can have is up to the models.
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NoReturn, Protocol

from lamina import config
from lamina._common.checks import KindError, NotBuiltError, flag, only_none, short, text
from lamina._common.locks import Once
from lamina._common.names import unique_name
from lamina._common.recorded import plain_arguments
from lamina._common.records import Record
from lamina._common.registry import is_public
from lamina._data.symbols import Symbol, symbols_in
from lamina.layers.shapes import batch_shape

__all__ = ["Call", "Called", "KerasTensor", "Operation", "holds_symbols", "is_keras_tensor", "one_symbol", "output_of"]


class Operation:
    """What can be called with symbolic tensors: the base class of layers and models."""

    # Whether it changes nothing in predictions, as noise.
    identity_in_predictions = False
    # The function of a symbolic tensor that it was made for; None for all others.
    made_of: Any = None
    # The plain arguments of the constructor of a user's class, or why they are not plain; for configurations.
    recorded: dict[str, Any] | str = "they were not recorded"

    def __new__(cls, *values: Any, **named: Any) -> Any:
        """Return a new object; note the arguments of a user's class."""
        made = super().__new__(cls)
        if not is_public(cls):
            vars(made)["recorded"] = plain_arguments(cls, values, named)
        return made

    def fix_training(self, training: bool) -> None:
        """Run as in training, or not, in training and in predictions alike; defined by `Layer` and `Model`."""
        raise NotImplementedError(f"{type(self).__name__} has no modes.")

    @property
    def name(self) -> str:
        """Unique in a model; defined by `BuiltLayer` and `Model`."""
        raise NotImplementedError(f"{type(self).__name__} has no name.")


def is_keras_tensor(x: Any) -> bool:
    """Return whether a value is a symbolic tensor."""
    return isinstance(x, KerasTensor)


def _without_values(operation: str) -> Callable[..., NoReturn]:
    """Return a special method that raises."""

    def method(self: Any, *_: Any) -> NoReturn:
        raise KindError(
            f"KerasTensor {self.name!r}: {operation} needs values, and a symbolic tensor has none. Layers can be "
            "called with it, in a chain; for values call the model with data."
        )

    return method


def _operator(function: Callable[..., Any], swapped: bool = False) -> Callable[..., Any]:
    """Return a special method that applies an operator; `swapped`: to the other value first."""

    def method(self: Any, *others: Any) -> Any:
        return self.applied(function, (*others, self) if swapped else (self, *others), {})

    return method


class KerasTensor(Symbol):
    """A symbolic tensor: shape and dtype of what a layer will return for data.

    Parameters
    ----------
    shape : tuple of int or None
        With the batch, whose size is None.
    dtype : str
    sparse, ragged : bool
        True raises for `ragged`.
    name : str, optional

    Attributes
    ----------
    call : Call or None
        The call that returned it.
    """

    def __init__(
        self, shape: Any, dtype: Any = "float32", sparse: bool = False, ragged: bool = False, name: str | None = None
    ) -> None:
        who = "KerasTensor"
        only_none(who, ragged=flag(who, "ragged", ragged) or None)
        self.shape = batch_shape(who, shape)
        self.dtype = config.any_dtype(who, dtype) or config.floatx()
        self.sparse, self.ragged = flag(who, "sparse", sparse), False
        self.name = unique_name("keras_tensor") if name is None else text(who, "name", name)
        self.call: Call | None = None

    @property
    def ndim(self) -> int:
        """Number of axes, with the batch."""
        return len(self.shape)

    @property
    def rank(self) -> int:
        """The same as `ndim`."""
        return self.ndim

    def __repr__(self) -> str:
        kind = f"dtype={self.dtype}, sparse={self.sparse}, ragged={self.ragged}"
        return f"<KerasTensor shape={self.shape}, {kind}, name={self.name}>"

    # What makes the layer for a function of a symbolic tensor, and calls it.
    layer_of: ClassVar[Callable[[KerasTensor, Callable[..., Any], tuple[Any, ...], Mapping[str, Any]], KerasTensor]]

    def applied(self, function: Callable[..., Any], arguments: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
        """Return the output of a layer that computes a function of `lamina.ops` or an operator."""
        symbols = {id(symbol): symbol for symbol in symbols_in((*arguments, *named.values()))}
        if len(symbols) != 1:
            raise ValueError(
                f"{function.__name__}: there must be one symbolic tensor; got {len(symbols)}. Models are chains of "
                "layers here; branches and merges are not there yet."
            )
        return type(self).layer_of(self, function, arguments, named)

    __array__ = _without_values("NumPy")
    numpy = _without_values("numpy()")
    __bool__ = _without_values("a condition")
    __float__ = __int__ = __index__ = _without_values("conversion to a number")
    __iter__ = _without_values("a loop over it")
    __len__ = _without_values("len()")
    __lt__ = __le__ = __gt__ = __ge__ = _without_values("a comparison")
    __getitem__ = _operator(operator.getitem)
    __add__, __radd__ = _operator(operator.add), _operator(operator.add, swapped=True)
    __sub__, __rsub__ = _operator(operator.sub), _operator(operator.sub, swapped=True)
    __mul__, __rmul__ = _operator(operator.mul), _operator(operator.mul, swapped=True)
    __truediv__, __rtruediv__ = _operator(operator.truediv), _operator(operator.truediv, swapped=True)
    __pow__, __rpow__ = _operator(operator.pow), _operator(operator.pow, swapped=True)
    __matmul__, __rmatmul__ = _operator(operator.matmul), _operator(operator.matmul, swapped=True)
    __mod__, __rmod__ = _operator(operator.mod), _operator(operator.mod, swapped=True)
    __floordiv__, __rfloordiv__ = _operator(operator.floordiv), _operator(operator.floordiv, swapped=True)
    __neg__, __abs__ = _operator(operator.neg), _operator(operator.abs)


class Call(Record):
    """One call of a layer or model with symbolic tensors.

    Attributes
    ----------
    operation : Operation
        What was called.
    inputs : tuple of KerasTensor
        Empty for the layer of an `Input`.
    """

    operation: Any
    inputs: tuple[KerasTensor, ...]


def output_of(
    operation: Any, inputs: tuple[KerasTensor, ...], shape: Any, dtype: str, name: str | None = None
) -> KerasTensor:
    """Return a new symbolic tensor: what a call returns."""
    made = KerasTensor(shape, dtype, name=name)
    made.call = Call(operation, inputs)
    return made


def holds_symbols(x: Any) -> bool:
    """Return whether a value is a list or tuple with symbolic tensors."""
    return isinstance(x, (list, tuple)) and any(isinstance(one, KerasTensor) for one in x)


def one_symbol(who: str, x: Any) -> KerasTensor:
    """Return a symbolic tensor, or the only one of a list; raise if there are several."""
    if isinstance(x, KerasTensor):
        return x
    if not holds_symbols(x):
        raise KindError(f"{who}: the input must be a symbolic tensor, as an Input returns it; got {short(x)}.")
    if len(x) != 1:
        raise ValueError(
            f"{who}: a call must have one input; got {len(x)}. Models are chains of layers here; branches and merges "
            "are not there yet."
        )
    return one_symbol(who, x[0])


class Composed(Protocol):
    """What layers are composed to: a stack."""

    built: bool

    def symbols(self) -> list[KerasTensor]:
        """Return the symbolic tensors between its parts."""


_noting = Once()  # held while a `Called` changes


class Called:
    """What a layer returned for symbolic tensors, and the stacks that it is in.

    Neither is kept alive: tensors hold those that they were made of, and models their tensors.
    """

    def __init__(self) -> None:
        self._outputs: list[weakref.ref[KerasTensor]] = []
        self._owners: list[weakref.ref[Composed]] = []

    def __reduce__(self) -> Any:
        """Copy and pickle as a new object: who holds a copy says so again."""
        return Called, ()

    def note(self, output: KerasTensor) -> KerasTensor:
        """Remember what a call returned, and return it."""
        with _noting.taken():
            self._outputs = [*(known for known in self._outputs if known() is not None), weakref.ref(output)]
        return output

    def precede(self) -> None:
        """Make the tensors of the built models that the layer is in, which come before that of a call now."""
        if self._alive() is None:
            self._make()

    def _alive(self) -> KerasTensor | None:
        return next((output for known in self._outputs if (output := known()) is not None), None)

    def _make(self) -> None:
        for reference in self._owners:
            owner = reference()
            if owner is not None and owner.built:
                owner.symbols()

    def belongs_to(self, owner: Composed) -> None:
        """Remember a stack that the layer is in."""
        with _noting.taken():
            if not any(known() is owner for known in self._owners):
                self._owners = [*(known for known in self._owners if known() is not None), weakref.ref(owner)]

    def first(self, who: str, what: str) -> KerasTensor:
        """Return the output of the first call that somebody still holds.

        Raises
        ------
        NotBuiltError
            There is none, and no built model has the layer.
        """
        self.precede()
        output = self._alive()
        if output is not None:
            return output
        raise NotBuiltError(
            f"{who}: {what} must be that of a call; the layer was never called with a symbolic tensor, and is in no "
            "built model."
        )
