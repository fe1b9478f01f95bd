"""How much memory there is."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

if sys.platform != "win32":
    import resource

__all__ = ["memory_bytes"]


def memory_bytes(root: Path = Path("/")) -> int:
    """Return the bytes that the process may use: the machine's memory, or a lower limit of its own or its group.

    Windows is not asked: `sys.maxsize`, so that only an allocation that fails says what is too much.

    Parameters
    ----------
    root : Path
        Where ``proc`` and ``sys`` are.
    """
    limits = [sys.maxsize, *_of_control_groups(root)]
    if sys.platform != "win32":
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
        space = resource.getrlimit(resource.RLIMIT_AS)[0]
        if space != resource.RLIM_INFINITY:
            limits.append(space)
    return min(limits)


def _of_control_groups(root: Path) -> Iterator[int]:
    """Yield the limits of the control groups that the process is in, of both versions of Linux's interface."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    groups = root / "sys/fs/cgroup"
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, found, name = rest.partition(":")
        if not found or not {"", "memory"} & set(controllers.split(",")):
            continue
        top, file = (groups / "memory", "memory.limit_in_bytes") if controllers else (groups, "memory.max")
        group = top / name.lstrip("/")
        for folder in (group, *group.parents):
            try:
                limit = (folder / file).read_text().strip()
            except OSError:
                limit = "max"
            if limit.isdigit():
                yield int(limit)
            if folder == top:
                break
