"""Check that code compiled for one instruction set is not visible to code compiled for another.

An inline function of the standard library, or of a shared header, that is compiled with AVX-512 flags becomes a weak
symbol; the linker keeps one copy of each, which a CPU without AVX-512 may then run. So every symbol that an ISA object
defines and others can see must carry its instruction set's name.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys

ISAS = ("baseline", "avx2", "avx512", "neon")


def main() -> int:
    """Return 0 if there are no offenders; print them and return 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library")
    parser.add_argument("--nm", default="nm")
    options = parser.parse_args()
    listing = subprocess.run([options.nm, "-C", options.library], check=True, capture_output=True, text=True).stdout
    isa = None
    checked = offenders = 0
    for line in listing.splitlines():
        if header := re.match(r"(\w+)\.cpp\.o(bj)?:$", line):
            unit = header[1].removesuffix("_float64")
            isa = unit if unit in ISAS else None
        parts = line.split(maxsplit=2)
        if isa is None or len(parts) != 3 or parts[1] not in "TtWwVvuBbDdRr":
            continue
        checked += 1
        # Local symbols (lower case) stay in their object; weak and global ones must name the instruction set.
        # DW.ref is a pointer for exception tables, the same whatever the instruction set.
        own = f"lamina::{isa}::" in parts[2] or f"lamina::{isa}_table" in parts[2] or parts[2].startswith("DW.ref.")
        if parts[1] in "TWVu" and not own:
            offenders += 1
            print(f"{isa}: {parts[1]} {parts[2]}")
    print(f"{checked} symbols checked, {offenders} shared between instruction sets")
    return 1 if offenders or not checked else 0


if __name__ == "__main__":
    sys.exit(main())
