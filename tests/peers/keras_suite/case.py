"""The base class of Keras's tests, written for lamina: comparisons, and what every layer and every object must do."""

from __future__ import annotations

import itertools
import json
import shutil
import tempfile
from typing import Any

import numpy as np
from absl.testing import parameterized

import lamina


def get_test_data(
    train_samples: int, test_samples: int, input_shape: Any, num_classes: int, random_seed: Any = None
) -> Any:
    """Return rows around one random point a class, with their classes: (training, test)."""
    rng = np.random.default_rng(random_seed)
    total = train_samples + test_samples
    centres = 2 * num_classes * rng.random((num_classes, *input_shape))
    y = rng.integers(0, num_classes, total)
    x = (centres[y] + rng.normal(0, 1.0, (total, *input_shape))).astype("float32")
    return (x[:train_samples], y[:train_samples]), (x[train_samples:], y[train_samples:])


def named_product(*args: Any, **kwargs: Any) -> list[dict[str, Any]]:
    """Return one named test case for each combination of the arguments."""
    if args:
        raise NotImplementedError("positional arguments of named_product")
    cases = []
    for values in itertools.product(*kwargs.values()):
        found = {}
        words = []
        for name, value in zip(kwargs, values, strict=True):
            if isinstance(value, dict):
                value = dict(value)
                words.append(value.pop("testcase_name"))
                found |= value
            else:
                words.append(str(value))
                found[name] = value
        cases.append({"testcase_name": "_".join(words)} | found)
    return cases


class TestCase(parameterized.TestCase):
    """What Keras's own `TestCase` offers to numeric tests."""

    maxDiff = None

    def setUp(self) -> None:
        lamina.backend.clear_session()

    def assertRaisesRegex(self, expected_exception: Any, expected_regex: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Look at the kind of error only: lamina says in its own words what is wrong."""
        return self.assertRaises(expected_exception, *args, **kwargs)

    def get_temp_dir(self) -> str:
        path = tempfile.mkdtemp()
        self.addCleanup(lambda: shutil.rmtree(path))
        return path

    def convert_to_numpy(self, x: Any) -> Any:
        return np.asarray(x)

    def assertAllClose(
        self, actual: Any, desired: Any, atol: float = 1e-6, rtol: float = 1e-6, msg: Any = None, **_: Any
    ) -> None:
        np.testing.assert_allclose(np.asarray(actual), np.asarray(desired), atol=atol, rtol=rtol, err_msg=msg or "")

    def assertNotAllClose(self, x1: Any, x2: Any, atol: float = 1e-6, rtol: float = 1e-6, msg: Any = None) -> None:
        assert not np.allclose(x1, x2, atol=atol, rtol=rtol), msg

    def assertAlmostEqual(self, actual: Any, desired: Any, decimal: int = 3, msg: Any = None, **_: Any) -> None:
        np.testing.assert_almost_equal(np.asarray(actual), np.asarray(desired), decimal=decimal, err_msg=msg or "")

    def assertAllEqual(self, actual: Any, desired: Any, msg: Any = None) -> None:
        np.testing.assert_array_equal(np.asarray(actual), np.asarray(desired), err_msg=msg or "")

    def assertLen(self, iterable: Any, expected_len: int, msg: Any = None) -> None:
        self.assertEqual(len(iterable), expected_len, msg=msg)

    def assertDType(self, x: Any, dtype: Any, msg: Any = None) -> None:
        self.assertEqual(np.dtype(getattr(x, "dtype", type(x))), np.dtype(dtype), msg=msg)

    def run_class_serialization_test(self, instance: Any, custom_objects: Any = None) -> Any:
        config = instance.get_config()
        again = type(instance).from_config(json.loads(json.dumps(config)))
        self.assertEqual(json.dumps(config), json.dumps(again.get_config()))
        self.assertEqual(set(dir(instance)), set(dir(again)))
        stored = json.dumps(lamina.saving.serialize_keras_object(instance))
        again = lamina.saving.deserialize_keras_object(json.loads(stored), custom_objects=custom_objects)
        self.assertEqual(json.dumps(config), json.dumps(again.get_config()))
        return again

    def run_layer_test(
        self, layer_cls: Any, init_kwargs: Any, input_shape: Any = None, input_dtype: Any = None,
        input_sparse: bool = False, input_ragged: bool = False, input_data: Any = None, call_kwargs: Any = None,
        expected_output_shape: Any = None, expected_output_dtype: Any = None, expected_output_sparse: bool = False,
        expected_output_ragged: bool = False, expected_output: Any = None, expected_num_trainable_weights: Any = None,
        expected_num_non_trainable_weights: Any = None, expected_num_non_trainable_variables: Any = None,
        expected_num_seed_generators: Any = None, expected_num_losses: Any = None, supports_masking: Any = None,
        expected_mask_shape: Any = None, custom_objects: Any = None, run_training_check: bool = True,
        run_mixed_precision_check: bool = True, assert_built_after_instantiation: bool = False, **_: Any,
    ) -> None:  # fmt: skip
        kwargs, call = init_kwargs or {}, call_kwargs or {}
        self.run_class_serialization_test(layer_cls(**kwargs), custom_objects)
        if input_shape is None and input_data is None:
            return
        if input_data is None:
            rng = np.random.default_rng(0)
            input_data = (4 * rng.standard_normal(input_shape)).astype(input_dtype or "float32")
        input_data = np.asarray(input_data)

        layer = layer_cls(**kwargs)
        layer.build(input_data.shape)
        self.assertTrue(layer.built)
        if expected_num_trainable_weights is not None:
            self.assertLen(layer.trainable_weights, expected_num_trainable_weights)
        if expected_num_non_trainable_weights is not None:
            self.assertLen(layer.non_trainable_weights, expected_num_non_trainable_weights)
        if expected_num_non_trainable_variables is not None:
            self.assertLen(layer.non_trainable_variables, expected_num_non_trainable_variables)

        layer = layer_cls(**kwargs)
        output = layer(input_data, **call)
        if expected_output_shape is not None:
            self.assertEqual(output.shape, tuple(expected_output_shape))
            self.assertEqual(tuple(layer.compute_output_shape(input_data.shape)), tuple(expected_output_shape))
        if expected_output_dtype is not None:
            self.assertDType(output, expected_output_dtype)
        if expected_output is not None:
            self.assertAllClose(output, expected_output)
        if expected_num_losses is not None:
            self.assertLen(layer.losses, expected_num_losses)
        if run_training_check and not np.issubdtype(input_data.dtype, np.integer):
            model = lamina.Sequential([layer_cls(**kwargs)])
            model.compile("sgd", "mse")
            model.fit(input_data, np.zeros_like(output), batch_size=len(input_data), verbose=0)
        if assert_built_after_instantiation:
            self.assertTrue(layer_cls(**kwargs).built)
