"""Locks of files against other opens."""

import threading

import pytest

from lamina._common.file_locks import lock_file


def test_a_file_is_locked_until_it_is_closed(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    waited = threading.Event()

    def wait():
        with path.open("r+b") as later:
            lock_file(later)
            waited.set()

    with path.open("r+b") as first, path.open("r+b") as second:
        lock_file(first)
        lock_file(first)  # again by the same open
        with pytest.raises(OSError, match="unavailable"):
            lock_file(second, wait=False)
        thread = threading.Thread(target=wait)
        thread.start()
        assert not waited.wait(0.1)
    assert waited.wait(60)
    thread.join()
    with path.open("r+b") as third:
        lock_file(third, wait=False)
        assert third.read() == b"content"
