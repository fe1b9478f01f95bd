"""Programs in the manner of tutorials and books run on lamina, with their imports changed from Keras's."""

from __future__ import annotations

import pytest
from programs.harness import PROGRAMS, check_finite, run

import lamina


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PROGRAMS)
def test_program_runs_on_lamina(name, tmp_path, monkeypatch):
    found = run(name, lamina, tmp_path, monkeypatch)
    assert found["results"]
    check_finite(found["results"])
    check_finite(found["roughly"])
