"""Keras's files without Keras: round trips, files of older versions, missing h5py, foreign and damaged files."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import warnings
import zipfile

import numpy as np
import pytest
from helpers import frozen_inside

import lamina
from lamina import callbacks, layers, models, optimizers
from lamina.saving import ModelFileError

h5py = pytest.importorskip("h5py")


def same(ours, expected):
    """Raise unless two lists of arrays are equal, bit for bit."""
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_array_equal(a, b)


MODELS, WEIGHTS = (".keras", ".h5", ".hdf5"), (".weights.h5", ".h5", ".hdf5")


def network(optimizer="adam"):
    """Return a trained model with one of each kind of layer, and its data."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((24, 6)).astype("f"), rng.integers(0, 3, 24)
    inner = lamina.Sequential([layers.Dense(4, activation="tanh"), layers.BatchNormalization()], name="inside")
    normalization = layers.Normalization()
    normalization.adapt(x)
    model = lamina.Sequential(
        [
            lamina.Input((6,)),
            normalization,
            layers.Dense(5, activation="relu", kernel_regularizer="l2", kernel_constraint="max_norm"),
            layers.BatchNormalization(momentum=0.8),
            layers.Dropout(0.2),
            inner,
            layers.Dense(5, use_bias=False),
            layers.PReLU(),
            layers.LayerNormalization(),
            layers.GaussianNoise(0.1),
            layers.LeakyReLU(0.1),
            layers.Dense(3, activation="softmax", name="out"),
        ],
        name="net",
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=2, batch_size=8, verbose=0)
    return model, x, y


@pytest.mark.parametrize("suffix", MODELS)
@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: "adam",
        lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        lambda: optimizers.SGD(optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)),
        lambda: optimizers.Nadam(0.01),
        lambda: optimizers.RMSprop(0.01, momentum=0.5, centered=True),
        lambda: optimizers.Adam(0.01, amsgrad=True, use_ema=True, gradient_accumulation_steps=2),
        lambda: optimizers.Adadelta(),
    ],
)
def test_a_loaded_model_goes_on_as_the_saved_one_would_have(suffix, optimizer, tmp_path):
    model, x, y = network(optimizer())
    path = tmp_path / f"m{suffix}"
    model.save(path)
    loaded = models.load_model(path)
    same(loaded.get_weights(), model.get_weights())
    same(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert loaded.optimizer.iterations == model.optimizer.iterations > 2
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    loaded.seed = model.seed  # a model's seed is in its configuration, and older files have none
    for one in (model, loaded):
        one.fit(x, y, epochs=2, batch_size=8, verbose=0)
    same(loaded.get_weights(), model.get_weights())
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", WEIGHTS)
def test_weights_alone(suffix, tmp_path):
    model, x, _ = network()
    path = tmp_path / f"w{suffix}"
    model.save_weights(path)
    other, _, _ = network(optimizers.Adam(0.5))
    assert not np.array_equal(other.predict(x, verbose=0), model.predict(x, verbose=0))
    other.load_weights(path)
    same(other.predict(x, verbose=0), model.predict(x, verbose=0))
    smaller = lamina.Sequential([lamina.Input((6,)), layers.Dense(5), layers.Dense(3)])
    before = smaller.get_weights()
    with pytest.raises(ValueError, match="holds"):
        smaller.load_weights(path)
    same(smaller.get_weights(), before)


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_weights_bring_the_state_of_the_optimizer(suffix, tmp_path):
    model, x, y = network("adam")
    (model.save_weights if "weights" in suffix else model.save)(path := tmp_path / f"m{suffix}")
    other, _, _ = network("adam")
    other.fit(x, y, verbose=0)
    assert other.optimizer.iterations != model.optimizer.iterations
    other.load_weights(path)
    same([v.numpy() for v in other.optimizer.variables], [v.numpy() for v in model.optimizer.variables])
    fresh = lamina.models.clone_model(model)
    fresh.compile("adam", "mse")
    with pytest.warns(UserWarning, match="Adam has 2. It has those of the trained variables"):
        fresh.load_weights(path)
    same(fresh.get_weights(), model.get_weights())
    assert fresh.optimizer.iterations == 0
    alone = lamina.Sequential.from_config(model.get_config())
    alone.load_weights(path)  # not compiled: without a warning
    same(alone.get_weights(), model.get_weights())


def test_training_goes_on_from_a_backup_that_keras_has_left(tmp_path):
    model, x, y = network("adam")
    model.save_weights(tmp_path / "latest.weights.h5")
    (tmp_path / "training_metadata.json").write_text('{"epoch": 3, "batch": 0}')
    other, _, _ = network("adam")
    history = other.fit(x, y, epochs=5, verbose=0, callbacks=[callbacks.BackupAndRestore(tmp_path)])
    assert history.epoch == [3, 4]
    model.fit(x, y, epochs=5, initial_epoch=3, verbose=0)
    assert other.optimizer.iterations == model.optimizer.iterations
    assert not tmp_path.exists()


@pytest.mark.parametrize("text", ["", "[1]", '{"epoch": -1}', '{"epoch": "3"}', "{}"])
def test_a_damaged_backup_of_keras_is_refused(text, tmp_path):
    model, x, y = network("adam")
    model.save_weights(tmp_path / "latest.weights.h5")
    (tmp_path / "training_metadata.json").write_text(text)
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"BackupAndRestore: .*training_metadata\.json is damaged"):
        model.fit(x, y, epochs=5, verbose=0, callbacks=[callbacks.BackupAndRestore(tmp_path)])
    same(model.get_weights(), before)


