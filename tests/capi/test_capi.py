"""C, C++ and Cython code that runs models without Python: what it computes is what `predict` returns."""

import gc
import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

import numpy as np
import pytest
from helpers import not_sanitized
from random_networks import ACTIVATIONS

import lamina
from lamina import capi, kernels, layers

pytest.importorskip("Cython")
pytest.importorskip("setuptools")

HERE = Path(__file__).parent
OK, WRONG_TYPE, WRONG_VALUE = 0, -2, -3
DTYPES = ["float32", "float64"]


def compiled(name, source, folder, include=None, **extension):
    """Build an extension module, and import it."""
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    module = Extension(name, [str(source)], include_dirs=[include or lamina.get_include()], **extension)
    where = Path(lamina.__file__).parents[1]
    modules = [module]
    if source.suffix == ".pyx":
        modules = cythonize(modules, build_dir=str(folder), include_path=[str(where)], quiet=True)
    command = build_ext(Distribution({"ext_modules": modules}))
    command.build_lib, command.build_temp = str(folder), str(folder / "temp")
    command.ensure_finalized()
    command.run()
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="module")
def controller(tmp_path_factory):
    flags = {"extra_compile_args": ["-O2", "-fopenmp"], "extra_link_args": ["-fopenmp"]}
    return compiled("controller", HERE / "controller.pyx", tmp_path_factory.mktemp("controller"), **flags)


def model_of(dtype="float32", sizes=(5, 40, 33, 3), activation="tanh"):
    named = {"dtype": dtype}
    return lamina.Sequential([
        lamina.Input(sizes[:1], dtype=dtype), *(layers.Dense(units, activation, **named) for units in sizes[1:]),
    ])  # fmt: skip


