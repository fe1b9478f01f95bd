"""Locks: who holds them, who waits, who is refused, and what copies and forks do with them."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import textwrap
import threading

import pytest

from lamina._common.locks import Once, Turn

LONG = 60.0


class Holder:
    """A thread that enters a block and stays in it until it is told to leave."""

    def __init__(self, block):
        self.inside, self.leave, self.thread = threading.Event(), threading.Event(), threading.Thread(target=self.hold)
        self.block = block

    def hold(self):
        with self.block():
            self.inside.set()
            self.leave.wait(LONG)

    def __enter__(self):
        self.thread.start()
        assert self.inside.wait(LONG)
        return self

    def __exit__(self, *error):
        self.leave.set()
        self.thread.join(LONG)


def on_another_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join(LONG)
    return found[0]


@pytest.mark.parametrize(("lock", "block"), [(o := Once(), o.taken), (t := Turn(1), lambda: t.of("fit"))])
def test_a_lock_is_of_the_thread_that_holds_it_and_reentrant(lock, block):
    assert not lock.held
    with block():
        assert lock.held
        with block():
            assert lock.held
        assert lock.held
        assert not on_another_thread(lambda: lock.held)
        for twin in (copy.deepcopy(lock), pickle.loads(pickle.dumps(lock))):  # they are unlocked
            assert type(twin) is type(lock)
            assert not twin.held
            assert on_another_thread(lambda twin=twin: twin.lock.acquire(blocking=False))
    assert not lock.held
    with pytest.raises(ZeroDivisionError), block():
        raise ZeroDivisionError
    assert not lock.held


def test_a_lock_is_free_again_when_the_block_has_never_begun():
    """As from Python 3.14 on, when the handler of a signal raises between `__enter__` and the block."""
    once, turn = Once(), Turn(1)
    for lock, made in ((once, once.taken()), (turn, turn.of("fit")), (turn, turn.if_free("in use"))):
        block = made
        del made
        block.__enter__()
        assert lock.held
        del block
    held = [once.taken(), turn.of("fit")]
    assert not once.held
    assert not turn.held
    del held  # neither was entered
    with once.taken():
        with once.taken():
            pass
        assert once.held


def test_only_one_thread_makes_what_is_made_once():
    class Lazy:
        made = None

        def get(self):
            if self.made is None:
                with once.taken():
                    if self.made is None:
                        count.append(1)
                        barrier_passed.wait(0.05)  # others come while it is made
                        self.made = object()
            return self.made

    once, count, barrier_passed, lazy, found = Once(), [], threading.Event(), Lazy(), []
    threads = [threading.Thread(target=lambda: found.append(lazy.get())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert len(count) == 1
    assert len(found) == 6
    assert len(set(map(id, found))) == 1


def test_a_turn_is_waited_for():
    turn, entered = Turn(1), threading.Event()

    def wait():
        with turn.of("fit"):
            entered.set()

    with Holder(lambda: turn.of("fit")):
        assert turn.taken_elsewhere()
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not entered.wait(0.05)
    waiting.join(LONG)
    assert entered.is_set()
    assert not turn.taken_elsewhere()
    with turn.of("fit"):
        assert not turn.taken_elsewhere()


@pytest.mark.parametrize("rank", [1, 2])
def test_who_holds_a_turn_of_no_lower_rank_does_not_wait(rank):
    wanted, held = Turn(1), Turn(rank)
    with held.of("fit"), wanted.of("fit"):  # it is free
        assert wanted.held
    with Holder(lambda: wanted.of("fit")), held.of("fit"):
        with pytest.raises(RuntimeError, match="Own: the model must not be in use by another thread"), wanted.of("Own"):
            pass
        assert not wanted.held
    with Holder(lambda: wanted.of("fit")) as holder:  # the other turn has been given back: it waits
        threading.Timer(0.05, holder.leave.set).start()
        with wanted.of("fit"):
            assert wanted.held


def test_who_holds_a_turn_of_lower_rank_waits():
    wanted, held = Turn(2), Turn(1)
    with Holder(lambda: wanted.of("fit")) as holder, held.of("fit"):
        threading.Timer(0.05, holder.leave.set).start()
        with wanted.of("fit"):
            assert wanted.held


def test_a_turn_may_be_taken_only_where_it_is_free():
    turn = Turn(1)
    with turn.if_free("busy"):
        assert turn.held
        with pytest.raises(RuntimeError, match="busy"):  # even of the thread that holds it
            turn.if_free("busy")
    assert not turn.held
    with Holder(lambda: turn.of("fit")), pytest.raises(RuntimeError, match="busy"), turn.if_free("busy"):
        pass


def test_copies_of_a_turn_have_its_rank():
    assert copy.copy(Turn(7)).rank == pickle.loads(pickle.dumps(Turn(7))).rank == 7


def test_locks_are_unlocked_in_the_child_of_a_fork():
    code = """
        import os
        from lamina._common.locks import Once, Turn
        once, turn = Once(), Turn(1)
        with once.taken(), turn.of("fit"):
            child = os.fork()
            if child == 0:
                free = [not lock.held and lock.lock.acquire(blocking=False) for lock in (once, turn)]
                os._exit(0 if free == [True, True] and not turn.taken_elsewhere() else 1)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), once.held, turn.held)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.stdout == "0 True True\n", done.stderr
