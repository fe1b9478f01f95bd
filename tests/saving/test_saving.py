from __future__ import annotations

import os

import pytest
from helpers import CLASSES, trained

import lamina


@pytest.mark.parametrize("name", ["m.weights.h5", "m", "m.npz", "m.keras.zip"])
def test_other_suffixes_raise_and_write_nothing(name, tmp_path):
    with pytest.raises(ValueError, match=r"must end in '\.safetensors'|are files of weights"):
        trained().save(tmp_path / name)
    assert os.listdir(tmp_path) == []
    with pytest.raises(ValueError, match=r"must end in '\.safetensors'|are files of weights"):
        lamina.models.load_model(tmp_path / name)


def test_overwrite(tmp_path):
    path = tmp_path / "m.safetensors"
    model = trained()
    model.save(path)
    content = path.read_bytes()
    model.fit(*CLASSES, verbose=0)
    with pytest.raises(ValueError, match="must not exist where overwrite is False"):
        model.save(path, overwrite=False)
    assert path.read_bytes() == content
    model.save(path)
    assert path.read_bytes() != content
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    model = trained()
    model.save(path)
    content = path.read_bytes()

    def fail(descriptor):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        model.save(path)
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_broken_files_raise(tmp_path):
    path = tmp_path / "m.safetensors"
    with pytest.raises(FileNotFoundError, match="there is no file") as missing:
        lamina.models.load_model(path)
    assert isinstance(missing.value, ValueError)  # which Keras raises for its own format
    trained().save(path)
    whole = path.read_bytes()
    for broken in (b"", b"x" * 100, whole[:-5], whole[: len(whole) // 2], whole[:4]):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="load_model: .* (is damaged|must be a whole safetensors file)"):
            lamina.models.load_model(path)


def test_file_mode_follows_umask(tmp_path):
    before = os.umask(0o027)
    try:
        trained().save(tmp_path / "m.safetensors")
    finally:
        os.umask(before)
    assert (tmp_path / "m.safetensors").stat().st_mode & 0o777 == 0o640
