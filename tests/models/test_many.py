"""Many models in one call: each as its own `fit`."""

import time

import numpy as np
import pytest
from helpers import interrupted_after

import lamina
from lamina import _core, layers
from lamina.callbacks import EarlyStopping
from lamina.models.prepared import prepare
from lamina.optimizers import LBFGS, LevenbergMarquardt


@pytest.fixture
def data(rng):
    x = rng.standard_normal((200, 6)).astype("f")
    return x, np.sin(x[:, :1]) + x[:, 1:2] ** 2


def _model(seed, optimizer="adam", middle=(), dtype="float32", loss="mse"):
    lamina.utils.set_random_seed(seed)
    model = lamina.Sequential([
        lamina.Input((6,)), layers.Dense(12 + seed, "relu", dtype=dtype), *middle, layers.Dense(1, dtype=dtype),
    ])  # fmt: skip
    model.compile(optimizer, loss, metrics=["mae"])
    return model


def _same(models, histories, others, other_histories):
    for model, history, other, expected in zip(models, histories, others, other_histories, strict=True):
        assert history.history == expected.history
        assert history.epoch == expected.epoch
        for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(one, two)
        for one, two in zip(model.optimizer.variables, other.optimizer.variables, strict=True):
            np.testing.assert_array_equal(one.numpy(), two.numpy())


def _kinds():
    return [
        _model(0),
        _model(1, "sgd"),
        _model(2, middle=[layers.Dropout(0.2)]),
        _model(3, "rmsprop", middle=[layers.BatchNormalization()]),
        _model(4, dtype="float64"),
        _model(5, lamina.optimizers.Adam(clipnorm=0.5, use_ema=True, gradient_accumulation_steps=2)),
        _model(6, LBFGS()),
        _model(7, LevenbergMarquardt()),
        _model(8, lamina.optimizers.SGD(lamina.optimizers.schedules.ExponentialDecay(0.05, 5, 0.9)), loss="huber"),
    ]


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("shuffle", [True, False])
def test_each_model_is_trained_as_by_its_own_fit(rng, data, threads, shuffle):
    x, y = data
    models, twins = _kinds(), _kinds()
    rows = [rng.integers(0, 200, 90 + i) for i in range(len(models))]
    held_out = [rng.permutation(200)[:50] for _ in models]
    epochs, sizes = [3 + i % 4 for i in range(len(models))], [32, 7, 16, 64, 200, 32, 32, 50, 1]
    weights = rng.uniform(0.1, 2, 200)
    expected = [
        twin.fit(
            x[r], y[r], batch_size=None if twin.optimizer.whole_batches else s, epochs=e, shuffle=shuffle, verbose=0,
            sample_weight=weights[r], validation_data=(x[v], y[v], weights[v]),
        )
        for twin, r, v, e, s in zip(twins, rows, held_out, epochs, sizes, strict=True)
    ]  # fmt: skip
    sizes[6] = None
    before = lamina.get_num_threads()
    lamina.set_num_threads(threads)
    found = lamina.fit_many(
        models, x, y, rows=rows, batch_size=sizes, epochs=epochs, shuffle=shuffle, sample_weight=weights,
        validation_rows=held_out, verbose=0,
    )  # fmt: skip
    lamina.set_num_threads(before)
    _same(models, found, twins, expected)
    for model, history in zip(models, found, strict=True):
        assert model.history is history
        assert model.fit_completed


def test_early_stopping_of_each_model(rng, data):
    x, y = data
    y = y + rng.standard_normal(y.shape)
    rows = [rng.permutation(200)[:60] for _ in range(4)]
    held_out = [rng.permutation(200)[:60] for _ in range(4)]
    stops = [
        EarlyStopping(patience=1, restore_best_weights=True), {"monitor": "loss", "patience": 2, "min_delta": 0.02},
        None, EarlyStopping("val_mae", patience=0, start_from_epoch=3),
    ]  # fmt: skip
    models, twins = ([_model(i, lamina.optimizers.Adam(0.05)) for i in range(4)] for _ in range(2))
    expected = []
    for twin, r, v, stop in zip(twins, rows, held_out, stops, strict=True):
        own = EarlyStopping(**stop) if isinstance(stop, dict) else stop
        expected.append(
            twin.fit(x[r], y[r], epochs=60, verbose=0, validation_data=(x[v], y[v]), callbacks=[own] if own else None)
        )
    found = lamina.fit_many(
        models, x, y, rows=rows, validation_rows=held_out, epochs=60, early_stopping=stops, verbose=0
    )
    _same(models, found, twins, expected)
    assert len({len(history.epoch) for history in found}) > 1


