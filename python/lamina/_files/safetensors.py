"""Reads and writes tensors as safetensors files (https://github.com/huggingface/safetensors).

The format: the length of the header in 8 bytes, the header as JSON, then the tensors, one after the other. The
safetensors library only checks whether a file is whole. This module reads and writes the tensors itself, because the
library ends the process if memory runs out.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._files import strict
from lamina._files.errors import ModelFileError, damaged_where_wrong
from lamina._files.writing import replace_file

__all__ = ["check_whole", "read_tensors", "write_tensors"]

Array = npt.NDArray[Any]

# The name in the metadata of the tensors' checksums, by their names. Files of others have none.
_DIGESTS = "lamina crc32"

# How often reading begins again because the file was replaced meanwhile.
_MOST_REPLACED = 100

_TYPES = {
    "float32": "F32", "float64": "F64", "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64",
    "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64", "bool": "BOOL",
}  # fmt: skip


def write_tensors(who: str, path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write a file, each tensor directly from its memory."""
    arrays = [
        np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False) for array in tensors.values()
    ]
    digests = {name: _digest(array) for name, array in zip(tensors, arrays, strict=True)}
    header: dict[str, Any] = {"__metadata__": {**metadata, _DIGESTS: json.dumps(digests)}}
    end = 0
    for name, array in zip(tensors, arrays, strict=True):
        begin, end = end, end + array.nbytes
        shape = list(np.shape(tensors[name]))
        header[name] = {"dtype": _TYPES[str(array.dtype)], "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with replace_file(who, path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays:
            file.write(_bytes(array))


def read_tensors(who: str, path: Path) -> tuple[dict[str, str], dict[str, Array]]:
    """Return metadata and tensors of a file.

    Raises
    ------
    OSError, MemoryError
        The file cannot be read, or there is not enough memory.
    ModelFileError
        The file is no whole safetensors file, is damaged, or holds other dtypes than float32, float64, integers and
        bool.
    """
    for _ in range(_MOST_REPLACED):
        with path.open("rb") as file:
            try:
                check_whole(path)
            except ValueError as error:
                if _replaced(file, path):
                    continue
                raise ModelFileError(f"{who}: {path} must be a whole safetensors file; {error}.") from None
            if not _replaced(file, path):  # the file that was checked is the open one
                return _read(who, path, file)
    raise OSError(f"{who}: {path} was replaced again and again while it was read.")


def _bytes(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _digest(array: Array) -> int:
    """Return a checksum of a contiguous array's bytes, which finds every flipped bit."""
    return zlib.crc32(_bytes(array))


def check_whole(path: Path) -> None:
    """Raise ValueError unless there is a whole safetensors file at a path."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np"):
            pass
    except (SafetensorError, OSError) as error:
        raise ValueError(str(error)) from None


def _replaced(file: BufferedReader, path: Path) -> bool:
    """Return whether `path` now leads to another file than the open one."""
    try:
        now = os.stat(path)
    except OSError:
        return False
    own = os.fstat(file.fileno())
    return (own.st_dev, own.st_ino) != (now.st_dev, now.st_ino)


def _read(who: str, path: Path, file: BufferedReader) -> tuple[dict[str, str], dict[str, Array]]:
    start = 8 + int.from_bytes(file.read(8), "little")
    with damaged_where_wrong(who, path):
        header = strict.loads(file.read(start - 8))
        metadata = {str(name): str(value) for name, value in (header.pop("__metadata__", None) or {}).items()}
        digests = dict(strict.loads(metadata.pop(_DIGESTS, "{}")))
    types, tensors = {short: np.dtype(name).newbyteorder("<") for name, short in _TYPES.items()}, {}
    for name, tensor in header.items():
        if tensor["dtype"] not in types:
            raise ModelFileError(
                f"{who}: {path} must hold float32, float64, integers or bool; {name!r} is {tensor['dtype']}."
            )
        begin, end = tensor["data_offsets"]
        dtype = types[tensor["dtype"]]
        file.seek(start + begin)
        array = np.empty((end - begin) // dtype.itemsize, dtype)
        if file.readinto(array.view(np.uint8).data) != array.nbytes:
            raise ModelFileError(f"{who}: {path} must be a whole safetensors file; {name!r} is cut short.")
        if digests.get(name, (digest := _digest(array))) != digest:
            raise ModelFileError(f"{who}: {path} is damaged: {name!r} is not what was written.")
        tensors[name] = array.reshape(tensor["shape"]).astype(dtype.newbyteorder("="), copy=False)
    return metadata, tensors
