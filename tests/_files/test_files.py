"""Files: nothing that belonged to one is lost, interruptions leave the old one."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import textwrap
import time
import zlib

import numpy as np
import pytest
from helpers import REGRESSION, new_model, not_sanitized, same
from safetensors import safe_open

import lamina
from lamina import layers
from lamina._files import safetensors as tensor_files
from lamina._files import strict, writing
from lamina.models import load_model
from lamina.saving import ModelFileError


@pytest.mark.parametrize("save", ["save", "save_weights"])
def test_replacing_a_file_keeps_what_belonged_to_it(save, tmp_path):
    path = tmp_path / "m.safetensors"
    model = new_model()
    write = getattr(model, save)
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~current_mask()
    for mode in (0o600, 0o640, 0o444):
        path.chmod(mode)
        write(path)
        assert stat.S_IMODE(path.stat().st_mode) == mode
    try:
        os.setxattr(path, "user.note", b"mine")
    except OSError:
        return  # no extended attributes here
    write(path)
    assert os.getxattr(path, "user.note") == b"mine"


def current_mask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_replacing_a_file_keeps_its_owner(tmp_path):
    path = tmp_path / "m.safetensors"
    new_model().save(path)
    os.chown(path, 1234, 2345)
    path.chmod(0o640)
    new_model().save(path)
    found = path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 2345, 0o640)


def test_a_symbolic_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "a").mkdir()
    target, link, second = tmp_path / "a" / "t.safetensors", tmp_path / "l.safetensors", tmp_path / "l2.safetensors"
    new_model(1).save(target)
    link.symlink_to("a/t.safetensors")
    second.symlink_to(link)
    other = new_model(2)
    other.save(second)
    assert second.is_symlink()
    assert link.is_symlink()
    assert same(lamina.models.load_model(target).get_weights(), other.get_weights())
    dangling = tmp_path / "d.safetensors"
    dangling.symlink_to("a/new.safetensors")
    with pytest.raises(ValueError, match="must not exist where overwrite is False"):
        other.save(dangling, overwrite=False)
    other.save(dangling)
    assert dangling.is_symlink()
    assert (tmp_path / "a" / "new.safetensors").is_file()


def test_long_names_and_names_in_bytes_and_home(tmp_path, monkeypatch):
    model, name = new_model(), "n" * 243 + ".safetensors"
    assert len(name) == 255
    model.save(tmp_path / name)
    assert same(lamina.models.load_model(tmp_path / name).get_weights(), model.get_weights())
    monkeypatch.setenv("HOME", str(tmp_path))
    model.save("~/home.safetensors")
    assert (tmp_path / "home.safetensors").is_file()


def test_what_is_no_regular_file_is_left_alone(tmp_path):
    pipe, folder = tmp_path / "p.safetensors", tmp_path / "f.safetensors"
    os.mkfifo(pipe)
    folder.mkdir()
    for path in (pipe, folder):
        with pytest.raises(ValueError, match="must be a regular file"):
            new_model().save(path)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    with pytest.raises(FileNotFoundError, match=r"none/m\.safetensors"):
        new_model().save(tmp_path / "none" / "m.safetensors")
    with pytest.raises(TypeError, match="filepath must be a path; got int"):
        new_model().save(3)
    with pytest.raises(ValueError, match="must not contain a null byte"):
        new_model().save("a\0b.safetensors")
    with pytest.raises(ValueError, match="must be of characters that names of files have"):
        new_model().save("a\ud800b.safetensors")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.safetensors", "p.safetensors"]


def test_a_failed_save_changes_nothing(tmp_path):
    path = tmp_path / "m.safetensors"
    new_model(1).save(path)
    before = path.read_bytes()
    code = f"""
        import resource, signal
        import numpy as np, lamina
        from lamina import layers
        model = lamina.Sequential([lamina.Input((2000,)), layers.Dense(2000)])
        model.compile("adam", "mse")
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        try:
            model.save({str(path)!r})
        except OSError as error:
            print(type(error).__name__, error.filename == {str(path)!r})
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.stdout == "OSError True\n", done.stderr
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


@not_sanitized
def test_a_save_without_memory_raises_and_the_process_lives(tmp_path):
    path = tmp_path / "m.safetensors"
    code = f"""
        import resource
        import numpy as np, lamina
        from lamina import layers
        model = lamina.Sequential([lamina.Input((8000,)), layers.Dense(8000)])
        held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + (100 << 20),) * 2)
        try:
            model.save({str(path)!r})
        except MemoryError:
            print("MemoryError")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "MemoryError\n"), done.stderr
    assert not list(tmp_path.iterdir())


@not_sanitized
def test_loading_without_memory_raises_memory_error(tmp_path):
    path = tmp_path / "m.safetensors"
    lamina.Sequential([lamina.Input((6000,)), layers.Dense(6000)]).save(path)
    code = f"""
        import resource
        import numpy as np, lamina
        from safetensors import safe_open
        held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + (200 << 20),) * 2)  # enough for the file, not for a copy
        try:
            lamina.models.load_model({str(path)!r})
        except MemoryError:
            print("MemoryError")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "MemoryError\n"), done.stderr


