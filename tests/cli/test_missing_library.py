"""OpenCV without a library of the system, as on servers: one sentence says so."""

import shutil
import sys
from pathlib import Path

import cv2
import pytest

from streamdenoise.errors import SinkError
from streamdenoise.io.sinks.window import WindowSink
from tests.support.command import ROOT, command, outcome

ADVICE = (
    "OpenCV needs the system's libGX.so.1, which is missing: sudo apt-get install "
    "libgl1 libglib2.0-0, or, if you need no window, pip uninstall opencv-python and "
    "pip install opencv-python-headless"
)


@pytest.fixture(scope="module")
def path_without_libgl(tmp_path_factory: pytest.TempPathFactory) -> str:
    """PYTHONPATH with a copy of OpenCV that looks for a library that does not exist."""
    folder = tmp_path_factory.mktemp("site")
    package = Path(cv2.__file__).parent
    changed = 0
    for name in ("cv2", "opencv_python.libs"):
        source = package.with_name(name)
        if not source.is_dir():
            continue
        shutil.copytree(source, folder / name)
        for library in (folder / name).glob("*.so*"):
            data = library.read_bytes()
            if b"libGL.so.1\0" in data:
                library.write_bytes(data.replace(b"libGL.so.1\0", b"libGX.so.1\0"))
                changed += 1
    if not changed:
        pytest.skip("this build of OpenCV does not use libGL")
    return f"{folder}:{ROOT}"


@pytest.mark.parametrize("source", ["testsrc:64x48@25", "no.mp4"])
def test_a_missing_library_is_one_sentence(
    path_without_libgl: str, tmp_path: Path, source: str
) -> None:
    words = command("file", source, "-o", "a.mp4", "--duration", "1")
    done = outcome(words, cwd=tmp_path, PYTHONPATH=path_without_libgl)
    assert (done.returncode, done.stderr) == (1, f"error: {ADVICE}\n")


def test_doctor_says_it_of_opencv_and_of_all_that_needs_it(
    path_without_libgl: str, tmp_path: Path
) -> None:
    done = outcome(command("doctor"), cwd=tmp_path, PYTHONPATH=path_without_libgl)
    assert done.returncode == 0, done.stderr
    report = " ".join(done.stdout.split())
    assert f"opencv - {ADVICE}" in report
    assert "pip install openvino" not in report
    assert "backend openvino ok" not in report


def test_another_missing_module_is_no_missing_library(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['openvino'] = None; "
        "from streamdenoise.cli.doctor import report; print(report())"
    )
    done = outcome([sys.executable, "-c", code], cwd=tmp_path)
    assert "pip install openvino" in " ".join(done.stdout.split())


def test_opencv_without_windows_is_told_as_such(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DISPLAY", ":9876")
    monkeypatch.setattr(cv2, "currentUIFramework", str)  # as the headless build says
    with pytest.raises(SinkError, match="opencv-python-headless has no windows"):
        WindowSink(lambda key: None)
