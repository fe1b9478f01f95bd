"""Programs in the manner of tutorials and books: the same results on Keras, and on lamina with the imports changed."""

from __future__ import annotations

import pytest
from programs.harness import PROGRAMS, compare, run

import lamina

keras = pytest.importorskip("keras", reason="real Keras comes with the extra test-peers")

pytestmark = pytest.mark.filterwarnings("ignore")
DATA_SETS = ("boston_housing", "fashion_mnist", "imdb", "mnist", "reuters")


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_have_the_same_results(name, tmp_path, monkeypatch):
    import importlib

    for data_set in DATA_SETS:  # instead of its get_file, which wants the files that Keras serves
        module = importlib.import_module(f"keras.src.datasets.{data_set}")
        monkeypatch.setattr(
            module,
            "get_file",
            lambda fname, origin=None, cache_subdir="datasets", **_: str(tmp_path / cache_subdir / fname),
        )
    theirs = run(name, keras, tmp_path, monkeypatch)
    ours = run(name, lamina, tmp_path, monkeypatch)
    compare(ours["results"], theirs["results"], name, rtol=5e-3, atol=2e-4)
    compare(ours["roughly"], theirs["roughly"], name, rtol=0.0, atol=0.3)
