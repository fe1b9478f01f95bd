"""The part of ``keras.preprocessing`` that lamina has: numbers for words, padding and cutting of sequences."""

from __future__ import annotations

from lamina._common.names import absences
from lamina.preprocessing import sequence, text

__all__ = ["sequence", "text"]


_ABSENT = {
    **dict.fromkeys(("image", "image_dataset_from_directory"), "there are no images; Rescaling scales bytes of pixels"),
    "text_dataset_from_directory": "read the files, and use lamina.preprocessing.text",
    "timeseries_dataset_from_array": "numpy.lib.stride_tricks.sliding_window_view makes windows, which fit reads",
}


__getattr__ = absences(__name__, globals(), _ABSENT)
