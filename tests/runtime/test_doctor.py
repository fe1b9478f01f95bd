"""`doctor`: what it finds, and what it advises."""

import os
import subprocess
import sys

import pytest

import lamina
from lamina import runtime
from lamina._common import surroundings
from lamina._common.surroundings import Cpus


def test_it_prints_what_it_returns(capsys):
    facts = lamina.doctor("dicts")
    assert capsys.readouterr().out == ""
    shown = runtime.show_config("dicts")
    assert {name: facts[name] for name in shown if name != "speeds"} == {
        name: value for name, value in shown.items() if name != "speeds"
    }
    assert lamina.doctor() is None
    printed = capsys.readouterr().out
    assert all(name in printed for name in facts if name != "advice")
    assert all(sentence in printed for sentence in facts["advice"] if "want" not in sentence)
    with pytest.raises(ValueError, match="doctor: mode must be"):
        runtime.doctor("json")


def test_the_machine_is_read():
    found = surroundings.cpus()
    assert found.machine == os.cpu_count()
    assert found.allowed == len(os.sched_getaffinity(0))
    assert found.cores is None or 1 <= found.cores <= found.allowed
    assert surroundings.cpu_name()
    assert surroundings.load() >= 0
    assert any("blas" in path for path in surroundings.runtimes().get("OpenBLAS", ["numpy was built without: blas"]))


FOUR = Cpus(4, 4, 4)


def advice(monkeypatch, *, cpus=FOUR, usable=4, threads=4, load=0.5, others=(), isa=None, **environment):
    for name in ("LAMINA_NUM_THREADS", "OMP_NUM_THREADS", "LAMINA_ISA", "LAMINA_CACHES", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    facts = runtime.config_facts() | {"cpus": usable, "threads": threads, "machine": "x86_64"}
    facts["available_isas"] = ["baseline", "avx2"]
    facts["isa"] = isa or "avx2"
    monkeypatch.setattr(runtime, "config_facts", lambda: dict(facts))
    for name, value in (("cpus", cpus), ("load", load), ("runtimes", {key: ["/lib"] for key in others})):
        monkeypatch.setattr(surroundings, name, lambda value=value: value)
    found = runtime.doctor("dicts")
    return found["advice"], found


def test_nothing_to_change(monkeypatch, capsys):
    assert advice(monkeypatch)[0] == []
    runtime.doctor()
    assert "Nothing to change." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("around", "said"),
    [
        ({"isa": "baseline", "LAMINA_ISA": "baseline"}, "The CPU has avx2"),
        ({"LAMINA_CACHES": "32K,512K,32M"}, "LAMINA_CACHES overrides"),
        ({"threads": 8}, "8 threads are set for 4 CPUs"),
        ({"threads": 2}, "2 of 4 CPUs are used"),
        ({"cpus": Cpus(4, 4, 2)}, "4 threads share 2 cores"),
        ({"load": 9.2}, "About 9 threads want 4 CPUs"),
        ({"others": ("GNU OpenMP", "Intel OpenMP")}, "GNU OpenMP and Intel OpenMP are in one process"),
        ({"others": ("GNU OpenMP",), "OMP_WAIT_POLICY": "ACTIVE"}, "Idle OpenMP threads spin"),
    ],
)
def test_advice(monkeypatch, around, said):
    found, _ = advice(monkeypatch, **around)
    assert len(found) == 1
    assert found[0].startswith(said)


@pytest.mark.parametrize(
    ("environment", "threads", "reason"),
    [
        ({}, 4, "the CPUs"),
        ({}, 3, "set_num_threads or threadpoolctl"),
        ({"OMP_NUM_THREADS": "2,1"}, 2, "OMP_NUM_THREADS"),
        ({"OMP_NUM_THREADS": "2", "LAMINA_NUM_THREADS": "3"}, 3, "LAMINA_NUM_THREADS"),
        ({"LAMINA_NUM_THREADS": "3"}, 2, "set_num_threads or threadpoolctl"),
    ],
)
def test_why_there_are_so_many_threads(monkeypatch, environment, threads, reason):
    assert advice(monkeypatch, threads=threads, **environment)[1]["threads_from"] == reason


def test_settings_of_the_environment_are_shown():
    code = "import lamina; print(lamina.doctor('dicts'))"
    environment = os.environ | {"LAMINA_NUM_THREADS": "1", "LAMINA_CACHES": "32K,512K,32M"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    found = eval(done.stdout)
    assert found["environment"] == ["LAMINA_NUM_THREADS=1", "LAMINA_CACHES=32K,512K,32M"]
    assert found["threads"] == 1
    assert found["threads_from"] == "LAMINA_NUM_THREADS"
