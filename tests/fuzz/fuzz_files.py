"""Damaged model files, found by coverage: `python fuzz_files.py [ARGUMENTS OF LIBFUZZER]`, such as -max_total_time=30.

Whatever a file holds, loading it returns a model or raises ModelFileError; nothing is run, and memory and time are
bounded. Needs atheris (https://pypi.org/project/atheris).
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["lamina"]):
    import lamina
    from lamina import layers, models, saving

import numpy as np

FOLDER = Path(tempfile.mkdtemp())
# Not HDF5 alone: its library may loop without an end in a damaged file (found here, h5py 3.16). In .keras files a
# checksum lies before it.
SUFFIXES = (".safetensors", ".keras", ".weights.safetensors", ".json", ".onnx", ".torch.safetensors")


def model() -> lamina.Sequential:
    """Return a small model, trained."""
    stack = [layers.Dense(3, "tanh"), layers.Dropout(0.1), layers.BatchNormalization(), layers.Dense(1)]
    made = lamina.Sequential([lamina.Input((2,)), *stack])
    made.compile("adam", "mse", metrics=["mae"])
    made.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
    return made


def corpus(folder: Path) -> None:
    """Write whole files, each after a byte that says of which kind it is."""
    made = model()
    for number, suffix in enumerate(SUFFIXES):
        path = FOLDER / f"whole{suffix}"
        if suffix == ".json":
            path.write_text(made.to_json())
        elif suffix == ".onnx":
            made.export(path)
        elif "weights" in suffix:
            made.save_weights(path)
        elif "torch" in suffix:
            saving.save_torch_weights(made, path)
        else:
            made.save(path)
        content = path.read_bytes()
        (folder / f"{number}").write_bytes(bytes([number]) + content)
        if suffix.endswith(".safetensors"):
            (folder / f"{number} without sums").write_bytes(bytes([number]) + without_sums(content))


def without_sums(content: bytes) -> bytes:
    """Return a safetensors file without checksums, so that what is behind them is reached."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    del header["__metadata__"]["lamina crc32"]
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[end:]


def load(data: bytes) -> None:
    """Load a file; raise what is not a ModelFileError."""
    if not data:
        return
    suffix = SUFFIXES[data[0] % len(SUFFIXES)]
    path = FOLDER / f"file{suffix}"
    path.write_bytes(data[1:])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if suffix == ".json":
                models.model_from_json(data[1:].decode(errors="replace"))
            elif "weights" in suffix:
                TARGET.load_weights(path)
            elif "torch" in suffix:
                saving.load_torch_weights(TARGET, path)
            else:
                models.load_model(path)
    except saving.ModelFileError:
        pass
    except (TypeError, ValueError):
        if suffix != ".json":
            raise


if __name__ == "__main__":
    TARGET = model()
    seeds = FOLDER / "seeds"
    seeds.mkdir()
    corpus(seeds)
    atheris.Setup([sys.argv[0], str(seeds), "-rss_limit_mb=2000", "-timeout=20", *sys.argv[1:]], load)
    atheris.Fuzz()
