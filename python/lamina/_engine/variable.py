"""Variable: a named array of parameters or state."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from numpy.lib.mixins import NDArrayOperatorsMixin

from lamina import _core, config, initializers
from lamina._common.checks import choice, flag, sizes, text
from lamina._common.locks import Once
from lamina._common.names import required, unique_name
from lamina._common.tries import only_tries
from lamina._data.arrays import converted, real_array
from lamina._data.autodiff import check_untraced, constant, is_traced
from lamina.constraints import Constraint
from lamina.regularizers import Regularizer

__all__ = ["AssignableFloat", "AssignableInt", "Home", "Variable", "check_aggregation"]

Array = npt.NDArray[Any]


# Stand for a block's version in `Variable._copy`: without a block; for a copy made during a write.
_OWN, _CHANGING = -2, -3

_alone = Once()  # lock of variables that no layer owns


class _Assignable:
    """A setting as Keras shows it: a number that also has `numpy`, `value` and `assign`."""

    _assign: Callable[[Any], None]

    def numpy(self) -> Any:
        """Return a NumPy scalar."""
        raise NotImplementedError(f"{type(self).__name__}: a setting defines numpy.")

    @property
    def value(self) -> Any:
        """The same as `numpy`."""
        return self.numpy()

    def assign(self, value: Any) -> None:
        """Set it."""
        self._assign(value)


class AssignableFloat(_Assignable, float):
    """A float that can be assigned to; `numpy` returns a scalar of the default dtype."""

    def __new__(cls, value: float, assign: Callable[[Any], None]) -> Self:
        """Return the number `value`, assigned to by `assign`."""
        made = super().__new__(cls, value)
        made._assign = assign
        return made

    def numpy(self) -> Any:
        """Return a NumPy scalar of the default dtype."""
        return np.dtype(config.floatx()).type(self)

    def __reduce__(self) -> Any:
        return float, (float(self),)


class AssignableInt(_Assignable, int):
    """An int that can be assigned to."""

    def __new__(cls, value: int, assign: Callable[[Any], None]) -> Self:
        """Return the number `value`, assigned to by `assign`."""
        made = super().__new__(cls, value)
        made._assign = assign
        return made

    def numpy(self) -> Any:
        """Return a NumPy scalar."""
        return np.int64(self)

    def __reduce__(self) -> Any:
        return int, (int(self),)


class Home:
    """Storage of variables that belong together: first an array for each, later one block of the engine for all.

    Attributes
    ----------
    block : Parameters or None
        Set once, when all values are in it. This one assignment moves all variables, so other code (another thread, a
        signal handler, a finalizer) sees all of them moved or none.
    writes : int
        How often a variable was written before the move.
    """

    def __init__(self, block: _core.Parameters | None = None) -> None:
        self.block = block
        self.writes = 0

    def move(self, make: Callable[[], _core.Parameters], variables: list[Variable]) -> _core.Parameters:
        """Move the variables into a block that `make` returns, unless they were moved already; return the block."""
        while self.block is None:
            writes = self.writes
            block = make()
            for tensor, variable in enumerate(variables):
                block.write(tensor, np.ascontiguousarray(variable.own_values()))
            # Nothing is called between this check and the assignment, so no other code can run on this thread.
            if self.writes == writes and self.block is None:
                self.block = block
        return self.block


class Variable(NDArrayOperatorsMixin):
    """An array that belongs to a layer or an optimizer.

    Before its layer runs, the values are a NumPy array. From then on they lie in the engine's memory, in the layout of
    the kernels; reads and writes copy them.

    Parameters
    ----------
    initializer : array_like, str, Initializer, callable or dict
        The values, or an initializer that makes them from `shape` and `dtype`.
    shape : tuple of int, optional
        Required if `initializer` is not an array.
    dtype : optional
        If omitted: the array's dtype; `lamina.config.floatx` for plain floats and for initializers.
    trainable : bool
        Whether a gradient step may change it.
    autocast, aggregation, synchronization
        Accepted as in Keras, where they choose how variables are stored and shared.
    name : str, optional

    Attributes
    ----------
    path : str
        Owner and name, as ``"dense/kernel"``.
    regularizer : Regularizer or None
        Its penalty is part of the loss.
    constraint : Constraint or None
        Condition that the values meet after every step.

    Examples
    --------
    >>> Variable([1.0, 2.0]).assign_add([1, 1]).numpy()
    array([2., 3.], dtype=float32)
    """

    regularizer: Regularizer | None
    constraint: Constraint | None

    def __init__(
        self,
        initializer: Any,
        shape: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        aggregation: str | None = "none",
        synchronization: str = "auto",
        name: str | None = None,
    ) -> None:
        name = text("Variable", "name", name) if name is not None else unique_name("variable")
        check_aggregation("Variable", aggregation)
        choice("Variable", "synchronization", synchronization, (None, "none", "auto", "on_read", "on_write"))
        value = _first_values(name, initializer, shape, dtype)
        self._set_up(value, name, name, flag(f"Variable {name!r}", "trainable", trainable))

    @classmethod
    def holding(cls, value: Array, name: str, path: str, trainable: bool = True) -> Variable:
        """Return a variable that uses an array without copying it."""
        made = cls.__new__(cls)
        made._set_up(value, name, path, trainable)
        return made

    def _set_up(self, value: Array, name: str, path: str, trainable: bool) -> None:
        self.regularizer = None
        self.constraint = None
        self.name = name
        self.path = path
        self.trainable = trainable
        self._shape = tuple(int(size) for size in value.shape)
        self._dtype = value.dtype
        # Where the values lie, and their tensor's index once that is a block.
        self._home = Home()
        self._tensor = 0
        # A version of the block and a copy of the values at that version; without a block the values themselves.
        self._copy: tuple[int, Array] = (_OWN, value)
        # Called after the values were written.
        self.on_assign: Callable[[], None] | None = None
        # The layer that moves all of its variables into a block: has `block` and `once`. None after the move.
        self.owner: Any = None

    def require_block(self) -> tuple[_core.Parameters, int]:
        """Return where the values lie in the engine's memory, moving them there if need be."""
        block = self._home.block
        if block is None:
            with self._once.taken():
                if self.owner is not None:
                    block = self.owner.block()
                else:
                    block = self._home.move(lambda: _core.Parameters(self.dtype, False, [self.matrix_shape]), [self])
            self.owner = None  # not needed any more; it must not be kept alive
        return block, self._tensor

    def join(self, home: Home, tensor: int) -> None:
        """Share other variables' storage, as tensor `tensor`; if that is a block already, its values are taken over."""
        self._home, self._tensor = home, tensor

    def convert(self, dtype: str) -> None:
        """Change the dtype of a variable that nobody owns, and its values with it."""
        self._dtype = np.dtype(dtype)
        self._copy = (_OWN, self._copy[1].astype(dtype))
        self._home.writes += 1

    def own_values(self) -> Array:
        """Return the values while they are an array of their own."""
        return self._copy[1]

    @property
    def _once(self) -> Once:
        """Lock of the move into a block: the owner's, which moves all of its variables together."""
        owner = self.owner
        return _alone if owner is None else owner.once

    @property
    def block(self) -> tuple[_core.Parameters, int] | None:
        """The block that holds the values and their tensor's index; None while they are an array of their own."""
        block = self._home.block
        return None if block is None else (block, self._tensor)

    @property
    def value(self) -> Array:
        """The values, read-only."""
        block, (version, values) = self._home.block, self._copy
        if block is not None and version != (now := block.version):
            values = np.empty(self._shape, self._dtype)
            block.read(self._tensor, values)
            self._copy = (now if now >= 0 else _CHANGING), values
        view = values.view()
        view.flags.writeable = False
        return view

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self._shape

    @property
    def dtype(self) -> str:
        """Name of the dtype."""
        return str(self._dtype)

    @property
    def is_float(self) -> bool:
        """Whether the values are floating-point numbers, with which the engine computes."""
        return self._dtype.kind == "f"

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return self._dtype.itemsize

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self._shape)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self._shape)

    @property
    def host_regularizer(self) -> Regularizer | None:
        """The regularizer if it is written in Python, else None."""
        rule = self.regularizer
        return rule if rule is not None and rule.engine_factors() is None else None

    @property
    def host_constraint(self) -> Constraint | None:
        """The constraint if it is written in Python, else None."""
        rule = self.constraint
        return rule if rule is not None and rule.engine_projection(self.ndim) is None else None

    @property
    def matrix_shape(self) -> tuple[int, int]:
        """Shape of the values in the engine: a matrix, or one row of all elements."""
        return (self._shape[0], self._shape[1]) if len(self._shape) == 2 else (1, self.size)

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.size * self._dtype.itemsize

    def numpy(self) -> Array:
        """Return a copy of the array."""
        return self.value.copy()

    def assign(self, value: npt.ArrayLike) -> Variable:
        """Write `value` into the array.

        Parameters
        ----------
        value : array_like
            Of the variable's shape; converted to its dtype.

        Returns
        -------
        Variable
            This variable.

        Raises
        ------
        TypeError, ValueError
            The values are not real numbers, or the shape differs. Nothing is written then.
        """
        array = self.converted(value)
        if not only_tries():
            self.take(array)
        return self

    def converted(self, value: npt.ArrayLike) -> Array:
        """Return what `assign` would write for a value, or raise."""
        array = real_array(f"Variable {self.path!r}", "value", constant(value) if is_traced(value) else value)
        if array.shape != self.shape:
            raise ValueError(f"Variable {self.path!r}: value must have shape {self.shape}; got {array.shape}.")
        if self._dtype.kind in "iu" and array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"Variable {self.path!r}: value must be finite for dtype {self.dtype}.")
        return converted(array, self._dtype)

    def take(self, array: Array) -> None:
        """Write an array that `converted` returned."""
        home = self._home
        if home.block is None:
            with self._once.taken():
                own = _OWN, array.copy()
                if home.block is None:  # nothing is called between this check and the assignment
                    self._copy = own
                    home.writes += 1
        if home.block is not None:
            home.block.write(self._tensor, array)
        if self.on_assign is not None:
            self.on_assign()

    def assign_add(self, value: npt.ArrayLike) -> Variable:
        """Add `value`, of the same shape or one number; otherwise as `assign`."""
        return self.assign(np.add(self.value, self._same_shape(value), dtype=self._dtype, casting="unsafe"))

    def assign_sub(self, value: npt.ArrayLike) -> Variable:
        """Subtract `value`, of the same shape or one number; otherwise as `assign`."""
        return self.assign(np.subtract(self.value, self._same_shape(value), dtype=self._dtype, casting="unsafe"))

    def _same_shape(self, value: npt.ArrayLike) -> Array:
        """Return an array of the variable's shape, or one number for all elements."""
        array = real_array(f"Variable {self.path!r}", "value", constant(value) if is_traced(value) else value)
        if array.shape not in (self.shape, ()):
            raise ValueError(f"Variable {self.path!r}: value must have shape {self.shape}; got {array.shape}.")
        return array

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        """Copy out, as `numpy` does."""
        check_untraced(self)
        if copy is False:
            raise ValueError(f"Variable {self.path!r}: an array of a variable is always a copy; got copy=False.")
        return np.array(self.value, dtype=dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **settings: Any) -> Any:
        """Compute with copies: ``variable + 1`` is an array, as in Keras a tensor."""
        for item in inputs:
            if isinstance(item, Variable):
                check_untraced(item)
        if out is not None:
            raise TypeError(f"Variable {self.path!r}: arithmetic in place is not possible; use assign.")
        arrays = [item.value if isinstance(item, Variable) else item for item in inputs]
        return getattr(ufunc, method)(*arrays, **settings)

    __hash__ = (
        object.__hash__
    )  # comparisons are of values, element by element, as in Keras; a dict tells variables apart

    def __getitem__(self, index: Any) -> Any:
        """Return a copy of a part."""
        return self.value[index].copy()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the cached copy if there is a block: the versions of a pickled block start anew."""
        return self.__dict__ if self._home.block is None else self.__dict__ | {"_copy": (_CHANGING, np.empty(0))}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore from a pickle, whose buffers may be read-only."""
        self.__dict__.update(state)
        if self._home.block is None:
            self._copy = _OWN, np.require(self._copy[1], None, ["C_CONTIGUOUS", "ALIGNED", "WRITEABLE"])

    def __len__(self) -> int:
        return len(self.value)

    def __repr__(self) -> str:
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}, value={self.value}>"

    def __float__(self) -> float:
        return float(self.value)

    def __int__(self) -> int:
        return int(self.value)


def check_aggregation(who: str, value: Any) -> None:
    """Raise unless `value` is one of Keras's choices; it has no effect, as variables are not distributed here."""
    choice(who, "aggregation", value, (None, "none", "mean", "sum", "only_first_replica"))


def _first_values(name: str, initializer: Any, shape: Any, dtype: Any) -> Array:
    """Return a new array for a variable: a copy of the given values, or the values of an initializer."""
    who = f"Variable {name!r}"
    dtype = config.any_dtype(who, dtype)
    shape = None if shape is None else sizes(who, "shape", shape)
    if callable(initializer) or isinstance(initializer, (str, dict)):
        if shape is None:
            raise ValueError(f"{who}: shape must be given with an initializer.")
        made = required(who, "initializer", initializers.get(initializer))(shape, dtype or config.floatx())
        return np.array(made, order="C")
    array = real_array(who, "initializer", initializer)
    if shape is not None and shape != array.shape:
        raise ValueError(f"{who}: the values must have shape {shape}; got {array.shape}.")
    plain = not hasattr(initializer, "dtype")
    if dtype is None and plain and array.dtype.kind == "f":
        dtype = config.floatx()
    return np.array(array if dtype is None else converted(array, dtype), order="C")
