"""Cross-validation: folds, scores and predictions as of models that are trained and tested one by one."""

import tracemalloc

import numpy as np
import pytest

import lamina
from lamina import layers
from lamina.models import CrossValidation, cross_validate


@pytest.fixture
def data(rng):
    x = rng.standard_normal((90, 4)).astype("f")
    return x, (x[:, 0] + x[:, 1] > 0).astype(int) + (x[:, 2] > 1)


def _made(dtype="float32", loss="sparse_categorical_crossentropy"):
    model = lamina.Sequential(
        [lamina.Input((4,)), layers.Dense(8, "relu", dtype=dtype), layers.Dense(3, "softmax", dtype=dtype)]
    )
    model.compile("adam", loss, metrics=["accuracy"])
    return model


@pytest.mark.parametrize("weighted", [False, True])
def test_folds_are_those_of_single_fits(rng, data, weighted):
    x, y = data
    weights = rng.uniform(0.5, 2, len(x)) if weighted else None
    lamina.utils.set_random_seed(4)
    found = cross_validate(_made, x, y, 3, epochs=4, batch_size=16, sample_weight=weights, verbose=0)
    assert isinstance(found, CrossValidation)
    assert "3 folds" in repr(found)
    lamina.utils.set_random_seed(4)
    predictions = np.empty((90, 3), "f")
    for i, (train, test) in enumerate(found.folds):
        twin = _made()
        own = (None, None) if weights is None else (weights[train], weights[test])
        history = twin.fit(x[train], y[train], epochs=4, batch_size=16, sample_weight=own[0], verbose=0)
        assert history.history == found.histories[i].history
        np.testing.assert_array_equal(twin.flat_weights, found.models[i].flat_weights)
        logs = twin.evaluate(x[test], y[test], sample_weight=own[1], verbose=0, return_dict=True)
        assert {name: values[i] for name, values in found.scores.items()} == logs
        predictions[test] = twin.predict(x[test], verbose=0)
    np.testing.assert_array_equal(found.predictions, predictions)


@pytest.mark.parametrize("count", [2, 5, 7])
def test_random_folds_hold_each_row_once_and_their_share_of_classes(data, count):
    x, y = data
    found = cross_validate(_made, x, y, count, verbose=0)
    tests = [test for _, test in found.folds]
    np.testing.assert_array_equal(np.sort(np.concatenate(tests)), np.arange(90))
    for train, test in found.folds:
        np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(90))
        assert abs(len(test) - 90 / count) < 1
        for label in range(3):
            assert abs((y[test] == label).sum() - (y == label).sum() / count) < 1
    assert not all((np.diff(test) == count).all() for test in tests)


def test_folds_depend_on_the_seed_alone(data):
    x, y = data
    runs = []
    for seed in (1, 1, 2):
        lamina.utils.set_random_seed(seed)
        runs.append(cross_validate(_made, x, y, 3, verbose=0))
    np.testing.assert_array_equal(runs[0].predictions, runs[1].predictions)
    assert not np.array_equal(runs[0].folds[0][1], runs[2].folds[0][1])


