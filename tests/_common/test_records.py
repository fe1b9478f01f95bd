"""Records: what their constructors take, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import pytest

from lamina._common.records import Record


class Point(Record):
    """Two attributes, the second with a default."""

    plane: ClassVar[str] = "real"
    x: int
    y: int = 0


class Named(Point):
    """A third one."""

    name: str = ""
    measure: Callable[[list[int]], int] = len
    y = 3


def test_the_constructor_takes_the_attributes_in_order_or_by_name():
    point = Named(1, name="a")
    assert (point.x, point.y, point.name, point.plane) == (1, 3, "a", "real")
    assert point.measure([1, 2]) == 2
    assert vars(Point(y=5, x=4)) == {"x": 4, "y": 5}
    assert vars(Named(1, 2, "b")) == {"x": 1, "y": 2, "name": "b", "measure": len}


def test_replaced_changes_some_attributes_of_another_record():
    point = Named(1, name="a")
    moved = point.replaced(x=7)
    assert type(moved) is Named
    assert (moved.x, moved.y, moved.name) == (7, 3, "a")
    assert point.x == 1
    with pytest.raises(TypeError, match="z"):
        point.replaced(z=1)


def test_records_are_compared_by_identity():
    assert Point(1) != Point(1)


@pytest.mark.parametrize(
    ("values", "named", "match"),
    [((), {}, "x"), ((1,), {"x": 1}, "x"), ((1,), {"z": 1}, "z"), ((1, 2, 3), {}, "got 3 values")],
    ids=["missing", "twice", "unknown", "too many"],
)
def test_other_arguments_are_refused(values, named, match):
    with pytest.raises(TypeError, match=match):
        Point(*values, **named)
