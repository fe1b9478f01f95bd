"""The C code of functions of one number: activations, and what they are computed from.

Formulas are those of the kernels. In the code `REAL` is the type of numbers, `@` the beginning of the header's names,
and `$` what ends literals and the names of functions of math.h: ``0.5$`` is ``0.5f`` and ``exp$`` is ``expf`` where
numbers are floats.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lamina._files.c import coefficients
from lamina._files.c.text import Text

__all__ = ["ACTIVATIONS", "functions_for"]

# Code of the functions of one number by what they are called in it. Each may call those before it.
_OF_MATH_H = {
    "exp": "static inline REAL @exp(REAL x) { return exp$(x); }",
    "expm1": "static inline REAL @expm1(REAL x) { return expm1$(x); }",
    "log": "static inline REAL @log(REAL x) { return log$(x); }",
    "log1p": "static inline REAL @log1p(REAL x) { return log1p$(x); }",
    "tanh": "static inline REAL @tanh(REAL x) { return tanh$(x); }",
    "normal_cdf": "static inline REAL @normal_cdf(REAL x) { return 0.5$ * erfc$(-0.70710678118654752$ * x); }",
}

# Numbers are halved, rounded and scaled by their bits, so that compilers make vectors of these, too.
_OF_ITS_OWN = {
    "power_of_two": """\
/* 2^k for exponents k of normal numbers */
static inline REAL @power_of_two(UINT k) {
  union {
    UINT bits;
    REAL number;
  } power;
  power.bits = (k + BIAS) << MANTISSA;
  return power.number;
}""",
    "exp_parts": """\
/* x = k ln(2) + r with |r| <= ln(2) / 2; returns exp(r) - 1. Adding 1.5 2^MANTISSA rounds to a whole number. */
static inline REAL @exp_parts(REAL x, UINT *k) {
  union {
    REAL number;
    UINT bits;
  } magic, moved;
  REAL n, r, p;
  magic.number = MAGIC;
  moved.number = x * 1.4426950408889634$ + MAGIC;
  n = moved.number - MAGIC;
  r = (x - n * LN2_HIGH) - n * LN2_LOW;
  p = POLYNOMIAL(exp_remainder, r);
  *k = moved.bits - magic.bits;
  return p * (r * r) + r;
}""",
    "exp": """\
static inline REAL @exp(REAL x) {
  UINT k, half;
  const REAL p = @exp_parts(x < EXP_LOW ? EXP_LOW : (x > EXP_HIGH ? EXP_HIGH : x), &k) + 1.0$;
  half = ((k + 4096u) >> 1) - 2048u;
  return p * @power_of_two(half) * @power_of_two(k - half);
}""",
    "expm1": """\
/* exp(x) - 1 for -50 <= x <= 50 */
static inline REAL @expm1(REAL x) {
  UINT k;
  const REAL p = @exp_parts(x, &k), half = @power_of_two(k - 1u);
  return 2.0$ * (p * half + (half - 0.5$));
}""",
    "log": """\
/* log(x) for finite x >= 1 */
static inline REAL @log(REAL x) {
  union {
    REAL number;
    UINT bits;
  } m, root;
  int k;
  REAL f, s, z, r, half;
  root.number = 0.70710678118654752$;
  m.number = x == x ? x : 1.0$;
  k = (int)((m.bits - root.bits) >> MANTISSA);
  m.bits -= (UINT)k << MANTISSA;
  f = m.number - 1.0$;
  s = f / (f + 2.0$);
  z = s * s;
  r = POLYNOMIAL(log_remainder, z);
  r *= z;
  half = 0.5$ * f * f;
  r = (REAL)k * LN2_HIGH + (f - (half - (s * (half + r) + (REAL)k * LN2_LOW)));
  return x == x ? r : x;
}""",
    "log1p": """\
