"""The instruction set, the number of threads and the versions in use."""

from __future__ import annotations

import platform
from typing import Any, SupportsIndex

import numpy as np

from lamina import _core
from lamina._common.checks import choice, integer

__all__ = ["get_num_threads", "set_num_threads", "show_config"]


def set_num_threads(threads: SupportsIndex) -> None:
    """Set how many threads a call may use from now on. Results do not depend on it.

    Parameters
    ----------
    threads : int in [1, 65535]
        At most; a call uses no more threads than there are CPUs, and fewer while other programs keep some of them
        busy. Small computations use one thread in any case.

    Raises
    ------
    TypeError, ValueError
        Not an integer, or out of range.
    """
    count = integer("set_num_threads", "threads", threads)
    if count >= 65536:
        raise ValueError(f"set_num_threads: threads must be < 65536; got {count}.")
    _core.set_num_threads(count)


def get_num_threads() -> int:
    """Return how many threads a call may use.

    The default is ``LAMINA_NUM_THREADS``, else ``OMP_NUM_THREADS``, else the number of CPUs that affinity mask and
    cgroup quota allow.
    """
    return _core.num_threads()


def show_config(mode: str = "stdout") -> dict[str, Any] | None:
    """Print or return the instruction set, the number of threads, the caches and the versions in use.

    `caches` are the data caches of the first, the second and the last level, as blocks and schedules take them into
    account. ``LAMINA_CACHES=32K,512K,32M`` overrides what was read. `speeds` are measured, once, in about a
    millisecond: of one thread the float32 multiply-adds, and the reads from the second cache, from beyond it and from
    memory; of two threads the time until they have met, and the reads of what the other one has written. Schedules
    follow from them. Results depend on none of these.

    Parameters
    ----------
    mode : {"stdout", "dicts"}
        As `numpy.show_config`.

    Returns
    -------
    dict or None
        The dict with ``mode="dicts"``, else None.
    """
    facts = config_facts()
    if choice("show_config", "mode", mode, ("stdout", "dicts")) == "dicts":
        return facts
    for name, value in facts.items():
        print(f"{name:15} {'; '.join(value) if isinstance(value, list) else value}")
    return None


def _cache(size: int, cpus: int) -> str:
    unit = 0
    while size % 1024 == 0 and unit < 3:
        size, unit = size // 1024, unit + 1
    shared = f", shared by {cpus} CPUs" if cpus > 1 else ""
    return f"{size} {('bytes', 'KB', 'MB', 'GB')[unit]}{shared}"


def _speeds(times: dict[str, float]) -> list[str]:
    found = [f"{2 * times['multiply_adds']:.0f} GFLOP/s"]
    found += [f"{times[name]:.0f} GB/s" for name in ("near_bytes", "far_bytes", "memory_bytes")]
    if "meeting" in times:
        found += [f"{times['meeting']:.0f} ns", f"{times['foreign_bytes']:.0f} GB/s"]
    return found


def config_facts() -> dict[str, Any]:
    """Return the facts that `show_config` prints, by name."""
    return {
        "lamina": _core.__version__,
        "isa": _core.isa(),
        "available_isas": _core.available_isas(),
        "vector_bits": 8 * _core.vector_bytes(),
        "threads": _core.num_threads(),
        "cpus": _core.usable_cpus(),
        "caches": [_cache(size, cpus) for size, cpus in _core.caches()],
        "speeds": _speeds(_core.machine_times()),
        "compiler": _core.compiler(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
    }
