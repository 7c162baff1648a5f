"""Compiled kernels: the same as in Python, kept in a cache that is never trusted."""

import logging
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from streamdenoise.kernels import object_code
from streamdenoise.kernels.code_cache import FOLDER_VARIABLE, BeingBuiltError
from streamdenoise.kernels.compiled import Kernel
from tests.kernels import samples
from tests.support.waiting import wait_until


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
    (file,) = filled.glob("*.o")
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
    (file,) = filled.glob("*.o")
    whole = file.read_bytes()
    file.write_bytes(damage)
    kernel = fresh()
    assert kernel.why_not() == ""
    check(kernel)
    (record,) = caplog.records
    assert "is compiled again: checksum mismatch" in record.message
    assert len(file.read_bytes()) == len(whole)


def waiting_process(kernels: str) -> subprocess.Popen[str]:
    """A process that loads kernels, and then checks that one computes."""
    code = (
        "import sys; from tests.kernels import test_compiled as t, samples;"
        "from streamdenoise.kernels.compiled import why_not;"
        f"assert why_not(({kernels})) == '';"
        "t.check(samples.tripled_plus); sys.exit('numba' in sys.modules)"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True
    )


def test_the_second_process_waits_for_the_code_of_the_first(
    folder: Path, compiled_once: Path
) -> None:
    (code,) = compiled_once.glob("*.o")
    folder.mkdir(0o755)
    with FileLock(folder / f"{code.name}.lock"):
        process = waiting_process("samples.tripled_plus,")
        assert process.stderr is not None
        assert "another process is compiling some steps" in process.stderr.readline()
        shutil.copy(code, folder)
    _, errors = process.communicate(timeout=50)
    assert (process.returncode, errors) == (0, "")


def test_meanwhile_it_compiles_what_the_first_does_not(
    folder: Path, compiled_once: Path
) -> None:
    (code,) = compiled_once.glob("*.o")
    folder.mkdir(0o755)
    with FileLock(folder / f"{code.name}.lock"):
        process = waiting_process("samples.tripled_plus, samples.next_ones")
        wait_until(lambda: any(folder.glob("next_ones-*.o")))
        shutil.copy(code, folder)
    _, errors = process.communicate(timeout=50)
    assert process.returncode == 1, errors  # for the other kernel it needed Numba


def test_the_lock_of_a_killed_process_blocks_nobody(
    folder: Path, compiled_once: Path
) -> None:
    (code,) = compiled_once.glob("*.o")
    folder.mkdir(0o755)
    holds = (
        "import sys, time; from filelock import FileLock;"
        "lock = FileLock(sys.argv[1]); lock.acquire(); print(flush=True);"
        "time.sleep(100)"
    )
    words = [sys.executable, "-c", holds, str(folder / f"{code.name}.lock")]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(BeingBuiltError):
            fresh().why_not(waits=False)
        process.kill()
    kernel = fresh()
    assert kernel.why_not(waits=False) == ""
    check(kernel)


def test_arrays_are_taken_not_to_overlap(folder: Path) -> None:
    """Otherwise few loops would become vectors."""
    assert samples.next_ones.why_not() == ""
    values = np.zeros(41, np.float32)
    samples.next_ones(values[:-1], values[1:])
    assert values[1:9].tolist() == 8 * [1]  # one by one they would be 1, 2, 3


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
    assert len(list(filled.glob("*.o"))) == 2


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


def test_an_old_cpu_is_a_reason(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    object_code.this_cpu.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(object_code, "_llvm", lambda: _OldCpu)
        kernel = fresh()
        assert kernel.why_not() == "this CPU has no AVX2"
    assert fresh().why_not() == ""


class _OldCpu:
    """What llvmlite says on a CPU from before 2013."""

    @staticmethod
    def get_process_triple() -> str:
        return "x86_64-unknown-linux-gnu"

    @staticmethod
    def get_host_cpu_features() -> dict[str, bool]:
        return {"avx": True, "avx2": False}


@pytest.mark.parametrize(
    ("kernel", "reason"),
    [
        (samples.calls_a_library, "calls_a_library would call tanf"),
        (samples.allocates, "Numba cannot compile allocates"),
    ],
)
def test_code_that_calls_a_library_or_allocates_is_refused(
    folder: Path, kernel: Kernel, reason: str
) -> None:
    assert reason in kernel.why_not()
