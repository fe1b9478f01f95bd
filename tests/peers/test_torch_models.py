"""Models from PyTorch's modules, and modules from models, compute the same."""

from __future__ import annotations

import re

import numpy as np
import pytest
from random_networks import random_network

import lamina
from lamina import layers, saving

torch = pytest.importorskip("torch")
prune = pytest.importorskip("torch.nn.utils.prune")
nn = torch.nn
pytestmark = pytest.mark.filterwarnings("ignore:A softmax of one column")

# What follows a layer of eight units, in rows of one axis.
MODULES = {
    "ReLU": {}, "Sigmoid": {}, "Tanh": {}, "LeakyReLU": {"negative_slope": 0.1}, "ELU": {"alpha": 0.7}, "SELU": {},
    "CELU": {"alpha": 2.0}, "GELU": {}, "SiLU": {}, "Mish": {}, "Softplus": {"beta": 2.0}, "Softsign": {},
    "Hardtanh": {"min_val": -2.0, "max_val": 0.5}, "ReLU6": {}, "Hardswish": {}, "Hardsigmoid": {}, "LogSigmoid": {},
    "Softshrink": {"lambd": 0.3}, "Hardshrink": {}, "Tanhshrink": {}, "PReLU": {"num_parameters": 8},
    "Softmax": {"dim": -1}, "LogSoftmax": {"dim": 1}, "Softmin": {"dim": 1}, "Dropout": {"p": 0.3},
    "AlphaDropout": {"p": 0.2}, "BatchNorm1d": {"num_features": 8, "eps": 1e-3, "momentum": 0.3},
    "LayerNorm": {"normalized_shape": 8}, "RMSNorm": {"normalized_shape": 8}, "Identity": {}, "Flatten": {},
    "Threshold": {"threshold": 0.2, "value": 0.0}, "Unflatten": {"dim": 1, "unflattened_size": (2, 4)},
}  # fmt: skip


WITHOUT = {
    "GELU by tanh": lambda: nn.GELU("tanh"),
    "PReLU of one slope": nn.PReLU,
    "BatchNorm1d without affine": lambda: nn.BatchNorm1d(8, affine=False),
    "RMSNorm without affine": lambda: nn.RMSNorm(8, elementwise_affine=False),
    "LayerNorm without bias": lambda: nn.LayerNorm(8, bias=False),
    "Hardshrink of nothing": lambda: nn.Hardshrink(0.0),
    "Softshrink of nothing": lambda: nn.Softshrink(0.0),
}


def shaken(module):
    """Give parameters and moving statistics other values than their first ones."""
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if "num_batches" not in name:
                tensor += 0.3 * torch.rand_like(tensor)
    return module.eval()


def computed(module, x):
    with torch.no_grad():
        return module(torch.from_numpy(x)).numpy()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [*MODULES, *WITHOUT])
def test_modules(name, dtype):
    torch.manual_seed(0)
    middle = WITHOUT[name]() if name in WITHOUT else getattr(nn, name)(**MODULES[name])
    last = nn.Linear(4 if name == "Unflatten" else 8, 3, bias=False)
    module = shaken(nn.Sequential(nn.Linear(6, 8), nn.Sequential(middle), last))
    module = module.double() if dtype == "float64" else module
    x = np.random.default_rng(0).normal(size=(20, 6)).astype(dtype)
    model = saving.from_torch(module)
    assert model.dtype == dtype
    tolerance = 1e-6 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(model.predict(x, verbose=0), computed(module, x), rtol=tolerance, atol=tolerance)
    if name not in ("CELU", "Hardtanh", "Softmin", "Softplus", "Softshrink"):  # these need a Rescaling here
        again = saving.to_torch(model)
        np.testing.assert_allclose(computed(again, x), computed(module, x), rtol=tolerance, atol=tolerance)


def test_what_training_needs_is_taken_over():
    module = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5, eps=2e-3, momentum=0.25), nn.Dropout(0.3))
    model = saving.from_torch(module)
    _, norm, dropout = model.layers
    assert (norm.momentum, norm.epsilon, dropout.rate) == (0.75, 2e-3, 0.3)
    again = saving.to_torch(model)
    assert (again[1].momentum, again[1].eps, again[2].p) == (0.25, 2e-3, 0.3)
    assert not again.training


