"""Timing, tables and facts that all benchmarks share.

Implementations of one case are timed alternately, a few milliseconds each, so that a busy machine slows them all; the
table gives medians, the spread (half the distance between the quartiles, relative to the median) and ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

# OpenBLAS's threads keep their cores busy after a product: 40 ms later they still did, 200 ms later no more.
SETTLE_SECONDS = 0.2

# What holds each implementation to AVX2 on a machine that has more.
AVX2_VARIABLES = {
    "LAMINA_ISA": "avx2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "OPENBLAS_CORETYPE": "Haswell",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
    "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR",
}

# Where all cores together reach less than this share of what they would if each did what one does alone, somebody else
# has one of them: virtual CPUs may share a physical core for a while. What is timed then is timed again, so many times.
WHOLE_SHARE = 0.85
TRIES = 4

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LAMINA_NUM_THREADS")


@dataclass
class Timing:
    """Seconds a call, of one implementation of one case."""

    median: float
    spread: float


@dataclass
class Result:
    """One case: what was computed, how fast by each implementation, and the machine's bound."""

    case: str
    timings: dict[str, Timing]
    bound: float | None = None  # seconds that the machine's peak allows
    errors: dict[str, float] = field(default_factory=dict)  # relative to the tolerance of the check
    remarks: str = ""  # at the end of the line


def parse_arguments(description: str | None, **extra: dict[str, Any]) -> argparse.Namespace:
    """Read the options that all benchmarks have, and hold all implementations to the same threads.

    Must run before NumPy is imported: its BLAS reads the environment once.
    """
    if "numpy" in sys.modules:
        raise RuntimeError("parse_arguments must run before numpy is imported")
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--threads", type=int, help="threads for every implementation (default: all CPUs)")
    parser.add_argument("--avx2", action="store_true", help="hold all implementations to AVX2")
    parser.add_argument("--seconds", type=float, default=0.5, help="time for each case (0.5)")
    parser.add_argument("--short", action="store_true", help="few cases, little time: a check that all still works")
    parser.add_argument("--json", type=Path, help="write the results there")
    parser.add_argument("--plot", type=Path, help="draw the ratios there (needs matplotlib)")
    for name, settings in extra.items():
        parser.add_argument(f"--{name}", **settings)
    options = parser.parse_args()
    cpus = sorted(os.sched_getaffinity(0))
    options.threads = options.threads or len(cpus)
    if options.threads < len(cpus):
        os.sched_setaffinity(0, cpus[: options.threads])
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(options.threads)
    if options.avx2:
        os.environ.update(AVX2_VARIABLES)
    if options.short:
        options.seconds = 0.03
    return options


