"""Prove that CONTRIBUTING's "how to add" lists are complete.

This copies the source tree, adds one activation, loss, metric, optimizer, layer, kind of input and file format to the
copy at exactly the places that the lists name, builds it, and runs the tests: the general ones, which find what is new
by themselves, and ``added.py``.

Usage: python tests/additions/add.py [FOLDER]     (where the copy goes; a temporary folder if omitted)
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Of each list: path → (text that stands there, text that takes its place), or the text of a new file.
Edit = list[tuple[str, str]] | str
ADDITIONS: dict[str, dict[str, Edit]] = {
    "an activation": {
        "tests/oracles.py": [
            ('    "softmax": lambda x, a: softmax(x),\n',
             '    "squared_relu": lambda x, a: np.maximum(x, 0) ** 2,\n'
             '    "softmax": lambda x, a: softmax(x),\n'),
            ('FROM_INPUT = (', 'FROM_INPUT = ("squared_relu", '),
        ],
        "csrc/kernels/activations.hpp": [
            ("// f(x) = min(max((x + 1) / 2, 0), 1)",
             "// f(x) = max(x, 0)²; f'(x) = 2 max(x, 0). So et al. 2021.\n"
             "struct SquaredRelu {\n"
             '  static constexpr ActivationInfo info{.name = "squared_relu", .derivative_of = DerivativeOf::input};\n'
             "  template <class T>\n"
             "  static Vec<T> forward(Vec<T> x, T) {\n"
             "    const Vec<T> positive = maximum(Vec<T>{}, x);\n"
             "    return positive * positive;\n"
             "  }\n"
             "  template <class T>\n"
             "  static Vec<T> backward(Vec<T> v, Vec<T> dy, T) {\n"
             "    return dy * T(2) * maximum(Vec<T>{}, v);\n"
             "  }\n"
             "};\n\n"
             "// f(x) = min(max((x + 1) / 2, 0), 1)"),
        ],
        "csrc/kernels/table.hpp": [("SparsePlus, SparseSigmoid>", "SparsePlus, SparseSigmoid, SquaredRelu>")],
        "python/lamina/activations.py": [
            ('__all__ = [\n', '__all__ = [\n    "squared_relu",\n'),
            ("def softmax(",
             "def squared_relu(x: npt.ArrayLike) -> Array:\n"
             '    """Return ``max(x, 0)**2``."""\n'
             '    return _apply("squared_relu", x)\n\n\n'
             "def softmax("),
            ("        linear, relu,", "        squared_relu, linear, relu,"),
        ],
        "python/lamina/kernels/activations.py": [
            ('The input of ``"gelu"``,', 'The input of ``"squared_relu"``, ``"gelu"``,'),
        ],
    },
    "a loss": {
        "tests/oracles.py": [
            ("LOSSES = {\n",
             "def charbonnier(p, t, smoothing=0.0):\n"
             "    return (np.sqrt((p - t) ** 2 + 1) - 1).mean(axis=1)\n\n\n"
             "LOSSES = {\n"),
            ("        quantile,\n", "        quantile,\n        charbonnier,\n"),
        ],
        "csrc/kernels/element_losses.hpp": [
            ("// |p - t|; gradient",
             "// sqrt((p - t)² + 1) - 1. Charbonnier et al. 1994.\n"
             "struct Charbonnier : MeanOfColumns {\n"
             '  static constexpr LossInfo info{.name = "charbonnier"};\n'
             "  template <class T>\n"
             "  static ValueAndGradient<T> evaluate(Vec<T> p, Vec<T> t, const T*) {\n"
             "    const Vec<T> d = p - t, root = sqrt(Vec<T>(d * d + T(1)));\n"
             "    return {d * d / (root + T(1)), d / root};\n"
             "  }\n"
             "};\n\n"
             "// |p - t|; gradient"),
        ],
        "csrc/kernels/table.hpp": [("ElementLosses = List<", "ElementLosses = List<Charbonnier, ")],
        "python/lamina/kernels/losses.py": [
            ('__all__ = [\n', '__all__ = [\n    "charbonnier",\n'),
            ("def mae(\n",
             "def charbonnier(\n"
             "    y_pred: Array,\n"
             "    y_true: Array,\n"
             "    sample_weight: Array | None = None,\n"
             "    loss: Array | None = None,\n"
             "    grad: Array | None = None,\n"
             "    need_grad: bool = True,\n"
             ") -> tuple[Array, Array | None]:\n"
             '    """Return ``mean_j(sqrt((p_j - t_j)² + 1) - 1)`` of each row; parameters and result as in `mse`."""\n'
             '    return _core.evaluate_loss(\n'
             '        "charbonnier", y_pred, y_true, sample_weight, {}, loss, grad, need_grad\n'
             "    )\n\n\n"
             "def mae(\n"),
        ],
        "python/lamina/kernels/__init__.py": [
            ("from lamina.kernels.losses import (\n", "from lamina.kernels.losses import (\n    charbonnier,\n"),
            ('    "categorical_hinge",\n', '    "categorical_hinge",\n    "charbonnier",\n'),
        ],
        "python/lamina/losses/regression.py": [
            ('    "Huber",\n', '    "Charbonnier",\n    "Huber",\n'),
            ("class MeanAbsoluteError(NamedLoss)",
             "class Charbonnier(NamedLoss):\n"
             '    """``mean_j(sqrt((y_pred_j - y_true_j)² + 1) - 1)`` of a row (Charbonnier et al. 1994)."""\n\n'
             '    kernel = "charbonnier"\n\n\n'
             "class MeanAbsoluteError(NamedLoss)"),
        ],
        "python/lamina/losses/__init__.py": [
            ("from lamina.losses.regression import (\n", "from lamina.losses.regression import (\n    Charbonnier,\n"),
            ('    "CosineSimilarity",\n', '    "Charbonnier",\n    "CosineSimilarity",\n'),
            ('    (Huber, "huber"),\n', '    (Charbonnier, "charbonnier"),\n    (Huber, "huber"),\n'),
        ],
        "tests/losses/test_formulas.py": [
            ('    "Huber": (', '    "Charbonnier": ({}, "charbonnier", "numbers", None, ["charbonnier"]),\n    "Huber": ('),
        ],
    },
    "a metric": {
        "csrc/kernels/metrics.hpp": [
            ("// The share of columns where predictions and targets are equal.",
             "// The share of columns where predictions and targets have the same sign.\n"
             "struct SignMatches {\n"
             '  static constexpr MetricInfo info{.name = "sign_matches"};\n'
             "  template <class T>\n"
             "  static void evaluate(const MetricArguments<T>& a) {\n"
             "    share_of_columns(a, [](T p, T t) { return (p > T(0)) == (t > T(0)) && (p < T(0)) == (t < T(0)); });\n"
             "  }\n"
             "};\n\n"
             "// The share of columns where predictions and targets are equal."),
        ],
        "csrc/kernels/table.hpp": [("SparseTopMatches, CategoricalTopMatches>",
                                    "SparseTopMatches, CategoricalTopMatches, SignMatches>")],
        "python/lamina/metrics/accuracy.py": [
            ('    "SparseCategoricalAccuracy",\n', '    "SignAccuracy",\n    "SparseCategoricalAccuracy",\n'),
            ("class BinaryAccuracy(_Accuracy)",
             "class SignAccuracy(_Accuracy):\n"
             '    """Share of outputs that have the sign of the targets."""\n\n'
             '    engine_kernel = "sign_matches"\n'
             "    by_element = True\n\n\n"
             "class BinaryAccuracy(_Accuracy)"),
        ],
        "python/lamina/metrics/__init__.py": [
            ("from lamina.metrics.accuracy import (\n", "from lamina.metrics.accuracy import (\n    SignAccuracy,\n"),
            ('    "SensitivityAtSpecificity",\n', '    "SensitivityAtSpecificity",\n    "SignAccuracy",\n'),
            ('    (Sum, "sum"),\n', '    (Sum, "sum"),\n    (SignAccuracy, "sign_accuracy"),\n'),
        ],
        "tests/metrics/test_accuracy.py": [
            ('    yield "CategoricalAccuracy"',
             '    z, w = rng.integers(-1, 2, (2, n, c)).astype(float)\n'
             '    yield "SignAccuracy", {}, z, w, (np.sign(z) == np.sign(w)).mean(axis=1)\n'
             '    yield "CategoricalAccuracy"'),
        ],
    },
    "an optimizer": {
        "tests/oracles.py": [
            ("def lion(s, g, t):\n",
             "def signum(s, g, t):\n"
             '    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g\n'
             '    return np.sign(s["m"])\n\n\n'
             "def lion(s, g, t):\n"),
        ],
        "csrc/kernels/optimizers.hpp": [
            ("// Adam with Nesterov's momentum",
             "// m ← βm + (1 - β)g; θ ← θ - ηλθ - η sign(m). Bernstein et al. 2018.\n"
             "struct Signum : NeverAddsScaledGradient {\n"
             '  static constexpr OptimizerInfo info{.name = "signum", .slots = 1, .settings = "beta weight_decay"};\n\n'
             "  template <class T>\n"
             "  static void prepare(const double* settings, double rate, std::int64_t, T* scalars) {\n"
             "    scalars[0] = static_cast<T>(-rate);\n"
             "    scalars[1] = static_cast<T>(1 - settings[0]);\n"
             "    scalars[2] = static_cast<T>(-rate * settings[1]);\n"
             "  }\n\n"
             "  template <class T>\n"
             "  static void apply(OptimizerVectors<T>& v, const T* scalars) {\n"
             "    decay(v, scalars[2]);\n"
             "    move(v.slot[0], v.gradient, scalars[1]);\n"
             "    const Vec<T> m = v.slot[0], step = copy_sign<T>(broadcast<T>(T(1)), m);\n"
             "    v.parameter = fma(m == T(0) ? m : (m == m ? step : m), broadcast<T>(scalars[0]), v.parameter);\n"
             "  }\n"
             "};\n\n"
             "// Adam with Nesterov's momentum"),
        ],
        "csrc/kernels/table.hpp": [("Adadelta, Lion>", "Adadelta, Lion, Signum>")],
        "python/lamina/optimizers/signum.py": (
            '"""Signum: steps of one size, in the direction of the mean gradient\'s sign."""\n\n'
            "from __future__ import annotations\n\n"
            "from typing import Any\n\n"
            "from lamina._common.arguments import Argument\n"
            "from lamina._common.checks import number\n"
            "from lamina.optimizers.base import Optimizer\n\n"
            '__all__ = ["Signum"]\n\n\n'
            "class Signum(Optimizer):\n"
            '    """``m ← βm + (1 - β)g``, ``θ ← θ - η sign(m)`` (Bernstein et al. 2018)."""\n\n'
            '    kernel = "signum"\n'
            '    setting_names = ("beta",)\n\n'
            "    beta = Argument(number, 0, below=1)\n\n"
            "    def __init__(\n"
            "        self, learning_rate: Any = 0.001, beta: float = 0.9, weight_decay: float | None = None, **shared: Any\n"
            "    ) -> None:\n"
            "        self.beta = beta\n"
            "        super().__init__(learning_rate, weight_decay, **shared)\n\n"
            "    def slot_names(self) -> tuple[str, ...]:\n"
            '        """Return the name of the running mean."""\n'
            '        return ("momentum",)\n\n'
            "    def get_config(self) -> dict[str, Any]:\n"
            '        """Return the arguments."""\n'
            '        return super().get_config() | {"beta": self.beta}\n'
        ),
        "python/lamina/optimizers/__init__.py": [
            ("from lamina.optimizers.sgd import SGD\n",
             "from lamina.optimizers.sgd import SGD\nfrom lamina.optimizers.signum import Signum\n"),
            ('    "RMSprop",\n', '    "RMSprop",\n    "Signum",\n'),
            ("Lion, LBFGS, LevenbergMarquardt)", "Lion, Signum, LBFGS, LevenbergMarquardt)"),
        ],
        "tests/optimizers/test_optimizers.py": [
            ('    "lion": (optimizers.Lion, {}),\n',
             '    "lion": (optimizers.Lion, {}),\n    "signum": (optimizers.Signum, {}),\n'),
        ],
    },
    "a layer": {
        "csrc/engine/layers/negate.hpp": (
            "// y = -x.\n#pragma once\n\n"
            '#include "engine/layers/elementwise.hpp"\n\n'
            "namespace lamina::engine {\n\n"
            "template <class T>\n"
            "class Negate final : public ElementwiseLayer<T> {\n"
            " public:\n"
            "  void forward(Pass<T>& pass, Range rows, Range panels) const override {\n"
            "    apply(pass, pass.tape[this->at].value, pass.tape[this->at + 1].value, rows, panels);\n"
            "  }\n"
            "  std::ptrdiff_t backward_units(const Tape<T>& tape) const override {"
            " return this->row_units(tape, this->at); }\n"
            "  void backward(Pass<T>& pass, Range units, const Layer<T>* below, GradientSink<T>*) const override {\n"
            "    if (!this->need_dx) return;\n"
            "    const Boundary<T>&input = pass.tape[this->at], &output = pass.tape[this->at + 1];\n"
            "    const Range rows = this->rows_of(input.value, units), panels = this->panels_of(input.value);\n"
            "    apply(pass, output.gradient, input.gradient, rows, panels);\n"
            "    if (below != nullptr) below->finish_gradient(pass, rows, panels);\n"
            "  }\n\n"
            " private:\n"
            "  void apply(const Pass<T>& pass, const Panels<T>& from, const Panels<T>& to, Range rows, Range panels) const {\n"
            "    for (std::ptrdiff_t panel = panels.begin; panel < panels.end; ++panel) {\n"
            "      T scale[kPanelWidth<T>];\n"
            "      std::fill(scale, scale + kPanelWidth<T>, T(-1));\n"
            "      pass.kernels.scale_columns({.x = from,\n"
            "                                  .y = to,\n"
            "                                  .scale = scale,\n"
            "                                  .rows = rows,\n"
            "                                  .panels = {panel, panel + 1},\n"
            "                                  .first = panel * kPanelWidth<T>});\n"
            "    }\n"
            "  }\n"
            "};\n\n"
            "}  // namespace lamina::engine\n"
        ),
        "csrc/bindings/ops.cpp": [
            ('#include "engine/layers/noise.hpp"\n',
             '#include "engine/layers/negate.hpp"\n#include "engine/layers/noise.hpp"\n'),
            ('  if (kind == "noise")', '  if (kind == "negate") return std::make_unique<Negate<T>>();\n  if (kind == "noise")'),
        ],
        "python/lamina/_engine/ops.py": [
            ('"NoiseOp", "Op"', '"NegateOp", "NoiseOp", "Op"'),
            ("class NoiseOp(Op)",
             "class NegateOp(Op):\n"
             '    """``-x``."""\n\n'
             '    kind = "negate"\n\n\n'
             "class NoiseOp(Op)"),
        ],
        "python/lamina/layers/negate.py": (
            '"""Negate."""\n\n'
            "from __future__ import annotations\n\n"
            "from lamina._engine.ops import NegateOp, Op\n"
            "from lamina.layers.base import Layer\n\n"
            '__all__ = ["Negate"]\n\n\n'
            "class Negate(Layer):\n"
            '    """``-x``."""\n\n'
            "    any_rank = True\n\n"
            "    def ops(self) -> list[Op]:\n"
            '        """Return the op."""\n'
            "        return [NegateOp()]\n"
        ),
        "python/lamina/layers/__init__.py": [
            ("from lamina.layers.normalization import",
             "from lamina.layers.negate import Negate\nfrom lamina.layers.normalization import"),
            ('    "Normalization",\n', '    "Negate",\n    "Normalization",\n'),
            ("PReLU, RMSNormalization,", "Negate, PReLU, RMSNormalization,"),
        ],
        "tests/layers/test_negate.py": (
            '"""Negate."""\n\n'
            "from __future__ import annotations\n\n"
            "import numpy as np\n\n"
            "from lamina import layers\n\n\n"
            "def test_negate(rng):\n"
            "    x = rng.standard_normal((4, 5)).astype('f')\n"
            "    np.testing.assert_array_equal(layers.Negate()(x), -x)\n"
        ),
    },
    "a kind of input": {
        "csrc/engine/input.hpp": [
            ("enum class InputKind { dense, sparse, ", "enum class InputKind { dense, bits, sparse, "),
        ],
        "csrc/engine/input.cpp": [
            ("    case InputKind::masked_bags:\n      return dense.rows;\n",
             "    case InputKind::masked_bags:\n    case InputKind::bits:\n      return dense.rows;\n"),
            ("    case InputKind::masked_bags:\n      found.dense",
             "    case InputKind::masked_bags:\n    case InputKind::bits:\n      found.dense"),
            ("    case InputKind::dense:\n      return 0;\n",
             "    case InputKind::dense:\n    case InputKind::bits:\n      return 0;\n"),
            ("  const auto row_of = [&]",
             "  if (input.kind == InputKind::bits) {\n"
             "    for (std::ptrdiff_t i = rows.begin; i < rows.end; ++i) {\n"
             "      const std::ptrdiff_t row = order == nullptr ? first + i : static_cast<std::ptrdiff_t>(order[first + i]);\n"
             "      const auto* bytes = static_cast<const unsigned char*>(input.dense.base) + row * input.dense.row_bytes;\n"
             "      for (std::ptrdiff_t j = 0; j < to.value.cols; ++j)\n"
             "        to.value.data[j / kPanelWidth<T> * to.value.panel_stride + i * to.value.row_stride + j % kPanelWidth<T>] =\n"
             "            static_cast<T>(bytes[j / 8] >> (7 - j % 8) & 1);\n"
             "    }\n"
             "    return;\n"
             "  }\n"
             "  const auto row_of = [&]"),
        ],
        "csrc/bindings/engine.cpp": [
            ("  if (kind != engine::InputKind::sparse) {\n",
             "  if (kind == engine::InputKind::bits) {\n"
             '    argument.rows = rows_argument(py::reinterpret_borrow<py::array>(x), "x");\n'
             "    if (argument.rows.rows.cols != (columns + 7) / 8 || argument.rows.rows.type != NumberType::uint8)\n"
             '      raise_value(std::string(who) + ": packed bits do not fit.");\n'
             "    argument.input = {kind, argument.rows.rows};\n"
             "    return argument;\n"
             "  }\n"
             "  if (kind != engine::InputKind::sparse) {\n"),
        ],
        "csrc/bindings/network.cpp": [
            ('{{"dense", InputKind::dense}', '{{"bits", InputKind::bits}, {"dense", InputKind::dense}'),
        ],
        "python/lamina/_data/bits.py": (
            '"""Rows of bits, eight in a byte."""\n\n'
            "from __future__ import annotations\n\n"
            "from typing import Any\n\n"
            "import numpy as np\n\n"
            "from lamina._data.compact import CompactRows\n\n"
            '__all__ = ["PackedBits"]\n\n\n'
            "class PackedBits(CompactRows):\n"
            '    """Rows of 0 and 1 as `numpy.packbits` packs them: `packed` (n, ceil(columns / 8)) of uint8."""\n\n'
            '    reads = "bits"\n\n'
            "    def __init__(self, packed: Any, columns: int) -> None:\n"
            "        self.packed, self.shape = np.ascontiguousarray(packed), (len(packed), columns)\n\n"
            "    def engine_input(self) -> Any:\n"
            '        """Return the bytes."""\n'
            "        return self.packed\n\n"
            "    def __getitem__(self, rows: Any) -> PackedBits:\n"
            "        return PackedBits(self.packed[rows], self.shape[1])\n"
        ),
    },
    "a file format": {
        "python/lamina/_files/archive.py": (
            '"""Models in NumPy\'s archives."""\n\n'
            "from __future__ import annotations\n\n"
            "import json\n"
            "from pathlib import Path\n\n"
            "import numpy as np\n\n"
            "from lamina._files.errors import damaged_where_wrong\n"
            "from lamina._files.state import ModelState, TrainingState\n\n"
            '__all__ = ["SUFFIX", "read_model", "write_model"]\n\n'
            'SUFFIX = ".npz"\n\n\n'
            "def write_model(who: str, path: Path, state: ModelState) -> None:\n"
            '    """Write a model without what belongs to its training."""\n'
            "    config = np.frombuffer(json.dumps(state.config).encode(), np.uint8)\n"
            "    np.savez(path, allow_pickle=False, **{'config': config}, **state.weights)\n\n\n"
            "def read_model(who: str, path: Path) -> ModelState:\n"
            '    """Read what `write_model` wrote."""\n'
            "    with damaged_where_wrong(who, path), np.load(path) as held:\n"
            "        weights = {name: held[name] for name in held.files if name != 'config'}\n"
            "        return ModelState(json.loads(held['config'].tobytes()), weights, TrainingState(), {})\n"
        ),
        "python/lamina/_files/formats.py": [
            ("from lamina._files import keras_legacy", "from lamina._files import archive, keras_legacy"),
            ("    native.SUFFIX: Format(native.write_model, native.read_model),\n",
             "    native.SUFFIX: Format(native.write_model, native.read_model),\n"
             "    archive.SUFFIX: Format(archive.write_model, archive.read_model),\n"),
        ],
    },
}  # fmt: skip


