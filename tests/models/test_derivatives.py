"""Derivatives of models for users: against finite differences, steps of training, and each other."""

import copy
import pickle
import threading

import numpy as np
import pytest

import lamina
from lamina import layers, ops


class Scaled(layers.Layer):
    """Written as a call; acts otherwise in training."""

    def build(self, input_shape):
        self.factor = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="factor")
        self.built = True

    def call(self, x, training=False):
        return ops.tanh(x * self.factor) * (2.0 if training else 1.0)


class Squared(layers.Layer):
    """Written as forward and backward."""

    def forward(self, x, *, training):
        return layers.Pass(x**2, x)

    def backward(self, dy, forward_pass, *, need_dx):
        return 2 * forward_pass.saved * dy, []


def _dense(*parts, inputs=(5,)):
    lamina.utils.set_random_seed(3)
    return lamina.Sequential([lamina.Input(inputs), *parts])


MODELS = {
    "one layer": lambda: _dense(layers.Dense(3)),
    "narrow": lambda: _dense(layers.Dense(7, "tanh"), layers.Dense(2)),
    "wide": lambda: _dense(layers.Dense(70, "gelu"), layers.Dense(40, "relu"), layers.Dense(3, "softmax")),
    "activations": lambda: _dense(layers.Activation("softmax"), layers.Dense(4), layers.LeakyReLU(), layers.PReLU()),
    "normalized": lambda: _dense(
        layers.BatchNormalization(), layers.Dense(8, "elu"), layers.LayerNormalization(), layers.Dense(2)
    ),
    "noise": lambda: _dense(layers.Dropout(0.5), layers.Dense(6, "tanh"), layers.GaussianNoise(0.3), layers.Dense(2)),
    "steps": lambda: _dense(layers.Dense(6, "tanh"), layers.Dense(2), inputs=(3, 5)),
    "pooled": lambda: _dense(layers.Dense(6, "tanh"), layers.GlobalAveragePooling1D(), layers.Dense(2), inputs=(3, 5)),
    "flat": lambda: _dense(layers.Flatten(), layers.Dense(4, "silu"), layers.Reshape((2, 2)), inputs=(3, 5)),
    "scaled": lambda: _dense(layers.Rescaling(0.5, 1.0), layers.Dense(4, "softplus", activity_regularizer="l2")),
    "penalized": lambda: _dense(layers.Dense(4, "tanh", kernel_regularizer="l2"), layers.Dense(2)),
    "call": lambda: _dense(layers.Dense(4), Scaled(), layers.Dense(2)),
    "forward": lambda: _dense(layers.Dense(4), Squared(), layers.Dense(2)),
    "nested": lambda: _dense(_dense(layers.Dense(4, "tanh")), layers.Dense(2)),
    "function": lambda: lamina.Model(i := lamina.Input((5,)), layers.Dense(2)(ops.square(layers.Dense(4)(i)))),
}


@pytest.fixture(params=MODELS)
def model(request):
    before = lamina.config.floatx()
    lamina.config.set_floatx("float64")
    try:
        made = MODELS[request.param]()
        for layer in made.flat_layers:
            if isinstance(layer, layers.BatchNormalization):
                layer.moving_mean.assign(np.linspace(-1, 1, layer.moving_mean.size))
                layer.moving_variance.assign(np.linspace(0.5, 2, layer.moving_mean.size))
        yield made
    finally:
        lamina.config.set_floatx(before)


def _slopes(function, at, step=1e-6):
    """Return the derivatives of a function of a vector by central differences, (values, vector)."""
    columns = []
    for i in range(at.size):
        move = np.zeros_like(at)
        move[i] = step
        columns.append((np.ravel(function(at + move)) - np.ravel(function(at - move))) / (2 * step))
    return np.stack(columns, axis=-1)


def _x(model, rng, n=4):
    return rng.standard_normal((n, *model.input_shape[1:]))


