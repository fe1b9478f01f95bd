"""Derive the polynomial coefficients of ``csrc/simd/coefficients.hpp``, and of C headers that have their own functions.

Every polynomial interpolates its function at Chebyshev nodes in 60-digit arithmetic, which is within
a few per cent of the minimax polynomial for functions as smooth as these. Run

    python tools/fit_coefficients.py > csrc/simd/coefficients.hpp
    python tools/fit_coefficients.py --python > python/lamina/_files/c/coefficients.py

after changing a degree or an interval. The error that the polynomial itself leaves is printed beside
it; the error of the finished function, rounding included, is measured by ``tests/kernels/test_accuracy.py``.
"""

from __future__ import annotations

import dataclasses
import sys
import textwrap
from collections.abc import Callable
from typing import Any

from mpmath import mp, mpf

mp.dps = 60


def exp_remainder(r: mpf) -> mpf:
    """(exp(r) - 1 - r) / r², continued through 0."""
    if abs(r) < mpf("1e-12"):
        return mpf(1) / 2 + r / 6
    return (mp.expm1(r) - r) / r**2


def tanh_remainder(z: mpf) -> mpf:
    """(tanh(r) / r - 1) / r² with r = sqrt(z), continued through 0."""
    if z < mpf("1e-20"):
        return -mpf(1) / 3 + 2 * z / 15
    r = mp.sqrt(z)
    return (mp.tanh(r) / r - 1) / z


def atanh_remainder(z: mpf) -> mpf:
    """(log((1+s)/(1-s)) - 2s) / s³ with s = sqrt(z), continued through 0."""
    if z < mpf("1e-20"):
        return mpf(2) / 3 + 2 * z / 5
    s = mp.sqrt(z)
    return (2 * mp.atanh(s) - 2 * s) / s**3


def normal_tail(centre: mpf) -> Callable[[mpf], mpf]:
    """(t + c) · exp(t²/2) · (1 - Φ(t)) as a function of s = (t - c) / (t + c)."""

    def scaled(s: mpf) -> mpf:
        t = centre * (1 + s) / (1 - s)
        return (t + centre) * mp.exp(t * t / 2) * mp.erfc(t / mp.sqrt(2)) / 2

    return scaled


def normal_quantile_ratio(w: mpf) -> mpf:
    """Φ⁻¹(u) / (2u - 1) with w = -log(4u(1-u))."""
    if w < mpf("1e-30"):
        return mp.sqrt(mp.pi / 2)
    q = mp.sqrt(-mp.expm1(-w))  # |2u - 1|
    tail = mp.exp(-w) / (1 + q) / 2  # min(u, 1-u), free of cancellation
    guess = mp.sqrt(2 * (-mp.log(tail))) if tail < mpf("0.1") else mpf("0.5")
    x = mp.findroot(lambda v: mp.log(mp.erfc(v / mp.sqrt(2)) / 2) - mp.log(tail), guess)
    return x / q


def chebyshev_fit(
    f: Callable[[mpf], mpf], low: mpf, high: mpf, degree: int, *, times_x: bool = False
) -> tuple[list[mpf], mpf]:
    """Monomial coefficients (constant first) and the largest relative error on a fine grid.

    With ``times_x`` and ``low = 0``, the error of x f(x) is evened out: 0 is a node of its own, and is left out.
    """
    count = degree + 1
    all_nodes = count + times_x
    nodes = [mp.cos(mp.pi * (2 * k + 1) / (2 * all_nodes)) for k in range(all_nodes)]
    if times_x:
        points = [high * (node - nodes[-1]) / (1 - nodes[-1]) for node in nodes[:-1]]
    else:
        points = [(low + high) / 2 + (high - low) / 2 * node for node in nodes]
    matrix = mp.matrix(count, count)
    for i, x in enumerate(points):
        for j in range(count):
            matrix[i, j] = x**j
    solution = mp.lu_solve(matrix, mp.matrix([f(x) for x in points]))
    coefficients = [solution[j] for j in range(count)]
    worst = mpf(0)
    for step in range(401):
        x = low + (high - low) * step / 400
        error = abs(mp.polyval(coefficients[::-1], x) / f(x) - 1)
        worst = max(worst, x * error if times_x else error)
    return coefficients, worst


# Of each number type: how C++ calls it, how many digits tell its numbers apart, and what its literals end with.
KINDS = {"float32": ("float", 9, "f"), "float64": ("double", 17, "")}
# What functions in C headers are computed from.
IN_HEADERS = ("exp_remainder", "log_remainder", "log1p_remainder", "normal_tail")


@dataclasses.dataclass
class Fitted:
    """A polynomial: its name, what it is, its coefficients, and the largest relative error."""

    name: str
    what: str
    coefficients: list[mpf]
    worst: mpf


