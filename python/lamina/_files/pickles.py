"""Reads numbers, text, lists, dicts and NumPy arrays from a pickle, and executes nothing.

A pickle is a program for a small machine with a stack (`pickletools` in Python's library documents it). Here it runs
without the instructions that call functions or make objects, but for the three that arrays of NumPy consist of, which
are recognized by their names and never looked up.
"""

from __future__ import annotations

import enum
import math
import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["read_pickle"]

Array = npt.NDArray[Any]


class _Name(enum.Enum):
    """The functions and classes that pickles of arrays name."""

    RECONSTRUCT = "_reconstruct"
    NDARRAY = "ndarray"
    DTYPE = "dtype"
    ENCODE = "encode"
    BYTES = "bytes"


_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): _Name.RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _Name.RECONSTRUCT,
    ("numpy", "ndarray"): _Name.NDARRAY,
    ("numpy", "dtype"): _Name.DTYPE,
    ("_codecs", "encode"): _Name.ENCODE,  # bytes, in pickles that Python 2 can read
    ("__builtin__", "bytes"): _Name.BYTES,  # the same, empty
}
_MARK = object()
_BYTE, _SHORT = 0x4B, 0x4D  # the opcodes of small integers, of which large files mainly consist


class _Type:
    """A dtype: its code, and the order of bytes that comes later."""

    def __init__(self, code: str) -> None:
        if not re.fullmatch(r"b1|[iu][1248]|f[248]|O8?|[SU]\d{1,6}", code):
            raise ValueError(f"it holds an array of type {code!r}")
        self.code, self.order = code, "|"

    def dtype(self) -> np.dtype[Any]:
        """Return NumPy's dtype."""
        return np.dtype(self.code if self.order == "|" else self.order + self.code)


class _Array:
    """An array whose shape and elements come later; knows where the memo holds it."""

    def __init__(self) -> None:
        self.places: list[int] = []


def _array(state: Any) -> Array:
    """Return the array that a state stands for: version, shape, type, order of the axes, elements."""
    if not isinstance(state, tuple) or len(state) != 5:
        raise ValueError("it holds a damaged array")
    _, shape, kind, fortran, elements = state
    if not isinstance(kind, _Type) or not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("it holds a damaged array")
    dtype, size = kind.dtype(), math.prod(shape)
    if dtype.kind == "O":
        if not isinstance(elements, list) or len(elements) != size:
            raise ValueError(f"it holds an array of shape {shape} with other elements")
        flat: Array = np.empty(size, object)
        for i, element in enumerate(elements):
            flat[i] = element
    else:
        if not isinstance(elements, bytes) or len(elements) != size * dtype.itemsize:
            raise ValueError(f"it holds an array of shape {shape} with other elements")
        flat = np.frombuffer(elements, dtype) if dtype.itemsize else np.empty(size, dtype)
    return flat.reshape(shape, order="F" if fortran else "C").copy()