def lists() -> dict[str, str]:
    """Return the sections of CONTRIBUTING.md that say how to add something, by what."""
    sections = re.split(r"^## ", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.MULTILINE)
    return {s.partition("\n")[0].removeprefix("How to add "): s for s in sections if s.startswith("How to add ")}


def check_lists() -> None:
    """Raise if an addition changes a place that its list does not name, or a text that does not stand there once."""
    known = lists()
    for what, edits in ADDITIONS.items():
        for path, edit in edits.items():
            place = str(Path(path).parent) + "/" if isinstance(edit, str) else path
            if f"`{place}`" not in known[what]:
                raise SystemExit(f"CONTRIBUTING.md, 'How to add {what}': {place} is missing")
            for old, _ in [] if isinstance(edit, str) else edit:
                _require_once(path, (ROOT / path).read_text(), old)


def _require_once(path: str, text: str, old: str) -> None:
    if text.count(old) != 1:
        raise SystemExit(f"{path}: {old!r} must stand there once; it does {text.count(old)} times")


def add(root: Path) -> None:
    """Make all additions in a copy of the source tree."""
    for edits in ADDITIONS.values():
        for path, edit in edits.items():
            file = root / path
            if isinstance(edit, str):
                file.write_text(edit)
                continue
            text = file.read_text()
            for old, new in edit:
                _require_once(path, text, old)
                text = text.replace(old, new)
            file.write_text(text)


def copy_tree(to: Path) -> None:
    """Copy the files that git knows, and new ones that it does not ignore."""
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def main(folder: Path) -> int:
    """Copy, add, build, test; return pytest's exit status."""
    check_lists()
    copy_tree(folder / "source")
    add(folder / "source")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", ".[test]"], cwd=folder / "source", check=True)
    added = folder / "source" / "tests" / "additions" / "test_added.py"
    shutil.copy2(Path(__file__).with_name("added.py"), added)
    tests = [
        "kernels", "activations", "losses", "metrics", "optimizers", "layers/test_negate.py", "test_architecture.py",
        "additions",
    ]  # fmt: skip
    # The lists are checked above; in the copy what they name has been replaced.
    but = "--deselect=tests/test_architecture.py::test_lists_of_how_to_add_something_are_complete"
    return subprocess.run(
        [python, "-m", "pytest", "-q", but, *(str(Path("tests") / name) for name in tests)],
        cwd=folder / "source", env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    ).returncode  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) > 1:
        raise SystemExit(main(Path(sys.argv[1])))
    with tempfile.TemporaryDirectory() as made:
        raise SystemExit(main(Path(made)))