def test_jacobians_are_those_of_finite_differences(model, rng):
    x = _x(model, rng)
    found = model.jacobian(x)
    assert found.shape == (4, *model.output_shape[1:], *x.shape[1:])
    flat = found.reshape(4, -1, x[0].size)
    for i in range(4):
        expected = _slopes(lambda row: model.predict(row.reshape(1, *x.shape[1:]), verbose=0), x[i].ravel())
        np.testing.assert_allclose(flat[i], expected, rtol=1e-6, atol=1e-8)


def test_parameter_jacobians_are_those_of_finite_differences(model, rng):
    x = _x(model, rng)
    found = model.parameter_jacobian(x)
    start = model.flat_weights
    assert found.shape == (4 * int(np.prod(model.output_shape[1:])), start.size)

    def outputs(weights):
        model.flat_weights = weights
        return model.predict(x, verbose=0)

    np.testing.assert_allclose(found, _slopes(outputs, start), rtol=1e-6, atol=1e-8)


def test_products_are_those_with_jacobians(model, rng):
    x = _x(model, rng)
    y = model.predict(x, verbose=0)
    dy = rng.standard_normal(y.shape)
    out, dx, gradients = model.vjp(x, dy)
    np.testing.assert_allclose(out, y, rtol=1e-12, atol=1e-14)
    jacobian = model.jacobian(x).reshape(4, y[0].size, x[0].size)
    np.testing.assert_allclose(
        dx.reshape(4, -1), np.einsum("nk,nki->ni", dy.reshape(4, -1), jacobian), rtol=1e-10, atol=1e-12
    )
    flat = np.concatenate([gradient.ravel() for gradient in gradients])
    np.testing.assert_allclose(flat, dy.ravel() @ model.parameter_jacobian(x), rtol=1e-10, atol=1e-12)
    assert [g.shape for g in gradients] == [v.shape for v in model.trainable_weights]
    np.testing.assert_array_equal(model.vjp(x, dy, flat=True)[2], flat)
    assert model.vjp(x, dy, need_dx=False)[1] is None
    assert model.vjp(x, dy, need_gradients=False)[2] is None
    np.testing.assert_array_equal(model.vjp(x, dy, need_gradients=False)[1], dx)


