"""What the parameters of the estimators may be, in the words of scikit-learn's checks."""

from __future__ import annotations

import inspect
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, Options, StrOptions, validate_parameter_constraints

from lamina.optimizers import Optimizer

__all__ = ["ACTIVATIONS", "COMMON", "Interval", "Options", "StrOptions", "checked"]

_POSITIVE = Interval(Integral, 1, None, closed="left")
_NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
_SHARE = Interval(Real, 0, 1, closed="left")

# scikit-learn's activations, and others of the library by their names in Keras.
ACTIVATIONS = {
    "identity", "logistic", "tanh", "relu", "elu", "exponential", "gelu", "hard_sigmoid", "leaky_relu", "mish", "relu6",
    "selu", "silu", "softplus", "softsign",
}  # fmt: skip

COMMON: dict[str, list[Any]] = {
    "hidden_layer_sizes": ["array-like", _POSITIVE],
    "activation": [StrOptions(ACTIVATIONS), "array-like"],
    "solver": [StrOptions({"lbfgs", "sgd", "adam"}), Optimizer],
    "alpha": [_NOT_NEGATIVE],
    "batch_size": [StrOptions({"auto"}), _POSITIVE],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "power_t": [_NOT_NEGATIVE],
    "max_iter": [_POSITIVE],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [_NOT_NEGATIVE],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [_SHARE],
    "beta_1": [_SHARE],
    "beta_2": [_SHARE],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "n_iter_no_change": [_POSITIVE, Options(Real, {np.inf})],
    "max_fun": [_POSITIVE],
    "dropout": [_SHARE, "array-like"],
    "batch_normalization": ["boolean"],
    "callbacks": [list, tuple, None],
    "standardize": ["boolean"],
    "categorical_features": [StrOptions({"from_dtype"}), "array-like", None],
    "impute": [StrOptions({"mean", "median", "most_frequent"}), None],
}


# What the elements of a list may be, where a parameter is one.
_ELEMENTS: dict[str, list[Any]] = {
    "activation": [StrOptions(ACTIVATIONS)],
    "dropout": [_SHARE],
    "quantile": [Interval(Real, 0, 1, closed="both")],
}


_MUTABLE = (list, dict, np.ndarray)


_DEFAULTS: dict[type, dict[str, Any]] = {}  # of the estimators' parameters


def _defaults(kind: type, allowed: dict[str, list[Any]]) -> dict[str, Any]:
    """Return the defaults of an estimator's parameters; raise unless they are allowed."""
    found = _DEFAULTS.get(kind)
    if found is None:
        found = {name: one.default for name, one in inspect.signature(kind).parameters.items() if name in allowed}
        validate_parameter_constraints(allowed, found, caller_name=kind.__name__)
        _DEFAULTS[kind] = found
    return found


def checked(
    estimator: BaseEstimator, allowed: dict[str, list[Any]], before: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the parameters of an estimator; raise `InvalidParameterError` unless all of them are allowed.

    Defaults, and those that were returned `before`, are not checked again.
    """
    found = {name: getattr(estimator, name) for name in allowed}
    known = _defaults(type(estimator), allowed) if before is None else before
    new = {name: value for name, value in found.items() if known.get(name, _MUTABLE) is not value}
    new |= {name: value for name, value in found.items() if isinstance(value, _MUTABLE)}
    if not new:
        return found
    kind = type(estimator).__name__
    validate_parameter_constraints(allowed, new, caller_name=kind)
    for name in new.keys() & _ELEMENTS.keys():
        if not isinstance(new[name], str) and np.ndim(new[name]) > 0:
            for element in new[name]:
                validate_parameter_constraints(_ELEMENTS, {name: element}, caller_name=kind)
    return found
