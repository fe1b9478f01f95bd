from __future__ import annotations

import io
import os
import pickle

import numpy as np
import pytest

from lamina._files.npz import read_npz
from lamina._files.pickles import read_pickle

RAGGED = np.empty(3, object)
RAGGED[:] = [[1, 300, 70_000], [], [-1, 2**40, 255, 256]]
VALUES = [
    [1, 255, 256, 65_535, 65_536, -1, 2**31, -(2**70)],
    {"a": [1, 2.5, None, True, False, "é"], "b": (1,), "c": (1, 2), "d": (1, 2, 3), "e": (1, 2, 3, 4), "f": ()},
    b"bytes" * 100,
    list(range(3000)),
    np.arange(6.0).reshape(2, 3),
    np.asfortranarray(np.arange(6, dtype="i2").reshape(2, 3)),
    np.arange(3, dtype=">i4"),
    np.array(["a", "bcd"]),
    np.array(5),
    np.zeros((0, 3)),
    RAGGED,
]


def same(ours, theirs):
    if isinstance(theirs, np.ndarray):
        return ours.dtype == theirs.dtype and ours.shape == theirs.shape and ours.tolist() == theirs.tolist()
    return type(ours) is type(theirs) and ours == theirs


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("value", VALUES, ids=[f"value {i}" for i in range(len(VALUES))])
def test_values_are_those_that_python_reads(value, protocol):
    ours = read_pickle(pickle.dumps(value, protocol))
    assert same(ours, value)
    if isinstance(ours, np.ndarray):
        assert ours.flags.writeable


def test_arrays_in_lists_and_shared_objects_are_found():
    shared = np.arange(4)
    array, again, pair = read_pickle(pickle.dumps([shared, shared, [shared, "x"]], 2))
    assert array is again
    assert pair[0] is array
    assert array.tolist() == [0, 1, 2, 3]


def test_a_dict_of_python_2_is_read():
    """As CIFAR's batches: byte strings of Python 2."""
    data = b"\x80\x02}q\x01(U\x06labelsq\x02]q\x03(K\x06K\x09eU\x04nameq\x04T\x03\x00\x00\x00abcu."
    assert read_pickle(data, "bytes") == {b"labels": [6, 9], b"name": b"abc"}
    assert read_pickle(data) == {"labels": [6, 9], "name": "abc"}


class Runs:
    """A pickle of it writes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_is_executed(protocol, tmp_path):
    hit = tmp_path / "hit"
    array = np.empty(2, object)
    array[:] = [[1], Runs(hit)]
    for value in (Runs(hit), [Runs(hit)], array, {"a": Runs(hit)}, Runs, test_nothing_is_executed, {1, 2}):
        with pytest.raises(ValueError, match="it (would|holds)"):
            read_pickle(pickle.dumps(value, protocol))
    assert not hit.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x80", b".", b"\x80\x02(.", b"\x80\x02e.", b"\x80\x02K", b"\x80\x02M\x01", b"\x80\x02h\x05.",
        b"\x80\x02]}s.", b"\x80\x02K\x01K\x02R.", b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00trueR.",
        b"\x80\x02cnumpy\ndtype\n.b", b"\x80\x02X\xff\xff\xff\xffabc.", b"\x80\x02\x8b\xff\xff\xff\x7f.",
        b"\x80\x02}](K\x01u.", b"\x80\x02c\xff\n\xff\n.", b"\x80\x02}]K\x01s.", b"\x80\x02cos\n", b"\x80\x02N(b.",
        b"\x80\x02N}b.", b"\x80\x02U\x03\xff\xff\xff.", b"P1\n.", b"I1\n.",
    ],
)  # fmt: skip
def test_damaged_data_are_refused(data):
    with pytest.raises(ValueError, match=r"\w"):  # no other error
        read_pickle(data)


@pytest.mark.parametrize("value", [RAGGED, {"a": np.arange(300), "b": [1, 2.0, "x"] * 9}])
@pytest.mark.parametrize("protocol", [2, 4])
def test_changed_bytes_never_crash(value, protocol):
    whole = pickle.dumps(value, protocol)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(2000):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), rng.integers(1, 4)):
            data[at] = rng.integers(256)
        try:
            read_pickle(bytes(data[: rng.integers(1, len(data) + 1)] if rng.random() < 0.3 else data))
        except ValueError:
            refused += 1
    assert refused > 200


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ((1, (2,), np.dtype("i4"), False, b"1234567"), "other elements"),
        ((1, (-2,), np.dtype("i4"), False, b"12345678"), "damaged"),
        ((1, (10**12, 10**12), np.dtype("i4"), False, b""), "other elements"),
        ((1, (3,), np.dtype(object), False, [1, 2]), "other elements"),
        ((1, (3,), np.dtype("M8[s]"), False, b"1" * 24), "array of type"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(state, message):
    class Wrong:
        def __reduce__(self):
            return np.zeros(0).__reduce__()[0], (np.ndarray, (0,), b"b"), state

    with pytest.raises(ValueError, match=message):
        read_pickle(pickle.dumps(Wrong(), 2))


def test_npz_arrays_are_read(tmp_path):
    path = tmp_path / "a.npz"
    numbers = np.arange(6.0).reshape(2, 3)
    np.savez(path, x=RAGGED, y=numbers)
    x, y = read_npz("load", path, ["x", "y"])
    assert x.tolist() == RAGGED.tolist()
    np.testing.assert_array_equal(y, numbers)
    with pytest.raises(ValueError, match=r"load: .*a\.npz cannot be read: it has no array 'z'; it has \['x', 'y'\]"):
        read_npz("load", path, ["z"])


def test_a_damaged_npz_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.arange(300))
    whole = path.read_bytes()
    for data in (whole[:200], b"nothing", whole[:60] + b"\0" * 40 + whole[100:]):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="Delete it to have it fetched again"):
            read_npz("load", path, ["x"])
    hit = tmp_path / "hit"
    evil = np.empty(1, object)
    evil[0] = Runs(hit)
    file = io.BytesIO()
    np.savez(file, x=evil)
    path.write_bytes(file.getvalue())
    with pytest.raises(ValueError, match="nothing in a file is executed"):
        read_npz("load", path, ["x"])
    assert not hit.exists()
