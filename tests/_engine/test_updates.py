"""What happens between gradients and parameters: penalties, accumulation, clipping, averages, constraints, the hook."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from helpers import forced_model, prepared_for

import lamina
from lamina import constraints, layers, optimizers, regularizers

SIZES = (7, 40, 70, 3)
N, BATCH, EPOCHS = 150, 40, 3

RULES = {
    "l2": ({"kernel_regularizer": regularizers.L2(0.03)}, {}),
    "l1 and l2": (
        {"kernel_regularizer": regularizers.L1L2(0.01, 0.02), "bias_regularizer": regularizers.L1(0.05)},
        {},
    ),
    "clipvalue": ({}, {"clipvalue": 0.003}),
    "clipnorm": ({}, {"clipnorm": 0.02}),
    "clipnorm not reached": ({}, {"clipnorm": 1e6}),
    "global_clipnorm": ({"kernel_regularizer": regularizers.L2(0.03)}, {"global_clipnorm": 0.05}),
    "accumulation": ({"kernel_regularizer": regularizers.L1(0.01)}, {"gradient_accumulation_steps": 3}),
    "accumulation and clipnorm": ({}, {"gradient_accumulation_steps": 2, "clipnorm": 0.02}),
    "average": ({}, {"use_ema": True, "ema_momentum": 0.7}),
    "average overwrites": ({}, {"use_ema": True, "ema_momentum": 0.7, "ema_overwrite_frequency": 3}),
    "average and accumulation": ({}, {"use_ema": True, "ema_momentum": 0.7, "gradient_accumulation_steps": 2}),
    "max_norm": ({"kernel_constraint": constraints.MaxNorm(0.5), "bias_constraint": constraints.MaxNorm(0.01)}, {}),
    "max_norm of rows": ({"kernel_constraint": constraints.MaxNorm(0.5, axis=1)}, {}),
    "unit_norm": ({"kernel_constraint": constraints.UnitNorm()}, {}),
    "min_max_norm": ({"kernel_constraint": constraints.MinMaxNorm(0.3, 0.6, rate=0.4)}, {}),
    "non_neg": ({"kernel_constraint": constraints.NonNeg(), "bias_constraint": constraints.NonNeg()}, {}),
    "decay of kernels": ({}, {"weight_decay": 0.2}),
}


def model_for(rule, dtype="float64", optimizer=optimizers.SGD, reduction="sum_over_batch_size"):
    lamina.utils.set_random_seed(5)
    in_layer, in_optimizer = RULES[rule]
    stack = [layers.Dense(units, "tanh", dtype=dtype, **in_layer) for units in SIZES[1:-1]]
    model = lamina.Sequential([*stack, layers.Dense(SIZES[-1], dtype=dtype, **in_layer)])
    model.build((None, SIZES[0]))
    chosen = optimizer(0.1, **in_optimizer)
    if "weight_decay" in in_optimizer:
        chosen.exclude_from_weight_decay(var_names=["bias"])
    model.compile(chosen, lamina.losses.MeanSquaredError(reduction))
    return model


def data(dtype="float64"):
    rng = np.random.default_rng(11)
    return rng.standard_normal((N, SIZES[0])).astype(dtype), rng.standard_normal((N, SIZES[-1])).astype(dtype)


class Oracle:
    """The same training in NumPy, formula by formula."""

    def __init__(self, model, rule):
        self.weights = [w.astype(np.float64) for w in model.get_weights()]
        self.layer, self.optimizer = RULES[rule]
        self.sums = [np.zeros_like(w) for w in self.weights]
        self.averages = [np.zeros_like(w) for w in self.weights]
        self.batches = 0

    def rule(self, i, kind):
        return self.layer.get(f"{'bias' if i % 2 else 'kernel'}_{kind}")

    def penalty(self):
        total = 0.0
        for i, w in enumerate(self.weights):
            if (found := self.rule(i, "regularizer")) is not None:
                l1, l2 = found.factors()
                total += l1 * np.abs(w).sum() + l2 * (w**2).sum()
        return total

    def gradients(self, x, t):
        values, depth = [x], len(self.weights) // 2
        for k in range(depth):
            z = values[-1] @ self.weights[2 * k] + self.weights[2 * k + 1]
            values.append(np.tanh(z) if k + 1 < depth else z)
        loss = ((values[-1] - t) ** 2).mean() + self.penalty()
        dz, found = 2 * (values[-1] - t) / t.size, []
        for k in reversed(range(depth)):
            if k + 1 < depth:
                dz = dz * (1 - values[k + 1] ** 2)
            found[:0] = [values[k].T @ dz, dz.sum(axis=0)]
            dz = dz @ self.weights[2 * k].T
        for i, w in enumerate(self.weights):
            if (rule := self.rule(i, "regularizer")) is not None:
                l1, l2 = rule.factors()
                found[i] = found[i] + l1 * np.sign(w) + 2 * l2 * w
        return loss, found

    def constrained(self, i, w):
        rule = self.rule(i, "constraint")
        if rule is None:
            return w
        if isinstance(rule, constraints.NonNeg):
            return np.maximum(w, 0)
        norm = np.sqrt((w**2).sum(axis=rule.axis, keepdims=True))
        if isinstance(rule, constraints.MaxNorm):
            wanted = np.clip(norm, 0, rule.max_value)
        elif isinstance(rule, constraints.UnitNorm):
            wanted = 1.0
        else:
            wanted = rule.rate * np.clip(norm, rule.min_value, rule.max_value) + (1 - rule.rate) * norm
        return w * wanted / (norm + 1e-7)

    def step(self, x, t):
        loss, gradients = self.gradients(x, t)
        settings = self.optimizer
        accumulate = settings.get("gradient_accumulation_steps", 1)
        taken = self.batches // accumulate
        self.batches += 1
        self.sums = [s + g for s, g in zip(self.sums, gradients, strict=True)]
        if self.batches % accumulate == 0:
            gradients = [s / accumulate for s in self.sums]
            self.sums = [np.zeros_like(s) for s in self.sums]
            if limit := settings.get("clipvalue"):
                gradients = [np.clip(g, -limit, limit) for g in gradients]
            if limit := settings.get("clipnorm"):
                gradients = [g * min(1, limit / np.linalg.norm(g)) for g in gradients]
            if limit := settings.get("global_clipnorm"):
                norm = np.sqrt(sum((g**2).sum() for g in gradients))
                gradients = [g * min(1, limit / norm) for g in gradients]
            for i, g in enumerate(gradients):
                decay = 0 if i % 2 else settings.get("weight_decay", 0)
                self.weights[i] = self.weights[i] * (1 - 0.1 * decay) - 0.1 * g
        if settings.get("use_ema"):
            momentum = settings["ema_momentum"] if taken else 0
            every = settings.get("ema_overwrite_frequency")
            for i, w in enumerate(self.weights):
                self.averages[i] = momentum * self.averages[i] + (1 - momentum) * w
                if every and (taken + 1) % every == 0:
                    self.weights[i] = self.averages[i].copy()
        self.weights = [self.constrained(i, w) for i, w in enumerate(self.weights)]
        return loss

    def fit(self, x, t):
        losses = []
        for _ in range(EPOCHS):
            total = 0.0
            for begin in range(0, N, BATCH):
                rows = slice(begin, begin + BATCH)
                total += self.step(x[rows], t[rows]) * len(x[rows])
            losses.append(total / N)
        if self.optimizer.get("use_ema"):
            self.weights = self.averages
        return losses


@pytest.mark.parametrize("rule", RULES)
def test_training_matches_the_oracle(rule, isa):
    model = model_for(rule)
    x, y = data()
    oracle = Oracle(model, rule)
    expected = oracle.fit(x, y)
    history = model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0)
    for found, wanted in zip(model.get_weights(), oracle.weights, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(history.history["loss"], expected, rtol=1e-10)
    # An evaluation contains the penalty too.
    assert model.evaluate(x, y, verbose=0) == pytest.approx(oracle.gradients(x, y)[0], rel=1e-10)


@pytest.mark.parametrize("rule", RULES)
def test_a_step_through_apply_is_the_engines_step(rule):
    """Gradients taken out and given to `apply` lead to the same parameters as `fit`."""
    x, y = data()
    fitted, applied = model_for(rule), model_for(rule)
    fitted.fit(x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0)
    for _ in range(EPOCHS):
        for begin in range(0, N, BATCH):
            part = slice(begin, begin + BATCH)
            _, gradients = applied.value_and_gradient(x[part], y[part], training=True)
            applied.optimizer.apply(gradients, applied.trainable_weights)
    applied.optimizer.finalize_variable_values(applied.trainable_weights)
    for a, b in zip(fitted.get_weights(), applied.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("optimizer", [optimizers.SGD, optimizers.Adam])
@pytest.mark.parametrize("size", [40, 150])
def test_bits_do_not_depend_on_schedule_or_threads(rule, optimizer, size):
    x, y = (np.tile(a, (3, 1)) for a in data("float32"))
    found = {}
    for schedule in ("stationary", "chunked", "by_rows"):
        for threads in (1, 2, 5):
            for as_long in (False, True) if threads == 2 else (False,):
                model = model_for(rule, "float32", optimizer)
                forced_model(model, schedule, threads, as_long)
                history = model.fit(x, y, batch_size=size, epochs=2, verbose=0).history["loss"]
                weights = hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest()
                found[schedule, threads, as_long] = weights, tuple(history)
    assert len(set(found.values())) == 1, found


@pytest.mark.parametrize("rule", ["accumulation", "average overwrites"])
def test_state_is_saved_and_goes_on(rule, tmp_path):
    """Training in two parts, with a file between them, gives the same bits as in one."""
    x, y = data()
    whole, part = model_for(rule), model_for(rule)
    whole.seed = part.seed
    x, y = x[: 3 * BATCH], y[: 3 * BATCH]  # whole batches, so that an epoch may end inside an accumulation
    for model in (whole, part):
        model.optimizer.finalize_variable_values = lambda variables: None
    whole.fit(x, y, batch_size=BATCH, epochs=4, shuffle=False, verbose=0)
    part.fit(x[: 2 * BATCH], y[: 2 * BATCH], batch_size=BATCH, epochs=1, shuffle=False, verbose=0)
    part.save(tmp_path / "part.safetensors")
    loaded = lamina.models.load_model(tmp_path / "part.safetensors")
    assert loaded.optimizer.batches == 2
    loaded.optimizer.finalize_variable_values = lambda variables: None
    loaded.fit(x[2 * BATCH :], y[2 * BATCH :], batch_size=BATCH, epochs=1, shuffle=False, verbose=0)
    loaded.fit(x, y, batch_size=BATCH, epochs=3, shuffle=False, verbose=0)
    for a, b in zip(whole.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


class HalfSquare(regularizers.Regularizer):
    def value_and_gradient(self, w):
        return 0.5 * float((w**2).sum()), w


class Rounded(constraints.Constraint):
    def __call__(self, w):
        return np.round(w, 2)


def test_regularizers_and_constraints_written_in_python_train():
    x, y = data()
    own, ours = model_for("l2"), model_for("l2")
    for model, regularizer in ((own, HalfSquare()), (ours, regularizers.L2(0.5))):
        for variable in model.weights:
            variable.regularizer = regularizer
        model.compile(optimizers.SGD(0.1), "mse")
    found = own.fit(x, y, batch_size=BATCH, epochs=2, shuffle=False, verbose=0).history["loss"]
    wanted = ours.fit(x, y, batch_size=BATCH, epochs=2, shuffle=False, verbose=0).history["loss"]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    for a, b in zip(own.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
    assert own.evaluate(x, y, verbose=0) == pytest.approx(ours.evaluate(x, y, verbose=0))
    own.weights[0].constraint = Rounded()
    own.fit(x, y, verbose=0)
    kernel = own.get_weights()[0]
    np.testing.assert_array_equal(kernel, np.round(kernel, 2))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("schedule", ["stationary", "chunked", "by_rows"])
def test_the_hook_sees_each_layer_from_the_last_one_and_may_change_it(threads, schedule):
    x, y = data()
    model, doubled = model_for("clipnorm not reached"), model_for("clipnorm not reached")
    doubled.optimizer.learning_rate = 0.2
    told = []

    def halve(layer, gradient):
        told.append(layer)
        if gradient is not None:
            gradient *= 0.5

    prepared = prepared_for(doubled, x, y)
    trainer = doubled.executor.trainer(prepared).engine
    trainer.force_schedule(schedule, threads)
    trainer.on_gradient(halve)
    doubled.fit(x, y, batch_size=N, shuffle=False, verbose=0)
    assert told == [2, 1, 0, -1]
    model.fit(x, y, batch_size=N, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), doubled.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("schedule", ["stationary", "chunked", "by_rows"])
def test_a_failing_hook_ends_the_run_on_every_thread_and_changes_nothing(schedule):
    x, y = data()
    model = model_for("l2")
    prepared = prepared_for(model, x, y)
    trainer = model.executor.trainer(prepared).engine
    trainer.force_schedule(schedule, 3)

    def fail(layer, gradient):
        raise ZeroDivisionError("on purpose")

    trainer.on_gradient(fail)
    before = model.get_weights()
    with pytest.raises(ZeroDivisionError, match="on purpose"):
        model.fit(x, y, batch_size=N, verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    trainer.on_gradient(None)
    model.fit(x, y, batch_size=N, verbose=0)
    assert not np.array_equal(before[0], model.get_weights()[0])


def test_nan_gradients_are_not_clipped_away():
    x, y = data()
    x[3, 2] = np.nan
    for rule in ("clipvalue", "clipnorm", "global_clipnorm"):
        model = model_for(rule)
        model.fit(x, y, batch_size=N, verbose=0)
        assert np.isnan(model.get_weights()[0]).any(), rule


def test_configurations_make_the_same():
    for optimizer in (optimizers.SGD(0.1, clipnorm=2.0), optimizers.Adam(use_ema=True, gradient_accumulation_steps=4)):
        again = optimizers.get(optimizers.serialize(optimizer))
        assert again.get_config() == optimizer.get_config()
    layer = layers.Dense(3, kernel_regularizer="l2", kernel_constraint=constraints.MinMaxNorm(0.1, 2.0))
    again = layers.Dense.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    with pytest.raises(ValueError, match="axis"):
        constraints.MaxNorm(axis=1)(np.ones(3))
    with pytest.raises(ValueError, match="l1_l2"):
        regularizers.get("l3")


def test_exclusions_from_decay_come_before_the_first_step():
    model = model_for("decay of kernels")
    model.fit(*data(), verbose=0)
    with pytest.raises(ValueError, match="before the first step"):
        model.optimizer.exclude_from_weight_decay(var_names=["kernel"])


@pytest.mark.parametrize("settings", [{"clipnorm": 1.0}, {"global_clipnorm": 1.0}, {}])
@pytest.mark.parametrize("penalty", [None, regularizers.L2(0.01)])
def test_nan_leaves_with_the_weights_that_had_it(settings, penalty):
    """Panels have padding, which a NaN reaches too."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, 5)).astype("f"), rng.standard_normal((20, 3)).astype("f")
    model = lamina.Sequential([layers.Dense(7, kernel_regularizer=penalty), layers.Dense(3)])
    model.build((None, 5))
    model.compile(optimizers.Adam(0.01, epsilon=0.0, **settings), "mse")
    good = model.get_weights()
    bad = x.copy()
    bad[0] = np.nan
    model.train_on_batch(bad, y)
    assert np.isnan(model.get_weights()[0]).any()
    model.set_weights(good)
    model.compile(optimizers.SGD(0.01, **settings), "mse")
    assert np.isfinite(model.train_on_batch(x, y))
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_an_average_begins_with_the_values_of_a_layer_that_trains_late():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 5)), rng.standard_normal((40, 3))
    model = lamina.Sequential([layers.Dense(7), layers.Dense(3)])
    model.layers[0].trainable = False
    model.compile(optimizers.SGD(1e-3, use_ema=True), "mse")
    model.fit(x, y, verbose=0)
    before = model.layers[0].get_weights()[0]
    model.layers[0].trainable = True
    model.fit(x, y, verbose=0)
    np.testing.assert_allclose(model.layers[0].get_weights()[0], before, atol=0.01)
    model.set_weights([np.ones_like(w) for w in model.get_weights()])
    model.fit(x, y, epochs=0, verbose=0)
    assert all((w == 1).all() for w in model.get_weights())


