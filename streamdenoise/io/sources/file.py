"""Video files: anything that FFmpeg reads."""

from pathlib import Path

from streamdenoise.errors import SourceOpenError
from streamdenoise.io.ffmpeg.container import DAMAGED, main_video, open_container
from streamdenoise.io.ffmpeg.sound import Sound
from streamdenoise.io.options import ReadOptions
from streamdenoise.io.sources.pyav import PyAVSource


class FileSource(PyAVSource):
    """Decodes a file as fast as possible, on several threads.

    Timestamps, time base and color tags are the file's own. Packets that cannot be
    decoded are skipped and counted; a truncated file yields its frames, and a note.
    """

    def __init__(
        self,
        path: Path,
        options: ReadOptions,
        sound: Sound | None = None,
    ) -> None:
        name = str(path)
        container = open_container(path, options.timeout_s)
        try:
            stream = main_video(container, options.stream)
        except BaseException:
            container.close()
            raise
        if stream is None:
            kinds = sorted({each.type for each in container.streams})
            container.close()
            if not kinds:
                raise SourceOpenError(DAMAGED.format(name))
            raise SourceOpenError(
                f"{name} has no video, only {' and '.join(kinds)}; "
                "choose a file with a video stream"
            )
        super().__init__(container, stream, name, options, is_live=False, sound=sound)