@pytest.mark.parametrize("suffix", [*MODELS, ".weights.h5"])
def test_weights_of_another_shape_are_refused_or_left_out(suffix, tmp_path):
    def make(units):
        return lamina.Sequential([lamina.Input((4,)), layers.Dense(3), layers.Dense(units)])

    path, model = tmp_path / f"m{suffix}", make(2)
    (model.save_weights if "weights" in suffix else model.save)(path)
    other = make(5)
    before = other.get_weights()
    with pytest.raises(ValueError, match="shape"):
        other.load_weights(path)
    same(other.get_weights(), before)
    with pytest.warns(UserWarning, match="2 of 4 parameters were left"):
        other.load_weights(path, skip_mismatch=True)
    same(other.get_weights()[:2], model.get_weights()[:2])
    same(other.get_weights()[2:], before[2:])


@pytest.mark.parametrize("suffix", MODELS)
def test_weights_can_be_read_from_a_model(suffix, tmp_path):
    model, x, _ = network()
    model.save(tmp_path / f"m{suffix}")
    other, _, _ = network(optimizers.Adam(0.5))
    other.load_weights(tmp_path / f"m{suffix}")
    same(other.predict(x, verbose=0), model.predict(x, verbose=0))


def test_layers_are_found_by_their_names_in_older_files(tmp_path):
    model, _x, _y = network()
    model.save_weights(tmp_path / "w.h5")
    model.save(tmp_path / "m.h5")
    for name in ("w.h5", "m.h5"):
        parts = [type(one).from_config(one.get_config()) for one in model.layers]
        parts.insert(2, layers.Dense(5, name="another"))
        other = lamina.Sequential([lamina.Input((6,)), *parts])
        before = {variable.path: variable.numpy() for variable in other.weights}
        with pytest.raises(ValueError, match=r"it holds \d+ layers with weights; the model has"):
            other.load_weights(tmp_path / name)
        other.load_weights(tmp_path / name, by_name=True)
        after = {variable.path: variable.numpy() for variable in other.weights}
        for variable in model.weights:
            np.testing.assert_array_equal(after.pop(variable.path), variable.numpy())
        assert all(np.array_equal(before[path], value) for path, value in after.items())
    for name in ("w.weights.h5", "w.safetensors"):
        model.save_weights(tmp_path / name)
        with pytest.raises(ValueError, match="by_name must be False but for files of Keras's older format"):
            other.load_weights(tmp_path / name, by_name=True)


