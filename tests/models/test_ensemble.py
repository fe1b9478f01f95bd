"""Ensembles: mean, spread and quantiles of several models, and files of them."""

import pickle
import threading

import numpy as np
import pytest

import lamina
from lamina import layers
from lamina.models import Ensemble, load_model


def _model(seed, inputs=3, outputs=2, dtype="float32", middle=()):
    lamina.utils.set_random_seed(seed)
    return lamina.Sequential(
        [lamina.Input((inputs,)), layers.Dense(5, "tanh", dtype=dtype), *middle, layers.Dense(outputs, dtype=dtype)]
    )


@pytest.mark.parametrize("rows", [0, 1, 7, 20_000])
def test_statistics_are_those_of_numpy(rng, rows):
    models = [_model(seed) for seed in range(4)]
    ensemble = Ensemble(models)
    x = rng.standard_normal((rows, 3)).astype("f")
    each = np.stack([model.predict_on_batch(x) for model in models])
    np.testing.assert_array_equal(ensemble.predict_members(x), each)
    wide = each.astype(np.float64)
    for found, expected in [
        (ensemble.predict(x), wide.mean(0)),
        (ensemble.spread(x), wide.std(0)),
        (ensemble.quantiles(x, 0.3), np.quantile(wide, 0.3, axis=0)),
        (ensemble.quantiles(x, [0.05, 0.5, 1]), np.quantile(wide, [0.05, 0.5, 1], axis=0)),
    ]:
        assert found.dtype == np.float32
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_rows_in_parts_have_the_same_bits(rng):
    ensemble = Ensemble([_model(seed) for seed in range(3)])
    x = rng.standard_normal((30_000, 3)).astype("f")
    for method in (ensemble.predict, ensemble.spread, lambda rows: ensemble.quantiles(rows, 0.7)):
        np.testing.assert_array_equal(method(x)[12_345:12_350], method(x[12_345:12_350]))


def test_members_of_other_dtypes(rng):
    models = [_model(0), _model(1, dtype="float64")]
    x = rng.standard_normal((6, 3))
    found = Ensemble(models).predict(x)
    assert found.dtype == np.float64
    each = [model.predict_on_batch(x).astype(np.float64) for model in models]
    np.testing.assert_array_equal(found, np.mean(each, axis=0))
    assert lamina.models.predict_many(models, x).dtype == np.float64


def test_one_model_alone(rng):
    model = _model(0)
    x = rng.standard_normal((5, 3)).astype("f")
    ensemble = Ensemble([model])
    np.testing.assert_array_equal(ensemble.predict(x), model.predict_on_batch(x))
    assert not ensemble.spread(x).any()
    assert (len(ensemble), list(ensemble), ensemble[0]) == (1, [model], model)
    assert repr(ensemble) == "<Ensemble of 1, (None, 3) to (None, 2)>"


def test_a_model_that_gives_nan_is_seen(rng):
    models = [_model(0), _model(1)]
    models[1].flat_weights = np.full_like(models[1].flat_weights, np.nan)
    x = rng.standard_normal((4, 3)).astype("f")
    ensemble = Ensemble(models)
    for found in (ensemble.predict(x), ensemble.spread(x), ensemble.quantiles(x, 0.5)):
        assert np.isnan(found).all()


def test_inputs_are_those_of_predict(rng):
    sparse = pytest.importorskip("scipy.sparse")
    ensemble = Ensemble([_model(seed) for seed in range(2)])
    x = rng.integers(0, 3, (4, 3)).astype("f")
    expected = ensemble.predict(x)
    for given in (x.tolist(), np.asfortranarray(x), x.astype(np.float64), sparse.csr_array(x)):
        np.testing.assert_allclose(ensemble.predict(given), expected, rtol=1e-6, atol=1e-7)


def test_save_and_load(rng, tmp_path):
    models = [_model(0), _model(1, middle=[layers.BatchNormalization(dtype="float32")]), _model(2, dtype="float64")]
    x, y = rng.standard_normal((40, 3)).astype("f"), rng.standard_normal((40, 2)).astype("f")
    for model in models[:2]:
        model.compile("adam", "mse", metrics=["mae"])
        model.fit(x, y, epochs=2, verbose=0)
    path = tmp_path / "ensemble.safetensors"
    ensemble = Ensemble(models)
    ensemble.save(path)
    loaded = Ensemble.load(path)
    np.testing.assert_array_equal(loaded.predict_members(x), ensemble.predict_members(x))
    assert [model.compiled for model in loaded] == [True, True, False]
    for model, twin in zip(models[:2], loaded, strict=False):  # training goes on as if nothing had happened
        model.fit(x, y, epochs=1, verbose=0)
        twin.fit(x, y, epochs=1, verbose=0)
        np.testing.assert_array_equal(model.flat_weights, twin.flat_weights)
    assert [model.compiled for model in Ensemble.load(path, compile=False)] == [False] * 3
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(ensemble)).predict(x), ensemble.predict(x))
    with pytest.raises(ValueError, match="must not exist"):
        ensemble.save(path, overwrite=False)


