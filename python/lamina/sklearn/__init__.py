"""scikit-learn's multi-layer perceptrons, trained by lamina. They need scikit-learn (extra ``sklearn``)."""

from __future__ import annotations

try:
    import sklearn  # noqa: F401  # to say what is missing
except ImportError:
    raise ImportError("lamina.sklearn needs scikit-learn: pip install 'lamina[sklearn]'.") from None

from lamina.sklearn.classifier import MLPClassifier
from lamina.sklearn.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
