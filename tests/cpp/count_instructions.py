"""Count the instructions of small pieces of work under valgrind, and compare the counts with instructions.json.

    python tests/cpp/count_instructions.py build/kernels/tests/cpp/lamina_workloads
    python tests/cpp/count_instructions.py build/kernels/tests/cpp/lamina_workloads --write

Instruction counts do not depend on how busy a machine is, so they reveal a slower kernel even if times do not. valgrind
runs no AVX-512: this is the AVX2 code. The recorded counts are those of one compiler; with another one, the counts are
printed but not compared. The exit status is 1 if a count grew by more than 2 % or none is recorded.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

EXPECTED = Path(__file__).with_name("instructions.json")
GROWTH = 1.02


def count(program: str, case: str, times: int) -> int:
    """Return the number of instructions of a whole run."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", program, case, str(times)],
            capture_output=True,
            text=True,
            env={"LAMINA_ISA": "avx2", "PATH": "/usr/bin:/bin"},
        )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or found is None:
        raise RuntimeError(f"{case}: valgrind failed:\n{done.stderr}")
    return int(found[1])


def main() -> int:
    """Count, and compare with the recorded counts or record them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("--write", action="store_true", help="write the counts down instead of comparing")
    options = parser.parse_args()
    cases = subprocess.run([options.program], check=True, capture_output=True, text=True).stdout.splitlines()
    compiler = subprocess.run(["c++", "-dumpfullversion"], check=True, capture_output=True, text=True).stdout.strip()
    with ThreadPoolExecutor(2) as pool:
        few = pool.map(lambda case: count(options.program, case, 2), cases)
        many = pool.map(lambda case: count(options.program, case, 6), cases)
        counts = {case: (b - a) // 4 for case, a, b in zip(cases, few, many, strict=True)}
    known = json.loads(EXPECTED.read_text()) if EXPECTED.exists() else {}
    if options.write:
        EXPECTED.write_text(json.dumps({"compiler": compiler, "counts": counts}, indent=1) + "\n")
        known = {"compiler": compiler, "counts": counts}
    comparable = known.get("compiler") == compiler
    grown = []
    for case, instructions in counts.items():
        expected = known["counts"].get(case)
        ratio = "" if expected is None else f"{instructions / expected:8.3f}"
        print(f"{case:45} {instructions:12,} {ratio}")
        if expected is None or instructions > GROWTH * expected:
            grown.append(case)
    if not comparable:
        print(f"written down for compiler {known.get('compiler')}, this is {compiler}: not compared")
        return 0
    if grown:
        print(f"more instructions than written down, or none written: {', '.join(grown)}")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