def test_values_and_gradients_are_those_of_finite_differences(model, rng):
    x = _x(model, rng)
    y = rng.standard_normal((4, *model.output_shape[1:]))
    weight = rng.uniform(0.5, 2, 4) if y.ndim == 2 else None
    model.compile("adam", "mse", metrics=["mae"])
    before = [array.copy() for array in model.get_weights()]
    value, gradient = model.value_and_gradient(x, y, weight, flat=True)
    assert model.optimizer.iterations == 0
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    start = model.flat_weights
    assert value == pytest.approx(model.evaluate(x, y, sample_weight=weight, verbose=0, return_dict=True)["loss"])

    def loss(weights):
        model.flat_weights = weights
        return model.evaluate(x, y, sample_weight=weight, verbose=0, return_dict=True)["loss"]

    np.testing.assert_allclose(gradient, _slopes(loss, start)[0], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("n", [1, 5, 127, 128, 129, 300])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_bits_are_those_of_a_step(n, threads, rng):
    x, y = rng.standard_normal((n, 30)).astype("f"), rng.standard_normal((n, 9)).astype("f")
    model = lamina.Sequential([lamina.Input((30,)), layers.Dense(40, "relu"), layers.Dense(9)])
    model.compile(lamina.optimizers.SGD(1.0), "mse")
    before = lamina.get_num_threads()
    lamina.set_num_threads(threads)
    try:
        start = model.get_weights()
        _, gradients = model.value_and_gradient(x, y)
        out = model.predict(x, verbose=0)
        _, dx, products = model.vjp(x, 2 * (out - y) / np.float32(out.size))
        model.train_on_batch(x, y)
    finally:
        lamina.set_num_threads(before)
    for old, gradient, new, product in zip(start, gradients, model.get_weights(), products, strict=True):
        np.testing.assert_array_equal(new, old - gradient)
        np.testing.assert_allclose(product, gradient, rtol=1e-4, atol=1e-6)
    assert dx.shape == x.shape


def test_results_do_not_depend_on_threads_or_batches(rng):
    model = lamina.Sequential([lamina.Input((30,)), layers.Dense(40, "tanh"), layers.Dense(9)])
    x, dy = rng.standard_normal((400, 30)).astype("f"), rng.standard_normal((400, 9)).astype("f")
    before, found = lamina.get_num_threads(), []
    for threads in (1, 2, 4):
        lamina.set_num_threads(threads)
        found.append((*model.vjp(x, dy, flat=True), model.jacobian(x), model.parameter_jacobian(x[:40])))
    lamina.set_num_threads(before)
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(model.vjp(x[7:8], dy[7:8])[1], found[0][1][7:8])
    np.testing.assert_array_equal(model.jacobian(x[:3]), found[0][3][:3])


def test_input_gradients_of_few_rows_follow_the_weights(rng):
    model = lamina.Sequential([lamina.Input((70,)), layers.Dense(40, "tanh"), layers.Dense(5)])
    model.compile(lamina.optimizers.SGD(0.1), "mse")
    x, dy = rng.standard_normal((40, 70)).astype("f"), rng.standard_normal((40, 5)).astype("f")
    for change in (
        lambda: None,
        lambda: model.fit(x, dy, epochs=1, verbose=0),
        lambda: model.set_weights([2 * w for w in model.get_weights()]),
        lambda: model.layers[0].kernel.assign_add(np.ones((70, 40), "f")),
    ):
        change()
        whole = model.vjp(x, dy)[1]
        for first, rows in ((0, 1), (3, 2), (5, 15), (5, 16)):
            part = slice(first, first + rows)
            np.testing.assert_array_equal(model.vjp(x[part], dy[part])[1], whole[part])


def test_gradients_follow_what_is_trained(rng):
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(3, "tanh"), layers.Dense(2)])
    x, dy = rng.standard_normal((5, 4)).astype("f"), rng.standard_normal((5, 2)).astype("f")
    _, _, everything = model.vjp(x, dy)
    model.layers[0].trainable = False
    _, dx, upper = model.vjp(x, dy)
    assert [g.shape for g in upper] == [(3, 2), (2,)]
    assert dx.shape == x.shape
    for one, two in zip(everything[2:], upper, strict=True):
        np.testing.assert_array_equal(one, two)
    assert model.vjp(x, dy, flat=True)[2].shape == (8,)
    model.layers[0].trainable = True
    assert len(model.vjp(x, dy)[2]) == 4


@pytest.mark.parametrize("rows", [1, 20, 128, 300])
def test_a_large_network_is_computed_by_all_threads_alike(rng, rows):
    model = lamina.Sequential(
        [lamina.Input((300,)), layers.Dense(700, "relu"), layers.Dense(640, "tanh"), layers.Dense(3)]
    )
    model.compile(loss="mse")
    x, dy = rng.standard_normal((rows, 300)).astype("f"), rng.standard_normal((rows, 3)).astype("f")
    before, found = lamina.get_num_threads(), []
    for threads in (1, 2, 4):
        lamina.set_num_threads(threads)
        value, gradient = model.value_and_gradient(x, dy, flat=True)
        found.append((*model.vjp(x, dy, flat=True), model.jacobian(x), np.float64(value), gradient))
    lamina.set_num_threads(before)
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


def _state(model):
    slots = [variable.numpy() for variable in model.optimizer.variables]
    return pickle.dumps([model.get_weights(), slots, model.get_metrics_result()])


