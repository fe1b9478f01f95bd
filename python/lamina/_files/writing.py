"""Replaces a file atomically and keeps its permissions, extended attributes and owner."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lamina._common.file_locks import lock_file
from lamina._common.interrupts import interrupts_later

__all__ = ["remove_abandoned", "replace_file", "what_is_at"]

# Names of files that are being written, and the age in seconds from which an unlocked one is removed by the next
# writer in its folder: the process that wrote it was killed.
_PREFIX, _SUFFIX, _OLD = ".lamina-", ".part", 60.0


@contextlib.contextmanager
def replace_file(who: str, path: Path) -> Iterator[BinaryIO]:
    """Yield a file that replaces the one at `path` when the block ends; if the block raises, nothing changes.

    A symbolic link stays; the file that it points to is replaced. The new file gets the permissions, the extended
    attributes and, if the process may set it, the owner of the old one. Other hard links to the old file keep it.

    Raises
    ------
    OSError
        Writing failed; the error names `path`.
    ValueError
        There is something at `path` that is no regular file.
    """
    target = Path(os.path.realpath(path))
    before = _status(target)
    if before is not None and not stat.S_ISREG(before.st_mode):
        raise ValueError(f"{who}: {path} must be a regular file, or a link to one; it is {what_is_at(path)}.")
    remove_abandoned(target.parent)
    temporary = target.with_name(f"{_PREFIX}{os.urandom(8).hex()}{_SUFFIX}")
    try:
        with interrupts_later():
            mode = 0o666 if before is None else 0o600  # the process's umask restricts a new file further
            handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
            file = os.fdopen(handle, "w+b")
        with file:
            lock_file(file)
            yield file
            file.flush()
            if before is not None:
                _take_over(file.fileno(), target, before)
            os.fsync(file.fileno())
            if sys.platform == "win32":  # which renames no open file
                file.close()
            os.replace(temporary, target)
        _flush_directory(target.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):  # it may have its new name already
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from None
        raise


def what_is_at(path: Path) -> str:
    """Return the kind of thing at a path that is no regular file, for a message."""
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(os.stat(path).st_mode), "a device")


def _status(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _take_over(handle: int, target: Path, before: os.stat_result) -> None:
    """Give a new file the owner, extended attributes and permissions of the one that it replaces."""
    if sys.platform != "win32":  # there a file has its folder's
        own = os.fstat(handle)
        if (own.st_uid, own.st_gid) != (before.st_uid, before.st_gid):
            with contextlib.suppress(PermissionError):  # only root may give files away
                os.fchown(handle, before.st_uid, before.st_gid)
        if sys.platform == "linux":  # Python has no extended attributes elsewhere
            with contextlib.suppress(OSError):  # the file system may not have them
                for name in os.listxattr(target):
                    with contextlib.suppress(PermissionError):
                        os.setxattr(handle, name, os.getxattr(target, name))
        os.fchmod(handle, stat.S_IMODE(before.st_mode))  # after chown, which clears the setuid and setgid bits


def _flush_directory(directory: Path) -> None:
    """Flush a folder to disk, so that a rename survives a crash of the machine, if the file system supports it."""
    try:
        handle = os.open(directory, os.O_RDONLY)
    except PermissionError:  # files may be written into a folder that may not be read
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def remove_abandoned(directory: Path, age: float = _OLD) -> None:
    """Remove temporary files that killed writers have left behind, of at least so many seconds."""
    with contextlib.suppress(OSError):  # a directory that cannot be read
        for name in os.listdir(directory):
            if name.startswith(_PREFIX) and name.endswith(_SUFFIX):
                with contextlib.suppress(OSError):  # its writer is at work, or the file is not ours
                    _remove_if_abandoned(directory / name, age)


def _remove_if_abandoned(path: Path, age: float) -> None:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode) or time.time() - status.st_mtime < age:
        return
    with path.open("rb") as file:
        lock_file(file, wait=False)
        path.unlink()