class Cores:
    """Tells whether all of them are there at the moment, by their multiply-adds."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.alone = multiply_add_peak()
        self.pool = ThreadPoolExecutor(threads)
        self.turns = self.disturbed = 0

    def there(self) -> bool:
        """Keep them all busy for some 3 ms, and compare what each reaches."""
        rates = self.pool.map(multiply_adds, [400_000] * self.threads)
        return sum(rates) > WHOLE_SHARE * self.threads * self.alone


@cache
def cores(threads: int) -> Cores:
    """Return the one object for that number."""
    return Cores(threads)


def time_alternately(calls: dict[str, Callable[[], Any]], seconds: float, threads: int = 1) -> dict[str, Timing]:
    """Time calls in turn for about `seconds` each; at least five rounds.

    With several threads every turn begins after a pause in which the others' threads stop looking for work, and with
    calls that are not timed, so that its own threads are awake. A turn before or after which not all cores were there
    is repeated.
    """
    rounds: dict[str, list[float]] = {name: [] for name in calls}
    repeats = {}
    for name, call in calls.items():
        call()
        begin = time.perf_counter()
        call()
        once = max(1e-7, time.perf_counter() - begin)
        repeats[name] = max(1, min(10_000, int(2e-3 / once)))
    end = time.perf_counter() + seconds * len(calls)
    while time.perf_counter() < end or any(len(times) < 5 for times in rounds.values()):
        for name, call in calls.items():
            rounds[name].append(time_turn(call, repeats[name], threads))
    return {name: summarize(times) for name, times in rounds.items()}


def time_turn(call: Callable[[], Any], count: int, threads: int) -> float:
    """Return the seconds of one of `count` calls."""
    took = 0.0
    for _ in range(TRIES if threads > 1 else 1):
        if threads > 1:
            time.sleep(SETTLE_SECONDS)
            whole = cores(threads).there()
        warm = time.perf_counter() + 1e-3
        call()  # whoever ran before has taken the caches
        while time.perf_counter() < warm:
            call()
        begin = time.perf_counter()
        for _ in range(count):
            call()
        took = (time.perf_counter() - begin) / count
        if threads == 1:
            return took
        if whole and cores(threads).there():
            break
    else:
        cores(threads).disturbed += 1
    cores(threads).turns += 1
    return took


def summarize(times: list[float]) -> Timing:
    """Return median and spread."""
    ordered = sorted(times)
    n = len(ordered)
    median = ordered[n // 2]
    return Timing(median, (ordered[3 * n // 4] - ordered[n // 4]) / 2 / median)


def multiply_adds(count: int) -> float:
    """Return the float32 operations a second of one core, in one run of so many rounds."""
    from lamina import _core

    begin = time.perf_counter()
    operations = _core.multiply_add_peak(count)
    return operations / (time.perf_counter() - begin)


def multiply_add_peak() -> float:
    """Return the float32 operations a second of one core, the best of several short runs."""
    return max(multiply_adds(200_000) for _ in range(20))


def copy_bandwidth(nbytes: int, threads: int = 1) -> float:
    """Return the bytes read and written a second when `threads` threads copy an array of that size together."""
    import numpy as np

    source, target = np.ones(nbytes // 8), np.empty(nbytes // 8)
    if threads == 1:
        times = time_alternately({"copy": lambda: np.copyto(target, source)}, 0.05)
        return 2 * nbytes / times["copy"].median
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    with ThreadPoolExecutor(threads) as pool:
        times = time_alternately({"copy": lambda: list(pool.map(lambda pair: np.copyto(*pair), parts))}, 0.1)
    return 2 * nbytes / times["copy"].median


def machine_facts(threads: int) -> dict[str, Any]:
    """Return what the figures depend on."""
    import numpy as np

    import lamina

    facts = lamina.show_config("dicts") or {}
    model = platform.processor()
    try:
        with open("/proc/cpuinfo") as file:
            model = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {
        "cpu": model,
        "isa": facts["isa"],
        "threads": threads,
        "lamina": facts["lamina"],
        "compiler": facts["compiler"],
        "python": facts["python"],
        "numpy": np.__version__,
        "peak_gflops_per_core": round(multiply_add_peak() / 1e9, 1),
    }


def microseconds(seconds: float) -> str:
    """Return a time as text in µs with three digits."""
    value = seconds * 1e6
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def report(results: list[Result], facts: dict[str, Any], options: argparse.Namespace, ours: str = "lamina") -> None:
    """Print the table; write JSON and picture where asked for."""
    names = list(dict.fromkeys(name for result in results for name in result.timings))
    print(", ".join(f"{key} {value}" for key, value in facts.items()))
    if options.threads > 1:
        seen = cores(options.threads)
        print(f"{seen.disturbed} of {seen.turns} turns were timed while another program had part of a core.")
    print("Times in µs (median ± spread); in brackets how many times faster lamina is; best: than the fastest of the")
    print("others; bound: share of the peak that the machine's multiply-adds or memory allow.\n")
    width = max(len(result.case) for result in results) + 2
    print("case".ljust(width) + "".join(name.rjust(22) for name in names) + "best".rjust(8) + "bound".rjust(8))
    for result in results:
        row = result.case.ljust(width)
        reference = result.timings[ours].median
        for name in names:
            timing = result.timings.get(name)
            if timing is None:
                row += "-".rjust(22)
                continue
            ratio = "" if name == ours else f" ({timing.median / reference:.2f})"
            row += f"{microseconds(timing.median)} ±{100 * timing.spread:.0f}%{ratio}".rjust(22)
        others = [timing.median for name, timing in result.timings.items() if name != ours]
        row += f"{min(others) / reference:.2f}".rjust(8) if others else "".rjust(8)
        row += f"{100 * result.bound / reference:.0f}%".rjust(8) if result.bound is not None else "".rjust(8)
        print(row + (f"  {result.remarks}" if result.remarks else ""))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"facts": facts, "results": [asdict(r) for r in results]}, indent=1))
    if options.plot:
        draw(results, names, options.plot, facts, ours)


def draw(results: list[Result], names: list[str], path: Path, facts: dict[str, Any], ours: str) -> None:
    """Draw the ratios as bars."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    others = [name for name in names if name != ours]
    figure, axes = pyplot.subplots(figsize=(9, 1.5 + 0.16 * len(results) * (len(others) + 1)))
    for index, name in enumerate(others):
        places, ratios = [], []
        for row, result in enumerate(results):
            if name in result.timings:
                places.append(row + (index + 0.5) / len(others) * 0.8 - 0.4)
                ratios.append(result.timings[name].median / result.timings[ours].median)
        axes.barh(places, ratios, height=0.8 / len(others), label=name)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(results)), [result.case for result in results])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("time relative to lamina (longer is slower)")
    axes.set_title(f"{facts['cpu']}, {facts['isa']}, {facts['threads']} threads")
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, bbox_inches="tight")
    print(f"\nPicture: {path}")


def check(case: str, name: str, actual: Any, expected: Any, tolerance: float, norm: bool = False) -> float:
    """Return the error relative to the tolerance; raise where it exceeds it, before anything is timed.

    The error is the largest, relative to the largest magnitude; with `norm` it is the Euclidean norm of all errors, for
    weights after several steps, where single units of a ReLU network flip in float32.
    """
    import numpy as np

    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    if actual.shape != expected.shape:
        raise AssertionError(f"{case}: {name} has shape {actual.shape}, the oracle {expected.shape}")
    if norm:
        scale = max(1e-30, np.linalg.norm(expected))
        error = float(np.linalg.norm(actual - expected) / (tolerance * scale))
    else:
        scale = np.abs(expected).max(initial=1e-30)
        error = float(np.abs(actual - expected).max(initial=0) / (tolerance * scale))
    if not error <= 1:
        raise AssertionError(f"{case}: {name} is wrong by {error:.3g} times the tolerance {tolerance:g}")
    return error
