"""The programs in the documents run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "page", ["README.md", "docs/gradients.md", "docs/many.md", "docs/estimators.md", "docs/interchange.md"]
)
def test_programs_run(page, monkeypatch, tmp_path, capsys):
    pytest.importorskip("scipy")
    programs = re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    assert programs
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for program in programs:  # each goes on where the one before has ended
        exec(compile(program, page, "exec"), names)
