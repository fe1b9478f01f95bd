"""Builds the Cython baseline when a benchmark first wants it."""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent


def load_baseline() -> ModuleType | None:
    """Return the compiled module, built now if it is missing or old; None where Cython is not installed."""
    if importlib.util.find_spec("Cython") is None or importlib.util.find_spec("setuptools") is None:
        print("Cython baseline left out: pip install '.[bench]' to have it.\n", file=sys.stderr)
        return None
    source, folder = HERE / "_baseline.pyx", HERE.parent / "build" / "benchmarks"
    target = folder / f"_baseline{sysconfig.get_config_var('EXT_SUFFIX')}"
    newest = max(file.stat().st_mtime for file in (source, Path(__file__)))
    if not target.exists() or target.stat().st_mtime < newest:
        build(source, folder)
    spec = importlib.util.spec_from_file_location("_baseline", target)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {target}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build(source: Path, folder: Path) -> None:
    """Translate and compile for this CPU, sums in any order: what a C compiler makes of plain loops at its best."""
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    folder.mkdir(parents=True, exist_ok=True)
    flags = ["-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros", "-fassociative-math"]
    extension = Extension("_baseline", [str(source)], extra_compile_args=flags)
    modules = cythonize([extension], build_dir=str(folder), quiet=True)
    command = build_ext(Distribution({"ext_modules": modules}))
    command.force = True
    command.build_lib, command.build_temp = str(folder), str(folder / "temp")
    command.ensure_finalized()
    command.run()