def test_layers_of_another_shape_are_refused_or_left_out_by_name(tmp_path):
    names = {"fewer": layers.Dense(2, use_bias=False, name="fewer"), "wider": layers.Dense(3, name="wider")}
    lamina.Sequential([lamina.Input((4,)), *names.values()]).save_weights(tmp_path / "w.h5")
    for part in ("fewer", "wider"):
        units = {"fewer": 2, "wider": 5} if part == "wider" else {"fewer": 2, "wider": 3}
        bias = part == "fewer"
        other = lamina.Sequential([
            lamina.Input((4,)), layers.Dense(units["fewer"], use_bias=bias, name="fewer"),
            layers.Dense(units["wider"], name="wider"),
        ])  # fmt: skip
        before = other.get_weights()
        with pytest.raises(ValueError, match="'fewer'" if bias else "'wider/kernel' must have shape"):
            other.load_weights(tmp_path / "w.h5", by_name=True)
        same(other.get_weights(), before)
        with pytest.warns(UserWarning, match="left as (it is|they are)"):
            other.load_weights(tmp_path / "w.h5", by_name=True, skip_mismatch=True)
        changed = [not np.array_equal(a, b) for a, b in zip(other.get_weights(), before, strict=True)]
        assert any(changed)
        assert not all(changed)


@pytest.mark.parametrize("suffix", [".safetensors", ".keras", ".h5"])
def test_the_optimizer_may_be_left_out(suffix, tmp_path):
    model, _x, _y = network()
    path = tmp_path / f"m{suffix}"
    model.save(path, include_optimizer=False)
    again = models.load_model(path)
    same(again.get_weights(), model.get_weights())
    if suffix == ".keras":  # as in Keras, which keeps the arguments of compile there
        assert again.optimizer.iterations == 0
        assert again.get_compile_config()["loss"] == model.get_compile_config()["loss"]
    else:
        assert not again.compiled
    with pytest.warns(UserWarning, match="save_format is not needed"):
        models.save_model(model, path, save_format="h5")
    assert models.load_model(path).optimizer.iterations == model.optimizer.iterations
    with pytest.raises(ValueError, match="save_format must be one of 'h5', 'keras'"):
        model.save(path, save_format="tf")


@pytest.mark.parametrize("suffix", MODELS)
@pytest.mark.parametrize("frozen", [[], ["inner"], ["b"], ["a"], ["all"], ["out"]])
def test_a_frozen_model_is_saved_and_goes_on(frozen, suffix, tmp_path):
    x = np.random.default_rng(1).standard_normal((12, 4)).astype("f")
    model = frozen_inside(lamina, frozen)
    model.compile("adam", "mse")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nothing trains
        model.fit(x, x[:, :2], epochs=2, verbose=0)
        model.save(tmp_path / f"m{suffix}")
        again = models.load_model(tmp_path / f"m{suffix}")
        same(again.get_weights(), model.get_weights())
        assert again.optimizer.iterations == model.optimizer.iterations
        assert [one.trainable for one in again.flat_layers] == [one.trainable for one in model.flat_layers]
        ours, theirs = (one.fit(x, x[:, :2], epochs=2, verbose=0).history for one in (model, again))
    assert ours == theirs
    if suffix != ".keras":  # as Keras orders the weights of a layer: those that are trained come first
        with h5py.File(tmp_path / f"m{suffix}") as file:
            held = [name.decode() for name in file["model_weights/inner"].attrs["weight_names"]]
        norms = {
            name: [f"{name}/{one}" for one in ("gamma", "beta", "moving_mean", "moving_variance")] for name in "bc"
        }
        dense, b, c = ["a/kernel", "a/bias"], norms["b"], norms["c"]
        first, last = ([*b[:2], *c[:2]], [*b[2:], *c[2:]]) if "b" not in frozen else (c[:2], [*b, *c[2:]])
        expected = [*first, *dense, *last] if "a" in frozen else [*dense, *first, *last]
        assert held == ([*dense, *b, *c] if {"inner", "all"} & set(frozen) else expected)


@pytest.mark.parametrize("arguments", [{}, {"optimizer": "adam", "loss": None}])
def test_a_model_that_keras_has_not_compiled_is_not_compiled(arguments, tmp_path):
    model, _x, _y = network()
    model.save(tmp_path / "m.keras")

    def change(name, text):
        config = json.loads(text) | {"compile_config": arguments} if name == "config.json" else None
        return text if config is None else json.dumps(config).encode()

    rewritten(tmp_path / "m.keras", tmp_path / "n.keras", change)
    again = models.load_model(tmp_path / "n.keras")
    assert again.compiled == bool(arguments)
    assert again.loss is None
    same(again.get_weights(), model.get_weights())