def test_ctrl_c_at_any_moment_of_a_save_is_a_keyboard_interrupt(tmp_path):
    code = f"""
        import os, pathlib, random, signal, threading, time
        import numpy as np, lamina
        from lamina import layers
        signal.signal(signal.SIGINT, signal.default_int_handler)
        folder = pathlib.Path({str(tmp_path)!r})
        model = lamina.Sequential([lamina.Input((60,)), layers.Dense(300), layers.Dense(3)])
        model.compile("adam", "mse")
        path = folder / "m.safetensors"
        model.save(path)
        begun = time.perf_counter()
        model.save(path)
        took = time.perf_counter() - begun
        random.seed(0)
        others, interrupted = [], 0
        for _ in range(300):
            timer = threading.Timer(random.uniform(0, 1.5 * took), os.kill, (os.getpid(), signal.SIGINT))
            try:
                timer.start()
                model.save(path)
                timer.join()
                time.sleep(0.001)
            except KeyboardInterrupt:
                interrupted += 1
            except BaseException as error:
                others.append(repr(error))
            timer.join()
            try:
                time.sleep(0.001)
            except KeyboardInterrupt:
                pass
            lamina.models.load_model(path)
        print(interrupted > 50, others, sorted(p.name for p in folder.iterdir()))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.stdout == "True [] ['m.safetensors']\n", (done.stdout, done.stderr)


def test_what_killed_writers_leave_behind_is_removed_later(tmp_path):
    path = tmp_path / "m.safetensors"
    code = f"""
        import os, pathlib, signal
        from lamina._files.writing import replace_file
        with replace_file("", pathlib.Path({str(path)!r})) as file:
            file.write(b"half")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    (left,) = tmp_path.iterdir()
    new_model().save(path)
    assert left.exists()  # it might be at work still
    old = time.time() - 3600
    os.utime(left, (old, old))
    with writing.replace_file("", tmp_path / "other.safetensors") as file:
        (busy,) = (p for p in tmp_path.iterdir() if p.suffix == ".part" and p != left)
        os.utime(busy, (old, old))
        new_model().save(path)
        assert not left.exists()
        assert busy.exists()  # its writer holds it
        file.write(b"done")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.safetensors", "other.safetensors"]


def test_files_are_safetensors(tmp_path):
    tensors = {
        "a": np.arange(6, dtype="f4").reshape(2, 3), "b": np.float64(2.5).reshape(()), "c": np.zeros((0, 4), "f4"),
        "d": np.arange(6.0).reshape(2, 3).T, "e": np.arange(3, dtype=">f8"),
    }  # fmt: skip
    path = tmp_path / "t.safetensors"
    tensor_files.write_tensors("", path, tensors, {"who": 'ü "quoted"'})
    with safe_open(path, framework="np") as file:
        assert file.metadata()["who"] == 'ü "quoted"'
        assert json.loads(file.metadata()["lamina crc32"])["a"] == zlib.crc32(tensors["a"].tobytes())
        for name, array in tensors.items():
            np.testing.assert_array_equal(file.get_tensor(name), array)
            assert file.get_tensor(name).shape == array.shape


def test_every_flipped_bit_is_found(tmp_path):
    model, path = new_model(), tmp_path / "m.safetensors"
    model.fit(*REGRESSION, verbose=0)
    model.save(path)
    whole, before = path.read_bytes(), model.get_weights()
    begin = 8 + int.from_bytes(whole[:8], "little")
    rng = np.random.default_rng(0)
    for bit in rng.choice(8 * (len(whole) - begin), 200, replace=False):
        broken = bytearray(whole)
        broken[begin + bit // 8] ^= 1 << bit % 8
        path.write_bytes(broken)
        with pytest.raises(ModelFileError, match="is not what was written"):
            load_model(path)
        with pytest.raises(ModelFileError, match="is not what was written"):
            model.load_weights(path)
    assert same(model.get_weights(), before)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1, "a": 2}', "names 'a' twice"), ('{"a": [{"b": 0, "c": 1, "b": 2}]}', "names 'b' twice"),
        ("[" * 100_000, "nested too deep"), ("{", "Expecting"),
    ],
)  # fmt: skip
def test_json_that_lies(text, words):
    with pytest.raises(ValueError, match=words):
        strict.loads(text)


