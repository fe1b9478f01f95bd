"""Arrays in every form in which people hold numbers, and arrays that are none of these."""

from __future__ import annotations

import tempfile

import numpy as np
from hypothesis import strategies as st

# Types that hold the small whole numbers of the tests without rounding.
DTYPES = (
    "f4", "f8", "f2", "g", ">f4", ">f8", ">f2", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i2", ">u4", ">i8",
)  # fmt: skip


class Subclass(np.ndarray):
    """A subclass with a method of its own."""

    def mine(self):
        return self


class Holder:
    """An object that is an array when it is asked for one."""

    def __init__(self, array):
        self._array = array

    def __array__(self, dtype=None, copy=None):
        return np.array(self._array, dtype=dtype)


class Interface:
    """An object with NumPy's array interface alone."""

    def __init__(self, array):
        self._array, self.__array_interface__ = array, array.__array_interface__


def _unaligned(array):
    memory = np.zeros(array.nbytes + 1, np.uint8)
    made = memory[1:].view(array.dtype).reshape(array.shape)
    made[...] = array
    return made


def _reversed(array):
    return np.ascontiguousarray(array[::-1])[::-1]


def _stepped(array):
    made = np.zeros((*array.shape[:-1], 3 * array.shape[-1]), array.dtype)
    made[..., ::3] = array
    return made[..., ::3]


def _backwards(array):
    return np.ascontiguousarray(array[..., ::-1])[..., ::-1]


def _field(array):
    made = np.zeros(array.shape, [("pad", "u1"), ("value", array.dtype)])
    made["value"] = array
    return made["value"]


def _read_only(array):
    made = array.copy()
    made.flags.writeable = False
    return made


def _mapped(array):
    with tempfile.TemporaryFile() as file:
        made = np.memmap(file, array.dtype, "w+", shape=array.shape)
    made[...] = array
    return made


# Memory: the same numbers, laid out in another way.
LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "reversed rows": _reversed,
    "backwards": _backwards,
    "every third": _stepped,
    "unaligned": _unaligned,
    "a field": _field,
    "read-only": _read_only,
    "mapped": _mapped,
    "a subclass": lambda array: array.view(Subclass),
    "transposed twice": lambda array: np.ascontiguousarray(array.T).T,
}
# What holds the array.
CONTAINERS = {
    "itself": lambda array: array,
    "lists": lambda array: array.tolist(),
    "tuple of arrays": tuple,
    "objects": lambda array: array.astype(object),
    "object": Holder,
    "interface": Interface,
    "view of memory": lambda array: memoryview(np.array(array, array.dtype.newbyteorder("="))),
}


@st.composite
def forms(draw):
    """Draw (name, function that gives an array another form with the same numbers)."""
    dtype, layout = draw(st.sampled_from(DTYPES)), draw(st.sampled_from(sorted(LAYOUTS)))
    container = draw(st.sampled_from(["itself", "itself", "itself", *sorted(CONTAINERS)]))

    def form(array):
        made = LAYOUTS[layout](array.astype(dtype))
        if dtype == "g" and container in ("view of memory", "interface"):
            return made  # NumPy itself does not read it back
        return CONTAINERS[container](made)

    return f"{dtype}, {layout}, {container}", form


def _with(value):
    def change(array):
        made = array.astype(object)
        made.flat[-1] = value
        return made

    return change


# Arrays that are wrong wherever numbers of one shape are wanted: name → function of a right one.
WRONG = {
    "no rows": lambda array: array[:0],
    "no columns": lambda array: array[..., :0] if array.ndim > 1 else array[:0],
    "a number": lambda array: np.array(1.0),
    "one axis more": lambda array: array[..., None, None],
    "a row less": lambda array: array[:-1],
    "a column less": lambda array: array[..., :-1],
    "complex": lambda array: array.astype(complex),
    "text": lambda array: array.astype("U"),
    "bytes": lambda array: array.astype("S"),
    "dates": lambda array: array.astype("i8").astype("M8[s]"),
    "spans": lambda array: array.astype("i8").astype("m8[s]"),
    "records": lambda array: array.astype([("a", "f4"), ("b", "f4")]),
    "missing": _with(None),
    "words": _with("two"),
    "lists": _with([1]),
    "too large": _with(10**400),
    "masked": lambda array: np.ma.masked_array(array, np.arange(array.size).reshape(array.shape) == 1),
    "ragged": lambda array: [*array.tolist()[:-1], [1.0] * 9],
    "a set": lambda array: {1, 2},
    "a function": lambda array: len,
    "huge": lambda array: np.broadcast_to(np.float32(0), (2**40, *array.shape[1:])),
    "wide": lambda array: np.broadcast_to(np.float32(0), (*array.shape[:-1], 2**40)),
}
