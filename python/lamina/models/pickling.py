"""PickledModel: copies and pickles of models, also of those that another thread is training."""

from __future__ import annotations

import pickle
from contextvars import ContextVar
from typing import Any

from lamina._engine.variables import one_moment
from lamina.models.trainer import Trainer

__all__ = ["PickledModel"]


class PickledModel(Trainer):
    """A model whose copies and pickles are its state at one moment between two steps of training."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Copy as usual, or, if another thread is training the model, its state at one moment between two steps.

        The latter is a separate pickle: it shares no layers with other models that are copied or pickled with it.
        """
        if _apart.get() is self:
            return super().__reduce_ex__(protocol)
        if self.trains_elsewhere():
            return pickle.loads, (self.pickled_apart(protocol),)
        witness = _Witness(self)
        reduced: Any = super().__reduce_ex__(protocol)
        make, arguments, state, *others = reduced
        return make, arguments, (state | {_SEPARATE: witness} if isinstance(state, dict) else state), *others

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a state, or that of the separate copy, if there is one in it."""
        instead = state.get(_SEPARATE)
        self.__dict__.update(instead.__dict__ if isinstance(instead, PickledModel) else state)
        self.__dict__.pop(_SEPARATE, None)

    def trains_elsewhere(self) -> bool:
        """Return whether another thread trains or evaluates the model."""
        return self.executor.fitting.taken_elsewhere() or self.executor.running.taken_elsewhere()

    def pickled_apart(self, protocol: Any) -> bytes:
        """Return a pickle of the model alone, as it is at one moment between two steps of training."""
        before = _apart.get()
        try:  # set inside `try`: Ctrl-C may come right after it
            _apart.set(self)
            with self.stack.once.taken(), one_moment(self.stack.weights):
                return pickle.dumps(self, protocol)
        finally:
            _apart.set(before)


class _Witness:
    """Last item of a model's pickled state: pickles as None, or as a new copy if the model was trained meanwhile."""

    def __init__(self, model: PickledModel) -> None:
        self._model = model
        self._versions = self._now()

    def _now(self) -> list[Any]:
        blocks = (variable.block for variable in self._model.stack.weights)
        return [self._model.stack.built, *(None if block is None else block[0].version for block in blocks)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self._now() == self._versions and not self._model.trains_elsewhere():
            return type(None), ()
        return pickle.loads, (self._model.pickled_apart(protocol),)


# The model of which `pickled_apart` is making a separate pickle.
_apart: ContextVar[Any] = ContextVar("apart", default=None)
# Where a model's state holds that pickle, taken apart.
_SEPARATE = "separate copy"
