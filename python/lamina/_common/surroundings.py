"""The machine and the process around the library: CPUs, quota, load, other libraries with threads."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import sys
from pathlib import Path
from typing import NamedTuple

__all__ = ["Cpus", "cpu_name", "cpus", "load", "runtimes"]

# Shared libraries that start threads of their own, by what their file names begin with.
_RUNTIMES = {
    "libgomp": "GNU OpenMP", "libiomp": "Intel OpenMP", "libomp": "LLVM OpenMP", "libopenblas": "OpenBLAS",
    "libscipy_openblas": "OpenBLAS", "libmkl_rt": "MKL", "libmkl_core": "MKL", "libblis": "BLIS", "libtbb": "TBB",
}  # fmt: skip


class Cpus(NamedTuple):
    """Numbers of CPUs.

    Attributes
    ----------
    machine : int
        Those of the machine.
    allowed : int
        Those in the process's affinity mask.
    cores : int or None
        Cores that these belong to, None if the system does not say.
    """

    machine: int
    allowed: int
    cores: int | None


def cpu_name() -> str:
    """Return the CPU's name as the system gives it."""
    for line in _lines(Path("/proc/cpuinfo")):
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model", "cpu model"):
            return value.strip()
    return platform.processor() or platform.machine()


def cpus() -> Cpus:
    """Return how many CPUs there are, and how many of them this process may use."""
    machine = os.cpu_count() or 1
    # macOS and Windows have no affinity masks that Python could read.
    mine = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(machine))
    folder = Path("/sys/devices/system/cpu")
    cores = {tuple(_lines(folder / f"cpu{cpu}" / "topology" / "thread_siblings_list")) for cpu in mine}
    return Cpus(machine, len(mine), None if () in cores else len(cores))


def load() -> float | None:
    """Return how many threads have run or waited for a CPU, as a mean over the last minute; None if unknown."""
    found = None
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            found = os.getloadavg()[0]
    return found


def runtimes() -> dict[str, list[str]]:
    """Return the OpenMP and BLAS libraries in this process: their kind → files."""
    found: dict[str, list[str]] = {}
    for path in dict.fromkeys(re.findall(r"(/.*)", "\n".join(_lines(Path("/proc/self/maps"))))):
        name = re.split(r"[-.]", Path(path).name)[0].rstrip("0123456789_")
        kind = next((kind for begin, kind in _RUNTIMES.items() if name.startswith(begin)), None)
        if kind is not None:
            found.setdefault(kind, []).append(path)
    return found


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(errors="replace").splitlines()
    except OSError:
        return []
