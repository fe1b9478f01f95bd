"""Every public call, with one argument replaced by a value that is wrong for nearly everything.

It is taken, or refused by a TypeError or ValueError whose text says who wanted what; and a refused call changes
nothing. ``LAMINA_FUZZ=long`` draws many times as many.
"""

from __future__ import annotations

import os
import re
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import lamina
from fuzz.surface import MODEL, calls, hostile
from lamina import _names

EXAMPLES = 30_000 if os.environ.get("LAMINA_FUZZ") == "long" else 2_500

CALLS = [(name, call, arguments) for name, call, arguments in calls() if arguments]
PLACES = [(i, argument) for i, (_, _, arguments) in enumerate(CALLS) for argument in arguments]

# "Who: what must hold …", where who may have a name of its own and say which method.
GRAMMAR = re.compile(r"^[A-Za-z_][\w.\[\]]*( '[^']*'| \"[^\"]*\")?(: [\w. ]+)?: \S", re.DOTALL)
FOREIGN = re.compile(
    r"unable to cast|incompatible (function|constructor) arguments|cannot be interpreted as|unhashable|"
    r"unsupported operand|not subscriptable|not iterable|has no len|object is not callable|could not convert|"
    r"float\(\) argument|int\(\) argument|inhomogeneous|broadcast(ed)? together|ambiguous|zip\(\)|"
    r"too large to convert|missing \d+ required|takes .* positional|unexpected keyword|"
    r"not enough values|too many values|must be real number, not|ufunc|invalid literal|"
    r"object has no attribute|Expecting value|the JSON object|expected str, bytes",
    re.IGNORECASE,
)


def state():
    """Return what a refused call must leave alone."""
    optimizer = MODEL.optimizer
    return (
        [array.tobytes() for array in MODEL.get_weights()], id(MODEL._compiled), MODEL._shuffles, MODEL._draws.value,
        optimizer.batches, len(MODEL.layers), MODEL.name, MODEL.seed, lamina.config.floatx(),
    )  # fmt: skip


@settings(
    max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(place=st.sampled_from(PLACES), which=st.integers(0, len(hostile()) - 1))
def test_a_wrong_argument_is_refused_in_words(place, which, tmp_path_factory):
    number, argument = place
    name, call, right = CALLS[number]
    value = hostile()[which]
    before = state()
    os.chdir(tmp_path_factory.getbasetemp())
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            call(**(right | {argument: value}))
    except (TypeError, ValueError, MemoryError, FileNotFoundError) as error:
        kind = type(error)
        assert not issubclass(kind, UnicodeError), (name, argument, value)
        if kind is not MemoryError:
            text = str(error)
            assert GRAMMAR.match(text), (name, argument, value, text)
            assert not FOREIGN.search(text), (name, argument, value, text)
        assert state() == before, (name, argument, value)
    _names.reset_names()


@pytest.mark.parametrize("number", range(len(CALLS)), ids=[name for name, _, _ in CALLS])
def test_the_right_arguments_are_taken(number):
    name, call, right = CALLS[number]
    if name in ("Sequential.set_weights", "Sequential.add"):
        return  # whose argument is made for each call
    call(**right)
