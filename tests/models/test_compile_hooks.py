"""Models whose `compile` takes other arguments than the library's, and files of these."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import layers, models, optimizers

pytest.importorskip("h5py")
X, Y = np.ones((8, 3), "f"), np.zeros((8, 2), "f")


class Renamed(lamina.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(2)

    def call(self, x):
        return self.dense(x)

    def compile(self, optimizer, loss_fn, extra=1):
        super().compile(optimizer=optimizer, loss=loss_fn)
        self.extra = extra


class Restored(Renamed):
    def get_compile_config(self):
        return {"rule": self.optimizer, "extra": self.extra}

    def compile_from_config(self, config):
        self.compile(lamina.saving.deserialize_keras_object(config["rule"]), "mse", config["extra"])


def trained(kind):
    model = kind()
    model.compile(optimizers.Adam(0.25), "mse", extra=5)
    model.fit(X, Y, verbose=0)
    return model


@pytest.mark.parametrize("suffix", [".keras", ".safetensors"])
def test_a_compile_with_other_arguments_is_left_to_the_user(suffix, tmp_path):
    model = trained(Renamed)
    model.save(tmp_path / f"m{suffix}")
    with pytest.warns(UserWarning, match="the model was not compiled: compile of Renamed is its own"):
        again = models.load_model(tmp_path / f"m{suffix}", custom_objects={"Renamed": Renamed})
    assert not again.compiled
    np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))
    again.compile("sgd", "mae", extra=2)
    again.fit(X, Y, verbose=0)
    with pytest.warns(UserWarning, match="compile of Renamed is its own"):
        assert not models.clone_model(model).compiled


@pytest.mark.parametrize("suffix", [".keras", ".safetensors"])
def test_a_class_may_say_how_it_is_compiled(suffix, tmp_path):
    model = trained(Restored)
    model.save(tmp_path / f"m{suffix}")
    again = models.load_model(tmp_path / f"m{suffix}", custom_objects={"Restored": Restored})
    assert again.extra == 5
    assert again.optimizer.learning_rate == 0.25
    assert again.optimizer.iterations == 1
    ours, theirs = (one.fit(X, Y, epochs=2, verbose=0).history for one in (model, again))
    assert ours == theirs
    assert models.clone_model(model).extra == 5


def test_hooks_of_files_that_would_not_be_called_are_refused(tmp_path):
    class Assets(layers.Dense):
        def save_assets(self, folder):
            raise AssertionError

    class State(Renamed):
        def save_own_variables(self, store):
            raise AssertionError

    made = State()
    made.build((None, 3))
    for model, hook in ((lamina.Sequential([lamina.Input((3,)), Assets(2)]), "save_assets"),
                        (made, "save_own_variables")):  # fmt: skip
        with pytest.raises(ValueError, match=f"{hook} of .* would not be called"):
            model.save(tmp_path / "m.keras")


class Named(lamina.Sequential):
    """Its configuration names the optimizer, and no loss."""

    def get_compile_config(self):
        return {"optimizer": "adam", "loss": None}

    def compile_from_config(self, config):
        self.compile(config["optimizer"], "mae")


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".safetensors"])
def test_a_configuration_may_name_the_optimizer_and_no_loss(suffix, tmp_path):
    model = Named([layers.Input((3,)), layers.Dense(2)])
    model.compile("adam", "mse")
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / f"m{suffix}")
    again = models.load_model(tmp_path / f"m{suffix}", custom_objects={"Named": Named})
    assert again.loss == "mae"
    assert again.optimizer.iterations == 1
    for one, other in zip(again.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one, other)
