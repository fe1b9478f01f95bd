"""scikit-learn's multi-layer perceptrons, trained by lamina. They need scikit-learn (extra ``sklearn``)."""

from __future__ import annotations

try:
    import sklearn  # noqa: F401  # to say what is missing
except ImportError:
    raise ImportError("lamina.sklearn needs scikit-learn: pip install 'lamina[sklearn]'.") from None

from lamina.sklearn.bagging import BaggingMLPClassifier, BaggingMLPRegressor
from lamina.sklearn.classifier import MLPClassifier
from lamina.sklearn.onnx_converters import register_onnx_converters
from lamina.sklearn.regressor import MLPRegressor
from lamina.sklearn.searching import cross_validate, search

__all__ = [
    "BaggingMLPClassifier", "BaggingMLPRegressor", "MLPClassifier", "MLPRegressor", "cross_validate",
    "register_onnx_converters", "search",
]  # fmt: skip