def test_training_mode_and_the_model_untouched(rng):
    x, y = rng.standard_normal((20, 5)).astype("f"), rng.standard_normal((20, 2)).astype("f")
    model = lamina.Sequential(
        [lamina.Input((5,)), layers.BatchNormalization(), layers.Dropout(0.5), Scaled(), layers.Dense(2)]
    )
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(x, y, verbose=0)
    state, outputs = _state(model), model.predict(x, verbose=0)
    calm, noisy = model.value_and_gradient(x, y, flat=True), model.value_and_gradient(x, y, flat=True, training=True)
    assert calm[0] != noisy[0]
    again = model.value_and_gradient(x, y, flat=True, training=True)
    np.testing.assert_array_equal(noisy[1], again[1])
    model.vjp(x, y)
    quiet, loud = model.vjp(x, y)[0], model.vjp(x, y, training=True)[0]
    assert not np.array_equal(quiet, loud)
    assert _state(model) == state
    np.testing.assert_array_equal(model.predict(x, verbose=0), outputs)


def test_frozen_layers_have_no_gradients(rng):
    model = lamina.Sequential([lamina.Input((5,)), layers.Dense(4, "tanh"), layers.Dense(2)])
    x, dy = rng.standard_normal((3, 5)), rng.standard_normal((3, 2))
    _, dx, every = model.vjp(x, dy)
    model.layers[0].trainable = False
    _, same, fewer = model.vjp(x, dy)
    np.testing.assert_array_equal(dx, same)
    assert len(fewer) == 2
    np.testing.assert_array_equal(fewer[0], every[2])
    model.trainable = False
    _, same, none = model.vjp(x, dy)
    np.testing.assert_array_equal(dx, same)
    assert none == []
    assert model.flat_weights.shape == (0,)
    assert model.parameter_jacobian(x).shape == (6, 0)


def test_indices_and_sparse_rows_have_no_dx(rng):
    scipy = pytest.importorskip("scipy.sparse")
    words = lamina.Sequential([lamina.Input((6,)), layers.Embedding(9, 4), layers.Flatten(), layers.Dense(2)])
    ids, dy = rng.integers(0, 9, (5, 6)), rng.standard_normal((5, 2))
    with pytest.raises(ValueError, match="need_dx must be False for indices"):
        words.vjp(ids, dy)
    _, dx, gradients = words.vjp(ids, dy, need_dx=False)
    assert dx is None
    flat = np.concatenate([gradient.ravel() for gradient in gradients])
    np.testing.assert_allclose(flat, dy.ravel() @ words.parameter_jacobian(ids), rtol=1e-4, atol=1e-5)
    bags = lamina.Sequential([lamina.Input((30,)), layers.Dense(4, "tanh"), layers.Dense(2)])
    x = scipy.random(5, 30, 0.2, format="csr", dtype="float32", random_state=1)
    with pytest.raises(ValueError, match="need_dx must be False for sparse rows"):
        bags.vjp(x, dy)
    for one, other in zip(bags.vjp(x, dy, need_dx=False)[2], bags.vjp(x.toarray(), dy)[2], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(bags.parameter_jacobian(x), bags.parameter_jacobian(x.toarray()), rtol=1e-5, atol=1e-6)


def test_scipy_minimizes_the_objective(rng):
    optimize = pytest.importorskip("scipy.optimize")
    x = rng.standard_normal((60, 3))
    y = np.tanh(x @ rng.standard_normal((3, 1)))
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(8, "tanh"), layers.Dense(1)])
    model.compile(loss="mse")
    start = model.evaluate(x, y, verbose=0)
    found = optimize.minimize(*model.objective(x, y), jac=True, method="L-BFGS-B", options={"maxiter": 100})
    model.flat_weights = found.x
    assert model.evaluate(x, y, verbose=0) < start / 100


def test_a_policy_gradient_by_hand(rng):
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(16, "tanh"), layers.Dense(2, "softmax")])
    model.compile(lamina.optimizers.Adam(0.05))
    x = rng.standard_normal((64, 4)).astype("f")
    best = (x[:, 0] > 0).astype(int)
    for _ in range(60):
        p = model.predict_on_batch(x)
        action = (rng.random(64) < p[:, 1]).astype(int)
        reward = np.where(action == best, 1.0, -1.0)
        dy = np.zeros_like(p)
        dy[np.arange(64), action] = -reward / p[np.arange(64), action] / 64
        _, _, gradients = model.vjp(x, dy, need_dx=False)
        model.optimizer.apply(gradients, model.trainable_weights)
    assert (model.predict_on_batch(x).argmax(axis=1) == best).mean() > 0.9


