"""Networks of narrow layers: their values lie transposed, vectors run along the rows."""

from __future__ import annotations

import numpy as np
import oracles
import pytest

import lamina
from lamina import kernels, layers, losses, optimizers

pytestmark = pytest.mark.usefixtures("restore_threads")

SIZES = (5, 13, 7, 3)
# Hidden layers of several panels, of which the last one is not full.
WIDE = [(4, 100, 3), (40, 70, 12, 1), (3, 9, 50)]


def network(activation, dtype="float32", sizes=SIZES, use_bias=True):
    lamina.utils.set_random_seed(1)
    return lamina.Sequential(
        [layers.Input((sizes[0],), dtype=dtype)]
        + [layers.Dense(size, activation, use_bias=use_bias, dtype=dtype) for size in sizes[1:-1]]
        + [layers.Dense(sizes[-1], dtype=dtype)]
    )


def rows(count, sizes=SIZES):
    rng = np.random.default_rng(count)
    return rng.standard_normal((count, sizes[0])), rng.standard_normal((count, sizes[-1]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu", "leaky_relu"])
@pytest.mark.parametrize(
    ("sizes", "count"),
    [(SIZES, n) for n in (1, 6, 31, 32, 129, 700)] + [(sizes, n) for sizes in WIDE for n in (1, 40, 300)],
)
def test_a_step_follows_the_gradient(dtype, activation, sizes, count):
    model = network(activation, dtype, sizes)
    model.compile(optimizers.SGD(1.0), "mse")
    x, y = (a.astype(dtype) for a in rows(count, sizes))
    before = [w.astype(np.float64) for w in model.get_weights()]
    values, inner = [x.astype(np.float64)], []
    for w, b in zip(before[::2], before[1::2], strict=True):
        inner.append(values[-1] @ w + b)
        last = len(inner) == len(sizes) - 1
        values.append(inner[-1] if last else oracles.activation(activation, inner[-1], 0.2))
    dz = 2 * (values[-1] - y) / y.size
    expected = {}
    for layer in reversed(range(len(inner))):
        dx, expected[2 * layer], expected[2 * layer + 1] = oracles.dense_backward(values[layer], before[2 * layer], dz)
        if layer == 0:
            break
        z, step = inner[layer - 1], 1e-6
        slope = oracles.activation(activation, z + step, 0.2) - oracles.activation(activation, z - step, 0.2)
        dz = dx * slope / (2 * step)
    model.train_on_batch(x, y)
    for i, (old, new) in enumerate(zip(before, model.get_weights(), strict=True)):
        close = {"rtol": 2e-4, "atol": 2e-6} if dtype == "float32" else {"rtol": 1e-6, "atol": 1e-9}
        np.testing.assert_allclose(old - new, expected[i], **close)


@pytest.mark.parametrize("sizes", [SIZES, WIDE[0]])
@pytest.mark.parametrize("use_bias", [True, False])
def test_bits_depend_neither_on_threads_nor_on_the_type_of_the_input(use_bias, sizes):
    x, y = rows(1000, sizes)
    x = np.round(2 * x)  # exact in every type
    found = {}
    for threads in (1, 2, 3, 8):
        for name, given in {
            "float32": x.astype("f"),
            "float64": x,
            "float16": x.astype(np.float16),
            "int16, every second column": np.repeat(x.astype(np.int16), 2, axis=1)[:, ::2],
            "Fortran": np.asfortranarray(x.astype("f")),
        }.items():
            lamina.set_num_threads(threads)
            model = network("tanh", sizes=sizes, use_bias=use_bias)
            model.compile("adam", "mse", metrics=["mae"])
            history = model.fit(given, y.astype("f"), batch_size=300, epochs=3, verbose=0).history
            found[threads, name] = [*(w.tobytes() for w in model.get_weights()), repr(history)]
    assert len({repr(bits) for bits in found.values()}) == 1


def test_without_a_bias_nothing_is_added():
    model = network("tanh", use_bias=False, sizes=(4, 8, 2))
    x = rows(50, (4, 2))[0].astype("f")
    hidden = kernels.activation_forward("tanh", x @ model.get_weights()[0])
    np.testing.assert_allclose(model.predict(x, verbose=0), hidden @ model.get_weights()[1] + 0.0, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("head", ["softmax", "sigmoid", None])
@pytest.mark.parametrize("count", [1, 7, 8, 40, 193, 1000])
def test_predictions_of_a_row_do_not_depend_on_its_batch(head, count):
    model = lamina.Sequential([layers.Input((6,)), layers.Dense(11, "silu"), layers.Dense(5, head)])
    x = np.random.default_rng(count).standard_normal((count, 6)).astype("f")
    together = model.predict(x, verbose=0)
    assert np.array_equal(together, np.concatenate([model.predict(row[None], verbose=0) for row in x]))
    for threads in (1, 2, 5):
        lamina.set_num_threads(threads)
        assert np.array_equal(together, model.predict(x, batch_size=count, verbose=0))


def test_rows_of_nan_spoil_no_other_prediction():
    model = network("relu")
    x = rows(45)[0].astype("f")
    expected = model.predict(x, verbose=0)
    x[17] = np.nan
    found = model.predict(x, verbose=0)
    assert np.isnan(found[17]).all()
    assert np.array_equal(np.delete(found, 17, 0), np.delete(expected, 17, 0))


def test_layers_that_are_not_trained_keep_their_weights():
    x, y = (a.astype("f") for a in rows(200))
    for frozen in range(3):
        model = network("tanh")
        model.layers[frozen].trainable = False
        model.compile("sgd", "mse")
        before = model.get_weights()
        model.fit(x, y, batch_size=64, verbose=0)
        changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
        assert changed == [i // 2 != frozen for i in range(6)]


def test_classes_with_weights_and_an_ignored_class():
    rng = np.random.default_rng(3)
    x, labels = rng.standard_normal((260, 4)).astype("f"), rng.integers(-1, 3, 260)
    weights = rng.random(260).astype("f")
    found = {}
    for width in (8, 40):  # the second is not narrow
        lamina.utils.set_random_seed(2)
        model = lamina.Sequential([layers.Input((4,)), layers.Dense(8, "tanh"), layers.Dense(3), layers.Dense(3)])
        if width > 32:
            model = lamina.Sequential([layers.Input((4,)), *model.layers, layers.Dense(40), layers.Dense(3)])
            model.layers[-2].set_weights([np.eye(3, 40, dtype="f"), np.zeros(40, "f")])
            model.layers[-1].set_weights([np.eye(40, 3, dtype="f"), np.zeros(3, "f")])
        model.compile(
            optimizers.SGD(0.1),
            losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1),
            weighted_metrics=["accuracy"],
        )
        found[width] = model.evaluate(x, labels, sample_weight=weights, batch_size=100, verbose=0)
        history = model.fit(x, labels, sample_weight=weights, batch_size=100, epochs=4, verbose=0).history["loss"]
        assert history[-1] < history[0]
    np.testing.assert_allclose(found[8], found[40], rtol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("count", [1, 30, 200])
@pytest.mark.parametrize("name", ["mse", "mae", "huber", "sigmoid", "softmax of labels", "softmax of one-hot rows"])
def test_losses_of_transposed_outputs(name, count, weighted):
    """Some are computed from the transposed output, the others from a row-major copy."""
    rng = np.random.default_rng(count)
    x = rng.standard_normal((count, 5)).astype("f")
    loss, y = {
        "mse": (losses.MeanSquaredError(), rng.standard_normal((count, 3)).astype("f")),
        "mae": (losses.MeanAbsoluteError(), rng.standard_normal((count, 3)).astype("f")),
        "huber": (losses.Huber(), rng.standard_normal((count, 3)).astype("f")),
        "sigmoid": (losses.BinaryCrossentropy(from_logits=True), rng.integers(0, 2, (count, 3)).astype("f")),
        "softmax of labels": (losses.SparseCategoricalCrossentropy(from_logits=True), rng.integers(0, 3, count)),
        "softmax of one-hot rows": (
            losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
            np.eye(3, dtype="f")[rng.integers(0, 3, count)],
        ),
    }[name]
    weights = rng.random(count).astype("f") if weighted else None
    model = network("tanh")
    model.compile("sgd", loss, weighted_metrics=[] if name == "softmax of labels" else ["mae"])
    found = model.evaluate(x, y, sample_weight=weights, batch_size=count, verbose=0, return_dict=True)["loss"]
    np.testing.assert_allclose(found, float(loss(y, model.predict(x, verbose=0), sample_weight=weights)), rtol=2e-5)
    steps = {}
    for dtype in ("float32", "float64"):
        model = network("tanh", dtype)
        model.set_weights([w.astype(dtype) for w in network("tanh").get_weights()])
        model.compile(optimizers.SGD(1.0), loss)
        before = model.get_weights()
        model.train_on_batch(x.astype(dtype), y if y.ndim == 1 else y.astype(dtype), sample_weight=weights)
        steps[dtype] = [a - b for a, b in zip(before, model.get_weights(), strict=True)]
    for single, double in zip(steps["float32"], steps["float64"], strict=True):
        np.testing.assert_allclose(single, double, rtol=1e-3, atol=1e-5)
