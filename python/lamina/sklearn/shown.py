"""ShownWeights: the weights of an estimator as its attributes."""

from __future__ import annotations

from typing import Any

from lamina.sklearn.weights import Weights

__all__ = ["ShownWeights"]


class ShownWeights:
    """Gives an estimator `coefs_` and `intercepts_`, which may be changed and replaced, also before there is a fit."""

    def _weights(self) -> Weights:
        """Return the place of the weights, which a new estimator does not have yet."""
        found: Weights | None = self.__dict__.get("_kept_weights")
        if found is None:
            found = self._kept_weights = Weights()
        return found

    def _shown(self, name: str) -> list[Any]:
        weights: Weights | None = self.__dict__.get("_kept_weights")
        if weights is None or not weights.can_show(name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute '{name}_'")
        return weights.shown(name)

    @property
    def coefs_(self) -> list[Any]:
        """The kernels of the layers, each of shape (inputs, outputs). Changing them changes the network."""
        return self._shown("coefs")

    @coefs_.setter
    def coefs_(self, arrays: Any) -> None:
        self._weights().show("coefs", arrays)

    @coefs_.deleter
    def coefs_(self) -> None:
        self._shown("coefs")
        self._weights().hide("coefs")

    @property
    def intercepts_(self) -> list[Any]:
        """The biases of the layers, each of shape (outputs,)."""
        return self._shown("intercepts")

    @intercepts_.setter
    def intercepts_(self, arrays: Any) -> None:
        self._weights().show("intercepts", arrays)

    @intercepts_.deleter
    def intercepts_(self) -> None:
        self._shown("intercepts")
        self._weights().hide("intercepts")

    def __sklearn_is_fitted__(self) -> bool:
        """Return whether there are weights, of `fit` or of the user."""
        weights: Weights | None = self.__dict__.get("_kept_weights")
        return weights is not None and weights.can_show("coefs") and weights.can_show("intercepts")