/* log(1 + x) for 0 <= x <= 1 */
static inline REAL @log1p(REAL x) {
  const REAL s = x / (x + 2.0$), z = s * s, p = POLYNOMIAL(log1p_remainder, z);
  return s * z * p + 2.0$ * s;
}""",
    "tanh": """\
static inline REAL @tanh(REAL x) {
  const REAL size = x < 0 ? -x : x, grown = @expm1(2.0$ * (size > 22.0$ ? 22.0$ : size));
  return (x < 0 ? -1.0$ : 1.0$) * (grown / (grown + 2.0$));
}""",
    "normal_cdf": """\
/* the standard normal distribution function */
static inline REAL @normal_cdf(REAL x) {
  const REAL size = x < 0 ? -x : x, t = size > TAIL_END ? TAIL_END : size, s = (t - 3.0$) / (t + 3.0$);
  const REAL p = POLYNOMIAL(normal_tail, s), tail = @exp(-0.5$ * t * t) / (t + 3.0$) * p;
  return (x < 0 ? 0 : 1.0$) + (x < 0 ? 1.0$ : -1.0$) * tail;
}""",
}
_NUMBERS = {
    "float32": {
        "UINT": "uint32_t", "BIAS": "127u", "MANTISSA": "23", "MAGIC": "12582912.0$", "LN2_HIGH": "0.693359375$",
        "LN2_LOW": "-2.12194440e-4$", "EXP_LOW": "-104.0$", "EXP_HIGH": "89.0$", "TAIL_END": "15.0$",
    },
    "float64": {
        "UINT": "uint64_t", "BIAS": "1023u", "MANTISSA": "52", "MAGIC": "6755399441055744.0$",
        "LN2_HIGH": "0.6931471803691238$", "LN2_LOW": "1.9082149292705877e-10$", "EXP_LOW": "-746.0$",
        "EXP_HIGH": "710.0$", "TAIL_END": "40.0$",
    },
}  # fmt: skip

# Activations; their other parameter is `alpha`. Only numbers that are there already are chosen between, so that
# compilers, which may not compute what is not asked for, make vectors of the loops.
ACTIVATIONS = {
    "celu": "(x > 0 ? x : 0) + alpha * @expm1(@within(x / alpha, -50.0$, 0))",
    "elu": "(x > 0 ? x : 0) + alpha * @expm1(@within(x, -50.0$, 0))",
    "exponential": "@exp(x)",
    "gelu": "@finite(x) * @normal_cdf(x)",
    "gelu_tanh": "@finite(x) * @sigmoid(@gelu_inner(@within(x, -100.0$, 100.0$)))",
    "hard_shrink": "x > alpha || x < -alpha || x != x ? x : 0",
    "hard_sigmoid": "@within(x + 3.0$, 0, 6.0$) / 6.0$",
    "hard_silu": "@finite(x) * (@within(x + 3.0$, 0, 6.0$) / 6.0$)",
    "hard_tanh": "@within(x, -1.0$, 1.0$)",
    "leaky_relu": "(x > 0 ? 1.0$ : alpha) * x",
    "log_sigmoid": "-@softplus(-x)",
    "mish": "@finite(x) * @tanh_softplus(x, @exp(x < 0 ? x : -x))",
    "relu": "x < 0 ? 0 : x",
    "relu6": "@within(x, 0, 6.0$)",
    "selu": "1.0507009873554805$ * (x > 0 ? x : 0) + 1.7580993408473769$ * @expm1(@within(x, -50.0$, 0))",
    "sigmoid": "@sigmoid(x)",
    "silu": "@finite(x) * @sigmoid(x)",
    "soft_shrink": "x - @within(x, -alpha, alpha)",
    "softplus": "@softplus(x)",
    "softsign": "@softsign(@within(x, -1e30$, 1e30$))",
    "sparse_plus": "@quarter_square(@within(x + 1.0$, 0, 2.0$)) + ((x > 1.0$ ? x : 1.0$) - 1.0$)",
    "sparse_sigmoid": "@within(0.5$ * (x + 1.0$), 0, 1.0$)",
    "squareplus": "@squareplus(x > 1e18$ ? 1e18$ : @finite(x), alpha) + ((x > 1e18$ ? x : 1e18$) - 1e18$)",
    "tanh": "@tanh(x)",
    "tanh_shrink": "x - @tanh(x)",
}
# What activations are written with.
_SHARED = {
    "within": """\
