"""Other denoisers: each one runs and gains, and its options are searched."""

import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamdenoise.errors import ConfigError
from streamdenoise.frame import Frame
from streamdenoise.imaging.metrics import psnr_uv, psnr_y
from streamdenoise.imaging.noise import add_gaussian_noise
from streamdenoise.measure.clips import read_clip
from streamdenoise.measure.peers.ffmpeg import FFMPEG_PEERS, FFmpegPeer, run_filter
from streamdenoise.measure.peers.opencv import (
    OpenCVColoredNonLocalMeans,
    OpenCVNonLocalMeans,
)
from streamdenoise.measure.peers.peer import Options, Peer, StoredClip, store
from streamdenoise.measure.peers.registry import find_peers
from streamdenoise.measure.peers.search import search, tuning_cases
from streamdenoise.measure.quality.vmaf import vmaf, why_no_vmaf
from tests.measure.waves import textured, waves_rgb


@pytest.mark.parametrize(
    "peer",
    [*FFMPEG_PEERS, OpenCVNonLocalMeans(), OpenCVColoredNonLocalMeans()],
    ids=lambda peer: peer.name,
)
def test_each_peer_runs_and_gains(
    peer: Peer, clean_and_noisy: tuple[list[Frame], StoredClip]
) -> None:
    clean, noisy = clean_and_noisy
    options = {key: values[0] for key, values in peer.axes(13.0).items()}
    filtered = peer.run(options, noisy, threads=1)
    assert [f.pts for f in filtered.frames] == [f.pts for f in noisy.frames]
    assert psnr_y(clean, filtered.frames) > psnr_y(clean, noisy.frames) + 0.3
    assert filtered.seconds >= 0


def test_a_filter_that_does_nothing_returns_the_same_planes(
    clean_and_noisy: tuple[list[Frame], StoredClip],
) -> None:
    _, noisy = clean_and_noisy
    after = run_filter("null", noisy.first(3), 1).frames
    for before, frame in zip(noisy.frames[:3], after, strict=True):
        for a, b in zip(before.planes, frame.planes, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_graph_that_ffmpeg_refuses_is_named(
    clean_and_noisy: tuple[list[Frame], StoredClip],
) -> None:
    with pytest.raises(ConfigError, match=r"0 of 4 frames for .*nosuchfilter"):
        run_filter("nosuchfilter=1", clean_and_noisy[1], 1)


def test_the_search_finds_the_best_options() -> None:
    peer = FFmpegPeer("x", {"s": (1.0, 0.5, 2.0)}, {"m": ("a", "b")}, limits=(0, 15))
    assert peer.axes(10) == {"s": (10.0, 5.0, 15), "m": ("a", "b")}
    calls: list[Options] = []

    def score(options: Options) -> float:
        calls.append(options)
        return -abs(float(options["s"]) - 14) + (options["m"] == "b")

    best, value = search(peer, 10, score)
    assert best == {"s": 15, "m": "b"}
    assert value == 0
    assert len(calls) == len({tuple(c.values()) for c in calls})


def test_filter_text_fills_every_placeholder() -> None:
    peers = {peer.name: peer for peer in FFMPEG_PEERS}
    text = peers["atadenoise"].filter({"0a": 0.1, "0b": 0.3, "s": 9, "a": "p"})
    assert text == "atadenoise=0a=0.1:0b=0.3:s=9:a=p:1a=0.1:1b=0.3:2a=0.1:2b=0.3"
    text = peers["hqdn3d"].filter({"luma_spatial": 4})
    assert text == "hqdn3d=luma_spatial=4"


def test_peers_are_found_by_name() -> None:
    found, _ = find_peers(["nlmeans", "hqdn3d", "nlmeans"])
    assert [peer.name for peer in found] == ["nlmeans", "hqdn3d"]
    every = [peer.name for peer in find_peers(["all"])[0]]
    opencv = ["opencv-nlmeans", "opencv-nlmeans-color"]
    assert every == [*(peer.name for peer in FFMPEG_PEERS), *opencv]
    assert find_peers(["none"]) == ([], [])
    with pytest.raises(ConfigError, match="choose from all, none, hqdn3d"):
        find_peers(["magic"])


def test_tuning_uses_a_few_clips_spread_over_the_folder(tmp_path: Path) -> None:
    for number in range(7):
        cv2.imwrite(str(tmp_path / f"{number}.png"), waves_rgb(number, 32, 48))
    cases = tuning_cases(tmp_path, 20, tmp_path, 0)
    assert len(cases) == 4
    first = read_clip(tmp_path / "0.png", 1)[0]
    np.testing.assert_array_equal(cases[0][0][0].planes[0], first.planes[0])
    last = read_clip(tmp_path / "6.png", 1)[0]
    np.testing.assert_array_equal(cases[-1][0][0].planes[0], last.planes[0])
    assert cases[0][1].raw != cases[1][1].raw


def test_the_error_for_a_python_without_vapoursynth_says_what_to_install(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigError, match=r"named 'vapoursynth'; pip install"):
        find_peers([], Path(sys.executable))
    with pytest.raises(ConfigError, match="cannot be run: No such file"):
        find_peers([], tmp_path / "python")
    with pytest.raises(ConfigError, match="give --vapoursynth"):
        find_peers(["v-bm3d"])


def test_v_bm3d_gains(clean_and_noisy: tuple[list[Frame], StoredClip]) -> None:
    python = os.environ.get("STREAMDENOISE_VAPOURSYNTH")
    if python is None:
        pytest.skip("STREAMDENOISE_VAPOURSYNTH names no Python with VapourSynth")
    clean, noisy = clean_and_noisy
    (peer,), _ = find_peers([], Path(python))
    options = {key: values[0] for key, values in peer.axes(13).items()}
    filtered = peer.run(options, noisy, 1)
    assert filtered.seconds > 0
    assert psnr_y(clean, filtered.frames) > psnr_y(clean, noisy.frames) + 6
    assert psnr_uv(clean, filtered.frames) > psnr_uv(clean, noisy.frames) + 5


def test_vmaf_falls_with_noise(tmp_path: Path) -> None:
    if why_no_vmaf() is not None:
        pytest.skip("this FFmpeg has no libvmaf")
    frames = [textured(n) for n in range(3)]
    rng = np.random.default_rng(0)
    noisy = [add_gaussian_noise(frame, 40, rng) for frame in frames]
    reference = store(frames, tmp_path / "clean.yuv")
    same = vmaf(reference, reference, 1)
    assert same > 90
    assert vmaf(reference, store(noisy, tmp_path / "noisy.yuv"), 1) < same - 20
    assert not list(tmp_path.glob("*.json"))