def test_an_embedding_reads_indices():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 2)).eval()
    model = saving.from_torch(module, input_shape=(3,))
    x = np.random.default_rng(0).integers(0, 9, (10, 3))
    np.testing.assert_allclose(model.predict(x, verbose=0), computed(module, x), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(computed(saving.to_torch(model), x), computed(module, x))


def test_rows_of_several_axes():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.LayerNorm((3, 4)), nn.Linear(4, 5), nn.Tanh(), nn.Flatten(), nn.Linear(15, 6), nn.Unflatten(1, (2, -1)),
        nn.LayerNorm(3, elementwise_affine=False), nn.Flatten(1, 2),
    )  # fmt: skip
    shaken(module)
    x = np.random.default_rng(0).normal(size=(8, 3, 4)).astype("f")
    model = saving.from_torch(module)
    np.testing.assert_allclose(model.predict(x, verbose=0), computed(module, x), rtol=1e-5, atol=5e-6)
    np.testing.assert_allclose(computed(saving.to_torch(model), x), computed(module, x), rtol=1e-5, atol=5e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(200))
def test_random_networks(seed, dtype, tmp_path):
    model, x = random_network(seed, dtype)
    try:
        module = saving.to_torch(model)
    except ValueError as error:
        if re.search("PyTorch has no module for '.*': (it has|its|rows have|of slope)", str(error)):
            return
        raise
    expected = model.predict(x, verbose=0)
    tolerance = 2e-6 if dtype == "float32" else 1e-11
    np.testing.assert_allclose(computed(module, x), expected, rtol=tolerance, atol=tolerance)
    again = saving.from_torch(module, input_shape=model.input_shape[1:])
    assert again.dtype == (dtype if model.weights else "float32")
    tolerance = tolerance if again.dtype == dtype else 2e-6
    np.testing.assert_allclose(again.predict(x, verbose=0), expected, rtol=tolerance, atol=tolerance)
    if not model.weights:
        return
    saving.save_torch_weights(model, tmp_path / "w.safetensors")
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    module.load_state_dict(pytest.importorskip("safetensors.torch").load_file(tmp_path / "w.safetensors"))
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    for source in (tmp_path / "w.safetensors", module.state_dict()):
        if not any(isinstance(layer, (layers.BatchNormalization, layers.LayerNormalization)) for layer in model.layers):
            model.set_weights([weights * 0 for weights in model.get_weights()])
            saving.load_torch_weights(model, source)
            np.testing.assert_array_equal(model.predict(x, verbose=0), expected)


def test_more_than_half_is_accepted():
    module = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    x = np.random.default_rng(0).normal(size=(5, 6)).astype("f")
    for half in (module.half(), module.bfloat16()):
        found = saving.from_torch(half).predict(x, verbose=0)
        np.testing.assert_array_equal(found, saving.from_torch(half.float()).predict(x, verbose=0))


class Own(nn.Module):
    def forward(self, x):
        return x


def test_modules_that_are_there_twice():
    torch.manual_seed(0)
    act = nn.Tanh()
    module = nn.Sequential(nn.Linear(4, 4), act, nn.Sequential(nn.Linear(4, 4), act)).eval()
    x = np.random.default_rng(0).normal(size=(6, 4)).astype("f")
    np.testing.assert_allclose(saving.from_torch(module).predict(x, verbose=0), computed(module, x), atol=1e-6)


def shared():
    one, other = nn.Linear(4, 4), nn.Linear(4, 4)
    other.weight = one.weight
    return nn.Sequential(one, other)


def hooked(register):
    module = nn.Linear(4, 4)
    getattr(module, register)(lambda *values: None)
    return module


def with_own_forward():
    module = nn.Sequential(nn.Linear(4, 4))
    module.forward = lambda x: x
    return module


LINEAR = nn.Linear(4, 4)