def test_targets_that_are_no_classes(rng):
    x = rng.standard_normal((40, 2)).astype("f")

    def made():
        model = lamina.Sequential([lamina.Input((2,)), layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    found = cross_validate(made, x, x[:, :1] * 2, 4, epochs=100, batch_size=4, verbose=0)
    assert list(found.scores) == ["loss"]
    assert found.scores["loss"].shape == (4,)
    np.testing.assert_allclose(found.predictions, x[:, :1] * 2, atol=0.2)


def test_splitters_and_pairs(data):
    selection = pytest.importorskip("sklearn.model_selection")
    x, y = data
    groups = np.arange(90) // 6
    splitter = selection.GroupKFold(3)
    found = cross_validate(_made, x, y, splitter, groups=groups, verbose=0)
    for (train, test), (known_train, known_test) in zip(found.folds, splitter.split(x, y, groups), strict=True):
        np.testing.assert_array_equal(train, known_train)
        np.testing.assert_array_equal(test, known_test)
    lamina.utils.set_random_seed(0)
    one = cross_validate(_made, x, y, list(selection.KFold(3).split(x)), verbose=0)
    lamina.utils.set_random_seed(0)
    two = cross_validate(_made, x, y, selection.KFold(3), verbose=0)
    np.testing.assert_array_equal(one.predictions, two.predictions)


def test_rows_in_several_folds_and_in_none(data):
    x, y = data
    folds = [(np.arange(40, 90), np.arange(20)), *[(np.arange(40, 90), np.arange(10, 30))] * 2]
    found = cross_validate(_made, x, y, folds, verbose=0)
    each = np.stack([model.predict_on_batch(x) for model in found.models])
    np.testing.assert_array_equal(found.predictions[:10], each[0, :10])
    mean = each[:, 10:20].astype(np.float64).sum(axis=0) / 3
    np.testing.assert_array_equal(found.predictions[10:20], mean.astype(np.float32))
    mean = each[1:, 20:30].astype(np.float64).sum(axis=0) / 2
    np.testing.assert_array_equal(found.predictions[20:30], mean.astype(np.float32))
    assert np.isnan(found.predictions[30:]).all()


def test_validation_rows_come_from_outside_of_the_fold(data):
    x, y = data
    train = np.r_[np.arange(60), np.arange(20)]  # twenty of them twice
    folds = [(train, np.arange(60, 90))]
    stop = {"monitor": "val_loss", "patience": 1, "restore_best_weights": True}
    found = cross_validate(_made, x, y, folds, epochs=60, validation_split=0.25, early_stopping=stop, verbose=0)
    kept = found.folds[0][0]
    left_out = np.setdiff1d(np.arange(60), kept)
    assert len(left_out) == 15
    np.testing.assert_array_equal(np.unique(np.concatenate([kept, left_out])), np.arange(60))
    losses = found.histories[0].history["val_loss"]
    model = found.models[0]
    best = model.evaluate(x[left_out], y[left_out], verbose=0, return_dict=True)["loss"]
    assert best == pytest.approx(min(losses), rel=1e-6)


def test_sparse_rows_and_frames(data):
    sparse, pandas = pytest.importorskip("scipy.sparse"), pytest.importorskip("pandas")
    x, y = data
    x = np.where(np.abs(x) > 1, x, 0)
    found = []
    for rows, targets in [(x, y), (sparse.csr_array(x), y), (pandas.DataFrame(x), pandas.Series(y))]:
        lamina.utils.set_random_seed(3)
        found.append(cross_validate(_made, rows, targets, 3, epochs=2, verbose=0).predictions)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found[2], found[0])


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"folds": 1}, ValueError, "folds must"),
        ({"folds": 91}, ValueError, "at most the number of rows, 90"),
        ({"folds": 2.5}, TypeError, "folds must be a number, an object with"),
        ({"folds": "kfold"}, TypeError, "folds must be a number, an object with"),
        ({"folds": True}, TypeError, "folds must be a number, an object with"),
        ({"groups": np.zeros(89), "folds": [([0, 1], [2])]}, ValueError, r"groups must have shape \(90,\)"),
        ({"early_stopping": {"monitor": "val_loss"}}, ValueError, "got 'val_loss'.*rows to validate"),
        ({"folds": []}, ValueError, "must not be empty"),
        ({"folds": [([0, 1], [2]), [3]]}, TypeError, r"folds\[1\] must be a pair"),
        ({"folds": [([0, 1], [90])]}, ValueError, r"folds\[0\]\[1\] must lie in \[0, 90\)"),
        ({"folds": [([0, 1], [])]}, ValueError, r"folds\[0\]\[1\] must not be empty"),
        ({"folds": [([0, 1, 2], [2, 3])]}, ValueError, "must not train on rows that it tests on; one is 2"),
        ({"folds": [([0, 1], [3, 3])]}, ValueError, "each row to test on once"),
        ({"groups": np.zeros(90)}, ValueError, "groups must be None unless"),
        ({"validation_split": 1.0}, ValueError, "validation_split must"),
        ({"validation_split": 1e-6}, ValueError, "validation_split must leave rows"),
        ({"make_model": lambda: 3}, TypeError, "make_model must return a model"),
        ({"make_model": lambda: lamina.Sequential([layers.Dense(3)])}, RuntimeError, "compile"),
        ({"make_model": 3}, TypeError, "make_model must be"),
        ({"epochs": [1, 2, 3]}, TypeError, "epochs must be one value for all models"),
    ],
)
def test_wrong_arguments_are_refused(data, arguments, kind, message):
    x, y = data
    given = {"make_model": _made, "folds": 3, "verbose": 0} | arguments
    with pytest.raises(kind, match=message):
        cross_validate(given.pop("make_model"), x, y, given.pop("folds"), **given)


