"""A format from outside: one object for each direction, and it is read, written, converted and named in messages.

`tests/additions` adds one for whole models.
"""

import json

import numpy as np
import pytest

import lamina
from lamina import layers
from lamina._common.registry import ConfigurationError
from lamina._files import network as steps
from lamina._files.errors import damaged_where_wrong
from lamina._files.formats import EXPORT_FORMATS, FORMATS, ExportFormat, Format
from lamina._files.network import NetworkState
from lamina._files.writing import replace_file


def write_rows(who, path, state, indent=None):
    """Write what a network computes: dense layers as lists of numbers."""
    found = []
    for step in state.steps:
        if isinstance(step, steps.Dense):
            found.append({"kernel": step.kernel.tolist(), "bias": step.bias.tolist()})
        elif isinstance(step, steps.Activation) and found:
            found[-1]["activation"] = step.name
        else:
            raise ValueError(f"{who}: there is no {step.layer!r} in this format.")
    with replace_file(who, path) as file:
        file.write(json.dumps({"row": state.row_shape, "layers": found}, indent=indent).encode())


def read_rows(who, path):
    """Read what was written."""
    with damaged_where_wrong(who, path):
        held = json.loads(path.read_text())
        if not isinstance(held, dict):
            raise ConfigurationError("it must be an object")
        found = []
        for layer in held["layers"]:
            kernel, bias = np.asarray(layer["kernel"], "f"), np.asarray(layer["bias"], "f")
            found.append(steps.Dense("dense", bias.shape, kernel, bias))
            if "activation" in layer:
                found.append(steps.activation(layer["activation"], bias.shape))
        return NetworkState("rows", "float32", tuple(held["row"]), False, found)


@pytest.fixture
def formats(monkeypatch):
    monkeypatch.setitem(FORMATS, ".rows", Format(None, read_rows))
    monkeypatch.setitem(EXPORT_FORMATS, ".rows", ExportFormat("rows", write_rows, options=("indent",)))


def model_of(*parts):
    return lamina.Sequential([lamina.Input((3,)), *parts])


def test_what_a_model_computes_goes_out_and_comes_back(formats, tmp_path):
    model = model_of(layers.Dense(4, "tanh"), layers.Dense(2))
    model.export(tmp_path / "m.rows")
    again = lamina.models.load_model(tmp_path / "m.rows")
    x = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    again.save(tmp_path / "m.safetensors")
    again.export(tmp_path / "again.rows", "rows", indent=1)
    assert json.loads((tmp_path / "again.rows").read_text()) == json.loads((tmp_path / "m.rows").read_text())


def test_it_is_refused_in_the_words_of_the_others(formats, tmp_path):
    model = model_of(layers.Dense(2))
    with pytest.raises(ValueError, match="must end in '.onnx' or '.h' or '.rows'"):
        model.export(tmp_path / "m.txt")
    with pytest.raises(TypeError, match="unknown argument 'width'"):
        model.export(tmp_path / "m.rows", width=3)
    with pytest.raises(ValueError, match="must be written by export"):
        model.save(tmp_path / "m.rows")
    with pytest.raises(ValueError, match="there is no 'layer_normalization.*' in this format"):
        model_of(layers.LayerNormalization()).export(tmp_path / "m.rows")
    assert not list(tmp_path.iterdir())
    for content in ("[", "3", '{"row": [3]}', '{"row": [3], "layers": [{"kernel": [[1, 2]], "bias": [1]}]}'):
        (tmp_path / "m.rows").write_text(content)
        with pytest.raises(lamina.saving.ModelFileError, match="m.rows"):
            lamina.models.load_model(tmp_path / "m.rows")
