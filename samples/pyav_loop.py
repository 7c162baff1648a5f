"""Denoise a file in a PyAV loop: planes stay YUV, timestamps and colors are kept."""

import argparse
import time

import av
import numpy as np

from streamdenoise import Denoiser
from streamdenoise.frame import ColorInfo, Frame


def to_frame(decoded: av.VideoFrame, index: int) -> Frame:
    """The planes of an 8-bit yuv420p frame, without line padding."""
    planes = []
    for plane in decoded.planes:
        lines = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        planes.append(np.ascontiguousarray(lines[:, : plane.width]))
    color = ColorInfo(matrix=decoded.colorspace, range=decoded.color_range)
    return Frame(
        planes=tuple(planes),
        pix_fmt="yuv420p",
        color=color,
        pts=decoded.pts,
        time_base=decoded.time_base,
        index=index,
        captured_at=time.monotonic(),
    )


def to_video_frame(frame: Frame) -> av.VideoFrame:
    out = av.VideoFrame(frame.width, frame.height, "yuv420p")
    for plane, samples in zip(out.planes, frame.planes, strict=True):
        lines = np.zeros((plane.height, plane.line_size), np.uint8)
        lines[:, : plane.width] = samples
        plane.update(lines)
    out.pts, out.time_base = frame.pts, frame.time_base
    out.colorspace, out.color_range = frame.color.matrix, frame.color.range
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("output")
    parser.add_argument("--frames", type=int, help="stop after so many frames")
    options = parser.parse_args()

    with (
        av.open(options.source) as source,
        av.open(options.output, "w") as output,
        Denoiser.load("nano") as denoiser,
    ):
        video = source.streams.video[0]
        stream = output.add_stream("libx264", rate=video.average_rate or 25)
        stream.width, stream.height = video.width, video.height
        stream.pix_fmt = "yuv420p"
        encoder, decoder = stream.codec_context, video.codec_context
        encoder.time_base = video.time_base
        encoder.colorspace = decoder.colorspace
        encoder.color_range = decoder.color_range
        encoder.color_primaries = decoder.color_primaries
        encoder.color_trc = decoder.color_trc
        count = 0
        for decoded in source.decode(video):
            if count == options.frames:
                break
            noisy = to_frame(decoded.reformat(format="yuv420p"), count)
            for clean in denoiser.process(noisy):
                output.mux(stream.encode(to_video_frame(clean)))
            count += 1
        for clean in denoiser.flush():
            output.mux(stream.encode(to_video_frame(clean)))
        output.mux(stream.encode(None))
        print(f"{count} frames, backend {denoiser.backend}")


if __name__ == "__main__":
    main()
