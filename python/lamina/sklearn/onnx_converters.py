"""What skl2onnx needs to convert pipelines that end in one of the estimators."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina._files.onnx.writer import graph_of, require_onnx
from lamina.models import Sequential
from lamina.models.networks import network_state
from lamina.sklearn.classifier import MLPClassifier
from lamina.sklearn.regressor import MLPRegressor

__all__ = ["register_onnx_converters"]

_WHO = "skl2onnx"


def register_onnx_converters() -> None:
    """Make skl2onnx convert `MLPClassifier` and `MLPRegressor`, alone and in pipelines.

    Then ``skl2onnx.to_onnx(pipeline, X[:1], options={"zipmap": False})`` gives a model for ONNX Runtime. A classifier
    has the outputs that skl2onnx gives to those of scikit-learn, labels and probabilities; a regressor has one,
    (n, outputs). Estimators with `categorical_features`, `impute`, `calibrate` or several quantiles are refused:
    encode and impute by steps of a pipeline.

    Raises
    ------
    ImportError
        skl2onnx is missing.
    """
    require_onnx("register_onnx_converters")
    try:
        from skl2onnx import update_registered_converter
    except ImportError:
        raise ImportError("register_onnx_converters needs skl2onnx: pip install skl2onnx.") from None
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes

    options = {"zipmap": [True, False, "columns"], "output_class_labels": [False, True], "nocl": [True, False]}
    update_registered_converter(
        MLPClassifier, "LaminaMLPClassifier", calculate_linear_classifier_output_shapes, _convert_classifier,
        options=options,
    )  # fmt: skip
    update_registered_converter(MLPRegressor, "LaminaMLPRegressor", _regressor_shapes, _convert_regressor)


def _regressor_shapes(operator: Any) -> None:
    rows = operator.inputs[0].type.shape[0]
    kind = type(operator.inputs[0].type)
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    operator.outputs[0].type = (DoubleTensorType if kind is DoubleTensorType else FloatTensorType)(
        [rows, operator.raw_operator.n_outputs_]
    )


class _Writer:
    """Adds operators to what skl2onnx makes; names are made unique.

    Attributes
    ----------
    type, int64 : int
        ONNX's numbers of the type of outputs, which is that of the input, and of int64.
    dtype : type
        NumPy's name for the type of outputs.
    """

    def __init__(self, scope: Any, operator: Any, container: Any) -> None:
        from skl2onnx.common.data_types import guess_proto_type

        self._onnx = require_onnx(_WHO)
        self._scope, self._container, self._operator = scope, container, operator
        kinds = self._onnx.TensorProto
        wide = guess_proto_type(operator.inputs[0].type) == kinds.DOUBLE
        self.type, self.int64 = (kinds.DOUBLE if wide else kinds.FLOAT), kinds.INT64
        self.dtype = np.float64 if wide else np.float32

    def add(self, kind: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        """Add an operator; return the name of its output."""
        found = self._scope.get_unique_variable_name(kind) if output is None else output
        name = self._scope.get_unique_operator_name(kind)
        self._container.add_node(kind, inputs, [found], name=name, **attributes)
        return str(found)

    def constant(self, value: Any) -> str:
        """Add a constant; return its name."""
        name = self._scope.get_unique_variable_name("constant")
        array = np.asarray(value)
        kinds = self._onnx.TensorProto
        if array.dtype.kind in "US":
            self._container.add_initializer(name, kinds.STRING, array.shape, [str(one).encode() for one in array.flat])
        else:
            kind = int(self._onnx.helper.np_dtype_to_tensor_dtype(array.dtype))
            self._container.add_initializer(name, kind, array.shape, array.reshape(-1).tolist())
        return str(name)

    def network(self, model: Sequential, output: str | None = None) -> str:
        """Add what a model computes of the operator's input; return the name of its output, of the input's dtype."""
        graph = graph_of(_WHO, network_state(_WHO, model.stack))
        own = int(self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(model.dtype)))
        names = {"input": self.add("Cast", [self._operator.inputs[0].full_name], to=own)}
        for tensor in graph.initializer:
            names[tensor.name] = self.constant(self._onnx.numpy_helper.to_array(tensor))
        for node in graph.node:
            attributes = {one.name: self._onnx.helper.get_attribute_value(one) for one in node.attribute}
            names[node.output[0]] = self.add(node.op_type, [names[name] for name in node.input], **attributes)
        return self.add("Cast", [names["output"]], output, to=self.type)


def _convert_classifier(scope: Any, operator: Any, container: Any) -> None:
    estimator, writer = operator.raw_operator, _Writer(scope, operator, container)
    labels, probabilities = (one.full_name for one in operator.outputs)
    classes = estimator.classes_
    several = estimator.n_outputs_ > 1 and estimator.out_activation_ == "logistic"
    if estimator.n_outputs_ > 1:
        writer.network(estimator.to_model(), probabilities)
    else:
        one = writer.network(estimator.to_model())
        other = writer.add("Sub", [writer.constant(np.ones(1, writer.dtype)), one])
        writer.add("Concat", [other, one], probabilities, axis=1)
    if several:
        chosen = writer.add("Greater", [probabilities, writer.constant(np.full(1, 0.5, writer.dtype))])
        writer.add("Cast", [chosen], labels, to=writer.int64)
        return
    index = writer.add("ArgMax", [probabilities], axis=1, keepdims=0)
    known = classes if classes.dtype.kind in "US" else classes.astype(np.int64)
    writer.add("Gather", [writer.constant(known), index], labels)


def _convert_regressor(scope: Any, operator: Any, container: Any) -> None:
    writer = _Writer(scope, operator, container)
    writer.network(operator.raw_operator.to_model(), operator.outputs[0].full_name)
