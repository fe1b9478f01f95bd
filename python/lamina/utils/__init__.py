"""Helpers: files of the cache, seeds, one-hot rows, padding, data sets, a check of gradients."""

from __future__ import annotations

from lamina._common.custom import (
    CustomObjectScope,
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)
from lamina._common.names import absences
from lamina._common.objects import deserialize_keras_object as deserialize_keras_object
from lamina._common.objects import serialize_keras_object as serialize_keras_object
from lamina._common.output import (
    disable_interactive_logging,
    enable_interactive_logging,
    is_interactive_logging_enabled,
)
from lamina._files.download import get_file
from lamina.layers.symbols import is_keras_tensor
from lamina.utils.datasets import PyDataset, Sequence, split_dataset
from lamina.utils.gradients import check_gradients
from lamina.utils.numerical import normalize, to_categorical
from lamina.utils.plotting import model_to_dot, plot_model
from lamina.utils.progress import Progbar
from lamina.utils.sequences import pad_sequences
from lamina.utils.session import clear_session, set_random_seed

__all__ = [
    "CustomObjectScope",
    "Progbar",
    "PyDataset",
    "Sequence",
    "check_gradients",
    "clear_session",
    "custom_object_scope",
    "disable_interactive_logging",
    "enable_interactive_logging",
    "get_custom_objects",
    "get_file",
    "get_registered_name",
    "get_registered_object",
    "is_interactive_logging_enabled",
    "is_keras_tensor",
    "model_to_dot",
    "normalize",
    "pad_sequences",
    "plot_model",
    "register_keras_serializable",
    "set_random_seed",
    "split_dataset",
    "to_categorical",
]  # fmt: skip

_ABSENT = {
    **dict.fromkeys(
        ("image_dataset_from_directory", "text_dataset_from_directory", "audio_dataset_from_directory"),
        "read files before, or write a PyDataset",
    ),
    "timeseries_dataset_from_array": "numpy.lib.stride_tricks.sliding_window_view makes windows, which fit reads",
    "FeatureSpace": "scikit-learn's ColumnTransformer makes numbers of columns",
}

__getattr__ = absences(__name__, globals(), _ABSENT)
