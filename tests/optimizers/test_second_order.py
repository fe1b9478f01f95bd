"""L-BFGS and Levenberg–Marquardt: against their formulas in NumPy, on problems with known solutions, and resumed."""

import numpy as np
import pytest

import lamina
from lamina import layers, regularizers
from lamina.optimizers import LBFGS, LevenbergMarquardt


@pytest.fixture
def wave(rng):
    """A regression of one wave: x, y in float64."""
    x = rng.uniform(-1, 1, (300, 2))
    return x, np.sin(3 * x[:, :1]) * x[:, 1:]


def _network(dtype="float64", units=8, activation="tanh", **arguments):
    inputs = lamina.Input((2,))
    hidden = layers.Dense(units, activation, dtype=dtype, **arguments)(inputs)
    return lamina.Model(inputs, layers.Dense(1, dtype=dtype)(hidden))


def _numpy_lbfgs(model, x, y, steps, rate, history):
    """L-BFGS without a line search, by the two loops of Nocedal & Wright, algorithm 7.4."""
    pairs, point = [], model.flat_weights.copy()
    _, gradient = model.value_and_gradient(x, y, flat=True)
    for _ in range(steps):
        q, shares = -gradient, []
        for s, change in reversed(pairs):
            shares.append(s @ q / (s @ change))
            q = q - shares[-1] * change
        if pairs:
            s, change = pairs[-1]
            q = q * (s @ change) / (change @ change)
        for (s, change), share in zip(pairs, reversed(shares), strict=True):
            q = q + (share - change @ q / (s @ change)) * s
        length = rate if pairs else rate * min(1, 1 / np.linalg.norm(gradient))
        before, point = point, point + length * q
        model.flat_weights = point
        last, (_, gradient) = gradient, model.value_and_gradient(x, y, flat=True)
        if (point - before) @ (gradient - last) > 1e-10 * ((gradient - last) @ (gradient - last)):
            pairs = [*pairs, (point - before, gradient - last)][-history:]
    return point


