"""Files that would fill the memory are refused by their headers, and end no job."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from streamdenoise.errors import SinkError, SourceOpenError
from streamdenoise.frame import StreamInfo
from streamdenoise.io import memory_limit
from streamdenoise.io.open import open_sink, open_source
from streamdenoise.io.pictures import dicom, reading
from streamdenoise.io.sinks import image as image_sink
from streamdenoise.jobs.config import FileConfig
from streamdenoise.jobs.offline import denoise_file
from tests.support import bombs
from tests.support.clips import Clip
from tests.support.command import python
from tests.support.frames import make_frame
from tests.support.pictures import opened, picture, saved

# The system's own figure, ru_maxrss, begins with that of the process that started it.
REPORT_PEAK = """
import atexit, re, sys
from pathlib import Path

@atexit.register
def report():
    found = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
    print(found[1])

"""
RUN = (
    REPORT_PEAK
    + """
from streamdenoise.cli.main import main
sys.argv[0] = "streamdenoise"
main()
"""
)
OPEN_ALL = (
    REPORT_PEAK
    + """
from streamdenoise.errors import SourceOpenError
from streamdenoise.io.open import open_source
for path in sys.argv[1:]:
    try:
        open_source(path).close()
    except SourceOpenError as exc:
        print(exc, file=sys.stderr)
"""
)


def measured(code: str, *args: object) -> tuple[list[str], float]:
    """Lines on stderr, and peak of the memory in MB, of a program that succeeds."""
    done = python(code, *args)
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines(), int(done.stdout) / 1024


def test_no_bomb_ends_the_job_of_a_folder(tmp_path: Path) -> None:
    folder, output = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    contents = bombs.pictures()
    # It can be read, but a .jpg holds one picture.
    pages = [Image.fromarray(picture()), Image.fromarray(picture()[::-1])]
    target = io.BytesIO()
    pages[0].save(target, "GIF", save_all=True, append_images=pages[1:])
    contents["animation.jpg"] = target.getvalue()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    names = [*contents, *(path.name for path in bombs.sparse(folder))]
    (folder / "z.png").write_bytes(saved(picture(), "png"))
    lines, peak_mb = measured(RUN, "image", folder, "-o", output)
    assert [path.name for path in output.iterdir()] == ["z.png"]
    assert opened(output / "z.png").size == (48, 32)
    for name in names:
        (line,) = (each for each in lines if f"left out: {folder / name}" in each)
        assert line.count(".") < 8
    assert len(lines) == len(names) + 2  # the summary and the model
    assert peak_mb < 600  # 350 without bombs


def test_what_ffmpeg_reads_is_refused_in_little_memory(tmp_path: Path) -> None:
    contents = bombs.videos()
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    paths = [tmp_path / name for name in contents]
    lines, peak_mb = measured(OPEN_ALL, *paths)
    for line, path in zip(lines, paths, strict=True):
        assert line.startswith(f"{path}")
    assert "busy" not in " ".join(lines)
    assert peak_mb < 300


@pytest.mark.parametrize("write", [bombs.dicom_of_jpeg, bombs.dicom_of_jpeg_2000])
def test_a_size_inside_of_another_is_compared(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    write(tmp_path / "a.dcm")
    with pytest.raises(SourceOpenError, match="but one is compressed as 60000x"):
        open_source(str(tmp_path / "a.dcm"))


def test_deflated_data_is_inflated_up_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bombs.deflated_dicom(tmp_path / "a.dcm", 1 << 20)
    open_source(str(tmp_path / "a.dcm")).close()
    monkeypatch.setattr(dicom, "_MOST_INFLATED", 1 << 19)
    with pytest.raises(SourceOpenError, match="is deflated and has more than"):
        open_source(str(tmp_path / "a.dcm"))


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zeros.png").symlink_to("/dev/zero")
    for name in ("pipe.png", "zeros.png"):
        with pytest.raises(SourceOpenError, match="is not a file"):
            open_source(str(tmp_path / name))


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (memory_limit, reading, image_sink):
        monkeypatch.setattr(module, "available_memory", lambda: 100 << 20)


@pytest.mark.usefixtures("no_memory")
def test_what_needs_more_memory_than_there_is_ends_in_a_sentence(
    tmp_path: Path,
) -> None:
    """A picture of 64 million pixels needs over 1 GB, whatever file it is in."""
    sentence = r"8000x8000 need about .* GB of memory, and 0.1 GB are available"
    (tmp_path / "a.jpg").write_bytes(bombs.jpeg(8000, 8000))
    header = b"YUV4MPEG2 W8000 H8000 F25:1 C420\nFRAME\n"
    (tmp_path / "a.y4m").write_bytes(header + bytes(96_000_000))
    for name in ("a.jpg", "a.y4m"):
        with pytest.raises(SourceOpenError, match=sentence):
            open_source(str(tmp_path / name))
    (tmp_path / "long.webp").write_bytes(b"RIFF" + bytes(110_000_000))
    with pytest.raises(SourceOpenError, match=r"at most 0.1 GB are read of it"):
        open_source(str(tmp_path / "long.webp"))
    page = make_frame(0, 0, width=8000, height=8000, pix_fmt="gray")
    sink = open_sink(f"{tmp_path}/b.gif", StreamInfo(8000, 8000, "gray"))
    with pytest.raises(SinkError, match="of memory; write a video"):
        sink.write(page)
    sink.abort()
    assert not (tmp_path / "b.gif").exists()


@pytest.mark.usefixtures("no_memory")
def test_a_video_that_its_encoder_has_too_little_memory_for(tmp_path: Path) -> None:
    config = FileConfig("testsrc:1920x1080@5", f"{tmp_path}/a.mp4", duration_s=1)
    with pytest.raises(SourceOpenError, match=r"1920x1080 need about 0\.3 GB"):
        denoise_file(config)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("no_memory")
def test_small_frames_are_never_refused(clip: Clip, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(saved(picture(), "png"))
    for path in (clip.path, tmp_path / "a.png"):
        open_source(str(path)).close()