def test_an_older_file_of_a_model_without_a_loss(tmp_path):
    model, _x, _y = network()
    model.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        trained = {"optimizer_config": {"class_name": "Adam", "config": {}}, "loss": None}
        file.attrs["training_config"] = json.dumps(trained)
    again = models.load_model(tmp_path / "m.h5")
    assert again.compiled
    assert again.loss is None
    same(again.get_weights(), model.get_weights())


def test_names_of_the_other_kind_are_refused(tmp_path):
    model, _, _ = network()
    with pytest.raises(ValueError, match="are files of weights"):
        model.save(tmp_path / "m.weights.h5")
    with pytest.raises(ValueError, match="must end in"):
        model.save_weights(tmp_path / "m.keras")
    model.save_weights(tmp_path / "w.h5")
    with pytest.raises(ValueError, match="holds weights alone"):
        models.load_model(tmp_path / "w.h5")
    assert os.listdir(tmp_path) == ["w.h5"]


@pytest.mark.parametrize(
    ("suffix", "only"), [(".keras", False), (".h5", False), (".hdf5", True), (".weights.h5", True)]
)
def test_checkpoints(suffix, only, tmp_path):
    model, x, y = network()
    checkpoint = callbacks.ModelCheckpoint(tmp_path / ("best-{epoch:02d}" + suffix), save_weights_only=only)
    model.fit(x, y, epochs=2, verbose=0, callbacks=[checkpoint])
    assert sorted(os.listdir(tmp_path)) == [f"best-01{suffix}", f"best-02{suffix}"]
    other, _, _ = network(optimizers.Adam(0.5))
    other.load_weights(tmp_path / f"best-02{suffix}")
    same(other.get_weights(), model.get_weights())


@pytest.mark.parametrize("suffix", [*MODELS, ".weights.h5"])
def test_a_missing_h5py_is_said_before_the_training(suffix, tmp_path, monkeypatch):
    model, x, y = network()
    only = "weights" in suffix
    checkpoint = callbacks.ModelCheckpoint(tmp_path / f"m{suffix}", save_weights_only=only)
    monkeypatch.setitem(sys.modules, "h5py", None)
    steps = model.optimizer.iterations
    for call in (
        lambda: callbacks.ModelCheckpoint(tmp_path / f"m{suffix}", save_weights_only=only),
        lambda: model.fit(x, y, verbose=0, callbacks=[checkpoint]),
        lambda: (model.save_weights if only else model.save)(tmp_path / f"m{suffix}"),
        lambda: model.load_weights(tmp_path / f"m{suffix}"),
        *([] if only else [lambda: models.load_model(tmp_path / f"m{suffix}")]),
    ):
        with pytest.raises(ImportError, match=r"need h5py: pip install 'lamina\[keras\]'"):
            call()
    assert model.optimizer.iterations == steps
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", MODELS)
def test_what_keras_lacks_is_refused_by_name(suffix, tmp_path):
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(2)])
    model.compile("sgd", lamina.losses.L2Norm())
    with pytest.raises(ValueError, match="L2Norm, which Keras lacks"):
        model.save(tmp_path / f"m{suffix}")
    assert os.listdir(tmp_path) == []