def test_names_that_a_header_has_twice(tmp_path):
    path, tensor = tmp_path / "m.safetensors", '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
    for header in (f'{{"a":{tensor},"a":{tensor}}}', '{"__metadata__":{"lamina":"{}","lamina":"{}"}}'):
        text = header.encode().ljust(-(-len(header) // 8) * 8)
        path.write_bytes(len(text).to_bytes(8, "little") + text + b"\0\0\0\0" * ("dtype" in header))
        with pytest.raises(ModelFileError):
            load_model(path)


def test_weights_of_damaged_files(tmp_path):
    model = new_model()
    path = tmp_path / "w.safetensors"
    model.save_weights(path)
    before = model.get_weights()
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        broken = bytearray(whole)
        for place in rng.integers(0, min(len(whole), 700), 2):
            broken[place] = rng.integers(0, 256)
        path.write_bytes(broken)
        try:
            model.load_weights(path)
        except ModelFileError:
            assert same(model.get_weights(), before)
        else:
            model.set_weights(before)


def test_weights_of_another_model_are_refused(tmp_path):
    lamina.Sequential([lamina.Input((7,)), layers.Dense(2), layers.Dense(2)]).save_weights(tmp_path / "w.safetensors")
    model = lamina.Sequential([lamina.Input((7,)), layers.Dense(2), layers.Dense(3)])
    before = model.get_weights()
    with pytest.raises(ModelFileError, match=r"must have shape \(2, 3\); got \(2, 2\)"):
        model.load_weights(tmp_path / "w.safetensors")
    assert same(model.get_weights(), before)


def test_settings_in_a_file_are_looked_at(tmp_path):
    path = tmp_path / "m.safetensors"
    new_model(noise=True).save(path)
    with safe_open(path, framework="np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
        settings = json.loads(file.metadata()["lamina"])
    for name, wrong in (
        ("shuffles", 2**70), ("draws", -1), ("batches", "3"), ("layers", {"dropout": {"key": -1, "draws": 0}}),
        ("layers", {"dropout": {}, "x": 3}), ("layers", [3]),
    ):  # fmt: skip
        tensor_files.write_tensors("", path, tensors, {"lamina": json.dumps(settings | {name: wrong})})
        with pytest.raises(ValueError, match="is damaged"):
            lamina.models.load_model(path)
    tensor_files.write_tensors(
        "", path, tensors, {"lamina": json.dumps({k: v for k, v in settings.items() if k != "layers"})}
    )
    lamina.models.load_model(path)  # as written before there were such states


def test_a_file_that_is_replaced_while_it_is_read_is_one_or_the_other(tmp_path):
    files = []
    for number in (1, 2):
        model = new_model()
        model.set_weights([np.full(v.shape, number) for v in model.weights])
        model.seed = number
        model.save(tmp_path / f"{number}.safetensors")
        files.append((tmp_path / f"{number}.safetensors").read_bytes())
    path = tmp_path / "m.safetensors"
    path.write_bytes(files[0])
    code = f"""
        import os, time
        files = [open({str(tmp_path)!r} + f"/{{n}}.safetensors", "rb").read() for n in (1, 2)]
        end, i = time.time() + 3, 0
        while time.time() < end:
            i += 1
            open({str(tmp_path)!r} + "/t", "wb").write(files[i % 2])
            os.replace({str(tmp_path)!r} + "/t", {str(path)!r})
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)]) as writer:
        while writer.poll() is None:
            loaded = lamina.models.load_model(path)
            assert all((array == loaded.seed).all() for array in loaded.get_weights())


def test_what_is_no_file_of_ours_does_not_stop_a_save(tmp_path):
    pipe = tmp_path / ".lamina-0123456789abcdef.part"
    os.mkfifo(pipe)
    os.utime(pipe, (1, 1))
    new_model().save(tmp_path / "m.safetensors")
    assert pipe.exists()


def test_the_file_that_is_read_is_the_one_that_was_looked_at(tmp_path, monkeypatch):
    whole, path = tmp_path / "whole.safetensors", tmp_path / "m.safetensors"
    model = new_model()
    model.save(whole)
    path.write_bytes(whole.read_bytes()[:-8])  # cut short
    check = tensor_files.check_whole

    def replaced_meanwhile(looked_at):
        if whole.exists():
            os.replace(whole, path)
        check(looked_at)

    monkeypatch.setattr(tensor_files, "check_whole", replaced_meanwhile)
    assert same(lamina.models.load_model(path).get_weights(), model.get_weights())
