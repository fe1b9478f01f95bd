"""ONNX files that PyTorch, Keras and skl2onnx write are read, and compute what these do."""

from __future__ import annotations

import logging
import warnings

import numpy as np
import pytest

from lamina.models import load_model
from lamina.saving import ModelFileError

pytest.importorskip("onnx")
pytestmark = pytest.mark.filterwarnings("ignore")
RNG = np.random.default_rng(0)
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(autouse=True)
def _quiet():
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


# PyTorch: what follows a layer of eight units.
TORCH = {
    "ReLU": {}, "Sigmoid": {}, "Tanh": {}, "LeakyReLU": {"negative_slope": 0.1}, "ELU": {"alpha": 0.7}, "SELU": {},
    "CELU": {}, "GELU": {}, "SiLU": {}, "Mish": {}, "Softplus": {}, "Softsign": {}, "Hardtanh": {}, "ReLU6": {},
    "Hardswish": {}, "Hardsigmoid": {}, "LogSigmoid": {}, "Softshrink": {}, "Hardshrink": {}, "Tanhshrink": {},
    "PReLU": {"num_parameters": 8}, "Softmax": {"dim": -1}, "LogSoftmax": {"dim": 1}, "Softmin": {"dim": 1},
    "Dropout": {}, "BatchNorm1d": {"num_features": 8}, "LayerNorm": {"normalized_shape": 8}, "Identity": {},
    "Flatten": {},
}  # fmt: skip


def exported_by_torch(torch, module, x, path, dynamo):
    if dynamo:
        pytest.importorskip("onnxscript")
        torch.onnx.export(module, (x,), path, dynamo=True, external_data=False, verbose=False)
    else:
        torch.onnx.export(module, (x,), path, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "n"}})


@pytest.mark.parametrize("dynamo", [False, True], ids=["traced", "dynamo"])
@pytest.mark.parametrize("name", [*TORCH, "GELU by tanh", "Hardtanh of other ends", "Softplus of beta 2"])
def test_modules_of_pytorch(name, dynamo, tmp_path):
    torch = pytest.importorskip("torch")
    nn = torch.nn
    others = {
        "GELU by tanh": lambda: nn.GELU(approximate="tanh"),
        "Hardtanh of other ends": lambda: nn.Hardtanh(-2.0, 3.0),
        "Softplus of beta 2": lambda: nn.Softplus(beta=2.0),
    }
    torch.manual_seed(0)
    middle = others[name]() if name in others else getattr(nn, name)(**TORCH[name])
    module = nn.Sequential(nn.Linear(6, 8), middle, nn.Linear(8, 3)).eval()
    for part in module:
        if isinstance(part, nn.BatchNorm1d):
            part.running_mean.uniform_(-1, 1)
            part.running_var.uniform_(0.5, 2)
    x = torch.randn(5, 6)
    exported_by_torch(torch, module, x, tmp_path / "m.onnx", dynamo)
    found = load_model(tmp_path / "m.onnx").predict(x.numpy(), verbose=0)
    np.testing.assert_allclose(found, module(x).detach().numpy(), **TOLERANCE)


