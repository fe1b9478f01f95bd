"""How the cost of a training step grows: µs against width, depth, batch and threads, with fitted exponents.

    python benchmarks/scaling.py --json scaling.json --plot scaling.png

One quantity grows at a time around 256-256-256-10 with 128 rows; the exponent is the slope of log(time) over log(size)
of the upper half of the sizes, where overheads no longer count. Beside each time stands what the cost model chose: the
schedule and the threads. An exception ends the run with a status other than 0.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import _harness

WIDTH, DEPTH, BATCH = 256, 3, 128
WIDTHS = (16, 32, 64, 128, 256, 512, 1024, 2048)
DEPTHS = (1, 2, 4, 8, 16, 32)
BATCHES = (1, 4, 16, 64, 256, 1024, 4096)


def main() -> int:
    """Run the benchmark."""
    options = _harness.parse_arguments(__doc__)
    import numpy as np

    import lamina

    facts = _harness.machine_facts(options.threads)
    threads = sorted({1, *(2**k for k in range(12) if 2**k < options.threads), options.threads})
    if options.short:
        series = {"width": [(w, 3, 32, options.threads) for w in (16, 32)]}
    else:
        series = {
            "width": [(w, DEPTH, BATCH, options.threads) for w in WIDTHS],
            "depth": [(WIDTH, d, BATCH, options.threads) for d in DEPTHS],
            "batch": [(WIDTH, DEPTH, b, options.threads) for b in BATCHES],
            "threads": [(1024, DEPTH, 512, t) for t in threads],
        }
    print(", ".join(f"{key} {value}" for key, value in facts.items()))
    found: dict[str, Any] = {"facts": facts, "series": {}}
    for index, (name, points) in enumerate(series.items()):
        rows = []
        for point in points:
            seconds, schedule, used = measure(np, lamina, *point, options.seconds)
            size = point[("width", "depth", "batch", "threads").index(name)]
            rows.append({"size": size, "us": 1e6 * seconds, "schedule": schedule, "threads": used})
        if index:
            print()
        print(f"{name:>8} {'µs a step':>12}  chosen")
        for row in rows:
            print(f"{row['size']:8} {row['us']:12.1f}  {row['schedule']}, {row['threads']} threads")
        upper = rows[len(rows) // 2 :]
        exponent = slope([math.log(r["size"]) for r in upper], [math.log(r["us"]) for r in upper])
        if exponent is not None:
            print(f"exponent {exponent:.2f} from {name} {upper[0]['size']} on")
        found["series"][name] = {"rows": rows, "exponent": exponent}
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=1))
    if options.plot:
        draw(found, options.plot)
    return 0


def measure(
    np: Any, lamina: Any, width: int, depth: int, batch: int, threads: int, seconds: float
) -> tuple[float, str, int]:
    """Return seconds a step, the schedule and its threads."""
    lamina.set_num_threads(threads)
    rng = np.random.default_rng(0)
    steps = max(2, min(256, int(2e9 / (6 * batch * depth * width * width + 1e5))))
    x, y = rng.standard_normal((steps * batch, width)).astype("f"), rng.integers(0, 10, steps * batch)
    stack = [lamina.layers.Dense(width, "relu") for _ in range(depth - 1)]
    model = lamina.Sequential([*stack, lamina.layers.Dense(10, "softmax")])
    model.compile(lamina.optimizers.SGD(1e-3), "sparse_categorical_crossentropy")
    timing = _harness.time_alternately({"fit": lambda: model.fit(x, y, batch_size=batch, verbose=0)}, seconds)["fit"]
    from lamina.models.prepared import prepare

    executor = model.executor
    prepared = prepare("fit", model.stack, executor.require_compiled("fit"), x, y, None)
    schedule, used = executor.trainer(prepared).engine.plan(batch)
    return timing.median / steps, schedule, used


def slope(x: list[float], y: list[float]) -> float | None:
    """Return the slope of the line of least squares, None for fewer than two points."""
    if len(x) < 2:
        return None
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - mean_x) ** 2 for a in x)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread


def draw(found: dict[str, Any], path: Path) -> None:
    """Draw all series."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, all_axes = pyplot.subplots(1, len(found["series"]), figsize=(4 * len(found["series"]), 3.4), squeeze=False)
    for axes, (name, series) in zip(all_axes[0], found["series"].items(), strict=True):
        rows = series["rows"]
        axes.loglog([r["size"] for r in rows], [r["us"] for r in rows], color="gray", linewidth=1, zorder=1)
        for schedule, marker in (("stationary", "o"), ("chunked", "s"), ("by_rows", "^")):
            for many, color in ((False, "tab:blue"), (True, "tab:orange")):
                chosen = [r for r in rows if r["schedule"] == schedule and (r["threads"] > 1) == many]
                if chosen:
                    label = f"{schedule}, {'all threads' if many else 'one thread'}"
                    axes.scatter([r["size"] for r in chosen], [r["us"] for r in chosen], marker=marker, color=color,
                                 label=label, zorder=2)  # fmt: skip
        title = name if series["exponent"] is None else f"{name}: exponent {series['exponent']:.2f}"
        axes.set_title(title, fontsize=10)
        axes.set_xlabel(name)
        axes.legend(fontsize=7)
    all_axes[0][0].set_ylabel("µs a step")
    facts = found["facts"]
    figure.suptitle(f"{facts['cpu']}, {facts['isa']}, {facts['threads']} threads", fontsize=9)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    print(f"\nPicture: {path}")


if __name__ == "__main__":
    sys.exit(main())
