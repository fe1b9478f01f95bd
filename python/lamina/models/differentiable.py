"""Differentiable: the methods of a model that compute derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._common.checks import flag
from lamina._engine.variables import assign_all, one_moment
from lamina.models.base import BaseModel
from lamina.models.differentiator import flat as flat_of
from lamina.models.differentiator import of_flat

__all__ = ["Differentiable"]

Array = npt.NDArray[Any]


class Differentiable(BaseModel):
    """A model whose derivatives can be computed. They are those of the engine, and change nothing in the model.

    Without ``training=True`` there is no noise, and batch normalization uses its running moments. Layers and losses
    written in Python take part, by their `backward` or by autograd.
    """

    def value_and_gradient(
        self, x: Any, y: Any, sample_weight: Any = None, *, training: bool = False, flat: bool = False
    ) -> tuple[float, Any]:
        """Return the compiled loss of a batch, penalties included, and its gradient.

        Parameters
        ----------
        x, y : array_like, shape (n, ...)
        sample_weight : array_like, shape (n,), optional
        training : bool
            With the noise of the next batch, and with the batch's own moments.
        flat : bool
            Return the gradient as one vector, in the order of `flat_weights`.

        Returns
        -------
        tuple of float and list of ndarray
            The gradients have the order and the shapes of `trainable_weights`.

        Raises
        ------
        RuntimeError, AttributeError
            The model is not compiled, or not built.
        TypeError, ValueError
            The data do not fit.

        Examples
        --------
        >>> import lamina
        >>> model = lamina.Sequential([lamina.Input((1,)), lamina.layers.Dense(1, kernel_initializer="ones")])
        >>> model.compile(loss="mse")
        >>> model.value_and_gradient([[3.0]], [1.0], flat=True)
        (4.0, array([12.,  4.], dtype=float32))
        """
        method = "value_and_gradient"
        compiled = self.executor.require_compiled(method)
        draw = self.executor.draws.value if flag(self.stack.who(method), "training", training) else None
        flat = flag(self.stack.who(method), "flat", flat)
        return self.differentiator.value_and_gradients(method, compiled, x, y, sample_weight, draw, flat)

    def vjp(
        self,
        x: Any,
        dy: Any,
        *,
        training: bool = False,
        need_dx: bool = True,
        need_gradients: bool = True,
        flat: bool = False,
    ) -> tuple[Array, Array | None, Any]:
        """Return the output, and the products of an upstream gradient with its Jacobians.

        With ``dy = dL/dy`` of any loss L these are ``dL/dx`` and ``dL/dθ``.

        Parameters
        ----------
        x : array_like, shape (n, ...)
        dy : array_like
            Of the output's shape.
        training : bool
            With the noise of the next batch, and with the batch's own moments.
        need_dx, need_gradients : bool
            Whether ``dL/dx`` and ``dL/dθ`` are wanted. Indices and sparse rows have no ``dL/dx``.
        flat : bool
            Return ``dL/dθ`` as one vector, in the order of `flat_weights`.

        Returns
        -------
        y : ndarray
            The output for x.
        dx : ndarray, of the shape of x, or None
        gradients : list of ndarray, in the order and the shapes of `trainable_weights`, or None

        Raises
        ------
        AttributeError
            The model is not built.
        TypeError, ValueError
            The data do not fit, or `need_dx` is True for indices or sparse rows.

        Examples
        --------
        >>> import lamina
        >>> model = lamina.Sequential([lamina.Input((1,)), lamina.layers.Dense(1, kernel_initializer="ones")])
        >>> y, dx, (kernel, bias) = model.vjp([[3.0]], [[2.0]])
        >>> (y.item(), dx.item(), kernel.item(), bias.item())
        (3.0, 2.0, 6.0, 2.0)
        """
        method, who = "vjp", self.stack.who("vjp")
        need_dx, need_gradients = flag(who, "need_dx", need_dx), flag(who, "need_gradients", need_gradients)
        draw = self.executor.draws.value if flag(who, "training", training) else None
        flat = flag(who, "flat", flat)
        return self.differentiator.pull_back(method, x, dy, draw, need_dx, need_gradients, flat)

    def jacobian(self, x: Any, out: Array | None = None) -> Array:
        """Return the derivatives of each row's outputs by its inputs.

        Parameters
        ----------
        x : array_like, shape (n, ...)
        out : ndarray, optional
            Receives the result.

        Returns
        -------
        ndarray, shape (n, outputs, inputs)
            The axes of an output row, then those of an input row.

        Examples
        --------
        >>> import lamina
        >>> model = lamina.Sequential([lamina.Input((2,)), lamina.layers.Dense(1, kernel_initializer="ones")])
        >>> model.jacobian([[3.0, 4.0]]).tolist()
        [[[1.0, 1.0]]]
        """
        return self.differentiator.jacobian("jacobian", x, out)

    def parameter_jacobian(self, x: Any, out: Array | None = None) -> Array:
        """Return the derivatives of each row's outputs by the trainable weights.

        Parameters
        ----------
        x : array_like, shape (n, ...)
            Layers written in Python compute each row alone.
        out : ndarray, optional
            Receives the result.

        Returns
        -------
        ndarray, shape (n * outputs, parameters)
            All outputs of the first row, then those of the second, and so on; the columns in the order of
            `flat_weights`.

        Examples
        --------
        >>> import lamina
        >>> model = lamina.Sequential([lamina.Input((2,)), lamina.layers.Dense(1)])
        >>> model.parameter_jacobian([[3.0, 4.0]]).tolist()
        [[3.0, 4.0, 1.0]]
        """
        return self.differentiator.parameter_jacobian("parameter_jacobian", x, out)

    @property
    def flat_weights(self) -> Array:
        """A copy of the trainable weights as one vector, each row by row; assigning one assigns all of them."""
        self.stack.require_built("flat_weights")
        variables = self.stack.trainable_weights
        with one_moment(variables):
            return flat_of([variable.value for variable in variables], self.stack.default_dtype)

    @flat_weights.setter
    def flat_weights(self, value: Any) -> None:
        who = self.stack.who("flat_weights")
        self.stack.require_built("flat_weights")
        variables = self.stack.trainable_weights
        assign_all(who, variables, of_flat(who, variables, value))

    def objective(
        self, x: Any, y: Any, sample_weight: Any = None
    ) -> tuple[Callable[[Any], tuple[float, Array]], Array]:
        """Return the compiled loss of rows as a function of `flat_weights`, and their present value.

        For ``scipy.optimize.minimize(*model.objective(x, y), jac=True)``; assign its result to `flat_weights`.

        Parameters
        ----------
        x, y : array_like, shape (n, ...)
        sample_weight : array_like, shape (n,), optional

        Returns
        -------
        function : callable
            From a vector of weights to the loss, penalties included, and its gradient, in float64. It assigns the
            vector to the model.
        start : ndarray
            The present weights, in float64.
        """
        self.executor.require_compiled("objective")
        start = self.flat_weights.astype(np.float64)

        def function(weights: Any) -> tuple[float, Array]:
            self.flat_weights = weights
            value, gradient = self.value_and_gradient(x, y, sample_weight, flat=True)
            return value, gradient.astype(np.float64)

        return function, start
