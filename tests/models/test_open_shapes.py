"""Rows that differ in their number of steps from batch to batch: `Input((None,))`, and models of steps in general."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from helpers import same

import lamina
from lamina import layers

LENGTHS = (3, 5, 9, 1, 5)


def words(length):
    """A network for the indices of words; `length` None: for any number of them."""
    return [
        layers.Input((length,), dtype="int32"), layers.Embedding(20, 4), layers.SpatialDropout1D(0.2, seed=1),
        layers.Dense(5, "tanh"), layers.GlobalAveragePooling1D(), layers.Dense(2),
    ]  # fmt: skip


def bags(length):
    return [layers.Input((length,)), layers.Embedding(20, 4, mask_zero=True), layers.GlobalAveragePooling1D(),
            layers.Dense(2)]  # fmt: skip


def steps(length):
    """A network for steps of 3 numbers, with layers of all kinds that take any number of steps."""
    return [
        layers.Input((length, 3)), layers.Rescaling(0.5), layers.Dense(6), layers.LayerNormalization(), layers.ReLU(),
        layers.BatchNormalization(), layers.Dropout(0.1, seed=2), layers.Dense(4, layers.LeakyReLU()),
        layers.Identity(), layers.ActivityRegularization(0.01), layers.GlobalMaxPooling1D(), layers.Dense(2),
    ]  # fmt: skip


def per_step(length):
    """Its output has the steps, too."""
    return [layers.Input((length, 3)), layers.Dense(4, "relu"), layers.RMSNormalization(), layers.Dense(2),
            layers.Softmax()]  # fmt: skip


def x_of(make, length, rng, rows=8):
    if make in (words, bags):
        return rng.integers(1, 20, (rows, length))
    return rng.standard_normal((rows, length, 3)).astype("f")


def y_of(make, length, rng, rows=8):
    return rng.standard_normal((rows, length, 2) if make is per_step else (rows, 2)).astype("f")


def compiled(make, length):
    model = lamina.Sequential(make(length))
    model.compile(lamina.optimizers.Adam(0.01), "mse", metrics=["mae"])
    return model


@pytest.mark.parametrize("make", [words, bags, steps, per_step])
def test_each_batch_is_computed_as_by_a_model_of_its_length(make, rng):
    model = compiled(make, None)
    assert None in model.input_shape[1:]
    for length in LENGTHS:
        x, y = x_of(make, length, rng), y_of(make, length, rng)
        twin = compiled(make, length)
        twin.set_weights(model.get_weights())
        assert same([model.predict(x)], [twin.predict(x)])
        assert model.evaluate(x, y, verbose=0) == twin.evaluate(x, y, verbose=0)
        assert same([model(x)], [twin(x)])
    assert model.output_shape == ((None, None, 2) if make is per_step else (None, 2))


@pytest.mark.parametrize("make", [words, bags, steps, per_step])
def test_training_goes_on_over_batches_of_all_lengths(make, rng):
    batches = [(x_of(make, length, rng), y_of(make, length, rng)) for length in LENGTHS]
    models = [compiled(make, None) for _ in range(2)]
    models[1].set_weights(models[0].get_weights())
    models[1].seed = models[0].seed
    history = models[0].fit((batch for _ in range(30) for batch in batches), epochs=30, steps_per_epoch=5, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
    for batch in batches * 30:
        models[1].train_on_batch(*batch)
    assert models[0].optimizer.iterations == 150
    assert same(models[0].get_weights(), models[1].get_weights())
    # The first steps are those of models of one length.
    closed, opened = compiled(make, 3), compiled(make, None)
    opened.set_weights(closed.get_weights())
    opened.seed = closed.seed
    for model in (closed, opened):
        model.fit(*batches[0], epochs=3, verbose=0)
    assert same(closed.get_weights(), opened.get_weights())


def test_validation_rows_may_have_another_length(rng):
    model = compiled(words, None)
    other = x_of(words, 7, rng), y_of(words, 7, rng)
    history = model.fit(x_of(words, 3, rng), y_of(words, 3, rng), validation_data=other, epochs=200, verbose=0)
    assert history.history["val_loss"][-1] == pytest.approx(model.evaluate(*other, verbose=0)[0], rel=1e-6)


def test_a_model_that_was_built_for_some_length_takes_others_too(rng):
    model = lamina.Sequential([layers.Embedding(20, 4), layers.GlobalAveragePooling1D(), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(rng.integers(0, 20, (8, 6)), rng.standard_normal(8), verbose=0)
    assert model.input_shape == (None, 6)
    assert model.predict(rng.integers(0, 20, (3, 9))).shape == (3, 1)
    model.build((None, 9))
    inputs = lamina.Input((6,))
    around = lamina.Model(inputs, model(inputs))
    assert around.predict(rng.integers(0, 20, (3, 2))).shape == (3, 1)
    for x in (np.ones((3, 0), int), np.ones((3, 2, 2)), np.ones((3, 6)) * 0.5):
        with pytest.raises(ValueError, match="x must"):
            model.predict(x)


class ByCall(lamina.Model):
    def __init__(self):
        super().__init__()
        self.table, self.mean, self.head = layers.Embedding(20, 4), layers.GlobalAveragePooling1D(), layers.Dense(2)

    def call(self, x):
        return self.head(self.mean(self.table(x)))


def test_models_in_models_and_models_that_define_call(rng):
    model = ByCall()
    model.compile("sgd", "mse")
    model.build((None, None))
    for length in LENGTHS:
        x = x_of(words, length, rng)
        model.train_on_batch(x, y_of(words, length, rng))
        inputs = lamina.Input((None,))
        inner = lamina.Model(inputs, model.head(model.mean(model.table(inputs))))
        outer = lamina.Sequential([layers.Input((None,)), inner, layers.Dense(1)])
        assert same([inner.predict(x)], [model.predict(x)])
        assert outer.predict(x).shape == (8, 1)


def test_a_call_may_read_the_length_so_that_a_model_built_for_one_takes_no_other():
    class Scaled(ByCall):
        def call(self, x):
            return self.head(layers.Rescaling(float(x.shape[1]))(self.mean(self.table(x))))

    model = Scaled()
    model.predict(np.ones((2, 3), int))
    with pytest.raises(ValueError, match=r"x must have shape \(n, 3\)"):
        model.predict(np.ones((2, 4), int))
    with pytest.raises(TypeError, match="NoneType"):
        Scaled().build((None, None))


def test_a_changed_argument_closes_what_was_open():
    model = lamina.Sequential([layers.Input((3, 5)), layers.Rescaling(2.0)])
    assert model.predict(np.ones((2, 7, 5))).shape == (2, 7, 5)
    model.layers[0].scale = np.ones((3, 1))
    with pytest.raises(ValueError, match=r"x must have shape \(n, 3, 5\)"):
        model.predict(np.ones((2, 7, 5)))


@pytest.mark.parametrize("suffix", [".safetensors", ".keras", ".h5"])
def test_files_keep_open_sizes(suffix, tmp_path, rng):
    inputs = lamina.Input((None,), dtype="int32")
    hidden = inputs
    for layer in words(None)[1:]:
        hidden = layer(hidden)
    for model in (compiled(words, None), lamina.Model(inputs, hidden)):
        model.save(tmp_path / f"m{suffix}")
        again = lamina.models.load_model(tmp_path / f"m{suffix}")  # without a warning: the optimizer was not used
        assert again.input_shape == (None, None)
        x = x_of(words, 7, rng)
        assert same([again.predict(x)], [model.predict(x)])
    assert lamina.models.clone_model(model).input_shape == (None, None)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([layers.Input((None, 3)), layers.Flatten()], "Flatten .*rows must have one shape; got .*, where None is any"),
        ([layers.Input((None, 3)), layers.Reshape((-1,))], "rows must have one shape"),
        ([layers.Input((None, 3)), layers.PReLU()], "rows must have one shape"),
        ([layers.Input((None, 3)), layers.LayerNormalization(axis=(1, 2))], "rows must have one shape"),
        ([layers.Input((None, 3)), layers.Lambda(lambda x: x)], "rows must have one shape"),
        ([layers.Input((None, 3)), layers.Dense(2, lambda x: x)], "rows must have one shape"),
        ([layers.Input((None,)), layers.Dense(2)], "the last size of input rows must be known"),
        ([layers.Input((None,)), layers.Embedding(9, 2), layers.Flatten(), layers.Dense(1)], "rows must have one"),
    ],
)
def test_layers_that_depend_on_the_number_of_steps_say_so(parts, message):
    with pytest.raises(ValueError, match=message):
        lamina.Sequential(parts)
    with pytest.raises(ValueError, match="input shape must hold positive ints"):
        layers.Input((None, 0))


def test_shapes_are_inferred_with_open_sizes():
    assert layers.Flatten().compute_output_shape((None, None, 3)) == (None, None)
    assert layers.Reshape((-1, 3)).compute_output_shape((None, None, 3)) == (None, None, 3)
    assert layers.Embedding(9, 2).compute_output_shape((None, None)) == (None, None, 2)


def test_few_networks_are_kept(rng):
    model = compiled(words, None)
    for length in range(1, 60):
        model.train_on_batch(x_of(words, length, rng), y_of(words, length, rng))
        model.predict(x_of(words, length, rng))
    assert 0 < len(model.executor.row_shapes) <= 16


def test_a_network_that_is_compiled_again_takes_no_other_s_place(rng):
    model = compiled(words, None)
    for length in range(1, 9):
        model.predict(x_of(words, length, rng))
    kept = model.executor.row_shapes
    for _ in range(20):  # each makes the last one's network invalid
        model.layers[-1].trainable = not model.layers[-1].trainable
        model.predict(x_of(words, 8, rng))
    assert model.executor.row_shapes == kept


def test_predictions_of_other_lengths_are_no_one_array(rng):
    model = compiled(per_step, None)
    batches = [x_of(per_step, length, rng) for length in (3, 3, 4)]
    assert model.predict(iter(batches[:2]), verbose=0).shape[1] == 3
    with pytest.raises(ValueError, match=r"outputs of all batches must have one shape.*then \(4"):
        model.predict(iter(batches), verbose=0)


def test_threads_may_use_all_lengths_at_once(rng):
    model = compiled(steps, None)
    x = {length: x_of(steps, length, rng) for length in range(1, 25)}
    expected = {length: model.predict(rows) for length, rows in x.items()}
    failed = []

    def predict(start):
        for i in range(200):
            length = 1 + (start * 7 + i * 5) % 24
            if not same([model.predict(x[length], verbose=0)], [expected[length]]):
                failed.append(length)

    threads = [threading.Thread(target=predict, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
