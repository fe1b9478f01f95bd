"""Unpacks tar and zip archives into a folder, all or nothing."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

__all__ = ["FORMATS", "unpack"]

FORMATS = ("tar", "zip")


def unpack(who: str, archive: Path, folder: Path, formats: tuple[str, ...], *, anew: bool) -> None:
    """Unpack an archive into `folder`, or leave the folder as it is if everything in the archive is there already.

    Files are unpacked beside the folder first; the folder is replaced when all of them are written.

    Parameters
    ----------
    archive, folder : Path
    formats : tuple of {"tar", "zip"}
        Formats that the archive may have.
    anew : bool
        Replace the folder, whatever is in it.

    Raises
    ------
    ValueError
        The archive has none of the formats, is damaged, or holds a file that would lie outside of the folder.
    """
    import shutil  # here and below: `import lamina` need not load it
    import tarfile
    import zipfile

    form = next((form for form in formats if _is(form, archive)), None)
    if form is None:
        raise ValueError(f"{who}: {archive} must be an archive of format {' or '.join(formats)}.")
    try:
        if not anew and folder.is_dir() and all(_is_there(folder, name, size) for name, size in _files(form, archive)):
            return
        beside = folder.with_name(f".{folder.name}.{os.urandom(8).hex()}")
        try:
            _extract(form, archive, beside)
            _replace(folder, beside)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{who}: {archive} cannot be unpacked: {error}.") from None


def _is(form: str, archive: Path) -> bool:
    import tarfile
    import zipfile

    return tarfile.is_tarfile(archive) if form == "tar" else zipfile.is_zipfile(archive)


def _files(form: str, archive: Path) -> Iterator[tuple[str, int]]:
    """Yield the names and sizes of the regular files of an archive."""
    import tarfile
    import zipfile

    if form == "tar":
        with tarfile.open(archive) as tar:
            yield from ((member.name, member.size) for member in tar if member.isfile())
    else:
        with zipfile.ZipFile(archive) as packed:
            yield from ((member.filename, member.file_size) for member in packed.infolist() if not member.is_dir())


def _is_there(folder: Path, name: str, size: int) -> bool:
    path = folder / name
    return path.is_file() and path.stat().st_size == size


def _extract(form: str, archive: Path, folder: Path) -> None:
    import tarfile
    import zipfile

    folder.mkdir()
    if form == "tar":
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")  # refuses links and names that lead outside, and devices
        return
    with zipfile.ZipFile(archive) as packed:
        for name in packed.namelist():
            if os.path.isabs(name) or ".." in Path(name).parts:
                raise zipfile.BadZipFile(f"its {name!r} would lie outside of the folder")
        packed.extractall(folder)


def _replace(folder: Path, by: Path) -> None:
    """Put a folder in the place of another one, which is removed."""
    import shutil

    before = folder.with_name(f"{by.name}.before")
    try:
        os.rename(folder, before)
    except FileNotFoundError:
        before = by
    try:
        os.rename(by, folder)
    except OSError:
        if before is not by:
            os.rename(before, folder)
        raise
    if before is not by:
        shutil.rmtree(before) if before.is_dir() and not before.is_symlink() else before.unlink()
