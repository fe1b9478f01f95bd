"""Derivatives of functions that users write with `lamina.ops`, by the package autograd (extra ``ops``).

While a function is differentiated, autograd's boxes stand for its arrays; `lamina.ops` computes with both. Variables
that are differentiated with respect to are replaced by their boxes wherever `lamina.ops` gets them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import config
from lamina._common.checks import KindError
from lamina._data.arrays import real_array
from lamina._data.tensors import Tensor

__all__ = [
    "array_module",
    "check_untraced",
    "constant",
    "differentiable",
    "floats",
    "given",
    "is_traced",
    "of_one_kind",
    "pullback",
    "returned",
    "standing_for",
]

Array = npt.NDArray[Any]

# The boxes of variables, by their id, while a function of them is differentiated.
_boxes: ContextVar[dict[int, Any] | None] = ContextVar("boxes", default=None)
_module: list[Any] = []


def array_module() -> Any:
    """Return autograd's NumPy, which also computes with boxes; NumPy itself if autograd is not installed."""
    if not _module:
        try:
            import autograd.numpy as found  # here and below: `import lamina` need not load it
            from autograd.numpy.numpy_boxes import ArrayBox
            from autograd.numpy.numpy_vspaces import ArrayVSpace

            ArrayBox.register(Tensor)  # tensors are differentiated as arrays are
            ArrayVSpace.register(Tensor)
        except ImportError:
            found = np
        _module.append(found)
    return _module[0]


def is_traced(value: Any) -> bool:
    """Return whether a value is a box of autograd's."""
    return type(value).__module__.startswith("autograd.")


def given(value: Any, checked: bool = True) -> Any:
    """Return an argument as functions here compute with it: an array, a box, or a plain number as it is.

    An array must hold real numbers if it is `checked`.
    """
    boxes = _boxes.get()
    if boxes is not None and id(value) in boxes:
        return boxes[id(value)]
    if isinstance(value, (bool, int, float)) or is_traced(value):
        return value
    if isinstance(value, (list, tuple)) and any(is_traced(given(one, checked)) for one in value):
        return array_module().stack([given(one, checked) for one in value])
    if type(value) is np.ndarray and value.dtype.kind in "biuf":
        return value
    found = real_array("ops", "x", value) if checked else np.asarray(value)
    plain = found.dtype == np.float64 and isinstance(value, (list, tuple)) and _of_plain_numbers(value)
    return found.astype(config.floatx()) if plain else found


def _of_plain_numbers(value: Any) -> bool:
    """Return whether there are only Python's numbers in nested lists and tuples, which have no dtype."""
    if isinstance(value, (list, tuple)):
        return all(map(_of_plain_numbers, value))
    return type(value) in (bool, int, float)


_PLAIN = frozenset((bool, int, float, list, tuple))


def of_one_kind(*values: Any) -> tuple[Any, ...]:
    """Return arguments that are computed together: plain floats do not make float64 of integers, as NumPy would.

    Lists of plain floats get the dtype of the arrays of floats among the values; without any they, and integers beside
    a plain float, get the default dtype.
    """
    if not any(type(value) in _PLAIN for value in values):
        return values
    arrays = [np.dtype(value.dtype) for value in values if hasattr(value, "dtype")]
    found = [dtype for dtype in arrays if dtype.kind == "f"]
    wanted = np.result_type(*found) if found else np.dtype(config.floatx())
    if found and not any(isinstance(value, (list, tuple)) for value in values):
        return values
    lists = [isinstance(value, (list, tuple)) and _of_plain_numbers(value) for value in values]
    values = tuple(
        np.asarray(value, wanted) if plain and real_array("ops", "x", value).dtype.kind == "f" else value
        for value, plain in zip(values, lists, strict=True)
    )
    if found or not any(type(value) is float for value in values):
        return values
    if all(type(value) in (bool, int, float) for value in values):
        return tuple(np.asarray(value, wanted) for value in values)
    return tuple(value if type(value) in (bool, int, float) else floats(value) for value in values)


def floats(value: Any) -> Any:
    """Return an argument with integers as numbers of the default dtype, as functions of real numbers need them."""
    value = given(value)
    if isinstance(value, (bool, int, float)):
        return np.asarray(value, config.floatx())
    return value.astype(config.floatx()) if value.dtype.kind in "biu" else value


def constant(value: Any, checked: bool = True) -> Any:
    """Return an argument as an array, as `given`; one in a box counts as a constant: its derivative is 0."""
    value = given(value, checked)
    if is_traced(value):
        from autograd.tracer import getval

        while is_traced(value):
            value = getval(value)
    return np.asarray(value)


def returned(value: Any) -> Any:
    """Return a result: an array as a tensor, a box as it is."""
    return value if is_traced(value) else np.asarray(value).view(Tensor)


@contextmanager
def standing_for(variables: Sequence[Any], values: Sequence[Any]) -> Iterator[None]:
    """Let boxes stand for variables inside of the block."""
    before = _boxes.get()
    token = _boxes.set((before or {}) | {id(v): box for v, box in zip(variables, values, strict=True)})
    try:
        yield
    finally:
        _boxes.reset(token)


def check_untraced(variable: Any) -> None:
    """Raise if a variable is read as an array while a function of it is differentiated: its gradient would be lost."""
    boxes = _boxes.get()
    if boxes is not None and id(variable) in boxes:
        raise KindError(
            f"Variable {variable.path!r}: it must be used through an attribute of its layer, or in a function of "
            "lamina.ops; otherwise its gradient would be lost."
        )


def differentiable(function: Callable[..., Array], backward: Callable[..., Array]) -> Callable[..., Any]:
    """Return a function that also computes with boxes: of an array and of constants.

    Parameters
    ----------
    function : callable
        ``function(x, *constants)`` returns an array.
    backward : callable
        ``backward(dy, y, x, *constants)`` returns the gradient with respect to x.
    """
    from autograd.extend import defvjp, primitive

    found: Callable[..., Any] = primitive(function)
    defvjp(found, lambda y, x, *constants: lambda dy: backward(dy, y, x, *constants), argnums=(0,))
    return found


def pullback(
    who: str, function: Callable[..., Any], arguments: Sequence[Array]
) -> tuple[Array, Callable[[Array], Sequence[Array]]]:
    """Return the value of a function of arrays, and what turns the gradient of the value into those of the arguments.

    Raises
    ------
    ImportError
        autograd is not installed.
    TypeError
        The function computes with something else than `lamina.ops` and operators.
    """
    try:
        from autograd import make_vjp
    except ImportError:
        raise ImportError(
            f"{who}: gradients of functions of lamina.ops need autograd: pip install 'lamina[ops]'."
        ) from None
    array_module()
    made = make_vjp(lambda *values: given(function(*values), checked=False), tuple(range(len(arguments))))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Output seems independent of input")  # its gradient is 0
            back, value = made(*(np.asarray(argument) for argument in arguments))
    except TypeError as error:
        if not any(sign in str(error) for sign in ("ArrayBox", "Can't differentiate", "dtype('O')")):
            raise
        raise KindError(f"{who}: only functions of lamina.ops and operators can be differentiated; {error}.") from None
    return np.asarray(value), back
