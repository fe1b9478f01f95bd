"""Seeds, and the names that a session has given."""

from __future__ import annotations

import numpy as np

from lamina import backend, random
from lamina._common.checks import integer

__all__ = ["clear_session", "set_random_seed"]


def set_random_seed(seed: int) -> None:
    """Seed lamina and, as in Keras, Python's and NumPy's global generators, to make results repeatable.

    Parameters
    ----------
    seed : int in [0, 2**32)

    Raises
    ------
    TypeError, ValueError
        Not an integer, or out of range.
    """
    number = integer("set_random_seed", "seed", seed, 0, 2**32 - 1)
    import random as python_random  # here: `import lamina` need not load it

    python_random.seed(number)
    np.random.seed(number)  # noqa: NPY002  (Keras users draw from it after this call)
    random.global_seeds.reset(number)


def clear_session(free_memory: bool = True) -> None:
    """Restart the numbering of automatic names, such as those of layers and metrics."""
    backend.clear_session(free_memory)
