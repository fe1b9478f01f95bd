"""Keras models as scikit-learn estimators, with Keras's names. They need scikit-learn (extra ``sklearn``)."""

from __future__ import annotations

try:
    import sklearn  # noqa: F401
except ImportError:
    raise ImportError("lamina.wrappers needs scikit-learn: pip install 'lamina[sklearn]'.") from None

from lamina.wrappers.estimators import SKLearnClassifier, SKLearnRegressor, SKLearnTransformer

__all__ = ["SKLearnClassifier", "SKLearnRegressor", "SKLearnTransformer"]
