"""Which of Keras's tests are not for lamina, and why: words found in their names, file by file."""

from __future__ import annotations

import re

# (pattern of "file_test.py::Class::test", reason)
LEFT_OUT = [
    (r"quantiz|lora|int[48]|float8|gptq|awq|legacy_load_own_variables", "weights are not quantized"),
    (r"mask", "layers read no masks"),
    (r"callback_test.*model_state_is_current", "models have no parameters beside those of layers"),
    (
        r"functional|symbolic|recursive|shared_layers|structured_io|call_fn|summary_utils|_as_a_submodel"
        r"|cloning_correctness_mlp|model_checkpoint_loading|keras_model_compiles|boolean_inputs|test_call_method"
        r"|trainable_init_arg",
        "there is no functional API: layers are called with arrays",
    ),
    (
        r"dynamic_(batch|dimen)|varying_input_size|static_shape|input_error|test_input_basic|input_shape_deprecated"
        r"|embedding_basics",
        "rows of a model have one known shape, of at least one axis",
    ),
    (
        r"layers__layer_test.*(activity_reg|add_loss|add_weight_|autocast|build_on_call|context_arg|complex_dtype"
        r"|output_spec|in_init|policy_setter|init_after|layer_tracking|variable_tracking|remat|metric_tracking"
        r"|mixed_precision|not_implemented|register_call|remove_weight|seed_tracking|serialize_dtype|stateless|trainable_setting|training_arg)",
        "of layers whose call is differentiated, of their parts, and of types that are not computed in",
    ),
    (
        r"sequential_test.*(basic_flow|flow_with_input|bad_layer|dict_inputs|list_inputs|hasattr|nested_sequential"
        r"|serialization|shape_inference)",
        "symbolic inputs and outputs, layers with a call of their own, models without layers in models",
    ),
    (r"dtype_arg", "losses are computed in float32 and float64"),
    (r"activations_test.*(glu|sparsemax|threshold)", "not an activation here"),
    (r"stft|with_axes", "for convolutions"),
    (r"renorm|rms_scaling|ln_basics", "an option that lamina does not have"),
    (r"batch_normalization_test.*(correctness([89]|1[0-5])$|serialization)", "columns lie along the last axis"),
    (r"noise_shape", "each element is dropped by itself"),
    (r"flatten_(dense|with_scalar)", "channels come last, and rows have an axis"),
    (r"orthogonal_regularizer|regularizers_test.*(test_config|test_get_method)", "there are L1, L2 and L1L2"),
    (r"model_checkpoint_options", "files in Keras's format are not written yet"),
    (
        r"_ema(_overwrite_frequency)?$|gradient_accumulation$|overwrite_with_gradient|empty_var_list",
        "private attributes",
    ),
    (r"weigth_decay(9|10)$|pickleable_optimizers(9|10)$", "Ftrl and Adafactor are not there"),
    (r"ema_with_model_fit", "targets are not broadcast"),
    (r"(HuberLoss|CosineSimilarity)Test::test_config", "configurations keep delta and axis, which Keras loses"),
    (r"AUCTest::test_config", "the curve's name is a string"),
    (r"handles_sas_metrics", "a loss by the name of a function of the test"),
    (r"f_score.*(non_2d_input|undefined_output|beta_integer|threshold_not_float)", "ints are numbers; private methods"),
    (r"reshape_matches", "targets of another shape are not reshaped"),
    (r"softmax_test.*test_softmax$", "whether an axis is the last one is known when the layer is built"),
]


def reason(test: str) -> str | None:
    """Return why a test, given as ``file::class::name``, is left out; None where it is not."""
    return next((why for pattern, why in LEFT_OUT if re.search(pattern, test)), None)
