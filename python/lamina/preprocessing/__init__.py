"""The part of ``keras.preprocessing`` that lamina has: padding and cutting sequences to equal length."""

from __future__ import annotations

from lamina._common.names import absences
from lamina.preprocessing import sequence

__all__ = ["sequence"]


_ABSENT = {
    **dict.fromkeys(("image", "image_dataset_from_directory"), "there are no images; Rescaling scales bytes of pixels"),
    **dict.fromkeys(
        ("text", "text_dataset_from_directory"), "prepare text before: scikit-learn's CountVectorizer gives sparse rows"
    ),
    "timeseries_dataset_from_array": "numpy.lib.stride_tricks.sliding_window_view makes windows, which fit reads",
}


__getattr__ = absences(__name__, globals(), _ABSENT)
