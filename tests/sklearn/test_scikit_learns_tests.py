"""scikit-learn's own tests of its perceptrons, with only the import changed, and its checks of estimators."""

from __future__ import annotations

import inspect

import pytest
from sklearn.neural_network.tests import test_mlp
from sklearn.utils.estimator_checks import parametrize_with_checks

from lamina.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore")

# What reads a private member: the loss and gradient of scikit-learn's L-BFGS.
PRIVATE = {"test_gradient"}


def _changed(text):
    theirs = "from sklearn.neural_network import MLPClassifier, MLPRegressor"
    assert text.count(theirs) == 1
    return text.replace(theirs, "from lamina.sklearn import MLPClassifier, MLPRegressor")


_module = {"__name__": "test_mlp", "__file__": test_mlp.__file__}
exec(compile(_changed(inspect.getsource(test_mlp)), test_mlp.__file__, "exec"), _module)
_tests = {name: test for name, test in _module.items() if name.startswith("test_") and name not in PRIVATE}
globals().update(_tests)


def test_there_are_tests():
    assert len(_tests) > 35
    assert all(test.__globals__["MLPClassifier"] is MLPClassifier for test in _tests.values())


@parametrize_with_checks([MLPClassifier(), MLPRegressor(), MLPRegressor(solver="lbfgs")])
def test_checks(estimator, check):
    check(estimator)
