"""Files such as cameras record: H.264 of a bit rate, without B-frames."""

from pathlib import Path

import av

from streamdenoise.contexts import Closing
from streamdenoise.frame import Frame
from streamdenoise.io.ffmpeg.codec_round_trip import (
    ENCODERS,
    BitRate,
    set_up_as_camera,
)
from streamdenoise.io.ffmpeg.planes import frame_of


class CameraFile(Closing):
    """Encodes frames of yuv420p, one a tick of the frame rate."""

    def __init__(self, path: Path, width: int, height: int, rate: BitRate) -> None:
        """Open the file.

        Args:
            path: its extension selects the container; replaced if it exists.
            width: of the frames in pixels; even.
            height: of the frames in pixels; even.
            rate: bits and frames a second.

        Raises:
            OSError: it cannot be written.
        """
        self._container = av.open(f"file:{path}", "w")
        stream = self._container.add_stream(ENCODERS["h264"], rate=rate.frame_rate)
        assert isinstance(stream, av.VideoStream)
        self._stream = stream
        encoder = stream.codec_context
        encoder.width, encoder.height = width, height
        set_up_as_camera(encoder, "h264", rate)
        self._frames = 0
        self._is_open = True

    def write(self, frame: Frame) -> None:
        """Encode a frame."""
        encoded = frame_of(frame.planes, "yuv420p")
        encoded.pts = self._frames
        self._frames += 1
        self._container.mux(self._stream.encode(encoded))

    def close(self) -> None:
        """Complete the file; further calls do nothing."""
        if not self._is_open:
            return
        self._is_open = False
        self._container.mux(self._stream.encode(None))
        self._container.close()