def rows_of(model, count=50):
    shape = (count, *model.input_shape[1:])
    return np.random.default_rng(0).normal(size=shape).astype(model.dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_predictions_have_the_bits_of_predict(controller, dtype):
    model = model_of(dtype)
    x = rows_of(model)
    expected, network = model.predict(x, verbose=0), capi.network(model)
    number = DTYPES.index(dtype)
    assert controller.about(network) == (number, number, 5, 3)
    for rows in (50, 7, 0):
        y = np.full_like(expected, np.nan)
        assert controller.predict_rows(network, x, y, rows) == OK
        np.testing.assert_array_equal(y[:rows], expected[:rows])
        assert np.isnan(y[rows:]).all()
    for threads in (1, 4):
        y = np.zeros_like(expected)
        assert controller.predict_each(network, x, y, threads) == 0
        np.testing.assert_array_equal(y, expected)


def test_rows_of_several_axes(controller):
    model = lamina.Sequential([
        lamina.Input((4, 6)), layers.LayerNormalization(), layers.Dense(5, "gelu"), layers.GlobalMaxPooling1D(),
        layers.Dense(2, "softmax"),
    ])  # fmt: skip
    x = rows_of(model)
    y = np.zeros((50, 2), np.float32)
    assert controller.about(capi.network(model))[2:] == (24, 2)
    assert controller.predict_rows(capi.network(model), x.reshape(50, 24), y, 50) == OK
    np.testing.assert_array_equal(y, model.predict(x, verbose=0))


@pytest.mark.parametrize("pools", [False, True])
def test_rows_of_indices(controller, pools):
    model = lamina.Sequential([lamina.Input((3,), dtype="int32"), layers.Embedding(7, 4, mask_zero=pools)])
    model.add(layers.GlobalAveragePooling1D() if pools else layers.Flatten())
    model.add(layers.Dense(2, "tanh"))
    x = np.random.default_rng(0).integers(1, 7, (20, 3))
    y = np.zeros((20, 2), np.float32)
    network = capi.network(model)
    assert controller.about(network) == (2, 0, 3, 2)
    assert controller.predict_indices(network, x, y) == OK
    np.testing.assert_array_equal(y, model.predict(x, verbose=0))
    assert controller.predict_rows(network, np.ones((1, 3), np.float32), y, 1) == WRONG_TYPE
    for wrong in (7, -1):
        x[5, 1] = wrong
        assert controller.predict_indices(network, x, y) == WRONG_VALUE


def test_a_loop_in_c_sees_the_network_of_the_moment(controller):
    model = model_of("float64", (4, 16, 4))
    network, state = capi.network(model), np.ones(4)
    expected = state.copy()
    for _ in range(200):
        expected += 0.01 * model.predict_on_batch(expected[None])[0]
    assert controller.control(network, state, 200) == OK
    np.testing.assert_allclose(state, expected, rtol=1e-13)
    x, y = rows_of(model), np.zeros((50, 4))
    model.set_weights([weights + 0.5 for weights in model.get_weights()])
    controller.predict_rows(network, x, y, 50)
    np.testing.assert_array_equal(y, model.predict(x, verbose=0))


def test_predictions_beside_a_training_are_those_between_steps(controller):
    model = model_of("float32", (6, 8, 2), None)
    model.compile("sgd", "mse")
    x = rows_of(model, 640)
    network, one, y = capi.network(model), x[:1], np.zeros((1, 2), np.float32)
    done, wrong = threading.Event(), []

    def predict():
        while not done.is_set():
            for call in (controller.predict_with_gil, lambda *a: controller.predict_rows(*a, 1)):
                if call(network, one, y) != OK or not np.isfinite(y).all():
                    wrong.append(y.copy())

    threads = [threading.Thread(target=predict) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        model.fit(x, x[:, :2], batch_size=8, epochs=20, verbose=0)
        model.compile("sgd", lambda a, b: np.square(a - b).sum(axis=-1))  # computed in Python, so with the GIL
        model.fit(x, x[:, :2], batch_size=64, epochs=5, verbose=0)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not wrong


def test_a_network_outlives_its_model(controller):
    model = model_of()
    x = rows_of(model)
    expected, network, y = model.predict(x, verbose=0), capi.network(model), np.zeros((50, 3), np.float32)
    del model
    gc.collect()
    assert controller.predict_rows(network, x, y, 50) == OK
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["linear", "relu", "tanh", "gelu", "softmax", "leaky_relu", "elu"])
def test_the_dense_layer(controller, name, dtype):
    rng = np.random.default_rng(0)
    x, w, dy = (rng.normal(size=shape).astype(dtype) for shape in ((9, 5), (5, 7), (9, 7)))
    b = rng.normal(size=7).astype(dtype)
    for alpha in (None, 0.3) if name in ("leaky_relu", "elu") else (None,):
        pre, y = np.zeros((2, 9, 7), dtype)
        dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros_like(b)
        given = np.nan if alpha is None else alpha
        assert controller.dense(x, w, b, dy, name.encode(), given, pre, y, dx, dw, db) == OK
        expected_pre = np.zeros_like(pre)
        expected = kernels.dense_forward(x, w, b, name, alpha=alpha, pre=expected_pre)
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(pre, expected_pre)
        found = kernels.dense_backward(x, w, dy, y=expected, pre=expected_pre, activation=name, alpha=alpha)
        for one, other in zip((dx, dw, db), found, strict=True):
            np.testing.assert_array_equal(one, other)
    assert controller.dense(x, w, b, dy, b"no such name", 0, pre, y, dx, dw, db) == WRONG_VALUE


def test_what_is_refused(controller):
    for wrong in (3, None, "model", layers.Dense(2)):
        with pytest.raises(TypeError, match="network: model must be a model"):
            capi.network(wrong)
    with pytest.raises(ValueError, match="must be built"):
        capi.network(lamina.Sequential([layers.Dense(2)]))
    with pytest.raises(ValueError, match="written in Python"):
        capi.network(lamina.Sequential([lamina.Input((2,)), layers.Lambda(np.tanh)]))
    x = np.zeros((1, 5), np.float32)
    for wrong in (3, model_of(), object()):
        with pytest.raises(ValueError, match="PyCapsule"):
            controller.predict_rows(wrong, x, x, 1)
    network = capi.network(model_of())
    assert controller.predict_rows(network, x, x, -1) == WRONG_VALUE
    assert controller.predict_rows(network, np.zeros((1, 5)), np.zeros((1, 3)), 1) == WRONG_TYPE


def test_noise_that_never_ends_is_new_in_each_call(controller):
    model = lamina.Sequential([lamina.Input((40,)), layers.Dropout(0.5)])
    x = rows_of(model)
    y = np.zeros_like(x)
    controller.predict_rows(capi.network(model), x, y, 50)
    np.testing.assert_array_equal(y, x)


MODULE = """\
#include "lamina.h"
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "NAME", NULL, -1, NULL, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit_NAME(void) { return lamina_import() == 0 ? PyModule_Create(&definition) : NULL; }
"""


@pytest.mark.parametrize("language", ["c", "cpp"])
def test_c_and_cpp_compile_the_header(language, tmp_path):
    source = tmp_path / f"plain_{language}.{language}"
    source.write_text(MODULE.replace("NAME", f"plain_{language}"))
    flags = ["-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers", "-Wno-unused-function"]
    assert compiled(f"plain_{language}", source, tmp_path, extra_compile_args=flags).__name__ == f"plain_{language}"


def test_another_abi_is_refused_where_the_module_is_imported(tmp_path):
    text = Path(lamina.get_include(), "lamina.h").read_text()
    other = re.sub(r"#define LAMINA_ABI \d+", "#define LAMINA_ABI 999", text)
    assert other != text
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "lamina.h").write_text(other)
    source = tmp_path / "stale.c"
    source.write_text(MODULE.replace("NAME", "stale"))
    with pytest.raises(ImportError, match="compiled for ABI 999 of lamina, and the lamina that is installed has ABI 1"):
        compiled("stale", source, tmp_path, str(tmp_path / "other"))


