"""The graph in an ONNX file: its operators, and its constants as arrays. Nothing outside of the file is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._common.records import Record
from lamina._common.registry import ConfigurationError

__all__ = ["Graph", "Node", "axes_of", "read_graph"]

Array = npt.NDArray[Any]

# Domains of the operators that are read: the standard's own, and that of the operators for other learners.
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
_FLOATS = ("float32", "float64")
_INDICES = ("int32", "int64")
# What changes no number, but perhaps its type: the same for all numbers that networks work on.
_UNCHANGING = ("Cast", "Dropout", "Identity")


class Node(Record):
    """An operator.

    Attributes
    ----------
    operator, name : str
    inputs, outputs : sequence of str
        Names of tensors; an input that is left out is "".
    attributes : dict
    """

    operator: str
    name: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: dict[str, Any]

    def __str__(self) -> str:
        return f"operator {self.operator} ({self.name!r})" if self.name else f"operator {self.operator}"


class Graph:
    """A graph with one input.

    Attributes
    ----------
    name : str
    opset : int
        Version of the standard's operators.
    input : str
    row_shape : tuple of int
        Shape of a row of input.
    rows : int
        How many rows the graph is for; 0 for any number.
    kind : {"float32", "float64", "int32", "int64"}
        The dtype of the input.
    output : str
        Of several outputs the one that holds floats.
    """

    def __init__(self, onnx: Any, model: Any) -> None:
        graph, self._onnx = model.graph, onnx
        self.name = str(graph.name)
        self.opset = max((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), default=1)
        if graph.sparse_initializer:
            raise ConfigurationError("it holds sparse tensors, which are not read")
        self._constants = {tensor.name: self._array(tensor) for tensor in graph.initializer}
        self._makers: dict[str, Node] = {}
        for node in graph.node:
            made = self._node(node)
            for output in made.outputs:
                if output in self._makers or output in self._constants:
                    raise ConfigurationError(f"two operators return {output!r}")
                if output:
                    self._makers[output] = made
        self.input, self.rows, self.row_shape, self.kind = self._only_input(graph)
        self.output = self._only_output(graph)

    @property
    def indices(self) -> bool:
        """Whether the input holds whole numbers."""
        return self.kind in _INDICES

    def _node(self, node: Any) -> Node:
        if node.domain not in _DOMAINS:
            raise ConfigurationError(f"operator {node.op_type} is of {node.domain!r}, and not of the standard")
        kinds = self._onnx.AttributeProto
        attributes = {}
        for attribute in node.attribute:
            if attribute.type in (kinds.GRAPH, kinds.GRAPHS):
                raise ConfigurationError(f"operator {node.op_type} has a graph in it: loops and branches are not read")
            if attribute.type == kinds.TENSOR:
                attributes[attribute.name] = self._array(attribute.t)
            elif attribute.type in (kinds.FLOAT, kinds.FLOATS, kinds.INT, kinds.INTS, kinds.STRING, kinds.STRINGS):
                attributes[attribute.name] = self._onnx.helper.get_attribute_value(attribute)
        return Node(str(node.op_type), str(node.name), list(node.input), list(node.output), attributes)

    def _array(self, tensor: Any) -> Array:
        if tensor.data_location == self._onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise ConfigurationError(f"tensor {tensor.name!r} lies in another file: external data are not read")
        if any(size < 0 for size in tensor.dims) or math.prod(tensor.dims) > 1 << 40:
            raise ConfigurationError(f"tensor {tensor.name!r} has the shape {tuple(tensor.dims)}")
        array: Array = self._onnx.numpy_helper.to_array(tensor)
        return array

    def _only_input(self, graph: Any) -> tuple[str, int, tuple[int, ...], str]:
        inputs = [one for one in graph.input if one.name not in self._constants]
        if len(inputs) != 1:
            raise ConfigurationError(
                f"it has {len(inputs)} inputs ({', '.join(one.name for one in inputs)}); models have one"
            )
        (one,) = inputs
        kind = self._dtype(one)
        if kind not in (*_FLOATS, *_INDICES):
            raise ConfigurationError(f"its input {one.name!r} holds {kind}; float32, float64, int32 and int64 are read")
        sizes = [size.dim_value for size in one.type.tensor_type.shape.dim]
        if len(sizes) < 2 or min(sizes[1:]) < 1:
            raise ConfigurationError(
                f"its input {one.name!r} must say the shape of a row; it says {sizes[1:]}, 0 for unknown"
            )
        return one.name, sizes[0], tuple(sizes[1:]), kind

    def _only_output(self, graph: Any) -> str:
        names = [one.name for one in graph.output if self._dtype(one) in _FLOATS]
        if len(names) != 1:
            raise ConfigurationError(
                f"it has {len(names)} outputs of floats among {', '.join(one.name for one in graph.output)}; models "
                "have one. Export a classifier with zipmap=False."
            )
        return str(names[0])

    def _dtype(self, value: Any) -> str:
        if value.type.WhichOneof("value") != "tensor_type":
            return "no tensors"
        try:
            return str(self._onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
        except (KeyError, ValueError):
            return f"numbers of type {value.type.tensor_type.elem_type}"

    def maker(self, tensor: str) -> Node:
        """Return the operator that returns a tensor."""
        found = self._makers.get(tensor)
        if found is None:
            raise ConfigurationError(f"nothing returns {tensor!r}")
        return found

    def through(self, tensor: str) -> str:
        """Return the tensor from which a tensor follows by operators that change no number, if by any."""
        for _ in range(len(self._makers)):  # a damaged graph may go in a circle
            node = None if tensor == self.input else self._makers.get(tensor)
            if node is None or node.operator not in _UNCHANGING:
                break
            tensor = node.inputs[0]
        return tensor

    def made_by(self, tensor: str, operator: str) -> Node | None:
        """Return the operator that gives a tensor, if it is one of a kind; those that change no number are passed."""
        found = self._makers.get(self.through(tensor))
        return found if found is not None and found.operator == operator else None

    def flows(self, node: Node) -> list[str]:
        """Return the inputs of an operator that follow from the graph's input."""
        return [name for name in node.inputs if name and self.constant(name) is None]

    def constant(self, tensor: str) -> Array | None:
        """Return the value of a tensor, None if it follows from the graph's input."""
        if tensor in self._constants:
            return self._constants[tensor]
        node = self._makers.get(tensor)
        if node is None or tensor == self.input:
            return None
        found = self._folded(node)
        if found is not None:
            self._constants[tensor] = found
        return found

    def _folded(self, node: Node) -> Array | None:
        """Return what an operator gives that only rearranges constants."""
        if node.operator == "Constant":
            for name in ("value", "value_float", "value_int", "value_floats", "value_ints"):
                if name in node.attributes:
                    value = node.attributes[name]
                    return np.asarray(value, "float32" if "float" in name else None)
            raise ConfigurationError(f"{node} holds something else than numbers")
        if node.operator == "ConstantOfShape":  # one number, which goes together with tensors of any shape
            return np.asarray(node.attributes.get("value", np.zeros(1, "float32")))
        if node.operator not in _FOLDED:
            return None
        values = [self.constant(name) for name in node.inputs if name]
        if any(value is None for value in values):
            return None
        return np.asarray(_FOLDED[node.operator](self, node, *values))

    def np_dtype(self, number: Any) -> np.dtype[Any]:
        """Return the dtype of ONNX's number of a type."""
        found: np.dtype[Any] = np.dtype(self._onnx.helper.tensor_dtype_to_np_dtype(int(number)))
        return found


