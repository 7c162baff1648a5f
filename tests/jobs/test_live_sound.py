"""The live job keeps the sound of its source, also over a loss."""

import time
from pathlib import Path

from streamdenoise.denoisers.options import DenoiseConfig
from streamdenoise.io.options import Reconnect
from streamdenoise.jobs.config import LiveConfig
from streamdenoise.jobs.live import denoise_live
from streamdenoise.pipeline.stats import Stats
from tests.faults.servers import GstSoundServer
from tests.support.flash_and_beep import offsets, write_flashes
from tests.support.media import stream_codecs

UNCHANGED = DenoiseConfig(strength=0.0)


def test_a_camera_that_restarts(tmp_path: Path) -> None:
    write_flashes(tmp_path / "in.mov", 20, "pcm_mulaw", 8000)
    outputs = [tmp_path / "out.mkv", tmp_path / "out.mp4", tmp_path / "%H-%M-%S.ts"]
    begin: list[float] = []
    restarted: list[float] = []

    with GstSoundServer(tmp_path / "in.mov", "pcm_mulaw") as server:

        def restart(stats: Stats) -> None:
            if stats.frames_out > 5 and not begin:
                begin.append(time.monotonic())
            if begin and not restarted and time.monotonic() > begin[0] + 2.7:
                restarted.append(time.monotonic())
                server.restart()

        stats = denoise_live(
            LiveConfig(
                server.url,
                tuple(map(str, outputs)),
                UNCHANGED,
                window=False,
                duration_s=8,
                segment_s=3,
                reconnect=Reconnect.parse("forever"),
            ),
            on_stats=restart,
        )
    assert stats.reconnects == 1
    segments = sorted(tmp_path.glob("??-??-??.ts"))
    assert len(segments) == 3
    for path, codec, beeps in (
        (outputs[0], "pcm_mulaw", 5),
        (outputs[1], "aac", 5),
        *((path, "aac", 1) for path in segments),
    ):
        assert stream_codecs(path) == ["h264", codec]
        found = sorted(offsets(path), key=abs)
        assert len(found) >= beeps
        assert abs(found[beeps - 1]) < 0.04, (path, found)
    converted = [note for note in stats.notes if "is converted to aac" in note]
    assert len(converted) == 2
    assert converted[0].startswith(f"{outputs[1]}: sound 1 (pcm_mulaw)")


def test_sound_that_nobody_wants_and_outputs_without_any(tmp_path: Path) -> None:
    write_flashes(tmp_path / "in.mkv", 1, "libopus", 48000)
    kept, without, raw = (tmp_path / f"{name}" for name in ("a.mkv", "b.mkv", "c.y4m"))
    source = str(tmp_path / "in.mkv")
    stats = denoise_live(
        LiveConfig(source, (str(without),), UNCHANGED, window=False, audio="none")
    )
    assert stream_codecs(without) == ["h264"]
    assert not any("sound" in note for note in stats.notes)
    stats = denoise_live(
        LiveConfig(source, (str(kept), str(raw)), UNCHANGED, window=False)
    )
    assert stream_codecs(kept) == ["h264", "opus"]
    notes = [note for note in stats.notes if "sound" in note]
    assert notes == [f"{raw}: sound is left out: y4m has none"]