def test_targets_and_weights_of_each_model_and_masks(rng, data):
    x, _ = data
    targets = [rng.standard_normal((200, 1)) for _ in range(3)]
    weights = [rng.uniform(0, 1, 200) for _ in range(3)]
    masks = [rng.random(200) < 0.5 for _ in range(3)]
    models, twins = [_model(i) for i in range(3)], [_model(i) for i in range(3)]
    expected = [
        twin.fit(x[m], y[m], sample_weight=w[m], epochs=2, verbose=0)
        for twin, y, w, m in zip(twins, targets, weights, masks, strict=True)
    ]
    found = lamina.fit_many(models, x, targets, rows=masks, sample_weight=weights, epochs=2, verbose=0)
    _same(models, found, twins, expected)


def test_labels_sparse_rows_and_indices(rng):
    sparse = pytest.importorskip("scipy.sparse")
    x = sparse.random(150, 40, 0.1, "csr", rng=rng)
    labels = rng.integers(0, 3, 150)
    ids = rng.integers(0, 9, (150, 4))

    def bags():
        model = lamina.Sequential([lamina.Input((40,)), layers.Dense(8, "relu"), layers.Dense(3, "softmax")])
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    def words():
        model = lamina.Sequential([
            lamina.Input((4,), dtype="int32"), layers.Embedding(9, 3), layers.Flatten(), layers.Dense(3, "softmax"),
        ])  # fmt: skip
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    for make, given in ((bags, x), (words, ids)):
        rows = [rng.permutation(150)[:70] for _ in range(3)]
        lamina.utils.set_random_seed(0)
        models = [make() for _ in range(3)]
        lamina.utils.set_random_seed(0)
        twins = [make() for _ in range(3)]
        expected = [twin.fit(given[r], labels[r], epochs=3, verbose=0) for twin, r in zip(twins, rows, strict=True)]
        _same(models, lamina.fit_many(models, given, labels, rows=rows, epochs=3, verbose=0), twins, expected)


def test_unbuilt_models_are_built(data):
    x, y = data
    models = [lamina.Sequential([layers.Dense(4, "relu"), layers.Dense(1)]) for _ in range(2)]
    for model in models:
        model.compile("sgd", "mse")
    lamina.fit_many(models, x, y, verbose=0)
    assert all(model.built for model in models)


def test_a_model_goes_on_after_its_part(data):
    x, y = data
    models, twins = [_model(i) for i in range(2)], [_model(i) for i in range(2)]
    lamina.fit_many(models, x, y, epochs=2, verbose=0)
    for twin in twins:
        twin.fit(x, y, epochs=2, verbose=0)
    expected = [twin.fit(x, y, epochs=2, verbose=0) for twin in twins]
    _same(models, [model.fit(x, y, epochs=2, verbose=0) for model in models], twins, expected)


def test_a_nan_ends_one_model_and_says_which(data):
    x, y = data
    targets = [y, np.where(np.arange(200)[:, None] == 7, np.nan, y), y]
    models = [_model(i) for i in range(3)]
    with pytest.warns(UserWarning, match=r"models\[1\]: the loss is NaN after epoch 1"):
        found = lamina.fit_many(models, x, targets, epochs=5, verbose=0)
    assert [len(history.epoch) for history in found] == [5, 1, 5]


def test_no_epochs_and_no_models(data):
    x, y = data
    assert lamina.fit_many([], x, y, verbose=0) == []
    (history,) = lamina.fit_many([_model(0)], x, y, epochs=0, verbose=0)
    assert history.history == {}