def test_files_of_another_kind_are_refused(tmp_path):
    ensemble, model = Ensemble([_model(0), _model(1)]), _model(0)
    ensemble.save(tmp_path / "e.safetensors")
    model.save(tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match=r"holds an ensemble; lamina\.Ensemble\.load reads it"):
        load_model(tmp_path / "e.safetensors")
    with pytest.raises(ValueError, match="holds an ensemble"):
        model.load_weights(tmp_path / "e.safetensors")
    with pytest.raises(ValueError, match="must be an ensemble"):
        Ensemble.load(tmp_path / "m.safetensors")
    with pytest.raises(FileNotFoundError):
        Ensemble.load(tmp_path / "none.safetensors")
    with pytest.raises(ValueError, match="must end in"):
        ensemble.save(tmp_path / "e.keras")
    damaged = (tmp_path / "e.safetensors").read_bytes().replace(b'"1/weights', b'"7/weights')
    (tmp_path / "d.safetensors").write_bytes(damaged)
    with pytest.raises(ValueError, match="is damaged"):
        Ensemble.load(tmp_path / "d.safetensors")


@pytest.mark.parametrize(
    ("models", "kind", "message"),
    [
        ([], ValueError, "must not be empty"),
        ([1], TypeError, r"models\[0\] is int"),
        (5, TypeError, "must be a list"),
        (lambda: [_model(0), _model(1, inputs=4)], ValueError, r"same input_shape; that of models\[1\]"),
        (lambda: [_model(0), _model(1, outputs=1)], ValueError, "same output_shape"),
        (lambda: [lamina.Sequential([layers.Dense(2)])], AttributeError, "must be built"),
    ],
)
def test_what_is_no_ensemble_is_refused(models, kind, message):
    with pytest.raises(kind, match=message):
        Ensemble(models() if callable(models) else models)


@pytest.mark.parametrize("q", [-0.1, 1.5, [], [0.5, 2], "a", None, [[0.5]], float("nan")])
def test_wrong_quantiles_are_refused(q):
    with pytest.raises((TypeError, ValueError), match="q "):
        Ensemble([_model(0)]).quantiles(np.zeros((2, 3)), q)


def test_wrong_rows_are_refused_by_name():
    ensemble = Ensemble([_model(0), _model(1)])
    for method in (ensemble.predict, ensemble.spread, ensemble.predict_members, lambda x: ensemble.quantiles(x, 0.5)):
        with pytest.raises(ValueError, match=r"Ensemble: \w+: models\[0\]: x must have shape \(n, 3\)"):
            method(np.zeros((2, 4)))


def test_all_rows_see_the_weights_of_one_moment(rng):
    models = [_model(seed) for seed in range(3)]
    models[0].compile("sgd", "mse")
    ensemble = Ensemble(models)
    x, y = rng.standard_normal((64, 3)).astype("f"), rng.standard_normal((64, 2)).astype("f")
    rows = np.repeat(x[:1], 200_000, axis=0)
    ends = threading.Event()

    def train():
        while not ends.is_set():
            models[0].fit(x, y, epochs=20, batch_size=8, verbose=0)

    thread = threading.Thread(target=train)
    thread.start()
    try:
        found = [ensemble.predict(rows) for _ in range(5)]
    finally:
        ends.set()
        thread.join()
    for outputs in found:
        np.testing.assert_array_equal(outputs, outputs[:1].repeat(len(outputs), axis=0))


def test_a_member_that_has_changed_is_not_saved(tmp_path):
    models = [_model(0), _model(1)]
    ensemble = Ensemble(models)
    models[1].add(layers.Dense(3))
    with pytest.raises(ValueError, match="Ensemble: save: models must have the same output_shape"):
        ensemble.save(tmp_path / "e.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("error")
def test_infinite_outputs_give_nan_without_a_warning():
    models = [_model(0), _model(1)]
    models[1].flat_weights = np.full_like(models[1].flat_weights, 3e38)
    ensemble = Ensemble(models)
    assert not np.isfinite(ensemble.spread(np.ones((2, 3)))).any()
    assert not np.isfinite(ensemble.quantiles(np.ones((2, 3)), 0.9)).any()