def test_modules_are_made_on_the_cpu_in_their_dtype_and_draw_nothing():
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(3), layers.BatchNormalization()])
    torch.manual_seed(3)
    before = torch.get_rng_state()
    torch.set_default_dtype(torch.float16)
    try:
        with torch.device("meta"):
            module = saving.to_torch(model)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(before, torch.get_rng_state())
    assert {tensor.device.type for tensor in module.state_dict().values()} == {"cpu"}
    x = np.random.default_rng(0).normal(size=(6, 4)).astype("f")
    np.testing.assert_allclose(computed(module, x), model.predict(x, verbose=0), atol=1e-6)


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (nn.Sequential(nn.Linear(2, 3), Own()), None, "there is no layer here for .*Own"),
        (nn.Sequential(nn.Linear(2, 3), nn.LSTM(3, 3)), None, "there is no layer here for torch.nn.modules.rnn.LSTM"),
        (nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(4)), None, "module 1, a BatchNorm1d: it takes 4 columns"),
        (nn.BatchNorm1d(4, track_running_stats=False), None, "without track_running_stats"),
        (nn.Sequential(nn.Linear(2, 3), nn.Linear(4, 3)), None, "module 1, a Linear: it takes rows of 4 numbers"),
        (nn.Sequential(nn.ReLU()), None, "input_shape must be given"),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), None, "input_shape must be given"),
        (nn.Sequential(nn.Flatten(0), nn.Linear(4, 2)), (2, 2), "it joins the rows of a batch"),
        (nn.Sequential(LINEAR, nn.Tanh(), LINEAR), None, "must have parameters of its own; it shares them"),
        (shared(), None, "must have parameters of its own"),
        (hooked("register_forward_hook"), None, "must do what its class does; it has hooks"),
        (hooked("register_forward_pre_hook"), None, "it has hooks"),
        (nn.Sequential(with_own_forward()), None, "it has hooks, or its own forward"),
        (prune.l1_unstructured(nn.Linear(2, 3), "weight", 0.5), None, "it has hooks"),
        (nn.Linear(3, 3, dtype=torch.complex64), None, "must hold real numbers"),
        (nn.Linear(3, 3, device="meta"), None, "'weight' cannot be read"),
        (nn.LazyLinear(3), (2,), "run it once"),
        (nn.CELU(-1.0), (3,), "module 0, a CELU: alpha must be > 0; it is -1.0"),
        (nn.ELU(-1.0), (3,), "module 0, a ELU: alpha must be >= 0"),
        (nn.LeakyReLU(-0.5), (3,), "negative_slope must be >= 0"),
        (nn.Hardshrink(-1.0), (3,), "lambd must be >= 0"),
        (nn.Threshold(-1.0, 0.0), (3,), "threshold must be >= 0"),
        (nn.AlphaDropout(1.0), (3,), "p must be < 1"),
        (nn.BatchNorm1d(3, momentum=2.0), None, r"momentum must be in \(0, 1\]"),
        (nn.Softmax(dim=0), (4,), "dim must be the last axis, -1; it is 0"),
        (nn.Threshold(0.1, 20.0), (4,), "its value must be 0"),
        (nn.Sequential(nn.Linear(4, 4), nn.Embedding(4, 2)), None, "an Embedding must be the first module"),
        (nn.utils.parametrizations.weight_norm(nn.Linear(2, 3)), None, "there is no layer here for .*Parametrized"),
        (nn.Sequential(nn.Unflatten(1, (2, 3))), (7,), "it divides 7 columns"),
    ],
)  # fmt: skip
def test_what_is_refused(module, shape, message):
    with pytest.raises((TypeError, ValueError), match=message):
        saving.from_torch(module, shape)


def test_what_pytorch_lacks():
    for layer in (layers.Rescaling(2.0), layers.Activation("squareplus"), layers.GaussianNoise(0.1)):
        model = lamina.Sequential([lamina.Input((3,)), layer])
        with pytest.raises(ValueError, match="to_torch: PyTorch has no module for"):
            saving.to_torch(model)
