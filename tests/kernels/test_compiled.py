"""Compiled kernels: the same as in Python, kept in a cache that is never trusted."""

import logging
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from streamdenoise.kernels import object_code
from streamdenoise.kernels.code_cache import FOLDER_VARIABLE
from streamdenoise.kernels.compiled import Kernel
from tests.kernels import samples


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "kernels"))
    return tmp_path / "kernels"


@pytest.fixture(scope="module")
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled") / "kernels"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(folder))
        assert fresh().why_not() == ""
    return folder


@pytest.fixture
def filled(folder: Path, compiled_once: Path) -> Path:
    """A folder with the code of the sample kernel."""
    return Path(shutil.copytree(compiled_once, folder))


def fresh(kernel: Kernel = samples.tripled_plus) -> Kernel:
    """The kernel as a new process finds it."""
    return Kernel(kernel.python, ("float32[:, :]", "float32", "float32[:, :]"))


def check(kernel: Kernel) -> None:
    source = np.arange(70, dtype=np.float32).reshape(7, 10)
    target = np.empty_like(source)
    kernel(source, 0.5, target)
    np.testing.assert_array_equal(target, 3 * source + 0.5)


def test_computes_as_python_does_and_is_compiled_once(filled: Path) -> None:
    (file,) = filled.iterdir()
    written = file.stat().st_mtime_ns
    again = fresh()
    assert again.why_not() == ""
    check(again)
    assert file.stat().st_mtime_ns == written
    assert not file.stat().st_mode & 0o022


def test_loading_needs_no_numba(filled: Path) -> None:
    code = (
        "import sys; from tests.kernels import test_compiled as t, samples;"
        "assert samples.tripled_plus.why_not() == '';"
        "t.check(samples.tripled_plus); sys.exit('numba' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_refuses_arrays_that_were_not_declared(filled: Path) -> None:
    kernel = fresh()
    assert kernel.why_not() == ""
    good = np.zeros((4, 6), np.float32)
    for bad in (good.astype(np.float64), good[0], good[:, ::2], good.T):
        with pytest.raises(TypeError, match="tripled_plus takes contiguous float32"):
            kernel(bad, 1.0, good)


@pytest.mark.parametrize("damage", [b"too short", bytes(4000)])
def test_a_damaged_file_is_replaced(
    filled: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (file,) = filled.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage)
    kernel = fresh()
    assert kernel.why_not() == ""
    check(kernel)
    (record,) = caplog.records
    assert "is compiled again: checksum mismatch" in record.message
    assert len(file.read_bytes()) == len(whole)


def test_a_folder_that_others_write_to_is_not_used(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    kernel = fresh()
    assert kernel.why_not() == ""
    check(kernel)
    (record,) = caplog.records
    assert f"everybody can write to {folder}" in record.message
    assert not list(folder.iterdir())


def test_a_folder_that_cannot_be_made_is_done_without(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.write_text("a file")
    kernel = fresh()
    assert kernel.why_not() == ""
    check(kernel)
    (record,) = caplog.records
    assert "is compiled again at every start" in record.message


def test_code_of_another_cpu_is_not_loaded(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, features = object_code.this_cpu()
    monkeypatch.setattr(object_code, "this_cpu", lambda: (name, features + ",+x87"))
    assert fresh().why_not() == ""
    assert len(list(filled.iterdir())) == 2


def test_without_numba_there_is_a_reason_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    kernel = fresh()
    assert "Numba cannot compile tripled_plus" in kernel.why_not()
    assert kernel.why_not()
    with pytest.raises(RuntimeError, match="was not loaded"):
        check(kernel)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING


def test_code_that_calls_a_library_is_refused(folder: Path) -> None:
    assert "allocates would call" in samples.allocates.why_not()