@pytest.mark.parametrize("history", [1, 3, 20])
def test_lbfgs_takes_the_steps_of_its_formula(wave, history):
    x, y = wave
    model = _network()
    model.compile(LBFGS(0.3, history_size=history, line_search=None), "mse")
    twin = lamina.models.clone_model(model)
    twin.compile("sgd", "mse")
    twin.set_weights(model.get_weights())
    model.fit(x, y, epochs=8, verbose=0)
    np.testing.assert_allclose(model.flat_weights, _numpy_lbfgs(twin, x, y, 8, 0.3, history), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lbfgs_finds_what_scipy_finds(wave, dtype):
    optimize = pytest.importorskip("scipy.optimize")
    x, y = (array.astype(dtype) for array in wave)
    model = _network(dtype)
    model.compile(LBFGS(), "mse")
    start = model.get_weights()
    history = model.fit(x, y, epochs=150, verbose=0)
    ours = model.evaluate(x, y, verbose=0)
    assert history.history["loss"][-1] == pytest.approx(ours, rel=1e-4, abs=1e-7)
    assert np.all(np.diff(history.history["loss"]) <= 1e-6)
    model.set_weights(start)
    found = optimize.minimize(*model.objective(x, y), jac=True, method="L-BFGS-B", options={"maxiter": 150})
    assert ours < 3 * found.fun + 1e-5


def test_lbfgs_ends_at_the_minimum(rng):
    x = rng.standard_normal((200, 5)) * [1, 10, 0.1, 3, 1]  # ill-conditioned
    y = x @ rng.standard_normal((5, 1)) + 0.3 + 0.01 * rng.standard_normal((200, 1))
    weights = rng.uniform(0.1, 2, 200)
    model = lamina.Sequential([lamina.Input((5,)), layers.Dense(1, dtype="float64")])
    model.compile(LBFGS(tolerance=1e-9), "mse")
    history = model.fit(x, y, sample_weight=weights, epochs=500, verbose=0)
    assert len(history.epoch) < 200
    assert model.optimizer.converged
    ones = np.hstack([x, np.ones((200, 1))])
    exact = np.linalg.lstsq(ones * np.sqrt(weights)[:, None], y * np.sqrt(weights)[:, None], rcond=None)[0]
    np.testing.assert_allclose(model.flat_weights, exact[:, 0], rtol=1e-5)
    before = model.get_weights()
    assert len(model.fit(x, y, sample_weight=weights, epochs=10, verbose=0).epoch) == 1
    for one, two in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lbfgs_ends_when_the_loss_hardly_falls(wave, dtype):
    x, y = (array.astype(dtype) for array in wave)
    model = _network(dtype)
    model.compile(LBFGS(loss_tolerance=1e-3), "mse")
    losses = model.fit(x, y, epochs=500, verbose=0).history["loss"]
    falls = -np.diff(losses) / np.maximum(1, losses[:-1])
    assert model.optimizer.converged
    assert falls[-1] < 1e-3 <= falls[:-1].min()
    assert losses[-1] < losses[-2]


def test_lbfgs_ends_after_its_evaluations(wave):
    x, y = wave
    found = {}
    for most in (None, 1000):
        model = _network()
        model.compile(LBFGS(max_evaluations=None if most is None else found[None][0]), "mse")
        model.set_weights([np.random.default_rng(3).uniform(-1, 1, w.shape) for w in model.get_weights()])
        epochs = len(model.fit(x, y, epochs=21 if most is None else 40, verbose=0).epoch)
        found[most] = (model.optimizer.evaluations, epochs, model.optimizer.converged)
    assert found[None][0] >= 22
    assert found == {None: (found[None][0], 21, False), 1000: (found[None][0], 21, True)}
    model.optimizer.evaluations = 0
    assert len(model.fit(x, y, epochs=40, verbose=0).epoch) > 5
    with pytest.raises(ValueError, match="max_evaluations must be >= 1"):
        LBFGS(max_evaluations=0)


def test_evaluations_do_not_depend_on_how_many_epochs_a_call_trains(wave, monkeypatch):
    x, y = wave
    found = []
    for short, at_once in ((0.0, 0.0), (1e9, 0.0), (1e9, 1e9)):  # one by one, the first two so, all but the first
        monkeypatch.setattr(lamina.models.epochs, "SHORT_EPOCH", short)
        monkeypatch.setattr(lamina.models.epochs, "SLICE", at_once)
        model = _network()
        model.compile(LBFGS(), "mse")
        model.set_weights([np.random.default_rng(3).uniform(-1, 1, w.shape) for w in model.get_weights()])
        losses = model.fit(x, y, epochs=21, verbose=0).history["loss"]
        found.append((model.optimizer.evaluations, losses))
    assert found[0] == found[1] == found[2]
    assert found[0][0] >= 22  # one to begin with, and one at least a step
    monkeypatch.setattr(lamina.models.epochs, "SHORT_EPOCH", 0.0)
    model.compile(LBFGS(max_evaluations=found[0][0]), "mse")
    model.set_weights([np.random.default_rng(3).uniform(-1, 1, w.shape) for w in model.get_weights()])
    assert model.fit(x, y, epochs=40, verbose=0).history["loss"] == losses


def test_a_step_without_a_move_leaves_an_empty_pair(wave):
    x, y = wave
    model = _network()
    model.compile(LBFGS(history_size=2), "mse")
    model.fit(x, y, epochs=3, verbose=0)
    state = {variable.path: variable for variable in model.optimizer.variables}
    pairs = [v for path, v in state.items() if path.startswith(("step_1/", "change_1/"))]
    assert any(np.any(v.numpy()) for v in pairs)
    model.optimizer.tolerance = 1e9
    model.train_on_batch(x, y)  # step 3, of pair 1
    assert model.optimizer.converged
    pairs = [v for v in model.optimizer.variables if v.path.startswith(("step_1/", "change_1/"))]
    assert pairs
    assert not any(np.any(v.numpy()) for v in pairs)


def _oracle(model, x, y, damping, weights=None, l2=0.0):
    """The Levenberg–Marquardt step from the Jacobian, in float64."""
    jacobian = model.parameter_jacobian(x).astype(np.float64)
    outputs = model.predict(x, verbose=0).astype(np.float64)
    residuals = (outputs - y).reshape(-1)
    each = np.ones(len(x)) if weights is None else weights
    shares = np.repeat(each, residuals.size // len(x)) * 2 / residuals.size
    theta = model.flat_weights.astype(np.float64)
    curvature = (jacobian * shares[:, None]).T @ jacobian + (damping + 2 * l2) * np.eye(theta.size)
    return theta - np.linalg.solve(curvature, (jacobian * shares[:, None]).T @ residuals + 2 * l2 * theta)


MODELS = {
    "one output": lambda: [lamina.Input((3,)), layers.Dense(6, "tanh"), layers.Dense(1)],
    "outputs": lambda: [lamina.Input((3,)), layers.Dense(40, "sigmoid"), layers.Dense(5, "tanh"), layers.Dense(4)],
    "softmax": lambda: [lamina.Input((3,)), layers.Dense(6, "gelu"), layers.Dense(4, "softmax")],
    "no bias": lambda: [lamina.Input((3,)), layers.Dense(6, "elu", use_bias=False), layers.Dense(2)],
    "steps": lambda: [lamina.Input((4, 3)), layers.Dense(5, "tanh"), layers.Dense(2)],
    "flattened": lambda: [lamina.Input((4, 3)), layers.Dense(2, "tanh"), layers.Flatten(), layers.Dense(3)],
    "frozen": lambda: [lamina.Input((3,)), layers.Dense(6, "tanh", trainable=False), layers.Dense(2)],
    "normalized": lambda: [lamina.Input((3,)), layers.Dense(6), layers.LayerNormalization(), layers.Dense(2)],
    "embedding": lambda: [lamina.Input((4,), dtype="int32"), layers.Embedding(9, 3), layers.Flatten(), layers.Dense(2)],
    "slopes": lambda: [lamina.Input((3,)), layers.Dense(6), layers.PReLU(), layers.Dense(2)],
    "frozen moments": lambda: [
        lamina.Input((3,)), layers.Dense(6, "tanh"), layers.BatchNormalization(trainable=False), layers.Dense(2),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weighted", [False, True])
def test_levenberg_marquardt_takes_the_step_of_its_formula(rng, name, dtype, weighted):
    before = lamina.config.floatx()
    lamina.config.set_floatx(dtype)
    try:
        model = lamina.Sequential(MODELS[name]())
    finally:
        lamina.config.set_floatx(before)
    model.compile(LevenbergMarquardt(damping=0.05), "mse")
    n = 70
    shape = model.input_shape[1:]
    x = rng.integers(0, 9, (n, *shape)) if name == "embedding" else rng.standard_normal((n, *shape)).astype(dtype)
    y = rng.standard_normal((n, *model.output_shape[1:])).astype(dtype)
    weights = rng.uniform(0, 2, n).astype(dtype) if weighted else None
    wanted = _oracle(model, x, y, 0.05, weights)
    model.train_on_batch(x, y, sample_weight=weights)
    tolerance = 2e-4 if dtype == "float32" else 1e-8
    np.testing.assert_allclose(model.flat_weights, wanted, rtol=tolerance, atol=tolerance)
    assert model.optimizer.damping == pytest.approx(0.005)


def test_levenberg_marquardt_solves_a_linear_model_in_one_step(rng):
    x, weights, l2 = rng.standard_normal((500, 6)) * [1, 1e-3, 1, 1e2, 1, 1], rng.uniform(0.1, 2, 500), 1e-3
    y = x @ rng.standard_normal((6, 2)) + 0.1 * rng.standard_normal((500, 2))
    model = lamina.Sequential([
        lamina.Input((6,)),
        layers.Dense(2, kernel_regularizer=regularizers.L2(l2), bias_regularizer=regularizers.L2(l2), dtype="float64"),
    ])  # fmt: skip
    model.compile(LevenbergMarquardt(damping=1e-14), "mse")
    model.fit(x, y, sample_weight=weights, batch_size=500, epochs=1, verbose=0)
    ones, share = np.hstack([x, np.ones((500, 1))]), weights[:, None] / 500 / 2
    exact = np.linalg.solve((ones * share).T @ ones + l2 * np.eye(7), (ones * share).T @ y)
    np.testing.assert_allclose(np.vstack(model.get_weights()), exact, rtol=1e-7, atol=1e-9)


def test_levenberg_marquardt_reaches_a_tiny_loss():
    x = np.linspace(-1, 1, 2000, dtype="f")[:, None]
    lamina.utils.set_random_seed(0)
    model = lamina.Sequential([lamina.Input((1,)), layers.Dense(20, "tanh"), layers.Dense(1)])
    model.compile(LevenbergMarquardt(), "mse")
    model.fit(x, np.sinc(10 * x), batch_size=500, epochs=400, verbose=0)
    assert model.evaluate(x, np.sinc(10 * x), verbose=0) < 1e-6


def test_levenberg_marquardt_stays_where_nothing_is_lower(rng):
    x = rng.standard_normal((60, 2))
    model = lamina.Sequential([lamina.Input((2,)), layers.Dense(1, dtype="float64")])
    model.compile(LevenbergMarquardt(damping=1e-12, attempts=3), "mse")
    y = x @ [[1.0], [2.0]] + rng.standard_normal((60, 1))
    history = model.fit(x, y, batch_size=60, epochs=50, verbose=0)
    assert len(history.epoch) < 10
    assert model.optimizer.converged
    kept, damping = model.get_weights(), model.optimizer.damping
    model.train_on_batch(x, y)
    for one, two in zip(kept, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert model.optimizer.damping > damping


OPTIMIZERS = {"lbfgs": lambda: LBFGS(), "levenberg": lambda: LevenbergMarquardt()}


def _run(optimizer, x, y, epochs, batch_size=None, model=None):
    if model is None:
        lamina.utils.set_random_seed(3)
        model = _network("float32")
        model.compile(OPTIMIZERS[optimizer](), "mse", metrics=["mae"])
    history = model.fit(x, y, batch_size=batch_size, epochs=epochs, verbose=0)
    return model, history.history


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_bits_do_not_depend_on_threads(wave, optimizer):
    x, y = (array.astype("f") for array in wave)
    before, found = lamina.get_num_threads(), []
    for threads in (1, 2, 4):
        lamina.set_num_threads(threads)
        found.append(_run(optimizer, x, y, 12))
    lamina.set_num_threads(before)
    for model, history in found[1:]:
        assert history == found[0][1]
        np.testing.assert_array_equal(model.flat_weights, found[0][0].flat_weights)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("suffix", [".keras", ".safetensors"])
def test_a_loaded_model_goes_on_exactly(wave, optimizer, suffix, tmp_path):
    x, y = (array.astype("f") for array in wave)
    size = None if optimizer == "lbfgs" else 100
    whole, _ = _run(optimizer, x, y, 14, size)
    model, _ = _run(optimizer, x, y, 6, size)
    model.save(tmp_path / f"m{suffix}")
    loaded = lamina.models.load_model(tmp_path / f"m{suffix}")
    if suffix == ".keras":  # Keras's files do not hold how often rows were shuffled
        loaded.executor.shuffles, loaded.seed = model.executor.shuffles, model.seed
    _run(optimizer, x, y, 8, size, loaded)
    np.testing.assert_array_equal(loaded.flat_weights, whole.flat_weights)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_interrupted_fit_resumes_exactly(wave, optimizer, tmp_path):
    x, y = (array.astype("f") for array in wave)
    size = None if optimizer == "lbfgs" else 100

    def run(stops):
        lamina.utils.set_random_seed(3)
        model = _network("float32")
        model.compile(OPTIMIZERS[optimizer](), "mse")

        def stop(epoch, logs):
            if epoch == 5 and stops:
                raise RuntimeError("stopped")

        backup = lamina.callbacks.BackupAndRestore(tmp_path / optimizer)
        watching = lamina.callbacks.LambdaCallback(on_epoch_begin=stop)
        model.fit(x, y, batch_size=size, epochs=12, verbose=0, callbacks=[backup, watching])
        return model.flat_weights

    whole = run(stops=False)
    with pytest.raises(RuntimeError, match="stopped"):
        run(stops=True)
    np.testing.assert_array_equal(run(stops=False), whole)


def test_a_callback_for_each_epoch_changes_nothing(wave):
    x, y = (array.astype("f") for array in wave)
    alone, history = _run("lbfgs", x, y, 20)
    lamina.utils.set_random_seed(3)
    model = _network("float32")
    model.compile(LBFGS(), "mse", metrics=["mae"])
    seen = lamina.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None)
    found = model.fit(x, y, epochs=20, verbose=0, callbacks=[seen])
    np.testing.assert_array_equal(model.flat_weights, alone.flat_weights)
    assert found.history == history


def test_lbfgs_with_noise_and_moments_of_the_batch(rng):
    x = rng.standard_normal((200, 6)).astype("f")
    y = np.sin(x[:, :1]) + x[:, 1:2]
    model = lamina.Sequential([
        lamina.Input((6,)), layers.Dense(20, "tanh"), layers.BatchNormalization(), layers.Dropout(0.1), layers.Dense(1),
    ])  # fmt: skip
    model.compile(LBFGS(), "mse")
    first = model.evaluate(x, y, verbose=0)
    moments = model.layers[1].moving_mean.numpy()
    history = model.fit(x, y, epochs=20, verbose=0)
    assert history.history["loss"][-1] < 0.3 * first
    assert not np.array_equal(moments, model.layers[1].moving_mean.numpy())


def test_lbfgs_with_a_layer_and_a_loss_in_python(wave):
    x, y = wave

    class Square(layers.Layer):
        def call(self, inputs):
            self.add_loss(0.01 * lamina.ops.mean(lamina.ops.square(inputs)))
            return lamina.ops.square(inputs)

    def loss(targets, outputs):
        return lamina.ops.mean(lamina.ops.square(targets - outputs), axis=-1)

    def run(middle, with_loss, penalty):
        lamina.utils.set_random_seed(1)
        inputs = lamina.Input((2,))
        hidden = middle(layers.Dense(6, dtype="float64", activity_regularizer=penalty)(inputs))
        model = lamina.Model(inputs, layers.Dense(1, dtype="float64")(hidden))
        model.compile(LBFGS(), with_loss)
        return model.fit(x, y, epochs=15, verbose=0).history["loss"]

    written = run(Square(dtype="float64"), loss, None)
    compiled = run(layers.Activation(lamina.ops.square, dtype="float64"), "mse", None)
    assert written[-1] < 0.5 * written[0]
    assert written[0] > compiled[0]  # with the added loss


def test_an_error_in_a_step_leaves_the_weights(wave):
    x, y = wave
    calls = []

    def loss(targets, outputs):
        calls.append(len(targets))
        if len(calls) > 2:
            raise ValueError("enough")
        return lamina.ops.mean(lamina.ops.square(targets - outputs), axis=-1)

    model = _network()
    model.compile(LBFGS(), loss)
    kept = model.get_weights()
    with pytest.raises(ValueError, match="enough"):
        model.fit(x, y, epochs=30, verbose=0)
    calls.clear()
    if model.optimizer.iterations == 0:
        for one, two in zip(kept, model.get_weights(), strict=True):
            np.testing.assert_array_equal(one, two)


def test_a_nan_leaves_the_weights(wave):
    x, y = wave
    for optimizer in OPTIMIZERS.values():
        model = _network()
        model.compile(optimizer(), "mse")
        kept, bad = model.get_weights(), y.copy()
        bad[7] = np.nan
        history = model.fit(x, bad, batch_size=len(x), epochs=5, verbose=0)
        assert np.isnan(history.history["loss"][0])
        for one, two in zip(kept, model.get_weights(), strict=True):
            np.testing.assert_array_equal(one, two)


def test_what_is_refused(wave):
    x, y = wave

    def refused(model, optimizer, loss, words, **arguments):
        model.compile(optimizer, loss)
        kept = model.get_weights()
        with pytest.raises(ValueError, match=words):
            model.fit(x, y, verbose=0, **arguments)
        for one, two in zip(kept, model.get_weights(), strict=True):
            np.testing.assert_array_equal(one, two)

    def chain(*middle):
        return lamina.Sequential([lamina.Input((2,)), layers.Dense(3), *middle, layers.Dense(1)])

    refused(_network(), LBFGS(), "mse", "batch_size and steps_per_epoch must be None for LBFGS", batch_size=32)
    refused(_network(), LBFGS(), "mse", "batch_size and steps_per_epoch must be None", steps_per_epoch=3)
    for optimizer in (LBFGS, LevenbergMarquardt):
        refused(_network(kernel_constraint="non_neg"), optimizer(), "mse", "must have no constraint")
        refused(_network(kernel_regularizer=lambda w: lamina.ops.sum(w)), optimizer(), "mse", "the regularizer of")
    refused(
        _network(), LevenbergMarquardt(), "mae", "must be a sum of squares, MeanSquaredError; got MeanAbsoluteError"
    )
    refused(_network(kernel_regularizer="l1"), LevenbergMarquardt(), "mse", "it has an L1 part")
    refused(_network(activity_regularizer="l2"), LevenbergMarquardt(), "mse", "must have no activity_regularizer")
    for middle in (layers.Dropout(0.1), layers.GaussianNoise(0.1), layers.BatchNormalization()):
        refused(chain(middle), LevenbergMarquardt(), "mse", "the loss must be the same whenever it is evaluated")
    refused(_network(), LevenbergMarquardt(), "mse", "sample weights must be >= 0", sample_weight=-np.ones(len(x)))
    for optimizer in (LBFGS(), LevenbergMarquardt()):
        model = _network()
        model.compile(optimizer, "mse")
        with pytest.raises(TypeError, match="apply must not be called"):
            optimizer.apply([np.zeros(v.shape) for v in model.trainable_weights], model.trainable_weights)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (LBFGS, {"history_size": 0}),
        (LBFGS, {"line_search": "armijo"}),
        (LBFGS, {"tolerance": -1}),
        (LevenbergMarquardt, {"damping": 0}),
        (LevenbergMarquardt, {"factor": 1}),
        (LevenbergMarquardt, {"attempts": 0}),
    ],
)
def test_arguments_out_of_range(kind, arguments):
    with pytest.raises((ValueError, TypeError), match=next(iter(arguments))):
        kind(**arguments)


@pytest.mark.parametrize("kind", [LBFGS, LevenbergMarquardt])
def test_configurations(kind):
    config = kind(0.5).get_config()
    assert kind.from_config(config).get_config() == config
    assert type(lamina.optimizers.get(kind.__name__)) is kind


def test_more_weights_than_memory_allows_are_refused(wave, monkeypatch):
    x, y = wave
    model = _network(units=1000)  # 4001 weights: 256 MB
    model.compile(LevenbergMarquardt(), "mse")
    before = model.flat_weights
    monkeypatch.setattr("lamina.optimizers.second_order.memory_bytes", lambda: 200_000_000)
    for train in (model.fit, model.train_on_batch):
        with pytest.raises(MemoryError, match=r"fit into memory: those of 4001 weights have 0\.256 GB"):
            train(x, y)
    np.testing.assert_array_equal(model.flat_weights, before)
    monkeypatch.setattr("lamina.optimizers.second_order.memory_bytes", lambda: 300_000_000)
    model.optimizer.check_problem(model.executor.compiled.loss, model.layers, model.trainable_weights)
