"""The instruction set, the number of threads and the versions in use."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from typing import Any, SupportsIndex

import numpy as np

from lamina import _core
from lamina._common import surroundings
from lamina._common.checks import choice, integer

__all__ = ["doctor", "get_num_threads", "set_num_threads", "show_config"]


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
    _print(facts)
    return None


def _print(facts: dict[str, Any]) -> None:
    for name, value in facts.items():
        print(f"{name:15} {'; '.join(value) if isinstance(value, list) else value}")


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


def doctor(mode: str = "stdout") -> dict[str, Any] | None:
    """Print or return what the library has found on this machine, and what you could change.

    Besides the facts of `show_config` these are the CPU's name, the CPUs and cores that affinity mask and quota leave,
    why there are so many threads, other programs' load, the OpenMP and BLAS libraries in the process, and the settings
    in the environment.

    Parameters
    ----------
    mode : {"stdout", "dicts"}
        As `numpy.show_config`.

    Returns
    -------
    dict or None
        The dict with ``mode="dicts"``, else None. Its ``"advice"`` is a list of sentences, empty if all is well.
    """
    have, busy, others = surroundings.cpus(), surroundings.load(), surroundings.runtimes()
    facts = {"cpu": surroundings.cpu_name()} | config_facts()
    usable, threads = facts["cpus"], facts["threads"]
    limits = [f"{have.machine} in the machine", f"{have.allowed} in the affinity mask"]
    limits += [f"on {have.cores} cores"] if have.cores is not None else []
    limits += [f"{usable} under the quota of the cgroup"] if usable < have.allowed else []
    facts |= {
        "cpus_are": ", ".join(limits),
        "threads_from": _reason_of_threads(threads, usable),
        "load": "unknown" if busy is None else f"{busy:.1f} threads in the last minute",
        "runtimes": [f"{kind}: {', '.join(files)}" for kind, files in others.items()] or "none",
        "environment": [f"{name}={os.environ[name]}" for name in _SETTINGS if name in os.environ] or "nothing set",
    }
    advice = list(_advice(facts, have, usable, threads, busy, others))
    if choice("doctor", "mode", mode, ("stdout", "dicts")) == "dicts":
        return facts | {"advice": advice}
    _print(facts)
    print("\nAdvice" if advice else "\nNothing to change.")
    for sentence in advice:
        print(f"* {sentence}")
    return None


# What the library reads of the environment, and what chooses how other libraries' threads wait.
_SETTINGS = (
    "LAMINA_NUM_THREADS", "OMP_NUM_THREADS", "LAMINA_ISA", "LAMINA_CACHES", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT",
    "KMP_BLOCKTIME",
)  # fmt: skip


def _reason_of_threads(threads: int, usable: int) -> str:
    """Return where the number of threads comes from."""
    for name in ("LAMINA_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "").split(",")[0].strip()
        if value.isdecimal() and int(value) >= 1:
            return name if int(value) == threads else "set_num_threads or threadpoolctl"
    return "the CPUs" if threads == usable else "set_num_threads or threadpoolctl"


def _advice(
    facts: dict[str, Any], have: surroundings.Cpus, usable: int, threads: int, busy: float | None,
    others: dict[str, list[str]],
) -> Iterator[str]:  # fmt: skip
    """Yield what could be better."""
    best = facts["available_isas"][-1]
    if facts["isa"] != best:
        yield f"The CPU has {best}, and LAMINA_ISA={facts['isa']} keeps lamina from it: unset LAMINA_ISA."
    elif facts["isa"] == "baseline" and facts["machine"] in ("x86_64", "AMD64"):
        yield "The CPU, or the virtual machine, has no AVX2: on one with it training is several times faster."
    if "LAMINA_CACHES" in os.environ:
        yield "LAMINA_CACHES overrides what the system says about the caches: unset it unless that is wrong."
    if threads > usable:
        yield f"{threads} threads are set for {usable} CPUs: lamina uses no more than these."
    elif threads < usable:
        yield f"{threads} of {usable} CPUs are used: set LAMINA_NUM_THREADS or call set_num_threads for more."
    if have.cores is not None and have.cores < min(threads, usable):
        yield f"{threads} threads share {have.cores} cores: see whether set_num_threads({have.cores}) is faster."
    if busy is not None and busy > have.machine:
        yield f"About {busy:.0f} threads want {have.machine} CPUs: other programs slow this one down."
    openmp = [kind for kind in others if kind.endswith("OpenMP")]
    if len(openmp) > 1:
        yield f"{' and '.join(openmp)} are in one process: each has threads of its own, which may get in the way."
    spins = os.environ.get("OMP_WAIT_POLICY", "").lower() == "active" or os.environ.get("KMP_BLOCKTIME") == "infinite"
    if openmp and spins:
        yield "Idle OpenMP threads spin and take CPUs from lamina: set OMP_WAIT_POLICY=passive, KMP_BLOCKTIME=0."
