"""Models from scikit-learn's multi-layer perceptrons, and for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._common.checks import KindError
from lamina._files import network as steps
from lamina._files.network import NetworkState, Step
from lamina.models import Model, Sequential
from lamina.models.from_network import model_from_network
from lamina.models.networks import network_state
from lamina.saving.weights import checked_model

__all__ = ["from_sklearn", "to_sklearn"]

Array = npt.NDArray[Any]

# By scikit-learn's names of activations, those of the steps.
_ACTIVATIONS = {
    "exp": "exponential", "identity": None, "logistic": "sigmoid", "relu": "relu", "softmax": "softmax", "tanh": "tanh",
}  # fmt: skip
_NAMES = {name: theirs for theirs, name in _ACTIVATIONS.items() if theirs != "exp"}


def from_sklearn(estimator: Any) -> Sequential:
    """Return a model that computes what a fitted multi-layer perceptron of scikit-learn, or of `lamina.sklearn`, does.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Fitted. It is read by its attributes, without importing scikit-learn.

    Returns
    -------
    Sequential
        Of the dtype of the estimator's coefficients, not compiled. For a classifier its outputs are the probabilities
        of ``estimator.classes_``, in their order; of two classes that of the second alone, from a sigmoid.

    Raises
    ------
    TypeError
        The object is no multi-layer perceptron.
    ValueError
        It is not fitted, or has an activation that is unknown here.
    """
    who = "from_sklearn"
    if isinstance(estimator, type):
        raise KindError(f"{who}: estimator must be an estimator; got the class {estimator.__name__}.")
    if hasattr(estimator, "to_model"):  # it knows what its network needs
        found = estimator.to_model()
        if not isinstance(found, Sequential):
            raise KindError(f"{who}: to_model of the {type(estimator).__name__} must return a model.")
        return found
    if not hasattr(estimator, "hidden_layer_sizes") or not hasattr(estimator, "activation"):
        raise KindError(f"{who}: estimator must be an MLPClassifier or MLPRegressor; got {type(estimator).__name__}.")
    if not hasattr(estimator, "coefs_"):
        raise ValueError(f"{who}: the {type(estimator).__name__} must be fitted.")
    kernels, biases = list(map(np.asarray, estimator.coefs_)), list(map(np.asarray, estimator.intercepts_))
    names = [estimator.activation] * (len(kernels) - 1) + [estimator.out_activation_]
    chain: list[Step] = []
    for kernel, bias, name in zip(kernels, biases, names, strict=True):
        if name not in _ACTIVATIONS:
            raise ValueError(f"{who}: there is no activation {name!r}; there are {', '.join(_ACTIVATIONS)}.")
        chain.append(steps.Dense("dense", bias.shape, kernel, bias))
        function = _ACTIVATIONS[name]
        chain += [] if function is None else [steps.activation(function, bias.shape)]
    dtype = "float32" if kernels[0].dtype == np.float32 else "float64"
    return model_from_network(NetworkState("sequential", dtype, (len(kernels[0]),), False, chain))


def to_sklearn(model: Model, classes: Any = None) -> Any:
    """Return a fitted multi-layer perceptron of scikit-learn that predicts what a model does.

    Parameters
    ----------
    model : Model
        Built, of dense layers whose hidden activations are all the same: none, "relu", "sigmoid" or "tanh". What is
        nothing in predictions, as dropout, is left out.
    classes : array_like, optional
        For a model that ends in a softmax, or in a sigmoid of one column: the labels of its columns, or of 0 and 1.
        Integers from 0 if omitted.

    Returns
    -------
    sklearn.neural_network.MLPClassifier or MLPRegressor
        A classifier if the model ends in a softmax, or in a sigmoid; of several columns with one, each is a label of
        its own (multilabel). A regressor if it ends without an activation.

    Raises
    ------
    ImportError
        scikit-learn is missing.
    ValueError
        The model has other layers or activations, or there are not as many classes as columns.
    """
    who = "to_sklearn"
    stack = checked_model(who, model).stack
    stack.require_built(who)
    kernels, biases, names = _perceptron(who, network_state(who, stack))
    hidden, out, columns = set(names[:-1]), names[-1], kernels[-1].shape[1]
    if len(hidden) > 1 or "softmax" in hidden or out not in (None, "softmax", "sigmoid"):
        raise ValueError(
            f"{who}: hidden layers must all have the same activation of none, relu, sigmoid and tanh, and the last one "
            f"none, sigmoid or softmax; they are {', '.join(map(str, names))}."
        )
    try:
        from sklearn.neural_network import MLPClassifier, MLPRegressor
    except ImportError:
        raise ImportError(f"{who} needs scikit-learn: pip install 'lamina[sklearn]'.") from None
    if out == "softmax" and columns == 2:  # there two classes have one column, and a sigmoid
        kernels[-1], biases[-1] = np.diff(kernels[-1]), np.diff(biases[-1])
        out, columns = "sigmoid", 1
    arguments = {
        "hidden_layer_sizes": [kernel.shape[1] for kernel in kernels[:-1]],
        "activation": _NAMES[next(iter(hidden), "relu")],
        "random_state": 0,
    }
    x = np.zeros((max(2, columns), len(kernels[0])), stack.dtype)
    if out is None:
        if classes is not None:
            raise ValueError(f"{who}: classes must be None for a model that ends without an activation.")
        estimator = MLPRegressor(**arguments)
        estimator.partial_fit(x, np.zeros(len(x)) if columns == 1 else np.zeros((len(x), columns)))
    else:
        estimator = MLPClassifier(**arguments)
        labels = _labels(who, classes, columns, out)
        several = out == "sigmoid" and columns > 1
        y = np.eye(len(x), columns, dtype=int) if several else np.resize(labels, len(x))
        try:
            estimator.partial_fit(x, y, classes=labels)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{who}: classes must be labels for scikit-learn; got {classes!r}: {error}") from None
    return _untrained(estimator, kernels, biases)


def _untrained(estimator: Any, kernels: list[Array], biases: list[Array]) -> Any:
    """Return an estimator with its weights, as if it had got them without a training."""
    estimator.coefs_, estimator.intercepts_ = kernels, biases
    estimator.t_ = estimator.n_iter_ = 0
    estimator.loss_curve_, estimator.best_loss_ = [], np.inf
    for name in ("loss_", "_optimizer", "_random_state"):  # the next partial_fit makes new ones
        vars(estimator).pop(name, None)
    return estimator.set_params(random_state=None)


def _perceptron(who: str, state: NetworkState) -> tuple[list[Array], list[Array], list[str | None]]:
    """Return the kernels, the biases and the activations of a network of dense layers."""
    kernels: list[Array] = []
    biases: list[Array] = []
    names: list[str | None] = []
    for step in state.steps:
        if isinstance(step, steps.Noise):
            continue
        if isinstance(step, steps.Dense) and len(step.row_shape) == 1:
            kernels.append(step.kernel)
            biases.append(np.zeros(step.row_shape, state.dtype) if step.bias is None else step.bias)
            names.append(None)
        elif isinstance(step, steps.Activation) and names and names[-1] is None and step.name in _NAMES:
            names[-1] = step.name
        else:
            kind = step.name if isinstance(step, steps.Activation) else type(step).__name__
            raise ValueError(f"{who}: a multi-layer perceptron has no {kind}, as {step.layer!r} has in its place.")
    if not kernels:
        raise ValueError(f"{who}: the model must have dense layers.")
    return kernels, biases, names


def _labels(who: str, classes: Any, columns: int, out: str) -> Array:
    count = 2 if columns == 1 else columns
    if columns == 1 and out == "softmax":
        raise ValueError(f"{who}: a softmax must have several columns.")
    if columns > 1 and out == "sigmoid" and classes is not None:
        raise ValueError(f"{who}: classes must be None for several columns of a sigmoid: each is a label of its own.")
    try:
        labels = np.arange(count) if classes is None else np.unique(np.asarray(classes))
    except TypeError:
        raise KindError(f"{who}: classes must be labels of one type; got {classes!r}.") from None
    if len(labels) != count or (classes is not None and not np.array_equal(labels, np.asarray(classes))):
        raise ValueError(f"{who}: classes must be {count} different labels in ascending order; got {classes!r}.")
    return labels
