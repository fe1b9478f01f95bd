"""Functions of each element, and of pairs of elements."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lamina._data.autodiff import array_module, constant, floats, given, is_traced, of_one_kind, returned

Function = Callable[..., Any]


def _of_one(name: str, formula: str, convert: Callable[[Any], Any], compute: Callable[[Any, Any], Any]) -> Function:
    """Return a function of each element: ``compute(module, x)``."""

    def function(x: Any) -> Any:
        return returned(compute(array_module(), convert(x)))

    return _described(function, name, f"Return {formula} of each element; shape of `x`.")


def _of_two(
    name: str, formula: str, convert: Callable[[Any], Any], compute: Callable[[Any, Any, Any], Any]
) -> Function:
    """Return a function of pairs of elements: ``compute(module, x1, x2)``."""

    def function(x1: Any, x2: Any) -> Any:
        return returned(compute(array_module(), *map(convert, of_one_kind(x1, x2))))

    return _described(function, name, f"Return {formula} of each pair of elements; shapes are broadcast.")


def _described(function: Function, name: str, text: str) -> Function:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = text
    return function


def _numbers(name: str, formula: str, numpy_name: str | None = None) -> Function:
    return _of_one(name, formula, given, lambda module, x: getattr(module, numpy_name or name)(x))


def _reals(name: str, formula: str) -> Function:
    return _of_one(name, formula, floats, lambda module, x: getattr(module, name)(x))


def _pairs(name: str, formula: str) -> Function:
    return _of_two(name, formula, given, lambda module, x1, x2: getattr(module, name)(x1, x2))


absolute = _numbers("absolute", "``|x|``")
abs = absolute
negative = _numbers("negative", "``-x``")
square = _of_one("square", "``x²``", given, lambda module, x: x * x)
sign = _numbers("sign", "the sign, -1, 0 or 1,")
floor = _reals("floor", "the largest integer below or equal,")
ceil = _reals("ceil", "the smallest integer above or equal,")
isnan = _numbers("isnan", "whether it is NaN")
isinf = _numbers("isinf", "whether it is infinite")
isfinite = _numbers("isfinite", "whether it is finite")
logical_not = _numbers("logical_not", "whether it is 0")
exp = _reals("exp", "``e**x``")
expm1 = _reals("expm1", "``e**x - 1``")
log = _reals("log", "the natural logarithm")
log1p = _reals("log1p", "``log(1 + x)``")
log2 = _reals("log2", "the logarithm to base 2")
log10 = _reals("log10", "the logarithm to base 10")
sqrt = _reals("sqrt", "the square root")
rsqrt = _of_one("rsqrt", "``1 / sqrt(x)``", floats, lambda module, x: 1 / module.sqrt(x))
reciprocal = _of_one("reciprocal", "``1 / x``", floats, lambda module, x: 1 / x)
sin = _reals("sin", "the sine")
cos = _reals("cos", "the cosine")
tan = _reals("tan", "the tangent")
arcsin = _reals("arcsin", "the inverse sine")
arccos = _reals("arccos", "the inverse cosine")
arctan = _reals("arctan", "the inverse tangent")
sinh = _reals("sinh", "the hyperbolic sine")
cosh = _reals("cosh", "the hyperbolic cosine")
tanh = _reals("tanh", "the hyperbolic tangent")
arcsinh = _reals("arcsinh", "the inverse hyperbolic sine")
arccosh = _reals("arccosh", "the inverse hyperbolic cosine")
arctanh = _reals("arctanh", "the inverse hyperbolic tangent")

add = _pairs("add", "``x1 + x2``")
subtract = _pairs("subtract", "``x1 - x2``")
multiply = _pairs("multiply", "``x1 x2``")
divide = _of_two("divide", "``x1 / x2``", floats, lambda module, x1, x2: x1 / x2)
true_divide = divide
floor_divide = _of_two("floor_divide", "``floor(x1 / x2)``", constant, lambda _, x1, x2: x1 // x2)
mod = _pairs("mod", "the remainder of ``x1 / x2``")
power = _pairs("power", "``x1**x2``")
maximum = _pairs("maximum", "the larger one")
minimum = _pairs("minimum", "the smaller one")
arctan2 = _of_two("arctan2", "the angle of ``(x2, x1)``", floats, lambda module, x1, x2: module.arctan2(x1, x2))
logaddexp = _of_two("logaddexp", "``log(e**x1 + e**x2)``", floats, lambda module, x1, x2: module.logaddexp(x1, x2))
equal = _pairs("equal", "whether they are equal")
not_equal = _pairs("not_equal", "whether they differ")
greater = _pairs("greater", "whether ``x1 > x2``")
greater_equal = _pairs("greater_equal", "whether ``x1 >= x2``")
less = _pairs("less", "whether ``x1 < x2``")
less_equal = _pairs("less_equal", "whether ``x1 <= x2``")
logical_and = _pairs("logical_and", "whether both are true")
logical_or = _pairs("logical_or", "whether one is true")
logical_xor = _pairs("logical_xor", "whether one of both is true")


def round(x: Any, decimals: int = 0) -> Any:
    """Return numbers rounded to a number of decimals, halves to even; shape of `x`."""
    value = given(x)
    return returned(value if is_traced(value) and decimals else array_module().round(value, decimals))


def clip(x: Any, x_min: Any, x_max: Any) -> Any:
    """Return numbers limited to ``[x_min, x_max]``; the derivative outside is 0.

    Parameters
    ----------
    x : array_like
    x_min, x_max : float or array_like
    """
    value, low, high = given(x), given(x_min), given(x_max)
    module = array_module()
    if isinstance(low, float) or isinstance(high, float):
        value = floats(x)
    return returned(module.where(value < low, low, module.where(value > high, high, value)))


def where(condition: Any, x1: Any = None, x2: Any = None) -> Any:
    """Return `x1` where a condition holds and `x2` elsewhere; without them the indices at which it holds.

    Parameters
    ----------
    condition : array_like of bool
    x1, x2 : array_like, optional
        Broadcast to one shape.
    """
    chosen = constant(condition)
    if x1 is None and x2 is None:
        return tuple(returned(one) for one in np.where(chosen))
    return returned(array_module().where(chosen, *map(given, of_one_kind(x1, x2))))


_erf: list[Function] = []


def erf(x: Any) -> Any:
    """Return the error function ``2 / sqrt(pi) ∫₀ˣ e**(-t²) dt`` of each element; shape of `x`."""
    value = floats(x)
    if not is_traced(value):
        return returned(_erf_of(value))
    if not _erf:
        from autograd.extend import defvjp, primitive

        traced = primitive(_erf_of)
        defvjp(traced, lambda _, inner: lambda g: g * (2 / math.sqrt(math.pi)) * array_module().exp(-inner * inner))
        _erf.append(traced)
    return _erf[0](value)


def _erf_of(x: Any) -> Any:
    return np.vectorize(math.erf, [np.float64])(x).astype(x.dtype) if x.size else x


def isclose(x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Return whether elements are equal to within ``atol + rtol |x2|``."""
    return returned(np.isclose(constant(x1), constant(x2), rtol, atol, equal_nan))


def nan_to_num(x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """Return values with numbers in place of NaN and infinities: the largest that there are, by default."""
    value = floats(x)
    found = np.asarray(constant(value))
    filled = np.nan_to_num(found, nan=nan, posinf=posinf, neginf=neginf)
    return returned(array_module().where(np.isfinite(found), value, filled))
