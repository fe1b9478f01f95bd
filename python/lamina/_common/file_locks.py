"""Locks of open files against other processes and other opens; they end when the file is closed."""

from __future__ import annotations

import sys
import time
from typing import BinaryIO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["lock_file"]

_PAUSE = 0.05  # seconds between two looks, where the system does not wait by itself for as long as it takes


def lock_file(file: BinaryIO, *, wait: bool = True) -> None:
    """Lock a file that is open.

    Raises
    ------
    OSError
        It is locked, and `wait` is false.
    """
    if sys.platform == "win32":  # a lock of the first byte
        while True:
            file.seek(0)
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
                return
            except OSError:
                if not wait:
                    raise
                time.sleep(_PAUSE)
    else:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
