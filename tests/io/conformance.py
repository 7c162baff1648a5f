"""Tries what each container keeps of a file, and writes it down in the docs.

    python -m tests.io.conformance

changes the tables of docs/formats.md; tests/io/test_conformance.py compares them.
"""

import subprocess
import tempfile
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer

from streamdenoise.console.table import markdown_table
from streamdenoise.io.options import EncoderConfig
from tests.support.media import roundtrip, stream_codecs

CONTAINERS = ("mp4", "mov", "mkv", "webm", "avi", "ts")

# Codec -> FFmpeg's encoder.
SOUND = {
    "AAC": "aac",
    "AC-3": "ac3",
    "E-AC-3": "eac3",
    "DTS": "dca",
    "TrueHD": "truehd",
    "MP2": "mp2",
    "MP3": "libmp3lame",
    "Opus": "libopus",
    "Vorbis": "libvorbis",
    "FLAC": "flac",
    "ALAC": "alac",
    "PCM, 16 bit": "pcm_s16le",
    "PCM, 24 bit": "pcm_s24le",
    "G.711": "pcm_alaw",
    "WMA": "wmav2",
}
TEXT = {"SRT": "srt", "ASS": "ass", "WebVTT": "webvtt", "MP4 text": "mov_text"}

PAGE = Path(__file__).parents[2] / "docs/formats.md"
BEGIN, END = "<!-- {}: by python -m tests.io.conformance -->", "<!-- end of {} -->"


def tables(folder: Path) -> dict[str, str]:
    """All tables as Markdown, by name."""
    return {
        "sound": _table("sound", SOUND, folder, _sound_file, _codec_after),
        "subtitles": _table("subtitles", TEXT, folder, _text_file, _codec_after),
        "more": _table("also", EXTRAS, folder, _extra_file, _extra_after),
    }


def page_with(found: dict[str, str], page: str) -> str:
    """`page` with its tables replaced by those that were `found`."""
    for name, table in found.items():
        begin, end = BEGIN.format(name), END.format(name)
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f"{before}{begin}\n{table}\n{end}{after}"
    return page


def _table(
    title: str,
    rows: Iterable[str],
    folder: Path,
    make: Callable[[str, Path], Path],
    look: Callable[[str, Path, Path, tuple[str, ...]], str],
) -> str:
    lines = []
    for row in rows:
        source = make(row, folder)
        cells = []
        for container in CONTAINERS:
            target = folder / f"out.{container}"
            fast = EncoderConfig("svtav1", preset="13")
            if container != "webm":
                fast = EncoderConfig("x264", preset="ultrafast")
            notes = roundtrip(source, target, fast)
            cells.append(look(row, source, target, notes))
            target.unlink()
        lines.append([row, *cells])
    return "\n".join(markdown_table((title, *CONTAINERS), lines))


def _ffmpeg(*arguments: object) -> None:
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    subprocess.run(command, check=True)


def _video(frames: int = 5) -> tuple[str, ...]:
    scene = f"testsrc2=s=64x48:r=25,trim=end_frame={frames}"
    return ("-f", "lavfi", "-i", scene)


def _sound_file(row: str, folder: Path) -> Path:
    path = folder / "in.mkv"
    sound = ("-f", "lavfi", "-i", "sine=r=48000:d=0.5,aformat=channel_layouts=stereo")
    codecs = ("-c:v", "mpeg4", "-c:a", SOUND[row], "-strict", -2)
    _ffmpeg(*_video(), *sound, *codecs, path)
    return path


def _text_file(row: str, folder: Path) -> Path:
    path = folder / ("in.mp4" if TEXT[row] == "mov_text" else "in.mkv")
    lines = folder / "lines.srt"
    lines.write_text("1\n00:00:00,040 --> 00:00:00,120\nHello\n")
    maps = ("-map", 0, "-map", 1, "-c:v", "mpeg4", "-c:s", TEXT[row])
    _ffmpeg(*_video(), "-i", lines, *maps, path)
    return path


