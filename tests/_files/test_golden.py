"""Files of every format that there was can be read, those of newer ones say so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lamina._files import safetensors as tensor_files
from lamina._files.native import FORMAT
from lamina.models import load_model
from lamina.saving import ModelFileError

GOLDEN = Path(__file__).parent / "golden"
ROWS = np.linspace(-1, 1, 40).reshape(8, 5).astype("f")


def test_there_is_a_file_of_the_present_format():
    assert (GOLDEN / f"format-{FORMAT}.safetensors").exists()


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.safetensors")), ids=lambda path: path.stem)
def test_files_are_readable_forever(path):
    expected = json.loads(path.with_suffix(".json").read_text())
    model = load_model(path)
    np.testing.assert_allclose(model.predict(ROWS, verbose=0), expected["predictions"], rtol=1e-5, atol=1e-6)
    assert model.optimizer.iterations == expected["iterations"]
    before = model.evaluate(ROWS, ROWS[:, :2], verbose=0, return_dict=True)["loss"]
    model.fit(ROWS, ROWS[:, :2], epochs=30, verbose=0)
    assert model.evaluate(ROWS, ROWS[:, :2], verbose=0, return_dict=True)["loss"] < before


@pytest.mark.parametrize(("number", "words"), [(FORMAT + 1, "a newer lamina"), (0, "reads 4"), ("4", "reads 4")])
def test_other_formats_say_so(number, words, tmp_path):
    metadata, tensors = tensor_files.read_tensors("", GOLDEN / f"format-{FORMAT}.safetensors")
    settings = json.loads(metadata["lamina"]) | {"format": number}
    path = tmp_path / "m.safetensors"
    tensor_files.write_tensors("", path, tensors, {"lamina": json.dumps(settings)})
    with pytest.raises(ModelFileError, match=words):
        load_model(path)
