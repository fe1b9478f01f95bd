"""get_file: the path of a file of the cache, downloaded first if it is not there."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple

from lamina._common.checks import KindError, choice, flag, text
from lamina._common.file_locks import lock_file
from lamina._common.paths import path as check_path
from lamina._common.paths import writable_folder
from lamina._files.archives import FORMATS, unpack

__all__ = ["DownloadError", "get_file", "keras_home"]

# Seconds without an answer until a server counts as unreachable, bytes that are read at a time, and how often a
# download whose connection breaks is continued in one call.
_PATIENCE, _PIECE, _TRIES = 20.0, 1 << 18, 5
_SCHEMES = ("http", "https", "ftp", "file")


class DownloadError(OSError):
    """A file could not be downloaded."""


class Checksum(NamedTuple):
    """What a file's bytes must hash to."""

    algorithm: str
    digest: str

    def fits(self, path: Path) -> bool:
        """Return whether a file has this checksum."""
        import hashlib  # here and below: `import lamina` need not load it

        with path.open("rb") as file:
            return hashlib.file_digest(file, self.algorithm).hexdigest() == self.digest

    def __str__(self) -> str:
        return f"{self.algorithm} {self.digest}"


def keras_home() -> Path:
    """Return Keras's folder, with its cache: that of the environment variable KERAS_HOME, or ``~/.keras``."""
    return Path(os.path.expanduser(os.environ.get("KERAS_HOME") or "~/.keras"))


def get_file(
    fname: Any = None,
    origin: str | None = None,
    untar: bool = False,
    md5_hash: str | None = None,
    file_hash: str | None = None,
    cache_subdir: Any = "datasets",
    hash_algorithm: str = "auto",
    extract: bool = False,
    archive_format: Any = "auto",
    cache_dir: Any = None,
    force_download: bool = False,
) -> str:
    """Return the path of a file in Keras's cache; download it first if it is not there or has another checksum.

    The file appears when it is complete and its checksum is right. An interrupted download continues where it ended,
    in the same call or the next one, if the server still has the same file. Threads and processes that want the same
    file wait for the one that downloads it.

    Parameters
    ----------
    fname : str, optional
        Name in the cache; the last part of `origin` if omitted.
    origin : str
        URL: http, https, ftp or file.
    untar : bool
        The older spelling of `extract` for tar archives.
    md5_hash : str, optional
        The older spelling of `file_hash` for MD5.
    file_hash : str, optional
        Checksum in hexadecimal digits, SHA-256 or MD5.
    cache_subdir : str or Path
        Folder within `cache_dir`.
    hash_algorithm : {"auto", "sha256", "md5"}
        "auto" follows from the number of digits.
    extract : bool
        Unpack the file, a tar or zip archive, into a folder, as Keras names it: ``NAME_extracted`` for ``NAME.tar.gz``;
        for an `fname` without a dot that name, and the archive gets ``_archive`` added to it.
    archive_format : {"auto", "tar", "zip"}, or list of them
        Formats that the archive may have.
    cache_dir : str or Path, optional
        If omitted, that of the environment variable ``KERAS_HOME``, or ``~/.keras``.
    force_download : bool
        Download it, whatever is there.

    Returns
    -------
    str
        Path of the file, or with `extract` of the folder.

    Raises
    ------
    OSError
        There is no connection, the server has no such file, or the folder cannot be written to. The message says where
        to put the file by hand.
    ValueError
        The checksum of what was downloaded is another one, or the archive cannot be unpacked.
    """
    who = "get_file"
    if origin is None:
        raise ValueError(f"{who}: origin must be given, the URL of the file.")
    origin = text(who, "origin", origin)
    import urllib.parse

    parts = urllib.parse.urlsplit(origin)
    if parts.scheme not in _SCHEMES:
        raise ValueError(f"{who}: origin must be a URL that begins with {', '.join(_SCHEMES)}; got {origin!r}.")
    given = fname is not None and not (isinstance(fname, str) and not fname)
    name = os.fspath(check_path(who, "fname", fname)) if given else os.path.basename(parts.path)
    if not name:
        raise ValueError(f"{who}: fname must be given, as {origin!r} ends without a name.")
    if os.sep in name or name in (".", ".."):
        raise ValueError(f"{who}: fname must be a name without folders; got {name!r}. The folder is cache_dir.")
    checksum = _checksum(who, md5_hash, file_hash, hash_algorithm)
    unpacks = flag(who, "extract", extract) | (from_tar := flag(who, "untar", untar))
    formats = ("tar",) if from_tar else _formats(who, archive_format)
    folder = keras_home() if cache_dir is None else check_path(who, "cache_dir", cache_dir)
    if not (isinstance(cache_subdir, str) and not cache_subdir):
        folder = folder / check_path(who, "cache_subdir", cache_subdir)

    target, unpacked = folder / name, folder / name
    if unpacks and given and "." in name:
        unpacked = folder / f"{name.partition('.')[0]}_extracted"
    elif unpacks:
        target = folder / f"{name}_archive"
    fetched = _fetch(who, origin, target, checksum, anew=flag(who, "force_download", force_download))
    if unpacks:
        unpack(who, target, unpacked, formats, anew=fetched)
    return str(unpacked)


