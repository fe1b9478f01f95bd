"""Records: classes whose constructor takes their attributes.

They are what `dataclasses` and `typing.NamedTuple` make by writing code and compiling it, a tenth of a millisecond of
``import lamina`` for each class, but compared by identity. Those that each step of training makes are named tuples,
whose constructor is faster.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self, dataclass_transform

__all__ = ["Record"]


@dataclass_transform(eq_default=False, frozen_default=True)
class Record:
    """Base class of records. The constructor takes the annotated attributes in order; they never change after it."""

    _attributes: ClassVar[tuple[str, ...]] = ()
    _defaults: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        own = (name for name, kind in cls.__annotations__.items() if not kind.startswith("ClassVar"))
        cls._attributes = tuple(dict.fromkeys((*cls._attributes, *own)))
        cls._defaults = cls._defaults | {name: vars(cls)[name] for name in cls._attributes if name in vars(cls)}

    def __init__(self, *values: Any, **named: Any) -> None:
        if len(values) > len(self._attributes):
            raise TypeError(f"{type(self).__name__} has {len(self._attributes)} attributes; got {len(values)} values.")
        given = dict(zip(self._attributes, values, strict=False))
        found = self._defaults | given | named
        twice, differ = given.keys() & named.keys(), found.keys() ^ set(self._attributes)
        if twice or differ:
            wrong = ", ".join(sorted(twice | differ))
            raise TypeError(f"{type(self).__name__}: these attributes are missing, unknown, or given twice: {wrong}.")
        vars(self).update(found)

    def replaced(self, **changes: Any) -> Self:
        """Return a record with other values of some attributes."""
        return type(self)(**vars(self) | changes)
