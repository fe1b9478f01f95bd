"""Every public call, with an argument or two replaced by values that are wrong for nearly everything.

It is taken, or refused by a TypeError or ValueError whose text says who wanted what; and a refused call changes
nothing. ``LAMINA_FUZZ=long`` draws many times as many.
"""

from __future__ import annotations

import inspect
import io
import os
import re
import warnings
from contextlib import redirect_stdout

import numpy as np
import pytest
from datasets.archives import write_all
from helpers import no_connection
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import lamina
from fuzz.surface import CALLED, MODEL, calls, hostile, objects, restore
from lamina._files import download

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


def assert_in_words(error, *what):
    text = str(error)
    assert not isinstance(error, UnicodeError), what
    assert GRAMMAR.match(text), (*what, text)
    assert not FOREIGN.search(text), (*what, text)


def state():
    """Return what a refused call must leave alone."""
    optimizer, executor = MODEL.optimizer, MODEL.executor
    return (
        [array.tobytes() for array in MODEL.get_weights()], id(executor.compiled), executor.shuffles,
        executor.draws.value,
        optimizer.batches, len(MODEL.layers), MODEL.name, MODEL.seed, lamina.config.floatx(),
    )  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def small_data_sets(tmp_path_factory):
    """The cache of data sets holds small archives; nothing can be downloaded."""
    home = tmp_path_factory.mktemp("home")
    write_all(home, rows=6)
    with pytest.MonkeyPatch.context() as patch, no_connection():
        patch.setenv("KERAS_HOME", str(home))
        patch.setattr(download.Checksum, "fits", lambda *_: True)
        yield


@settings(
    max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(
    place=st.sampled_from(PLACES), which=st.integers(0, len(hostile()) - 1), second=st.integers(0, 9),
    which_second=st.integers(0, len(hostile()) - 1),
)  # fmt: skip
def test_a_wrong_argument_is_refused_in_words(place, which, second, which_second, tmp_path_factory):
    number, argument = place
    name, call, right = CALLS[number]
    wrong = {argument: hostile()[which]}
    if second < len(right):  # another one is wrong too
        wrong |= {list(right)[second]: hostile()[which_second]}
    if any(callable(value) and argument in CALLED for argument, value in wrong.items()):
        return  # the user's own code, which raises what it likes
    before = state()
    os.chdir(tmp_path_factory.getbasetemp())
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            call(**(right | wrong))
    except (TypeError, ValueError, MemoryError, OSError) as error:
        if not isinstance(error, MemoryError):
            assert_in_words(error, (name, wrong))
        assert state() == before, (name, wrong)
    finally:
        restore()


OBJECTS = list(objects())


@pytest.mark.parametrize("number", range(len(OBJECTS)), ids=[name for name, _, _ in OBJECTS])
def test_a_wrong_value_is_no_attribute_later_either(number):
    name, kind, needed = OBJECTS[number]
    for argument in inspect.signature(kind).parameters:
        for value in hostile():
            made = kind(**needed)
            before = getattr(made, argument, None)
            if argument not in vars(made) and not isinstance(getattr(kind, argument, None), property):
                break  # is not kept under its name
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    setattr(made, argument, value)
            except AttributeError:
                assert isinstance(getattr(kind, argument), property), (name, argument)  # which only reads
            except (TypeError, ValueError) as error:
                assert_in_words(error, (name, argument, value))
                after = getattr(made, argument, None)
                assert repr(after) == repr(before), (name, argument, value)
            else:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    kind(**(needed | {argument: value}))  # is a value that the constructor takes
    restore()


@pytest.mark.parametrize("number", range(len(CALLS)), ids=[name for name, _, _ in CALLS])
def test_the_right_arguments_are_taken(number):
    name, call, right = CALLS[number]
    if name in ("Sequential.set_weights", "Sequential.add"):
        return  # whose argument is made for each call
    with redirect_stdout(io.StringIO()):
        call(**right)
