"""Arrays in files: read where they lie, and refused once the file is too short."""

import mmap
import os

import numpy as np
import pytest

import lamina
from lamina import layers, losses


def model():
    made = lamina.Sequential([lamina.Input((256,)), layers.Dense(4)])
    made.compile("sgd", "mse")
    return made


def saved(path, offset=0):
    """Return an array in a file, which begins at an offset."""
    with open(path, "wb") as file:
        file.write(b"\0" * offset)
        np.ones((400, 256), np.float32).tofile(file)
    return np.memmap(path, np.float32, "r", offset, (400, 256))


FORMS = {
    "whole": lambda array: array,
    "a part": lambda array: array[5:20],
    "an array": np.asarray,
    "a view of a view": lambda array: np.asarray(array)[::2][1:],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("offset", [0, 12, 70_000])
def test_a_file_that_was_cut_short_is_refused(tmp_path, form, offset):
    array = FORMS[form](saved(tmp_path / "x", offset))
    made, y = model(), np.zeros((len(array), 4), np.float32)
    before, expected = made.get_weights(), made.predict(np.array(array), verbose=0)
    np.testing.assert_array_equal(made.predict(array, verbose=0), expected)
    os.truncate(tmp_path / "x", offset + 3000)
    for call in (
        lambda: made.predict(array, verbose=0),
        lambda: made.fit(array, y, verbose=0),
        lambda: made.fit(np.ones((len(array), 256)), array[:, :4], verbose=0),
        lambda: made.evaluate(array, y, verbose=0),
        lambda: losses.MeanSquaredError()(y, array[:, :4]),
        lambda: made.layers[0](array),
    ):
        with pytest.raises(ValueError, match="must lie in a whole file"):
            call()
    for one, other in zip(made.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_files_that_grow_and_memory_without_a_file_are_read(tmp_path):
    array = saved(tmp_path / "x")
    with open(tmp_path / "x", "ab") as file:
        file.write(b"more")
    made = model()
    made.predict(array, verbose=0)
    nowhere = np.frombuffer(mmap.mmap(-1, 4 * 256 * 3), np.float32).reshape(3, 256)
    assert made.predict(nowhere, verbose=0).shape == (3, 4)
