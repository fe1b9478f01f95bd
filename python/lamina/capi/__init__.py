"""Models for C, C++ and Cython: what `lamina.h` and the declarations for Cython beside this file work on.

Code that is compiled against them runs a model, and the dense layer, without Python: see docs/interchange.md.
"""

from __future__ import annotations

from typing import Any

from lamina import _core
from lamina._common.checks import KindError
from lamina.models import Model
from lamina.models.prediction import network_of

__all__ = ["network"]


def network(model: Model) -> Any:
    """Return a model as an object for ``lamina_network_of`` of `lamina.h`.

    It computes what `Model.predict` does, with the model's weights of the moment: those of a model that is trained
    meanwhile are those between two steps. Layers that are added later are not in it. Noise that predictions have, of
    layers that were called with ``training=True``, is drawn anew in each call.

    Parameters
    ----------
    model : Model

    Returns
    -------
    capsule
        Keeps what it needs of the model.

    Raises
    ------
    TypeError
        `model` is none.
    ValueError
        The model is not built, or has layers that are written in Python.
    """
    if not isinstance(model, Model):
        raise KindError(f"network: model must be a model; got {type(model).__name__}.")
    return _core.network_for_c(network_of("network", model))
