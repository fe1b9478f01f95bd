"""Batches that somebody else makes, epochs of so many steps, weights of classes."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import layers


def model_and_data(rng, metrics=None):
    x, y = rng.standard_normal((50, 4)).astype("f"), rng.integers(0, 3, 50)
    lamina.utils.set_random_seed(5)
    model = lamina.Sequential([layers.Input((4,)), layers.Dense(6, "tanh"), layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=metrics)
    return model, x, y


class Sequence:
    def __init__(self, x, y, size):
        self.x, self.y, self.size, self.epochs = x, y, size, 0

    def __len__(self):
        return -(-len(self.x) // self.size)

    def __getitem__(self, index):
        part = slice(index * self.size, (index + 1) * self.size)
        return self.x[part], self.y[part]

    def on_epoch_end(self):
        self.epochs += 1


def endless(x, y, size):
    while True:
        for i in range(0, len(x), size):
            yield x[i : i + size], y[i : i + size]


def test_all_kinds_of_batches_train_as_the_array_does(rng):
    model, x, y = model_and_data(rng, ["accuracy"])
    start = model.get_weights()
    expected = model.fit(x, y, batch_size=16, epochs=3, shuffle=False, verbose=0).history
    weights, scores, predictions = model.get_weights(), model.evaluate(x, y, batch_size=16), model.predict(x)
    sequence = Sequence(x, y, 16)
    sources = {
        "sequence": (sequence, {}),
        "generator": (endless(x, y, 16), {"steps_per_epoch": 4}),
        "iterable": (type("Loader", (), {"__iter__": lambda self: (sequence[i] for i in range(4))})(), {}),
        "stepped": (sequence, {"steps_per_epoch": 4}),
    }
    for name, (source, settings) in sources.items():
        own, _, _ = model_and_data(np.random.default_rng(0), ["accuracy"])
        own.set_weights(start)
        assert own.fit(source, epochs=3, verbose=0, shuffle=False, **settings).history == expected, name
        for a, b in zip(own.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(a, b)
        limit = {"steps": 4} if name == "generator" else {}
        np.testing.assert_allclose(own.evaluate(source, verbose=0, **limit), scores, rtol=1e-6)
        np.testing.assert_array_equal(own.predict(source, verbose=0, **limit), predictions)
    assert sequence.epochs > 6


def test_validation_from_batches(rng):
    model, x, y = model_and_data(rng)
    history = model.fit(x, y, epochs=2, verbose=0, validation_data=Sequence(x, y, 20), validation_steps=2).history
    assert history["val_loss"][-1] == pytest.approx(model.evaluate(x[:40], y[:40], verbose=0), rel=1e-6)
    history = model.fit(x, y, epochs=3, verbose=0, validation_data=(x, y), validation_freq=[1, 3]).history
    assert len(history["val_loss"]) == 2


def test_steps_go_on_where_the_epoch_before_ended(rng):
    model, x, y = model_and_data(rng)
    start = model.get_weights()
    with pytest.warns(UserWarning, match="ran out after 1 of 2"):
        model.fit(x, y, batch_size=10, epochs=6, steps_per_epoch=2, verbose=0)
    assert model.optimizer.iterations == 10  # 2, 2, 1, and once more
    other, _, _ = model_and_data(np.random.default_rng(0))
    other.set_weights(start)
    other.seed = model.seed
    other.fit(x, y, batch_size=10, epochs=2, verbose=0)
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])


def test_a_generator_that_ends_early(rng):
    model, x, y = model_and_data(rng)
    few = (pair for pair in [(x[:8], y[:8]), (x[8:16], y[8:16])])
    with pytest.warns(UserWarning, match="ran out after 2 of 5"):
        model.fit(few, steps_per_epoch=5, verbose=0)
    with pytest.raises(ValueError, match="there are no batches"):
        model.fit(few, verbose=0)
    with pytest.raises(ValueError, match="must not be given"):
        model.fit(Sequence(x, y, 8), y, verbose=0)
    with pytest.raises(TypeError, match="real numbers"):
        model.fit({"x": x, "z": x}, y, verbose=0)
    with pytest.raises(ValueError, match=r"must be in \[0, 3\)"):
        model.fit([(x, y + 7)].__iter__(), verbose=0)


def test_weights_of_classes(rng):
    model, x, y = model_and_data(rng)
    start = model.get_weights()
    chosen = {0: 2.0, 2: 0.5}
    rows = np.array([chosen.get(int(label), 1.0) for label in y])
    found = []
    for targets, settings in (
        (y, {"class_weight": chosen}),
        (y, {"sample_weight": rows}),
        (y[:, np.newaxis], {"class_weight": chosen}),
    ):
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.set_weights(start)
        model.fit(x, targets, shuffle=False, verbose=0, **settings)
        found.append(model.get_weights()[0])
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    model.compile("sgd", "categorical_crossentropy")
    model.set_weights(start)
    model.fit(x, lamina.utils.to_categorical(y, 3), shuffle=False, verbose=0, class_weight=chosen)
    np.testing.assert_allclose(model.get_weights()[0], found[0], rtol=1e-5, atol=1e-6)
    balanced = lamina._data.rows.class_weights("", "balanced", [0, 0, 0, 1], 1)
    np.testing.assert_allclose(balanced, [2 / 3, 2 / 3, 2 / 3, 2])
    with pytest.raises(ValueError, match="class_weight or sample_weight, not both"):
        model.fit(x, y, class_weight=chosen, sample_weight=rows)
    with pytest.raises(TypeError, match="class_weight must be a dict"):
        model.fit(x, y, class_weight=[1, 2])


def test_frames(rng):
    pandas = pytest.importorskip("pandas")
    model, x, y = model_and_data(rng)
    expected = model.predict(x)
    np.testing.assert_array_equal(model.predict(pandas.DataFrame(x)), expected)
    np.testing.assert_array_equal(model.predict(x.tolist()), expected)
    model.fit(pandas.DataFrame(x), pandas.Series(y), verbose=0)


def test_names_that_are_not_there_say_what_is():
    for module, name, hint in (
        (lamina, "Function", "chains of layers"),
        (layers, "Conv2D", "Flatten makes rows"),
        (layers, "LSTM", "an Embedding with a Flatten"),
        (lamina.callbacks, "RemoteMonitor", "sends the logs"),
    ):
        with pytest.raises(AttributeError, match=hint):
            getattr(module, name)
    with pytest.raises(AttributeError, match="Did you mean 'Dense'"):
        layers.Dens  # noqa: B018
    assert lamina.backend.clear_session() is None


@pytest.mark.parametrize("steps", [None, 1])
def test_validation_batches_that_ran_out_have_no_values(steps):
    x, y = np.ones((4, 3), "f"), np.ones((4, 1), "f")
    model = lamina.Sequential([lamina.Input((3,)), lamina.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    stop = lamina.callbacks.EarlyStopping("loss", patience=9)
    with pytest.warns(UserWarning, match="validation_data ran out") as told:
        history = model.fit(
            x, y, epochs=3, verbose=0, validation_data=iter([(x, y)]), validation_steps=steps, callbacks=[stop]
        ).history
    assert told[0].filename == __file__
    assert len(history["loss"]) == 3
    assert len(history["val_loss"]) == len(history["val_mae"]) == 1
    assert history["val_loss"][0] > 0


def test_errors_of_validation_data_name_it():
    x, y = np.ones((4, 3), "f"), np.ones((4, 1), "f")
    model = lamina.Sequential([lamina.Input((3,)), lamina.layers.Dense(1)])
    model.compile("sgd", "mse")
    for wrong in ((x, y[:2]), iter([(x, y[:2])])):
        with pytest.raises(ValueError, match="fit: validation_data: y must have"):
            model.fit(x, y, validation_data=wrong, verbose=0)


def test_a_list_or_dict_of_one_array_is_that_array(rng):
    """As Keras takes the inputs and targets of a model."""
    model, x, y = model_and_data(rng)
    expected = model.predict(x)
    for one in ([x], (x,), {"only": x}):
        np.testing.assert_array_equal(model.predict(one), expected)
        np.testing.assert_array_equal(model(one), expected)
        model.fit(one, [y], verbose=0, class_weight={0: 2.0})
        model.evaluate(one, {"out": y}, verbose=0)
        model.train_on_batch(one, [y])
        expected = model.predict(x)
    np.testing.assert_array_equal(model.predict([x[0]]), expected[:1])  # a list of one row
    with pytest.raises(ValueError, match="x must have shape"):
        model.predict([x, x])
