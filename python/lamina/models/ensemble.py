"""Ensemble: several models as one, whose predictions have a mean and a spread."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from lamina._common.checks import flag, listed, numbers
from lamina._common.custom import custom_object_scope
from lamina._engine.variables import one_moment
from lamina.models import files
from lamina.models.jobs import check_models
from lamina.models.model import Model
from lamina.models.prediction import outputs_of, predict_each, rows_for_each

__all__ = ["Ensemble"]

Array = npt.NDArray[Any]

# Numbers that the outputs of all members for a block of rows consist of, about: they stay in a second-level cache.
_BLOCK = 1 << 16


class Ensemble:
    """Several models of the same rows and outputs as one: mean, spread and quantiles of their predictions.

    All rows of a call see the weights of one moment, between two steps, of models that train meanwhile.

    Parameters
    ----------
    models : sequence of Model
        Built, at least one. They are used as they are, not copied.

    Attributes
    ----------
    models : tuple of Model

    Raises
    ------
    TypeError, ValueError, AttributeError
        There is no model, one of them is none or not built, or their inputs or outputs differ in shape.

    Examples
    --------
    >>> import lamina
    >>> def model(bias):
    ...     return lamina.Sequential([lamina.Input((2,)), lamina.layers.Dense(1, None, True, "ones", bias)])
    >>> ensemble = Ensemble([model("zeros"), model("ones")])
    >>> ensemble.predict([[1.0, 2.0]]).tolist(), ensemble.spread([[1.0, 2.0]]).tolist()
    ([[3.5]], [[0.5]])
    """

    def __init__(self, models: Sequence[Model]) -> None:
        found: list[Model] = listed("Ensemble", "models", models)
        _check("Ensemble", found)
        self.models = tuple(found)

    def __len__(self) -> int:
        return len(self.models)

    def __iter__(self) -> Iterator[Model]:
        return iter(self.models)

    def __getitem__(self, index: int) -> Model:
        return self.models[index]

    def __repr__(self) -> str:
        return f"<Ensemble of {len(self)}, {self.models[0].input_shape} to {self.models[0].output_shape}>"

    def predict(self, x: Any) -> Array:
        """Return the mean of the models' predictions.

        Parameters
        ----------
        x : array_like, shape (n, ...)

        Returns
        -------
        ndarray, shape (n, ...)
        """
        return self._reduced("predict", x, (), lambda outputs: outputs.mean(axis=0, dtype=np.float64))

    def spread(self, x: Any) -> Array:
        """Return the standard deviation of the models' predictions, ``sqrt(mean((yᵢ - mean(yᵢ))²))``.

        It says how far the models disagree. It does not include the noise of the targets.

        Parameters
        ----------
        x : array_like, shape (n, ...)

        Returns
        -------
        ndarray, shape (n, ...)
        """
        return self._reduced("spread", x, (), lambda outputs: outputs.std(axis=0, dtype=np.float64))

    def quantiles(self, x: Any, q: Any) -> Array:
        """Return quantiles of the models' predictions, interpolated linearly as by `numpy.quantile`.

        Parameters
        ----------
        x : array_like, shape (n, ...)
        q : float, or sequence of float, in [0, 1]

        Returns
        -------
        ndarray, shape (n, ...) for one number, else (len(q), n, ...)
        """
        single = np.ndim(q) == 0
        wanted = numbers("Ensemble: quantiles", "q", [q] if single else q, 0, 1)
        if not wanted:
            raise ValueError("Ensemble: quantiles: q must not be empty.")
        found = self._reduced("quantiles", x, (len(wanted),), lambda outputs: np.quantile(outputs, wanted, axis=0))
        return found[0] if single else found

    def predict_members(self, x: Any) -> Array:
        """Return the predictions of each model.

        Parameters
        ----------
        x : array_like, shape (n, ...)

        Returns
        -------
        ndarray, shape (models, n, ...)
        """
        return predict_each("Ensemble: predict_members", self.models, x)

    def _reduced(self, method: str, x: Any, axes: tuple[int, ...], reduce: Callable[[Array], Array]) -> Array:
        """Return what `reduce` makes of the outputs of all models, of blocks of rows: ``(models, n, ...)`` to axes."""
        who = f"Ensemble: {method}"
        rows = rows_for_each(who, self.models, x)
        total, shape = len(rows[0]), self.models[0].executor.network(rows[0]).output_shape
        found = np.empty((*axes, total, *shape), np.result_type(*(model.dtype for model in self.models)))
        size = max(1, _BLOCK // (len(self) * max(1, math.prod(shape))))
        weights = [variable for model in self.models for variable in model.weights]
        with one_moment(weights), np.errstate(all="ignore"):  # infinite outputs give NaN, without NumPy's warning
            for first in range(0, total, size):
                part = slice(first, first + size)
                outputs = outputs_of(who, self.models, [own[part] for own in rows])
                found[(slice(None),) * len(axes) + (part,)] = reduce(outputs)
        return found

    def save(self, filepath: Any, overwrite: bool = True) -> None:
        """Write all models into one file, with their optimizers' state.

        Parameters
        ----------
        filepath : str or Path
            Ends in ``.safetensors``. A file that is there is replaced at the end.
        overwrite : bool
            Whether there may be such a file.

        Raises
        ------
        TypeError, ValueError, OSError
            The name does not fit, a model cannot be held by a file, or the file cannot be written.
        """
        _check("Ensemble: save", self.models)
        files.save_ensemble("Ensemble: save", self.models, filepath, overwrite)

    @classmethod
    def load(cls, filepath: Any, custom_objects: dict[str, Any] | None = None, compile: bool = True) -> Self:
        """Return the ensemble that `save` wrote. Reading a file executes nothing.

        Parameters
        ----------
        filepath : str or Path
        custom_objects : dict, optional
            Name → class or function, for user-defined ones that are not registered.
        compile : bool
            Whether to restore optimizers, losses and metrics, too.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        ValueError
            The file is damaged, or holds no ensemble.
        """
        who = "Ensemble: load"
        with custom_object_scope(custom_objects):
            found: list[Any] = files.load_ensemble(who, filepath, flag(who, "compile", compile))
        return cls(found)


def _check(who: str, models: Sequence[Any]) -> None:
    """Raise unless they are built models of the same input and output."""
    if not models:
        raise ValueError(f"{who}: models must not be empty.")
    check_models(who, models)
    for i, model in enumerate(models):
        model.stack.require_built(f"{who}: models[{i}]")
        for name in ("input_shape", "output_shape"):
            shape, first = getattr(model, name), getattr(models[0], name)
            if shape != first:
                raise ValueError(
                    f"{who}: models must have the same {name}; that of models[{i}] is {shape}, that of models[0] "
                    f"{first}."
                )
