"""How much memory there is."""

import subprocess
import sys

import pytest
from helpers import not_sanitized

from lamina._common.memory import memory_bytes

MACHINE = memory_bytes()


def test_the_machine_has_memory():
    assert 2**26 < MACHINE < 2**50


@pytest.mark.parametrize(
    ("lines", "file", "limit", "expected"),
    [
        ("0::/a/b\n", "a/b/memory.max", "1000", 1000),
        ("0::/a/b\n", "a/memory.max", "2000", 2000),  # of the group around it
        ("0::/a/b\n", "memory.max", "3000", 3000),  # the path is one outside of the container
        ("0::/a/b\n", "a/b/memory.max", "max", MACHINE),
        ("5:memory:/c\n1:cpu:/\n", "memory/c/memory.limit_in_bytes", "4000", 4000),
        ("5:cpu,memory:/c\n", "memory/c/memory.limit_in_bytes", "5000", 5000),
        ("nonsense\n5\n\n", "memory.max", "6000", MACHINE),
        ("5:memory:/c\n0::/\n", "memory/memory.limit_in_bytes", str(2**63 - 4096), MACHINE),
        ("3:cpu:/c\n", "memory/c/memory.limit_in_bytes", "4000", MACHINE),  # a group for the CPUs alone
    ],
)
def test_limits_of_control_groups(tmp_path, lines, file, limit, expected):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(lines)
    path = tmp_path / "sys/fs/cgroup" / file
    path.parent.mkdir(parents=True)
    path.write_text(limit + "\n")
    assert memory_bytes(tmp_path) == expected


def test_without_control_groups(tmp_path):
    assert memory_bytes(tmp_path) >= MACHINE


@not_sanitized
def test_a_limit_of_the_process():
    program = (
        "import resource; from lamina._common.memory import memory_bytes;"
        "resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31)); print(memory_bytes())"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(found.stdout) == 2**31
