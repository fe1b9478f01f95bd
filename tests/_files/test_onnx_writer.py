"""ONNX files: what ONNX Runtime computes from them is what the model predicts."""

import numpy as np
import pytest
from random_networks import random_network

import lamina
from lamina import layers

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def predictions(path, x):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (declared,) = session.get_inputs()
    assert declared.shape == ["batch", *x.shape[1:]]
    return session.run(["output"], {declared.name: x})[0]


@pytest.mark.filterwarnings("ignore:A softmax of one column")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(150))
def test_random_networks_predict_the_same(seed, dtype, tmp_path):
    model, x = random_network(seed, dtype)
    model.export(tmp_path / "m.onnx")
    for rows in (x, x[:1], x[:0]):
        expected = model.predict(rows, verbose=0) if len(rows) else np.zeros((0, *model.output_shape[1:]), dtype)
        found = predictions(tmp_path / "m.onnx", rows)
        assert found.dtype == dtype
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def small():
    return lamina.Sequential([lamina.Input((3,)), layers.Dense(2)])


def test_arguments_of_export(tmp_path, capsys):
    model, path = small(), tmp_path / "m.onnx"
    model.export(path, "onnx", verbose=True)
    assert f"Saved artifact at '{path}'" in capsys.readouterr().out
    model.export(str(path), verbose=False)
    assert capsys.readouterr().out == ""
    with pytest.raises(ValueError, match="must not exist"):
        model.export(path, overwrite=False)
    for arguments, error, message in (
        ((tmp_path / "m.pb",), ValueError, "must end in '.onnx'"),
        ((path, "tf_saved_model"), ValueError, "format must be one of 'onnx', 'c'; got 'tf_saved_model'"),
        ((tmp_path / "m.safetensors", "onnx"), ValueError, "must end in '.onnx'"),
        ((path, None, 3), TypeError, "verbose must be"),
        ((path, None, None, [1]), ValueError, "input_signature must be None"),
    ):
        with pytest.raises(error, match=message):
            model.export(*arguments)
    with pytest.raises(TypeError, match="unknown argument 'opset_version'"):
        model.export(path, opset_version=11)
    with pytest.raises(ValueError, match="must be built"):
        lamina.Sequential([layers.Dense(3)]).export(path)
    with pytest.raises(ValueError, match="must be written by export"):
        model.save(path)


def test_what_no_other_program_runs_is_refused(tmp_path):
    class Own(layers.Layer):
        def forward(self, x, training):
            return x

        def backward(self, dy):
            return dy

    kept = tmp_path / "m.onnx"
    kept.write_text("before")
    for layer, message in (
        (layers.Lambda(lambda x: 2 * x, name="twice"), "'twice' must be one of lamina's layers"),
        (Own(name="own"), "'own' must be one of lamina's layers"),
        (layers.Activation(lambda x: 2 * x, name="act"), "'act' must be one of lamina's layers"),
    ):
        model = lamina.Sequential([lamina.Input((3,)), layers.Dense(2), layer])
        with pytest.raises(ValueError, match=message):
            model.export(kept)
    x = lamina.Input((3,))
    noisy = lamina.Model(x, layers.Dense(1)(layers.Dropout(0.5, name="noise")(x, training=True)))
    with pytest.raises(ValueError, match="'noise' must not be called with training=True"):
        noisy.export(kept)
    assert kept.read_text() == "before"


def test_a_model_that_trains_is_written_as_it_is_between_two_steps(tmp_path):
    model = small()
    model.compile("sgd", "mse")

    class Exports(lamina.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.export(tmp_path / f"{batch}.onnx")
            found.append(self.model.predict_on_batch(x[:2]))

    x, found = np.random.default_rng(0).normal(size=(40, 3)).astype("f"), []
    model.fit(x, x[:, :2], batch_size=20, verbose=0, callbacks=[Exports()])
    for batch, expected in enumerate(found):
        np.testing.assert_allclose(predictions(tmp_path / f"{batch}.onnx", x[:2]), expected, rtol=1e-6, atol=1e-6)


def test_the_file_says_what_it_is(tmp_path):
    small().export(tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    assert (model.producer_name, model.producer_version) == ("lamina", lamina.__version__)
    assert [(one.domain, one.version) for one in model.opset_import] == [("", 17)]
    assert model.graph.name.startswith("sequential")
