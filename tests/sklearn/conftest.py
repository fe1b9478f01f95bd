"""What scikit-learn's own tests of perceptrons ask for."""

from __future__ import annotations

import pytest


@pytest.fixture(params=[0, 42])
def global_random_seed(request):
    return request.param