def _codec_after(row: str, source: Path, target: Path, notes: tuple[str, ...]) -> str:
    before, after = (stream_codecs(path)[1:] for path in (source, target))
    if not after:
        assert any("is left out" in note for note in notes), (row, target, notes)
        return "left out"
    # Containers do not tell the layers of MPEG audio apart.
    same = {*before, *after} <= {"mp2", "mp3"} or before == after
    assert same != any("is converted" in note for note in notes), (row, target, notes)
    return "kept" if same else after[0].replace("mov_text", "MP4 text")


def _rotate(path: Path) -> None:
    _ffmpeg(*_video(), "-c:v", "mpeg4", path.with_name("plain.mp4"))
    with (
        av.open(str(path.with_name("plain.mp4"))) as before,
        av.open(str(path), "w") as after,
    ):
        stream = after.add_stream_from_template(before.streams.video[0])
        stream.set_display_rotation(90)
        for packet in before.demux(video=0):
            if packet.size:
                packet.stream = stream
                after.mux(packet)


def _title(path: Path) -> None:
    _ffmpeg(*_video(), "-c:v", "mpeg4", "-metadata", "title=Night", path)


def _chapters(path: Path) -> None:
    chapters = path.with_name("chapters.txt")
    chapters.write_text(
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=120\ntitle=One\n"
    )
    _ffmpeg(*_video(), "-i", chapters, "-map_chapters", 1, "-c:v", "mpeg4", path)


def _attachment(path: Path) -> None:
    font = path.with_name("font.ttf")
    font.write_bytes(b"font" * 100)
    kind = ("-attach", font, "-metadata:s:t", "mimetype=font/ttf")
    _ffmpeg(*_video(), *kind, "-c:v", "mpeg4", path)


def _language(path: Path) -> None:
    sound = ("-f", "lavfi", "-i", "sine=r=48000:d=0.5")
    tag = ("-metadata:s:a:0", "language=fra")
    _ffmpeg(*_video(), *sound, "-c:v", "mpeg4", "-c:a", "ac3", *tag, path)


def _aspect(path: Path) -> None:
    _ffmpeg(*_video(), "-vf", "setsar=4/3", "-c:v", "mpeg4", path)


def _color(path: Path) -> None:
    tags = ("-color_primaries", "bt2020", "-color_trc", "smpte2084")
    _ffmpeg(*_video(), "-c:v", "libx264", "-colorspace", "bt2020nc", *tags, path)


Look = Callable[[InputContainer], object]

EXTRAS: dict[str, tuple[Callable[[Path], None], Look]] = {
    "title": (_title, lambda file: file.metadata.get("title")),
    "chapters": (_chapters, lambda file: len(file.chapters())),
    "language of sound": (
        _language,
        lambda file: file.streams.audio[0].metadata.get("language"),
    ),
    "attachments": (
        _attachment,
        lambda file: [s.type for s in file.streams if s.type == "attachment"],
    ),
    "rotation": (_rotate, lambda file: next(file.decode(video=0)).rotation),
    "pixel aspect ratio": (
        _aspect,
        lambda file: file.streams.video[0].sample_aspect_ratio or Fraction(1),
    ),
    "color tags": (_color, lambda file: next(file.decode(video=0)).color_trc),
}


def _extra_file(row: str, folder: Path) -> Path:
    path = folder / ("in.mp4" if row == "rotation" else "in.mkv")
    EXTRAS[row][0](path)
    return path


def _extra_after(row: str, source: Path, target: Path, notes: tuple[str, ...]) -> str:
    look = EXTRAS[row][1]
    with av.open(str(source)) as before, av.open(str(target)) as after:
        expected, found = look(before), look(after)
        turned = after.streams.video[0].width == 48
    if expected == found:
        return "kept"
    if row == "rotation" and turned:
        return "frames turned"
    assert any(note for note in notes if "left out" in note), (row, target, notes)
    return "left out"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        PAGE.write_text(page_with(tables(Path(folder)), PAGE.read_text()))


if __name__ == "__main__":
    main()
