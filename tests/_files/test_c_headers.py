"""C headers: compiled by every compiler at hand, without a warning, they compute what the model predicts."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from random_networks import ACTIVATIONS, random_network

import lamina
from lamina import layers

COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
STRICT_CPP = ["-x", "c++", "-std=c++17", "-Wall", "-Wextra", "-Werror"]

pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler is installed")

# Reads rows of numbers, writes predictions and what the self-check says.
PROGRAM = """\
#include <stdio.h>
{includes}
int main(void) {{
{calls}
  return 0;
}}
"""
CALL = """\
  {{
    static {given} x[{rows}][{upper}_INPUTS];
    static {real} y[{rows}][{upper}_OUTPUTS];
    const int wrong = {name}_self_check();
    if (fread(x, sizeof x, 1, stdin) != 1) return 1;
    for (int r = 0; r < {alone}; ++r) {name}_predict(x[r], y[r]);
    {batch}
    fwrite(y, sizeof y, 1, stdout);
    fwrite(&wrong, sizeof wrong, 1, stdout);
  }}"""


class Networks:
    """Headers of several networks, which one program calls."""

    def __init__(self, folder):
        self.folder, self.models = folder, []

    def add(self, model, x, batch=None, own_math=True):
        name = f"net{len(self.models)}"
        model.export(self.folder / f"{name}.h", batch=batch, own_math=own_math)
        self.models.append((name, model, np.asarray(x), batch))

    def check(self, compiler, options, tolerance):
        calls, given = [], b""
        for name, model, x, batch in self.models:
            kinds = {"float32": "float", "float64": "double"}
            whole = batch is not None and len(x) == batch
            indices = x.dtype.kind in "iu"
            calls.append(CALL.format(
                name=name, upper=name.upper(), rows=len(x), alone=0 if whole else len(x),
                batch=f"{name}_predict_batch(x[0], y[0]);" if whole else "",
                given="int" if indices else kinds[model.dtype], real=kinds[model.dtype],
            ))  # fmt: skip
            given += x.astype(np.intc if indices else model.dtype).tobytes()
        includes = "\n".join(f'#include "{name}.h"' for name, *_ in self.models)
        source, program = self.folder / "main.c", self.folder / f"main_{compiler}"
        source.write_text(PROGRAM.format(includes=includes, calls="\n".join(calls)))
        subprocess.run([compiler, *options, str(source), "-o", str(program), "-lm"], check=True)
        output = subprocess.run([str(program)], input=given, stdout=subprocess.PIPE, check=True).stdout
        for name, model, x, _ in self.models:
            expected = model.predict(x, verbose=0)
            found = np.frombuffer(output, model.dtype, expected.size).reshape(expected.shape)
            output = output[found.nbytes :]
            wrong, output = int(np.frombuffer(output, np.intc, 1)[0]), output[np.dtype(np.intc).itemsize :]
            np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance, err_msg=name)
            assert wrong == 0
        assert not output


@pytest.mark.filterwarnings("ignore:A softmax of one column")
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("own_math", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-13)])
def test_random_networks_predict_the_same(dtype, tolerance, own_math, compiler, tmp_path):
    networks = Networks(tmp_path)
    for seed in range(60):
        model, x = random_network(seed, dtype)
        networks.add(model, x, len(x) if seed % 2 else None, own_math)
    networks.check(compiler, [*STRICT, "-O1"], tolerance)


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("own_math", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-6), ("float64", 1e-14)])
def test_activations_for_all_numbers(dtype, tolerance, own_math, compiler, tmp_path):
    sizes = np.concatenate([np.logspace(-30, 30, 61), np.linspace(0.1, 120, 1200)])
    special = [0.0, np.inf, -np.inf, np.nan, 1e38, -1e38]
    x = np.concatenate([-sizes, sizes, special]).astype(dtype)[:, None]
    rows = np.hstack([x, x + 1, -x])
    networks = Networks(tmp_path)
    for name in ACTIVATIONS[:-2]:
        given = rows if "softmax" in name else x
        model = lamina.Sequential([lamina.Input(given.shape[1:], dtype=dtype), layers.Activation(name, dtype=dtype)])
        networks.add(model, given, own_math=own_math)
    with np.errstate(all="ignore"):
        networks.check(compiler, [*STRICT, "-O3", "-march=native"], tolerance)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_layers_of_all_widths(compiler, tmp_path):
    rng = np.random.default_rng(0)
    networks = Networks(tmp_path)
    widths = [*range(1, 10), 15, 16, 17, 31, 33, 62, 63, 64, 65, 100, 127, 128, 130]
    for number, outs in enumerate(widths):
        ins, rows = int(rng.integers(1, 14)), int(rng.integers(1, 20))
        model = lamina.Sequential([
            lamina.Input((ins,)), layers.Dense(outs, bias_initializer="random_normal"),
            layers.Dense(widths[-number - 1], "tanh", use_bias=bool(number % 2)), layers.Dense(3),
        ])  # fmt: skip
        networks.add(model, rng.normal(size=(rows, ins)), rows if number % 3 else None)
    networks.check(compiler, [*STRICT, "-O3", "-march=native"], 2e-6)
    networks.check(compiler, [*STRICT, "-O0"], 2e-6)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_cpp_reads_headers_too(compiler, tmp_path):
    model, x = random_network(3)
    networks = Networks(tmp_path)
    networks.add(model, x, len(x), own_math=True)
    networks.check(compiler, STRICT_CPP, 1e-6)


def object_of(path, *options):
    """Compile a header alone, with a function that others can call, and return the names that it needs."""
    source = path.with_suffix(".c")
    source.write_text(f'#include "{path.name}"\nvoid f(const float *x, float *y) {{ {path.stem}_predict(x, y); }}\n')
    made = path.with_suffix(".o")
    subprocess.run([COMPILERS[0], *STRICT, *options, "-c", str(source), "-o", str(made)], check=True)
    shown = subprocess.run(["nm", "-u", str(made)], stdout=subprocess.PIPE, text=True, check=True).stdout
    return set(re.findall(r"U (\w+)", shown)) - {"_GLOBAL_OFFSET_TABLE_", "memset", "memcpy"}  # compilers call these


def test_a_header_needs_math_alone(tmp_path):
    model = lamina.Sequential([
        lamina.Input((9,)), layers.Dense(9, "gelu"), layers.Dense(9, "tanh"), layers.Dense(8, "softplus"),
        layers.Dense(7, "elu"), layers.LayerNormalization(), layers.Dense(3, "log_softmax"),
    ])  # fmt: skip
    model.export(tmp_path / "m.h", own_math=False)
    needed = object_of(tmp_path / "m.h", "-O1")
    assert needed <= {"erfcf", "expf", "expm1f", "log1pf", "logf", "sqrtf", "tanhf"}
    assert "tanhf" in needed
    model.export(tmp_path / "m.h")
    assert object_of(tmp_path / "m.h", "-O1") <= {"sqrtf"}
    assert object_of(tmp_path / "m.h", "-O1", "-fno-math-errno") == set()


def test_the_self_check_finds_a_changed_number(tmp_path):
    model = lamina.Sequential([lamina.Input((2,)), layers.Dense(3, bias_initializer="ones")])
    path = tmp_path / "m.h"
    model.export(path)
    text = path.read_text()
    assert text.count("{1.0f, 1.0f, 1.0f, 0.0f}") == 1  # one column more, that nothing sees
    program = tmp_path / "main.c"
    program.write_text('#include "m.h"\nint main(void) { return m_self_check(); }\n')
    for bias, wrong in (("1.0f, 1.0f, 1.0f, 9.0f", 0), ("1.0f, 1.001f, 1.0f, 0.0f", 4), ("NAN, 2.0f, 1.0f, 0.0f", 8)):
        path.write_text(text.replace("1.0f, 1.0f, 1.0f, 0.0f", bias))
        subprocess.run([COMPILERS[0], "-std=c99", str(program), "-o", str(tmp_path / "main"), "-lm"], check=True)
        assert subprocess.run([str(tmp_path / "main")], check=False).returncode == wrong


def test_the_self_check_allows_for_what_a_network_magnifies(tmp_path):
    model = lamina.Sequential([lamina.Input((32,)), *(layers.Dense(2, use_bias=False) for _ in range(2))])
    large, small = np.random.default_rng(0).normal(size=(2, 32, 1))
    model.set_weights([np.hstack([1e4 * large, 1e4 * large + small]), [[1, -1], [-1, 1]]])  # large numbers cancel
    model.export(tmp_path / "m.h")
    program = tmp_path / "main.c"
    program.write_text('#include "m.h"\nint main(void) { return m_self_check(); }\n')
    subprocess.run([COMPILERS[0], "-std=c99", "-O2", str(program), "-o", str(tmp_path / "main"), "-lm"], check=True)
    assert subprocess.run([str(tmp_path / "main")], check=False).returncode == 0


@pytest.mark.parametrize("own_math", [False, True])
def test_fast_math_is_refused_where_it_would_be_wrong(own_math, tmp_path):
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(2, "tanh")])
    model.export(tmp_path / "m.h", own_math=own_math)
    program = tmp_path / "main.c"
    program.write_text('#include "m.h"\nint main(void) { return m_self_check(); }\n')
    done = subprocess.run(
        [COMPILERS[0], "-std=c99", "-O2", "-ffast-math", str(program), "-o", str(tmp_path / "main"), "-lm"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode != 0) == own_math
    assert ("export with own_math=False" in done.stderr) == own_math


def test_a_name_of_a_model_is_no_code(tmp_path):
    parts = [lamina.Input((3,)), layers.Dense(2)]
    model = lamina.Sequential(parts, name="**//\nstatic int injected = 7;\n/** REAL $ @")
    model.export(tmp_path / "m.h")
    assert "injected" not in (tmp_path / "m.h").read_text()
    networks = Networks(tmp_path)
    networks.add(model, np.eye(3))
    networks.check(COMPILERS[0], STRICT, 1e-6)


def test_indices_without_a_row_give_nan(tmp_path):
    model = lamina.Sequential([lamina.Input((2,), dtype="int32"), layers.Embedding(5, 3), layers.Flatten()])
    model.export(tmp_path / "m.h")
    program = tmp_path / "main.c"
    program.write_text(
        '#include "m.h"\nint main(void) { const int x[2] = {5, -1}; float y[6]; m_predict(x, y);\n'
        "  int count = 0; for (int j = 0; j < 6; ++j) count += y[j] != y[j]; return count; }\n"
    )
    subprocess.run([COMPILERS[0], "-std=c99", str(program), "-o", str(tmp_path / "main"), "-lm"], check=True)
    assert subprocess.run([str(tmp_path / "main")], check=False).returncode == 6


def test_the_same_model_gives_the_same_header(tmp_path):
    model, _ = random_network(5)
    model.export(tmp_path / "m.h", batch=3)
    first = (tmp_path / "m.h").read_bytes()
    model.export(tmp_path / "m.h", "c", batch=3)
    assert (tmp_path / "m.h").read_bytes() == first


def test_names_come_from_the_file_or_are_given(tmp_path):
    model = lamina.Sequential([lamina.Input((2,)), layers.Dense(1)], name="ends a comment */ int")
    for file, given, name in (
        ("net.h", None, "net"), ("my-net 2.h", None, "my_net_2"), ("8x8.h", None, "model_8x8"), ("_.h", None, "model"),
        ("net.h", "other", "other"),
    ):  # fmt: skip
        model.export(tmp_path / file, name=given)
        assert f"static inline void {name}_predict(const float *x, float *y)" in (tmp_path / file).read_text()


def test_arguments(tmp_path):
    model = lamina.Sequential([lamina.Input((2,)), layers.Dense(1)])
    for file, options, error, message in (
        ("m.h", {"batch": 0}, ValueError, "batch must be >= 1; got 0"),
        ("m.h", {"batch": 1.5}, TypeError, "batch must be an int"),
        ("m.h", {"name": "1a"}, ValueError, "name must be letters, digits and underscores, a letter first; got '1a'"),
        ("m.h", {"name": 3}, TypeError, "name must be"),
        ("m.h", {"own_math": 2}, TypeError, "own_math must be"),
        ("math.h", {}, ValueError, "math.h is the name of a header of the C library"),
        ("m.h", {"format": "onnx"}, ValueError, "must end in '.onnx'"),
        ("m.h", {"dtype": "int8"}, TypeError, "unknown argument 'dtype'"),
    ):
        with pytest.raises(error, match=re.escape(message)):
            model.export(tmp_path / file, **options)
    assert not list(tmp_path.iterdir())


def test_the_program_of_the_documents(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "interchange.md").read_text()
    (program,) = re.findall(r"^```c\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    model, _ = random_network(3)
    model.export(tmp_path / "net.h", batch=32)
    (tmp_path / "main.c").write_text(program)
    subprocess.run([COMPILERS[0], *STRICT, str(tmp_path / "main.c"), "-o", str(tmp_path / "main"), "-lm"], check=True)
    assert subprocess.run([str(tmp_path / "main")], check=False).returncode == 0
