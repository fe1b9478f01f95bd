"""Runs Keras's own tests, as installed with Keras, against lamina.

    python tests/peers/keras_suite                      # all of them
    python tests/peers/keras_suite sgd_test.py -x       # some, with options of pytest

Of error messages the kind of exception is looked at, not the words. `left_out.py` says which tests are not for lamina.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import left_out  # noqa: E402  (found by the line above)
import standin  # noqa: E402

FILES = {
    "activations": ["activations"],
    "callbacks": [
        "backup_and_restore", "callback", "csv_logger", "early_stopping", "lambda_callback", "learning_rate_scheduler",
        "model_checkpoint", "monitor_callback", "reduce_lr_on_plateau", "terminate_on_nan",
    ],
    "constraints": ["constraints"],
    "initializers": ["constant_initializers", "random_initializers"],
    "layers": ["layer"],
    "layers/activations": ["activation", "elu", "leaky_relu", "prelu", "relu", "softmax"],
    "layers/core": ["dense", "embedding", "identity", "input_layer"],
    "layers/normalization": ["batch_normalization", "layer_normalization", "rms_normalization"],
    "layers/preprocessing": ["normalization", "rescaling"],
    "layers/regularization": ["activity_regularization", "dropout", "gaussian_dropout", "gaussian_noise"],
    "layers/reshaping": ["flatten", "reshape"],
    "losses": ["loss", "losses"],
    "metrics": [
        "accuracy_metrics", "confusion_metrics", "f_score_metrics", "hinge_metrics", "metric", "probabilistic_metrics",
        "reduction_metrics", "regression_metrics",
    ],
    "models": ["cloning", "sequential"],
    "optimizers": [
        "adadelta", "adagrad", "adam", "adamax", "adamw", "lion", "nadam", "optimizer", "rmsprop", "sgd",
    ],
    "optimizers/schedules": ["learning_rate_schedule"],
    "regularizers": ["regularizers"],
    "utils": ["dataset_utils", "numerical_utils", "rng_utils", "sequence_utils", "summary_utils"],
}  # fmt: skip


def main() -> int:
    """Run them."""
    found = importlib.util.find_spec("keras")
    if found is None or not found.submodule_search_locations:
        sys.exit("Keras is not installed")
    source = Path(next(iter(found.submodule_search_locations)))
    standin.install(source)
    wanted = [argument for argument in sys.argv[1:] if argument.endswith("_test.py")]
    with tempfile.TemporaryDirectory() as work:
        # Copies, so that pytest does not import the packages above them: real Keras.
        for folder, names in FILES.items():
            for name in names:
                relative = f"{folder}/{name}_test.py"
                if not wanted or any(relative.endswith(f"/{end}") for end in wanted):
                    shutil.copy(source / "src" / relative, Path(work) / relative.replace("/", "__"))
        rest = [argument for argument in sys.argv[1:] if argument not in wanted]
        options = ["-p", "no:cacheprovider", "-q", "-c", os.devnull, "--rootdir", work, "-o", "python_files=*_test.py"]
        return pytest.main([*options, "-W", "ignore", *rest, work], [Selection()])


class Selection:
    """A plugin of pytest: tests that are not for lamina are skipped, with the reason."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Mark them."""
        for item in items:
            why = left_out.reason(item.nodeid)
            if why is not None:
                item.add_marker(pytest.mark.skip(reason=why))


if __name__ == "__main__":
    sys.exit(main())
