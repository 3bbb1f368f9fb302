"""Reading files of weights: broken, foreign and malicious ones too."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from relact.errors import InputError
from relact.interop.checkpoints import read_checkpoint
from relact.interop.unpickle import restricted_load


class Evil:
    """Unpickled without care, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(6))
def test_malicious_pickles_run_nothing(protocol: int, tmp_path: Path) -> None:
    victim = tmp_path / "ran"
    content = {"blobs": {"conv1_w": np.zeros(3), "x": Evil(victim)}}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    with pytest.raises(InputError, match=r"mkdir; nothing of it was run"):
        read_checkpoint(tmp_path / "a.pkl")
    assert not victim.exists()


def test_malicious_object_arrays_and_factories_run_nothing(tmp_path: Path) -> None:
    victim = tmp_path / "ran"
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"a": np.array([Evil(victim)], dtype=object)}, protocol=2))
    with pytest.raises(InputError):
        restricted_load(tmp_path / "a.pkl")
    (tmp_path / "b.pkl").write_bytes(b"\x80\x02ccollections\ndefaultdict\ncos\ngetcwd\n\x85R.")
    with pytest.raises(InputError):
        restricted_load(tmp_path / "b.pkl")
    assert not victim.exists()


def test_malicious_torch_files_run_nothing(tmp_path: Path) -> None:
    victim = tmp_path / "ran"
    for zipped in (True, False):
        path = tmp_path / f"{zipped}.pth"
        torch.save({"state_dict": {"x": Evil(victim)}}, path, _use_new_zipfile_serialization=zipped)
        with pytest.raises(InputError, match="asks for more than tensors"):
            read_checkpoint(path)
    assert not victim.exists()


def test_pickles_may_not_change_what_they_are_rebuilt_with(tmp_path: Path) -> None:
    """BUILD with a state sets attributes, also on what was only named."""
    for name in (b"ccollections\ndefaultdict\n", b"c_codecs\nencode\n", b"cnumpy\nndarray\n"):
        state = pickle.dumps((None, {"__doc__": "mine"}), protocol=2)[2:-1]
        (tmp_path / "a.pkl").write_bytes(b"\x80\x02" + name + state + b"b.")
        with pytest.raises(InputError):
            restricted_load(tmp_path / "a.pkl")


@pytest.mark.parametrize("protocol", range(6))
def test_plain_pickles_come_back(protocol: int, tmp_path: Path) -> None:
    content = {"a": np.arange(6.0).reshape(2, 3), "b": np.float32(3), "c": [(1, "é"), {2}], "d": b"\xff\x00"}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    back = restricted_load(tmp_path / "a.pkl")
    assert isinstance(back, dict)
    np.testing.assert_array_equal(back["a"], content["a"])
    assert {key: back[key] for key in "bcd"} == {key: content[key] for key in "bcd"}


def test_python_2_pickles_come_back(tmp_path: Path) -> None:
    """As Python 2's cPickle wrote `{'blobs': {'conv1_w': numpy.array([1., 2.], 'float32')}}` with protocol 2."""
    data = np.array([1, 2], "float32").tobytes()
    content = (
        b"\x80\x02}q\x01U\x05blobsq\x02}q\x03U\x07conv1_wq\x04cnumpy.core.multiarray\n_reconstruct\nq\x05cnumpy\n"
        b"ndarray\nq\x06K\x00\x85U\x01b\x87Rq\x07(K\x01K\x02\x85cnumpy\ndtype\nq\x08U\x02f4K\x00K\x01\x87Rq\t(K\x03U"
        b"\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x08" + data + b"tbss."
    )
    (tmp_path / "a.pkl").write_bytes(content)
    assert read_checkpoint(tmp_path / "a.pkl")["conv1_w"].tolist() == [1, 2]


@pytest.mark.parametrize("suffix", [".pth", ".pkl", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04 truncated", b"<html>404</html>"])
def test_broken_files(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=str(path)):
        read_checkpoint(path)


def test_truncated_and_missing_files(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"state_dict": {"x": torch.zeros(1000)}}, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=str(path)):
        read_checkpoint(path)
    with pytest.raises(InputError, match="no such file"):
        read_checkpoint(tmp_path / "none.pth")
    torch.save({"epoch": 3}, path)
    with pytest.raises(InputError, match="holds no tensors"):
        read_checkpoint(path)


def test_the_old_torch_format_is_read(tmp_path: Path) -> None:
    torch.save({"model_state": {"x": torch.ones(2)}}, tmp_path / "a.pyth", _use_new_zipfile_serialization=False)
    assert read_checkpoint(tmp_path / "a.pyth")["x"].tolist() == [1, 1]
