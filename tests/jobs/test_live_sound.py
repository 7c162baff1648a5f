"""The live job keeps the sound of its source, also over a loss."""

from pathlib import Path

from streamdenoise.denoisers.options import DenoiseConfig
from streamdenoise.io.ffmpeg.sound import Sound
from streamdenoise.io.open import open_source
from streamdenoise.io.options import ReadOptions, Reconnect
from streamdenoise.jobs.config import LiveConfig
from streamdenoise.jobs.job import StopSwitch
from streamdenoise.jobs.live import denoise_live
from streamdenoise.jobs.recorder import Recorder, recording_names
from streamdenoise.pipeline.queue import Overflow
from streamdenoise.pipeline.stats import Stats
from tests.faults.servers import GstSoundServer
from tests.support.flash_and_beep import RATE, offsets, write_flashes
from tests.support.media import stream_codecs

UNCHANGED = DenoiseConfig(strength=0.0)


def test_a_camera_that_restarts(tmp_path: Path) -> None:
    write_flashes(tmp_path / "in.mov", 20, "pcm_mulaw", 8000)
    outputs = [tmp_path / "out.mkv", tmp_path / "out.mp4", tmp_path / "%H-%M-%S.ts"]
    switch = StopSwitch()
    restarted_at: list[int] = []

    with GstSoundServer(tmp_path / "in.mov", "pcm_mulaw") as server:

        def restart(stats: Stats) -> None:
            if stats.frames_in > 3 * RATE and not restarted_at:
                server.restart()
                restarted_at.append(stats.frames_in)
            if restarted_at and stats.frames_in > restarted_at[0] + 3 * RATE:
                switch.stop()

        stats = denoise_live(
            LiveConfig(
                server.url,
                tuple(map(str, outputs)),
                UNCHANGED,
                window=False,
                segment_s=3,
                overflow=Overflow.BLOCK,  # no frame is dropped, however busy
                reconnect=Reconnect.parse("forever"),
            ),
            on_stats=restart,
            switch=switch,
        )
    assert stats.reconnects == 1
    segments = sorted(tmp_path.glob("??-??-??*.ts"))
    for paths, codec in (
        (outputs[:1], "pcm_mulaw"),
        (outputs[1:2], "aac"),
        (segments, "aac"),
    ):
        assert {*map(tuple, map(stream_codecs, paths))} == {("h264", codec)}
        found = sorted((each for path in paths for each in offsets(path)), key=abs)
        # One more may be lost with the camera.
        assert len(found) >= 4
        assert abs(found[3]) < 0.04, found
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


def test_a_recording_that_a_key_starts(tmp_path: Path) -> None:
    write_flashes(tmp_path / "in.mov", 4, "pcm_mulaw", 8000)
    sound = Sound()
    with (
        open_source(
            str(tmp_path / "in.mov"), ReadOptions(alone=True), sound=sound
        ) as source,
        Recorder(source.info, names=recording_names(tmp_path), sound=sound) as recorder,
    ):
        for frame in source:
            if frame.index == 30:
                recorder.toggle()
            recorder.write(frame)
    (path,) = tmp_path.glob("streamdenoise-*.mp4")
    assert stream_codecs(path) == ["h264", "aac"]
    found = offsets(path)
    assert len(found) == 3
    assert max(map(abs, found)) < 0.04