def test_a_failure_keeps_what_was_done_before():
    x, y = data()
    model = model_for("l2")
    prepared = prepared_for(model, x, y)
    trainer = model.executor.trainer(prepared).engine
    before, seen = model.get_weights()[0], []

    def fail(layer, gradient):
        if layer == -1:
            seen.append(model.layers[0].kernel.numpy())
            if len(seen) == 3:
                raise ZeroDivisionError("on purpose")

    trainer.on_gradient(fail)
    with pytest.raises(ZeroDivisionError):
        model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)
    assert model.optimizer.iterations == 2
    assert not np.array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(model.get_weights()[0], seen[2])
    assert not np.array_equal(before, seen[2])


def test_rules_of_ones_own_are_saved_as_arguments_by_their_class(tmp_path):
    for layer in (layers.Dense(3, kernel_regularizer=HalfSquare()), layers.Dense(3, kernel_constraint=Rounded())):
        lamina.Sequential([lamina.Input((4,)), layer]).save(tmp_path / "m.safetensors")
        with pytest.raises(ValueError, match="must be registered"):
            lamina.models.load_model(tmp_path / "m.safetensors")
        own = {"HalfSquare": HalfSquare, "Rounded": Rounded}
        again = lamina.models.load_model(tmp_path / "m.safetensors", custom_objects=own).layers[0]
        assert type(again.kernel_regularizer or again.kernel_constraint) in own.values()
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(3)])
    model.weights[0].regularizer = regularizers.L2()
    with pytest.raises(ValueError, match="must be an argument of its layer"):
        model.save(tmp_path / "model.safetensors")