def test_what_is_refused(data):
    x, y = data

    def refused(models, words, kind=ValueError, **arguments):
        before = [model.get_weights() if model.built else None for model in models if hasattr(model, "built")]
        with pytest.raises(kind, match=words):
            lamina.fit_many(models, x, y, verbose=0, **arguments)
        after = [model.get_weights() if model.built else None for model in models if hasattr(model, "built")]
        for one, two in zip(before, after, strict=True):
            assert (one is None) == (two is None)
            for a, b in zip(one or [], two or [], strict=True):
                np.testing.assert_array_equal(a, b)

    model, other = _model(0), _model(1)
    shared = lamina.Sequential([lamina.Input((6,)), model.layers[0], layers.Dense(1)])
    shared.compile("adam", "mse")
    unbuilt = lamina.Sequential([layers.Dense(1)])
    unbuilt.compile("sgd", "mse")
    refused([model, model], r"models\[1\] is the same as models\[0\]")
    refused([model, shared], r"models\[1\] is sharing the layer")
    refused([model, "model"], r"models\[1\] is str", TypeError)
    refused([unbuilt, lamina.Sequential([lamina.Input((6,)), layers.Dense(1)])], "must be compiled", RuntimeError)
    refused(
        [unbuilt, _model(0, middle=[layers.Lambda(lambda z: z)])],
        r"models\[1\]: the layer 'lambda' is computed in Python",
    )
    for metric, name in (("AUC", "AUC"), (lamina.metrics.R2Score(name="fit"), "fit")):
        own = lamina.Sequential([lamina.Input((6,)), layers.Dense(1, "sigmoid")])
        own.compile("sgd", "mse", metrics=[metric])
        refused([_model(0), own], rf"models\[1\]: the metric '{name}' is computed in Python, from whole batches")
    watched = {"monitor": "val_loss"}
    refused([model], r"monitor must be one of 'loss', 'mae'; got 'val_loss'.*rows to validate", early_stopping=watched)
    refused(
        [model, other], r"models\[1\]: early_stopping: monitor", early_stopping=watched, validation_rows=[[0, 1], None]
    )
    refused([unbuilt, lamina.Sequential([lamina.Input((5,)), layers.Dense(1)])], "must be compiled", RuntimeError)
    refused(
        [unbuilt, _model(0, loss=lambda t, p: lamina.ops.mean(p - t, axis=-1))],
        r"models\[1\]: the loss .* is computed in Python",
    )
    refused([model, other], "rows must have 2 entries", rows=[[1]])
    refused([model], r"rows\[0\] must not be empty", rows=[[]])
    refused([model], r"rows\[0\] must lie in \[0, 200\)", rows=[[200]])
    refused([model], r"rows\[0\] must lie in \[0, 200\)", rows=[[-1]])
    refused([model], r"rows\[0\] must be indices", rows=[[0.5]], kind=TypeError)
    refused([model], r"validation_rows\[0\] must lie", validation_rows=[[1, 999]])
    refused([model, other], "epochs must be one value, or 2", epochs=[1, 2, 3])
    refused([model, other], r"models\[1\]: batch_size must be >= 1", batch_size=[1, 0])
    refused([model], "early_stopping must be an EarlyStopping", early_stopping=3, kind=TypeError)
    refused([model], "early_stopping must be an EarlyStopping", early_stopping={0: "x"}, kind=TypeError)
    assert not unbuilt.built


def test_an_error_in_one_model_is_named(data):
    x, y = data
    models = [_model(0), _model(1, LevenbergMarquardt())]
    with pytest.raises(ValueError, match=r"models\[1\]: .*sample weights must be >= 0"):
        lamina.fit_many(models, x, y, sample_weight=[np.ones(200), -np.ones(200)], epochs=3, verbose=0)
    assert len(models[0].history.epoch) == 3
    models[1].fit(x, y, epochs=1, verbose=0)


def test_ctrl_c_leaves_all_models_usable(rng):
    x = rng.standard_normal((4000, 30)).astype("f")
    y = rng.standard_normal((4000, 1)).astype("f")
    models = []
    for _ in range(6):
        model = lamina.Sequential([lamina.Input((30,)), layers.Dense(100, "relu"), layers.Dense(1)])
        model.compile("adam", "mse")
        models.append(model)
    begun = time.perf_counter()
    with interrupted_after(0.3), pytest.raises(KeyboardInterrupt):
        lamina.fit_many(models, x, y, epochs=10_000, verbose=0)
    assert time.perf_counter() - begun < 0.3 + 1  # 0.1 s on an idle machine
    for model in models:
        model.fit(x[:64], y[:64], verbose=0)
        assert np.isfinite(model.predict(x[:2], verbose=0)).all()


def test_a_bar_for_all_models(data, capsys):
    x, y = data
    lamina.fit_many([_model(0), _model(1)], x, y, epochs=[2, 3], verbose=1)
    assert "5/5" in capsys.readouterr().err