def axes_of(node: Node, *values: Array) -> list[int] | None:
    """Return the argument `axes` of an operator, an attribute or an input; None if it is left out."""
    given = values[0].reshape(-1).tolist() if values else node.attributes.get("axes")
    return None if given is None else [int(axis) for axis in given]


def _unsqueezed(graph: Graph, node: Node, value: Array, *axes: Array) -> Array:
    return np.expand_dims(value, tuple(axes_of(node, *axes) or ()))


def _squeezed(graph: Graph, node: Node, value: Array, *axes: Array) -> Array:
    return np.squeeze(value, None if (found := axes_of(node, *axes)) is None else tuple(found))


_FOLDED: dict[str, Any] = {
    "Cast": lambda graph, node, value: value.astype(graph.np_dtype(node.attributes["to"])),
    "Identity": lambda graph, node, value: value,
    "Reshape": lambda graph, node, value, shape: value.reshape(shape),
    "Squeeze": _squeezed,
    "Transpose": lambda graph, node, value: value.transpose(node.attributes.get("perm")),
    "Unsqueeze": _unsqueezed,
}


def read_graph(onnx: Any, path: Path) -> Graph:
    """Read the graph of a file; raise ValueError if it is damaged, or its graph of a kind that is not read."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except Exception as error:  # protobuf's DecodeError, whose module is another one in every version
        if isinstance(error, (MemoryError, OSError)):
            raise
        raise ValueError(f"it is no ONNX file: {error}") from None
    return Graph(onnx, model)