def _checksum(who: str, md5_hash: Any, file_hash: Any, algorithm: Any) -> Checksum | None:
    choice(who, "hash_algorithm", algorithm, ("auto", "sha256", "md5"))
    if file_hash is None and md5_hash is not None:
        file_hash, algorithm = text(who, "md5_hash", md5_hash), "md5"
    if file_hash is None:
        return None
    digest = text(who, "file_hash", file_hash).lower()
    if algorithm == "auto":
        algorithm = "sha256" if len(digest) == 64 else "md5"
    if len(digest) != (64 if algorithm == "sha256" else 32) or set(digest) - set("0123456789abcdef"):
        raise ValueError(f"{who}: file_hash must be the hexadecimal digits of an {algorithm} checksum; got {digest!r}.")
    return Checksum(algorithm, digest)


def _formats(who: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str) and value == "auto":
        return FORMATS
    found = (value,) if isinstance(value, str) else value
    if not isinstance(found, (list, tuple)) or not found or not all(one in FORMATS for one in found):
        raise KindError(f"{who}: archive_format must be 'auto', 'tar', 'zip' or a list of these; got {value!r}.")
    return tuple(found)


def _fetch(who: str, url: str, target: Path, checksum: Checksum | None, *, anew: bool) -> bool:
    """Download a file unless it is there; return whether it was downloaded."""
    if not anew and _is_there(target, checksum):
        return False
    try:
        writable_folder(who, "the cache's folder", target.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise type(error)(
            f"{error} Set KERAS_HOME, or cache_dir, to a folder that can be written to; or put the file there."
        ) from None
    part = target.with_name(f".{target.name}.part")
    with _locked(part) as file:
        if not anew and _is_there(target, checksum):  # another thread or process has just downloaded it
            _let_go(file)
            os.unlink(part)
            return False
        print(f"Downloading data from {url}")
        _download(who, url, file, part, target, checksum)
        os.fsync(file.fileno())
        _let_go(file)
        os.replace(part, target)
    return True


def _let_go(file: BinaryIO) -> None:
    """Close a file on Windows, which renames and removes no open one. Elsewhere it stays locked until that is done."""
    if sys.platform == "win32":
        file.close()


def _is_there(target: Path, checksum: Checksum | None) -> bool:
    return target.is_file() and (checksum is None or checksum.fits(target))


@contextlib.contextmanager
def _locked(part: Path) -> Iterator[BinaryIO]:
    """Open a file that nobody else writes to meanwhile."""
    while True:
        file = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "r+b")
        with file:
            lock_file(file)
            if _is_at(file, part):  # else another one has finished it and renamed it
                yield file
                return


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Return whether a path leads to an open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


