from __future__ import annotations

import hashlib
import http.server
import io
import os
import stat
import subprocess
import sys
import tarfile
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lamina.utils import get_file

CONTENT = np.random.default_rng(0).bytes(700_000)


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`; breaks the connection after `breaks` bytes of an answer."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.requests, self.breaks, self.tags, self.ranges = {}, [], [], True, True
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        server.requests.append((self.path, self.headers.get("Range")))
        content = server.files.get(self.path)
        if content is None:
            self.send_error(404, "Not here")
            return
        begin = 0
        asked = self.headers.get("Range")
        if asked and server.ranges:
            begin = int(asked.removeprefix("bytes=").rstrip("-"))
            if begin >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if server.tags:
            self.send_header("ETag", hashlib.md5(content).hexdigest())
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        content = content[begin:]
        if server.breaks:
            content = content[: server.breaks.pop(0)]
        self.wfile.write(content)


@pytest.fixture
def server():
    server = Server()
    server.files["/a/data.bin"] = CONTENT
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


def test_names_folders_and_messages(server, home, capsys):
    url = f"{server.url}/a/data.bin"
    for _ in range(2):
        path = get_file("mine.bin", url, file_hash=hashlib.sha256(CONTENT).hexdigest())
        assert path == str(home / "datasets" / "mine.bin")
    with open(path, "rb") as file:
        assert file.read() == CONTENT
    assert len(server.requests) == 1
    assert capsys.readouterr().out == f"Downloading data from {url}\n"  # no progress bar, as this is no terminal
    assert listed(home / "datasets") == ["mine.bin"]
    assert stat.S_IMODE(os.stat(path).st_mode) & 0o600 == 0o600
    assert get_file(origin=url, cache_dir=home / "other", cache_subdir="") == str(home / "other" / "data.bin")
    assert get_file(origin=url, cache_subdir=str(home / "third")) == str(home / "third" / "data.bin")


def test_a_checksum_decides(server, home):
    url, right = f"{server.url}/a/data.bin", hashlib.md5(CONTENT).hexdigest()
    wrong = hashlib.sha256(b"").hexdigest()
    with pytest.raises(ValueError, match=f"must have the checksum sha256 {wrong}; what came has another one"):
        get_file("a.bin", url, file_hash=wrong)
    assert not (home / "datasets" / "a.bin").exists()
    path = get_file("a.bin", url, md5_hash=right)
    with open(path, "wb") as file:
        file.write(b"old")
    assert get_file("a.bin", url) == path  # without a checksum any file will do
    assert os.path.getsize(path) == 3
    get_file("a.bin", url, file_hash=right.upper())
    assert os.path.getsize(path) == len(CONTENT)
    server.files["/a/data.bin"] = b"new"
    get_file("a.bin", url, force_download=True)
    assert os.path.getsize(path) == 3


def test_a_broken_download_continues(server, home):
    server.breaks = [100_000, 200_000]
    path = get_file(origin=f"{server.url}/a/data.bin")
    assert [asked for _, asked in server.requests] == [None, "bytes=100000-", "bytes=300000-"]
    with open(path, "rb") as file:
        assert file.read() == CONTENT
    assert listed(home / "datasets") == ["data.bin"]


@pytest.mark.parametrize("tags", [True, False])
def test_the_next_call_continues(server, home, tags):
    server.tags, server.breaks = tags, [100_000, 0]
    with pytest.raises(OSError, match=r"ended after 100000 of 700000 bytes.*put the file at .*data\.bin"):
        get_file(origin=f"{server.url}/a/data.bin")
    assert "data.bin" not in listed(home / "datasets")
    get_file(origin=f"{server.url}/a/data.bin")
    assert [asked for _, asked in server.requests] == [None, "bytes=100000-", "bytes=100000-"]
    assert (home / "datasets" / "data.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("change", ["content", "no ranges", "shorter", "other URL"])
def test_another_version_begins_anew(server, home, change):
    server.breaks = [100_000, 0]
    with pytest.raises(OSError, match="ended after"):
        get_file("a", f"{server.url}/a/data.bin")
    content, url = CONTENT[::-1], f"{server.url}/a/data.bin"
    if change == "no ranges":
        server.ranges = False
    elif change == "shorter":
        content = content[:1000]
    elif change == "other URL":
        server.files["/b"] = content
        url = f"{server.url}/b"
    server.files["/a/data.bin"] = content
    get_file("a", url)
    assert (home / "datasets" / "a").read_bytes() == content


def test_a_wrong_beginning_is_fetched_again(server, home):
    server.breaks = [100_000, 0]
    with pytest.raises(OSError, match="ended after"):
        get_file("a", f"{server.url}/a/data.bin")
    part = home / "datasets" / ".a.part"
    part.write_bytes(b"\0" * 100_000)  # as after a crash of the machine
    get_file("a", f"{server.url}/a/data.bin", file_hash=hashlib.sha256(CONTENT).hexdigest())
    assert (home / "datasets" / "a").read_bytes() == CONTENT


def test_threads_share_one_download(server, home):
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: get_file(origin=f"{server.url}/a/data.bin"), range(8)))
    assert set(paths) == {str(home / "datasets" / "data.bin")}
    assert len(server.requests) == 1
    assert listed(home / "datasets") == ["data.bin"]


def test_processes_share_one_download(server, home):
    code = f"from lamina.utils import get_file; get_file(origin='{server.url}/a/data.bin')"
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [process.wait() for process in running] == [0] * 4
    assert len(server.requests) == 1
    assert (home / "datasets" / "data.bin").read_bytes() == CONTENT


def test_without_a_connection_the_message_says_what_to_do(home):
    with pytest.raises(
        OSError, match=r"cannot be downloaded: .*refused.* put the file at .*datasets/a\.bin \(md5 0+\)"
    ):
        get_file("a.bin", "http://127.0.0.1:9/a.bin", file_hash="0" * 32)


def test_a_missing_file_is_named(server, home):
    with pytest.raises(OSError, match="answered 404 Not here"):
        get_file("a.bin", f"{server.url}/none")


def test_other_origins(home, tmp_path):
    source = tmp_path / "source.bin"
    source.write_bytes(CONTENT)
    with open(get_file(origin=source.as_uri()), "rb") as file:
        assert file.read() == CONTENT


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to_is_named(home, server):
    home.mkdir()
    home.chmod(0o500)
    with pytest.raises(PermissionError, match="Set KERAS_HOME"):
        get_file(origin=f"{server.url}/a/data.bin")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "origin must be given"),
        ({"origin": "data.bin"}, "origin must be a URL"),
        ({"origin": "data:,x"}, "origin must be a URL"),
        ({"origin": "http://127.0.0.1/"}, "fname must be given"),
        ({"origin": "http://127.0.0.1/a", "fname": "a/b"}, "fname must be a name without folders"),
        ({"origin": "http://127.0.0.1/a", "fname": ".."}, "fname must be a name without folders"),
        ({"origin": "http://127.0.0.1/a", "file_hash": "12"}, "file_hash must be the hexadecimal digits"),
        ({"origin": "http://127.0.0.1/a", "hash_algorithm": "crc"}, "hash_algorithm must be"),
        ({"origin": "http://127.0.0.1/a", "archive_format": "rar"}, "archive_format must be"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        get_file(**arguments)


def tar_of(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zip_of(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_archives_are_unpacked(server, home, make):
    server.files["/set.tar.gz"] = make({"d/a.txt": b"one", "d/b.txt": b"two"})
    url = f"{server.url}/set.tar.gz"
    assert get_file("set.tar.gz", url, extract=True) == str(home / "datasets" / "set_extracted")
    folder = home / "datasets" / "set"
    for _ in range(2):
        assert get_file("set", url, extract=True, archive_format=["zip", "tar"]) == str(folder)
        assert (folder / "d" / "b.txt").read_bytes() == b"two"
    assert listed(home / "datasets") == ["set", "set.tar.gz", "set_archive", "set_extracted"]
    (folder / "d" / "b.txt").unlink()  # a file is missing: everything is unpacked again
    (folder / "mine").write_bytes(b"x")
    get_file("set", url, extract=True)
    assert listed(folder / "d") == ["a.txt", "b.txt"]
    (folder / "mine").write_bytes(b"x")  # nothing is missing: nothing is touched
    get_file("set", url, extract=True)
    assert "mine" in listed(folder)


def test_archives_that_lead_outside_are_refused(server, home, tmp_path):
    made = [tar_of({"../out": b"x"}), zip_of({"../out": b"x"}), zip_of({"/o/out": b"x"}), tar_of({"/../out": b"x"})]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    for i, content in enumerate([*made, buffer.getvalue()]):
        server.files[f"/{i}"] = content
        with pytest.raises(ValueError, match="cannot be unpacked"):
            get_file(f"x{i}", f"{server.url}/{i}", extract=True)
        assert not (home / "datasets" / f"x{i}").exists()
    assert not (home / "datasets" / "out").exists()
    server.files["/no"] = b"no archive"
    with pytest.raises(ValueError, match="must be an archive of format tar"):
        get_file("no", f"{server.url}/no", untar=True)