def test_one_model_for_all_folds_is_refused(data):
    model = _made()
    with pytest.raises(ValueError, match="models must be different ones"):
        cross_validate(lambda: model, *data, 3, verbose=0)


def test_models_that_need_python_are_trained_one_by_one(rng):
    x = rng.standard_normal((60, 4)).astype("f")
    y = (x[:, 0] > 0).astype(int)

    def made():
        model = lamina.Sequential([lamina.Input((4,)), layers.Dense(1, "sigmoid")])
        model.compile("adam", "binary_crossentropy", metrics=["AUC"])
        return model

    lamina.utils.set_random_seed(5)
    stop = {"monitor": "val_AUC", "mode": "max", "patience": 2}
    found = cross_validate(made, x, y, 3, epochs=8, validation_split=0.2, early_stopping=stop, verbose=0)
    assert list(found.scores) == ["AUC", "loss"]
    for i, (_, test) in enumerate(found.folds):
        logs = found.models[i].evaluate(x[test], y[test], verbose=0, return_dict=True)
        assert {name: values[i] for name, values in found.scores.items()} == logs
        assert "val_AUC" in found.histories[i].history
    sparse = pytest.importorskip("scipy.sparse")
    lamina.utils.set_random_seed(5)
    again = cross_validate(
        made, sparse.csr_array(x), y, 3, epochs=8, validation_split=0.2, early_stopping=stop, verbose=0
    )
    np.testing.assert_allclose(again.predictions, found.predictions, rtol=1e-3)


@pytest.mark.parametrize("form", [lambda x: [x], lambda x: {"input": x}, lambda x: x.tolist()])
def test_forms_of_data(data, form):
    x, y = data
    found = []
    for rows, targets in ((x, y), (form(x), y.tolist())):
        lamina.utils.set_random_seed(1)
        found.append(cross_validate(_made, rows, targets, 3, verbose=0).predictions)
    np.testing.assert_array_equal(*found)


def test_nested_lists_of_as_many_rows_as_folds(rng):
    selection = pytest.importorskip("sklearn.model_selection")

    def made():
        model = lamina.Sequential([lamina.Input((2,)), layers.Dense(6)])
        model.compile("sgd", "mse")
        return model

    x = rng.standard_normal((6, 2))
    found = cross_validate(made, x, rng.standard_normal((6, 6)).tolist(), selection.LeaveOneOut(), verbose=0)
    assert found.predictions.shape == (6, 6)


def test_groups_stay_together_in_validation(data):
    selection = pytest.importorskip("sklearn.model_selection")
    x, y = data
    groups = np.arange(90) % 10
    found = cross_validate(_made, x, y, selection.GroupKFold(3), groups=groups, validation_split=0.3, verbose=0)
    for train, test in found.folds:
        left_out = np.setdiff1d(np.arange(90), np.concatenate([train, test]))
        assert len(left_out)
        assert not np.intersect1d(groups[train], groups[left_out]).size


def test_models_that_differ_are_refused_before_training(data):
    x, y = data
    made = []

    def differing(**last):
        model = lamina.Sequential([lamina.Input((4,)), layers.Dense(last.get("units", 3), "softmax")])
        model.compile("adam", "sparse_categorical_crossentropy", metrics=last.get("metrics", ["accuracy"]))
        made.append((model, model.flat_weights))
        return model

    for different, words in (({"units": 4}, "same outputs"), ({"metrics": []}, "same metrics")):
        arguments = iter([{}, different, {}])
        with pytest.raises(ValueError, match=words):
            cross_validate(lambda arguments=arguments: differing(**next(arguments)), x, y, 3, verbose=0)
    for model, weights in made:
        np.testing.assert_array_equal(model.flat_weights, weights)


def test_memory_does_not_grow_with_the_folds(rng):
    x, y = rng.standard_normal((20_000, 50)).astype("f"), rng.integers(0, 3, 20_000)

    def made():
        model = lamina.Sequential([lamina.Input((50,)), layers.Dense(3, "softmax")])
        model.compile("adam", "sparse_categorical_crossentropy")
        return model

    folds = [(np.arange(100), np.arange(100, 20_000))] * 8
    tracemalloc.start()
    cross_validate(made, x, y, folds, verbose=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * x.nbytes
