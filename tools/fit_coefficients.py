"""Derive the polynomial coefficients of ``csrc/simd/coefficients.hpp``.

Every polynomial interpolates its function at Chebyshev nodes in 60-digit arithmetic, which is within
a few per cent of the minimax polynomial for functions as smooth as these. Run

    python tools/fit_coefficients.py > csrc/simd/coefficients.hpp

after changing a degree or an interval. The error that the polynomial itself leaves is printed beside
it; the error of the finished function, rounding included, is measured by ``tests/kernels/test_accuracy.py``.
"""

from __future__ import annotations

from collections.abc import Callable

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


def main() -> None:
    """Print the header."""
    ln2 = mp.log(2)
    root = mp.sqrt(2)
    s_log = ((root - 1) / (root + 1)) ** 2
    centre = mpf(3)

    def tail_end(t: int) -> mpf:
        return (t - centre) / (t + centre)

    tables = [
        ("exp_remainder", "(exp(r) - 1 - r) / r² for |r| <= 0.3475", exp_remainder,
         -ln2 / 2 * mpf("1.002"), ln2 / 2 * mpf("1.002"), 5, 10),
        ("sigmoid_remainder", "the same, with less accuracy", exp_remainder,
         -ln2 / 2 * mpf("1.002"), ln2 / 2 * mpf("1.002"), 4, 9),
        ("log_remainder", "(2 atanh(s) - 2s) / s³ in z = s² for z <= 0.0295", atanh_remainder,
         mpf(0), s_log * mpf("1.001"), 2, 6),
        ("log1p_remainder", "(2 atanh(s) - 2s) / s³ in z = s² for z <= 1/9", atanh_remainder,
         mpf(0), mpf(1) / 9, 5, 12),
    ]  # fmt: skip
    print("// Polynomial coefficients, constant term first. Written by tools/fit_coefficients.py; do not edit.")
    print("// clang-format off")
    print("#pragma once\n\nnamespace lamina::LAMINA_ISA::coefficients {\n")
    print("template <class T>\nstruct Table;\n")
    bodies: dict[str, list[str]] = {"float": [], "double": []}

    def emit(kind: str, name: str, what: str, fit: tuple[list[mpf], mpf]) -> None:
        coefficients, worst = fit
        digits, suffix = (9, "f") if kind == "float" else (17, "")
        values = ", ".join(f"{mp.nstr(c, digits, min_fixed=0, max_fixed=0)}{suffix}" for c in coefficients)
        bodies[kind].append(
            f"  // {what}; relative error {mp.nstr(worst, 2)}\n"
            f"  static constexpr {kind} {name}[{len(coefficients)}] = {{{values}}};"
        )

    for name, what, f, low, high, float_degree, double_degree in tables:
        emit("float", name, what, chebyshev_fit(f, low, high, float_degree))
        emit("double", name, what, chebyshev_fit(f, low, high, double_degree))
    for kind, degree in (("float", 1), ("double", 5)):
        emit(kind, "tanh_remainder", "(tanh(r) / r - 1) / r² in z = r² for |r| <= 0.1737; times z",
             chebyshev_fit(tanh_remainder, mpf(0), (ln2 / 4 * mpf("1.002")) ** 2, degree, times_x=True))  # fmt: skip
    for kind, end, degree in (("float", 15, 11), ("double", 40, 27)):
        emit(kind, "normal_tail",
             "(t + 3) exp(t²/2) (1 - Phi(t)) in s = (t - 3) / (t + 3) for t <= " + str(end),
             chebyshev_fit(normal_tail(centre), mpf(-1), tail_end(end), degree))  # fmt: skip
    emit("double", "quantile_centre", "PhiInverse(u) / (2u - 1) in w - 3 for w = -log(4u(1-u)) <= 6",
         chebyshev_fit(lambda v: normal_quantile_ratio(v + 3), mpf(-3), mpf(3), 16))  # fmt: skip
    emit("double", "quantile_tail", "the same in sqrt(w) - 4.5 for 6 <= w <= 45",
         chebyshev_fit(lambda v: normal_quantile_ratio((v + mpf("4.5")) ** 2),
                       mp.sqrt(6) - mpf("4.5"), mp.sqrt(45) - mpf("4.5"), 14))  # fmt: skip
    for kind in ("float", "double"):
        print(f"template <>\nstruct Table<{kind}> {{")
        print("\n".join(bodies[kind]))
        print("};\n")
    print("}  // namespace lamina::LAMINA_ISA::coefficients")


if __name__ == "__main__":
    main()
