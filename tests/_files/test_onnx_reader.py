"""ONNX files are read, ours and those of others; what is not read is named."""

import numpy as np
import pytest
from random_networks import random_network

import lamina
from lamina.models import load_model
from lamina.saving import ModelFileError

onnx = pytest.importorskip("onnx")
helper, numpy_helper = onnx.helper, onnx.numpy_helper

F = onnx.TensorProto.FLOAT
RNG = np.random.default_rng(0)
W, B = RNG.normal(size=(4, 3)).astype("f"), RNG.normal(size=3).astype("f")


def graph_of(nodes, constants=(), shape=(4,), inputs=None, outputs=None, opset=17, **more):
    """Return a model of the package onnx from ``(operator, inputs, output, attributes)``; it begins at x, ends at y."""
    made = [helper.make_node(kind, of, [to], **attributes) for kind, of, to, attributes in nodes]
    begin = inputs or [helper.make_tensor_value_info("x", F, ["n", *shape])]
    end = outputs or [helper.make_tensor_value_info("y", F, None)]
    held = [numpy_helper.from_array(np.asarray(array), name) for name, array in dict(constants).items()]
    graph = helper.make_graph(made, "net", begin, end, held, **more)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def read(model, tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return load_model(path)


def computed(model, x):
    """Return what onnx's own reference implementation computes."""
    from onnx.reference import ReferenceEvaluator

    return ReferenceEvaluator(model).run(None, {model.graph.input[0].name: x})[0]


@pytest.mark.filterwarnings("ignore:A softmax of one column")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(100))
def test_our_own_files_are_read(seed, dtype, tmp_path):
    model, x = random_network(seed, dtype)
    model.export(tmp_path / "m.onnx")
    again = load_model(tmp_path / "m.onnx")
    np.testing.assert_allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5, atol=1e-5)
    assert again.dtype == dtype


