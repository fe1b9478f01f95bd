"""Models and PyTorch's state dicts, without PyTorch; tests/peers has those with it."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import lamina
from lamina import layers, saving


def model_of(norm=True):
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(6, "relu", name="first")])
    if norm:
        model.add(layers.BatchNormalization())
    for layer in (layers.Dropout(0.2), layers.Dense(3, use_bias=False), layers.LayerNormalization(), layers.PReLU()):
        model.add(layer)
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 1.5, weights.shape) for weights in model.get_weights()])
    return model


# What the modules of PyTorch are to who reads their names and attributes.


class Tensor:
    def __init__(self, array):
        self.array = array
        self.dtype = f"torch.{array.dtype}"

    def detach(self):
        return self

    cpu = detach

    def float(self):
        return Tensor(self.array.astype("f"))

    def numpy(self):
        return self.array


def module(name, tensors=None, children=(), **attributes):
    functions = {
        "state_dict": lambda self: {key: Tensor(np.asarray(value, "f")) for key, value in (tensors or {}).items()},
        "named_children": lambda self: list(enumerate(children)),
        "parameters": lambda self: list((tensors or {}).values()),
        "__iter__": lambda self: iter(children),
    }
    kind = type(name, (), {"__module__": "torch.nn.modules.some", **functions})
    found = kind()
    vars(found).update(attributes)
    return found


def test_a_model_from_modules():
    weight = np.arange(6).reshape(2, 3)
    given = module("Sequential", children=[
        module("Linear", {"weight": weight, "bias": [1, 2]}, in_features=3, out_features=2),
        module("Sequential", children=[module("ReLU"), module("Dropout", p=0.25)]),
        module("Softplus", beta=2.0, threshold=20.0),
    ])  # fmt: skip
    model = saving.from_torch(given)
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("f")
    expected = np.log1p(np.exp(2 * np.maximum(x @ weight.T + [1, 2], 0))) / 2
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-5)
    assert [type(layer).__name__ for layer in model.layers][:3] == ["Dense", "Activation", "Dropout"]
    model.compile("sgd", "mse")
    model.fit(x, expected, verbose=0)


@pytest.mark.parametrize(
    ("given", "shape", "error", "message"),
    [
        (3, None, TypeError, "module must be a module of PyTorch; got int"),
        (module("Linear", {"weight": np.ones((2, 3))}, in_features=3), "ab", TypeError, "input_shape must be"),
        (module("Linear", {"weight": np.ones((2, 3))}, in_features=3), (0,), ValueError, "input_shape must be"),
        (module("Conv2d"), None, ValueError, "there is no layer here for torch.nn.modules.some.Conv2d"),
        (
            module("Embedding", {"weight": np.ones((2, 3))}, max_norm=None),
            None,
            ValueError,
            "input_shape must be given",
        ),
        (module("Embedding", {"weight": np.ones((2, 3))}, max_norm=1.0), (2,), ValueError, "max_norm changes"),
        (module("Softplus", beta=1.0, threshold=1.0), (2,), ValueError, "module 0, a Softplus: its threshold"),
    ],
)
def test_modules_that_are_refused(given, shape, error, message):
    with pytest.raises(error, match=message):
        saving.from_torch(given, shape)


def test_a_state_dict_is_written_and_read(tmp_path):
    model, x = model_of(), np.random.default_rng(1).normal(size=(7, 4))
    expected, path = model.predict(x, verbose=0), tmp_path / "w.safetensors"
    saving.save_torch_weights(model, path)
    tensors = load_file(path)
    assert set(tensors) == {
        "0.weight", "0.bias", "2.weight", "2.bias", "2.running_mean", "2.running_var", "2.num_batches_tracked",
        "4.weight", "5.weight", "5.bias", "6.weight",
    }  # fmt: skip
    np.testing.assert_array_equal(tensors["0.weight"], model.get_weights()[0].T)
    other = model_of()
    for source in (path, str(path), {name: Tensor(array) for name, array in tensors.items()}, tensors):
        other.set_weights([0 * weights for weights in other.get_weights()])
        saving.load_torch_weights(other, dict(sorted(source.items())) if source is tensors else source)
        np.testing.assert_array_equal(other.predict(x, verbose=0), expected)
    with pytest.raises(ValueError, match="must not exist"):
        saving.save_torch_weights(model, path, overwrite=False)


def test_names_that_do_not_tell_the_order_must_be_given(tmp_path):
    model, rng = lamina.Sequential([lamina.Input((2,)), *(layers.Dense(2) for _ in range(3))]), np.random.default_rng(0)
    names = ["into", "body.1", "body.2"]
    tensors = {f"{name}.{own}": rng.normal(size=shape).astype("f")
               for name in names for own, shape in (("weight", (2, 2)), ("bias", 2))}  # fmt: skip
    path = tmp_path / "w.safetensors"
    save_file(tensors | {"other.weight": np.ones(5, "f")}, path)
    with pytest.raises(saving.ModelFileError, match="names must be given, the modules' in their order: 'body.1' and"):
        saving.load_torch_weights(model, path)
    for source in (path, tensors):
        model.set_weights([weights * 0 for weights in model.get_weights()])
        saving.load_torch_weights(model, source, names)
        for name, layer in zip(names, model.layers, strict=True):
            np.testing.assert_array_equal(layer.kernel.numpy(), tensors[f"{name}.weight"].T)
    for wrong, error, message in (
        (["into", "body", "body.2"], ValueError, "there is no module 'body'; there are 'into', 'body.1', 'body.2'"),
        (["into"], ValueError, "has 3 layers with parameters; there are 1 such modules: into"),
        (3, TypeError, "names must be"), ([1, 2, 3], TypeError, "names must be"),
    ):  # fmt: skip
        with pytest.raises(error, match=message):
            saving.load_torch_weights(model, tensors, wrong)


def test_names_of_files_are_ordered_by_their_numbers(tmp_path):
    model = lamina.Sequential([lamina.Input((2,)), *(layers.Dense(2) for _ in range(12))])
    rng = np.random.default_rng(0)
    tensors = {}
    for number in range(12):
        tensors[f"fc{number}.weight"], tensors[f"fc{number}.bias"] = rng.normal(size=(2, 2)), rng.normal(size=2)
    save_file(tensors, tmp_path / "w.safetensors")
    saving.load_torch_weights(model, tmp_path / "w.safetensors")
    for number, layer in enumerate(model.layers):
        np.testing.assert_array_equal(layer.kernel.numpy(), tensors[f"fc{number}.weight"].T.astype("f"))


@pytest.mark.parametrize("seed", range(5))
def test_damaged_files_change_nothing(seed, tmp_path):
    model, path, rng = model_of(), tmp_path / "w.safetensors", np.random.default_rng(seed)
    saving.save_torch_weights(model, path)
    content, before = path.read_bytes(), model.get_weights()
    for _ in range(100):
        damaged = bytearray(content[: rng.integers(len(content))] if rng.random() < 0.2 else content)
        for at in rng.integers(0, max(1, len(damaged)), rng.integers(1, 4)) if damaged else ():
            damaged[at] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            saving.load_torch_weights(model, path)
        except saving.ModelFileError:
            for one, other in zip(before, model.get_weights(), strict=True):
                np.testing.assert_array_equal(one, other)
        else:
            before = model.get_weights()


def test_names_may_hold_any_digits(tmp_path):
    model = lamina.Sequential([lamina.Input((2,)), *(layers.Dense(1, use_bias=False) for _ in range(2))])
    first, second = np.full((1, 2), 3, "f"), np.full((1, 1), 4, "f")
    for one, other in (("9" * 5000, "1" + "0" * 5000), ("²", "³"), ("a02", "a3"), ("", "x")):
        name = f"{one}.weight" if one else "weight"
        save_file({f"{other}.weight": second, name: first}, tmp_path / "w.safetensors")
        saving.load_torch_weights(model, tmp_path / "w.safetensors")
        assert [float(weights.sum()) for weights in model.get_weights()] == [6, 4]


def test_what_does_not_fit_changes_nothing(tmp_path):
    model, path = model_of(), tmp_path / "w.safetensors"
    saving.save_torch_weights(model, path)
    tensors = load_file(path)
    before = model.get_weights()
    without = {name: array for name, array in tensors.items() if not name.startswith("6.")}
    for source, error, message in (
        (without, ValueError, "the model has 5 layers with parameters; there are 4 such modules: 0, 2, 4, 5"),
        (
            {**tensors, "0.weight": np.ones((6, 5))},
            ValueError,
            r"0.weight must have shape \(6, 4\) for .*it has \(6, 5\)",
        ),
        ({**tensors, "0.weight": np.ones((4, 6))}, ValueError, r"0.weight must have shape \(6, 4\)"),
        (
            {**tensors, "4.bias": np.ones(3)},
            ValueError,
            "module '4' has bias, weight; the layer in its place has weight",
        ),
        ({**tensors, "0.bias": np.array(["a"] * 6)}, TypeError, "'0.bias' must hold real numbers"),
        ({"state_dict": tensors}, TypeError, "'state_dict' must be a tensor; it is a mapping: give that"),
        ({}, ValueError, "there are 0 such modules.$"),
        (module("Linear"), TypeError, r"give source.state_dict\(\)"),
        (tmp_path / "w.pt", ValueError, "must end in .safetensors; got 'w.pt'. Files of torch.save are pickles"),
        (tmp_path / "none.safetensors", FileNotFoundError, "there is no file"),
        (3, TypeError, "source"),
    ):
        with pytest.raises(error, match=message):
            saving.load_torch_weights(model, source)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(saving.ModelFileError, match="whole safetensors file"):
        saving.load_torch_weights(model, path)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_pytorch_lacks_is_named(tmp_path):
    model = lamina.Sequential([lamina.Input((2,)), layers.Rescaling(2.0, name="times")])
    for call in (saving.to_torch, lambda model: saving.save_torch_weights(model, tmp_path / "w.safetensors")):
        with pytest.raises(ValueError, match="PyTorch has no module for 'times'"):
            call(model)
        with pytest.raises(TypeError, match="model must be a model"):
            call(3)
    with pytest.raises(ValueError, match="must end in '.safetensors'"):
        saving.save_torch_weights(model_of(), tmp_path / "w.pt")
    assert not list(tmp_path.iterdir())


def test_pytorch_is_asked_for_where_it_is_needed():
    if importlib.util.find_spec("torch") is not None:
        pytest.skip("PyTorch is installed")
    with pytest.raises(ImportError, match="to_torch needs PyTorch: pip install torch"):
        saving.to_torch(model_of())


def test_nothing_imports_pytorch(tmp_path):
    code = f"""
import sys, lamina
from lamina import layers, saving
model = lamina.Sequential([lamina.Input((2,)), layers.Dense(2)])
saving.save_torch_weights(model, {str(tmp_path / "w.safetensors")!r})
saving.load_torch_weights(model, {str(tmp_path / "w.safetensors")!r})
print("torch" in list(sys.modules), "sklearn" in list(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"]
