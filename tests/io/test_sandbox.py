"""Decoders in a process of their own: the same frames, and little that they may do."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamdenoise.errors import SourceError, SourceLostError, SourceOpenError
from streamdenoise.frame import Frame, StreamInfo
from streamdenoise.io.open import open_source
from streamdenoise.io.options import FilterOptions, ReadOptions
from streamdenoise.io.sandbox import source as sandboxed
from streamdenoise.io.sandbox.confinement import SandboxLimits
from streamdenoise.io.sandbox.source import SandboxedSource
from streamdenoise.units import Region
from tests.support import bombs
from tests.support.clips import Clip, write_clip
from tests.support.command import command, environment, outcome
from tests.support.pictures import exif, icc_profile, picture, saved

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="it needs Linux"),
    pytest.mark.usefixtures("no_process_outlives_the_test"),
]


def read(path: Path, **options: Any) -> tuple[StreamInfo, list[Frame]]:
    with open_source(str(path), ReadOptions(**options)) as source:
        frames = list(source)
        return source.info, frames


def same(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if is_dataclass(one):
        names = [each.name for each in fields(one) if each.name != "captured_at"]
        return all(same(getattr(one, n), getattr(other, n)) for n in names)
    return one == other


@pytest.mark.parametrize(
    "options",
    [
        {"keep_original": True},
        {"start_s": 0.2, "filters": FilterOptions(crop=Region(8, 4, 32, 16))},
    ],
)
def test_video_is_the_same(vfr_clip: Clip, options: dict[str, Any]) -> None:
    info, frames = read(vfr_clip.path, **options)
    boxed_info, boxed = read(vfr_clip.path, sandbox=True, **options)
    assert boxed_info == info
    assert len(boxed) == len(frames) > 3
    assert all(map(same, boxed, frames))


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_pictures_keep_what_their_files_hold(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(saved(picture(), suffix, icc_profile=icc_profile(), exif=exif(6)))
    info, frames = read(path, as_stored=True)
    boxed_info, boxed = read(path, as_stored=True, sandbox=True)
    assert boxed_info == info
    assert all(map(same, boxed, frames))


def test_sound_is_left_out_with_a_note(rich_clip: Clip) -> None:
    info, _ = read(rich_clip.path, sandbox=True)
    assert f"{rich_clip.path}: its audio and subtitle are left out by --sandbox" in (
        info.notes
    )


def test_errors_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(bombs.png(60000, 60000))
    for name in ("a.png", "none.mkv"):
        messages = []
        for sandbox in (False, True):
            with pytest.raises(SourceOpenError) as caught:
                read(tmp_path / name, sandbox=sandbox)
            messages.append(str(caught.value))
        assert messages[0] == messages[1]


TRY_ALL = """
import json, os, socket, sys
from pathlib import Path
from streamdenoise.io.sandbox import child
from streamdenoise.io.sandbox.confinement import SandboxLimits, confine
child._load_decoders()
secret, allowed, pipe = sys.argv[1], sys.argv[2], os.dup(1)
missing = confine(SandboxLimits(memory_bytes=2 << 30), child._readable(Path(allowed)))
def outcome(action):
    try:
        action()
    except (OSError, MemoryError) as exc:
        return type(exc).__name__
    return "done"