def test_settings_may_be_changed_between_steps():
    x, y = data()
    model = model_for("l2")
    model.fit(x, y, verbose=0)
    model.optimizer.clipnorm = 1e-12
    before = model.get_weights()
    model.fit(x, y, verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)


def test_an_optimizer_in_python_may_have_many_slots():
    class Hoarder(optimizers.Optimizer):
        def slot_names(self):
            return ("a", "b", "c", "d")

        def update(self, variable, gradient):
            self.slot("d", variable).assign(gradient)

    model = model_for("non_neg")
    model.compile(Hoarder(0.1), "mse")
    model.fit(*data(), verbose=0)
    assert np.abs(model.optimizer.slot("d", model.weights[0]).numpy()).max() > 0


def test_a_layer_in_python_is_called_once_a_step_also_in_long_ones():
    from lamina.layers import Pass

    class Doubled(layers.Layer):
        calls = 0

        def forward(self, x, *, training):
            type(self).calls += 1
            return Pass(2 * x)

        def backward(self, dy, forward_pass, *, need_dx):
            return 2 * dy, []

    model = lamina.Sequential([lamina.Input((200,), dtype="float64"), layers.Dense(200, dtype="float64"),
                               Doubled(dtype="float64"), layers.Dense(3, dtype="float64")])  # fmt: skip
    model.compile(optimizers.SGD(0.01), "mse")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((10, 200)), rng.standard_normal((10, 3))
    prepared = prepared_for(model, x, y)
    model.executor.trainer(prepared).engine.force_schedule("stationary", 0, True)
    Doubled.calls = 0
    model.fit(x, y, batch_size=10, verbose=0)
    assert Doubled.calls == 1