def test_the_declarations_are_those_of_the_header():
    header = Path(lamina.get_include(), "lamina.h").read_text()
    declared = (Path(capi.__file__).parent / "__init__.pxd").read_text()
    functions = set(re.findall(r"^static inline [\w ]+?\*?\s?(lamina_\w+)\(", header, re.MULTILINE))
    assert len(functions) == 11
    assert functions == set(re.findall(r"(lamina_\w+)\(", declared))
    assert set(re.findall(r"\b(LAMINA_[A-Z0-9_]+) = ", header)) <= set(re.findall(r"\b(LAMINA_\w+)", declared))


def test_names_of_activations_are_those_of_the_kernels(controller):
    x, w, b = np.ones((1, 1)), np.ones((1, 1)), np.zeros(1)
    for name in ACTIVATIONS[:-1]:
        arrays = [np.zeros((1, 1)) for _ in range(4)]
        assert controller.dense(x, w, b, x, name.encode(), np.nan, *arrays, np.zeros(1)) == OK


def test_the_first_use_from_four_threads(tmp_path):
    code = (
        "import threading, lamina\nfrom lamina import capi, layers\n"
        "model = lamina.Sequential([lamina.Input((3,)), layers.Dense(2)])\nfound = []\n"
        "threads = [threading.Thread(target=lambda: found.append(capi.network(model))) for _ in range(4)]\n"
        "[thread.start() for thread in threads]; [thread.join() for thread in threads]\nassert len(found) == 4\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_program_of_the_documents(tmp_path):
    page = (HERE.parents[1] / "docs" / "interchange.md").read_text()
    (program,) = re.findall(r"^```cython\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "documented.pyx").write_text(program)
    found = compiled("documented", tmp_path / "documented.pyx", tmp_path)
    model = model_of("float32", (4, 16, 4))
    state = np.ones(4, "f")
    expected = state.copy()
    for _ in range(50):
        expected += np.float32(0.01) * model.predict_on_batch(expected[None])[0]
    found.control(capi.network(model), state, 50)
    np.testing.assert_allclose(state, expected, rtol=1e-5)


def run_with(controller, code):
    """Run a program in a process of its own, which has the module."""
    load = f"""
import importlib.util, os, threading
import numpy as np
import lamina
from lamina import capi, layers
spec = importlib.util.spec_from_file_location("controller", {controller.__file__!r})
controller = importlib.util.module_from_spec(spec)
spec.loader.exec_module(controller)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", load + code], check=True, timeout=120)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@not_sanitized  # which changes what threads do after a fork
def test_the_first_uses_after_a_fork_by_two_threads(controller):
    # The gates of parameters are opened by the first thread that comes; another one came into the midst of that.
    run_with(
        controller,
        """
models = [lamina.Sequential([lamina.Input((2,)), layers.Dense(2), layers.Dense(2), layers.Dense(1)])
          for _ in range(200)]
networks, x = [capi.network(model) for model in models], np.ones((1, 2), "f")

def child():
    together, ys = threading.Barrier(2), np.zeros((2, 1, 1), "f")
    def predict(y):
        for network in networks:
            together.wait()
            controller.predict_rows(network, x, y, 1)
    threads = [threading.Thread(target=predict, args=(y,)) for y in ys]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    def write():
        for model in models:
            model.set_weights(model.get_weights())
    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    writer.join(20)
    os._exit(writer.is_alive())

for trial in range(20):
    pid = os.fork()
    if pid == 0:
        child()
    assert os.waitpid(pid, 0)[1] == 0, trial
""",
    )


def test_who_has_the_gil_is_known_beside_another_interpreter(controller):
    interpreters = "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
    pytest.importorskip(interpreters)
    run_with(
        controller,
        f"""
import {interpreters} as interpreters
interpreters.create()
model = lamina.Sequential([lamina.Input((6,)), layers.Dense(64), layers.Dense(2)])
x = np.ones((2000, 6), "f")
model.compile("sgd", lambda a, b: np.square(a - b).sum(axis=-1))
network, done, y = capi.network(model), threading.Event(), np.zeros((1, 2), "f")

def predict():
    while not done.is_set():
        assert controller.predict_rows(network, x[:1], y, 1) == 0
        assert controller.predict_with_gil(network, x[:1], y) == 0

threads = [threading.Thread(target=predict) for _ in range(2)]
[thread.start() for thread in threads]
model.fit(x, x[:, :2], batch_size=20, epochs=3, verbose=0)
done.set()
[thread.join() for thread in threads]
""",
    )
