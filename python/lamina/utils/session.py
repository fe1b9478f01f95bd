"""Seeds, and the names that a session has given."""

from __future__ import annotations

import numpy as np

from lamina import random
from lamina._common.checks import integer
from lamina._common.names import clear_session

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