# Ways in which exporters spell layers, on rows of four columns: operators, and constants.
SPELLED = {
    "gemm": ([("Gemm", ["x", "w", "b"], "y", {})], {"w": W, "b": B}),
    "gemm, transposed and scaled": (
        [("Gemm", ["x", "w", "b"], "y", {"transB": 1, "alpha": 0.5, "beta": 2.0})], {"w": W.T.copy(), "b": B},
    ),
    "gemm with one bias for all": ([("Gemm", ["x", "w", "b"], "y", {})], {"w": W, "b": B[:1]}),
    "matmul": ([("MatMul", ["x", "w"], "y", {})], {"w": W}),
    "matmul and add": ([("MatMul", ["x", "w"], "h", {}), ("Add", ["b", "h"], "y", {})], {"w": W, "b": B[None]}),
    "transposed constant": (
        [("Transpose", ["w"], "t", {}), ("MatMul", ["x", "t"], "y", {})], {"w": W.T.copy()},
    ),
    "scaled and shifted": (
        [("Mul", ["x", "a"], "h", {}), ("Sub", ["one", "h"], "i", {}), ("Div", ["i", "c"], "y", {})],
        {"a": W[:, 0].copy(), "one": np.ones(1, "f"), "c": np.float32(3)},
    ),
    "negative": ([("Neg", ["x"], "y", {})], {}),
    "clip": ([("Clip", ["x", "a", "b"], "y", {})], {"a": np.float32(-0.5), "b": np.float32(0.7)}),
    "clip from 0": ([("Clip", ["x", "a"], "y", {})], {"a": np.float32(0)}),
    "hard sigmoid of older Keras": ([("HardSigmoid", ["x"], "y", {})], {}),
    "thresholded relu": ([("ThresholdedRelu", ["x"], "y", {"alpha": 0.4})], {}),
    "threshold": (
        [("LessOrEqual", ["x", "t"], "c", {}), ("Where", ["c", "zero", "x"], "y", {})],
        {"t": np.float32(0.3), "zero": np.float32(0)},
    ),
    "swish": ([("Sigmoid", ["x"], "s", {}), ("Mul", ["s", "x"], "y", {})], {}),
    "quick gelu": (
        [("Mul", ["x", "a"], "h", {}), ("Sigmoid", ["h"], "s", {}), ("Mul", ["x", "s"], "y", {})],
        {"a": np.float32(1.702)},
    ),
    "softplus by exp and log": (
        [("Exp", ["x"], "e", {}), ("Add", ["e", "one"], "a", {}), ("Log", ["a"], "y", {})], {"one": np.float32(1)},
    ),
    "gelu by a power": (
        [
            ("Pow", ["x", "three"], "p", {}), ("Mul", ["p", "c"], "q", {}), ("Add", ["x", "q"], "r", {}),
            ("Mul", ["r", "k"], "s", {}), ("Tanh", ["s"], "t", {}), ("Add", ["t", "one"], "u", {}),
            ("Mul", ["x", "half"], "v", {}), ("Mul", ["v", "u"], "y", {}),
        ],
        {
            "three": np.float32(3), "c": np.float32(0.044715), "k": np.float32(0.7978846), "one": np.float32(1),
            "half": np.float32(0.5),
        },
    ),
    "prelu of two relus": (
        [
            ("Relu", ["x"], "h", {}), ("Neg", ["x"], "n", {}), ("Relu", ["n"], "r", {}), ("Mul", ["a", "r"], "l", {}),
            ("Add", ["h", "l"], "y", {}),
        ],
        {"a": -np.float32([0.1, 0.2, 0.3, 0.4])},
    ),
    "layer normalization": (
        [
            ("ReduceMean", ["x"], "m", {"axes": [-1]}), ("Sub", ["x", "m"], "d", {}), ("Pow", ["d", "two"], "q", {}),
            ("ReduceMean", ["q"], "v", {"axes": [-1]}), ("Add", ["v", "e"], "a", {}), ("Sqrt", ["a"], "s", {}),
            ("Div", ["d", "s"], "n", {}), ("Mul", ["n", "g"], "h", {}), ("Add", ["h", "b"], "y", {}),
        ],
        {"two": np.float32(2), "e": np.float32(1e-3), "g": W[:, 0].copy(), "b": W[:, 1].copy()},
    ),
    "root mean square": (
        [
            ("Mul", ["x", "x"], "q", {}), ("ReduceMean", ["q"], "v", {"axes": [1]}), ("Add", ["v", "e"], "a", {}),
            ("Sqrt", ["a"], "s", {}), ("Reciprocal", ["s"], "r", {}), ("Mul", ["x", "r"], "y", {}),
        ],
        {"e": np.float32(1e-3)},
    ),
    "two classes": (
        [
            ("MatMul", ["x", "w"], "z", {}), ("Sigmoid", ["z"], "p", {}), ("Sub", ["one", "p"], "q", {}),
            ("Concat", ["q", "p"], "y", {"axis": 1}),
        ],
        {"w": W[:, :1].copy(), "one": np.float32([1])},
    ),
    "batch normalization": (
        [("BatchNormalization", ["x", "g", "b", "m", "v"], "y", {"epsilon": 1e-2})],
        dict(zip("gbmv", np.abs(RNG.normal(size=(4, 4))).astype("f"), strict=True)),
    ),
    "casts and identities": (
        [
            ("Identity", ["x"], "a", {}), ("Cast", ["a"], "b", {"to": F}), ("Relu", ["b"], "c", {}),
            ("Dropout", ["c"], "y", {}),
        ],
        {},
    ),
    "reshapes": (
        [
            ("Reshape", ["x", "s"], "a", {}), ("Unsqueeze", ["a", "axis"], "b", {}),
            ("Squeeze", ["b", "axis"], "c", {}), ("Flatten", ["c"], "y", {}),
        ],
        {"s": np.array([-1, 2, 2]), "axis": np.array([1])},
    ),
    "a computed shape": (
        [
            ("Shape", ["x"], "s", {}), ("Gather", ["s", "zero"], "n", {}), ("Unsqueeze", ["n", "axis"], "u", {}),
            ("Concat", ["u", "rest"], "t", {"axis": 0}), ("Reshape", ["x", "t"], "y", {}),
        ],
        {"zero": np.array(0), "axis": np.array([0]), "rest": np.array([2, 2])},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SPELLED)
def test_layers_are_read_however_they_are_spelled(name, tmp_path):
    nodes, constants = SPELLED[name]
    model = graph_of(nodes, constants)
    x = (2 * RNG.normal(size=(9, 4))).astype("f")
    np.testing.assert_allclose(read(model, tmp_path).predict(x, verbose=0), computed(model, x), rtol=1e-5, atol=1e-5)


# What is refused: a model of the package onnx, and what the message says.
REFUSED = {
    "an operator": (lambda: graph_of([("Sin", ["x"], "y", {})]), r"operator Sin is not read"),
    "one of another domain": (lambda: graph_of([("Own", ["x"], "y", {"domain": "com.me"})]), "is of 'com.me'"),
    "a branch": (
        lambda: graph_of([("MatMul", ["x", "w"], "h", {}), ("Add", ["x", "h"], "y", {})], {"w": np.eye(4, dtype="f")}),
        r"operator Add is not read, or not in this place: from x, h to y",
    ),
    "a loop": (
        lambda: graph_of([("If", ["c"], "y", {"then_branch": graph_of([]).graph, "else_branch": graph_of([]).graph})]),
        "has a graph in it: loops and branches",
    ),
    "two inputs": (
        lambda: graph_of(
            [("Add", ["x", "z"], "y", {})],
            inputs=[helper.make_tensor_value_info(name, F, ["n", 4]) for name in "xz"],
        ),
        r"it has 2 inputs \(x, z\)",
    ),
    "two outputs": (
        lambda: graph_of(
            [("Relu", ["x"], "y", {}), ("Tanh", ["x"], "z", {})],
            outputs=[helper.make_tensor_value_info(name, F, None) for name in "yz"],
        ),
        "2 outputs of floats among y, z",
    ),
    "an open row": (lambda: graph_of([("Relu", ["x"], "y", {})], shape=("m",)), r"must say the shape of a row"),
    "text": (
        lambda: graph_of(
            [("Relu", ["x"], "y", {})], inputs=[helper.make_tensor_value_info("x", onnx.TensorProto.STRING, ["n", 4])]
        ),
        "its input 'x' holds",
    ),
    "softmax along the steps": (
        lambda: graph_of([("Softmax", ["x"], "y", {"axis": 1})], shape=(3, 4)), "is along axis 1",
    ),
    "rows that become others": (
        lambda: graph_of([("Reshape", ["x", "s"], "y", {})], {"s": np.array([-1, 2])}), "rows must stay rows",
    ),
    "another width": (
        lambda: graph_of([("MatMul", ["x", "w"], "y", {})], {"w": W[:3].copy()}), r"a matrix of shape \(3, 3\)",
    ),
    "half floats": (lambda: graph_of([("MatMul", ["x", "w"], "y", {})], {"w": W.astype("e")}), "float16"),
    "a circle": (
        lambda: graph_of([("Relu", ["a"], "b", {}), ("Relu", ["b"], "a", {}), ("Tanh", ["a"], "y", {})]), "circle",
    ),
    "nothing": (lambda: graph_of([("Relu", ["absent"], "y", {})]), "nothing returns 'absent'"),
    "a batch that trains": (
        lambda: graph_of(
            [("BatchNormalization", ["x", "g", "g", "g", "g"], "y", {"training_mode": 1})], {"g": np.ones(4, "f")}
        ),
        "one that trains",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_is_named(name, tmp_path):
    make, message = REFUSED[name]
    with pytest.raises(ModelFileError, match=message):
        read(make(), tmp_path)


def test_external_data_are_not_read(tmp_path):
    model = graph_of([("MatMul", ["x", "w"], "y", {})], {"w": W})
    onnx.external_data_helper.convert_model_to_external_data(model, location="w.bin", size_threshold=0)
    onnx.save(model, tmp_path / "m.onnx")
    assert (tmp_path / "w.bin").exists()
    with pytest.raises(ModelFileError, match="lies in another file: external data are not read"):
        load_model(tmp_path / "m.onnx")


def test_embeddings_are_read(tmp_path):
    table = RNG.normal(size=(10, 4)).astype("f")
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.INT64, ["n", 3])]
    for wrapped in (False, True):
        around = [("Less", ["x", "zero"], "c", {}), ("Add", ["x", "ten"], "a", {}), ("Where", ["c", "a", "x"], "i", {})]
        nodes = [*(around if wrapped else [("Identity", ["x"], "i", {})]), ("Gather", ["t", "i"], "y", {})]
        model = graph_of(nodes, {"t": table, "zero": np.array(0), "ten": np.array(10)}, inputs=inputs)
        x = RNG.integers(0, 10, (5, 3))
        np.testing.assert_array_equal(read(model, tmp_path).predict(x, verbose=0), table[x])


def test_what_is_read_can_be_trained_and_saved(tmp_path):
    model = read(graph_of([("Gemm", ["x", "w", "b"], "h", {}), ("Tanh", ["h"], "y", {})], {"w": W, "b": B}), tmp_path)
    model.compile("adam", "mse")
    x, y = RNG.normal(size=(40, 4)), RNG.normal(size=(40, 3))
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "m.safetensors")
    again = load_model(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    with pytest.raises(ValueError, match="must be written by export"):
        model.save(tmp_path / "m.onnx")
    assert isinstance(lamina.saving.load_model(tmp_path / "m.onnx"), lamina.Sequential)


def test_damaged_files_are_refused(tmp_path):
    model = graph_of(*SPELLED["layer normalization"])
    whole, path = model.SerializeToString(), tmp_path / "m.onnx"
    rng, refused = np.random.default_rng(0), 0
    for _ in range(2000):
        content = bytearray(whole[: rng.integers(len(whole))] if rng.random() < 0.3 else whole)
        for _ in range(rng.integers(1, 4)):
            if content:
                content[rng.integers(len(content))] = rng.integers(256)
        path.write_bytes(content)
        try:
            load_model(path)
        except ModelFileError:
            refused += 1
    assert refused > 1000
