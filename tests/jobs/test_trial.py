"""Trying a file that nobody vouches for: the results, and what is refused."""

import struct
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
from PIL import Image

from streamdenoise.errors import HungError, SourceError, StreamDenoiseError
from streamdenoise.imaging.added_noise import AddedNoise, NoiseKind
from streamdenoise.imaging.error_image import ERROR_GAIN
from streamdenoise.io.sandbox.confinement import SandboxLimits
from streamdenoise.jobs.trial import (
    CLIP,
    IMAGES,
    TrialConfig,
    TrialLimits,
    run_trial,
)
from streamdenoise.jobs.trial_process import run_trial_apart
from tests.support import bombs
from tests.support.clips import Clip
from tests.support.pictures import opened, picture, saved
from tests.support.waiting import wait_until

WHITE = AddedNoise(20.0, seed=3)


def put(path: Path, channels: int = 3, width: int = 96, height: int = 80) -> Path:
    samples = picture(8, channels, width, height)
    path.write_bytes(saved(samples, path.suffix[1:]))
    return path


def trial(source: Path, folder: Path | None = None, **more: object) -> TrialConfig:
    folder = folder or source.parent / "results"
    folder.mkdir(exist_ok=True)
    return TrialConfig(source=source, folder=folder, threads=1, **more)  # type: ignore[arg-type]


def images(config: TrialConfig) -> list[np.ndarray]:
    return [np.asarray(opened(config.folder / name)).astype(float) for name in IMAGES]


def test_an_image_has_four_results_and_their_scores(tmp_path: Path) -> None:
    config = trial(put(tmp_path / "upload.png"), noise=WHITE)
    result = run_trial(config)
    assert result.files == IMAGES
    assert (result.width, result.height, result.frames) == (96, 80, 1)
    assert (result.model, result.duration_s) == ("nano", 0.0)
    original, noisy, denoised, error = images(config)
    np.testing.assert_array_equal(original, picture(8, 3, 96, 80))
    expected = (128 + ERROR_GAIN * (denoised - original)).clip(0, 255)
    np.testing.assert_array_equal(error, expected)
    assert result.scores is not None
    for image, score in (
        (noisy, result.scores.before),
        (denoised, result.scores.after),
    ):
        assert score.mse == pytest.approx(np.square(image - original).mean())
        assert score.ssim is not None
    assert result.scores.after.psnr_db > result.scores.before.psnr_db + 5
    # A process of its own does the same.
    other = tmp_path / "apart"
    apart = run_trial_apart(trial(config.source, other, noise=WHITE))
    assert apart == replace(result, seconds=apart.seconds)
    for name in IMAGES:
        assert (other / name).read_bytes() == (config.folder / name).read_bytes()


