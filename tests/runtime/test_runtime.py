"""Threads and what runs underneath."""

from __future__ import annotations

import pathlib
import platform

import pytest

import lamina
from lamina import runtime


@pytest.mark.usefixtures("restore_threads")
def test_threads_may_be_set():
    runtime.set_num_threads(3)
    assert runtime.get_num_threads() == lamina.get_num_threads() == 3
    for wrong, error in ((0, ValueError), (-1, ValueError), (70000, ValueError), (1.5, TypeError), ("2", TypeError)):
        with pytest.raises(error, match="set_num_threads: threads must be"):
            runtime.set_num_threads(wrong)
    assert runtime.get_num_threads() == 3


def test_configuration_is_shown_and_returned(capsys):
    facts = runtime.show_config("dicts")
    assert facts["lamina"] == lamina.__version__
    assert facts["isa"] in facts["available_isas"]
    assert facts["threads"] == runtime.get_num_threads()
    assert facts["vector_bits"] in (128, 256, 512)
    assert capsys.readouterr().out == ""
    assert runtime.show_config() is None
    shown = capsys.readouterr().out
    assert all(name in shown for name in facts)
    with pytest.raises(ValueError, match="show_config: mode must be"):
        runtime.show_config("json")


@pytest.mark.skipif(
    not pathlib.Path("/proc/cpuinfo").exists() or platform.machine() != "x86_64", reason="of Linux on x86-64"
)
def test_every_instruction_set_of_the_cpu_is_found():
    """By our own reading of CPUID, held against Linux's; some compilers' own answer is always no."""
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    flags = set(next(line for line in lines if line.startswith("flags")).split())
    expected = ["baseline"]
    if {"avx2", "fma"} <= flags:
        expected.append("avx2")
        if {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags:
            expected.append("avx512")
    assert runtime.show_config("dicts")["available_isas"] == expected
