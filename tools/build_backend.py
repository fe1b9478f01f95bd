"""The build backend: scikit-build-core, whose wheels are then compressed by zopfli, 3 % smaller in ten seconds.

``python tools/build_backend.py WHEEL...`` does the same to wheels that another tool has written again, as auditwheel
does. Where zopfli is missing, which only builds without isolation can lack, wheels stay as they are.
"""

from __future__ import annotations

import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

from scikit_build_core import build as backend
from scikit_build_core.build import (
    build_editable,
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable", "build_sdist", "build_wheel", "get_requires_for_build_editable", "get_requires_for_build_sdist",
    "get_requires_for_build_wheel", "prepare_metadata_for_build_editable", "prepare_metadata_for_build_wheel",
]  # fmt: skip

Settings = dict[str, Any] | None

_VERSION, _DEFLATED, _UNIX = 20, 8, 3 << 8


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """Return what a build needs besides the build-system table."""
    return [*backend.get_requires_for_build_wheel(config_settings), "zopfli"]


def build_wheel(wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    """Build a wheel; return its name."""
    name: str = backend.build_wheel(wheel_directory, config_settings, metadata_directory)
    compress(Path(wheel_directory) / name)
    return name


def compress(wheel: Path) -> None:
    """Write the members of a wheel again, smaller: the same names, times, permissions and contents."""
    try:
        from zopfli.zlib import compress as as_zlib
    except ImportError:
        return
    locals_, centrals, offset = [], [], 0
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            content, name = archive.read(member), member.filename.encode()
            packed = as_zlib(content, numiterations=1)[2:-4]  # without the frame of the zlib format
            year, month, day, hour, minute, second = member.date_time
            about = struct.pack(
                "<HHHHHIIIHH", _VERSION, 0x800, _DEFLATED, hour << 11 | minute << 5 | second // 2,
                (year - 1980) << 9 | month << 5 | day, member.CRC, len(packed), len(content), len(name), 0,
            )  # fmt: skip
            rest = struct.pack("<HHHII", 0, 0, 0, member.external_attr, offset)
            locals_.append(b"PK\3\4" + about + name + packed)
            centrals.append(b"PK\1\2" + struct.pack("<H", _UNIX | _VERSION) + about + rest + name)
            offset += len(locals_[-1])
    directory = b"".join(centrals)
    end = struct.pack("<HHHHIIH", 0, 0, len(centrals), len(centrals), len(directory), offset, 0)
    wheel.write_bytes(b"".join(locals_) + directory + b"PK\5\6" + end)


if __name__ == "__main__":
    for given in sys.argv[1:]:
        compress(Path(given))