def fitted() -> dict[str, list[Fitted]]:
    """Return all polynomials of each number type."""
    ln2, root, centre = mp.log(2), mp.sqrt(2), mpf(3)
    s_log = ((root - 1) / (root + 1)) ** 2
    found: dict[str, list[Fitted]] = {"float32": [], "float64": []}

    def fit(kind: str, name: str, what: str, *arguments: Any, times_x: bool = False) -> None:
        found[kind].append(Fitted(name, what, *chebyshev_fit(*arguments, times_x=times_x)))

    def tail_end(t: int) -> mpf:
        return (t - centre) / (t + centre)

    half = ln2 / 2 * mpf("1.002")
    for name, what, f, low, high, degrees in [
        ("exp_remainder", "(exp(r) - 1 - r) / r² for |r| <= 0.3475", exp_remainder, -half, half, (5, 10)),
        ("sigmoid_remainder", "the same, with less accuracy", exp_remainder, -half, half, (4, 9)),
        ("log_remainder", "(2 atanh(s) - 2s) / s³ in z = s² for z <= 0.0295", atanh_remainder,
         mpf(0), s_log * mpf("1.001"), (2, 6)),
        ("log1p_remainder", "(2 atanh(s) - 2s) / s³ in z = s² for z <= 1/9", atanh_remainder,
         mpf(0), mpf(1) / 9, (5, 12)),
    ]:  # fmt: skip
        for kind, degree in zip(KINDS, degrees, strict=True):
            fit(kind, name, what, f, low, high, degree)
    for kind, degree in zip(KINDS, (1, 5), strict=True):
        fit(kind, "tanh_remainder", "(tanh(r) / r - 1) / r² in z = r² for |r| <= 0.1737; times z",
            tanh_remainder, mpf(0), (half / 2) ** 2, degree, times_x=True)  # fmt: skip
    for kind, end, degree in (("float32", 15, 11), ("float64", 40, 27)):
        fit(kind, "normal_tail", f"(t + 3) exp(t²/2) (1 - Phi(t)) in s = (t - 3) / (t + 3) for t <= {end}",
            normal_tail(centre), mpf(-1), tail_end(end), degree)  # fmt: skip
    fit("float64", "quantile_centre", "PhiInverse(u) / (2u - 1) in w - 3 for w = -log(4u(1-u)) <= 6",
        lambda v: normal_quantile_ratio(v + 3), mpf(-3), mpf(3), 16)  # fmt: skip
    fit("float64", "quantile_tail", "the same in sqrt(w) - 4.5 for 6 <= w <= 45",
        lambda v: normal_quantile_ratio((v + mpf("4.5")) ** 2), mp.sqrt(6) - mpf("4.5"), mp.sqrt(45) - mpf("4.5"),
        14)  # fmt: skip
    return found


def literals(one: Fitted, digits: int, suffix: str) -> list[str]:
    """Return the coefficients as literals."""
    return [f"{mp.nstr(value, digits, min_fixed=0, max_fixed=0)}{suffix}" for value in one.coefficients]


def print_cpp(found: dict[str, list[Fitted]]) -> None:
    """Print the C++ header."""
    print("// Polynomial coefficients, constant term first. Written by tools/fit_coefficients.py; do not edit.")
    print("// clang-format off")
    print("#pragma once\n\nnamespace lamina::LAMINA_ISA::coefficients {\n")
    print("template <class T>\nstruct Table;\n")
    for kind, (real, digits, suffix) in KINDS.items():
        print(f"template <>\nstruct Table<{real}> {{")
        for one in found[kind]:
            values = literals(one, digits, suffix)
            print(f"  // {one.what}; relative error {mp.nstr(one.worst, 2)}")
            print(f"  static constexpr {real} {one.name}[{len(values)}] = {{{', '.join(values)}}};")
        print("};\n")
    print("}  // namespace lamina::LAMINA_ISA::coefficients")


def print_python(found: dict[str, list[Fitted]]) -> None:
    """Print the module of Python that writes C headers."""
    print('"""Polynomial coefficients, constant term first. Written by tools/fit_coefficients.py; do not edit."""\n')
    print('__all__ = ["TABLES"]\n\nTABLES = {')
    for kind, (_, digits, _) in KINDS.items():
        print(f'    "{kind}": {{')
        for one in found[kind]:
            if one.name in IN_HEADERS:
                print(f"        # {one.what}")
                lines = textwrap.wrap(", ".join(literals(one, digits, "")), 104)
                print("\n".join([f'        "{one.name}": (', *(f"            {line}" for line in lines), "        ),"]))
        print("    },")
    print("}  # fmt: skip")


if __name__ == "__main__":
    (print_python if sys.argv[1:] == ["--python"] else print_cpp)(fitted())
