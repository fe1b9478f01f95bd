"""HDF5 files, by h5py: values are written and read, and nothing else is followed or believed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lamina._files import strict

if TYPE_CHECKING:
    import h5py

__all__ = ["arrays_in", "json_of", "opened", "plain", "require_h5py", "text_of"]

Array = npt.NDArray[Any]

# How much larger than its file a tensor may be: compression shrinks zeros by about a thousand.
_MOST_EXPANDED = 2000


def require_h5py(who: str) -> Any:
    """Return the module h5py, or raise ImportError that says how to get it."""
    try:
        import h5py
    except ImportError:
        raise ImportError(
            f"{who}: Keras's files need h5py: pip install 'lamina[keras]'. Names that end in '.safetensors' need no "
            "other library."
        ) from None
    return h5py


@contextmanager
def opened(who: str, file: Any, mode: str) -> Iterator[h5py.File]:
    """Open a binary file as HDF5; what goes wrong while it is read raises ValueError."""
    module = require_h5py(who)
    try:
        with module.File(file, mode) as store:
            yield store
    except (OSError, RuntimeError) as error:
        if mode != "r":
            raise
        raise ValueError(f"it is no HDF5 file, or damaged: {error}") from None


def arrays_in(group: h5py.Group, size: int) -> dict[str, Array]:
    """Return all tensors of a group of a file of `size` bytes, by their path.

    Raises
    ------
    ValueError
        Something in it lies in another file, is larger than the file can be, or is no real number.
    """
    import h5py

    found: dict[str, Array] = {}
    seen: set[Any] = set()

    def read(inner: h5py.Group, path: str) -> None:
        if inner.id in seen:
            raise ValueError(f"its group {path!r} holds itself")
        seen.add(inner.id)
        for name in inner:
            if not isinstance(inner.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"its {path}{name!r} lies elsewhere")
            item = inner[name]
            if isinstance(item, h5py.Group):
                read(item, f"{path}{name}/")
            elif isinstance(item, h5py.Dataset):
                found[f"{path}{name}"] = _array(item, f"{path}{name}", size)
            else:
                raise ValueError(f"its {path}{name!r} is no tensor")

    read(group, "")
    return found


def _array(item: h5py.Dataset, path: str, size: int) -> Array:
    if item.is_virtual or item.external:
        raise ValueError(f"its {path!r} lies in another file")
    if item.dtype.kind not in "fiub":
        raise ValueError(f"its {path!r} is {item.dtype}, no real numbers")
    if item.shape is None or item.nbytes > _MOST_EXPANDED * max(size, 1):
        raise ValueError(f"its {path!r} of shape {item.shape} does not fit into it")
    array = np.empty(item.shape, item.dtype)
    if array.size:
        item.read_direct(array)
    return array


def plain(array: Array) -> Array:
    """Return an array as HDF5 holds it well: contiguous, in this machine's order of bytes."""
    return np.ascontiguousarray(array).reshape(np.shape(array))


def text_of(value: Any) -> str:
    """Return an attribute that is text."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, str):
        return value
    raise ValueError(f"an attribute is {type(value).__name__} instead of text")


def json_of(value: Any) -> Any:
    """Return the values of an attribute that holds JSON."""
    return strict.loads(text_of(value))
