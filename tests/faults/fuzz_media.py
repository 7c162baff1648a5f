"""Remuxes random files, and checks that nothing is lost that no note speaks of.

    python -m tests.faults.fuzz_media --minutes 60 --seed 1

The files are made by FFmpeg: any container and codecs, B-frames, streams that begin
late or early, gaps, joins, cues that overlap. The test suite tries a few.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from streamdenoise.errors import StreamDenoiseError
from streamdenoise.io.open import open_source
from streamdenoise.io.options import EncoderConfig
from tests.support.media import roundtrip, stream_times

VIDEO = {
    "mkv": ("libx264", "mpeg4", "mjpeg", "ffv1", "libvpx", "mpeg2video"),
    "mp4": ("libx264", "mpeg4", "libx265"),
    "mov": ("libx264", "mpeg4", "mjpeg"),
    "ts": ("libx264", "mpeg2video", "libx265"),
    "vob": ("mpeg2video",),
    "avi": ("mpeg4", "mjpeg"),
    "nut": ("libx264", "mpeg4", "mjpeg"),
    "flv": ("libx264", "flv"),
    "webm": ("libvpx", "libvpx-vp9"),
    "asf": ("mpeg4", "wmv2"),
    "mxf": ("mpeg2video",),
}
SOUND = {
    "mkv": ("aac", "ac3", "libopus", "flac", "pcm_s16le", "libvorbis", "wmav2", "mp2"),
    "mp4": ("aac", "ac3", "libmp3lame", "alac"),
    "mov": ("aac", "pcm_s16le", "pcm_s24le"),
    "ts": ("aac", "ac3", "mp2", "libmp3lame"),
    "vob": ("mp2", "ac3"),
    "avi": ("libmp3lame", "ac3", "pcm_s16le"),
    "nut": ("aac", "pcm_s16le", "libopus"),
    "flv": ("aac", "libmp3lame"),
    "webm": ("libopus", "libvorbis"),
    "asf": ("wmav2", "libmp3lame"),
    "mxf": ("pcm_s16le",),
}
JOINABLE = ("ts", "vob", "mkv")
TARGETS = ("mp4", "mov", "mkv", "avi", "ts")


@dataclass(frozen=True)
class Case:
    """A file and where it goes."""

    container: str
    video: str
    sounds: tuple[str, ...]
    channels: int
    rate: str
    b_frames: int
    seconds: float
    video_from_s: float
    offset_s: float
    cues: tuple[tuple[float, float], ...]
    joined: bool
    target: str

    @classmethod
    def draw(cls, rng: random.Random) -> "Case":
        container = rng.choice(list(VIDEO))
        has_cues = container in ("mkv", "mp4") and rng.random() < 0.4
        begins = sorted(rng.uniform(0, 2) for _ in range(rng.randrange(1, 5)))
        return cls(
            container=container,
            video=rng.choice(VIDEO[container]),
            sounds=tuple(rng.choices(SOUND[container], k=rng.choice((0, 1, 1, 1, 2)))),
            channels=rng.choice((1, 2, 2, 6)),
            rate="25"
            if container in ("vob", "mxf")
            else rng.choice(("25", "30000/1001", "50", "12")),
            b_frames=rng.choice((0, 0, 2, 3)),
            seconds=rng.choice((0.4, 1.5, 2.5)),
            video_from_s=rng.choice((0, 0, 0, 0.3, 1.7)),
            offset_s=rng.choice((0, 0, 5000, 95442.5)) if container == "ts" else 0,
            cues=tuple((b, b + rng.uniform(0.05, 1.5)) for b in begins) * has_cues,
            joined=container in JOINABLE and rng.random() < 0.3,
            target=rng.choice(TARGETS),
        )

    def write(self, folder: Path) -> Path:
        """Make the file."""
        path = folder / f"in.{self.container}"
        scene = f"testsrc2=s=64x48:r={self.rate}:d={self.seconds}"
        command: list[object] = ["-itsoffset", self.video_from_s, "-f", "lavfi"]
        command += ["-i", scene]
        for number in range(len(self.sounds)):
            tone = f"sine=f={300 + 200 * number}:r=48000:d={self.seconds}"
            command += ["-f", "lavfi", "-i", tone]
        maps = [number for number in range(len(self.sounds) + 1)]
        if self.cues:
            lines = folder / "cues.srt"
            lines.write_text(
                "\n".join(
                    f"{n}\n{_stamp(begin)} --> {_stamp(end)}\nline {n}\n"
                    for n, (begin, end) in enumerate(self.cues, 1)
                )
            )
            command += ["-i", lines]
            maps.append(len(self.sounds) + 1)
        for number in maps:
            command += ["-map", number]
        command += ["-c:v", self.video, "-g", 12, "-strict", -2, "-ac", self.channels]
        for number, codec in enumerate(self.sounds):
            command += [f"-c:a:{number}", codec]
            if codec in ("libmp3lame", "mp2", "wmav2", "flv"):
                command += [f"-ac:a:{number}", min(self.channels, 2)]
        if self.video in ("libx264", "mpeg4", "mpeg2video") and self.container != "avi":
            command += ["-bf", self.b_frames]
        if self.video == "libx265":
            command += ["-x265-params", "log-level=error", "-preset", "ultrafast"]
        command += ["-pix_fmt", "yuvj420p" if self.video == "mjpeg" else "yuv420p"]
        if self.cues:
            command += ["-c:s", "mov_text" if self.container == "mp4" else "srt"]
        if self.offset_s:
            command += ["-output_ts_offset", self.offset_s]
        subprocess.run(
            ["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, command), path],
            check=True,
            capture_output=True,
            timeout=60,
        )
        if self.joined:
            path.write_bytes(path.read_bytes() * 2)
        return path


def problems(case: Case, folder: Path) -> list[str]:
    """What went wrong with `case`; nothing if all is well."""
    source = case.write(folder)
    target = folder / f"out.{case.target}"
    target.unlink(missing_ok=True)
    try:
        notes = roundtrip(source, target, EncoderConfig("x264", preset="ultrafast"))
    except StreamDenoiseError as exc:
        return [f"refused: {exc}"]
    found = []
    frames = _decoded(source)
    with open_source(str(target)) as result:
        times = [frame.time_s for frame in result]
    if len(times) != frames:
        found.append(f"{frames} frames became {len(times)}")
    if any(b <= a for a, b in pairwise(times)):
        found.append("frames out of order")
    before, after = stream_times(source, "audio"), stream_times(target, "audio")
    is_encoded = any("is converted to" in n and "audio" in n for n in notes)
    # Demuxers cut PCM into packets as they like.
    is_cut = any(codec.startswith("pcm") for codec in case.sounds)
    if not is_encoded and not is_cut and len(before) != len(after):
        found.append(f"{len(before)} packets of sound became {len(after)}")
    if before and not after:
        found.append("no sound")
    if any(b < a for a, b in pairwise(after)):
        found.append("sound out of order")
    if after and times and case.target != "avi":
        # A clock that wraps is not what FFmpeg's own times show.
        earlier = min(stream_times(source, "video")) - min(before)
        moved = min(stream_times(target, "video")) - min(after) - earlier
        if abs(moved) > 0.08 and case.offset_s < 90000:
            found.append(f"sound moved by {moved:+.3f} s to the video")
    cues = stream_times(source, "subtitle")
    shown = stream_times(target, "subtitle")
    left_out = any("subtitle" in n and "left out" in n for n in notes)
    if cues and not shown and not left_out:
        found.append("subtitles are gone without a note")
    return found


def _decoded(path: Path) -> int:
    """Number of frames that FFmpeg's program decodes."""
    done = subprocess.run(
        [
            *("ffmpeg", "-v", "quiet", "-nostdin", "-i", path, "-map", "0:v:0"),
            *("-fps_mode", "passthrough", "-f", "framecrc", "-"),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    return sum(not line.startswith("#") for line in done.stdout.splitlines())


def _stamp(seconds: float) -> str:
    return f"00:00:{int(seconds):02},{int(seconds * 1000) % 1000:03}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    end = time.monotonic() + options.minutes * 60
    tried = failed = unmade = 0
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end:
            case = Case.draw(rng)
            tried += 1
            try:
                found = problems(case, Path(folder))
            except subprocess.CalledProcessError:
                unmade += 1  # FFmpeg does not write this combination
                continue
            if found:
                failed += 1
                print(f"{case}\n  {'; '.join(found)}", flush=True)
    print(f"{tried} files, {unmade} that FFmpeg refused to make, {failed} problems")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
