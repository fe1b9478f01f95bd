"""Counters that other threads read while the engine counts."""

from __future__ import annotations

import copy
import pickle
import threading
from types import SimpleNamespace

import pytest

from lamina._common.counts import Count


def test_steps_of_a_run_are_added_to_the_count_as_they_are_done():
    count, run = Count(5), SimpleNamespace(steps=0)
    with count.during(run):
        for run.steps in range(4):
            assert count.value == 5 + run.steps
    run.steps = 100  # another run of the same engine
    assert count.value == 8
    run.steps = 2
    with pytest.raises(ZeroDivisionError), count.during(run):
        raise ZeroDivisionError
    assert count.value == 10
    count.value = 3
    assert count.value == 3
    assert Count().value == 0


def test_a_run_counts_on_from_its_own_steps():
    count, run = Count(), SimpleNamespace(steps=0)
    for _ in range(2):
        run.steps = 0
        with count.during(run):
            run.steps = 4
    assert count.value == 8


def test_the_calling_thread_alone_reads_a_value_that_is_assumed():
    count, other, seen = Count(5), Count(6), []
    with count.assumed(2):
        assert (count.value, other.value) == (2, 6)
        thread = threading.Thread(target=lambda: seen.append(count.value))
        thread.start()
        thread.join(60)
        with count.assumed(1):
            assert count.value == 1
        assert count.value == 2
    assert seen == [5]
    assert count.value == 5
    with pytest.raises(ZeroDivisionError), count.assumed(2):
        raise ZeroDivisionError
    assert count.value == 5


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda count: pickle.loads(pickle.dumps(count))])
def test_a_copy_holds_the_value_of_the_moment(copied):
    count, run = Count(5), SimpleNamespace(steps=0)
    with count.during(run):
        run.steps = 2
        twin = copied(count)
        run.steps = 3
    assert (twin.value, count.value) == (7, 8)


def test_what_is_added_while_a_run_counts_is_kept():
    count, run = Count(5), SimpleNamespace(steps=0)
    with count.during(run):
        run.steps = 2
        assert count.add(1) == 8
        run.steps = 3
    assert count.value == 9
    assert pickle.loads(pickle.dumps(count)).value == 9
    count.value = 4
    assert count.value == 4