def test_memory_of_training_does_not_grow_with_the_models(data):
    x, y = data
    models = [_model(i) for i in range(5)]
    lamina.fit_many(models, x, y, epochs=1, verbose=0)
    for model in models:
        compiled = model.executor.require_compiled("fit")
        trainer = model.executor.trainer(prepare("fit", model.stack, compiled, x, y, None))
        assert trainer.engine.workspace_bytes == 0


def test_predictions_of_many(data):
    x, _ = data
    models = [_model(i) for i in range(3)]
    found = lamina.predict_many(models, x)
    assert found.shape == (3, 200, 1)
    for model, one in zip(models, found, strict=True):
        np.testing.assert_array_equal(one, model.predict(x, verbose=0))
    with pytest.raises(ValueError, match="must not be empty"):
        lamina.predict_many([], x)
    with pytest.raises(TypeError, match=r"models\[0\] is int"):
        lamina.predict_many([3], x)
    wide = lamina.Sequential([lamina.Input((6,)), layers.Dense(2)])
    with pytest.raises(ValueError, match="outputs must have one shape"):
        lamina.predict_many([models[0], wide], x)


def test_memory_of_levenberg_marquardt_is_given_back(data):
    x, y = data

    def model(seed):
        lamina.utils.set_random_seed(seed)
        made = lamina.Sequential([lamina.Input((6,)), layers.Dense(100, "tanh"), layers.Dense(1)])
        made.compile(LevenbergMarquardt(), "mse")  # 801 weights: 10 MB
        return made

    models = [model(seed) for seed in range(6)]
    before = _core.engine_bytes()
    lamina.fit_many(models, x, y, batch_size=200, verbose=0)
    assert _core.engine_bytes() - before < 6 * 2e6


def test_optimizers_that_take_all_rows_need_no_batch_size(data):
    x, y = data
    models, twin = [_model(0), _model(1, LBFGS())], _model(1, LBFGS())
    lamina.fit_many(models, x, y, epochs=3, verbose=0)
    twin.fit(x, y, epochs=3, verbose=0)
    np.testing.assert_array_equal(models[1].flat_weights, twin.flat_weights)


@pytest.mark.parametrize("form", [lambda x: [x], lambda x: {"input": x}, lambda x: x.tolist(), np.asfortranarray])
def test_forms_of_data(data, form):
    x, y = data
    models, twins = [_model(0), _model(1)], [_model(0), _model(1)]
    rows = [range(100), range(50, 200)]
    lamina.fit_many(models, form(x), y.tolist(), rows=rows, verbose=0)
    lamina.fit_many(twins, x, y, rows=rows, verbose=0)
    for model, twin in zip(models, twins, strict=True):
        np.testing.assert_array_equal(model.flat_weights, twin.flat_weights)


def test_targets_in_nested_lists_are_one_array():
    x = np.eye(3, dtype="f")
    models = [lamina.Sequential([lamina.Input((3,)), layers.Dense(3)]) for _ in range(3)]
    for model in models:
        model.compile("sgd", "mse")
    lamina.fit_many(models, x, x.tolist(), verbose=0)


def test_normal_equations_of_all_threads_must_fit_into_memory(data, monkeypatch):
    x, y = data
    models = [_model(seed, LevenbergMarquardt()) for seed in range(2)]
    before = [model.flat_weights for model in models]
    needed = sum(16 * len(weights) ** 2 for weights in before)
    monkeypatch.setattr("lamina.models.jobs.memory_bytes", lambda: needed - 1)
    threads = lamina.get_num_threads()
    try:
        lamina.set_num_threads(2)
        with pytest.raises(MemoryError, match="fit_many: the normal equations of models that train at once"):
            lamina.fit_many(models, x, y, batch_size=200, verbose=0)
        for model, weights in zip(models, before, strict=True):
            np.testing.assert_array_equal(model.flat_weights, weights)
        lamina.set_num_threads(1)
        lamina.fit_many(models, x, y, batch_size=200, verbose=0)
    finally:
        lamina.set_num_threads(threads)


def test_predictions_that_are_refused_build_nothing():
    models = [lamina.Sequential([layers.Dense(1)]), lamina.Sequential([lamina.Input((5,)), layers.Dense(2)])]
    with pytest.raises(ValueError, match=r"models\[1\]: x must have shape \(n, 5\)"):
        lamina.predict_many(models, np.zeros((6, 4)))
    assert not models[0].built
    with pytest.raises(ValueError, match="outputs must have one shape"):
        lamina.predict_many(models, np.zeros((6, 5)))
    assert not models[0].built