def test_resized_is_gray_of_256x256(tmp_path: Path) -> None:
    pages = [Image.fromarray(picture(8, 3, 96, 80)) for _ in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    noise = AddedNoise(0.1, NoiseKind.SALT_PEPPER)
    config = trial(tmp_path / "a.tif", noise=noise, resized=True)
    result = run_trial(config)
    original, noisy, *_ = images(config)
    assert original.shape == (256, 256)
    assert (result.width, result.height, result.frames) == (256, 256, 1)
    hit = ((noisy == 0) | (noisy == 255)).mean()
    assert hit == pytest.approx(0.1 + 0.9 / 16, abs=0.03)
    assert any("only the first of its 3 images" in note for note in result.notes)


def test_without_noise_nothing_is_scored_and_what_is_missing_is_noted(
    tmp_path: Path,
) -> None:
    (tmp_path / "cut.png").write_bytes(saved(picture(8, 1), "png")[:-60])
    config = trial(tmp_path / "cut.png")
    result = run_trial(config)
    assert result.scores is None
    original, noisy, denoised, _ = images(config)
    np.testing.assert_array_equal(original, noisy)
    assert denoised.shape == (32, 48)
    assert any("cut.png" in note for note in result.notes), result.notes


def test_a_clip_becomes_h264_of_the_four_and_its_middle(
    clip: Clip, tmp_path: Path
) -> None:
    config = trial(clip.path, tmp_path / "results", noise=WHITE)
    result = run_trial(config)
    assert result.files == (*IMAGES, CLIP)
    assert (result.width, result.height) == (64, 48)
    assert result.frames == len(clip.frames) == 12
    assert result.duration_s == pytest.approx(12 / 29.97, abs=0.05)
    with av.open(str(config.folder / CLIP)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        frames = [frame.to_ndarray() for frame in container.decode(stream)]
        assert stream.codec_context.pix_fmt == "yuv420p"
    assert len(frames) == 12
    assert frames[0].shape == (96 * 3 // 2, 128)
    original, _, denoised, _ = (image.mean(2) for image in images(config))
    errors = [
        np.abs(frame[:48, :60].astype(float) - frames[6][:48, :60]).mean()
        for frame in frames
    ]
    assert np.argmin(errors) == 6
    assert original.shape == denoised.shape == (48, 64)
    assert result.scores is not None
    assert result.scores.frames == 12


def test_an_animation_is_a_clip(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.roll(picture(), shift, 1)) for shift in range(6)]
    about = {"save_all": True, "append_images": frames[1:], "duration": 100}
    frames[0].save(tmp_path / "a.gif", loop=0, **about)
    result = run_trial(trial(tmp_path / "a.gif", noise=WHITE))
    assert (result.frames, result.duration_s) == (6, pytest.approx(0.6))
    assert CLIP in result.files


def short_of_its_index(path: Path) -> bytes:
    """An MP4 whose end, where its index is, is missing."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(np.zeros((72, 64), np.uint8), "yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    return data[: data.rindex(b"moov")]


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("huge.png", bombs.png(60000, 60000), "at most 16384 pixels a side"),
        ("text.mp4", b"hello, world\n" * 9, "not a video"),
        ("a.m3u8", b"#EXTM3U\n/etc/passwd\n", "cannot be tried; give an image"),
        ("noname", b"", "cannot be tried; give an image"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(
    tmp_path: Path, name: str, data: bytes, why: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError, match=why) as caught:
        run_trial(trial(tmp_path / name, noise=WHITE))
    assert str(caught.value).startswith(f"{tmp_path / name}")
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "results").iterdir())


def test_a_video_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cut.mp4").write_bytes(short_of_its_index(tmp_path / "whole.mp4"))
    with pytest.raises(SourceError, match="header is damaged or cut off"):
        run_trial(trial(tmp_path / "cut.mp4", noise=WHITE))


def test_playlists_reach_neither_files_nor_servers(tmp_path: Path) -> None:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            path = tmp_path / "a.mp4"
            path.write_text(
                "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n"
                f"http://127.0.0.1:{server.server_port}/a.ts\n"
                "#EXTINF:2,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
            )
            with pytest.raises(SourceError, match="is a list of other files"):
                run_trial(trial(path, noise=WHITE))
        finally:
            server.shutdown()
            thread.join()
    assert asked == []


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        ({"clip_s": 0.1}, "longer than 0.1 s"),
        ({"image_px": 3000}, "64x48 pixels; an image may have 0.003 million"),
        ({"file_bytes": 50}, "can be tried"),
    ],
)
def test_a_clip_or_an_image_may_not_be_too_long_or_too_large(
    clip: Clip, tmp_path: Path, limits: dict[str, float], why: str
) -> None:
    path = put(tmp_path / "a.png", 1, 64, 48) if "image_px" in limits else clip.path
    config = trial(path, tmp_path / "results", noise=WHITE)
    with pytest.raises(SourceError, match=why):
        run_trial(config, replace(TrialLimits(), **limits))
    assert not list(config.folder.iterdir())


def endless_gif(frames: int) -> bytes:
    """Each frame takes 20 bytes and is shown for no time at all."""
    screen = struct.pack("<HHBBB", 16, 16, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    control = b"\x21\xf9\x04\0\0\0\0\0"
    one = control + b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02D\x01\0"
    return b"GIF89a" + screen + one * frames + b";"


def test_an_animation_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(endless_gif(2000))
    config = trial(tmp_path / "a.gif", noise=WHITE)
    with pytest.raises(SourceError, match=r"more than 600 frames|longer than 10 s"):
        run_trial(config)


def test_a_decoder_has_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    flat = np.zeros((4000, 5000, 3), np.uint8)
    path.write_bytes(saved(flat, "png", compress_level=1))
    little = SandboxLimits(memory_bytes=900 << 20, cpu_s=60, silence_s=20)
    with pytest.raises(SourceError, match="of memory") as caught:
        run_trial(trial(path, noise=WHITE), TrialLimits(sandbox=little))
    assert "\n" not in str(caught.value)


def test_apart_errors_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(b"no image")
    with pytest.raises(SourceError, match=r"b\.png is not an image"):
        run_trial_apart(trial(tmp_path / "b.png"))


def test_what_takes_too_long_is_ended_with_its_decoder(tmp_path: Path) -> None:
    config = trial(put(tmp_path / "a.png"), noise=WHITE)
    with pytest.raises(HungError, match=r"more than 0\.5 s and was ended"):
        run_trial_apart(config, TrialLimits(wall_s=0.5))
    ours = psutil.Process()
    wait_until(lambda: not [each for each in ours.children(True) if _tries(each)])


def test_a_child_that_is_killed_is_one_sentence(tmp_path: Path) -> None:
    config = trial(put(tmp_path / "a.png"), noise=WHITE)
    killed: list[int] = []

    def kill() -> None:
        def found() -> bool:
            for each in psutil.Process().children():
                if _tries(each):
                    each.kill()
                    killed.append(each.pid)
            return bool(killed)

        wait_until(found)

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(StreamDenoiseError, match="ended by SIGKILL") as caught:
        run_trial_apart(config)
    thread.join()
    assert killed
    assert "\n" not in str(caught.value)


def test_it_ends_with_the_process_that_asked_for_it(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    asks = (
        "import sys; from pathlib import Path\n"
        "from streamdenoise.jobs.trial import TrialConfig\n"
        "from streamdenoise.jobs.trial_process import run_trial_apart\n"
        "folder = Path(sys.argv[1])\n"
        "run_trial_apart(TrialConfig(source=folder / 'a.png', folder=folder))\n"
    )
    with psutil.Popen([sys.executable, "-c", asks, str(tmp_path)]) as asking:
        wait_until(lambda: len(asking.children(True)) == 2)
        trial, decoder = asking.children(True)
        decoder.suspend()
        asking.kill()
    try:
        trial.wait(10)  # it would wait for its decoder for 20 s
    finally:
        decoder.kill()


def _tries(process: psutil.Process) -> bool:
    try:
        return "streamdenoise.jobs.trial_process" in process.cmdline()
    except psutil.Error:
        return False
