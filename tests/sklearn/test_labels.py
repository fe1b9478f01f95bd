"""Labels as numbers for the network, and back."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from sklearn.preprocessing import LabelBinarizer

from lamina.sklearn import MLPClassifier
from lamina.sklearn.labels import Labels, are_in_columns

RNG = np.random.RandomState(0)
LABELS = {
    "numbers": np.array([3, 1, 2, 3, 1]),
    "two numbers": np.array([-1, 5, 5, -1]),
    "bools": np.array([True, False, True]),
    "names": np.array(["no", "yes", "maybe", "no"]),
    "objects": np.array(["b", "a", "c", "a"], object),
    "floats": np.array([0.0, 2.0, 1.0, 2.0]),
    "one class": np.array(["a", "a", "a"]),
    "list": [1, 0, 1],
    "columns": np.array([[1, 0, 1], [0, 0, 1], [1, 1, 0]]),
    "sparse columns": scipy.sparse.csr_matrix([[1, 0, 1], [0, 0, 1], [1, 1, 0]]),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_are_those_of_a_binarizer(name):
    y = LABELS[name]
    ours, theirs = Labels(y), LabelBinarizer().fit(y)
    np.testing.assert_array_equal(ours.classes, theirs.classes_)
    assert ours.in_columns == are_in_columns(y) == ("columns" in name)
    columns = theirs.transform(y)
    columns = columns.toarray() if scipy.sparse.issparse(columns) else columns
    found = ours.encoded(y)
    if ours.several:
        np.testing.assert_array_equal(np.eye(len(ours.classes))[found], columns)
    else:
        np.testing.assert_array_equal(found, columns)
        assert found.dtype == np.float32
    outputs = RNG.rand(50, len(ours.classes) if ours.several else columns.shape[1])
    expected = theirs.inverse_transform(outputs if outputs.shape[1] > 1 else outputs.ravel())
    decided = ours.decided(outputs)
    assert scipy.sparse.issparse(decided) == scipy.sparse.issparse(y)
    np.testing.assert_array_equal(*(a.toarray() if scipy.sparse.issparse(a) else a for a in (decided, expected)))


WRONG = [np.array([0.5, 1.5]), np.array([[1, 2], [3, 4]]), [[1], [2, 3]], np.array([None, 1])]


@pytest.mark.parametrize("wrong", WRONG)
def test_what_are_no_labels(wrong):
    with pytest.raises((ValueError, TypeError)):
        Labels(wrong)


def test_later_labels_must_be_of_the_same_kind():
    X = RNG.standard_normal((30, 3))
    single, columns = np.arange(30) % 3, np.eye(3, dtype=int)[np.arange(30) % 3]
    for first, second, words in ((single, columns, "one label for each row"), (columns, single, "labels in columns")):
        model = MLPClassifier(max_iter=2).partial_fit(X, first, classes=[0, 1, 2] if first is single else None)
        with pytest.raises(ValueError, match=words):
            model.partial_fit(X, second)