def test_several_threads_at_once(rng):
    x, dy = rng.standard_normal((300, 5)), rng.standard_normal((300, 2))
    for name in ("wide", "call"):
        model = MODELS[name]()
        dy = rng.standard_normal((300, model.output_shape[-1]))
        expected = copy.deepcopy(model).vjp(x, dy, flat=True)
        found = [None] * 4

        def work(i, model=model, dy=dy, found=found):
            found[i] = model.vjp(x, dy, flat=True)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for one in found:
            for array, other in zip(one, expected, strict=True):
                np.testing.assert_array_equal(array, other)


def test_copies_and_changed_layers(rng):
    model = MODELS["narrow"]()
    x, dy = rng.standard_normal((3, 5)), rng.standard_normal((3, 2))
    first = model.vjp(x, dy)[1]
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(other.vjp(x, dy)[1], first)
    model.layers[0].activation = "relu"
    assert not np.array_equal(model.vjp(x, dy)[1], first)


def test_results_go_to_given_arrays(rng):
    model = MODELS["narrow"]()
    x = rng.standard_normal((3, 5))
    for method in (model.jacobian, model.parameter_jacobian):
        expected = method(x)
        out = np.full_like(expected, np.nan)
        assert method(x, out=out) is out
        np.testing.assert_array_equal(out, expected)
        with pytest.raises(ValueError, match="out must be writeable, C-contiguous, of shape"):
            method(x, out=np.empty((2, 2), "f"))
        with pytest.raises(TypeError, match="out must be an array of dtype float32"):
            method(x, out=np.empty(expected.shape))


def test_empty_batches():
    model = MODELS["narrow"]()
    y, dx, gradients = model.vjp(np.empty((0, 5)), np.empty((0, 2)))
    assert y.shape == (0, 2)
    assert dx.shape == (0, 5)
    assert all((gradient == 0).all() for gradient in gradients)
    assert model.jacobian(np.empty((0, 5))).shape == (0, 2, 5)
    assert model.parameter_jacobian(np.empty((0, 5))).shape == (0, model.flat_weights.size)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m.vjp(np.ones((3, 5)), np.ones((3, 3))), ValueError, "dy must have the output's shape"),
        (lambda m: m.vjp(np.ones((3, 5)), np.ones((2, 2))), ValueError, "dy must have the output's shape"),
        (lambda m: m.vjp(np.ones((3, 4)), np.ones((3, 2))), ValueError, "vjp: x must have shape"),
        (lambda m: m.vjp(np.ones((3, 5)), "a"), (TypeError, ValueError), "dy must"),
        (lambda m: m.vjp(np.ones((3, 5)), np.ones((3, 2)), need_dx=2), (TypeError, ValueError), "need_dx must be"),
        (lambda m: m.value_and_gradient(np.ones((3, 5)), np.ones((3, 2))), RuntimeError, "must be compiled first"),
        (lambda m: m.objective(np.ones((3, 5)), np.ones((3, 2))), RuntimeError, "must be compiled first"),
        (lambda m: m.jacobian(np.ones(5)), ValueError, "jacobian: x must"),
        (lambda m: setattr(m, "flat_weights", np.ones(3)), ValueError, r"must have shape \(58,\); got \(3,\)"),
        (lambda m: lamina.Sequential([layers.Dense(2)]).vjp(np.ones((3, 5)), 1), AttributeError, "must be built"),
        (lambda m: lamina.Sequential([layers.Dense(2)]).flat_weights, AttributeError, "must be built"),
    ],
)
def test_wrong_calls_are_refused(call, error, message):
    model = MODELS["narrow"]()
    before = model.flat_weights
    with pytest.raises(error, match=message):
        call(model)
    np.testing.assert_array_equal(before, model.flat_weights)