@pytest.mark.parametrize("dynamo", [False, True], ids=["traced", "dynamo"])
def test_code_in_pytorch(dynamo, tmp_path):
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Flattens(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(12, 5), nn.Linear(5, 2)

        def forward(self, x):
            return self.last(torch.relu(self.first(x.view(x.size(0), -1)))) * 2.5 + 1

    class Pools(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.norm, self.last = nn.Embedding(20, 6), nn.LayerNorm(6), nn.Linear(6, 2)

        def forward(self, x):
            return self.last(torch.mean(self.norm(self.table(x)), dim=1))

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 4)

        def forward(self, x):
            return x + self.inner(x)

    torch.manual_seed(0)
    for module, x in ((Flattens(), torch.randn(5, 3, 4)), (Pools(), torch.randint(0, 20, (5, 7)))):
        exported_by_torch(torch, module.eval(), x, tmp_path / "m.onnx", dynamo)
        found = load_model(tmp_path / "m.onnx").predict(x.numpy(), verbose=0)
        np.testing.assert_allclose(found, module(x).detach().numpy(), **TOLERANCE)
    exported_by_torch(torch, Residual().eval(), torch.randn(5, 4), tmp_path / "m.onnx", dynamo)
    with pytest.raises(ModelFileError, match="operator Add"):
        load_model(tmp_path / "m.onnx")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pipelines_of_scikit_learn(dtype, tmp_path):
    skl2onnx = pytest.importorskip("skl2onnx")
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    x = RNG.normal(size=(100, 5)).astype(dtype)
    classes, several = (x[:, 0] > 0).astype(int) + (x[:, 1] > 1), (x[:, :3] > 0).astype(int)
    fitted = [
        MLPClassifier(max_iter=5).fit(x, classes),
        MLPClassifier(max_iter=5, activation="logistic").fit(x, classes > 0),
        MLPClassifier(max_iter=5, activation="tanh").fit(x, several),
        MLPRegressor(max_iter=5, activation="identity").fit(x, x[:, 0]),
        make_pipeline(StandardScaler(), MLPClassifier(max_iter=5)).fit(x, classes),
        make_pipeline(MinMaxScaler(), MLPRegressor(max_iter=5)).fit(x, x[:, 0]),
    ]
    for estimator in fitted:
        classifies = hasattr(estimator, "predict_proba")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = skl2onnx.to_onnx(estimator, x[:1], options={"zipmap": False} if classifies else None)
        (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
        found = load_model(tmp_path / "m.onnx").predict(x, verbose=0)
        expected = estimator.predict_proba(x) if classifies else estimator.predict(x)
        np.testing.assert_allclose(found, np.reshape(expected, found.shape), **TOLERANCE)


def keras_layers(keras):
    layers = keras.layers
    return {
        "BatchNormalization": lambda: layers.BatchNormalization(),
        "PReLU": lambda: layers.PReLU("uniform"),
        "LeakyReLU": lambda: layers.LeakyReLU(0.2),
        "ELU": lambda: layers.ELU(0.5),
        "ReLU": lambda: layers.ReLU(3.0, 0.1, 0.2),
        "Softmax": lambda: layers.Softmax(),
        "GaussianNoise": lambda: layers.GaussianNoise(0.2),
        "Rescaling": lambda: layers.Rescaling(0.5, 1.0),
        "Reshape": lambda: layers.Reshape((2, 4)),
        "Normalization": lambda: layers.Normalization(mean=[1.0] * 8, variance=[2.0] * 8),
        **{
            name: lambda name=name: layers.Activation(name)
            for name in (
                "relu6", "gelu", "silu", "hard_sigmoid", "mish", "celu", "hard_tanh", "hard_silu", "squareplus",
                "sparse_plus", "sparse_sigmoid", "tanh_shrink", "soft_shrink",
            )
        },
    }  # fmt: skip


def test_models_of_keras(tmp_path):
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "torch":
        pytest.skip("Keras writes ONNX by PyTorch, or by TensorFlow, which is not at hand")
    x = RNG.normal(size=(7, 6)).astype("f")
    words = RNG.integers(1, 10, (5, 3)).astype("int32")
    layers = keras.layers
    models = {
        name: ([layers.Dense(8), make(), layers.Flatten(), layers.Dense(2)], x)
        for name, make in keras_layers(keras).items()
    } | {
        "Embedding": ([layers.Embedding(10, 4), layers.GlobalAveragePooling1D(), layers.Dense(2)], words),
        "masked": ([layers.Embedding(10, 4, mask_zero=True), layers.GlobalAveragePooling1D()], words),
        "steps": ([layers.Dense(4), layers.GlobalMaxPooling1D()], RNG.normal(size=(5, 3, 4)).astype("f")),
    }
    for name, (parts, rows) in models.items():
        model = keras.Sequential([keras.Input(rows.shape[1:], dtype=rows.dtype), *parts])
        model(rows)  # Keras's export wants a call before
        model.export(str(tmp_path / "m.onnx"), format="onnx", verbose=False)
        found = load_model(tmp_path / "m.onnx").predict(rows, verbose=0)
        np.testing.assert_allclose(found, model.predict(rows, verbose=0), **TOLERANCE, err_msg=name)