class _Origin(NamedTuple):
    """What tells one version of a file on a server from another."""

    url: str
    size: int | None
    version: str | None

    @classmethod
    def of_last_time(cls, notes: Path) -> _Origin | None:
        """Return what an earlier call wrote down, None if there was none."""
        try:
            found = json.loads(notes.read_text())
            return cls(found["url"], found["size"], found["version"])
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _download(who: str, url: str, file: BinaryIO, part: Path, target: Path, checksum: Checksum | None) -> None:
    """Fill a file with what a server sends; what is in the file already is asked for only if that was another version.

    Raises
    ------
    DownloadError
        The server cannot be reached, refuses, or sends less than it promised. What came stays for the next call.
    ValueError
        The checksum is another one. The file is emptied.
    """
    import http.client
    import urllib.error

    notes = part.with_suffix(".json")
    by_hand = f"Without a connection, put the file at {target}" + ("" if checksum is None else f" ({checksum})")
    begun = _Origin.of_last_time(notes)
    resumed = begun is not None and begun.url == url and file.seek(0, os.SEEK_END) > 0
    if not resumed:
        file.truncate(0)
    left = _TRIES
    while True:
        before = file.seek(0, os.SEEK_END)
        try:
            begun = _receive(url, file, notes, begun)
        except urllib.error.HTTPError as error:
            error.close()  # it holds the answer
            raise DownloadError(f"{who}: {url} answered {error.code} {error.reason}. {by_hand}.") from None
        except (OSError, http.client.HTTPException) as error:
            left -= 1
            begun = _Origin.of_last_time(notes)
            if left and file.seek(0, os.SEEK_END) > before:  # something came
                continue
            reason = getattr(error, "reason", error)
            raise DownloadError(f"{who}: {url} cannot be downloaded: {reason}. {by_hand}.") from None
        file.flush()
        if checksum is None or checksum.fits(part):
            break
        file.truncate(0)
        if not resumed:
            notes.unlink(missing_ok=True)
            raise ValueError(f"{who}: {url} must have the checksum {checksum}; what came has another one.")
        resumed, begun = False, None  # the part of last time may have been wrong
    notes.unlink(missing_ok=True)


def _receive(url: str, file: BinaryIO, notes: Path, begun: _Origin | None) -> _Origin:
    """Append to a file what it lacks of a server's; begin anew if the server has another version."""
    import urllib.error
    import urllib.request

    have = file.seek(0, os.SEEK_END)
    asked = {"User-Agent": "lamina", "Accept-Encoding": "identity"}
    if have:
        asked["Range"] = f"bytes={have}-"
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=asked), timeout=_PATIENCE)
    except urllib.error.HTTPError as error:
        if not have or error.code != 416:  # 416: the server has no bytes from there on
            raise
        error.close()
        file.truncate(0)
        return _receive(url, file, notes, None)
    with answer:
        offered = _offer(url, answer)
        if have and (getattr(answer, "status", None) != 206 or offered != begun or _first_byte(answer) != have):
            file.truncate(0)
            file.seek(0)
            if getattr(answer, "status", None) == 206:  # a part of another version
                return _receive(url, file, notes, None)
            have = 0
        notes.write_text(json.dumps(offered._asdict()))
        _copy(answer, file, have, offered.size, os.path.basename(url))
    return offered


def _offer(url: str, answer: Any) -> _Origin:
    headers = answer.headers
    size = headers.get("Content-Range", "").rpartition("/")[2] or headers.get("Content-Length", "")
    return _Origin(url, int(size) if size.isdecimal() else None, headers.get("ETag") or headers.get("Last-Modified"))


def _first_byte(answer: Any) -> int:
    """Return where the part that a server sends begins; -1 if it does not say."""
    begin = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(begin) if begin.isdecimal() else -1


def _copy(answer: IO[bytes], file: BinaryIO, have: int, size: int | None, name: str) -> None:
    """Append what an answer holds to a file, with a progress bar on a terminal."""
    from tqdm.auto import tqdm

    with tqdm(total=size, initial=have, unit="B", unit_scale=True, desc=name, file=sys.stdout, disable=None) as bar:
        while piece := answer.read(_PIECE):
            file.write(piece)
            bar.update(len(piece))
    file.flush()
    if size is not None and file.tell() != size:
        raise ConnectionError(f"the connection ended after {file.tell()} of {size} bytes")