def write_legacy(path, config, weights, training=None):
    """Write an older model's file: `weights` by layers and their variables."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        if training is not None:
            file.attrs["training_config"] = json.dumps(training)
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = np.array([name.encode() for name in weights])
        for layer, arrays in weights.items():
            own = group.create_group(layer)
            own.attrs["weight_names"] = np.array([name.encode() for name in arrays] or [], dtype="S")
            for name, array in arrays.items():
                own.create_dataset(name, data=array)


def test_a_file_of_keras_2(tmp_path):
    rng = np.random.default_rng(0)
    kernel, bias = rng.standard_normal((4, 2)).astype("f"), rng.standard_normal(2).astype("f")
    dense = {
        "name": "dense", "trainable": True, "batch_input_shape": [None, 4], "dtype": "float32", "units": 2,
        "activation": "relu", "use_bias": True,
        "kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": None}},
        "bias_initializer": {"class_name": "Zeros", "config": {}}, "kernel_regularizer": None,
        "bias_regularizer": None, "activity_regularizer": None, "kernel_constraint": None, "bias_constraint": None,
    }  # fmt: skip
    dropout = {"name": "dropout", "trainable": True, "dtype": "float32", "rate": 0.5, "noise_shape": None, "seed": None}
    config = {
        "class_name": "Sequential",
        "config": {
            "name": "sequential",
            "layers": [{"class_name": "Dense", "config": dense}, {"class_name": "Dropout", "config": dropout}],
        },
    }
    training = {
        "loss": "mse", "metrics": [[{"class_name": "MeanMetricWrapper", "config": {"name": "mae", "dtype": "float32",
        "fn": "mean_absolute_error"}}]], "weighted_metrics": None, "loss_weights": None,
        "optimizer_config": {"class_name": "Custom>Adam", "config": {"name": "Adam", "learning_rate": 0.01,
        "decay": 0.0, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-07, "amsgrad": False, "jit_compile": False,
        "is_legacy_optimizer": False}},
    }  # fmt: skip
    weights = {"dense": {"dense/kernel:0": kernel, "dense/bias:0": bias}, "dropout": {}}
    write_legacy(tmp_path / "old.h5", config, weights, training)
    model = models.load_model(tmp_path / "old.h5")
    x = rng.standard_normal((3, 4)).astype("f")
    np.testing.assert_allclose(model.predict(x, verbose=0), np.maximum(0, x @ kernel + bias), rtol=1e-6)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)
    assert set(model.evaluate(x, np.zeros((3, 2)), verbose=0, return_dict=True)) == {"loss", "mean_absolute_error"}
    config["config"]["layers"][0]["class_name"] = "Conv2D"
    write_legacy(tmp_path / "conv.h5", config, weights)
    with pytest.raises(ValueError, match="Conv2D"):
        models.load_model(tmp_path / "conv.h5")


@lamina.saving.register_keras_serializable("mine")
class Own(layers.Layer):
    """A user's layer, whose arguments have names that meant something in older versions of Keras."""

    def __init__(self, p, decay, **settings):
        super().__init__(**settings)
        self.p, self.decay = p, decay

    def forward(self, x, training=False):
        return x * self.p

    def backward(self, dy):
        return dy * self.p

    def get_config(self):
        return super().get_config() | {"p": self.p, "decay": self.decay}


@pytest.mark.parametrize("suffix", MODELS)
def test_arguments_of_the_users_classes_stay(suffix, tmp_path):
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(2), Own(0.25, 7)])
    model.save(tmp_path / f"m{suffix}")
    own = models.load_model(tmp_path / f"m{suffix}").layers[1]
    assert (type(own), own.p, own.decay) == (Own, 0.25, 7)


def test_a_class_of_another_package_is_not_taken_for_lamina_s(tmp_path):
    dense = {"name": "dense", "units": 2, "batch_input_shape": [None, 4]}
    stack = [{"class_name": "other>Dense", "config": dense}]
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": stack}}
    write_legacy(tmp_path / "m.h5", config, {"dense": {}})
    with pytest.raises((ValueError, TypeError), match="other>Dense"):
        models.load_model(tmp_path / "m.h5")


def test_more_names_than_an_attribute_holds(tmp_path):
    stack = [layers.Dense(1, name=f"a_long_name_of_a_layer_{'x' * 60}_{i}") for i in range(900)]
    model = lamina.Sequential([lamina.Input((1,)), *stack])
    model.save_weights(tmp_path / "m.h5")
    other = lamina.Sequential([lamina.Input((1,)), *(layers.Dense(1) for _ in stack)])
    other.load_weights(tmp_path / "m.h5")
    same(other.get_weights(), model.get_weights())