os.write(pipe, json.dumps({
    "missing": missing,
    "read its file": outcome(lambda: open(allowed).read()),
    "read another": outcome(lambda: open(secret).read()),
    "write": outcome(lambda: open(allowed, "a")),
    "network": outcome(socket.socket),
    "program": outcome(lambda: os.execv("/bin/true", ["true"])),
    "signal": outcome(lambda: os.kill(os.getppid(), 0)),
    "memory": outcome(lambda: bytearray(3 << 30)),
    "files": outcome(lambda: [os.open(allowed, 0) for _ in range(99)]),
}).encode())
"""


def test_it_can_do_little_else(tmp_path: Path) -> None:
    secret, allowed = tmp_path / "secret", tmp_path / "allowed"
    secret.write_text("pa55word")
    allowed.write_text("data")
    done = subprocess.run(
        [sys.executable, "-c", TRY_ALL, str(secret), str(allowed)],
        env=environment(), stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    missing = " ".join(found.pop("missing"))
    expected = {
        "read its file": "done",
        "read another": "PermissionError",
        "write": "PermissionError",
        "network": "PermissionError",
        "program": "PermissionError",
        "signal": "PermissionError",
        "memory": "MemoryError",
        "files": "OSError",
    }
    if "Landlock" in missing:
        del expected["read another"], expected["write"]
    if "filtered" in missing:
        del expected["network"], expected["program"], expected["signal"]
    assert {key: found[key] for key in expected} == expected


def test_no_variable_with_a_password_reaches_it(
    clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAMERA_PASSWORD", "pa55word12")
    given: list[dict[str, str]] = []
    popen = subprocess.Popen

    def start(command: list[str], **options: Any) -> Any:
        given.append(options["env"])
        return popen(command, **options)

    monkeypatch.setattr(sandboxed.subprocess, "Popen", start)
    with SandboxedSource(str(clip.path), ReadOptions()) as source:
        assert len(list(source)) > 1
    assert "PATH" in given[0]
    assert "pa55word12" not in given[0].values()


def test_a_crash_is_an_error(tmp_path: Path) -> None:
    # No frame fits into a pipe, so the process is there until all are read.
    clip = write_clip(tmp_path / "in.mkv", width=640, height=360, num_frames=8)
    with SandboxedSource(str(clip.path), ReadOptions()) as source:
        os.kill(source._process.pid, signal.SIGSEGV)
        with pytest.raises(SourceLostError, match=r"crashed \(SIGSEGV\)"):
            list(source)


def test_silence_is_an_error(clip: Clip) -> None:
    limits = SandboxLimits(silence_s=30)
    with SandboxedSource(str(clip.path), ReadOptions(), limits) as source:
        os.kill(source._process.pid, signal.SIGSTOP)
        source._limits = replace(limits, silence_s=0.2)
        with pytest.raises(SourceLostError, match=r"gave nothing for 0\.2 s"):
            list(source)


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        (SandboxLimits(cpu_s=0), "CPU time"),
        (SandboxLimits(memory_bytes=900 << 20), "of memory"),
    ],
)
def test_limits_end_in_a_sentence(
    tmp_path: Path, limits: SandboxLimits, sentence: str
) -> None:
    (tmp_path / "a.jpg").write_bytes(bombs.jpeg(11000, 11000))
    with pytest.raises(SourceError, match=sentence):
        SandboxedSource(str(tmp_path / "a.jpg"), ReadOptions(), limits)


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"garbage" * 100,
        b"\xff" * 64,
        b"\x14\0\0\0" + bytes(8) + b'["info", {"a": [1]}]',
        b"\x05\0\0\0" + bytes(8) + b"[1,2]",
        b"\x26\0\0\0" + bytes(8) + b'["info",["dict",[["info",["bytes",9]]]]',
        b"\x22\0\0\0" + bytes(8) + b'["info",["class","Popen",{"a":1}]]',
    ],
)
def test_whatever_it_writes_ends_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, written: bytes
) -> None:
    """As a decoder that someone has taken over may."""
    program = f"import sys; sys.stdout.buffer.write({written!r}); sys.stdin.read()"

    def start(words: list[str], **more: Any) -> Any:
        return popen([words[0], "-c", program], **more)

    popen = subprocess.Popen
    monkeypatch.setattr(sandboxed.subprocess, "Popen", start)
    with pytest.raises(SourceOpenError, match="its decoder"):
        SandboxedSource("a.mkv", ReadOptions())


def test_a_folder_goes_on_with_the_next_file(tmp_path: Path) -> None:
    folder, output = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / "a.png").write_bytes(bombs.png(65535, 65535))
    (folder / "b.png").write_bytes(saved(picture(), "png"))
    result = outcome(command("image", folder, "-o", output, "--sandbox"))
    assert result.returncode == 0, result.stderr
    assert "65535x65535" in result.stderr
    assert [path.name for path in output.iterdir()] == ["b.png"]
