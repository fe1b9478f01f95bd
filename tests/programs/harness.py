"""Runs the programs of this folder, as they are on Keras, or on lamina with their imports changed and nothing else.

A program leaves ``results``, numbers and texts that both libraries must agree on, and ``roughly``, what they agree on
up to the order of shuffled rows and to noise. Both get the same first weights, and small archives of the data sets.
"""

from __future__ import annotations

import collections
import contextlib
import io
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets.archives import write_all

FOLDER = Path(__file__).parent
PROGRAMS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in ("data", "harness", "test_programs"))


def changed(text: str) -> str:
    """Return a program with its imports changed from Keras to lamina."""
    text = re.sub(r"^import keras$", "import lamina as keras", text, flags=re.MULTILINE)
    return re.sub(r"^(\s*from|\s*import) keras\b", r"\1 lamina", text, flags=re.MULTILINE)


@contextlib.contextmanager
def same_first_weights(initializers: Any) -> Iterator[None]:
    """Make random initializers return numbers that depend on the shape, and on how many others made this shape before.

    One initializer always returns the same, because Keras asks twice where it builds a model on first data.
    """
    before, makers = {}, collections.defaultdict(list)

    def values(self: Any, shape: Any, dtype: Any = None, **_: Any) -> Any:
        known = makers[tuple(shape)]
        if not any(one is self for one in known):
            known.append(self)
        rng = np.random.default_rng([next(i for i, one in enumerate(known) if one is self), *shape])
        return (rng.uniform(-1, 1, shape) / np.sqrt(max(1, shape[0] if len(shape) > 1 else 16))).astype(dtype or "f")

    for name in ("VarianceScaling", "RandomUniform", "RandomNormal", "TruncatedNormal"):
        kind = getattr(initializers, name)
        before[kind] = kind.__call__
        kind.__call__ = values
    try:
        yield
    finally:
        for kind, call in before.items():
            kind.__call__ = call


def run(name: str, library: Any, home: Path, monkeypatch: Any) -> dict[str, Any]:
    """Run a program in an empty folder; return what it defines, and what it printed as ``printed``."""
    text = (FOLDER / f"{name}.py").read_text()
    for needed in re.findall(r"^# needs (.*)$", text, flags=re.MULTILINE):
        for package in needed.split(", "):
            pytest.importorskip(package)
    if not (home / "datasets").exists():
        write_all(home, rows=120)
    folder = home / f"work of {library.__name__}"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("KERAS_HOME", str(home))
    random.seed(0)
    np.random.seed(0)
    library.utils.clear_session() if hasattr(library.utils, "clear_session") else None
    library.utils.set_random_seed(0)
    code = compile(changed(text) if library.__name__ == "lamina" else text, f"{name}.py", "exec")
    printed = io.StringIO()
    module = type(sys)(f"program_{name}")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # classes that a program defines are looked up there
    with same_first_weights(library.initializers), contextlib.redirect_stdout(printed):
        exec(code, module.__dict__)
    found = vars(module)
    return {
        "results": found.get("results", {}), "roughly": found.get("roughly", {}), "printed": printed.getvalue(),
    }  # fmt: skip


def check_finite(value: Any) -> None:
    """Raise unless all numbers in a result are finite."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)) and any(isinstance(one, (list, tuple, dict, np.ndarray)) for one in value):
        for one in value:
            check_finite(one)
    elif not isinstance(value, str) and value is not None and not (isinstance(value, list) and None in value):
        array = np.asarray(value)
        assert array.dtype.kind in "US" or np.isfinite(array.astype(float)).all(), value


def compare(ours: Any, theirs: Any, path: str, **tolerance: float) -> None:
    """Raise unless two results agree: texts exactly, numbers within a tolerance."""
    if isinstance(theirs, dict):
        assert sorted(ours) == sorted(theirs), path
        for name, value in theirs.items():
            compare(ours[name], value, f"{path}[{name!r}]", **tolerance)
    elif isinstance(theirs, (list, tuple)) and not all(isinstance(one, (int, float)) for one in theirs):
        assert len(ours) == len(theirs), path
        for i, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            compare(one, other, f"{path}[{i}]", **tolerance)
    elif isinstance(theirs, (str, bool)) or theirs is None:
        assert ours == theirs, path
    else:
        one, other = np.asarray(ours), np.asarray(theirs)
        assert one.shape == other.shape, path
        if other.dtype.kind in "US":
            assert one.tolist() == other.tolist(), path
        else:
            np.testing.assert_allclose(one, other, err_msg=path, **tolerance)
