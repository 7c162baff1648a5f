"""The command line: exit codes, messages, signals and pipes."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from streamdenoise import __version__
from streamdenoise.inference.registry import BACKENDS
from tests.support.clips import Clip
from tests.support.command import command, environment, outcome, python, run

WAIT_S = 50
FAST = ("--strength", "0")
"""Frames pass through unchanged: for tests of everything but the denoiser."""


def decode(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray() for frame in container.decode(video=0)]


def test_file_denoises_and_prints_a_summary(clip: Clip, tmp_path: Path):
    output = tmp_path / "clean.mp4"
    result = run("file", clip.path, "-o", output, "--sigma", "20")
    assert result.exit_code == 0, result.output
    assert len(decode(output)) == 12
    assert result.stdout == ""
    summary, *notes = result.stderr.splitlines()
    assert summary.startswith(f"{output}: 12 frames, ")
    assert "noise 20, est. PSNR 26 -> " in summary
    assert any(note.startswith("note: nano on ") for note in notes)


def test_file_refuses_a_folder_and_names_the_command_for_it(tmp_path: Path):
    noisy_image(tmp_path / "a.png")
    result = run("file", tmp_path, "-o", tmp_path / "clean.mp4")
    assert result.exit_code == 1
    assert "is a folder" in result.stderr
    assert "streamdenoise image" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_file_with_strength_0_is_bit_exact(clip: Clip, tmp_path: Path):
    output = tmp_path / "same.mkv"
    options = ("--codec", "ffv1", *FAST, "--quiet")
    result = run("file", clip.path, "-o", output, *options)
    assert (result.exit_code, result.output) == (0, "")
    for planes, frame in zip(clip.frames, decode(output), strict=True):
        np.testing.assert_array_equal(frame[:48], planes[0])


@pytest.mark.parametrize(
    ("view", "width"), [("side", 128), ("split", 64), ("grid", 128)]
)
def test_file_compares_before_and_after(
    clip: Clip, tmp_path: Path, view: str, width: int
):
    output = tmp_path / "compare.mkv"
    options = ("--compare", view, "--overlay", "--codec", "ffv1", *FAST)
    options = (*options, "--add-noise", "speckle:0.1") if view == "grid" else options
    assert run("file", clip.path, "-o", output, *options).exit_code == 0
    with av.open(str(output)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (width, 96 if view == "grid" else 48)


def test_file_measures_the_psnr_with_added_noise(clip: Clip):
    result = run("file", clip.path, "-o", "null:", "--add-noise", "25", *FAST)
    assert result.exit_code == 0, result.output
    assert " PSNR 2" in result.stderr
    assert "est." not in result.stderr
    assert "(+0.00)" in result.stderr


def test_file_measures_the_psnr_against_a_reference(clip: Clip):
    result = run("file", clip.path, "-o", "null:", "--reference", clip.path, *FAST)
    assert result.exit_code == 0, result.output
    assert "PSNR inf -> inf dB" in result.stderr


def test_start_and_duration_cut_the_input(clip: Clip, tmp_path: Path):
    output = tmp_path / "part.mkv"
    span = ("--start", "0.1", "--duration", "0:00.2")
    assert run("file", clip.path, "-o", output, *span, *FAST).exit_code == 0
    assert len(decode(output)) == 6


def test_an_existing_output_needs_overwrite(clip: Clip, tmp_path: Path):
    output = tmp_path / "old.mp4"
    output.write_bytes(b"precious")
    result = run("file", clip.path, "-o", output, *FAST)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "--overwrite" in result.stderr
    assert output.read_bytes() == b"precious"
    assert run("file", clip.path, "-o", output, "--overwrite", *FAST).exit_code == 0
    assert len(decode(output)) == 12


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("file", "missing.mp4", "-o", "x.mp4"), "missing.mp4: no such file"),
        (("file", "CLIP", "-o", "x.xyz"), "x.xyz"),
        (("file", "CLIP", "-o", "null:", "--sigma", "loud"), "--sigma loud"),
        (("file", "CLIP", "-o", "null:", "--sigma", "-1"), "--sigma -1"),
        (("file", "CLIP", "-o", "null:", "--strength", "9"), "--strength 9"),
        (("file", "CLIP", "-o", "null:", "--codec", "divx"), "--codec divx"),
        (("file", "CLIP", "-o", "null:", "--crf", "99"), "--crf 99"),
        (
            ("file", "CLIP", "-o", "null:", "--start", "-1"),
            "--start: '-1' is not",
        ),
        (("file", "CLIP", "-o", "null:", "--start", "soon"), "'soon' is not a time"),
        (("file", "CLIP", "-o", "null:", "--duration", "0"), "--duration 0"),
        (
            ("file", "CLIP", "-o", "null:", "--add-noise", "0"),
            "--add-noise: noise of 0",
        ),
        (("file", "CLIP", "-o", "null:", "--compare", "clean"), "--compare clean"),
        (("file", "CLIP", "-o", "null:", "--model", "huge"), "huge"),
        (("file", "CLIP", "-o", "null:", "--backend", "abacus"), "abacus"),
        (("file", "CLIP", "-o", "null:", "--add-noise", "fog:3"), "poisson:30"),
        (
            ("file", "CLIP", "-o", "null:", "--add-noise", "salt-pepper:5"),
            "a share of the pixels",
        ),
        (("file", "CLIP", "-o", "null:", "--compare", "grid"), "--reference PATH"),
        (
            ("live", "CLIP", "-o", "null:", "--no-window", "--view", "grid"),
            "--reference PATH",
        ),
        (("live",), "--camera 0"),
        (("live", "CLIP", "--camera", "0"), "--camera 0"),
        (("live", "CLIP", "--no-window"), "-o TARGET"),
        (("image", "missing.png", "-o", "x.png"), "missing.png: no such file"),
        (("image", "a.png", "b.png", "-o", "x.png"), "give a folder"),
        (("bench", "--backend", "abacus"), "choose all, tensorrt, "),
        (("bench", "--backend", "all", "--size", "huge"), "write 360p, 480p, 720p, "),
        (("bench", "--backend", "all", "--size", "100x64"), "multiples of 8"),
        (("bench", "--backend", "all", "--size", "0x0"), "0x0"),
        (("bench", "--backend", "all", "--model", "huge"), "huge"),
        (("bench", "--backend", "all", "--threads", "0"), "--threads 0"),
        (("bench", "--backend", "all", "--repeat", "0"), "--repeat 0"),
        (("bench", "--backend", "all", "--sigma", "-1"), "--sigma -1"),
        (("bench", "--backend", "all", "--clip", "no.mp4"), "no.mp4 does not exist"),
        (("bench", "--size", "720p"), "--backend"),
    ],
)
def test_errors_are_one_line_and_exit_code_1(
    clip: Clip, args: tuple[str, ...], message: str
):
    result = run(*(clip.path if arg == "CLIP" else arg for arg in args))
    assert result.exit_code == 1, result.output
    assert message in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_an_unknown_option_is_a_usage_error():
    assert run("file", "--frobnicate").exit_code == 2


def test_live_without_a_window_keeps_pace_and_ends():
    started = time.monotonic()
    args = ("live", "testsrc:64x48@20", "--no-window", "-o", "null:", *FAST)
    result = run(*args, "--duration", "1", "--overflow", "block")
    assert result.exit_code == 0, result.output
    assert time.monotonic() - started > 0.8
    assert "testsrc:64x48@20: 20 frames" in result.stderr


def test_live_records_a_file_at_its_own_pace(clip: Clip, tmp_path: Path):
    output = tmp_path / "record.mp4"
    args = ("live", clip.path, "--no-window", "-o", output, "--overflow", "block")
    assert run(*args, *FAST).exit_code == 0
    assert len(decode(output)) == 12


def test_live_without_a_display_names_the_option(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    result = run("live", "testsrc:64x48@20", *FAST)
    assert result.exit_code == 1
    assert "--no-window" in result.stderr


def noisy_image(path: Path, width: int = 80, height: int = 60) -> np.ndarray:
    noise = np.random.default_rng(5).normal(0, 25, (height, width, 3))
    image = (128 + noise).clip(0, 255).astype(np.uint8)
    assert cv2.imwrite(str(path), image)
    return image


def test_image_denoises_one_image(tmp_path: Path):
    noisy = noisy_image(tmp_path / "noisy.png")
    output = tmp_path / "clean.png"
    result = run("image", tmp_path / "noisy.png", "-o", output, "--sigma", "25")
    assert result.exit_code == 0, result.output
    clean = cv2.imread(str(output))
    assert clean is not None
    assert clean.shape == noisy.shape
    assert clean.std() < 0.7 * noisy.std()
    again = run("image", tmp_path / "noisy.png", "-o", output)
    assert again.exit_code == 1
    assert "--overwrite" in again.stderr


def test_image_prints_scores_of_four_views_and_scales_first(tmp_path: Path):
    noisy_image(tmp_path / "a.png")
    output = tmp_path / "grid.png"
    more = ("--add-noise", "poisson:30", "--compare", "grid", "--scale", "64x40")
    result = run("image", tmp_path / "a.png", "-o", output, *more, "--gray", *FAST)
    assert result.exit_code == 0, result.output
    for name in ("MSE", "PSNR", "SSIM"):
        assert re.search(rf" {name} [\d.]+ -> [\d.]+", result.stderr), result.stderr
    grid = cv2.imread(str(output), cv2.IMREAD_UNCHANGED)
    assert grid is not None
    assert grid.shape == (80, 128)


def test_image_denoises_files_and_folders_into_a_folder(tmp_path: Path):
    folder, output = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    noisy_image(folder / "a.png")
    noisy_image(folder / "b.png", 64, 64)
    noisy_image(tmp_path / "c.jpg")
    result = run("image", folder, tmp_path / "c.jpg", "-o", output, *FAST)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in output.iterdir()) == ["a.png", "b.png", "c.jpg"]
    assert ": 3 frames" in result.stderr


@pytest.mark.parametrize(
    ("signum", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
)
def test_a_signal_leaves_a_playable_file(tmp_path: Path, signum: int, code: int):
    output = tmp_path / "clean.mp4"
    args = command("file", "testsrc:64x48@30", "-o", output, *FAST)
    process = subprocess.Popen(
        args, env=environment(), cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + WAIT_S
        while not any(path.stat().st_size > 10_000 for path in tmp_path.iterdir()):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signum)
        _, errors = process.communicate(timeout=WAIT_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == code, errors
    assert [path.name for path in tmp_path.iterdir()] == ["clean.mp4"]
    frames = len(decode(output))
    assert f"{output}: {frames} frames" in errors
    assert frames > 10


def test_pipes_carry_yuv4mpeg_and_nothing_else(clip: Clip, tmp_path: Path):
    first = subprocess.run(
        command("file", clip.path, "-o", "-", *FAST),
        env=environment(), capture_output=True, timeout=WAIT_S, check=True,
    )  # fmt: skip
    assert first.stdout.startswith(b"YUV4MPEG2 W64 H48 ")
    assert first.stdout.count(b"FRAME") == 12
    assert b"stdout: 12 frames" in first.stderr
    output = tmp_path / "back.mkv"
    subprocess.run(
        command("file", "-", "-o", output, "--codec", "ffv1", *FAST),
        env=environment(), input=first.stdout, timeout=WAIT_S, check=True,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    for planes, frame in zip(clip.frames, decode(output), strict=True):
        np.testing.assert_array_equal(frame[:48], planes[0])


def test_help_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from streamdenoise.cli.main import app\n"
        "try:\n    app(['file', '--help'])\nexcept SystemExit as done:\n"
        "    assert done.code == 0\n"
        "heavy = {'torch', 'av', 'cv2', 'numpy', 'openvino', 'onnxruntime', 'rich'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert "--add-noise" in done.stdout


def test_a_terminal_gets_help_in_boxes():
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        command("live", "--help"), env=environment(COLUMNS="100"), stdout=end
    )
    os.close(end)
    text = b""
    with suppress(OSError):  # how Linux reports that the other end is closed
        while part := os.read(terminal, 65536):
            text += part
    os.close(terminal)
    assert process.wait(WAIT_S) == 0
    plain = re.sub(rb"\x1b\[[0-9;]*m", b"", text).decode()
    titles = re.findall(r"╭─ (\w+) ─", plain)
    panels = ["Input", "Network", "Noise", "Output", "Encoder", "Live", "Recording"]
    assert titles == ["Arguments", *panels, "Monitoring", "Hardware", "Help"]


def test_version_and_no_arguments():
    assert run("--version").stdout == f"streamdenoise {__version__}\n"
    listing = run().output
    for name in ("file", "live", "image", "models", "doctor", "bench", "eval"):
        assert f"\n  {name} " in listing


def test_models_and_doctor_print_tables():
    assert "\nnano " in run("models").stdout
    doctor = run("doctor").stdout
    assert all(name in doctor for name in BACKENDS)


def run_without(modules: Sequence[str], *args: object):
    """Run `streamdenoise ARGS` in a process that cannot import some modules."""
    code = (
        "import sys; "
        f"sys.modules.update(dict.fromkeys({list(modules)})); "
        "from streamdenoise.cli.main import main; main()"
    )
    return python(code, *args)


@pytest.mark.parametrize(
    ("args", "modules"),
    [
        (("train", "nano_camera"), ("torch", "safetensors")),
        (("train", "classic", "nano", "--data", "x"), ("torch", "safetensors")),
        (("export", "x.safetensors", "-o", "out"), ("torch", "safetensors")),
        (("export", "x.safetensors", "-o", "out"), ("safetensors",)),
        (("export", "x.safetensors", "-o", "out"), ("onnxscript",)),
        (("export", "x.safetensors", "-o", "o", "--calibration", "x"), ("nncf",)),
    ],
)
def test_a_command_without_its_packages_names_the_extra(
    args: tuple[str, ...], modules: tuple[str, ...]
):
    done = run_without(modules, *args)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"needs {', '.join(modules)}, not installed here" in line
    assert line.endswith("pip install 'streamdenoise[train]'")


def test_export_of_a_missing_checkpoint_is_an_error(tmp_path: Path):
    result = run("export", tmp_path / "none.safetensors", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "none.safetensors" in result.stderr


@pytest.mark.parametrize(
    "more", [(), ("-o", "engines"), ("--calibration", "clips"), ("--size", "720p")]
)
def test_compile_of_a_checkpoint_names_export(more: tuple[str, ...]):
    result = run("compile", "x.safetensors", *more)
    assert result.exit_code == 1
    assert "`streamdenoise export x.safetensors -o DIR`" in result.stderr
    assert result.stderr.count("\n") == 1


def test_compile_needs_a_size():
    result = run("compile", "nano")
    assert result.exit_code == 1
    assert "--size 1080p" in result.stderr


@pytest.mark.parametrize("flag", [(), ("--clips",)], ids=["argument", "option"])
def test_eval_prints_and_writes_a_table(clip: Clip, tmp_path: Path, flag: tuple):
    args = ("--sigma", "25", "--frames", "2", "-o", tmp_path)
    result = run("eval", *flag, clip.path, *args)
    assert result.exit_code == 0, result.output
    assert "| sigma | clip |" in result.stdout
    assert (tmp_path / "eval.json").is_file()


def test_image_accepts_formats_that_only_ffmpeg_reads(tmp_path: Path):
    rng = np.random.default_rng(0)
    noisy = (120 + rng.normal(0, 20, (48, 64, 3))).clip(0, 255).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "noisy.ppm"), noisy)
    result = run("image", tmp_path / "noisy.ppm", "-o", tmp_path / "clean.png")
    assert result.exit_code == 0, result.output
    clean = cv2.imread(str(tmp_path / "clean.png"))
    assert clean is not None
    assert clean.std() < 0.7 * noisy.std()


def test_bench_prints_the_steps_as_json_and_nothing_else(clip: Clip, tmp_path: Path):
    args = ("--backend", "openvino", "--size", "64x48", "--clip", clip.path, "--quick")
    result = run("bench", *args, "--json", "-o", tmp_path)
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert [row["backend"] for row in figures["results"]] == ["openvino"]
    assert "openvino: turn 1 of 1" in result.stderr
    assert json.loads((tmp_path / "bench.json").read_text()) == figures
    assert "| 64x48 | openvino | " in (tmp_path / "bench.md").read_text()


def test_real_noise_is_measured_with_the_camera_model(clip: Clip, tmp_path: Path):
    result = run("eval", "--real", clip.path, "--frames", "2", "-o", tmp_path)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("# nano, ")


def test_clips_given_twice_are_an_error():
    result = run("eval", "a", "--clips", "b")
    assert result.exit_code == 1
    assert "clips are given twice, a and --clips b" in result.stderr


def test_a_user_module_named_train_changes_nothing(tmp_path: Path):
    (tmp_path / "train.py").write_text("raise RuntimeError('not yours')\n")
    for words in (("--help",), ("train", "classic", "--help")):
        done = outcome(command(*words), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("Usage: streamdenoise")