@pytest.fixture
def saved(tmp_path):
    model, _, _ = network()
    model.save(tmp_path / "m.keras")
    model.save(tmp_path / "m.h5")
    return tmp_path


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_damaged_files_raise_and_execute_nothing(saved, name):
    content = (saved / name).read_bytes()
    rng = np.random.default_rng(1)
    path = saved / f"damaged{os.path.splitext(name)[1]}"
    for i in range(60):
        damaged = bytearray(content)
        if i % 3 == 0:
            damaged = damaged[: int(rng.integers(0, len(content)))]
        else:
            for at in rng.integers(0, len(content), 1 + i % 7):
                damaged[at] = int(rng.integers(0, 256))
        path.write_bytes(damaged)
        with contextlib.suppress(ModelFileError):  # what was damaged may be padding, or a number
            models.load_model(path)


def rewritten(source, target, change):
    """Copy a ``.keras`` file, with its members changed by a function of name and content."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)


def changed_weights(content, change):
    held = io.BytesIO(content)
    with h5py.File(held, "r+") as file:
        change(file)
    return held.getvalue()


def lambda_layer(name, content):
    if name != "config.json":
        return content
    config = json.loads(content)
    config["config"]["layers"][3] = {
        "module": "keras.layers", "class_name": "Lambda", "registered_name": None,
        "config": {"name": "lambda", "function": {"class_name": "__lambda__", "config": {"code": "4wEAAAAA"}}},
    }  # fmt: skip
    return json.dumps(config).encode()


def elsewhere(link):
    def change(name, content):
        def relink(file):
            del file["layers/dense/vars/0"]
            file["layers/dense/vars/0"] = link

        return changed_weights(content, relink) if name == "model.weights.h5" else content

    return change


def external_storage(name, content):
    def change(file):
        shape = file["layers/dense/vars/0"].shape
        del file["layers/dense/vars/0"]
        file["layers/dense/vars"].create_dataset("0", shape, "f4", external=[("/etc/passwd", 0, 4000)])

    return changed_weights(content, change) if name == "model.weights.h5" else content


def enormous(name, content):
    def change(file):
        del file["layers/dense/vars/0"]
        file["layers/dense/vars"].create_dataset("0", (1 << 40,), "f4", chunks=(1 << 20,))

    return changed_weights(content, change) if name == "model.weights.h5" else content


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda name, content: None if name == "config.json" else content, "config.json"),
        (lambda name, content: None if name == "model.weights.h5" else content, r"model\.weights\.h5"),
        (lambda name, content: b"[1, 2]" if name == "config.json" else content, "damaged"),
        (lambda name, content: b"nothing" if name == "model.weights.h5" else content, "no HDF5 file"),
        (lambda_layer, "Lambda"),
        (elsewhere(h5py.ExternalLink("/etc/passwd", "/")), "lies elsewhere"),
        (elsewhere(h5py.SoftLink("/layers/dense/vars/1")), "lies elsewhere"),
        (external_storage, "lies in another file"),
        (enormous, "does not fit"),
    ],
)
def test_foreign_contents_are_refused(saved, change, says):
    rewritten(saved / "m.keras", saved / "foreign.keras", change)
    with pytest.raises((ValueError, TypeError), match=says):
        models.load_model(saved / "foreign.keras")


def test_no_archive_and_no_file(tmp_path):
    for suffix in MODELS:
        path = tmp_path / f"m{suffix}"
        with pytest.raises(FileNotFoundError):
            models.load_model(path)
        path.write_bytes(b"something else")
        with pytest.raises(ValueError, match="damaged"):
            models.load_model(path)


@pytest.mark.parametrize("suffix", MODELS)
def test_an_interrupted_save_leaves_the_old_file(suffix, tmp_path, monkeypatch):
    model, _, _ = network()
    path = tmp_path / f"m{suffix}"
    model.save(path)
    content = path.read_bytes()

    def fail(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        model.save(path)
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == [path.name]


def test_parts_that_begin_nowhere(tmp_path):
    path = tmp_path / "m.keras"
    network()[0].save(path)
    content = bytearray(path.read_bytes())
    end = content.rindex(b"PK\x05\x06") + 16  # where the list of parts begins; later than it does, parts begin before 0
    content[end : end + 4] = (int.from_bytes(content[end : end + 4], "little") + 10**6).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="no whole zip archive"):
        models.load_model(path)