static inline REAL @within(REAL x, REAL low, REAL high) { return x < low ? low : (x > high ? high : x); }""",
    "finite": """\
/* a number that times 0 is 0 in place of -infinity */
static inline REAL @finite(REAL x) { return x < -1e30$ ? -1e30$ : x; }""",
    "sigmoid": """\
static inline REAL @sigmoid(REAL x) {
  const REAL e = @exp(x < 0 ? x : -x);
  return (x < 0 ? e : 1.0$) / (1.0$ + e);
}""",
    "gelu_inner": """\
/* 2 sqrt(2 / pi) (x + 0.044715 x^3) */
static inline REAL @gelu_inner(REAL x) { return x * (0.071354816272600250$ * (x * x) + 1.5957691216057307$); }""",
    "softplus": """\
static inline REAL @softplus(REAL x) { return (x < 0 ? 0 : x) + @log1p(@exp(x < 0 ? x : -x)); }""",
    "softsign": """\
static inline REAL @softsign(REAL x) { return x / (1.0$ + (x < 0 ? -x : x)); }""",
    "quarter_square": """\
static inline REAL @quarter_square(REAL x) { return 0.25$ * x * x; }""",
    "tanh_softplus": """\
/* tanh(log(1 + exp(x))), w = exp(-|x|) */
static inline REAL @tanh_softplus(REAL x, REAL w) {
  const REAL top = w * ((x < 0 ? w : 0) + 2.0$) + (x < 0 ? 0 : 1.0$), rest = x < 0 ? 1.0$ : w;
  return top / (top + 2.0$ * rest * rest);
}""",
    "squareplus": """\
/* (x + sqrt(x^2 + alpha)) / 2, without cancellation below 0 */
static inline REAL @squareplus(REAL x, REAL alpha) {
  const REAL half = 0.5$ * ((x < 0 ? -x : x) + sqrt$(x * x + alpha)), quarter = 0.25$ * alpha;
  return (x > 0 ? half : quarter) / (x > 0 ? 1.0$ : half);
}""",
}


def functions_for(text: Text, code: Iterable[str], own_math: bool) -> list[str]:
    """Return the functions that code calls, directly or not, in the order in which C wants them.

    Parameters
    ----------
    text : Text
    code : iterable of str
        With marks.
    own_math : bool
        Whether exp, tanh and their like are polynomials, or functions of math.h.
    """
    known = {
        name: _filled(text, body) for name, body in {**(_OF_ITS_OWN if own_math else _OF_MATH_H), **_SHARED}.items()
    }
    needed: set[str] = set()
    open_ = set().union(*map(_called, code)) & known.keys()
    while open_:
        needed |= open_
        open_ = set().union(*(_called(known[name]) for name in open_)) & known.keys() - needed
    return [text.filled(body) for name, body in known.items() if name in needed]


def _called(code: str) -> set[str]:
    return set(re.findall(r"@(\w+)", code))


def _filled(text: Text, body: str) -> str:
    """Return code with its constants and polynomials, by Horner's rule."""
    for name, value in _NUMBERS[text.dtype].items():
        body = re.sub(rf"\b{name}\b", value, body)

    def polynomial(found: re.Match[str]) -> str:
        values = coefficients.TABLES[text.dtype][found[1]]
        code = text.number(values[-1])
        for value in reversed(values[:-1]):
            code = f"({code}) * {found[2]} + {text.number(value)}"
        return code

    return re.sub(r"POLYNOMIAL\((\w+), (\w+)\)", polynomial, body)