class _Reader:
    """The machine: a position in the data, a stack, a memo."""

    def __init__(self, data: bytes, encoding: str) -> None:
        self.data, self.at, self.encoding = data, 0, encoding
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Execute the pickle; return what it leaves on the stack."""
        data, push, steps = self.data, self.stack.append, _STEPS
        while True:
            code, at = data[self.at], self.at
            while True:  # runs of small integers
                if code == _BYTE:
                    push(data[at + 1])
                    at += 2
                elif code == _SHORT:
                    push(data[at + 1] | data[at + 2] << 8)
                    at += 3
                else:
                    break
                code = data[at]
            self.at = at + 1
            if code == 0x2E:  # STOP
                return self.pop()
            step = steps.get(code)
            if step is None:
                raise ValueError(f"it holds the instruction 0x{code:02x}, which numbers, text and arrays do not need")
            step(self)

    # Reading.

    def take(self, count: int) -> bytes:
        """Return the next bytes."""
        if count < 0 or self.at + count > len(self.data):
            raise ValueError("it ends early")
        found = self.data[self.at : self.at + count]
        self.at += count
        return found

    def number(self, count: int) -> int:
        """Return the next bytes as an unsigned integer."""
        return int.from_bytes(self.take(count), "little")

    def line(self) -> str:
        """Return the text up to the end of the line."""
        end = self.data.index(b"\n", self.at)
        found = self.data[self.at : end]
        self.at = end + 1
        return found.decode("ascii")

    # The stack.

    def pop(self) -> Any:
        """Return and remove the value on top."""
        found = self.stack.pop()
        if found is _MARK:
            raise ValueError("a mark stands where a value should")
        return found

    def pop_to_mark(self) -> list[Any]:
        """Return and remove the values above the last mark, and the mark."""
        stack = self.stack
        at = len(stack) - 1
        while stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise ValueError("a mark is missing")
        found = stack[at + 1 :]
        del stack[at:]
        return found

    def top(self, kind: type) -> Any:
        """Return the value on top, which must be of a kind."""
        if type(found := self.stack[-1]) is not kind:
            raise ValueError(f"a {kind.__name__} is missing")
        return found

    def push_text(self, found: bytes) -> None:
        """Push a string of Python 2."""
        self.stack.append(found if self.encoding == "bytes" else found.decode(self.encoding))

    def push_name(self, module: str, name: str) -> None:
        """Push what stands for a function or class."""
        if (known := _NAMES.get((module, name))) is None:
            raise ValueError(f"it would call {module}.{name}, and nothing in a file is executed")
        self.stack.append(known)

    def remember(self, place: int) -> None:
        """Put the value on top into the memo."""
        value = self.memo[place] = self.stack[-1]
        if isinstance(value, _Array):
            value.places.append(place)

    # Instructions with more than a line.

    def extend(self) -> None:
        """Put the values above the mark at the end of a list."""
        items = self.pop_to_mark()
        self.top(list).extend(items)

    def append(self) -> None:
        """Put a value at the end of a list."""
        item = self.pop()
        self.top(list).append(item)

    def set_items(self, items: list[Any]) -> None:
        """Put keys and values into a dict."""
        if len(items) % 2:
            raise ValueError("a key of a dict has no value")
        self.top(dict).update(zip(items[::2], items[1::2], strict=True))

    def set_item(self) -> None:
        """Put a key and its value into a dict."""
        value, key = self.pop(), self.pop()
        self.top(dict)[key] = value

    def tuple_of(self, count: int) -> None:
        """Make a tuple of the last values."""
        found = [self.pop() for _ in range(count)]
        self.stack.append(tuple(reversed(found)))

    def stack_name(self) -> None:
        """Push a name whose parts lie on the stack."""
        name, module = self.pop(), self.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise ValueError("a name is missing")
        self.push_name(module, name)

    def reduce(self) -> None:
        """Make what arrays consist of, where the pickle would call a function."""
        arguments, name = self.pop(), self.pop()
        found: Any = None
        if isinstance(arguments, tuple) and arguments:
            first = arguments[0]
            if name is _Name.RECONSTRUCT and first is _Name.NDARRAY:
                found = _Array()
            elif name is _Name.DTYPE and isinstance(first, (str, bytes)):
                found = _Type(first.decode("ascii") if isinstance(first, bytes) else first)
            elif name is _Name.ENCODE and isinstance(first, str) and arguments[1:] == ("latin1",):
                found = first.encode("latin1")
        elif name is _Name.BYTES and arguments == ():
            found = b""
        if found is None:
            raise ValueError("it would call a function, and nothing in a file is executed")
        self.stack.append(found)

    def build(self) -> None:
        """Give an array or dtype its state."""
        state, target = self.pop(), self.pop()
        if isinstance(target, _Type) and isinstance(state, tuple) and len(state) >= 2:
            order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
            if order not in ("<", ">", "|", "="):
                raise ValueError(f"it holds an array with the order of bytes {order!r}")
            target.order = order
            self.stack.append(target)
        elif isinstance(target, _Array):
            array = _array(state)
            self.memo.update(dict.fromkeys(target.places, array))
            self.stack.append(array)
        else:
            raise ValueError("it would set an object's state, and nothing in a file is executed")


def _pusher(make: Callable[[_Reader], Any]) -> Callable[[_Reader], None]:
    """Return the instruction that pushes what `make` returns."""
    return lambda m: m.stack.append(make(m))


def _signed(m: _Reader, count: int) -> int:
    return int.from_bytes(m.take(count), "little", signed=True)


def _text(m: _Reader, count: int) -> str:
    return m.take(count).decode("utf-8", "surrogatepass")


# By code, with the names that pickletools gives them.
_STEPS: dict[int, Callable[[_Reader], Any]] = {
    0x80: lambda m: m.take(1),  # PROTO
    0x95: lambda m: m.take(8),  # FRAME
    0x28: lambda m: m.stack.append(_MARK),  # MARK
    0x30: lambda m: m.stack.pop(),  # POP
    0x31: lambda m: m.pop_to_mark(),  # POP_MARK
    0x4E: _pusher(lambda m: None),  # NONE
    0x88: _pusher(lambda m: True),  # NEWTRUE
    0x89: _pusher(lambda m: False),  # NEWFALSE
    0x4A: _pusher(lambda m: _signed(m, 4)),  # BININT
    0x8A: _pusher(lambda m: _signed(m, m.number(1))),  # LONG1
    0x47: _pusher(lambda m: struct.unpack(">d", m.take(8))[0]),  # BINFLOAT
    0x54: lambda m: m.push_text(m.take(m.number(4))),  # BINSTRING
    0x55: lambda m: m.push_text(m.take(m.number(1))),  # SHORT_BINSTRING
    0x42: _pusher(lambda m: m.take(m.number(4))),  # BINBYTES
    0x43: _pusher(lambda m: m.take(m.number(1))),  # SHORT_BINBYTES
    0x8E: _pusher(lambda m: m.take(m.number(8))),  # BINBYTES8
    0x58: _pusher(lambda m: _text(m, m.number(4))),  # BINUNICODE
    0x8C: _pusher(lambda m: _text(m, m.number(1))),  # SHORT_BINUNICODE
    0x8D: _pusher(lambda m: _text(m, m.number(8))),  # BINUNICODE8
    0x5D: _pusher(lambda m: []),  # EMPTY_LIST
    0x6C: _pusher(lambda m: m.pop_to_mark()),  # LIST
    0x61: _Reader.append,  # APPEND
    0x65: _Reader.extend,  # APPENDS
    0x29: _pusher(lambda m: ()),  # EMPTY_TUPLE
    0x74: _pusher(lambda m: tuple(m.pop_to_mark())),  # TUPLE
    0x85: lambda m: m.tuple_of(1),  # TUPLE1
    0x86: lambda m: m.tuple_of(2),  # TUPLE2
    0x87: lambda m: m.tuple_of(3),  # TUPLE3
    0x7D: _pusher(lambda m: {}),  # EMPTY_DICT
    0x73: _Reader.set_item,  # SETITEM
    0x75: lambda m: m.set_items(m.pop_to_mark()),  # SETITEMS
    0x71: lambda m: m.remember(m.number(1)),  # BINPUT
    0x72: lambda m: m.remember(m.number(4)),  # LONG_BINPUT
    0x94: lambda m: m.remember(len(m.memo)),  # MEMOIZE
    0x68: _pusher(lambda m: m.memo[m.number(1)]),  # BINGET
    0x6A: _pusher(lambda m: m.memo[m.number(4)]),  # LONG_BINGET
    0x63: lambda m: m.push_name(m.line(), m.line()),  # GLOBAL
    0x93: _Reader.stack_name,  # STACK_GLOBAL
    0x52: _Reader.reduce,  # REDUCE
    0x62: _Reader.build,  # BUILD
}


def read_pickle(data: bytes, encoding: str = "ascii") -> Any:
    """Return the numbers, text, lists, tuples, dicts and arrays that a pickle holds.

    Parameters
    ----------
    data : bytes
    encoding : str
        Of the strings that Python 2 wrote; "bytes" leaves them bytes.

    Raises
    ------
    ValueError
        It holds anything else, it would call a function, or it is damaged.
    """
    try:
        found = _Reader(data, encoding).run()
    except (IndexError, KeyError, TypeError, OverflowError) as error:  # the stack is empty, a key is a list, …
        raise ValueError(f"it is damaged: {type(error).__name__} while it was read") from None
    if isinstance(found, (_Name, _Type, _Array)):
        raise ValueError("it holds a part of an array")
    return found
